package plan

import (
	"slices"

	"github.com/symroute/symroute/pkg/fib"
)

// Changes lists what leads from what was seen to what is desired. Nothing is
// taken away before its replacement stands, and a rule that tells whose a table
// is stands before the table has routes: wherever ADD is killed, the next DEL or
// ADD finds what it left.
func Changes(in Input, d *Desired) []Op {
	now := situationOf(in)
	ops := tunnelsMade(in, d.Server)
	owners, others := splitOwners(d.Rules)
	seen := setOf(in.Seen.Rules)
	ops = append(ops, missingRules(seen, owners)...)
	ops = append(ops, routeChanges(now, d)...)
	ops = append(ops, missingRules(seen, others)...)
	for _, o := range d.reorderings {
		ops = append(ops, o)
	}
	ops = append(ops, mainChanges(now, d)...)
	ops = append(ops, settingChanges(withTunnels(in), d)...)
	ops = append(ops, serverChanges(in, d.Server)...) // when no NIC answers for them any more
	return append(ops, staleRules(now, d)...)
}

func splitOwners(rules []fib.Rule) (owners, others []fib.Rule) {
	others = make([]fib.Rule, 0, len(rules)) // most are
	for _, r := range rules {
		if isOwner(r) || isMarker(r) {
			owners = append(owners, r)
		} else {
			others = append(others, r)
		}
	}
	return owners, others
}

func missingRules(seen map[fib.Rule]bool, wanted []fib.Rule) []Op {
	var ops []Op
	for _, r := range wanted {
		if !seen[r] {
			ops = append(ops, AddRule{r})
		}
	}
	return ops
}

// ownRoutes are the routes of ours in the attachment's tables.
func ownRoutes(in situation) []fib.Route {
	return slices.DeleteFunc(slices.Clone(in.Seen.Routes), func(r fib.Route) bool {
		return r.Protocol != Protocol || !in.own.tables[r.Table]
	})
}

func routeChanges(in situation, d *Desired) []Op {
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

// mainChanges leads main's defaults to what they shall be. What is missing is
// put in, whoever deleted it: ADD repairs.
func mainChanges(in situation, d *Desired) []Op {
	all := func(fib.Route) bool { return true }
	return mainOps(in, d.Before, d.After, all, all)
}

// mainRemoval leads main's defaults to what they shall be without this
// attachment, whose interfaces are about to go: what yielded to them comes back.
// What is missing for another reason stays so, unless main had no other. Where nothing
// is remembered main stays as it is, but for the default that bears our mark.
func mainRemoval(in situation) []Op {
	if in.Mine == nil {
		return markedRemoval(in.Input)
	}
	before := defaultTargets(in.originals, wishesOf(in.Seen, in.attachments()), anyInterface)
	after := defaultTargets(in.originals, standingWishes(in.Input), in.outlives)
	ours := lostInMove(in.Input)
	if in.Mine.Wish != nil && !in.Mine.Wish.Take {
		ours = append(ours, asHops(decodeMain(in.Seen, in.Mine.Wish.Saw))...) // we took them out
	}
	stays := func(r fib.Route) bool {
		return !slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { return !in.outlives(h.Index) })
	}
	wanted := func(r fib.Route) bool {
		return !slices.ContainsFunc(before, r.Equal) || slices.ContainsFunc(ours, r.Equal)
	}
	return mainOps(in, before, after, wanted, stays)
}

// markedRemoval takes out the default by this NIC that a wish had put into main.
func markedRemoval(in Input) []Op {
	own := in.ownIndex()
	m := mainChange{now: defaultsSeen(in.Seen)}
	for _, r := range defaultsSeen(in.Seen) {
		if own != 0 && r.Protocol == Protocol && r.Uses(own) {
			m.takeOut(r)
		}
	}
	return m.ops
}

// staleRules removes what the attachment had and has no more.
// They are moved behind first: the kernel can only add behind, and so what takes
// the removal back brings them to their places again.
func staleRules(in situation, d *Desired) []Op {
	wanted := setOf(d.Rules)
	stale := distinct(slices.DeleteFunc(slices.Clone(in.Seen.Rules), func(r fib.Rule) bool { return !in.own.holds(r) || wanted[r] }))
	if len(stale) == 0 {
		return nil
	}
	last := removalOrder(stale)
	slices.Reverse(last)
	var ops []Op
	for _, was := range groups(rulesAdded(in.Input, d)) {
		was = settled(distinct(was))
		if want := behindOthers(was, last); !slices.Equal(was, want) {
			ops = append(ops, Reorder{Was: was, Want: want})
		}
	}
	for _, r := range slices.Backward(last) {
		ops = append(ops, DelRule{r})
	}
	return ops
}

// ruleRemoval removes rules.
func ruleRemoval(rules []fib.Rule) []Op {
	var ops []Op
	for _, r := range removalOrder(rules) {
		ops = append(ops, DelRule{r})
	}
	return ops
}

// removalOrder is the order of removal that always leaves enough rules to tell
// whose the rest are: those of a source, then the source rules themselves, then
// the owners.
func removalOrder(rules []fib.Rule) []fib.Rule {
	owners, others := splitOwners(rules)
	sources := slices.DeleteFunc(slices.Clone(others), func(r fib.Rule) bool { return !isSource(r) })
	others = slices.DeleteFunc(others, isSource)
	var out []fib.Rule
	for _, group := range [][]fib.Rule{others, sources, owners} {
		slices.Reverse(group)
		out = append(out, group...)
	}
	return out
}

// Removal lists what takes an attachment back, with or without what is
// remembered of it. The settings and main go first and the owners' rules last:
// a DEL that is killed can be done again.
func Removal(in Input) []Op {
	ops := vipRemoval(in, nil) // before any NIC could answer for them again
	if in.Mine != nil {
		ops = append(ops, settingRemoval(in)...)
		ops = append(ops, tunnelRemoval(in, nil)...)
	}
	now := situationOf(in)
	ops = append(ops, mainRemoval(now)...)
	var rules []fib.Rule
	for _, r := range in.Seen.Rules {
		if now.own.holds(r) {
			rules = append(rules, r)
		}
	}
	owners, others := splitOwners(rules)
	ops = append(ops, ruleRemoval(others)...)
	ops = append(ops, orderRemoval(in, rules)...)
	for _, r := range slices.Backward(ownRoutes(now)) {
		ops = append(ops, DelRoute{r})
	}
	return append(ops, ruleRemoval(owners)...)
}
