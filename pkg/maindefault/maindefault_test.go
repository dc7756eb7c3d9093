package maindefault_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/maindefault"
)

// nics are written as NAME, NAME:WISH, NAME:take/TURN, each with "leaving" behind it where its
// attachment leaves. Their indexes are their places, from 2 on.
func nics(t *testing.T, text string) []maindefault.NIC {
	t.Helper()
	var out []maindefault.NIC
	for field := range strings.FieldsSeq(text) {
		if field == "leaving" {
			out[len(out)-1].Leaving = true
			continue
		}
		n := maindefault.NIC{Index: len(out) + 2}
		name, wish, _ := strings.Cut(field, ":")
		wish, turn, hasTurn := strings.Cut(wish, "/")
		n.Name, n.Wish = name, config.MainDefault(wish)
		if hasTurn {
			if _, err := fmt.Sscan(turn, &n.Turn); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, n)
	}
	return out
}

// defaultBy is a default route; several NICs have a hop each.
func defaultBy(all []maindefault.NIC, f fib.Family, names ...string) fib.Route {
	r := fib.Route{Family: f, Dst: f.Any(), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST}
	for _, name := range names {
		n := all[slices.IndexFunc(all, func(n maindefault.NIC) bool { return n.Name == name })]
		gateway := netip.AddrFrom4([4]byte{10, 20, byte(n.Index), 1})
		if f == fib.V6 {
			gateway = netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::1", n.Index))
		}
		r.Hops = append(r.Hops, fib.Hop{Gateway: gateway, Index: n.Index, Dev: n.Name})
	}
	return r
}

// text prints an outcome: for each family that has a default whose it is in main, and who lost.
func text(out maindefault.Outcome) []string {
	var lines []string
	for _, f := range fib.Families() {
		var main, stuck []string
		for _, r := range out.Main {
			if r.Family == f {
				main = append(main, devices(r))
			}
		}
		for _, r := range out.Stuck {
			if r.Family == f {
				stuck = append(stuck, devices(r))
			}
		}
		if len(main)+len(stuck)+len(out.Lost[f]) == 0 {
			continue
		}
		line := fmt.Sprintf("%s main=%s lost=%s yielded=%s", f, strings.Join(main, ","), names(out.Lost[f]), names(out.Yielded[f]))
		if len(stuck) > 0 {
			line += " stuck=" + strings.Join(stuck, ",")
		}
		lines = append(lines, line)
	}
	return lines
}

func devices(r fib.Route) string {
	var out []string
	for _, h := range r.Hops {
		out = append(out, h.Dev)
	}
	return strings.Join(out, "+")
}

func names(nics []maindefault.NIC) string {
	var out []string
	for _, n := range nics {
		out = append(out, n.Name)
	}
	return strings.Join(out, ",")
}

func TestOwner(t *testing.T) {
	for _, tc := range []struct {
		name     string
		nics     string
		defaults string // whose are known, of IPv4
		want     string
	}{
		{"one NIC", "net1:yield", "net1", "main=net1 lost= yielded="},
		{"none has a default", "eth0 net1:yield", "", ""},
		{"no attachment at all", "eth0 net1", "eth0 net1", "main=eth0,net1 lost= yielded="},
		{"an attachment yields to the NIC without any", "eth0 net1:yield", "eth0 net1", "main=eth0 lost=net1 yielded=net1"},
		{"and owns main where that has no default", "eth0 net1:yield", "net1", "main=net1 lost= yielded="},
		{"all yield: the first by name", "net2:yield net1:yield", "net2 net1", "main=net1 lost=net2 yielded=net2"},
		{
			"names as people count", "net10:yield eth0:yield net2:yield net1:yield", "net10 net2 net1 eth0",
			"main=eth0 lost=net1,net2,net10 yielded=net1,net2,net10",
		},
		{
			"one that has no default owns nothing", "eth0:yield net1:yield net2:yield", "net2 net1",
			"main=net1 lost=net2 yielded=net2",
		},
		{"keep is left alone", "net1:yield net2:keep", "net1 net2", "main=net2 lost=net1 yielded=net1"},
		{"all that keep stay", "eth0 net1:keep net2:yield net3:keep", "eth0 net1 net2 net3", "main=eth0,net1,net3 lost=net2 yielded=net2"},
		{"take has it before all", "eth0 net1:take/1 net2:yield", "eth0 net1 net2", "main=net1 lost=eth0,net2 yielded=eth0,net2"},
		{"from one that keeps, too", "net1:keep net2:take/1", "net1 net2", "main=net2 lost=net1 yielded=net1"},
		{
			"the latest take has it, the one before is next",
			"eth0 net1:take/2 net2:take/3 net3:take/1 net4:yield", "eth0 net1 net2 net3 net4",
			"main=net2 lost=net1,net3,eth0,net4 yielded=net1,net3,eth0,net4",
		},
		{"a taker without a default takes nothing", "eth0 net1:take/1 net2:yield", "eth0 net2", "main=eth0 lost=net2 yielded=net2"},
		{
			"those without attachments come in the order of names, before those that yield",
			"net0:yield net9 net1 net2:take/1", "net0 net9 net1 net2",
			"main=net2 lost=net1,net9,net0 yielded=net1,net9,net0",
		},
		{"one that leaves owns nothing, and keeps what it had", "eth0:yield net1:take/1 leaving", "eth0 net1", "main=eth0,net1 lost= yielded="},
		{
			"the next takes over", "eth0:yield leaving net1:yield net2:yield", "eth0 net1 net2",
			"main=eth0,net1 lost=net2 yielded=net2",
		},
		{"the last one leaves", "net1:yield leaving", "net1", "main=net1 lost= yielded="},
		{"a default of no NIC of the pod stays", "net1:yield net2:yield", "gone net1 net2", "main=gone,net1 lost=net2 yielded=net2"},
		{"two defaults of one NIC go together", "eth0 net1:yield", "net1 eth0 net1", "main=eth0 lost=net1 yielded=net1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			all := nics(t, tc.nics)
			withGone := append(slices.Clone(all), maindefault.NIC{Index: 99, Name: "gone"})
			for _, f := range fib.Families() {
				var known []fib.Route
				for i, name := range strings.Fields(tc.defaults) {
					r := defaultBy(withGone, f, name)
					r.Metric = uint32(i) // of one place there may be one only
					known = append(known, r)
				}
				var want []string
				if tc.want != "" {
					want = []string{f.String() + " " + tc.want}
				}
				// Whatever order the NICs come in.
				for range all {
					all = append(all[1:], all[0])
					if diff := cmp.Diff(want, text(maindefault.Decide(known, all)), cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("%s (-want +got):\n%s", f, diff)
					}
				}
			}
		})
	}
}

// TestFamilies: who owns main of one family says nothing of the other.
func TestFamilies(t *testing.T) {
	all := nics(t, "eth0 net1:take/1 net2:yield")
	known := []fib.Route{
		defaultBy(all, fib.V4, "eth0"), defaultBy(all, fib.V4, "net2"),
		defaultBy(all, fib.V6, "net1"), defaultBy(all, fib.V6, "net2"), defaultBy(all, fib.V6, "eth0"),
	}
	want := []string{"IPv4 main=eth0 lost=net2 yielded=net2", "IPv6 main=net1 lost=eth0,net2 yielded=eth0,net2"}
	if diff := cmp.Diff(want, text(maindefault.Decide(known, all))); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

// TestFixed is about the defaults that are left alone, whoever owns main.
func TestFixed(t *testing.T) {
	all := nics(t, "eth0 net1:yield net2:yield")
	change := func(f fib.Family, how func(*fib.Route)) fib.Route {
		r := defaultBy(all, f, "net1")
		how(&r)
		return r
	}
	twoHops := func(f fib.Family, second string) fib.Route {
		r := defaultBy(all, f, "net1", second)
		r.Hops[1].Gateway = r.Hops[1].Gateway.Next()
		return r
	}
	const stays = "main=eth0,net1 lost=net1 yielded= stuck=net1"
	for _, tc := range []struct {
		name  string
		fixed fib.Route
		want  string
		why   string
	}{
		{
			"a router's advertisement", change(fib.V6, func(r *fib.Route) { r.Protocol = unix.RTPROT_RA }), stays,
			"it is the router's own advertisement, which would come back",
		},
		{
			"a route with a lifetime", change(fib.V6, func(r *fib.Route) { r.Expires = true }), stays,
			"it is the router's own advertisement, which would come back",
		},
		{
			"a nexthop object", change(fib.V4, func(r *fib.Route) { r.NexthopID = 7 }), stays,
			"it uses a nexthop object, which is somebody else's",
		},
		{
			"one route by two NICs", twoHops(fib.V4, "net2"), "main=eth0,net1+net2 lost=net1,net2 yielded= stuck=net1+net2",
			"it is one route by several NICs",
		},
		{"one route by two gateways of a NIC", twoHops(fib.V4, "net1"), "main=eth0 lost=net1 yielded=net1", ""},
		{"a route without a hop", fib.Route{Family: fib.V4, Dst: fib.V4.Any(), Type: unix.RTN_UNICAST}, "main=eth0, lost= yielded=", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := tc.fixed.Family
			known := []fib.Route{defaultBy(all, f, "eth0"), tc.fixed}
			if diff := cmp.Diff([]string{f.String() + " " + tc.want}, text(maindefault.Decide(known, all))); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if got := maindefault.Fixed(tc.fixed); got != tc.why {
				t.Errorf("left alone because %q, want %q", got, tc.why)
			}
		})
	}
}

// TestFixedIsPartOfANIC: a NIC yields what it can beside what is left alone.
func TestFixedIsPartOfANIC(t *testing.T) {
	all := nics(t, "eth0 net1:yield")
	advertised := defaultBy(all, fib.V6, "net1")
	advertised.Protocol, advertised.Metric = unix.RTPROT_RA, 1024
	known := []fib.Route{advertised, defaultBy(all, fib.V6, "net1"), defaultBy(all, fib.V6, "eth0")}
	want := []string{"IPv6 main=net1,eth0 lost=net1 yielded=net1 stuck=net1"}
	if diff := cmp.Diff(want, text(maindefault.Decide(known, all))); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

// TestNaturalOrder: of those that yield the first by name owns main. Of two spellings of one
// number the text decides.
func TestNaturalOrder(t *testing.T) {
	order := strings.Fields("a eth0 eth00 eth1 eth1.5 eth1.10 eth2 eth10 net net01 net1 net1a net02b net2 net10 net18446744073709551616 z")
	for i, first := range order {
		for _, second := range order[i+1:] {
			all := nics(t, second+":yield "+first+":yield")
			known := []fib.Route{defaultBy(all, fib.V4, second), defaultBy(all, fib.V4, first)}
			known[1].Metric = 1
			if got := maindefault.Decide(known, all).Lost[fib.V4]; names(got) != second {
				t.Errorf("of %s and %s, %s comes second; want %s", first, second, names(got), second)
			}
		}
	}
}
