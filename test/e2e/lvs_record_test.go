package e2e

import (
	"os"
	"strings"
	"testing"
)

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
