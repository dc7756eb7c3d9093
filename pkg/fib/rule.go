package fib

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"
)

// Action is what a rule does with a packet that it matches (FR_ACT_*).
type Action uint8

// The actions that are told apart here; any other is carried as its number.
const (
	Lookup      Action = unix.FR_ACT_TO_TBL
	Unreachable Action = unix.FR_ACT_UNREACHABLE
)

// Rule is one policy routing rule (ip-rule(8)). It is comparable: two rules
// are the same to the kernel when they are equal.
type Rule struct {
	Family   Family
	Priority uint32
	From     netip.Prefix // not valid: any
	To       netip.Prefix // not valid: any
	IIF      string
	OIF      string
	Action   Action
	Table    uint32 // where Action is Lookup
	Protocol uint8  // who installed it (rtnetlink(7), RTPROT_*)
	// Other holds the attributes that are not modelled (marks, ports, user
	// ids, goto ...), as the kernel wrote them. A rule that has any matches
	// less, or does something else, than its modelled fields say.
	Other string
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

func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: ", r.Priority)
	if r.Inverted {
		b.WriteString("not ")
	}
	b.WriteString("from " + prefixText(r.From, "all"))
	if r.To.IsValid() {
		b.WriteString(" to " + prefixText(r.To, "all"))
	}
	if r.TOS != 0 {
		fmt.Fprintf(&b, " tos %#x", r.TOS)
	}
	if r.IIF != "" {
		b.WriteString(" iif " + r.IIF)
	}
	if r.OIF != "" {
		b.WriteString(" oif " + r.OIF)
	}
	if r.Other != "" {
		b.WriteString(" (further selectors)")
	}
	switch r.Action {
	case Lookup:
		b.WriteString(" lookup " + TableText(r.Table))
	case Unreachable:
		b.WriteString(" unreachable")
	default:
		fmt.Fprintf(&b, " action %d", r.Action)
	}
	if r.Protocol != unix.RTPROT_UNSPEC {
		b.WriteString(" proto " + protocolText(r.Protocol))
	}
	return b.String()
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

func protocolText(p uint8) string {
	switch p {
	case unix.RTPROT_KERNEL:
		return "kernel"
	case unix.RTPROT_BOOT:
		return "boot"
	case unix.RTPROT_STATIC:
		return "static"
	case unix.RTPROT_RA:
		return "ra"
	}
	return fmt.Sprint(p)
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
	if r.Action == Lookup {
		b = appendU32(b, unix.FRA_TABLE, r.Table)
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
	case unix.FRA_PROTOCOL:
		r.Protocol, err = a.u8()
	case unix.FRA_SUPPRESS_PREFIXLEN, unix.FRA_SUPPRESS_IFGROUP:
		// The kernel always writes these; all ones says that they are not set.
		var v uint32
		if v, err = a.u32(); v != ^uint32(0) {
			r.Other += string(a.raw())
		}
	case unix.FRA_UNSPEC, fraPad:
	default:
		r.Other += string(a.raw())
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
