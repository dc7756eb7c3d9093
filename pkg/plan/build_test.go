package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
)

// TestNoNetdev has a NIC that the kernel does not have: there is no plan, and
// nothing to remember.
func TestNoNetdev(t *testing.T) {
	p := newPod(t, "eth0")
	d := p.build(attachment{prev: resultOf})
	if len(d.NICs) > 0 || d.String() != "" {
		t.Errorf("a plan for %v:\n%s", d.NICs, d)
	}
	if diff := cmp.Diff(attachment{}.key(), d.Memory.Key); diff != "" {
		t.Errorf("key (-want +got):\n%s", diff)
	}
	if ops := p.begin(attachment{prev: resultOf}); len(ops) > 0 {
		t.Errorf("changes:\n%s", opsText(ops))
	}
}

func TestVacantFails(t *testing.T) {
	p := newPod(t, second)
	in := p.input(attachment{prev: resultOf})
	failure := errors.New("the kernel has no answer")
	in.Vacant = func(uint32) (bool, error) { return false, failure }
	if _, err := plan.Build(in); !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
}

func TestNoTableIsFree(t *testing.T) {
	p := newPod(t, second)
	in := p.input(attachment{prev: resultOf})
	in.Vacant = func(uint32) (bool, error) { return false, nil }
	_, err := plan.Build(in)
	const want = "the pod's network is in no state for this: no free routing table among 10000 from 7300 on"
	if !errors.Is(err, plan.ErrState) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestRuleMoves has an address come to a pod in which another attachment has a
// prefix that holds it: the prefix moves behind, and back when the address goes.
func TestRuleMoves(t *testing.T) {
	p := newPod(t, `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		net2
		10.20.31.5/24`)
	whole := p.kernel.observe()
	p.kernel.died("net1")
	// net2 is covered by a rule of its own before eth0's prefix comes.
	p.add(attachment{ifname: "net2", prev: `{"ips": [{"address": "10.20.31.5/24"}]}`})
	wide := attachment{ifname: "eth0", conf: `"sources": ["10.20.0.0/16"]`, prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}
	p.add(wide)
	p.kernel.born(whole, "net1")
	a := attachment{prev: resultOf}
	order := func() []string {
		return slices.DeleteFunc(p.kernel.text(), func(line string) bool { return !strings.Contains(line, "lookup 730") || strings.Contains(line, "oif") })
	}
	before := order()

	p.add(a)
	compare(t, "after ADD", lines(`
		-4 rule 32765: from 10.20.31.5 lookup 7300 proto 73
		-4 rule 32765: from 10.244.0.5 lookup 7301 proto 73
		-4 rule 32765: from 10.20.30.5 lookup 7302 proto 73
		-4 rule 32765: from 10.20.0.0/16 lookup 7301 proto 73`), order())
	compare(t, "CHECK of the other", nil, p.deviations(wide))
	p.del(a)
	compare(t, "after DEL", before, order())
}

// TestRuleComesBack deletes one of two rules whose order matters; ADD brings it
// back to its place.
func TestRuleComesBack(t *testing.T) {
	p := newPod(t, second)
	a := attachment{conf: `"sources": ["10.20.0.0/16"]`, prev: resultOf}
	p.add(a)
	without("-4 rule 32765: from 10.20.30.5 lookup 7300 proto 73")(t, p)
	p.add(a)
	ours := slices.DeleteFunc(p.kernel.text(), func(line string) bool { return !strings.Contains(line, " rule 32765: ") })
	compare(t, "after ADD again", lines(`
		-4 rule 32765: from all oif net1 lookup 7300 proto 73
		-4 rule 32765: from 10.20.30.5 lookup 7300 proto 73
		-4 rule 32765: from 10.20.30.5 unreachable proto 73
		-4 rule 32765: from 10.20.0.0/16 lookup 7300 proto 73
		-4 rule 32765: from 10.20.0.0/16 unreachable proto 73`), ours)
}

// TestRepair has ADD bring back what somebody deleted, and take away what is of
// ours and too much. A rule comes back behind those whose order to it means
// nothing.
func TestRepair(t *testing.T) {
	for name, m := range map[string]mishap{
		"a source rule is gone":  without("-4 rule 32765: from 10.20.30.5 lookup 7300 proto 73"),
		"a refusal is gone":      without("-4 rule 32765: from 10.20.30.5 unreachable proto 73"),
		"a device rule is gone":  without("-4 rule 32765: from all oif net1 lookup 7300 proto 73"),
		"a default is gone":      without("-4 route default via 10.20.30.1 dev net1 table 7300 proto 73"),
		"a rule is there twice":  withRule("-4 rule 32765: from 10.20.30.5 lookup 7300 proto 73"),
		"a refusal too much":     withRule("-4 rule 32765: from 10.20.30.5 unreachable proto 73"),
		"a route too much":       withRoute("-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7300 proto 73"),
		"a mode is another":      withSetting("net1", "rp_filter", 1),
		"an ARP setting is, too": withSetting("net1", "arp_ignore", 0),
		"all has gone at once": func(t *testing.T, p *pod) {
			t.Helper()
			ours := func(r fib.Rule) bool { return r.Protocol == plan.Protocol }
			p.kernel.rules = slices.DeleteFunc(p.kernel.rules, ours)
			p.kernel.routes = slices.DeleteFunc(p.kernel.routes, func(r fib.Route) bool { return r.Protocol == plan.Protocol })
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

func TestOpStrings(t *testing.T) {
	s := parsePod(t, second)
	rule := parseRule(t, "-4 rule 32765: from 10.20.30.5 lookup 7300 proto 73")
	wide := parseRule(t, "-4 rule 32765: from 10.20.0.0/16 lookup 7301 proto 73")
	route := parseRoute(t, s, "-6 route default via fe80::1 dev net1 table 7300 proto 73")
	for _, tc := range []struct {
		op   plan.Op
		want string
		back string
	}{
		{plan.AddRule{Rule: rule}, "ip rule add 32765: from 10.20.30.5 lookup 7300 proto 73", "ip rule del 32765: from 10.20.30.5 lookup 7300 proto 73"},
		{plan.DelRule{Rule: rule}, "ip rule del 32765: from 10.20.30.5 lookup 7300 proto 73", "ip rule add 32765: from 10.20.30.5 lookup 7300 proto 73"},
		{
			plan.AddRoute{Route: route},
			"ip -6 route add default via fe80::1 dev net1 table 7300 proto 73 metric 1024",
			"ip -6 route del default via fe80::1 dev net1 table 7300 proto 73 metric 1024",
		},
		{
			plan.DelRoute{Route: route},
			"ip -6 route del default via fe80::1 dev net1 table 7300 proto 73 metric 1024",
			"ip -6 route add default via fe80::1 dev net1 table 7300 proto 73 metric 1024",
		},
		{
			plan.PutIn{Route: route},
			"ip -6 route add default via fe80::1 dev net1 table 7300 proto 73 metric 1024",
			"ip -6 route del default via fe80::1 dev net1 table 7300 proto 73 metric 1024",
		},
		{
			plan.TakeOut{Route: route},
			"ip -6 route del default via fe80::1 dev net1 table 7300 proto 73 metric 1024",
			"ip -6 route add default via fe80::1 dev net1 table 7300 proto 73 metric 1024",
		},
		{
			plan.Reorder{Was: []fib.Rule{wide, rule}, Want: []fib.Rule{rule, wide}},
			`put rules into the order ["32765: from 10.20.30.5 lookup 7300 proto 73" "32765: from 10.20.0.0/16 lookup 7301 proto 73"]`,
			`put rules into the order ["32765: from 10.20.0.0/16 lookup 7301 proto 73" "32765: from 10.20.30.5 lookup 7300 proto 73"]`,
		},
		{
			plan.Set{Device: "all", Key: "rp_filter", Was: 1, Value: 0},
			"sysctl net.ipv4.conf.all.rp_filter=0",
			"sysctl net.ipv4.conf.all.rp_filter=1",
		},
	} {
		if got := tc.op.String(); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
		if got := tc.op.Inverse().String(); got != tc.back {
			t.Errorf("the inverse of %s: got %s, want %s", tc.op, got, tc.back)
		}
	}
}
