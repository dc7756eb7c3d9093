package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// lvsBench is a pod that can be a real server.
func lvsBench(t *testing.T, mode string) *bench {
	t.Helper()
	if mode == "tunnel" {
		needsTunnels(t)
	}
	b := newBench(t, eth0, net1.withoutDefaults())
	if mode == "tunnel" {
		// See bornWithUp.
		b.pod.NS.Batch(t, "link set tunl0 up", "link set tunl0 down")
	}
	return b
}

// lvsModes are the modes that the tests below run in.
var lvsModes = []string{"dr", "tunnel"}

// lvsKeys is a configuration with the VIPs of both families.
func lvsKeys(mode string, keys netlab.Object) netlab.Object {
	return and(keys, "lvs", netlab.Object{"mode": mode, "vips": vips})
}

// damage is one way to break a real server.
type damage struct {
	name   string
	ip     string // a command
	sysctl string
	words  []string // that CHECK names
}

// lvsDamages lists them by mode.
var lvsDamages = map[string][]damage{
	"dr": {
		{name: "the VIP deleted", ip: "addr del 203.0.113.200/32 dev lo", words: []string{"203.0.113.200", "lo"}},
		{name: "the IPv6 VIP deleted", ip: "addr del 2001:db8:b::200/128 dev lo", words: []string{"2001:db8:b::200", "lo"}},
		{name: "the IPv6 VIP may be chosen as source", ip: "addr change 2001:db8:b::200/128 dev lo preferred_lft forever",
			words: []string{"2001:db8:b::200", "preferred lifetime"}},
		{name: "the VIP's source rule deleted", ip: "rule del from 203.0.113.200 lookup 7300 protocol 73",
			words: []string{"203.0.113.200"}},
		{name: "the IPv6 VIP's source rule deleted", ip: "-6 rule del from 2001:db8:b::200 lookup 7300 protocol 73",
			words: []string{"2001:db8:b::200"}},
		{name: "eth0 answers ARP for all addresses", sysctl: "net/ipv4/conf/eth0/arp_ignore=0", words: []string{"eth0", "arp_ignore"}},
		{name: "net1 asks with any address", sysctl: "net/ipv4/conf/net1/arp_announce=0", words: []string{"net1", "arp_announce"}},
	},
	"tunnel": {
		{name: "the VIP deleted", ip: "addr del 203.0.113.200/32 dev tunl0", words: []string{"203.0.113.200", "tunl0"}},
		{name: "tunl0 down", ip: "link set tunl0 down", words: []string{"tunl0", "down"}},
		{name: "ip6tnl0 down", ip: "link set ip6tnl0 down", words: []string{"ip6tnl0", "down"}},
		{name: "tunl0 strict", sysctl: "net/ipv4/conf/tunl0/rp_filter=1", words: []string{"tunl0", "rp_filter"}},
		{name: "the VIP's source rule deleted", ip: "rule del from 203.0.113.200 lookup 7301 protocol 73",
			words: []string{"203.0.113.200"}},
		{name: "the VIP's segments too large", ip: "route replace default via 203.0.113.1 dev net1 table 7301 protocol 73",
			words: []string{"7301", "advmss"}},
	},
}

// TestLVSCheckFinds breaks a real server in one way after the other. CHECK names the
// break, and ADD repairs it.
func TestLVSCheckFinds(t *testing.T) {
	t.Parallel()
	for _, mode := range lvsModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := lvsBench(t, mode)
			before := b.pod.NS.Snapshot(t)
			a := b.attach(net1.withoutDefaults(), lvsKeys(mode, netlab.Object{"rpFilter": "strict"}))
			assertPassedOn(t, a.prev, a.must(t, "ADD"))
			a.must(t, "CHECK")
			added := b.pod.NS.Snapshot(t)
			t.Run("nothing, and ADD changes nothing", func(t *testing.T) {
				assertPassedOn(t, a.prev, a.must(t, "ADD"))
				assertSame(t, "the second ADD changed the pod", added, b.pod.NS.Snapshot(t))
			})
			added = added.Sorted()
			for _, damage := range lvsDamages[mode] {
				t.Run(damage.name, func(t *testing.T) {
					if damage.ip != "" {
						b.pod.NS.Batch(t, damage.ip)
					}
					if damage.sysctl != "" {
						b.pod.NS.SetSysctl(t, damage.sysctl)
					}
					assertCode(t, a.fails(t, "CHECK", damage.words...), deviations...)
					a.must(t, "ADD")
					a.must(t, "CHECK")
					assertSame(t, "the second ADD led elsewhere", added, b.pod.NS.Snapshot(t).Sorted())
				})
			}
			t.Run("a foreign rule before the VIP's", func(t *testing.T) {
				b.pod.NS.Batch(t, "rule add from 203.0.113.200 lookup main priority 100")
				assertCode(t, a.fails(t, "CHECK", "203.0.113.200", "100"), deviations...)
				b.pod.NS.Batch(t, "rule del from 203.0.113.200 lookup main priority 100")
			})
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			assertNoFiles(t, b.dataDir)
		})
	}
}

// TestLVSVIPIsThereAlready has VIPs by hand where symroute would put them. They stay
// as they are, and stay there after DEL.
func TestLVSVIPIsThereAlready(t *testing.T) {
	t.Parallel()
	for mode, devices := range map[string]map[netip.Addr]string{"dr": onLo, "tunnel": onTunnels} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := lvsBench(t, mode)
			for vip, device := range devices {
				b.pod.NS.Batch(t, "link set "+device+" up", netlab.Address(host(vip), device))
				usable(t, b.pod.NS, vip)
			}
			before := b.pod.NS.Snapshot(t)
			a := b.attach(net1.withoutDefaults(), lvsKeys(mode, netlab.Object{"rpFilter": "strict"}))
			a.must(t, "ADD")
			a.must(t, "CHECK")
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			assertNoFiles(t, b.dataDir)
		})
	}
}

// TestLVSAllOrNothing has ADD fail, most of the time late, and leave no trace.
func TestLVSAllOrNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range lvsModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := lvsBench(t, mode)
			for _, test := range []struct {
				name     string
				ip, undo string        // commands
				lvs      netlab.Object // beside mode and VIPs
				codes    []uint
				words    []string
			}{
				{name: "a NIC answers for the VIP", ip: "addr add 203.0.113.200/32 dev eth0", undo: "addr del 203.0.113.200/32 dev eth0",
					codes: []uint{codeState}, words: []string{"203.0.113.200", "eth0"}},
				{name: "a foreign rule would lead replies astray",
					ip: "rule add from 203.0.113.200 lookup main priority 100", undo: "rule del from 203.0.113.200 lookup main priority 100",
					codes: deviations, words: []string{"203.0.113.200", "100"}},
				{name: "a foreign rule would lead IPv6 replies astray",
					ip: "-6 rule add from 2001:db8:b::200 lookup main priority 100", undo: "-6 rule del from 2001:db8:b::200 lookup main priority 100",
					codes: deviations, words: []string{"2001:db8:b::200", "100"}},
				{name: "replies by a NIC that is not there", lvs: netlab.Object{"replyBy": "net7"},
					codes: []uint{codeConfiguration}, words: []string{"lvs.replyBy", "net7"}},
				// The last, for the NIC has lost its IPv6 addresses then.
				{name: "replies by a NIC that is down", ip: "link set eth0 down", undo: "link set eth0 up", lvs: netlab.Object{"replyBy": "eth0"},
					codes: []uint{codeState}, words: []string{"eth0", "down"}},
			} {
				t.Run(test.name, func(t *testing.T) {
					if test.ip != "" {
						b.pod.NS.Batch(t, test.ip)
						defer b.pod.NS.Batch(t, test.undo)
					}
					lvs := and(and(test.lvs, "mode", mode), "vips", vips)
					a := b.attach(net1.withoutDefaults(), netlab.Object{"lvs": lvs})
					assertCode(t, a.fails(t, "ADD", test.words...), test.codes...)
					assertNoFiles(t, b.dataDir)
				})
			}
		})
	}
}

// TestLVSTwoServices has two attachments that are real servers, each of services of
// its own. They leave in either order, and what they share goes with the last. Neither
// gets a VIP that the other has.
func TestLVSTwoServices(t *testing.T) {
	t.Parallel()
	for _, mode := range lvsModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := lvsBench(t, mode)
			b.plug(t, net2.withoutDefaults())
			one := b.attach(net1.withoutDefaults(), lvsKeys(mode, nil))
			other := b.attach(net2.withoutDefaults(), netlab.Object{"lvs": netlab.Object{"mode": mode, "vips": aways}})
			rival := b.attach(net2.withoutDefaults(), lvsKeys(mode, nil))
			before := b.pod.NS.Snapshot(t)
			for _, leaving := range [][]attachment{{one, other}, {other, one}} {
				one.must(t, "ADD")
				remembered := files(t, b.dataDir)
				assertCode(t, rival.fails(t, "ADD", "203.0.113.200", "net1"), codeState)
				assertLines(t, "remembered files", remembered, files(t, b.dataDir))
				other.must(t, "ADD")
				one.must(t, "CHECK")
				other.must(t, "CHECK")
				leaving[0].must(t, "DEL")
				leaving[1].must(t, "CHECK")
				leaving[1].must(t, "DEL")
				assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
				assertNoFiles(t, b.dataDir)
			}
		})
	}
}

// TestLVSVIPIsNoSource has the pod open connections of its own: they never come from
// a VIP, which would have the answers go to the director.
func TestLVSVIPIsNoSource(t *testing.T) {
	t.Parallel()
	for _, mode := range lvsModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if mode == "tunnel" {
				needsTunnels(t)
			}
			l := newLVSSite(t)
			l.allowOutgoing(t)
			l.runtime.MustAdd(t, l.realServer(netlab.Object{"mode": mode, "vips": slices.Concat(vips, aways)}, nil), l.pod, "net1")
			for _, far := range clients {
				l.assertSource(t, l.client.Echo(t, addrPort(far)), providerA.pod(far), "")
				l.assertSource(t, l.client.Echo(t, addrPort(far)), providerB.pod(far), "net1")
				l.assertSource(t, l.gateways["a"].Echo(t, addrPort(providerA.gateway(far))), providerA.pod(far), "")
				l.assertSource(t, l.gateways["b"].Echo(t, addrPort(providerB.gateway(far))), providerB.pod(far), "")
			}
			t.Run("by a NIC without addresses", func(t *testing.T) {
				l.assertNoSourceByBareNIC(t)
			})
		})
	}
}

// assertSource lets the pod talk to a server from an address that the kernel chooses,
// with the socket bound to a device if one is named.
func (l *lvsSite) assertSource(t *testing.T, server netip.AddrPort, want netip.Addr, device string) {
	t.Helper()
	local, err := (netlab.Client{NS: l.pod.NS, Device: device}).Talk(server)
	if err != nil || local.Addr() != want {
		t.Errorf("to %v (device %q): from %v, want %v: %v", server, device, local.Addr(), want, err)
	}
}

// assertNoSourceByBareNIC has a NIC without addresses, for which the kernel takes the
// address of another device: in IPv4 one of lo first (inet_select_addr), in IPv6
// the one that looks most like the destination.
func (l *lvsSite) assertNoSourceByBareNIC(t *testing.T) {
	t.Helper()
	netlab.Cable(t, netlab.Port{NS: l.node, Link: "bare"}, netlab.Port{NS: l.pod.NS, Link: "bare"})
	l.pod.NS.Batch(t, "route add 10.20.0.0/16 dev bare", "-6 route add 2001:db8:e:1::/64 dev bare")
	for _, to := range []string{"10.20.73.30", "2001:db8:e:1::1"} {
		route := strings.Fields(l.pod.NS.IP(t, "route", "get", to))
		at := slices.Index(route, "src")
		if at < 0 {
			t.Fatalf("no source in %q", route)
		}
		source := netip.MustParseAddr(route[at+1])
		if !slices.Contains(slices.Concat(providerA.pods(), providerB.pods()), source) {
			t.Errorf("to %s: from %v, want an address of a NIC", to, source)
		}
	}
}
