package fib

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Action is what a rule does with a packet that it matches (FR_ACT_*).
type Action uint8

// The actions that are told apart here; any other is carried as its number.
const (
	Lookup      Action = unix.FR_ACT_TO_TBL
	Goto        Action = unix.FR_ACT_GOTO
	Nop         Action = unix.FR_ACT_NOP
	Unreachable Action = unix.FR_ACT_UNREACHABLE
)

// Rule is one policy routing rule (ip-rule(8)). It is comparable. To the kernel the
// target of a goto is not part of a rule's identity (rule_exists).
type Rule struct {
	Family   Family
	Priority uint32
	From     netip.Prefix // not valid: any
	To       netip.Prefix // not valid: any
	IIF      string
	OIF      string
	Action   Action
	Table    uint32 // where Action is Lookup
	Target   uint32 // the priority to go on at, where Action is Goto
	Protocol uint8  // who installed it (rtnetlink(7), RTPROT_*)
	// Other holds the attributes that are not modelled (marks, ports, user
	// ids ...), as the kernel wrote them. A rule that has any matches less than its
	// modelled fields say.
	Other Opaque
	// Inverted is set for a rule with "not".
	Inverted bool
	TOS      uint8
}

// Plain reports whether the rule's modelled fields are all there is to it.
func (r Rule) Plain() bool { return r.Other == "" && !r.Inverted && r.TOS == 0 }

// Matches reports whether the rule decides for every packet from the prefix,
// wherever it goes and whatever interface it uses.
func (r Rule) Matches(from netip.Prefix) bool {
	if !r.Plain() || r.To.IsValid() || r.IIF != "" || r.OIF != "" {
		return false
	}
	return !r.From.IsValid() || Covers(r.From, from)
}

// Covers reports whether every address of q is in p.
func Covers(p, q netip.Prefix) bool {
	return p.IsValid() && q.IsValid() && p.Bits() <= q.Bits() && p.Contains(q.Addr())
}

// TableText prints a table as iproute2 does.
func TableText(t uint32) string {
	switch t {
	case unix.RT_TABLE_DEFAULT:
		return "default"
	case unix.RT_TABLE_MAIN:
		return "main"
	case unix.RT_TABLE_LOCAL:
		return "local"
	}
	return fmt.Sprint(t)
}
