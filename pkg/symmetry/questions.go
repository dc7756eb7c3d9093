// Package symmetry asks the kernel whether a pod's routing is symmetric: that
// it accepts a packet from a remote on an interface, and routes the answer out
// of the same one. The answer is the kernel's own verdict (RTM_GETROUTE runs
// its route lookup and its reverse-path filter), not a guess from settings.
package symmetry

import (
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

// questions lists what is asked of a state.
func questions(cfg *config.Config, seen *fib.Snapshot, s state.State, others []state.State) []question {
	var all []question
	kinds := allKinds()
	for _, n := range s.NICs {
		l, ok := seen.LinkAt(n.Index)
		if !ok || !l.Up || l.Idle != "" {
			continue // nothing comes or leaves by it
		}
		for _, f := range fib.Families() {
			a := asker{kinds: &kinds, cfg: cfg, seen: seen, nic: n, link: l, family: f, others: others}
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
	others []state.State
}

// flows asks both directions of every flow of every source.
func (a asker) flows() []question {
	var all []question
	for _, t := range a.nic.Tables {
		remotes := a.remotes(t)
		all = slices.Grow(all, 2*len(t.Sources)*len(remotes))
		for _, s := range t.Sources {
			if s.Family() != a.family || a.decidedElsewhere(s) {
				continue
			}
			for _, local := range a.locals(s) {
				for _, remote := range remotes {
					f := flow{nic: deviceOf(a.link), arrival: a.arrival(s), local: local, remote: remote, exit: exitOf(t, remote)}
					if len(f.exit) == 0 && a.cfg.NoGateway == config.UseMain {
						continue // main decides, as asked
					}
					all = append(all, question{&a.kinds.out, f})
					if _, there := a.seen.LinkAt(f.arrival.Index); there {
						all = append(all, question{&a.kinds.in, f})
					}
				}
			}
		}
	}
	return all
}

// decidedElsewhere reports whether the NIC's own attachment has a source of a displaced NIC,
// too: its rules decide, and it is there that the way is judged.
func (a asker) decidedElsewhere(s state.Source) bool {
	return a.nic.Role == state.Displaced && slices.ContainsFunc(a.others, func(o state.State) bool {
		return slices.ContainsFunc(o.NICs, func(n state.NIC) bool {
			return n.Index == a.nic.Index && n.Role == state.Attached && n.Has(s.Prefix)
		})
	})
}

// attachedElsewhere reports whether a displaced NIC has an attachment of its own.
func (a asker) attachedElsewhere() bool {
	return a.nic.Role == state.Displaced && slices.ContainsFunc(a.others, func(o state.State) bool {
		return slices.ContainsFunc(o.NICs, func(n state.NIC) bool { return n.Index == a.nic.Index && n.Role == state.Attached })
	})
}

// arrival is the device by which packets for a source come in.
func (a asker) arrival(s state.Source) device {
	if l, ok := a.seen.LinkAt(s.Arrival); ok || s.Arrival != 0 {
		return device{s.Arrival, l.Name}
	}
	return deviceOf(a.link)
}

// bound asks for sockets that are bound to the NIC alone. Any of its tables may decide: the
// kernel tries their rules, all of one priority, in the order of their addition. Where none has
// a route IPv4 believes the remote on-link; there is nothing to ask.
func (a asker) bound() []question {
	if a.nic.Role == state.Replies || a.attachedElsewhere() {
		return nil // such sockets go by the NIC's own attachment, or by main
	}
	var all []question
	asked := map[netip.Addr]bool{}
	for _, t := range a.nic.Tables {
		for _, remote := range a.remotes(t) {
			if asked[remote] {
				continue
			}
			asked[remote] = true
			var exit []fib.Hop
			for _, other := range a.nic.Tables {
				exit = append(exit, exitOf(other, remote)...)
			}
			if len(exit) > 0 {
				all = append(all, question{&a.kinds.bound, flow{nic: deviceOf(a.link), remote: remote, exit: exit}})
			}
		}
	}
	return all
}

// locals are the addresses of the pod that stand for a source: those that are
// configured, and of IPv6 those that are not tentative. For others the kernel
// has no answer (ip_route_output_key_hash_rcu wants a local source).
func (a asker) locals(s state.Source) []netip.Addr {
	var out []netip.Addr
	for _, x := range a.seen.Addresses {
		ip := x.Prefix.Addr()
		if !s.Prefix.Contains(ip) || x.Tentative {
			continue
		}
		if fib.IsHost(s.Prefix) || (x.Index == a.nic.Index && !a.hasSource(ip)) {
			out = append(out, ip)
		}
	}
	return out
}

// hasSource reports whether an address of the NIC is a source itself.
func (a asker) hasSource(ip netip.Addr) bool {
	return a.nic.Has(fib.Host(ip))
}

// remotes are the addresses that a table's sources are tried with: its
// gateways, one in each of its routes, one off-link for the default, and the
// configured ones.
func (a asker) remotes(t state.Table) []netip.Addr {
	var all []netip.Addr
	add := func(remote netip.Addr) {
		if remote.IsValid() && !slices.Contains(all, remote) && a.usable(remote) {
			all = append(all, remote)
		}
	}
	for _, r := range t.Routes {
		if r.Family != a.family {
			continue
		}
		for _, g := range r.Gateways() {
			if fib.FamilyOf(g) == a.family {
				add(g)
			}
		}
		add(a.within(t, r))
	}
	for _, remote := range a.cfg.CheckDestinations {
		if fib.FamilyOf(remote) == a.family {
			add(remote)
		}
	}
	return all
}

// usable refuses what main decides by configuration, and the pod itself.
func (a asker) usable(remote netip.Addr) bool {
	if slices.ContainsFunc(a.cfg.ViaMain, func(p netip.Prefix) bool { return p.Contains(remote) }) {
		return false
	}
	_, local := a.seen.Address(remote)
	return !local
}

// tries bounds the search for an address that only one route holds.
const tries = 64

// within finds an address that a route of the table decides for.
func (a asker) within(t state.Table, r fib.Route) netip.Addr {
	if r.Type != unix.RTN_UNICAST || r.Dst.Addr().IsMulticast() || r.Dst.Addr().IsLinkLocalUnicast() && a.family == fib.V6 {
		return netip.Addr{}
	}
	fits := func(x netip.Addr) bool {
		best, ok := longest(t.Routes, x)
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

// exitOf are the next hops that a table has for a remote.
func exitOf(t state.Table, remote netip.Addr) []fib.Hop {
	r, _ := longest(t.Routes, remote)
	return r.Hops
}

// longest finds the route of a table that decides for an address: the longest
// prefix, and of several the best metric.
func longest(routes []fib.Route, x netip.Addr) (best fib.Route, ok bool) {
	for _, r := range routes {
		if r.From.IsValid() || r.TOS != 0 || !r.Dst.Contains(x) {
			continue
		}
		if !ok || r.Dst.Bits() > best.Dst.Bits() || (r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric) {
			best, ok = r, true
		}
	}
	return best, ok
}

// forgeries asks whether a NIC refuses packets for other NICs' addresses from
// remotes that are answered by those: its strict mode at work. IPv4 only, for
// IPv6 has no such filter.
func forgeries(forged *kind, seen *fib.Snapshot, nic fib.Link) []question {
	var all []question
	for _, a := range seen.Addresses {
		other, ok := seen.LinkAt(a.Index)
		if !ok || !a.Prefix.Addr().Is4() || other.Index == nic.Index || other.Loopback || !other.Up {
			continue
		}
		f := flow{nic: deviceOf(nic), arrival: deviceOf(nic), local: a.Prefix.Addr(), other: deviceOf(other), remote: neighbour(seen, a.Prefix)}
		if f.remote.IsValid() {
			all = append(all, question{forged, f})
		}
	}
	return all
}

// neighbour is an address beside a local one in its subnet, or, for a /32, one
// far away.
func neighbour(seen *fib.Snapshot, p netip.Prefix) netip.Addr {
	foreign := func(x netip.Addr) bool {
		_, local := seen.Address(x)
		return x.IsValid() && p.Masked().Contains(x) && x != p.Masked().Addr() && !local
	}
	if x := first([]netip.Addr{p.Addr().Prev(), p.Addr().Next()}, foreign); x.IsValid() {
		return x
	}
	return first(fib.OffLink(fib.V4), func(x netip.Addr) bool { return !p.Contains(x) })
}
