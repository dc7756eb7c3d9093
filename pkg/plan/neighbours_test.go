package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
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
	var here []attachment
	undisputed := true
	for _, step := range strings.Fields(order) {
		n := int(step[1] - '0')
		a := member([]string{"eth0", "net1", "net2"}[n], wanted[n])
		if step[0] == '+' {
			p.watch(step, p.begin(a), families, all)
			if !slices.Contains(here, a) { // else it is repeated, and changes nothing
				here = append(here, a)
			}
		} else {
			here = slices.DeleteFunc(here, func(o attachment) bool { return o == a })
			p.watch(step, p.leave(a), families, all)
			p.forget(a.key())
			// One that yielded puts its default back, where it may dispute the
			// taker's until its NIC goes, which is next.
			undisputed = undisputed && wanted[n] != "yield"
		}
		for _, a := range here {
			if found := p.deviations(a); len(found) > 0 {
				t.Errorf("after %s, CHECK of %s finds:\n%s", step, a.ifname, strings.Join(found, "\n"))
			}
		}
		if undisputed {
			p.defaultIsByTaker(step, here)
		}
	}
	p.same("after all have left", pristine)
}

// defaultIsByTaker holds the pod's default to the last attachment that took it.
func (p *pod) defaultIsByTaker(step string, here []attachment) {
	p.t.Helper()
	i := slices.IndexFunc(reversed(here), func(a attachment) bool { return strings.Contains(a.conf, "take") })
	if i < 0 {
		return
	}
	taker := reversed(here)[i].ifname
	for _, f := range fib.Families() {
		defaults := slices.DeleteFunc(p.kernel.observe(unix.RT_TABLE_MAIN).Routes, func(r fib.Route) bool { return r.Family != f || !r.IsDefault() })
		best := slices.MinFunc(defaults, func(a, b fib.Route) int { return int(a.Metric) - int(b.Metric) })
		for _, h := range best.Hops {
			if h.Dev != taker {
				p.t.Errorf("after %s: %s took the pod's default, and it is %q", step, taker, best)
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
	p.apply([]plan.Op{plan.PutIn{Route: parseRoute(t, p.kernel.observe(), "-6 route default via 2001:db8:1::2 dev eth0 metric 1023")}})
	p.del(a)
	compare(t, "what is new", lines("-6 route default via 2001:db8:1::2 dev eth0 proto boot metric 1023"), newLines(before, p.kernel.text()))
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
			for _, line := range []string{
				"-4 rule 32765: from 10.20.30.5 to 10.96.0.0/12 lookup main",
				"-4 rule 32765: from 10.20.30.5 lookup 7300 proto static",
				"-4 rule 32765: from all oif net1 lookup 7300",
				"-4 rule 32765: from 10.20.30.5 unreachable proto 72",
			} {
				p.kernel.appendRule(parseRule(t, line))
			}
			withRoute("-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7300")(t, p)
			withRoute("-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7301 proto 73")(t, p)
			if !recorded {
				p.forget(a.key())
				before = slices.Clone(before)
				i := slices.IndexFunc(before, func(line string) bool { return strings.HasPrefix(line, "net1:") })
				before[i] = strings.Replace(before[i], "rp_filter=0", "rp_filter=2", 1)
			}
			p.del(a)
			after := p.kernel.text()
			compare(t, "what is new", lines(`
				-4 rule 32765: from 10.20.30.5 to 10.96.0.0/12 lookup main
				-4 rule 32765: from 10.20.30.5 lookup 7300 proto static
				-4 rule 32765: from all oif net1 lookup 7300
				-4 rule 32765: from 10.20.30.5 unreachable proto 72
				-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7300 proto boot
				-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7301 proto 73`),
				newLines(before, after))
			compare(t, "what is gone", nil, newLines(after, before))
		})
	}
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
			p.kernel.died(nic)
			if !recorded {
				p.forget(s.key())
			}
			p.del(s.attachment)
			for _, line := range newLines(without.kernel.text(), p.kernel.text()) {
				if recorded && !inStead(line) || isOurs(line) {
					t.Errorf("left (with a record: %t): %s", recorded, line)
				}
			}
			if recorded {
				compare(t, "lost", nil, newLines(p.kernel.text(), without.kernel.text()))
			}
		}
	})
}

// inStead reports whether a line can be a default of another NIC that stands for
// a multipath route, which cannot come back when one of its NICs is gone.
func inStead(line string) bool {
	return strings.HasPrefix(line, "-4 route default ") && !strings.Contains(line, " table ") && !isOurs(line)
}

// newLines lists the lines of a text that another does not have.
func newLines(old, now []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(line string) bool { return slices.Contains(old, line) })
}

// isOurs reports whether a line is a rule or route of ours.
func isOurs(line string) bool { return strings.Contains(line+" ", " proto 73 ") }

// TestTornRecord has a record that does not hold what it should: DEL does what
// it can, and never more.
func TestTornRecord(t *testing.T) {
	p := newPod(t, crowd)
	a := member("net1", "take")
	p.add(a)
	mine, _ := record.Find(p.records, a.key())
	junk := [][]byte{nil, {1}, []byte("rubbish, and more of it than a header")}
	mine.Main, mine.Moving, mine.Wish.Own, mine.Order = junk, junk, junk, junk
	for range 2 { // with what is left of it, and then without any
		p.apply(p.leave(a))
	}
	for _, line := range p.kernel.text() {
		if strings.Contains(line, "lookup 730") || strings.Contains(line, "table 730") || strings.Contains(line, "unreachable") {
			t.Errorf("left: %s", line)
		}
	}
	if got := plan.RememberedMain(p.kernel.observe(), mine); len(got) > 0 {
		t.Errorf("routes from rubbish: %v", got)
	}
}

// TestForeignDefaults has somebody else change main's defaults while an
// attachment is there: DEL takes back what we did, and nothing of that.
func TestForeignDefaults(t *testing.T) {
	front := func(line string) mishap {
		return func(t *testing.T, p *pod) {
			t.Helper()
			p.apply([]plan.Op{plan.PutIn{Route: parseRoute(t, p.kernel.observe(), line), Place: plan.Place{First: true}}})
		}
	}
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
				-4 route default via 10.20.30.1 dev net1 proto boot
				-4 route default via 10.244.0.1 dev eth0 proto boot`,
		},
		{
			name: "one comes behind", pod: sideBySide, attachment: attachment{prev: resultOf},
			mishap: func(t *testing.T, p *pod) {
				t.Helper()
				p.apply([]plan.Op{plan.PutIn{Route: parseRoute(t, p.kernel.observe(), "-4 route default via 10.244.0.2 dev eth0")}})
			},
			want: `
				-4 route default via 10.20.30.1 dev net1 proto boot
				-4 route default via 10.244.0.1 dev eth0 proto boot
				-4 route default via 10.244.0.2 dev eth0 proto boot`,
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
			mishap: func(t *testing.T, p *pod) {
				t.Helper()
				p.apply([]plan.Op{plan.PutIn{Route: parseRoute(t, p.kernel.observe(), "-6 route default via 2001:db8:1::2 dev eth0")}})
			},
			want: `-6 route default proto boot metric 1024 nexthop via 2001:db8:30::1 dev net1 weight 1 nexthop via 2001:db8:1::1 dev eth0 weight 1 nexthop via 2001:db8:1::2 dev eth0 weight 1`,
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
			got := slices.DeleteFunc(p.kernel.text(), func(line string) bool { return !strings.Contains(line, "route default") })
			compare(t, "main after DEL", lines(tc.want), got)
		})
	}
}
