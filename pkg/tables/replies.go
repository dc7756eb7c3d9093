package tables

import (
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
	"github.com/symroute/symroute/pkg/state"
)

// Replies is the NIC that replies of a real server leave by, where it is none of the
// attachment's: it gets a table for the VIPs alone.
func (p Pod) Replies(links []fib.Link, server *lvs.Server) ([]NIC, error) {
	if server == nil || slices.ContainsFunc(links, func(l fib.Link) bool { return l.Index == server.Reply.Index }) {
		return nil, nil
	}
	n := NIC{Link: server.Reply, Role: state.Replies, Sources: server.Sources(links[0])}
	for i, source := range n.Sources {
		n.Sources[i].Exit = p.replyExit(n, source.Family())
	}
	return []NIC{n}, p.missingGateways(n).OrNone()
}

// replyExit is how another NIC's packets leave: as its own attachment has it, or
// by the default route that main has, or would have without us.
func (p Pod) replyExit(n NIC, f fib.Family) []fib.Hop {
	for _, r := range p.routesOf(n, f) {
		if r.IsDefault() {
			return normalHops(r.Hops)
		}
	}
	return exits{pod: p, nic: n}.fromKernel(f)
}

// routesOf are the routes of another NIC in the source table of its own
// attachment: of several the first that has a default.
func (p Pod) routesOf(n NIC, f fib.Family) []fib.Route {
	var best []fib.Route
	for _, table := range ReplyTables(p.Others, n.Link.Index) {
		routes := fib.OfFamily(p.Seen.Table(table), f)
		if slices.ContainsFunc(routes, fib.Route.IsDefault) {
			return routes
		}
		if best == nil {
			best = routes
		}
	}
	return best
}

// ReplyTables are the source tables that other attachments have for a NIC.
func ReplyTables(others []state.State, index int) []uint32 {
	var out []uint32
	for _, role := range []state.Role{state.Attached, state.Displaced} {
		for _, s := range others {
			for _, n := range s.NICs {
				if n.Index == index && n.Role == role {
					for _, t := range n.Tables {
						out = append(out, t.Number)
					}
				}
			}
		}
	}
	return out
}

// mirrored are the ways of the NIC that replies leave by: those of its own
// attachment, or what main has on its links. Of an address that has gone the kernel takes
// routes out of main, and leaves them in other tables (fib_sync_down_addr); and takes no new
// one with it as source.
func (b *tableBuilder) mirrored(f fib.Family) []fib.Route {
	out := slices.Clone(b.pod.routesOf(b.nic, f))
	for i := range out {
		out[i].Table = b.table.Number
		if _, there := b.pod.Seen.Address(out[i].PrefSrc); !there {
			out[i].PrefSrc = netip.Addr{}
		}
	}
	return append(out, slices.DeleteFunc(b.fromMain(f), func(r fib.Route) bool { return len(r.Gateways()) > 0 })...)
}
