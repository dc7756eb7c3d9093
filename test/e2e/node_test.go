package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// nodeAddress is the node's own, in the network of provider B.
var nodeAddress = netip.MustParseAddr("203.0.113.10")

// routedPod is a pod whose eth0 the node reaches from its own address, as CNIs do it that route
// (no bridge, and no address at the node's end).
func routedPod(t *testing.T) (b *bench, cluster nic) {
	t.Helper()
	cluster = nic{name: "eth0", addresses: []string{"198.51.100.87/32"}, gateways: []string{"169.254.1.1"}}
	b = newBench(t)
	netlab.Cable(t, netlab.Port{NS: b.node, Link: "cali0"}, netlab.Port{NS: b.pod.NS, Link: "eth0", Addresses: cluster.addresses})
	netlab.Cable(t, netlab.Port{NS: b.wire, Link: "lan"}, netlab.Port{NS: b.node, Link: "lan", Addresses: []string{nodeAddress.String() + "/24"}})
	b.node.IP(t, "route", "add", "198.51.100.87", "dev", "cali0")
	b.pod.NS.Batch(t,
		"route add 169.254.1.1 dev eth0",
		"route add default via 169.254.1.1 dev eth0",
		"neigh add 169.254.1.1 lladdr "+b.node.MAC(t, "cali0").String()+" dev eth0")
	return b, cluster
}

// TestNodeInTheNICsSubnet: the node probes eth0, which has no attachment, from an address in the
// subnet of net1, a macvlan on its own network. The answer leaves by net1, and from there does not
// reach the node. ADD notes that, once; with symroute for eth0, too, the probe is answered.
func TestNodeInTheNICsSubnet(t *testing.T) {
	t.Parallel()
	b, cluster := routedPod(t)
	pod := b.pod.NS
	b.node.IP(t, "link", "add", "link", "lan", "name", "net1", "netns", pod.Name, "type", "macvlan", "mode", "bridge")
	pod.Batch(t, "link set net1 up", "addr add 203.0.113.144/24 dev net1")
	pod.Settle(t, "net1")
	secondary := nic{name: "net1", addresses: []string{"203.0.113.144/24"}, gateways: []string{"203.0.113.1"}}
	net1, eth0 := b.attach(secondary, nil), b.attach(cluster, nil)

	note := func(a attachment) bool {
		t.Helper()
		said := string(a.must(t, "ADD").Stderr)
		return strings.Contains(said, nodeAddress.String()) && strings.Contains(said, "eth0") && strings.Contains(said, "net1")
	}
	if !note(net1) {
		t.Error("ADD does not note that the node is answered by net1")
	}
	if note(net1) {
		t.Error("ADD notes it again")
	}
	server := pod.Echo(t, addrPort(netip.MustParseAddr("198.51.100.87")))
	capture := pod.Capture(t, "net1")
	if _, err := (netlab.Client{NS: b.node, Network: "udp", Timeout: unanswered}).Talk(server); err == nil {
		t.Error("the node is answered: what ADD notes is not so")
	}
	asks := func(p netlab.Packet) bool { return p.Protocol == "arp" || p.Between(nodeAddress, server.Addr()) }
	if len(capture.Matching(t, asks)) == 0 {
		t.Errorf("net1 carried nothing of the answer:\n%s", netlab.List(capture.Packets(t)))
	}

	eth0.must(t, "ADD")
	if _, err := (netlab.Client{NS: b.node}).Talk(server); err != nil {
		t.Errorf("with symroute for eth0, too: %v", err)
	}
	net1.must(t, "DEL")
	if note(net1) {
		t.Error("ADD notes what is not so: eth0 has a source table")
	}
}

// TestNodeElsewhere: the node reaches eth0 from an address that is in no subnet of net1. There is
// nothing to note.
func TestNodeElsewhere(t *testing.T) {
	t.Parallel()
	b, _ := routedPod(t)
	b.plug(t, net2)
	if said := b.attach(net2, nil).must(t, "ADD").Stderr; len(said) > 0 {
		t.Errorf("ADD says\n%s", said)
	}
}

// TestForwardedIsNotCovered: what the pod forwards for an address behind it has that address, which
// is no source: the answer goes by main. Listed in "sources" it goes by the NIC.
func TestForwardedIsNotCovered(t *testing.T) {
	t.Parallel()
	inside := netip.MustParseAddr("10.99.0.2")
	b := newBench(t, eth0, net1)
	pod := b.pod.NS
	b.answer(t, "net1", providerB)
	behind := netlab.New(t, "inside")
	netlab.Cable(t,
		netlab.Port{NS: pod, Link: "in0", Addresses: []string{"10.99.0.1/24"}},
		netlab.Port{NS: behind, Link: "eth0", Addresses: []string{inside.String() + "/24"}})
	behind.IP(t, "route", "add", "default", "via", "10.99.0.1")
	pod.Forward(t)
	b.wire.IP(t, "route", "add", inside.String(), "via", providerB.pod4.String())
	server := behind.Echo(t, addrPort(inside))
	ask := netlab.Client{NS: b.wire, Source: client4, Network: "udp"}

	a := b.attach(net1, nil)
	a.must(t, "ADD")
	wrong := pod.Capture(t, "eth0")
	ask.Timeout = unanswered
	if _, err := ask.Talk(server); err == nil {
		t.Error("the forwarded connection is answered: docs/troubleshooting.md says it is not")
	}
	if len(wrong.Matching(t, func(p netlab.Packet) bool { return p.Protocol == "arp" || p.Between(client4, inside) })) == 0 {
		t.Error("eth0 carried nothing of the answer")
	}
	a.with("sources", []string{inside.String()}).must(t, "ADD")
	ask.Timeout = 0
	if _, err := ask.Talk(server); err != nil {
		t.Errorf("with the inside address in sources: %v", err)
	}
}
