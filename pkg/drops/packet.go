package drops

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Protocols of Ethernet (ETH_P_*).
const (
	etherIPv4 = unix.ETH_P_IP
	etherIPv6 = unix.ETH_P_IPV6
	etherARP  = unix.ETH_P_ARP
)

// Packet is what the beginning of a packet says.
type Packet struct {
	// Protocol is "tcp", "udp", "icmp", "arp" ..., or a number.
	Protocol string `json:"protocol"`
	From     string `json:"from,omitempty"` // address, with the port where there is one
	To       string `json:"to,omitempty"`
}

// parse reads the beginning of a packet, from its network header on. What is cut off is left out.
func parse(ether uint16, b []byte) Packet {
	switch ether {
	case etherIPv4:
		return parseIPv4(b)
	case etherIPv6:
		return parseIPv6(b)
	case etherARP:
		if len(b) >= 28 && binary.BigEndian.Uint16(b) == 1 { // of Ethernet: RFC 826
			return Packet{Protocol: "arp", From: netip.AddrFrom4([4]byte(b[14:18])).String(), To: netip.AddrFrom4([4]byte(b[24:28])).String()}
		}
		return Packet{Protocol: "arp"}
	}
	return Packet{Protocol: fmt.Sprintf("ethertype 0x%04x", ether)}
}

// parseIPv4 reads a header of RFC 791.
func parseIPv4(b []byte) Packet {
	if len(b) < 20 || b[0]>>4 != 4 {
		return Packet{Protocol: "ip"}
	}
	header := 4 * int(b[0]&15)
	fragment := binary.BigEndian.Uint16(b[6:])&0x1fff != 0
	from, to := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	if header < 20 || header > len(b) || fragment {
		return Packet{protocolText(b[9]), from.String(), to.String()}
	}
	return withPorts(b[9], from, to, b[header:])
}

// parseIPv6 reads a header of RFC 8200. Behind an extension header ports are not looked for.
func parseIPv6(b []byte) Packet {
	if len(b) < 40 || b[0]>>4 != 6 {
		return Packet{Protocol: "ipv6"}
	}
	return withPorts(b[6], netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[40:])
}

func withPorts(protocol uint8, from, to netip.Addr, rest []byte) Packet {
	p := Packet{protocolText(protocol), from.String(), to.String()}
	switch protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP, unix.IPPROTO_DCCP, unix.IPPROTO_UDPLITE:
		if len(rest) >= 4 {
			p.From = netip.AddrPortFrom(from, binary.BigEndian.Uint16(rest)).String()
			p.To = netip.AddrPortFrom(to, binary.BigEndian.Uint16(rest[2:])).String()
		}
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		if len(rest) >= 2 {
			p.Protocol = fmt.Sprintf("%s type %d", p.Protocol, rest[0])
		}
	}
	return p
}

// protocolText names a protocol of IP (IPPROTO_*).
func protocolText(p uint8) string {
	names := map[uint8]string{
		unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "icmpv6",
		unix.IPPROTO_SCTP: "sctp", unix.IPPROTO_IPIP: "ipip", unix.IPPROTO_IPV6: "ipv6-in-ip", unix.IPPROTO_GRE: "gre",
		unix.IPPROTO_ESP: "esp", unix.IPPROTO_DCCP: "dccp", unix.IPPROTO_UDPLITE: "udplite", unix.IPPROTO_IGMP: "igmp",
	}
	if name, ok := names[p]; ok {
		return name
	}
	return fmt.Sprintf("protocol %d", p)
}
