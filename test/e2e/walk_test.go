package e2e

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
	"github.com/symroute/symroute/test/walk"
)

var (
	walkSeed  = flag.Uint64("walk.seed", 0, "seed of the first of TestWalks' walks; one that fails prints its own")
	walkTries = flag.Int("walk.tries", 400, "how many shorter walks are tried out to explain one that failed")
	walkCount = flag.Uint64("walk.count", 0, "number of TestWalks' walks; 0: as many as there is time for")
)

// Numbers of walks: those of -faults.all, those that take three quarters of a
// minute of two cores, and those of -short.
const (
	allWalks   = 10_000
	someWalks  = 120
	shortWalks = 6
)

// TestWalks lets anything happen to a pod, at random, while attachments come and go
// and some invocations are killed. A twin of the pod gets the same links and all
// that others do, and never symroute: it says what should be. What has to hold after
// each step is in walk_holds_test.go. A walk that fails is made shorter and printed
// as a script.
func TestWalks(t *testing.T) {
	t.Parallel()
	count := *walkCount
	switch {
	case count > 0:
	case *faultsAll:
		count = allWalks
	case testing.Short():
		count = shortWalks
	default:
		count = someWalks
	}
	var next, done, steps, failures atomic.Uint64
	begun := time.Now()
	if *faultsAll {
		stop := progress(func() string {
			return fmt.Sprintf("%d of %d walks, %d steps", done.Load(), count, steps.Load())
		})
		defer stop()
	}
	// A walk waits for other processes most of the time.
	var workers sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		site := newWalkSite(t)
		workers.Go(func() {
			for i := next.Add(1); i <= count; i = next.Add(1) {
				w := walk.New(*walkSeed + i - 1)
				if f := site.run(t, w); f != nil {
					failed := failures.Add(1)
					if failed > enoughFailures {
						break
					}
					site.explain(t, w, f, failed <= explained)
				}
				done.Add(1)
				steps.Add(uint64(len(w.Steps)))
			}
		})
	}
	workers.Wait()
	t.Logf("%d walks, %d steps in %v", done.Load(), steps.Load(), time.Since(begun).Round(time.Second))
}

// progress prints a line now and then until it is stopped.
func progress(line func() string) (stop func()) {
	end := make(chan struct{})
	go func() {
		for tick := time.NewTicker(10 * time.Second); ; {
			select {
			case <-tick.C:
				fmt.Fprintln(os.Stderr, line())
			case <-end:
				tick.Stop()
				return
			}
		}
	}()
	return func() { close(end) }
}

// walkSite is where walks take place, one after the other: the node, and the
// namespace of the NICs' other ends.
type walkSite struct {
	node, wire *netlab.NS
	walks      int
}

func newWalkSite(t *testing.T) *walkSite {
	t.Helper()
	site := &walkSite{node: netlab.New(t, "node"), wire: netlab.New(t, "wire")}
	site.wire.SetSysctl(t, "net/ipv6/conf/default/disable_ipv6=1") // it is to be silent
	return site
}

// run walks, and returns what was wrong first; nil: nothing.
func (site *walkSite) run(t *testing.T, w walk.Walk) *wrong {
	t.Helper()
	scope := &scope{TB: t}
	defer scope.end()
	site.walks++
	return newWalker(scope, site, w).walk()
}

// Of so many walks that failed the first are made shorter; after enough it is over.
const (
	explained      = 2
	enoughFailures = 20
)

// explain reports a walk that failed; made shorter where there is time for it.
func (site *walkSite) explain(t *testing.T, w walk.Walk, first *wrong, shorten bool) {
	t.Helper()
	last := first
	if !shorten {
		t.Errorf("-walk.seed=%d -walk.count=1: %v", w.Seed, first)
		return
	}
	short := walk.Shrink(w, *walkTries, func(w walk.Walk) bool {
		f := site.run(t, w)
		same := f != nil && f.what == first.what
		if same {
			last = f
		}
		return same
	})
	t.Errorf("-walk.seed=%d -walk.count=1: %v\n\n%s\n# %v", w.Seed, first, short.Script(), last)
}

// wrong is what does not hold after a step.
type wrong struct {
	step    walk.Step
	at      int
	what    string // which of the rules
	details string
}

func (w *wrong) String() string {
	return fmt.Sprintf("after step %d (%v): %s:\n%s", w.at+1, w.step, w.what, w.details)
}

// scope is a test whose clean-ups are done before it ends.
type scope struct {
	testing.TB
	cleanups []func()
}

func (s *scope) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

func (s *scope) end() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
}
