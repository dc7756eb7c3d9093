package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// moves moves rules of ours, be they this attachment's or another's, behind
// those that have to stand before them, and lists all rules as they stand then.
// What is added comes last, so that most often there is nothing to move.
func moves(in Input, d *Desired) (out []MoveRule, all []fib.Rule) {
	all = slices.Clone(in.Seen.Rules)
	owners, others := splitOwners(d.Rules)
	for _, r := range slices.Concat(owners, others) { // as they are added
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	o := orderOf(all)
	for _, r := range o.sorted(all) {
		behind := peersBehind(all, r)
		if slices.ContainsFunc(behind, func(b fib.Rule) bool { return o.precedes(b, r) }) {
			out = append(out, MoveRule{Rules: []fib.Rule{r}, Behind: behind})
			all = append(slices.DeleteFunc(all, func(o fib.Rule) bool { return o == r }), r)
		}
	}
	return out, all
}

// order tells which of our rules of one priority has to stand before which.
type order struct {
	nics      map[uint32]string       // of each table
	displaced map[uint32]bool         // tables that a NIC has from another attachment
	from      map[netip.Prefix]string // the NIC of each source
}

func orderOf(rules []fib.Rule) order {
	o := order{nics: map[uint32]string{}, displaced: map[uint32]bool{}, from: map[netip.Prefix]string{}}
	for _, r := range rules {
		if isOwner(r) {
			o.nics[r.Table] = r.OIF
		}
	}
	for _, r := range rules {
		switch {
		case isMarker(r):
			o.displaced[r.Table] = o.nics[r.Table] != r.OIF
		case isSource(r):
			o.from[r.From] = o.nics[r.Table]
		}
	}
	return o
}

// sorted lists our rules so that none comes before one that has to precede it.
func (o order) sorted(rules []fib.Rule) []fib.Rule {
	ours := slices.DeleteFunc(slices.Clone(rules), func(r fib.Rule) bool { return r.Protocol != Protocol })
	slices.SortStableFunc(ours, func(a, b fib.Rule) int {
		return cmp.Or(
			cmp.Compare(b.From.Bits(), a.From.Bits()), // devices' are last: they have none
			cmp.Compare(stepOf(a), stepOf(b)),
			compareBool(o.displaced[a.Table], o.displaced[b.Table]),
		)
	})
	return ours
}

// precedes reports whether one rule of ours has to stand before another.
func (o order) precedes(a, b fib.Rule) bool {
	late := o.displaced[b.Table] && !o.displaced[a.Table] // a NIC's own attachment goes before one that only displaced its default
	switch {
	case !a.From.IsValid():
		return isOwner(a) && isOwner(b) && a.OIF == b.OIF && late
	case !b.From.IsValid(): // a source's gateways go before the other gateways of its NIC
		return isSource(a) && isOwner(b) && a.Table != b.Table && o.nics[a.Table] == b.OIF
	case a.From == b.From:
		return stepOf(a) < stepOf(b) || stepOf(a) == stepOf(b) && late
	case !fib.Covers(b.From, a.From):
		return false
	}
	// The more specific source goes first, also to its refusal: what it refuses
	// is not to leave by the NIC of a prefix that holds it.
	return stepOf(a) < refuseAll || o.from[a.From] != o.from[b.From]
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// peersBehind lists the rules of ours of the same family and priority behind a
// rule.
func peersBehind(all []fib.Rule, rule fib.Rule) []fib.Rule {
	var out []fib.Rule
	for _, r := range all[slices.Index(all, rule)+1:] {
		if r.Family == rule.Family && r.Priority == rule.Priority && r.Protocol == Protocol && r != rule {
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
			left = append(slices.DeleteFunc(left, func(r fib.Rule) bool { return slices.Contains(back.Rules, r) }), back.Rules...)
		}
	}
	return ops
}

func rememberedMoves(in Input, d *Desired) []record.Move {
	var out []record.Move
	if in.Mine != nil {
		out = slices.Clone(in.Mine.Moves)
	}
	moved, _ := moves(in, d)
	for _, m := range moved {
		e := record.Move{Rule: fib.EncodeRule(m.Rules[0])}
		for _, r := range m.Behind {
			e.Behind = append(e.Behind, fib.EncodeRule(r))
		}
		out = append(out, e)
	}
	return out
}
