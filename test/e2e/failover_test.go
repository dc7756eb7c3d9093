package e2e

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// failoverPod is a pod with two providers that both come with defaults. eth0 has an
// attachment of symroute, or none at all.
func failoverPod(t *testing.T, eth0Chained bool, keys netlab.Object) (*site, *netlab.Pod) {
	t.Helper()
	s := newSite(t, providerA, providerB)
	s.allowOutgoing(t)
	pod := netlab.NewPod(t)
	first := s.plain(providerA, defaults...)
	if eth0Chained {
		first = s.chained(providerA, keys)
	}
	s.runtime.MustAdd(t, first, pod, "eth0")
	s.runtime.MustAdd(t, s.chained(providerB, keys), pod, "net1")
	return s, pod
}

// TestFailover: two NICs with defaults. The pod's is used. When eth0 is set down, sockets
// without a source find net1 by themselves, with no process of ours running; nothing leaves
// from eth0's address by net1, and strict mode refuses packets for it that come in there.
func TestFailover(t *testing.T) {
	t.Parallel()
	for name, chained := range map[string]bool{"eth0 has no attachment": false, "eth0 has one of its own": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range []string{"loose", "strict"} {
				t.Run(mode, func(t *testing.T) {
					t.Parallel()
					testFailover(t, chained, mode)
				})
			}
		})
	}
}

func testFailover(t *testing.T, chained bool, mode string) {
	s, pod := failoverPod(t, chained, netlab.Object{"rpFilter": mode})
	for _, to := range clients {
		s.assertOwnSource(t, pod, to, providerA)
	}
	pod.NS.IP(t, "link", "set", "eth0", "down")
	for _, to := range clients {
		s.assertOwnSource(t, pod, to, providerB)
	}
	s.assertNothingOfEth0(t, pod)
	if mode == "strict" {
		s.assertForgedDropped(t, providerB, pod, "net1", providerA.pod4)
	}
}

// assertOwnSource demands that a connection of a socket without a source leaves by a
// provider, and comes from the pod's address there.
func (s *site) assertOwnSource(t *testing.T, pod *netlab.Pod, to netip.Addr, p provider) {
	t.Helper()
	local, err := netlab.Client{NS: pod.NS}.Talk(s.client.Echo(t, addrPort(to)))
	if err != nil || local.Addr() != p.pod(to) {
		t.Errorf("a connection to %v came from %v, want %v: %v", to, local.Addr(), p.pod(to), err)
	}
}

// assertNothingOfEth0 sends from eth0's addresses while eth0 is of no use, and demands that
// net1 carries nothing of it.
func (s *site) assertNothingOfEth0(t *testing.T, pod *netlab.Pod) {
	t.Helper()
	for _, to := range clients {
		net1 := pod.NS.Capture(t, "net1")
		for _, network := range []string{"tcp", "udp"} {
			sender := netlab.Client{NS: pod.NS, Network: network, Source: providerA.pod(to), Timeout: 50 * time.Millisecond}
			if _, err := sender.Talk(netip.AddrPortFrom(to, 9)); err == nil {
				t.Errorf("%s from %v to %v was answered", network, providerA.pod(to), to)
			}
		}
		assertNoneFrom(t, net1, providerA.pod(to))
	}
}

// TestFailoverRefused: while main has no default, traffic from eth0's address, which is still
// configured, is refused at once: by the step of its source, or by the guard of a NIC without
// a source table.
func TestFailoverRefused(t *testing.T) {
	t.Parallel()
	for name, chained := range map[string]bool{"guard": false, "step": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, pod := failoverPod(t, chained, nil)
			if chained {
				bounce(t, pod.NS, "eth0")
			} else {
				pod.NS.IP(t, "-4", "route", "del", "default", "dev", "eth0")
				pod.NS.IP(t, "-6", "route", "del", "default", "dev", "eth0")
			}
			for _, to := range clients {
				net1 := pod.NS.Capture(t, "net1")
				sender := netlab.Client{NS: pod.NS, Network: "udp", Source: providerA.pod(to)}
				if _, err := sender.Talk(netip.AddrPortFrom(to, 9)); !errors.Is(err, syscall.ENETUNREACH) {
					t.Errorf("from %v to %v: %v, want %v", providerA.pod(to), to, err, syscall.ENETUNREACH)
				}
				assertNoneFrom(t, net1, providerA.pod(to))
				s.assertOwnSource(t, pod, to, providerB)
			}
		})
	}
}

// TestSilentGateway: eth0's gateway is silent until its neighbour entry is FAILED. Nothing of
// eth0's leaves by net1 meanwhile, and when the gateway is back IPv6 goes on within two
// seconds: nothing that IPv6 could prefer to a route with a FAILED neighbour stands in main or
// in the table.
func TestSilentGateway(t *testing.T) {
	t.Parallel()
	s, pod := failoverPod(t, false, nil)
	patience := func(ms string) {
		pod.NS.SetSysctl(t, "net/ipv4/neigh/eth0/retrans_time_ms="+ms, "net/ipv6/neigh/eth0/retrans_time_ms="+ms)
	}
	for _, to := range clients {
		t.Run(to.String(), func(t *testing.T) {
			gateway := providerA.gateway(to)
			server := s.client.Echo(t, addrPort(to))
			net1 := pod.NS.Capture(t, "net1")
			senders := []netlab.Client{
				{NS: pod.NS, Network: "udp", Timeout: 50 * time.Millisecond},
				{NS: pod.NS, Network: "udp", Source: providerA.pod(to), Timeout: 50 * time.Millisecond},
			}
			patience("20")
			s.node.IP(t, "link", "set", providerA.uplink(), "down")
			pod.NS.IP(t, "neigh", "flush", "dev", "eth0")
			netlab.Eventually(t, "the gateway's neighbour entry fails", func() bool {
				for _, sender := range senders {
					sender.Talk(server) // what comes of it is not the point
				}
				return strings.Contains(pod.NS.IP(t, "neigh", "show", gateway.String(), "dev", "eth0"), "FAILED")
			})
			for _, sender := range senders {
				sender.Talk(server)
			}
			assertRoute(t, pod.NS, "eth0", gateway, to)
			assertRoute(t, pod.NS, "eth0", gateway, to, "from", providerA.pod(to).String())
			assertNoneFrom(t, net1, providerA.pod(to))

			patience("1000")
			s.node.IP(t, "link", "set", providerA.uplink(), "up")
			s.node.WaitForCarrier(t, providerA.uplink())
			s.gateways["a"].WaitForCarrier(t, "lan")
			for _, network := range []string{"tcp", "udp"} {
				again := netlab.Client{NS: pod.NS, Network: network, Timeout: 2 * time.Second}
				if local, err := again.Talk(server); err != nil || local.Addr() != providerA.pod(to) {
					t.Errorf("%s after the outage: from %v, %v", network, local, err)
				}
			}
			assertNoneFrom(t, net1, providerA.pod(to))
		})
	}
}

// TestLostRuleIsRepaired: of a pod whose net1 has two sets of gateways any rule of ours is
// deleted by hand. CHECK names it, and ADD again brings it back.
func TestLostRuleIsRepaired(t *testing.T) {
	t.Parallel()
	two := net1
	two.addresses = append(slices.Clone(two.addresses), "198.18.7.144/24")
	two.gateways = append(slices.Clone(two.gateways), "198.18.7.1")
	b := newBench(t, eth0, two)
	attachments := []attachment{b.attach(eth0, nil), b.attach(two, nil)}
	for _, a := range attachments {
		a.must(t, "ADD")
	}
	whole := b.pod.NS.Snapshot(t).Sorted()
	deleted := 0
	for _, family := range families {
		for line := range strings.Lines(b.pod.NS.IP(t, family, "rule")) {
			words := strings.Fields(line)
			if !strings.Contains(line, "proto 73") {
				continue
			}
			deleted++
			b.pod.NS.IP(t, append([]string{family, "rule", "del", "priority", strings.TrimSuffix(words[0], ":")}, words[1:]...)...)
			missed := ""
			for _, a := range attachments {
				if failure := a.run(t, "CHECK").Failed(t); failure != nil {
					missed += failure.Msg + failure.Details
				}
			}
			if text := strings.Join(words[1:], " "); !strings.Contains(missed, strings.TrimPrefix(text, "from all ")) && !strings.HasPrefix(words[0], "49998") {
				t.Errorf("CHECK does not name %q: %s", text, missed)
			}
			for _, a := range attachments {
				a.must(t, "ADD")
				a.must(t, "CHECK")
			}
			assertSame(t, "ADD did not bring back "+line, whole, b.pod.NS.Snapshot(t).Sorted())
		}
	}
	if deleted < 20 {
		t.Errorf("only %d rules of ours were found", deleted)
	}
}

// TestYieldsWithoutSource: IPAM gave the NIC no IPv6 address, and it has one, and a default route,
// all the same. That default yields, too, and its address keeps its way.
func TestYieldsWithoutSource(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	before := b.pod.NS.Snapshot(t).Sorted()
	ipv4 := net1
	ipv4.addresses, ipv4.gateways = net1.addresses[:1], net1.gateways[:1]
	for _, wish := range []string{"yield", "take"} {
		a := b.attach(ipv4, netlab.Object{"mainDefault": wish})
		a.must(t, "ADD")
		a.must(t, "CHECK")
		from := netip.MustParsePrefix(net1.addresses[1]).Addr().String()
		way := b.pod.NS.IP(t, "-6", "route", "get", "2001:db8:ffff::1", "from", from)
		if !strings.Contains(way, "dev net1") || !strings.Contains(way, net1.gateways[1]) {
			t.Errorf("%s: what its IPv6 address sends leaves by\n%s", wish, way)
		}
		owner := map[string]string{"yield": "eth0", "take": "net1"}[wish]
		if main := b.pod.NS.IP(t, "-6", "route", "show", "default"); strings.Count(main, "dev") != 1 || !strings.Contains(main, owner) {
			t.Errorf("%s: main's IPv6 default is\n%s", wish, main)
		}
		a.must(t, "DEL")
		assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t).Sorted())
		assertNoFiles(t, b.dataDir)
	}
}
