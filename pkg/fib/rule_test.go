package fib

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestRuleRoundTrip(t *testing.T) {
	tests := []struct {
		name string
		rule Rule
	}{
		{"everything", Rule{Family: V4, Priority: 32766, Action: Lookup, Table: 254, Protocol: unix.RTPROT_KERNEL}},
		{"priority 0", Rule{Family: V6, Action: Lookup, Table: 255, Protocol: unix.RTPROT_KERNEL}},
		{"IPv4 host", Rule{Family: V4, Priority: 5, From: prefix("192.0.2.7/32"), Action: Lookup, Table: 7300, Protocol: 73}},
		{"IPv6 host", Rule{Family: V6, Priority: 5, From: prefix("2001:db8::7/128"), Action: Lookup, Table: 7300, Protocol: 73}},
		{"both ends", Rule{Family: V4, Priority: 5, From: prefix("192.0.2.0/24"), To: prefix("10.96.0.0/12"), Action: Lookup, Table: 254}},
		{"both ends in IPv6", Rule{Family: V6, Priority: 5, From: prefix("2001:db8::/64"), To: prefix("fd00::/8"), Action: Lookup, Table: 254}},
		{"devices", Rule{Family: V4, Priority: 5, IIF: "eth0", OIF: "net1", Action: Lookup, Table: 9}},
		{"longest device name", Rule{Family: V4, Priority: 5, OIF: "abcdefghijklmno", Action: Lookup, Table: 9}},
		{"last table of a byte", Rule{Family: V4, Priority: 5, Action: Lookup, Table: 255}},
		{"first table beyond", Rule{Family: V4, Priority: 5, Action: Lookup, Table: 256}},
		{"last table", Rule{Family: V4, Priority: 1<<32 - 1, Action: Lookup, Table: 1<<32 - 1, Protocol: 255}},
		{"refusal", Rule{Family: V4, Priority: 32765, From: prefix("192.0.2.7/32"), Action: Unreachable, Protocol: 73}},
		{"goto", Rule{Family: V4, Priority: 32765, From: prefix("192.0.2.7/32"), Action: Goto, Target: 40000, Protocol: 73}},
		{"goto of a bound socket", Rule{Family: V6, Priority: 32765, OIF: "net1", Action: Goto, Target: 40000, Protocol: 73}},
		{"last target", Rule{Family: V4, Priority: 5, Action: Goto, Target: 1<<32 - 1}},
		{"anchor", Rule{Family: V6, Priority: 40000, Action: Nop, Protocol: 73}},
		{"action of another kind", Rule{Family: V4, Priority: 5, Action: 200}},
		{"inverted", Rule{Family: V4, Priority: 5, Inverted: true, From: prefix("192.0.2.0/24"), Action: Lookup, Table: 9}},
		{"type of service", Rule{Family: V4, Priority: 5, TOS: 0x10, Action: Lookup, Table: 9}},
		{"mark", Rule{Family: V4, Priority: 5, Action: Lookup, Table: 9, Other: Opaque(number(unix.FRA_FWMARK, 7)) + Opaque(number(unix.FRA_FWMASK, 0xff))}},
		{"suppressed", Rule{Family: V4, Priority: 5, Action: Lookup, Table: 254, Other: Opaque(number(unix.FRA_SUPPRESS_PREFIXLEN, 0))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeRule(EncodeRule(tt.rule))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.rule, got, netipValues); diff != "" {
				t.Errorf("the rule changed (-encoded +decoded):\n%s", diff)
			}
		})
	}
}

func TestDecodeRule(t *testing.T) {
	header := func(action uint8, flags uint32) []byte {
		return append([]byte{unix.AF_INET, 0, 24, 0, 254, 0, 0, action}, numbers(int32(flags))...)
	}
	tests := []struct {
		name string
		b    []byte
		want Rule
	}{
		{
			"what the kernel always writes",
			concat(header(unix.FR_ACT_TO_TBL, 0), number(unix.FRA_TABLE, 7300), number(unix.FRA_SUPPRESS_PREFIXLEN, 1<<32-1),
				number(unix.FRA_SUPPRESS_IFGROUP, 1<<32-1), attribute(unix.FRA_PROTOCOL, 73), number(unix.FRA_PRIORITY, 9),
				attribute(unix.FRA_SRC, 192, 0, 2, 0), attribute(fraPad)),
			Rule{Family: V4, Priority: 9, From: prefix("192.0.2.0/24"), Action: Lookup, Table: 7300, Protocol: 73},
		},
		{
			"a source is masked",
			concat(header(unix.FR_ACT_TO_TBL, 0), attribute(unix.FRA_SRC, 192, 0, 2, 77)),
			Rule{Family: V4, From: prefix("192.0.2.0/24"), Action: Lookup, Table: 254},
		},
		{
			"only a lookup has a table",
			concat(header(unix.FR_ACT_UNREACHABLE, 0), number(unix.FRA_TABLE, 254)),
			Rule{Family: V4, Action: Unreachable},
		},
		{
			"goto",
			concat(header(unix.FR_ACT_GOTO, 4), number(unix.FRA_GOTO, 100)),
			Rule{Family: V4, Action: Goto, Target: 100},
		},
		{
			"only a goto has a target",
			concat(header(unix.FR_ACT_NOP, 0), number(unix.FRA_GOTO, 100)),
			Rule{Family: V4, Action: Nop},
		},
		{
			"a goto whose target is missing",
			concat(header(unix.FR_ACT_GOTO, unix.FIB_RULE_UNRESOLVED), number(unix.FRA_GOTO, 40000)),
			Rule{Family: V4, Action: Goto, Target: 40000},
		},
		{
			"the device is absent now",
			concat(header(unix.FR_ACT_TO_TBL, unix.FIB_RULE_DEV_DETACHED), attribute(unix.FRA_OIFNAME, 'n', 'e', 't', '1', 0)),
			Rule{Family: V4, OIF: "net1", Action: Lookup, Table: 254},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeRule(tt.b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, netipValues); diff != "" {
				t.Errorf("decoded wrongly (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRuleMalformed(t *testing.T) {
	header := []byte{unix.AF_INET, 24, 24, 0, 254, 0, 0, 1, 0, 0, 0, 0}
	tests := []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"half a header", header[:11]},
		{"attribute shorter than its header", concat(header, []byte{3, 0, 1, 0})},
		{"attribute longer than the message", concat(header, []byte{9, 0, 1, 0, 1, 2, 3, 4})},
		{"short priority", concat(header, attribute(unix.FRA_PRIORITY, 1, 2))},
		{"empty protocol", concat(header, attribute(unix.FRA_PROTOCOL))},
		{"address of 5 bytes", concat(header, attribute(unix.FRA_SRC, 1, 2, 3, 4, 5))},
		{"prefix longer than its address", concat([]byte{unix.AF_INET, 33, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0}, attribute(unix.FRA_DST, 1, 2, 3, 4))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r, err := DecodeRule(tt.b); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, %v; want ErrMalformed", r, err)
			}
		})
	}
}

func TestRuleString(t *testing.T) {
	tests := []struct {
		rule Rule
		want string
	}{
		{
			Rule{Family: V4, Priority: 32763, From: prefix("192.0.2.7/32"), Action: Lookup, Table: 7300, Protocol: 73},
			"32763: from 192.0.2.7 lookup 7300 proto 73",
		},
		{
			Rule{Family: V6, Priority: 32762, From: prefix("2001:db8::7/128"), To: prefix("fd00::/8"), Action: Lookup, Table: 254, Protocol: 73},
			"32762: from 2001:db8::7 to fd00::/8 lookup main proto 73",
		},
		{
			Rule{Family: V4, Priority: 32764, OIF: "net1", Action: Lookup, Table: 7300, Protocol: 73},
			"32764: from all oif net1 lookup 7300 proto 73",
		},
		{
			Rule{Family: V4, Priority: 32765, From: prefix("192.0.2.0/24"), Action: Unreachable, Protocol: 73},
			"32765: from 192.0.2.0/24 unreachable proto 73",
		},
		{
			Rule{Family: V4, Action: Lookup, Table: 255, Protocol: unix.RTPROT_KERNEL},
			"0: from all lookup local proto kernel",
		},
		{
			Rule{Family: V4, Priority: 7, Inverted: true, From: prefix("192.0.2.0/24"), TOS: 0x10, IIF: "lo", Action: Lookup, Table: 253, Protocol: unix.RTPROT_STATIC},
			"7: not from 192.0.2.0/24 tos 0x10 iif lo lookup default proto static",
		},
		{
			Rule{Family: V4, Priority: 32765, From: prefix("203.0.113.144/32"), Action: Goto, Target: 40000, Protocol: 73},
			"32765: from 203.0.113.144 goto 40000 proto 73",
		},
		{
			Rule{Family: V6, Priority: 40000, Action: Nop, Protocol: 73},
			"40000: from all nop proto 73",
		},
		{
			Rule{Family: V4, Priority: 7, Action: unix.FR_ACT_PROHIBIT, Other: "x", Protocol: unix.RTPROT_BOOT},
			"7: from all other 78 action prohibit proto boot",
		},
		{
			Rule{Family: V4, Priority: 7, To: prefix("0.0.0.0/0"), Action: Lookup, Table: 9, Protocol: unix.RTPROT_RA},
			"7: from all to 0.0.0.0/0 lookup 9 proto ra",
		},
		{
			Rule{Family: V4, Priority: 7, Action: Lookup, Table: 9},
			"7: from all lookup 9",
		},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := tt.rule.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRuleMatches(t *testing.T) {
	host := prefix("192.0.2.7/32")
	tests := []struct {
		name string
		rule Rule
		from netip.Prefix
		want bool
	}{
		{"everything", Rule{}, host, true},
		{"the same", Rule{From: host}, host, true},
		{"a larger prefix", Rule{From: prefix("192.0.2.0/24")}, host, true},
		{"a smaller prefix", Rule{From: host}, prefix("192.0.2.0/24"), false},
		{"another prefix", Rule{From: prefix("198.51.100.0/24")}, host, false},
		{"another family", Rule{From: prefix("2001:db8::/32")}, host, false},
		{"with a destination", Rule{From: host, To: prefix("10.0.0.0/8")}, host, false},
		{"with an incoming interface", Rule{From: host, IIF: "eth0"}, host, false},
		{"with an outgoing interface", Rule{From: host, OIF: "eth0"}, host, false},
		{"with a mark", Rule{From: host, Other: "mark"}, host, false},
		{"inverted", Rule{From: host, Inverted: true}, host, false},
		{"of a type of service", Rule{From: host, TOS: 4}, host, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.rule.Matches(tt.from); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		p, q netip.Prefix
		want bool
	}{
		{prefix("10.0.0.0/8"), prefix("10.1.0.0/16"), true},
		{prefix("10.0.0.0/8"), prefix("10.0.0.0/8"), true},
		{prefix("0.0.0.0/0"), prefix("10.0.0.0/8"), true},
		{prefix("10.1.0.0/16"), prefix("10.0.0.0/8"), false},
		{prefix("10.0.0.0/8"), prefix("11.0.0.0/16"), false},
		{prefix("::/0"), prefix("10.0.0.0/8"), false},
		{prefix("0.0.0.0/0"), prefix("2001:db8::/32"), false},
		{netip.Prefix{}, prefix("10.0.0.0/8"), false},
		{prefix("10.0.0.0/8"), netip.Prefix{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.p.String()+" and "+tt.q.String(), func(t *testing.T) {
			if got := Covers(tt.p, tt.q); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

func TestTableText(t *testing.T) {
	for table, want := range map[uint32]string{0: "0", 252: "252", 253: "default", 254: "main", 255: "local", 7300: "7300", 1<<32 - 1: "4294967295"} {
		if got := TableText(table); got != want {
			t.Errorf("table %d is %q, want %q", table, got, want)
		}
	}
}
