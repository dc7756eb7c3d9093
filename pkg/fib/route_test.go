package fib

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestRouteString(t *testing.T) {
	via := []Hop{{Gateway: addr("192.0.2.1"), Index: 2, Dev: "net1"}}
	tests := []struct {
		route Route
		want  string
	}{
		{
			Route{Family: V4, Dst: V4.Any(), Table: 7300, Protocol: 73, Type: unix.RTN_UNICAST, Hops: via},
			"default via 192.0.2.1 dev net1 table 7300 proto 73",
		},
		{
			Route{Family: V4, Dst: prefix("192.0.2.0/24"), Table: 254, Protocol: unix.RTPROT_KERNEL, Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST, PrefSrc: addr("192.0.2.7"), Hops: []Hop{{Index: 2, Dev: "net1"}}},
			"192.0.2.0/24 dev net1 proto kernel scope link src 192.0.2.7",
		},
		{
			Route{Family: V6, Dst: prefix("fe80::/64"), Table: 254, Protocol: unix.RTPROT_KERNEL, Type: unix.RTN_UNICAST, Metric: 256, Hops: []Hop{{Index: 2}}},
			"fe80::/64 dev if2 proto kernel metric 256",
		},
		{
			Route{Family: V6, Dst: prefix("2001:db8::7/128"), From: prefix("fd00::/8"), Table: 9, Type: unix.RTN_UNICAST, Hops: []Hop{{Gateway: addr("fe80::1"), Index: 2, Dev: "net1", OnLink: true}}},
			"2001:db8::7 from fd00::/8 via fe80::1 dev net1 onlink table 9",
		},
		{
			Route{Family: V4, Dst: prefix("10.0.0.0/8"), Table: 254, Type: unix.RTN_UNICAST, MTU: 1400, AdvMSS: 1360, NexthopID: 4, Hops: via},
			"10.0.0.0/8 nhid 4 via 192.0.2.1 dev net1 mtu 1400 advmss 1360",
		},
		{
			Route{Family: V4, Dst: V4.Any(), Table: 254, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST, Metric: 5, Hops: []Hop{
				{Gateway: addr("10.1.0.1"), Index: 2, Dev: "eth0", Weight: 1}, {Index: 3, Dev: "eth1", Weight: 2},
			}},
			"default proto boot metric 5 nexthop via 10.1.0.1 dev eth0 weight 1 nexthop dev eth1 weight 2",
		},
		{
			Route{Family: V4, Dst: V4.Any(), Table: 254, Type: unix.RTN_UNICAST, Hops: []Hop{{Gateway: addr("fe80::1"), Index: 2, Dev: "eth0"}}},
			"default via inet6 fe80::1 dev eth0",
		},
		{
			Route{Family: V4, Dst: V4.Any(), Table: 254, Type: unix.RTN_UNICAST, Hops: []Hop{
				{Gateway: addr("fe80::1"), Index: 2, Dev: "eth0", Weight: 1}, {Gateway: addr("10.1.0.1"), Index: 3, Dev: "eth1", Weight: 1},
			}},
			"default nexthop via inet6 fe80::1 dev eth0 weight 1 nexthop via 10.1.0.1 dev eth1 weight 1",
		},
		{Route{Family: V4, Dst: prefix("10.0.0.0/8"), Type: unix.RTN_UNREACHABLE}, "unreachable 10.0.0.0/8"},
		{Route{Family: V4, Dst: prefix("10.0.0.0/8"), Type: unix.RTN_BLACKHOLE}, "blackhole 10.0.0.0/8"},
		{Route{Family: V4, Dst: prefix("10.0.0.0/8"), Type: unix.RTN_PROHIBIT}, "prohibit 10.0.0.0/8"},
		{Route{Family: V4, Dst: prefix("10.0.0.1/32"), Type: unix.RTN_LOCAL, Table: 255, Hops: []Hop{{Index: 1, Dev: "lo"}}}, "local 10.0.0.1 dev lo table local"},
		{Route{Family: V4, Dst: prefix("10.0.0.0/8"), Type: unix.RTN_THROW}, "throw 10.0.0.0/8"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := tt.route.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRouteIsDefault(t *testing.T) {
	tests := []struct {
		name  string
		route Route
		want  bool
	}{
		{"IPv4", Route{Dst: V4.Any(), Type: unix.RTN_UNICAST}, true},
		{"IPv6", Route{Dst: V6.Any(), Type: unix.RTN_UNICAST}, true},
		{"prefix", Route{Dst: prefix("0.0.0.0/1"), Type: unix.RTN_UNICAST}, false},
		{"refusal", Route{Dst: V4.Any(), Type: unix.RTN_UNREACHABLE}, false},
		{"for one source", Route{Dst: V6.Any(), Type: unix.RTN_UNICAST, From: prefix("2001:db8::/32")}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.route.IsDefault(); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestRouteThrough(t *testing.T) {
	a, b, c := Hop{Index: 2, Weight: 1}, Hop{Index: 3, Weight: 2}, Hop{Index: 2, Weight: 3}
	r := Route{Hops: []Hop{a, b, c}}
	tests := []struct {
		name   string
		index  int
		except bool
		want   []Hop
	}{
		{"an interface's", 2, false, []Hop{a, c}},
		{"the only one", 3, false, []Hop{b}},
		{"the others'", 3, true, []Hop{a, c}},
		{"the only other", 2, true, []Hop{b}},
		{"nobody's", 9, false, nil},
		{"all but nobody's", 9, true, []Hop{a, b, c}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, r.Through(tt.index, tt.except).Hops, decoding); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff([]Hop{a, b, c}, r.Hops, netipValues); diff != "" {
		t.Errorf("the route itself changed (-want +got):\n%s", diff)
	}
}

func TestRouteUsesAndGateways(t *testing.T) {
	r := Route{Hops: []Hop{{Index: 2, Gateway: addr("10.1.0.1")}, {Index: 3}, {Index: 4, Gateway: addr("fe80::1")}}}
	for index, want := range map[int]bool{0: false, 2: true, 3: true, 5: false} {
		if got := r.Uses(index); got != want {
			t.Errorf("uses %d: %t, want %t", index, got, want)
		}
	}
	if diff := cmp.Diff([]netip.Addr{addr("10.1.0.1"), addr("fe80::1")}, r.Gateways(), netipValues); diff != "" {
		t.Errorf("gateways (-want +got):\n%s", diff)
	}
}

// TestRouteIdentity holds SamePlace and Equal to what makes two routes one.
func TestRouteIdentity(t *testing.T) {
	base := Route{
		Family: V6, Dst: prefix("fd00::/8"), Table: 254, Protocol: 3, Type: unix.RTN_UNICAST, Metric: 1024,
		Hops: []Hop{{Gateway: addr("fe80::1"), Index: 2, Dev: "net1"}},
	}
	tests := []struct {
		name      string
		change    func(*Route)
		samePlace bool
		equal     bool
	}{
		{"nothing", func(*Route) {}, true, true},
		{"family", func(r *Route) { r.Family = V4 }, false, false},
		{"destination", func(r *Route) { r.Dst = prefix("fd00::/9") }, false, false},
		{"source", func(r *Route) { r.From = prefix("2001:db8::/32") }, false, false},
		{"type of service", func(r *Route) { r.TOS = 4 }, false, false},
		{"table", func(r *Route) { r.Table = 9 }, false, false},
		{"metric", func(r *Route) { r.Metric = 1 }, false, false},
		{"protocol", func(r *Route) { r.Protocol = 73 }, true, false},
		{"scope", func(r *Route) { r.Scope = unix.RT_SCOPE_LINK }, true, false},
		{"type", func(r *Route) { r.Type = unix.RTN_BLACKHOLE }, true, false},
		{"preferred source", func(r *Route) { r.PrefSrc = addr("fd00::1") }, true, false},
		{"mtu", func(r *Route) { r.MTU = 1400 }, true, false},
		{"advmss", func(r *Route) { r.AdvMSS = 1400 }, true, false},
		{"preference", func(r *Route) { r.Pref = 1 }, true, false},
		{"nexthop object", func(r *Route) { r.NexthopID = 1 }, true, false},
		{"other metrics", func(r *Route) { r.OtherMetrics = "x" }, true, false},
		{"other attributes", func(r *Route) { r.Other = "x" }, true, false},
		{"expiry", func(r *Route) { r.Expires = true }, true, true},
		{"no hop", func(r *Route) { r.Hops = nil }, true, false},
		{"gateway", func(r *Route) { r.Hops = []Hop{{Gateway: addr("fe80::2"), Index: 2}} }, true, false},
		{"interface", func(r *Route) { r.Hops = []Hop{{Gateway: addr("fe80::1"), Index: 3}} }, true, false},
		{"weight of an only hop", func(r *Route) { r.Hops = []Hop{{Gateway: addr("fe80::1"), Index: 2, Weight: 7}} }, true, true},
		{"onlink", func(r *Route) { r.Hops = []Hop{{Gateway: addr("fe80::1"), Index: 2, OnLink: true}} }, true, false},
		{"encapsulation", func(r *Route) { r.Hops = []Hop{{Gateway: addr("fe80::1"), Index: 2, Other: "x"}} }, true, false},
		{"name of the interface", func(r *Route) { r.Hops = []Hop{{Gateway: addr("fe80::1"), Index: 2, Dev: "eth7"}} }, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := base
			tt.change(&other)
			if got := base.SamePlace(other); got != tt.samePlace {
				t.Errorf("same place: %t, want %t", got, tt.samePlace)
			}
			if got := base.IdentityButProtocol() == other.IdentityButProtocol(); got != (tt.equal || tt.name == "protocol") {
				t.Errorf("equal but for the protocol: %t", got)
			}
			if got := base.Equal(other); got != tt.equal {
				t.Errorf("equal: %t, want %t", got, tt.equal)
			}
		})
	}
}

// Among several hops the weight counts.
func TestRouteWeights(t *testing.T) {
	hops := func(weight int) Route {
		return Route{Family: V4, Dst: prefix("0.0.0.0/0"), Hops: []Hop{{Index: 2, Weight: 1}, {Index: 3, Weight: weight}}}
	}
	if hops(1).Equal(hops(2)) {
		t.Error("routes with other weights are equal")
	}
}

// To the kernel the hops of an IPv6 multipath route are routes of their own; an IPv4 one is one.
func TestHops(t *testing.T) {
	one := Hop{Gateway: addr("fe80::1"), Index: 2, Weight: 1}
	two := Hop{Gateway: addr("fe80::2"), Index: 3, Weight: 2, OnLink: true}
	with := func(f Family, hops ...Hop) Route {
		return Route{Family: f, Dst: f.Any(), Table: 254, Metric: 1024, MTU: 1400, Hops: hops}
	}
	light := one
	light.Weight = 0
	given := []Route{with(V4, one, two), with(V6, one, two), with(V6, one), with(V6)}
	want := []Route{with(V4, one, two), with(V6, light), with(V6, two), with(V6, one), with(V6)}
	if diff := cmp.Diff(want, Hops(given), netipValues); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Hop{one, two}, given[1].Hops, netipValues); diff != "" {
		t.Errorf("the given routes were changed (-before +after):\n%s", diff)
	}
	if got := Hops(nil); len(got) > 0 {
		t.Errorf("of nothing became %v", got)
	}
}
