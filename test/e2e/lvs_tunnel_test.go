package e2e

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// newTunnelSite makes a site with a director, on a kernel that has both tunnels.
func newTunnelSite(t *testing.T) *lvsSite {
	t.Helper()
	needsTunnels(t)
	return newDirectedSite(t)
}

func needsTunnels(t *testing.T) {
	t.Helper()
	netlab.NeedsLink(t, "ipip")
	netlab.NeedsLink(t, "ip6tnl")
}

// onTunnels is where the VIPs are in tunneling.
var onTunnels = map[netip.Addr]string{vip4: "tunl0", vip6: "ip6tnl0"}

// TestLVSTunnelByHand is a real server behind tunnels as people set it up.
func TestLVSTunnelByHand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		vips map[netip.Addr]string
		mode string // of tunl0
	}{
		{"strict mode drops every request", onTunnels, "1"},
		// Without an address a device cannot tell what comes back by another one
		// (__fib_validate_source: last_resort).
		{"loose mode of a tunnel without an address is strict", onLo, "2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newTunnelSite(t)
			l.runtime.MustAdd(t, l.backend(providerB), l.pod, "net1")
			l.byHand(t, test.vips)
			l.pod.NS.IP(t, "link", "set", "tunl0", "up")
			l.pod.NS.SetSysctl(t, "net/ipv4/conf/tunl0/rp_filter="+test.mode)
			l.serve(t, netlab.Tunneling, vip4)
			listen(t, l.pod, vip4)
			before, out := l.pod.NS.ReversePathDrops(t), l.replies(t, l.pod, vip4)
			l.assertUnanswered(t, vip4)
			l.awaitPathDrops(t, before+unansweredConnections)
			for nic, packets := range out() {
				if len(packets) > 0 {
					t.Errorf("replies on %s:\n%s", nic, netlab.List(packets))
				}
			}
		})
	}
	t.Run("loose mode, the VIP on the tunnel: replies leave by the wrong NIC", func(t *testing.T) {
		t.Parallel()
		l := newTunnelSite(t)
		l.runtime.MustAdd(t, l.backend(providerB), l.pod, "net1")
		l.byHand(t, onTunnels)
		l.pod.NS.SetSysctl(t, "net/ipv4/conf/tunl0/rp_filter=2")
		l.serve(t, netlab.Tunneling, vips...)
		listen(t, l.pod, vips...)
		for _, vip := range vips {
			l.assertAstray(t, vip)
		}
	})
}

// TestLVSTunnel answers every request that comes by a tunnel, and large ones need
// no help of the network to fit into it.
func TestLVSTunnel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		lvs     netlab.Object
		mode    string
		macvlan bool
		onLo    bool // the VIPs are there before ADD
		nic     string
	}{
		{name: "loose", lvs: tunnel(), mode: "loose", nic: "net1"},
		{name: "strict, behind macvlan", lvs: tunnel(), mode: "strict", macvlan: true, nic: "net1"},
		{name: "VIPs that are on lo already", lvs: tunnel(), mode: "loose", onLo: true, nic: "net1"},
		{name: "replies by the management NIC", lvs: and(tunnel(), "replyBy", "eth0"), mode: "loose", nic: "eth0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newTunnelSite(t)
			if test.nic == "eth0" {
				l.openGateways(t)
			}
			if test.onLo {
				l.byHand(t, onLo)
			}
			before := l.pod.NS.Snapshot(t).Without(bornWithUp)
			symroute := l.symroute(netlab.Object{"lvs": test.lvs, "rpFilter": test.mode})
			list := l.backend(providerB, symroute)
			if test.macvlan {
				macvlan := netlab.MacvlanPlugin(providerB.bridge(), providerB.hostLocal(l.ipamDir))
				list = netlab.NewConflist("net-b", cniVersion, macvlan, symroute)
			}
			l.runtime.MustAdd(t, list, l.pod, "net1")
			l.assertTunnels(t, onTunnels)
			assertEffective(t, l.pod.NS, "tunl0", "2")
			l.serve(t, netlab.Tunneling, vips...)
			listen(t, l.pod, vips...)
			l.assertServed(t, manyConnections, test.nic, vips...)
			l.assertBalanced(t, manyConnections, vip4, providerB.pod4)
			l.assertBalanced(t, manyConnections, vip6, providerB.pod6)
			l.assertFits(t, test.nic)
			l.runtime.MustCheck(t, list, l.pod, "net1")
			l.runtime.MustDel(t, list, l.pod, "net1")
			assertSame(t, "ADD and DEL changed the pod", before, l.pod.NS.Snapshot(t).Without(bornWithUp))
			assertNoFiles(t, l.dataDir)
		})
	}
}

// bornWithUp picks the IPv6 settings of tunl0. The kernel makes them when the
// device is set up for the first time, not with the device, which had no MTU yet
// then (addrconf_notify); and it never takes them away again.
func bornWithUp(line string) bool { return strings.HasPrefix(line, "net/ipv6/conf/tunl0/") }

// assertTunnels demands VIPs on devices that are up.
func (l *lvsSite) assertTunnels(t *testing.T, devices map[netip.Addr]string) {
	t.Helper()
	for vip, device := range devices {
		if addresses := l.pod.NS.IP(t, "addr", "show", "dev", device, "up"); !strings.Contains(addresses, vip.String()) {
			t.Errorf("%v is not on %s, or that is not up:\n%s", vip, device, addresses)
		}
	}
}

// assertFits sends much both ways in segments of full size. The server asks for
// segments that leave the director room for its header, so that no packet is ever
// too big: nobody has to say so, which firewalls may well swallow.
func (l *lvsSite) assertFits(t *testing.T, nic string) {
	t.Helper()
	const much = 200_000
	// What the kernel hands to a cable as one packet shall be one.
	l.client.IP(t, "link", "set", "wan-b", "gso_max_segs", "1")
	for vip, mss := range map[netip.Addr]int{vip4: 1500 - 20 - 20 - 20, vip6: 1500 - 40 - 40 - 20} {
		out, back := l.replies(t, l.pod, vip), l.client.Capture(t, "wan-b")
		if err := l.visitor(vip).TalkMuch(service(vip), much); err != nil {
			t.Errorf("%v: %v", vip, err)
		}
		if answers := out()[nic]; len(answers) == 0 || answers[0].MSS != mss {
			t.Errorf("%v: want answers that ask for segments of %d bytes, got %d of them:", vip, mss, len(answers))
			for _, answer := range answers[:min(1, len(answers))] {
				t.Errorf("\t%v, %d bytes", answer, answer.MSS)
			}
		}
		tooBig := back.Matching(t, func(packet netlab.Packet) bool {
			return packet.Protocol == "icmp" && packet.Type == icmpUnreachable || packet.Protocol == "icmpv6" && packet.Type == icmpv6TooBig
		})
		if len(tooBig) > 0 {
			t.Errorf("%v: packets that were too big:\n%s", vip, netlab.List(tooBig))
		}
	}
}

const (
	icmpUnreachable = 3 // among them: fragmentation needed
	icmpv6TooBig    = 2
)

// TestLVSTunnelDevice has pods in which the kernel made no tunnels: symroute makes
// them, and DEL deletes them.
func TestLVSTunnelDevice(t *testing.T) {
	needsTunnels(t)
	bare := podsWithoutTunnels(t, 2)
	t.Parallel()
	for i, test := range []struct {
		name    string
		lvs     netlab.Object
		devices map[netip.Addr]string
	}{
		{"with the kernel's names", tunnel(), onTunnels},
		{"with a name of one's own", ownTunnel(), map[netip.Addr]string{vip4: "lvs0"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := lvsSiteOf(t, bare[i]).withDirector(t)
			before := l.pod.NS.Snapshot(t)
			list := l.realServer(test.lvs, netlab.Object{"rpFilter": "strict"})
			l.runtime.MustAdd(t, list, l.pod, "net1")
			l.assertTunnels(t, test.devices)
			for vip := range test.devices {
				l.serve(t, netlab.Tunneling, vip)
				listen(t, l.pod, vip)
				l.assertServed(t, 3, "net1", vip)
			}
			l.runtime.MustCheck(t, list, l.pod, "net1")
			l.runtime.MustDel(t, list, l.pod, "net1")
			assertSame(t, "ADD and DEL changed the pod", before, l.pod.NS.Snapshot(t))
			assertNoFiles(t, l.dataDir)
		})
	}
}

// ownTunnel is the key lvs for tunneling by a device with a name of one's own.
func ownTunnel() netlab.Object {
	return netlab.Object{"mode": "tunnel", "vips": []netip.Addr{vip4}, "device": "lvs0"}
}

// podsWithoutTunnels makes pods in whose namespaces the kernel puts no tunnels,
// which is a setting of the whole machine: no other test may run meanwhile.
func podsWithoutTunnels(t *testing.T, count int) []*netlab.Pod {
	t.Helper()
	const setting = "/proc/sys/net/core/fb_tunnels_only_for_init_net"
	was, err := os.ReadFile(setting)
	if err != nil {
		t.Fatal(err)
	}
	set := func(value []byte) {
		if err := os.WriteFile(setting, value, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set([]byte("1"))
	defer set(was)
	var pods []*netlab.Pod
	for range count {
		pods = append(pods, netlab.NewPod(t))
	}
	return pods
}

// TestLVSTunnelTaken names the device that stands in the way of a new one: the
// kernel has one tunnel for packets from everybody.
func TestLVSTunnelTaken(t *testing.T) {
	t.Parallel()
	needsTunnels(t)
	b := newBench(t, eth0, net1)
	a := b.attach(net1, netlab.Object{"lvs": ownTunnel()})
	assertCode(t, a.fails(t, "ADD", "lvs.device", "tunl0"), codeConfiguration)
	assertNoFiles(t, b.dataDir)
}
