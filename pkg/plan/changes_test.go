package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
)

// allScenarios are those of every table. What is said of changes here has to be
// true of each of them.
func allScenarios() []scenario {
	return slices.Concat(
		gatewayScenarios(), routeScenarios(), nicScenarios(), numberScenarios(),
		ruleScenarios(), defaultScenarios(), modeScenarios(), strangerScenarios(),
	)
}

// strangerScenarios have been set up by others, or by ourselves, in ways that
// are in the way of changes.
func strangerScenarios() []scenario {
	return []scenario{
		{
			name: "somebody else's rule of the same source, and routes in a table of ours",
			pod: second + `
				-4 rule 100: from 10.20.30.5 to 192.0.2.0/24 lookup 7300
				-4 rule 40012: from 10.20.30.5 lookup 7300
				-4 rule 40015: from 10.20.30.5 unreachable
				-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7300`,
			attachment: attachment{prev: resultOf},
			deviations: `
				foreign: IPv4 rule "40015: from 10.20.30.5 unreachable proto 73": want ours alone, got a twin under another protocol; decided by the rule "40015: from 10.20.30.5 unreachable"`,
		},
		{
			name:       "the gateway has changed",
			pod:        second,
			earlier:    []attachment{{prev: resultOf}},
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.2"}]}`},
		},
		{
			name: "addresses and gateways have gone",
			pod: second + `
				10.20.31.5/24
				10.20.32.5/24`,
			earlier: []attachment{{
				conf: `"viaMain": ["10.96.0.0/12"], "sources": ["10.20.73.29"], "routes": [{"dst": "172.16.0.0/12", "gw": "10.20.30.9"}]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`,
			}},
			attachment: attachment{conf: `"noGateway": "main"`, prev: `{"ips": [{"address": "10.20.31.5/24", "gateway": "10.20.31.2"}]}`},
		},
		{
			name:       "priorities have changed",
			pod:        second,
			earlier:    []attachment{{prev: resultOf}},
			attachment: attachment{conf: `"priority": 1000`, prev: resultOf},
		},
	}
}

// modeScenarios change rp_filter and ARP settings.
func modeScenarios() []scenario {
	return []scenario{
		{
			name: "off, under an inherited all",
			pod: second + `
				eth1 rp_filter=1
				eth2 rp_filter=2
				rp_filter all=1`,
			attachment: attachment{conf: `"rpFilter": "off"`, prev: resultOf},
		},
		{
			name: "strict, under an inherited all and default",
			pod: second + `
				rp_filter all=2 default=1`,
			attachment: attachment{conf: `"rpFilter": "strict", "interfaces": {"eth0": {"rpFilter": "off"}}`, prev: resultOf},
		},
		{
			name: "from off to strict, and other devices given back",
			pod: second + `
				rp_filter all=2`,
			earlier:    []attachment{{conf: `"rpFilter": "off", "interfaces": {"eth0": {"rpFilter": "off"}}, "arp": "isolate"`, prev: resultOf}},
			attachment: attachment{conf: `"rpFilter": "strict", "arp": "isolate"`, prev: resultOf},
		},
		{
			name: "ARP settings that are as wanted in part",
			pod: `
				net1 arp_ignore=1 arp_announce=1
				10.20.30.5/24`,
			attachment: attachment{conf: `"arp": "isolate"`, prev: resultOf},
		},
		{
			name: "a second holder of all",
			pod: second + `
				rp_filter all=2 default=1`,
			earlier:    []attachment{{ifname: "eth0", conf: `"rpFilter": "off"`, prev: `{"ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1"}]}`}},
			attachment: attachment{conf: `"rpFilter": "strict"`, prev: resultOf},
		},
		{
			name: "a device without IPv4 has no mode",
			pod: `
				net1 noipv4
				2001:db8:30::5/64
				rp_filter all=1`,
			attachment: attachment{conf: `"rpFilter": "off"`, prev: `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "fe80::1"}]}`},
		},
	}
}

// eachScenario runs a test with every scenario.
func eachScenario(t *testing.T, test func(t *testing.T, s scenario)) {
	t.Helper()
	for _, s := range allScenarios() {
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

// comes reports whether the attachment of a scenario is the first of its name:
// one that comes, and is not changed. Then DEL leads back to where ADD began.
func (s scenario) comes() bool {
	return !slices.ContainsFunc(s.earlier, func(a attachment) bool { return a.key() == s.key() })
}

func eachComing(t *testing.T, test func(t *testing.T, s scenario)) {
	t.Helper()
	eachScenario(t, func(t *testing.T, s scenario) {
		if !s.comes() {
			t.Skip("the attachment is there already")
		}
		test(t, s)
	})
}

func TestChangesLeadToTheState(t *testing.T) {
	eachScenario(t, func(t *testing.T, s scenario) {
		p := s.start(t)
		want := p.build(s.attachment).State.String()
		p.add(s.attachment)
		if mine, _ := record.Find(p.records, s.key()); mine != nil {
			if diff := cmp.Diff(want, mine.State.String()); diff != "" {
				t.Errorf("what is remembered differs from the plan (-plan +record):\n%s", diff)
			}
		}
		compare(t, "deviations after ADD", lines(s.deviations), p.deviations(s.attachment))
	})
}

func TestAddTwiceChangesNothing(t *testing.T) {
	eachScenario(t, func(t *testing.T, s scenario) {
		p := s.start(t)
		p.add(s.attachment)
		first, _ := record.Find(p.records, s.key())
		again := p.begin(s.attachment)
		p.settle(s.attachment)
		if len(again) > 0 {
			t.Errorf("the second ADD wants to do:\n%s", textOf(again))
		}
		second, _ := record.Find(p.records, s.key())
		anyOrder := cmpopts.SortSlices(func(a, b fib.Route) bool { return a.String() < b.String() })
		if diff := cmp.Diff(first, second, anyOrder, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
			t.Errorf("the second ADD remembers something else (-first +second):\n%s", diff)
		}
	})
}

func textOf(changes []change.Change) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintln(&b, c)
	}
	return b.String()
}

// TestInversesRestore takes an ADD back after each of its steps.
func TestInversesRestore(t *testing.T) {
	eachScenario(t, func(t *testing.T, s scenario) {
		for cut := range len(s.start(t).begin(s.attachment)) + 1 {
			p := s.start(t)
			before := p.kernel.text()
			done := p.begin(s.attachment)[:cut]
			p.apply(done)
			p.takeBack(done)
			p.same(fmt.Sprintf("after the first %d changes and their inverses", cut), before)
		}
	})
}

// takeBack undoes changes, the last first.
func (p *pod) takeBack(done []change.Change) {
	p.t.Helper()
	for _, c := range slices.Backward(done) {
		p.apply([]change.Change{c.Inverse()})
	}
}

func TestRemovalRestores(t *testing.T) {
	eachComing(t, func(t *testing.T, s scenario) {
		p := s.start(t)
		before := p.kernel.text()
		p.add(s.attachment)
		p.del(s.attachment)
		p.same("after ADD and DEL", before)
		if again := p.leave(s.attachment); len(again) > 0 {
			t.Errorf("a second DEL wants to do:\n%s", textOf(again))
		}
	})
}

// TestRemovalOfAll takes the attachments back in the order in which they came,
// and in that in which runtimes do it.
func TestRemovalOfAll(t *testing.T) {
	eachScenario(t, func(t *testing.T, s scenario) {
		pristine := newPod(t, s.pod).kernel.text()
		all := append(slices.Clone(s.earlier), s.attachment)
		for name, order := range map[string][]attachment{"first in, first out": all, "last in, first out": reversed(all)} {
			p := s.start(t)
			p.add(s.attachment)
			for _, a := range order {
				p.del(a)
			}
			p.same(name, pristine)
		}
	})
}

func reversed[T any](list []T) []T {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// TestRemovalWithoutRecord has DEL find the rules and routes of the NIC by what the kernel
// tells. What stands in main without our protocol, and settings, stay as they are, and so do
// other NICs' tables: the next ADD that displaces one of these goes on with its table.
func TestRemovalWithoutRecord(t *testing.T) {
	eachComing(t, func(t *testing.T, s scenario) {
		p := s.start(t)
		before := p.kernel.text()
		p.add(s.attachment)
		added, own := p.kernel.text(), p.ownLines(s.attachment)
		alone := slices.Equal(own, p.stateLines(s.attachment))
		p.forget(s.key())
		p.del(s.attachment)
		after := p.kernel.text()

		for _, line := range newLines(before, after) {
			if slices.Contains(own, line) || alone && isOurs(line) {
				t.Errorf("left: %s", line)
			}
		}
		theirs := func(line string) bool { return !isOurs(line) }
		compare(t, "ours that is gone", nil, newLines(after, slices.DeleteFunc(before, theirs)))
		compare(t, "all else", slices.DeleteFunc(added, isOurs), slices.DeleteFunc(after, isOurs))
	})
}

// stateLines are the rules and routes that are remembered of an attachment, ownLines those of
// its own NIC.
func (p *pod) stateLines(a attachment) []string {
	return p.linesOf(a, func(state.NIC) bool { return true })
}

func (p *pod) ownLines(a attachment) []string {
	return p.linesOf(a, func(n state.NIC) bool { return n.Role == state.Attached && n.Name == a.key().IfName })
}

func (p *pod) linesOf(a attachment, of func(state.NIC) bool) []string {
	mine, _ := record.Find(p.records, a.key())
	if mine == nil {
		return nil
	}
	var out []string
	for _, n := range mine.State.NICs {
		if !of(n) {
			continue
		}
		for _, r := range mine.State.Rules {
			if r.OIF == n.Name || r.From.IsValid() && n.Has(r.From) {
				out = append(out, fmt.Sprintf("%s rule %s", option(r.Family), r))
			}
		}
		for _, table := range n.Tables {
			for _, r := range table.Routes {
				out = append(out, routeText(r))
			}
		}
	}
	return out
}

// TestNothingElseBreaks watches every step of ADD and DEL: main keeps a default
// of each family that it had, no device's effective rp_filter changes but those that
// were asked for, and ADD leaves no place without a route that had one and has one again.
func TestNothingElseBreaks(t *testing.T) {
	eachScenario(t, func(t *testing.T, s scenario) {
		p := s.start(t)
		wanted := map[string]bool{}
		p.markWanted(wanted, s.attachment)
		had := p.kernel.defaults()
		changes := p.begin(s.attachment)
		p.markWanted(wanted, s.attachment)
		p.watch("ADD", changes, had, wanted)
		p.watch("DEL", p.leave(s.attachment), had, wanted)
	})
}

// markWanted marks the devices whose modes an attachment wants.
func (p *pod) markWanted(wanted map[string]bool, a attachment) {
	if mine, _ := record.Find(p.records, a.key()); mine != nil {
		for _, d := range mine.State.Settings[fib.RPFilter].Devices {
			wanted[d.Name] = true
		}
	}
}

func (p *pod) watch(verb string, changes []change.Change, had []fib.Family, wanted map[string]bool) {
	p.t.Helper()
	modes, whole := p.kernel.effective(), true
	places := []map[string]bool{p.kernel.places()}
	for i, c := range changes {
		p.apply([]change.Change{c})
		places = append(places, p.kernel.places())
		now := p.kernel.defaults()
		if whole && !containsAll(now, had) {
			p.t.Errorf("%s, step %d, %s: main has defaults of %v, had of %v", verb, i+1, c, now, had)
		}
		whole = containsAll(now, had)
		for device, mode := range p.kernel.effective() {
			if mode != modes[device] && !wanted[device] {
				p.t.Errorf("%s, step %d, %s: the effective rp_filter of %s goes from %d to %d", verb, i+1, c, device, modes[device], mode)
			}
		}
	}
	p.neverWithout(verb, changes, places)
}

// neverWithout reports the places of routes that are empty in between.
func (p *pod) neverWithout(verb string, changes []change.Change, places []map[string]bool) {
	p.t.Helper()
	for i, now := range places[1:] {
		for at := range places[0] {
			if !now[at] && places[len(places)-1][at] {
				p.t.Errorf("%s, step %d, %s: no route at %s", verb, i+1, changes[i], at)
			}
		}
	}
}

func containsAll(list, wanted []fib.Family) bool {
	return !slices.ContainsFunc(wanted, func(f fib.Family) bool { return !slices.Contains(list, f) })
}

// TestOrder looks at the order of changes in one case that has all sorts: what a
// killed ADD or DEL leaves is told by it.
func TestOrder(t *testing.T) {
	s := scenario{
		pod: `
			eth0
			10.244.0.5/24
			net1
			10.20.30.5/24
			-4 route default via 10.20.30.1 dev net1
			-4 route default via 10.244.0.1 dev eth0
			rp_filter all=1`,
		attachment: attachment{conf: `"rpFilter": "off", "arp": "isolate", "viaMain": ["10.96.0.0/12"]`, prev: resultOf},
	}
	p := s.start(t)
	changes := p.begin(s.attachment)
	compare(t, "ADD", lines(`
		ip rule add 40000: from all nop proto 73
		ip route add 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
		ip route add default via 10.20.30.1 dev net1 table 7300 proto 73
		ip rule add 49000: from all oif net1 lookup 7300 proto 73
		ip rule add 49002: from all oif net1 lookup main proto 73
		ip rule add 40011: from 10.20.30.5 to 10.96.0.0/12 lookup main proto 73
		ip rule add 40012: from 10.20.30.5 lookup 7300 proto 73
		ip rule add 40015: from 10.20.30.5 unreachable proto 73
		ip rule add 32765: from 10.20.30.5 goto 40000 proto 73
		ip rule add 32765: from all oif net1 goto 40000 proto 73
		ip rule add 49999: from all lookup 7300 proto 73
		ip rule add 49998: from 10.244.0.5 unreachable proto 73
		ip route del default via 10.20.30.1 dev net1 proto boot
		sysctl -w net/ipv4/conf/net1/arp_ignore=1
		sysctl -w net/ipv4/conf/net1/arp_announce=2
		sysctl -w net/ipv4/conf/net1/arp_filter=1
		sysctl -w net/ipv4/conf/lo/rp_filter=1
		sysctl -w net/ipv4/conf/eth0/rp_filter=1
		sysctl -w net/ipv4/conf/net1/rp_filter=0
		sysctl -w net/ipv4/conf/default/rp_filter=1
		sysctl -w net/ipv4/conf/all/rp_filter=0`), lines(textOf(changes)))
	p.apply(changes)
	compare(t, "DEL", lines(`
		sysctl -w net/ipv4/conf/net1/arp_ignore=0
		sysctl -w net/ipv4/conf/net1/arp_announce=0
		sysctl -w net/ipv4/conf/net1/arp_filter=0
		sysctl -w net/ipv4/conf/all/rp_filter=1
		sysctl -w net/ipv4/conf/default/rp_filter=0
		sysctl -w net/ipv4/conf/lo/rp_filter=0
		sysctl -w net/ipv4/conf/eth0/rp_filter=0
		sysctl -w net/ipv4/conf/net1/rp_filter=0
		ip route append default via 10.20.30.1 dev net1 proto boot
		ip rule del 49999: from all lookup 7300 proto 73
		ip rule del 49998: from 10.244.0.5 unreachable proto 73
		ip rule del 32765: from all oif net1 goto 40000 proto 73
		ip rule del 32765: from 10.20.30.5 goto 40000 proto 73
		ip rule del 40015: from 10.20.30.5 unreachable proto 73
		ip rule del 40011: from 10.20.30.5 to 10.96.0.0/12 lookup main proto 73
		ip rule del 49002: from all oif net1 lookup main proto 73
		ip rule del 40012: from 10.20.30.5 lookup 7300 proto 73
		ip rule del 49000: from all oif net1 lookup 7300 proto 73
		ip route del 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
		ip route del default via 10.20.30.1 dev net1 table 7300 proto 73
		ip rule del 40000: from all nop proto 73`), lines(textOf(p.leave(s.attachment))))
}
