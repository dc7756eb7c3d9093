package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// fuzzedSeq is the number of the request that fuzzed datagrams answer, or do not.
const fuzzedSeq = 7

// netlinkMessage is a message as the kernel sends it, padded.
func netlinkMessage(kind, flags uint16, seq uint32, body []byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, body...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

// netlinkSize is a message whose length field says something else.
func netlinkSize(size uint32, message []byte) []byte {
	b := bytes.Clone(message)
	binary.NativeEndian.PutUint32(b, size)
	return b
}

// FuzzAnswer takes datagrams for answers of the kernel. What is passed on are the
// bodies of the messages of this request that stand before its end, in their order,
// each a copy; a message that claims more than there is ends it with ErrNoAnswer.
func FuzzAnswer(f *testing.F) {
	route := netlinkMessage(unix.RTM_NEWROUTE, unix.NLM_F_MULTI, fuzzedSeq, make([]byte, 12))
	stale := netlinkMessage(unix.NLMSG_ERROR, 0, fuzzedSeq-1, netlinkError(int32(unix.ENOENT), nil))
	done := netlinkMessage(unix.NLMSG_DONE, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, fuzzedSeq, []byte{0, 0, 0, 0})
	refused := netlinkMessage(unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, fuzzedSeq,
		netlinkError(int32(unix.ENETUNREACH), []byte{1, 2, 3, 4}, netlinkText(unix.NLMSGERR_ATTR_MSG, "no")))
	for _, seed := range [][]byte{
		nil, route[:15], route, slices.Concat(route, route, done), slices.Concat(stale, route), refused,
		slices.Concat(route, done, route), slices.Concat(done[:len(done)-4], make([]byte, 3)),
		netlinkMessage(unix.RTM_NEWROUTE, 0, fuzzedSeq, []byte{1, 2, 3, 4, 5})[:21], // no padding behind the last
		netlinkMessage(unix.NLMSG_NOOP, 0, fuzzedSeq, nil), netlinkMessage(unix.NLMSG_OVERRUN, 0, fuzzedSeq, nil),
		netlinkMessage(unix.NLMSG_ERROR, 0, fuzzedSeq, []byte{1, 2}),
		netlinkSize(0, route), netlinkSize(15, route), netlinkSize(16, route), netlinkSize(29, route), netlinkSize(1<<31, route), netlinkSize(1<<32-1, route),
		slices.Concat(netlinkSize(17, route), done),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		given := bytes.Clone(datagram)
		var a answer
		var got [][]byte
		ended, err := a.take(datagram, fuzzedSeq, func(b []byte) { got = append(got, b) })
		if err != nil && !ended {
			t.Errorf("it goes on after %v", err)
		}
		want, end := walkDatagram(given)
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("passed on\n%x, there are\n%x", got, want)
		}
		switch end {
		case "torn":
			if !errors.Is(err, ErrNoAnswer) {
				t.Errorf("a message that claims more than there is: %v", err)
			}
		case "end":
			if !ended {
				t.Error("the end was passed over")
			}
		case "":
			if ended || err != nil {
				t.Errorf("ended %t without an end, %v", ended, err)
			}
		}
		if want := min(len(got), 1); a.parts != want {
			t.Errorf("%d parts in one datagram with %d messages", a.parts, len(got))
		}
		for _, b := range got {
			for i := range b {
				b[i]++
			}
		}
		if !bytes.Equal(given, datagram) {
			t.Error("what was passed on is no copy")
		}
	})
}

// walkDatagram lists the bodies that a datagram holds for the fuzzed request, and
// how they end: "end", "torn" or not in this datagram.
func walkDatagram(b []byte) (bodies [][]byte, end string) {
	for at := uint64(0); at+16 <= uint64(len(b)); {
		size := uint64(binary.NativeEndian.Uint32(b[at:]))
		if size < 16 || at+size > uint64(len(b)) {
			return bodies, "torn"
		}
		kind, seq := binary.NativeEndian.Uint16(b[at+4:]), binary.NativeEndian.Uint32(b[at+8:])
		if seq == fuzzedSeq && (kind == unix.NLMSG_ERROR || kind == unix.NLMSG_DONE) {
			return bodies, "end"
		}
		if seq == fuzzedSeq {
			bodies = append(bodies, b[at+16:at+size])
		}
		at += (size + 3) / 4 * 4
	}
	return bodies, ""
}

// FuzzVerdict reads the ends of exchanges. It is a success where the kernel says so,
// or says nothing at the end of a dump, and else the errno, with the kernel's words or
// without.
func FuzzVerdict(f *testing.F) {
	words := netlinkText(unix.NLMSGERR_ATTR_MSG, "no")
	f.Add(uint16(unix.NLMSG_ERROR), uint16(unix.NLM_F_ACK_TLVS), netlinkError(5, []byte{1, 2, 3, 4}, words))
	f.Add(uint16(unix.NLMSG_ERROR), uint16(unix.NLM_F_ACK_TLVS|unix.NLM_F_CAPPED), netlinkError(5, nil, words))
	f.Add(uint16(unix.NLMSG_ERROR), uint16(unix.NLM_F_ACK_TLVS), netlinkError(5, nil, words[:5]))
	f.Add(uint16(unix.NLMSG_ERROR), uint16(unix.NLM_F_ACK_TLVS), netlinkSize(1<<32-1, netlinkError(5, nil, words)))
	f.Add(uint16(unix.NLMSG_DONE), uint16(unix.NLM_F_ACK_TLVS|unix.NLM_F_CAPPED), []byte{255, 255, 255, 255, 8, 0, 1, 0, 'n', 'o', 0, 0})
	f.Add(uint16(unix.NLMSG_DONE), uint16(0), []byte(nil))
	f.Add(uint16(unix.NLMSG_ERROR), uint16(0), []byte{0, 0, 0, 128}) // the least number
	f.Fuzz(func(t *testing.T, kind, flags uint16, body []byte) {
		err := verdict(kind, flags, body)
		switch {
		case len(body) < 4 && kind == unix.NLMSG_DONE:
			if err != nil {
				t.Errorf("an end without an errno: %v", err)
			}
		case len(body) < 4:
			if !errors.Is(err, ErrNoAnswer) {
				t.Errorf("an error message that is cut off: %v", err)
			}
		default:
			code := int32(binary.NativeEndian.Uint32(body))
			if code >= 0 && err != nil || code < 0 && !errors.Is(err, unix.Errno(-code)) {
				t.Errorf("of %d became %v", code, err)
			}
		}
	})
}
