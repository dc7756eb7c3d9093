package e2e

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// TestGatewayOutage pulls the gateway's cable until the neighbour entry fails,
// and plugs it in again. An unreachable route in the table would make IPv6 wait
// for about a minute; symroute refuses by a rule instead.
func TestGatewayOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t, providerA, providerB)
	s.allowOutgoing(t)
	pod := netlab.NewPod(t)
	s.runtime.MustAdd(t, s.chained(providerA, nil), pod, "eth0")
	s.runtime.MustAdd(t, s.chained(providerB, nil), pod, "net1")
	// patience sets how long the pod waits for a neighbour's answer, in ms;
	// three times that, and the neighbour entry fails.
	patience := func(t *testing.T, ms string) {
		t.Helper()
		pod.NS.SetSysctl(t, "net/ipv4/neigh/net1/retrans_time_ms="+ms, "net/ipv6/neigh/net1/retrans_time_ms="+ms)
	}

	for _, remote := range clients {
		t.Run(remote.String(), func(t *testing.T) {
			gateway := providerB.gateway(remote)
			server := s.client.Echo(t, addrPort(remote))
			eth0 := pod.NS.Capture(t, "eth0")
			sender := netlab.Client{NS: pod.NS, Network: "udp", Source: providerB.pod(remote), Timeout: 50 * time.Millisecond}

			patience(t, "20")
			s.node.IP(t, "link", "set", providerB.uplink(), "down")
			pod.NS.IP(t, "neigh", "flush", "dev", "net1")
			netlab.Eventually(t, "the gateway's neighbour entry fails", func() bool {
				sender.Talk(server) // what comes of it is not the point
				state := pod.NS.IP(t, "neigh", "show", gateway.String(), "dev", "net1")
				return strings.Contains(state, "FAILED")
			})
			assertRoute(t, pod.NS, "net1", gateway, remote, "from", providerB.pod(remote).String())

			patience(t, "1000")
			s.node.IP(t, "link", "set", providerB.uplink(), "up")
			s.node.WaitForCarrier(t, providerB.uplink())
			s.gateways["b"].WaitForCarrier(t, "lan")
			for _, network := range []string{"tcp", "udp"} {
				again := netlab.Client{NS: pod.NS, Network: network, Source: providerB.pod(remote), Timeout: 3 * time.Second}
				if _, err := again.Talk(server); err != nil {
					t.Errorf("%s after the outage: %v", network, err)
				}
			}
			assertNoneFrom(t, eth0, providerB.pod(remote))
		})
	}
}

// TestNoWayOut asks what becomes of traffic that has no route of its own: it is
// refused at once, and no other NIC sees any of it.
func TestNoWayOut(t *testing.T) {
	t.Parallel()
	t.Run("a NIC without gateway", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, providerA, providerB)
		pod := netlab.NewPod(t)
		list := s.chain(providerB, providerB.noGateway(), nil)
		s.runtime.MustAdd(t, s.chained(providerA, nil), pod, "eth0")
		s.runtime.MustAdd(t, list, pod, "net1")
		s.runtime.MustCheck(t, list, pod, "net1")

		s.assertRefused(t, pod)
		t.Run("still reaches its own subnet", func(t *testing.T) {
			for _, gateway := range []netip.Addr{providerB.gateway4(), providerB.gateway6()} {
				server := s.gateways["b"].Echo(t, addrPort(gateway))
				if _, err := (netlab.Client{NS: pod.NS, Source: providerB.pod(gateway)}).Talk(server); err != nil {
					t.Errorf("%v: %v", gateway, err)
				}
			}
		})
		t.Run("accepts nothing that it could not answer", func(t *testing.T) {
			s.assertForgedDropped(t, providerB, pod, "net1", providerB.pod4)
		})
	})

	t.Run("a table emptied by link down and up", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, providerA, providerB)
		pod := netlab.NewPod(t)
		list := s.chained(providerB, nil)
		s.runtime.MustAdd(t, s.chained(providerA, nil), pod, "eth0")
		s.runtime.MustAdd(t, list, pod, "net1")
		bounce(t, pod.NS, "net1")

		s.assertRefused(t, pod)
		if err := s.runtime.Check(list, pod, "net1"); err == nil {
			t.Error("CHECK has nothing to say about it")
		}
	})

	t.Run("noGateway main leaks as asked", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, providerA, providerB)
		pod := netlab.NewPod(t)
		list := s.chain(providerB, providerB.noGateway(), netlab.Object{"noGateway": "main"})
		s.runtime.MustAdd(t, s.chained(providerA, nil), pod, "eth0")
		s.runtime.MustAdd(t, list, pod, "net1")
		s.runtime.MustCheck(t, list, pod, "net1")
		for _, remote := range clients {
			source := providerB.pod(remote)
			assertRoute(t, pod.NS, "eth0", providerA.gateway(remote), remote, "from", source.String())
			eth0 := pod.NS.Capture(t, "eth0")
			leak := netlab.Client{NS: pod.NS, Network: "udp", Source: source, Timeout: 50 * time.Millisecond}
			_, err := leak.Talk(netip.AddrPortFrom(remote, 9))
			netlab.Eventually(t, "a packet leaves by eth0", func() bool {
				return len(eth0.Matching(t, func(packet netlab.Packet) bool {
					return packet.Outgoing && packet.Src.Addr() == source
				})) > 0
			})
			if errors.Is(err, syscall.ENETUNREACH) {
				t.Errorf("from %v to %v: %v", source, remote, err)
			}
		}
	})
}

// assertRefused demands that the pod cannot send to the client from the address
// of provider b, is told so at once, and sends nothing through eth0 instead.
func (s *site) assertRefused(t *testing.T, pod *netlab.Pod) {
	t.Helper()
	for _, remote := range clients {
		source := providerB.pod(remote)
		eth0 := pod.NS.Capture(t, "eth0")
		for _, network := range []string{"tcp", "udp"} {
			client := netlab.Client{NS: pod.NS, Network: network, Source: source}
			if _, err := client.Talk(netip.AddrPortFrom(remote, 9)); !errors.Is(err, syscall.ENETUNREACH) {
				t.Errorf("%s from %v to %v: %v, want %v", network, source, remote, err, syscall.ENETUNREACH)
			}
		}
		assertNoneFrom(t, eth0, source)
	}
}

// assertNoneFrom demands that a link carried no packet from an address.
func assertNoneFrom(t *testing.T, capture *netlab.Capture, source netip.Addr) {
	t.Helper()
	packets := capture.Matching(t, func(packet netlab.Packet) bool { return packet.Src.Addr() == source })
	if len(packets) > 0 {
		t.Errorf("packets from %v on %s:\n%s", source, capture.Where, netlab.List(packets))
	}
}

// bounce sets a link down and up again, which loses its routes in all tables
// but main's connected ones.
func bounce(t *testing.T, ns *netlab.NS, link string) {
	t.Helper()
	ns.Batch(t, "link set "+link+" down", "link set "+link+" up")
	ns.Settle(t, link)
}
