// Package symmetry asks the kernel whether a pod's routing is symmetric: that
// it accepts a packet from a remote on an interface, and routes the answer out
// of the same one. The answer is the kernel's own verdict (RTM_GETROUTE runs
// its route lookup and its reverse-path filter), not a guess from settings.
package symmetry

import (
	"iter"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// question is one question and the answer that is wanted.
type question struct {
	*kind
	flow
}

func deviceOf(l fib.Link) device { return device{l.Index, l.Name} }

// What is asked at most. Up to there each source of a table is tried with each remote of it.
// What a pod can make many of must not cost more.
const (
	mostPairs  = 1000 // of all tables together, but
	leastPairs = 32   // of each, which are as many as there are prefix lengths of IPv4
	// mostForged is how many addresses of each other NIC packets are forged for.
	mostForged = 32
)

// questions lists what is asked of a state.
func questions(cfg *config.Config, seen *fib.Snapshot, s state.State, others []state.State) []question {
	var all []question
	kinds := allKinds()
	most := max(mostPairs/max(len(s.Tables()), 1), leastPairs)
	present, edges := make(map[netip.Addr]bool, len(seen.Addresses)), map[netip.Addr]bool{}
	for _, x := range seen.Addresses {
		present[x.Prefix.Addr()] = present[x.Prefix.Addr()] || !x.Tentative
		if network, broadcast, ok := fib.Edges(x.Prefix); ok {
			edges[network], edges[broadcast] = true, true
		}
	}
	for _, n := range s.NICs {
		l, ok := seen.LinkAt(n.Index)
		if !ok || !l.Up || l.Idle != "" {
			continue // nothing comes or leaves by it
		}
		for _, f := range fib.Families() {
			if !n.IsRouted(f) {
				continue
			}
			a := asker{kinds: &kinds, cfg: cfg, seen: seen, nic: n, link: l, family: f, most: most, present: present, edges: edges}
			a.survey(others)
			all = append(all, a.flows()...)
			all = append(all, a.bound()...)
		}
		if mode, ok := s.Settings[fib.RPFilter].Wants(n.Index); ok && mode == int(config.RPFilterStrict) {
			all = append(all, forgeries(&kinds.forged, seen, l)...)
		}
	}
	return all
}

// asker makes the questions of one NIC and family.
type asker struct {
	kinds  *kinds
	cfg    *config.Config
	seen   *fib.Snapshot
	nic    state.NIC
	link   fib.Link
	family fib.Family
	most   int // pairs of a source and a remote of each table

	present   map[netip.Addr]bool   // the pod's addresses; true: not tentative
	edges     map[netip.Addr]bool   // network and broadcast addresses of its subnets
	sources   map[netip.Prefix]bool // of the NIC
	elsewhere map[netip.Prefix]bool // sources that the NIC's own attachment has, too
	attached  bool                  // this is a displaced NIC that has an attachment of its own
	tables    []table
}

// table is a source table and the remotes that its sources are tried with.
type table struct {
	state.Table
	ways    *fib.Ways
	remotes []destination
}

// destination is a remote, and how packets to it leave by a table.
type destination struct {
	netip.Addr
	exit []fib.Hop
}

// survey looks once at what all questions depend on.
func (a *asker) survey(others []state.State) {
	a.sources, a.elsewhere = map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
	for _, s := range a.nic.Sources() {
		a.sources[s.Prefix] = true
	}
	for _, o := range others {
		for _, n := range o.NICs {
			if a.nic.Role != state.Displaced || n.Index != a.nic.Index || n.Role != state.Attached {
				continue
			}
			a.attached = true
			for _, s := range n.Sources() {
				a.elsewhere[s.Prefix] = true // its rules decide, and it is there that the way is judged
			}
		}
	}
	for _, t := range a.nic.Tables {
		t := table{Table: t, ways: fib.WaysIn(t.Routes)}
		t.remotes = a.remotes(t)
		a.tables = append(a.tables, t)
	}
}

// flows asks both directions of the flows of every source.
func (a *asker) flows() []question {
	var all []question
	for _, t := range a.tables {
		ends := a.ends(t)
		all = slices.Grow(all, 2*min(len(ends)*len(t.remotes), a.most))
		for i, j := range pairs(len(ends), len(t.remotes), a.most) {
			f := flow{nic: deviceOf(a.link), arrival: ends[i].arrival, local: ends[i].Addr, remote: t.remotes[j].Addr, exit: t.remotes[j].exit}
			if len(f.exit) == 0 && a.cfg.NoGateway == config.UseMain {
				continue // main decides, as asked
			}
			all = append(all, question{&a.kinds.out, f})
			if _, there := a.seen.LinkAt(f.arrival.Index); there {
				all = append(all, question{&a.kinds.in, f})
			}
		}
	}
	return all
}

// pairs are all pairs of so many things of one kind and of another, or, where these are too
// many, one with each thing of either kind, the first ones.
func pairs(ones, others, most int) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		if ones == 0 || others == 0 {
			return
		}
		n := ones * others
		pair := func(i int) (int, int) { return i / others, i % others }
		if n > most {
			n = min(max(ones, others), most)
			pair = func(i int) (int, int) { return i % ones, i % others }
		}
		for i := range n {
			if !yield(pair(i)) {
				return
			}
		}
	}
}

// end is an address of the pod that stands for a source, and the device by which packets for it
// come in.
type end struct {
	netip.Addr
	arrival device
}

// ends are the pod's ends of a table's flows.
func (a *asker) ends(t table) []end {
	var out []end
	for _, s := range t.Sources {
		if s.Family() != a.family || a.elsewhere[s.Prefix] {
			continue
		}
		for _, local := range a.locals(s) {
			out = append(out, end{local, a.arrival(s)})
		}
	}
	return out
}

// arrival is the device by which packets for a source come in.
func (a *asker) arrival(s state.Source) device {
	if l, ok := a.seen.LinkAt(s.Arrival); ok || s.Arrival != 0 {
		return device{s.Arrival, l.Name}
	}
	return deviceOf(a.link)
}

// bound asks for sockets that are bound to the NIC alone. Any of its tables may decide: the
// kernel tries their rules, all of one priority, in the order of their addition. Where none has
// a route IPv4 believes the remote on-link; there is nothing to ask.
func (a *asker) bound() []question {
	if a.nic.Role == state.Replies || a.attached {
		return nil // such sockets go by the NIC's own attachment, or by main
	}
	var all []question
	asked := map[netip.Addr]bool{}
	for _, t := range a.tables {
		for _, remote := range t.remotes[:min(len(t.remotes), a.most)] {
			if asked[remote.Addr] {
				continue
			}
			asked[remote.Addr] = true
			var exit []fib.Hop
			for _, other := range a.tables {
				if r, ok := other.ways.Longest(remote.Addr); ok && r.Type == unix.RTN_UNICAST {
					exit = append(exit, r.Hops...)
				}
			}
			if len(exit) > 0 {
				all = append(all, question{&a.kinds.bound, flow{nic: deviceOf(a.link), remote: remote.Addr, exit: exit}})
			}
		}
	}
	return all
}

// locals are the addresses of the pod that stand for a source: those that are
// configured, and of IPv6 those that are not tentative. For others the kernel
// has no answer (ip_route_output_key_hash_rcu wants a local source).
func (a *asker) locals(s state.Source) []netip.Addr {
	if fib.IsHost(s.Prefix) {
		if a.present[s.Prefix.Addr()] {
			return []netip.Addr{s.Prefix.Addr()}
		}
		return nil
	}
	var out []netip.Addr
	for _, x := range a.seen.Addresses {
		ip := x.Prefix.Addr()
		if s.Prefix.Contains(ip) && !x.Tentative && x.Index == a.nic.Index && !a.sources[fib.Host(ip)] {
			out = append(out, ip)
		}
	}
	return out
}

// remotes are the addresses that a table's sources are tried with: its
// gateways, one in each of its routes, one off-link for the default, and the
// configured ones. If they are too many those come first that differ most: by the gateways of
// its defaults, one in a route of each prefix length, and those that were asked for.
func (a *asker) remotes(t table) []destination {
	var first, all []destination
	known, lengths := map[netip.Addr]bool{}, map[int]bool{}
	add := func(x netip.Addr, isFirst bool) {
		if !x.IsValid() || known[x] || !a.usable(x) {
			return
		}
		r, ok := t.ways.Longest(x)
		if ok && r.Type != unix.RTN_UNICAST {
			return // refused, as main refuses it
		}
		known[x] = true
		all = append(all, destination{x, r.Hops})
		if isFirst {
			first = append(first, destination{x, r.Hops})
		}
	}
	for _, r := range t.Routes {
		if r.Family != a.family {
			continue
		}
		for _, g := range r.Gateways() {
			if fib.FamilyOf(g) == a.family {
				add(g, r.IsDefault())
			}
		}
		if x := a.within(t, r); x.IsValid() {
			add(x, !lengths[r.Dst.Bits()])
			lengths[r.Dst.Bits()] = true
		}
	}
	for _, x := range a.cfg.CheckDestinations {
		if fib.FamilyOf(x) == a.family {
			add(x, true)
		}
	}
	if len(all) <= a.most {
		return all
	}
	isFirst := map[netip.Addr]bool{}
	for _, r := range first {
		isFirst[r.Addr] = true
	}
	return append(first, slices.DeleteFunc(all, func(r destination) bool { return isFirst[r.Addr] })...)
}

// usable refuses what main decides by configuration, the pod itself, and what is no one host's:
// the answer to a packet for such an address comes from another.
func (a *asker) usable(x netip.Addr) bool {
	_, local := a.present[x]
	return !local && !a.edges[x] && !x.IsMulticast() && x != netip.AddrFrom4([4]byte{255, 255, 255, 255}) &&
		!slices.ContainsFunc(a.cfg.ViaMain, func(p netip.Prefix) bool { return p.Contains(x) })
}

// tries bounds the search for an address that only one route holds.
const tries = 64

// within finds an address that a route of the table decides for.
func (a *asker) within(t table, r fib.Route) netip.Addr {
	if r.Type != unix.RTN_UNICAST || r.Dst.Addr().IsMulticast() || r.Dst.Addr().IsLinkLocalUnicast() && a.family == fib.V6 {
		return netip.Addr{}
	}
	fits := func(x netip.Addr) bool {
		best, ok := t.ways.Longest(x)
		return ok && best.SamePlace(r) && a.usable(x)
	}
	if r.Dst.Bits() == 0 {
		return first(fib.OffLink(a.family), fits)
	}
	x := r.Dst.Addr()
	if !fib.IsHost(r.Dst) {
		x = x.Next() // the first is the network itself, or the routers' anycast
	}
	for range tries {
		if !r.Dst.Contains(x) || (x.Is4() && !fib.IsHost(r.Dst) && !r.Dst.Contains(x.Next())) {
			break // past its end, or the broadcast address
		}
		if fits(x) {
			return x
		}
		x = x.Next()
	}
	return netip.Addr{}
}

func first(list []netip.Addr, fits func(netip.Addr) bool) netip.Addr {
	if i := slices.IndexFunc(list, fits); i >= 0 {
		return list[i]
	}
	return netip.Addr{}
}

// forgeries asks whether a NIC refuses packets for other NICs' addresses from
// remotes that are answered by those: its strict mode at work. IPv4 only, for
// IPv6 has no such filter.
func forgeries(forged *kind, seen *fib.Snapshot, nic fib.Link) []question {
	var all []question
	local, asked := map[netip.Addr]bool{}, map[int]int{}
	for _, a := range seen.Addresses {
		local[a.Prefix.Addr()] = true
	}
	for _, a := range seen.Addresses {
		other, ok := seen.LinkAt(a.Index)
		if !ok || !a.Prefix.Addr().Is4() || other.Index == nic.Index || other.Loopback || !other.Up ||
			asked[a.Index] == mostForged || len(all) == mostPairs {
			continue
		}
		asked[a.Index]++
		f := flow{nic: deviceOf(nic), arrival: deviceOf(nic), local: a.Prefix.Addr(), other: deviceOf(other), remote: neighbour(local, a.Prefix)}
		if f.remote.IsValid() {
			all = append(all, question{forged, f})
		}
	}
	return all
}

// neighbour is an address beside a local one in its subnet, or, for a /32, one
// far away.
func neighbour(local map[netip.Addr]bool, p netip.Prefix) netip.Addr {
	foreign := func(x netip.Addr) bool {
		return x.IsValid() && p.Masked().Contains(x) && x != p.Masked().Addr() && !local[x]
	}
	if x := first([]netip.Addr{p.Addr().Prev(), p.Addr().Next()}, foreign); x.IsValid() {
		return x
	}
	return first(fib.OffLink(fib.V4), func(x netip.Addr) bool { return !p.Contains(x) })
}
