package wire

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// encapsulated is an attribute of a next hop as the kernel writes it: RTA_ENCAP
// holds attributes of its own, with the type behind it.
var encapsulated = fib.Opaque(attribute(unix.RTA_ENCAP|unix.NLA_F_NESTED, number(1, 3)...)) +
	fib.Opaque(attribute(unix.RTA_ENCAP_TYPE, 2, 0))

func TestRouteRoundTrip(t *testing.T) {
	v4 := fib.Route{Family: fib.V4, Dst: prefix("10.0.0.0/8"), Table: 254, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST}
	v6 := fib.Route{Family: fib.V6, Dst: prefix("fd00::/8"), Table: 254, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST, Metric: 1024}
	with := func(r fib.Route, set func(*fib.Route)) fib.Route { set(&r); return r }
	tests := []struct {
		name  string
		route fib.Route
	}{
		{"IPv4 default", with(v4, func(r *fib.Route) { r.Dst = fib.V4.Any(); r.Hops = []fib.Hop{{Gateway: addr("192.0.2.1"), Index: 2}} })},
		{"IPv6 default", with(v6, func(r *fib.Route) { r.Dst = fib.V6.Any(); r.Hops = []fib.Hop{{Gateway: addr("fe80::1"), Index: 2}} })},
		{"on-link prefix", with(v4, func(r *fib.Route) {
			r.Scope = unix.RT_SCOPE_LINK
			r.PrefSrc = addr("10.1.2.3")
			r.Hops = []fib.Hop{{Index: 2}}
		})},
		{"host", with(v6, func(r *fib.Route) { r.Dst = prefix("fd00::1/128"); r.Hops = []fib.Hop{{Index: 2}} })},
		{"gateway that is not on the link", with(v4, func(r *fib.Route) { r.Hops = []fib.Hop{{Gateway: addr("169.254.1.1"), Index: 2, OnLink: true}} })},
		{"IPv4 through IPv6", with(v4, func(r *fib.Route) { r.Hops = []fib.Hop{{Gateway: addr("fe80::1"), Index: 2}} })},
		{"attributes", with(v4, func(r *fib.Route) {
			r.TOS, r.Metric, r.MTU, r.AdvMSS = 0x10, 100, 1400, 1360
			r.OtherMetrics = fib.Opaque(number(unix.RTAX_WINDOW, 4096)) + fib.Opaque(attribute(unix.RTAX_CC_ALGO, 'c', 'u', 'b', 'i', 'c', 0))
			r.Hops = []fib.Hop{{Index: 2}}
		})},
		{"source-specific", with(v6, func(r *fib.Route) {
			r.From = prefix("2001:db8::/32")
			r.Hops = []fib.Hop{{Gateway: addr("fe80::1"), Index: 2}}
		})},
		{"router preference", with(v6, func(r *fib.Route) { r.Pref = 1; r.Hops = []fib.Hop{{Gateway: addr("fe80::1"), Index: 2}} })},
		{"table beyond a byte", with(v4, func(r *fib.Route) { r.Table = 1<<32 - 1; r.Hops = []fib.Hop{{Index: 2}} })},
		{"blackhole", with(v4, func(r *fib.Route) { r.Type = unix.RTN_BLACKHOLE })},
		{"multipath", with(v4, func(r *fib.Route) {
			r.Hops = []fib.Hop{
				{Gateway: addr("10.1.0.1"), Index: 2, Weight: 1},
				{Gateway: addr("10.2.0.1"), Index: 3, Weight: 256, OnLink: true},
				{Index: 4, Weight: 7},
				{Gateway: addr("fe80::1"), Index: 5, Weight: 1},
			}
		})},
		{"multipath in IPv6", with(v6, func(r *fib.Route) {
			r.Hops = []fib.Hop{{Gateway: addr("fe80::1"), Index: 2, Weight: 1}, {Gateway: addr("fe80::2"), Index: 3, Weight: 2}}
		})},
		{"multipath of one hop", with(v4, func(r *fib.Route) { r.Hops = []fib.Hop{{Gateway: addr("10.1.0.1"), Index: 2, Weight: 1}} })},
		{"encapsulation", with(v4, func(r *fib.Route) { r.Hops = []fib.Hop{{Gateway: addr("10.1.0.1"), Index: 2, Other: encapsulated}} })},
		{"encapsulation of one hop", with(v4, func(r *fib.Route) {
			r.Hops = []fib.Hop{{Gateway: addr("10.1.0.1"), Index: 2, Weight: 1, Other: encapsulated}, {Gateway: addr("10.2.0.1"), Index: 3, Weight: 1}}
		})},
		{"realm", with(v4, func(r *fib.Route) { r.Hops = []fib.Hop{{Index: 2}}; r.Other = fib.Opaque(number(unix.RTA_FLOW, 5)) })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeRoute(EncodeRoute(tt.route))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.route, got, decoding); diff != "" {
				t.Errorf("the route changed (-encoded +decoded):\n%s", diff)
			}
			if !got.Equal(tt.route) {
				t.Error("not equal to itself")
			}
		})
	}
}

// The last attribute of a message, and of a next hop, need not be padded.
func TestDecodeRouteUnpadded(t *testing.T) {
	header := EncodeRoute(fib.Route{Family: fib.V4, Dst: fib.V4.Any(), Table: 254, Type: unix.RTN_UNICAST, Hops: []fib.Hop{{Index: 2}}})
	unpadded := func(kind uint16) []byte { return attribute(kind, 1, 2, 3, 4, 5)[:9] }
	hop := concat(numbers(17, 2), unpadded(unix.RTA_ENCAP))
	for name, b := range map[string][]byte{
		"route":    concat(header, unpadded(unix.RTA_FLOW)),
		"next hop": concat(header, attribute(unix.RTA_MULTIPATH, concat(hop, []byte{0, 0, 0}, hop)...)),
	} {
		t.Run(name, func(t *testing.T) {
			want, err := DecodeRoute(b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeRoute(EncodeRoute(want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, decoding); diff != "" {
				t.Errorf("the route changed (-decoded +written again):\n%s", diff)
			}
		})
	}
}

// Not all that a route says can be written again.
func TestRouteLosses(t *testing.T) {
	t.Run("a nexthop object stands for its hops", func(t *testing.T) {
		r := fib.Route{Family: fib.V4, Dst: fib.V4.Any(), Table: 254, Type: unix.RTN_UNICAST, NexthopID: 5, Hops: []fib.Hop{{Gateway: addr("10.0.0.1"), Index: 2}}}
		got, err := DecodeRoute(EncodeRoute(r))
		if err != nil {
			t.Fatal(err)
		}
		r.Hops = nil // the kernel refuses both at once
		if diff := cmp.Diff(r, got, decoding); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("expiry is the kernel's", func(t *testing.T) {
		r := fib.Route{Family: fib.V6, Dst: fib.V6.Any(), Table: 254, Type: unix.RTN_UNICAST, Expires: true, Hops: []fib.Hop{{Gateway: addr("fe80::1"), Index: 2}}}
		got, err := DecodeRoute(EncodeRoute(r))
		if err != nil {
			t.Fatal(err)
		}
		if got.Expires {
			t.Errorf("written all the same: %+v", got)
		}
		if !got.Equal(r) {
			t.Error("what the kernel changes by itself makes another route")
		}
	})
}

func TestDecodeRoute(t *testing.T) {
	header := func(family, dstBits uint8, flags uint32) []byte {
		return append([]byte{family, dstBits, 0, 0, 254, 3, 0, unix.RTN_UNICAST}, numbers(int32(flags))...)
	}
	base := fib.Route{Family: fib.V4, Dst: fib.V4.Any(), Table: 254, Protocol: 3, Type: unix.RTN_UNICAST}
	tests := []struct {
		name string
		b    []byte
		want func(*fib.Route)
	}{
		{"header alone", header(2, 0, 0), func(*fib.Route) {}},
		{"the table attribute wins", concat(header(2, 0, 0), number(unix.RTA_TABLE, 7300)), func(r *fib.Route) { r.Table = 7300 }},
		{"a destination is masked", concat(header(2, 8, 0), attribute(unix.RTA_DST, 10, 1, 2, 3)), func(r *fib.Route) { r.Dst = prefix("10.0.0.0/8") }},
		{
			"dead", concat(header(2, 0, unix.RTNH_F_DEAD), number(unix.RTA_OIF, 2)),
			func(r *fib.Route) { r.Hops = []fib.Hop{{Index: 2}} },
		},
		{
			"no carrier", concat(header(2, 0, unix.RTNH_F_LINKDOWN), number(unix.RTA_OIF, 2)),
			func(r *fib.Route) { r.Hops = []fib.Hop{{Index: 2}} },
		},
		{
			"expires", concat(header(2, 0, 0), attribute(unix.RTA_CACHEINFO, numbers(0, 0, 6000, 0, 0, 0, 0, 0)...)),
			func(r *fib.Route) { r.Expires = true },
		},
		{
			"does not expire", concat(header(2, 0, 0), attribute(unix.RTA_CACHEINFO, numbers(0, 0, 0, 0, 0, 0, 0, 0)...)),
			func(*fib.Route) {},
		},
		{
			"an answer's own attributes", concat(header(2, 0, 0), number(unix.RTA_IIF, 3), number(unix.RTA_UID, 0), number(unix.RTA_MARK, 0), attribute(unix.RTA_PAD)),
			func(*fib.Route) {},
		},
		{
			"a nexthop object and its hops", concat(header(2, 0, 0), number(rtaNHID, 5), number(unix.RTA_OIF, 2), attribute(unix.RTA_GATEWAY, 10, 0, 0, 1)),
			func(r *fib.Route) { r.NexthopID = 5; r.Hops = []fib.Hop{{Index: 2, Gateway: addr("10.0.0.1")}} },
		},
		{
			"metrics", concat(header(2, 0, 0), attribute(unix.RTA_METRICS|unix.NLA_F_NESTED, concat(number(unix.RTAX_MTU, 1400), number(unix.RTAX_LOCK, 4), number(unix.RTAX_ADVMSS, 1360))...)),
			func(r *fib.Route) {
				r.MTU, r.AdvMSS, r.OtherMetrics = 1400, 1360, fib.Opaque(number(unix.RTAX_LOCK, 4))
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := base
			tt.want(&want)
			got, err := DecodeRoute(tt.b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, decoding); diff != "" {
				t.Errorf("decoded wrongly (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRouteMalformed(t *testing.T) {
	header := []byte{unix.AF_INET, 24, 24, 0, 254, 3, 0, 1, 0, 0, 0, 0}
	tests := []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"half a header", header[:11]},
		{"another family", append([]byte{unix.AF_UNIX}, header[1:]...)},
		{"attribute longer than the message", concat(header, []byte{9, 0, 1, 0, 1, 2, 3, 4})},
		{"short metric", concat(header, attribute(unix.RTA_PRIORITY, 1))},
		{"empty preference", concat(header, attribute(unix.RTA_PREF))},
		{"gateway of 3 bytes", concat(header, attribute(unix.RTA_GATEWAY, 1, 2, 3))},
		{"via of 1 byte", concat(header, attribute(unix.RTA_VIA, 10))},
		{"via without address", concat(header, attribute(unix.RTA_VIA, 10, 0))},
		{"short metrics", concat(header, attribute(unix.RTA_METRICS, number(unix.RTAX_MTU, 1)[:7]...))},
		{"short mtu", concat(header, attribute(unix.RTA_METRICS, attribute(unix.RTAX_MTU, 1)...))},
		{"next hop shorter than its header", concat(header, attribute(unix.RTA_MULTIPATH, 7, 0, 0, 0, 1, 0, 0, 0))},
		{"next hop longer than the attribute", concat(header, attribute(unix.RTA_MULTIPATH, 9, 0, 0, 0, 1, 0, 0, 0))},
		{"address of the other family", concat([]byte{unix.AF_INET6}, header[1:], attribute(unix.RTA_DST, 1, 2, 3, 4))},
		{"broken attribute in a next hop", concat(header, attribute(unix.RTA_MULTIPATH, 12, 0, 0, 0, 1, 0, 0, 0, 9, 0, 5, 0))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r, err := DecodeRoute(tt.b); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, %v; want ErrMalformed", r, err)
			}
		})
	}
}

func TestEncodeQuery(t *testing.T) {
	header := func(family, dst, src uint8, flags uint32) []byte {
		return append([]byte{family, dst, src, 0, 0, 0, 0, 0}, numbers(int32(flags))...)
	}
	tests := []struct {
		name  string
		query fib.Query
		want  []byte
	}{
		{
			"IPv4", fib.Query{To: addr("10.0.0.1")},
			concat(header(2, 32, 0, unix.RTM_F_LOOKUP_TABLE), attribute(unix.RTA_DST, 10, 0, 0, 1)),
		},
		{
			"IPv4 that arrives", fib.Query{To: addr("10.0.0.1"), From: addr("10.0.0.2"), IIF: 7},
			concat(header(2, 32, 32, unix.RTM_F_LOOKUP_TABLE), attribute(unix.RTA_DST, 10, 0, 0, 1), attribute(unix.RTA_SRC, 10, 0, 0, 2), number(unix.RTA_IIF, 7)),
		},
		{
			"IPv6 of a bound socket", fib.Query{To: addr("fe80::1"), OIF: 7},
			concat(header(10, 128, 0, 0), attribute(unix.RTA_DST, addr("fe80::1").AsSlice()...), number(unix.RTA_OIF, 7)),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, EncodeQuery(tt.query)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
