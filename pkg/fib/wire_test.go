package fib

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A VIP is read as what was written. Of IPv6 it is usable at once and brings no route.
func TestAddressRoundTrip(t *testing.T) {
	for _, a := range []Address{
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
	for a, err := range attrs(EncodeAddress(Address{Index: 1, Prefix: prefix("2001:db8::7/128")})[addressHeader:]) {
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
		if got := (Address{Prefix: prefix(text)}).String(); got != want {
			t.Errorf("%s is printed as %s, want %s", text, got, want)
		}
	}
}

// A device is read as what was written; one that is set up or down is named by its index.
func TestLinkRoundTrip(t *testing.T) {
	want := Link{Index: 9, Name: "tunl9", Kind: KindIPIP, AnyToAny: true}
	got, err := DecodeLink(EncodeLink(want))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-encoded +decoded):\n%s", err, diff)
	}
	for _, up := range []bool{true, false} {
		if got, err := DecodeLink(EncodeLinkState(9, up)); err != nil || got != (Link{Index: 9, Up: up}) {
			t.Errorf("up %t: %+v, %v", up, got, err)
		}
		b := EncodeLinkState(9, up)
		if diff := cmp.Diff(numbers(unix.IFF_UP), b[12:]); diff != "" { // ifi_change
			t.Errorf("flags that are meant (-want +got):\n%s", diff)
		}
	}
	if got, err := DecodeLink(EncodeLinkDeletion(9)); err != nil || got != (Link{Index: 9}) {
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
		want Link
	}{
		{"fallback", tunnel(KindIPIP, none, attribute(iflaIPTunnelRemote, 0, 0, 0, 0)), Link{Index: 9, Kind: KindIPIP, AnyToAny: true}},
		{"to somebody", tunnel(KindIPIP, none, one), Link{Index: 9, Kind: KindIPIP}},
		{
			"IPv6 in IPv6", tunnel(KindIP6Tunnel, attribute(iflaIPTunnelProto, unix.IPPROTO_IPV6)),
			Link{Index: 9, Kind: KindIP6Tunnel, AnyToAny: true, Inside: unix.IPPROTO_IPV6},
		},
		{"of another kind", tunnel("gre", attribute(iflaIPTunnelProto, 5)), Link{Index: 9, Kind: "gre"}},
	} {
		if got, err := DecodeLink(tt.b); err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

// The deletion of an IPv4 route of one hop names it as a multipath of one, which takes no
// multipath route that begins with the same hop; its weight does not count.
func TestEncodeRouteDeletion(t *testing.T) {
	one := Route{Family: V4, Dst: V4.Any(), Table: 254, Type: unix.RTN_UNICAST, Hops: []Hop{{Gateway: addr("10.0.0.1"), Index: 2, OnLink: true}}}
	got, err := DecodeRoute(EncodeRouteDeletion(one))
	if err != nil || len(got.Hops) != 1 || got.Hops[0].Weight != 1 || !got.Equal(one) {
		t.Errorf("got %#v (%v)", got, err)
	}
	if one.Hops[0].Weight != 0 {
		t.Error("the given route was changed")
	}
	six := Route{Family: V6, Dst: V6.Any(), Table: 254, Hops: []Hop{{Gateway: addr("fe80::1"), Index: 2}}}
	object := Route{Family: V4, Dst: V4.Any(), Table: 254, NexthopID: 5, Hops: []Hop{{Index: 2}}}
	for _, r := range []Route{six, object, {Family: V4, Dst: V4.Any(), Type: unix.RTN_BLACKHOLE}} {
		if diff := cmp.Diff(EncodeRoute(r), EncodeRouteDeletion(r)); diff != "" {
			t.Errorf("%s is deleted as another (-added +deleted):\n%s", r, diff)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{{nil, false}, {unix.ENETUNREACH, true}, {ErrMalformed, false}} {
		if got := (Answer{Err: tt.err}).Refused(); got != tt.want {
			t.Errorf("%v: refused %t", tt.err, got)
		}
	}
}

func TestOpaque(t *testing.T) {
	given := map[string]Opaque{"a": "\x00\xff", "b": ""}
	text, err := json.Marshal(given)
	if want := `{"a":"00ff","b":""}`; err != nil || string(text) != want {
		t.Errorf("got %s (%v), want %s", text, err, want)
	}
	var again map[string]Opaque
	if err := json.Unmarshal(text, &again); err != nil || again["a"] != given["a"] {
		t.Errorf("read as %q (%v)", again, err)
	}
}

// What is asked about to see where the default leads must not be on a link by itself.
func TestOffLink(t *testing.T) {
	for _, f := range Families() {
		all := OffLink(f)
		for _, a := range all {
			if FamilyOf(a) != f || !a.IsGlobalUnicast() || a.IsPrivate() {
				t.Errorf("%s: %s", f, a)
			}
		}
		if len(all) < 3 {
			t.Errorf("%s: %d are few", f, len(all))
		}
	}
}

func TestSnapshotLists(t *testing.T) {
	route := func(table uint32, dst string, index int) Route {
		p := prefix(dst)
		return Route{Family: FamilyOf(p.Addr()), Dst: p, Table: table, Type: unix.RTN_UNICAST, Hops: []Hop{{Index: index}}}
	}
	s := &Snapshot{
		Links:     []Link{{Index: 1, Name: "lo"}, {Index: 5, Name: "net1", Settings: Settings{RPFilter: 1}}},
		Addresses: []Address{{Index: 5, Prefix: prefix("192.0.2.7/24")}},
		Routes:    []Route{route(254, "0.0.0.0/0", 5), route(254, "10.0.0.0/8", 5), route(7300, "0.0.0.0/0", 9), route(254, "::/0", 5)},
		All:       Settings{RPFilter: 2},
	}
	if l, ok := s.LinkAt(5); !ok || l.Name != "net1" || s.EffectiveRPFilter(l) != 2 {
		t.Errorf("link 5 is %+v, %t", l, ok)
	}
	if _, ok := s.Link("net2"); ok {
		t.Error("there is a net2")
	}
	if got := s.LinkNames(); got != "lo, net1" {
		t.Errorf("links are %s", got)
	}
	if a, ok := s.Address(addr("192.0.2.7")); !ok || a.Index != 5 {
		t.Errorf("the address is %+v, %t", a, ok)
	}
	if got := len(s.Table(254)); got != 3 {
		t.Errorf("main has %d routes, want 3", got)
	}
	if got := len(s.Defaults(254)); got != 2 {
		t.Errorf("main has %d defaults, want 2", got)
	}
	s.NameHops(s.Routes)
	if first, other := s.Routes[0].Hops[0].Dev, s.Routes[2].Hops[0].Dev; first != "net1" || other != "" {
		t.Errorf("hops are by %q and %q", first, other)
	}
}
