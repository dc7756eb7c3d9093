package plan

import (
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

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
	move := func(r fib.Rule, behind []fib.Rule) {
		out = append(out, MoveRule{Rules: []fib.Rule{r}, Behind: behind})
		all = append(slices.DeleteFunc(all, func(o fib.Rule) bool { return o == r }), r)
	}
	own := ownership(in)
	for _, wide := range in.Seen.Rules {
		if own.tables[wide.Table] {
			continue
		}
		behind := peersBehind(all, wide)
		if slices.ContainsFunc(behind, func(r fib.Rule) bool { return slices.Contains(d.Rules, r) && outranks(r, wide) }) {
			move(wide, behind)
		}
	}
	// Among our own the order is lost when one of them was deleted and comes back.
	for i, r := range d.Rules {
		behind := peersBehind(all, r)
		if slices.ContainsFunc(d.Rules[:i], func(before fib.Rule) bool { return outranks(before, r) && slices.Contains(behind, before) }) {
			move(r, behind)
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

func rememberedMoves(in Input, d *Desired) []record.Move {
	var out []record.Move
	if in.Mine != nil {
		out = slices.Clone(in.Mine.Moves)
	}
	for _, m := range moves(in, d) {
		e := record.Move{Rule: fib.EncodeRule(m.Rules[0])}
		for _, r := range m.Behind {
			e.Behind = append(e.Behind, fib.EncodeRule(r))
		}
		out = append(out, e)
	}
	return out
}
