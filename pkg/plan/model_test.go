package plan_test

import (
	order "cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
)

// model is a small model of the kernel: what a sequence of changes does to a
// pod, and which changes the kernel refuses. It knows
//
//   - that a rule comes behind those of its priority, and is refused if it is
//     there already, wherever the goto of either leads;
//   - that IPv4 routes of one place stand in an order, and that IPv6 ones with a
//     gateway are hops of one route, to be deleted one by one;
//   - that a route needs its interface up, its gateway on a link that is routed,
//     and, in IPv4, its preferred source on the pod;
//   - that a write to conf/default spreads to the devices whose own number was
//     never written (devinet_copy_dflt_conf).
type model struct {
	links     []fib.Link
	addresses []fib.Address
	rules     []fib.Rule
	routes    []fib.Route // an IPv6 one has one hop, with its weight
	all, def  fib.Settings
	written   map[setting]bool // devices' settings that were written
	bornSo    map[string]bool  // those of default that were written, which new devices inherit
}

// setting is one number of one device.
type setting struct {
	index int
	key   string
}

func newModel(s *fib.Snapshot) *model {
	m := &model{
		links: slices.Clone(s.Links), addresses: slices.Clone(s.Addresses), rules: slices.Clone(s.Rules),
		all: s.All, def: s.Default, written: map[setting]bool{}, bornSo: map[string]bool{},
	}
	for _, l := range s.Links { // what differs from the default must have been written
		for _, key := range settings.Keys() {
			m.written[setting{l.Index, key}] = l.Of(key) != s.Default.Of(key)
		}
	}
	for _, r := range s.Routes {
		m.routes = append(m.routes, siblings(r)...)
	}
	return m
}

// siblings divides an IPv6 route into its hops.
func siblings(r fib.Route) []fib.Route {
	if r.Family == fib.V4 || len(r.Hops) == 0 {
		return []fib.Route{r}
	}
	var out []fib.Route
	for _, h := range r.Hops {
		h.Weight = max(h.Weight, 1)
		r.Hops = []fib.Hop{h}
		out = append(out, r)
	}
	return out
}

// observe reads the model as pkg/kernel reads a pod: with the routes of some tables, or
// without any named, of all. IPv6 defaults of main come hop by hop.
func (m *model) observe(tables ...uint32) *fib.Snapshot {
	s := &fib.Snapshot{
		Links: slices.Clone(m.links), Addresses: slices.Clone(m.addresses), Rules: slices.Clone(m.rules),
		All: m.all, Default: m.def,
	}
	for _, r := range m.routes {
		if len(tables) > 0 && !slices.Contains(tables, r.Table) {
			continue
		}
		r.Hops = slices.Clone(r.Hops)
		i := -1
		if ecmp(r) {
			i = slices.IndexFunc(s.Routes, func(o fib.Route) bool { return o.SamePlace(r) && ecmp(o) })
		}
		if hopByHop := r.Table == state.MainTable && r.IsDefault(); i >= 0 && !hopByHop {
			s.Routes[i].Hops = append(s.Routes[i].Hops, r.Hops...)
		} else {
			s.Routes = append(s.Routes, r)
		}
	}
	for i, r := range s.Routes {
		if r.Family == fib.V6 && len(r.Hops) == 1 && r.Hops[0].Weight == 1 {
			s.Routes[i].Hops[0].Weight = 0
		}
	}
	return s
}

// ecmp reports whether an IPv6 route can be a hop among others
// (rt6_qualify_for_ecmp).
func ecmp(r fib.Route) bool {
	return r.Family == fib.V6 && r.NexthopID == 0 && r.Protocol != unix.RTPROT_RA && len(r.Gateways()) > 0
}

// born adds a device with its addresses and routes, as another plugin brings it
// to the pod. Of routes at one place IPv4 has the newest first.
func (m *model) born(from *fib.Snapshot, name string) {
	l, _ := from.Link(name)
	l.Settings = m.def
	m.links = append(m.links, l)
	for _, key := range settings.Keys() {
		m.written[setting{l.Index, key}] = m.bornSo[key]
	}
	for _, a := range from.Addresses {
		if a.Index == l.Index {
			m.addresses = append(m.addresses, a)
		}
	}
	for _, r := range slices.Backward(from.Routes) {
		for _, sibling := range siblings(r.Through(l.Index, false)) {
			switch {
			case len(sibling.Hops) == 0: // none of its own
			case sibling.Family == fib.V4:
				m.routes = slices.Insert(m.routes, 0, sibling)
			default:
				m.routes = append(m.routes, sibling)
			}
		}
	}
	m.sortRoutes()
}

// died removes a device, and with it what the kernel removes.
func (m *model) died(name string) {
	l := *m.link(name)
	m.links = slices.DeleteFunc(m.links, func(x fib.Link) bool { return x.Index == l.Index })
	m.addresses = slices.DeleteFunc(m.addresses, func(a fib.Address) bool { return a.Index == l.Index })
	m.routes = slices.DeleteFunc(m.routes, func(r fib.Route) bool { return r.Uses(l.Index) })
}

// down sets a device down, and the kernel removes its routes, and its IPv6 addresses unless
// keep_addr_on_down says otherwise. An IPv4 route by others, too, stays.
func (m *model) down(name string) {
	l := m.link(name)
	l.Up = false
	m.addresses = slices.DeleteFunc(m.addresses, func(a fib.Address) bool {
		return a.Index == l.Index && a.Prefix.Addr().Is6() && l.KeepAddrOnDown == 0
	})
	m.routes = slices.DeleteFunc(m.routes, func(r fib.Route) bool { return r.Uses(l.Index) && len(r.Through(l.Index, true).Hops) == 0 })
}

func (m *model) link(name string) *fib.Link {
	i := slices.IndexFunc(m.links, func(l fib.Link) bool { return l.Name == name })
	if i < 0 {
		panic("the test speaks of a device that is not there: " + name)
	}
	return &m.links[i]
}

// apply carries out one change, or refuses it with the kernel's error.
func (m *model) apply(c change.Change) error {
	switch c := c.(type) {
	case change.AddRule:
		return m.addRule(c.Rule)
	case change.DelRule:
		return m.delRule(c.Rule)
	case change.AddRoute:
		return m.addRoute(c.Route)
	case change.ReplaceRoute:
		return m.replaceRoute(c.Route)
	case change.DelRoute:
		return m.delRoute(c.Route)
	case change.AddToMain:
		return m.appendRoute(c.Route)
	case change.DelFromMain:
		return m.delFromMain(c.Route)
	case change.Set:
		return m.set(c)
	case change.AddAddress:
		return m.addAddress(c.Address)
	case change.DelAddress:
		return m.delAddress(c.Address)
	case change.MakeLink:
		m.links = append(m.links, fib.Link{
			Index: c.Index, Name: c.Name, Kind: c.Kind, HasIPv4: true, HasIPv6: true, IPv6: true, AnyToAny: true, Settings: m.def,
		})
		slices.SortFunc(m.links, func(a, b fib.Link) int { return a.Index - b.Index })
		return nil
	case change.DelLink:
		m.died(c.Name)
		return nil
	case change.SetLink:
		m.link(c.Name).Up = c.Up
		return nil
	}
	return fmt.Errorf("unknown operation %T", c)
}

func (m *model) addAddress(a fib.Address) error {
	if slices.Contains(m.addresses, a) {
		return unix.EEXIST
	}
	m.addresses = append(m.addresses, a)
	return nil
}

func (m *model) delAddress(a fib.Address) error {
	i := slices.Index(m.addresses, a)
	if i < 0 {
		return unix.EADDRNOTAVAIL
	}
	m.addresses = slices.Delete(m.addresses, i, i+1)
	return nil
}

func (m *model) addRule(r fib.Rule) error {
	if slices.ContainsFunc(m.rules, sameRule(r)) {
		return unix.EEXIST
	}
	m.appendRule(r)
	return nil
}

// sameRule is what the kernel takes for the same rule: the target of a goto is no part of it
// (rule_exists, rule_find).
func sameRule(r fib.Rule) func(fib.Rule) bool {
	return func(o fib.Rule) bool {
		o.Target = r.Target
		return o == r
	}
}

// appendRule adds a rule behind those of its priority, be it a second time.
func (m *model) appendRule(r fib.Rule) {
	behind := 0
	for i, o := range m.rules {
		if byFamilyAndPriority(o, r) <= 0 {
			behind = i + 1
		}
	}
	m.rules = slices.Insert(m.rules, behind, r)
}

func (m *model) delRule(r fib.Rule) error {
	i := slices.IndexFunc(m.rules, sameRule(r))
	if i < 0 {
		return unix.ENOENT
	}
	m.rules = slices.Delete(m.rules, i, i+1)
	return nil
}

func (m *model) addRoute(r fib.Route) error {
	if slices.ContainsFunc(m.routes, r.SamePlace) {
		return unix.EEXIST
	}
	return m.appendRoute(r)
}

// places are those that have a route.
func (m *model) places() map[string]bool {
	out := map[string]bool{}
	for _, r := range m.routes {
		out[fmt.Sprintf("%s from %s tos %d metric %d of table %d", r.Dst, r.From, r.TOS, r.Metric, r.Table)] = true
	}
	return out
}

// replaceRoute puts a route into its place, whatever is there.
func (m *model) replaceRoute(r fib.Route) error {
	if err := m.acceptable(r); err != nil {
		return err
	}
	m.routes = slices.DeleteFunc(m.routes, r.SamePlace)
	return m.appendRoute(r)
}

// appendRoute adds a route behind those of its place.
func (m *model) appendRoute(r fib.Route) error {
	if err := m.acceptable(r); err != nil {
		return err
	}
	for _, sibling := range siblings(r) {
		if slices.ContainsFunc(m.routes, sameNextHop(sibling)) {
			return unix.EEXIST
		}
		m.routes = append(m.routes, sibling)
	}
	m.sortRoutes()
	return nil
}

// sameNextHop is what the kernel takes for the same route within one place: in
// IPv4 the very same (fib_table_insert), in IPv6 one with the same next hop
// (rt6_duplicate_nexthop).
func sameNextHop(r fib.Route) func(fib.Route) bool {
	if r.Family == fib.V4 {
		return r.Equal
	}
	return func(o fib.Route) bool {
		return o.SamePlace(r) && o.Type == r.Type && slices.EqualFunc(o.Hops, r.Hops, func(a, b fib.Hop) bool {
			return a.Index == b.Index && a.Gateway == b.Gateway
		})
	}
}

// acceptable refuses what fib_create_info and ip6_route_info_create refuse.
func (m *model) acceptable(r fib.Route) error {
	for _, h := range r.Hops {
		i := slices.IndexFunc(m.links, func(l fib.Link) bool { return l.Index == h.Index })
		switch {
		case i < 0:
			return unix.ENODEV
		case !m.links[i].Up:
			return unix.ENETDOWN
		case !m.reachable(r, h):
			return unix.ENETUNREACH
		}
	}
	if r.PrefSrc.IsValid() && !slices.ContainsFunc(m.addresses, func(a fib.Address) bool { return a.Prefix.Addr() == r.PrefSrc }) {
		return unix.EINVAL
	}
	return nil
}

// reachable reports whether a gateway is on a link: by the route's own table, by
// main, or by a table that packets out of the device are sent to.
func (m *model) reachable(r fib.Route, h fib.Hop) bool {
	g := h.Gateway
	if !g.IsValid() || h.OnLink || (g.Is6() && g.IsLinkLocalUnicast()) {
		return true
	}
	asked := []uint32{r.Table, unix.RT_TABLE_MAIN}
	for _, rule := range m.rules {
		out := slices.IndexFunc(m.links, func(l fib.Link) bool { return l.Name == rule.OIF && l.Index == h.Index })
		if out >= 0 && rule.IIF == "" {
			asked = append(asked, rule.Table)
		}
	}
	return slices.ContainsFunc(m.routes, func(o fib.Route) bool {
		return slices.Contains(asked, o.Table) && o.Family == r.Family && o.Uses(h.Index) && len(o.Gateways()) == 0 && o.Dst.Contains(g)
	})
}

// sortRoutes brings routes into the order of a dump, in which those of one place
// keep theirs.
func (m *model) sortRoutes() { slices.SortStableFunc(m.routes, byPlace) }

func byPlace(a, b fib.Route) int {
	return order.Or(
		order.Compare(a.Family, b.Family), order.Compare(a.Table, b.Table),
		a.Dst.Addr().Compare(b.Dst.Addr()), order.Compare(a.Dst.Bits(), b.Dst.Bits()),
		order.Compare(b.TOS, a.TOS), order.Compare(a.Metric, b.Metric),
	)
}

// delRoute deletes the route, which must be the very same; of an IPv6 one the
// hops, by next hop and protocol.
func (m *model) delRoute(r fib.Route) error {
	if r.Family == fib.V4 {
		return m.delFirst(r.Equal)
	}
	for _, sibling := range siblings(r) {
		same := sameNextHop(sibling)
		if err := m.delFirst(func(o fib.Route) bool { return same(o) && o.Protocol == sibling.Protocol }); err != nil {
			return err
		}
	}
	return nil
}

// delFromMain deletes a route as pkg/kernel does it for those of main: in IPv6 whatever its
// protocol.
func (m *model) delFromMain(r fib.Route) error {
	if r.Family == fib.V4 {
		return m.delRoute(r)
	}
	for _, sibling := range siblings(r) {
		if err := m.delFirst(sameNextHop(sibling)); err != nil {
			return err
		}
	}
	return nil
}

func (m *model) delFirst(match func(fib.Route) bool) error {
	i := slices.IndexFunc(m.routes, match)
	if i < 0 {
		return unix.ESRCH
	}
	m.routes = slices.Delete(m.routes, i, i+1)
	return nil
}

// prepend adds an IPv4 route in front of those of its place, as IPAM does it.
func (m *model) prepend(r fib.Route) error {
	if err := m.acceptable(r); err != nil {
		return err
	}
	if slices.ContainsFunc(m.routes, sameNextHop(r)) {
		return unix.EEXIST
	}
	m.routes = slices.Insert(m.routes, 0, r)
	m.sortRoutes()
	return nil
}

func (m *model) set(op change.Set) error {
	at := m.setting(op.Device, op.Key)
	if at == nil {
		return unix.ENOENT
	}
	if *at != op.Was {
		return fmt.Errorf("%s: was %d, not %d", op, *at, op.Was)
	}
	*at = op.Value
	switch op.Device {
	case "all":
	case "default":
		m.bornSo[op.Key] = true
		for i, l := range m.links {
			if !m.written[setting{l.Index, op.Key}] && hasSetting(l, op.Key) {
				*m.links[i].At(op.Key) = op.Value
			}
		}
	default:
		m.written[setting{m.link(op.Device).Index, op.Key}] = true
	}
	return nil
}

// setting finds the number behind a file of /proc/sys/net/*/conf.
func (m *model) setting(name, key string) *int {
	switch name {
	case "all":
		return m.all.At(key)
	case "default":
		return m.def.At(key)
	}
	l := m.link(name)
	if !hasSetting(*l, key) {
		return nil
	}
	return l.At(key)
}

func hasSetting(l fib.Link, key string) bool {
	if key == fib.KeepAddrOnDown {
		return l.HasIPv6
	}
	return l.HasIPv4
}

// effective lists the effective rp_filter of each device, and, as "new", of one
// that would come now.
func (m *model) effective() map[string]int {
	modes := map[string]int{"new": max(m.all.RPFilter, m.def.RPFilter)}
	for _, l := range m.links {
		modes[l.Name] = max(m.all.RPFilter, l.RPFilter)
	}
	return modes
}

// defaults lists the families that main has a default route of.
func (m *model) defaults() []fib.Family {
	var out []fib.Family
	for _, f := range fib.Families() {
		if slices.ContainsFunc(m.routes, func(r fib.Route) bool {
			return r.Table == unix.RT_TABLE_MAIN && r.Family == f && r.IsDefault()
		}) {
			out = append(out, f)
		}
	}
	return out
}

// table answers for the routes of a table as pkg/kernel does.
func (m *model) table(table uint32) ([]fib.Route, error) {
	return m.observe(table).Routes, nil
}

// text prints all that the changes can touch, as iproute2 would. Our rules of one priority,
// routes of one place, and the hops of an IPv6 one, which are routes of their own, come in the
// order of their texts: that in which they stand in the kernel may change.
func (m *model) text() []string {
	var out []string
	rules := slices.Clone(m.rules)
	slices.SortStableFunc(rules, func(a, b fib.Rule) int {
		both := order.Or(byFamilyAndPriority(a, b), order.Compare(a.Protocol, b.Protocol))
		if both != 0 || a.Protocol != state.Protocol {
			return both
		}
		return strings.Compare(a.String(), b.String())
	})
	for _, r := range rules {
		out = append(out, fmt.Sprintf("%s rule %s", option(r.Family), r))
	}
	routes := slices.Clone(m.routes)
	slices.SortStableFunc(routes, func(a, b fib.Route) int { return order.Or(byPlace(a, b), strings.Compare(a.String(), b.String())) })
	for _, r := range routes {
		out = append(out, routeText(r))
	}
	addresses := slices.Clone(m.addresses)
	slices.SortFunc(addresses, func(a, b fib.Address) int { // their order means nothing here
		return order.Or(order.Compare(a.Index, b.Index), a.Prefix.Addr().Compare(b.Prefix.Addr()))
	})
	for _, a := range addresses {
		l, _ := (&fib.Snapshot{Links: m.links}).LinkAt(a.Index)
		out = append(out, fmt.Sprintf("%s dev %s, deprecated %t", a.Prefix, l.Name, a.Deprecated))
	}
	for _, l := range m.links {
		out = append(out, fmt.Sprintf("%s up %t", l.Name, l.Up))
	}
	for _, l := range m.links {
		out = append(out, fmt.Sprintf("%s: rp_filter=%d arp_ignore=%d arp_announce=%d arp_filter=%d keep_addr_on_down=%d",
			l.Name, l.RPFilter, l.ARPIgnore, l.ARPAnnounce, l.ARPFilter, l.KeepAddrOnDown))
	}
	return append(out,
		fmt.Sprintf("rp_filter all=%d default=%d", m.all.RPFilter, m.def.RPFilter),
		fmt.Sprintf("arp default ignore=%d announce=%d", m.def.ARPIgnore, m.def.ARPAnnounce))
}

// routeText prints a route, and the weight of a hop among others.
func routeText(r fib.Route) string {
	text := fmt.Sprintf("%s route %s", option(r.Family), r)
	if len(r.Hops) == 1 && r.Hops[0].Weight > 1 {
		text += fmt.Sprintf(" weight %d", r.Hops[0].Weight)
	}
	return text
}

// inOrder lists the routes that hold a text as they stand in the kernel.
func (m *model) inOrder(holds string) []string {
	var out []string
	for _, r := range m.routes {
		if text := routeText(r); strings.Contains(text, holds) {
			out = append(out, text)
		}
	}
	return out
}

func option(f fib.Family) string {
	if f == fib.V6 {
		return "-6"
	}
	return "-4"
}

// TestModel holds the model to what was seen of the kernel.
func TestModel(t *testing.T) {
	m := newModel(parsePod(t, `
		eth0
		10.244.0.5/24
		2001:db8:1::5/64
		net1
		10.20.30.5/24
		2001:db8:2::5/64
		-4 route default via 10.244.0.1 dev eth0
		-6 route default via 2001:db8:1::1 dev eth0`))
	route := func(line string) fib.Route { return parseRoute(t, m.observe(), line) }
	rule := func(line string) fib.Rule { return parseRule(t, line) }
	refused := func(c change.Change, want error) {
		t.Helper()
		if err := m.apply(c); err != want { //nolint:errorlint // the model returns bare numbers
			t.Errorf("%s: got %v, want %v", c, err, want)
		}
	}
	done := func(c change.Change) { t.Helper(); refused(c, nil) }

	done(change.AddToMain{Route: route("-4 route default via 10.20.30.1 dev net1")})
	refused(change.AddToMain{Route: route("-4 route default via 10.20.30.1 dev net1")}, unix.EEXIST)
	refused(change.AddRoute{Route: route("-4 route default via 10.20.30.2 dev net1")}, unix.EEXIST)
	done(change.AddToMain{Route: route("-6 route default via 2001:db8:2::1 dev net1")})
	refused(change.DelFromMain{Route: route("-6 route default via 2001:db8:2::2 dev net1")}, unix.ESRCH)
	refused(change.AddRoute{Route: route("-4 route default via 192.0.2.1 dev net1 table 7300")}, unix.ENETUNREACH)
	refused(change.AddRoute{Route: route("-4 route 192.0.2.0/24 dev net1 table 7300 src 192.0.2.1")}, unix.EINVAL)
	done(change.AddRule{Rule: rule("-4 rule 100: from 10.20.30.5 goto 200 proto 73")})
	refused(change.AddRule{Rule: rule("-4 rule 100: from 10.20.30.5 goto 300 proto 73")}, unix.EEXIST)
	done(change.Set{Device: "default", Key: "rp_filter", Was: 0, Value: 1})
	done(change.Set{Device: "net1", Key: "rp_filter", Was: 1, Value: 2})
	done(change.Set{Device: "default", Key: "rp_filter", Was: 1, Value: 0})

	compare(t, "routes", lines(`
		-4 route default via 10.244.0.1 dev eth0 proto boot
		-4 route default via 10.20.30.1 dev net1 proto boot
		-6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1024
		-6 route default via 2001:db8:2::1 dev net1 proto boot metric 1024`), m.inOrder("default"))
	if diff := cmp.Diff(map[string]int{"lo": 0, "eth0": 0, "net1": 2, "new": 0}, m.effective()); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}
