package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// TestOneAtATime holds the lock of a pod's namespace by another path to it, and
// lets ADD come meanwhile: it waits, and touches nothing.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, nil)
	lock, err := os.Open(b.pod.NS.Alias(t))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}

	done := make(chan netlab.Invocation, 1)
	go func() { done <- a.run(t, "ADD") }()
	netlab.Eventually(t, "ADD waits for the lock", func() bool {
		return len(done) > 0 || someoneWaits(t, b.pod.NS.Inode(t))
	})
	assertNothingOfOurs(t, b.pod.NS)
	if len(done) > 0 {
		assertCode(t, (<-done).Failed(t), codeTryAgain) // it lost patience, which is allowed
		return
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if call := <-done; call.ExitCode != 0 {
		t.Errorf("ADD failed\n%v", call)
	}
	a.must(t, "CHECK")
}

// someoneWaits says whether a process is blocked by a lock on a file.
func someoneWaits(t *testing.T, inode uint64) bool {
	t.Helper()
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	file := fmt.Sprintf(":%d ", inode)
	return slices.ContainsFunc(strings.Split(string(locks), "\n"), func(line string) bool {
		return strings.Contains(line, "-> FLOCK") && strings.Contains(line, file)
	})
}

// TestManyAtOnce attaches several NICs of a pod at the same time, and detaches
// them at the same time: nobody's table or setting gets lost.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	const count = 6
	var nics []nic
	for i := range count {
		p := newProvider(fmt.Sprint(i), fmt.Sprintf("10.%d.0.2/24", i), fmt.Sprintf("2001:db8:%d::2/64", i))
		nics = append(nics, p.nic(fmt.Sprintf("net%d", i)).withoutDefaults())
	}
	b := newBench(t, nics...)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	before := b.pod.NS.Snapshot(t)

	together := func(command string) {
		t.Helper()
		var wait sync.WaitGroup
		calls := make([]netlab.Invocation, count)
		for i, n := range nics {
			wait.Go(func() {
				calls[i] = b.attach(n, netlab.Object{"rpFilter": []string{"strict", "off"}[i%2]}).run(t, command)
			})
		}
		wait.Wait()
		for _, call := range calls {
			if call.ExitCode != 0 {
				t.Errorf("%s failed\n%v", command, call)
			}
		}
	}
	together("ADD")
	tables := map[string]bool{}
	for _, rule := range ourRules(t, b.pod.NS, "-4") {
		if _, number, ok := strings.Cut(rule, " lookup "); ok && strings.Contains(rule, "from 10.") {
			tables[number] = true
		}
	}
	if len(tables) != count {
		t.Errorf("%d NICs share %d tables: %v", count, len(tables), tables)
	}
	for i, n := range nics {
		assertEffective(t, b.pod.NS, n.name, []string{"1", "0"}[i%2])
	}
	together("CHECK")
	together("DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
	assertNoFiles(t, b.dataDir)
}
