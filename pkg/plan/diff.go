package plan

import (
	"bytes"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// Changes lists what leads from what was seen to what is desired. Nothing is
// taken away before its replacement stands, and a rule that tells whose a table
// is stands before the table has routes: wherever ADD is killed, the next DEL or
// ADD finds what it left.
func Changes(in Input, d *Desired) []Op {
	var ops []Op
	owners, others := splitOwners(d.Rules)
	ops = append(ops, missingRules(in.Seen, owners)...)
	ops = append(ops, routeChanges(in, d)...)
	ops = append(ops, missingRules(in.Seen, others)...)
	ops = append(ops, specificFirst(in, d)...)
	ops = append(ops, mainChanges(in, d)...)
	ops = append(ops, settingChanges(in, d)...)
	return append(ops, staleRules(in, d)...)
}

func splitOwners(rules []fib.Rule) (owners, others []fib.Rule) {
	for _, r := range rules {
		if isOwner(r) || isMarker(r) {
			owners = append(owners, r)
		} else {
			others = append(others, r)
		}
	}
	return owners, others
}

func missingRules(s *fib.Snapshot, wanted []fib.Rule) []Op {
	var ops []Op
	for _, r := range wanted {
		if !slices.Contains(s.Rules, r) {
			ops = append(ops, AddRule{r})
		}
	}
	return ops
}

// specificFirst moves rules of other attachments behind ours where they would
// take what is ours. Ours that hold what is theirs are behind already, being
// newer.
func specificFirst(in Input, d *Desired) []Op {
	var ops []Op
	for _, m := range moves(in, d) {
		ops = append(ops, m)
	}
	return ops
}

func moves(in Input, d *Desired) []MoveRule {
	var out []MoveRule
	all := slices.Clone(in.Seen.Rules)
	for _, r := range d.Rules {
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	own := ownership(in)
	for _, wide := range in.Seen.Rules {
		if own.tables[wide.Table] {
			continue
		}
		behind := peersBehind(all, wide)
		if slices.ContainsFunc(behind, func(r fib.Rule) bool { return slices.Contains(d.Rules, r) && outranks(r, wide) }) {
			out = append(out, MoveRule{Rules: []fib.Rule{wide}, Behind: behind})
			all = append(slices.DeleteFunc(all, func(r fib.Rule) bool { return r == wide }), wide)
		}
	}
	return out
}

// outranks reports whether a rule of ours has to stand before another
// attachment's: an address before a prefix that holds it, and a NIC's own
// attachment before one that only displaced the NIC's default.
func outranks(ours, theirs fib.Rule) bool {
	if isSource(ours) && isSource(theirs) {
		return fib.Covers(theirs.From, ours.From)
	}
	return isOwner(ours) && isOwner(theirs) && ours.OIF == theirs.OIF
}

// peersBehind lists the rules of the same family and priority behind a rule.
func peersBehind(all []fib.Rule, rule fib.Rule) []fib.Rule {
	var out []fib.Rule
	for _, r := range all[slices.Index(all, rule)+1:] {
		if r.Family == rule.Family && r.Priority == rule.Priority {
			out = append(out, r)
		}
	}
	return out
}

// moveRemoval takes moves back, so that the rules stand as they stood before,
// unless others have come since, to which the order may matter.
func moveRemoval(in Input, removed []fib.Rule) []Op {
	if in.Mine == nil {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(in.Seen.Rules), func(r fib.Rule) bool { return slices.Contains(removed, r) })
	var ops []Op
	for _, m := range slices.Backward(in.Mine.Moves) {
		wide, err := fib.DecodeRule(m.Rule)
		if err != nil || !slices.Contains(left, wide) || len(peersBehind(left, wide)) > 0 {
			continue
		}
		back := MoveRule{Behind: []fib.Rule{wide}}
		for _, b := range m.Behind {
			if r, err := fib.DecodeRule(b); err == nil && slices.Contains(left, r) {
				back.Rules = append(back.Rules, r)
			}
		}
		if len(back.Rules) > 0 {
			ops = append(ops, back)
		}
	}
	return ops
}

// ownRoutes are the routes of ours in the attachment's tables.
func ownRoutes(in Input) []fib.Route {
	own := ownership(in)
	return slices.DeleteFunc(slices.Clone(in.Seen.Routes), func(r fib.Route) bool {
		return r.Protocol != Protocol || !own.tables[r.Table]
	})
}

func routeChanges(in Input, d *Desired) []Op {
	seen := ownRoutes(in)
	stale := slices.DeleteFunc(slices.Clone(seen), func(r fib.Route) bool { return slices.ContainsFunc(d.Routes, r.Equal) })
	var ops []Op
	for _, r := range d.Routes {
		if slices.ContainsFunc(seen, r.Equal) {
			continue
		}
		stale = slices.DeleteFunc(stale, func(o fib.Route) bool {
			if o.SamePlace(r) {
				ops = append(ops, DelRoute{o}) // the kernel takes no second one
				return true
			}
			return false
		})
		ops = append(ops, AddRoute{r})
	}
	for _, r := range slices.Backward(stale) {
		ops = append(ops, DelRoute{r})
	}
	return ops
}

func mainChanges(in Input, d *Desired) []Op {
	var ops []Op
	main := in.Seen.Table(mainTable)
	has := func(r fib.Route) bool { return holdsRoute(main, r) }
	for _, s := range d.Swaps {
		if s.In != nil && !has(*s.In) {
			ops = append(ops, PutIn{Route: *s.In, Place: inPlace(s)})
		}
	}
	for _, r := range d.Default {
		if !has(r) {
			ops = append(ops, PutIn{Route: r, Place: Place{First: true}})
		}
	}
	for _, s := range d.Swaps {
		ops = append(ops, TakeOut{Route: s.Out, Place: s.Place})
	}
	return ops
}

// inPlace is where the route stands that comes instead of another: at its place
// if it has the same metric.
func inPlace(s Swap) Place {
	if s.In.SamePlace(s.Out) {
		return s.Place
	}
	return Place{}
}

func settingChanges(in Input, d *Desired) []Op {
	var ops []Op
	for _, s := range d.Settings {
		if l, ok := in.Seen.LinkAt(s.Index); ok {
			if now := settingOf(l, s.Key); now != s.Set {
				ops = append(ops, Set{Device: l.Name, Key: s.Key, Was: now, Value: s.Set})
			}
		}
	}
	known := in.Others
	if in.Mine != nil {
		known = append([]record.Attachment{*in.Mine}, known...)
	}
	targets := rpTargets(rpOriginals(in.Seen, known), d.wants(in.Others))
	return append(ops, rpOps(in.Seen, rpSeen(in.Seen), targets)...)
}

// settingOf reads an ARP setting of a device.
func settingOf(l fib.Link, key string) int {
	switch key {
	case "arp_ignore":
		return l.ARPIgnore
	case "arp_announce":
		return l.ARPAnnounce
	case "arp_filter":
		return l.ARPFilter
	}
	return l.RPFilter
}

func staleRules(in Input, d *Desired) []Op {
	var stale []fib.Rule
	own := ownership(in)
	for i, r := range in.Seen.Rules {
		twice := slices.Contains(in.Seen.Rules[:i], r) // a MoveRule that was killed halfway
		if own.holds(r) && (twice || !slices.Contains(d.Rules, r)) {
			stale = append(stale, r)
		}
	}
	return ruleRemoval(stale)
}

// ruleRemoval removes rules in the order that always leaves enough of them to
// tell whose the rest are: those of a source, then the source rules themselves,
// then the owners.
func ruleRemoval(rules []fib.Rule) []Op {
	owners, others := splitOwners(rules)
	sources := slices.DeleteFunc(slices.Clone(others), func(r fib.Rule) bool { return !isSource(r) })
	others = slices.DeleteFunc(others, isSource)
	var ops []Op
	for _, group := range [][]fib.Rule{others, sources, owners} {
		for _, r := range slices.Backward(group) {
			ops = append(ops, DelRule{r})
		}
	}
	return ops
}

// Removal lists what takes an attachment back, with or without what is
// remembered of it. The settings and main go first and the owners' rules last:
// a DEL that is killed can be done again.
func Removal(in Input) []Op {
	var ops []Op
	if in.Mine != nil {
		ops = append(ops, settingRemoval(in)...)
		ops = append(ops, rpRestore(in.Seen, *in.Mine, in.Others)...)
	}
	ops = append(ops, mainRemoval(in)...)
	own := ownership(in)
	var rules []fib.Rule
	for _, r := range in.Seen.Rules {
		if own.holds(r) {
			rules = append(rules, r)
		}
	}
	owners, others := splitOwners(rules)
	ops = append(ops, ruleRemoval(others)...)
	ops = append(ops, moveRemoval(in, rules)...)
	for _, r := range slices.Backward(ownRoutes(in)) {
		ops = append(ops, DelRoute{r})
	}
	return append(ops, ruleRemoval(owners)...)
}

// settingRemoval restores what still is as we set it.
func settingRemoval(in Input) []Op {
	var ops []Op
	for _, s := range slices.Backward(in.Mine.Settings) {
		l, ok := in.Seen.LinkAt(s.Index)
		if ok && s.Was != s.Set && settingOf(l, s.Key) == s.Set {
			ops = append(ops, Set{Device: l.Name, Key: s.Key, Was: s.Set, Value: s.Was})
		}
	}
	return ops
}

// mainRemoval puts back into main what was taken out, and then takes out what
// was put in. A route whose interface has gone cannot come back; what stands in
// its stead stays.
func mainRemoval(in Input) []Op {
	main := in.Seen.Table(mainTable)
	seen := slices.Clone(main)
	has := func(r fib.Route) bool { return holdsRoute(seen, r) }
	var back, out []Op
	if in.Mine != nil {
		for _, s := range slices.Backward(decodeSwaps(in.Seen, in.Mine.Swaps)) {
			if !alive(in.Seen, s.Out) || takenByOthers(in, s) {
				continue
			}
			if !has(s.Out) {
				back = append(back, PutIn{Route: s.Out, Place: placeNow(s, main)})
				main = insert(main, s) // the next one's place is beside it
			}
			if s.In != nil && has(*s.In) {
				out = append(out, TakeOut{Route: *s.In, Place: placeOf(*s.In, seen)})
			}
		}
	}
	nic, ok := in.Seen.Link(in.Key.IfName)
	for _, r := range seen {
		if ok && r.Protocol == Protocol && r.Uses(nic.Index) {
			out = append(out, TakeOut{Route: r, Place: placeOf(r, seen)})
		}
	}
	return append(back, out...)
}

// takenByOthers reports whether another attachment has taken out what this one
// put in, or would put back.
func takenByOthers(in Input, s Swap) bool {
	for _, o := range in.Others {
		for _, t := range decodeSwaps(in.Seen, o.Swaps) {
			if t.Out.Equal(s.Out) || s.In != nil && t.Out.Equal(*s.In) {
				return true
			}
		}
	}
	return false
}

// HandDown returns the records of other attachments that have to change before
// this one leaves: one that took out what this one had put in is to put back,
// in its time, what stood there before both.
func HandDown(in Input) []record.Attachment {
	if in.Mine == nil {
		return nil
	}
	var out []record.Attachment
	for _, o := range in.Others {
		changed := false
		o.Swaps = slices.Clone(o.Swaps)
		for i, theirs := range o.Swaps {
			for _, mine := range in.Mine.Swaps {
				if len(mine.In) > 0 && bytes.Equal(theirs.Out, mine.In) {
					o.Swaps[i].Out, o.Swaps[i].First, o.Swaps[i].Before = mine.Out, mine.First, mine.Before
					changed = true
				}
			}
		}
		if changed {
			out = append(out, o)
		}
	}
	return out
}

// placeNow is the remembered place among the routes that stand there now: before
// those that stood behind it, and behind those that have come since, for the
// kernel puts newer ones in front.
func placeNow(s Swap, main []fib.Route) Place {
	rivals := 0
	var p Place
	for _, r := range asHops(main) {
		if s.In != nil && r.Equal(*s.In) || !besides(r, s.Out) {
			continue
		}
		rivals++
		if slices.ContainsFunc(s.Place.Before, r.Equal) {
			p.Before = append(p.Before, r)
		}
	}
	p.First = len(p.Before) == rivals
	return p
}

// hopsAsRoutes divides an IPv6 route into its hops, each of which is a route to
// the kernel.
func hopsAsRoutes(r fib.Route) []fib.Route {
	if r.Family == fib.V4 {
		return []fib.Route{r}
	}
	var out []fib.Route
	for _, h := range r.Hops {
		out = append(out, singleHop(r, h))
	}
	return out
}
