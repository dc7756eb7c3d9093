package config

import (
	"net/netip"
	"strings"
)

// address reads an IP address as it is written, of any kind, without a zone.
func (v value) address() (netip.Addr, bool) {
	s, ok := v.text("192.0.2.1")
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		if p, err := netip.ParsePrefix(s); err == nil {
			v.fault("%s is a prefix; write an address alone, such as %s", p, p.Addr())
		} else {
			v.fault("%s is not an IP address; write one such as 192.0.2.1 or 2001:db8::1", quote(s))
		}
		return netip.Addr{}, false
	}
	if a.Zone() != "" {
		v.fault("%s has a zone; write %s, which is always meant on this NIC", quote(s), a.WithZone(""))
		return netip.Addr{}, false
	}
	return a, true
}

// unicast reads the address of one host: of this pod or of another.
func (v value) unicast() (netip.Addr, bool) {
	a, ok := v.address()
	if !ok {
		return netip.Addr{}, false
	}
	if kind := specialAddr(a); kind != "" {
		v.refuseSpecial(a, kind)
		return netip.Addr{}, false
	}
	return a, true
}

// refuseSpecial records that a must be a unicast address.
func (v value) refuseSpecial(a netip.Addr, kind string) {
	if a.Is4In6() {
		v.fault("%s is an IPv4 address written as IPv6; write %s", a, a.Unmap())
		return
	}
	v.fault("%s is %s; write the address of one host", a, kind)
}

// prefix reads an address with a prefix length, as it is written.
func (v value) prefix() (netip.Prefix, bool) {
	s, ok := v.text("192.0.2.0/24")
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err == nil && p.Addr().Is4In6() && p.Bits() >= 96:
		v.fault("%s is an IPv4 prefix written as IPv6; write %s", p, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96))
	case err == nil && p.Addr().Is4In6():
		v.fault("%s mixes IPv4 and IPv6; write a prefix of one family", p)
	case err == nil:
		return p, true
	case strings.Contains(s, "%"):
		v.fault("%s has a zone; remove it", quote(s))
	default:
		v.notPrefix(s)
	}
	return netip.Prefix{}, false
}

// notPrefix records that s is no prefix.
func (v value) notPrefix(s string) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		v.fault("%s has no prefix length; append that of its subnet, or write %s for this address alone", quote(s), host(a))
		return
	}
	v.fault("%s is not a prefix; write one such as 192.0.2.0/24 or 2001:db8::/64", quote(s))
}

// networkOrAddress reads a prefix without host bits, or an address, which
// counts as the prefix of it alone.
func (v value) networkOrAddress() (netip.Prefix, bool) {
	s, ok := v.text("192.0.2.0/24")
	if !ok {
		return netip.Prefix{}, false
	}
	if !strings.Contains(s, "/") {
		a, ok := v.address()
		if ok && a.Is4In6() {
			v.refuseSpecial(a, "")
			return netip.Prefix{}, false
		}
		return host(a), ok
	}
	p, ok := v.prefix()
	if !ok {
		return netip.Prefix{}, false
	}
	if p.Bits() > 0 && p != p.Masked() {
		v.fault("%s has host bits; write %s for the prefix or %s for the address", p, p.Masked(), p.Addr())
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// leadsTo records that a next hop cannot lead where it shall: IPv4 packets can go by an IPv6 next
// hop (RFC 8950), and not the other way round. What is the key of dst.
func (v value) leadsTo(nextHop netip.Addr, what string, dst netip.Prefix) {
	if nextHop.IsValid() && dst.IsValid() && nextHop.Is4() && !dst.Addr().Is4() {
		v.fault("%s is IPv4, but %s %s is IPv6; write an IPv6 next hop", nextHop, what, dst)
	}
}

// host is the prefix of one address alone.
func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// specialAddr names the kind of an address that is not one host's; it returns
// "" for all others.
func specialAddr(a netip.Addr) string {
	kind, _ := special(host(a))
	return kind
}

// special names the first kind of addresses within p that are not one host's,
// and their range; it returns "" where p has none.
func special(p netip.Prefix) (kind string, within netip.Prefix) {
	for _, r := range [...]struct {
		addr netip.Addr
		bits int
		kind string
	}{
		{netip.IPv4Unspecified(), 32, "unspecified"},
		{netip.AddrFrom4([4]byte{127}), 8, "loopback"},
		{netip.AddrFrom4([4]byte{224}), 4, "multicast"},
		{netip.AddrFrom4([4]byte{255, 255, 255, 255}), 32, "broadcast"},
		{netip.IPv6Unspecified(), 128, "unspecified"},
		{netip.IPv6Loopback(), 128, "loopback"},
		{netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}), 96, "IPv4-mapped"},
		{netip.AddrFrom16([16]byte{0xff}), 8, "multicast"},
	} {
		if within := netip.PrefixFrom(r.addr, r.bits); within.Overlaps(p) {
			return r.kind, within
		}
	}
	return "", netip.Prefix{}
}

// linkLocal6 is where link-local IPv6 addresses lie (RFC 4291, 2.4).
func linkLocal6() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfe, 0x80}), 10)
}
