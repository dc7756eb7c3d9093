package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrMissed is returned where changes came faster than they were read: some were not told.
var ErrMissed = errors.New("changes were missed")

// Change is a change of a network namespace: of a link, an address, a route, a rule or rp_filter.
type Change struct {
	// Namespace is the number that the caller's namespace has for it (Numbers.Of); NoNumber: it is the
	// caller's own.
	Namespace int
	// Link is the index of the interface that went up, down or away, or may have; 0: it was no such change.
	Link int
	// Running is whether it carries packets now (IFF_RUNNING).
	Running bool
}

// NoNumber is the number of a namespace that has none here (NETNSA_NSID_NOT_ASSIGNED).
const NoNumber = -1

// Changes tells what changes in all network namespaces that have a number in the one it was opened in. It is one
// socket of that namespace, and so keeps no other one alive: a socket in each pod would.
type Changes struct {
	file            *os.File
	raw             syscall.RawConn
	buffer, control []byte
}

// changesBuffer is what the kernel may hold for us, in bytes. Hundreds of pods on one link change at once.
const changesBuffer = 8 << 20

// WatchChanges begins to listen. It needs CAP_NET_BROADCAST (NETLINK_LISTEN_ALL_NSID, netlink_setsockopt).
func WatchChanges() (*Changes, error) {
	sock, err := nl.Subscribe(unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return nil, fmt.Errorf("listen to changes: %w", err)
	}
	defer sock.Close() // the copy stays
	fd := sock.GetFd()
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1); err != nil {
		return nil, fmt.Errorf("listen to changes in all namespaces, which needs CAP_NET_BROADCAST: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, changesBuffer); err != nil {
		// Without CAP_NET_ADMIN it is what net.core.rmem_max allows.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, changesBuffer)
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("copy a socket: %w", err)
	}
	if err := unix.SetNonblock(dup, true); err != nil {
		return nil, errors.Join(fmt.Errorf("have a socket not block: %w", err), unix.Close(dup))
	}
	file := os.NewFile(uintptr(dup), "netlink")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Changes{file: file, raw: raw, buffer: make([]byte, 64<<10), control: make([]byte, unix.CmsgSpace(4))}, nil
}

// Close ends Next, too.
func (c *Changes) Close() error { return c.file.Close() }

// Next waits for changes. Its error is ErrMissed, after which it goes on, or os.ErrClosed, or the system's.
func (c *Changes) Next() ([]Change, error) {
	for {
		var n, control int
		var failed error
		err := c.raw.Read(func(fd uintptr) bool {
			n, control, _, _, failed = unix.Recvmsg(int(fd), c.buffer, c.control, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: %w", os.ErrClosed, err) // nothing else ends the wait
		case errors.Is(failed, unix.EINTR):
		case errors.Is(failed, unix.ENOBUFS):
			return nil, ErrMissed
		case failed != nil:
			return nil, fmt.Errorf("read changes: %w", failed)
		default:
			return decodeChanges(c.buffer[:n], number(c.control[:control])), nil
		}
	}
}

// number is the one that the namespace of a message has here.
func number(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return NoNumber
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_NETLINK && m.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(m.Data) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(m.Data)))
		}
	}
	return NoNumber
}

// decodeChanges reads the messages of one namespace. What is cut off is left out.
func decodeChanges(b []byte, namespace int) []Change {
	var out []Change
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			break
		}
		out = append(out, decodeChange(binary.NativeEndian.Uint16(b[4:]), b[unix.NLMSG_HDRLEN:size], namespace))
		b = b[min((size+3)&^3, len(b)):]
	}
	return out
}

func decodeChange(kind uint16, payload []byte, namespace int) Change {
	c := Change{Namespace: namespace}
	if (kind == unix.RTM_NEWLINK || kind == unix.RTM_DELLINK) && len(payload) >= unix.SizeofIfInfomsg {
		c.Link = int(int32(binary.NativeEndian.Uint32(payload[4:])))
		c.Running = kind == unix.RTM_NEWLINK && binary.NativeEndian.Uint32(payload[8:])&unix.IFF_RUNNING != 0
	}
	return c
}

// Numbers gives network namespaces numbers in the one of the caller, by which Changes tells them apart.
type Numbers struct{ sock *socket }

// OpenNumbers opens it.
func OpenNumbers() (*Numbers, error) {
	s, err := openSocket(patience)
	if err != nil {
		return nil, err
	}
	return &Numbers{s}, nil
}

// Close closes it.
func (n *Numbers) Close() { n.sock.close() }

// Of is the number of the namespace at a path. One that has none is given one, which needs CAP_NET_ADMIN
// (rtnl_net_newid). The namespace is not entered. Its errors are ErrGone, or the system's.
func (n *Numbers) Of(path string) (int, error) {
	pod, err := open(path)
	if err != nil {
		return NoNumber, err
	}
	defer pod.Close() //nolint:errcheck // it was only looked at
	id, err := n.ask(netns.NsHandle(pod.Fd()))
	if err != nil || id != NoNumber {
		return id, err
	}
	// Any number that is free.
	if err := n.sock.change(unix.RTM_NEWNSID, 0, numberRequest(netns.NsHandle(pod.Fd()), nl.NewRtAttr(unix.NETNSA_NSID, nl.Uint32Attr(^uint32(0))))); err != nil &&
		!errors.Is(err, unix.EEXIST) {
		return NoNumber, fmt.Errorf("number a network namespace: %w", err)
	}
	return n.ask(netns.NsHandle(pod.Fd()))
}

func (n *Numbers) ask(pod netns.NsHandle) (int, error) {
	r := n.sock.ask(unix.RTM_GETNSID, numberRequest(pod))[0]
	if r.err != nil {
		return NoNumber, fmt.Errorf("ask for the number of a network namespace: %w", r.err)
	}
	if len(r.payload) < rtgenLen {
		return NoNumber, errors.New("the number of a network namespace is cut off")
	}
	attrs, err := nl.ParseRouteAttr(r.payload[rtgenLen:])
	if err != nil {
		return NoNumber, fmt.Errorf("read the number of a network namespace: %w", err)
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.NETNSA_NSID && len(a.Value) >= 4 {
			return int(int32(binary.NativeEndian.Uint32(a.Value))), nil
		}
	}
	return NoNumber, nil
}

// rtgenLen is the length of struct rtgenmsg, with its padding.
const rtgenLen = 4

func numberRequest(pod netns.NsHandle, more ...*nl.RtAttr) []byte {
	b := make([]byte, rtgenLen)
	for _, a := range append([]*nl.RtAttr{nl.NewRtAttr(unix.NETNSA_FD, nl.Uint32Attr(uint32(pod)))}, more...) {
		b = append(b, a.Serialize()...)
	}
	return b
}
