package plan_test

import "testing"

// resultOf is a result with the address and the gateway of net1 alone.
const resultOf = `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}]}`

// routeScenarios tell what a source table holds beside its default.
func routeScenarios() []scenario {
	return []scenario{
		{
			name: "routes of the result, with their attributes",
			pod:  second,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}], "routes": [
				{"dst": "172.16.0.0/12", "gw": "10.20.30.9", "mtu": 1400, "advmss": 1360},
				{"dst": "172.16.0.0/12", "gw": "10.20.30.8", "priority": 50},
				{"dst": "192.168.1.0/24", "gw": "10.20.30.9", "table": 100},
				{"dst": "192.168.2.0/24", "gw": "10.20.30.9", "table": 254},
				{"dst": "192.168.3.0/24", "gw": "10.20.30.9", "scope": 0},
				{"dst": "0.0.0.0/0", "gw": "10.20.30.1", "mtu": 1450, "advmss": 1410, "priority": 10}]}`},
			only: "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73 mtu 1450 advmss 1410
				-4 route 172.16.0.0/12 via 10.20.30.9 dev net1 table 7300 proto 73 mtu 1400 advmss 1360
				-4 route 172.16.0.0/12 via 10.20.30.8 dev net1 table 7300 proto 73 metric 50
				-4 route 192.168.3.0/24 via 10.20.30.9 dev net1 table 7300 proto 73`,
		},
		{
			name: "routes of the result without a gateway go as main has them, else by the default, else on the link",
			pod:  second + `-4 route 172.16.0.0/12 via 10.20.30.9 dev net1`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}], "routes": [
				{"dst": "172.16.0.0/12"},
				{"dst": "192.168.1.0/24"},
				{"dst": "192.168.2.0/24", "scope": 253}]}`},
			only: "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 192.168.2.0/24 dev net1 table 7300 proto 73 scope link
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 172.16.0.0/12 via 10.20.30.9 dev net1 table 7300 proto 73
				-4 route 192.168.1.0/24 via 10.20.30.1 dev net1 table 7300 proto 73`,
		},
		{
			name: "a route of the result without a gateway, where there is none at all",
			pod:  second,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24"}], "routes": [
				{"dst": "192.168.1.0/24"}]}`},
			only: "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 192.168.1.0/24 dev net1 table 7300 proto 73 scope link`,
		},
		{
			name: "IPv6 routes of the result have the kernel's metric",
			pod: `
				net1
				2001:db8:30::5/64`,
			attachment: attachment{prev: `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "fe80::1"}], "routes": [
				{"dst": "2001:db8:40::/48", "gw": "2001:db8:30::9"},
				{"dst": "2001:db8:41::/48", "gw": "fe80::9", "priority": 50}]}`},
			only: "route",
			want: `
				-6 route 2001:db8:30::/64 dev net1 table 7300 proto 73 metric 256
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-6 route default via fe80::1 dev net1 table 7300 proto 73 metric 1024
				-6 route 2001:db8:40::/48 via 2001:db8:30::9 dev net1 table 7300 proto 73 metric 1024
				-6 route 2001:db8:41::/48 via fe80::9 dev net1 table 7300 proto 73 metric 50`,
		},
		{
			name: "routes of main by the NIC come along with their attributes",
			pod: second + `
				2001:db8:30::5/64
				-4 route 172.16.0.0/12 via 10.20.30.9 dev net1 proto static src 10.20.30.5 metric 50 mtu 1400 advmss 1360 window 4
				-4 route 172.16.0.0/12 tos 0x10 via 10.20.30.8 dev net1
				-4 route 192.168.1.0/24 dev net1
				-4 route 192.168.2.0/24 metric 7 nexthop via 10.20.30.9 dev net1 weight 3 nexthop via 10.244.0.9 dev eth0 weight 1
				-4 route 192.168.3.0/24 nhid 12 via 10.20.30.9 dev net1
				-6 route 2001:db8:40::/48 via fe80::9 dev net1 src 2001:db8:30::5 mtu 1300`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
				{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`},
			only: "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 192.168.1.0/24 dev net1 table 7300 proto 73 scope link
				-6 route 2001:db8:30::/64 dev net1 table 7300 proto 73 metric 256
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 172.16.0.0/12 tos 0x10 via 10.20.30.8 dev net1 table 7300 proto 73
				-4 route 172.16.0.0/12 via 10.20.30.9 dev net1 table 7300 proto 73 src 10.20.30.5 metric 50 mtu 1400 advmss 1360
				-4 route 192.168.2.0/24 via 10.20.30.9 dev net1 table 7300 proto 73 metric 7
				-4 route 192.168.3.0/24 via 10.20.30.9 dev net1 table 7300 proto 73
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024
				-6 route 2001:db8:40::/48 via fe80::9 dev net1 table 7300 proto 73 metric 1024 mtu 1300`,
		},
		{
			name: "a subnet that is reached through its gateway, as the ptp plugin has it",
			pod: `
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				no -4 route 10.20.30.0/24 dev net1 proto kernel scope link src 10.20.30.5
				no -6 route 2001:db8:30::/64 dev net1 proto kernel metric 256
				-4 route 10.20.30.1 dev net1 src 10.20.30.5
				-4 route 10.20.30.0/24 via 10.20.30.1 dev net1 src 10.20.30.5
				-6 route 2001:db8:30::1 dev net1
				-6 route 2001:db8:30::/64 via 2001:db8:30::1 dev net1`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
				{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`},
			only: "route",
			want: `
				-4 route 10.20.30.1 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-6 route 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 10.20.30.0/24 via 10.20.30.1 dev net1 table 7300 proto 73 src 10.20.30.5
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024
				-6 route 2001:db8:30::/64 via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024`,
		},
		{
			name: "what of main does not come along: a router's advertised routes; its prefixes on the link do",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				2001:db8:30::6/128
				-4 route 172.16.0.0/12 via 10.244.0.9 dev eth0
				-4 route 192.168.1.0/24 via 10.20.30.9 dev net1 table 100
				-4 route blackhole default metric 500
				-6 route unreachable default dev lo proto kernel metric 4294967295
				-6 route unreachable 2001:db8:43::/64 dev lo proto kernel
				-6 route unreachable 2001:db8:44::/64 dev lo expires
				-6 route 2001:db8:40::/48 via fe80::9 dev net1 proto ra expires
				-6 route 2001:db8:41::/48 via fe80::9 dev net1 expires
				-6 route 2001:db8:42::/64 dev net1 proto ra
				-6 route 2001:db8:43::/64 dev net1 proto kernel metric 256 expires`,
			attachment: attachment{prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
				{"address": "2001:db8:30::5/64", "gateway": "fe80::1"}, {"address": "2001:db8:30::6/128", "gateway": "fe80::1"}]}`},
			only: "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-6 route 2001:db8:30::/64 dev net1 table 7300 proto 73 metric 256
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-6 route 2001:db8:42::/64 dev net1 table 7300 proto 73 metric 1024
				-6 route 2001:db8:43::/64 dev net1 table 7300 proto 73 metric 256
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-6 route default via fe80::1 dev net1 table 7300 proto 73 metric 1024`,
		},
		{
			name: "what main refuses",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				2001:db8:30::5/64
				-4 route blackhole 169.254.169.254
				-4 route unreachable 10.0.0.0/8 metric 50
				-4 route prohibit 172.20.0.0/16
				-4 route throw 172.21.0.0/16
				-4 route unreachable 172.22.0.0/16 metric 7
				-4 route 172.22.0.0/16 via 10.20.30.9 dev net1 metric 5
				-4 route unreachable 172.23.0.0/16 metric 5
				-4 route 172.23.0.0/16 via 10.20.30.9 dev net1 metric 7
				-4 route unreachable 172.24.0.0/16
				-4 route 172.20.5.0/24 via 10.244.0.9 dev eth0
				-4 route 172.20.6.0/24 via 10.20.30.9 dev net1
				-4 route 172.16.0.0/12 via 10.244.0.9 dev eth0
				-6 route unreachable 2001:db8:44::/48 dev lo`,
			attachment: attachment{
				conf: `"routes": [{"dst": "172.24.0.0/16", "gw": "10.20.30.8"}]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "fe80::1"}],
					"routes": [{"dst": "172.20.0.0/16", "gw": "10.20.30.7"}]}`,
			},
			only: "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route unreachable 10.0.0.0/8 table 7300 proto 73 metric 50
				-4 route blackhole 169.254.169.254 table 7300 proto 73
				-4 route prohibit 172.20.0.0/16 table 7300 proto 73
				-4 route throw 172.21.0.0/16 table 7300 proto 73
				-4 route unreachable 172.23.0.0/16 table 7300 proto 73 metric 5
				-6 route 2001:db8:30::/64 dev net1 table 7300 proto 73 metric 256
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-6 route unreachable 2001:db8:44::/48 dev lo table 7300 proto 73 metric 1024
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 172.20.6.0/24 via 10.20.30.9 dev net1 table 7300 proto 73
				-4 route 172.22.0.0/16 via 10.20.30.9 dev net1 table 7300 proto 73 metric 5
				-4 route 172.24.0.0/16 via 10.20.30.8 dev net1 table 7300 proto 73
				-4 route 10.244.0.0/24 via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 172.20.5.0/24 via 10.20.30.1 dev net1 table 7300 proto 73
				-6 route default via fe80::1 dev net1 table 7300 proto 73 metric 1024`,
		},
		{
			name: "what main refuses, without a gateway and at another's wish",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				-4 route default via 10.244.0.1 dev eth0
				-4 route unreachable 10.244.0.0/16
				-4 route 172.16.0.0/12 via 10.244.0.9 dev eth0`,
			attachment: attachment{
				conf: `"mainDefault": "take"`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}]}`,
			},
			only: "unreachable 10",
			want: `
				-4 route unreachable 10.244.0.0/16 table 7300 proto 73
				-4 route unreachable 10.244.0.0/16 table 7301 proto 73`,
		},
		{
			name: "the default keeps what the kernel has of its attributes",
			pod:  second + `-4 route default via 10.20.30.1 dev net1 metric 100 mtu 1400 advmss 1360`,
			attachment: attachment{
				conf: `"mainDefault": "keep"`,
				prev: resultOf,
			},
			only: "default",
			want: `-4 route default via 10.20.30.1 dev net1 table 7300 proto 73 mtu 1400 advmss 1360`,
		},
		{
			name: "routes of the configuration",
			pod:  second,
			attachment: attachment{
				conf: `"routes": [
					{"dst": "172.16.0.0/12", "gw": "10.20.30.9", "metric": 50, "mtu": 1400, "advmss": 1360},
					{"dst": "192.168.1.0/24", "gw": "192.0.2.9", "onlink": true},
					{"dst": "192.168.2.0/24", "gw": "192.0.2.9", "onlink": true},
					{"dst": "192.168.3.0/24"},
					{"dst": "2001:db8:40::/48", "gw": "fe80::9"}]`,
				prev: resultOf,
			},
			only: "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 192.0.2.9 dev net1 table 7300 proto 73 scope link
				-4 route 192.168.3.0/24 dev net1 table 7300 proto 73 scope link
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 172.16.0.0/12 via 10.20.30.9 dev net1 table 7300 proto 73 metric 50 mtu 1400 advmss 1360
				-4 route 192.168.1.0/24 via 192.0.2.9 dev net1 onlink table 7300 proto 73
				-4 route 192.168.2.0/24 via 192.0.2.9 dev net1 onlink table 7300 proto 73`,
		},
		{
			name: "routes of the configuration in IPv6",
			pod: `
				net1
				2001:db8:30::5/64`,
			attachment: attachment{
				conf: `"routes": [{"dst": "2001:db8:40::/48", "gw": "fe80::9"}, {"dst": "2001:db8:41::/48", "metric": 5}]`,
				prev: `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`,
			},
			only: "2001:db8:4",
			want: `
				-6 route 2001:db8:41::/48 dev net1 table 7300 proto 73 metric 5
				-6 route 2001:db8:40::/48 via fe80::9 dev net1 table 7300 proto 73 metric 1024`,
		},
		{
			name: "a route of the configuration wins over one of main or of the result, and over a connected one",
			pod:  second + `-4 route 172.16.0.0/12 via 10.20.30.9 dev net1`,
			attachment: attachment{
				conf: `"routes": [
					{"dst": "172.16.0.0/12", "gw": "10.20.30.7"},
					{"dst": "192.168.1.0/24", "gw": "10.20.30.7"},
					{"dst": "10.20.30.0/24", "gw": "192.0.2.1", "onlink": true}]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}], "routes": [
					{"dst": "192.168.1.0/24", "gw": "10.20.30.9"}]}`,
			},
			only: "route",
			want: `
				-4 route 192.0.2.1 dev net1 table 7300 proto 73 scope link
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 172.16.0.0/12 via 10.20.30.7 dev net1 table 7300 proto 73
				-4 route 192.168.1.0/24 via 10.20.30.7 dev net1 table 7300 proto 73
				-4 route 10.20.30.0/24 via 192.0.2.1 dev net1 onlink table 7300 proto 73`,
		},
	}
}

func TestTableRoutes(t *testing.T) { runScenarios(t, routeScenarios()) }

// nicScenarios tell which NICs an attachment has, and what each gets.
func nicScenarios() []scenario {
	return []scenario{
		{
			name: "two NICs in one subnet",
			pod: `
				eth0
				10.20.30.4/24
				net1
				10.20.30.5/24
				-4 route default via 10.20.30.1 dev eth0`,
			earlier: []attachment{{ifname: "eth0", prev: `{"ips": [{"address": "10.20.30.4/24", "gateway": "10.20.30.1"}]}`}},
			attachment: attachment{
				conf: `"arp": "isolate"`,
				prev: resultOf,
			},
			want: `
				-4 rule 49000: from all oif net1 lookup 7301 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7301 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7301 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7301 proto 73
				net1 arp_ignore=1
				net1 arp_announce=2
				net1 arp_filter=1
				rp_filter net1: effectively loose (2)`,
		},
		{
			name: "several NICs in one result",
			pod: `
				eth0
				10.244.0.5/24
				net1
				10.20.30.5/24
				net2
				10.20.31.5/24
				2001:db8:31::5/64
				-4 route default via 10.244.0.1 dev eth0`,
			attachment: attachment{
				conf: `"arp": "isolate"`,
				prev: `{
					"interfaces": [{"name": "veth0"}, {"name": "net1", "sandbox": "/pod"}, {"name": "net2", "sandbox": "/pod"}, {"name": "net3", "sandbox": "/pod"}],
					"ips": [
						{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
						{"address": "10.20.31.5/24", "gateway": "10.20.31.1", "interface": 2},
						{"address": "2001:db8:31::5/64", "interface": 2},
						{"address": "10.20.32.5/24", "gateway": "10.20.32.1", "interface": 3},
						{"address": "10.20.30.2/24", "interface": 0}],
					"routes": [{"dst": "172.16.0.0/12", "gw": "10.20.30.9"}]}`,
			},
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 49000: from all oif net2 lookup 7301 proto 73
				-4 rule 49002: from all oif net2 lookup main proto 73
				-6 rule 49000: from all oif net2 lookup 7301 proto 73
				-6 rule 49002: from all oif net2 lookup main proto 73
				-4 rule 40012: from 10.20.31.5 lookup 7301 proto 73
				-4 rule 40015: from 10.20.31.5 unreachable proto 73
				-6 rule 40012: from 2001:db8:31::5 lookup 7301 proto 73
				-6 rule 40015: from 2001:db8:31::5 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 rule 32765: from 10.20.31.5 goto 40000 proto 73
				-6 rule 32765: from 2001:db8:31::5 goto 40000 proto 73
				-4 rule 32765: from all oif net2 goto 40000 proto 73
				-6 rule 32765: from all oif net2 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 172.16.0.0/12 via 10.20.30.9 dev net1 table 7300 proto 73
				-4 route 10.20.31.0/24 dev net2 table 7301 proto 73 scope link src 10.20.31.5
				-6 route 2001:db8:31::/64 dev net2 table 7301 proto 73 metric 256
				-6 route fe80::/64 dev net2 table 7301 proto 73 metric 256
				-4 route default via 10.20.31.1 dev net2 table 7301 proto 73
				net2 keep_addr_on_down=1
				net1 arp_ignore=1
				net2 arp_ignore=1
				net1 arp_announce=2
				net2 arp_announce=2
				net1 arp_filter=1
				net2 arp_filter=1
				rp_filter net1: effectively loose (2)
				rp_filter net2: effectively loose (2)
				shared: + -4 rule 40000: from all nop proto 73
				shared: + -6 rule 40000: from all nop proto 73
				note: no IPv6 gateway of net2 is known: what its addresses send reaches no further than its own subnets; name one in "gateways", or ADD again when main has a default by net2`,
		},
		{
			name: "of several NICs, each gets the routes whose gateways it is connected to",
			pod: `
				net1
				10.20.30.5/24
				net2
				10.20.31.5/24`,
			attachment: attachment{prev: `{
				"interfaces": [{"name": "net1", "sandbox": "/pod"}, {"name": "net2", "sandbox": "/pod"}],
				"ips": [{"address": "10.20.30.5/24", "interface": 0}, {"address": "10.20.31.5/24", "interface": 1}],
				"routes": [{"dst": "0.0.0.0/0", "gw": "10.20.31.1"}, {"dst": "172.16.0.0/12", "gw": "10.20.31.9"}, {"dst": "172.16.0.0/12", "gw": "10.20.30.9"}]}`},
			only: "route",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route 172.16.0.0/12 via 10.20.30.9 dev net1 table 7300 proto 73
				-4 route 10.20.31.0/24 dev net2 table 7301 proto 73 scope link src 10.20.31.5
				-4 route default via 10.20.31.1 dev net2 table 7301 proto 73
				-4 route 172.16.0.0/12 via 10.20.31.9 dev net2 table 7301 proto 73`,
		},
		{
			name: "of several NICs, each has the configured gateways of its own subnets",
			pod: `
				net1
				10.20.30.5/24
				net2
				10.20.31.5/24`,
			attachment: attachment{
				conf: `"gateways": ["10.20.30.1", "10.20.31.1"], "sources": ["192.0.2.7"]`,
				prev: `{
					"interfaces": [{"name": "net1", "sandbox": "/pod"}, {"name": "net2", "sandbox": "/pod"}],
					"ips": [{"address": "10.20.30.5/24", "interface": 0}, {"address": "10.20.31.5/24", "interface": 1}]}`,
			},
			only: "7300 proto 73",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40012: from 192.0.2.7 lookup 7300 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73`,
		},
		{
			name: "lo in the result is nobody's concern",
			pod:  second,
			attachment: attachment{prev: `{
				"interfaces": [{"name": "net1", "sandbox": "/pod"}, {"name": "lo", "sandbox": "/pod"}],
				"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1", "interface": 0}, {"address": "192.0.2.7/32", "interface": 1}]}`},
			only: "lookup 7300",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73`,
		},
		{
			name: "no such netdev",
			pod: `
				eth0
				10.244.0.5/24`,
			attachment: attachment{conf: `"rpFilter": "strict"`, prev: resultOf},
		},
		{
			name: "a NIC without addresses gets its modes alone",
			pod: `
				eth0
				10.244.0.5/24
				net1
				-4 route default via 10.244.0.1 dev eth0`,
			attachment: attachment{conf: `"rpFilter": "off", "mainDefault": "take"`, prev: `{"interfaces": [{"name": "net1", "sandbox": "/pod"}]}`},
			want:       `rp_filter net1: effectively off (0)`,
		},
		{
			name: "and may be down, or enslaved to a VRF",
			pod: `
				blue vrf=10
				net1 down master=blue`,
			attachment: attachment{prev: `{}`},
			want:       `rp_filter net1: effectively loose (2)`,
		},
		{
			name: "IPv6 is disabled on the NIC",
			pod: `
				net1 noipv6
				10.20.30.5/24`,
			attachment: attachment{
				conf: `"sources": ["2001:db8:30::/64"], "viaMain": ["2001:db8:40::/48"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`,
			},
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
			name: "a link-local address needs no rule",
			pod: `
				net1
				2001:db8:30::5/64`,
			attachment: attachment{prev: `{"ips": [{"address": "fe80::5/64"}, {"address": "2001:db8:30::5/64", "gateway": "fe80::1"}]}`},
			only:       "lookup",
			want: `
				-6 rule 49000: from all oif net1 lookup 7300 proto 73
				-6 rule 49002: from all oif net1 lookup main proto 73
				-6 rule 40012: from 2001:db8:30::5 lookup 7300 proto 73`,
		},
		{
			name: "an address that another device has is not preferred",
			pod: `
				10.20.30.5/32
				net1`,
			attachment: attachment{prev: resultOf},
			only:       "10.20.30.0/24",
			want:       `-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link`,
		},
		{
			name: "an IPv4 device setting is for devices with IPv4",
			pod: `
				net1 noipv4
				2001:db8:30::5/64`,
			attachment: attachment{conf: `"arp": "isolate"`, prev: `{"ips": [{"address": "2001:db8:30::5/64", "gateway": "fe80::1"}]}`},
			only:       "net1 arp",
		},
		{
			name: "modes of other devices",
			pod: second + `
				tunl0
				tunl1`,
			attachment: attachment{conf: `"rpFilter": "keep", "interfaces": {"tunl1": {"rpFilter": 1}, "tunl0": {"rpFilter": "off"}, "eth0": {"rpFilter": "keep"}}`, prev: resultOf},
			only:       "rp_filter",
			want: `
				rp_filter tunl0: effectively off (0)
				rp_filter tunl1: effectively strict (1)`,
		},
	}
}

func TestNICs(t *testing.T) { runScenarios(t, nicScenarios()) }

// TestOverruledARP has all answer for less than an isolated NIC should: of that ADD tells.
func TestOverruledARP(t *testing.T) {
	p := newPod(t, second)
	p.kernel.all.ARPIgnore = 2
	compare(t, "notes", []string{"the effective arp_ignore of net1: want 1, got 2; decided by conf/all/arp_ignore, the larger"},
		p.build(attachment{conf: `"arp": "isolate"`, prev: resultOf}).Notes)
}

// numberScenarios tell how tables are numbered.
func numberScenarios() []scenario {
	return []scenario{
		{
			name: "the first number that no rule, no route and no VRF uses",
			pod: second + `
				blue vrf=7302
				-4 rule 100: from 192.0.2.1 lookup 7300
				-6 route 2001:db8:ff::/48 dev eth0 table 7301`,
			attachment: attachment{prev: resultOf},
			only:       "oif",
			want: `
				-4 rule 49000: from all oif net1 lookup 7303 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73`,
		},
		{
			name:       "the number that the configuration asks for",
			pod:        second,
			attachment: attachment{conf: `"table": 100`, prev: resultOf},
			only:       "oif",
			want: `
				-4 rule 49000: from all oif net1 lookup 100 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73`,
		},
		{
			name: "and the next free ones behind it, past the kernel's own",
			pod: `
				net1
				10.20.30.5/24
				10.20.31.5/24
				10.20.32.5/24
				-4 rule 100: from 192.0.2.1 lookup 256`,
			attachment: attachment{conf: `"table": 252`, prev: `{"ips": [
				{"address": "10.20.30.5/24", "gateway": "10.20.30.1"},
				{"address": "10.20.31.5/24", "gateway": "10.20.31.1"},
				{"address": "10.20.32.5/24", "gateway": "10.20.32.1"}]}`},
			only: "oif",
			want: `
				-4 rule 49000: from all oif net1 lookup 252 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 49000: from all oif net1 lookup 257 proto 73
				-4 rule 49000: from all oif net1 lookup 258 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73`,
		},
		{
			name:       "the one that the NIC has already",
			pod:        second + `-4 route 192.168.1.0/24 dev eth0 table 7301`,
			earlier:    []attachment{{ifname: "eth0", prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}, {prev: resultOf}},
			attachment: attachment{prev: resultOf},
			only:       "oif",
			want: `
				-4 rule 49000: from all oif net1 lookup 7302 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73`,
		},
		{
			name: "the ones that the NICs have already, with one more",
			pod: `
				net1
				10.20.30.5/24
				10.20.31.5/24
				net2
				10.20.32.5/24`,
			earlier: []attachment{{prev: `{
				"interfaces": [{"name": "net1", "sandbox": "/pod"}, {"name": "net2", "sandbox": "/pod"}],
				"ips": [{"address": "10.20.30.5/24", "interface": 0}, {"address": "10.20.32.5/24", "interface": 1}]}`}},
			attachment: attachment{prev: `{
				"interfaces": [{"name": "net1", "sandbox": "/pod"}, {"name": "net2", "sandbox": "/pod"}],
				"ips": [{"address": "10.20.30.5/24", "interface": 0}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1", "interface": 0}, {"address": "10.20.32.5/24", "interface": 1}]}`},
			only: "oif",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 49000: from all oif net1 lookup 7302 proto 73
				-4 rule 49000: from all oif net2 lookup 7301 proto 73
				-4 rule 49002: from all oif net2 lookup main proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 rule 32765: from all oif net2 goto 40000 proto 73`,
		},
		{
			name:       "another than it has, where the configuration now asks for that",
			pod:        second,
			earlier:    []attachment{{prev: resultOf}},
			attachment: attachment{conf: `"table": 100`, prev: resultOf},
			only:       "oif",
			want: `
				-4 rule 49000: from all oif net1 lookup 100 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73`,
		},
		{
			name:       "the same that the configuration asked for before",
			pod:        second,
			earlier:    []attachment{{conf: `"table": 100`, prev: resultOf}},
			attachment: attachment{conf: `"table": 100`, prev: resultOf},
			only:       "oif",
			want: `
				-4 rule 49000: from all oif net1 lookup 100 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73`,
		},
	}
}

func TestNumbers(t *testing.T) { runScenarios(t, numberScenarios()) }

func TestNumberInUse(t *testing.T) {
	asked := attachment{conf: `"table": 100`, prev: resultOf}
	runRefusals(t, []refusal{
		{
			name: "by nobody, but there are no more behind it",
			pod: `
				net1
				10.20.30.5/24
				10.20.31.5/24`,
			attachment: attachment{conf: `"table": 4294967295`, prev: `{"ips": [
				{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`},
			faults: []string{"table"},
			want:   `table: leaves no room for all tables: name a smaller number, or none`,
		},
		{
			name:       "by a rule",
			pod:        second + `-4 rule 200: from 192.0.2.1 lookup 100`,
			attachment: asked,
			faults:     []string{"table"},
			want:       `table: 100 is in use by the rule "200: from 192.0.2.1 lookup 100": name a free one, or none`,
		},
		{
			name:       "by a VRF",
			pod:        second + `blue vrf=100`,
			attachment: asked,
			faults:     []string{"table"},
			want:       `table: 100 is in use by the VRF blue: name a free one, or none`,
		},
		{
			name:       "by routes of either family",
			pod:        second + `-6 route 2001:db8:ff::/48 dev eth0 table 100`,
			attachment: asked,
			faults:     []string{"table"},
			want:       `table: 100 is in use by routes of somebody else: name a free one, or none`,
		},
		{
			name:       "by another attachment",
			pod:        second,
			earlier:    []attachment{{ifname: "eth0", conf: `"table": 100`, prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}},
			attachment: asked,
			faults:     []string{"table"},
			want:       `table: 100 is in use by the rule "40012: from 10.244.0.5 lookup 100 proto 73": name a free one, or none`,
		},
	})
}
