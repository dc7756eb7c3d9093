package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

const ruleHeader = 12 // struct fib_rule_hdr

// EncodeRule writes the payload of an RTM_NEWRULE or RTM_DELRULE message. With
// FRA_PROTOCOL in it the kernel deletes a rule of that protocol only
// (fib_nl_delrule, since Linux 4.17).
func EncodeRule(r fib.Rule) []byte {
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
	case fib.Lookup:
		b = appendU32(b, unix.FRA_TABLE, r.Table)
	case fib.Goto:
		b = appendU32(b, unix.FRA_GOTO, r.Target)
	case fib.Nop, fib.Unreachable:
	}
	b = appendU8(b, unix.FRA_PROTOCOL, r.Protocol)
	return append(b, r.Other...)
}

// DecodeRule reads the payload of an RTM_NEWRULE message.
func DecodeRule(b []byte) (fib.Rule, error) {
	if len(b) < ruleHeader {
		return fib.Rule{}, fmt.Errorf("%w: rule of %d bytes", ErrMalformed, len(b))
	}
	r := fib.Rule{
		Family:   fib.Family(b[0]),
		TOS:      b[3],
		Table:    uint32(b[4]),
		Action:   fib.Action(b[7]),
		Inverted: binary.NativeEndian.Uint32(b[8:])&unix.FIB_RULE_INVERT != 0,
	}
	dstBits, srcBits := b[1], b[2]
	for a, err := range attrs(b[ruleHeader:]) {
		if err == nil {
			err = readRuleAttr(&r, a, dstBits, srcBits)
		}
		if err != nil {
			return fib.Rule{}, fmt.Errorf("rule: %w", err)
		}
	}
	for _, p := range []netip.Prefix{r.From, r.To} {
		if p.IsValid() && fib.FamilyOf(p.Addr()) != r.Family {
			return fib.Rule{}, fmt.Errorf("%w: the prefix %s in a rule of family %d", ErrMalformed, p, r.Family)
		}
	}
	if r.Action != fib.Lookup {
		r.Table = 0
	}
	if r.Action != fib.Goto {
		r.Target = 0
	}
	return r, nil
}

func readRuleAttr(r *fib.Rule, a attr, dstBits, srcBits uint8) (err error) {
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
			r.Other += fib.Opaque(a.raw())
		}
	case unix.FRA_UNSPEC, fraPad:
	default:
		r.Other += fib.Opaque(a.raw())
	}
	return err
}

const fraPad = 18 // FRA_PAD, uapi/linux/fib_rules.h

// EncodeRuleDump writes the payload of an RTM_GETRULE dump of one family.
func EncodeRuleDump(f fib.Family) []byte {
	b := make([]byte, ruleHeader)
	b[0] = uint8(f)
	return b
}
