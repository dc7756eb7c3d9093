package fib

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

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
