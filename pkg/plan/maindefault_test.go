package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/fib"
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
			name: "yield: one IPv4 route by several NICs is left alone, and told of",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				-4 route default proto static metric 5 nexthop via 10.244.0.1 dev eth0 weight 3 nexthop via 10.20.30.1 dev net1 weight 1`,
			attachment: attachment{prev: resultOf},
			only:       "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				note: the default route "default proto static metric 5 nexthop via 10.244.0.1 dev eth0 weight 3 nexthop via 10.20.30.1 dev net1 weight 1" stays in main as it is: it is one route by several NICs`,
		},
		{
			name: "yield: several hops by the one NIC are no hindrance",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				-4 route default nexthop via 10.20.30.1 dev net1 weight 3 nexthop via 10.20.30.2 dev net1 weight 1
				-4 route default via 10.244.0.1 dev eth0 metric 50`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}]}`},
			only:       "default",
			want: `
				-4 route default table 7300 proto 73 nexthop via 10.20.30.1 dev net1 weight 3 nexthop via 10.20.30.2 dev net1 weight 1
				main: - -4 route default proto boot nexthop via 10.20.30.1 dev net1 weight 3 nexthop via 10.20.30.2 dev net1 weight 1`,
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
				note: the default route "default nhid 12 via 10.20.30.1 dev net1 proto boot metric 100" stays in main as it is: it uses a nexthop object, which is somebody else's
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
			name:       "take: the other's IPv4 default leaves main, its NIC gets a source table",
			pod:        sideBySide,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 49001: from all oif eth0 lookup 7301 proto 73
				-4 rule 49002: from all oif eth0 lookup main proto 73
				-4 rule 40013: from 10.244.0.5 lookup 7301 proto 73
				-4 rule 40015: from 10.244.0.5 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 rule 32765: from 10.244.0.5 goto 40000 proto 73
				-4 rule 32765: from all oif eth0 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 10.244.0.0/24 dev eth0 table 7301 proto 73 scope link src 10.244.0.5
				-4 route default via 10.244.0.1 dev eth0 table 7301 proto 73
				rp_filter net1: effectively loose (2)
				shared: + -4 rule 40000: from all nop proto 73
				shared: + -4 rule 49999: from all lookup 7301 proto 73
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot`,
		},
		{
			name: "take: the result speaks of the attachment's NIC, also where the gateway is in a subnet of the other",
			pod: `
				eth0
				10.20.0.5/16
				net1
				10.20.30.5/24
				10.30.0.5/24
				-4 route default via 10.20.0.1 dev eth0`,
			attachment: attachment{
				conf: `"mainDefault": "take"`,
				prev: `{"ips": [{"address": "10.30.0.5/24", "gateway": "10.30.0.1"}], "routes": [{"dst": "172.30.0.0/24", "gw": "10.20.7.1"}]}`,
			},
			only: "172.30",
			want: `-4 route 172.30.0.0/24 via 10.20.7.1 dev net1 table 7300 proto 73`,
		},
		{
			name:       "take: of IPv6 defaults merged into one route, the other's hop leaves",
			pod:        merged,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: result6},
			only:       "default",
			want: `
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024
				-6 route default via 2001:db8:1::1 dev eth0 table 7301 proto 73 metric 1024
				main: - -6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1024`,
		},
		{
			name: "take: a NIC that has no default in main gets one, before the others leave",
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
				main: + -4 route default via 10.20.30.1 dev net1 proto 73
				main: + -6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1024
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot
				main: - -6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1024`,
		},
		{
			name: "take: whatever their metrics, the others leave",
			pod: `
				eth0
				10.244.0.5/24
				2001:db8:1::5/64
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				-4 route default via 10.244.0.1 dev eth0 metric 50
				-4 route default via 10.244.0.2 dev eth0 metric 500
				-4 route default via 10.20.30.1 dev net1 metric 70
				-6 route default via 2001:db8:1::1 dev eth0 metric 1`,
			attachment: attachment{
				conf: `"mainDefault": "take"`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`,
			},
			only: "main:",
			want: `
				main: + -6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1024
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot metric 50
				main: - -4 route default via 10.244.0.2 dev eth0 proto boot metric 500
				main: - -6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1`,
		},
		{
			name: "take: one IPv4 route by several NICs is left alone, but the other keeps its path",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				-4 route default nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.20.30.1 dev net1 weight 1`,
			attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			only:       "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route default via 10.244.0.1 dev eth0 table 7301 proto 73
				main: + -4 route default via 10.20.30.1 dev net1 proto 73
				note: the default route "default proto boot nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.20.30.1 dev net1 weight 1" stays in main as it is: it is one route by several NICs`,
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
				main: + -4 route default via 169.254.1.1 dev net1 proto 73
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot`,
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
				main: + -6 route default via fe80::1 dev net1 proto 73 metric 1024
				note: the default route "default nhid 12 via 10.244.0.1 dev eth0 proto boot metric 100" stays in main as it is: it uses a nexthop object, which is somebody else's
				note: the default route "default via fe80::9 dev eth1 proto ra metric 1024" stays in main as it is: it is the router's own advertisement, which would come back`,
		},
		{
			name: "a default for one type of service stays",
			pod: sideBySide + `
				-4 route default tos 0x10 via 10.20.30.8 dev net1
				-4 route default tos 0x10 via 10.244.0.8 dev eth0`,
			attachment: attachment{prev: resultOf},
			only:       "main",
			want: `
				-4 rule 49002: from all oif net1 lookup main proto 73
				main: - -4 route default via 10.20.30.1 dev net1 proto boot
				note: the default route "default tos 0x10 via 10.20.30.8 dev net1 proto boot" stays in main as it is: it is for one type of service only`,
		},
		{
			name:       "take: viaMain is for the NIC's own sources, not for the displaced NIC's",
			pod:        sideBySide,
			attachment: attachment{conf: `"mainDefault": "take", "viaMain": ["10.96.0.0/12"]`, prev: resultOf},
			only:       "lookup main",
			want: `
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40011: from 10.20.30.5 to 10.96.0.0/12 lookup main proto 73
				-4 rule 49002: from all oif eth0 lookup main proto 73`,
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
				-4 rule 49001: from all oif eth0 lookup 7301 proto 73
				-6 rule 49001: from all oif eth0 lookup 7301 proto 73
				-4 rule 40013: from 10.244.0.5 lookup 7301 proto 73
				-4 rule 40013: from 10.244.0.6 lookup 7301 proto 73
				-6 rule 40013: from 2001:db8:1::5 lookup 7301 proto 73
				-4 route 10.244.0.0/24 dev eth0 table 7301 proto 73 scope link src 10.244.0.5
				-6 route 2001:db8:1::/64 dev eth0 table 7301 proto 73 metric 256
				-6 route fe80::/64 dev eth0 table 7301 proto 73 metric 256
				-4 route default via 10.244.0.1 dev eth0 table 7301 proto 73
				-4 route 10.96.0.0/12 via 10.244.0.9 dev eth0 table 7301 proto 73 mtu 1400
				-6 route default via fe80::9 dev eth0 table 7301 proto 73 metric 1024
				shared: + -4 rule 49999: from all lookup 7301 proto 73
				shared: + -6 rule 49999: from all lookup 7301 proto 73`,
		},
		{
			name:       "take: a displaced NIC that has a source table by its own attachment keeps that",
			pod:        sideBySide,
			earlier:    []attachment{{ifname: "eth0", conf: `"mainDefault": "keep"`, prev: `{"ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1"}]}`}},
			attachment: attachment{conf: `"mainDefault": "take"`, prev: resultOf},
			only:       "oif",
			want: `
				-4 rule 49000: from all oif net1 lookup 7301 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73`,
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
				main: - -4 route default via 10.244.0.1 dev eth0 proto boot`,
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

// mainDefaults lists the defaults that main has, in the order in which they stand.
func (p *pod) mainDefaults() []string {
	return slices.DeleteFunc(p.kernel.inOrder("route default"), func(line string) bool { return strings.Contains(line, " table ") })
}

// plug has IPAM put a route into the pod: behind those of its destination and metric,
// or, as it does with IPv4 defaults, in front of them.
func (p *pod) plug(line string) {
	p.t.Helper()
	r := parseRoute(p.t, p.kernel.observe(), line)
	put := p.kernel.appendRoute
	if r.Family == fib.V4 {
		put = p.kernel.prepend
	}
	if err := put(r); err != nil {
		p.t.Fatal(err)
	}
}

// attachmentOf is the attachment of a NIC with one address.
func attachmentOf(ifname, mode, address, gateway string) attachment {
	return attachment{
		ifname: ifname, conf: fmt.Sprintf(`"mainDefault": %q`, mode),
		prev: fmt.Sprintf(`{"ips": [{"address": %q, "gateway": %q}]}`, address, gateway),
	}
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
	const main4 = `eth0 is down: its default route "default via 10.244.0.1 dev eth0 proto boot" comes back to main when ADD is repeated after that`
	const main6 = `eth0 is down: its default route "default via 2001:db8:1::1 dev eth0 proto boot metric 1" comes back to main when ADD is repeated after that`
	const stuck = `the default route "default proto boot nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1" stays in main as it is: ` +
		`it is one route by several NICs`
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
				-6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1024`,
			notes: []string{"eth0 is down: its source table stays empty until ADD is repeated with it up"},
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
			name: "a default by two NICs is left alone",
			pod: pod + `
				eth1
				10.245.0.5/24
				-4 route default nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1`,
			attachment: take,
			main: `
				-4 route default proto boot nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1
				-4 route default via 10.20.30.1 dev net1 proto 73
				-6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1024`,
			notes: []string{stuck, "eth0 is down: its source table stays empty until ADD is repeated with it up"},
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
				t.Errorf("ADD again wants to do:\n%s", textOf(again))
			}
			p.settle(tc.attachment)
			p.del(tc.attachment)
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
		p.plug(link)
	}
	p.add(take)
	compare(t, "with eth0 up again, after ADD", whole, slices.Sorted(slices.Values(p.kernel.text())))
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
		-6 route default via fe80::1 dev net5 proto boot metric 1024`), p.mainDefaults())
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
		p.plug(line)
	}
	p.del(taker)
	after := p.kernel.text()
	compare(t, "come", backups, newLines(before, after))
	compare(t, "gone", nil, newLines(after, before))
}

// TestReturnedDefaultComesBehind has two NICs plugged, one after the other, whose IPAM puts
// their defaults in front of all there are, while a NIC's default is out of main: that
// one comes back behind all.
func TestReturnedDefaultComesBehind(t *testing.T) {
	p := newPod(t, `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		net2
		10.20.31.5/24
		net3
		10.20.32.5/24
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0`)
	yields := attachment{prev: resultOf}
	p.add(yields)
	p.plug("-4 route default via 10.20.31.1 dev net2")
	p.plug("-4 route default via 10.20.32.1 dev net3")
	p.del(yields)
	compare(t, "defaults", lines(`
		-4 route default via 10.20.32.1 dev net3 proto boot
		-4 route default via 10.20.31.1 dev net2 proto boot
		-4 route default via 10.244.0.1 dev eth0 proto boot
		-4 route default via 10.20.30.1 dev net1 proto boot`), p.mainDefaults())
}

// TestTakerVanishes has a NIC that had taken main vanish before another takes it: what
// that one displaced comes back as it was, though with the first one there it would
// have been displaced to another metric.
func TestTakerVanishes(t *testing.T) {
	p := newPod(t, `
		eth0
		2001:db8:1::5/64
		net1
		2001:db8:30::5/64
		net2
		2001:db8:2::5/64
		-6 route default via 2001:db8:1::1 dev eth0`)
	vanishes := attachmentOf("net2", "take", "2001:db8:2::5/64", "2001:db8:2::1")
	stays := attachmentOf("net1", "take", "2001:db8:30::5/64", "2001:db8:30::1")
	p.add(vanishes)
	p.plug("-6 route default via 2001:db8:30::1 dev net1")
	p.kernel.died("net2")
	p.add(stays)
	p.del(stays)
	p.del(vanishes)
	compare(t, "defaults", lines(`
		-6 route default via 2001:db8:1::1 dev eth0 proto boot metric 1024
		-6 route default via 2001:db8:30::1 dev net1 proto boot metric 1024`), slices.Sorted(slices.Values(p.mainDefaults())))
}

// TestTwoTakersAndOneIsDown has two NICs take main, and the NIC of the first go down:
// what is displaced then, by an attachment that leaves, is told from a default of
// others although it would have got another metric with both there.
func TestTwoTakersAndOneIsDown(t *testing.T) {
	p := newPod(t, `
		net1
		2001:db8:1::5/64
		net2
		2001:db8:2::5/64
		net3
		2001:db8:3::5/64`)
	first := attachmentOf("net2", "take", "2001:db8:2::5/64", "2001:db8:2::1")
	yields := attachmentOf("net3", "yield", "2001:db8:3::5/64", "2001:db8:3::1")
	second := attachmentOf("net1", "take", "2001:db8:1::5/64", "2001:db8:1::1")
	p.add(first)
	p.plug("-6 route default via 2001:db8:3::1 dev net3")
	p.add(yields)
	p.plug("-6 route default via 2001:db8:1::1 dev net1")
	p.add(second)
	p.kernel.down("net2")
	p.del(yields)
	p.del(second)
	p.del(first)
	compare(t, "defaults", lines(`
		-6 route default via 2001:db8:1::1 dev net1 proto boot metric 1024
		-6 route default via 2001:db8:3::1 dev net3 proto boot metric 1024`), slices.Sorted(slices.Values(p.mainDefaults())))
}

// TestLastDefaultComesBack detaches a NIC that has nothing to do with it while the owner is
// down: main gets the default of the one that had yielded.
func TestLastDefaultComesBack(t *testing.T) {
	addresses, _, _ := strings.Cut(crowd, "\t-4 route")
	p := newPod(t, addresses+`
		-4 route default via 10.244.0.1 dev eth0
		-4 route default via 10.20.1.1 dev net1`)
	p.add(member("net1", "yield"))
	p.add(member("net2", "yield"))
	p.kernel.down("eth0")
	p.del(member("net2", "yield"))
	compare(t, "defaults while eth0 is down", []string{"-4 route default via 10.20.1.1 dev net1 proto boot"}, p.mainDefaults())
}

// TestNICStaysAfterDEL detaches a NIC that stays (host-device has some do so), and attaches it
// again: DEL took it for leaving, and what stood in main on that account goes again.
func TestNICStaysAfterDEL(t *testing.T) {
	for name, pod := range crowds() {
		t.Run(name, func(t *testing.T) {
			p := newPod(t, pod)
			before := p.kernel.text()
			for _, step := range []struct{ nic, mode string }{
				{"eth0", "yield"}, {"net1", "take"}, {"eth0", "yield"}, {"net2", "take"}, {"net1", ""}, {"net2", "keep"}, {"eth0", ""}, {"net2", ""},
			} {
				if step.mode == "" {
					p.del(member(step.nic, "yield"))
					continue
				}
				p.add(member(step.nic, step.mode))
			}
			p.same("when all have left", before)
		})
	}
}
