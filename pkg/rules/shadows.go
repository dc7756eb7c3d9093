package rules

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// Shadows looks for rules of others that decide before a source's own, for the sources that the
// kernel cannot be asked about. Routes reads the routes of a table that was not seen.
func Shadows(seen *fib.Snapshot, routes func(table uint32) ([]fib.Route, error), s state.State) state.Deviations {
	v := shadows{seen: seen, routes: routes, decisions: map[netip.Prefix]int{}, lookups: map[fib.Rule]int{}, tables: map[uint32]*fib.Ways{}}
	for i, r := range seen.Rules {
		switch {
		case state.IsDecision(r) && r.From.IsValid():
			first(v.decisions, r.From, i)
		case state.IsSource(r):
			first(v.lookups, fib.Rule{From: r.From, Table: r.Table}, i)
		case r.Protocol != state.Protocol && r.Action != fib.Nop && (r.Action != fib.Lookup || r.Table != state.LocalTable):
			v.others = append(v.others, i)
		}
	}
	answered := answeredSources(seen)
	var out state.Deviations
	for _, n := range s.NICs {
		for _, t := range n.Tables {
			for _, source := range t.Sources {
				if !answered(source.Prefix) {
					out = append(out, v.of(source, t, n.Index)...)
				}
			}
		}
	}
	return out
}

func first[K comparable](places map[K]int, key K, place int) {
	if _, known := places[key]; !known {
		places[key] = place
	}
}

// answeredSources tells the sources about which the kernel answers questions: those of which
// the pod has an address.
func answeredSources(seen *fib.Snapshot) func(netip.Prefix) bool {
	var all []netip.Addr
	there := map[netip.Addr]bool{}
	for _, a := range seen.Addresses {
		if ip := a.Prefix.Addr(); !a.Tentative {
			all = append(all, ip)
			there[ip] = true
		}
	}
	return func(source netip.Prefix) bool {
		return fib.IsHost(source) && there[source.Addr()] || !fib.IsHost(source) && slices.ContainsFunc(all, source.Contains)
	}
}

// shadows finds what stands before source rules. A pod may have thousands of rules.
type shadows struct {
	seen      *fib.Snapshot
	routes    func(table uint32) ([]fib.Route, error)
	decisions map[netip.Prefix]int // places of the decision rules by source
	lookups   map[fib.Rule]int     // places of the source rules by source and table
	others    []int                // places of the rules of others
	tables    map[uint32]*fib.Ways // those that were looked into; nil: it cannot be told
}

// mostShadowing bounds how many tables of others are read.
const mostShadowing = 64

// of finds the rules that decide before a source's own, as far as they are for all its traffic:
// a rule with further selectors is a policy that is meant to come first. One that looks into a
// table decides only what that has a route for.
func (v shadows) of(source state.Source, table state.Table, nic int) state.Deviations {
	decision, there := v.decisions[source.Prefix]
	own, known := v.lookups[fib.Rule{From: source.Prefix, Table: table.Number}]
	if !there || !known {
		return nil // which has been said
	}
	var out state.Deviations
	for _, i := range v.others {
		r := v.seen.Rules[i]
		before := i < decision || i < own && r.Priority >= state.Anchor
		if !before || r.Family != source.Family() || !r.Matches(source.Prefix) ||
			r.Action == fib.Goto && r.Target <= v.seen.Rules[decision].Priority {
			continue
		}
		by, all := fmt.Sprintf("the rule %q", r), true
		if r.Action == fib.Lookup {
			var route fib.Route
			if route, all = v.decides(r.Table, table, source.Family(), nic); !route.Dst.IsValid() {
				continue
			}
			by += fmt.Sprintf(" and the route %q", route)
		}
		out = append(out, state.Deviation{
			Kind: state.Foreign,
			What: fmt.Sprintf("traffic from %s", fib.PrefixText(source.Prefix)),
			Want: fmt.Sprintf("the rule %q to decide", v.seen.Rules[own]), Got: "an earlier rule that decides before it",
			Decides: by,
		})
		if all {
			break // nothing comes to those behind it
		}
	}
	return out
}

// decides finds a route by which a table decides otherwise what a source table has a route for;
// all is set where it decides everything.
func (v shadows) decides(number uint32, own state.Table, f fib.Family, nic int) (route fib.Route, all bool) {
	w := v.ways(number)
	if w == nil {
		return fib.Route{}, false
	}
	otherwise := func(r fib.Route) bool { return r.Type != unix.RTN_THROW && len(r.Through(nic, false).Hops) == 0 }
	if r, ok := w.Covering(f.Any()); ok && otherwise(r) {
		return r, true
	}
	for _, r := range own.Routes {
		dst := r.Dst
		if dst.Bits() == 0 {
			dst = fib.Host(fib.OffLink(f)[0])
		}
		if r.Family != f || dst.Addr().IsLinkLocalUnicast() {
			continue
		}
		if got, ok := w.Covering(dst); ok && otherwise(got) {
			return got, false
		}
	}
	return fib.Route{}, false
}

// ways looks into a table.
func (v shadows) ways(number uint32) *fib.Ways {
	w, looked := v.tables[number]
	if looked || len(v.tables) == mostShadowing {
		return w
	}
	found := v.seen.Table(number)
	if len(found) == 0 {
		found, _ = v.routes(number) // what cannot be read is not blamed
		v.seen.NameHops(found)
	}
	v.tables[number] = fib.WaysIn(found)
	return v.tables[number]
}
