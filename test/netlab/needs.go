package netlab

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// CompleteVariable says, when it is set, that this kernel has all that any test
// needs: then a test that misses something fails, and is not skipped. The
// guests of `make test-kernels` set it.
const CompleteVariable = "SYMROUTE_KERNEL_COMPLETE"

// NeedsLink skips the test on a kernel that has no links of a kind, which it names
// as `ip link add type` does: "vrf", "ipip".
func NeedsLink(t testing.TB, kind string) {
	t.Helper()
	probe := New(t, "probe")
	_, err := probe.Command("", "ip", "link", "add", "link", "lo", "name", "probe", "type", kind)
	// A kernel that knows the kind makes the link or wants to know more about it.
	if err != nil && strings.Contains(err.Error(), "Unknown device type") {
		lacks(t, kind)
	}
}

// NeedsIPVS skips the test on a kernel that is no LVS director.
func NeedsIPVS(t testing.TB) {
	t.Helper()
	probe := New(t, "probe")
	_, err := probe.Command("", "ipvsadm", "--list", "--numeric") // loads the module
	if err != nil && probe.Do(func() error { return unix.Access("/proc/thread-self/net/ip_vs", unix.R_OK) }) != nil {
		lacks(t, "ip_vs")
	}
}

// lacks ends a test that cannot run on this kernel.
func lacks(t testing.TB, feature string) {
	t.Helper()
	var system unix.Utsname
	if err := unix.Uname(&system); err != nil {
		t.Fatal(err)
	}
	release := unix.ByteSliceToString(system.Release[:])
	if os.Getenv(CompleteVariable) != "" {
		t.Fatalf("needs %s, which this kernel (%s) lacks: is it in test/kernels/modules?", feature, release)
	}
	t.Skipf("needs %s, which this kernel (%s) lacks; make test-kernels runs it", feature, release)
}
