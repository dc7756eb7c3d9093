package symmetry

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// Kernel answers how it would route packets.
type Kernel interface {
	// Ask returns the routes that the packets would take, in the order of the questions;
	// a refusal is its errno.
	Ask(...fib.Query) []fib.Answer
}

// Check asks every question about what an attachment has and returns the wrong answers. Seen
// is the pod as it is, others are the states of the other attachments.
func Check(k Kernel, cfg *config.Config, seen *fib.Snapshot, s state.State, others []state.State) state.Deviations {
	j := judge{kernel: k, seen: seen, tables: map[uint32]*fib.Ways{}, targets: map[target]bool{}}
	for _, r := range seen.Rules {
		j.targets[target{r.Family, r.Priority}] = true
	}
	asked := j.meant(questions(cfg, seen, s, others))
	var out state.Deviations
	for i, answer := range j.kernel.Ask(queries(asked, func(q question) fib.Query { return q.query(q.flow) })...) {
		if dev, wrong := j.deviation(asked[i], answer); wrong {
			out = append(out, dev)
		}
	}
	return out
}

func queries(list []question, query func(question) fib.Query) []fib.Query {
	out := make([]fib.Query, len(list))
	for i, q := range list {
		out[i] = query(q)
	}
	return out
}

type judge struct {
	kernel  Kernel
	seen    *fib.Snapshot
	tables  map[uint32]*fib.Ways // those that were looked into
	targets map[target]bool
}

// target is where a goto can lead: a rule's priority.
type target struct {
	family   fib.Family
	priority uint32
}

func (j judge) ways(table uint32) *fib.Ways {
	if j.tables[table] == nil {
		j.tables[table] = fib.WaysIn(j.seen.Table(table))
	}
	return j.tables[table]
}

// meant leaves out the forged packets that would be none: those from remotes that the
// other NIC does not answer.
func (j judge) meant(all []question) []question {
	isForged := func(q question) bool { return q.other.Index != 0 }
	if !slices.ContainsFunc(all, isForged) {
		return all
	}
	forged := slices.DeleteFunc(slices.Clone(all), func(q question) bool { return !isForged(q) })
	answers := j.kernel.Ask(queries(forged, func(q question) fib.Query { return wayOut(q.flow) })...)
	meant := make([]question, 0, len(all))
	for _, q := range all {
		if isForged(q) {
			answer := answers[0]
			answers = answers[1:]
			if answer.Refused() || answer.Err == nil && !answer.Route.Uses(q.other.Index) {
				continue
			}
		}
		meant = append(meant, q)
	}
	return meant
}

// deviation says what is wrong with an answer, if anything.
func (j judge) deviation(q question, answer fib.Answer) (state.Deviation, bool) {
	j.seen.NameHops([]fib.Route{answer.Route})
	if q.right(q.flow, answer) {
		return state.Deviation{}, false
	}
	dev := state.Deviation{Kind: state.Asymmetric, What: q.what(q.flow), Want: q.want(q.flow), Got: got(answer)}
	if answer.Err != nil && !answer.Refused() {
		return dev, true // there is nothing to explain
	}
	if q.back != nil {
		dev.Decides = j.wayBack(q)
		return dev, true
	}
	rule, text := j.decides(q.query(q.flow), q.nic, answer)
	if foreign(rule) {
		dev.Kind = state.Foreign
	}
	dev.Decides = text
	return dev, true
}

// foreign reports whether somebody put a rule before ours: not the kernel's own.
func foreign(r fib.Rule) bool {
	return r.Protocol != state.Protocol && r.Protocol != unix.RTPROT_KERNEL && r.Action != 0
}

// decides names the rule and the route behind an answer.
func (j judge) decides(q fib.Query, nic device, a fib.Answer) (fib.Rule, string) {
	if a.Err == nil && a.Route.Table == unix.RT_TABLE_UNSPEC {
		return fib.Rule{}, "no route at all: of a socket bound to a device IPv4 then believes every remote on-link"
	}
	rule, ok := j.rule(q, nic, a)
	if !ok {
		if errors.Is(a.Err, unix.EHOSTUNREACH) || errors.Is(a.Err, unix.EACCES) {
			return rule, "an unreachable or prohibit route in a table that is asked before"
		}
		if a.Err != nil {
			return rule, ""
		}
		return rule, "the table " + fib.TableText(a.Route.Table)
	}
	text := fmt.Sprintf("the rule %q", rule)
	if a.Err == nil {
		if route, ok := j.ways(a.Route.Table).Longest(q.To); ok {
			text += fmt.Sprintf(" and the route %q", route)
		}
	}
	return rule, text
}

// rule finds the rule that made the kernel answer so: one that leads to the table of the route,
// or that refuses. There may be thousands.
func (j judge) rule(q fib.Query, nic device, a fib.Answer) (fib.Rule, bool) {
	for _, plain := range []bool{true, false} { // what has more selectors may not be meant for this packet
		if r, ok := j.firstRule(q, nic, a, plain); ok {
			return r, true
		}
	}
	return fib.Rule{}, false
}

// firstRule finds the first of those rules on the packet's way through them.
func (j judge) firstRule(q fib.Query, nic device, a fib.Answer, plain bool) (fib.Rule, bool) {
	family, goOnAt := fib.FamilyOf(q.To), uint32(0)
	for i := range j.seen.Rules {
		r := &j.seen.Rules[i]
		if r.Family != family || r.Priority < goOnAt || (r.From.IsValid() && !r.From.Contains(q.From)) ||
			(r.To.IsValid() && !r.To.Contains(q.To)) || (r.OIF != "" && (q.OIF == 0 || r.OIF != nic.Name)) ||
			(r.IIF != "" && r.IIF != "lo") || plain && !r.Plain() {
			continue
		}
		switch r.Action {
		case fib.Goto:
			if r.Plain() && j.targets[target{family, r.Target}] {
				goOnAt = r.Target
			}
		case fib.Unreachable:
			if errors.Is(a.Err, unix.ENETUNREACH) {
				return *r, true
			}
		case fib.Lookup:
			if a.Err == nil && r.Table == a.Route.Table {
				return *r, true
			}
		case fib.Nop:
		}
	}
	return fib.Rule{}, false
}

// wayBack shows where the answer to a refused packet would go, which is what
// the reverse-path filter looked at.
func (j judge) wayBack(q question) string {
	back := q.back(q.flow)
	answer := j.kernel.Ask(back)[0]
	j.seen.NameHops([]fib.Route{answer.Route})
	_, text := j.decides(back, q.nic, answer)
	if text != "" {
		text = ", by " + text
	}
	return fmt.Sprintf("the way back to %s, %s%s", q.remote, got(answer), text)
}
