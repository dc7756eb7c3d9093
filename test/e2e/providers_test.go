package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestTwoProviders is the reason for symroute: a pod with an address of each of
// two providers answers on both, each answer through the provider that the
// question came by. The firewalls of the gateways see to it that nothing else
// works.
func TestTwoProviders(t *testing.T) {
	t.Parallel()
	s := newSite(t, providerA, providerB)
	pod := netlab.NewPod(t)
	a, b := s.chained(providerA, nil), s.chained(providerB, nil)
	s.runtime.MustAdd(t, a, pod, "eth0")
	s.runtime.MustAdd(t, b, pod, "net1")

	for _, from := range clients {
		for _, network := range []string{"tcp", "udp"} {
			t.Run(network+" from "+from.String(), func(t *testing.T) {
				client := netlab.Client{NS: s.client, Network: network, Source: from}
				s.assertOnlyThrough(t, providerA, client, pod)
				s.assertOnlyThrough(t, providerB, client, pod)
			})
		}
		t.Run("ip route get "+from.String(), func(t *testing.T) {
			assertRoute(t, pod.NS, "net1", providerB.gateway(from), from, "from", providerB.pod(from).String())
			assertRoute(t, pod.NS, "eth0", providerA.gateway(from), from, "from", providerA.pod(from).String())
			assertRoute(t, pod.NS, "eth0", providerA.gateway(from), from)
		})
	}
	t.Run("CHECK", func(t *testing.T) {
		s.runtime.MustCheck(t, a, pod, "eth0")
		s.runtime.MustCheck(t, b, pod, "net1")
	})
}

// TestTwoProvidersWithoutSymroute shows that the network of TestTwoProviders
// has the fault that symroute is there for. IPv4 alone: the IPv6 defaults merge
// into one multipath route, which makes a lottery of it.
func TestTwoProvidersWithoutSymroute(t *testing.T) {
	t.Parallel()
	s := newSite(t, providerA, providerB)
	pod := netlab.NewPod(t)
	s.runtime.MustAdd(t, s.plain(providerA, defaults...), pod, "eth0")
	s.runtime.MustAdd(t, s.plain(providerB, defaults...), pod, "net1")

	dead := 0
	for _, address := range []netip.Addr{providerA.pod4, providerB.pod4} {
		server := pod.NS.Echo(t, addrPort(address))
		if _, err := (netlab.Client{NS: s.client, Timeout: unanswered}).Talk(server); err != nil {
			dead++
		}
	}
	if dead != 1 {
		t.Errorf("%d of 2 addresses are dead; want the one whose NIC lacks the default route", dead)
	}
	if s.gateways["a"].FirewallDrops(t)+s.gateways["b"].FirewallDrops(t) == 0 {
		t.Error("no firewall dropped anything: the connection died of something else")
	}
}

// office is the network of TestManagementAndData: a client in the management
// network, a stateful firewall between that and the data network, and a pod
// that hangs on both.
//
//	client ---+
//	          +-- br-mgmt --- firewall
//	pod eth0 -+                  |
//	pod net1 ------- data0 ------+
type office struct {
	client     *netlab.NS
	pod        *netlab.Pod
	eth0, net1 *netlab.Capture
}

var (
	operator       = netip.MustParseAddr("192.168.1.7")
	managementAddr = netip.MustParseAddr("192.168.1.50")
	dataAddr       = netip.MustParseAddr("10.10.20.50")
)

// newOffice builds it, with further plugins behind both interface plugins.
func newOffice(t *testing.T, chained ...netlab.Object) office {
	t.Helper()
	node, firewall, client := netlab.New(t, "node"), netlab.New(t, "firewall"), netlab.New(t, "client")
	node.Bridge(t, "br-mgmt")
	netlab.Cable(t,
		netlab.Port{NS: node, Link: "mgmt0", Bridge: "br-mgmt"},
		netlab.Port{NS: firewall, Link: "mgmt", Addresses: []string{"192.168.1.1/24"}})
	netlab.Cable(t,
		netlab.Port{NS: node, Link: "data0"},
		netlab.Port{NS: firewall, Link: "data", Addresses: []string{"10.10.20.1/24"}})
	netlab.Cable(t,
		netlab.Port{NS: node, Link: "mgmt1", Bridge: "br-mgmt"},
		netlab.Port{NS: client, Link: "eth0", Addresses: []string{operator.String() + "/24"}})
	client.IP(t, "route", "add", "10.10.20.0/24", "via", "192.168.1.1")
	firewall.Forward(t)
	firewall.StatefulFirewall(t, "mgmt")

	management := netlab.BridgePlugin("br-mgmt", netlab.Static([]netlab.StaticAddress{
		{Address: managementAddr.String() + "/24", Gateway: "192.168.1.1"},
	}, "0.0.0.0/0"))
	data := netlab.MacvlanPlugin("data0", netlab.Static([]netlab.StaticAddress{
		{Address: dataAddr.String() + "/24", Gateway: "10.10.20.1"},
	}))
	runtime, pod := netlab.NewRuntime(t, node), netlab.NewPod(t)
	chain := func(name string, plugin netlab.Object) netlab.Conflist {
		return netlab.NewConflist(name, cniVersion, append([]netlab.Object{plugin}, chained...)...)
	}
	runtime.MustAdd(t, chain("management", management), pod, "eth0")
	runtime.MustAdd(t, chain("data", data), pod, "net1")
	return office{client: client, pod: pod, eth0: pod.NS.Capture(t, "eth0"), net1: pod.NS.Capture(t, "net1")}
}

// replies picks what the pod sends to the client from its data address.
func (office) replies(packet netlab.Packet) bool {
	return packet.Outgoing && packet.Src.Addr() == dataAddr && packet.Dst.Addr() == operator
}

// TestManagementAndData is the trap of a management network: a client there
// talks to the pod's data address through the firewall between the networks,
// but the pod has a shorter way back, through its management NIC, that the
// firewall never sees.
func TestManagementAndData(t *testing.T) {
	t.Parallel()
	t.Run("without symroute the reply leaves by management", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t)
		server := o.pod.NS.Echo(t, addrPort(dataAddr))
		if _, err := (netlab.Client{NS: o.client, Timeout: unanswered}).Talk(server); err == nil {
			t.Error("the firewall let half a connection pass")
		}
		if len(o.eth0.Matching(t, o.replies)) == 0 {
			t.Errorf("no reply on eth0:\n%s", netlab.List(o.eth0.Packets(t)))
		}
	})
	t.Run("with symroute the reply leaves by data", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, netlab.Object{"type": "symroute", "dataDir": t.TempDir()})
		for _, address := range []netip.Addr{dataAddr, managementAddr} {
			server := o.pod.NS.Echo(t, addrPort(address))
			if _, err := (netlab.Client{NS: o.client}).Talk(server); err != nil {
				t.Errorf("%v does not answer: %v", address, err)
			}
		}
		if got := o.eth0.Matching(t, o.replies); len(got) != 0 {
			t.Errorf("replies on eth0:\n%s", netlab.List(got))
		}
		if len(o.net1.Matching(t, o.replies)) == 0 {
			t.Error("no reply on net1")
		}
	})
}

// assertOnlyThrough lets a client with a source address talk to the pod's
// address of a provider, and demands that both directions of the conversation
// cross that provider's LAN and no other.
func (s *site) assertOnlyThrough(t *testing.T, p provider, client netlab.Client, pod *netlab.Pod) {
	t.Helper()
	address := p.pod(client.Source)
	captures := map[string]*netlab.Capture{}
	for name, gateway := range s.gateways {
		captures[name] = gateway.Capture(t, "lan")
	}
	server := pod.NS.Echo(t, addrPort(address))
	if _, err := client.Talk(server); err != nil {
		t.Errorf("%s %v does not answer: %v", client.Network, server, err)
	}
	for name, capture := range captures {
		packets := capture.Matching(t, func(packet netlab.Packet) bool { return packet.Between(address, client.Source) })
		in, out := directions(packets)
		switch {
		case name == p.name && (!in || !out):
			t.Errorf("provider %s carried requests: %t, replies: %t\n%s", name, out, in, netlab.List(packets))
		case name != p.name && len(packets) != 0:
			t.Errorf("provider %s carried packets of provider %s:\n%s", name, p.name, netlab.List(packets))
		}
	}
}

// directions says which directions packets go in.
func directions(packets []netlab.Packet) (in, out bool) {
	for _, packet := range packets {
		in = in || !packet.Outgoing
		out = out || packet.Outgoing
	}
	return in, out
}

// assertRoute asks the kernel for a route and demands a NIC and a gateway. The
// selectors are those of `ip route get` ("from", "198.51.100.87").
func assertRoute(t *testing.T, ns *netlab.NS, nic string, gateway, to netip.Addr, selectors ...string) {
	t.Helper()
	answer := ns.IP(t, append([]string{"route", "get", to.String()}, selectors...)...)
	want := "via " + gateway.String() + " dev " + nic + " "
	if !strings.Contains(answer, want) {
		t.Errorf("ip route get %v %s: want %q in\n%s", to, strings.Join(selectors, " "), want, answer)
	}
}
