package fake

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
)

// addAddress configures an address that brings no route but that of the local
// table. The kernel lists the addresses of IPv4 before those of IPv6, and each
// family's by interface.
func (s *state) addAddress(a fib.Address) error {
	if _, ok := s.link(a.Index); !ok {
		return unix.ENODEV
	}
	behind := 0
	for i, o := range s.addresses {
		if o.Index == a.Index && o.Prefix == a.Prefix {
			return unix.EEXIST
		}
		if listedBefore(o, a) {
			behind = i + 1
		}
	}
	s.addresses = slices.Insert(s.addresses, behind, a)
	return nil
}

// listedBefore reports whether an address stands before a new one in a dump: of an
// interface the narrower scopes are first in IPv4, and last in IPv6, which lists
// the newest of a scope first (__inet_insert_ifa, ipv6_link_dev_addr).
func listedBefore(o, a fib.Address) bool {
	f, g := fib.FamilyOf(o.Prefix.Addr()), fib.FamilyOf(a.Prefix.Addr())
	switch {
	case f != g:
		return f < g
	case o.Index != a.Index:
		return o.Index < a.Index
	case f == fib.V6:
		return o.Scope < a.Scope
	}
	return o.Scope >= a.Scope
}

func (s *state) delAddress(a fib.Address) error {
	if _, ok := s.link(a.Index); !ok {
		return unix.ENODEV
	}
	i := slices.IndexFunc(s.addresses, func(o fib.Address) bool { return o.Index == a.Index && o.Prefix == a.Prefix })
	if i < 0 {
		return unix.EADDRNOTAVAIL
	}
	s.addresses = slices.Delete(s.addresses, i, i+1)
	return nil
}

// makeLink makes a device with the default settings.
func (s *state) makeLink(op plan.MakeLink) error {
	if slices.ContainsFunc(s.links, func(l fib.Link) bool { return l.Name == op.Name || l.Index == op.Index }) {
		return unix.EEXIST
	}
	l := fib.Link{Index: op.Index, Name: op.Name, Kind: op.Kind, HasIPv4: true, IPv6: true, Settings: s.def}
	l.AnyToAny = op.Kind == fib.KindIPIP || op.Kind == fib.KindIP6Tunnel
	s.links = append(s.links, l)
	return nil
}

// delLink removes a device with all that hangs on it.
func (s *state) delLink(index int) error {
	if _, ok := s.link(index); !ok {
		return unix.ENODEV
	}
	s.links = slices.DeleteFunc(s.links, func(l fib.Link) bool { return l.Index == index })
	s.addresses = slices.DeleteFunc(s.addresses, func(a fib.Address) bool { return a.Index == index })
	s.routes = slices.DeleteFunc(s.routes, func(r fib.Route) bool { return r.Uses(index) })
	return nil
}

// setLink sets a device up or down; down, it loses its routes.
func (s *state) setLink(op plan.SetLink) error {
	i := slices.IndexFunc(s.links, func(l fib.Link) bool { return l.Index == op.Index })
	if i < 0 {
		return unix.ENODEV
	}
	s.links[i].Up = op.Up
	if !op.Up {
		s.routes = slices.DeleteFunc(s.routes, func(r fib.Route) bool { return r.Uses(op.Index) })
	}
	return nil
}
