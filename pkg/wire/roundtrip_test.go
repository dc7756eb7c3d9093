package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// A VIP is read as what was written. Of IPv6 it is usable at once and brings no route.
func TestAddressRoundTrip(t *testing.T) {
	for _, a := range []fib.Address{
		{Index: 7, Prefix: prefix("192.0.2.7/32"), Scope: unix.RT_SCOPE_HOST, Protocol: 73},
		{Index: 7, Prefix: prefix("192.0.2.7/24")},
		{Index: 1, Prefix: prefix("2001:db8::7/128"), Deprecated: true, Protocol: 73},
		{Index: 1, Prefix: prefix("2001:db8::7/64")},
	} {
		b := EncodeAddress(a)
		if a.Deprecated { // the kernel says so by a flag, which follows from the lifetimes
			b = append(b, number(unix.IFA_FLAGS, unix.IFA_F_DEPRECATED)...)
		}
		got, err := DecodeAddress(b)
		if diff := cmp.Diff(a, got, netipValues); err != nil || diff != "" {
			t.Errorf("%v (-encoded +decoded):\n%s", err, diff)
		}
	}
	var flags uint32
	for a, err := range attrs(EncodeAddress(fib.Address{Index: 1, Prefix: prefix("2001:db8::7/128")})[addressHeader:]) {
		if err == nil && a.kind == unix.IFA_FLAGS {
			flags, err = a.u32()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if flags != unix.IFA_F_NODAD|unix.IFA_F_NOPREFIXROUTE {
		t.Errorf("its flags are %#x", flags)
	}
	for text, want := range map[string]string{"192.0.2.7/32": "192.0.2.7", "192.0.2.7/24": "192.0.2.7/24", "2001:db8::7/128": "2001:db8::7"} {
		if got := (fib.Address{Prefix: prefix(text)}).String(); got != want {
			t.Errorf("%s is printed as %s, want %s", text, got, want)
		}
	}
}

// A device is read as what was written; one that is set up or down is named by its index.
func TestLinkRoundTrip(t *testing.T) {
	want := fib.Link{Index: 9, Name: "tunl9", Kind: fib.KindIPIP, AnyToAny: true}
	got, err := DecodeLink(EncodeLink(want))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-encoded +decoded):\n%s", err, diff)
	}
	for _, up := range []bool{true, false} {
		if got, err := DecodeLink(EncodeLinkState(9, up)); err != nil || got.Index != 9 || got.Up != up {
			t.Errorf("up %t: %+v, %v", up, got, err)
		}
		b := EncodeLinkState(9, up)
		if diff := cmp.Diff(numbers(unix.IFF_UP), b[12:]); diff != "" { // ifi_change
			t.Errorf("flags that are meant (-want +got):\n%s", diff)
		}
	}
	if got, err := DecodeLink(EncodeLinkDeletion(9)); err != nil || got != (fib.Link{Index: 9}) {
		t.Errorf("deletion: %+v, %v", got, err)
	}
}

func TestDecodeTunnel(t *testing.T) {
	tunnel := func(kind string, data ...[]byte) []byte {
		info := concat(appendText(nil, unix.IFLA_INFO_KIND, kind), attribute(unix.IFLA_INFO_DATA, concat(data...)...))
		return concat(numbers(0, 9, 0, 0), attribute(unix.IFLA_LINKINFO, info...))
	}
	none, one := attribute(iflaIPTunnelLocal, 0, 0, 0, 0), attribute(iflaIPTunnelRemote, 192, 0, 2, 7)
	for _, tt := range []struct {
		name string
		b    []byte
		want fib.Link
	}{
		{"fallback", tunnel(fib.KindIPIP, none, attribute(iflaIPTunnelRemote, 0, 0, 0, 0)), fib.Link{Index: 9, Kind: fib.KindIPIP, AnyToAny: true}},
		{"to somebody", tunnel(fib.KindIPIP, none, one), fib.Link{Index: 9, Kind: fib.KindIPIP}},
		{
			"IPv6 in IPv6", tunnel(fib.KindIP6Tunnel, attribute(iflaIPTunnelProto, unix.IPPROTO_IPV6)),
			fib.Link{Index: 9, Kind: fib.KindIP6Tunnel, AnyToAny: true, Inside: unix.IPPROTO_IPV6},
		},
		{"of another kind", tunnel("gre", attribute(iflaIPTunnelProto, 5)), fib.Link{Index: 9, Kind: "gre"}},
	} {
		if got, err := DecodeLink(tt.b); err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

// The deletion of an IPv4 route of one hop names it as a multipath of one, which takes no
// multipath route that begins with the same hop; its weight does not count.
func TestEncodeRouteDeletion(t *testing.T) {
	one := fib.Route{Family: fib.V4, Dst: fib.V4.Any(), Table: 254, Type: unix.RTN_UNICAST, Hops: []fib.Hop{{Gateway: addr("10.0.0.1"), Index: 2, OnLink: true}}}
	got, err := DecodeRoute(EncodeRouteDeletion(one))
	if err != nil || len(got.Hops) != 1 || got.Hops[0].Weight != 1 || !got.Equal(one) {
		t.Errorf("got %#v (%v)", got, err)
	}
	if one.Hops[0].Weight != 0 {
		t.Error("the given route was changed")
	}
	six := fib.Route{Family: fib.V6, Dst: fib.V6.Any(), Table: 254, Hops: []fib.Hop{{Gateway: addr("fe80::1"), Index: 2}}}
	object := fib.Route{Family: fib.V4, Dst: fib.V4.Any(), Table: 254, NexthopID: 5, Hops: []fib.Hop{{Index: 2}}}
	for _, r := range []fib.Route{six, object, {Family: fib.V4, Dst: fib.V4.Any(), Type: unix.RTN_BLACKHOLE}} {
		if diff := cmp.Diff(EncodeRoute(r), EncodeRouteDeletion(r)); diff != "" {
			t.Errorf("%s is deleted as another (-added +deleted):\n%s", r, diff)
		}
	}
}
