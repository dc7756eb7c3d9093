package tables

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// This file is what main refuses: an init container closes the metadata service so, or a route
// daemon what it must not leak. It has to hold for every source, so each source table has it.

// isRefusal reports whether a route gives packets no way. A throw goes on with the next rule,
// which for a source refuses.
func isRefusal(r fib.Route) bool {
	switch r.Type {
	case unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT, unix.RTN_THROW:
		return true
	}
	return false
}

// holdsForSources leaves out what is no refusal of a destination: a default, which is what main
// does with the rest, the kernel's own ("unreachable default dev lo"), and what expires.
func holdsForSources(m fib.Route) bool {
	return isRefusal(m) && m.Dst.Bits() > 0 && m.Protocol != unix.RTPROT_KERNEL && m.Protocol != unix.RTPROT_RA && !m.Expires
}

// collectRefusals finds those of main that are better there than the NIC's own route to the same
// destination, if it has one. IPv6 would prefer a worse one, too, while the gateway's neighbour
// entry is FAILED (find_rr_leaf).
func (b *tableBuilder) collectRefusals() {
	for _, m := range b.pod.Main {
		if !holdsForSources(m) {
			continue
		}
		better := false
		for _, r := range b.mainTo[m.Dst] {
			better = better || r.From == m.From && r.TOS == m.TOS && r.Metric < m.Metric
		}
		if !better {
			b.refusals = append(b.refusals, m)
		}
	}
}

// refused are main's refusals in this table. The configuration's own word counts.
func (b *tableBuilder) refused(f fib.Family) []fib.Route {
	var out []fib.Route
	for _, m := range b.refusals {
		if m.Family != f || b.configuredTo[m.Dst] {
			continue
		}
		m.Table, m.Protocol, m.NexthopID, m.PrefSrc, m.Hops = b.table.Number, state.Protocol, 0, netip.Addr{}, nil
		if f == fib.V6 { // it has the loopback device for those (fib6_is_reject)
			m.Hops = []fib.Hop{{Index: loopback, Dev: "lo"}}
		}
		out = append(out, m)
	}
	return out
}

// loopback is the index of lo (LOOPBACK_IFINDEX).
const loopback = 1

// open are the routes by the table's gateways to what main reaches by another NIC and would be
// refused here: main refuses a prefix without what it has longer routes for.
func (b *tableBuilder) open(f fib.Family, ways *fib.Ways) []fib.Route {
	exit := exitOf(b.table, f)
	if len(exit) == 0 || len(b.refusals) == 0 {
		return nil // whatever has no route is refused
	}
	var out []fib.Route
	for _, m := range b.pod.Main {
		if m.Family != f || m.Type != unix.RTN_UNICAST || m.Dst.Bits() == 0 || m.From.IsValid() || m.TOS != 0 || m.Uses(b.nic.Link.Index) {
			continue
		}
		if r, ok := ways.Covering(m.Dst); ok && isRefusal(r) && r.Dst != m.Dst {
			out = append(out, b.route(f, m.Dst, exit...))
		}
	}
	return out
}
