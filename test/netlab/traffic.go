package netlab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Echo starts TCP and UDP servers in the namespace that send back what they
// get, both on the given address and port, until the test ends. With port 0 the
// kernel picks one; the address that the servers listen on is returned.
//
// Give it the address that clients will talk to: a UDP server bound to the
// wildcard answers from whichever address the route back suggests.
func (n *NS) Echo(t testing.TB, address netip.AddrPort) netip.AddrPort {
	t.Helper()
	var (
		listener net.Listener
		packets  net.PacketConn
	)
	n.Must(t, func() (err error) {
		if listener, err = net.Listen("tcp", address.String()); err != nil {
			return err
		}
		bound := listener.Addr().(*net.TCPAddr).AddrPort()
		address = netip.AddrPortFrom(address.Addr(), bound.Port())
		packets, err = net.ListenPacket("udp", address.String())
		return err
	})
	t.Cleanup(func() {
		listener.Close()
		packets.Close()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				io.Copy(conn, conn)
			}()
		}
	}()
	go func() {
		buf := make([]byte, 2048)
		for {
			size, from, err := packets.ReadFrom(buf)
			if err != nil {
				return // closed
			}
			packets.WriteTo(buf[:size], from)
		}
	}()
	return address
}

// Client says how one end of a conversation opens its socket.
type Client struct {
	NS *NS
	// Network is "tcp" (also when empty) or "udp".
	Network string
	// Source is the address to bind to; the zero value leaves it to the kernel.
	Source netip.Addr
	// Device is the link to bind to (SO_BINDTODEVICE); empty: none.
	Device string
	// Timeout bounds the conversation. It is a safety net, except where a test
	// shows that a conversation does not happen.
	Timeout time.Duration
}

// Talk sends a few bytes to an Echo server and waits for them to come back. It
// returns the local address that the conversation used.
func (c Client) Talk(remote netip.AddrPort) (local netip.AddrPort, err error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = patience
	}
	conn, err := c.dial(remote, timeout)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return netip.AddrPort{}, err
	}
	local, err = netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	const question = "which way do you answer?"
	if _, err := io.WriteString(conn, question); err != nil {
		return local, err
	}
	answer := make([]byte, len(question))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return local, err
	}
	if string(answer) != question {
		return local, fmt.Errorf("echo of %v said %q", remote, answer)
	}
	return local, nil
}

// dial opens the socket in the client's namespace. Zones of link-local remotes
// have to be numbers: the net package caches the names of one namespace.
func (c Client) dial(remote netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	network := c.Network
	if network == "" {
		network = "tcp"
	}
	dialer := net.Dialer{Control: c.bindToDevice}
	if c.Source.IsValid() {
		source := netip.AddrPortFrom(c.Source, 0)
		if network == "udp" {
			dialer.LocalAddr = net.UDPAddrFromAddrPort(source)
		} else {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(source)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var conn net.Conn
	err := c.NS.Do(func() (err error) {
		conn, err = dialer.DialContext(ctx, network, remote.String())
		return err
	})
	return conn, err
}

func (c Client) bindToDevice(_, _ string, raw syscall.RawConn) error {
	if c.Device == "" {
		return nil
	}
	var bindErr error
	if err := raw.Control(func(fd uintptr) {
		bindErr = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, c.Device)
	}); err != nil {
		return err
	}
	return bindErr
}

// Zoned gives a link-local address the zone of a link of the namespace.
func (n *NS) Zoned(t testing.TB, address netip.Addr, link string) netip.Addr {
	t.Helper()
	return address.WithZone(strconv.Itoa(n.LinkIndex(t, link)))
}

// TalkMuch sends an Echo server of TCP a lot of bytes while it takes them back.
func (c Client) TalkMuch(remote netip.AddrPort, size int) error {
	conn, err := c.dial(remote, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(make([]byte, size))
		sent <- err
	}()
	got, err := io.CopyN(io.Discard, conn, int64(size))
	if err != nil {
		return fmt.Errorf("%d of %d bytes came back: %w", got, size, err)
	}
	return <-sent
}
