package fib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Route is one route of one table (ip-route(8)), or one ECMP group of them.
type Route struct {
	Family   Family
	Dst      netip.Prefix // always valid; the whole family for a default
	From     netip.Prefix // IPv6 source-specific routes; not valid: any
	TOS      uint8
	Table    uint32
	Protocol uint8 // RTPROT_*
	Scope    Scope
	Type     RouteType
	Metric   uint32
	PrefSrc  netip.Addr
	Hops     []Hop
	MTU      uint32 // bytes; 0: the device's
	AdvMSS   uint32 // bytes; 0: the kernel's choice
	Pref     uint8  // router preference, RFC 4191; 0 is medium
	// NexthopID names the nexthop object that the route uses; 0: none.
	NexthopID uint32
	// Expires is set where the kernel will drop the route by itself.
	Expires bool
	// OtherMetrics and Other hold what is not modelled, as the kernel wrote it.
	OtherMetrics Opaque
	Other        Opaque
}

// Hop is one next hop of a route.
type Hop struct {
	Gateway netip.Addr // not valid: on-link
	Index   int        // of the interface
	Dev     string     // its name; for text only, the kernel goes by Index
	Weight  int        // of an ECMP hop, 1..256; 0 where the route has one hop
	OnLink  bool       // RTNH_F_ONLINK
	Other   Opaque     // what is not modelled (encapsulation, realm), as the kernel wrote it
}

// IsDefault reports whether the route is a unicast route to everywhere, from
// every source and for every type of service.
func (r Route) IsDefault() bool {
	return r.Dst.Bits() == 0 && r.Type == unix.RTN_UNICAST && !r.From.IsValid() && r.TOS == 0
}

// Uses reports whether one of the hops is by the interface.
func (r Route) Uses(index int) bool {
	return slices.ContainsFunc(r.Hops, func(h Hop) bool { return h.Index == index })
}

// Through keeps of the hops those by the interface, or, with except set, those
// by others. What is left keeps its weight.
func (r Route) Through(index int, except bool) Route {
	r.Hops = slices.DeleteFunc(slices.Clone(r.Hops), func(h Hop) bool { return (h.Index == index) == except })
	return r
}

// Gateways lists the gateways of the hops.
func (r Route) Gateways() []netip.Addr {
	var gws []netip.Addr
	for _, h := range r.Hops {
		if h.Gateway.IsValid() {
			gws = append(gws, h.Gateway)
		}
	}
	return gws
}

// Place is by what the kernel tells routes apart (fib_table_insert, fib6_add_rt2node).
type Place struct {
	Family    Family
	Table     uint32
	Dst, From netip.Prefix
	TOS       uint8
	Metric    uint32
}

// Place is where the route stands.
func (r Route) Place() Place { return Place{r.Family, r.Table, r.Dst, r.From, r.TOS, r.Metric} }

// SamePlace reports whether the two stand in each other's way.
func (r Route) SamePlace(o Route) bool { return r.Place() == o.Place() }

// Identity is all that makes a route the route that it is, as a value that can be compared:
// there may be thousands of each place.
type Identity struct {
	Place
	protocol, pref       uint8
	scope                Scope
	kind                 RouteType
	prefSrc              netip.Addr
	mtu, advMSS, nexthop uint32
	metrics, other       Opaque
	hop                  Hop    // the only one
	hops                 string // several of them
}

// Identity is what Equal compares.
func (r Route) Identity() Identity {
	id := Identity{
		Place: r.Place(), protocol: r.Protocol, pref: r.Pref, scope: r.Scope, kind: r.Type, prefSrc: r.PrefSrc,
		mtu: r.MTU, advMSS: r.AdvMSS, nexthop: r.NexthopID, metrics: r.OtherMetrics, other: r.Other,
	}
	var several line
	for _, h := range r.Hops {
		h.Dev = ""
		if len(r.Hops) == 1 {
			h.Weight = 0 // one hop has all the weight
			id.hop = h
			return id
		}
		several.word("nexthop")
		h.write(&several)
	}
	id.hops = several.String()
	return id
}

// IdentityButProtocol is the same whoever installed the route: of the hops of an IPv6 multipath
// route the kernel tells the protocol of the first only (rt6_fill_node).
func (r Route) IdentityButProtocol() Identity {
	r.Protocol = 0
	return r.Identity()
}

// Equal reports whether the two are the same route. What the kernel changes by
// itself (marks of hops that are down, names of devices) does not count.
func (r Route) Equal(o Route) bool { return r.Identity() == o.Identity() }

// Hops takes IPv6 multipath routes apart: to the kernel their hops are routes of their own,
// each added and deleted by itself.
func Hops(routes []Route) []Route {
	var out []Route
	for _, r := range routes {
		if r.Family == V4 || len(r.Hops) < 2 {
			out = append(out, r)
			continue
		}
		for _, h := range r.Hops {
			if h.Weight == 1 {
				h.Weight = 0
			}
			r.Hops = []Hop{h}
			out = append(out, r)
		}
	}
	return out
}

func (r Route) String() string {
	var b strings.Builder
	if r.Type != unix.RTN_UNICAST {
		b.WriteString(r.Type.String() + " ")
	}
	b.WriteString(prefixText(r.Dst, "default"))
	if r.From.IsValid() {
		b.WriteString(" from " + prefixText(r.From, "all"))
	}
	if r.TOS != 0 {
		fmt.Fprintf(&b, " tos %#x", r.TOS)
	}
	if r.NexthopID != 0 {
		fmt.Fprintf(&b, " nhid %d", r.NexthopID)
	}
	if len(r.Hops) == 1 {
		only := r.Hops[0]
		only.Weight = 0
		b.WriteString(only.text(r.Family))
	}
	r.writeAttributes(&b)
	if len(r.Hops) > 1 {
		for _, h := range r.Hops {
			b.WriteString(" nexthop" + h.text(r.Family))
		}
	}
	return b.String()
}

func (r Route) writeAttributes(b *strings.Builder) {
	if r.Table != unix.RT_TABLE_MAIN && r.Table != 0 {
		b.WriteString(" table " + TableText(r.Table))
	}
	if r.Protocol != unix.RTPROT_UNSPEC {
		b.WriteString(" proto " + protocolText(r.Protocol))
	}
	if r.Family == V4 && r.Scope == unix.RT_SCOPE_LINK {
		b.WriteString(" scope link")
	}
	if r.PrefSrc.IsValid() {
		b.WriteString(" src " + r.PrefSrc.String())
	}
	if r.Metric != 0 {
		fmt.Fprintf(b, " metric %d", r.Metric)
	}
	if r.MTU != 0 {
		fmt.Fprintf(b, " mtu %d", r.MTU)
	}
	if r.AdvMSS != 0 {
		fmt.Fprintf(b, " advmss %d", r.AdvMSS)
	}
}

// text is the hop of a route of a family, as iproute2 prints it.
func (h Hop) text(f Family) string {
	var b strings.Builder
	if h.Gateway.IsValid() {
		b.WriteString(" via ")
		if FamilyOf(h.Gateway) != f {
			b.WriteString("inet6 ")
		}
		b.WriteString(h.Gateway.String())
	}
	if h.Dev != "" {
		b.WriteString(" dev " + h.Dev)
	} else if h.Index != 0 {
		fmt.Fprintf(&b, " dev if%d", h.Index)
	}
	if h.Weight != 0 {
		fmt.Fprintf(&b, " weight %d", h.Weight)
	}
	if h.OnLink {
		b.WriteString(" onlink")
	}
	return b.String()
}

// OfFamily are the routes of a family.
func OfFamily(routes []Route, f Family) []Route {
	return filter(routes, func(r Route) bool { return r.Family == f })
}
