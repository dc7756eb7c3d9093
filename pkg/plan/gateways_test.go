package plan_test

import (
	"errors"
	"testing"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/plan"
)

// second is a pod with a NIC that came first and one that is to be set up.
const second = `
	eth0
	10.244.0.5/24
	net1
	10.20.30.5/24
	-4 route default via 10.244.0.1 dev eth0
`

// gatewayScenarios tell where the gateway of a source comes from.
func gatewayScenarios() []scenario {
	return []scenario{
		{
			name:       "one address and its gateway",
			pod:        second,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}]}`},
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				rp_filter net1: effectively loose (2)
				shared: + -4 rule 40000: from all nop proto 73`,
		},
		{
			name: "several addresses with one gateway share a table",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				10.20.30.6/24`,
			attachment: attachment{prev: `{"ips": [
				{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
				{"address": "10.20.30.6/24", "gateway": "10.20.30.1"}]}`},
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 40012: from 10.20.30.6 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.6 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-4 rule 32765: from 10.20.30.6 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				rp_filter net1: effectively loose (2)
				shared: + -4 rule 40000: from all nop proto 73`,
		},
		{
			name: "each gateway has a table, in which its own address is preferred",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				10.20.30.6/24
				192.0.2.7/28`,
			attachment: attachment{prev: `{"ips": [
				{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
				{"address": "10.20.30.6/24", "gateway": "10.20.30.2"},
				{"address": "192.0.2.7/28", "gateway": "192.0.2.1"}]}`},
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 49000: from all oif net1 lookup 7301 proto 73
				-4 rule 40012: from 10.20.30.6 lookup 7301 proto 73
				-4 rule 40015: from 10.20.30.6 unreachable proto 73
				-4 rule 49000: from all oif net1 lookup 7302 proto 73
				-4 rule 40012: from 192.0.2.7 lookup 7302 proto 73
				-4 rule 40015: from 192.0.2.7 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-4 rule 32765: from 10.20.30.6 goto 40000 proto 73
				-4 rule 32765: from 192.0.2.7 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 192.0.2.0/28 dev net1 table 7300 proto 73 scope link src 192.0.2.7
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7301 proto 73 scope link src 10.20.30.6
				-4 route 192.0.2.0/28 dev net1 table 7301 proto 73 scope link src 192.0.2.7
				-4 route default via 10.20.30.2 dev net1 table 7301 proto 73
				-4 route 192.0.2.0/28 dev net1 table 7302 proto 73 scope link src 192.0.2.7
				-4 route 10.20.30.0/24 dev net1 table 7302 proto 73 scope link src 10.20.30.5
				-4 route default via 192.0.2.1 dev net1 table 7302 proto 73
				rp_filter net1: effectively loose (2)
				shared: + -4 rule 40000: from all nop proto 73`,
		},
		{
			name: "dual stack shares the number of a table",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				2001:db8:30::5/64`,
			attachment: attachment{prev: `{"ips": [
				{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
				{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`},
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-6 rule 49000: from all oif net1 lookup 7300 proto 73
				-6 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-6 rule 40012: from 2001:db8:30::5 lookup 7300 proto 73
				-6 rule 40015: from 2001:db8:30::5 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-6 rule 32765: from 2001:db8:30::5 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-6 rule 32765: from all oif net1 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-6 route 2001:db8:30::/64 dev net1 table 7300 proto 73 metric 256
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024
				net1 keep_addr_on_down=1
				rp_filter net1: effectively loose (2)
				shared: + -4 rule 40000: from all nop proto 73
				shared: + -6 rule 40000: from all nop proto 73`,
		},
		{
			name: "two gateways in one family, one in the other",
			pod: `
				net1
				10.20.30.5/24
				10.20.31.5/24
				2001:db8:30::5/64`,
			attachment: attachment{prev: `{"ips": [
				{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
				{"address": "10.20.31.5/24", "gateway": "10.20.31.1"},
				{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`},
			only: "oif",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-6 rule 49000: from all oif net1 lookup 7300 proto 73
				-6 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 49000: from all oif net1 lookup 7301 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-6 rule 32765: from all oif net1 goto 40000 proto 73`,
		},
		{
			name: "IPv6 only",
			pod: `
				eth0
				2001:db8:1::5/64
				net1
				2001:db8:30::5/64
				-6 route default via 2001:db8:1::1 dev eth0`,
			attachment: attachment{prev: `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`},
			want: `
				-6 rule 49000: from all oif net1 lookup 7300 proto 73
				-6 rule 49002: from all oif net1 lookup main proto 73
				-6 rule 40012: from 2001:db8:30::5 lookup 7300 proto 73
				-6 rule 40015: from 2001:db8:30::5 unreachable proto 73
				-6 rule 32765: from 2001:db8:30::5 goto 40000 proto 73
				-6 rule 32765: from all oif net1 goto 40000 proto 73
				-6 route 2001:db8:30::/64 dev net1 table 7300 proto 73 metric 256
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024
				net1 keep_addr_on_down=1
				rp_filter net1: effectively loose (2)
				shared: + -6 rule 40000: from all nop proto 73`,
		},
		{
			name: "first the gateways key",
			pod:  second + `-4 route default via 10.20.30.4 dev net1 metric 100`,
			attachment: attachment{
				conf: `"gateways": ["10.20.30.254"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}], "routes": [{"dst": "0.0.0.0/0", "gw": "10.20.30.2"}]}`,
			},
			only: "route default",
			want: `
				-4 route default via 10.20.30.254 dev net1 table 7300 proto 73
				main: - -4 route default via 10.20.30.4 dev net1 proto boot metric 100`,
		},
		{
			name: "then the address itself",
			pod:  second + `-4 route default via 10.20.30.4 dev net1 metric 100`,
			attachment: attachment{
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}], "routes": [{"dst": "0.0.0.0/0", "gw": "10.20.30.2"}]}`,
			},
			only: "7300 proto 73",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				shared: + -4 rule 49999: from all lookup 7300 proto 73`,
		},
		{
			name: "then the default route of the result whose next hop the subnet holds",
			pod:  second + `-4 route default via 10.20.30.4 dev net1 metric 100`,
			attachment: attachment{
				prev: `{"ips": [{"address": "10.20.30.5/24"}], "routes": [
					{"dst": "0.0.0.0/0", "gw": "192.0.2.1"},
					{"dst": "172.16.0.0/12", "gw": "10.20.30.9"},
					{"dst": "0.0.0.0/0", "gw": "10.20.30.3", "table": 100},
					{"dst": "0.0.0.0/0", "gw": "10.20.30.2"}]}`,
			},
			only: "default via",
			want: `
				-4 route default via 10.20.30.2 dev net1 table 7300 proto 73
				main: - -4 route default via 10.20.30.4 dev net1 proto boot metric 100`,
		},
		{
			name: "then any default route of the result",
			pod:  second + `-4 route default via 10.20.30.4 dev net1 metric 100`,
			attachment: attachment{
				prev: `{"ips": [{"address": "10.20.30.5/24"}], "routes": [{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}]}`,
			},
			only: "7300 proto 73",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 192.0.2.1 dev net1 table 7300 proto 73 scope link
				-4 route default via 192.0.2.1 dev net1 table 7300 proto 73
				shared: + -4 rule 49999: from all lookup 7300 proto 73`,
		},
		{
			name: "last the kernel's best default by the NIC",
			pod: second + `
				-4 route default via 10.20.30.3 dev net1 metric 200
				-4 route default via 10.20.30.4 dev net1 metric 100`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}], "routes": [{"dst": "0.0.0.0/0"}]}`},
			only:       "default via",
			want: `
				-4 route default via 10.20.30.4 dev net1 table 7300 proto 73
				main: - -4 route default via 10.20.30.4 dev net1 proto boot metric 100
				main: - -4 route default via 10.20.30.3 dev net1 proto boot metric 200`,
		},
		{
			name: "the kernel's default by several gateways, with their weights and flags",
			pod: `
				net1
				10.20.30.5/24
				-4 route default nexthop via 10.20.30.2 dev net1 weight 5 nexthop via 192.0.2.1 dev net1 weight 1 onlink`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}]}`},
			only:       "7300 proto 73",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 192.0.2.1 dev net1 table 7300 proto 73 scope link
				-4 route default table 7300 proto 73 nexthop via 10.20.30.2 dev net1 weight 5 nexthop via 192.0.2.1 dev net1 weight 1 onlink`,
		},
		{
			name:       "the kernel's default without a gateway",
			pod:        `net1` + "\n" + `10.20.30.5/24` + "\n" + `-4 route default dev net1`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}]}`},
			only:       "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default dev net1 table 7300 proto 73 scope link`,
		},
		{
			name: "a default by router advertisement is a gateway too",
			pod: `
				net1
				2001:db8:30::5/64
				-6 route default via fe80::1 dev net1 proto ra metric 1024 expires`,
			attachment: attachment{prev: `{"ips": [{"address": "2001:db8:30::5/64"}]}`},
			only:       "default",
			want:       `-6 route default via fe80::1 dev net1 table 7300 proto 73 metric 1024`,
		},
		{
			name: "of routers that advertise themselves those of the best preference",
			pod: `
				net1
				2001:db8:30::5/64
				-6 route default via fe80::4 dev net1 proto ra metric 1024 expires pref low
				-6 route default via fe80::1 dev net1 proto ra metric 1024 expires
				-6 route default via fe80::2 dev net1 proto ra metric 1024 expires
				-6 route default via fe80::3 dev net1 proto ra metric 2048 expires pref high`,
			attachment: attachment{prev: `{"ips": [{"address": "2001:db8:30::5/64"}]}`},
			only:       "default",
			want:       `-6 route default table 7300 proto 73 metric 1024 nexthop via fe80::1 dev net1 weight 1 nexthop via fe80::2 dev net1 weight 1`,
		},
		{
			name:       "no gateway",
			pod:        second,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}]}`},
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				rp_filter net1: effectively loose (2)
				shared: + -4 rule 40000: from all nop proto 73
				note: no IPv4 gateway of net1 is known: what its addresses send reaches no further than its own subnets; name one in "gateways", or ADD again when main has a default by net1`,
		},
		{
			name: "another NIC's default is none of this one's",
			pod:  second,
			attachment: attachment{prev: `{"interfaces": [{"name": "net1", "sandbox": "/pod"}],
				"ips": [{"address": "10.20.30.5/24", "interface": 0}], "routes": [{"dst": "10.96.0.0/12", "gw": "10.20.30.9"}]}`},
			only: "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 10.96.0.0/12 via 10.20.30.9 dev net1 table 7300 proto 73`,
		},
		{
			name:       "a next hop on the link, outside of every subnet",
			pod:        second,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "169.254.1.1"}]}`},
			only:       "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 169.254.1.1 dev net1 table 7300 proto 73 scope link
				-4 route default via 169.254.1.1 dev net1 table 7300 proto 73`,
		},
		{
			name: "a /32 and a /128, whose gateways no prefix holds",
			pod: `
				eth0
				net1
				10.20.30.5/32
				2001:db8:30::5/128
				-4 route 169.254.1.1 dev net1
				-4 route default via 169.254.1.1 dev net1
				-6 route 2001:db8:ff::1 dev net1
				-6 route default via 2001:db8:ff::1 dev net1`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/32"}, {"address": "2001:db8:30::5/128"}],
				"routes": [{"dst": "169.254.1.1/32", "scope": 253}, {"dst": "0.0.0.0/0", "gw": "169.254.1.1"}]}`},
			only: "route",
			want: `
				-4 route 169.254.1.1 dev net1 table 7300 proto 73 scope link
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-6 route 2001:db8:ff::1 dev net1 table 7300 proto 73 metric 1024
				-4 route default via 169.254.1.1 dev net1 table 7300 proto 73
				-6 route default via 2001:db8:ff::1 dev net1 table 7300 proto 73 metric 1024`,
		},
		{
			name: "a configured gateway serves the sources whose subnet holds it",
			pod: `
				net1
				10.20.30.5/24
				10.20.31.5/24`,
			attachment: attachment{
				conf: `"gateways": ["10.20.31.254"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`,
			},
			only: "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route default via 10.20.31.254 dev net1 table 7301 proto 73`,
		},
		{
			name: "several configured gateways of a subnet share the load",
			pod:  second,
			attachment: attachment{
				conf: `"gateways": ["10.20.30.254", "10.20.30.253"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}]}`,
			},
			only: "default",
			want: `-4 route default table 7300 proto 73 nexthop via 10.20.30.253 dev net1 weight 1 nexthop via 10.20.30.254 dev net1 weight 1`,
		},
		{
			name: "a configured link-local gateway serves all sources of its family",
			pod: `
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				2001:db8:31::5/64`,
			attachment: attachment{
				conf: `"gateways": ["fe80::1"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
					{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}, {"address": "2001:db8:31::5/64", "gateway": "2001:db8:31::1"}]}`,
			},
			only: "default",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-6 route default via fe80::1 dev net1 table 7300 proto 73 metric 1024`,
		},
		{
			name: "a configured gateway for a /32 serves all sources of its family",
			pod: `
				net1
				10.20.30.5/24
				192.0.2.7/32`,
			attachment: attachment{
				conf: `"gateways": ["198.51.100.1"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "192.0.2.7/32"}]}`,
			},
			only: "7300 proto 73",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40012: from 192.0.2.7 lookup 7300 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 198.51.100.1 dev net1 table 7300 proto 73 scope link
				-4 route default via 198.51.100.1 dev net1 table 7300 proto 73`,
		},
		{
			name: "a configured gateway in a subnet serves a /32 that has no other",
			pod: `
				net1
				10.20.30.5/24
				192.0.2.7/32`,
			attachment: attachment{
				conf: `"gateways": ["10.20.30.254"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "192.0.2.7/32"}]}`,
			},
			only: "lookup 7300",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40012: from 192.0.2.7 lookup 7300 proto 73`,
		},
		{
			name: "a configured gateway on the link serves all sources of its family",
			pod: `
				net1
				172.18.0.5/24
				10.20.30.5/24
				2001:db8:30::5/64`,
			attachment: attachment{
				conf: `"gateways": [{"gw": "192.168.128.2", "onlink": true}, {"gw": "2001:db8:77::1", "onlink": true}]`,
				prev: `{"ips": [{"address": "172.18.0.5/24"}, {"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64"}]}`,
			},
			only: "-4 route",
			want: `
				-4 route 172.18.0.0/24 dev net1 table 7300 proto 73 scope link src 172.18.0.5
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 192.168.128.2 dev net1 table 7300 proto 73 scope link
				-4 route default via 192.168.128.2 dev net1 onlink table 7300 proto 73`,
		},
		{
			name: "one in a subnet is on the link anyway",
			pod:  second + `-4 route default via 10.20.30.1 dev net1 metric 100 mtu 1400`,
			attachment: attachment{
				conf: `"gateways": [{"gw": "10.20.30.1", "onlink": true}], "mainDefault": "keep"`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			},
			only: "default",
			want: `-4 route default via 10.20.30.1 dev net1 table 7300 proto 73 mtu 1400`,
		},
		{
			name: "and one in a subnet beside it shares the load of that",
			pod: `
				net1
				10.20.30.5/24
				10.20.31.5/24`,
			attachment: attachment{
				conf: `"gateways": [{"gw": "192.168.128.2", "onlink": true}, "10.20.30.1"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "10.20.31.5/24"}]}`,
			},
			only: "default",
			want: `
				-4 route default table 7300 proto 73 nexthop via 10.20.30.1 dev net1 weight 1 nexthop via 192.168.128.2 dev net1 weight 1 onlink
				-4 route default via 192.168.128.2 dev net1 onlink table 7301 proto 73`,
		},
		{
			name: "of several NICs it is the gateway of those that nobody else has it for",
			pod: `
				net1
				10.20.30.5/24
				net2
				192.168.128.5/24`,
			attachment: attachment{
				conf: `"gateways": [{"gw": "192.168.128.2", "onlink": true}]`,
				prev: `{"interfaces": [{"name": "net1", "sandbox": "/pod"}, {"name": "net2", "sandbox": "/pod"}],
					"ips": [{"address": "10.20.30.5/24", "interface": 0}, {"address": "192.168.128.5/24", "interface": 1}]}`,
			},
			only: "route default",
			want: `-4 route default via 192.168.128.2 dev net2 table 7301 proto 73`,
		},
		{
			name: "a gateway in a configured prefix serves the sources in it",
			pod: `
				net1
				2001:db8:30::5/64`,
			attachment: attachment{
				conf: `"gateways": ["2001:db8:31::1"], "sources": ["2001:db8:31::/64"]`,
				prev: `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`,
			},
			only: "default",
			want: `
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024
				-6 route default via 2001:db8:31::1 dev net1 table 7301 proto 73 metric 1024`,
		},
		{
			name: "an IPv6 gateway of an IPv4 address (RFC 8950)",
			pod:  second,
			attachment: attachment{
				conf: `"mainDefault": "take", "routes": [{"dst": "172.16.0.0/12", "gw": "fe80::9"}]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "fe80::1"}], "routes": [{"dst": "192.168.0.0/16", "gw": "fe80::8"}]}`,
			},
			only: "inet6",
			want: `
				-4 route default via inet6 fe80::1 dev net1 table 7300 proto 73
				-4 route 192.168.0.0/16 via inet6 fe80::8 dev net1 table 7300 proto 73
				-4 route 172.16.0.0/12 via inet6 fe80::9 dev net1 table 7300 proto 73
				main: + -4 route default via inet6 fe80::1 dev net1 proto 73`,
		},
		{
			name:       "a default of the result by an IPv6 gateway",
			pod:        second,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}], "routes": [{"dst": "0.0.0.0/0", "gw": "fe80::1"}, {"dst": "::/0", "gw": "fe80::2"}]}`},
			only:       "default",
			want:       `-4 route default via inet6 fe80::1 dev net1 table 7300 proto 73`,
		},
		{
			name: "gateways of a family that the NIC does not have are passed over",
			pod: `
				net1 noipv6
				10.20.30.5/24`,
			attachment: attachment{
				conf: `"gateways": ["10.20.30.254", "2001:db8:30::1"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "2001:db8:30::5/64"}]}`,
			},
			only: "default",
			want: `-4 route default via 10.20.30.254 dev net1 table 7300 proto 73`,
		},
	}
}

func TestGateways(t *testing.T) { runScenarios(t, gatewayScenarios()) }

func TestGatewayFaults(t *testing.T) {
	runRefusals(t, []refusal{
		{
			name: "a gateway in no subnet",
			pod:  second,
			attachment: attachment{
				conf: `"gateways": ["10.20.30.254", "10.20.31.1"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			},
			faults: []string{"gateways[1]"},
			want: "gateways[1]: 10.20.31.1 is in no subnet of the attachment (10.20.30.0/24 of net1): name a gateway in one of them, " +
				`or write {"gw": "10.20.31.1", "onlink": true} if the NIC reaches it all the same`,
		},
		{
			name: "every one of them is named",
			pod: `
				net1
				10.20.30.5/24
				2001:db8:30::5/64`,
			attachment: attachment{
				conf: `"gateways": ["10.20.31.1", "2001:db8:31::1"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "2001:db8:30::5/64"}]}`,
			},
			faults: []string{"gateways[0]", "gateways[1]"},
			want: "gateways[0]: 10.20.31.1 is in no subnet of the attachment (10.20.30.0/24 of net1): name a gateway in one of them, " +
				`or write {"gw": "10.20.31.1", "onlink": true} if the NIC reaches it all the same; ` +
				"gateways[1]: 2001:db8:31::1 is in no subnet of the attachment (2001:db8:30::/64 of net1): name a gateway in one of them, " +
				`or write {"gw": "2001:db8:31::1", "onlink": true} if the NIC reaches it all the same`,
		},
		{
			name: "a gateway in no subnet, beside a VIP",
			pod:  second,
			attachment: attachment{
				conf: `"gateways": ["10.20.31.1"], "sources": ["10.20.73.29"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			},
			faults: []string{"gateways[0]"},
			want: "gateways[0]: 10.20.31.1 is in no subnet of the attachment (10.20.30.0/24 of net1): name a gateway in one of them, " +
				`or write {"gw": "10.20.31.1", "onlink": true} if the NIC reaches it all the same`,
		},
		{
			name: "next hops that cannot be",
			pod:  second,
			attachment: attachment{
				conf: `"gateways": ["10.20.30.5", "10.244.0.5", {"gw": "10.20.30.255", "onlink": true}], "routes": [
					{"dst": "172.16.0.0/12", "gw": "10.20.30.0"}, {"dst": "172.17.0.0/16", "gw": "10.20.30.5", "onlink": true}, {"dst": "172.18.0.0/16", "gw": "10.244.0.1"},
					{"dst": "172.19.0.0/16", "gw": "2001:db8:30::1"}, {"dst": "2001:db8:40::/48", "gw": "2001:db8:30::1"}, {"dst": "172.20.0.0/16", "gw": "169.254.1.1"}]`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			},
			faults: []string{"gateways[0]", "gateways[1]", "gateways[2]", "routes[0].gw", "routes[1].gw", "routes[2].gw", "routes[3].gw"},
			want: "gateways[0]: 10.20.30.5 is the pod's own address; name another host's; " +
				"gateways[1]: 10.244.0.5 is the pod's own address; name another host's; " +
				"gateways[2]: 10.20.30.255 is the network or broadcast address of 10.20.30.0/24 of net1; name a host's; " +
				"routes[0].gw: 10.20.30.0 is the network or broadcast address of 10.20.30.0/24 of net1; name a host's; " +
				"routes[1].gw: 10.20.30.5 is the pod's own address; name another host's; " +
				`routes[2].gw: 10.244.0.1 is in no subnet of net1 (10.20.30.0/24): name a next hop in one of them, or write "onlink": true beside it if the NIC reaches it all the same; ` +
				`routes[3].gw: 2001:db8:30::1 is in no subnet of net1, which has none in IPv6: write "onlink": true beside it if the NIC reaches it all the same`,
		},
		{
			name: "destinations that are never asked about",
			pod:  second,
			attachment: attachment{
				conf: `"checkDestinations": ["192.0.2.7", "10.20.30.5", "10.244.0.5", "2001:db8::7", "10.20.30.255"]`,
				prev: resultOf,
			},
			faults: []string{"checkDestinations[1]", "checkDestinations[2]", "checkDestinations[3]", "checkDestinations[4]"},
			want: "checkDestinations[1]: 10.20.30.5 is never asked about, for it is the pod's own address; remove it; " +
				"checkDestinations[2]: 10.244.0.5 is never asked about, for it is the pod's own address; remove it; " +
				"checkDestinations[3]: 2001:db8::7 is never asked about, for the attachment has no IPv6 source; remove it; " +
				"checkDestinations[4]: 10.20.30.255 is never asked about, for it is the network or broadcast address of 10.20.30.0/24; remove it",
		},
		{
			name: "all that is wrong at once, and before the state of the pod",
			pod: `
				eth0
				10.244.0.5/24
				net1 down
				10.20.30.5/24
				-4 route 192.0.2.0/24 dev eth0 table 100`,
			earlier: []attachment{{ifname: "eth0", conf: `"interfaces": {"net1": {"rpFilter": "off"}}`, prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}},
			attachment: attachment{
				conf: `"gateways": ["10.20.31.1"], "routes": [{"dst": "172.16.0.0/12", "gw": "10.20.31.1"}], "checkDestinations": ["2001:db8::7"], "requireGateway": true,
					"rpFilter": "strict", "interfaces": {"tunl0": {"rpFilter": "off"}, "net1": {"rpFilter": "off"}, "net7": {"rpFilter": "off"}, "eth0": {"rpFilter": "off"}},
					"mainDefault": "take", "table": 100`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			},
			faults: []string{
				"gateways[0]", "routes[0].gw", "checkDestinations[0]", "requireGateway", "rpFilter", "interfaces.eth0.rpFilter",
				"interfaces.net1", "interfaces.net7", "interfaces.tunl0", "mainDefault", "table",
			},
			want: `gateways[0]: 10.20.31.1 is in no subnet of the attachment (10.20.30.0/24 of net1): name a gateway in one of them, or write {"gw": "10.20.31.1", "onlink": true} if the NIC reaches it all the same; ` +
				`routes[0].gw: 10.20.31.1 is in no subnet of net1 (10.20.30.0/24): name a next hop in one of them, or write "onlink": true beside it if the NIC reaches it all the same; ` +
				`checkDestinations[0]: 2001:db8::7 is never asked about, for the attachment has no IPv6 source; remove it; ` +
				`requireGateway: the source 10.20.30.5 of net1 has no gateway: name one in gateways, or let the IPAM plugin return one; ` +
				`rpFilter: net1 is to be strict (1), but the attachment eth0 of network "data" set it to off (0): let both say the same, or one of them "keep"; ` +
				`interfaces.eth0.rpFilter: eth0 is to be off (0), but the attachment eth0 of network "data" set it to loose (2): let both say the same, or one of them "keep"; ` +
				`interfaces.net1: is a NIC of this attachment: use the key rpFilter beside type; ` +
				`interfaces.net7: the pod has no such device; it has lo, eth0, net1; ` +
				`interfaces.tunl0: the pod has no such device; it has lo, eth0, net1; ` +
				`mainDefault: "take" needs a gateway, and none of net1 is known: name one in gateways; ` +
				`table: 100 is in use by routes of somebody else: name a free one, or none`,
		},
		{
			name: "a gateway that is required",
			pod:  second,
			attachment: attachment{
				conf: `"requireGateway": true`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}]}`,
			},
			faults: []string{"requireGateway"},
			want:   "requireGateway: the source 10.20.30.5 of net1 has no gateway: name one in gateways, or let the IPAM plugin return one",
		},
		{
			name: "a gateway that is required of one family only",
			pod: `
				net1
				10.20.30.5/24
				2001:db8:30::5/64`,
			attachment: attachment{
				conf: `"requireGateway": true`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64"}]}`,
			},
			faults: []string{"requireGateway"},
			want:   "requireGateway: the source 2001:db8:30::5 of net1 has no gateway: name one in gateways, or let the IPAM plugin return one",
		},
	})
}

// TestFaultyConfiguration plans from what could be read of configurations that are wrong in every
// key: more faults may be found, and nothing breaks.
func TestFaultyConfiguration(t *testing.T) {
	for _, conf := range []string{
		`"gateways": 5, "routes": [{"dst": "x", "gw": "10.20.31.1"}, {"dst": "2001:db8:40::/48", "gw": "10.20.30.9"}, {"gw": "10.20.30.9"}]`,
		`"lvs": {"mode": "x", "vips": ["10.99.0.1", "2001:db8:99::1"], "replyBy": "eth9"}`,
		`"lvs": {"mode": "tunnel", "device": "lo"}, "interfaces": {"all": {"rpFilter": 7}, "eth9": {"rpFilter": 1}}`,
		`"lvs": 5, "sources": ["x", "10.20.0.0/16"], "viaMain": ["x"], "checkDestinations": ["x", "10.20.30.5"], "mainDefault": "take", "table": "x"`,
		`"routes": [{"dst": "10.1.0.0/16", "onlink": true}, {"dst": "10.2.0.0/16", "gw": "10.20.31.1", "mtu": 5}], "rpFilter": 1, "noGateway": "main", "viaMain": ["10.96.0.0/12"]`,
	} {
		p := newPod(t, dualPod)
		text := `{"cniVersion": "1.1.0", "name": "data", "type": "symroute", ` + conf + `, "prevResult": ` + dualResult + `}`
		cfg, err := config.Parse([]byte(text))
		if _, faulty := errors.AsType[config.Faults](err); !faulty || cfg == nil {
			t.Fatalf("%s: got %v and %v", conf, cfg, err)
		}
		in := p.input(attachment{prev: dualResult})
		in.Config = cfg
		if _, err := plan.Build(in); err != nil {
			if _, faulty := errors.AsType[config.Faults](err); !faulty {
				t.Errorf("%s: got %v", conf, err)
			}
		}
	}
}
