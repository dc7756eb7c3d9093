package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// besideB is a second NIC of the pod in the network of provider B.
var besideB = newProvider("b", "203.0.113.145/24", "2001:db8:b::145/64")

// prefixes hold all of the addresses of both NICs there, and more.
var prefixes = []string{"203.0.113.128/25", "2001:db8:b::/64"}

// TestPrefixBesideAddresses gives one NIC prefixes that hold the addresses of
// another. Those stay the other's: the more specific source decides, whoever
// comes or goes first.
func TestPrefixBesideAddresses(t *testing.T) {
	t.Parallel()
	for _, prefixFirst := range []bool{true, false} {
		for _, prefixLeavesFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("prefix comes first: %t, leaves first: %t", prefixFirst, prefixLeavesFirst), func(t *testing.T) {
				t.Parallel()
				testPrefixBesideAddresses(t, prefixFirst, prefixLeavesFirst)
			})
		}
	}
}

func testPrefixBesideAddresses(t *testing.T, prefixFirst, prefixLeavesFirst bool) {
	s := newSite(t, providerB)
	pod := netlab.NewPod(t)
	before := pod.NS.Snapshot(t)
	// member is an attachment, with the addresses that are its NIC's.
	type member struct {
		list      netlab.Conflist
		nic       string
		addresses []netip.Addr
		configure []string // addresses that come after ADD
	}
	wide := member{
		list:      s.chained(providerB, netlab.Object{"arp": "isolate", "rpFilter": "strict", "sources": prefixes}),
		nic:       "net1",
		addresses: append(providerB.pods(), netip.MustParseAddr("203.0.113.200"), netip.MustParseAddr("2001:db8:b::aaaa")),
		configure: []string{netlab.Address("203.0.113.200/32", "net1"), netlab.Address("2001:db8:b::aaaa/64", "net1")},
	}
	specific := member{
		list: netlab.NewConflist("beside", cniVersion,
			netlab.BridgePlugin(besideB.bridge(), besideB.hostLocal(t.TempDir(), defaults...)),
			s.symroute(netlab.Object{"arp": "isolate", "rpFilter": "strict"})),
		nic:       "net2",
		addresses: besideB.pods(),
	}
	present := []member{wide, specific}
	if !prefixFirst {
		slices.Reverse(present)
	}
	for _, m := range present {
		s.runtime.MustAdd(t, m.list, pod, m.nic)
		pod.NS.Batch(t, m.configure...)
		pod.NS.Settle(t, m.nic)
	}
	work := func(present ...member) {
		t.Helper()
		var nics []string
		for _, m := range present {
			nics = append(nics, m.nic)
		}
		for _, m := range present {
			for _, address := range m.addresses {
				assertByNIC(t, netlab.Client{NS: s.client}, pod, nics, m.nic, address)
			}
			s.runtime.MustCheck(t, m.list, pod, m.nic)
		}
	}
	work(wide, specific)
	leaving, staying := wide, specific
	if !prefixLeavesFirst {
		leaving, staying = staying, leaving
	}
	s.runtime.MustDel(t, leaving.list, pod, leaving.nic)
	work(staying)
	s.runtime.MustDel(t, staying.list, pod, staying.nic)
	assertSame(t, "ADDs and DELs changed the pod", before, pod.NS.Snapshot(t))
	assertNoFiles(t, s.dataDir)
}

// TestPrefixWithoutGuard has prefixes that hold addresses of a NIC which symroute
// does not look after: they would take its traffic away.
func TestPrefixWithoutGuard(t *testing.T) {
	t.Parallel()
	const taken = "203.0.113.145"
	neighbour := besideB.nic("net2")
	keys := netlab.Object{"sources": prefixes}
	t.Run("ADD refuses", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, net1, neighbour)
		assertCode(t, b.attach(net1, keys).fails(t, "ADD", taken, "net2"), codeState)
		assertNoFiles(t, b.dataDir)
	})
	t.Run("CHECK says when the guard has gone and its NIC stays", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, net1, neighbour)
		before := b.pod.NS.Snapshot(t)
		guard, wide := b.attach(neighbour, nil), b.attach(net1, keys)
		guard.must(t, "ADD")
		wide.must(t, "ADD")
		wide.must(t, "CHECK")
		guard.must(t, "DEL")
		assertCode(t, wide.fails(t, "CHECK", taken, "net2"), codeState)
		wide.must(t, "DEL")
		assertSame(t, "ADDs and DELs changed the pod", before, b.pod.NS.Snapshot(t))
	})
}
