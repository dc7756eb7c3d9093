// Package wire is the values of package fib as rtnetlink messages (rtnetlink(7)): a value
// is read from the payload of a message, and written to one without loss.
//
// It does so by itself because a round trip through the typed API of a netlink library
// loses what that does not model (encapsulation, nexthop ids, router preference), and a
// route that is put back must be the route that was taken out.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ErrMalformed is returned for a netlink message that is shorter than it says.
var ErrMalformed = errors.New("malformed netlink message")

// attr is one netlink attribute: its type without the flag bits, and its value.
type attr struct {
	kind  uint16
	value []byte
	flags uint16 // NLA_F_*
}

// attrs walks the attributes of a message. One that is cut off is ErrMalformed.
func attrs(b []byte) iter.Seq2[attr, error] {
	return func(yield func(attr, error) bool) {
		left := len(b)
		for len(b)%unix.RTA_ALIGNTO != 0 { // ParseRouteAttr takes it for granted that there is padding
			b = append(b[:len(b):len(b)], 0)
		}
		parsed, err := nl.ParseRouteAttr(b)
		if err != nil {
			yield(attr{}, fmt.Errorf("%w: %w", ErrMalformed, err))
			return
		}
		const flags = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
		for _, a := range parsed {
			if int(a.Attr.Len) > left { // the padding is ours
				yield(attr{}, fmt.Errorf("%w: attribute %d is cut off", ErrMalformed, a.Attr.Type&^flags))
				return
			}
			left -= (int(a.Attr.Len) + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1)
			if !yield(attr{kind: a.Attr.Type &^ flags, value: a.Value, flags: a.Attr.Type & flags}, nil) {
				return
			}
		}
	}
}

// raw is the attribute with its padding, ready to stand before others.
func (a attr) raw() []byte { return appendAttr(nil, a.kind|a.flags, a.value) }

func (a attr) u32() (uint32, error) {
	if len(a.value) < 4 {
		return 0, fmt.Errorf("%w: attribute %d holds %d bytes, not 4", ErrMalformed, a.kind, len(a.value))
	}
	return binary.NativeEndian.Uint32(a.value), nil
}

func (a attr) u8() (uint8, error) {
	if len(a.value) < 1 {
		return 0, fmt.Errorf("%w: attribute %d is empty", ErrMalformed, a.kind)
	}
	return a.value[0], nil
}

func (a attr) addr() (netip.Addr, error) {
	ip, ok := netip.AddrFromSlice(a.value)
	if !ok {
		return netip.Addr{}, fmt.Errorf("%w: attribute %d holds an address of %d bytes", ErrMalformed, a.kind, len(a.value))
	}
	return ip, nil
}

// prefix reads the attribute as an address with a length from the header.
func (a attr) prefix(bits uint8) (netip.Prefix, error) {
	ip, err := a.addr()
	if err != nil {
		return netip.Prefix{}, err
	}
	p, err := ip.Prefix(int(bits))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return p, nil
}

func (a attr) text() string { return unix.ByteSliceToString(a.value) }

func appendAttr(b []byte, kind uint16, value []byte) []byte {
	return append(b, nl.NewRtAttr(int(kind), value).Serialize()...)
}

func appendU32(b []byte, kind uint16, v uint32) []byte {
	return appendAttr(b, kind, nl.Uint32Attr(v))
}

func appendU8(b []byte, kind uint16, v uint8) []byte { return appendAttr(b, kind, nl.Uint8Attr(v)) }

func appendText(b []byte, kind uint16, s string) []byte {
	return appendAttr(b, kind, nl.ZeroTerminated(s))
}

func appendAddr(b []byte, kind uint16, a netip.Addr) []byte {
	return appendAttr(b, kind, a.AsSlice())
}
