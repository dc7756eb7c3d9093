package fib

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Link is a network interface and the per-device settings that routing goes by.
type Link struct {
	Index    int
	Name     string
	Up       bool // administratively
	Loopback bool
	Master   int    // index; 0: none
	Kind     string // "veth", "vrf" ...; empty for hardware
	VRFTable uint32 // where Kind is "vrf"
	MTU      uint32
	// AnyToAny is set for a tunnel that accepts packets of everybody to every
	// address of ours, as the kernel's fallback devices do (tunl0, ip6tnl0).
	AnyToAny bool
	// Inside is the protocol of the packets that a tunnel carries (IPPROTO_IPIP,
	// IPPROTO_IPV6 ...); 0: any that its kind can.
	Inside uint8
	// The device's own IPv4 settings (/proc/sys/net/ipv4/conf/NAME/*).
	// HasIPv4 is false where it has none (an MTU below 68).
	HasIPv4 bool
	Settings
	// HasIPv6 is set where it has IPv6 settings, IPv6 where it takes part in IPv6
	// (disable_ipv6 is 0).
	HasIPv6, IPv6 bool
}

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
func DecodeLink(b []byte) (Link, error) {
	if len(b) < linkHeader {
		return Link{}, fmt.Errorf("%w: link of %d bytes", ErrMalformed, len(b))
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	l := Link{
		Index:    int(int32(binary.NativeEndian.Uint32(b[4:]))),
		Up:       flags&unix.IFF_UP != 0,
		Loopback: flags&unix.IFF_LOOPBACK != 0,
	}
	for a, err := range attrs(b[linkHeader:]) {
		if err == nil {
			err = l.decodeAttr(a)
		}
		if err != nil {
			return Link{}, fmt.Errorf("link: %w", err)
		}
	}
	return l, nil
}

func (l *Link) decodeAttr(a attr) error {
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
		return l.decodeInfo(a.value)
	case unix.IFLA_AF_SPEC:
		return l.decodeSettings(a.value)
	}
	return nil
}

func (l *Link) decodeInfo(b []byte) error {
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
	l.AnyToAny = l.Kind == KindIPIP || l.Kind == KindIP6Tunnel
	for a, err := range attrs(data) {
		switch {
		case err != nil:
		case l.Kind == KindVRF && a.kind == unix.IFLA_VRF_TABLE:
			l.VRFTable, err = a.u32()
		case l.Kind != KindIPIP && l.Kind != KindIP6Tunnel: // others number their attributes otherwise
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

// Kinds of tunnels that LVS' directors send through.
const (
	KindIPIP      = "ipip"
	KindIP6Tunnel = "ip6tnl"
)

// KindVRF is the kind of a device that gives those enslaved to it a table.
const KindVRF = "vrf"

// Attributes of a tunnel, uapi/linux/if_tunnel.h: IFLA_IPTUN_LOCAL, _REMOTE, _PROTO.
const (
	iflaIPTunnelLocal  = 2
	iflaIPTunnelRemote = 3
	iflaIPTunnelProto  = 9
)

func allZero(b []byte) bool {
	return !slices.ContainsFunc(b, func(x byte) bool { return x != 0 })
}

func (l *Link) decodeSettings(b []byte) error {
	for family, err := range attrs(b) {
		if err != nil {
			return err
		}
		for a, err := range attrs(family.value) {
			if err != nil {
				return err
			}
			switch {
			case Family(family.kind) == V4 && a.kind == unix.IFLA_INET_CONF:
				l.HasIPv4 = true
				l.RPFilter = setting(a.value, confRPFilter-1)
				l.ARPFilter = setting(a.value, confARPFilter-1)
				l.ARPAnnounce = setting(a.value, confARPAnnounce-1)
				l.ARPIgnore = setting(a.value, confARPIgnore-1)
			case Family(family.kind) == V6 && a.kind == unix.IFLA_INET6_CONF:
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
func EncodeLink(l Link) []byte {
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
