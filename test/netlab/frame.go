package netlab

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Frame is a UDP packet over IPv4 or IPv6 that claims to come from anywhere.
type Frame struct {
	SrcMAC, DstMAC net.HardwareAddr
	Src, Dst       netip.AddrPort
	Payload        string
}

// Inject puts a frame on a link as if a neighbour there had sent it: the link
// is the neighbour's.
func (n *NS) Inject(t testing.TB, link string, frame Frame) {
	t.Helper()
	index := n.LinkIndex(t, link)
	if frame.SrcMAC == nil {
		frame.SrcMAC = n.MAC(t, link)
	}
	n.Must(t, func() error {
		fd, err := packetSocket(index)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if _, err := unix.Write(fd, frame.bytes()); err != nil {
			return fmt.Errorf("inject into %s: %w", link, err)
		}
		return nil
	})
}

// bytes is the frame as it goes over the wire.
func (f Frame) bytes() []byte {
	src, dst := f.Src.Addr(), f.Dst.Addr()
	udp := make([]byte, 8, 8+len(f.Payload))
	binary.BigEndian.PutUint16(udp[0:], f.Src.Port())
	binary.BigEndian.PutUint16(udp[2:], f.Dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(f.Payload)))
	udp = append(udp, f.Payload...)

	pseudo := append(src.AsSlice(), dst.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(udp)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, unix.IPPROTO_UDP)
	binary.BigEndian.PutUint16(udp[6:], checksum(append(pseudo, udp...)))

	frame := append(append([]byte{}, f.DstMAC...), f.SrcMAC...)
	if dst.Is4() {
		frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
		frame = append(frame, ipv4Header(src, dst, len(udp))...)
	} else {
		frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IPV6)
		frame = append(frame, ipv6Header(src, dst, len(udp))...)
	}
	return append(frame, udp...)
}

const hopLimit = 64

func ipv4Header(src, dst netip.Addr, payload int) []byte {
	header := make([]byte, 12, 20)
	header[0] = 4<<4 | 5 // version, length in words
	binary.BigEndian.PutUint16(header[2:], uint16(20+payload))
	header[8] = hopLimit
	header[9] = unix.IPPROTO_UDP
	header = append(append(header, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return header
}

func ipv6Header(src, dst netip.Addr, payload int) []byte {
	header := make([]byte, 8, 40)
	header[0] = 6 << 4
	binary.BigEndian.PutUint16(header[4:], uint16(payload))
	header[6] = unix.IPPROTO_UDP
	header[7] = hopLimit
	return append(append(header, src.AsSlice()...), dst.AsSlice()...)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// networkOrder turns a number round on little-endian machines.
func networkOrder(v uint16) uint16 {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return v
	}
	return bits.ReverseBytes16(v)
}
