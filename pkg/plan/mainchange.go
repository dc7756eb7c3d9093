package plan

import (
	"slices"

	"github.com/symroute/symroute/pkg/fib"
)

// mainOps lists the changes that lead from what main has to the defaults that it
// shall have. Routes that are not ours to take are left alone. Of what is missing what
// is wanted comes; stays tells which routes main goes on having.
func mainOps(in situation, before, after []fib.Route, wanted, stays func(fib.Route) bool) []Op {
	m := mainChange{after: living(in.Seen, after), originals: in.originals}
	known := living(in.Seen, slices.Concat(m.originals, before, in.made(rememberedDefaults(in.Input))))
	m.now = weighted(defaultsSeen(in.Seen), known)
	ins := m.missing(wanted)
	outs := m.spared(m.surplus(in.Input, known, ins), ins)
	ins = append(ins, m.last(ins, outs, stays)...)
	m.reorder(in.Input)
	clash := func(list []fib.Route, r fib.Route) bool {
		return r.Family == fib.V6 && slices.ContainsFunc(list, func(o fib.Route) bool { return r.SamePlace(o) && r.Protocol != o.Protocol })
	}
	// What comes stands before what goes, so that main is never without; but in
	// IPv6 two of the same metric would become one route, and of different
	// protocols tell only one of them.
	for _, r := range ins {
		if !clash(outs, r) {
			m.putIn(r)
		}
	}
	for _, r := range outs {
		if clash(ins, r) {
			m.takeOut(r)
		}
	}
	for _, r := range ins {
		if clash(outs, r) {
			m.putIn(r)
		}
	}
	for _, r := range outs {
		if !clash(ins, r) {
			m.takeOut(r)
		}
	}
	return m.ops
}

// weighted gives single IPv6 hops the weights that are remembered: the kernel
// tells those of hops that are several only.
func weighted(seen, known []fib.Route) []fib.Route {
	for i, r := range seen {
		if k := slices.IndexFunc(known, r.Equal); k >= 0 && len(r.Hops) == 1 && r.Hops[0].Weight == 0 {
			seen[i] = known[k]
		}
	}
	return seen
}

// mainChange is main's defaults while they are changed.
type mainChange struct {
	now, after []fib.Route
	originals  []fib.Route
	ops        []Op
}

// surplus are the defaults that have to go: originals, what a wish put there, and
// what comes back undisplaced.
func (m *mainChange) surplus(in Input, known, ins []fib.Route) []fib.Route {
	own := in.ownIndex()
	return slices.DeleteFunc(slices.Clone(m.now), func(r fib.Route) bool {
		ours := own != 0 && r.Protocol == Protocol && r.Uses(own)
		foreign := !ours && !madeOf(r, known) && !in.displacedFrom(r, ins)
		return foreign || slices.ContainsFunc(m.after, r.Equal)
	})
}

// spared leaves out of those that have to go the last ones of a family that others
// have put there: where nothing comes in their place main would be left without, and
// that is never what a wish was about.
func (m *mainChange) spared(outs, ins []fib.Route) []fib.Route {
	remains := func(r fib.Route) bool { return !slices.ContainsFunc(outs, r.Equal) }
	return slices.DeleteFunc(slices.Clone(outs), func(r fib.Route) bool {
		return r.Protocol != Protocol && len(ofFamily(ins, r.Family)) == 0 && !slices.ContainsFunc(ofFamily(m.now, r.Family), remains)
	})
}

// last are the missing defaults of a family that main would go on without, but for
// them: a NIC is down, or leaves, to which they had yielded.
func (m *mainChange) last(ins, outs []fib.Route, stays func(fib.Route) bool) []fib.Route {
	remain := slices.DeleteFunc(slices.Clone(m.now), func(r fib.Route) bool { return slices.ContainsFunc(outs, r.Equal) })
	return slices.DeleteFunc(m.missing(stays), func(r fib.Route) bool {
		return slices.ContainsFunc(ofFamily(slices.Concat(remain, ins), r.Family), stays)
	})
}

// missing are the defaults that have to come.
func (m *mainChange) missing(wanted func(fib.Route) bool) []fib.Route {
	return slices.DeleteFunc(slices.Clone(m.after), func(r fib.Route) bool {
		return slices.ContainsFunc(m.now, r.Equal) || !wanted(r)
	})
}

// reorder finishes the moves of an invocation that was killed among them.
func (m *mainChange) reorder(in Input) {
	if in.Mine == nil || len(in.Mine.Moving) == 0 {
		return
	}
	for _, r := range m.after {
		stands := slices.IndexFunc(m.now, r.Equal)
		if stands < 0 {
			continue
		}
		wrong := slices.ContainsFunc(m.now[:stands], func(o fib.Route) bool { return besides(o, r) && m.follows(o, r) })
		if wrong {
			m.now = slices.Delete(m.now, stands, stands+1)
			m.putIn(r)
		}
	}
}

// follows reports whether a route shall stand behind another. Of originals one
// that is about to go does, too, if it did: a change that is killed before it goes
// leaves them in their order. It does not where they share an interface: of two
// IPv4 routes that begin with the same hops the kernel deletes the first
// (fib_nh_match compares no more than the hops of the route it looks at).
func (m *mainChange) follows(o, r fib.Route) bool {
	order := m.after
	if !slices.ContainsFunc(m.after, o.Equal) {
		order = m.originals
		if slices.ContainsFunc(o.Hops, func(h fib.Hop) bool { return r.Uses(h.Index) }) {
			return false
		}
	}
	at := slices.IndexFunc(order, r.Equal)
	return at >= 0 && slices.IndexFunc(order, o.Equal) > at
}

// putIn inserts a route before those that shall follow it and behind the others.
func (m *mainChange) putIn(r fib.Route) {
	p := Place{First: true}
	at := len(m.now)
	for i, o := range m.now {
		switch {
		case !besides(o, r):
		case m.follows(o, r):
			p.Before = append(p.Before, o)
			at = min(at, i)
		default:
			p.First = false
		}
	}
	m.ops = append(m.ops, PutIn{Route: r, Place: p})
	m.now = slices.Insert(m.now, at, r)
}

func (m *mainChange) takeOut(r fib.Route) {
	m.ops = append(m.ops, TakeOut{Route: r, Place: placeOf(r, m.now)})
	m.now = slices.DeleteFunc(m.now, r.Equal)
}
