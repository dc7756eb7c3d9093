package rules

import (
	"slices"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/maindefault"
	"github.com/symroute/symroute/pkg/state"
)

// This file is about the rules that all attachments of a pod share. They are in no record:
// each ADD and DEL works them out anew from the attachments that are there.

// Anchors are what the decision rules lead to, one for each family that has any.
func Anchors(rules []fib.Rule) []fib.Rule {
	var out []fib.Rule
	for _, f := range fib.Families() {
		if slices.ContainsFunc(rules, func(r fib.Rule) bool { return r.Family == f && state.IsDecision(r) }) {
			out = append(out, fib.Rule{Family: f, Priority: state.Anchor, Action: fib.Nop, Protocol: state.Protocol})
		}
	}
	return out
}

// Fallbacks are the rules for what finds no default in main: the tables of the NICs whose
// defaults are out of it, in the order in which they would own it. Before them stand refusals
// for the addresses of NICs without a source table, whose traffic must leave by no other NIC.
// The interfaces of leaving go with their attachment.
func Fallbacks(seen *fib.Snapshot, states, leaving []state.State, out maindefault.Outcome) []fib.Rule {
	var rules []fib.Rule
	for _, f := range fib.Families() {
		priority := state.FallbackPriority
		for _, n := range out.Yielded[f] {
			if table, ok := defaultTable(states, n.Index, f); ok {
				rules = append(rules, lookup(fib.Rule{Family: f, Priority: priority, Protocol: state.Protocol}, table))
				priority++
			}
		}
		if priority > state.FallbackPriority {
			rules = append(rules, guards(seen, states, leaving, f)...)
		}
	}
	return rules
}

// defaultTable is the source table of a NIC that has its default: that of its own attachment,
// else of one that displaced it.
func defaultTable(states []state.State, index int, f fib.Family) (uint32, bool) {
	for _, role := range []state.Role{state.Attached, state.Displaced} {
		for _, s := range states {
			for _, n := range s.NICs {
				if n.Index != index || n.Role != role {
					continue
				}
				for _, t := range n.Tables {
					if _, ok := t.Default(f); ok {
						return t.Number, true
					}
				}
			}
		}
	}
	return 0, false
}

// guards refuse what comes from an address of a NIC without a source table.
func guards(seen *fib.Snapshot, states, leaving []state.State, f fib.Family) []fib.Rule {
	var out []fib.Rule
	routed, sources := state.RoutedNICs(states, f), state.Sources(states)
	for _, a := range seen.Addresses {
		ip := a.Prefix.Addr()
		l, ok := seen.LinkAt(a.Index)
		if !ok || l.Loopback || fib.FamilyOf(ip) != f || ip.Is6() && ip.IsLinkLocalUnicast() {
			continue
		}
		if routed[l.Index] || sources[fib.Host(ip)] || isGoing(leaving, l.Index) {
			continue
		}
		out = append(out, fib.Rule{Family: f, Priority: state.GuardPriority, From: fib.Host(ip), Action: fib.Unreachable, Protocol: state.Protocol})
	}
	return distinct(out)
}

// isGoing reports whether an interface came with an attachment that leaves.
func isGoing(leaving []state.State, index int) bool {
	return slices.ContainsFunc(leaving, func(s state.State) bool {
		return slices.ContainsFunc(s.NICs, func(n state.NIC) bool {
			return n.Index == index && n.Role == state.Attached && !n.Guarded
		})
	})
}

// Missing adds the rules that are not there.
func Missing(seen map[fib.Rule]bool, wanted []fib.Rule) []change.Change {
	var out []change.Change
	for _, r := range wanted {
		if !seen[r] {
			out = append(out, change.AddRule{Rule: r})
		}
	}
	return out
}

// StaleFallbacks removes the fallbacks and refusals that are not wanted. A fallback to a table
// that no attachment knows stays, and with it all refusals: the record of its attachment was
// lost, and the pod may live by it.
func StaleFallbacks(seen *fib.Snapshot, wanted []fib.Rule, tables map[uint32]bool) []change.Change {
	var out []change.Change
	want := Set(wanted)
	known, stays := map[fib.Family]bool{}, map[fib.Family]bool{}
	for _, r := range wanted {
		known[r.Family] = true
	}
	for _, r := range seen.Rules {
		switch {
		case !state.IsFallback(r) || want[r]:
		case tables[r.Table]:
			out = append(out, change.DelRule{Rule: r})
		default:
			stays[r.Family] = true
		}
	}
	for _, r := range seen.Rules {
		if state.IsGuard(r) && !want[r] && (known[r.Family] || !stays[r.Family]) {
			out = append(out, change.DelRule{Rule: r})
		}
	}
	return out
}

// StaleAnchors removes the anchors that no decision rule leads to any more.
func StaleAnchors(seen *fib.Snapshot, added []fib.Rule, removed map[fib.Rule]bool) []change.Change {
	left := slices.DeleteFunc(slices.Clone(seen.Rules), func(r fib.Rule) bool { return removed[r] })
	needed := Set(Anchors(append(left, added...)))
	var out []change.Change
	for _, r := range seen.Rules {
		if state.IsAnchor(r) && !needed[r] {
			out = append(out, change.DelRule{Rule: r})
		}
	}
	return out
}
