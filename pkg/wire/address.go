package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

const addressHeader = unix.SizeofIfAddrmsg

// EncodeAddressDump writes the payload of an RTM_GETADDR dump of both families.
func EncodeAddressDump() []byte { return make([]byte, addressHeader) }

// DecodeAddress reads the payload of an RTM_NEWADDR message.
func DecodeAddress(b []byte) (fib.Address, error) {
	if len(b) < addressHeader {
		return fib.Address{}, fmt.Errorf("%w: address of %d bytes", ErrMalformed, len(b))
	}
	a := fib.Address{Scope: fib.Scope(b[3]), Index: int(binary.NativeEndian.Uint32(b[4:]))}
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
			case ifaProto:
				a.Protocol, err = at.u8()
			}
		}
		if err != nil {
			return fib.Address{}, fmt.Errorf("address: %w", err)
		}
	}
	if !local.IsValid() { // IPv6 writes IFA_LOCAL for point-to-point addresses only
		local = peer
	}
	bits := int(b[1])
	if !local.IsValid() || bits > local.BitLen() {
		return fib.Address{}, fmt.Errorf("%w: address %s/%d", ErrMalformed, local, bits)
	}
	a.Prefix = netip.PrefixFrom(local, bits)
	const notUsable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	a.Tentative = flags&notUsable != 0 && flags&unix.IFA_F_OPTIMISTIC == 0
	a.Duplicate = flags&unix.IFA_F_DADFAILED != 0
	a.Deprecated = flags&unix.IFA_F_DEPRECATED != 0
	return a, nil
}

const ifaProto = 11 // IFA_PROTO, uapi/linux/if_addr.h

// EncodeAddress writes the payload of an RTM_NEWADDR or RTM_DELADDR message. The
// address is usable at once and brings no route but that of the local table.
func EncodeAddress(a fib.Address) []byte {
	ip := a.Prefix.Addr()
	b := make([]byte, addressHeader, 64)
	b[0], b[1], b[3] = uint8(fib.FamilyOf(ip)), uint8(a.Prefix.Bits()), uint8(a.Scope)
	binary.NativeEndian.PutUint32(b[4:], uint32(a.Index))
	b = appendAddr(b, unix.IFA_LOCAL, ip)
	b = appendAddr(b, unix.IFA_ADDRESS, ip)
	if ip.Is6() {
		b = appendU32(b, unix.IFA_FLAGS, unix.IFA_F_NODAD|unix.IFA_F_NOPREFIXROUTE)
	}
	if a.Deprecated {
		b = appendAttr(b, unix.IFA_CACHEINFO, lifetimes(0, forever))
	}
	if a.Protocol != 0 {
		b = appendU8(b, ifaProto, a.Protocol)
	}
	return b
}

const forever = ^uint32(0) // INFINITY_LIFE_TIME

// lifetimes is a struct ifa_cacheinfo with the lifetimes of an address, seconds.
func lifetimes(preferred, valid uint32) []byte {
	b := binary.NativeEndian.AppendUint32(nil, preferred)
	b = binary.NativeEndian.AppendUint32(b, valid)
	return append(b, make([]byte, 8)...) // when it was made and changed: the kernel's to say
}
