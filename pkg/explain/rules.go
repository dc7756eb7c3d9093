package explain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/wire"
)

func appendNative(b []byte, v uint32) []byte { return binary.NativeEndian.AppendUint32(b, v) }

// way is what led to an answer of the kernel.
type way struct {
	// passed are the gotos that the packet followed.
	passed []fib.Rule
	// rule decides; its Family is 0 where none was found.
	rule fib.Rule
	// selectors are the rule's, beside what it models.
	selectors fib.Selectors
	// route decides, where the rule leads to a table; its Dst is not valid where none was found.
	route fib.Route
}

// text is the rule as iproute2 prints it.
func (w way) text() string { return ruleText(w.rule, w.selectors) }

func ruleText(r fib.Rule, s fib.Selectors) string {
	r.Other = "" // the selectors are that in words
	text := strings.Replace(r.String(), " action ", " ", 1)
	before, action, ok := strings.Cut(text, " lookup ")
	switch {
	case s.L3Mdev:
		return before + s.String()
	case ok:
		return before + s.String() + " lookup " + action
	}
	return text + s.String()
}

// ours says whether symroute made the rule.
func (w way) ours() bool { return w.rule.Protocol == state.Protocol }

// foreign says whether somebody else has put the rule there: not the kernel, and not symroute.
func (w way) foreign() bool {
	return w.rule.Family != 0 && !w.ours() && w.rule.Protocol != unix.RTPROT_KERNEL
}

// trace finds what led to an answer, by the rules in the kernel's order (fib_rules_lookup).
func (p *Pod) trace(packet fib.Packet, a fib.Answer) way {
	var w way
	var goOnAt uint32
	f := fib.FamilyOf(packet.To)
	for _, r := range p.Seen.Rules {
		if r.Family != f || r.Priority < goOnAt {
			continue
		}
		s, err := wire.Selectors(r)
		if err != nil || !p.matches(r, s, packet) {
			continue
		}
		switch r.Action {
		case fib.Goto:
			if p.isTarget(f, r.Target) {
				w.passed = append(w.passed, r)
				goOnAt = r.Target
			}
			continue
		case fib.Nop:
			continue
		case fib.Unreachable, prohibit, blackhole:
			if a.Err != nil {
				w.rule, w.selectors = r, s
				return w
			}
			continue
		case fib.Lookup:
		}
		table := r.Table
		if s.L3Mdev {
			table = p.vrfTable(packet)
		}
		route, ok := p.ways(table).Longest(packet.To)
		if !ok || route.Type == unix.RTN_THROW || s.Suppress >= 0 && route.Dst.Bits() <= s.Suppress {
			continue
		}
		refuses := route.Type == unix.RTN_UNREACHABLE || route.Type == unix.RTN_PROHIBIT || route.Type == unix.RTN_BLACKHOLE
		if a.Err == nil && table == a.Route.Table || a.Err != nil && refuses {
			w.rule, w.selectors, w.route = r, s, route
			return w
		}
	}
	return w
}

// What a rule can do beside what is modelled (FR_ACT_*).
const (
	blackhole fib.Action = unix.FR_ACT_BLACKHOLE
	prohibit  fib.Action = unix.FR_ACT_PROHIBIT
)

// isTarget says whether a goto leads somewhere: to a rule of exactly this priority.
func (p *Pod) isTarget(f fib.Family, priority uint32) bool {
	for _, r := range p.Seen.Rules {
		if r.Family == f && r.Priority == priority {
			return true
		}
	}
	return false
}

// matches says whether a rule is for a packet (fib_rule_match, fib4_rule_match).
func (p *Pod) matches(r fib.Rule, s fib.Selectors, packet fib.Packet) bool {
	if s.L3Mdev && p.vrfTable(packet) == 0 || s.Unknown {
		return false
	}
	match := within(r.From, packet.From) && within(r.To, packet.To) &&
		p.isDevice(r.IIF, packet.IIF, true) && p.isDevice(r.OIF, packet.OIF, false) &&
		r.TOS == 0 && packet.Mark&s.Mask == s.Mark &&
		(s.Protocol == 0 || s.Protocol == packet.Protocol) && s.SourcePorts.Has(packet.SourcePort) && s.Ports.Has(packet.Port) &&
		(s.UIDs == nil || s.UIDs[0] == 0)
	return match != r.Inverted
}

func within(prefix netip.Prefix, a netip.Addr) bool {
	return !prefix.IsValid() || a.IsValid() && prefix.Contains(a)
}

// isDevice compares the device of a rule with that of a packet. Packets of the pod's own come in by lo.
func (p *Pod) isDevice(name string, index int, incoming bool) bool {
	if name == "" {
		return true
	}
	l, ok := p.Seen.LinkAt(index)
	return ok && l.Name == name || !ok && incoming && name == "lo"
}

// vrfTable is the table of the VRF that a packet's device belongs to; 0: it belongs to none.
func (p *Pod) vrfTable(packet fib.Packet) uint32 {
	for _, index := range []int{packet.OIF, packet.IIF} {
		l, _ := p.Seen.LinkAt(index)
		if l.Kind == fib.KindVRF {
			return l.VRFTable
		}
		if master, ok := p.Seen.LinkAt(l.Master); ok && master.Kind == fib.KindVRF {
			return master.VRFTable
		}
	}
	return 0
}

// cause is what refuses a packet, or else the kernel's own word for it.
func (w way) cause(err error) string {
	switch {
	case w.route.Dst.IsValid():
		return fmt.Sprintf("the route %q of table %s refuses it", w.route, fib.TableText(w.route.Table))
	case w.rule.Family != 0:
		return fmt.Sprintf("the rule %q refuses it", w.text())
	}
	return errnoText(err)
}

// steps tells a way, from rule to route.
func (w way) steps(j Judgement, packet fib.Packet, a fib.Answer, command string) []Step {
	var out []Step
	for _, r := range w.passed {
		out = append(out, Step{Fine, "rule", r.String(), ""})
	}
	if w.rule.Family != 0 {
		note := ""
		switch {
		case w.foreign():
			note = " (neither symroute's nor the kernel's)"
		case w.ours():
			note = " (symroute's)"
		}
		out = append(out, Step{j, "rule", w.text() + note, ""})
	}
	switch {
	case w.route.Dst.IsValid():
		text := w.route.String()
		if w.route.Table == unix.RT_TABLE_MAIN {
			text += " table main"
		}
		out = append(out, Step{j, "route", text, command})
	case a.Err == nil && len(a.Route.Hops) > 0:
		out = append(out, Step{j, "route", a.Route.String(), command})
	case a.Err != nil && w.rule.Family == 0:
		out = append(out, Step{j, "route", fmt.Sprintf("none to %s: %s", packet.To, errnoText(a.Err)), command})
	case a.Err != nil:
		out = append(out, Step{j, "route", "refused: " + errnoText(a.Err), command})
	}
	return out
}

// errnoText is a refusal as "ip route get" tells it.
func errnoText(err error) string {
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok {
		return err.Error()
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}
