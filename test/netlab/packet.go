package netlab

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Packet is what a Capture keeps of a packet that crossed a link.
type Packet struct {
	// Outgoing says that the namespace of the capture sent the packet.
	Outgoing bool
	// Protocol is "tcp", "udp", "icmp", "icmpv6", "arp" or "other".
	Protocol string
	// Src and Dst have port 0 where the protocol knows none. In ARP they are
	// the sender's and the target's address.
	Src, Dst netip.AddrPort
	// Type is the ICMP type or the ARP operation.
	Type int
	// MSS is the largest segment that the sender of a TCP SYN wants; otherwise 0.
	MSS int
}

// String shows a packet the way a failed test should.
func (p Packet) String() string {
	direction := "in "
	if p.Outgoing {
		direction = "out"
	}
	return fmt.Sprintf("%s %s %v > %v", direction, p.Protocol, p.Src, p.Dst)
}

// Between says whether the packet goes from one of two addresses to the other.
func (p Packet) Between(a, b netip.Addr) bool {
	src, dst := p.Src.Addr(), p.Dst.Addr()
	return src == a && dst == b || src == b && dst == a
}

const etherHeader = 14

// parsePacket reads an Ethernet frame. What it does not know is "other".
func parsePacket(frame []byte) Packet {
	packet := Packet{Protocol: "other"}
	if len(frame) < etherHeader {
		return packet
	}
	payload := frame[etherHeader:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		packet.parseIPv4(payload)
	case unix.ETH_P_IPV6:
		packet.parseIPv6(payload)
	case unix.ETH_P_ARP:
		packet.parseARP(payload)
	}
	return packet
}

func (p *Packet) parseIPv4(b []byte) {
	if len(b) < 20 {
		return
	}
	size := int(b[0]&0x0f) * 4
	if len(b) < size {
		return
	}
	p.parseTransport(b[9], netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[size:])
}

func (p *Packet) parseIPv6(b []byte) {
	if len(b) < 40 {
		return
	}
	p.parseTransport(b[6], netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[40:])
}

func (p *Packet) parseTransport(protocol byte, src, dst netip.Addr, b []byte) {
	var srcPort, dstPort uint16
	switch protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
		p.Protocol = "udp"
		if protocol == unix.IPPROTO_TCP {
			p.Protocol = "tcp"
		}
		if len(b) >= 4 {
			srcPort, dstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
		if protocol == unix.IPPROTO_TCP {
			p.MSS = maxSegment(b)
		}
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		p.Protocol = "icmp"
		if protocol == unix.IPPROTO_ICMPV6 {
			p.Protocol = "icmpv6"
		}
		if len(b) >= 1 {
			p.Type = int(b[0])
		}
	}
	p.Src, p.Dst = netip.AddrPortFrom(src, srcPort), netip.AddrPortFrom(dst, dstPort)
}

// maxSegment reads the option of that name (RFC 9293, section 3.2) of a TCP header.
func maxSegment(b []byte) int {
	const (
		end, nothing, size = 0, 1, 2
		fixed              = 20
	)
	if len(b) < fixed {
		return 0
	}
	options := b[fixed:min(len(b), max(fixed, int(b[12]>>4)*4))]
	for len(options) > 1 && options[0] != end {
		length := int(options[1])
		if options[0] == nothing {
			length = 1
		}
		if options[0] == size && length == 4 && len(options) >= length {
			return int(binary.BigEndian.Uint16(options[2:]))
		}
		options = options[min(len(options), max(length, 1)):]
	}
	return 0
}

func (p *Packet) parseARP(b []byte) {
	if len(b) < 28 {
		return
	}
	p.Protocol = "arp"
	p.Type = int(binary.BigEndian.Uint16(b[6:]))
	p.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[14:18])), 0)
	p.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[24:28])), 0)
}
