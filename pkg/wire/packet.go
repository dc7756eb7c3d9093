package wire

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// EncodePacket writes the payload of a question about a packet.
func EncodePacket(p fib.Packet) []byte {
	b := EncodeQuery(p.Query)
	if p.Mark != 0 {
		b = appendU32(b, unix.RTA_MARK, p.Mark)
	}
	if p.Protocol != 0 {
		b = appendU8(b, unix.RTA_IP_PROTO, p.Protocol)
	}
	for _, port := range []struct {
		kind   uint16
		number uint16
	}{{unix.RTA_SPORT, p.SourcePort}, {unix.RTA_DPORT, p.Port}} {
		if port.number != 0 {
			b = appendAttr(b, port.kind, binary.BigEndian.AppendUint16(nil, port.number))
		}
	}
	return b
}

// Selectors reads what Rule carries as the kernel wrote it.
func Selectors(r fib.Rule) (fib.Selectors, error) {
	s := fib.Selectors{Suppress: -1}
	hasMask := false
	for a, err := range attrs([]byte(r.Other)) {
		if err == nil {
			hasMask = hasMask || a.kind == unix.FRA_FWMASK
			err = readSelector(&s, a)
		}
		if err != nil {
			return s, fmt.Errorf("rule: %w", err)
		}
	}
	if s.Mark != 0 && !hasMask {
		s.Mask = ^uint32(0)
	}
	return s, nil
}

func readSelector(s *fib.Selectors, a attr) (err error) {
	switch a.kind {
	case unix.FRA_FWMARK:
		s.Mark, err = a.u32()
	case unix.FRA_FWMASK:
		s.Mask, err = a.u32()
	case unix.FRA_IP_PROTO:
		s.Protocol, err = a.u8()
	case unix.FRA_SPORT_RANGE:
		s.SourcePorts, err = a.ports()
	case unix.FRA_DPORT_RANGE:
		s.Ports, err = a.ports()
	case unix.FRA_UID_RANGE:
		if len(a.value) < 8 {
			return fmt.Errorf("%w: user IDs of %d bytes", ErrMalformed, len(a.value))
		}
		s.UIDs = &[2]uint32{binary.NativeEndian.Uint32(a.value), binary.NativeEndian.Uint32(a.value[4:])}
	case unix.FRA_L3MDEV:
		var on uint8
		on, err = a.u8()
		s.L3Mdev = on != 0
	case unix.FRA_SUPPRESS_PREFIXLEN:
		var bits uint32
		bits, err = a.u32()
		s.Suppress = int(int32(bits))
	case unix.FRA_FLOW: // a realm, which selects nothing
	default:
		s.Unknown = true
	}
	return err
}

// ports reads a struct fib_rule_port_range.
func (a attr) ports() (fib.Ports, error) {
	if len(a.value) < 4 {
		return fib.Ports{}, fmt.Errorf("%w: ports of %d bytes", ErrMalformed, len(a.value))
	}
	return fib.Ports{First: binary.NativeEndian.Uint16(a.value), Last: binary.NativeEndian.Uint16(a.value[2:])}, nil
}

const neighbourHeader = 12 // struct ndmsg

// EncodeNeighbourDump writes the payload of an RTM_GETNEIGH dump of one family.
func EncodeNeighbourDump(f fib.Family) []byte {
	b := make([]byte, neighbourHeader)
	b[0] = uint8(f)
	return b
}

// DecodeNeighbour reads the payload of an RTM_NEWNEIGH message.
func DecodeNeighbour(b []byte) (fib.Neighbour, error) {
	if len(b) < neighbourHeader {
		return fib.Neighbour{}, fmt.Errorf("%w: neighbour of %d bytes", ErrMalformed, len(b))
	}
	n := fib.Neighbour{
		Index: int(int32(binary.NativeEndian.Uint32(b[4:]))),
		State: fib.NeighbourState(binary.NativeEndian.Uint16(b[8:])),
	}
	for a, err := range attrs(b[neighbourHeader:]) {
		if err == nil && a.kind == unix.NDA_DST {
			n.Address, err = a.addr()
		}
		if err != nil {
			return fib.Neighbour{}, fmt.Errorf("neighbour: %w", err)
		}
	}
	return n, nil
}
