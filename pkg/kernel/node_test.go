package kernel

import (
	"net/netip"
	"testing"
)

// TestAddressOfNode asks the node, before and after the thread has entered a pod.
func TestAddressOfNode(t *testing.T) {
	inPod := netip.MustParseAddr("203.0.113.77")
	ask := func() {
		t.Helper()
		for _, loopback := range []string{"127.0.0.1", "::1"} {
			if got := AddressOfNode(netip.MustParseAddr(loopback)); got.String() != loopback {
				t.Errorf("to %s: from %v", loopback, got)
			}
		}
		if got := AddressOfNode(inPod); got == inPod {
			t.Errorf("to %v, which the pod alone has: from %v: the pod was asked", inPod, got)
		}
	}
	ask()
	newNetns(t, "addr add 203.0.113.77/32 dev lo").enter(t)
	ask()
	if got := sourceTo(inPod); got != inPod {
		t.Errorf("this thread has not entered the pod: to %v from %v", inPod, got)
	}
}
