package plan_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/state"
)

// TestNoNetdev has a NIC that the kernel does not have: there is no plan, and
// nothing to remember.
func TestNoNetdev(t *testing.T) {
	p := newPod(t, "eth0")
	d := p.build(attachment{prev: resultOf})
	if len(d.State.NICs) > 0 || d.State.String() != "" {
		t.Errorf("a plan for %v:\n%s", d.State.NICs, d.State)
	}
	if changes := p.begin(attachment{prev: resultOf}); len(changes) > 0 || len(p.records) > 0 {
		t.Errorf("changes:\n%s", textOf(changes))
	}
}

func TestTableCannotBeRead(t *testing.T) {
	p := newPod(t, second)
	in := p.input(attachment{prev: resultOf})
	failure := errors.New("the kernel has no answer")
	in.Routes = func(uint32) ([]fib.Route, error) { return nil, failure }
	if _, err := plan.Build(in); !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
}

func TestNoTableIsFree(t *testing.T) {
	p := newPod(t, second)
	in := p.input(attachment{prev: resultOf})
	theirs := parseRoute(t, in.Seen, "-4 route 192.0.2.0/24 via 10.20.30.9 dev net1")
	in.Routes = func(uint32) ([]fib.Route, error) { return []fib.Route{theirs}, nil }
	_, err := plan.Build(in)
	const want = "the pod's network is in no state for this: no free routing table among 10000 from 7300 on"
	if !errors.Is(err, state.ErrUnfit) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestRepair has ADD bring back what somebody deleted, and take away what is of
// ours and too much.
func TestRepair(t *testing.T) {
	for name, m := range map[string]mishap{
		"a decision rule is gone": without("-4 rule 32765: from 10.20.30.5 goto 40000 proto 73"),
		"a source rule is gone":   without("-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73"),
		"a refusal is gone":       without("-4 rule 40015: from 10.20.30.5 unreachable proto 73"),
		"a device rule is gone":   without("-4 rule 49000: from all oif net1 lookup 7300 proto 73"),
		"the anchor is gone":      without("-6 rule 40000: from all nop proto 73"),
		"a guard is gone":         without("-4 rule 49998: from 10.244.0.5 unreachable proto 73"),
		"a fallback is gone":      without("-4 rule 49999: from all lookup 7300 proto 73"),
		"a default is gone":       without("-4 route default via 10.20.30.1 dev net1 table 7300 proto 73"),
		"a rule is there twice":   withRule("-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73"),
		"a decision, too":         withRule("-4 rule 32765: from 10.20.30.5 goto 40000 proto 73"),
		"a route too much":        withRoute("-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7300 proto 73"),
		"a mode is another":       withSetting("net1", "rp_filter", 1),
		"an ARP setting is, too":  withSetting("net1", "arp_ignore", 0),
		"all has gone at once": func(t *testing.T, p *pod) {
			t.Helper()
			ours := func(r fib.Rule) bool { return r.Protocol == state.Protocol }
			p.kernel.rules = slices.DeleteFunc(p.kernel.rules, ours)
			p.kernel.routes = slices.DeleteFunc(p.kernel.routes, func(r fib.Route) bool { return r.Protocol == state.Protocol })
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, dualPod)
			a := attachment{conf: `"arp": "isolate"`, prev: dualResult}
			before := p.kernel.text()
			p.add(a)
			whole := p.kernel.text()
			m(t, p)
			p.add(a)
			compare(t, "after ADD again", slices.Sorted(slices.Values(whole)), slices.Sorted(slices.Values(p.kernel.text())))
			p.del(a)
			p.same("after DEL", before)
		})
	}
}
