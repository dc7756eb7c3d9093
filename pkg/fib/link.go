package fib

import (
	"encoding/binary"
	"fmt"
	"net/netip"

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
	// The device's own IPv4 settings (/proc/sys/net/ipv4/conf/NAME/*).
	// HasIPv4 is false where it has none (an MTU below 68).
	HasIPv4     bool
	RPFilter    int
	ARPIgnore   int
	ARPAnnounce int
	ARPFilter   int
	// IPv6 is set where the device takes part in IPv6 (disable_ipv6 is 0).
	IPv6 bool
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
	if l.Kind != "vrf" {
		return nil
	}
	for a, err := range attrs(data) {
		if err == nil && a.kind == unix.IFLA_VRF_TABLE {
			l.VRFTable, err = a.u32()
		}
		if err != nil {
			return err
		}
	}
	return nil
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
				l.IPv6 = setting(a.value, confDisableIPv6) == 0
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

// Address is an address of an interface.
type Address struct {
	Index     int // of the interface
	Prefix    netip.Prefix
	Scope     uint8 // RT_SCOPE_*
	Tentative bool  // duplicate address detection is running, or failed
}

const addressHeader = unix.SizeofIfAddrmsg

// EncodeAddressDump writes the payload of an RTM_GETADDR dump of both families.
func EncodeAddressDump() []byte { return make([]byte, addressHeader) }

// DecodeAddress reads the payload of an RTM_NEWADDR message.
func DecodeAddress(b []byte) (Address, error) {
	if len(b) < addressHeader {
		return Address{}, fmt.Errorf("%w: address of %d bytes", ErrMalformed, len(b))
	}
	a := Address{Scope: b[3], Index: int(binary.NativeEndian.Uint32(b[4:]))}
	flags := uint32(b[2])
	var local, peer netip.Addr
	for at, err := range attrs(b[addressHeader:]) {
		if err == nil {
			switch at.kind {
			case unix.IFA_LOCAL:
				local, err = at.addr()
			case unix.IFA_ADDRESS:
				peer, err = at.addr()
			case unix.IFA_FLAGS:
				flags, err = at.u32()
			}
		}
		if err != nil {
			return Address{}, fmt.Errorf("address: %w", err)
		}
	}
	if !local.IsValid() { // IPv6 writes IFA_LOCAL for point-to-point addresses only
		local = peer
	}
	bits := int(b[1])
	if !local.IsValid() || bits > local.BitLen() {
		return Address{}, fmt.Errorf("%w: address %s/%d", ErrMalformed, local, bits)
	}
	a.Prefix = netip.PrefixFrom(local, bits)
	const notUsable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	a.Tentative = flags&notUsable != 0 && flags&unix.IFA_F_OPTIMISTIC == 0
	return a, nil
}
