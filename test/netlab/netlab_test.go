package netlab

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is two namespaces with a cable between them: 192.0.2.1 and 192.0.2.2,
// 2001:db8::1 and 2001:db8::2, all on a link eth0.
func pair(t *testing.T) (a, b *NS) {
	t.Helper()
	a, b = New(t, "a"), New(t, "b")
	Cable(t,
		Port{NS: a, Link: "eth0", Addresses: []string{"192.0.2.1/24", "2001:db8::1/64"}},
		Port{NS: b, Link: "eth0", Addresses: []string{"192.0.2.2/24", "2001:db8::2/64"}})
	return a, b
}

func TestNamespaceLifetime(t *testing.T) {
	var node *NS
	t.Run("lives", func(t *testing.T) {
		node = New(t, "node")
		if names := node.IP(t, "netns", "list"); !strings.Contains(names, node.Name) {
			t.Errorf("ip netns does not list %s:\n%s", node.Name, names)
		}
		var own unix.Stat_t
		if err := unix.Stat("/proc/self/ns/net", &own); err != nil {
			t.Fatal(err)
		}
		if node.Inode(t) == own.Ino {
			t.Error("the new namespace is the machine's")
		}
	})
	if _, err := os.Stat(node.Path); !os.IsNotExist(err) {
		t.Errorf("%s outlived its test: %v", node.Path, err)
	}
}

func TestTalk(t *testing.T) {
	a, b := pair(t)
	for _, address := range []string{"192.0.2.2", "2001:db8::2"} {
		server := b.Echo(t, netip.AddrPortFrom(netip.MustParseAddr(address), 0))
		for _, network := range []string{"tcp", "udp"} {
			for _, client := range []Client{
				{NS: a, Network: network},
				{NS: a, Network: network, Device: "eth0"},
			} {
				if _, err := client.Talk(server); err != nil {
					t.Errorf("%s to %v, device %q: %v", network, server, client.Device, err)
				}
			}
		}
		if err := a.Ping6(netip.MustParseAddr("2001:db8::2")); err != nil {
			t.Error(err)
		}
	}
}

func TestCapture(t *testing.T) {
	a, b := pair(t)
	server := b.Echo(t, netip.MustParseAddrPort("192.0.2.2:0"))
	capture := b.Capture(t, "eth0")
	local, err := Client{NS: a}.Talk(server)
	if err != nil {
		t.Fatal(err)
	}
	var in, out bool
	for _, packet := range capture.Packets(t) {
		if packet.Protocol != "tcp" {
			continue
		}
		in = in || !packet.Outgoing && packet.Src == local && packet.Dst == server
		out = out || packet.Outgoing && packet.Src == server && packet.Dst == local
	}
	if !in || !out {
		t.Errorf("saw a request: %t, saw a reply: %t\n%s", in, out, List(capture.Packets(t)))
	}
}

func TestInject(t *testing.T) {
	a, b := pair(t)
	for _, test := range []struct{ src, dst string }{
		{"192.0.2.66:5", "192.0.2.2:0"},
		{"[2001:db8::66]:5", "[2001:db8::2]:0"},
	} {
		box := b.Mailbox(t, netip.MustParseAddrPort(test.dst))
		a.Inject(t, "eth0", Frame{DstMAC: b.MAC(t, "eth0"), Src: netip.MustParseAddrPort(test.src), Dst: box.Address, Payload: "forged"})
		box.Wait(t, "forged")
	}
	b.SetSysctl(t, "net/ipv4/conf/eth0/rp_filter=1")
	box := b.Mailbox(t, netip.MustParseAddrPort("192.0.2.2:0"))
	a.Inject(t, "eth0", Frame{DstMAC: b.MAC(t, "eth0"), Src: netip.MustParseAddrPort("198.51.100.1:5"), Dst: box.Address, Payload: "forged"})
	Eventually(t, "the reverse-path filter drops the packet", func() bool { return b.ReversePathDrops(t) == 1 })
	if got := box.Messages(t); len(got) != 0 {
		t.Errorf("the mailbox got %q", got)
	}
}

func TestFirewall(t *testing.T) {
	a, b := pair(t)
	c := New(t, "c")
	Cable(t,
		Port{NS: b, Link: "eth1", Addresses: []string{"198.51.100.1/24"}},
		Port{NS: c, Link: "eth0", Addresses: []string{"198.51.100.2/24"}})
	a.IP(t, "route", "add", "default", "via", "192.0.2.2")
	c.IP(t, "route", "add", "default", "via", "198.51.100.1")
	b.Forward(t)
	b.StatefulFirewall(t, "eth0")
	allowed := Client{NS: a}
	if _, err := allowed.Talk(c.Echo(t, netip.MustParseAddrPort("198.51.100.2:0"))); err != nil {
		t.Error(err)
	}
	if drops := b.FirewallDrops(t); drops != 0 {
		t.Errorf("the firewall dropped %d packets of an allowed connection", drops)
	}
	refused := Client{NS: c, Timeout: 200 * time.Millisecond}
	if _, err := refused.Talk(a.Echo(t, netip.MustParseAddrPort("192.0.2.1:0"))); err == nil {
		t.Error("a connection from the other side passed")
	}
	if b.FirewallDrops(t) == 0 {
		t.Error("the firewall counted no drop")
	}
}

func TestSnapshotDiff(t *testing.T) {
	before := Snapshot{"rules": {"a", "b", "c", "d"}, "same": {"x"}, "gone": {"y"}}
	after := Snapshot{"rules": {"b", "a", "c", "e", "f"}, "same": {"x"}, "new": {"z"}}
	const want = "gone:\n\t- y\nnew:\n\t+ z\nrules:\n\t- a\n\t+ a\n\t- d\n\t+ e\n\t+ f\n"
	if got := before.Diff(after); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := before.Diff(before); got != "" {
		t.Errorf("nothing differs, yet:\n%s", got)
	}
}

func TestSnapshot(t *testing.T) {
	a, _ := pair(t)
	before := a.Snapshot(t)
	if diff := before.Diff(a.Snapshot(t)); diff != "" {
		t.Errorf("nothing happened, yet:\n%s", diff)
	}
	for _, change := range []struct{ do, undo string }{
		{"rule add from 192.0.2.1 lookup 7 protocol 73", "rule del from 192.0.2.1 lookup 7 protocol 73"},
		{"route add 10.0.0.0/8 via 192.0.2.2 table 7", "route del 10.0.0.0/8 via 192.0.2.2 table 7"},
		{"-6 route add 2001:db8:1::/64 via 2001:db8::2 table 7", "-6 route del 2001:db8:1::/64 via 2001:db8::2 table 7"},
	} {
		a.IP(t, strings.Fields(change.do)...)
		if before.Diff(a.Snapshot(t)) == "" {
			t.Errorf("the snapshot misses: %s", change.do)
		}
		a.IP(t, strings.Fields(change.undo)...)
		if diff := before.Diff(a.Snapshot(t)); diff != "" {
			t.Errorf("undone, yet:\n%s", diff)
		}
	}
	a.SetSysctl(t, "net/ipv4/conf/eth0/rp_filter=2")
	if before.Diff(a.Snapshot(t)) == "" {
		t.Error("the snapshot misses a sysctl")
	}
}

// TestOrderOfDefaults has defaults of main come back in another order, in which they are the
// same to a Snapshot and an Imprint, and other things, which are not.
func TestOrderOfDefaults(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	Cable(t,
		Port{NS: a, Link: "eth1", Addresses: []string{"198.51.100.1/24", "2001:db8:1::1/64"}},
		Port{NS: b, Link: "eth1", Addresses: []string{"198.51.100.2/24", "2001:db8:1::2/64"}})
	one, other := "via 192.0.2.2", "via 198.51.100.2"
	one6, other6 := "via 2001:db8::2", "via 2001:db8:1::2"
	for _, test := range []struct {
		name, family, place string
		hops                [2]string // appended in this order, and in the other
		same                bool
	}{
		{"IPv4 defaults of main", "", "default", [2]string{one, other}, true},
		{"hops of main's IPv6 default", "-6 ", "default", [2]string{one6, other6}, true},
		{"IPv4 defaults of another table", "", "default table 7", [2]string{one, other}, false},
		{"hops of another table's IPv6 default", "-6 ", "default table 7", [2]string{one6, other6}, false},
		{"specific IPv4 routes of main", "", "10.0.0.0/8", [2]string{one, other}, false},
		{"hops of a specific IPv6 route", "-6 ", "2001:db8:9::/48", [2]string{one6, other6}, false},
		{"IPv4 defaults with a TOS", "", "default tos 0x20", [2]string{one, other}, false},
		{"IPv4 defaults of several metrics", "", "default", [2]string{one, other + " metric 5"}, true}, // the kernel's order
	} {
		look := func(hops ...string) (Snapshot, Imprint) {
			for _, hop := range hops {
				a.Batch(t, test.family+"route append "+test.place+" "+hop)
			}
			defer a.Batch(t, test.family+"route flush exact "+test.place)
			return a.Snapshot(t), a.Imprint(t)
		}
		first, imprint := look(test.hops[:]...)
		second, imprint2 := look(test.hops[1], test.hops[0])
		if diff := first.Diff(second); (diff == "") != test.same {
			t.Errorf("%s: want the same: %t, got the difference:\n%s", test.name, test.same, diff)
		}
		if (imprint == imprint2) != test.same {
			t.Errorf("%s: the same imprint: %t, want %t", test.name, !test.same, test.same)
		}
	}
	a.Batch(t, "route append default nexthop "+one+" nexthop "+other)
	multipath, hops := a.Snapshot(t), a.Imprint(t)
	a.Batch(t, "route change default nexthop "+other+" nexthop "+one)
	if multipath.Diff(a.Snapshot(t)) == "" || a.Imprint(t) == hops {
		t.Error("hops of an IPv4 route in another order are seen as the same")
	}
	a.Batch(t, "route flush exact default")
	// Metrics, gateways and numbers of defaults make a difference.
	a.Batch(t, "route append default "+one, "route append default "+other+" metric 5", "-6 route append default "+one6, "-6 route append default "+other6)
	before, imprint := a.Snapshot(t), a.Imprint(t)
	for _, change := range []struct{ do, undo string }{
		{"route append default " + other, "route del default " + other + " metric 0"},
		{"route del default " + one, "route append default " + one},
		{"route change default " + one + " mtu 1400", "route change default " + one},
		{"route change default nexthop " + one + " nexthop " + other, "route change default " + one},
		{"-6 route del default " + one6, "-6 route append default " + one6},
		{"-6 route append default via 2001:db8::9", "-6 route del default via 2001:db8::9"},
	} {
		a.Batch(t, change.do)
		if before.Diff(a.Snapshot(t)) == "" || a.Imprint(t) == imprint {
			t.Errorf("%s: seen as the same", change.do)
		}
		a.Batch(t, change.undo)
		if diff := before.Diff(a.Snapshot(t)); diff != "" || a.Imprint(t) != imprint {
			t.Errorf("%s: seen as another:\n%s", change.undo, diff)
		}
	}
}
