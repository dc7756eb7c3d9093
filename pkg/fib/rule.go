package fib

import (
	"encoding/binary"
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

const ruleHeader = 12 // struct fib_rule_hdr

// EncodeRule writes the payload of an RTM_NEWRULE or RTM_DELRULE message. With
// FRA_PROTOCOL in it the kernel deletes a rule of that protocol only
// (fib_nl_delrule, since Linux 4.17).
func EncodeRule(r Rule) []byte {
	b := make([]byte, ruleHeader, 96)
	b[0] = uint8(r.Family)
	b[3] = r.TOS
	b[7] = uint8(r.Action)
	if r.Table < 256 {
		b[4] = uint8(r.Table)
	}
	if r.Inverted {
		binary.NativeEndian.PutUint32(b[8:], unix.FIB_RULE_INVERT)
	}
	if r.To.IsValid() {
		b[1] = uint8(r.To.Bits())
		b = appendAddr(b, unix.FRA_DST, r.To.Addr())
	}
	if r.From.IsValid() {
		b[2] = uint8(r.From.Bits())
		b = appendAddr(b, unix.FRA_SRC, r.From.Addr())
	}
	if r.IIF != "" {
		b = appendText(b, unix.FRA_IIFNAME, r.IIF)
	}
	if r.OIF != "" {
		b = appendText(b, unix.FRA_OIFNAME, r.OIF)
	}
	b = appendU32(b, unix.FRA_PRIORITY, r.Priority)
	switch r.Action {
	case Lookup:
		b = appendU32(b, unix.FRA_TABLE, r.Table)
	case Goto:
		b = appendU32(b, unix.FRA_GOTO, r.Target)
	case Nop, Unreachable:
	}
	b = appendU8(b, unix.FRA_PROTOCOL, r.Protocol)
	return append(b, r.Other...)
}

// DecodeRule reads the payload of an RTM_NEWRULE message.
func DecodeRule(b []byte) (Rule, error) {
	if len(b) < ruleHeader {
		return Rule{}, fmt.Errorf("%w: rule of %d bytes", ErrMalformed, len(b))
	}
	r := Rule{
		Family:   Family(b[0]),
		TOS:      b[3],
		Table:    uint32(b[4]),
		Action:   Action(b[7]),
		Inverted: binary.NativeEndian.Uint32(b[8:])&unix.FIB_RULE_INVERT != 0,
	}
	dstBits, srcBits := b[1], b[2]
	for a, err := range attrs(b[ruleHeader:]) {
		if err == nil {
			err = r.decodeAttr(a, dstBits, srcBits)
		}
		if err != nil {
			return Rule{}, fmt.Errorf("rule: %w", err)
		}
	}
	for _, p := range []netip.Prefix{r.From, r.To} {
		if p.IsValid() && FamilyOf(p.Addr()) != r.Family {
			return Rule{}, fmt.Errorf("%w: the prefix %s in a rule of family %d", ErrMalformed, p, r.Family)
		}
	}
	if r.Action != Lookup {
		r.Table = 0
	}
	if r.Action != Goto {
		r.Target = 0
	}
	return r, nil
}

func (r *Rule) decodeAttr(a attr, dstBits, srcBits uint8) (err error) {
	switch a.kind {
	case unix.FRA_DST:
		r.To, err = a.prefix(dstBits)
	case unix.FRA_SRC:
		r.From, err = a.prefix(srcBits)
	case unix.FRA_IIFNAME:
		r.IIF = a.text()
	case unix.FRA_OIFNAME:
		r.OIF = a.text()
	case unix.FRA_PRIORITY:
		r.Priority, err = a.u32()
	case unix.FRA_TABLE:
		r.Table, err = a.u32()
	case unix.FRA_GOTO:
		r.Target, err = a.u32()
	case unix.FRA_PROTOCOL:
		r.Protocol, err = a.u8()
	case unix.FRA_SUPPRESS_PREFIXLEN, unix.FRA_SUPPRESS_IFGROUP:
		// The kernel always writes these; all ones says that they are not set.
		var v uint32
		if v, err = a.u32(); v != ^uint32(0) {
			r.Other += Opaque(a.raw())
		}
	case unix.FRA_UNSPEC, fraPad:
	default:
		r.Other += Opaque(a.raw())
	}
	return err
}

const fraPad = 18 // FRA_PAD, uapi/linux/fib_rules.h

// EncodeRuleDump writes the payload of an RTM_GETRULE dump of one family.
func EncodeRuleDump(f Family) []byte {
	b := make([]byte, ruleHeader)
	b[0] = uint8(f)
	return b
}
