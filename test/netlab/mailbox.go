package netlab

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// Mailbox is a UDP socket that only receives. It shows whether the kernel
// delivered a packet.
type Mailbox struct {
	Address netip.AddrPort

	socket   *os.File
	messages []string
}

// Mailbox opens a mailbox in the namespace until the test ends. With port 0 the
// kernel picks one.
func (n *NS) Mailbox(t testing.TB, address netip.AddrPort) *Mailbox {
	t.Helper()
	box := &Mailbox{}
	n.Must(t, func() error {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
		if err != nil {
			return err
		}
		defer conn.Close()
		bound := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		box.Address = netip.AddrPortFrom(address.Addr(), bound.Port())
		box.socket, err = conn.File()
		return err
	})
	t.Cleanup(func() { box.socket.Close() })
	return box
}

// Messages is what was delivered so far. It does not wait.
func (m *Mailbox) Messages(t testing.TB) []string {
	t.Helper()
	buf := make([]byte, 1<<16)
	for {
		size, _, err := unix.Recvfrom(int(m.socket.Fd()), buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return m.messages
		case err != nil:
			t.Fatalf("mailbox %v: %v", m.Address, err)
		default:
			m.messages = append(m.messages, string(buf[:size]))
		}
	}
}

// Wait waits for a message.
func (m *Mailbox) Wait(t testing.TB, message string) {
	t.Helper()
	Eventually(t, "mailbox "+m.Address.String()+" gets "+message, func() bool {
		return slices.Contains(m.Messages(t), message)
	})
}
