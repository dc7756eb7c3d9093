package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// This file is what symroutectl does in a way of each kernel. Everything else of it is in test/ctl.

// tool runs symroutectl and returns what it printed on both.
func tool(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.Command(filepath.Join(netlab.BinDir(t), "symroutectl"), args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errs.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

// TestDropReasons: the kernel's own reason for what the reverse-path filter drops; on one that gives none (before 5.17) the
// tool says so, and shows the counter.
func TestDropReasons(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1.withoutDefaults())
	b.answer(t, "net1", providerB)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/net1/rp_filter=1")
	cmd := exec.Command(filepath.Join(netlab.BinDir(t), "symroutectl"), "drops", "--netns", b.pod.NS.Path)
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var said strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), ": watching") {
			break
		}
	}
	if !strings.Contains(said.String(), ": watching") {
		t.Fatalf("it does not watch: %s", said.String())
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	// The client's address is no neighbour: the frame is forged, as a router would send it.
	b.wire.Inject(t, "net1", netlab.Frame{
		Src: netip.AddrPortFrom(client4, 7), Dst: netip.AddrPortFrom(providerB.pod4, 9), DstMAC: b.pod.NS.MAC(t, "net1"),
	})
	netlab.Eventually(t, "the filter has dropped it", func() bool { return b.pod.NS.ReversePathDrops(t) > 0 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its code is looked at
	want := "IP_RPFILTER on net1: udp 192.0.2.7:7 > 203.0.113.144:9"
	if strings.Contains(said.String(), "this kernel gives no reasons for drops, which needs Linux 5.17") {
		want = "TcpExtIPReversePathFilter"
	}
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(out.String(), want) {
		t.Errorf("exit code %d, want 1; want %q in\n%s%s", code, want, said.String(), out.String())
	}
}

// TestExplainInVRF: a NIC in a VRF, whose table has no default. What that has no route for goes on to main.
func TestExplainInVRF(t *testing.T) {
	t.Parallel()
	netlab.NeedsLink(t, "vrf")
	b := newBench(t, eth0, net1.withoutDefaults())
	b.pod.NS.Batch(t, "link add blue type vrf table 10", "link set blue up", "link set net1 master blue")
	stdout, stderr, code := tool(t, "explain", "--netns", b.pod.NS.Path, "--from", client4.String(), "--to", providerB.pod4.String())
	for _, want := range []string{
		"net1 belongs to the VRF blue: its table 10 decides", "BROKEN: The reply to 192.0.2.7 leaves by eth0, but what comes for 203.0.113.144 comes by net1.",
		"Give the table of the VRF blue a way there: ip route add default via GATEWAY dev net1 table 10.",
	} {
		if !strings.Contains(stdout, want) || code != 1 {
			t.Errorf("exit code %d, want 1; want %q in\n%s%s", code, want, stdout, stderr)
		}
	}
}
