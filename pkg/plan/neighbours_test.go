package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/maindefault"
	"github.com/symroute/symroute/pkg/state"
)

// crowd is a pod in which every NIC brought defaults of its own.
const crowd = `
	eth0
	10.244.0.5/24
	2001:db8:0::5/64
	net1
	10.20.1.5/24
	2001:db8:1::5/64
	net2
	10.20.2.5/24
	2001:db8:2::5/64
	-4 route default via 10.20.2.1 dev net2
	-4 route default via 10.20.1.1 dev net1
	-4 route default via 10.244.0.1 dev eth0
	-6 route default nexthop via 2001:db8:0::1 dev eth0 weight 1 nexthop via 2001:db8:1::1 dev net1 weight 1 nexthop via 2001:db8:2::1 dev net2 weight 1
`

// member is the attachment of a NIC of the crowd.
func member(nic, mainDefault string) attachment {
	n := strings.TrimPrefix(strings.TrimPrefix(nic, "net"), "eth")
	net4 := map[string]string{"0": "10.244.0"}[n]
	if net4 == "" {
		net4 = "10.20." + n
	}
	return attachment{
		ifname: nic,
		conf:   fmt.Sprintf(`"mainDefault": %q`, mainDefault),
		prev: fmt.Sprintf(`{"ips": [{"address": "%[1]s.5/24", "gateway": "%[1]s.1"}, {"address": "2001:db8:%[2]s::5/64", "gateway": "2001:db8:%[2]s::1"}]}`,
			net4, n),
	}
}

// crowds are pods whose NICs brought different defaults.
func crowds() map[string]string {
	addresses, _, _ := strings.Cut(crowd, "\t-4 route")
	return map[string]string{
		"everybody has a default": crowd,
		"only eth0 has a default": addresses + `
			-4 route default via 10.244.0.1 dev eth0
			-6 route default via 2001:db8:0::1 dev eth0`,
		"net1 and net2 have defaults of several metrics": addresses + `
			-4 route default via 10.20.2.1 dev net2 metric 50
			-4 route default via 10.20.1.1 dev net1 metric 100
			-4 route default via 10.20.1.2 dev net1 metric 150
			-6 route default via 2001:db8:1::1 dev net1 metric 512
			-6 route default via 2001:db8:2::1 dev net2 metric 1024`,
		"one route for all": addresses + `
			-4 route default nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.20.1.1 dev net1 weight 2 nexthop via 10.20.2.1 dev net2 weight 3
			-6 route default via fe80::9 dev eth0 proto ra expires`,
	}
}

// TestNeighbours lets the attachments of a crowd come and leave in every order,
// with everything they can want of main. Each step goes through, CHECK is
// content with everybody after each, and when all have left all is as it was.
func TestNeighbours(t *testing.T) {
	words := []string{"yield", "take", "keep"}
	orders := []string{
		"+1 -1", "+1 +2 -2 -1", "+1 +2 -1 -2", "+2 +1 -1 -2", "+1 +2 -1 +1 -2 -1", "+1 +2 +1 -2 -1",
		"+0 +1 +2 -2 -1 -0", "+0 +1 +2 -0 -1 -2", "+0 +1 +2 -1 -0 -2", "+0 +1 +2 -1 -2 -0", "+0 +1 +2 -2 -0 -1", "+0 +1 +2 -0 -2 -1",
		"+1 +2 +0 -1 -0 -2", "+1 +0 +2 -1 -2 -0",
	}
	for name, pod := range crowds() {
		for _, order := range orders {
			for n := range 27 {
				wanted := []string{words[n%3], words[n/3%3], words[n/9]}
				t.Run(fmt.Sprintf("%s/%s/%s", name, order, strings.Join(wanted, " ")), func(t *testing.T) { meet(t, pod, order, wanted) })
			}
		}
	}
}

func meet(t *testing.T, text, order string, wanted []string) {
	t.Helper()
	p := newPod(t, text)
	pristine := p.kernel.text()
	families, all := p.kernel.defaults(), map[string]bool{"eth0": true, "net1": true, "net2": true}
	var here []attachment // in the order of their first ADD
	left := map[string]bool{}
	for _, step := range strings.Fields(order) {
		n := int(step[1] - '0')
		a := member([]string{"eth0", "net1", "net2"}[n], wanted[n])
		if step[0] == '+' {
			p.watch(step, p.begin(a), families, all)
			p.settle(a)
			if !slices.Contains(here, a) { // else it is repeated, and changes nothing
				here = append(here, a)
			}
			delete(left, a.ifname)
		} else {
			here = slices.DeleteFunc(here, func(o attachment) bool { return o == a })
			p.watch(step, p.leave(a), families, all)
			p.forget(a.key())
			left[a.ifname] = true
		}
		for _, a := range here {
			if found := p.deviations(a); len(found) > 0 {
				t.Errorf("after %s, CHECK of %s finds:\n%s", step, a.ifname, strings.Join(found, "\n"))
			}
		}
		p.defaultIsByTaker(step, here, left)
	}
	p.same("after all have left", pristine)
}

// defaultIsByTaker holds the pod's default to the last attachment that took it. An interface
// that an attachment has left is about to go, and keeps its own until then.
func (p *pod) defaultIsByTaker(step string, here []attachment, left map[string]bool) {
	p.t.Helper()
	i := slices.IndexFunc(reversed(here), func(a attachment) bool { return strings.Contains(a.conf, "take") })
	if i < 0 {
		return
	}
	taker := reversed(here)[i].ifname
	for _, r := range p.kernel.observe(state.MainTable).Defaults(state.MainTable) {
		for _, h := range r.Hops {
			if h.Dev != taker && !left[h.Dev] && maindefault.Fixed(r) == "" {
				p.t.Errorf("after %s: %s took the pod's default, and there is %q", step, taker, r)
			}
		}
	}
}

// TestDefaultsJoinOurs has somebody else add an IPv6 default of the metric that
// ours has: the kernel makes them one route, of which DEL takes our hop alone.
func TestDefaultsJoinOurs(t *testing.T) {
	p := newPod(t, `
		eth0
		2001:db8:1::5/64
		net1
		2001:db8:30::5/64
		-6 route default via 2001:db8:1::1 dev eth0`)
	a := attachment{conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`}
	before := p.kernel.text()
	p.add(a)
	p.apply([]change.Change{change.AddToMain{Route: parseRoute(t, p.kernel.observe(), "-6 route default via 2001:db8:1::2 dev eth0")}})
	p.del(a)
	compare(t, "what is new", lines("-6 route default via 2001:db8:1::2 dev eth0 proto boot metric 1024"), newLines(before, p.kernel.text()))
	compare(t, "what is gone", nil, newLines(p.kernel.text(), before))
}

// TestStrangersSurvive has rules and routes of others about, like ours in all but
// one thing, when an attachment leaves.
func TestStrangersSurvive(t *testing.T) {
	for _, recorded := range []bool{true, false} {
		t.Run(fmt.Sprintf("recorded=%t", recorded), func(t *testing.T) {
			p := newPod(t, second)
			before := p.kernel.text()
			a := attachment{conf: `"viaMain": ["10.96.0.0/12"]`, prev: resultOf}
			p.add(a)
			const rules = `
				-4 rule 32765: from 10.20.30.5 goto 40000
				-4 rule 32765: from all oif net1 goto 40000 proto static
				-4 rule 40011: from 10.20.30.5 to 10.96.0.0/12 lookup main
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto static
				-4 rule 40015: from 10.20.30.5 unreachable proto 72
				-4 rule 49000: from all oif net1 lookup 7300`
			for _, line := range lines(rules) {
				p.kernel.appendRule(parseRule(t, line))
			}
			const routes = `
				-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7300 proto boot`
			for _, line := range lines(routes) {
				withRoute(line)(t, p)
			}
			if !recorded {
				p.forget(a.key())
				before = slices.Clone(before)
				i := slices.IndexFunc(before, func(line string) bool { return strings.HasPrefix(line, "net1:") })
				before[i] = strings.Replace(before[i], "rp_filter=0", "rp_filter=2", 1)
			}
			p.del(a)
			after := p.kernel.text()
			compare(t, "what is new", lines(rules+routes), newLines(before, after))
			compare(t, "what is gone", nil, newLines(after, before))
		})
	}
}

// TestOthersTablesSurvive has a table of our protocol beside the attachment's own: with a
// record that tells which are its own it stays.
func TestOthersTablesSurvive(t *testing.T) {
	p := newPod(t, second)
	before := p.kernel.text()
	a := attachment{prev: resultOf}
	p.add(a)
	const stays = "-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7301 proto 73"
	withRoute(stays)(t, p)
	p.del(a)
	compare(t, "what is new", []string{stays}, newLines(before, p.kernel.text()))
}

// TestNICIsGone has the NIC go before the attachment leaves, as it does when a
// pod's namespace is taken down: what is left of us goes all the same.
func TestNICIsGone(t *testing.T) {
	eachComing(t, func(t *testing.T, s scenario) {
		nic := s.key().IfName
		if !slices.ContainsFunc(s.start(t).kernel.links, func(l fib.Link) bool { return l.Name == nic }) {
			t.Skip("it was never there")
		}
		without := s.start(t)
		without.kernel.died(nic)
		for _, recorded := range []bool{true, false} {
			p := s.start(t)
			p.add(s.attachment)
			own := p.ownLines(s.attachment)
			p.kernel.died(nic)
			if !recorded {
				p.forget(s.key())
			}
			p.del(s.attachment)
			for _, line := range newLines(without.kernel.text(), p.kernel.text()) {
				if recorded || slices.Contains(own, line) {
					t.Errorf("left (with a record: %t): %s", recorded, line)
				}
			}
			if recorded {
				compare(t, "lost", nil, newLines(p.kernel.text(), without.kernel.text()))
			}
		}
	})
}

// newLines lists the lines of a text that another does not have.
func newLines(old, now []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(line string) bool { return slices.Contains(old, line) })
}

// isOurs reports whether a line is a rule or route of ours.
func isOurs(line string) bool { return strings.Contains(line+" ", " proto 73 ") }

// TestForeignDefaults has somebody else change main's defaults while an
// attachment is there: DEL takes back what we did, and nothing of that.
func TestForeignDefaults(t *testing.T) {
	behind := func(line string) mishap {
		return func(t *testing.T, p *pod) {
			t.Helper()
			p.apply([]change.Change{change.AddToMain{Route: parseRoute(t, p.kernel.observe(), line)}})
		}
	}
	front := func(line string) mishap { return func(t *testing.T, p *pod) { t.Helper(); p.plug(line) } }
	const sideBySide = `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0`
	const merged = `
		eth0
		2001:db8:1::5/64
		net1
		2001:db8:30::5/64
		-6 route default nexthop via 2001:db8:30::1 dev net1 weight 1 nexthop via 2001:db8:1::1 dev eth0 weight 1`
	const result6 = `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`
	for _, tc := range []struct {
		name string
		pod  string
		attachment
		mishap mishap
		want   string
	}{
		{
			name: "one comes in front", pod: sideBySide, attachment: attachment{prev: resultOf},
			mishap: front("-4 route default via 10.244.0.2 dev eth0"),
			want: `
				-4 route default via 10.244.0.2 dev eth0 proto boot
				-4 route default via 10.244.0.1 dev eth0 proto boot
				-4 route default via 10.20.30.1 dev net1 proto boot`,
		},
		{
			name: "one comes behind", pod: sideBySide, attachment: attachment{prev: resultOf},
			mishap: behind("-4 route default via 10.244.0.2 dev eth0"),
			want: `
				-4 route default via 10.244.0.1 dev eth0 proto boot
				-4 route default via 10.244.0.2 dev eth0 proto boot
				-4 route default via 10.20.30.1 dev net1 proto boot`,
		},
		{
			name: "one comes with another metric", pod: sideBySide, attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			mishap: withRoute("-4 route default via 10.244.0.2 dev eth0 metric 50"),
			want: `
				-4 route default via 10.20.30.1 dev net1 proto boot
				-4 route default via 10.244.0.1 dev eth0 proto boot
				-4 route default via 10.244.0.2 dev eth0 proto boot metric 50`,
		},
		{
			name: "a hop joins", pod: merged, attachment: attachment{prev: result6},
			mishap: behind("-6 route default via 2001:db8:1::2 dev eth0"),
			want: `
				-6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1024
				-6 route default via 2001:db8:1::2 dev eth0 proto boot metric 1024
				-6 route default via 2001:db8:30::1 dev net1 proto boot metric 1024`,
		},
		{
			name: "the other NIC's goes", pod: sideBySide, attachment: attachment{prev: resultOf},
			mishap: without("-4 route default via 10.244.0.1 dev eth0 proto boot"),
			want:   `-4 route default via 10.20.30.1 dev net1 proto boot`,
		},
		{
			name: "the other NIC's hop goes", pod: merged, attachment: attachment{prev: result6},
			mishap: without("-6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1024"),
			want:   `-6 route default via 2001:db8:30::1 dev net1 proto boot metric 1024`,
		},
		{
			name: "what was taken out comes back by itself", pod: sideBySide, attachment: attachment{prev: resultOf},
			mishap: front("-4 route default via 10.20.30.1 dev net1"),
			want: `
				-4 route default via 10.20.30.1 dev net1 proto boot
				-4 route default via 10.244.0.1 dev eth0 proto boot`,
		},
		{
			name: "the pod's default is moved to the NIC, as Multus does it", pod: sideBySide, attachment: attachment{prev: resultOf},
			mishap: func(t *testing.T, p *pod) {
				t.Helper()
				without("-4 route default via 10.244.0.1 dev eth0 proto boot")(t, p)
				withRoute("-4 route default via 10.20.30.1 dev net1")(t, p)
			},
			want: `-4 route default via 10.20.30.1 dev net1 proto boot`,
		},
		{
			name: "ours goes", pod: second, attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			mishap: without("-4 route default via 10.20.30.1 dev net1 proto 73"),
			want:   `-4 route default via 10.244.0.1 dev eth0 proto boot`,
		},
		{
			name: "the other NIC goes", pod: sideBySide, attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			mishap: func(_ *testing.T, p *pod) { p.kernel.died("eth0") },
			want:   `-4 route default via 10.20.30.1 dev net1 proto boot`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, tc.pod)
			p.add(tc.attachment)
			tc.mishap(t, p)
			p.del(tc.attachment)
			compare(t, "main after DEL", lines(tc.want), p.mainDefaults())
		})
	}
}
