package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// shared lists the rules of IPv4 that no attachment has for itself.
func (p *pod) shared() []string {
	var out []string
	for _, r := range p.kernel.rules {
		if r.Family == fib.V4 && isShared(r) {
			out = append(out, r.String())
		}
	}
	return out
}

// TestSharedRules follows the rules that all attachments share while NICs come and go.
func TestSharedRules(t *testing.T) {
	type step struct {
		what string // + and - with a NIC: ADD and DEL; x: it is gone, ?: its record is
		want string
	}
	const (
		anchor = "40000: from all nop proto 73\n"
		eth0   = "49998: from 10.244.0.5 unreachable proto 73\n"
		net1   = "49998: from 10.20.1.5 unreachable proto 73\n"
		net2   = "49998: from 10.20.2.5 unreachable proto 73\n"
	)
	fallback := func(n, table int) string { return fmt.Sprintf("%d: from all lookup %d proto 73\n", 49999+n, table) }
	for _, tc := range []struct {
		name  string
		pod   string
		wish  map[string]string // of a NIC's attachment, yield where there is none
		steps []step
	}{
		{
			// An interface whose attachment leaves is about to go: its default is in main again,
			// and its addresses are refused only if they were before ADD.
			name: "fallbacks in the order in which they would own main, refusals for those without a table",
			pod:  crowd,
			steps: []step{
				{"+net2", anchor + eth0 + net1 + fallback(0, 7300)},
				{"+net1", anchor + eth0 + fallback(0, 7301) + fallback(1, 7300)},
				{"+eth0", anchor + fallback(0, 7301) + fallback(1, 7300)},
				{"-net1", anchor + net1 + fallback(0, 7300)},
				{"x net1", anchor + net1 + fallback(0, 7300)},
				{"-net2", anchor},
				{"-eth0", ""},
			},
		},
		{
			name: "a NIC that owns main needs no fallback, and nobody any refusal",
			pod: strings.ReplaceAll(strings.ReplaceAll(crowd, "-4 route default via 10.244.0.1 dev eth0", ""),
				"-4 route default via 10.20.2.1 dev net2", ""),
			steps: []step{{"+net1", anchor}, {"-net1", ""}},
		},
		{
			name:  "keep has none",
			pod:   crowd,
			wish:  map[string]string{"net1": "keep"},
			steps: []step{{"+net1", anchor}, {"-net1", ""}},
		},
		{
			name: "the displaced get tables, which are fallbacks",
			pod:  crowd,
			wish: map[string]string{"net1": "take"},
			steps: []step{
				{"+net1", anchor + fallback(0, 7301) + fallback(1, 7302)},
				{"+net1", anchor + fallback(0, 7301) + fallback(1, 7302)},
				{"-net1", ""},
			},
		},
		{
			name: "a second taker's fallback is before those of the others",
			pod:  crowd,
			wish: map[string]string{"net1": "take", "net2": "take"},
			steps: []step{
				{"+net1", anchor + fallback(0, 7301) + fallback(1, 7302)},
				{"+net2", anchor + fallback(0, 7300) + fallback(1, 7301)},
				{"-net2", anchor + fallback(0, 7301)},
				{"-net1", ""},
			},
		},
		{
			name: "an unknown fallback stays, and the refusals with it",
			pod:  crowd,
			steps: []step{
				{"+net1", anchor + eth0 + net2 + fallback(0, 7300)},
				{"? net1", anchor + eth0 + net2 + fallback(0, 7300)},
				{"+net2", anchor + eth0 + net1 + fallback(0, 7300) + fallback(0, 7301)},
				{"-net2", anchor + eth0 + net1 + fallback(0, 7300)},
				{"-net1", ""},
			},
		},
		{
			name: "the anchor stays while any decision leads to it",
			pod:  crowd,
			wish: map[string]string{"net1": "keep", "net2": "keep"},
			steps: []step{
				{"+net1", anchor}, {"+net2", anchor}, {"? net1", anchor}, {"-net2", anchor}, {"x net1", anchor}, {"-net1", ""},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, tc.pod)
			for _, s := range tc.steps {
				nic := strings.Trim(s.what, "+-x? ")
				wish := tc.wish[nic]
				if wish == "" {
					wish = "yield"
				}
				a := member(nic, wish)
				switch s.what[0] {
				case '+':
					p.add(a)
				case '-':
					p.del(a)
				case 'x':
					p.kernel.died(nic)
				case '?':
					p.forget(a.key())
				}
				compare(t, "after "+s.what, lines(s.want), p.shared())
			}
		})
	}
}

// TestForeignRulesInTheBlock has rules of others stand among those that all share, some with a
// goto to the anchor: they are theirs.
func TestForeignRulesInTheBlock(t *testing.T) {
	p := newPod(t, crowd)
	for _, line := range lines(`
		-4 rule 100: from 192.0.2.1 goto 40000
		-4 rule 40000: from all nop
		-4 rule 49998: from 192.0.2.1 unreachable
		-4 rule 49999: from all lookup 7300
		-4 rule 60000: from all lookup 100 proto static`) {
		p.kernel.appendRule(parseRule(t, line))
	}
	before := p.kernel.text()
	a := member("net1", "yield")
	p.add(a)
	p.del(a)
	p.same("after ADD and DEL", before)
}

// TestAnchorIsBack: somebody deleted the anchor while others' decisions lead there. The ADD of
// another attachment brings it back.
func TestAnchorIsBack(t *testing.T) {
	p := newPod(t, crowd)
	p.add(member("net1", "yield"))
	without("-4 rule 40000: from all nop proto 73")(t, p)
	p.add(member("net2", "yield"))
	for _, r := range p.kernel.rules {
		if state.IsAnchor(r) && r.Family == fib.V4 {
			return
		}
	}
	t.Error("there is no anchor")
}
