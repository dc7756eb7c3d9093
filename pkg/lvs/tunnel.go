package lvs

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
)

// kind is a way to carry packets inside others.
type kind struct {
	name     string
	carries  []fib.Family
	overhead uint32 // bytes that it adds to a packet: headers of the outside
}

// kinds lists those that a director can send through (ipvsadm(8), --ipip and
// --tun-type).
func kinds() []kind {
	both := []fib.Family{fib.V4, fib.V6}
	return []kind{
		{fib.KindIPIP, []fib.Family{fib.V4}, ipv4Header},
		{fib.KindIP6Tunnel, both, ipv6Header},
		{"sit", []fib.Family{fib.V6}, ipv4Header},
		{"gre", both, ipv4Header + greHeader},
		{"ip6gre", both, ipv6Header + greHeader},
	}
}

// Lengths of headers without options, in bytes.
const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	greHeader  = 4
)

func kindOf(l fib.Link) (kind, bool) {
	all := kinds()
	i := slices.IndexFunc(all, func(t kind) bool { return t.name == l.Kind })
	if i < 0 {
		return kind{}, false
	}
	t := all[i]
	t.carries = slices.DeleteFunc(slices.Clone(t.carries), func(f fib.Family) bool { return l.Inside != 0 && l.Inside != inside(f) })
	return t, true
}

// inside is the protocol of a family's packets in others.
func inside(f fib.Family) uint8 {
	if f == fib.V4 {
		return unix.IPPROTO_IPIP
	}
	return unix.IPPROTO_IPV6
}

// fallback is the tunnel of a family that the kernel makes in every namespace.
func fallback(f fib.Family) fib.Link {
	if f == fib.V4 {
		return fib.Link{Name: "tunl0", Kind: fib.KindIPIP}
	}
	return fib.Link{Name: "ip6tnl0", Kind: fib.KindIP6Tunnel}
}

// tunnelFor names the tunnel for VIPs of a family, and its kind where it has to be
// made.
func tunnelFor(lvs *config.LVS, f fib.Family) fib.Link {
	l := fallback(f)
	if lvs.Device != "" {
		l.Name = lvs.Device
	}
	return l
}

// uses reports whether any VIP is of a family.
func uses(lvs *config.LVS, f fib.Family) bool {
	return slices.ContainsFunc(lvs.VIPs, func(v netip.Addr) bool { return fib.FamilyOf(v) == f })
}

// maxMSS is the most that a client may put into a segment, so that the director
// can wrap it: packets come by the one NIC, wrapped, and answers leave by the
// other. 0 where nothing is known of the NICs.
func maxMSS(f fib.Family, mtuIn, mtuOut, overhead uint32) uint32 {
	headers := SegmentHeaders(f)
	if mtuIn <= overhead+headers || mtuOut <= headers {
		return 0
	}
	return min(mtuIn-overhead, mtuOut) - headers
}

// SegmentHeaders are the headers of a TCP segment, in bytes.
func SegmentHeaders(f fib.Family) uint32 {
	if f == fib.V4 {
		return ipv4Header + tcpHeader
	}
	return ipv6Header + tcpHeader
}

// Silent reports whether nobody can reach a device's addresses by its own link:
// there VIPs are kept.
func Silent(l fib.Link) bool {
	_, isTunnel := kindOf(l)
	return l.Loopback || isTunnel || l.Kind == "dummy"
}
