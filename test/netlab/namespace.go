package netlab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// runDir is where iproute2 looks for namespaces.
	runDir = "/run/netns"
	// prefix starts the name of every namespace of this package; the id of the
	// process that made it follows.
	prefix = "srt-"
)

// NS is a network namespace that lives as long as the test that made it.
type NS struct {
	// Name is what `ip netns` calls it.
	Name string
	// Path is the file that CNI_NETNS names.
	Path string
}

// count tells the namespaces of this process apart.
var count atomic.Int64

// New makes a network namespace with lo up and every setting that this package
// knows to be inherited from the machine brought to the kernel's default. Role
// ("node", "pod", "client") ends its name.
//
// IPv6 addresses are usable at once in it: duplicate address detection is off
// for all devices that come into being later. A test that wants it turns it on.
func New(t testing.TB, role string) *NS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	n := &NS{Name: fmt.Sprintf("%s%d-%d-%s", prefix, os.Getpid(), count.Add(1), role)}
	n.Path = filepath.Join(runDir, n.Name)
	if err := shareRunDir(); err != nil {
		t.Fatalf("cannot prepare %s: %v", runDir, err)
	}
	if err := onOwnThread(func() error {
		handle, err := netns.NewNamed(n.Name)
		if err != nil {
			return err
		}
		return handle.Close()
	}); err != nil {
		t.Fatalf("cannot make namespace %s: %v", n.Name, err)
	}
	t.Cleanup(func() { n.remove(t) })

	n.IP(t, "link", "set", "lo", "up")
	n.neutral(t)
	return n
}

// remove takes the namespace away; its links, rules and routes go with it. It
// may be gone already: some tests pull it away from under a plugin.
func (n *NS) remove(t testing.TB) {
	if _, err := os.Stat(n.Path); os.IsNotExist(err) {
		return
	}
	if err := netns.DeleteNamed(n.Name); err != nil {
		t.Errorf("cannot remove namespace %s: %v", n.Name, err)
	}
}

// Vanish removes the namespace before the test ends, as a runtime does whose
// sandbox died.
func (n *NS) Vanish(t testing.TB) {
	t.Helper()
	n.remove(t)
}

// Do runs f in the namespace, on a thread of its own. Sockets that f opens and
// processes that it starts stay in the namespace. F runs on another goroutine:
// it returns its error instead of calling t.Fatal.
func (n *NS) Do(f func() error) error {
	return onOwnThread(func() error {
		handle, err := netns.GetFromPath(n.Path)
		if err != nil {
			return fmt.Errorf("open namespace %s: %w", n.Name, err)
		}
		defer handle.Close()
		if err := netns.Set(handle); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.Name, err)
		}
		return f()
	})
}

// Must is Do for what cannot fail in a sound test.
func (n *NS) Must(t testing.TB, f func() error) {
	t.Helper()
	if err := n.Do(f); err != nil {
		t.Fatalf("in namespace %s: %v", n.Name, err)
	}
}

// Command runs a program in the namespace with the given standard input and
// returns its standard output.
func (n *NS) Command(stdin, name string, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := n.Do(cmd.Run); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// IP runs iproute2's ip in the namespace and returns what it prints.
func (n *NS) IP(t testing.TB, args ...string) string {
	t.Helper()
	out, err := n.Command("", "ip", args...)
	if err != nil {
		t.Fatalf("in namespace %s: %v", n.Name, err)
	}
	return out
}

// Batch runs lines of ip commands ("addr add 192.0.2.1/24 dev eth0"), as few
// processes as possible. A line that starts with "-6 " is about IPv6, where its
// arguments alone do not say so.
func (n *NS) Batch(t testing.TB, lines ...string) {
	t.Helper()
	for len(lines) > 0 {
		six := strings.HasPrefix(lines[0], "-6 ")
		size := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "-6 ") != six })
		if size < 0 {
			size = len(lines)
		}
		args := []string{"-batch", "-"}
		if six {
			args = append([]string{"-6"}, args...)
		}
		var batch strings.Builder
		for _, line := range lines[:size] {
			batch.WriteString(strings.TrimPrefix(line, "-6 ") + "\n")
		}
		if _, err := n.Command(batch.String(), "ip", args...); err != nil {
			t.Fatalf("in namespace %s: %v\n%s", n.Name, err, batch.String())
		}
		lines = lines[size:]
	}
}

// Inode identifies the namespace, whatever path leads to it.
func (n *NS) Inode(t testing.TB) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(n.Path, &st); err != nil {
		t.Fatalf("stat %s: %v", n.Path, err)
	}
	return st.Ino
}

// Alias returns a second path to the same namespace: another bind mount, as a
// runtime that keeps sandboxes elsewhere has one.
func (n *NS) Alias(t testing.TB) string {
	t.Helper()
	alias := filepath.Join(t.TempDir(), "netns")
	if err := os.WriteFile(alias, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(n.Path, alias, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("bind %s to %s: %v", n.Path, alias, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(alias, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", alias, err)
		}
	})
	return alias
}

// LinkIndex is the interface index of a link of the namespace.
func (n *NS) LinkIndex(t testing.TB, link string) int {
	t.Helper()
	return n.link(t, link).Index
}

// MAC is the hardware address of a link of the namespace.
func (n *NS) MAC(t testing.TB, link string) net.HardwareAddr {
	t.Helper()
	return n.link(t, link).HardwareAddr
}

func (n *NS) link(t testing.TB, name string) *net.Interface {
	t.Helper()
	var link *net.Interface
	n.Must(t, func() (err error) {
		link, err = net.InterfaceByName(name)
		if err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		return nil
	})
	return link
}

// onOwnThread runs f on a locked thread whose namespace f may change. The
// thread goes back to where it was, or dies.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			result <- err
			return
		}
		defer home.Close()
		defer func() {
			if netns.Set(home) == nil {
				runtime.UnlockOSThread()
			} // else: the thread ends with this goroutine
		}()
		result <- f()
	}()
	return <-result
}

// shareRunDir makes /run/netns a shared mount, as the first `ip netns add` of a
// machine does: were that to come later, it would hide our mounts under its own.
var shareRunDir = sync.OnceValue(func() error {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return err
	}
	lock, err := os.Open(runDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	share := func() error { return unix.Mount("", runDir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	if err := share(); !errors.Is(err, unix.EINVAL) { // EINVAL: not a mount point yet
		return err
	}
	if err := unix.Mount(runDir, runDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return share()
})

// Sweep removes the namespaces of earlier runs that were killed before they
// could clean up. Call it once, from TestMain.
func Sweep() error {
	entries, err := os.ReadDir(runDir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !Stale(entry.Name()) {
			continue
		}
		err := netns.DeleteNamed(entry.Name())
		if errors.Is(err, unix.EINVAL) { // its maker died before it was mounted
			err = os.Remove(filepath.Join(runDir, entry.Name()))
		}
		if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("remove stale namespace %s: %w", entry.Name(), err)
		}
	}
	return nil
}

// Stale reports whether a name is that of a namespace whose maker has died.
func Stale(name string) bool {
	rest, ours := strings.CutPrefix(name, prefix)
	id, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(id)
	return ours && err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// patience bounds every wait for something that is bound to come; it is a
// safety net, not part of any verdict.
const patience = 10 * time.Second

// longPatience is the same for what the kernel does in its own time: an emulated
// machine that shares two cores with others has little of it.
const longPatience = time.Minute

// Eventually polls until done says yes, and fails the test when it never does.
// It is for what the kernel does in its own time, such as a link coming up. It
// asks less and less often: on an emulated machine, asking is what takes time.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	pause := 5 * time.Millisecond
	for deadline := time.Now().Add(longPatience); !done(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after %v: %s", longPatience, what)
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}
