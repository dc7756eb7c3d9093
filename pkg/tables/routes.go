package tables

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
	"github.com/symroute/symroute/pkg/state"
)

// Metrics that the kernel gives IPv6 routes which name none: connected
// (IP6_RT_PRIO_ADDRCONF) and others (IP6_RT_PRIO_USER). They are written out
// so that what is wanted compares equal to what is seen.
const (
	metricConnected6 = 256
	metricDefault6   = 1024
)

// build lists the routes of a source table, in an order in which the kernel
// accepts them: what is on the link before what is behind it.
func (b *tableBuilder) build() []fib.Route {
	if b.nic.Role == state.Displaced && !b.nic.Link.Up {
		return nil // the kernel takes none; until it is up, and ADD repeated, its sources are refused
	}
	for _, f := range b.table.Families() {
		if b.nic.Role == state.Replies {
			b.add(b.mirrored(f)...)
		}
		wanted := b.configured(f)
		for _, r := range wanted {
			b.byConfig[r.Place()], b.configuredTo[r.Dst] = true, true
		}
		b.add(b.connected(f)...)
		refused := b.refused(f)
		closed := map[netip.Prefix]bool{}
		for _, r := range refused {
			closed[r.Dst] = true
		}
		exit := exitOf(b.table, f)
		b.reach(f, exit)
		if len(exit) > 0 {
			b.add(b.defaultRoute(f, exit))
		}
		for _, r := range append(b.fromResult(f, exit), b.fromMain(f)...) {
			if !b.byConfig[r.Place()] && !closed[r.Dst] { // the configuration's own word counts
				b.reach(f, r.Hops)
				b.add(r)
			}
		}
		for _, r := range wanted {
			b.reach(f, r.Hops)
			b.replace(r)
		}
		if len(refused) > 0 {
			b.add(refused...)
			b.add(b.open(f, fib.WaysIn(b.routes))...)
		}
	}
	b.limit()
	slices.SortStableFunc(b.routes, func(x, y fib.Route) int { return gatewayed(x) - gatewayed(y) })
	return b.routes
}

// limit bounds the segments of the table's sources, unless the configuration names
// a size of its own.
func (b *tableBuilder) limit() {
	for i, r := range b.routes {
		most := maxMSSOf(b.table, r.Family)
		if headers := lvs.SegmentHeaders(r.Family); most != 0 && r.MTU > headers {
			most = min(most, r.MTU-headers)
		}
		byConfig := b.byConfig[r.Place()] && r.AdvMSS != 0
		if most != 0 && !byConfig && r.Type == unix.RTN_UNICAST && (r.AdvMSS == 0 || r.AdvMSS > most) {
			b.routes[i].AdvMSS = most
		}
	}
}

func gatewayed(r fib.Route) int { return min(len(r.Gateways()), 1) }

// maxMSSOf is the common limit of the table's sources of a family.
func maxMSSOf(t state.Table, f fib.Family) uint32 {
	for _, s := range t.Sources {
		if s.Family() == f {
			return s.MaxMSS
		}
	}
	return 0
}

// exitOf is the common way out of the table's sources of a family.
func exitOf(t state.Table, f fib.Family) []fib.Hop {
	for _, s := range t.Sources {
		if s.Family() == f {
			return s.Exit
		}
	}
	return nil
}

// tableBuilder builds the tables of a NIC, one after the other. A NIC may have thousands of
// routes, addresses and gateways.
type tableBuilder struct {
	pod Pod
	nic NIC
	all []NIC // the attachment's

	main      map[fib.Family][]fib.Route   // the NIC's routes in main, as a table has them
	mainTo    map[netip.Prefix][]fib.Route // the same by destination
	gatewayed map[netip.Prefix]bool        // what main reaches by the NIC through a gateway
	own       map[netip.Addr]bool          // the NIC's addresses
	refusals  []fib.Route                  // of main, that hold for its sources

	table    state.Table
	routes   []fib.Route
	taken    map[fib.Place]bool // where these stand
	onLinks  *fib.Ways          // those of them that need no gateway
	byConfig map[fib.Place]bool // where the configuration's stand
	// configuredTo are the configuration's destinations.
	configuredTo map[netip.Prefix]bool
}

// builder begins the tables of a NIC.
func (p Pod) builder(nic NIC, all []NIC) *tableBuilder {
	b := &tableBuilder{
		pod: p, nic: nic, all: all, main: map[fib.Family][]fib.Route{}, mainTo: map[netip.Prefix][]fib.Route{},
		gatewayed: map[netip.Prefix]bool{}, own: map[netip.Addr]bool{},
	}
	for _, a := range p.Seen.Addresses {
		if a.Index == nic.Link.Index {
			b.own[a.Prefix.Addr()] = true
		}
	}
	for _, m := range p.Main {
		if !m.Uses(nic.Link.Index) {
			continue
		}
		if len(m.Gateways()) > 0 {
			b.gatewayed[m.Dst] = true
		}
		if b.isCopied(m) {
			r := b.copied(m)
			b.main[r.Family] = append(b.main[r.Family], r)
			b.mainTo[r.Dst] = append(b.mainTo[r.Dst], r)
		}
	}
	b.collectRefusals()
	return b
}

// begin begins a table.
func (b *tableBuilder) begin(t state.Table) {
	b.table, b.routes = t, nil
	b.taken, b.onLinks = map[fib.Place]bool{}, fib.WaysIn(nil)
	b.byConfig, b.configuredTo = map[fib.Place]bool{}, map[netip.Prefix]bool{}
}

// add appends routes to places that are not taken.
func (b *tableBuilder) add(routes ...fib.Route) {
	for _, r := range routes {
		if place := r.Place(); !b.taken[place] {
			b.taken[place] = true
			b.routes = append(b.routes, r)
			b.note(r)
		}
	}
}

// replace puts a route to its place, whatever is there.
func (b *tableBuilder) replace(r fib.Route) {
	if b.taken[r.Place()] {
		b.routes = slices.DeleteFunc(b.routes, r.SamePlace)
	}
	b.taken[r.Place()] = true
	b.routes = append(b.routes, r)
	b.note(r)
}

// note notes what next hops can be reached by.
func (b *tableBuilder) note(r fib.Route) {
	if len(r.Gateways()) == 0 && r.Dst.Bits() > 0 && r.Type == unix.RTN_UNICAST {
		b.onLinks.Add(r)
	}
}

// route is a unicast route of this table by this NIC.
func (b *tableBuilder) route(f fib.Family, dst netip.Prefix, hops ...fib.Hop) fib.Route {
	r := fib.Route{Family: f, Dst: dst, Table: b.table.Number, Protocol: state.Protocol, Type: unix.RTN_UNICAST, Hops: hops}
	if len(hops) == 0 {
		r.Hops = []fib.Hop{b.onLink()}
	}
	switch {
	case f == fib.V6:
		r.Metric = metricDefault6
	case len(r.Gateways()) == 0:
		r.Scope = unix.RT_SCOPE_LINK
	}
	return r
}

func (b *tableBuilder) onLink() fib.Hop {
	return fib.Hop{Index: b.nic.Link.Index, Dev: b.nic.Link.Name}
}

// connected are the prefixes that the NIC is connected to. IPv4 names the
// preferred source; IPv6 never does, for a tentative address is refused as
// source (ip6_route_info_create).
func (b *tableBuilder) connected(f fib.Family) []fib.Route {
	var out []fib.Route
	known := map[netip.Prefix]bool{}
	for _, s := range slices.Concat(b.table.Sources, b.nic.Sources) { // of two addresses in a subnet, its own is preferred
		// What main reaches through a gateway has no neighbours on the link (the ptp plugin
		// and others of its kind).
		if known[s.Subnet] || s.Family() != f || !s.Subnet.IsValid() || fib.IsHost(s.Subnet) || b.gatewayed[s.Subnet] {
			continue
		}
		known[s.Subnet] = true
		r := b.route(f, s.Subnet)
		if f == fib.V6 {
			r.Metric = metricConnected6
		} else if b.holds(s.Prefix.Addr()) {
			r.PrefSrc = s.Prefix.Addr()
		}
		out = append(out, r)
	}
	if f == fib.V6 {
		r := b.route(f, netip.PrefixFrom(netip.MustParseAddr("fe80::"), 64))
		r.Metric = metricConnected6
		out = append(out, r)
	}
	return out
}

// holds reports whether the NIC has an address, without which the kernel
// refuses it as preferred source (fib_valid_prefsrc).
func (b *tableBuilder) holds(a netip.Addr) bool { return b.own[a] }

// reach adds link routes to next hops that no connected prefix holds
// (169.254.1.1 dev eth0 scope link), without which the kernel refuses them. It takes one that is
// said to be on the link without, but then what is for that host itself goes elsewhere, or nowhere.
func (b *tableBuilder) reach(f fib.Family, hops []fib.Hop) {
	for _, h := range hops {
		g := h.Gateway
		if !g.IsValid() || fib.FamilyOf(g) != f || (g.Is6() && g.IsLinkLocalUnicast()) {
			continue
		}
		if _, reachable := b.onLinks.Longest(g); !reachable {
			b.add(b.linkRoute(f, g))
		}
	}
}

// linkRoute is the route to a next hop on the link, as main has it if it does.
func (b *tableBuilder) linkRoute(f fib.Family, gateway netip.Addr) fib.Route {
	for _, m := range b.mainTo[fib.Host(gateway)] {
		if len(m.Gateways()) == 0 {
			return b.here(m)
		}
	}
	return b.route(f, fib.Host(gateway))
}

// defaultRoute is the default, with what the result says of its packets' size.
func (b *tableBuilder) defaultRoute(f fib.Family, exit []fib.Hop) fib.Route {
	r := b.route(f, f.Any(), exit...)
	for _, p := range b.pod.Config.Prev.Routes {
		sized := p.MTU != 0 || p.AdvMSS != 0
		if sized && b.leadsHere(p) && p.Table == nil && p.Dst == r.Dst && (!p.Gateway.IsValid() || slices.Contains(r.Gateways(), p.Gateway)) {
			r.MTU, r.AdvMSS = p.MTU, p.AdvMSS
			return r
		}
	}
	var best fib.Route // main may have several by one hop
	for _, m := range b.pod.Defaults {
		leadsThere := m.Family == f && slices.Equal(normalHops(m.Through(b.nic.Link.Index, false).Hops), exit)
		if leadsThere && (!best.Dst.IsValid() || isBetter(m, best)) {
			best = m
		}
	}
	r.MTU, r.AdvMSS, r.OtherMetrics = best.MTU, best.AdvMSS, best.OtherMetrics
	return r
}

// fromResult are the other routes of the result that lead through this NIC.
// Those with a table of their own were meant for that.
func (b *tableBuilder) fromResult(f fib.Family, exit []fib.Hop) []fib.Route {
	var out []fib.Route
	for _, p := range b.pod.Config.Prev.Routes {
		if p.Table != nil || fib.FamilyOf(p.Dst.Addr()) != f || p.Dst.Bits() == 0 || !b.leadsHere(p) {
			continue
		}
		r := b.resultRoute(f, p, exit)
		if p.Priority != 0 {
			r.Metric = p.Priority
		}
		r.MTU, r.AdvMSS = p.MTU, p.AdvMSS
		out = append(out, r)
	}
	return out
}

// resultRoute makes a route of the result's. One without a gateway goes the way
// that main has for it, else that of the default (as the interface plugins do
// it), unless it is a link route.
func (b *tableBuilder) resultRoute(f fib.Family, p config.ResultRoute, exit []fib.Hop) fib.Route {
	if p.Gateway.IsValid() {
		hop := b.onLink()
		hop.Gateway = p.Gateway
		return b.route(f, p.Dst, hop)
	}
	if known := b.mainTo[p.Dst]; len(known) > 0 {
		return b.here(known[0])
	}
	isLink := p.Scope != nil && *p.Scope == unix.RT_SCOPE_LINK
	toGateway := slices.ContainsFunc(exit, func(h fib.Hop) bool { return h.Gateway.IsValid() && p.Dst.Contains(h.Gateway) })
	if isLink || toGateway {
		return b.route(f, p.Dst)
	}
	return b.route(f, p.Dst, exit...)
}

// leadsHere reports whether a route of the result is by this NIC: the attachment's that
// is connected to its gateway, else its own. Of NICs of others the result does not speak.
func (b *tableBuilder) leadsHere(p config.ResultRoute) bool {
	if b.nic.Role != state.Attached {
		return false
	}
	e := exits{nic: b.nic, all: b.all}
	if p.Gateway.IsValid() && e.inSubnet(p.Gateway) {
		return !e.elsewhere(p.Gateway)
	}
	return b.nic.Link.Name == b.pod.IfName
}

// fromMain are the NIC's routes in main, with their attributes.
func (b *tableBuilder) fromMain(f fib.Family) []fib.Route {
	out := slices.Clone(b.main[f])
	for i, r := range out {
		out[i] = b.here(r)
	}
	return out
}

// here is a route of main's in this table.
func (b *tableBuilder) here(r fib.Route) fib.Route {
	r.Table = b.table.Number
	return r
}

// isCopied tells the routes by the NIC in main that its tables get. Defaults are gateways
// (above); a router's that expires would outlive it here; ours are ours. What is on the link
// comes along also where it expires (the prefix of autoconfigured addresses): without it
// neighbours would go by the gateway, and CHECK sees when main has lost it. No rule could lead
// there instead: main has the links of the other NICs, too. IPv6 keeps a route to each /128 of
// the NIC in main, which the local table answers before.
func (b *tableBuilder) isCopied(m fib.Route) bool {
	advertised := m.Protocol == unix.RTPROT_RA || m.Expires
	isOwnAddress := fib.IsHost(m.Dst) && b.holds(m.Dst.Addr())
	return m.Type == unix.RTN_UNICAST && !m.IsDefault() && (!advertised || len(m.Gateways()) == 0) && !isOwnAddress
}

// copied is a route of main's for the NIC's tables.
func (b *tableBuilder) copied(m fib.Route) fib.Route {
	r := m.Through(b.nic.Link.Index, false)
	r.Protocol, r.NexthopID, r.Expires = state.Protocol, 0, false
	if r.Family == fib.V6 {
		r.PrefSrc = netip.Addr{}
	}
	return r
}

// configured are the routes of the configuration; they belong to the attachment's own NIC.
func (b *tableBuilder) configured(f fib.Family) []fib.Route {
	if b.nic.Link.Name != b.pod.IfName {
		return nil
	}
	var out []fib.Route
	for _, c := range b.pod.Config.Routes {
		if fib.FamilyOf(c.Dst.Addr()) != f {
			continue
		}
		hop := b.onLink()
		hop.Gateway, hop.OnLink = c.Gateway, c.OnLink
		r := b.route(f, c.Dst, hop)
		if c.Metric != 0 {
			r.Metric = c.Metric
		}
		r.MTU, r.AdvMSS = c.MTU, c.AdvMSS
		out = append(out, r)
	}
	return out
}
