// Package fib holds the kernel's routing state (links, addresses, rules and
// routes) as plain values. A value prints as iproute2 prints it, and is written to
// records as a line of text that loses nothing.
package fib

import (
	"encoding/binary"
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

// Edges are the network and the broadcast address of a subnet. IPv6 has none, and of two IPv4
// addresses both are hosts' (RFC 3021): then ok is false.
func Edges(subnet netip.Prefix) (network, broadcast netip.Addr, ok bool) {
	if !subnet.Addr().Is4() || subnet.Bits() >= 31 {
		return netip.Addr{}, netip.Addr{}, false
	}
	first := subnet.Masked().Addr().As4()
	last := binary.BigEndian.Uint32(first[:]) | ^uint32(0)>>subnet.Bits()
	return netip.AddrFrom4(first), netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, last))), true
}

// IsEdge reports whether an address is the network or the broadcast address of a subnet.
func IsEdge(subnet netip.Prefix, a netip.Addr) bool {
	network, broadcast, ok := Edges(subnet)
	return ok && (a == network || a == broadcast)
}

// PrefixText prints an address as such, and a prefix with its length.
func PrefixText(p netip.Prefix) string {
	if IsHost(p) {
		return p.Addr().String()
	}
	return p.String()
}

// prefixText prints a prefix as iproute2 does: a host without its length, the
// whole family as word.
func prefixText(p netip.Prefix, whole string) string {
	if !p.IsValid() || p.Bits() == 0 {
		return whole
	}
	return PrefixText(p)
}

// OffLink are addresses that are hardly ever on a link: those of documentation and
// benchmarks (RFC 5737, RFC 2544, RFC 3849, RFC 9637), then well-known ones. They are asked
// about, not sent to.
func OffLink(f Family) []netip.Addr {
	texts := []string{"192.0.2.254", "198.51.100.254", "203.0.113.254", "198.18.255.254", "9.9.9.9", "1.1.1.1", "8.8.8.8"}
	if f == V6 {
		texts = []string{"2001:db8:ffff:ffff::fffe", "3fff:fff:ffff::fffe", "2001:2:0:ffff::fffe", "2620:fe::fe", "2606:4700:4700::1111"}
	}
	var out []netip.Addr
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}
