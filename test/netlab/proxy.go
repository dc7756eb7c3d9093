package netlab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ProxyMailbox is a Mailbox on an address that the namespace does not have, as
// the transparent proxy of a service mesh listens on it: what arrives there was
// routed into the namespace on purpose.
func (n *NS) ProxyMailbox(t testing.TB, address netip.AddrPort) *Mailbox {
	t.Helper()
	box := &Mailbox{}
	n.Must(t, func() error {
		conn, err := listenUDP(address, func(fd int) error { return transparent(fd, address.Addr().Is6()) })
		if err != nil {
			return err
		}
		defer conn.Close()
		box.Address = conn.LocalAddr().(*net.UDPAddr).AddrPort()
		box.socket, err = conn.File()
		return err
	})
	t.Cleanup(func() { box.socket.Close() })
	return box
}

// SendMarked sends one UDP packet that carries a firewall mark. The error is the
// kernel's refusal to route it.
func (n *NS) SendMarked(mark int, from netip.Addr, to netip.AddrPort, message string) error {
	setMark := func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark) }
	return n.Do(func() error {
		conn, err := listenUDP(netip.AddrPortFrom(from, 0), setMark)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.WriteToUDPAddrPort([]byte(message), to)
		return err
	})
}

// TalkInTheNameOf lets a transparent proxy in the namespace talk to an Echo server
// there from a client's address, with a firewall mark on what the proxy sends.
func (n *NS) TalkInTheNameOf(client netip.Addr, mark int, remote netip.AddrPort) error {
	dialer := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(client, 0)),
		Timeout:   patience,
		Control: control(func(fd int) error {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
				return err
			}
			return transparent(fd, client.Is6())
		}),
	}
	return n.Do(func() error {
		conn, err := dialer.Dial("tcp", remote.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		return converse(conn)
	})
}

// converse sends a few bytes and waits for them to come back.
func converse(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	question := []byte("on behalf of somebody else")
	if _, err := conn.Write(question); err != nil {
		return err
	}
	answer := make([]byte, len(question))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if !bytes.Equal(answer, question) {
		return fmt.Errorf("echo said %q", answer)
	}
	return nil
}

// MarkAnswers has connection tracking put a mark on what is sent back in those
// connections of the namespace whose other end sends with the mark proxy.
func (n *NS) MarkAnswers(t testing.TB, proxy, answers int) {
	t.Helper()
	requireNFT(t)
	rules := fmt.Sprintf(answerRules, proxy, answers, answers, answers)
	if _, err := n.Command(rules, "nft", "-f", "-"); err != nil {
		t.Fatalf("in namespace %s: %v", n.Name, err)
	}
}

// answerRules lets connections remember that a proxy opened them. The chain of
// type route asks for the route anew when the mark has changed.
const answerRules = `
table inet answers {
	chain prerouting {
		type filter hook prerouting priority mangle;
		meta mark %#x ct mark set %#x
	}
	chain output {
		type route hook output priority mangle;
		ct direction reply ct mark %#x meta mark set %#x
	}
}
`

// transparent lets a socket be bound to an address of somebody else.
func transparent(fd int, six bool) error {
	if six {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

// listenUDP opens a UDP socket in the current namespace, with an option set
// before it is bound.
func listenUDP(address netip.AddrPort, option func(fd int) error) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: control(option)}
	conn, err := config.ListenPacket(context.Background(), "udp", address.String())
	if err != nil {
		return nil, fmt.Errorf("UDP socket: %w", err)
	}
	return conn.(*net.UDPConn), nil
}

// control sets an option of a socket before it is bound.
func control(option func(fd int) error) func(network, address string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var refused error
		if err := raw.Control(func(fd uintptr) { refused = option(int(fd)) }); err != nil {
			return err
		}
		return os.NewSyscallError("setsockopt", refused)
	}
}
