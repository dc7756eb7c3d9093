// Package cluster runs symroute and its agent in a real Kubernetes: API server,
// controller manager, scheduler, kube-proxy, kubelet and containerd, on one node.
//
//	make test-cluster
//
// builds them and runs the tests. The node is a machine of its own (see machine),
// which the real one never notices. containerd attaches two networks to each pod,
// so that pods have several NICs without Multus.
package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/machine"
	"github.com/symroute/symroute/test/netlab"
)

func TestMain(m *testing.M) {
	var code int
	var err error
	if dir := os.Getenv(sweepVariable); dir != "" {
		code, err = 0, sweepAfter(os.Getppid(), dir)
	} else if err = prepare(); err == nil {
		code = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// prepare builds the plugins, takes away what tests left that were killed, and sees to it
// that the same is done when these end, be it by ctrl-C.
func prepare() error {
	_, err := netlab.Build()
	if err := errors.Join(sweep(), err); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "symroute-cluster-")
	if err != nil {
		return err
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return err
	}
	sweeper := exec.Command("/proc/self/exe")
	sweeper.Env = append(os.Environ(), sweepVariable+"="+dir)
	sweeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ctrl-C is not for it
	if _, err := sweeper.StdinPipe(); err != nil {
		return err
	}
	return sweeper.Start()
}

// sweepVariable names the folder for temporary files to the process that sweeps.
const sweepVariable = "SYMROUTE_CLUSTER_SWEEP"

// sweepAfter sweeps when a process has ended, which holds the other end of standard input.
func sweepAfter(parent int, dir string) error {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	var err error
	for range 600 {
		if errors.Is(unix.Kill(parent, 0), unix.ESRCH) {
			if err = errors.Join(sweep(), os.RemoveAll(dir)); err == nil {
				return nil
			}
		}
		time.Sleep(100 * time.Millisecond) // processes of the machine are still ending
	}
	return err
}

func sweep() error { return errors.Join(machine.SweepCgroups(), netlab.Sweep()) }

// patience bounds every wait for what is bound to come. It is a safety net, not part
// of any verdict: machines that are shared take many times as long as others.
const patience = 10 * time.Minute

// eventually polls until done has nothing to object to.
func eventually(t *testing.T, what string, done func() error) {
	t.Helper()
	pause := 20 * time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after %v: %s: %v", patience, what, err)
		}
		pause = min(2*pause, time.Second)
	}
}
