package e2e

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestNothingElseBreaks asks for all that worked before symroute came.
func TestNothingElseBreaks(t *testing.T) {
	t.Parallel()
	var (
		service4 = netip.MustParseAddr("10.96.0.10")
		service6 = netip.MustParseAddr("fd00:10:96::10")
		services = []netip.Addr{service4, service6}
	)
	s := newSite(t, providerA, providerB)
	s.allowOutgoing(t)
	pod := netlab.NewPod(t)
	a := s.chained(providerA, nil)
	b := s.chained(providerB, netlab.Object{"viaMain": []string{"10.96.0.0/12", "fd00:10:96::/108"}})
	s.runtime.MustAdd(t, a, pod, "eth0")
	s.runtime.MustAdd(t, b, pod, "net1")
	servers := map[netip.Addr]netip.AddrPort{}
	for _, address := range clients {
		servers[address] = s.client.Echo(t, addrPort(address))
	}

	// through lets the pod talk to a server, and demands a source address
	// and that all packets cross one NIC.
	through := func(t *testing.T, p provider, client netlab.Client, server netip.AddrPort) {
		t.Helper()
		captures := map[string]*netlab.Capture{"a": pod.NS.Capture(t, "eth0"), "b": pod.NS.Capture(t, "net1")}
		client.NS = pod.NS
		local, err := client.Talk(server)
		if err != nil {
			t.Errorf("%s to %v from %v, device %q: %v", client.Network, server, client.Source, client.Device, err)
			return
		}
		if !client.Source.IsValid() && local.Addr() != p.pod(server.Addr()) {
			t.Errorf("%s to %v comes from %v, want %v", client.Network, server, local.Addr(), p.pod(server.Addr()))
		}
		for name, capture := range captures {
			packets := capture.Matching(t, func(packet netlab.Packet) bool { return packet.Between(local.Addr(), server.Addr()) })
			in, out := directions(packets)
			if want := name == p.name; in != want || out != want {
				t.Errorf("%s to %v: provider %s carried requests: %t, replies: %t; want both: %t\n%s",
					client.Network, server, name, out, in, want, netlab.List(packets))
			}
		}
	}
	networks := []string{"tcp", "udp"}

	t.Run("sockets without a source", func(t *testing.T) {
		for _, network := range networks {
			for _, address := range clients {
				through(t, providerA, netlab.Client{Network: network}, servers[address])
			}
		}
	})
	t.Run("sockets bound to a device", func(t *testing.T) {
		for nic, p := range map[string]provider{"eth0": providerA, "net1": providerB} {
			for _, network := range networks {
				for _, address := range clients {
					through(t, p, netlab.Client{Network: network, Device: nic}, servers[address])
				}
			}
		}
	})
	t.Run("sockets bound to an address", func(t *testing.T) {
		for _, p := range []provider{providerA, providerB} {
			for _, network := range networks {
				for _, address := range clients {
					through(t, p, netlab.Client{Network: network, Source: p.pod(address)}, servers[address])
				}
			}
		}
	})
	t.Run("neighbours on every LAN", func(t *testing.T) {
		for _, p := range []provider{providerA, providerB} {
			for _, gateway := range []netip.Addr{p.gateway4(), p.gateway6()} {
				through(t, p, netlab.Client{}, s.gateways[p.name].Echo(t, addrPort(gateway)))
			}
		}
	})
	t.Run("ping fe80::1 on every NIC", func(t *testing.T) {
		for _, nic := range []string{"eth0", "net1"} {
			if err := pod.NS.Ping6(pod.NS.Zoned(t, netip.MustParseAddr("fe80::1"), nic)); err != nil {
				t.Errorf("on %s: %v", nic, err)
			}
		}
	})
	t.Run("IPv6 neighbour discovery", func(t *testing.T) {
		solicitations := func(packet netlab.Packet) bool {
			const solicitation = 135
			return packet.Protocol == "icmpv6" && packet.Type == solicitation
		}
		net1, eth0 := pod.NS.Capture(t, "net1"), pod.NS.Capture(t, "eth0")
		for _, ns := range []*netlab.NS{pod.NS, s.gateways["b"]} {
			ns.IP(t, "-6", "neigh", "flush", "all")
		}
		through(t, providerB, netlab.Client{Source: providerB.pod6}, servers[client6])
		sent := net1.Matching(t, solicitations)
		if in, out := directions(sent); !in && !out {
			t.Error("nobody asked for a neighbour on net1: this test showed nothing")
		}
		stray := eth0.Matching(t, func(packet netlab.Packet) bool {
			return solicitations(packet) && providerB.subnet6.Contains(packet.Src.Addr())
		})
		if len(stray) > 0 {
			t.Errorf("solicitations from net1's address on eth0:\n%s", netlab.List(stray))
		}
	})
	t.Run("cluster services by viaMain", func(t *testing.T) {
		// The services live at gateway a, where the pod's default route
		// leads, and answer the way they were asked.
		gateway := s.gateways["a"]
		gateway.Batch(t,
			netlab.Address(service4.String()+"/32", "lo"),
			netlab.Address(service6.String()+"/128", "lo"),
			"route add "+providerB.pod4.String()+" via "+providerA.pod4.String(),
			"route add "+providerB.pod6.String()+" via "+providerA.pod6.String())
		for _, service := range services {
			server := gateway.Echo(t, addrPort(service))
			for _, network := range networks {
				through(t, providerA, netlab.Client{Network: network}, server)
				through(t, providerA, netlab.Client{Network: network, Source: providerB.pod(service)}, server)
			}
		}
	})
	t.Run("the pod talks to itself", func(t *testing.T) {
		addresses := slices.Concat(providerA.pods(), providerB.pods(),
			[]netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()})
		for _, to := range addresses {
			server := pod.NS.Echo(t, addrPort(to))
			sources := []netip.Addr{{}, providerA.pod(to), providerB.pod(to)}
			if to.IsLoopback() {
				sources = sources[:1]
			}
			for _, source := range sources {
				if _, err := (netlab.Client{NS: pod.NS, Source: source}).Talk(server); err != nil {
					t.Errorf("from %v to %v: %v", source, to, err)
				}
			}
		}
	})
	t.Run("CHECK", func(t *testing.T) {
		s.runtime.MustCheck(t, a, pod, "eth0")
		s.runtime.MustCheck(t, b, pod, "net1")
	})
}

// TestPolicyBeforeOurs leaves the first word to more specific policy of others,
// such as a service mesh's.
func TestPolicyBeforeOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	b.pod.NS.Batch(t,
		"rule add fwmark 0x5 lookup 555 priority 100",
		"route add default via 198.51.100.5 dev eth0 table 555")
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	assertRoute(t, b.pod.NS, "eth0", netip.MustParseAddr("198.51.100.5"), client4, "from", providerB.pod4.String(), "mark", "0x5")
	assertRoute(t, b.pod.NS, "net1", providerB.gateway4(), client4, "from", providerB.pod4.String())
	a.must(t, "CHECK")
}
