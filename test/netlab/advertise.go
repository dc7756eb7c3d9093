package netlab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Advertisement is what a router says of a link (RFC 4861, 4.2).
type Advertisement struct {
	Router   netip.Addr    // its link-local address, which the namespace has
	Lifetime time.Duration // of the default route; 0: it is none any more
	// Prefix is on the link and for autoconfiguration, for that long; not valid: none.
	Prefix         netip.Prefix
	PrefixLifetime time.Duration
}

// Advertise sends a router advertisement out of a link.
func (n *NS) Advertise(t testing.TB, link string, a Advertisement) {
	t.Helper()
	index := uint32(n.LinkIndex(t, link))
	n.Must(t, func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
			return err // anything less was forwarded, and is ignored
		}
		if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: a.Router.As16(), ZoneId: index}); err != nil {
			return fmt.Errorf("bind to %v: %w", a.Router, err)
		}
		return unix.Sendto(fd, a.bytes(), 0, &unix.SockaddrInet6{Addr: netip.IPv6LinkLocalAllNodes().As16(), ZoneId: index})
	})
}

// bytes is the ICMPv6 message; the kernel adds the checksum.
func (a Advertisement) bytes() []byte {
	seconds := func(d time.Duration) uint32 { return uint32(d / time.Second) }
	b := []byte{134, 0, 0, 0, 64, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(seconds(a.Lifetime)))
	b = append(b, make([]byte, 8)...) // reachable time and retransmission timer: not said
	if !a.Prefix.IsValid() {
		return b
	}
	const onLinkAndAutonomous = 0xc0
	b = append(b, 3, 4, uint8(a.Prefix.Bits()), onLinkAndAutonomous)
	b = binary.BigEndian.AppendUint32(b, seconds(a.PrefixLifetime))
	b = binary.BigEndian.AppendUint32(b, seconds(a.PrefixLifetime))
	b = append(b, 0, 0, 0, 0)
	return append(b, a.Prefix.Addr().AsSlice()...)
}
