package wire

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// settings4 is an IFLA_INET_CONF with all settings 0 but for those given, by
// their number in the kernel.
func settings4(set map[int]int32) []byte {
	values := make([]int32, 33)
	for number, v := range set {
		values[number-1] = v
	}
	return attribute(unix.AF_INET|unix.NLA_F_NESTED, attribute(unix.IFLA_INET_CONF, numbers(values...)...)...)
}

func settings6(disabled, keepAddr int32) []byte {
	values := make([]int32, 60)
	values[confDisableIPv6] = disabled
	values[42] = keepAddr
	return attribute(unix.AF_INET6|unix.NLA_F_NESTED, attribute(unix.IFLA_INET6_CONF, numbers(values...)...)...)
}

func TestDecodeLink(t *testing.T) {
	header := func(index int32, flags int32) []byte { return numbers(unix.AF_UNSPEC, index, flags, 0) }
	kind := func(name string, data ...byte) []byte {
		return attribute(unix.IFLA_LINKINFO|unix.NLA_F_NESTED, concat(appendText(nil, unix.IFLA_INFO_KIND, name), attribute(unix.IFLA_INFO_DATA|unix.NLA_F_NESTED, data...))...)
	}
	tests := []struct {
		name string
		b    []byte
		want fib.Link
	}{
		{
			"loopback",
			concat(header(1, unix.IFF_UP|unix.IFF_LOOPBACK|unix.IFF_RUNNING|unix.IFF_LOWER_UP), appendText(nil, unix.IFLA_IFNAME, "lo")),
			fib.Link{Index: 1, Name: "lo", Up: true, Loopback: true},
		},
		{
			"without carrier",
			header(7, unix.IFF_UP),
			fib.Link{Index: 7, Up: true, Idle: "no carrier"},
		},
		{
			"whose carrier has just gone",
			header(7, unix.IFF_UP|unix.IFF_RUNNING),
			fib.Link{Index: 7, Up: true, Idle: "no carrier"},
		},
		{
			"dormant, or whose carrier has just come",
			header(7, unix.IFF_UP|unix.IFF_LOWER_UP),
			fib.Link{Index: 7, Up: true, Idle: "dormant"},
		},
		{
			"down, of a bridge",
			concat(header(7, unix.IFF_BROADCAST), appendText(nil, unix.IFLA_IFNAME, "net1"), number(unix.IFLA_MASTER, 3), kind("veth")),
			fib.Link{Index: 7, Name: "net1", Master: 3, Kind: "veth"},
		},
		{
			"VRF",
			concat(header(7, unix.IFF_UP|unix.IFF_RUNNING|unix.IFF_LOWER_UP), kind("vrf", number(unix.IFLA_VRF_TABLE, 7300)...)),
			fib.Link{Index: 7, Up: true, Kind: "vrf", VRFTable: 7300},
		},
		{
			"data of another kind is not a VRF's",
			concat(header(7, 0), kind("vxlan", number(unix.IFLA_VRF_TABLE, 7300)...)),
			fib.Link{Index: 7, Kind: "vxlan"},
		},
		{
			"settings",
			concat(header(7, 0), attribute(unix.IFLA_AF_SPEC, concat(settings4(map[int]int32{8: 2, 13: 1, 18: 2, 19: 1}), settings6(0, 1))...)),
			fib.Link{
				Index: 7, HasIPv4: true, HasIPv6: true, IPv6: true,
				Settings: fib.Settings{RPFilter: 2, ARPFilter: 1, ARPAnnounce: 2, ARPIgnore: 1, KeepAddrOnDown: 1},
			},
		},
		{
			"negative setting",
			concat(header(7, 0), attribute(unix.IFLA_AF_SPEC, settings4(map[int]int32{8: -1})...)),
			fib.Link{Index: 7, HasIPv4: true, Settings: fib.Settings{RPFilter: -1}},
		},
		{
			"IPv6 disabled",
			concat(header(7, 0), attribute(unix.IFLA_AF_SPEC, settings6(1, 0)...)),
			fib.Link{Index: 7, HasIPv6: true},
		},
		{
			"addresses that are never kept", // -1, by the administrator
			concat(header(7, 0), attribute(unix.IFLA_AF_SPEC, settings6(0, -1)...)),
			fib.Link{Index: 7, HasIPv6: true, IPv6: true, Settings: fib.Settings{KeepAddrOnDown: -1}},
		},
		{
			"a kernel without keep_addr_on_down", // before Linux 4.6
			concat(header(7, 0), attribute(unix.IFLA_AF_SPEC,
				attribute(unix.AF_INET6, attribute(unix.IFLA_INET6_CONF, numbers(make([]int32, 42)...)...)...)...)),
			fib.Link{Index: 7, HasIPv6: true, IPv6: true},
		},
		{
			"a kernel with fewer settings",
			concat(header(7, 0), attribute(unix.IFLA_AF_SPEC, attribute(unix.AF_INET, attribute(unix.IFLA_INET_CONF, numbers(1, 1, 1, 1, 1, 1, 1, 1)...)...)...)),
			fib.Link{Index: 7, HasIPv4: true, Settings: fib.Settings{RPFilter: 1}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeLink(tt.b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("decoded wrongly (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeLinkMalformed(t *testing.T) {
	header := numbers(0, 1, 0, 0)
	broken := []byte{9, 0, 1, 0}
	tests := []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"half a header", header[:15]},
		{"attribute longer than the message", concat(header, broken)},
		{"short master", concat(header, attribute(unix.IFLA_MASTER, 1))},
		{"broken info", concat(header, attribute(unix.IFLA_LINKINFO, broken...))},
		{"broken VRF", concat(header, attribute(unix.IFLA_LINKINFO, concat(appendText(nil, unix.IFLA_INFO_KIND, "vrf"), attribute(unix.IFLA_INFO_DATA, broken...))...))},
		{"short VRF table", concat(header, attribute(unix.IFLA_LINKINFO, concat(appendText(nil, unix.IFLA_INFO_KIND, "vrf"), attribute(unix.IFLA_INFO_DATA, attribute(unix.IFLA_VRF_TABLE, 1)...))...))},
		{"broken family", concat(header, attribute(unix.IFLA_AF_SPEC, broken...))},
		{"broken settings", concat(header, attribute(unix.IFLA_AF_SPEC, attribute(unix.AF_INET, broken...)...))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if l, err := DecodeLink(tt.b); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %+v, %v; want ErrMalformed", l, err)
			}
		})
	}
}

func TestDecodeAddress(t *testing.T) {
	header := func(family, bits, flags, scope uint8) []byte {
		return append([]byte{family, bits, flags, scope}, numbers(7)...)
	}
	v4, v6 := []byte{192, 0, 2, 7}, addr("2001:db8::7").AsSlice()
	tests := []struct {
		name string
		b    []byte
		want fib.Address
	}{
		{
			"IPv4", concat(header(2, 24, 0, 0), attribute(unix.IFA_ADDRESS, v4...), attribute(unix.IFA_LOCAL, v4...)),
			fib.Address{Index: 7, Prefix: prefix("192.0.2.7/24")},
		},
		{
			"point to point: the local end counts", concat(header(2, 32, 0, 0), attribute(unix.IFA_ADDRESS, 192, 0, 2, 9), attribute(unix.IFA_LOCAL, v4...)),
			fib.Address{Index: 7, Prefix: prefix("192.0.2.7/32")},
		},
		{
			"IPv6 has but one", concat(header(10, 64, 0, 0), attribute(unix.IFA_ADDRESS, v6...)),
			fib.Address{Index: 7, Prefix: prefix("2001:db8::7/64")},
		},
		{
			"scope", concat(header(10, 64, 0, unix.RT_SCOPE_LINK), attribute(unix.IFA_ADDRESS, addr("fe80::7").AsSlice()...)),
			fib.Address{Index: 7, Prefix: prefix("fe80::7/64"), Scope: unix.RT_SCOPE_LINK},
		},
		{
			"tentative", concat(header(10, 64, unix.IFA_F_TENTATIVE, 0), attribute(unix.IFA_ADDRESS, v6...)),
			fib.Address{Index: 7, Prefix: prefix("2001:db8::7/64"), Tentative: true},
		},
		{
			"duplicate", concat(header(10, 64, 0, 0), attribute(unix.IFA_ADDRESS, v6...), number(unix.IFA_FLAGS, unix.IFA_F_DADFAILED)),
			fib.Address{Index: 7, Prefix: prefix("2001:db8::7/64"), Tentative: true, Duplicate: true},
		},
		{
			"optimistic is usable", concat(header(10, 64, 0, 0), attribute(unix.IFA_ADDRESS, v6...), number(unix.IFA_FLAGS, unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC)),
			fib.Address{Index: 7, Prefix: prefix("2001:db8::7/64")},
		},
		{
			"the wider flags win", concat(header(10, 64, unix.IFA_F_TENTATIVE, 0), attribute(unix.IFA_ADDRESS, v6...), number(unix.IFA_FLAGS, unix.IFA_F_NOPREFIXROUTE)),
			fib.Address{Index: 7, Prefix: prefix("2001:db8::7/64")},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeAddress(tt.b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, netipValues); diff != "" {
				t.Errorf("decoded wrongly (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeAddressMalformed(t *testing.T) {
	header := append([]byte{2, 24, 0, 0}, numbers(7)...)
	tests := []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"half a header", header[:7]},
		{"no address", header},
		{"address of 3 bytes", concat(header, attribute(unix.IFA_LOCAL, 1, 2, 3))},
		{"short flags", concat(header, attribute(unix.IFA_FLAGS, 1, 2, 3))},
		{"broken attribute", concat(header, []byte{9, 0, 1, 0})},
		{"prefix longer than its address", concat([]byte{2, 33, 0, 0}, numbers(7), attribute(unix.IFA_LOCAL, 1, 2, 3, 4))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if a, err := DecodeAddress(tt.b); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %+v, %v; want ErrMalformed", a, err)
			}
		})
	}
}
