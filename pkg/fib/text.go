package fib

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// This file is how the numbers of the kernel are written, in messages and in records:
// as iproute2 writes them, and a number that has no name as itself.

// RouteType is what the kernel does with a packet that a route matches (RTN_*).
type RouteType uint8

// Scope is how far a destination is (RT_SCOPE_*). IPv6 has global only.
type Scope uint8

// Opaque is netlink attributes as the kernel wrote them. As text it is hexadecimal.
type Opaque string

// names is what the numbers of a kind are called.
type names []name

type name struct {
	number uint8
	text   string
}

func (n names) text(number uint8) string {
	for _, x := range n {
		if x.number == number {
			return x.text
		}
	}
	return strconv.Itoa(int(number))
}

func (n names) parse(text []byte) (uint8, error) {
	for _, x := range n {
		if x.text == string(text) {
			return x.number, nil
		}
	}
	number, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return 0, fmt.Errorf("%q is none of the known names, nor a number", text)
	}
	return uint8(number), nil
}

func familyNames() names { return names{{unix.AF_INET, "ipv4"}, {unix.AF_INET6, "ipv6"}} }

func actionNames() names {
	return names{
		{unix.FR_ACT_TO_TBL, "lookup"}, {unix.FR_ACT_GOTO, "goto"}, {unix.FR_ACT_NOP, "nop"},
		{unix.FR_ACT_BLACKHOLE, "blackhole"}, {unix.FR_ACT_UNREACHABLE, "unreachable"}, {unix.FR_ACT_PROHIBIT, "prohibit"},
	}
}

func typeNames() names {
	return names{
		{unix.RTN_UNICAST, "unicast"}, {unix.RTN_LOCAL, "local"}, {unix.RTN_BROADCAST, "broadcast"},
		{unix.RTN_ANYCAST, "anycast"}, {unix.RTN_MULTICAST, "multicast"}, {unix.RTN_BLACKHOLE, "blackhole"},
		{unix.RTN_UNREACHABLE, "unreachable"}, {unix.RTN_PROHIBIT, "prohibit"}, {unix.RTN_THROW, "throw"},
	}
}

func protocolNames() names {
	return names{{unix.RTPROT_KERNEL, "kernel"}, {unix.RTPROT_BOOT, "boot"}, {unix.RTPROT_STATIC, "static"}, {unix.RTPROT_RA, "ra"}}
}

func protocolText(p uint8) string { return protocolNames().text(p) }

func scopeNames() names {
	return names{
		{unix.RT_SCOPE_UNIVERSE, "global"}, {unix.RT_SCOPE_SITE, "site"}, {unix.RT_SCOPE_LINK, "link"},
		{unix.RT_SCOPE_HOST, "host"}, {unix.RT_SCOPE_NOWHERE, "nowhere"},
	}
}

// MarshalText writes "ipv4" or "ipv6".
func (f Family) MarshalText() ([]byte, error) { return []byte(familyNames().text(uint8(f))), nil }

// UnmarshalText reads what MarshalText wrote.
func (f *Family) UnmarshalText(text []byte) error {
	number, err := familyNames().parse(text)
	*f = Family(number)
	return err
}

func (a Action) String() string { return actionNames().text(uint8(a)) }

// MarshalText writes the name of an action.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Action) UnmarshalText(text []byte) error {
	number, err := actionNames().parse(text)
	*a = Action(number)
	return err
}

func (t RouteType) String() string { return typeNames().text(uint8(t)) }

// MarshalText writes the name of a type.
func (t RouteType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (t *RouteType) UnmarshalText(text []byte) error {
	number, err := typeNames().parse(text)
	*t = RouteType(number)
	return err
}

func (s Scope) String() string { return scopeNames().text(uint8(s)) }

// MarshalText writes the name of a scope.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Scope) UnmarshalText(text []byte) error {
	number, err := scopeNames().parse(text)
	*s = Scope(number)
	return err
}

// MarshalText writes the bytes as hexadecimal digits.
func (o Opaque) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, []byte(o)), nil }

// UnmarshalText reads what MarshalText wrote.
func (o *Opaque) UnmarshalText(text []byte) error {
	b, err := hex.AppendDecode(nil, text)
	*o = Opaque(b)
	return err
}
