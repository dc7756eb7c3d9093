package fake

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// place is where a new route goes among those of its place.
type place int

const (
	exclusive place = iota // there must be none (NLM_F_EXCL)
	inFront                // before them; in IPv6 behind them all the same
	behind                 // NLM_F_APPEND
)

// defaultMetric is what IPv6 makes of a metric of 0 (IP6_RT_PRIO_USER).
const defaultMetric = 1024

// addRoute adds a route, each hop of an IPv6 multipath route as one of its own
// (ip6_route_multipath_add).
func (s *state) addRoute(r fib.Route, where place) error {
	r = normal(r)
	if r.Family == fib.V6 && len(r.Hops) > 1 && len(r.Gateways()) < len(r.Hops) {
		return unix.EINVAL
	}
	for _, one := range siblings(r) {
		if err := s.accept(one); err != nil {
			return err
		}
	}
	if r.Family == fib.V4 {
		return s.insert4(r, where)
	}
	for i, one := range siblings(r) {
		if i > 0 {
			where = behind
		}
		if err := s.insert6(one, where); err != nil {
			return err
		}
	}
	return nil
}

// normal is a route as the kernel keeps it.
func normal(r fib.Route) fib.Route {
	r.Hops = slices.Clone(r.Hops)
	r.Expires = false
	for i := range r.Hops {
		r.Hops[i].Dead = false
		r.Hops[i].Dev = ""
	}
	if r.Family == fib.V4 {
		if len(r.Hops) == 1 {
			r.Hops[0].Weight = 0
		}
		return r
	}
	r.Scope, r.TOS = unix.RT_SCOPE_UNIVERSE, 0
	if r.Metric == 0 {
		r.Metric = defaultMetric
	}
	if refusal(r.Type) != 0 {
		r.Hops = []fib.Hop{{Index: loopback}}
	}
	return r
}

// siblings divides an IPv6 route into its hops, each of which is a route to the
// kernel.
func siblings(r fib.Route) []fib.Route {
	if r.Family == fib.V4 || len(r.Hops) == 0 {
		return []fib.Route{r}
	}
	var out []fib.Route
	for _, h := range r.Hops {
		h.Weight = max(h.Weight, 1)
		one := r
		one.Hops = []fib.Hop{h}
		out = append(out, one)
	}
	return out
}

// merge lists siblings as one route with the attributes of the first, and leaves
// out whatever stands between them, as the kernel does (rt6_fill_node,
// rt6_dump_route).
func merge(routes []fib.Route) []fib.Route {
	var out []fib.Route
	for i := 0; i < len(routes); i++ {
		r, last := routes[i], i
		for j := i + 1; j < len(routes); j++ {
			if isSibling(r, routes[j]) {
				r.Hops = append(r.Hops, routes[j].Hops...)
				last = j
			}
		}
		if len(r.Hops) == 1 {
			r.Hops[0].Weight = 0
		}
		out = append(out, r)
		i = last
	}
	return out
}

// isSibling reports whether two routes are hops of one (rt6_qualify_for_ecmp).
func isSibling(r, o fib.Route) bool {
	ecmp := func(r fib.Route) bool {
		return len(r.Gateways()) > 0 && r.Protocol != unix.RTPROT_RA && r.NexthopID == 0
	}
	return r.SamePlace(o) && ecmp(r) && ecmp(o)
}

// insert4 is fib_table_insert.
func (s *state) insert4(r fib.Route, where place) error {
	first := slices.IndexFunc(s.routes, r.SamePlace)
	if first >= 0 && (where == exclusive || slices.ContainsFunc(s.routes, r.Equal)) {
		return unix.EEXIST
	}
	at := s.position(r)
	if first >= 0 && where == inFront {
		at = first
	}
	s.routes = slices.Insert(s.routes, at, r)
	return nil
}

// insert6 is fib6_add_rt2node.
func (s *state) insert6(r fib.Route, where place) error {
	for _, o := range s.routes {
		if o.SamePlace(r) && (where == exclusive || sameNexthop(o, r)) {
			return unix.EEXIST
		}
	}
	s.routes = slices.Insert(s.routes, s.position(r), r)
	return nil
}

// sameNexthop is rt6_duplicate_nexthop.
func sameNexthop(o, r fib.Route) bool {
	return o.NexthopID == r.NexthopID && o.Hops[0].Index == r.Hops[0].Index &&
		o.Hops[0].Gateway == r.Hops[0].Gateway && o.Hops[0].Other == r.Hops[0].Other
}

// position is behind everything that is not behind a route.
func (s *state) position(r fib.Route) int {
	i := slices.IndexFunc(s.routes, func(o fib.Route) bool { return order(r, o) < 0 })
	if i < 0 {
		return len(s.routes)
	}
	return i
}

// order is the order in which the kernel lists routes of different places.
func order(r, o fib.Route) int {
	switch {
	case r.Family != o.Family:
		return int(r.Family) - int(o.Family)
	case r.Table != o.Table:
		return int(int64(r.Table) - int64(o.Table))
	case r.Dst != o.Dst:
		return orderOfPrefixes(r.Family, r.Dst, o.Dst)
	case r.TOS != o.TOS:
		return int(o.TOS) - int(r.TOS)
	}
	return int(int64(r.Metric) - int64(o.Metric))
}

// orderOfPrefixes: IPv4 lists by address, of one address the longer prefix
// first (fib_table_dump); IPv6 lists a prefix behind those in it (fib6_walk).
func orderOfPrefixes(f fib.Family, p, q netip.Prefix) int {
	switch {
	case f == fib.V6 && fib.Covers(p, q):
		return 1
	case f == fib.V6 && fib.Covers(q, p):
		return -1
	case p.Addr() != q.Addr():
		return p.Addr().Compare(q.Addr())
	}
	return q.Bits() - p.Bits()
}

// delRoute removes the first route that has everything that is asked for.
func (s *state) delRoute(r fib.Route) error {
	asked := asked4
	if r.Family == fib.V6 {
		asked = asked6
	}
	i := slices.IndexFunc(s.routes, func(o fib.Route) bool {
		return o.Family == r.Family && o.Table == r.Table && o.Dst == r.Dst && o.From == r.From &&
			(r.Metric == 0 || o.Metric == r.Metric) && (r.Protocol == 0 || o.Protocol == r.Protocol) && asked(o, r)
	})
	if i < 0 {
		return unix.ESRCH
	}
	found := s.routes[i]
	s.routes = slices.Delete(s.routes, i, i+1)
	if r.Family == fib.V6 && len(r.Gateways()) == 0 { // then its siblings go with it (fc_delete_all_nh)
		s.routes = slices.DeleteFunc(s.routes, func(o fib.Route) bool { return isSibling(found, o) })
	}
	return nil
}

// asked4 is what fib_table_delete compares, with the hops written as a multipath
// route (fib.EncodeRouteDeletion). Of those only as many count as the route has
// (fib_nh_match).
func asked4(o, r fib.Route) bool {
	return o.TOS == r.TOS && o.Type == r.Type && o.Scope == r.Scope &&
		(!r.PrefSrc.IsValid() || o.PrefSrc == r.PrefSrc) &&
		(r.MTU == 0 || o.MTU == r.MTU) && (r.AdvMSS == 0 || o.AdvMSS == r.AdvMSS) &&
		(len(r.Hops) == 0 || o.NexthopID == r.NexthopID && len(o.Hops) <= len(r.Hops) && slices.EqualFunc(o.Hops, r.Hops[:len(o.Hops)], askedHop4))
}

func askedHop4(o, r fib.Hop) bool {
	return o.Index == r.Index && (!r.Gateway.IsValid() || o.Gateway == r.Gateway) && (r.Weight <= 1 || o.Weight == r.Weight)
}

// asked6 is what ip6_route_del compares.
func asked6(o, r fib.Route) bool {
	if r.NexthopID != 0 || len(r.Hops) == 0 {
		return o.NexthopID == r.NexthopID
	}
	return o.Hops[0].Index == r.Hops[0].Index && (!r.Hops[0].Gateway.IsValid() || o.Hops[0].Gateway == r.Hops[0].Gateway)
}

// accept reports whether the kernel takes a route at all.
func (s *state) accept(r fib.Route) error {
	if refusal(r.Type) == 0 && r.NexthopID == 0 {
		for _, h := range r.Hops {
			if err := s.acceptHop(r, h); err != nil {
				return err
			}
		}
	}
	if r.PrefSrc.IsValid() && !s.isLocal(r.PrefSrc) {
		return unix.EINVAL
	}
	return nil
}

func (s *state) acceptHop(r fib.Route, h fib.Hop) error {
	switch {
	case r.Family == fib.V6:
		return s.acceptHop6(r, h)
	case h.OnLink && r.Scope >= unix.RT_SCOPE_LINK:
		return unix.EINVAL
	case h.Gateway.Is4() && !h.OnLink:
		return s.acceptGateway4(r, h)
	}
	l, ok := s.link(h.Index)
	switch {
	case !ok || !l.HasIPv4:
		return unix.ENODEV
	case !l.Up:
		return unix.ENETDOWN
	case h.OnLink && s.isLocal(h.Gateway):
		return unix.EINVAL
	}
	return nil
}

// acceptGateway4 is fib_check_nh_v4_gw: a gateway must be on the link, by the
// table's own routes or by all.
func (s *state) acceptGateway4(r fib.Route, h fib.Hop) error {
	p := packet{family: fib.V4, to: h.Gateway, iif: loopback, oif: h.Index, scope: max(r.Scope+1, unix.RT_SCOPE_LINK)}
	found, err := s.lookupTable(r.Table, p)
	if err != nil || r.Table == unix.RT_TABLE_MAIN {
		found, err = s.lookup(p)
	}
	l, _ := s.link(h.Index)
	switch {
	case err != nil:
		return err
	case found.Type != unix.RTN_UNICAST && found.Type != unix.RTN_LOCAL:
		return unix.EINVAL
	case !l.Up:
		return unix.ENETDOWN
	}
	return nil
}

// acceptHop6 is fib6_nh_init.
func (s *state) acceptHop6(r fib.Route, h fib.Hop) error {
	l, ok := s.link(h.Index)
	switch {
	case !ok:
		return unix.ENODEV
	case h.OnLink && !l.Up:
		return unix.ENETDOWN
	}
	if h.Gateway.IsValid() {
		if err := s.acceptGateway6(r.Table, h); err != nil {
			return err
		}
	}
	switch {
	case !l.IPv6:
		return unix.EACCES
	case !l.Up:
		return unix.ENETDOWN
	}
	return nil
}

// acceptGateway6 is ip6_validate_gw.
func (s *state) acceptGateway6(table uint32, h fib.Hop) error {
	switch {
	case s.isLocal(h.Gateway):
		return unix.EINVAL
	case h.Gateway.IsLinkLocalUnicast():
		return nil
	case h.OnLink:
		return s.acceptOnLink6(h)
	}
	p := packet{family: fib.V6, to: h.Gateway, oif: h.Index} // of no device, not even lo
	onLink := func(r fib.Route, err error) bool { return err == nil && refusal(r.Type) == 0 && len(r.Gateways()) == 0 }
	if onLink(s.lookupTable(table, p)) || onLink(s.lookup(p)) {
		return nil
	}
	return unix.EHOSTUNREACH
}

// acceptOnLink6 is ip6_route_check_nh_onlink: main may not know better, unless by
// its default.
func (s *state) acceptOnLink6(h fib.Hop) error {
	found, err := s.lookupTable(unix.RT_TABLE_MAIN, packet{family: fib.V6, to: h.Gateway})
	if err == nil && found.Dst.Bits() > 0 && refusal(found.Type) == 0 && !found.Uses(h.Index) {
		return unix.EINVAL
	}
	return nil
}

// isLocal reports whether an address is the pod's own and usable.
func (s *state) isLocal(a netip.Addr) bool {
	return slices.ContainsFunc(s.addresses, func(x fib.Address) bool { return x.Prefix.Addr() == a && !x.Tentative })
}
