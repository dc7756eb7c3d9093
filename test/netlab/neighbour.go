package netlab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// What neighbours say to each other: ARP operations and ICMPv6 types, as
// Packet.Type has them.
const (
	ARPRequest             = 1
	ARPReply               = 2
	NeighbourSolicitation  = 135
	NeighbourAdvertisement = 136
)

// WhoHas asks everybody on a link for the hardware address of a neighbour, by ARP
// or by an IPv6 neighbour solicitation, as the owner of the address asker would.
// Answers go to the link and nobody waits for them. Two questions are answered in
// the order in which they were asked.
func (n *NS) WhoHas(t testing.TB, link string, asker, target netip.Addr) {
	t.Helper()
	index, mac := n.LinkIndex(t, link), n.MAC(t, link)
	frame := arpRequest(mac, asker, target)
	if target.Is6() {
		frame = solicitation(mac, asker, target)
	}
	n.Must(t, func() error {
		fd, err := packetSocket(index)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if _, err := unix.Write(fd, frame); err != nil {
			return fmt.Errorf("ask for %v on %s: %w", target, link, err)
		}
		return nil
	})
}

// arpRequest is a broadcast of RFC 826.
func arpRequest(mac net.HardwareAddr, asker, target netip.Addr) []byte {
	frame := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_ARP)
	frame = append(frame, 0, 1, 8, 0, 6, 4, 0, ARPRequest) // Ethernet, IPv4, their lengths
	frame = append(append(frame, mac...), asker.AsSlice()...)
	return append(append(frame, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
}

// solicitation is one of RFC 4861, section 4.3, but to all nodes (ff02::1): a node
// listens at the target's own group only where it thinks that it has the target.
func solicitation(mac net.HardwareAddr, asker, target netip.Addr) []byte {
	everybody := netip.MustParseAddr("ff02::1")
	const sourceLinkLayerAddress = 1
	message := append([]byte{NeighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
	message = append(append(message, sourceLinkLayerAddress, 1), mac...)
	pseudo := append(asker.AsSlice(), everybody.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(message)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(message[2:], checksum(append(pseudo, message...)))

	frame := append([]byte{0x33, 0x33, 0, 0, 0, 1}, mac...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IPV6)
	header := ipv6Header(asker, everybody, len(message))
	header[6], header[7] = unix.IPPROTO_ICMPV6, 255 // a smaller hop limit comes from off the link
	return append(append(frame, header...), message...)
}
