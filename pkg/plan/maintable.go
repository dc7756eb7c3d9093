package plan

import (
	"fmt"
	"slices"
	"sync"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// defaultsSeen are the defaults that main has now, IPv6 ones hop by hop.
func defaultsSeen(s *fib.Snapshot) []fib.Route {
	return asHops(s.Defaults(mainTable))
}

// attachments lists all records of the namespace, this one's first.
func (in Input) attachments() []record.Attachment {
	if in.Mine == nil {
		return in.Others
	}
	return append([]record.Attachment{*in.Mine}, in.Others...)
}

// earlier are the states that an attachment may still be in while this ADD changes
// it: what its last ADD made, and those before it that were not finished.
func (in Input) earlier() []record.Attachment {
	if in.Mine == nil {
		return nil
	}
	return append(slices.Clone(in.Mine.Earlier), in.Mine.Settled())
}

// originals are the defaults that main would have, in their order, had no
// attachment come: those that the records know, without what others have
// deleted since, and with what they have added. Those of interfaces that have
// gone are among them: wishes were about them, too.
func originals(in Input) []fib.Route {
	if in.Then != nil {
		return asHops(slices.DeleteFunc(slices.Clone(in.Then), func(r fib.Route) bool { return !r.IsDefault() }))
	}
	seen := defaultsSeen(in.Seen)
	known := rememberedDefaults(in)
	targets := in.targetsOfStates(known, anyInterface)
	lost := lostInMove(in)
	var out []fib.Route
	own := in.ownIndex()
	for _, r := range known {
		leaves := slices.ContainsFunc(targets, func(target []fib.Route) bool { return !slices.ContainsFunc(target, r.Equal) })
		// What went from this NIC went with its link, and ADD repairs it.
		stays := !leaves && alive(in.Seen, r) && !r.Uses(own)
		if !stays || slices.ContainsFunc(seen, r.Equal) || slices.ContainsFunc(lost, r.Equal) {
			out = append(out, r)
		}
	}
	gone := slices.DeleteFunc(slices.Clone(known), func(r fib.Route) bool { return slices.ContainsFunc(seen, r.Equal) })
	made := sync.OnceValue(func() []fib.Route { return in.made(known) }) // most often nothing is left to ask it about
	for i, r := range seen {
		if r.Protocol != Protocol && !madeOf(r, known) && !in.displacedFrom(r, gone) && !slices.ContainsFunc(made(), r.Equal) {
			out = insertAmong(out, r, known, seen[:i], seen[i+1:])
		}
	}
	return out
}

// targetsOfStates are the defaults that main should have with all attachments in
// their latest states, then with one of them in an earlier one that it may be in.
func (in Input) targetsOfStates(known []fib.Route, stays func(index int) bool) [][]fib.Route {
	all := in.attachments()
	out := [][]fib.Route{defaultTargets(known, wishesOf(in.Seen, all), stays)}
	for i, a := range all {
		for _, state := range a.Earlier {
			then := slices.Clone(all)
			then[i] = state
			out = append(out, defaultTargets(known, wishesOf(in.Seen, then), stays))
		}
	}
	return out
}

// made are the defaults that attachments may have put into main: while all interfaces
// were there, since some have gone, or when one left whose NIC then stayed.
func (in Input) made(known []fib.Route) []fib.Route {
	out := slices.Concat(append(in.targetsOfStates(known, anyInterface), in.targetsOfStates(known, in.exists)...)...)
	for _, l := range in.Seen.Links {
		attached := slices.ContainsFunc(in.attachments(), func(a record.Attachment) bool { return a.IfName == l.Name })
		if !attached && !l.Loopback {
			stayed := func(index int) bool { return index != l.Index && in.exists(index) }
			out = append(out, slices.Concat(in.targetsOfStates(known, stayed)...)...)
		}
	}
	return out
}

// anyInterface has wishes as they were when all interfaces were there.
func anyInterface(int) bool { return true }

// exists reports whether an interface is in the pod.
func (in Input) exists(index int) bool {
	_, ok := in.Seen.LinkAt(index)
	return ok
}

// ownIndex is the attachment's interface, which may bear another name by now than
// on ADD; 0: it has gone.
func (in Input) ownIndex() int {
	if own, ok := in.Seen.Link(in.Key.IfName); ok {
		return own.Index
	}
	if in.Mine != nil && in.Mine.Wish != nil && len(in.Mine.Wish.NICs) > 0 && in.exists(in.Mine.Wish.NICs[0]) {
		return in.Mine.Wish.NICs[0]
	}
	return 0
}

// outlives reports whether an interface stays when the attachment leaves: the
// plugin before ours in the chain takes the attachment's own away next.
func (in Input) outlives(index int) bool {
	leaves := index == in.ownIndex() || in.Mine != nil && in.Mine.Wish != nil && slices.Contains(in.Mine.Wish.NICs, index)
	return in.exists(index) && !leaves
}

// rememberedDefaults are the originals that the records know of: the latest has
// most of them.
func rememberedDefaults(in Input) []fib.Route {
	all := slices.Clone(in.attachments())
	slices.SortStableFunc(all, func(a, b record.Attachment) int { return b.Seq() - a.Seq() })
	var out []fib.Route
	for _, a := range all {
		list := slices.DeleteFunc(asHops(decodeMain(in.Seen, a.Main)), func(r fib.Route) bool { return !r.IsDefault() })
		for i, r := range list {
			if slices.ContainsFunc(out, r.Equal) {
				continue
			}
			at := slices.IndexFunc(out, func(o fib.Route) bool { return slices.ContainsFunc(list[i+1:], o.Equal) })
			if at < 0 {
				at = len(out)
			}
			out = slices.Insert(out, at, r)
		}
	}
	return out
}

// madeOf reports whether a route is what was made of one of the others: without
// the hops of interfaces that yielded or have gone.
func madeOf(r fib.Route, others []fib.Route) bool {
	return slices.ContainsFunc(others, func(o fib.Route) bool { return r.Equal(through(o, r)) })
}

// displacedFrom reports whether a route is one of the others with a worse metric:
// that which it gets behind a default with which an attachment takes main, or did
// before that went with its NIC. With any other it is somebody's backup.
func (in Input) displacedFrom(r fib.Route, others []fib.Route) bool {
	if !slices.ContainsFunc(others, func(o fib.Route) bool {
		o = through(o, r)
		worse := r.Metric > o.Metric
		o.Metric = r.Metric
		return worse && r.Equal(o)
	}) {
		return false
	}
	known := rememberedDefaults(in)
	targets := in.targetsOfStates(known, anyInterface)
	defaults := slices.Concat(known, defaultsSeen(in.Seen), slices.Concat(targets...))
	var entries []entry
	for _, d := range defaults {
		entries = append(entries, entry{now: d})
	}
	return slices.ContainsFunc(defaults, func(d fib.Route) bool {
		// What stood in the way of the first metric, if anything did, may have gone since.
		first := d.Metric + displacedStep
		return d.Family == r.Family && in.takenWith(d) && first <= r.Metric && r.Metric <= freeMetric(entries, r, first)
	})
}

// takenWith reports whether a default is by the NIC of an attachment that takes
// main, or may have.
func (in Input) takenWith(d fib.Route) bool {
	return slices.ContainsFunc(in.attachments(), func(a record.Attachment) bool {
		return slices.ContainsFunc(a.States(), func(s record.Attachment) bool {
			return s.Wish != nil && s.Wish.Take && len(s.Wish.NICs) > 0 && d.Uses(s.Wish.NICs[0])
		})
	})
}

// through leaves of a route the hops by the interfaces of another.
func through(o, r fib.Route) fib.Route {
	for _, h := range o.Hops {
		if !r.Uses(h.Index) {
			o = o.Through(h.Index, true)
		}
	}
	return o
}

// insertAmong inserts a route that somebody has added to those of the list: one
// that stands in front of all that are known came in front of them (IPv4 does that),
// one that stands behind them behind. Where none of the others is there, IPv4 takes a
// route of their destination and metric in front alone (IPAM does so).
func insertAmong(list []fib.Route, r fib.Route, known, ahead, behind []fib.Route) []fib.Route {
	beside := func(o fib.Route) bool { return besides(o, r) }
	next := slices.IndexFunc(list, func(o fib.Route) bool { return beside(o) && slices.ContainsFunc(behind, o.Equal) })
	knownAhead := slices.ContainsFunc(ahead, func(o fib.Route) bool { return beside(o) && madeOf(o, known) })
	if !knownAhead && (next >= 0 || r.Family == fib.V4) {
		next = slices.IndexFunc(list, func(o fib.Route) bool { return beside(o) && !slices.ContainsFunc(ahead, o.Equal) })
	}
	if next < 0 {
		return append(list, r)
	}
	return slices.Insert(list, next, r)
}

// mainWithoutUs is the main table as it would be had no attachment come.
func mainWithoutUs(in Input, originals []fib.Route) []fib.Route {
	if in.Then != nil {
		return slices.Clone(in.Then)
	}
	main := slices.DeleteFunc(in.Seen.Table(mainTable), func(r fib.Route) bool { return r.Protocol == Protocol || r.IsDefault() })
	return append(main, asMultipath(living(in.Seen, originals))...)
}

// living drops the hops by interfaces that have gone.
func living(s *fib.Snapshot, routes []fib.Route) []fib.Route {
	return withHops(routes, func(_ fib.Route, h fib.Hop) bool {
		_, ok := s.LinkAt(h.Index)
		return ok
	})
}

// attainable drops also those by interfaces that are down.
func attainable(s *fib.Snapshot, routes []fib.Route) []fib.Route {
	return withHops(living(s, routes), accepts(s))
}

// accepts tells of which routes and hops the kernel takes: of none by an interface
// that is down (fib_check_nh, ip6_route_info_create). What is there all the same stays.
func accepts(s *fib.Snapshot) func(fib.Route, fib.Hop) bool {
	seen := defaultsSeen(s)
	return func(r fib.Route, h fib.Hop) bool {
		l, ok := s.LinkAt(h.Index)
		return ok && l.Up || slices.ContainsFunc(seen, r.Equal)
	}
}

// unattainable notes what is not put in, because a NIC is down that is not the
// attachment's own: no reason for ADD to fail.
func unattainable(s *fib.Snapshot, defaults []fib.Route, nics []NIC) []string {
	var notes []string
	accepted := accepts(s)
	for _, r := range living(s, defaults) {
		for _, h := range r.Hops {
			if !accepted(r, h) {
				notes = append(notes, fmt.Sprintf("%s is down: the default route %q is not put into main by it", h.Dev, r))
			}
		}
	}
	for _, n := range nics {
		if n.displaced && !n.Link.Up {
			notes = append(notes, fmt.Sprintf("%s is down: its source table stays empty until ADD is repeated with it up", n.Link.Name))
		}
	}
	return notes
}

// withHops leaves of routes the hops that are to be kept, and of those that become
// equal one.
func withHops(routes []fib.Route, keep func(fib.Route, fib.Hop) bool) []fib.Route {
	var out []fib.Route
	for _, whole := range routes {
		r := whole
		for _, h := range whole.Hops {
			if !keep(whole, h) {
				r = r.Through(h.Index, true)
			}
		}
		if len(r.Hops) > 0 && !slices.ContainsFunc(out, r.Equal) {
			out = append(out, r)
		}
	}
	return out
}

// rememberedMain is what of main the plan depends on: all defaults, and the
// routes of the NICs that get tables.
func rememberedMain(in situation, nics []NIC) [][]byte {
	var out [][]byte
	for _, r := range in.main {
		if r.IsDefault() || slices.ContainsFunc(nics, func(n NIC) bool { return r.Uses(n.Link.Index) }) {
			out = append(out, fib.MarshalRoute(r))
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
	return append([]fib.Route{}, living(seen, decodeMain(seen, mine.Main))...)
}

// decodeRoutes reads remembered routes. What cannot be read cannot be put back
// either.
func decodeRoutes(seen *fib.Snapshot, payloads [][]byte) []fib.Route {
	out := make([]fib.Route, 0, len(payloads))
	for _, b := range payloads {
		if r, err := fib.DecodeRoute(b); err == nil {
			out = append(out, r)
		}
	}
	seen.NameHops(out)
	return out
}

// decodeMain reads remembered routes of the main table, and no others: a record
// that names another table is not to lead there.
func decodeMain(seen *fib.Snapshot, payloads [][]byte) []fib.Route {
	return slices.DeleteFunc(decodeRoutes(seen, payloads), func(r fib.Route) bool { return r.Table != mainTable })
}

// alive reports whether all interfaces of a route still exist.
func alive(s *fib.Snapshot, r fib.Route) bool {
	for _, h := range r.Hops {
		if _, ok := s.LinkAt(h.Index); !ok {
			return false
		}
	}
	return len(r.Hops) > 0
}

// lostInMove are the routes of others that were being moved when an invocation
// was killed, and are missing since.
func lostInMove(in Input) []fib.Route {
	if in.Mine == nil {
		return nil
	}
	seen := defaultsSeen(in.Seen)
	return slices.DeleteFunc(asHops(decodeMain(in.Seen, in.Mine.Moving)), func(r fib.Route) bool {
		return slices.ContainsFunc(seen, r.Equal) || !alive(in.Seen, r)
	})
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

// asHops divides the IPv6 multipath routes of a table: each hop is a route to the
// kernel.
func asHops(table []fib.Route) []fib.Route {
	out := make([]fib.Route, 0, len(table))
	for _, r := range table {
		if r.Family == fib.V4 || len(r.Hops) < 2 {
			out = append(out, r)
			continue
		}
		for _, h := range r.Hops {
			single := r
			single.Hops = []fib.Hop{h}
			out = append(out, single)
		}
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
