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
