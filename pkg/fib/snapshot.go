package fib

import (
	"net/netip"
	"slices"
	"strings"
)

// Snapshot is what was seen of a network namespace at one moment.
type Snapshot struct {
	Links     []Link
	Addresses []Address
	// Rules lists the rules of both families, each in the order in which the
	// kernel tries them.
	Rules []Rule
	// Routes lists the routes of the tables that were read, in the kernel's order:
	// of two IPv4 routes at one place the first is used.
	Routes []Route
	// All and Default are conf/all and conf/default. Those for ARP are not always read.
	All, Default Settings
}

// Link finds an interface by name.
func (s *Snapshot) Link(name string) (Link, bool) {
	return find(s.Links, func(l Link) bool { return l.Name == name })
}

// LinkAt finds an interface by index.
func (s *Snapshot) LinkAt(index int) (Link, bool) {
	for i := range s.Links { // for each of thousands of routes
		if s.Links[i].Index == index {
			return s.Links[i], true
		}
	}
	return Link{}, false
}

// LinkNames lists the interfaces for a message.
func (s *Snapshot) LinkNames() string {
	names := make([]string, len(s.Links))
	for i, l := range s.Links {
		names[i] = l.Name
	}
	return strings.Join(names, ", ")
}

// Address finds the address record of an address, on whichever interface.
func (s *Snapshot) Address(a netip.Addr) (Address, bool) {
	return find(s.Addresses, func(x Address) bool { return x.Prefix.Addr() == a })
}

// Table lists the routes of one table, both families.
func (s *Snapshot) Table(table uint32) []Route {
	return filter(s.Routes, func(r Route) bool { return r.Table == table })
}

// Defaults lists the default routes of one table, both families.
func (s *Snapshot) Defaults(table uint32) []Route {
	return filter(s.Routes, func(r Route) bool { return r.Table == table && r.IsDefault() })
}

// EffectiveRPFilter is the mode the kernel applies to a device:
// IN_DEV_RPFILTER, the larger of conf/all and the device's own.
func (s *Snapshot) EffectiveRPFilter(l Link) int { return max(s.All.RPFilter, l.RPFilter) }

// NameHops writes the interfaces' names into the hops of the routes.
func (s *Snapshot) NameHops(routes []Route) {
	for _, r := range routes {
		for i := range r.Hops {
			if l, ok := s.LinkAt(r.Hops[i].Index); ok {
				r.Hops[i].Dev = l.Name
			}
		}
	}
}

func find[T any](list []T, match func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, match); i >= 0 {
		return list[i], true
	}
	var none T
	return none, false
}

func filter[T any](list []T, keep func(T) bool) []T {
	var out []T
	for _, x := range list {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}
