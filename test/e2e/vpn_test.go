package e2e

import (
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestVPNRuleIsNotBlamed has the rules of a VPN before ours (Tailscale's), whose table has routes
// to its own network only. They decide nothing about a NIC's sources, not even about one of which
// the pod has no address yet, about which the kernel cannot be asked. With a default (an exit
// node) they do.
func TestVPNRuleIsNotBlamed(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	for _, family := range []string{"", "-6 "} { // an ip batch knows no -4
		b.pod.NS.Batch(t,
			family+"rule add priority 5210 fwmark 0x80000/0xff0000 lookup main",
			family+"rule add priority 5230 fwmark 0x80000/0xff0000 lookup default",
			family+"rule add priority 5250 fwmark 0x80000/0xff0000 unreachable",
			family+"rule add priority 5270 lookup 52")
	}
	b.pod.NS.Batch(t,
		"route add throw 127.0.0.0/8 table 52",
		"route add 100.64.0.0/10 via "+eth0.gateways[0]+" dev eth0 table 52",
		"-6 route add fd7a:115c:a1e0::/48 via "+eth0.gateways[1]+" dev eth0 table 52")
	before := b.pod.NS.Snapshot(t)
	a := b.attach(net1, netlab.Object{"sources": []string{"203.0.113.200", "2001:db8:b::200"}})
	a.must(t, "ADD")
	a.must(t, "CHECK")
	for i, family := range []string{"", "-6 "} {
		exit := "via " + eth0.gateways[i] + " dev eth0 table 52"
		b.pod.NS.Batch(t, family+"route add default "+exit)
		failure := a.fails(t, "CHECK", "5270: from all lookup 52", "traffic from "+[]string{"203.0.113.200", "2001:db8:b::200"}[i]+":", "default via "+eth0.gateways[i])
		assertCode(t, failure, codeForeign)
		b.pod.NS.Batch(t, family+"route del default "+exit)
	}
	a.must(t, "CHECK")
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
}
