package fib

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// ErrMalformed is returned for a netlink message that is shorter than it says.
var ErrMalformed = errors.New("malformed netlink message")

const attrHeader = 4 // struct rtattr: length and type, 16 bits each

// attr is one netlink attribute: its type without the flag bits, and its value.
type attr struct {
	kind  uint16
	value []byte
	whole []byte // header and value, as the kernel wrote them
}

// attrs walks the attributes of a message. A truncated attribute ends the walk
// with ErrMalformed.
func attrs(b []byte) iter.Seq2[attr, error] {
	return func(yield func(attr, error) bool) {
		for len(b) >= attrHeader {
			n := int(binary.NativeEndian.Uint16(b))
			if n < attrHeader || n > len(b) {
				yield(attr{}, fmt.Errorf("%w: attribute of %d bytes in %d", ErrMalformed, n, len(b)))
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(attr{kind: kind, value: b[attrHeader:n], whole: b[:n]}, nil) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

func align(n int) int { return (n + 3) &^ 3 }

// raw is the attribute with its padding, ready to stand before others.
func (a attr) raw() []byte {
	return slices.Concat(a.whole, make([]byte, align(len(a.whole))-len(a.whole)))
}

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
	b = binary.NativeEndian.AppendUint16(b, uint16(attrHeader+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func appendU32(b []byte, kind uint16, v uint32) []byte {
	return appendAttr(b, kind, binary.NativeEndian.AppendUint32(nil, v))
}

func appendU8(b []byte, kind uint16, v uint8) []byte { return appendAttr(b, kind, []byte{v}) }

func appendText(b []byte, kind uint16, s string) []byte {
	return appendAttr(b, kind, append([]byte(s), 0))
}

func appendAddr(b []byte, kind uint16, a netip.Addr) []byte {
	return appendAttr(b, kind, a.AsSlice())
}
