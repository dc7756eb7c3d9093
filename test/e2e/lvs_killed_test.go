package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestLVSEveryStepCanFail lets one message to the kernel fail after the other while
// ADD makes a real server: what it did before is undone. (With -short: every fifth.)
func TestLVSEveryStepCanFail(t *testing.T) {
	t.Parallel()
	b, a := lvsFaultBench(t)
	before := b.pod.NS.Snapshot(t)
	failures := 0
	forEveryStep(t, func(step int) bool {
		call := traced(t, a, "ADD", "sendto:error=ENOBUFS", step*lvsStride())
		if call.ExitCode == 0 {
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			return false
		}
		failures++
		if diff := before.Diff(b.pod.NS.Snapshot(t)); diff != "" {
			t.Fatalf("ADD failed at step %d and left something (-before +after):\n%s\n%v", step*lvsStride(), diff, call)
		}
		return true
	})
	if failures == 0 {
		t.Error("no step failed: this test showed nothing")
	}
	assertNoFiles(t, b.dataDir)
}

// TestLVSKilled kills ADD and DEL at one message to the kernel after the other. The
// next DEL leaves nothing. (With -short: at every fifth.)
func TestLVSKilled(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"ADD", "DEL"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			b, a := lvsFaultBench(t)
			before := b.pod.NS.Snapshot(t)
			kills := 0
			forEveryStep(t, func(step int) bool {
				if command == "DEL" {
					a.must(t, "ADD")
				}
				killed := traced(t, a, command, "sendto:signal=KILL", step*lvsStride()).ExitCode != 0
				if killed {
					kills++
				}
				a.must(t, "DEL")
				if diff := before.Diff(b.pod.NS.Snapshot(t)); diff != "" {
					t.Fatalf("%s was killed at step %d, and the next DEL left something (-before +after):\n%s", command, step*lvsStride(), diff)
				}
				return killed
			})
			if kills == 0 {
				t.Error("nothing was ever killed: this test showed nothing")
			}
			assertNoFiles(t, b.dataDir)
		})
	}
}

// lvsStride is how many steps there are from one trial to the next.
func lvsStride() int {
	if testing.Short() {
		return 5
	}
	return 1
}

// lvsFaultBench is a pod with a real server to be, behind tunnels if the kernel has
// them, for then there is more to do. Its strict mode lowers that of all.
func lvsFaultBench(t *testing.T) (*bench, attachment) {
	t.Helper()
	mode := "dr"
	if _, err := netlab.NewPod(t).NS.Command("", "ip", "link", "show", "tunl0"); err == nil {
		mode = "tunnel"
	}
	t.Logf("mode %s", mode)
	b := lvsBench(t, mode)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	return b, b.attach(net1.withoutDefaults(), lvsKeys(mode, netlab.Object{"rpFilter": "strict"}))
}

// TestLVSRecordGone loses what is remembered of a real server. DEL removes rules and
// routes all the same, and VIPs where the kernel knows whose they are (IFA_PROTO, from
// Linux 5.18 on). It says what it cannot know about.
func TestLVSRecordGone(t *testing.T) {
	t.Parallel()
	for _, mode := range lvsModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := lvsBench(t, mode)
			a := b.attach(net1.withoutDefaults(), lvsKeys(mode, nil))
			a.must(t, "ADD")
			if err := os.RemoveAll(b.dataDir); err != nil {
				t.Fatal(err)
			}
			call := a.must(t, "DEL")
			assertNothingOfOurs(t, b.pod.NS)
			assertNoFiles(t, b.dataDir)
			left := b.pod.NS.Snapshot(t)
			for _, vip := range vips {
				if lines := left.Grep(vip.String()); len(lines) > 0 && !strings.Contains(string(call.Stderr), vip.String()) {
					t.Errorf("%v stays, and standard error does not say so: %q\n%s", vip, call.Stderr, strings.Join(lines, "\n"))
				}
			}
			if !strings.Contains(string(call.Stderr), "settings") {
				t.Errorf("standard error does not say that settings stay: %q", call.Stderr)
			}
		})
	}
}
