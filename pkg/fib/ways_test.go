package fib

import (
	"net/netip"
	"slices"
	"testing"
)

// TestWays looks for the route that decides: the longest prefix, and of several the best metric.
func TestWays(t *testing.T) {
	route := func(dst, gw string, metric uint32) Route {
		return Route{Dst: netip.MustParsePrefix(dst), Metric: metric, Hops: []Hop{{Gateway: netip.MustParseAddr(gw)}}}
	}
	special := route("10.20.0.0/28", "10.0.0.9", 0)
	special.TOS = 16
	bySource := route("10.20.0.0/29", "10.0.0.8", 0)
	bySource.From = netip.MustParsePrefix("10.0.0.0/8")
	table := []Route{
		special, bySource,
		route("0.0.0.0/0", "10.0.0.1", 0), route("10.20.0.0/16", "10.0.0.2", 20), route("10.20.0.0/16", "10.0.0.3", 10), route("10.20.0.0/24", "10.0.0.4", 30),
	}
	for address, want := range map[string]string{"192.0.2.1": "10.0.0.1", "10.20.1.1": "10.0.0.3", "10.20.0.1": "10.0.0.4"} {
		got, ok := WaysIn(table).Longest(netip.MustParseAddr(address))
		if !ok || !slices.Equal(got.Gateways(), []netip.Addr{netip.MustParseAddr(want)}) {
			t.Errorf("%s: got %v, want one by %s", address, got, want)
		}
	}
	if got, ok := WaysIn(table).Longest(netip.MustParseAddr("2001:db8::1")); ok {
		t.Errorf("an IPv6 address: got %v", got)
	}
	for prefix, want := range map[string]string{"10.20.0.0/20": "10.0.0.3", "10.0.0.0/8": "10.0.0.1", "10.20.0.64/26": "10.0.0.4"} {
		got, ok := WaysIn(table).Covering(netip.MustParsePrefix(prefix))
		if !ok || !slices.Equal(got.Gateways(), []netip.Addr{netip.MustParseAddr(want)}) {
			t.Errorf("%s: got %v, want one by %s", prefix, got, want)
		}
	}
}
