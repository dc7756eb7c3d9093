package netlab

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// captureBuffer holds what a test sends between two looks at a capture.
const captureBuffer = 8 << 20

// Capture records the packets that cross one link, in both directions.
//
// The kernel queues a packet on the capture's socket at the moment it crosses
// the link. When a conversation has ended, or a packet was refused, all there
// is to see is in the queue already: reading it never waits.
type Capture struct {
	// Where is "namespace/link", for messages.
	Where string

	socket  *os.File
	packets []Packet
}

// Capture starts recording on a link, until the test ends.
func (n *NS) Capture(t testing.TB, link string) *Capture {
	t.Helper()
	c := &Capture{Where: n.Name + "/" + link}
	index := n.LinkIndex(t, link)
	n.Must(t, func() error {
		fd, err := packetSocket(index)
		if err != nil {
			return err
		}
		c.socket = os.NewFile(uintptr(fd), c.Where)
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer)
	})
	t.Cleanup(func() { c.socket.Close() })
	return c
}

// Packets is everything recorded so far.
func (c *Capture) Packets(t testing.TB) []Packet {
	t.Helper()
	fd := int(c.socket.Fd())
	buf := make([]byte, 1<<16)
	for {
		size, from, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatalf("capture on %s: %v", c.Where, err)
		}
		packet := parsePacket(buf[:size])
		if link, ok := from.(*unix.SockaddrLinklayer); ok {
			packet.Outgoing = link.Pkttype == unix.PACKET_OUTGOING
		}
		c.packets = append(c.packets, packet)
	}
	stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		t.Fatalf("capture on %s: %v", c.Where, err)
	}
	if stats.Drops > 0 {
		t.Fatalf("capture on %s: %d packets did not fit into the buffer", c.Where, stats.Drops)
	}
	return c.packets
}

// Matching is what was recorded so far and pleases the filter.
func (c *Capture) Matching(t testing.TB, filter func(Packet) bool) []Packet {
	t.Helper()
	var matching []Packet
	for _, packet := range c.Packets(t) {
		if filter(packet) {
			matching = append(matching, packet)
		}
	}
	return matching
}

// Forget empties the record.
func (c *Capture) Forget(t testing.TB) {
	t.Helper()
	c.Packets(t)
	c.packets = nil
}

// List shows packets one a line.
func List(packets []Packet) string {
	var lines []string
	for _, packet := range packets {
		lines = append(lines, "\t"+packet.String())
	}
	return strings.Join(lines, "\n")
}

// packetSocket opens a socket on a link of the current namespace that sends and
// receives whole Ethernet frames.
func packetSocket(index int) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("packet socket: %w", err)
	}
	all := networkOrder(unix.ETH_P_ALL)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("packet socket: bind: %w", err)
	}
	return fd, nil
}
