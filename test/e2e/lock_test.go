package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// holder is an invocation that has the lock of a pod and stands still.
type holder struct {
	*halted
	path string // of the lock's file
	lock uint64 // its inode
}

// holdLock has an invocation stop that has just got the lock of the attachment's pod: a DEL
// that has nothing to do.
func (a attachment) holdLock(t *testing.T) holder {
	t.Helper()
	a.containerID = "holder-of-the-lock"
	h := a.halt(t, "DEL", "flock", 1)
	if h.over {
		t.Fatalf("DEL took no lock\n%v", h.goOn())
	}
	path, inode := h.lockFile()
	return holder{h, path, inode}
}

// lockFile finds the lock that a run which stands still has open.
func (h *halted) lockFile() (path string, inode uint64) {
	h.t.Helper()
	opened, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", h.thread()))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, fd := range opened {
		path, err := os.Readlink(fd)
		if err != nil || !strings.HasSuffix(path, ".lock") {
			continue
		}
		var file unix.Stat_t
		if err := unix.Stat(fd, &file); err != nil {
			h.t.Fatal(err)
		}
		return path, file.Ino
	}
	h.t.Fatalf("no lock among %v", opened)
	return "", 0
}

// TestOneAtATime has an invocation hold the lock of a pod, and lets ADD come meanwhile, of the
// same network or of one that remembers elsewhere: it waits, and touches nothing.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	for name, dataDir := range map[string]string{"one dataDir": "", "another dataDir": filepath.Join(t.TempDir(), "another")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0)
			a := b.attach(eth0, nil)
			holder := a.holdLock(t)
			if dataDir != "" {
				a = a.with("dataDir", dataDir)
			}
			done := make(chan netlab.Invocation, 1)
			go func() { done <- a.run(t, "ADD") }()
			netlab.Eventually(t, "ADD waits for the lock", func() bool {
				return len(done) > 0 || someoneWaits(t, holder.lock)
			})
			assertNothingOfOurs(t, b.pod.NS)
			if len(done) > 0 {
				assertCode(t, (<-done).Failed(t), codeTryAgain) // it lost patience, which is allowed
				return
			}
			holder.goOn()
			if call := <-done; call.ExitCode != 0 {
				t.Errorf("ADD failed\n%v", call)
			}
			a.must(t, "CHECK")
			a.must(t, "DEL")
			assertNothingOfOurs(t, b.pod.NS)
		})
	}
}

// TestReadersTogether has two CHECKs at work at the same time.
func TestReadersTogether(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, nil)
	a.must(t, "ADD")
	first := a.halt(t, "CHECK", "flock", 1)
	a.must(t, "CHECK")
	if call := first.goOn(); call.ExitCode != 0 {
		t.Errorf("CHECK failed\n%v", call)
	}
}

// TestLockInOwnDataDir has a node on which the place of locks cannot be written: invocations
// with one dataDir exclude one another all the same.
func TestLockInOwnDataDir(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	before := b.pod.NS.Snapshot(t)
	a := b.attach(eth0, nil)
	readOnly := []string{
		"unshare", "--mount", "sh", "-c",
		`mkdir -p /run/cni && mount -t tmpfs -o ro none /run/cni && exec "$0" "$@"`,
	}
	run := func(verb string) netlab.Invocation {
		call := a.under(t, readOnly, verb)
		if call.ExitCode != 0 {
			t.Errorf("%s failed\n%v", verb, call)
		}
		return call
	}
	run("ADD")
	locks := slices.DeleteFunc(files(t, b.dataDir), func(name string) bool { return !strings.HasSuffix(name, ".lock") })
	if len(locks) != 1 {
		t.Fatalf("locks in dataDir: %v", locks)
	}
	lock, err := os.Open(locks[0])
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	var file unix.Stat_t
	if err := unix.Fstat(int(lock.Fd()), &file); err != nil {
		t.Fatal(err)
	}
	done := make(chan netlab.Invocation, 1)
	go func() { done <- run("CHECK") }()
	netlab.Eventually(t, "CHECK waits for the lock", func() bool { return len(done) > 0 || someoneWaits(t, file.Ino) })
	if len(done) > 0 {
		t.Error("CHECK did not wait for the lock")
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	<-done
	run("DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
	assertNoFiles(t, b.dataDir)
}

// TestLockOfOthers has somebody lock the pod's namespace itself, which any process of the pod
// and any user of the node can: it delays nobody. The lock that counts is out of their reach.
func TestLockOfOthers(t *testing.T) {
	t.Parallel()
	unprivileged := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"}
	for name, test := range map[string]struct {
		wrapper []string
		inPod   bool
	}{
		"a process of the pod":             {inPod: true},
		"an unprivileged user of the node": {wrapper: unprivileged},
		"an unprivileged one of the pod":   {wrapper: unprivileged, inPod: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			before := b.pod.NS.Snapshot(t)
			path, where := b.pod.NS.Path, b.node
			if test.inPod {
				path, where = "/proc/self/ns/net", b.pod.NS
			}
			lockAs(t, test.wrapper, where, path, b.pod.NS)
			a := b.attach(net1, nil)
			for _, verb := range []string{"ADD", "CHECK", "ADD"} {
				a.must(t, verb)
			}
			holder := a.holdLock(t)
			for _, program := range [][]string{{"flock", "--nonblock", holder.path, "true"}, {"ls", filepath.Dir(holder.path)}} {
				argv := slices.Concat(unprivileged, program)
				if out, err := b.node.Command("", argv[0], argv[1:]...); err == nil || !strings.Contains(err.Error(), "Permission denied") {
					t.Errorf("%v, by an unprivileged user: %v\n%s", program, err, out)
				}
			}
			holder.goOn()
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}
}

// lockAs has a process in one namespace, which a wrapper starts, lock a file that is the
// pod's namespace, until the test ends.
func lockAs(t *testing.T, wrapper []string, where *netlab.NS, path string, pod *netlab.NS) {
	t.Helper()
	argv := slices.Concat(wrapper, []string{"flock", "--exclusive", "--no-fork", path, "sleep", "infinity"})
	process := exec.Command(argv[0], argv[1:]...)
	where.Must(t, process.Start)
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	file, err := os.Open(pod.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	netlab.Eventually(t, "the namespace is locked", func() bool {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			err = unix.Flock(int(file.Fd()), unix.LOCK_UN)
		}
		return errors.Is(err, unix.EWOULDBLOCK)
	})
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
