package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/plan"
)

// TestRuleOrder shows in which order the rules of several sources stand in the
// kernel, which asks those of one priority in the order of their addition.
func TestRuleOrder(t *testing.T) {
	wide := attachment{ifname: "eth0", conf: `"sources": ["10.20.0.0/16"]`, prev: `{"ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1"}]}`}
	for _, s := range []scenario{
		{
			name: "what an address is refused does not leave by the NIC of a prefix that holds it, though that came first",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24`,
			late:       "net1",
			earlier:    []attachment{wide},
			attachment: attachment{prev: resultOf},
			want: `
				from all oif eth0 lookup 7300
				from 10.244.0.5 lookup 7300
				from 10.244.0.5 unreachable
				from all oif net1 lookup 7301
				from 10.20.30.5 lookup 7301
				from 10.20.30.5 unreachable
				from 10.20.0.0/16 lookup 7300
				from 10.20.0.0/16 unreachable`,
		},
		{
			name: "an address and a prefix of one NIC share its refusals",
			pod: `
				net1
				10.20.30.5/24`,
			attachment: attachment{conf: `"sources": ["10.20.0.0/16"]`, prev: resultOf},
			want: `
				from all oif net1 lookup 7300
				from 10.20.30.5 lookup 7300
				from 10.20.0.0/16 lookup 7300
				from 10.20.30.5 unreachable
				from 10.20.0.0/16 unreachable`,
		},
		{
			name: "an address with a gateway of its own keeps it when the socket is bound to the device",
			pod: `
				net1
				10.20.30.5/24
				10.20.31.5/24`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`},
			want: `
				from 10.20.30.5 lookup 7300
				from 10.20.31.5 lookup 7301
				from 10.20.30.5 unreachable
				from 10.20.31.5 unreachable
				from all oif net1 lookup 7300
				from all oif net1 lookup 7301`,
		},
		{
			name: "a NIC's own attachment goes before the one that displaced its default",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				-4 route default via 10.244.0.1 dev eth0`,
			earlier:    []attachment{{conf: `"mainDefault": "take"`, prev: resultOf}},
			attachment: attachment{ifname: "eth0", prev: `{"ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1"}]}`},
			want: `
				from all oif net1 lookup 7300
				from all iif net1 oif net1 lookup 7301
				from 10.20.30.5 lookup 7300
				from 10.20.30.5 unreachable
				from 10.244.0.5 lookup 7302
				from 10.244.0.5 lookup 7301
				from 10.244.0.5 unreachable
				from all oif eth0 lookup 7302
				from all oif eth0 lookup 7301`,
		},
		{
			name: "what main shall decide goes first, also when it comes later",
			pod: `
				net1
				10.20.30.5/24`,
			earlier:    []attachment{{prev: resultOf}},
			attachment: attachment{conf: `"viaMain": ["10.96.0.0/12"]`, prev: resultOf},
			want: `
				from all oif net1 lookup 7300
				from 10.20.30.5 to 10.96.0.0/12 lookup main
				from 10.20.30.5 lookup 7300
				from 10.20.30.5 unreachable`,
		},
	} {
		t.Run(s.name, func(t *testing.T) {
			p := s.start(t)
			order := func() []string {
				var out []string
				for _, line := range p.kernel.text() {
					if rule, ours := strings.CutPrefix(line, "-4 rule 32765: "); ours {
						out = append(out, strings.TrimSuffix(rule, " proto 73"))
					}
				}
				return out
			}
			before := order()
			p.add(s.attachment)
			compare(t, "after ADD", lines(s.want), order())
			if again := p.begin(s.attachment); len(again) > 0 {
				t.Errorf("ADD again has something to do: %v", again)
			}
			p.del(s.attachment)
			if !slices.ContainsFunc(s.earlier, func(a attachment) bool { return a.key() == s.key() }) {
				compare(t, "after DEL", before, order())
			}
		})
	}
}

// TestReorderingKilled ends ADD and DEL between the requests that a reordering is
// made of. At no moment does a rule stand before one that has to precede it, nor
// one of a bystander's before another of it; and the next DEL, or ADD and DEL,
// leave everything as it was.
func TestReorderingKilled(t *testing.T) {
	wide := attachment{ifname: "eth0", conf: `"sources": ["10.20.0.0/16"]`, prev: `{"ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1"}]}`}
	bystander := attachment{ifname: "net2", prev: `{"ips": [{"address": "10.88.0.5/24", "gateway": "10.88.0.1"}]}`}
	a := attachment{prev: resultOf}
	start := func() *pod {
		return scenario{
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				net2
				10.88.0.5/24`,
			late:    "net1",
			earlier: []attachment{wide, bystander},
		}.start(t)
	}
	before := start().kernel.text()
	whole := start()
	whole.add(a)
	after := whole.kernel.text()
	for name, begin := range map[string]func(*pod) []plan.Op{
		"ADD": func(p *pod) []plan.Op { return p.begin(a) },
		"DEL": func(p *pod) []plan.Op { p.add(a); return p.leave(a) },
	} {
		moves := 0
		for at, op := range begin(start()) {
			reorder, ok := op.(plan.Reorder)
			if !ok {
				continue
			}
			p := start()
			p.apply(begin(p)[:at])
			requests := len(p.kernel.reorderSteps(reorder))
			moves += requests
			for cut := range requests + 1 {
				killed := func() *pod {
					p := start()
					p.apply(begin(p)[:at])
					if err := inTurn(p.kernel.reorderSteps(reorder)[:cut]); err != nil {
						t.Fatal(err)
					}
					return p
				}
				what := fmt.Sprintf("%s killed %d of %d requests into %s", name, cut, requests, op)
				p := killed()
				p.inOrder(what, "from 10.88.0.5 lookup", "from 10.88.0.5 unreachable")
				p.inOrder(what, "from 10.244.0.5 lookup", "from 10.244.0.5 unreachable")
				p.inOrder(what, "from 10.20.0.0/16 lookup", "from 10.20.0.0/16 unreachable")
				p.del(a)
				p.same(what+", then DEL", before)
				p = killed()
				p.add(a)
				if name == "ADD" {
					p.same(what+", then ADD", after)
				}
				p.del(a)
				p.same(what+", then ADD and DEL", before)
			}
		}
		if moves == 0 {
			t.Errorf("%s moves nothing: this test shows nothing", name)
		}
	}
}

// inOrder demands that the first rule with one text stands before the first with
// the other.
func (p *pod) inOrder(what, one, other string) {
	p.t.Helper()
	has := func(text string) func(string) bool {
		return func(line string) bool { return strings.Contains(line, text) }
	}
	all := p.kernel.text()
	if slices.IndexFunc(all, has(one)) > slices.IndexFunc(all, has(other)) {
		p.t.Errorf("%s: %q stands behind %q", what, one, other)
	}
}
