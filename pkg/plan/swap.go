package plan

import (
	"bytes"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// Swap is a route that leaves the main table, and what stands there instead.
type Swap struct {
	Out   fib.Route
	Place Place
	In    *fib.Route // nil: nothing
}

// mainNow is the main table as it is, or as ADD saw it.
func mainNow(in Input) []fib.Route {
	if in.Then != nil {
		return slices.Clone(in.Then)
	}
	return in.Seen.Table(mainTable)
}

// mainWithoutUs is the main table as it would be had this attachment never come:
// what was taken out is in it, what was put in is not.
func mainWithoutUs(in Input) []fib.Route {
	if in.Then != nil {
		return slices.Clone(in.Then)
	}
	main := slices.DeleteFunc(in.Seen.Table(mainTable), func(r fib.Route) bool { return r.Protocol == Protocol })
	if in.Mine == nil {
		return main
	}
	for _, s := range slices.Backward(decodeSwaps(in.Seen, in.Mine.Swaps)) {
		if alive(in.Seen, s.Out) && !holdsRoute(main, s.Out) {
			main = putBack(main, s)
		}
	}
	return asMultipath(main)
}

// holdsRoute reports whether a table has a route, be it as a hop of another.
func holdsRoute(table []fib.Route, r fib.Route) bool {
	return slices.ContainsFunc(table, func(t fib.Route) bool {
		return t.Equal(r) || slices.ContainsFunc(hopsAsRoutes(t), r.Equal)
	})
}

// alive reports whether all interfaces of a route still exist.
func alive(s *fib.Snapshot, r fib.Route) bool {
	for _, h := range r.Hops {
		if _, ok := s.LinkAt(h.Index); !ok {
			return false
		}
	}
	return true
}

// mainWithoutAnyone is the main table as it would be had no attachment come. A
// route's place in it is the one to remember: by the time it is put back, those
// beside it may be back too.
func mainWithoutAnyone(in Input) []fib.Route {
	main := mainNow(in)
	for range in.Others { // one can stand on top of all the others
		for _, a := range in.Others {
			for _, s := range decodeSwaps(in.Seen, a.Swaps) {
				if holdsRoute(main, s.Out) || !alive(in.Seen, s.Out) || s.In != nil && !holdsRoute(main, *s.In) {
					continue // not out, or on top of another's change that has to go first
				}
				main = putBack(main, s)
			}
		}
	}
	return main
}

// putBack undoes a swap in a table.
func putBack(table []fib.Route, s Swap) []fib.Route {
	table = asHops(table)
	if s.In != nil {
		table = slices.DeleteFunc(table, s.In.Equal)
	}
	return insert(table, s)
}

// insert puts what a swap took out into a table at its place.
func insert(table []fib.Route, s Swap) []fib.Route {
	table = asHops(table)
	i := slices.IndexFunc(table, func(r fib.Route) bool { return slices.ContainsFunc(s.Place.Before, r.Equal) })
	if i < 0 {
		return append(table, s.Out)
	}
	return slices.Insert(table, i, s.Out)
}

// asHops divides the IPv6 multipath routes of a table.
func asHops(table []fib.Route) []fib.Route {
	var out []fib.Route
	for _, r := range table {
		out = append(out, hopsAsRoutes(r)...)
	}
	return out
}

// asMultipath joins the hops of IPv6 multipath routes again.
func asMultipath(table []fib.Route) []fib.Route {
	var out []fib.Route
	for _, r := range table {
		i := slices.IndexFunc(out, func(o fib.Route) bool { return r.Family == fib.V6 && besides(o, r) && besides(r, o) })
		if i < 0 {
			out = append(out, r)
			continue
		}
		out[i].Hops = normalWeights(slices.Concat(out[i].Hops, r.Hops))
	}
	return out
}

// rememberedSwaps are the earlier ADD's and the new ones. A route that came back
// in between (a router daemon, an ADD that was killed before it acted) is
// remembered once.
func rememberedSwaps(in Input, swaps []Swap) []record.Swap {
	var out []record.Swap
	if in.Mine != nil {
		out = slices.Clone(in.Mine.Swaps)
	}
	for _, s := range swaps {
		encoded := encodeSwap(s)
		out = slices.DeleteFunc(out, func(o record.Swap) bool { return bytes.Equal(o.Out, encoded.Out) })
		out = append(out, encoded)
	}
	return out
}

// rememberedMain is what of main the plan depends on: all defaults, and the
// routes of the NICs that get tables.
func rememberedMain(in Input, nics []NIC) [][]byte {
	var out [][]byte
	for _, r := range mainWithoutUs(in) {
		if r.Expires && !r.IsDefault() {
			continue // not copied, and what is remembered has no time
		}
		if r.IsDefault() || slices.ContainsFunc(nics, func(n NIC) bool { return r.Uses(n.Link.Index) }) {
			r.NexthopID = 0 // by which its hops would not be written
			out = append(out, fib.EncodeRoute(r))
		}
	}
	return out
}

// RememberedMain is the main table as ADD saw it; nil where nothing is
// remembered.
func RememberedMain(seen *fib.Snapshot, mine *record.Attachment) []fib.Route {
	if mine == nil {
		return nil
	}
	return decodeRoutes(seen, mine.Main)
}

// decodeRoutes reads remembered routes, those whose interfaces still exist.
func decodeRoutes(seen *fib.Snapshot, payloads [][]byte) []fib.Route {
	out := []fib.Route{}
	for _, b := range payloads {
		if r, err := fib.DecodeRoute(b); err == nil && alive(seen, r) {
			out = append(out, r)
		}
	}
	seen.NameHops(out)
	return out
}

// Moves lists the routes of others that a change moves, each the payload of an
// RTM_NEWROUTE message, to be remembered before it is made.
func Moves(op Op) [][]byte {
	in, ok := op.(PutIn)
	if !ok || (in.Route.Family == fib.V4 && in.Place.First) {
		return nil
	}
	var out [][]byte
	for _, r := range in.Place.Before {
		out = append(out, fib.EncodeRoute(r))
	}
	return out
}

func encodeSwap(s Swap) record.Swap {
	e := record.Swap{Out: fib.EncodeRoute(s.Out), First: s.Place.First}
	for _, r := range s.Place.Before {
		e.Before = append(e.Before, fib.EncodeRoute(r))
	}
	if s.In != nil {
		e.In = fib.EncodeRoute(*s.In)
	}
	return e
}

// decodeSwaps reads what is remembered. What cannot be read is left out: it
// cannot be put back either.
func decodeSwaps(seen *fib.Snapshot, swaps []record.Swap) []Swap {
	var out []Swap
	for _, e := range swaps {
		r, err := fib.DecodeRoute(e.Out)
		if err != nil {
			continue
		}
		s := Swap{Out: r, Place: Place{First: e.First}}
		for _, b := range e.Before {
			if r, err := fib.DecodeRoute(b); err == nil {
				s.Place.Before = append(s.Place.Before, r)
			}
		}
		if in, err := fib.DecodeRoute(e.In); err == nil {
			s.In = &in
			seen.NameHops([]fib.Route{in})
		}
		seen.NameHops([]fib.Route{s.Out})
		out = append(out, s)
	}
	return out
}

// mainRemoval takes our own routes out of main, puts back what was taken out, and
// then takes out what was put in for it, so that main has a default all along. A
// route whose interface has gone cannot come back; what stands in its stead
// stays.
func mainRemoval(in Input) []Op {
	ops, main := ownRemoval(in)
	if in.Mine == nil {
		return ops
	}
	seen := slices.Clone(main)
	for _, r := range lostInMove(in) {
		ops = append(ops, PutIn{Route: r})
		main = append(main, r)
	}
	var out []Op
	for _, s := range slices.Backward(decodeSwaps(in.Seen, in.Mine.Swaps)) {
		if !alive(in.Seen, s.Out) || takenByOthers(in, s) {
			continue
		}
		// One that is there may not have got to its place.
		if !holdsRoute(seen, s.Out) || len(in.Mine.Moving) > 0 {
			ops = append(ops, PutIn{Route: s.Out, Place: placeNow(s, main)})
			main = insert(slices.DeleteFunc(main, s.Out.Equal), s) // the next one's place is beside it
		}
		if s.In != nil && holdsRoute(seen, *s.In) {
			out = append(out, TakeOut{Route: *s.In, Place: placeOf(*s.In, seen)})
		}
	}
	return append(ops, out...)
}

// ownRemoval takes our own routes out of main, and returns main without them.
// Of an IPv6 route that others' hops have joined only our hop goes.
func ownRemoval(in Input) (ops []Op, rest []fib.Route) {
	main := in.Seen.Table(mainTable)
	nic, ok := in.Seen.Link(in.Key.IfName)
	for _, r := range main {
		if !ok || r.Protocol != Protocol || !r.Uses(nic.Index) {
			rest = append(rest, r)
			continue
		}
		ours := r.Through(nic.Index, false)
		ops = append(ops, TakeOut{Route: ours, Place: placeOf(ours, main)})
		if others := r.Through(nic.Index, true); len(others.Hops) > 0 {
			rest = append(rest, others)
		}
	}
	return ops, rest
}

// lostInMove are the routes of others that were being moved when an invocation
// was killed, and are missing since.
func lostInMove(in Input) []fib.Route {
	if in.Mine == nil {
		return nil
	}
	return slices.DeleteFunc(decodeRoutes(in.Seen, in.Mine.Moving), func(r fib.Route) bool {
		return holdsRoute(in.Seen.Table(mainTable), r)
	})
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
		if s.In != nil && r.Equal(*s.In) || r.Equal(s.Out) || !besides(r, s.Out) {
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
