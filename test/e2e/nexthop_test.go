package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// router puts addresses on the other end of a NIC's cable, and a client behind it that knows the
// pod's addresses on that link alone.
func (b *bench) router(t *testing.T, n nic, addresses ...string) {
	t.Helper()
	var lines []string
	for _, address := range addresses {
		lines = append(lines, netlab.Address(address, n.name))
	}
	for _, client := range clients {
		lines = append(lines, netlab.Address(netip.PrefixFrom(client, client.BitLen()).String(), "lo"))
	}
	for _, address := range n.addresses {
		pod := netip.MustParsePrefix(address).Addr()
		client := client4
		if pod.Is6() {
			client = client6
		}
		lines = append(lines, fmt.Sprintf("route replace %v dev %s src %v", netip.PrefixFrom(pod, pod.BitLen()), n.name, client))
	}
	b.wire.Batch(t, lines...)
	b.wire.SetSysctl(t, "net/ipv4/conf/all/arp_ignore=0")
}

// assertTalks has remotes behind a NIC talk to an address of the pod, and demands that nothing
// of that crosses another NIC.
func (b *bench) assertTalks(t *testing.T, nics []nic, n nic, local netip.Addr, remotes ...netip.Addr) {
	t.Helper()
	server := b.pod.NS.Echo(t, addrPort(local))
	for _, remote := range remotes {
		captures := map[string]*netlab.Capture{}
		for _, each := range nics {
			captures[each.name] = b.pod.NS.Capture(t, each.name)
		}
		for _, network := range []string{"tcp", "udp"} {
			if _, err := (netlab.Client{NS: b.wire, Network: network, Source: remote, Device: n.name}).Talk(server); err != nil {
				t.Errorf("%s from %v to %v: %v", network, remote, local, err)
			}
		}
		assertCrosses(t, captures, n.name, remote, local)
	}
}

// send sends a datagram from an address of the pod.
func (b *bench) send(t *testing.T, source netip.Addr, to netip.AddrPort) {
	t.Helper()
	b.pod.NS.Must(t, func() error {
		conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(addrPort(source)), net.UDPAddrFromAddrPort(to))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("to whom it may concern"))
		return err
	})
}

// outside is a NIC whose gateway is in no subnet of its: 192.168.128.2 for 172.18.0.5/24.
var (
	outside        = nic{name: "net1", addresses: []string{"172.18.0.5/24"}, gateways: []string{""}}
	outsideGateway = netip.MustParseAddr("192.168.128.2")
)

// TestGatewayOutsideTheSubnet names a gateway that the NIC reaches although no subnet of its holds
// it, in all places that one can be named in.
func TestGatewayOutsideTheSubnet(t *testing.T) {
	t.Parallel()
	onlink := netlab.Object{"gw": outsideGateway, "onlink": true}
	byIPAM := outside
	byIPAM.gateways = []string{outsideGateway.String()}
	for name, test := range map[string]struct {
		nic  nic
		keys netlab.Object
	}{
		"gateways":             {outside, netlab.Object{"gateways": []any{onlink}}},
		"gateways, strictly":   {outside, netlab.Object{"gateways": []any{onlink}, "rpFilter": "strict"}},
		"gateways, and main":   {outside, netlab.Object{"gateways": []any{onlink}, "mainDefault": "take"}},
		"IPAM":                 {byIPAM, netlab.Object{"rpFilter": "strict"}},
		"IPAM, and main":       {byIPAM, netlab.Object{"mainDefault": "take"}},
		"a route":              {outside, netlab.Object{"routes": []netlab.Object{{"dst": "192.0.2.0/24", "gw": outsideGateway, "onlink": true}}}},
		"a route, strictly":    {outside, netlab.Object{"rpFilter": "strict", "routes": []netlab.Object{{"dst": "192.0.2.0/24", "gw": outsideGateway, "onlink": true}}}},
		"gateways and a route": {outside, netlab.Object{"gateways": []any{onlink}, "routes": []netlab.Object{{"dst": "192.0.2.0/24", "gw": outsideGateway, "onlink": true}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, test.nic)
			b.router(t, test.nic, outsideGateway.String()+"/32")
			before := b.pod.NS.Snapshot(t)
			a := b.attach(test.nic, test.keys)
			a.must(t, "ADD")
			a.must(t, "CHECK")
			b.assertTalks(t, []nic{eth0, test.nic}, test.nic, netip.MustParseAddr("172.18.0.5"), client4, outsideGateway)
			if test.keys["mainDefault"] == "take" {
				assertRoute(t, b.pod.NS, "net1", outsideGateway, client4)
			}
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}
}

// TestNextHopsThatCannotBe names the pod itself, or what is no host, as next hop: all are refused at
// once, before anything is done. The kernel would take most of them, and send nothing.
func TestNextHopsThatCannotBe(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	b.pod.NS.Batch(t, "addr add 203.0.113.9/30 dev net1", "addr add 10.9.9.9/32 dev lo", "addr add 203.0.113.252/31 dev net1")
	const own, edge, off = "the pod's own address", "the network or broadcast address", "in no subnet"
	cases := []struct{ gateway, why string }{
		{"203.0.113.144", own}, {"198.51.100.87", own}, {"10.9.9.9", own}, {"2001:db8:b::144", own},
		{"203.0.113.0", edge}, {"203.0.113.255", edge}, {"203.0.113.11", edge},
		{"192.168.128.2", off}, {"198.51.100.1", off}, {"2001:db8:a::1", off},
	}
	for _, onlink := range []bool{false, true} {
		var gateways, routes []netlab.Object
		var words []string
		for i, test := range cases {
			if onlink && test.why == off {
				continue // which is what onlink is for
			}
			dst := fmt.Sprintf("10.%d.0.0/16", i)
			if netip.MustParseAddr(test.gateway).Is6() {
				dst = fmt.Sprintf("2001:db8:%d::/48", 100+i)
			}
			gateways = append(gateways, netlab.Object{"gw": test.gateway, "onlink": onlink})
			routes = append(routes, netlab.Object{"dst": dst, "gw": test.gateway, "onlink": onlink})
			words = append(words,
				fmt.Sprintf("gateways[%d]: %s is %s", i, test.gateway, test.why),
				fmt.Sprintf("routes[%d].gw: %s is %s", i, test.gateway, test.why))
		}
		failure := b.attach(net1, netlab.Object{"gateways": gateways, "routes": routes}).fails(t, "ADD", words...)
		assertCode(t, failure, codeConfiguration)
		if got := strings.Count(failure.Details, "\n") + 1; got != len(words) {
			t.Errorf("%d faults, want %d:\n%s", got, len(words), failure.Details)
		}
	}
	assertNoFiles(t, b.dataDir)

	// The routers' anycast address, the other end of a /31, a neighbour of an address that no
	// plugin told of.
	a := b.attach(net1, netlab.Object{
		"gateways": []string{"2001:db8:b::"},
		"routes":   []netlab.Object{{"dst": "10.1.0.0/16", "gw": "203.0.113.253"}, {"dst": "10.2.0.0/16", "gw": "203.0.113.10"}},
	})
	a.must(t, "ADD")
	a.must(t, "CHECK")
}

// TestIPv6NextHop has IPv4 packets go by an IPv6 next hop (RFC 8950), which every place can name
// that names one.
func TestIPv6NextHop(t *testing.T) {
	t.Parallel()
	only4 := nic{name: "net1", addresses: []string{"203.0.113.144/24"}, gateways: []string{""}}
	both := net1.withoutGateways()
	byIPAM := only4
	byIPAM.gateways = []string{"fe80::1"}
	for name, test := range map[string]struct {
		nic     nic
		keys    netlab.Object
		routes  []netlab.Object // of prevResult
		seen    string          // a default in main
		gateway string          // empty: any IPv6 one
	}{
		"the address's own gateway":  {nic: byIPAM, gateway: "fe80::1"},
		"strictly":                   {nic: byIPAM, keys: netlab.Object{"rpFilter": "strict"}, gateway: "fe80::1"},
		"and main":                   {nic: byIPAM, keys: netlab.Object{"mainDefault": "take"}, gateway: "fe80::1"},
		"a default of the result":    {nic: only4, routes: []netlab.Object{{"dst": "0.0.0.0/0", "gw": "fe80::1"}}, gateway: "fe80::1"},
		"a route of the result":      {nic: only4, routes: []netlab.Object{{"dst": "192.0.2.0/24", "gw": "fe80::1"}}, gateway: "fe80::1"},
		"routes":                     {nic: only4, keys: netlab.Object{"routes": []netlab.Object{{"dst": "192.0.2.0/24", "gw": "fe80::1"}}}, gateway: "fe80::1"},
		"routes, in a subnet":        {nic: both, keys: netlab.Object{"routes": []netlab.Object{{"dst": "192.0.2.0/24", "gw": "2001:db8:b::1"}}}, gateway: "2001:db8:b::1"},
		"routes, and on the link":    {nic: both, keys: netlab.Object{"routes": []netlab.Object{{"dst": "192.0.2.0/24", "gw": "2001:db8:77::1", "onlink": true}}}, gateway: "2001:db8:77::1"},
		"what the kernel has":        {nic: only4, seen: "route add 0.0.0.0/0 via inet6 fe80::1 dev net1 metric 50", gateway: "fe80::1"},
		"what the kernel has, twice": {nic: both, seen: "route append 0.0.0.0/0 metric 50 nexthop via inet6 fe80::1 dev net1 nexthop via inet6 2001:db8:b::1 dev net1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, test.nic)
			b.router(t, test.nic, "fe80::1/64", "2001:db8:b::1/64", "2001:db8:77::1/128")
			if test.seen != "" {
				b.pod.NS.Batch(t, test.seen)
			}
			before := b.pod.NS.Snapshot(t)
			a := b.attach(test.nic, test.keys)
			if test.routes != nil {
				prev := b.result(test.nic)
				prev["routes"] = test.routes
				a.prev = prev
			}
			a.must(t, "ADD")
			a.must(t, "CHECK")
			assertIPv6NextHop(t, b.pod.NS, test.gateway, "from", "203.0.113.144")
			b.assertTalks(t, []nic{eth0, test.nic}, test.nic, netip.MustParseAddr("203.0.113.144"), client4)
			if test.keys["mainDefault"] == "take" {
				assertIPv6NextHop(t, b.pod.NS, test.gateway)
			}
			a.must(t, "ADD")
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, only4)
		routes := []netlab.Object{
			{"dst": "10.1.0.0/16", "gw": "2001:db8:b::1"},
			{"dst": "10.2.0.0/16", "gw": "fe80::1"},
		}
		assertCode(t, b.attach(only4, netlab.Object{"routes": routes}).fails(t, "ADD", "routes[0].gw: 2001:db8:b::1 is in no subnet of net1"), codeConfiguration)
		b.pod.NS.SetSysctl(t, "net/ipv6/conf/net1/disable_ipv6=1")
		failure := b.attach(only4, netlab.Object{"routes": routes}).fails(t, "ADD", "routes[0].gw: ", "routes[1].gw: ", "IPv6 is off on net1")
		assertCode(t, failure, codeConfiguration)
	})
}

func assertIPv6NextHop(t *testing.T, ns *netlab.NS, gateway string, selectors ...string) {
	t.Helper()
	answer := ns.IP(t, append([]string{"route", "get", client4.String()}, selectors...)...)
	by, want := "via inet6 "+gateway, " dev net1 "
	if !strings.Contains(answer, by) || !strings.Contains(answer, want) {
		t.Errorf("want %q and %q in\n%s", by, want, answer)
	}
}

// TestRoutesToEverybody has routes to broadcast and multicast addresses. They are for packets that
// the pod sends, and nobody is there to ask CHECK's questions about: ADD succeeds, and the packets
// leave by the NIC.
func TestRoutesToEverybody(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]nic{"gateway": net1, "no gateway": net1.withoutGateways()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, n)
			destinations := []string{"255.255.255.255", "203.0.113.255", "198.51.100.255", "224.0.0.251", "239.1.2.3"}
			var routes []netlab.Object
			for _, dst := range append(destinations, "203.0.113.0", "198.51.100.0") {
				routes = append(routes, netlab.Object{"dst": dst + "/32"})
			}
			routes = append(routes, netlab.Object{"dst": "224.0.0.0/4"}, netlab.Object{"dst": "ff05::/16"}, netlab.Object{"dst": "ff02::fb/128"})
			a := b.attach(n, netlab.Object{"routes": routes, "rpFilter": "strict"})
			a.must(t, "ADD")
			a.must(t, "CHECK")
			others := b.wire.Capture(t, "eth0")
			for _, dst := range []string{"255.255.255.255", "203.0.113.255", "224.0.0.251", "239.1.2.3"} {
				here := b.wire.Capture(t, "net1")
				to := netip.AddrPortFrom(netip.MustParseAddr(dst), 9)
				b.send(t, providerB.pod4, to)
				sent := func(p netlab.Packet) bool { return p.Src.Addr() == providerB.pod4 && p.Dst == to }
				if len(here.Matching(t, sent)) == 0 || len(others.Matching(t, sent)) > 0 {
					t.Errorf("to %s: net1 carried %d packets, eth0 %d", dst, len(here.Matching(t, sent)), len(others.Matching(t, sent)))
				}
			}
			a.must(t, "DEL")
		})
	}
}

// TestOnLinkWithoutDefault has a route by a next hop outside the subnet, and no default: that host
// itself is reached by the NIC, too.
func TestOnLinkWithoutDefault(t *testing.T) {
	t.Parallel()
	n := nic{name: "net1", addresses: []string{"203.0.113.144/24", "2001:db8:b::144/64"}, gateways: []string{"", ""}}
	next4, next6 := netip.MustParseAddr("172.31.0.1"), netip.MustParseAddr("2001:db8:77::1")
	for _, mode := range []string{"loose", "strict"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, n)
			b.router(t, n, next4.String()+"/32", next6.String()+"/128")
			a := b.attach(n, netlab.Object{"rpFilter": mode, "routes": []netlab.Object{
				{"dst": "192.0.2.0/24", "gw": next4, "onlink": true},
				{"dst": "2001:db8:c::/48", "gw": next6, "onlink": true},
			}})
			a.must(t, "ADD")
			a.must(t, "CHECK")
			b.assertTalks(t, []nic{eth0, n}, n, providerB.pod4, client4, next4)
			b.assertTalks(t, []nic{eth0, n}, n, providerB.pod6, client6, next6)
			a.must(t, "DEL")
		})
	}
}
