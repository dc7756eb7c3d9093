package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/wire"
)

// ErrNoAnswer is wrapped by the error of a request whose answer did not arrive:
// the kernel may or may not have carried it out.
var ErrNoAnswer = errors.New("no answer from the kernel")

const (
	dumpTries = 20 // a dump that changes underneath is read again this often
	// onePart is less than the kernel puts into the first part of a dump (NLMSG_GOODSIZE).
	onePart = 3 << 10
)

// patience is how long an answer is waited for. The kernel's come at once, but for those to
// requests that wait for the lock of all network configuration (rtnl_lock).
const patience = 30 * time.Second

// socket is a route netlink socket in the network namespace that it was opened in.
type socket struct {
	handles  map[int]*nl.SocketHandle
	words    bool // the kernel says in words, too, why it refuses
	patience time.Duration
	// timer closes the socket where an answer does not come. It is one for all requests: a
	// deadline of the socket's own wakes the poller for each.
	timer *time.Timer
}

func openSocket(patience time.Duration) (*socket, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	// Older kernels filter no dumps (Linux 4.20).
	_ = unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	timer := time.AfterFunc(patience, s.Close)
	timer.Stop()
	return &socket{handles: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}, patience: patience, timer: timer}, nil
}

func (s *socket) close() { s.handles[unix.NETLINK_ROUTE].Close() }

// reopen begins anew with a socket on which nothing is left unread.
func (s *socket) reopen() error {
	fresh, err := openSocket(s.patience)
	if err != nil {
		return err
	}
	s.close()
	*s = *fresh
	return nil
}

func (s *socket) fd() int { return s.handles[unix.NETLINK_ROUTE].Socket.GetFd() }

func (s *socket) execute(kind, flags uint16, payload []byte) ([][]byte, error) {
	req := nl.NewNetlinkRequest(int(kind), int(flags))
	req.Sockets = s.handles
	req.AddRawData(payload)
	s.timer.Reset(s.patience)
	got, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if s.timer.Stop() {
		return got, err
	}
	if err != nil {
		err = fmt.Errorf("none came within %s", s.patience)
	}
	return got, errors.Join(err, s.reopen())
}

// change sends a request to change something and waits for the kernel's verdict.
func (s *socket) change(kind, flags uint16, payload []byte) error {
	s.wantWords(true)
	_, err := s.execute(kind, flags|unix.NLM_F_ACK, payload)
	return verdict(err)
}

// wantWords has the kernel say in words, too, why it refuses, or not. Of a dump it must not:
// package nl takes what stands behind the error of a dump for the request's echo.
func (s *socket) wantWords(want bool) {
	if s.words != want {
		_ = s.handles[unix.NETLINK_ROUTE].Socket.SetExtAck(want) // they are for the reader alone
		s.words = want
	}
}

// verdict tells the kernel's refusals from answers that were lost. What the socket itself
// may say counts as lost even where the kernel said it: then more is taken back than was done,
// which does no harm.
func verdict(err error) error {
	if err == nil {
		return nil
	}
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok || slices.Contains([]unix.Errno{unix.EAGAIN, unix.EINTR, unix.ENOBUFS, unix.ENOMEM, unix.EBADF, unix.ECONNREFUSED}, errno) {
		return fmt.Errorf("%w: %s", ErrNoAnswer, err.Error())
	}
	return err
}

// A reply is the answer to one question: a payload, or why there is none.
type reply struct {
	payload []byte
	err     error
}

// ask sends questions and returns the answers in the same order. Unlike a change a question
// needs no confirmation: a refusal comes by itself.
func (s *socket) ask(kind uint16, payloads ...[]byte) []reply {
	replies := make([]reply, len(payloads))
	for i, p := range payloads {
		got, err := s.execute(kind, 0, p)
		switch {
		case err != nil:
			replies[i].err = verdict(err)
		case len(got) == 0:
			replies[i].err = fmt.Errorf("%w: neither an answer nor a refusal", ErrNoAnswer)
		default:
			replies[i].payload = got[0]
		}
	}
	return replies
}

// dump sends a dump request and returns the payloads of all answers. A dump
// that the kernel marks as interrupted is not a picture of any moment and is
// read again (NLM_F_DUMP_INTR). Of rules and IPv6 routes the kernel does not
// mark it: so one that came in several parts counts when it comes a second time.
func (s *socket) dump(kind uint16, payload []byte) ([][]byte, error) {
	s.wantWords(false)
	var last [][]byte
	for range dumpTries {
		got, err := s.execute(kind, unix.NLM_F_DUMP, payload)
		if errors.Is(err, nl.ErrDumpInterrupted) {
			last = nil
			continue
		}
		if errors.Is(err, unix.EBUSY) { // a dump that was given up on is not over (__netlink_dump_start)
			if err := s.reopen(); err != nil {
				return nil, err
			}
			continue
		}
		if err := verdict(err); err != nil {
			return nil, err
		}
		size := 0
		for _, m := range got {
			size += unix.NLMSG_HDRLEN + len(m)
		}
		if marked(kind, payload) || size < onePart || last != nil && slices.EqualFunc(last, got, sameMessage(kind)) {
			return got, nil
		}
		last = got
	}
	return nil, fmt.Errorf("%w: it changed during each of %d reads", ErrUnsteady, dumpTries)
}

// marked tells the dumps that the kernel marks when they were interrupted.
func marked(kind uint16, payload []byte) bool {
	return kind != unix.RTM_GETRULE && (kind != unix.RTM_GETROUTE || payload[0] != unix.AF_INET6)
}

// sameMessage tells whether two messages of a dump say the same. What is left of a
// route's lifetime does not count: it ticks.
func sameMessage(kind uint16) func(a, b []byte) bool {
	if kind != unix.RTM_GETROUTE {
		return bytes.Equal
	}
	return func(a, b []byte) bool {
		return bytes.Equal(a, b) || bytes.Equal(wire.WithoutAge(a), wire.WithoutAge(b))
	}
}
