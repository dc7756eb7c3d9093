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
		assertCode(t, wide.fails(t, "CHECK", taken, "net2"), codeForeign)
		wide.must(t, "DEL")
		assertSame(t, "ADDs and DELs changed the pod", before, b.pod.NS.Snapshot(t))
	})
}

// TestKilledInsidePrefix kills DEL, at one request to the kernel after the other, of a NIC
// whose address lies in another's prefix. What has nothing to do with it sends as before at
// every moment: another NIC, and the prefix's own. The next DEL takes back the rest.
func TestKilledInsidePrefix(t *testing.T) {
	t.Parallel()
	inside := newProvider("d", "203.0.113.200/32", "2001:db8:b::200/128").nic("net3").withoutDefaults()
	inside.gateways = []string{"169.254.1.1", "fe80::1"}
	b := newBench(t, net1, net2, inside)
	b.pod.NS.IP(t, "link", "set", "net3", "down") // its addresses are not there yet when the prefix comes
	b.pod.NS.IP(t, "addr", "flush", "dev", "net3")
	b.attach(net1, netlab.Object{"sources": []string{"203.0.113.0/24", "2001:db8:b::/64"}}).must(t, "ADD")
	bystander := b.attach(net2, nil)
	bystander.must(t, "ADD")
	b.pod.NS.Batch(t, "link set net3 up", netlab.Address(inside.addresses[0], "net3"), netlab.Address(inside.addresses[1], "net3"))
	b.pod.NS.Settle(t, "net3")
	before := b.pod.NS.Snapshot(t)

	a := b.attach(inside, nil)
	kills := 0
	for place, alive := 1, false; !alive; place += killStride() {
		a.must(t, "ADD")
		alive = !a.strike(t, "DEL", fault{"sendto", place, killed}).wasKilled()
		if !alive {
			kills++
		}
		for _, to := range clients {
			assertRoute(t, b.pod.NS, "net2", providerC.gateway(to), to, "from", providerC.pod(to).String())
			assertRoute(t, b.pod.NS, "net1", providerB.gateway(to), to, "from", providerB.pod(to).String())
		}
		a.must(t, "DEL")
		if diff := before.Diff(b.pod.NS.Snapshot(t)); diff != "" {
			t.Fatalf("DEL was killed at request %d, and the next left something (-before +after):\n%s", place, diff)
		}
	}
	if kills == 0 {
		t.Error("DEL was never killed: this test showed nothing")
	}
	bystander.must(t, "CHECK")
}

// killStride is how many requests there are from one kill to the next.
func killStride() int {
	if testing.Short() {
		return 5
	}
	return 1
}
