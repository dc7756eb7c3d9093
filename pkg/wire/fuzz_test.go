package wire

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

func FuzzDecodeRule(f *testing.F) {
	for _, r := range []fib.Rule{
		{Family: fib.V4, Priority: 5, From: prefix("192.0.2.7/32"), To: prefix("10.0.0.0/8"), IIF: "eth0", OIF: "net1", Action: fib.Lookup, Table: 7300, Protocol: 73},
		{Family: fib.V6, Inverted: true, TOS: 4, From: prefix("2001:db8::/32"), Action: fib.Unreachable, Other: fib.Opaque(number(unix.FRA_FWMARK, 7))},
	} {
		f.Add(EncodeRule(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRule(b)
		if err != nil {
			malformed(t, err)
			return
		}
		_ = r.String()
		again, err := DecodeRule(EncodeRule(r))
		if err != nil || again != r {
			t.Errorf("decoded as\n%#v, written again it is\n%#v (%v)", r, again, err)
		}
		if r.Family == fib.V4 || r.Family == fib.V6 { // of others nobody asks
			if again := throughText(t, r); again != r {
				t.Errorf("decoded as\n%#v, as a line of text it is\n%#v", r, again)
			}
		}
	})
}

func FuzzDecodeRoute(f *testing.F) {
	for _, r := range []fib.Route{
		{Family: fib.V4, Dst: fib.V4.Any(), Table: 254, Type: unix.RTN_UNICAST, MTU: 1400, OtherMetrics: fib.Opaque(number(unix.RTAX_WINDOW, 9)), Hops: []fib.Hop{{Gateway: addr("10.0.0.1"), Index: 2, OnLink: true}}},
		{Family: fib.V4, Dst: prefix("10.0.0.0/8"), TOS: 4, Table: 7300, PrefSrc: addr("10.0.0.1"), Metric: 5, Hops: []fib.Hop{{Gateway: addr("fe80::1"), Index: 2, Weight: 1}, {Index: 3, Weight: 7, Other: encapsulated}}},
		{Family: fib.V6, Dst: prefix("fd00::/8"), From: prefix("2001:db8::/32"), Pref: 3, AdvMSS: 1200, Other: fib.Opaque(number(unix.RTA_FLOW, 5)), Hops: []fib.Hop{{Index: 2}}},
		{Family: fib.V6, Dst: fib.V6.Any(), NexthopID: 7},
	} {
		f.Add(EncodeRoute(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRoute(b)
		if err != nil {
			malformed(t, err)
			return
		}
		_ = r.String()
		if again := throughText(t, r); !again.Equal(r) {
			t.Errorf("decoded as\n%#v, as a line of text it is\n%#v", r, again)
		}
		if r.NexthopID != 0 {
			r.Hops = nil // the object stands for them
		}
		again, err := DecodeRoute(EncodeRoute(r))
		if err != nil || !again.Equal(r) {
			t.Errorf("decoded as\n%#v, written again it is\n%#v (%v)", r, again, err)
		}
	})
}

func FuzzDecodeLink(f *testing.F) {
	f.Add(concat(numbers(0, 7, unix.IFF_UP, 0), appendText(nil, unix.IFLA_IFNAME, "net1"), number(unix.IFLA_MASTER, 3)))
	f.Add(concat(numbers(0, 7, 0, 0), attribute(unix.IFLA_AF_SPEC, concat(settings4(nil), settings6(1, 1))...)))
	f.Add(concat(numbers(0, 7, 0, 0), attribute(unix.IFLA_LINKINFO, concat(appendText(nil, unix.IFLA_INFO_KIND, "vrf"), attribute(unix.IFLA_INFO_DATA, number(unix.IFLA_VRF_TABLE, 9)...))...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := DecodeLink(b); err != nil {
			malformed(t, err)
		}
	})
}

func FuzzDecodeAddress(f *testing.F) {
	f.Add(concat([]byte{2, 24, 0, 0}, numbers(7), attribute(unix.IFA_LOCAL, 192, 0, 2, 7), number(unix.IFA_FLAGS, unix.IFA_F_TENTATIVE)))
	f.Add(concat([]byte{10, 64, 0, 0}, numbers(7), attribute(unix.IFA_ADDRESS, addr("2001:db8::7").AsSlice()...)))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := DecodeAddress(b)
		if err != nil {
			malformed(t, err)
			return
		}
		if !a.Prefix.IsValid() {
			t.Errorf("decoded without an address: %+v", a)
		}
	})
}

// FuzzWithoutAge makes sure that nothing but the age is left out: twice is once, and
// the route is the same.
func FuzzWithoutAge(f *testing.F) {
	r := EncodeRoute(fib.Route{Family: fib.V6, Dst: fib.V6.Any(), Table: 254, Metric: 5, Hops: []fib.Hop{{Gateway: addr("fe80::1"), Index: 2}}})
	f.Add(r)
	f.Add(r[:len(r)-3])
	f.Add(concat(r, attribute(unix.RTA_CACHEINFO, make([]byte, 32)...)))
	f.Add(concat(r, attribute(unix.RTA_CACHEINFO, make([]byte, 32)...), []byte{3, 0, 12, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		given := bytes.Clone(b)
		without := WithoutAge(b)
		if !bytes.Equal(given, b) {
			t.Error("the message was changed")
		}
		if again := WithoutAge(without); !bytes.Equal(again, without) {
			t.Errorf("%x became %x", without, again)
		}
		before, err := DecodeRoute(b)
		if err != nil {
			return
		}
		after, err := DecodeRoute(without)
		before.Expires = after.Expires // that the kernel will drop it is told by its age
		if err != nil || !before.Equal(after) {
			t.Errorf("%s became %s (%v)", before, after, err)
		}
	})
}

// malformed holds every refusal to the one error that callers know.
func malformed(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrMalformed) {
		t.Errorf("%v is not ErrMalformed", err)
	}
}

func FuzzDecodeConf(f *testing.F) {
	f.Add(concat(EncodeConfDump(), number(netconfaIndex, 0xffffffff), number(netconfaRPFilter, 2)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := DecodeConf(b); err != nil {
			malformed(t, err)
		}
	})
}
