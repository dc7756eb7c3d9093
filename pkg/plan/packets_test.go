package plan_test

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// packet is one that the pod sends.
type packet struct {
	family fib.Family
	from   netip.Addr // not valid: its socket has no source yet
	to     netip.Addr // not valid: somewhere far
	oif    string     // the device that its socket is bound to
}

// path is how a packet leaves, or the zero value for one that does not.
type path struct {
	dev     string
	gateway netip.Addr
}

func (p path) isSent() bool { return p.dev != "" }

func (p path) String() string {
	switch {
	case !p.isSent():
		return "nowhere"
	case p.gateway.IsValid():
		return "via " + p.gateway.String() + " dev " + p.dev
	}
	return "dev " + p.dev
}

// send asks the rules of the model for the path of a packet, as fib_rules_lookup does: a goto
// leads to the first rule with exactly the priority of its target, and counts for nothing
// where there is none. Packets to the pod itself are not asked for.
func (m *model) send(p packet) path {
	if !p.to.IsValid() {
		p.to = fib.OffLink(p.family)[0]
	}
	for i := 0; i < len(m.rules); i++ {
		r := m.rules[i]
		if r.Family != p.family || !p.meets(r) {
			continue
		}
		switch r.Action {
		case fib.Goto:
			target := slices.IndexFunc(m.rules, func(o fib.Rule) bool { return o.Family == p.family && o.Priority == r.Target })
			if target >= 0 {
				i = target - 1
			}
		case fib.Nop:
		case fib.Unreachable:
			return path{}
		case fib.Lookup:
			if found, ok := m.lookup(r.Table, p); ok {
				return found
			}
		}
	}
	return path{}
}

func (p packet) meets(r fib.Rule) bool {
	return r.Plain() && r.IIF == "" && (r.OIF == "" || r.OIF == p.oif) &&
		(!r.From.IsValid() || r.From.Bits() == 0 || p.from.IsValid() && r.From.Contains(p.from)) &&
		(!r.To.IsValid() || r.To.Contains(p.to))
}

// lookup asks one table. The local table holds nothing but the pod's own addresses.
func (m *model) lookup(table uint32, p packet) (path, bool) {
	var best *fib.Route
	for i, r := range m.routes {
		bound := p.oif == "" || r.Type != unix.RTN_UNICAST || r.Uses(m.link(p.oif).Index)
		if table == state.LocalTable || r.Table != table || r.Family != p.family || r.TOS != 0 || r.From.IsValid() || !r.Dst.Contains(p.to) || !bound {
			continue
		}
		if best == nil || r.Dst.Bits() > best.Dst.Bits() || r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric {
			best = &m.routes[i]
		}
	}
	if best == nil {
		return path{}, false
	}
	if len(best.Hops) == 0 {
		return path{}, true
	}
	l, _ := (&fib.Snapshot{Links: m.links}).LinkAt(best.Hops[0].Index)
	return path{dev: l.Name, gateway: best.Hops[0].Gateway}, true
}

// TestSourcesSwitchAtOnce sends packets from every address of the pod, and of sockets that
// are bound to its NICs, after every step of ADD and of DEL: each goes the way that it went
// before, or the way that it goes in the end.
func TestSourcesSwitchAtOnce(t *testing.T) {
	eachComing(t, func(t *testing.T, s scenario) {
		p := s.start(t)
		p.watchPackets("ADD", p.begin(s.attachment))
		p.settle(s.attachment)
		p.watchPackets("DEL", p.leave(s.attachment))
	})
}

func (p *pod) watchPackets(verb string, changes []change.Change) {
	p.t.Helper()
	packets := p.kernel.packets()
	before := p.kernel.sendAll(packets)
	var between [][]path
	for _, c := range changes {
		p.apply([]change.Change{c})
		between = append(between, p.kernel.sendAll(packets))
	}
	after := p.kernel.sendAll(packets)
	for step, paths := range between {
		for i, got := range paths {
			if got != before[i] && got != after[i] {
				p.t.Errorf("%s, step %d, %s: %+v goes %s, before %s, in the end %s", verb, step+1, changes[step], packets[i], got, before[i], after[i])
			}
		}
	}
}

// packets are from every address to somewhere far and to somewhere in every route, and of
// sockets that are bound to a NIC and have no source.
func (m *model) packets() []packet {
	var destinations []netip.Addr
	for _, r := range m.routes {
		if a := r.Dst.Addr().Next(); r.Table == state.MainTable && r.Dst.Bits() > 0 && !slices.Contains(destinations, a) {
			destinations = append(destinations, a)
		}
	}
	var out []packet
	for _, f := range fib.Families() {
		for _, to := range append(slices.DeleteFunc(slices.Clone(destinations), func(a netip.Addr) bool { return fib.FamilyOf(a) != f }), fib.OffLink(f)[0]) {
			for _, a := range m.addresses {
				if fib.FamilyOf(a.Prefix.Addr()) == f && !a.Prefix.Addr().IsLinkLocalUnicast() {
					out = append(out, packet{family: f, from: a.Prefix.Addr(), to: to})
				}
			}
			for _, l := range m.links {
				out = append(out, packet{family: f, to: to, oif: l.Name})
			}
		}
	}
	return out
}

func (m *model) sendAll(packets []packet) []path {
	out := make([]path, len(packets))
	for i, p := range packets {
		out[i] = m.send(p)
	}
	return out
}
