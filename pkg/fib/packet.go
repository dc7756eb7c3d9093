package fib

import (
	"fmt"
	"net/netip"
	"strings"
)

// Packet is a Query that says more of the packet: what rules may select by.
type Packet struct {
	Query
	Mark     uint32 // the firewall mark; 0: none
	Protocol uint8  // IPPROTO_*; 0: none is said, and ports are not either
	// SourcePort and Port are those of the packet's source and destination; 0: not said.
	SourcePort, Port uint16
}

// Command is the question as "ip route get" asks it, with the names of devices.
func (p Packet) Command(s *Snapshot) string {
	var b strings.Builder
	b.WriteString("ip ")
	if p.To.Is6() {
		b.WriteString("-6 ")
	}
	b.WriteString("route get ")
	if p.Whole {
		b.WriteString("fibmatch ")
	}
	b.WriteString(p.To.String())
	if p.From.IsValid() {
		b.WriteString(" from " + p.From.String())
	}
	for _, by := range []struct {
		word  string
		index int
	}{{"iif", p.IIF}, {"oif", p.OIF}} {
		if l, ok := s.LinkAt(by.index); ok {
			b.WriteString(" " + by.word + " " + l.Name)
		}
	}
	if p.Mark != 0 {
		fmt.Fprintf(&b, " mark %#x", p.Mark)
	}
	if p.Protocol != 0 {
		fmt.Fprintf(&b, " ipproto %d", p.Protocol)
	}
	if p.SourcePort != 0 {
		fmt.Fprintf(&b, " sport %d", p.SourcePort)
	}
	if p.Port != 0 {
		fmt.Fprintf(&b, " dport %d", p.Port)
	}
	return b.String()
}

// Selectors are what a rule selects by beside what Rule models.
type Selectors struct {
	Mark, Mask  uint32
	Protocol    uint8 // IPPROTO_*; 0: any
	SourcePorts Ports
	Ports       Ports
	UIDs        *[2]uint32 // nil: any
	// L3Mdev is set for the rule that leads to the table of the VRF of a packet's device.
	L3Mdev bool
	// Suppress is the longest prefix whose routes do not count; negative: all do.
	Suppress int
	// Unknown is set where there is more that is not known here.
	Unknown bool
}

// Ports is a range of ports; 0 is any.
type Ports struct{ First, Last uint16 }

// Has says whether a port is in the range.
func (p Ports) Has(port uint16) bool { return p.First == 0 || port >= p.First && port <= p.Last }

func (p Ports) String() string {
	if p.First == p.Last {
		return fmt.Sprint(p.First)
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// String writes the selectors as "ip rule" does.
func (s Selectors) String() string {
	var b strings.Builder
	if s.Mark != 0 || s.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x", s.Mark)
		if s.Mask != ^uint32(0) {
			fmt.Fprintf(&b, "/%#x", s.Mask)
		}
	}
	if s.Protocol != 0 {
		fmt.Fprintf(&b, " ipproto %d", s.Protocol)
	}
	if s.SourcePorts.First != 0 {
		fmt.Fprintf(&b, " sport %s", s.SourcePorts)
	}
	if s.Ports.First != 0 {
		fmt.Fprintf(&b, " dport %s", s.Ports)
	}
	if s.UIDs != nil {
		fmt.Fprintf(&b, " uidrange %d-%d", s.UIDs[0], s.UIDs[1])
	}
	if s.L3Mdev {
		b.WriteString(" lookup [l3mdev-table]")
	}
	if s.Suppress >= 0 {
		fmt.Fprintf(&b, " suppress_prefixlength %d", s.Suppress)
	}
	return b.String()
}

// Neighbour is an entry of the neighbour table: what the kernel knows of how a host on the link is reached.
type Neighbour struct {
	Index   int
	Address netip.Addr
	State   NeighbourState
}

// NeighbourState is how far a neighbour is known (NUD_*).
type NeighbourState uint16

// The states that are told apart here; any other is one in which the neighbour is known.
const (
	NeighbourIncomplete NeighbourState = 0x01 // asked for, no answer yet
	NeighbourFailed     NeighbourState = 0x20 // asked for, and nobody answered
)
