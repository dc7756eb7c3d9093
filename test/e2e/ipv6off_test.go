package e2e

import (
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// byLinkLocal is the NIC with a link-local gateway of IPv6, as routers that advertise
// themselves have.
func (n nic) byLinkLocal() nic {
	n.gateways = []string{n.gateways[0], "fe80::1"}
	return n
}

// TestDelAfterIPv6IsOff: somebody turns IPv6 off in the pod after ADD, on the NIC or on all. What
// DEL cannot bring back, for its ground is gone, is no reason to fail: a DEL that fails stops
// the chain for ever.
func TestDelAfterIPv6IsOff(t *testing.T) {
	t.Parallel()
	for _, device := range []string{"net1", "eth0", "all"} {
		for _, wish := range []string{"yield", "take"} {
			t.Run(device+", "+wish, func(t *testing.T) {
				t.Parallel()
				first, second := eth0.byLinkLocal(), net1.byLinkLocal()
				b := newBench(t, first, second)
				other := b.attach(first, nil)
				other.must(t, "ADD")
				a := b.attach(second, netlab.Object{"mainDefault": wish})
				a.must(t, "ADD")
				b.pod.NS.SetSysctl(t, "net/ipv6/conf/"+device+"/disable_ipv6=1")
				a.must(t, "DEL")
				other.must(t, "DEL")
				for _, family := range families {
					if left := b.pod.NS.IP(t, family, "rule"); strings.Contains(left, "proto 73") {
						t.Errorf("DEL left rules of ours:\n%s", left)
					}
				}
				if main := b.pod.NS.IP(t, "-4", "route", "show", "default"); !strings.Contains(main, first.gateways[0]) ||
					!strings.Contains(main, second.gateways[0]) {
					t.Errorf("main lacks a default that it had:\n%s", main)
				}
				assertNoFiles(t, b.dataDir)
			})
		}
	}
}

// TestDeadHopIsNoDefault: IPv6 was off on the NIC before ADD, and its hop of the merged default
// route stands there, dead. It is no default: the one that lives keeps main.
func TestDeadHopIsNoDefault(t *testing.T) {
	t.Parallel()
	for _, wish := range []string{"yield", "take"} {
		t.Run(wish, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			b.pod.NS.SetSysctl(t, "net/ipv6/conf/net1/disable_ipv6=1")
			before := b.pod.NS.IP(t, "-6", "route", "show", "default")
			if !strings.Contains(before, "dead") {
				t.Fatalf("there is no dead hop:\n%s", before)
			}
			a := b.attach(net1, netlab.Object{"mainDefault": wish})
			a.must(t, "ADD")
			a.must(t, "CHECK")
			if now := b.pod.NS.IP(t, "-6", "route", "show", "default"); now != before {
				t.Errorf("ADD changed the IPv6 default from\n%sto\n%s", before, now)
			}
			a.must(t, "DEL")
			if now := b.pod.NS.IP(t, "-6", "route", "show", "default"); now != before {
				t.Errorf("DEL changed the IPv6 default from\n%sto\n%s", before, now)
			}
			assertNoFiles(t, b.dataDir)
		})
	}
}
