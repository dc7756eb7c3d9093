package e2e

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// directors are ways for requests to get to a pod by direct routing. To the pod they
// are the same: the second one is for kernels that lack the first.
var directors = []struct {
	name string
	site func(*testing.T) *lvsSite
}{
	{"ip_vs", newDirectedSite},
	{"a neighbour that has the pod's hardware address for the VIP", newNeighbourSite},
}

// newNeighbourSite makes a site without director.
func newNeighbourSite(t *testing.T) *lvsSite {
	t.Helper()
	if _, err := os.Stat("/proc/net/ip_vs"); err == nil {
		t.Skip("this kernel has ip_vs, which does the same")
	}
	return newLVSSite(t)
}

// TestLVSDirectRoutingByHand is a real server as people set it up: the VIP on lo,
// and ARP kept quiet. It is not enough on a pod whose default route leaves by
// another NIC.
func TestLVSDirectRoutingByHand(t *testing.T) {
	t.Parallel()
	for _, director := range directors {
		t.Run(director.name, func(t *testing.T) {
			t.Parallel()
			l := director.site(t)
			l.runtime.MustAdd(t, l.backend(providerB), l.pod, "net1")
			l.byHand(t, onLo)
			l.serve(t, netlab.DirectRouting, vips...)
			listen(t, l.pod, vips...)

			l.pod.NS.SetSysctl(t, "net/ipv4/conf/net1/rp_filter=1")
			before := l.pod.NS.ReversePathDrops(t)
			l.assertUnanswered(t, vip4)
			l.awaitPathDrops(t, before+unansweredConnections)

			// Loose mode lets requests in; their replies leave by eth0, where a
			// firewall has not seen the requests. IPv6 knows no such mode.
			l.pod.NS.SetSysctl(t, "net/ipv4/conf/net1/rp_filter=2")
			for _, vip := range vips {
				l.assertAstray(t, vip)
			}
		})
	}
}

// awaitPathDrops demands that the pod's reverse-path filter drops so many packets in all.
func (l *lvsSite) awaitPathDrops(t *testing.T, count int) {
	t.Helper()
	netlab.Eventually(t, "the reverse-path filter drops every request", func() bool { return l.pod.NS.ReversePathDrops(t) >= count })
}

// assertAstray demands that replies leave by eth0, and get no further than to the
// firewall there.
func (l *lvsSite) assertAstray(t *testing.T, vip netip.Addr) {
	t.Helper()
	out, dropped := l.replies(t, l.pod, vip), l.gateways["a"].FirewallDrops(t)
	l.assertUnanswered(t, vip)
	netlab.Eventually(t, "replies from "+vip.String()+" leave by eth0", func() bool { return len(out()["eth0"]) > 0 })
	netlab.Eventually(t, "gateway a's firewall drops them", func() bool { return l.gateways["a"].FirewallDrops(t) > dropped })
	if replies := out()["net1"]; len(replies) > 0 {
		t.Errorf("replies on net1:\n%s", netlab.List(replies))
	}
}

// onLo is where the VIPs are in direct routing.
var onLo = map[netip.Addr]string{vip4: "lo", vip6: "lo"}

// byHand sets up a real server as manuals of LVS have it, but for rp_filter: VIPs
// on a device, and no answers to ARP for them.
func (l *lvsSite) byHand(t *testing.T, devices map[netip.Addr]string) {
	t.Helper()
	for vip, device := range devices {
		l.pod.NS.Batch(t, "link set "+device+" up", netlab.Address(host(vip), device))
		usable(t, l.pod.NS, vip)
	}
	l.pod.NS.SetSysctl(t, "net/ipv4/conf/all/arp_ignore=1", "net/ipv4/conf/all/arp_announce=2")
}

// usable waits until the kernel delivers packets to an address: it makes the route
// for that after it has said yes to an IPv6 address (addrconf_dad_work).
func usable(t *testing.T, ns *netlab.NS, address netip.Addr) {
	t.Helper()
	netlab.Eventually(t, address.String()+" is local", func() bool {
		return strings.HasPrefix(ns.IP(t, "route", "get", address.String()), "local ")
	})
}

// TestLVSDirectRouting answers every request by the backend NIC, in every mode.
func TestLVSDirectRouting(t *testing.T) {
	t.Parallel()
	for _, director := range directors {
		for _, mode := range []string{"loose", "strict"} {
			t.Run(director.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				l := director.site(t)
				before := l.pod.NS.Snapshot(t)
				list := l.realServer(direct(), netlab.Object{"rpFilter": mode})
				l.runtime.MustAdd(t, list, l.pod, "net1")
				assertEffective(t, l.pod.NS, "net1", map[string]string{"loose": "2", "strict": "1"}[mode])
				l.serve(t, netlab.DirectRouting, vips...)
				listen(t, l.pod, vips...)
				l.assertServed(t, manyConnections, "net1", vips...)
				if l.director != nil {
					l.assertBalanced(t, manyConnections, vip4, providerB.pod4)
					l.assertBalanced(t, manyConnections, vip6, providerB.pod6)
				}
				l.runtime.MustCheck(t, list, l.pod, "net1")
				l.runtime.MustDel(t, list, l.pod, "net1")
				assertSame(t, "ADD and DEL changed the pod", before, l.pod.NS.Snapshot(t))
				assertNoFiles(t, l.dataDir)
			})
		}
	}
}

// manyConnections is how many connections show that it is not by luck.
const manyConnections = 20

// TestLVSSeveralVIPs has one real server for services of the LAN and from
// elsewhere. The runtime does not hear of the VIPs.
func TestLVSSeveralVIPs(t *testing.T) {
	t.Parallel()
	all := slices.Concat(vips, aways)
	for _, director := range directors {
		t.Run(director.name, func(t *testing.T) {
			t.Parallel()
			l := director.site(t)
			list := l.realServer(and(direct(), "vips", all), netlab.Object{"rpFilter": "strict"})
			result := l.runtime.MustAdd(t, list, l.pod, "net1")
			for _, ip := range result.IPs {
				address, _ := netip.AddrFromSlice(ip.Address.IP)
				if !slices.Contains(providerB.pods(), address.Unmap()) {
					t.Errorf("the result has %v", ip.Address.IP)
				}
			}
			l.serve(t, netlab.DirectRouting, all...)
			listen(t, l.pod, all...)
			l.assertServed(t, 2, "net1", all...)
			l.runtime.MustCheck(t, list, l.pod, "net1")
		})
	}
}

// TestLVSDirectRoutingAnyServer has a server that listens on all addresses, as most do.
func TestLVSDirectRoutingAnyServer(t *testing.T) {
	t.Parallel()
	l := newLVSSite(t)
	l.runtime.MustAdd(t, l.realServer(direct(), nil), l.pod, "net1")
	l.serve(t, netlab.DirectRouting, vips...)
	l.pod.NS.Echo(t, service(netip.IPv6Unspecified()))
	for _, vip := range vips {
		if _, err := l.visitor(vip).Talk(service(vip)); err != nil {
			t.Errorf("%v: %v", vip, err)
		}
	}
}

// TestLVSReplyBy lets replies leave by the management NIC: the backend NIC
// accepts what strict mode would not.
func TestLVSReplyBy(t *testing.T) {
	t.Parallel()
	lvs := and(direct(), "replyBy", "eth0")
	for _, director := range directors {
		t.Run(director.name, func(t *testing.T) {
			t.Parallel()
			l := director.site(t)
			l.openGateways(t)
			before := l.pod.NS.Snapshot(t)
			list := l.realServer(lvs, nil)
			l.runtime.MustAdd(t, list, l.pod, "net1")
			l.serve(t, netlab.DirectRouting, vips...)
			listen(t, l.pod, vips...)
			l.assertServed(t, manyConnections, "eth0", vips...)
			l.runtime.MustCheck(t, list, l.pod, "net1")
			l.runtime.MustDel(t, list, l.pod, "net1")
			assertSame(t, "ADD and DEL changed the pod", before, l.pod.NS.Snapshot(t))
			assertNoFiles(t, l.dataDir)
		})
	}
	t.Run("strict is refused", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		a := b.attach(net1, netlab.Object{"lvs": lvs, "rpFilter": "strict"})
		assertCode(t, a.fails(t, "ADD", "lvs.replyBy", "strict", "loose", "eth0"), codeConfiguration)
		assertNoFiles(t, b.dataDir)
	})
}

// openGateways takes the firewalls away, which see one half of a connection only
// when replies take another way.
func (l *lvsSite) openGateways(t *testing.T) {
	t.Helper()
	for _, gateway := range l.gateways {
		if _, err := gateway.Command("", "nft", "flush", "ruleset"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLVSReplyByLostAnAddress: the NIC that replies leave by has lost one of its addresses. Its own attachment's table still
// has a route with that as its source, of which the kernel takes no second one.
func TestLVSReplyByLostAnAddress(t *testing.T) {
	t.Parallel()
	two := eth0
	two.addresses = append([]string{"10.2.0.31/24"}, two.addresses...)
	two.gateways = append([]string{""}, two.gateways...)
	b := newBench(t, eth0, net1)
	b.pod.NS.Batch(t, "addr add 10.2.0.31/24 dev eth0")
	b.attach(two, nil).must(t, "ADD")
	b.pod.NS.Batch(t, "addr del 10.2.0.31/24 dev eth0")
	a := b.attach(net1.withoutDefaults(), netlab.Object{"lvs": and(direct(), "replyBy", "eth0")})
	a.must(t, "ADD")
	a.must(t, "DEL")
}
