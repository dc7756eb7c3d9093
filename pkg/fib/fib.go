// Package fib holds the kernel's routing state (links, addresses, rules and
// routes) as plain values. A value decodes from a netlink message, encodes to
// one without loss, and prints as iproute2 would print it.
//
// The codec is our own because a round trip through a general netlink library
// loses what it does not model (encapsulation, nexthop ids, router preference),
// and a route that is put back must be the route that was taken out.
package fib

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Family is an address family in the kernel's numbering.
type Family uint8

// The two families that have policy routing here.
const (
	V4 Family = unix.AF_INET
	V6 Family = unix.AF_INET6
)

// Families lists both, in the order in which they are worked on.
func Families() [2]Family { return [2]Family{V4, V6} }

// FamilyOf returns the family of an address.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return V4
	}
	return V6
}

func (f Family) String() string {
	switch f {
	case V4:
		return "IPv4"
	case V6:
		return "IPv6"
	}
	return "unknown family"
}

// Bits is the length of an address in bits.
func (f Family) Bits() int {
	if f == V4 {
		return 32
	}
	return 128
}

// Any is the prefix that holds every address of the family.
func (f Family) Any() netip.Prefix {
	if f == V4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// Host returns the prefix that holds just the one address.
func Host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// IsHost reports whether a prefix holds one address only.
func IsHost(p netip.Prefix) bool { return p.IsValid() && p.Bits() == p.Addr().BitLen() }

// prefixText prints a prefix as iproute2 does: a host without its length, the
// whole family as word.
func prefixText(p netip.Prefix, whole string) string {
	switch {
	case !p.IsValid() || p.Bits() == 0:
		return whole
	case IsHost(p):
		return p.Addr().String()
	}
	return p.String()
}
