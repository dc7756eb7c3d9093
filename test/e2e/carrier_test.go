package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// answer makes the far end of a NIC the provider's gateway, and the client behind it.
func (b *bench) answer(t *testing.T, link string, p provider) {
	t.Helper()
	b.wire.Batch(t,
		"link set "+link+" up",
		fmt.Sprintf("addr replace %v/%d dev %s", p.gateway4(), p.subnet4.Bits(), link),
		fmt.Sprintf("addr replace %v/%d dev %s nodad", p.gateway6(), p.subnet6.Bits(), link),
		fmt.Sprintf("addr replace %v/32 dev lo", client4),
		fmt.Sprintf("addr replace %v/128 dev lo", client6))
	b.wire.Settle(t, link)
	b.pod.NS.Settle(t, link)
}

// assertAnswers has the client talk to addresses of the pod, and demands that both directions
// cross one NIC, and none another.
func (b *bench) assertAnswers(t *testing.T, nic string, others []string, addresses ...netip.Addr) {
	t.Helper()
	for _, address := range addresses {
		client := client4
		if address.Is6() {
			client = client6
		}
		assertByNIC(t, netlab.Client{NS: b.wire, Source: client}, b.pod, append(others, nic), nic, address)
	}
}

// unplug takes the carrier of a NIC away, and waits until the kernel has told its routes.
func (b *bench) unplug(t *testing.T, link string) {
	t.Helper()
	b.wire.IP(t, "link", "set", link, "down")
	netlab.Eventually(t, "the routes by "+link+" know that it has no carrier", func() bool {
		return strings.Contains(b.pod.NS.IP(t, "-4", "route", "show", "dev", link), "linkdown") &&
			strings.Contains(b.pod.NS.IP(t, "-6", "route", "show", "dev", link), "linkdown")
	})
}

// TestNoCarrierIsNoFault: ADD comes while the NIC has no carrier. All is set up, ADD says so, CHECK
// reports the carrier and nothing that follows from it; and as soon as it is there, packets pass.
func TestNoCarrierIsNoFault(t *testing.T) {
	t.Parallel()
	for _, ignored := range []string{"0", "1"} {
		t.Run("ignore_routes_with_linkdown="+ignored, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			pod := b.pod.NS
			b.answer(t, "net1", providerB)
			pod.SetSysctl(t,
				"net/ipv4/conf/net1/ignore_routes_with_linkdown="+ignored,
				"net/ipv6/conf/net1/ignore_routes_with_linkdown="+ignored)
			before := pod.Snapshot(t)
			b.unplug(t, "net1")

			a := b.attach(net1, netlab.Object{"rpFilter": "strict"})
			if said := string(a.must(t, "ADD").Stderr); !strings.Contains(said, "net1") || !strings.Contains(said, "no carrier") {
				t.Errorf("ADD does not note that net1 has no carrier: %q", said)
			}
			for _, family := range families {
				if got := pod.IP(t, family, "route", "show", "default", "dev", "net1"); got != "" {
					t.Errorf("net1 yields, and is in main: %s", got)
				}
			}
			failure := a.fails(t, "CHECK", "net1", "no carrier")
			assertCode(t, failure, codeMissing)
			if strings.Contains(failure.Msg, "deviations") {
				t.Errorf("CHECK blames more than the carrier: %s; %s", failure.Msg, failure.Details)
			}
			a.must(t, "ADD")

			b.answer(t, "net1", providerB)
			a.must(t, "CHECK")
			b.assertAnswers(t, "net1", []string{"eth0"}, providerB.pods()...)
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, pod.Snapshot(t))
			assertNoFiles(t, b.dataDir)
		})
	}
}

// TestDormantIsNoFault: the same of a link that has a carrier and is not to be used yet (RFC 2863).
func TestDormantIsNoFault(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	pod := b.pod.NS
	b.answer(t, "net1", providerB)
	pod.Batch(t, "link set net1 mode dormant", "link set net1 state dormant")
	a := b.attach(net1, nil)
	if said := string(a.must(t, "ADD").Stderr); !strings.Contains(said, "dormant") {
		t.Errorf("ADD does not note that net1 is dormant: %q", said)
	}
	assertCode(t, a.fails(t, "CHECK", "net1", "dormant"), codeMissing)
	pod.Batch(t, "link set net1 mode default", "link set net1 state up")
	a.must(t, "CHECK")
	b.assertAnswers(t, "net1", []string{"eth0"}, providerB.pods()...)
}

// TestCarrierDoesNotChangeTheOwner: the NIC that owns main loses its carrier, and another attachment comes
// and goes. Who owns main does not change by that.
func TestCarrierDoesNotChangeTheOwner(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	pod := b.pod.NS
	first, second := b.attach(eth0, nil), b.attach(net1, nil)
	first.must(t, "ADD")
	b.plug(t, net1)
	second.must(t, "ADD")
	want := pod.Snapshot(t)
	b.unplug(t, "eth0")
	second.must(t, "ADD")
	if got := pod.IP(t, "route", "show", "default", "dev", "net1"); got != "" {
		t.Errorf("net1 has taken main: %s", got)
	}
	second.must(t, "CHECK")
	second.must(t, "DEL")
	second.must(t, "ADD")
	b.wire.IP(t, "link", "set", "eth0", "up")
	pod.Settle(t, "eth0")
	assertSame(t, "a carrier that was lost meanwhile changed the pod", want.Sorted(), pod.Snapshot(t).Sorted())
	first.must(t, "CHECK")
	second.must(t, "CHECK")
}

// TestFailedNeighbourIsNoFault: the gateway does not answer. Routing is as it should be all the
// same.
func TestFailedNeighbourIsNoFault(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	pod := b.pod.NS
	fail := func() {
		for _, gateway := range net1.gateways {
			pod.IP(t, "neigh", "replace", gateway, "dev", "net1", "nud", "failed")
		}
	}
	fail()
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	fail()
	a.must(t, "CHECK")
	a.must(t, "ADD")
}
