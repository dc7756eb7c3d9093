package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/plan"
)

// defaultScenarios tell who owns the pod's default route.
func defaultScenarios() []scenario {
	sideBySide := `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0`
	merged := `
		eth0
		2001:db8:1::5/64
		net1
		2001:db8:30::5/64
		-6 route default nexthop via 2001:db8:1::1 dev eth0 weight 1 nexthop via 2001:db8:30::1 dev net1 weight 1`
	result6 := `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`
	return []scenario{
		{
			name:       "yield: of IPv4 defaults side by side, the NIC's goes",
			pod:        sideBySide,
			attachment: attachment{prev: resultOf},
			only:       "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				main: - -4 route default via 10.20.30.1 dev net1 proto boot`,
		},
		{
			name:       "yield: of IPv6 defaults merged into one route, the NIC's hop goes",
			pod:        merged,
			attachment: attachment{prev: result6},
			only:       "default",
			want: `
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024
				main: - -6 route default via 2001:db8:30::1 dev net1 proto boot metric 1024`,
		},
		{
			name: "yield: of an IPv4 multipath route, the rest replaces the whole",
			pod: `
				eth0
				10.244.0.5/24
				eth1
				10.245.0.5/24
				net1
				10.20.30.5/24
				-4 route default proto static metric 5 nexthop via 10.244.0.1 dev eth0 weight 3 nexthop via 10.20.30.1 dev net1 weight 1 nexthop via 10.245.0.1 dev eth1 weight 2`,
			attachment: attachment{prev: resultOf},
			only:       "main:",
			want: `
				main: - -4 route default proto static metric 5 nexthop via 10.244.0.1 dev eth0 weight 3 nexthop via 10.20.30.1 dev net1 weight 1 nexthop via 10.245.0.1 dev eth1 weight 2
				main: + -4 route default proto static metric 5 nexthop via 10.244.0.1 dev eth0 weight 3 nexthop via 10.245.0.1 dev eth1 weight 2`,
		},
		{
			name: "yield: of an IPv4 multipath route with one other hop, that hop stays",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				-4 route default nexthop via 10.244.0.1 dev eth0 weight 3 nexthop via 10.20.30.1 dev net1 weight 1`,
			attachment: attachment{prev: resultOf},
			only:       "main:",
			want: `
				main: - -4 route default proto boot nexthop via 10.244.0.1 dev eth0 weight 3 nexthop via 10.20.30.1 dev net1 weight 1
				main: + -4 route default via 10.244.0.1 dev eth0 proto boot`,
		},
		{
			name: "yield: all of the NIC's defaults go, whatever their place",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				-4 route default via 10.244.0.1 dev eth0
				-4 route default via 10.20.30.1 dev net1
				-4 route default via 10.20.30.2 dev net1
				-4 route default via 10.20.30.3 dev net1 metric 100
				-6 route default nexthop via fe80::1 dev net1 weight 1 nexthop via fe80::2 dev net1 weight 1 nexthop via fe80::9 dev eth0 weight 1`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "2001:db8:30::5/64"}]}`},
			only:       "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-6 route default table 7300 proto 73 metric 1024 nexthop via fe80::1 dev net1 weight 1 nexthop via fe80::2 dev net1 weight 1
				main: - -4 route default via 10.20.30.1 dev net1 proto boot
				main: - -4 route default via 10.20.30.2 dev net1 proto boot
				main: - -4 route default via 10.20.30.3 dev net1 proto boot metric 100
				main: - -6 route default via fe80::1 dev net1 proto boot metric 1024
				main: - -6 route default via fe80::2 dev net1 proto boot metric 1024`,
		},
		{
			name: "yield: IPv6 hops with weights",
			pod: `
				eth0
				2001:db8:1::5/64
				net1
				2001:db8:30::5/64
				-6 route default nexthop via 2001:db8:30::1 dev net1 weight 5 nexthop via 2001:db8:1::1 dev eth0 weight 3`,
			attachment: attachment{prev: result6},
			only:       "table 7300 proto 73",
			want: `
				-6 route 2001:db8:30::/64 dev net1 table 7300 proto 73 metric 256
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024`,
		},
		{
			name: "yield: nobody else has one",
			pod: `
				eth0
				10.244.0.5/24
				2001:db8:1::5/64
				net1
				10.20.30.5/24
				-4 route default via 10.20.30.1 dev net1
				-6 route default via 2001:db8:1::1 dev eth0`,
			attachment: attachment{prev: resultOf},
			only:       "default",
			want:       `-4 route default via 10.20.30.1 dev net1 table 7300 proto 73`,
		},
		{
			name: "yield: the router's and those by nexthop objects are left alone, and told of",
			pod: `
				eth0
				10.244.0.5/24
				2001:db8:1::5/64
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				-4 route default via 10.244.0.1 dev eth0
				-4 route default nhid 12 via 10.20.30.1 dev net1 metric 100
				-6 route default via fe80::9 dev eth0 metric 512
				-6 route default via fe80::1 dev net1 proto ra expires
				-6 route default via fe80::2 dev net1 expires metric 2048`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "2001:db8:30::5/64"}]}`},
			only:       "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-6 route default via fe80::1 dev net1 table 7300 proto 73 metric 1024
				note: the default route "default nhid 12 via 10.20.30.1 dev net1 proto boot metric 100" stays in main as it is: it uses the nexthop object 12, which is somebody else's
				note: the default route "default via fe80::1 dev net1 proto ra metric 1024" stays in main as it is: it is the router's own advertisement, which would come back
				note: the default route "default via fe80::2 dev net1 proto boot metric 2048" stays in main as it is: it is the router's own advertisement, which would come back`,
		},
		{
			name:       "keep: main is not touched",
			pod:        sideBySide,
			attachment: attachment{conf: `"mainDefault": "keep"`, prev: resultOf},
			only:       "default",
			want:       `-4 route default via 10.20.30.1 dev net1 table 7300 proto 73`,
		},
		{
			name:       "take: the other's IPv4 default gets a worse metric, its NIC a source table",
			pod:        sideBySide,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			want: `
				-4 rule 32765: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 32765: from 10.244.0.5 lookup 7301 proto 73
				-4 rule 32765: from all oif net1 lookup 7300 proto 73
				-4 rule 32765: from all iif net1 oif net1 lookup 7301 proto 73
				-4 rule 32765: from all oif eth0 lookup 7301 proto 73
				-4 rule 32765: from 10.20.30.5 unreachable proto 73
				-4 rule 32765: from 10.244.0.5 unreachable proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 10.244.0.0/24 dev eth0 table 7301 proto 73 scope link src 10.244.0.5
				-4 route default via 10.244.0.1 dev eth0 table 7301 proto 73
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot
				main: + -4 route default via 10.244.0.1 dev eth0 proto boot metric 100
				rp_filter net1: effectively loose (2)`,
		},
		{
			name:       "take: of IPv6 defaults merged into one route, the other's hop gets a worse metric",
			pod:        merged,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: result6},
			only:       "default",
			want: `
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024
				-6 route default via 2001:db8:1::1 dev eth0 table 7301 proto 73 metric 1024
				main: - -6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1024
				main: + -6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1124`,
		},
		{
			name: "take: a NIC that has no default in main gets one, before the others",
			pod: `
				eth0
				10.244.0.5/24
				2001:db8:1::5/64
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				-4 route default via 10.244.0.1 dev eth0
				-6 route default via 2001:db8:1::1 dev eth0`,
			attachment: attachment{
				conf: `"mainDefault": "take"`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`,
			},
			only: "main:",
			want: `
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot
				main: + -4 route default via 10.20.30.1 dev net1 proto 73
				main: + -4 route default via 10.244.0.1 dev eth0 proto boot metric 100
				main: + -6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1023`,
		},
		{
			name: "take: with a metric to spare, the others stay as they are",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				-4 route default via 10.244.0.1 dev eth0 metric 50`,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			only:       "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route default via 10.244.0.1 dev eth0 table 7301 proto 73
				main: + -4 route default via 10.20.30.1 dev net1 proto 73`,
		},
		{
			name: "take: with no metric to spare in IPv6, where 0 stands for 1024, the others come behind",
			pod: `
				eth0
				2001:db8:1::5/64
				net1
				2001:db8:30::5/64
				-6 route default via 2001:db8:1::1 dev eth0 metric 1`,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: result6},
			only:       "main:",
			want: `
				main: - -6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1
				main: + -6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1
				main: + -6 route default via 2001:db8:1::1 dev eth0 proto boot metric 101`,
		},
		{
			name: "take: a metric of its own is kept, and the others come behind it",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				-4 route default via 10.244.0.1 dev eth0 metric 50
				-4 route default via 10.20.30.1 dev net1 metric 70`,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			only:       "main:",
			want: `
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot metric 50
				main: + -4 route default via 10.244.0.1 dev eth0 proto boot metric 170`,
		},
		{
			name: "take: of an IPv4 multipath route, the others' hops get a worse metric, and the NIC's own a route",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				-4 route default nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.20.30.1 dev net1 weight 1`,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			only:       "main:",
			want: `
				main: - -4 route default proto boot nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.20.30.1 dev net1 weight 1
				main: + -4 route default via 10.20.30.1 dev net1 proto 73
				main: + -4 route default via 10.244.0.1 dev eth0 proto boot metric 100`,
		},
		{
			name: "take: a gateway outside of every subnet",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/32
				-4 route default via 10.244.0.1 dev eth0`,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "10.20.30.5/32", "gateway": "169.254.1.1"}]}`},
			only:       "main:",
			want: `
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot
				main: + -4 route default via 169.254.1.1 dev net1 proto 73
				main: + -4 route default via 10.244.0.1 dev eth0 proto boot metric 100`,
		},
		{
			name: "take: nobody else has one",
			pod: `
				net1
				10.20.30.5/24`,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			only:       "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				main: + -4 route default via 10.20.30.1 dev net1 proto 73`,
		},
		{
			name: "take: the router's and those by nexthop objects are left alone and told of, but their NICs keep their path",
			pod: `
				eth0
				10.244.0.5/24
				eth1
				2001:db8:1::5/64
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				-4 route default nhid 12 via 10.244.0.1 dev eth0 metric 100
				-6 route default via fe80::9 dev eth1 proto ra expires`,
			attachment: attachment{
				conf: `"mainDefault": "take"`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "fe80::1"}]}`,
			},
			only: "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-6 route default via fe80::1 dev net1 table 7300 proto 73 metric 1024
				-4 route default via 10.244.0.1 dev eth0 table 7301 proto 73
				-6 route default via fe80::9 dev eth1 table 7302 proto 73 metric 1024
				main: + -4 route default via 10.20.30.1 dev net1 proto 73
				main: + -6 route default via fe80::1 dev net1 proto 73 metric 1023
				note: the default route "default nhid 12 via 10.244.0.1 dev eth0 proto boot metric 100" stays in main as it is: it uses the nexthop object 12, which is somebody else's
				note: the default route "default via fe80::9 dev eth1 proto ra metric 1024" stays in main as it is: it is the router's own advertisement, which would come back`,
		},
		{
			name:       "take: viaMain is for the NIC's own sources, not for the displaced NIC's",
			pod:        sideBySide,
			attachment: attachment{conf: `"mainDefault": "take", "viaMain": ["10.96.0.0/12"]`, prev: resultOf},
			only:       "lookup main",
			want:       `-4 rule 32765: from 10.20.30.5 to 10.96.0.0/12 lookup main proto 73`,
		},
		{
			name: "take: routes and several defaults of the displaced NIC come along, link-local addresses do not",
			pod: `
				eth0
				10.244.0.5/24
				10.244.0.6/24
				fe80::5/64
				2001:db8:1::5/64
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				-4 route default via 10.244.0.1 dev eth0
				-4 route default via 10.244.0.2 dev eth0 metric 10
				-4 route 10.96.0.0/12 via 10.244.0.9 dev eth0 mtu 1400
				-6 route default via fe80::9 dev eth0`,
			attachment: attachment{
				conf: `"mainDefault": "take"`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "fe80::1"}]}`,
			},
			only: "7301 proto 73",
			want: `
				-4 rule 32765: from 10.244.0.5 lookup 7301 proto 73
				-4 rule 32765: from 10.244.0.6 lookup 7301 proto 73
				-4 rule 32765: from all iif net1 oif net1 lookup 7301 proto 73
				-4 rule 32765: from all oif eth0 lookup 7301 proto 73
				-6 rule 32765: from 2001:db8:1::5 lookup 7301 proto 73
				-6 rule 32765: from all iif net1 oif net1 lookup 7301 proto 73
				-6 rule 32765: from all oif eth0 lookup 7301 proto 73
				-4 route 10.244.0.0/24 dev eth0 table 7301 proto 73 scope link src 10.244.0.5
				-6 route 2001:db8:1::/64 dev eth0 table 7301 proto 73 metric 256
				-6 route fe80::/64 dev eth0 table 7301 proto 73 metric 256
				-4 route default via 10.244.0.1 dev eth0 table 7301 proto 73
				-4 route 10.96.0.0/12 via 10.244.0.9 dev eth0 table 7301 proto 73 mtu 1400
				-6 route default via fe80::9 dev eth0 table 7301 proto 73 metric 1024`,
		},
		{
			name:       "take: a displaced NIC that has a source table by its own attachment keeps that",
			pod:        sideBySide,
			earlier:    []attachment{{ifname: "eth0", conf: `"mainDefault": "keep"`, prev: `{"ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1"}]}`}},
			attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			only:       "oif",
			want:       `-4 rule 32765: from all oif net1 lookup 7301 proto 73`,
		},
		{
			name: "take: of several NICs of the attachment, its own wins",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				net2
				10.20.31.5/24
				-4 route default via 10.20.31.1 dev net2
				-4 route default via 10.20.30.1 dev net1
				-4 route default via 10.244.0.1 dev eth0`,
			attachment: attachment{
				conf: `"mainDefault": "take"`,
				prev: `{"interfaces": [{"name": "net1", "sandbox": "/pod"}, {"name": "net2", "sandbox": "/pod"}],
					"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1", "interface": 0}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1", "interface": 1}]}`,
			},
			only: "main:",
			want: `
				main: - -4 route default via 10.20.31.1 dev net2 proto boot
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot
				main: + -4 route default via 10.20.31.1 dev net2 proto boot metric 100
				main: + -4 route default via 10.244.0.1 dev eth0 proto boot metric 100`,
		},
		{
			name: "a NIC without sources has no say",
			pod: `
				eth0
				10.244.0.5/24
				net1
				-4 route default via 10.244.0.1 dev eth0
				-4 route default dev net1`,
			attachment: attachment{prev: `{}`},
			only:       "default",
		},
	}
}

func TestMainDefault(t *testing.T) { runScenarios(t, defaultScenarios()) }

func TestTakeWithoutGateway(t *testing.T) {
	runRefusals(t, []refusal{{
		name:       "there is nothing to take with",
		pod:        second,
		attachment: attachment{conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "10.20.30.5/24"}]}`},
		faults:     []string{"mainDefault"},
		want:       `mainDefault: "take" needs a gateway, and none of net1 is known: name one in gateways`,
	}})
}

// TestDeletedDefaultStaysDeleted has somebody delete the default with which one
// attachment had taken main (Multus' default-route does), before another comes
// and goes.
func TestDeletedDefaultStaysDeleted(t *testing.T) {
	p := newPod(t, `
		net1
		10.20.30.5/24
		net2
		10.20.31.5/24
		-4 route default via 10.20.31.1 dev net2
		-4 route default via 10.20.30.1 dev net1`)
	whole := p.kernel.observe()
	p.kernel.died("net2")
	p.add(attachment{conf: `"mainDefault": "take"`, prev: resultOf})
	p.kernel.born(whole, "net2")
	without("-4 route default via 10.20.30.1 dev net1 proto boot")(t, p)
	defaults := func() []string {
		return slices.DeleteFunc(p.kernel.text(), func(line string) bool {
			return !strings.HasPrefix(line, "-4 route default") || strings.Contains(line, "table")
		})
	}
	before := defaults()

	second := attachment{ifname: "net2", conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`}
	p.add(second)
	compare(t, "defaults of main after ADD", lines("-4 route default via 10.20.31.1 dev net2 proto boot"), defaults())
	p.del(second)
	compare(t, "defaults of main after DEL", before, defaults())
}

// mainDefaults lists the defaults that main has.
func (p *pod) mainDefaults() []string {
	return slices.DeleteFunc(p.kernel.text(), func(line string) bool {
		return !strings.Contains(line, "route default") || strings.Contains(line, " table ")
	})
}

// TestAddWhileAnotherNICIsDown attaches a NIC while another one is down whose default
// had been displaced: that is no reason to fail. What cannot be put in is told of, and
// when the NIC is up again, ADD puts its table in.
func TestAddWhileAnotherNICIsDown(t *testing.T) {
	const prev = `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`
	const pod = `
		eth0
		10.244.0.5/24
		2001:db8:1::5/64
		net1
		10.20.30.5/24
		2001:db8:30::5/64`
	const alone = pod + `
		-4 route default via 10.244.0.1 dev eth0
		-6 route default via 2001:db8:1::1 dev eth0 metric 1`
	take := attachment{conf: `"mainDefault": "take"`, prev: prev}
	const main4 = `eth0 is down: the default route "default via 10.244.0.1 dev eth0 proto boot" is not put into main by it`
	const main6 = `eth0 is down: the default route "default via 2001:db8:1::1 dev eth0 proto boot metric 1" is not put into main by it`
	for _, tc := range []struct {
		name string
		pod  string
		attachment
		main  string // its defaults then
		notes []string
	}{
		{
			name: "the same again", pod: alone, attachment: take,
			main: `
				-4 route default via 10.20.30.1 dev net1 proto 73
				-6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1`,
			notes: []string{
				`eth0 is down: the default route "default via 10.244.0.1 dev eth0 proto boot metric 100" is not put into main by it`,
				`eth0 is down: the default route "default via 2001:db8:1::1 dev eth0 proto boot metric 101" is not put into main by it`,
				"eth0 is down: its source table stays empty until ADD is repeated with it up",
			},
		},
		{name: "it yields now", pod: alone, attachment: attachment{prev: prev}, notes: []string{main4, main6}},
		{name: "it leaves main alone now", pod: alone, attachment: attachment{conf: `"mainDefault": "keep"`, prev: prev}, notes: []string{main4, main6}},
		{
			name: "it yields now, and its own default is the last",
			pod: pod + `
				-4 route default via 10.20.30.1 dev net1
				-4 route default via 10.244.0.1 dev eth0`,
			attachment: attachment{prev: prev},
			main:       "-4 route default via 10.20.30.1 dev net1 proto boot",
			notes:      []string{main4},
		},
		{
			name: "a default by two NICs loses one",
			pod: pod + `
				eth1
				10.245.0.5/24
				-4 route default nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1`,
			attachment: attachment{prev: prev},
			main:       "-4 route default via 10.245.0.1 dev eth1 proto boot",
			notes: []string{`eth0 is down: the default route "default proto boot nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1"` +
				` is not put into main by it`},
		},
		{
			name: "a default by two NICs, which is there, stays whole",
			pod: pod + `
				eth1
				10.245.0.5/24
				-4 route default nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1`,
			attachment: take,
			main: `
				-4 route default via 10.20.30.1 dev net1 proto 73
				-4 route default proto boot metric 100 nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1
				-6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1023`,
			notes: []string{"eth0 is down: its source table stays empty until ADD is repeated with it up"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, tc.pod)
			p.add(take)
			p.kernel.down("eth0")

			compare(t, "notes", tc.notes, p.build(tc.attachment).Notes)
			p.add(tc.attachment)
			compare(t, "defaults of main", lines(tc.main), p.mainDefaults())
			compare(t, "deviations", nil, p.deviations(tc.attachment))
			if again := p.begin(tc.attachment); len(again) > 0 {
				t.Errorf("ADD again wants to do:\n%s", opsText(again))
			}
			p.settle(tc.attachment)
			for _, op := range p.leave(tc.attachment) {
				if in, ok := op.(plan.PutIn); ok && in.Route.Hops[0].Dev == "eth0" {
					continue // of a route that can't come back DEL tells (kernel.ErrNoReturn)
				}
				p.apply([]plan.Op{op})
			}
			if left := slices.DeleteFunc(p.kernel.text(), func(line string) bool { return !isOurs(line) }); len(left) > 0 {
				t.Errorf("after DEL there is left\n%s", strings.Join(left, "\n"))
			}
		})
	}
}

// TestDisplacedNICComesUpAgain has ADD fill the source table of a NIC that was down.
func TestDisplacedNICComesUpAgain(t *testing.T) {
	p := newPod(t, `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0`)
	take := attachment{conf: `"mainDefault": "take"`, prev: resultOf}
	p.add(take)
	whole := slices.Sorted(slices.Values(p.kernel.text()))
	p.kernel.down("eth0")
	p.add(take)
	p.kernel.link("eth0").Up = true
	for _, link := range []string{
		"-4 route 10.244.0.0/24 dev eth0 proto kernel scope link src 10.244.0.5",
		"-6 route fe80::/64 dev eth0 proto kernel metric 256",
	} {
		if err := p.kernel.appendRoute(parseRoute(t, p.kernel.observe(), link)); err != nil {
			t.Fatal(err)
		}
	}
	p.add(take)
	compare(t, "with eth0 up again, after ADD", whole, slices.Sorted(slices.Values(p.kernel.text())))
}

// TestAttachedLaterThanDisplaced attaches a NIC whose default had been displaced: from
// then on its own attachment's rules decide for its sources, and by those alone
// they are judged.
func TestAttachedLaterThanDisplaced(t *testing.T) {
	p := newPod(t, `
		net1
		10.20.30.5/24
		10.20.31.5/24
		net2
		10.20.32.5/24
		-4 route default via 10.20.30.1 dev net1`)
	take := attachment{ifname: "net2", conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "10.20.32.5/24", "gateway": "10.20.32.1"}]}`}
	late := attachment{prev: `{"ips": [{"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`}
	judged := func() []string {
		d, err := plan.Build(p.check(take))
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, n := range d.NICs {
			for _, s := range n.Sources {
				if !s.Held {
					out = append(out, s.Prefix.Addr().String())
				}
			}
			if !n.Attached() {
				out = append(out, "sockets bound to "+n.Link.Name)
			}
		}
		return out
	}
	all := []string{"10.20.32.5", "sockets bound to net2", "10.20.30.5", "10.20.31.5", "sockets bound to net1"}
	p.add(take)
	compare(t, "judged", all, judged())
	p.add(late)
	compare(t, "judged while net1 has an attachment", []string{"10.20.32.5", "sockets bound to net2", "10.20.30.5"}, judged())
	compare(t, "deviations", nil, p.deviations(take))
	p.del(late)
	compare(t, "judged when that has left", all, judged())
}

// TestLastDefaultStays has a NIC that had taken main lose its default, for it is down,
// before another leaves that has nothing to do with it: the default that was
// displaced is the last one.
func TestLastDefaultStays(t *testing.T) {
	p := newPod(t, `
		net3
		2001:db8:3::5/64
		net4
		10.4.0.5/24
		net5
		2001:db8:5::5/64
		-4 route default via 10.4.0.1 dev net4
		-6 route default nexthop via fe80::1 dev net5 weight 1 nexthop via 2001:db8:3::1 dev net3 weight 1`)
	bystander := attachment{ifname: "net4", prev: `{"ips": [{"address": "10.4.0.5/24", "gateway": "10.4.0.1"}]}`}
	taker := attachment{ifname: "net3", conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "2001:db8:3::5/64", "gateway": "2001:db8:3::1"}]}`}
	p.add(bystander)
	p.add(taker)
	p.kernel.down("net3")
	p.del(bystander)
	compare(t, "defaults after DEL", lines(`
		-4 route default via 10.4.0.1 dev net4 proto boot
		-6 route default via fe80::1 dev net5 proto boot metric 1124`), p.mainDefaults())
	p.del(taker)
	compare(t, "defaults when all have left", lines(`
		-4 route default via 10.4.0.1 dev net4 proto boot
		-6 route default via fe80::1 dev net5 proto boot metric 1024`), p.mainDefaults())
}

// TestBackupDefaultOfOthersStays has somebody add a default that differs from a
// displaced one in its metric alone, while it is displaced.
func TestBackupDefaultOfOthersStays(t *testing.T) {
	p := newPod(t, `
		eth0
		10.244.0.5/24
		2001:db8:1::5/64
		net1
		10.20.30.5/24
		2001:db8:30::5/64
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0
		-6 route default nexthop via 2001:db8:1::1 dev eth0 weight 1 nexthop via 2001:db8:30::1 dev net1 weight 1`)
	backups := []string{"-4 route default via 10.244.0.1 dev eth0 proto boot metric 200", "-6 route default via 2001:db8:1::1 dev eth0 proto boot metric 2000"}
	before := p.kernel.text()
	taker := attachment{conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "2001:db8:30::5/64"}]}`}
	p.add(taker)
	for _, line := range backups {
		if err := p.kernel.appendRoute(parseRoute(t, p.kernel.observe(), line)); err != nil {
			t.Fatal(err)
		}
	}
	p.del(taker)
	after := p.kernel.text()
	compare(t, "come", backups, newLines(before, after))
	compare(t, "gone", nil, newLines(after, before))
}

// TestOrderOfDefaultsOutlivesKilledChanges ends an ADD that changes who has the
// pod's default after every step, and the taking back of it: when all attachments
// have left, main's defaults stand as they stood.
func TestOrderOfDefaultsOutlivesKilledChanges(t *testing.T) {
	addresses := `
		eth0
		10.244.0.5/24
		2001:db8:1::5/64
		net1
		10.20.30.5/24
		2001:db8:30::5/64`
	pods := map[string]string{
		"net1 first": `
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0
		-6 route default nexthop via 2001:db8:30::1 dev net1 weight 1 nexthop via 2001:db8:1::1 dev eth0 weight 1`,
		"eth0 first": `
		-4 route default via 10.244.0.1 dev eth0
		-4 route default via 10.20.30.1 dev net1
		-6 route default nexthop via 2001:db8:1::1 dev eth0 weight 1 nexthop via 2001:db8:30::1 dev net1 weight 1`,
	}
	of := func(ifname, mode string) attachment {
		prev := `{"ips": [{"address": "10.20.30.5/24"}, {"address": "2001:db8:30::5/64"}]}`
		if ifname == "eth0" {
			prev = `{"ips": [{"address": "10.244.0.5/24"}, {"address": "2001:db8:1::5/64"}]}`
		}
		return attachment{ifname: ifname, conf: fmt.Sprintf(`"mainDefault": %q`, mode), prev: prev}
	}
	changes := map[string][2]attachment{
		"from yield to take":      {of("net1", "yield"), of("net1", "take")},
		"from take to yield":      {of("net1", "take"), of("net1", "yield")},
		"the other yields later":  {of("net1", "yield"), of("eth0", "yield")},
		"the other takes it back": {of("net1", "take"), of("eth0", "take")},
	}
	for order, routes := range pods {
		for name, change := range changes {
			t.Run(order+", "+name, func(t *testing.T) {
				begin := func() (*pod, []string, []plan.Op) {
					p := newPod(t, addresses+routes)
					before := p.kernel.text()
					p.add(change[0])
					return p, before, p.begin(change[1])
				}
				_, _, ops := begin()
				for cut := range len(ops) + 1 {
					for back := range cut + 1 {
						p, before, ops := begin()
						p.apply(ops[:cut])
						for _, op := range reversed(ops[cut-back : cut]) {
							p.apply([]plan.Op{op.Inverse()})
						}
						p.del(change[1])
						if change[0].key() != change[1].key() {
							p.del(change[0])
						}
						p.same(fmt.Sprintf("killed after %d steps and %d back, then DEL", cut, back), before)
					}
				}
			})
		}
	}
}

// TestDisplacedDefaultComesBackAlone has somebody delete the better of a taker's
// two defaults: what others are displaced to depends on the other from then on.
func TestDisplacedDefaultComesBackAlone(t *testing.T) {
	p := newPod(t, `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		net2
		10.20.31.5/24
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0
		-4 route default via 10.20.30.1 dev net1 metric 50
		-4 route default via 10.20.31.1 dev net2`)
	better := "-4 route default via 10.20.30.1 dev net1 proto boot"
	before := slices.DeleteFunc(p.kernel.text(), func(line string) bool { return line == better })
	taker := attachment{conf: `"mainDefault": "take"`, prev: resultOf}
	other := attachment{ifname: "net2", prev: `{"ips": [{"address": "10.20.31.5/24"}]}`}
	p.add(taker)
	without(better)(t, p)
	p.add(other)
	p.del(other)
	p.del(taker)
	p.same("when all have left", before)
}
