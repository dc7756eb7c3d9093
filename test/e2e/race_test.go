package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// TestRaces lets things happen to a pod while ADD, CHECK or DEL is at work in it.
// The executable is stopped right after one of its system calls, and goes on when it
// has happened: nothing here depends on who is faster.
func TestRaces(t *testing.T) {
	t.Parallel()
	t.Run("something happens to the NIC", testNICMishaps)
	t.Run("the namespace's path goes away", testPathMishaps)
	t.Run("another invocation comes", testInvocationsMeet)
	t.Run("GC comes during ADD", testGCDuringADD)
	t.Run("another program changes rules and routes", testOthersWrite)
}

// halted is a run of the executable that stands still.
type halted struct {
	t    testing.TB
	log  string // of strace
	done chan netlab.Invocation
	over bool // it ended before it came to the place
}

// halt starts a command that stops when it has made a system call for the n-th time.
func (a attachment) halt(t testing.TB, command, call string, n int) *halted {
	t.Helper()
	if call == "write" {
		n++ // the first is the copy of standard input, before anything has been looked at
	}
	h := &halted{t: t, log: filepath.Join(t.TempDir(), "strace"), done: make(chan netlab.Invocation, 1)}
	strace := []string{"strace", "-f", "-qq", "-o", h.log, "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=STOP:when=%d", call, n)}
	go func() { h.done <- a.node.RunPluginUnder(t, strace, a.environ(command), a.stdin(t)) }()
	netlab.Eventually(t, command+" stops", func() bool { return len(h.done) > 0 || h.thread() != 0 })
	h.over = h.thread() == 0
	t.Cleanup(func() {
		if !h.over { // the test gave up
			_ = unix.Kill(h.thread(), unix.SIGCONT)
		}
	})
	return h
}

// thread is one of the threads that have stopped, 0 as long as none has. All stop
// where one does, and that does which has made the call.
func (h *halted) thread() int {
	h.t.Helper()
	log, err := os.ReadFile(h.log)
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		var thread int
		if strings.Contains(line, "--- stopped by SIGSTOP ---") {
			if _, err := fmt.Sscan(line, &thread); err != nil {
				h.t.Fatalf("strace wrote %q: %v", line, err)
			}
			return thread
		}
	}
	return 0
}

// goOn lets it run to its end. The threads stop one after the other, and strace can
// miss a SIGCONT that comes before the last has: so there is another, until it is over.
func (h *halted) goOn() netlab.Invocation {
	h.t.Helper()
	if h.over {
		return <-h.done
	}
	for {
		if err := unix.Kill(h.thread(), unix.SIGCONT); err != nil && !errors.Is(err, unix.ESRCH) { // it may just have ended
			h.t.Fatalf("continue: %v", err)
		}
		select {
		case call := <-h.done:
			h.over = true
			return call
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stops are the numbers of the system calls at which a command is stopped: all of
// them, or a choice that is spread over all and differs from one test to the next.
func stops(test int) (first, stride int) {
	switch {
	case *faultsAll:
		return 1, 1
	case testing.Short():
		stride = 40
	default:
		stride = 20
	}
	return 1 + test*7%stride, stride
}

// chosen reports whether a test is among every so many that run without -faults.all;
// on an emulated machine it is one of eight times as many.
func chosen(test, every int) bool {
	if testing.Short() {
		every *= 8
	}
	return *faultsAll || test%every == 0
}

// mishap is what happens to a NIC.
type mishap struct {
	name     string
	commands []string // of ip
	now      string   // what the NIC is called then
	restarts bool     // it comes up again, for which the kernel takes its time
}

var mishaps = []mishap{
	{"vanishes", []string{"link del net1"}, "", false},
	{"goes down", []string{"link set net1 down"}, "net1", false},
	{"is renamed", []string{"link set net1 down", "link set net1 name net9", "link set net9 up"}, "net9", true},
	{"loses its addresses", []string{"addr flush dev net1"}, "net1", false},
}

// testNICMishaps has a NIC for each place where a command can be stopped. ADD fails
// and leaves nothing, or it had done its work before; CHECK fails or had seen what
// it wanted; DEL succeeds and leaves nothing.
func testNICMishaps(t *testing.T) {
	t.Parallel()
	test := 0
	for _, m := range mishaps {
		for _, command := range []string{"ADD", "CHECK", "DEL"} {
			for _, call := range []string{"sendto", "write"} {
				if command == "CHECK" && call == "write" {
					continue // but its verdict it writes nothing
				}
				test++
				if !chosen(test, 1) {
					continue
				}
				t.Run(fmt.Sprintf("it %s during %s, at a %s", m.name, command, call), func(t *testing.T) {
					t.Parallel()
					b := newBench(t, eth0)
					b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
					alone := b.pod.NS.Snapshot(t)
					first, stride := stops(test)
					for n := first; m.strikes(t, b, command, call, n); n += stride {
						assertSame(t, fmt.Sprintf("%s at %s %d: the pod without the NIC is not what it was", command, call, n), alone, b.pod.NS.Snapshot(t))
						assertNoFiles(t, b.dataDir)
						if t.Failed() {
							t.FailNow()
						}
					}
				})
			}
		}
	}
}

// strikes plugs a NIC in, lets the mishap happen at one place of a command, and
// unplugs the NIC again. It reports whether the command came to that place.
func (m mishap) strikes(t *testing.T, b *bench, command, call string, n int) bool {
	t.Helper()
	pod := b.pod.NS
	b.plug(t, net1)
	a := b.attach(net1, netlab.Object{"rpFilter": "strict", "mainDefault": "take", "arp": "isolate"})
	if command != "ADD" {
		a.must(t, "ADD")
	}
	h := a.halt(t, command, call, n)
	stopped, now := !h.over, "net1"
	if stopped {
		pod.Batch(t, m.commands...)
		now = m.now
		if m.restarts {
			pod.Settle(t, now)
		}
	}
	happened := pod.Snapshot(t)
	run := h.goOn()
	failure := run.Failed(t)
	what := fmt.Sprintf("%s, stopped at %s %d, when the NIC %s", command, call, n, m.name)
	if failure != nil && failure.Code == types.ErrInternal {
		t.Errorf("%s: an error without a code of its own\n%v", what, run)
	}
	switch {
	case command == "DEL" && failure != nil:
		t.Errorf("%s: it failed\n%v", what, run)
	case command == "CHECK":
		assertSame(t, what+": it changed the pod", happened, pod.Snapshot(t))
	case command == "ADD" && failure != nil:
		assertNothingOfOurs(t, pod)
		assertNoFiles(t, b.dataDir)
		if now != "" {
			assertUntouched(t, pod, now)
		}
	}
	a.must(t, "DEL")
	assertNothingOfOurs(t, pod)
	if now != "" {
		pod.IP(t, "link", "del", now)
	}
	if t.Failed() {
		t.Logf("it was %s\n%v", what, run)
	}
	return stopped
}

// assertUntouched demands that a NIC has the settings that it was born with.
func assertUntouched(t *testing.T, ns *netlab.NS, nic string) {
	t.Helper()
	for _, key := range []string{"rp_filter", "arp_ignore", "arp_announce", "arp_filter"} {
		if value := ns.Sysctl(t, "net/ipv4/conf/"+nic+"/"+key); value != "0" {
			t.Errorf("%s of %s is %s, and was 0", key, nic, value)
		}
	}
}

// testPathMishaps takes the path of the namespace away, or puts another namespace
// there, once the executable is on its way into it.
func testPathMishaps(t *testing.T) {
	t.Parallel()
	places := []struct {
		call string
		n    int
	}{{"openat", 1}, {"flock", 1}, {"setns", 1}, {"sendto", 3}, {"sendto", 12}, {"write", 1}, {"setns", 2}}
	test := 0
	for _, command := range []string{"ADD", "CHECK", "DEL"} {
		for _, place := range places {
			for _, successor := range []bool{false, true} {
				test++
				if !chosen(test, 3) {
					continue
				}
				t.Run(fmt.Sprintf("%s at %s %d, another comes there: %t", command, place.call, place.n, successor), func(t *testing.T) {
					t.Parallel()
					b, a, _ := addStrict(t)
					if command == "ADD" {
						a.must(t, "DEL")
					}
					other := newBench(t, eth0, net1).pod.NS
					others, node := other.Snapshot(t), b.node.Snapshot(t)
					h := a.halt(t, command, place.call, place.n)
					b.pod.NS.Vanish(t)
					if successor {
						takePlace(t, other, a.netns)
					} else { // to GC the attachment is dead
						a.with("cni.dev/valid-attachments", []netlab.Object{}).must(t, "GC")
					}
					run := h.goOn()
					if failure := run.Failed(t); command == "DEL" && failure != nil {
						t.Errorf("DEL failed\n%v", run)
					} else if failure != nil {
						assertCode(t, failure, append(deviations, codeEnvironment, codeState)...)
					}
					if _, err := os.Lstat(a.netns); !successor && !os.IsNotExist(err) {
						t.Errorf("something has come to %s: %v", a.netns, err)
					}
					assertSame(t, "the node was changed", node, b.node.Snapshot(t))
					if !successor || place.call != "openat" { // else it is what the runtime named
						assertSame(t, "another namespace was changed", others, other.Snapshot(t))
					}
					a.must(t, "DEL")
					a.prev = nil
					a.must(t, "DEL")
					assertSame(t, "another namespace was changed", others, other.Snapshot(t))
					assertNoFiles(t, b.dataDir)
				})
			}
		}
	}
}

// takePlace mounts a namespace at a path where another stood.
func takePlace(t *testing.T, ns *netlab.NS, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(ns.Path, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("bind %s to %s: %v", ns.Path, path, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", path, err)
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
}

// testInvocationsMeet starts a command while another is at work: it waits, and the
// pod ends as if they had come one after the other.
func testInvocationsMeet(t *testing.T) {
	t.Parallel()
	for i, pair := range [][2]string{{"ADD", "DEL"}, {"ADD", "ADD"}, {"DEL", "ADD"}, {"DEL", "DEL"}, {"CHECK", "DEL"}, {"CHECK", "ADD"}, {"ADD", "CHECK"}} {
		first, second := pair[0], pair[1]
		if !chosen(i, 1) {
			continue
		}
		t.Run(second+" during "+first, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
			before := b.pod.NS.Snapshot(t)
			a := b.attach(net1, netlab.Object{"rpFilter": "strict", "mainDefault": "take", "arp": "isolate"})
			a.must(t, "ADD")
			added := b.pod.NS.Snapshot(t)
			a.must(t, "DEL")
			start, stride := stops(i)
			for n := start; ; n += stride {
				if first != "ADD" {
					a.must(t, "ADD")
				}
				h := a.halt(t, first, "sendto", n)
				if h.over {
					break
				}
				half := b.pod.NS.Snapshot(t)
				_, lock := h.lockFile()
				done := make(chan netlab.Invocation, 1)
				go func() { done <- a.run(t, second) }()
				netlab.Eventually(t, second+" waits", func() bool { return len(done) > 0 || someoneWaits(t, lock) })
				if len(done) > 0 {
					t.Fatalf("%s did not wait for %s\n%v", second, first, <-done)
				}
				assertSame(t, second+" did something while it waited", half, b.pod.NS.Snapshot(t))
				for command, run := range map[string]netlab.Invocation{"first, " + first: h.goOn(), "second, " + second: <-done} {
					if run.Failed(t) != nil {
						t.Errorf("the %s, failed\n%v", command, run)
					}
				}
				want := map[bool]netlab.Snapshot{true: before, false: added}[second == "DEL"]
				assertSame(t, fmt.Sprintf("%s during %s at send %d", second, first, n), want, b.pod.NS.Snapshot(t))
				if second != "DEL" {
					a.must(t, "CHECK")
				}
				a.must(t, "DEL")
				assertSame(t, fmt.Sprintf("%s during %s at send %d, and then DEL", second, first, n), before, b.pod.NS.Snapshot(t))
				assertNoFiles(t, b.dataDir)
				if t.Failed() {
					t.FailNow()
				}
			}
		})
	}
}

// testGCDuringADD collects while ADD is at work, with a list that was made before or
// after the runtime knew of it: what ADD remembers stays, for its namespace is there.
func testGCDuringADD(t *testing.T) {
	t.Parallel()
	for i, listed := range []bool{false, true} {
		if !chosen(i, 1) {
			continue
		}
		t.Run(fmt.Sprintf("listed: %t", listed), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
			before := b.pod.NS.Snapshot(t)
			a := b.attach(net1, netlab.Object{"rpFilter": "strict", "mainDefault": "take"})
			collect := a.with("cni.dev/valid-attachments", []netlab.Object{})
			if listed {
				collect = a.with("cni.dev/valid-attachments", []netlab.Object{{"containerID": a.containerID, "ifname": a.nic}})
			}
			for _, call := range []string{"mkdirat", "openat", "write", "renameat", "sendto"} {
				start, stride := stops(i)
				if call == "mkdirat" || call == "renameat" {
					start, stride = 1, 1
				}
				for n := start; ; n += stride {
					h := a.halt(t, "ADD", call, n)
					collect.must(t, "GC")
					over := h.over
					if run := h.goOn(); run.Failed(t) != nil {
						t.Fatalf("ADD failed, as GC came at its %s %d\n%v", call, n, run)
					}
					collect.must(t, "GC")
					a.must(t, "CHECK")
					if len(files(t, b.dataDir)) != 1 {
						t.Errorf("GC at %s %d of ADD: what is remembered is %v", call, n, files(t, b.dataDir))
					}
					a.must(t, "DEL")
					assertSame(t, fmt.Sprintf("GC at %s %d of ADD", call, n), before, b.pod.NS.Snapshot(t))
					if t.Failed() {
						t.FailNow()
					}
					if over {
						break
					}
				}
			}
		})
	}
}

// foreign is what another program does to rules, routes and links.
type foreign struct {
	name         string
	change, back []string // commands of ip
}

var foreigners = []foreign{
	{
		"a rule ahead of ours",
		[]string{"rule add from 203.0.113.144 lookup main priority 100"},
		[]string{"rule del from 203.0.113.144 lookup main priority 100"},
	},
	{
		"routes in our table",
		[]string{"route add 10.9.0.0/16 via 198.51.100.1 dev eth0 table 7300", "-6 route append default via fe80::1 dev eth0 table 7300"},
		[]string{"route del 10.9.0.0/16 via 198.51.100.1 dev eth0 table 7300", "-6 route del default via fe80::1 dev eth0 table 7300"},
	},
	{
		"a rule like ours but for the protocol",
		[]string{"rule add from 203.0.113.144 lookup 7300 priority 32765"},
		[]string{"rule del from 203.0.113.144 lookup 7300 priority 32765"},
	},
	{
		"one more default",
		[]string{"route add default via 198.51.100.9 dev eth0 metric 50", "-6 route add default via fe80::9 dev eth0 metric 50"},
		[]string{"route del default via 198.51.100.9 dev eth0 metric 50", "-6 route del default via fe80::9 dev eth0 metric 50"},
	},
	{
		"a device that is born with what conf/default is now",
		[]string{"link add late type veth peer name later"},
		[]string{"link del late"},
	},
	{"our tables emptied", []string{"route flush table 7300", "-6 route flush table 7300"}, nil},
	{"our rules deleted", []string{"rule flush protocol 73", "-6 rule flush protocol 73"}, nil},
}

// testOthersWrite changes rules and routes while ADD or DEL is at work. ADD succeeds,
// or fails and leaves nothing; DEL succeeds; and what the others made is there in any
// case.
func testOthersWrite(t *testing.T) {
	t.Parallel()
	for i, f := range foreigners {
		for j, command := range []string{"ADD", "DEL"} {
			for k, mode := range []string{"yield", "take"} {
				test := 4*i + 2*j + k
				if !chosen(test, 3) {
					continue
				}
				t.Run(fmt.Sprintf("%s during %s, %s", f.name, command, mode), func(t *testing.T) {
					t.Parallel()
					b := newBench(t, eth0, net1)
					b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
					a := b.attach(net1, netlab.Object{"rpFilter": "strict", "mainDefault": mode})
					before := b.pod.NS.Snapshot(t)
					start, stride := stops(test)
					for n := start; f.comes(t, a, command, n); n += stride {
						assertSame(t, fmt.Sprintf("%s at send %d: the pod is not what it was", command, n), before, b.pod.NS.Snapshot(t))
						assertNoFiles(t, b.dataDir)
						if t.Failed() {
							t.FailNow()
						}
					}
				})
			}
		}
	}
}

// comes lets the other program write when a command has sent a number of requests,
// and takes back what it made. It reports whether the command sends as many.
func (f foreign) comes(t *testing.T, a attachment, command string, n int) bool {
	t.Helper()
	if command == "DEL" {
		a.must(t, "ADD")
	}
	h := a.halt(t, command, "sendto", n)
	stopped := !h.over
	if stopped {
		f.do(t, a.pod.NS, f.change)
	}
	run := h.goOn()
	failure := run.Failed(t)
	if failure != nil {
		assertNothingOfOurs(t, a.pod.NS)
		if command == "DEL" {
			t.Errorf("DEL failed when others wrote after its send %d\n%v", n, run)
		}
	}
	a.must(t, "DEL")
	if stopped {
		f.do(t, a.pod.NS, f.back) // fails where it is not there any more
	}
	return stopped
}

// do runs commands of ip. A table or rules to flush need not be there.
func (f foreign) do(t *testing.T, ns *netlab.NS, commands []string) {
	t.Helper()
	for _, command := range commands {
		if _, err := ns.Command("", "ip", strings.Fields(command)...); err != nil && !strings.Contains(command, "flush") {
			t.Errorf("%s: %v", f.name, err)
		}
	}
}
