package e2e

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// figures counts the faults that a test has injected.
type figures struct {
	mu     sync.Mutex
	counts map[string]map[string]int // of a system call, by kind
	total  int
}

// newFigures counts until the test and its subtests end, and then shows what it has
// counted. Meanwhile it says now and then how far it is.
func newFigures(t *testing.T) *figures {
	t.Helper()
	f := &figures{counts: map[string]map[string]int{}}
	const pause = 10 * time.Second
	began, done := time.Now(), make(chan struct{})
	go func() {
		last := 0
		for tick := time.Tick(pause); ; {
			select {
			case <-tick:
				f.mu.Lock()
				if f.total > last {
					fmt.Fprintf(os.Stderr, "%s: %d faults in %v\n", t.Name(), f.total, time.Since(began).Round(time.Second))
				}
				last = f.total
				f.mu.Unlock()
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(done)
		t.Logf("%d faults in %v:\n%v", f.total, time.Since(began).Round(time.Second), f)
		if f.total == 0 && !t.Skipped() && !t.Failed() {
			t.Error("no fault was injected: this test showed nothing")
		}
	})
	return f
}

func (f *figures) count(hit fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts[hit.call] == nil {
		f.counts[hit.call] = map[string]int{}
	}
	f.counts[hit.call][hit.kind.name]++
	f.total++
}

// String is a table of system calls and kinds of faults.
func (f *figures) String() string {
	var kinds []string
	for _, counts := range f.counts {
		for kind := range counts {
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	slices.Sort(kinds)
	var table strings.Builder
	fmt.Fprintf(&table, "%-12s", "")
	for _, kind := range kinds {
		fmt.Fprintf(&table, " %*s", columnWidth(kind), kind)
	}
	for _, call := range slices.Sorted(maps.Keys(f.counts)) {
		fmt.Fprintf(&table, "\n%-12s", call)
		for _, kind := range kinds {
			fmt.Fprintf(&table, " %*d", columnWidth(kind), f.counts[call][kind])
		}
	}
	return table.String()
}

func columnWidth(title string) int { return max(len(title), 6) }
