package plan_test

import "testing"

// ruleScenarios tell which rules a source gets.
func ruleScenarios() []scenario {
	dual := `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		2001:db8:30::5/64
		-4 route default via 10.244.0.1 dev eth0`
	dualResult := `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`
	return []scenario{
		{
			name:       "viaMain, in the family of the prefix",
			pod:        dual,
			attachment: attachment{conf: `"viaMain": ["10.96.0.0/12", "2001:db8:40::/48", "10.244.0.0/16"]`, prev: dualResult},
			only:       "rule",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-6 rule 49000: from all oif net1 lookup 7300 proto 73
				-6 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40011: from 10.20.30.5 to 10.96.0.0/12 lookup main proto 73
				-4 rule 40011: from 10.20.30.5 to 10.244.0.0/16 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-6 rule 40011: from 2001:db8:30::5 to 2001:db8:40::/48 lookup main proto 73
				-6 rule 40012: from 2001:db8:30::5 lookup 7300 proto 73
				-6 rule 40015: from 2001:db8:30::5 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-6 rule 32765: from 2001:db8:30::5 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-6 rule 32765: from all oif net1 goto 40000 proto 73
				shared: + -4 rule 40000: from all nop proto 73
				shared: + -6 rule 40000: from all nop proto 73`,
		},
		{
			name:       "noGateway main: nothing is refused",
			pod:        dual,
			attachment: attachment{conf: `"noGateway": "main"`, prev: dualResult},
			only:       "rule",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-6 rule 49000: from all oif net1 lookup 7300 proto 73
				-6 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 lookup main proto 73
				-6 rule 40012: from 2001:db8:30::5 lookup 7300 proto 73
				-6 rule 40015: from 2001:db8:30::5 lookup main proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-6 rule 32765: from 2001:db8:30::5 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-6 rule 32765: from all oif net1 goto 40000 proto 73
				shared: + -4 rule 40000: from all nop proto 73
				shared: + -6 rule 40000: from all nop proto 73`,
		},
		{
			name:       "the lowest priority",
			pod:        second,
			attachment: attachment{conf: `"priority": 4, "viaMain": ["10.96.0.0/12"]`, prev: resultOf},
			only:       "rule",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40011: from 10.20.30.5 to 10.96.0.0/12 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 4: from 10.20.30.5 goto 40000 proto 73
				-4 rule 4: from all oif net1 goto 40000 proto 73
				shared: + -4 rule 40000: from all nop proto 73`,
		},
		{
			name: "sources: an address that is there anyway, others, and prefixes; the more specific first",
			pod:  dual,
			attachment: attachment{
				conf: `"sources": ["10.20.0.0/16", "10.20.73.29", "10.20.30.5", "2001:db8:30::/64"]`,
				prev: dualResult,
			},
			only: "7300 proto 73",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-6 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40172: from 10.20.0.0/16 lookup 7300 proto 73
				-4 rule 40012: from 10.20.73.29 lookup 7300 proto 73
				-6 rule 40012: from 2001:db8:30::5 lookup 7300 proto 73
				-6 rule 40652: from 2001:db8:30::/64 lookup 7300 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-6 route 2001:db8:30::/64 dev net1 table 7300 proto 73 metric 256
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-6 route default via 2001:db8:30::1 dev net1 table 7300 proto 73 metric 1024`,
		},
		{
			name: "a configured source goes the way of the address whose subnet holds it, else of the first",
			pod: `
				net1
				10.20.30.5/24
				10.20.31.5/24`,
			attachment: attachment{
				conf: `"sources": ["10.20.31.29", "10.20.73.29"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`,
			},
			only: "lookup 730",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40012: from 10.20.73.29 lookup 7300 proto 73
				-4 rule 49000: from all oif net1 lookup 7301 proto 73
				-4 rule 40012: from 10.20.31.5 lookup 7301 proto 73
				-4 rule 40012: from 10.20.31.29 lookup 7301 proto 73`,
		},
		{
			name: "a configured source, and nothing else of its family",
			pod: `
				net1
				10.20.30.5/24
				-6 route default via fe80::1 dev net1`,
			attachment: attachment{conf: `"sources": ["2001:db8:30::/64"]`, prev: resultOf},
			only:       "-6",
			want: `
				-6 rule 49000: from all oif net1 lookup 7300 proto 73
				-6 rule 49002: from all oif net1 lookup main proto 73
				-6 rule 40652: from 2001:db8:30::/64 lookup 7300 proto 73
				-6 rule 40655: from 2001:db8:30::/64 unreachable proto 73
				-6 rule 32765: from 2001:db8:30::/64 goto 40000 proto 73
				-6 rule 32765: from all oif net1 goto 40000 proto 73
				-6 route fe80::/64 dev net1 table 7300 proto 73 metric 256
				-6 route default via fe80::1 dev net1 table 7300 proto 73 metric 1024
				shared: + -6 rule 40000: from all nop proto 73`,
		},
		{
			name: "a configured source goes by configured gateways of its own family",
			pod: `
				net1`,
			attachment: attachment{conf: `"sources": ["10.20.73.29"], "gateways": ["10.20.30.1", "fe80::1"]`, prev: `{}`},
			only:       "route",
			want: `
				-4 route 10.20.30.1 dev net1 table 7300 proto 73 scope link
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73`,
		},
		{
			name:       "a prefix may hold the address of a NIC that has a rule of its own",
			pod:        second,
			earlier:    []attachment{{ifname: "eth0", prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}},
			attachment: attachment{conf: `"sources": ["10.244.0.0/16"]`, prev: resultOf},
			only:       "lookup 730",
			want: `
				-4 rule 49000: from all oif net1 lookup 7301 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7301 proto 73
				-4 rule 40172: from 10.244.0.0/16 lookup 7301 proto 73`,
		},
		{
			name:       "an address stands ahead of a prefix that another attachment has already",
			pod:        second,
			late:       "net1",
			earlier:    []attachment{{ifname: "eth0", conf: `"sources": ["10.20.0.0/16"], "noGateway": "main"`, prev: `{}`}},
			attachment: attachment{prev: resultOf},
			only:       "lookup 730",
			want: `
				-4 rule 49000: from all oif net1 lookup 7301 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7301 proto 73`,
		},
		{
			name: "a source may be on lo: a VIP",
			pod: `
				10.20.73.29/32
				net1
				10.20.30.5/24`,
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`, prev: resultOf},
			only:       "lookup 730",
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40012: from 10.20.73.29 lookup 7300 proto 73`,
		},
	}
}

func TestRules(t *testing.T) { runScenarios(t, ruleScenarios()) }

func TestState(t *testing.T) {
	const state = "the pod's network is in no state for this: "
	runRefusals(t, []refusal{
		{
			name: "the NIC is down",
			pod: `
				net1 down
				10.20.30.5/24`,
			attachment: attachment{prev: resultOf},
			want:       state + "net1 is administratively down, and the kernel takes no routes for it: set it up first (ip link set net1 up)",
		},
		{
			name: "the NIC is enslaved to a VRF",
			pod: `
				blue vrf=10
				net1 master=blue
				10.20.30.5/24`,
			attachment: attachment{prev: resultOf},
			want: state + "net1 is enslaved to the VRF blue, whose table 10 decides for it: " +
				"symroute can only set its rpFilter (a NIC without addresses)",
		},
		{
			name:       "the NIC is lo",
			pod:        second,
			attachment: attachment{ifname: "lo", prev: resultOf},
			want:       state + "lo is the loopback device, which needs no routing of its own",
		},
		{
			name: "the source is an address of another NIC",
			pod: `
				eth0
				10.20.30.5/24
				net1
				10.20.31.5/24`,
			attachment: attachment{prev: resultOf},
			want:       state + "the source 10.20.30.5 of net1 takes the address 10.20.30.5 of eth0 with it",
		},
		{
			name:       "the prefix holds an address of another NIC",
			pod:        second,
			attachment: attachment{conf: `"sources": ["10.244.0.0/16"]`, prev: resultOf},
			want:       state + "the source 10.244.0.0/16 of net1 takes the address 10.244.0.5 of eth0 with it",
		},
		{
			name:       "the source belongs to the attachment of another NIC",
			pod:        second,
			earlier:    []attachment{{ifname: "eth0", conf: `"sources": ["10.20.73.29"]`, prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}},
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`, prev: resultOf},
			want:       state + `the source 10.20.73.29 of net1 belongs to eth0 already (rule "40012: from 10.20.73.29 lookup 7300 proto 73")`,
		},
		{
			name:       "the prefix belongs to the attachment of another NIC",
			pod:        second,
			earlier:    []attachment{{ifname: "eth0", conf: `"sources": ["10.21.0.0/16"]`, prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}},
			attachment: attachment{conf: `"sources": ["10.21.0.0/16"]`, prev: resultOf},
			want:       state + `the source 10.21.0.0/16 of net1 belongs to eth0 already (rule "40172: from 10.21.0.0/16 lookup 7300 proto 73")`,
		},
		{
			name: "the source belongs to a NIC of which nothing is remembered",
			pod: second + `
				-4 rule 40012: from 10.20.73.29 lookup 7400 proto 73
				-4 rule 49000: from all oif eth0 lookup 7400 proto 73`,
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`, prev: resultOf},
			want:       state + `the source 10.20.73.29 of net1 belongs to eth0 already (rule "40012: from 10.20.73.29 lookup 7400 proto 73")`,
		},
		{
			name: "the source belongs to nobody knows whom",
			pod: second + `
				-4 rule 40012: from 10.20.73.29 lookup 7400 proto 73`,
			attachment: attachment{conf: `"sources": ["10.20.73.29"]`, prev: resultOf},
			want: state + `the source 10.20.73.29 of net1 belongs to another attachment already ` +
				`(rule "40012: from 10.20.73.29 lookup 7400 proto 73")`,
		},
		{
			name: "no local rule at all",
			pod: second + `
				no -4 rule 0: from all lookup local`,
			attachment: attachment{prev: resultOf},
			want:       state + `no IPv4 rule "from all lookup local" stands before priority 32765: ours would send the pod's own traffic out`,
		},
		{
			name: "the local rule is behind ours",
			pod: `
				net1
				2001:db8:30::5/64
				no -6 rule 0: from all lookup local
				-6 rule 100: from all iif net1 lookup local
				-6 rule 32765: from all lookup local`,
			attachment: attachment{prev: `{"ips": [{"address": "2001:db8:30::5/64"}]}`},
			want:       state + `no IPv6 rule "from all lookup local" stands before priority 32765: ours would send the pod's own traffic out`,
		},
		{
			name: "addresses that are gone; a source need not be there",
			pod: `
				net1
				10.20.30.6/24
				2001:db8:30::6/64 tentative`,
			attachment: attachment{
				conf: `"sources": ["10.20.73.29"]`,
				prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "10.20.30.6/24"}, {"address": "2001:db8:30::5/64"}, {"address": "2001:db8:30::6/64"}]}`,
			},
			want: state + `no device has 10.20.30.5, 2001:db8:30::5, which prevResult gives to net1: packets for it would not be delivered`,
		},
	})
}

func TestModeFaults(t *testing.T) {
	runRefusals(t, []refusal{
		{
			name:       "a device that the pod does not have",
			pod:        second,
			attachment: attachment{conf: `"interfaces": {"tunl0": {"rpFilter": "off"}}`, prev: resultOf},
			faults:     []string{"interfaces.tunl0"},
			want:       "interfaces.tunl0: the pod has no such device; it has lo, eth0, net1",
		},
		{
			name:       "the NIC itself",
			pod:        second,
			attachment: attachment{conf: `"interfaces": {"net1": {"rpFilter": "off"}}`, prev: resultOf},
			faults:     []string{"interfaces.net1"},
			want:       "interfaces.net1: is a NIC of this attachment: use the key rpFilter beside type",
		},
		{
			name:       "another attachment wants another mode of the same device",
			pod:        second,
			earlier:    []attachment{{ifname: "eth0", conf: `"rpFilter": "strict"`, prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}},
			attachment: attachment{conf: `"interfaces": {"eth0": {"rpFilter": "off"}}`, prev: resultOf},
			faults:     []string{"interfaces.eth0.rpFilter"},
			want: `interfaces.eth0.rpFilter: eth0 is to be off (0), but the attachment eth0 of network "data" set it to strict (1): ` +
				`let both say the same, or one of them "keep"`,
		},
		{
			name:       "another attachment wants another mode of this NIC",
			pod:        second,
			earlier:    []attachment{{ifname: "eth0", conf: `"interfaces": {"net1": {"rpFilter": "strict"}}`, prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}},
			attachment: attachment{prev: resultOf},
			faults:     []string{"rpFilter"},
			want: `rpFilter: net1 is to be loose (2), but the attachment eth0 of network "data" set it to strict (1): ` +
				`let both say the same, or one of them "keep"`,
		},
	})
}
