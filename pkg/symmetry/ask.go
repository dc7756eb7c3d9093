package symmetry

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
)

// Kernel answers how it would route packets.
type Kernel interface {
	// Ask returns the routes that the packets would take, in the order of the questions;
	// a refusal is its errno.
	Ask(...fib.Query) []fib.Answer
}

// Check asks every question about a plan and returns the wrong answers. seen is
// the state after the plan was carried out.
func Check(k Kernel, cfg *config.Config, seen *fib.Snapshot, d *plan.Desired) plan.Deviations {
	j := judge{kernel: k, seen: seen}
	asked := j.meant(questions(cfg, seen, d))
	var out plan.Deviations
	for i, answer := range j.kernel.Ask(queries(asked, question.query)...) {
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
	kernel Kernel
	seen   *fib.Snapshot
}

// meant leaves out the forged packets that would be none: those from remotes that the
// other NIC does not answer.
func (j judge) meant(all []question) []question {
	isSpoof := func(q question) bool { return q.kind == spoof }
	if !slices.ContainsFunc(all, isSpoof) {
		return all
	}
	spoofs := slices.DeleteFunc(slices.Clone(all), func(q question) bool { return !isSpoof(q) })
	answers := j.kernel.Ask(queries(spoofs, question.answered)...)
	meant := make([]question, 0, len(all))
	for _, q := range all {
		if isSpoof(q) {
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
func (j judge) deviation(q question, answer fib.Answer) (plan.Deviation, bool) {
	j.seen.NameHops([]fib.Route{answer.Route})
	if q.right(answer.Route, answer.Err) {
		return plan.Deviation{}, false
	}
	dev := plan.Deviation{Kind: plan.Asymmetric, What: q.what(), Want: q.want(), Got: q.got(answer.Route, answer.Err)}
	if answer.Err != nil && !answer.Refused() {
		return dev, true // there is nothing to explain
	}
	if q.kind == in || q.kind == spoof {
		dev.Decides = j.wayBack(q)
		return dev, true
	}
	rule, text := j.decides(q, answer.Route, answer.Err)
	if foreign(rule) {
		dev.Kind = plan.Foreign
	}
	dev.Decides = text
	return dev, true
}

// foreign reports whether somebody put a rule before ours: not the kernel's own.
func foreign(r fib.Rule) bool {
	return r.Protocol != plan.Protocol && r.Protocol != unix.RTPROT_KERNEL && r.Action != 0
}

// right reports whether the answer is the wanted one.
func (q question) right(answer fib.Route, err error) bool {
	switch q.kind {
	case spoof:
		return refused(err)
	case in:
		return err == nil && answer.Type == unix.RTN_LOCAL
	default:
		return q.leavesRight(answer, err)
	}
}

// leavesRight reports whether a packet leaves by the NIC through a wanted next
// hop.
func (q question) leavesRight(answer fib.Route, err error) bool {
	if err != nil || len(answer.Hops) == 0 || answer.Hops[0].Index != q.nic.Index {
		return false
	}
	return len(q.exit) == 0 || slices.ContainsFunc(q.exit, func(h fib.Hop) bool { return answer.Hops[0].Gateway == h.Gateway })
}

// refused tells a refusal by the reverse-path filter: EXDEV, or EINVAL, which
// newer kernels use for every source that they do not accept.
func refused(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL)
}

func (q question) what() string {
	switch q.kind {
	case out:
		return fmt.Sprintf("packets from %s to %s", q.local, q.remote)
	case in:
		return fmt.Sprintf("packets from %s to %s that arrive on %s", q.remote, q.local, q.arrival.Name)
	case bound:
		return fmt.Sprintf("packets to %s of a socket bound to %s", q.remote, q.nic.Name)
	default:
		return q.forgery()
	}
}

func (q question) forgery() string {
	return fmt.Sprintf("forged packets from %s for %s's address %s that arrive on %s", q.remote, q.other.Name, q.local, q.arrival.Name)
}

func (q question) want() string {
	switch q.kind {
	case in:
		return "delivered"
	case spoof:
		return "refused by strict mode"
	default:
		return q.ways()
	}
}

func (q question) ways() string {
	var ways []string
	for _, h := range q.exit {
		ways = append(ways, way(h))
	}
	if len(ways) == 0 {
		return "out of " + q.nic.Name
	}
	return strings.Join(ways, " or ")
}

func way(h fib.Hop) string {
	if h.Gateway.IsValid() {
		return fmt.Sprintf("out of %s through %s", h.Dev, h.Gateway)
	}
	return fmt.Sprintf("out of %s, on-link", h.Dev)
}

func (q question) got(answer fib.Route, err error) string {
	switch {
	case errors.Is(err, unix.EXDEV):
		return "refused by the reverse-path filter (EXDEV)"
	case errors.Is(err, unix.EINVAL):
		return "refused, cause not named by this kernel (EINVAL): most often the reverse-path filter"
	case errors.Is(err, unix.ENETUNREACH):
		return "refused as unreachable (ENETUNREACH)"
	case errors.Is(err, unix.EHOSTUNREACH):
		return "refused as unreachable (EHOSTUNREACH)"
	case err != nil:
		return err.Error()
	case q.kind == spoof || answer.Type == unix.RTN_LOCAL:
		return "delivered"
	case len(answer.Hops) == 0:
		return fmt.Sprintf("no way (%s)", answer)
	}
	return way(answer.Hops[0])
}

// decides names the rule and the route behind an answer.
func (j judge) decides(q question, answer fib.Route, err error) (fib.Rule, string) {
	if err == nil && answer.Table == unix.RT_TABLE_UNSPEC {
		return fib.Rule{}, "no route at all: of a socket bound to a device IPv4 then believes every remote on-link"
	}
	rule, ok := j.rule(q, answer, err)
	if !ok {
		if errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.EACCES) {
			return rule, "an unreachable or prohibit route in a table that is asked before"
		}
		if err != nil {
			return rule, ""
		}
		return rule, "the table " + fib.TableText(answer.Table)
	}
	text := fmt.Sprintf("the rule %q", rule)
	if route, ok := longest(plan.Table{Routes: j.seen.Table(answer.Table)}, q.remote); ok && err == nil {
		text += fmt.Sprintf(" and the route %q", route)
	}
	return rule, text
}

// rule finds the first rule that matches the packet and does what was answered.
func (j judge) rule(q question, answer fib.Route, err error) (fib.Rule, bool) {
	for _, r := range j.seen.Rules {
		if r.Family != fib.FamilyOf(q.remote) || r.IIF != "" || (r.From.IsValid() && !r.From.Contains(q.local)) ||
			(r.To.IsValid() && !r.To.Contains(q.remote)) || (r.OIF != "" && (q.kind != bound || r.OIF != q.nic.Name)) {
			continue
		}
		if (err != nil && r.Action == fib.Unreachable && errors.Is(err, unix.ENETUNREACH)) || (err == nil && r.Action == fib.Lookup && r.Table == answer.Table) {
			return r, true
		}
	}
	return fib.Rule{}, false
}

// wayBack shows where the answer to a refused packet would go, which is what
// the reverse-path filter looked at.
func (j judge) wayBack(q question) string {
	back := question{kind: out, local: q.local, remote: q.remote, nic: q.nic}
	answer := j.kernel.Ask(back.query())[0]
	j.seen.NameHops([]fib.Route{answer.Route})
	_, text := j.decides(back, answer.Route, answer.Err)
	if text != "" {
		text = ", by " + text
	}
	return fmt.Sprintf("the way back to %s, %s%s", q.remote, back.got(answer.Route, answer.Err), text)
}
