package e2e

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestRulesAndTables holds what ADD puts into the kernel for one NIC to the
// design, line by line.
func TestRulesAndTables(t *testing.T) {
	t.Parallel()
	// What eth0 has as soon as it has both families and both gateways.
	var (
		rules4 = []string{
			"32765: from 198.51.100.87 goto 40000",
			"32765: from all oif eth0 goto 40000",
			"40000: from all nop",
			"40012: from 198.51.100.87 lookup 7300",
			"40015: from 198.51.100.87 unreachable",
			"49000: from all oif eth0 lookup 7300",
			"49002: from all oif eth0 lookup main",
		}
		rules6 = []string{
			"32765: from 2001:db8:a::87 goto 40000",
			"32765: from all oif eth0 goto 40000",
			"40000: from all nop",
			"40012: from 2001:db8:a::87 lookup 7300",
			"40015: from 2001:db8:a::87 unreachable",
			"49000: from all oif eth0 lookup 7300",
			"49002: from all oif eth0 lookup main",
		}
		table4 = []string{
			"198.51.100.0/24 dev eth0 scope link src 198.51.100.87",
			"default via 198.51.100.1 dev eth0",
		}
		table6 = []string{
			"2001:db8:a::/64 dev eth0",
			"default via 2001:db8:a::1 dev eth0",
			"fe80::/64 dev eth0",
		}
	)
	for _, test := range []struct {
		name string
		nic  nic
		keys netlab.Object
		// Expected rules, and the tables by number.
		rules4, rules6   []string
		tables4, tables6 map[string][]string
	}{
		{
			name:    "dual stack",
			nic:     eth0,
			rules4:  rules4,
			rules6:  rules6,
			tables4: map[string][]string{"7300": table4},
			tables6: map[string][]string{"7300": table6},
		},
		{
			name:    "gateway in ips only",
			nic:     eth0.withoutDefaults(),
			rules4:  rules4,
			rules6:  rules6,
			tables4: map[string][]string{"7300": table4},
			tables6: map[string][]string{"7300": table6},
		},
		{
			name:    "gateway in the configuration only",
			nic:     eth0.withoutGateways(),
			keys:    netlab.Object{"gateways": []string{"198.51.100.1", "2001:db8:a::1"}},
			rules4:  rules4,
			rules6:  rules6,
			tables4: map[string][]string{"7300": table4},
			tables6: map[string][]string{"7300": table6},
		},
		{
			name:   "gateway of the configuration wins",
			nic:    eth0.withoutDefaults(),
			keys:   netlab.Object{"gateways": []string{"198.51.100.254", "fe80::1"}},
			rules4: rules4,
			rules6: rules6,
			tables4: map[string][]string{"7300": {
				"198.51.100.0/24 dev eth0 scope link src 198.51.100.87",
				"default via 198.51.100.254 dev eth0",
			}},
			tables6: map[string][]string{"7300": {
				"2001:db8:a::/64 dev eth0",
				"default via fe80::1 dev eth0",
				"fe80::/64 dev eth0",
			}},
		},
		{
			name:    "no gateway",
			nic:     eth0.withoutGateways(),
			rules4:  rules4,
			rules6:  rules6,
			tables4: map[string][]string{"7300": {"198.51.100.0/24 dev eth0 scope link src 198.51.100.87"}},
			tables6: map[string][]string{"7300": {"2001:db8:a::/64 dev eth0", "fe80::/64 dev eth0"}},
		},
		{
			name:    "IPv4 only",
			nic:     nic{name: "eth0", addresses: []string{"198.51.100.87/24"}, gateways: []string{"198.51.100.1"}},
			rules4:  rules4,
			tables4: map[string][]string{"7300": table4},
		},
		{
			name:    "IPv6 only",
			nic:     nic{name: "eth0", addresses: []string{"2001:db8:a::87/64"}, gateways: []string{"2001:db8:a::1"}},
			rules6:  rules6,
			tables6: map[string][]string{"7300": table6},
		},
		{
			name: "two gateways, two tables",
			nic: nic{
				name:      "eth0",
				addresses: []string{"198.51.100.87/24", "203.0.113.144/24"},
				gateways:  []string{"198.51.100.1", "203.0.113.1"},
			},
			rules4: append(rulesOf("eth0", "7300", "198.51.100.87"),
				"32765: from 203.0.113.144 goto 40000",
				"40012: from 203.0.113.144 lookup 7301",
				"40015: from 203.0.113.144 unreachable",
				"49000: from all oif eth0 lookup 7301",
			),
			tables4: nil, // which connected prefixes each holds is the planner's business
		},
		{
			name: "two addresses, one gateway",
			nic: nic{
				name:      "eth0",
				addresses: []string{"198.51.100.87/24", "198.51.100.88/24"},
				gateways:  []string{"198.51.100.1", "198.51.100.1"},
			},
			rules4: rulesOf("eth0", "7300", "198.51.100.87", "198.51.100.88"),
		},
		{
			name: "gateway outside a /32",
			nic: nic{
				name:      "eth0",
				addresses: []string{"198.51.100.87/32"},
				gateways:  []string{"169.254.1.1"},
			},
			rules4:  rules4,
			tables4: map[string][]string{"7300": {"169.254.1.1 dev eth0 scope link", "default via 169.254.1.1 dev eth0"}},
		},
		{
			name:   "viaMain",
			nic:    eth0,
			keys:   netlab.Object{"viaMain": []string{"10.96.0.0/12", "fd00:10:96::/108"}},
			rules4: slices.Concat(rules4, []string{"40011: from 198.51.100.87 to 10.96.0.0/12 lookup main"}),
			rules6: slices.Concat(rules6, []string{"40011: from 2001:db8:a::87 to fd00:10:96::/108 lookup main"}),
		},
		{
			name:   "noGateway main",
			nic:    eth0,
			keys:   netlab.Object{"noGateway": "main"},
			rules4: replaced(rules4, "unreachable", "lookup main"),
			rules6: replaced(rules6, "unreachable", "lookup main"),
		},
		{
			name:   "priority",
			nic:    eth0,
			keys:   netlab.Object{"priority": 1000},
			rules4: replaced(rules4, "32765:", "1000:"),
			rules6: replaced(rules6, "32765:", "1000:"),
		},
		{
			name:    "table",
			nic:     eth0,
			keys:    netlab.Object{"table": 500},
			rules4:  replaced(rules4, "7300", "500"),
			rules6:  replaced(rules6, "7300", "500"),
			tables4: map[string][]string{"500": table4},
			tables6: map[string][]string{"500": table6},
		},
		{
			name:   "sources",
			nic:    eth0,
			keys:   netlab.Object{"sources": []string{"203.0.113.200", "2001:db8:a::/64"}},
			rules4: rulesOf("eth0", "7300", "198.51.100.87", "203.0.113.200"),
			rules6: slices.Concat(rules6, []string{
				"32765: from 2001:db8:a::/64 goto 40000",
				"40652: from 2001:db8:a::/64 lookup 7300",
				"40655: from 2001:db8:a::/64 unreachable",
			}),
		},
		{
			name: "routes",
			nic:  eth0,
			keys: netlab.Object{"routes": []netlab.Object{
				{"dst": "10.0.0.0/8", "gw": "198.51.100.2", "metric": 77, "mtu": 1400, "advmss": 1300},
				{"dst": "172.16.0.0/12", "gw": "172.31.0.1", "onlink": true},
				{"dst": "192.168.0.0/16"},
				{"dst": "2001:db8:f::/48", "gw": "fe80::2"},
			}},
			tables4: map[string][]string{"7300": {
				"10.0.0.0/8 via 198.51.100.2 dev eth0 metric 77 mtu 1400 advmss 1300",
				"172.16.0.0/12 via 172.31.0.1 dev eth0 onlink",
				"172.31.0.1 dev eth0 scope link",
				"192.168.0.0/16 dev eth0 scope link",
				table4[0],
				table4[1],
			}},
			tables6: map[string][]string{"7300": {
				table6[0],
				"2001:db8:f::/48 via fe80::2 dev eth0",
				table6[1],
				table6[2],
			}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.nic)
			before := b.pod.NS.Snapshot(t)
			a := b.attach(test.nic, test.keys)
			a.must(t, "ADD")
			pod := b.pod.NS
			if test.rules4 != nil || test.rules6 != nil {
				assertRules(t, pod, "-4", test.rules4)
				assertRules(t, pod, "-6", test.rules6)
			}
			for number, want := range test.tables4 {
				assertLines(t, "IPv4 table "+number, want, table(t, pod, "-4", number))
			}
			for number, want := range test.tables6 {
				assertLines(t, "IPv6 table "+number, want, table(t, pod, "-6", number))
			}
			a.must(t, "CHECK")
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, pod.Snapshot(t))
		})
	}
}

// replaced is the same lines with another text in them.
func replaced(lines []string, old, text string) []string {
	var out []string
	for _, line := range lines {
		out = append(out, strings.ReplaceAll(line, old, text))
	}
	return out
}

// TestRulesOfAPod is the whole policy of a pod whose first NIC knows nothing of symroute and
// whose second one has it: what is refused, and what serves when main has no default.
func TestRulesOfAPod(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	b.attach(net1, nil).must(t, "ADD")
	for family, pods := range map[string][2]string{
		"-4": {"198.51.100.87", "203.0.113.144"},
		"-6": {"2001:db8:a::87", "2001:db8:b::144"},
	} {
		assertLines(t, "rules", []string{
			"32765: from " + pods[1] + " goto 40000",
			"32765: from all oif net1 goto 40000",
			"40000: from all nop",
			"40012: from " + pods[1] + " lookup 7300",
			"40015: from " + pods[1] + " unreachable",
			"49000: from all oif net1 lookup 7300",
			"49002: from all oif net1 lookup main",
			"49998: from " + pods[0] + " unreachable",
			"49999: from all lookup 7300",
		}, ourRules(t, b.pod.NS, family))
	}
}

// TestBoundSockets asks where sockets go that are bound to a device: by its table, and what
// that does not have by main, such as the default that a router advertises later. From the
// address of another NIC nothing leaves by its gateway.
func TestBoundSockets(t *testing.T) {
	t.Parallel()
	n := net1.withoutGateways()
	b := newBench(t, eth0, n)
	b.attach(eth0, nil).must(t, "ADD")
	a := b.attach(n, nil)
	a.must(t, "ADD")
	pod := b.pod.NS
	pod.Batch(t,
		"route add 10.5.0.0/16 via 203.0.113.9 dev net1",
		"-6 route add default via fe80::1 dev net1 proto ra metric 2048")
	there := netip.MustParseAddr("10.5.0.1")
	assertRoute(t, pod, "net1", netip.MustParseAddr("203.0.113.9"), there, "oif", "net1")
	assertRoute(t, pod, "net1", netip.MustParseAddr("fe80::1"), client6, "oif", "net1")
	for _, to := range clients {
		assertRoute(t, pod, "eth0", providerA.gateway(to), to, "oif", "eth0")
	}
	sender := netlab.Client{NS: pod, Network: "udp", Source: providerA.pod6, Device: "net1"}
	if _, err := sender.Talk(netip.AddrPortFrom(client6, 9)); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("from %v, bound to net1, to %v: %v, want %v", providerA.pod6, client6, err, syscall.ENETUNREACH)
	}
	// IPv4 believes that what a socket bound to a device has no route for is on the link.
	got := pod.IP(t, "route", "get", client4.String(), "from", providerA.pod4.String(), "oif", "net1")
	if strings.Contains(got, "via") {
		t.Errorf("from %v, bound to net1:\n%s", providerA.pod4, got)
	}
	assertCode(t, a.fails(t, "CHECK", "default via fe80::1"), codeMissing) // which sources do not have
	a.must(t, "ADD")
	a.must(t, "CHECK")
}
