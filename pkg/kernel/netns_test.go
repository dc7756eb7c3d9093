package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// netns is a network namespace that lives as long as its test. A thread holds
// it, no mount and no name: nothing is left of it however the process ends.
type testNS struct {
	path string
	work chan func()
}

// newNetns makes a network namespace with lo up, and brings it to the kernel's
// own defaults where they are inherited from the machine. IPv6 addresses are
// usable in it at once.
func newNetns(t testing.TB, setup ...string) *testNS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	n := &testNS{work: make(chan func())}
	ready := make(chan error)
	go n.hold(ready)
	if err := <-ready; err != nil {
		t.Fatalf("cannot make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.work) })
	for _, device := range []string{"all", "default", "lo"} {
		for _, key := range []string{"rp_filter", "arp_ignore", "arp_announce", "arp_filter"} {
			n.set(t, 0, "ipv4/conf", device, key)
		}
		n.set(t, 0, "ipv6/conf", device, "accept_dad")
		n.set(t, 0, "ipv6/conf", device, "disable_ipv6")
	}
	n.set(t, 0, "ipv6/conf/default/accept_ra")
	n.ip(t, append([]string{"link set dev lo up"}, setup...)...)
	return n
}

// hold keeps a thread in the namespace. The thread ends with the goroutine, for
// it is never unlocked.
func (n *testNS) hold(ready chan<- error) {
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNET)
	n.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
	ready <- err
	for f := range n.work {
		f()
	}
}

// do runs f in the namespace; what it starts stays there. f must not call
// t.Fatal, for it runs on another goroutine.
func (n *testNS) do(f func() error) error {
	result := make(chan error)
	n.work <- func() { result <- f() }
	return <-result
}

// ip runs lines of ip commands ("addr add 192.0.2.1/24 dev eth0"). A line that
// begins with "-6" is about IPv6; others find out by themselves. Addresses are
// usable before the line behind them is run.
func (n *testNS) ip(t testing.TB, lines ...string) {
	t.Helper()
	for len(lines) > 0 {
		v6, addresses := isIPv6(lines[0]), isAddress(lines[0])
		end := slices.IndexFunc(lines, func(l string) bool { return isIPv6(l) != v6 || isAddress(l) != addresses })
		if end < 0 {
			end = len(lines)
		}
		args := []string{"-batch", "-"}
		if v6 {
			args = []string{"-6", "-batch", "-"}
		}
		batch := strings.ReplaceAll(strings.Join(lines[:end], "\n"), "-6 ", "")
		if out, err := n.output(batch, args...); err != nil {
			t.Fatalf("%v\n%s\n%s", err, batch, out)
		}
		if addresses {
			n.settle(t)
		}
		lines = lines[end:]
	}
}

func isIPv6(line string) bool    { return strings.HasPrefix(line, "-6 ") }
func isAddress(line string) bool { return strings.HasPrefix(line, "addr ") }

// settle waits until the cables have their link-local addresses, with the routes of these, and
// no IPv6 address is tentative. The kernel sees to that in the background.
func (n *testNS) settle(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !n.hasLinkLocals(t) || n.show(t, "-6", "addr", "show", "tentative") != ""; {
		if time.Now().After(deadline) {
			t.Fatal("IPv6 addresses are missing or stay tentative")
		}
	}
}

func (n *testNS) hasLinkLocals(t testing.TB) bool {
	t.Helper()
	addresses := n.show(t, "-6", "addr", "show", "scope", "link")
	for line := range strings.Lines(n.show(t, "-brief", "link", "show", "up", "type", "veth")) {
		name, _, _ := strings.Cut(line, "@")
		if strings.Contains(line, "LOWER_UP") && !strings.Contains(addresses, ": "+name+"@") {
			return false
		}
	}
	return true
}

// show runs one ip command and returns what it prints.
func (n *testNS) show(t testing.TB, args ...string) string {
	t.Helper()
	out, err := n.output("", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (n *testNS) output(stdin string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("ip", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := n.do(cmd.Run); err != nil {
		return stdout.String(), fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// set writes a setting below /proc/sys/net.
func (n *testNS) set(t testing.TB, value int, path ...string) {
	t.Helper()
	file := filepath.Join(append([]string{"/proc/sys/net"}, path...)...)
	if err := n.do(func() error { return os.WriteFile(file, []byte(strconv.Itoa(value)), 0) }); err != nil {
		t.Fatal(err)
	}
}

func (n *testNS) get(t testing.TB, path ...string) int {
	t.Helper()
	file := filepath.Join(append([]string{"/proc/sys/net"}, path...)...)
	var b []byte
	err := n.do(func() (err error) {
		b, err = os.ReadFile(file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// enter enters the namespace for the rest of the test. As it moves the thread of
// the calling goroutine, each subtest has to enter by itself.
func (n *testNS) enter(t testing.TB) *Namespace {
	t.Helper()
	ns, err := Enter(n.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	return ns
}

// twoNICs is a pod with two NICs and, for the want of a peer elsewhere, the
// other ends of their cables.
var twoNICs = []string{
	"link add eth0 type veth peer name far0",
	"link add net1 type veth peer name far1",
	"link set dev far0 up",
	"link set dev far1 up",
	"link set dev eth0 up",
	"link set dev net1 up",
	"addr add 10.1.0.2/24 dev eth0",
	"addr add 10.2.0.2/24 dev net1",
	"addr add 2001:db8:1::2/64 dev eth0",
	"addr add 2001:db8:2::2/64 dev net1",
}

// routing is everything that iproute2 shows of the routing, as text, but for
// IPv6's local table, which the kernel fills in the background.
func (n *testNS) routing(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, family := range []string{"-4", "-6"} {
		fmt.Fprintf(&b, "# ip %s rule\n%s", family, n.show(t, "-details", family, "rule", "show"))
		fmt.Fprintf(&b, "# ip %s route\n%s", family, constant(n.show(t, "-details", family, "route", "show", "table", "all"), family == "-6"))
	}
	return b.String()
}

// constant removes from a list of routes what changes by itself.
func constant(text string, v6 bool) string {
	var out []string
	for line := range strings.Lines(text) {
		if v6 && strings.Contains(line, " table local ") {
			continue
		}
		words := strings.Fields(line)
		for i, w := range words {
			if i > 0 && words[i-1] == "expires" {
				words[i] = strings.TrimLeft(w, "0123456789")
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return strings.Join(out, "\n") + "\n"
}

// errno is the kernel's number in an error; 0: there is none.
func errno(err error) unix.Errno {
	e, _ := errors.AsType[unix.Errno](err)
	return e
}

func keep[T any](list []T, want func(T) bool) []T {
	var out []T
	for _, x := range list {
		if want(x) {
			out = append(out, x)
		}
	}
	return out
}
