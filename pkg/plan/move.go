package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
)

// Rules of one priority are asked in the order of their addition, and the kernel
// can only add behind. So their order is mended by adding some once more, last,
// and deleting the first of the two.

// rulesAdded lists all rules as they stand when those that are missing have been
// added.
func rulesAdded(in Input, d *Desired) []fib.Rule {
	seen := setOf(in.Seen.Rules)
	owners, others := splitOwners(d.Rules)
	missing := slices.DeleteFunc(slices.Concat(owners, others), func(r fib.Rule) bool { return seen[r] })
	return slices.Concat(in.Seen.Rules, distinct(missing))
}

// setOf is for lists of which it is asked for each element of another whether it is
// there: pods have hundreds of rules.
func setOf(rules []fib.Rule) map[fib.Rule]bool {
	set := make(map[fib.Rule]bool, len(rules))
	for _, r := range rules {
		set[r] = true
	}
	return set
}

// reorderings lists the changes that put rules into their order, those of each
// family and priority by themselves. What came last stands last, so that most
// often there is none.
func reorderings(all []fib.Rule, order func([]fib.Rule) []fib.Rule) []Reorder {
	var out []Reorder
	for _, was := range groups(all) {
		if want := order(distinct(was)); !slices.Equal(was, want) {
			out = append(out, Reorder{Was: was, Want: want})
		}
	}
	return out
}

// groups divides our rules by family and priority.
func groups(all []fib.Rule) [][]fib.Rule {
	var out [][]fib.Rule
	for _, r := range all {
		if r.Protocol != Protocol {
			continue
		}
		i := slices.IndexFunc(out, func(g []fib.Rule) bool { return g[0].Family == r.Family && g[0].Priority == r.Priority })
		if i < 0 {
			i = len(out)
			out = append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	return out
}

// distinct lists each rule once. One that is there twice was being moved when an
// invocation was killed.
func distinct(rules []fib.Rule) []fib.Rule {
	known := make(map[fib.Rule]bool, len(rules))
	out := make([]fib.Rule, 0, len(rules))
	for _, r := range rules {
		if !known[r] {
			known[r] = true
			out = append(out, r)
		}
	}
	return out
}

// settled is the order of rules of ours, mended where one stands before another
// that has to precede it; where none does, the list itself.
func settled(rules []fib.Rule) []fib.Rule {
	o := orderOf(rules)
	if o.kept(rules) {
		return rules
	}
	out := slices.Clone(rules)
	for _, r := range o.sorted(rules) {
		i := slices.Index(out, r)
		if o.anyPrecedes(out[i+1:], &r) {
			out = append(slices.Delete(out, i, i+1), r)
		}
	}
	return out
}

// restored is the order in which rules stood before, unless others have come
// since, to which it would mean nothing.
func restored(before []fib.Rule) func([]fib.Rule) []fib.Rule {
	return func(now []fib.Rule) []fib.Rule {
		if slices.ContainsFunc(now, func(r fib.Rule) bool { return !slices.Contains(before, r) }) {
			return settled(now)
		}
		return settled(slices.DeleteFunc(slices.Clone(before), func(r fib.Rule) bool { return !slices.Contains(now, r) }))
	}
}

// behindOthers has some of the rules stand behind the others.
func behindOthers(rules, last []fib.Rule) []fib.Rule {
	others := slices.DeleteFunc(slices.Clone(rules), func(r fib.Rule) bool { return slices.Contains(last, r) })
	return append(others, slices.DeleteFunc(slices.Clone(last), func(r fib.Rule) bool { return !slices.Contains(rules, r) })...)
}

// Requests lists what puts the rules into their order, given all that are there:
// the rules to be added behind, then those to be deleted, of which the kernel
// each time takes the first. For any two rules that stand rightly before and
// after, they do so in between.
func (o Reorder) Requests(now []fib.Rule) (add, remove []fib.Rule) {
	now = slices.DeleteFunc(slices.Clone(now), func(r fib.Rule) bool { return !slices.Contains(o.Want, r) })
	want := slices.DeleteFunc(slices.Clone(o.Want), func(r fib.Rule) bool { return !slices.Contains(now, r) })
	stay, last := 0, -1
	for _, r := range want {
		at := slices.Index(now, r)
		if at < last || slices.Contains(now[at+1:], r) {
			break
		}
		stay, last = stay+1, at
	}
	add = want[stay:]
	for _, r := range slices.Backward(now) {
		if slices.Contains(add, r) {
			remove = append(remove, r)
		}
	}
	return add, remove
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

// kept reports whether no rule of ours stands before another that has to precede it.
func (o order) kept(rules []fib.Rule) bool {
	for i := range rules {
		if o.anyPrecedes(rules[i+1:], &rules[i]) {
			return false
		}
	}
	return true
}

// anyPrecedes reports whether one of some rules of ours has to stand before another. It is
// asked of each pair of them: so none is copied.
func (o order) anyPrecedes(some []fib.Rule, r *fib.Rule) bool {
	for i := range some {
		if o.precedes(&some[i], r) {
			return true
		}
	}
	return false
}

// precedes reports whether one rule of ours has to stand before another.
func (o order) precedes(a, b *fib.Rule) bool {
	switch {
	case !a.From.IsValid():
		return isOwner(*a) && isOwner(*b) && a.OIF == b.OIF && o.ownBeforeDisplaced(a, b)
	case !b.From.IsValid(): // a source's gateways go before the other gateways of its NIC
		return isSource(*a) && isOwner(*b) && a.Table != b.Table && o.nics[a.Table] == b.OIF
	case a.From == b.From:
		return stepOf(*a) < stepOf(*b) || stepOf(*a) == stepOf(*b) && o.ownBeforeDisplaced(a, b)
	case b.From.Bits() >= a.From.Bits() || !fib.Covers(b.From, a.From): // most are hosts
		return false
	}
	// The more specific source goes first, also to its refusal: what it refuses
	// is not to leave by the NIC of a prefix that holds it.
	return stepOf(*a) < refuseAll || o.from[a.From] != o.from[b.From]
}

// ownBeforeDisplaced reports whether the first rule is of a NIC's own attachment, and the
// second of one that only displaced its default.
func (o order) ownBeforeDisplaced(a, b *fib.Rule) bool {
	return o.displaced[b.Table] && !o.displaced[a.Table]
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

// rememberedOrder is the order of our rules before this attachment changed it.
func rememberedOrder(in Input, d *Desired) [][]byte {
	if in.Mine != nil && len(in.Mine.Order) > 0 {
		return in.Mine.Order
	}
	var out [][]byte
	for _, o := range d.reorderings {
		for _, r := range o.Was {
			out = append(out, fib.EncodeRule(r))
		}
	}
	return out
}

// orderRemoval brings our rules, without those that are removed, back to the
// order in which they stood before.
func orderRemoval(in Input, removed []fib.Rule) []Op {
	var before []fib.Rule
	if in.Mine != nil {
		for _, b := range in.Mine.Order {
			if r, err := fib.DecodeRule(b); err == nil {
				before = append(before, r)
			}
		}
	}
	left := slices.DeleteFunc(slices.Clone(in.Seen.Rules), func(r fib.Rule) bool { return slices.Contains(removed, r) })
	var ops []Op
	for _, o := range reorderings(left, restored(distinct(before))) {
		ops = append(ops, o)
	}
	return ops
}
