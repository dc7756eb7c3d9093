package preview

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/pod"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

// What the twins of test/ctl do not have: TestPlanDoesWhatADDDoes runs the others.
func TestCommands(t *testing.T) {
	seen := &fib.Snapshot{Links: []fib.Link{{Index: 3, Name: "net1"}, {Index: 4, Name: "a b"}}}
	v4 := fib.Route{Family: fib.V4, Dst: fib.V4.Any(), Table: 254, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST}
	with := func(r fib.Route, do func(*fib.Route)) fib.Route {
		do(&r)
		return r
	}
	hop := fib.Hop{Gateway: addr("192.0.2.1"), Index: 3}
	for _, tt := range []struct {
		c             change.Change
		text, comment string
	}{
		{
			change.DelRule{Rule: fib.Rule{Family: fib.V6, Priority: 7, From: prefix("2001:db8::/64"), To: prefix("2001:db8:1::1/128"), TOS: 4, IIF: "lo",
				OIF: "a b", Action: fib.Unreachable, Inverted: true, Protocol: 73}},
			"ip -6 rule del not from 2001:db8::/64 to 2001:db8:1::1 tos 0x4 iif lo oif 'a b' priority 7 unreachable proto 73",
			"what is not wanted any more",
		},
		{
			change.AddToMain{Route: with(v4, func(r *fib.Route) {
				r.Hops, r.TOS, r.From, r.Pref = []fib.Hop{{Gateway: addr("fe80::1"), Index: 4, OnLink: true}}, 8, prefix("10.0.0.0/8"), 1
			})},
			"ip route append default from 10.0.0.0/8 tos 0x8 via inet6 fe80::1 dev 'a b' onlink proto boot pref high",
			"the main table gets a default route",
		},
		{
			change.AddToMain{Route: with(v4, func(r *fib.Route) { r.Hops, r.Other, r.Pref = []fib.Hop{hop}, "x", 3 })},
			"ip route append default via 192.0.2.1 dev net1 proto boot pref low",
			"the main table gets a default route; the route has attributes that this line leaves out",
		},
		{
			change.AddToMain{Route: with(v4, func(r *fib.Route) { r.NexthopID, r.Hops = 12, []fib.Hop{hop} })},
			"ip route append default nhid 12 proto boot",
			"the main table gets a default route",
		},
		{
			change.DelFromMain{Route: with(v4, func(r *fib.Route) {
				r.Family, r.Dst, r.Protocol, r.Metric, r.Hops = fib.V6, fib.V6.Any(), unix.RTPROT_RA, 1024, []fib.Hop{{Gateway: addr("fe80::1"), Index: 3}}
			})},
			"ip -6 route del default via fe80::1 dev net1 metric 1024",
			"the main table loses a default route: the source table has it",
		},
		{
			change.AddToMain{Route: with(v4, func(r *fib.Route) { r.Hops, r.Scope = []fib.Hop{{Index: 3}}, unix.RT_SCOPE_UNIVERSE })},
			"ip route append default dev net1 proto boot scope global", "the main table gets a default route",
		},
		{
			change.ReplaceRoute{Route: with(v4, func(r *fib.Route) {
				r.Hops, r.Table = []fib.Hop{{Gateway: addr("192.0.2.1"), Index: 9, Dev: "old"}}, 7300
			})},
			"ip route replace default via 192.0.2.1 dev old table 7300 proto boot", "the source table",
		},
		{change.MakeLink{Index: 9, Name: "tunl0", Kind: "ipip"}, "ip link add name tunl0 type ipip || ip link show dev tunl0", ""},
		{change.MakeLink{Index: 8, Name: "lb", Kind: "ipip"}, "ip link add name lb type ipip", ""},
		{change.SetLink{Index: 8, Name: "lb", Up: true}, "ip link set dev lb up", ""},
		{change.SetLink{Index: 8, Name: "lb"}, "ip link set dev lb down", ""},
		{change.DelLink{Index: 8, Name: "lb"}, "ip link del dev lb", ""},
		{
			change.DelAddress{Address: fib.Address{Index: 8, Prefix: prefix("192.0.2.9/32")}}, "ip address del 192.0.2.9/32 dev lb",
			"the virtual IPs, but for the mark by which DEL knows its own",
		},
		{change.Set{Device: "it's", Key: "rp_filter", Value: 2}, `sysctl -w 'net/ipv4/conf/it'\''s/rp_filter=2'`, "the reverse-path filter"},
		{change.Set{Device: "eth0.100", Key: "arp_ignore", Value: 1}, "sysctl -w net/ipv4/conf/eth0.100/arp_ignore=1", "which NIC answers ARP for the addresses"},
	} {
		p := pod.Preview{Seen: seen, Changes: []change.Change{change.MakeLink{Index: 8, Name: "lb", Kind: "ipip"}, tt.c}}
		got := Commands(p)[1]
		if diff := cmp.Diff(Command{Comment: tt.comment, Text: tt.text}, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.c, diff)
		}
	}
}
