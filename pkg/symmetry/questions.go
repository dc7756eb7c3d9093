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
	"github.com/symroute/symroute/pkg/plan"
)

// kind is what a question is about.
type kind int

const (
	out   kind = iota // local to remote: by this NIC?
	in                // remote to local, arriving on this NIC: delivered?
	bound             // a socket bound to this NIC without a source: by its gateway?
	spoof             // a packet for another NIC, arriving here: refused?
)

// question is one question and the answer that is wanted.
type question struct {
	kind kind
	nic  device
	// arrival is the device by which packets come in, for in and spoof.
	arrival device
	local   netip.Addr // not valid for bound
	remote  netip.Addr
	// exit lists the acceptable next hops; empty: any by the NIC.
	exit []fib.Hop
	// other is the NIC that answers the remote, for spoof.
	other device
}

// device is what a question says of a link. There are hundreds of questions.
type device struct {
	Index int
	Name  string
}

func deviceOf(l fib.Link) device { return device{l.Index, l.Name} }

// query puts the question into the kernel's words.
func (q question) query() fib.Query {
	switch q.kind {
	case out:
		return q.answered()
	case bound:
		return fib.Query{To: q.remote, OIF: q.nic.Index}
	default:
		return fib.Query{To: q.local, From: q.remote, IIF: q.arrival.Index}
	}
}

// answered asks how packets from local to remote go: for spoof, the answers to the forged one.
func (q question) answered() fib.Query { return fib.Query{To: q.remote, From: q.local} }

// questions lists what is asked of a plan.
func questions(cfg *config.Config, seen *fib.Snapshot, d *plan.Desired) []question {
	var all []question
	for _, n := range d.NICs {
		if !n.Link.Up {
			continue // nothing comes or leaves by it; ADD refuses one of its own, a displaced one's table is empty
		}
		for _, f := range fib.Families() {
			a := asker{cfg: cfg, seen: seen, nic: n, family: f}
			all = append(all, a.flows()...)
			all = append(all, a.bound()...)
		}
		if d.Strict(n.Link.Index) {
			all = append(all, spoofs(seen, n.Link)...)
		}
	}
	return all
}

// asker makes the questions of one NIC and family.
type asker struct {
	cfg    *config.Config
	seen   *fib.Snapshot
	nic    plan.NIC
	family fib.Family
}

// flows asks both directions of every flow of every source.
func (a asker) flows() []question {
	var all []question
	for _, t := range a.nic.Tables {
		remotes := a.remotes(t)
		all = slices.Grow(all, 2*len(t.Sources)*len(remotes))
		for _, s := range t.Sources {
			if s.Family() != a.family || s.Held {
				continue
			}
			for _, local := range a.locals(s) {
				for _, remote := range remotes {
					q := question{nic: deviceOf(a.nic.Link), arrival: a.arrival(s), local: local, remote: remote, exit: exitOf(t, remote)}
					if len(q.exit) == 0 && a.cfg.NoGateway == config.UseMain {
						continue // main decides, as asked
					}
					q.kind = out
					all = append(all, q)
					q.kind = in
					if _, there := a.seen.LinkAt(q.arrival.Index); there {
						all = append(all, q)
					}
				}
			}
		}
	}
	return all
}

// arrival is the device by which packets for a source come in.
func (a asker) arrival(s plan.Source) device {
	if s.Arrival.Index != 0 {
		return deviceOf(s.Arrival)
	}
	return deviceOf(a.nic.Link)
}

// bound asks for sockets that are bound to the NIC alone. Where none of its
// tables has a route IPv4 believes the remote on-link; there is nothing to ask.
func (a asker) bound() []question {
	if a.nic.RepliesOnly() || a.nic.Attached() {
		return nil // such sockets go by the NIC's own attachment, or by main
	}
	var all []question
	var asked []netip.Addr
	for _, t := range a.nic.Tables {
		for _, remote := range a.remotes(t) {
			if slices.Contains(asked, remote) {
				continue
			}
			asked = append(asked, remote)
			for _, first := range a.nic.Tables {
				if exit := exitOf(first, remote); len(exit) > 0 {
					all = append(all, question{kind: bound, nic: deviceOf(a.nic.Link), remote: remote, exit: exit})
					break
				}
			}
		}
	}
	return all
}

// locals are the addresses of the pod that stand for a source: those that are
// configured, and of IPv6 those that are not tentative. For others the kernel
// has no answer (ip_route_output_key_hash_rcu wants a local source).
func (a asker) locals(s plan.Source) []netip.Addr {
	var out []netip.Addr
	for _, x := range a.seen.Addresses {
		ip := x.Prefix.Addr()
		if !s.Prefix.Contains(ip) || x.Tentative {
			continue
		}
		if fib.IsHost(s.Prefix) || (x.Index == a.nic.Link.Index && !a.hasSource(ip)) {
			out = append(out, ip)
		}
	}
	return out
}

// hasSource reports whether an address of the NIC is a source itself.
func (a asker) hasSource(ip netip.Addr) bool {
	return slices.ContainsFunc(a.nic.Sources, func(s plan.Source) bool { return s.Prefix == fib.Host(ip) })
}

// remotes are the addresses that a table's sources are tried with: its
// gateways, one in each of its routes, one off-link for the default, and the
// configured ones.
func (a asker) remotes(t plan.Table) []netip.Addr {
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
func (a asker) within(t plan.Table, r fib.Route) netip.Addr {
	if r.Type != unix.RTN_UNICAST || r.Dst.Addr().IsMulticast() || r.Dst.Addr().IsLinkLocalUnicast() && a.family == fib.V6 {
		return netip.Addr{}
	}
	fits := func(x netip.Addr) bool {
		best, ok := longest(t, x)
		return ok && best.SamePlace(r) && a.usable(x)
	}
	if r.Dst.Bits() == 0 {
		return first(offLink(a.family), fits)
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

// offLink are addresses that are hardly ever on a link: those of documentation
// and benchmarks (RFC 5737, RFC 2544, RFC 3849, RFC 9637), then well-known
// ones. They are asked about, not sent to.
func offLink(f fib.Family) []netip.Addr {
	texts := []string{"192.0.2.254", "198.51.100.254", "203.0.113.254", "198.18.255.254", "9.9.9.9", "1.1.1.1", "8.8.8.8"}
	if f == fib.V6 {
		texts = []string{"2001:db8:ffff:ffff::fffe", "3fff:fff:ffff::fffe", "2001:2:0:ffff::fffe", "2620:fe::fe", "2606:4700:4700::1111"}
	}
	var out []netip.Addr
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

func first(list []netip.Addr, fits func(netip.Addr) bool) netip.Addr {
	if i := slices.IndexFunc(list, fits); i >= 0 {
		return list[i]
	}
	return netip.Addr{}
}

// exitOf are the next hops that a table has for a remote.
func exitOf(t plan.Table, remote netip.Addr) []fib.Hop {
	r, _ := longest(t, remote)
	return r.Hops
}

// longest finds the route of a table that decides for an address: the longest
// prefix, and of several the best metric.
func longest(t plan.Table, x netip.Addr) (best fib.Route, ok bool) {
	for _, r := range t.Routes {
		if r.From.IsValid() || r.TOS != 0 || !r.Dst.Contains(x) {
			continue
		}
		if !ok || r.Dst.Bits() > best.Dst.Bits() || (r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric) {
			best, ok = r, true
		}
	}
	return best, ok
}

// spoofs asks whether a NIC refuses packets for other NICs' addresses from
// remotes that are answered by those: its strict mode at work. IPv4 only, for
// IPv6 has no such filter.
func spoofs(seen *fib.Snapshot, nic fib.Link) []question {
	var all []question
	for _, a := range seen.Addresses {
		other, ok := seen.LinkAt(a.Index)
		if !ok || !a.Prefix.Addr().Is4() || other.Index == nic.Index || other.Loopback || !other.Up {
			continue
		}
		q := question{kind: spoof, nic: deviceOf(nic), arrival: deviceOf(nic), local: a.Prefix.Addr(), other: deviceOf(other), remote: neighbour(seen, a.Prefix)}
		if q.remote.IsValid() {
			all = append(all, q)
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
	return first(offLink(fib.V4), func(x netip.Addr) bool { return !p.Contains(x) })
}
