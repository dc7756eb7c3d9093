package plan

import (
	"cmp"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// This file is the default routes of main that are known: those that stand there, and those
// that attachments took out.

// knownDefaults are the defaults of the pod's NICs, in main or taken out of it by attachments;
// what we made is not among them. Of those that a record knows, what another than us took out
// of main is gone; but those of the attachment's own NICs ADD brings back.
func knownDefaults(in Input, mine []state.State, bringsBack bool) []fib.Route {
	var known []fib.Route
	for _, r := range in.Seen.Defaults(state.MainTable) {
		if r.Protocol != state.Protocol && isAlive(in.Seen, r) {
			known = append(known, r)
		}
	}
	add := func(s state.State, isMine bool) {
		if s.Main == nil {
			return
		}
		for _, r := range ofMain(slices.Concat(s.Main.Defaults, s.Main.Displaced)) {
			if r.Protocol == state.Protocol || !canReturn(in.Seen, r) || slices.ContainsFunc(known, r.EqualButProtocol) {
				continue
			}
			own := bringsBack && isMine && slices.ContainsFunc(s.Main.NICs, func(n state.Device) bool { return r.Uses(n.Index) })
			if own || takenOut(in, mine, r) {
				known = append(known, named(in.Seen, r))
			}
		}
	}
	for _, s := range mine {
		add(s, true)
	}
	for _, s := range in.everyOtherState() {
		add(s, false)
	}
	slices.SortStableFunc(known, func(a, b fib.Route) int { return cmp.Compare(placeAmong(mine, a), placeAmong(mine, b)) })
	return known
}

// placeAmong is the place of a default among those that the attachment knew on an earlier ADD:
// the first of one metric is the best, and those that have returned to main stand behind.
func placeAmong(mine []state.State, r fib.Route) int {
	before := 0
	for _, s := range mine {
		if s.Main == nil {
			continue
		}
		known := slices.Concat(s.Main.Defaults, s.Main.Displaced)
		if i := slices.IndexFunc(known, r.EqualButProtocol); i >= 0 {
			return before + i
		}
		before += len(known)
	}
	return before
}

// takenOut reports whether a default is out of main because of the attachments: it was out when
// one of them had been added, and nothing but an ADD takes one out.
func takenOut(in Input, mine []state.State, r fib.Route) bool {
	return slices.ContainsFunc(slices.Concat(mine, in.everyOtherState()), func(s state.State) bool {
		return slices.ContainsFunc(displacedIn(s), r.EqualButProtocol)
	})
}

// asleepDefaults are those that are out of main because of the attachments, and that it would
// not take now: their NIC is down, or IPv6 is off on it.
func (s situation) asleepDefaults() []fib.Route {
	var out []fib.Route
	for _, st := range slices.Concat(s.states, s.everyOtherState()) {
		for _, r := range displacedIn(st) {
			isThere := !slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { _, ok := s.Seen.LinkAt(h.Index); return !ok })
			isOurs := r.Protocol == state.Protocol && !isMade(s.otherStates(), r) // which goes with its attachment
			if isThere && !isOurs && !canReturn(s.Seen, r) && !slices.ContainsFunc(out, r.EqualButProtocol) {
				out = append(out, named(s.Seen, r))
			}
		}
	}
	return out
}

// made are the defaults that other attachments made, in main or taken out of it by a later
// taker.
func (s situation) made() []fib.Route {
	seen := s.Seen.Defaults(state.MainTable)
	var out []fib.Route
	for _, o := range s.otherStates() {
		if o.Main == nil {
			continue
		}
		for _, r := range o.Main.Made {
			if slices.ContainsFunc(seen, r.Equal) || canReturn(s.Seen, r) && takenOut(s.Input, s.states, r) {
				out = append(out, r)
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

func isMade(states []state.State, r fib.Route) bool {
	return slices.ContainsFunc(states, func(s state.State) bool {
		return s.Main != nil && slices.ContainsFunc(s.Main.Made, r.Equal)
	})
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
