package plan_test

import (
	"slices"
	"strings"
	"testing"
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
