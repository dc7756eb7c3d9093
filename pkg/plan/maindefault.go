package plan

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// wish is what one attachment wants of the pod's default routes.
type wish struct {
	seq  int // wishes are fulfilled in this order
	take bool
	nics []int // the attachment's interfaces, its own first
	// saw are the defaults that it is about: those that it takes out, or those
	// that it may have to beat. What comes later is not its business.
	saw []fib.Route
	own []fib.Route // what it puts in where its NIC has no default
}

// wishOf makes the wish of this attachment; nil where it has none.
func wishOf(in situation, nics []NIC) (*wish, error) {
	if len(nics) == 0 || len(nics[0].Sources) == 0 || in.Config.MainDefault == config.KeepMain {
		return nil, nil //nolint:nilnil // no wish is no error
	}
	w := &wish{seq: sequence(in.Input), take: in.Config.MainDefault == config.Take, saw: living(in.Seen, in.originals)}
	if in.Mine != nil && in.Mine.Wish != nil && in.Mine.Wish.Take == w.take { // the same wish, said again
		w.saw = decodeMain(in.Seen, in.Mine.Wish.Saw)
	}
	for _, n := range nics {
		w.nics = append(w.nics, n.Link.Index)
	}
	if !w.take { // what it takes out is decided once, by what there is now
		w.saw = w.yieldable(living(in.Seen, defaultTargets(in.originals, standingWishes(in.Input), in.exists)))
		return w, nil
	}
	for _, f := range fib.Families() {
		if exit := firstExit(nics[0], f); len(exit) > 0 {
			b := tableBuilder{in: in, nic: nics[0], table: Table{Number: mainTable}}
			w.own = append(w.own, b.defaultRoute(f, exit))
		}
	}
	if len(w.own) == 0 {
		return nil, config.Faults{{Path: "mainDefault", Problem: fmt.Sprintf("\"take\" needs a gateway, and none of %s is known: name one in gateways", nics[0].Link.Name)}}
	}
	return w, nil
}

// sequence is the attachment's place among the wishes: behind all others, or
// where its first ADD put it.
func sequence(in Input) int {
	if in.Mine != nil && in.Mine.Wish != nil {
		return in.Mine.Wish.Seq
	}
	last := 0
	for _, o := range in.Others {
		if o.Wish != nil {
			last = max(last, o.Wish.Seq)
		}
	}
	return last + 1
}

func firstExit(n NIC, f fib.Family) []fib.Hop {
	for _, s := range n.Sources {
		if s.Family() == f && len(s.Exit) > 0 {
			return s.Exit
		}
	}
	return nil
}

// encode is the wish as it is remembered.
func (w *wish) encode() *record.Wish {
	if w == nil {
		return nil
	}
	r := &record.Wish{Seq: w.seq, Take: w.take, NICs: w.nics}
	for _, own := range w.own {
		r.Own = append(r.Own, fib.EncodeRoute(own))
	}
	for _, saw := range w.saw {
		r.Saw = append(r.Saw, fib.MarshalRoute(saw))
	}
	return r
}

// wishesOf reads the wishes of attachments.
func wishesOf(seen *fib.Snapshot, attachments []record.Attachment) []wish {
	var out []wish
	for _, a := range attachments {
		if a.Wish != nil && len(a.Wish.NICs) > 0 {
			out = append(out, wish{
				seq: a.Wish.Seq, take: a.Wish.Take, nics: a.Wish.NICs,
				saw: decodeMain(seen, a.Wish.Saw), own: decodeMain(seen, a.Wish.Own),
			})
		}
	}
	return out
}

// standingWishes are those of the other attachments. Where somebody has deleted
// the default that one had taken main with, it is not put in again: that would
// be for its own ADD to repair.
func standingWishes(in Input) []wish {
	seen := defaultsSeen(in.Seen)
	out := wishesOf(in.Seen, in.Others)
	for i, w := range out {
		out[i].own = slices.DeleteFunc(w.own, func(own fib.Route) bool {
			return !slices.ContainsFunc(ofFamily(seen, own.Family), func(r fib.Route) bool { return r.Uses(w.nics[0]) })
		})
	}
	return out
}

// entry is a default of main on its way through the wishes.
type entry struct {
	origin fib.Route // as it was before any attachment came
	now    fib.Route // as it shall be; without hops: not at all
	own    bool      // put in by a wish
}

// defaultTargets computes the defaults of main, in their order, from those that
// it had before any attachment came and from the wishes. Nobody yields to an
// interface that does not stay. IPv6 routes have one hop each, as they have in
// the kernel.
func defaultTargets(originals []fib.Route, wishes []wish, stays func(index int) bool) []fib.Route {
	wishes = slices.Clone(wishes)
	slices.SortStableFunc(wishes, func(a, b wish) int { return a.seq - b.seq })
	var entries []entry
	for _, r := range originals {
		entries = append(entries, entry{origin: r, now: r})
	}
	for i, w := range wishes {
		for _, f := range fib.Families() {
			switch {
			case w.take && !stays(w.nics[0]):
				// its default has gone with its interface, and displaces nobody
			case w.take:
				entries = w.taken(entries, f)
			case w.hasRival(entries, wishes[i+1:], f, stays):
				w.yielded(entries, f)
			}
		}
	}
	var out []fib.Route
	for _, e := range entries {
		if len(e.now.Hops) > 0 && !slices.ContainsFunc(out, e.now.Equal) {
			out = append(out, e.now)
		}
	}
	slices.SortStableFunc(out, func(a, b fib.Route) int { return int(a.Family) - int(b.Family) })
	return out
}

// concerns lists the entries of a family that a wish is about: what it saw, and
// what earlier wishes put in.
func (w wish) concerns(entries []entry, f fib.Family) []*entry {
	var out []*entry
	for i := range entries {
		e := &entries[i]
		if e.now.Family == f && len(e.now.Hops) > 0 && (e.own || slices.ContainsFunc(w.saw, e.origin.Equal)) {
			out = append(out, e)
		}
	}
	return out
}

// byOthers reports whether a route has a hop by an interface that is not of the
// attachment.
func (w wish) byOthers(r fib.Route) bool {
	return slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { return !slices.Contains(w.nics, h.Index) })
}

// yieldable lists of what the wish saw the attachment's own defaults, in the
// families in which another NIC has one, too.
func (w wish) yieldable(defaults []fib.Route) []fib.Route {
	return slices.DeleteFunc(slices.Clone(w.saw), func(r fib.Route) bool {
		rival := slices.ContainsFunc(ofFamily(defaults, r.Family), w.byOthers)
		mine := slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { return slices.Contains(w.nics, h.Index) })
		return !rival || !mine || untouchable(r) != ""
	})
}

// hasRival reports whether another NIC has a default that stays in main: its
// interface stays, and no later attachment takes it out.
func (w wish) hasRival(entries []entry, later []wish, f fib.Family, stays func(index int) bool) bool {
	for _, e := range entries {
		if f == fib.V4 && slices.ContainsFunc(e.now.Hops, func(h fib.Hop) bool { return !stays(h.Index) }) {
			continue // the kernel takes the whole route away with one of its interfaces (fib_sync_down_dev)
		}
		for _, h := range e.now.Hops {
			if e.now.Family == f && !slices.Contains(w.nics, h.Index) && stays(h.Index) &&
				!slices.ContainsFunc(later, func(l wish) bool { return l.takesOut(e.origin, h) }) {
				return true
			}
		}
	}
	return false
}

// takesOut reports whether the wish is to yield with a hop of a default.
func (w wish) takesOut(origin fib.Route, h fib.Hop) bool {
	return !w.take && slices.Contains(w.nics, h.Index) && slices.ContainsFunc(w.saw, origin.Equal)
}

// yielded takes the attachment's defaults out. Of an IPv4 multipath route, of
// which no single hop can be deleted, the rest stays as a route of its own.
func (w wish) yielded(entries []entry, f fib.Family) {
	for _, e := range w.concerns(entries, f) {
		if e.own {
			continue // another attachment's
		}
		for _, index := range w.nics {
			e.now = e.now.Through(index, true)
		}
	}
}

// taken makes the attachment's default the pod's: the one that its NIC has, or
// one that is put in with a better metric than any other, where there is a
// better one. Those that it has to beat get a worse metric, so that main is
// never without a default.
func (w wish) taken(entries []entry, f fib.Family) []entry {
	concerned := w.concerns(entries, f)
	ours := func(e *entry) bool {
		return !slices.ContainsFunc(e.now.Hops, func(h fib.Hop) bool { return h.Index != w.nics[0] })
	}
	var put []entry
	var metric uint32
	own := ofFamily(w.own, f)
	switch i := slices.IndexFunc(concerned, ours); {
	case i >= 0:
		metric = concerned[i].now.Metric
	case len(own) == 0:
		return entries
	default:
		metric = betterMetric(concerned, own[0].Metric, f)
		for _, r := range asHops(own[:1]) {
			r.Metric = metric
			put = append(put, entry{now: r, own: true})
		}
	}
	for _, e := range concerned {
		if !ours(e) && e.now.Metric <= metric && untouchable(e.now) == "" {
			e.now = e.now.Through(w.nics[0], true)
			e.now.Metric = freeMetric(entries, e.now, metric+displacedStep)
		}
	}
	return append(put, entries...)
}

func ofFamily(routes []fib.Route, f fib.Family) []fib.Route {
	return slices.DeleteFunc(slices.Clone(routes), func(r fib.Route) bool { return r.Family != f })
}

// freeMetric is the metric, or the next that is free: IPv6 would make one route
// of two of a metric, and tell the protocol of only one of them.
func freeMetric(entries []entry, r fib.Route, metric uint32) uint32 {
	for r.Metric = metric; r.Family == fib.V6 && slices.ContainsFunc(entries, func(e entry) bool {
		return len(e.now.Hops) > 0 && e.now.SamePlace(r) && e.now.Protocol != r.Protocol
	}); {
		r.Metric++
	}
	return r.Metric
}

// betterMetric is a metric below those of others where there is one, so that
// they can stay as they are; an IPv6 route of the same metric would become one
// multipath route with them.
func betterMetric(others []*entry, metric uint32, f fib.Family) uint32 {
	best := uint32(0)
	if f == fib.V6 {
		best = 1                               // 0 asks IPv6 for its default metric
		metric = min(metric, metricDefault6-1) // with a later one of IPAM it would become one route, too
	}
	for _, e := range others {
		metric = min(metric, max(e.now.Metric, best+1)-1)
	}
	return metric
}

// untouchable says why a route in main is left alone; empty: it is not.
func untouchable(r fib.Route) string {
	switch {
	case r.Protocol == unix.RTPROT_RA || r.Expires:
		return "it is the router's own advertisement, which would come back"
	case r.NexthopID != 0:
		return fmt.Sprintf("it uses the nexthop object %d, which is somebody else's", r.NexthopID)
	}
	return ""
}

// leftAlone notes the defaults that a wish would have changed.
func (w *wish) leftAlone(defaults []fib.Route) []string {
	var notes []string
	for _, r := range defaults {
		why := untouchable(r)
		mine := slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { return slices.Contains(w.nics, h.Index) })
		if why == "" || mine == w.take {
			continue
		}
		rivals := slices.DeleteFunc(ofFamily(defaults, r.Family), func(o fib.Route) bool { return !w.byOthers(o) })
		if len(rivals) > 0 {
			notes = append(notes, fmt.Sprintf("the default route %q stays in main as it is: %s", r, why))
		}
	}
	return notes
}

// displacedNICs are the NICs of other defaults, which lose the pod's traffic to a
// wish to take. They get source tables, so that replies from their addresses do
// not change their path.
func (w *wish) displacedNICs(in situation) []NIC {
	if w == nil || !w.take {
		return nil
	}
	var out []NIC
	for _, r := range w.saw {
		if len(ofFamily(w.own, r.Family)) == 0 {
			continue // nothing was taken in this family
		}
		for _, h := range r.Hops {
			l, ok := in.Seen.LinkAt(h.Index)
			if !ok || slices.Contains(w.nics, h.Index) || !needsTable(in.Input, l) {
				continue
			}
			i := slices.IndexFunc(out, func(n NIC) bool { return n.Link.Index == l.Index })
			if i < 0 {
				i = len(out)
				out = append(out, NIC{Link: l, displaced: true, attached: attached(in.Seen.Rules, l)})
			}
			out[i].Sources = append(out[i].Sources, kernelSources(in, out[i], r.Family)...)
		}
	}
	return out
}

// needsTable reports whether a displaced NIC gets a source table from this
// attachment: if it got one on ADD already, or else has none of its own.
func needsTable(in Input, l fib.Link) bool {
	if in.Mine != nil && slices.Contains(in.Mine.Displaced, l.Index) {
		return true
	}
	return in.Then == nil && !slices.ContainsFunc(in.Seen.Rules, func(r fib.Rule) bool { return isOwner(r) && r.OIF == l.Name })
}

// attached reports whether a NIC has an attachment of its own.
func attached(rules []fib.Rule, l fib.Link) bool {
	for _, nic := range claims(rules) {
		if nic == l.Name {
			return true
		}
	}
	return false
}

// held reports whether that attachment has a source.
func held(rules []fib.Rule, l fib.Link, source netip.Prefix) bool {
	by := claims(rules)
	return slices.ContainsFunc(rules, func(r fib.Rule) bool { return isSource(r) && r.From == source && by[r.Table] == l.Name })
}

// kernelSources are the addresses that a NIC has in the kernel; for CHECK, of those
// the ones that ADD saw.
func kernelSources(in situation, n NIC, f fib.Family) []Source {
	var out []Source
	for _, a := range in.Seen.Addresses {
		ip := a.Prefix.Addr()
		if in.Then != nil && in.Mine != nil && !slices.Contains(in.Mine.Sources, fib.Host(ip)) {
			continue
		}
		known := n.has(fib.Host(ip))
		if a.Index != n.Link.Index || fib.FamilyOf(ip) != f || (ip.Is6() && ip.IsLinkLocalUnicast()) || known {
			continue
		}
		e := exits{in: in, nic: n}
		out = append(out, Source{Prefix: fib.Host(ip), Subnet: a.Prefix.Masked(), Exit: e.fromKernel(f), Held: held(in.Seen.Rules, n.Link, fib.Host(ip))})
	}
	return out
}
