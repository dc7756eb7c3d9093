package plan

import (
	"cmp"
	"slices"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/rules"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
)

// Changes lists what leads from what was seen to what is desired. Nothing is taken away before
// its replacement stands; the decision rules, which switch a source on as a whole, come when
// all that they lead to is there.
func Changes(in Input, d *Desired) []change.Change {
	now := situationOf(in)
	pod := now.pod()
	seen := rules.Set(in.Seen.Rules)
	together := rules.Fallbacks(in.Seen, append(in.otherStates(), d.State), nil, d.main)
	stale, removed := now.staleRules(d.State.Rules)
	return slices.Concat(
		d.server.Made(pod),
		rules.Missing(seen, rules.Anchors(d.State.Rules)),
		now.routeChanges(d),
		rules.Missing(seen, d.State.Rules),
		rules.Missing(seen, together),
		now.mainChanges(d),
		settings.Changes(pod.WithTunnels(), d.State.Settings, memories(now.states), record.Settings(in.Others)),
		d.server.Changes(pod), // when no NIC answers for the VIPs any more
		rules.StaleFallbacks(in.Seen, together, now.knownTables(d.State)),
		stale,
		now.staleRoutes(d),
		rules.StaleAnchors(in.Seen, d.State.Rules, removed),
	)
}

// Removal lists what takes an attachment back, of which something is remembered. Nothing that
// tells what is left goes before it: the record stays until all is done, and a DEL that is
// killed can be done again.
func Removal(in Input) []change.Change {
	now := situationOf(in)
	pod := now.pod()
	together := rules.Fallbacks(in.Seen, in.otherStates(), now.states, now.without(nil))
	stale, removed := now.staleRules(nil)
	return slices.Concat(
		pod.RemoveVIPs(nil), // before any NIC could answer for them again
		settings.Removal(in.Seen, memories(now.states), record.Settings(in.Others)),
		pod.RemoveTunnels(nil),
		now.mainRemoval(),
		rules.Missing(rules.Set(in.Seen.Rules), together),
		rules.StaleFallbacks(in.Seen, together, now.knownTables(state.State{})),
		stale,
		now.staleRoutes(&Desired{}),
		rules.StaleAnchors(in.Seen, nil, removed),
	)
}

// knownTables are the source tables of all attachments.
func (s situation) knownTables(mine state.State) map[uint32]bool {
	return state.Tables(slices.Concat(s.states, []state.State{mine}, s.everyOtherState()))
}

// staleRules removes what the attachment had and is not wanted any more, the decision rules
// first, and further copies of what is. What another attachment has, too, is its to take away.
// Those by which the others are found where the record is lost (Recover) come last.
func (s situation) staleRules(wanted []fib.Rule) (out []change.Change, removed map[fib.Rule]bool) {
	theirs := map[fib.Rule]bool{}
	for _, st := range s.everyOtherState() {
		for _, r := range st.Rules {
			theirs[r] = true
		}
	}
	stays, copies := rules.Set(wanted), map[fib.Rule]int{}
	for _, r := range s.Seen.Rules {
		copies[r]++
	}
	removed = map[fib.Rule]bool{}
	for _, st := range s.states {
		for _, r := range slices.Backward(st.Rules) {
			if r.Protocol != state.Protocol || theirs[r] {
				continue
			}
			if stays[r] {
				copies[r]--
			} else {
				removed[r] = true
			}
			for ; copies[r] > 0; copies[r]-- {
				out = append(out, change.DelRule{Rule: r})
			}
		}
	}
	leadsTo := func(c change.Change) int {
		del, _ := c.(change.DelRule)
		switch {
		case state.IsBound(del.Rule): // to the table
			return 2
		case state.IsSource(del.Rule): // from the table to the source
			return 1
		}
		return 0
	}
	slices.SortStableFunc(out, func(a, b change.Change) int { return cmp.Compare(leadsTo(a), leadsTo(b)) })
	return out, removed
}

// ownRoutes are the routes of ours in the attachment's tables.
func (s situation) ownRoutes(left []fib.Route) []fib.Route {
	others := state.Tables(s.everyOtherState())
	own := slices.Clone(left)
	for _, r := range s.Seen.Routes {
		if r.Protocol == state.Protocol && s.ownTables[r.Table] && !others[r.Table] && !state.Reserved(r.Table) {
			own = append(own, r)
		}
	}
	return own
}

// routeChanges adds the routes that are not there. One that stands in the place of another of
// ours replaces it, unless somebody else has one there, too: then the kernel has to say so.
func (s situation) routeChanges(d *Desired) []change.Change {
	own, foreign := byPlace(s.ownRoutes(d.left)), map[fib.Place]bool{}
	for _, r := range s.Seen.Routes {
		if r.Protocol != state.Protocol && s.ownTables[r.Table] {
			foreign[r.Place()] = true
		}
	}
	var out []change.Change
	for _, r := range d.State.Routes() {
		there := own[r.Place()]
		if slices.ContainsFunc(there, r.Equal) {
			continue
		}
		if len(there) == 0 || foreign[r.Place()] {
			out = append(out, change.AddRoute{Route: r})
			continue
		}
		out = append(out, change.ReplaceRoute{Old: there[0], Route: r})
		for _, o := range there[1:] {
			out = append(out, change.DelRoute{Route: o})
		}
	}
	return out
}

// staleRoutes removes the routes of the attachment's tables whose places are not wanted any
// more.
func (s situation) staleRoutes(d *Desired) []change.Change {
	wanted := byPlace(d.State.Routes())
	var out []change.Change
	for _, r := range slices.Backward(s.ownRoutes(d.left)) {
		if len(wanted[r.Place()]) == 0 {
			out = append(out, change.DelRoute{Route: r})
		}
	}
	return out
}

func byPlace(routes []fib.Route) map[fib.Place][]fib.Route {
	out := make(map[fib.Place][]fib.Route, len(routes))
	for _, r := range routes {
		out[r.Place()] = append(out[r.Place()], r)
	}
	return out
}
