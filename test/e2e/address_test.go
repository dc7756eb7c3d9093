package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestAddressIsGone: after ADD the NIC loses an address. CHECK and ADD say so; when it is back ADD
// makes whole what went with it.
func TestAddressIsGone(t *testing.T) {
	t.Parallel()
	const four, six = "203.0.113.144", "2001:db8:b::144"
	for _, test := range []struct {
		name, address string
		lose          func(t *testing.T, pod *netlab.NS)
		comeBack      string
	}{
		{
			"IPv4, deleted", four,
			func(t *testing.T, pod *netlab.NS) { t.Helper(); pod.IP(t, "addr", "del", four+"/24", "dev", "net1") },
			"addr add " + four + "/24 dev net1",
		},
		{
			"IPv6, deleted", six,
			func(t *testing.T, pod *netlab.NS) { t.Helper(); pod.IP(t, "addr", "del", six+"/64", "dev", "net1") },
			"addr add " + six + "/64 dev net1 nodad",
		},
		{
			"IPv6, lost in a flap of the link", six,
			func(t *testing.T, pod *netlab.NS) {
				t.Helper()
				pod.SetSysctl(t, "net/ipv6/conf/net1/keep_addr_on_down=0")
				bounce(t, pod, "net1")
			},
			"addr add " + six + "/64 dev net1 nodad",
		},
		{
			"IPv6, lost while it was off", six,
			func(t *testing.T, pod *netlab.NS) {
				t.Helper()
				pod.SetSysctl(t, "net/ipv6/conf/net1/disable_ipv6=1")
				pod.SetSysctl(t, "net/ipv6/conf/net1/disable_ipv6=0")
			},
			"addr add " + six + "/64 dev net1 nodad",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			pod := b.pod.NS
			b.answer(t, "net1", providerB)
			a := b.attach(net1, netlab.Object{"sources": []string{"203.0.113.200"}}) // which need not be there
			a.must(t, "ADD")
			a.must(t, "CHECK")
			test.lose(t, pod)
			assertCode(t, a.fails(t, "CHECK", "the address "+test.address+" of net1"), codeMissing)
			assertCode(t, a.fails(t, "ADD", test.address, "net1"), codeState)
			pod.Batch(t, test.comeBack)
			pod.Settle(t, "net1")
			a.must(t, "ADD")
			a.must(t, "CHECK")
			b.assertAnswers(t, "net1", []string{"eth0"}, providerB.pods()...)
		})
	}
}

// TestFlapKeepsIPv6Addresses: a NIC with IPv6 sources keeps its addresses while it is down. ADD
// again makes it whole.
func TestFlapKeepsIPv6Addresses(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	pod := b.pod.NS
	b.answer(t, "net1", providerB)
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	bounce(t, pod, "net1")
	if got := pod.IP(t, "-6", "addr", "show", "dev", "net1"); !strings.Contains(got, providerB.pod6.String()) {
		t.Errorf("net1 has lost its address:\n%s", got)
	}
	failure := a.fails(t, "CHECK", "7300")
	assertCode(t, failure, codeMissing)
	if strings.Contains(failure.Details, "the address") {
		t.Errorf("CHECK misses an address that is there: %s", failure.Details)
	}
	a.must(t, "ADD")
	a.must(t, "CHECK")
	b.assertAnswers(t, "net1", []string{"eth0"}, providerB.pods()...)
}

// TestAddressOfAnotherHost: duplicate address detection finds the NIC's address on another host.
// ADD notes it, CHECK reports it, and the other family works.
func TestAddressOfAnotherHost(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	pod := b.pod.NS
	b.answer(t, "net1", providerB)
	taken := netip.PrefixFrom(providerB.pod6, 64).String()
	pod.IP(t, "addr", "del", taken, "dev", "net1")
	b.wire.IP(t, "addr", "add", taken, "dev", "net1", "nodad")
	b.wire.Settle(t, "net1")
	pod.SetSysctl(t, "net/ipv6/conf/net1/accept_dad=1", "net/ipv6/conf/net1/dad_transmits=1")
	pod.IP(t, "addr", "add", taken, "dev", "net1")
	netlab.Eventually(t, "the address turns out to be another's", func() bool {
		return strings.Contains(pod.IP(t, "-6", "addr", "show", "dev", "net1"), "dadfailed")
	})
	a := b.attach(net1, nil)
	if said := string(a.must(t, "ADD").Stderr); !strings.Contains(said, providerB.pod6.String()) {
		t.Errorf("ADD does not note that another host has the address: %q", said)
	}
	assertCode(t, a.fails(t, "CHECK", "the address "+providerB.pod6.String()+" of net1", "duplicate"), codeMissing)
	b.assertAnswers(t, "net1", []string{"eth0"}, providerB.pod4)
}
