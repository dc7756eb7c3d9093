package plan_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/state"
)

// dualPod has all that CHECK looks at.
const dualPod = `
	eth0
	10.244.0.5/24
	net1
	10.20.30.5/24
	2001:db8:30::5/64
	-4 route default via 10.20.30.1 dev net1
	-4 route default via 10.244.0.1 dev eth0
	-6 route default via fe80::9 dev eth0
`

const dualResult = `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`

// mishap is a change by somebody else.
type mishap func(t *testing.T, p *pod)

// without deletes a rule or route, given as it prints.
func without(line string) mishap {
	return func(t *testing.T, p *pod) {
		t.Helper()
		s := p.kernel.observe()
		var gone int
		for _, r := range s.Rules {
			if fmt.Sprintf("%s rule %s", option(r.Family), r) == line {
				gone++
				p.apply([]change.Change{change.DelRule{Rule: r}})
			}
		}
		for _, r := range s.Routes {
			if fmt.Sprintf("%s route %s", option(r.Family), r) == line {
				gone++
				p.apply([]change.Change{change.DelRoute{Route: r}})
			}
		}
		if gone != 1 {
			t.Fatalf("%d of %q", gone, line)
		}
	}
}

// withRule adds a rule behind those of its priority, be it a second time.
func withRule(line string) mishap {
	return func(t *testing.T, p *pod) { t.Helper(); p.kernel.appendRule(parseRule(t, line)) }
}

func withRoute(line string) mishap {
	return func(t *testing.T, p *pod) {
		t.Helper()
		p.apply([]change.Change{change.AddRoute{Route: parseRoute(t, p.kernel.observe(), line)}})
	}
}

func withSetting(device, key string, value int) mishap {
	return func(t *testing.T, p *pod) { t.Helper(); *p.kernel.setting(device, key) = value }
}

func TestVerify(t *testing.T) {
	all := func(list ...mishap) []mishap { return list }
	for _, tc := range []struct {
		name string
		attachment
		mishaps []mishap
		want    string
	}{
		{
			name: "nothing happened",
		},
		{
			name:    "the source rule is gone",
			mishaps: all(without("-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73")),
			want:    `missing: IPv4 rule "40012: from 10.20.30.5 lookup 7300 proto 73": want present, got none`,
		},
		{
			name:    "the device rule is gone",
			mishaps: all(without("-6 rule 49000: from all oif net1 lookup 7300 proto 73")),
			want:    `missing: IPv6 rule "49000: from all oif net1 lookup 7300 proto 73": want present, got none`,
		},
		{
			name: "both device rules are gone",
			mishaps: all(
				without("-4 rule 49000: from all oif net1 lookup 7300 proto 73"),
				without("-6 rule 49000: from all oif net1 lookup 7300 proto 73")),
			want: `
				missing: IPv4 rule "49000: from all oif net1 lookup 7300 proto 73": want present, got none
				missing: IPv6 rule "49000: from all oif net1 lookup 7300 proto 73": want present, got none`,
		},
		{
			name:    "the refusal is gone",
			mishaps: all(without("-4 rule 40015: from 10.20.30.5 unreachable proto 73")),
			want:    `missing: IPv4 rule "40015: from 10.20.30.5 unreachable proto 73": want present, got none`,
		},
		{
			name:    "the decision rule is gone",
			mishaps: all(without("-6 rule 32765: from 2001:db8:30::5 goto 40000 proto 73")),
			want:    `missing: IPv6 rule "32765: from 2001:db8:30::5 goto 40000 proto 73": want present, got none`,
		},
		{
			name:    "the anchor is gone",
			mishaps: all(without("-4 rule 40000: from all nop proto 73")),
			want:    `missing: IPv4 rule "40000: from all nop proto 73": want present, got none`,
		},
		{
			name:    "the decision rule leads elsewhere",
			mishaps: all(without("-4 rule 32765: from 10.20.30.5 goto 40000 proto 73"), withRule("-4 rule 32765: from 10.20.30.5 goto 32767 proto 73")),
			want:    `missing: IPv4 rule "32765: from 10.20.30.5 goto 40000 proto 73": want present, got none`,
		},
		{
			name:    "the fallback is gone",
			mishaps: all(without("-4 rule 49999: from all lookup 7300 proto 73")),
			want:    `missing: IPv4 rule "49999: from all lookup 7300 proto 73": want present, got none`,
		},
		{
			name:    "the fallback is not needed: somebody has put the NIC's default into main",
			mishaps: all(without("-4 rule 49999: from all lookup 7300 proto 73"), withRoute("-4 route default via 10.20.30.1 dev net1 metric 5")),
		},
		{
			name:    "the NIC is down",
			mishaps: all(func(_ *testing.T, p *pod) { p.kernel.link("net1").Up = false }),
			want:    `down: the interface net1: want up, got administratively down, and without the routes of its table`,
		},
		{
			name:    "the addresses are gone",
			mishaps: all(func(_ *testing.T, p *pod) { p.kernel.addresses = nil }),
			want: `
				lost: the address 10.20.30.5 of net1: want on a device, as it was on ADD, got on none: packets for it are not delivered
				lost: the address 2001:db8:30::5 of net1: want on a device, as it was on ADD, got on none: packets for it are not delivered`,
		},
		{
			name: "an address is another host's, too",
			mishaps: all(func(_ *testing.T, p *pod) {
				for i, a := range p.kernel.addresses {
					p.kernel.addresses[i].Tentative, p.kernel.addresses[i].Duplicate = a.Prefix.Addr().Is6(), a.Prefix.Addr().Is6()
				}
			}),
			want: `lost: the address 2001:db8:30::5 of net1: want no other host's, got one that duplicate address detection found in use`,
		},
		{
			name:    "the NIC has no carrier",
			mishaps: all(func(_ *testing.T, p *pod) { p.kernel.link("net1").Idle = "no carrier" }),
			want:    `down: the interface net1: want running, got no carrier`,
		},
		{
			name:       "the NIC is gone",
			attachment: attachment{conf: `"rpFilter": "keep"`},
			mishaps:    all(func(_ *testing.T, p *pod) { p.kernel.died("net1") }),
			want: `
				down: the interface net1: want present, as it was on ADD, got none
				lost: IPv4 route "10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5": want present, got none
				lost: IPv6 route "2001:db8:30::/64 dev net1 table 7300 proto 73 metric 256": want present, got none
				lost: IPv6 route "fe80::/64 dev net1 table 7300 proto 73 metric 256": want present, got none
				lost: IPv4 route "default via 10.20.30.1 dev net1 table 7300 proto 73": want present, got none
				lost: IPv6 route "default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024": want present, got none`,
		},
		{
			name:    "the NIC has another name",
			mishaps: all(func(_ *testing.T, p *pod) { p.kernel.link("net1").Name = "data" }),
			want:    `foreign: the interface net1: want the name it had on ADD, got data`,
		},
		{
			name:    "the local rule is gone",
			mishaps: all(without("-4 rule 0: from all lookup local")),
			want:    `foreign: the IPv4 rule "from all lookup local": want before priority 32765, got none: our rules send the pod's own traffic out`,
		},
		{
			name:    "the local rule is behind ours",
			mishaps: all(without("-6 rule 0: from all lookup local"), withRule("-6 rule 32765: from all lookup local")),
			want:    `foreign: the IPv6 rule "from all lookup local": want before priority 32765, got none: our rules send the pod's own traffic out`,
		},
		{
			name:       "a prefix takes an address with it that came later",
			attachment: attachment{conf: `"sources": ["10.77.0.0/16"]`},
			mishaps: all(func(_ *testing.T, p *pod) {
				p.kernel.addresses = append(p.kernel.addresses, fib.Address{Index: 2, Prefix: netip.MustParsePrefix("10.77.0.5/24")})
			}),
			want: `foreign: the source 10.77.0.0/16 of net1: want addresses of net1 alone, or of NICs with sources of their own, got the address 10.77.0.5 of eth0`,
		},
		{
			name:    "a rule is there twice",
			mishaps: all(withRule("-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73")),
			want:    `foreign: IPv4 rule "40012: from 10.20.30.5 lookup 7300 proto 73": want present once, got 2 of it`,
		},
		{
			name:    "a rule has a twin under another protocol",
			mishaps: all(withRule("-4 rule 49000: from all oif net1 lookup 7300 proto static")),
			want: `foreign: IPv4 rule "49000: from all oif net1 lookup 7300 proto 73": want ours alone, got a twin under another protocol; ` +
				`decided by the rule "49000: from all oif net1 lookup 7300 proto static"`,
		},
		{
			name:    "a rule is gone and its twin is there",
			mishaps: all(without("-4 rule 49000: from all oif net1 lookup 7300 proto 73"), withRule("-4 rule 49000: from all oif net1 lookup 7300")),
			want: `
				foreign: IPv4 rule "49000: from all oif net1 lookup 7300 proto 73": want ours alone, got a twin under another protocol; decided by the rule "49000: from all oif net1 lookup 7300"
				missing: IPv4 rule "49000: from all oif net1 lookup 7300 proto 73": want present, got none`,
		},
		{
			name:    "the table was emptied",
			mishaps: all(without("-4 route default via 10.20.30.1 dev net1 table 7300 proto 73"), without("-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5")),
			want: `
				lost: IPv4 route "10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5": want present, got none
				lost: IPv4 route "default via 10.20.30.1 dev net1 table 7300 proto 73": want present, got none`,
		},
		{
			name: "the gateway is another",
			mishaps: all(without("-4 route default via 10.20.30.1 dev net1 table 7300 proto 73"),
				withRoute("-4 route default via 10.20.30.2 dev net1 table 7300 proto 73")),
			want: `
				lost: IPv4 route "default via 10.20.30.1 dev net1 table 7300 proto 73": want present, got "default via 10.20.30.2 dev net1 table 7300 proto 73"
				foreign: the table 7300: want our routes alone, got the route "default via 10.20.30.2 dev net1 table 7300 proto 73"`,
		},
		{
			name:    "a route of somebody else in the table",
			mishaps: all(withRoute("-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7300 proto static")),
			want:    `foreign: the table 7300: want our routes alone, got the route "192.0.2.0/24 via 10.20.30.9 dev net1 table 7300 proto static"`,
		},
		{
			name:    "routes of somebody else in other tables are none of ours",
			mishaps: all(withRoute("-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7301 proto 73"), withRoute("-4 route 192.0.2.0/24 via 10.244.0.9 dev eth0")),
		},
		{
			name:    "main has lost its default",
			mishaps: all(without("-4 route default via 10.244.0.1 dev eth0 proto boot")),
			want:    `lost: the IPv4 default route of the main table: want one, as there was on ADD, got none`,
		},
		{
			name: "main has got another default",
			mishaps: all(without("-4 route default via 10.244.0.1 dev eth0 proto boot"), without("-6 route default via fe80::9 dev eth0 proto boot metric 1024"),
				withRoute("-4 route default via 10.20.30.7 dev net1 metric 5"), withRoute("-6 route default via fe80::7 dev net1 metric 5")),
		},
		{
			name:    "a default that is no unicast route is none",
			mishaps: all(without("-6 route default via fe80::9 dev eth0 proto boot metric 1024"), withRoute("-6 route blackhole default metric 5")),
			want:    `lost: the IPv6 default route of the main table: want one, as there was on ADD, got none`,
		},
		{
			name:    "the mode of the NIC",
			mishaps: all(withSetting("net1", "rp_filter", 1)),
			want: `setting: the effective rp_filter of net1: want loose (2), got strict (1); ` +
				`decided by conf/all/rp_filter=0 and conf/net1/rp_filter=1, of which the kernel uses the larger`,
		},
		{
			name:       "the mode of all",
			attachment: attachment{conf: `"rpFilter": "off"`},
			mishaps:    all(withSetting("all", "rp_filter", 2)),
			want: `setting: the effective rp_filter of net1: want off (0), got loose (2); ` +
				`decided by conf/all/rp_filter=2 and conf/net1/rp_filter=0, of which the kernel uses the larger`,
		},
		{
			name:    "a mode that the kernel does not know",
			mishaps: all(withSetting("net1", "rp_filter", 7)),
			want: `setting: the effective rp_filter of net1: want loose (2), got 7; ` +
				`decided by conf/all/rp_filter=0 and conf/net1/rp_filter=7, of which the kernel uses the larger`,
		},
		{
			name:       "the effective mode counts, not the number",
			attachment: attachment{conf: `"rpFilter": "strict"`},
			mishaps:    all(withSetting("all", "rp_filter", 1), withSetting("net1", "rp_filter", 0)),
		},
		{
			name:    "IPv6 addresses would go with the link",
			mishaps: all(withSetting("net1", "keep_addr_on_down", 0)),
			want:    `setting: conf/net1/keep_addr_on_down: want 1, got 0`,
		},
		{
			name:       "all answer for less than an isolated NIC",
			attachment: attachment{conf: `"arp": "isolate"`},
			mishaps:    all(withSetting("all", "arp_ignore", 2)),
			want:       `setting: the effective arp_ignore of net1: want 1, got 2; decided by conf/all/arp_ignore, the larger`,
		},
		{
			name:       "an ARP setting",
			attachment: attachment{conf: `"arp": "isolate"`},
			mishaps:    all(withSetting("net1", "arp_announce", 0), withSetting("net1", "arp_filter", 0)),
			want: `
				setting: conf/net1/arp_announce: want 2, got 0
				setting: conf/net1/arp_filter: want 1, got 0`,
		},
		{
			name:       "rules ahead of a source that the kernel cannot be asked about",
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`},
			mishaps: all(
				withRule("-4 rule 90: from all lookup 52"), withRoute("-4 route 10.20.30.0/25 via 10.244.0.9 dev eth0 table 52"),
				withRule("-4 rule 95: from all lookup 53"), withRoute("-4 route 10.20.0.0/16 via 10.244.0.9 dev eth0 table 53"),
				withRule("-4 rule 100: from 10.20.0.0/16 lookup main"), withRule("-4 rule 200: from all unreachable")),
			want: `
				foreign: traffic from 10.20.73.29: want the rule "40012: from 10.20.73.29 lookup 7300 proto 73" to decide, got an earlier rule that decides before it; decided by the rule "95: from all lookup 53" and the route "10.20.0.0/16 via 10.244.0.9 dev eth0 table 53 proto boot"
				foreign: traffic from 10.20.73.29: want the rule "40012: from 10.20.73.29 lookup 7300 proto 73" to decide, got an earlier rule that decides before it; decided by the rule "100: from 10.20.0.0/16 lookup main" and the route "default via 10.244.0.1 dev eth0 proto boot"`,
		},
		{
			name:       "a rule in the block ahead of a source that the kernel cannot be asked about",
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`},
			mishaps:    all(withRule("-4 rule 40003: from all lookup main"), withRule("-4 rule 40004: from all unreachable")),
			want:       `foreign: traffic from 10.20.73.29: want the rule "40012: from 10.20.73.29 lookup 7300 proto 73" to decide, got an earlier rule that decides before it; decided by the rule "40003: from all lookup main" and the route "default via 10.244.0.1 dev eth0 proto boot"`,
		},
		{
			name:       "a refusal ahead of a source that the kernel cannot be asked about",
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`},
			mishaps:    all(withRule("-4 rule 200: from all unreachable"), withRule("-4 rule 300: from all lookup main")),
			want:       `foreign: traffic from 10.20.73.29: want the rule "40012: from 10.20.73.29 lookup 7300 proto 73" to decide, got an earlier rule that decides before it; decided by the rule "200: from all unreachable"`,
		},
		{
			name:       "rules ahead whose tables have no route for its traffic, or the same way",
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`},
			mishaps: all(
				withRule("-4 rule 100: from all lookup 51"), // which is empty
				withRule("-4 rule 101: from all lookup 52"), withRoute("-4 route 100.64.0.0/10 via 10.244.0.9 dev eth0 table 52"),
				withRule("-4 rule 102: from all lookup 53"), withRoute("-4 route default via 10.20.30.1 dev net1 table 53")),
		},
		{
			name:       "a rule of our priority that came before",
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`},
			mishaps: all(
				without("-4 rule 32765: from 10.20.73.29 goto 40000 proto 73"),
				withRule("-4 rule 32765: from 10.20.0.0/16 lookup main"),
				withRule("-4 rule 32765: from 10.20.73.29 goto 40000 proto 73"),
			),
			want: `foreign: traffic from 10.20.73.29: want the rule "40012: from 10.20.73.29 lookup 7300 proto 73" to decide, got an earlier rule that decides before it; decided by the rule "32765: from 10.20.0.0/16 lookup main" and the route "default via 10.244.0.1 dev eth0 proto boot"`,
		},
		{
			name:       "rules ahead that decide for a part of its traffic, or for others, or behind",
			attachment: attachment{conf: `"sources": ["10.20.73.29", "2001:db8:73::/64"], "viaMain": ["10.96.0.0/12"]`},
			mishaps: all(
				withRule("-4 rule 100: from all fwmark 1 lookup 200"),
				withRule("-4 rule 101: not from 10.20.73.29 lookup main"),
				withRule("-4 rule 102: from all to 192.0.2.0/24 lookup main"),
				withRule("-4 rule 103: from all iif eth0 lookup main"),
				withRule("-4 rule 104: from all oif eth0 lookup main"),
				withRule("-4 rule 105: from 10.21.0.0/16 lookup main"),
				withRule("-4 rule 106: from all lookup local"),
				withRule("-6 rule 107: from 2001:db8:73::/65 lookup main"),
				withRule("-4 rule 32765: from 10.20.0.0/16 lookup main"),
				withRule("-4 rule 33000: from 10.20.0.0/16 unreachable"),
				withRule("-4 rule 40013: from 10.20.0.0/16 unreachable"),
			),
		},
		{
			name: "main refuses since",
			mishaps: all(
				withRoute("-4 route blackhole 169.254.169.254"), withRoute("-6 route unreachable 2001:db8:44::/48 dev lo"),
				withRoute("-4 route blackhole default metric 500"), withRoute("-6 route unreachable default dev lo proto kernel metric 4294967295")),
			want: `
				lost: the table 7300: want the IPv4 route "blackhole 169.254.169.254 table 7300 proto 73", by what main has now, got none: ADD again
				lost: the table 7300: want the IPv6 route "unreachable 2001:db8:44::/48 dev lo table 7300 proto 73 metric 1024", by what main has now, got none: ADD again`,
		},
		{
			name:       "a rule that somebody deleted is missing, not in the shadow",
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`},
			mishaps:    all(withRule("-4 rule 100: from all unreachable"), without("-4 rule 40012: from 10.20.73.29 lookup 7300 proto 73")),
			want:       `missing: IPv4 rule "40012: from 10.20.73.29 lookup 7300 proto 73": want present, got none`,
		},
		{
			name:    "of sources that the kernel answers for, it is asked",
			mishaps: all(withRule("-4 rule 100: from all unreachable")),
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, dualPod)
			tc.prev = dualResult
			p.add(tc.attachment)
			for _, m := range tc.mishaps {
				m(t, p)
			}
			compare(t, "deviations", lines(tc.want), p.deviations(tc.attachment))
		})
	}
}

// deviations lists what CHECK finds without asking the kernel.
func (p *pod) deviations(a attachment) []string {
	p.t.Helper()
	in := p.check(a)
	if in.Mine == nil {
		return nil // of which the plugin says so, or there was nothing to do
	}
	kinds := map[state.Kind]string{state.Down: "down", state.Missing: "missing", state.Lost: "lost", state.Foreign: "foreign", state.Setting: "setting", state.Asymmetric: "asymmetric"}
	var out []string
	for _, dev := range append(plan.Verify(in), plan.Outdated(in)...) {
		out = append(out, kinds[dev.Kind]+": "+dev.String())
	}
	return out
}

// TestVerifyTentative tells of a rule ahead of a source whose address is still
// tentative: of those the kernel cannot be asked.
func TestVerifyTentative(t *testing.T) {
	p := newPod(t, `
		eth0
		2001:db8:2::5/64
		-6 route default via 2001:db8:2::1 dev eth0
		net1
		2001:db8:30::5/64 tentative`)
	a := attachment{prev: `{"ips": [{"address": "2001:db8:30::5/64"}]}`}
	p.add(a)
	p.kernel.appendRule(parseRule(t, "-6 rule 100: from all lookup main"))
	compare(t, "deviations", []string{
		`foreign: traffic from 2001:db8:30::5: want the rule "40012: from 2001:db8:30::5 lookup 7300 proto 73" to decide, ` +
			`got an earlier rule that decides before it; decided by the rule "100: from all lookup main" and the route "default via 2001:db8:2::1 dev eth0 proto boot metric 1024"`,
	}, p.deviations(a))
}

func TestVerifyDeviceIsGone(t *testing.T) {
	p := newPod(t, second+"tunl0")
	a := attachment{conf: `"interfaces": {"tunl0": {"rpFilter": "off"}}`, prev: resultOf}
	p.add(a)
	p.kernel.died("tunl0")
	compare(t, "deviations", []string{"setting: rp_filter of tunl0: want off (0), got no such device"}, p.deviations(a))
}

// TestVerifyAgainstMainThen has main changed by others after ADD, as Multus does
// it: the tables are still those that ADD made.
func TestVerifyAgainstMainThen(t *testing.T) {
	p := newPod(t, dualPod+"-4 route 172.16.0.0/12 via 10.20.30.9 dev net1")
	a := attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}]}`}
	p.add(a)
	without("-4 route 172.16.0.0/12 via 10.20.30.9 dev net1 proto boot")(t, p)
	withRoute("-4 route 192.0.2.0/24 via 10.20.30.9 dev net1")(t, p)
	withRoute("-4 route default via 10.20.30.7 dev net1 metric 3")(t, p)
	compare(t, "deviations", nil, p.deviations(a))
}

func TestWarnings(t *testing.T) {
	const warning = `no source covers the address %s of net1: its traffic goes by the main table; list it, or its prefix, in "sources"`
	for _, tc := range []struct {
		name string
		pod  string
		attachment
		later []laterAddress
		want  []string
	}{
		{
			name:       "all are covered",
			pod:        dualPod,
			attachment: attachment{prev: dualResult},
		},
		{
			name: "autoconfigured ones are not, link-local ones need not be",
			pod: dualPod + `
				2001:db8:30:0:a8bb:ccff:fedd:eeff/64
				fe80::a8bb:ccff:fedd:eeff/64
				10.20.30.77/24`,
			attachment: attachment{prev: dualResult},
			want:       []string{fmt.Sprintf(warning, "2001:db8:30:0:a8bb:ccff:fedd:eeff"), fmt.Sprintf(warning, "10.20.30.77")},
		},
		{
			name: "a prefix covers them",
			pod: dualPod + `
				2001:db8:30:0:a8bb:ccff:fedd:eeff/64`,
			attachment: attachment{conf: `"sources": ["2001:db8:30::/64"]`, prev: dualResult},
		},
		{
			name:       "a NIC whose result had no addresses",
			pod:        dualPod,
			attachment: attachment{prev: `{}`},
			want: []string{
				`no source covers the address 10.20.30.5 of net1: its traffic goes by the main table; list it, or its prefix, in "sources"`,
				`no source covers the address 2001:db8:30::5 of net1: its traffic goes by the main table; list it, or its prefix, in "sources"`,
			},
		},
		{
			name: "a displaced NIC is not the attachment's",
			pod: dualPod + `
				eth1
				10.245.0.5/24
				2001:db8:45::5/64
				-4 route default via 10.245.0.1 dev eth1`,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: dualResult},
		},
		{
			name:       "an address of a NIC without source table that came after ADD",
			pod:        dualPod,
			attachment: attachment{prev: dualResult},
			later:      []laterAddress{{"eth0", "10.244.0.77/24"}, {"eth0", "2001:db8:1::77/64"}, {"eth0", "fe80::77/64"}, {"lo", "10.99.0.1/32"}},
			want:       []string{`no rule refuses what 10.244.0.77 sends while main has no default: it may leave by another NIC; ADD again adds it`},
		},
		{
			name:       "but not where no NIC has yielded",
			pod:        second,
			attachment: attachment{prev: resultOf},
			later:      []laterAddress{{"eth0", "10.244.0.77/24"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, tc.pod)
			p.add(tc.attachment)
			for _, a := range tc.later {
				l := p.kernel.link(a.nic)
				p.kernel.addresses = append(p.kernel.addresses, fib.Address{Index: l.Index, Prefix: netip.MustParsePrefix(a.prefix)})
			}
			compare(t, "warnings", tc.want, plan.Warnings(p.check(tc.attachment)))
		})
	}
}

// laterAddress is an address that a NIC gets after ADD.
type laterAddress struct{ nic, prefix string }

func TestTables(t *testing.T) {
	p := newPod(t, second)
	first := attachment{ifname: "eth0", prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}
	own := attachment{prev: resultOf}
	tables := func(a attachment) []uint32 {
		return plan.Tables(p.removal(a))
	}
	p.add(first)
	p.add(own)
	for name, tc := range map[string]struct {
		attachment
		want []uint32
	}{
		"the first":  {first, []uint32{7300}},
		"the second": {own, []uint32{7301}},
		"none":       {attachment{ifname: "net2"}, nil},
	} {
		if diff := cmp.Diff(tc.want, tables(tc.attachment)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
