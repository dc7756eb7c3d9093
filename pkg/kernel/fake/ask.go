package fake

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// packet is what a route is looked up for.
type packet struct {
	family   fib.Family
	to, from netip.Addr
	iif, oif int   // iif is lo for packets of our own
	scope    uint8 // no route of a wider one will do
}

// Ask answers how packets would be routed. Of several next hops it names the
// first.
func (n *Namespace) Ask(questions ...fib.Query) []fib.Answer {
	answers := make([]fib.Answer, len(questions))
	for i, q := range questions {
		answers[i].Route, answers[i].Err = n.now.ask(q)
	}
	return answers
}

func (s *state) ask(q fib.Query) (fib.Route, error) {
	for _, index := range []int{q.IIF, q.OIF} {
		if _, ok := s.link(index); !ok && index != 0 {
			return fib.Route{}, unix.ENODEV
		}
	}
	p := packet{family: fib.FamilyOf(q.To), to: q.To, from: q.From, iif: loopback, oif: q.OIF}
	if q.IIF != 0 {
		p.iif = q.IIF
		return s.arrive(p)
	}
	return s.leave(p)
}

// leave routes a packet of our own (ip_route_output_key_hash_rcu,
// ip6_route_output_flags).
func (s *state) leave(p packet) (fib.Route, error) {
	if p.family == fib.V6 {
		found, err := s.lookup(p)
		return answer(p, found, err)
	}
	if p.from.IsValid() && !s.isLocal(p.from) {
		return fib.Route{}, unix.EINVAL
	}
	if l, _ := s.link(p.oif); p.oif != 0 && !l.Up {
		return fib.Route{}, unix.ENETUNREACH
	}
	found, err := s.lookup(p)
	if err != nil && p.oif != 0 { // assumed to be on the link
		found, err = fib.Route{Type: unix.RTN_UNICAST, Hops: []fib.Hop{{Index: p.oif}}}, nil
	}
	return answer(p, found, err)
}

// arrive routes a packet that comes in (ip_route_input_slow,
// ip6_route_input_lookup). Nothing is forwarded.
func (s *state) arrive(p packet) (fib.Route, error) {
	found, err := s.lookup(p)
	if p.family == fib.V6 {
		return answer(p, found, err)
	}
	if err != nil || found.Type != unix.RTN_LOCAL {
		return fib.Route{}, unix.EHOSTUNREACH
	}
	return answer(p, found, s.validateSource(p))
}

// answer is a route as RTM_GETROUTE tells it.
func answer(p packet, found fib.Route, err error) (fib.Route, error) {
	if err != nil {
		return fib.Route{}, err
	}
	r := fib.Route{Family: p.family, Dst: fib.Host(p.to), Table: found.Table, Type: found.Type, Metric: found.Metric}
	for _, h := range found.Hops {
		if p.oif == 0 || h.Index == p.oif || found.Type == unix.RTN_LOCAL {
			h.Weight = 0
			r.Hops = []fib.Hop{h}
			break
		}
	}
	return r, nil
}

// validateSource is the kernel's reverse-path filter (__fib_validate_source).
func (s *state) validateSource(p packet) error {
	l, _ := s.link(p.iif)
	mode := max(s.all.RPFilter, l.RPFilter)
	if mode == 0 && !s.customRules {
		if s.isLocal(p.from) {
			return unix.EINVAL
		}
		return nil
	}
	back, err := s.lookup(packet{family: fib.V4, to: p.from, from: p.to, iif: loopback})
	switch {
	case err == nil && back.Type != unix.RTN_UNICAST:
		return unix.EINVAL
	case err == nil && back.Uses(p.iif):
		return nil
	case mode != 0 && (err != nil || !s.hasIPv4Address(p.iif) || mode == 1):
		return unix.EXDEV
	}
	return nil
}

// lookup goes through the rules.
func (s *state) lookup(p packet) (fib.Route, error) {
	for _, r := range s.rules {
		if !s.matches(r, p) {
			continue
		}
		switch r.Action {
		case fib.Lookup:
			found, err := s.lookupTable(r.Table, p)
			if !errors.Is(err, unix.EAGAIN) {
				return found, err
			}
		case fib.Unreachable:
			return fib.Route{}, unix.ENETUNREACH
		case unix.FR_ACT_PROHIBIT:
			return fib.Route{}, unix.EACCES
		case unix.FR_ACT_BLACKHOLE:
			return fib.Route{}, unix.EINVAL
		}
	}
	return fib.Route{}, unix.ENETUNREACH
}

// lookupTable finds the route of the longest prefix, of several the first; EAGAIN
// means that the table has none (fib_table_lookup, fib6_table_lookup).
func (s *state) lookupTable(table uint32, p packet) (fib.Route, error) {
	if table == unix.RT_TABLE_LOCAL {
		return s.lookupLocal(p)
	}
	best, found := fib.Route{}, false
	for _, r := range s.routes {
		if r.Table == table && r.Family == p.family && s.fits(r, p) && (!found || r.Dst.Bits() > best.Dst.Bits()) {
			best, found = r, true
		}
	}
	if !found {
		return fib.Route{}, unix.EAGAIN
	}
	if errno := refusal(best.Type); errno != 0 {
		return fib.Route{}, errno
	}
	return best, nil
}

// fits reports whether a route is one for a packet.
func (s *state) fits(r fib.Route, p packet) bool {
	fromElsewhere := r.From.IsValid() && (!p.from.IsValid() || !r.From.Contains(p.from))
	if !r.Dst.Contains(p.to) || fromElsewhere || r.TOS != 0 || r.Scope < p.scope {
		return false
	}
	anyDevice := p.oif == 0 || p.family == fib.V4 && refusal(r.Type) != 0
	return anyDevice || r.Uses(p.oif)
}

// lookupLocal answers for the pod's own addresses.
func (s *state) lookupLocal(p packet) (fib.Route, error) {
	for _, a := range s.addresses {
		if a.Prefix.Addr() == p.to && !a.Tentative && (p.oif == 0 || a.Index == p.oif) {
			return fib.Route{Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Hops: []fib.Hop{{Index: loopback}}}, nil
		}
	}
	return fib.Route{}, unix.EAGAIN
}

// refusal is the errno of a route that leads nowhere (fib_props, fib6_prop); 0: it
// leads somewhere.
func refusal(kind uint8) unix.Errno {
	switch kind {
	case unix.RTN_UNREACHABLE:
		return unix.EHOSTUNREACH
	case unix.RTN_BLACKHOLE:
		return unix.EINVAL
	case unix.RTN_PROHIBIT:
		return unix.EACCES
	case unix.RTN_THROW:
		return unix.EAGAIN
	}
	return 0
}
