package wire

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

func TestSelectors(t *testing.T) {
	all := ^uint32(0)
	u32 := func(kind uint16, v uint32) fib.Opaque { return fib.Opaque(appendU32(nil, kind, v)) }
	tests := []struct {
		name  string
		other fib.Opaque
		want  fib.Selectors
		text  string
	}{
		{"none", "", fib.Selectors{Suppress: -1}, ""},
		{
			"mark and mask", u32(unix.FRA_FWMARK, 1) + u32(unix.FRA_FWMASK, 15),
			fib.Selectors{Mark: 1, Mask: 15, Suppress: -1}, " fwmark 0x1/0xf",
		},
		{"mark alone", u32(unix.FRA_FWMARK, 1), fib.Selectors{Mark: 1, Mask: all, Suppress: -1}, " fwmark 0x1"},
		{
			"protocol and ports",
			fib.Opaque(appendU8(nil, unix.FRA_IP_PROTO, 6)) + fib.Opaque(appendAttr(nil, unix.FRA_DPORT_RANGE, append(u16(80), u16(90)...))),
			fib.Selectors{Protocol: 6, Ports: fib.Ports{First: 80, Last: 90}, Suppress: -1}, " ipproto 6 dport 80-90",
		},
		{
			"source port", fib.Opaque(appendAttr(nil, unix.FRA_SPORT_RANGE, append(u16(53), u16(53)...))),
			fib.Selectors{SourcePorts: fib.Ports{First: 53, Last: 53}, Suppress: -1}, " sport 53",
		},
		{"VRF", fib.Opaque(appendU8(nil, unix.FRA_L3MDEV, 1)), fib.Selectors{L3Mdev: true, Suppress: -1}, " lookup [l3mdev-table]"},
		{"suppressor", u32(unix.FRA_SUPPRESS_PREFIXLEN, 0), fib.Selectors{}, " suppress_prefixlength 0"},
		{
			"users", fib.Opaque(appendAttr(nil, unix.FRA_UID_RANGE, []byte{1, 0, 0, 0, 2, 0, 0, 0})),
			fib.Selectors{UIDs: &[2]uint32{1, 2}, Suppress: -1}, " uidrange 1-2",
		},
		{"something new", u32(200, 1), fib.Selectors{Unknown: true, Suppress: -1}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Selectors(fib.Rule{Other: tt.other})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.String() != tt.text {
				t.Errorf("as text %q, want %q", got.String(), tt.text)
			}
		})
	}
}

func u16(v uint16) []byte { return []byte{byte(v), byte(v >> 8)} }

// FuzzSelectors: whatever a kernel sends, it is read or refused.
func FuzzSelectors(f *testing.F) {
	f.Add(appendU32(nil, unix.FRA_FWMARK, 1))
	f.Add([]byte{4, 0, 10, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Selectors(fib.Rule{Other: fib.Opaque(b)}); err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%v is not ErrMalformed", err)
		}
	})
}

// FuzzNeighbour: whatever a kernel sends, it is read or refused.
func FuzzNeighbour(f *testing.F) {
	f.Add(make([]byte, neighbourHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := DecodeNeighbour(b); err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%v is not ErrMalformed", err)
		}
	})
}

func TestEncodePacket(t *testing.T) {
	q := fib.Query{To: netip.MustParseAddr("192.0.2.7"), From: netip.MustParseAddr("203.0.113.144"), IIF: 3}
	plain := EncodePacket(fib.Packet{Query: q})
	if diff := cmp.Diff(EncodeQuery(q), plain); diff != "" {
		t.Errorf("a packet of which no more is known (-query +packet):\n%s", diff)
	}
	more := EncodePacket(fib.Packet{Query: q, Mark: 1, Protocol: 6, SourcePort: 53, Port: 8080})
	// RTA_MARK 1, RTA_IP_PROTO 6, RTA_SPORT 53 and RTA_DPORT 8080 in the network's byte order.
	const want = "0800100001000000" + "05001b0006000000" + "06001c0000350000" + "06001d001f900000"
	if got := hex.EncodeToString(more[len(plain):]); got != want {
		t.Errorf("behind the query %s, want %s", got, want)
	}
}
