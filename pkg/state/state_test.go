package state_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
)

// realServer is a state that has some of everything.
func realServer() state.State {
	vip, own := netip.MustParsePrefix("10.99.0.1/32"), netip.MustParsePrefix("2001:db8:30::5/128")
	exit := []fib.Hop{{Gateway: netip.MustParseAddr("fe80::1"), Index: 3, Dev: "net1"}}
	byNet1 := fib.Route{
		Family: fib.V6, Dst: fib.V6.Any(), Table: 7300, Protocol: state.Protocol, Type: unix.RTN_UNICAST, Metric: 1024, Hops: exit,
	}
	byEth0 := fib.Route{
		Family: fib.V4, Dst: fib.V4.Any(), Table: state.MainTable, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST,
		Hops: []fib.Hop{{Gateway: netip.MustParseAddr("10.244.0.1"), Index: 2, Dev: "eth0"}},
	}
	before := 1
	return state.State{
		NICs: []state.NIC{
			{Index: 3, Name: "net1", Role: state.Attached, Tables: []state.Table{{
				Number: 7300, Routes: []fib.Route{byNet1},
				Sources: []state.Source{{Prefix: own, Subnet: netip.MustParsePrefix("2001:db8:30::/64"), Exit: exit}},
			}}},
			{Index: 2, Name: "eth0", Role: state.Replies, Guarded: true, Tables: []state.Table{{
				Number: 7301, Sources: []state.Source{{Prefix: vip, Arrival: 4, MaxMSS: 1440}},
			}}},
		},
		Rules: []fib.Rule{
			{Family: fib.V4, Priority: 40012, From: vip, Action: fib.Lookup, Table: 7301, Protocol: state.Protocol},
			{Family: fib.V6, Priority: 32765, From: own, Action: fib.Goto, Target: state.Anchor, Protocol: state.Protocol},
		},
		Settings: map[string]settings.Memory{
			fib.RPFilter: {
				Wish: settings.Wish{Devices: []settings.Device{{Index: 3, Name: "net1", Value: 0}}}, All: &before, Default: &before,
				Originals: []settings.Device{{Index: 3, Name: "net1", Value: 1}},
			},
			fib.ARPIgnore: {Wish: settings.Wish{Least: 1}},
		},
		Main: &state.Main{
			Wish: "take", Turn: 2, NICs: []state.Device{{Index: 3, Name: "net1"}}, Made: []fib.Route{byNet1}, Displaced: []fib.Route{byEth0},
			Families: []fib.Family{fib.V4, fib.V6},
		},
		Server: &state.Server{
			VIPs: []state.VIP{
				{Address: fib.Address{Index: 4, Prefix: vip, Scope: unix.RT_SCOPE_HOST, Protocol: state.Protocol}},
				{Address: fib.Address{Index: 1, Prefix: netip.MustParsePrefix("2001:db8:99::1/128"), Deprecated: true}, Foreign: true},
			},
			Tunnels: []state.Tunnel{{Index: 4, Name: "tunl0", Kind: fib.KindIPIP, Down: true}},
		},
	}
}

func TestStateText(t *testing.T) {
	const want = `-4 rule 40012: from 10.99.0.1 lookup 7301 proto 73
-6 rule 32765: from 2001:db8:30::5 goto 40000 proto 73
-6 route default via fe80::1 dev net1 table 7300 proto 73 metric 1024
every NIC arp_ignore>=1
rp_filter net1: effectively off (0)
VIP 10.99.0.1 dev tunl0
VIP 2001:db8:99::1 dev lo
`
	if diff := cmp.Diff(want, realServer().String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if text := (state.State{}).String(); text != "" {
		t.Errorf("no state is %q", text)
	}
}

// TestStateIsRemembered: what a record holds of a state is all of it.
func TestStateIsRemembered(t *testing.T) {
	for name, s := range map[string]state.State{"some of everything": realServer(), "nothing": {}} {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var read state.State
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, read, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-state +read):\n%s\n%s", name, diff, text)
		}
	}
}

func TestStateFinds(t *testing.T) {
	s := realServer()
	if diff := cmp.Diff([]uint32{7300, 7301}, s.Tables()); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	for source, want := range map[string]bool{"2001:db8:30::5/128": true, "2001:db8:30::/64": false, "10.99.0.1/32": false} {
		if got := s.NICs[0].Has(netip.MustParsePrefix(source)); got != want {
			t.Errorf("net1 has %s: %t, want %t", source, got, want)
		}
	}
	for f, want := range map[fib.Family]bool{fib.V4: false, fib.V6: true} {
		if r, ok := s.NICs[0].Tables[0].Default(f); ok != want || ok && !r.IsDefault() {
			t.Errorf("%s: a default %q: %t, want %t", f, r, ok, want)
		}
	}
}

func TestFamilies(t *testing.T) {
	for _, tc := range []struct {
		sources []string
		want    []fib.Family
	}{
		{nil, nil},
		{[]string{"10.20.30.5", "10.20.30.6"}, []fib.Family{fib.V4}},
		{[]string{"2001:db8::5"}, []fib.Family{fib.V6}},
		{[]string{"2001:db8::5", "10.20.30.5"}, []fib.Family{fib.V4, fib.V6}},
	} {
		var table state.Table
		for _, s := range tc.sources {
			table.Sources = append(table.Sources, state.Source{Prefix: fib.Host(netip.MustParseAddr(s))})
		}
		if got := table.Families(); !slices.Equal(got, tc.want) {
			t.Errorf("%v: got %v, want %v", tc.sources, got, tc.want)
		}
	}
}
