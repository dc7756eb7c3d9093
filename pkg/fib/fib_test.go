package fib

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFamily(t *testing.T) {
	for _, tt := range []struct {
		family Family
		text   string
		bits   int
		any    netip.Prefix
	}{
		{V4, "IPv4", 32, prefix("0.0.0.0/0")},
		{V6, "IPv6", 128, prefix("::/0")},
	} {
		t.Run(tt.text, func(t *testing.T) {
			if got := tt.family.String(); got != tt.text {
				t.Errorf("its name is %q", got)
			}
			if got := tt.family.Bits(); got != tt.bits {
				t.Errorf("its addresses have %d bits, want %d", got, tt.bits)
			}
			if got := tt.family.Any(); got != tt.any {
				t.Errorf("its addresses are %s, want %s", got, tt.any)
			}
			if got := FamilyOf(tt.any.Addr()); got != tt.family {
				t.Errorf("its addresses are of %s", got)
			}
		})
	}
	if got := Family(1).String(); got != "unknown family" {
		t.Errorf("family 1 is %q", got)
	}
}

func TestHost(t *testing.T) {
	tests := []struct {
		prefix netip.Prefix
		want   bool
	}{
		{Host(addr("192.0.2.7")), true},
		{Host(addr("2001:db8::7")), true},
		{prefix("2001:db8::7/32"), false},
		{prefix("192.0.2.7/31"), false},
		{netip.Prefix{}, false},
	}
	for _, tt := range tests {
		if got := IsHost(tt.prefix); got != tt.want {
			t.Errorf("%s is one address: %t, want %t", tt.prefix, got, tt.want)
		}
	}
}

func TestIsEdge(t *testing.T) {
	for _, tt := range []struct {
		subnet, address string
		want            bool
	}{
		{"192.0.2.7/24", "192.0.2.0", true}, {"192.0.2.7/24", "192.0.2.255", true}, {"192.0.2.7/24", "192.0.2.1", false}, {"192.0.2.7/24", "192.0.3.0", false},
		{"192.0.2.7/30", "192.0.2.4", true}, {"192.0.2.7/30", "192.0.2.7", true}, {"192.0.2.7/30", "192.0.2.5", false},
		{"192.0.2.7/31", "192.0.2.6", false}, {"192.0.2.7/31", "192.0.2.7", false}, {"192.0.2.7/32", "192.0.2.7", false},
		{"0.0.0.0/0", "0.0.0.0", true}, {"0.0.0.0/0", "255.255.255.255", true}, {"255.0.0.0/8", "255.255.255.255", true},
		{"2001:db8::7/64", "2001:db8::", false}, {"2001:db8::7/64", "192.0.2.0", false}, {"192.0.2.7/24", "2001:db8::", false},
	} {
		if got := IsEdge(prefix(tt.subnet), addr(tt.address)); got != tt.want {
			t.Errorf("%s of %s: got %t", tt.address, tt.subnet, got)
		}
	}
	if IsEdge(netip.Prefix{}, addr("192.0.2.0")) {
		t.Error("no subnet has one")
	}
}

func TestSnapshot(t *testing.T) {
	lo, net1 := Link{Index: 1, Name: "lo"}, Link{Index: 4, Name: "net1", Settings: Settings{RPFilter: 1}}
	s := &Snapshot{
		Links:     []Link{lo, net1},
		Addresses: []Address{{Index: 4, Prefix: prefix("192.0.2.7/24")}},
		Routes:    []Route{{Table: 254, Metric: 1}, {Table: 7300, Metric: 2}, {Table: 254, Metric: 3}},
		All:       Settings{RPFilter: 2},
	}
	if got, ok := s.Link("net1"); !ok || got != net1 {
		t.Errorf("net1 is %+v, %t", got, ok)
	}
	if got, ok := s.Link("net2"); ok {
		t.Errorf("net2 is %+v", got)
	}
	if got, ok := s.LinkAt(1); !ok || got != lo {
		t.Errorf("link 1 is %+v, %t", got, ok)
	}
	if got, ok := s.LinkAt(0); ok {
		t.Errorf("link 0 is %+v", got)
	}
	if got, ok := s.Address(addr("192.0.2.7")); !ok || got.Index != 4 {
		t.Errorf("its address is %+v, %t", got, ok)
	}
	if got, ok := s.Address(addr("192.0.2.8")); ok {
		t.Errorf("an address that it has not is %+v", got)
	}
	if diff := cmp.Diff([]Route{{Table: 254, Metric: 1}, {Table: 254, Metric: 3}}, s.Table(254), netipValues); diff != "" {
		t.Errorf("the main table (-want +got):\n%s", diff)
	}
	if got := s.EffectiveRPFilter(net1); got != 2 {
		t.Errorf("net1's mode is %d, want the larger one of all", got)
	}
	s.All.RPFilter = 0
	if got := s.EffectiveRPFilter(net1); got != 1 {
		t.Errorf("net1's mode is %d, want its own", got)
	}
}

func TestSnapshotNameHops(t *testing.T) {
	s := &Snapshot{Links: []Link{{Index: 4, Name: "net1"}}}
	routes := []Route{{Hops: []Hop{{Index: 4}, {Index: 5, Dev: "old"}}}, {}}
	s.NameHops(routes)
	want := []Route{{Hops: []Hop{{Index: 4, Dev: "net1"}, {Index: 5, Dev: "old"}}}, {}}
	if diff := cmp.Diff(want, routes, netipValues); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
