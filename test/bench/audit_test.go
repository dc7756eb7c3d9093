package bench

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// An audit is one run of symroutectl that checks all attachments of a node, and of half of it: whether
// twice as many take twice as long.
const (
	auditName    = "symroutectl check, 200 pods, 4 NICs each"
	packageOfCtl = "github.com/symroute/symroute/cmd/symroutectl"
	auditWhole   = fleetPods * fleetNICs
	auditHalf    = auditWhole / 2
	auditRounds  = 20
)

// audits attaches a fleet, the halves with records in directories of their own, and checks it.
func (b *bench) audits(t *testing.T) {
	t.Helper()
	ctl := buildGo(t, t.TempDir(), "symroutectl", packageOfCtl)
	pods := b.bare(t, fleetPods)
	var dirs []string
	for i, name := range []string{"audit-a", "audit-b"} {
		half := roster{paths: b.paths, dataDir: filepath.Join(b.dataDir, name)}
		b.attachFleet(t, half.symroute(shape{addresses: 1}), pods[i*fleetPods/2:(i+1)*fleetPods/2])
		dirs = append(dirs, half.dataDir)
	}
	for range auditRounds {
		b.audited[auditHalf] = append(b.audited[auditHalf], runAudit(t, ctl, auditHalf, dirs[:1]))
		b.audited[auditWhole] = append(b.audited[auditWhole], runAudit(t, ctl, auditWhole, dirs))
	}
	b.remove(t, pods)
	b.printAudits()
}

func (b *bench) attachFleet(t *testing.T, c contestant, pods []*netlab.NS) {
	t.Helper()
	for number := range fleetNICs {
		b.plug(t, pods, c.shape.nic(number+1))
	}
	if err := spread(pods, func(pod *netlab.NS) error { return attachAll(c, pod) }); err != nil {
		t.Fatal(err)
	}
}

// runAudit checks all attachments that are remembered in directories, which have to be so many, and symmetric.
func runAudit(t *testing.T, ctl string, count int, dirs []string) measurement {
	t.Helper()
	args := []string{"check", "-A"}
	for _, dir := range dirs {
		args = append(args, "--data-dir", dir)
	}
	cmd := exec.Command(ctl, args...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	want := fmt.Sprintf("OK: %d attachments of %d pods are symmetric\n", count, count/fleetNICs)
	if err != nil || !bytes.Equal(out, []byte(want)) {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return measurement{wall: took, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
}

func (f figures) printAudits() {
	lines := table{{"attachments", "ms", "quartiles", "CPU time, ms", "CPU time of each, µs"}}
	for _, count := range []int{auditHalf, auditWhole} {
		taken := f.audited[count]
		lines.add(fmt.Sprint(count),
			fmt.Sprintf("%.0f", taken.median(wall)),
			fmt.Sprintf("%.0f to %.0f", taken.quartile(1, wall), taken.quartile(3, wall)),
			fmt.Sprintf("%.0f", taken.median(cpu)),
			fmt.Sprintf("%.0f", taken.median(cpu)*1000/float64(count)))
	}
	section(fmt.Sprintf("%s: %d rounds", auditName, len(f.audited[auditWhole])), lines)
}

// auditSeconds is what it takes to check the whole node.
func auditSeconds(f figures, of quantity) (seconds float64, measured bool) {
	if len(f.audited[auditWhole]) == 0 {
		return 0, false
	}
	return f.audited[auditWhole].median(of) / 1000, true
}

// auditGrowth is what it takes to check the whole node as a part of twice what half of it does.
func auditGrowth(f figures, of quantity) (ratio float64, measured bool) {
	if len(f.audited[auditWhole]) == 0 {
		return 0, false
	}
	return f.audited[auditWhole].median(of) / (2 * f.audited[auditHalf].median(of)), true
}
