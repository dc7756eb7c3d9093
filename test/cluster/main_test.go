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
	"os"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

func TestMain(m *testing.M) {
	_, err := netlab.Build()
	if err := errors.Join(sweepCgroups(), netlab.Sweep(), err); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

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
