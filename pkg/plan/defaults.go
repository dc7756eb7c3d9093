package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/maindefault"
	"github.com/symroute/symroute/pkg/state"
)

// This file is the default routes of main that are known: those that stand there, and those
// that attachments took out.

// knownDefaults are the defaults of the pod's NICs, in main or taken out of it by attachments;
// what we made is not among them. Of those that a record knows, what another than us took out
// of main is gone; but those of the attachment's own NICs ADD brings back.
func knownDefaults(in Input, mine []state.State, bringsBack bool) []fib.Route {
	var known []fib.Route
	there := routeSet{}
	know := func(r fib.Route) {
		known = append(known, r)
		there.add(r)
	}
	for _, r := range in.Seen.Defaults(state.MainTable) {
		if r.Protocol != state.Protocol && isAlive(in.Seen, r) {
			know(r)
		}
	}
	out := takenOut(in, mine)
	add := func(s state.State, isMine bool) {
		if s.Main == nil {
			return
		}
		for _, r := range ofMain(slices.Concat(s.Main.Defaults, s.Main.Displaced)) {
			if r.Protocol == state.Protocol || !canReturn(in.Seen, r) || there.has(r) {
				continue
			}
			own := bringsBack && isMine && slices.ContainsFunc(s.Main.NICs, func(n state.Device) bool { return r.Uses(n.Index) })
			if own || out.has(r) {
				know(named(in.Seen, r))
			}
		}
	}
	for _, s := range mine {
		add(s, true)
	}
	for _, s := range in.everyOtherState() {
		add(s, false)
	}
	return inOrder(known, mine)
}

// withoutReplaced parts the known defaults from those that are out of main and in whose place somebody has
// put another there, by a next hop that no record knows: as a DHCP client does for a new router. The table
// of their NIC goes by the new one, and the old one does not come back, for as long as the attachment lives
// whose ADD has found that out. DEL finds nothing out: it puts back all that ADD took out.
func withoutReplaced(in Input, mine []state.State, known []fib.Route) (kept, replaced []fib.Route) {
	type way struct {
		fib.Place
		gateway netip.Addr
		index   int
	}
	wayOf := func(r fib.Route) way { return way{r.Place(), r.Hops[0].Gateway, r.Hops[0].Index} }
	remembered, seen, taken := map[way]bool{}, map[way]bool{}, map[way]bool{}
	earlier := routeSet{}
	for _, s := range slices.Concat(mine, in.everyOtherState()) {
		if s.Main != nil {
			for _, r := range ofMain(slices.Concat(s.Main.Made, s.Main.Defaults, s.Main.Displaced)) {
				remembered[wayOf(r)] = true
			}
			for _, r := range ofMain(slices.Clone(s.Main.Replaced)) {
				earlier.add(r)
			}
		}
	}
	for _, r := range in.Seen.Defaults(state.MainTable) {
		if !isAlive(in.Seen, r) {
			continue
		}
		seen[wayOf(r)] = true
		if in.Config != nil && r.Protocol != state.Protocol && maindefault.Fixed(r) == "" && !remembered[wayOf(r)] {
			taken[way{Place: r.Place(), index: r.Hops[0].Index}] = true
		}
	}
	for _, r := range known {
		if !seen[wayOf(r)] && (taken[way{Place: r.Place(), index: r.Hops[0].Index}] || earlier.has(r)) {
			replaced = append(replaced, r)
		} else {
			kept = append(kept, r)
		}
	}
	return kept, replaced
}

// routeSet is a set of routes, whoever installed them. A pod may have thousands of one place.
type routeSet map[fib.Identity]bool

func routeSetOf(routes ...[]fib.Route) routeSet {
	s := routeSet{}
	for _, list := range routes {
		for _, r := range list {
			s.add(r)
		}
	}
	return s
}

func (s routeSet) add(r fib.Route)      { s[r.IdentityButProtocol()] = true }
func (s routeSet) has(r fib.Route) bool { return s[r.IdentityButProtocol()] }

// inOrder sorts defaults as the attachment knew them on an earlier ADD: the first of one metric
// is the best, and those that have returned to main stand behind.
func inOrder(known []fib.Route, mine []state.State) []fib.Route {
	places := map[fib.Identity]int{}
	before := 0
	for _, s := range mine {
		if s.Main == nil {
			continue
		}
		for _, r := range slices.Concat(s.Main.Defaults, s.Main.Displaced) {
			if _, known := places[r.IdentityButProtocol()]; !known {
				places[r.IdentityButProtocol()] = before
			}
			before++
		}
	}
	if before == 0 {
		return known
	}
	place := func(r fib.Route) int {
		if i, ok := places[r.IdentityButProtocol()]; ok {
			return i
		}
		return before
	}
	slices.SortStableFunc(known, func(a, b fib.Route) int { return cmp.Compare(place(a), place(b)) })
	return known
}

// takenOut are the defaults that are out of main because of the attachments: they were out when
// one of them had been added, and nothing but an ADD takes one out.
func takenOut(in Input, mine []state.State) routeSet {
	out := routeSet{}
	for _, s := range slices.Concat(mine, in.everyOtherState()) {
		for _, r := range displacedIn(s) {
			out.add(r)
		}
	}
	return out
}

// asleepDefaults are those that are out of main because of the attachments, and that it would
// not take now: their NIC is down, or IPv6 is off on it.
func (s situation) asleepDefaults() []fib.Route {
	var out []fib.Route
	made, known := madeBy(s.otherStates()), routeSet{}
	for _, st := range slices.Concat(s.states, s.everyOtherState()) {
		for _, r := range displacedIn(st) {
			isThere := !slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { _, ok := s.Seen.LinkAt(h.Index); return !ok })
			isOurs := r.Protocol == state.Protocol && !made[r.Identity()] // which goes with its attachment
			if isThere && !isOurs && !canReturn(s.Seen, r) && !known.has(r) {
				known.add(r)
				out = append(out, named(s.Seen, r))
			}
		}
	}
	return out
}

func displacedIn(s state.State) []fib.Route {
	if s.Main == nil {
		return nil
	}
	return ofMain(slices.Clone(s.Main.Displaced))
}

// ofMain are the routes of a record that are main's defaults, as all are that have a place
// there; but anything may stand in a file that is damaged.
func ofMain(routes []fib.Route) []fib.Route {
	return slices.DeleteFunc(routes, func(r fib.Route) bool {
		return r.Table != state.MainTable || !r.IsDefault() || len(r.Hops) == 0
	})
}

// made are the defaults that other attachments made, in main or taken out of it by a later
// taker.
func (s situation) made() []fib.Route {
	var out []fib.Route
	var seen map[fib.Identity]bool
	var gone routeSet
	for _, o := range s.otherStates() {
		if o.Main == nil {
			continue
		}
		for _, r := range o.Main.Made {
			if seen == nil {
				seen, gone = identities(s.Seen.Defaults(state.MainTable)), takenOut(s.Input, s.states)
			}
			if seen[r.Identity()] || canReturn(s.Seen, r) && gone.has(r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// madeBy are the defaults that attachments made.
func madeBy(states []state.State) map[fib.Identity]bool {
	out := map[fib.Identity]bool{}
	for _, s := range states {
		if s.Main != nil {
			for _, r := range s.Main.Made {
				out[r.Identity()] = true
			}
		}
	}
	return out
}

// identities is a set of routes, each as who installed it.
func identities(routes []fib.Route) map[fib.Identity]bool {
	out := make(map[fib.Identity]bool, len(routes))
	for _, r := range routes {
		out[r.Identity()] = true
	}
	return out
}

// isAlive reports whether packets go by a route of main.
func isAlive(seen *fib.Snapshot, r fib.Route) bool {
	return slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { return takesRoutes(seen, r.Family, h.Index) })
}

// canReturn reports whether main would take a route.
func canReturn(seen *fib.Snapshot, r fib.Route) bool {
	return len(r.Hops) > 0 && !slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { return !takesRoutes(seen, r.Family, h.Index) })
}

// takesRoutes reports whether routes by a link live: it is up and has IPv6. One without carrier
// takes them, whatever marks they bear: that is a passing state, and no reason for another NIC to
// own main.
func takesRoutes(seen *fib.Snapshot, f fib.Family, index int) bool {
	l, ok := seen.LinkAt(index)
	return ok && l.Up && (f == fib.V4 || l.IPv6)
}

// named writes the present names of interfaces into a route that is remembered.
func named(seen *fib.Snapshot, r fib.Route) fib.Route {
	r.Hops = slices.Clone(r.Hops)
	seen.NameHops([]fib.Route{r})
	return r
}
