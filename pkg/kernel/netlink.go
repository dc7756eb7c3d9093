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
	receiveBuffer = 64 << 10
)

// socket is a route netlink socket. It stays in the network namespace that it
// was opened in. Not safe for concurrent use.
//
// It is our own and not a library's, because an all-or-nothing plugin must know
// of each failed request whether the kernel refused it or its answer was lost.
type socket struct {
	fd     int
	seq    uint32
	buffer []byte
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

// ask sends a question and returns the payload of its one answer. Unlike a change it
// needs no confirmation: a refusal comes by itself.
func (s *socket) ask(kind uint16, payload []byte) (got []byte, err error) {
	if err := s.send(kind, 0, payload); err != nil {
		return nil, err
	}
	for ended := false; got == nil && !ended; {
		n, err := s.read()
		if err != nil {
			return nil, err
		}
		if ended, err = new(answer).take(s.buffer[:n], s.seq, func(b []byte) { got = b }); err != nil {
			return nil, err
		}
	}
	if got == nil {
		return nil, fmt.Errorf("%w: neither an answer nor a refusal", ErrNoAnswer)
	}
	return got, nil
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

func (s *socket) send(kind, flags uint16, payload []byte) error {
	s.seq++
	b := make([]byte, 0, unix.NLMSG_HDRLEN+len(payload))
	b = binary.NativeEndian.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+len(payload)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags|unix.NLM_F_REQUEST)
	b = binary.NativeEndian.AppendUint32(b, s.seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, payload...)
	for {
		err := unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
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
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return true, fmt.Errorf("%w: message of %d bytes in %d", ErrNoAnswer, size, len(b))
		}
		kind, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
		body := b[unix.NLMSG_HDRLEN:size]
		if binary.NativeEndian.Uint32(b[8:]) == seq {
			a.interrupted = a.interrupted || flags&unix.NLM_F_DUMP_INTR != 0
			switch kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				return true, verdict(kind, flags, body)
			}
			if !held {
				a.parts++
				held = true
			}
			each(append([]byte(nil), body...))
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false, nil
}

func (s *socket) read() (int, error) {
	for {
		n, from, err := unix.Recvfrom(s.fd, s.buffer, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, fmt.Errorf("%w within %d seconds", ErrNoAnswer, answerTimeout)
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
