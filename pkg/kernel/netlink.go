package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// ErrNoAnswer is wrapped by the error of a request whose answer did not arrive:
// the kernel may or may not have carried it out.
var ErrNoAnswer = errors.New("no answer from the kernel")

// Limits of one request.
const (
	answerTimeout = 10 // seconds to wait for an answer
	dumpTries     = 20 // a dump that changes underneath is read again this often
	drainTries    = 10_000
	receiveBuffer = 64 << 10
	// askedAtOnce questions have their answers wait in the socket: less than a KiB each
	// (netlink_trim), of usually 208 KiB (net.core.rmem_default).
	askedAtOnce = 16
)

// errNoRoom is wrapped, with ErrNoAnswer, when answers found no room in the socket.
var errNoRoom = errors.New("the socket is full")

// socket is a route netlink socket. It stays in the network namespace that it
// was opened in. Not safe for concurrent use.
//
// It is our own and not a library's, because an all-or-nothing plugin must know
// of each failed request whether the kernel refused it or its answer was lost.
type socket struct {
	fd       int
	seq      uint32
	requests []byte // those last sent
	buffer   []byte // the answer last read
	// strict is set where the kernel filters dumps (Linux 4.20).
	strict bool
}

func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	s := &socket{fd: fd, buffer: make([]byte, receiveBuffer)}
	s.strict = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1) == nil
	// Without the kernel's own words for a refusal we have the errno.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	// A lost answer must not hang the runtime.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerTimeout}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("set the netlink socket's timeout: %w", err)
	}
	return s, nil
}

func (s *socket) close() error { return unix.Close(s.fd) }

// change sends a request to change something and waits for the kernel's verdict.
func (s *socket) change(kind uint16, flags uint16, payload []byte) error {
	if err := s.send(kind, flags|unix.NLM_F_ACK, payload); err != nil {
		return err
	}
	_, err := s.receive(func([]byte) {})
	return err
}

// A reply is the answer to one question: a payload, or why there is none.
type reply struct {
	payload []byte
	err     error
}

func (r reply) given() bool { return r.payload != nil || r.err != nil }

// ask sends questions, many in one datagram, and returns the answers in the same order.
// Unlike a change a question needs no confirmation: a refusal comes by itself. Where an
// answer is lost, those to come are not waited for.
func (s *socket) ask(kind uint16, payloads ...[]byte) []reply {
	replies := make([]reply, len(payloads))
	atOnce := askedAtOnce
	for from := 0; from < len(payloads); {
		to := min(from+atOnce, len(payloads))
		err := s.askAtOnce(kind, payloads[from:to], replies[from:to])
		if errors.Is(err, errNoRoom) && atOnce > 1 {
			atOnce = 1 // for which there always is
			continue
		}
		if err != nil {
			for i := range replies[from:] {
				if r := &replies[from+i]; !r.given() {
					r.err = err
				}
			}
			break
		}
		from = to
	}
	return replies
}

// askAtOnce sends questions in one datagram and fills in the replies. Those that have not come
// by the time of an error are left empty.
func (s *socket) askAtOnce(kind uint16, payloads [][]byte, replies []reply) error {
	clear(replies) // of those that came before the socket was full
	if err := s.send(kind, 0, payloads...); err != nil {
		return err
	}
	first := s.seq - uint32(len(payloads)-1)
	for missing := len(replies); missing > 0; {
		n, err := s.read()
		if err != nil {
			return err
		}
		for b := s.buffer[:n]; len(b) >= unix.NLMSG_HDRLEN; {
			var m message
			if m, b, err = cut(b); err != nil {
				return err
			}
			// Answers to an earlier request that was given up on are passed over.
			if i := m.seq - first; i < uint32(len(replies)) && !replies[i].given() {
				replies[i] = m.reply()
				missing--
			}
		}
	}
	return nil
}

// dump sends a dump request and returns the payloads of all answers. A dump
// that the kernel marks as interrupted is not a picture of any moment and is
// read again (NLM_F_DUMP_INTR). Of rules and IPv6 routes the kernel does not
// mark it: so one that came in several parts counts when it comes a second time.
func (s *socket) dump(kind uint16, payload []byte) ([][]byte, error) {
	var last [][]byte
	for range dumpTries {
		if err := s.send(kind, unix.NLM_F_DUMP, payload); err != nil {
			return nil, err
		}
		var got [][]byte
		a, err := s.receive(func(b []byte) { got = append(got, b) })
		if errors.Is(err, unix.EBUSY) {
			// An earlier dump, which was given up on, has not ended: reading on is
			// what ends it (__netlink_dump_start).
			last = nil
			continue
		}
		if err != nil {
			return nil, err
		}
		if !a.interrupted && (a.parts <= 1 || (last != nil && slices.EqualFunc(last, got, sameMessage(kind)))) {
			return got, nil
		}
		last = got
	}
	return nil, fmt.Errorf("%w: it changed during each of %d reads", ErrUnsteady, dumpTries)
}

// sameMessage tells whether two messages of a dump say the same. What is left of a
// route's lifetime does not count: it ticks.
func sameMessage(kind uint16) func(a, b []byte) bool {
	if kind != unix.RTM_GETROUTE {
		return bytes.Equal
	}
	return func(a, b []byte) bool {
		return bytes.Equal(a, b) || bytes.Equal(fib.WithoutAge(a), fib.WithoutAge(b))
	}
}

// send sends requests of one kind in one datagram. The last has the number s.seq.
func (s *socket) send(kind, flags uint16, payloads ...[]byte) error {
	s.requests = s.requests[:0]
	for _, payload := range payloads { // a multiple of four bytes long, as all of route netlink
		s.seq++
		s.requests = binary.NativeEndian.AppendUint32(s.requests, uint32(unix.NLMSG_HDRLEN+len(payload)))
		s.requests = binary.NativeEndian.AppendUint16(s.requests, kind)
		s.requests = binary.NativeEndian.AppendUint16(s.requests, flags|unix.NLM_F_REQUEST)
		s.requests = binary.NativeEndian.AppendUint32(s.requests, s.seq)
		s.requests = binary.NativeEndian.AppendUint32(s.requests, 0)
		s.requests = append(s.requests, payload...)
	}
	for {
		err := unix.Sendto(s.fd, s.requests, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return notSent(err)
		}
	}
}

// notSent is the error of a request that did not get to the kernel. It hides the
// errno, which is not the kernel's verdict on what was asked for.
func notSent(err error) error {
	if err == nil {
		return nil
	}
	return errors.New("send to the kernel: " + err.Error())
}

// answer tells how the answers to a request came.
type answer struct {
	parts       int // datagrams that held any
	interrupted bool
}

// receive reads the answers to the last request up to its end.
func (s *socket) receive(each func([]byte)) (answer, error) {
	var a answer
	for {
		n, err := s.read()
		if err != nil {
			return a, err
		}
		if ended, err := a.take(s.buffer[:n], s.seq, each); ended || err != nil {
			return a, err
		}
	}
}

// take reads one datagram of the answers to a request, and reports whether it was
// the last. Answers to an earlier request that was given up on are passed over.
func (a *answer) take(b []byte, seq uint32, each func([]byte)) (ended bool, err error) {
	held := false
	for len(b) >= unix.NLMSG_HDRLEN {
		var m message
		if m, b, err = cut(b); err != nil {
			return true, err
		}
		if m.seq != seq {
			continue
		}
		a.interrupted = a.interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
		if m.ends() {
			return true, verdict(m.kind, m.flags, m.body)
		}
		if !held {
			a.parts++
			held = true
		}
		each(bytes.Clone(m.body))
	}
	return false, nil
}

// A message is one of those in a datagram. Its body is part of the socket's buffer.
type message struct {
	kind, flags uint16
	seq         uint32
	body        []byte
}

// cut takes the first message off a datagram that has room for its header.
func cut(b []byte) (m message, rest []byte, err error) {
	size := int(binary.NativeEndian.Uint32(b))
	if size < unix.NLMSG_HDRLEN || size > len(b) {
		return message{}, nil, fmt.Errorf("%w: message of %d bytes in %d", ErrNoAnswer, size, len(b))
	}
	m = message{
		kind:  binary.NativeEndian.Uint16(b[4:]),
		flags: binary.NativeEndian.Uint16(b[6:]),
		seq:   binary.NativeEndian.Uint32(b[8:]),
		body:  b[unix.NLMSG_HDRLEN:size],
	}
	return m, b[min((size+3)&^3, len(b)):], nil
}

// ends tells the end of an exchange, which says how it went.
func (m message) ends() bool { return m.kind == unix.NLMSG_DONE || m.kind == unix.NLMSG_ERROR }

// reply is what the message says to a question.
func (m message) reply() reply {
	if !m.ends() {
		return reply{payload: bytes.Clone(m.body)}
	}
	err := verdict(m.kind, m.flags, m.body)
	if err == nil {
		err = fmt.Errorf("%w: neither an answer nor a refusal", ErrNoAnswer)
	}
	return reply{err: err}
}

func (s *socket) read() (int, error) {
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buffer, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, fmt.Errorf("%w within %d seconds", ErrNoAnswer, answerTimeout)
		case errors.Is(err, unix.ENOBUFS):
			s.drain()
			return 0, fmt.Errorf("%w: %w", ErrNoAnswer, errNoRoom)
		case err != nil:
			return 0, fmt.Errorf("%w: %s", ErrNoAnswer, err.Error()) // no verdict either
		case n > len(s.buffer):
			return 0, fmt.Errorf("%w: an answer of %d bytes", ErrNoAnswer, n)
		}
		if kernel, ok := from.(*unix.SockaddrNetlink); ok && kernel.Pid == 0 {
			return n, nil
		}
	}
}

// drain reads what is left of answers. After one has found no room the kernel drops all
// until then (netlink_overrun). It ends whatever others in the pod send to the socket.
func (s *socket) drain() {
	for range drainTries {
		if _, _, err := unix.Recvfrom(s.fd, s.buffer, unix.MSG_DONTWAIT); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// verdict reads the errno at the end of an exchange, with the kernel's own
// words where it has some (NLMSGERR_ATTR_MSG).
func verdict(kind, flags uint16, body []byte) error {
	if len(body) < 4 {
		if kind == unix.NLMSG_DONE {
			return nil
		}
		return fmt.Errorf("%w: an error message of %d bytes", ErrNoAnswer, len(body))
	}
	code := int32(binary.NativeEndian.Uint32(body))
	if code >= 0 {
		return nil
	}
	errno := unix.Errno(-code)
	if words := kernelWords(kind, flags, body[4:]); words != "" {
		return fmt.Errorf("%w (%s)", errno, words)
	}
	return errno
}

func kernelWords(kind, flags uint16, b []byte) string {
	if flags&unix.NLM_F_ACK_TLVS == 0 {
		return ""
	}
	if kind == unix.NLMSG_ERROR { // the request's header stands before the attributes, and its body unless capped
		if len(b) < unix.NLMSG_HDRLEN {
			return ""
		}
		skip := unix.NLMSG_HDRLEN
		if flags&unix.NLM_F_CAPPED == 0 {
			skip = int(binary.NativeEndian.Uint32(b)+3) &^ 3
		}
		b = b[min(skip, len(b)):]
	}
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return ""
		}
		if binary.NativeEndian.Uint16(b[2:]) == unix.NLMSGERR_ATTR_MSG {
			return unix.ByteSliceToString(b[unix.SizeofRtAttr:n])
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return ""
}
