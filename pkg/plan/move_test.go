package plan_test

import (
	"slices"
	"strings"
	"testing"
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
