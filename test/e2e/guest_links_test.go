package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// vrfBench is a pod with a VRF, whose table is of the test's choice, and NICs
// that are enslaved to it.
func vrfBench(t *testing.T, table string, enslaved ...nic) *bench {
	t.Helper()
	netlab.NeedsLink(t, "vrf")
	b := newBench(t, append([]nic{eth0}, enslaved...)...)
	b.pod.NS.Batch(t, "link add blue type vrf table "+table, "link set blue up")
	for _, n := range enslaved {
		b.enslave(t, n)
	}
	return b
}

// enslave puts a NIC into the VRF, whose table gets the NIC's routes.
func (b *bench) enslave(t *testing.T, n nic) {
	t.Helper()
	b.pod.NS.Batch(t, "link set "+n.name+" master blue")
	netlab.Eventually(t, n.name+" is ready in its VRF", func() bool {
		return strings.Contains(b.pod.NS.IP(t, "-6", "route", "show", "vrf", "blue"), "fe80::/64 dev "+n.name)
	})
}

// TestNICInVRF has a NIC that is enslaved to a VRF: its table decides, and not
// ours. All that symroute can do for it is rp_filter.
func TestNICInVRF(t *testing.T) {
	t.Parallel()
	t.Run("ADD says so and changes nothing", func(t *testing.T) {
		t.Parallel()
		b := vrfBench(t, "100", net1)
		a := b.attach(net1, nil)
		assertCode(t, a.fails(t, "ADD", "net1", "VRF blue", "100"), codeState)
		assertNoFiles(t, b.dataDir)
		before := b.pod.NS.Snapshot(t)
		a.must(t, "DEL")
		assertSame(t, "DEL changed the pod", before, b.pod.NS.Snapshot(t))
	})
	t.Run("rpFilter alone works", func(t *testing.T) {
		t.Parallel()
		n := nic{name: "net1"}
		b := vrfBench(t, "100", n)
		b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
		before := b.pod.NS.Snapshot(t)
		a := b.attach(n, netlab.Object{"rpFilter": "strict"})
		a.must(t, "ADD")
		assertNothingOfOurs(t, b.pod.NS)
		assertEffective(t, b.pod.NS, "net1", "1")
		assertEffective(t, b.pod.NS, "blue", "2")
		a.must(t, "CHECK")
		a.must(t, "DEL")
		assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		assertNoFiles(t, b.dataDir)
	})
	t.Run("enslaved after ADD: CHECK says so, DEL takes everything back", func(t *testing.T) {
		t.Parallel()
		b := vrfBench(t, "100")
		b.plug(t, net1)
		a := b.attach(net1, nil)
		a.must(t, "ADD")
		b.enslave(t, net1)
		assertCode(t, a.fails(t, "CHECK", "net1"), slices.Concat(deviations, []uint{codeState})...)
		a.must(t, "DEL")
		assertNothingOfOurs(t, b.pod.NS)
		assertNoFiles(t, b.dataDir)
	})
}

// TestVRFBeside has VRFs in the pod that take the numbers of our first tables, one
// of them empty, and a NIC of their own. The other NICs get what they get without.
func TestVRFBeside(t *testing.T) {
	t.Parallel()
	b := vrfBench(t, "7300", net2)
	b.pod.NS.Batch(t, "link add red type vrf table 7301")
	b.plug(t, net1)
	before := b.pod.NS.Snapshot(t)
	a := b.attach(net1, netlab.Object{"rpFilter": "strict"})
	a.must(t, "ADD")
	a.must(t, "CHECK")
	for i, remote := range clients {
		assertRoute(t, b.pod.NS, "net1", providerB.gateway(remote), remote, "from", providerB.pods()[i].String())
	}
	for _, rule := range ourRules(t, b.pod.NS, "-4") {
		if strings.Contains(rule, "lookup") && !strings.Contains(rule, "lookup 7302") && !strings.Contains(rule, "lookup main") {
			t.Errorf("net1 has to get table 7302, for 7300 and 7301 are the VRFs': %s", rule)
		}
	}
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
}
