package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// Indices of device settings in IFLA_INET_CONF and IFLA_INET6_CONF: the first
// counts from 1 (uapi/linux/ip.h IPV4_DEVCONF_*), the second from 0
// (uapi/linux/ipv6.h DEVCONF_*).
const (
	confRPFilter    = 8
	confARPFilter   = 13
	confARPAnnounce = 18
	confARPIgnore   = 19
	confDisableIPv6 = 26
	confKeepAddr    = 42 // DEVCONF_KEEP_ADDR_ON_DOWN, since Linux 4.6
)

const linkHeader = unix.SizeofIfInfomsg

// EncodeLinkDump writes the payload of an RTM_GETLINK dump without statistics.
func EncodeLinkDump() []byte {
	return appendU32(make([]byte, linkHeader), unix.IFLA_EXT_MASK, rtextFilterSkipStats)
}

const rtextFilterSkipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS, uapi/linux/rtnetlink.h

// DecodeLink reads the payload of an RTM_NEWLINK message.
func DecodeLink(b []byte) (fib.Link, error) {
	if len(b) < linkHeader {
		return fib.Link{}, fmt.Errorf("%w: link of %d bytes", ErrMalformed, len(b))
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	l := fib.Link{
		Index:    int(int32(binary.NativeEndian.Uint32(b[4:]))),
		Up:       flags&unix.IFF_UP != 0,
		Idle:     idle(flags),
		Loopback: flags&unix.IFF_LOOPBACK != 0,
	}
	for a, err := range attrs(b[linkHeader:]) {
		if err == nil {
			err = readLinkAttr(&l, a)
		}
		if err != nil {
			return fib.Link{}, fmt.Errorf("link: %w", err)
		}
	}
	return l, nil
}

// idle reads a device's flags. IFF_LOWER_UP is the carrier of this moment; IFF_RUNNING, its state
// after RFC 2863, follows in the kernel's own time, together with what depends on it, such as the
// marks of routes (linkwatch_do_dev).
func idle(flags uint32) string {
	switch {
	case flags&unix.IFF_UP == 0:
		return ""
	case flags&unix.IFF_LOWER_UP == 0:
		return "no carrier"
	case flags&unix.IFF_RUNNING == 0:
		return "dormant"
	}
	return ""
}

func readLinkAttr(l *fib.Link, a attr) error {
	switch a.kind {
	case unix.IFLA_IFNAME:
		l.Name = a.text()
	case unix.IFLA_MTU:
		mtu, err := a.u32()
		l.MTU = mtu
		return err
	case unix.IFLA_MASTER:
		index, err := a.u32()
		l.Master = int(index)
		return err
	case unix.IFLA_LINKINFO:
		return readLinkInfo(l, a.value)
	case unix.IFLA_AF_SPEC:
		return readLinkSettings(l, a.value)
	}
	return nil
}

func readLinkInfo(l *fib.Link, b []byte) error {
	var data []byte
	for a, err := range attrs(b) {
		if err != nil {
			return err
		}
		switch a.kind {
		case unix.IFLA_INFO_KIND:
			l.Kind = a.text()
		case unix.IFLA_INFO_DATA:
			data = a.value
		}
	}
	l.AnyToAny = l.Kind == fib.KindIPIP || l.Kind == fib.KindIP6Tunnel
	for a, err := range attrs(data) {
		switch {
		case err != nil:
		case l.Kind == fib.KindVRF && a.kind == unix.IFLA_VRF_TABLE:
			l.VRFTable, err = a.u32()
		case l.Kind != fib.KindIPIP && l.Kind != fib.KindIP6Tunnel: // others number their attributes otherwise
		case a.kind == iflaIPTunnelProto:
			l.Inside, err = a.u8()
		case a.kind == iflaIPTunnelLocal || a.kind == iflaIPTunnelRemote:
			l.AnyToAny = l.AnyToAny && allZero(a.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Attributes of a tunnel, uapi/linux/if_tunnel.h: IFLA_IPTUN_LOCAL, _REMOTE, _PROTO.
const (
	iflaIPTunnelLocal  = 2
	iflaIPTunnelRemote = 3
	iflaIPTunnelProto  = 9
)

func allZero(b []byte) bool {
	return !slices.ContainsFunc(b, func(x byte) bool { return x != 0 })
}

func readLinkSettings(l *fib.Link, b []byte) error {
	for family, err := range attrs(b) {
		if err != nil {
			return err
		}
		for a, err := range attrs(family.value) {
			if err != nil {
				return err
			}
			switch {
			case fib.Family(family.kind) == fib.V4 && a.kind == unix.IFLA_INET_CONF:
				l.HasIPv4 = true
				l.RPFilter = setting(a.value, confRPFilter-1)
				l.ARPFilter = setting(a.value, confARPFilter-1)
				l.ARPAnnounce = setting(a.value, confARPAnnounce-1)
				l.ARPIgnore = setting(a.value, confARPIgnore-1)
			case fib.Family(family.kind) == fib.V6 && a.kind == unix.IFLA_INET6_CONF:
				l.HasIPv6 = true
				l.IPv6 = setting(a.value, confDisableIPv6) == 0
				l.KeepAddrOnDown = setting(a.value, confKeepAddr)
			}
		}
	}
	return nil
}

// setting reads one number of an array of them; one that this kernel does not
// have is 0.
func setting(b []byte, i int) int {
	if len(b) < 4*(i+1) {
		return 0
	}
	return int(int32(binary.NativeEndian.Uint32(b[4*i:])))
}

// EncodeLink writes the payload of an RTM_NEWLINK message that makes a device of
// a kind under the index that it shall have.
func EncodeLink(l fib.Link) []byte {
	b := make([]byte, linkHeader)
	binary.NativeEndian.PutUint32(b[4:], uint32(l.Index))
	b = appendText(b, unix.IFLA_IFNAME, l.Name)
	return appendAttr(b, unix.IFLA_LINKINFO, appendText(nil, unix.IFLA_INFO_KIND, l.Kind))
}

// EncodeLinkState writes the payload of an RTM_NEWLINK message that sets an
// existing device up or down.
func EncodeLinkState(index int, up bool) []byte {
	b := make([]byte, linkHeader)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	if up {
		binary.NativeEndian.PutUint32(b[8:], unix.IFF_UP)
	}
	binary.NativeEndian.PutUint32(b[12:], unix.IFF_UP) // the flags that are meant
	return b
}

// EncodeLinkDeletion writes the payload of an RTM_DELLINK message.
func EncodeLinkDeletion(index int) []byte {
	b := make([]byte, linkHeader)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	return b
}
