package wire

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

func TestRuleRoundTrip(t *testing.T) {
	tests := []struct {
		name string
		rule fib.Rule
	}{
		{"everything", fib.Rule{Family: fib.V4, Priority: 32766, Action: fib.Lookup, Table: 254, Protocol: unix.RTPROT_KERNEL}},
		{"priority 0", fib.Rule{Family: fib.V6, Action: fib.Lookup, Table: 255, Protocol: unix.RTPROT_KERNEL}},
		{"IPv4 host", fib.Rule{Family: fib.V4, Priority: 5, From: prefix("192.0.2.7/32"), Action: fib.Lookup, Table: 7300, Protocol: 73}},
		{"IPv6 host", fib.Rule{Family: fib.V6, Priority: 5, From: prefix("2001:db8::7/128"), Action: fib.Lookup, Table: 7300, Protocol: 73}},
		{"both ends", fib.Rule{Family: fib.V4, Priority: 5, From: prefix("192.0.2.0/24"), To: prefix("10.96.0.0/12"), Action: fib.Lookup, Table: 254}},
		{"both ends in IPv6", fib.Rule{Family: fib.V6, Priority: 5, From: prefix("2001:db8::/64"), To: prefix("fd00::/8"), Action: fib.Lookup, Table: 254}},
		{"devices", fib.Rule{Family: fib.V4, Priority: 5, IIF: "eth0", OIF: "net1", Action: fib.Lookup, Table: 9}},
		{"longest device name", fib.Rule{Family: fib.V4, Priority: 5, OIF: "abcdefghijklmno", Action: fib.Lookup, Table: 9}},
		{"last table of a byte", fib.Rule{Family: fib.V4, Priority: 5, Action: fib.Lookup, Table: 255}},
		{"first table beyond", fib.Rule{Family: fib.V4, Priority: 5, Action: fib.Lookup, Table: 256}},
		{"last table", fib.Rule{Family: fib.V4, Priority: 1<<32 - 1, Action: fib.Lookup, Table: 1<<32 - 1, Protocol: 255}},
		{"refusal", fib.Rule{Family: fib.V4, Priority: 32765, From: prefix("192.0.2.7/32"), Action: fib.Unreachable, Protocol: 73}},
		{"goto", fib.Rule{Family: fib.V4, Priority: 32765, From: prefix("192.0.2.7/32"), Action: fib.Goto, Target: 40000, Protocol: 73}},
		{"goto of a bound socket", fib.Rule{Family: fib.V6, Priority: 32765, OIF: "net1", Action: fib.Goto, Target: 40000, Protocol: 73}},
		{"last target", fib.Rule{Family: fib.V4, Priority: 5, Action: fib.Goto, Target: 1<<32 - 1}},
		{"anchor", fib.Rule{Family: fib.V6, Priority: 40000, Action: fib.Nop, Protocol: 73}},
		{"action of another kind", fib.Rule{Family: fib.V4, Priority: 5, Action: 200}},
		{"inverted", fib.Rule{Family: fib.V4, Priority: 5, Inverted: true, From: prefix("192.0.2.0/24"), Action: fib.Lookup, Table: 9}},
		{"type of service", fib.Rule{Family: fib.V4, Priority: 5, TOS: 0x10, Action: fib.Lookup, Table: 9}},
		{"mark", fib.Rule{Family: fib.V4, Priority: 5, Action: fib.Lookup, Table: 9, Other: fib.Opaque(number(unix.FRA_FWMARK, 7)) + fib.Opaque(number(unix.FRA_FWMASK, 0xff))}},
		{"suppressed", fib.Rule{Family: fib.V4, Priority: 5, Action: fib.Lookup, Table: 254, Other: fib.Opaque(number(unix.FRA_SUPPRESS_PREFIXLEN, 0))}},
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
		want fib.Rule
	}{
		{
			"what the kernel always writes",
			concat(header(unix.FR_ACT_TO_TBL, 0), number(unix.FRA_TABLE, 7300), number(unix.FRA_SUPPRESS_PREFIXLEN, 1<<32-1),
				number(unix.FRA_SUPPRESS_IFGROUP, 1<<32-1), attribute(unix.FRA_PROTOCOL, 73), number(unix.FRA_PRIORITY, 9),
				attribute(unix.FRA_SRC, 192, 0, 2, 0), attribute(fraPad)),
			fib.Rule{Family: fib.V4, Priority: 9, From: prefix("192.0.2.0/24"), Action: fib.Lookup, Table: 7300, Protocol: 73},
		},
		{
			"a source is masked",
			concat(header(unix.FR_ACT_TO_TBL, 0), attribute(unix.FRA_SRC, 192, 0, 2, 77)),
			fib.Rule{Family: fib.V4, From: prefix("192.0.2.0/24"), Action: fib.Lookup, Table: 254},
		},
		{
			"only a lookup has a table",
			concat(header(unix.FR_ACT_UNREACHABLE, 0), number(unix.FRA_TABLE, 254)),
			fib.Rule{Family: fib.V4, Action: fib.Unreachable},
		},
		{
			"goto",
			concat(header(unix.FR_ACT_GOTO, 4), number(unix.FRA_GOTO, 100)),
			fib.Rule{Family: fib.V4, Action: fib.Goto, Target: 100},
		},
		{
			"only a goto has a target",
			concat(header(unix.FR_ACT_NOP, 0), number(unix.FRA_GOTO, 100)),
			fib.Rule{Family: fib.V4, Action: fib.Nop},
		},
		{
			"a goto whose target is missing",
			concat(header(unix.FR_ACT_GOTO, unix.FIB_RULE_UNRESOLVED), number(unix.FRA_GOTO, 40000)),
			fib.Rule{Family: fib.V4, Action: fib.Goto, Target: 40000},
		},
		{
			"the device is absent now",
			concat(header(unix.FR_ACT_TO_TBL, unix.FIB_RULE_DEV_DETACHED), attribute(unix.FRA_OIFNAME, 'n', 'e', 't', '1', 0)),
			fib.Rule{Family: fib.V4, OIF: "net1", Action: fib.Lookup, Table: 254},
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
