package e2e

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestGatewayPrecedence asks where the default route of a source table comes
// from: the configuration, the address, the routes of prevResult, the kernel,
// in this order.
func TestGatewayPrecedence(t *testing.T) {
	t.Parallel()
	const (
		fromConf   = "198.51.100.11"
		fromIP     = "198.51.100.12"
		fromRoutes = "198.51.100.13"
		fromKernel = "198.51.100.14"
	)
	for _, test := range []struct {
		name                     string
		conf, ip, routes, kernel bool
		want                     string
	}{
		{"all four", true, true, true, true, fromConf},
		{"all but the configuration", false, true, true, true, fromIP},
		{"routes and kernel", false, false, true, true, fromRoutes},
		{"routes", false, false, true, false, fromRoutes},
		{"kernel", false, false, false, true, fromKernel},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := nic{name: "eth0", addresses: []string{"198.51.100.87/24"}, gateways: []string{""}}
			var keys netlab.Object
			if test.conf {
				keys = netlab.Object{"gateways": []string{fromConf}}
			}
			if test.ip {
				n.gateways[0] = fromIP
			}
			b := newBench(t, n)
			a := b.attach(n, keys)
			if test.routes {
				prev := b.result(n)
				prev["routes"] = []netlab.Object{{"dst": "0.0.0.0/0", "gw": fromRoutes}}
				a.prev = prev
			}
			if test.kernel {
				b.pod.NS.IP(t, "route", "add", "default", "via", fromKernel, "dev", "eth0")
			}
			a.must(t, "ADD")
			assertRoute(t, b.pod.NS, "eth0", netip.MustParseAddr(test.want), client4, "from", "198.51.100.87")
		})
	}

	t.Run("each gateway of the configuration serves its own subnet", func(t *testing.T) {
		t.Parallel()
		n := nic{
			name:      "eth0",
			addresses: []string{"198.51.100.87/24", "203.0.113.144/24"},
			gateways:  []string{"198.51.100.1", "203.0.113.1"},
		}
		b := newBench(t, n)
		b.attach(n, netlab.Object{"gateways": []string{"203.0.113.11", "198.51.100.11"}}).must(t, "ADD")
		assertRoute(t, b.pod.NS, "eth0", netip.MustParseAddr("198.51.100.11"), client4, "from", "198.51.100.87")
		assertRoute(t, b.pod.NS, "eth0", netip.MustParseAddr("203.0.113.11"), client4, "from", "203.0.113.144")
	})
}

// TestRoutesOfTheTable asks what a source table takes over from prevResult and
// from main, and what it does not.
func TestRoutesOfTheTable(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	pod := b.pod.NS
	pod.Batch(t,
		"route add 10.1.0.0/16 via 203.0.113.2 dev net1 metric 5 mtu 1400",
		"route add 10.2.0.0/16 via 203.0.113.2 dev net1 proto ra",
		"route add 10.3.0.0/16 via 198.51.100.2 dev eth0",
		"route add 10.5.0.0/16 via 203.0.113.2 dev net1 table 555",
		"-6 route add 2001:db8:1::/48 via fe80::2 dev net1 metric 5")
	a := b.attach(net1, nil)
	prev := b.result(net1)
	prev["routes"] = []netlab.Object{
		{"dst": "0.0.0.0/0"},
		{"dst": "10.4.0.0/16", "gw": "203.0.113.3", "mtu": 1300, "advmss": 1200, "priority": 9},
		{"dst": "10.5.0.0/16", "gw": "203.0.113.2", "table": 555},
	}
	a.prev = prev
	a.must(t, "ADD")
	assertLines(t, "IPv4 table of net1", []string{
		"10.1.0.0/16 via 203.0.113.2 dev net1 metric 5 mtu 1400",
		"10.4.0.0/16 via 203.0.113.3 dev net1 metric 9 mtu 1300 advmss 1200",
		"203.0.113.0/24 dev net1 scope link src 203.0.113.144",
		"default via 203.0.113.1 dev net1",
	}, table(t, pod, "-4", "7300"))
	if got := strings.Join(table(t, pod, "-6", "7300"), "\n"); !strings.Contains(got, "2001:db8:1::/48 via fe80::2 dev net1 metric 5") {
		t.Errorf("the IPv6 table of net1 lacks the NIC's route of main:\n%s", got)
	}
}

// TestTableNumbers asks which table a NIC gets: none that anybody else uses.
func TestTableNumbers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, foreign, want string
	}{
		{"a free one", "", "7300"},
		{"a route uses 7300", "route add 10.0.0.0/8 via 198.51.100.1 table 7300", "7301"},
		{"an IPv6 route uses 7300", "-6 route add 2001:db8:1::/48 via 2001:db8:a::1 table 7300", "7301"},
		{"a rule uses 7300", "rule add fwmark 7 lookup 7300", "7301"},
		{"an IPv6 rule uses 7300", "-6 rule add fwmark 7 lookup 7300", "7301"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0)
			if test.foreign != "" {
				b.pod.NS.Batch(t, test.foreign)
			}
			before := b.pod.NS.Snapshot(t)
			a := b.attach(eth0, nil)
			a.must(t, "ADD")
			want := "40012: from 198.51.100.87 lookup " + test.want
			if got := ourRules(t, b.pod.NS, "-4"); !slices.Contains(got, want) {
				t.Errorf("rules %q, want %q among them", got, want)
			}
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}

	t.Run("a second NIC gets the next one", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		b.attach(eth0, nil).must(t, "ADD")
		b.attach(net1, nil).must(t, "ADD")
		assertRules(t, b.pod.NS, "-4", slices.Concat(
			rulesOf("eth0", "7300", "198.51.100.87"),
			slices.DeleteFunc(rulesOf("net1", "7301", "203.0.113.144"), func(rule string) bool { return strings.Contains(rule, "nop") }),
			[]string{"49999: from all lookup 7301"}, // for what finds no default of eth0's
		))
	})
}

// TestConfiguredSources asks for the addresses that are not the NIC's own (yet).
func TestConfiguredSources(t *testing.T) {
	t.Parallel()
	s := newSite(t, providerA, providerB)
	pod := netlab.NewPod(t)
	s.runtime.MustAdd(t, s.chained(providerA, nil), pod, "eth0")
	list := s.chained(providerB, netlab.Object{"sources": []string{"203.0.113.200", "2001:db8:b::/64"}})
	s.runtime.MustAdd(t, list, pod, "net1")
	s.runtime.MustCheck(t, list, pod, "net1")

	t.Run("an address that comes later", func(t *testing.T) {
		vip := netip.MustParseAddr("203.0.113.200")
		pod.NS.IP(t, "addr", "add", vip.String()+"/32", "dev", "net1")
		s.runtime.MustCheck(t, list, pod, "net1")
		moved := providerB
		moved.pod4 = vip
		s.assertOnlyThrough(t, moved, netlab.Client{NS: s.client, Source: client4}, pod)
	})
	t.Run("an autoconfigured address of the prefix", func(t *testing.T) {
		auto := netip.MustParseAddr("2001:db8:b::aaaa")
		pod.NS.IP(t, "addr", "add", auto.String()+"/64", "dev", "net1", "nodad")
		netlab.Eventually(t, "packets for the address are taken", func() bool { // a worker sees to that, addrconf_dad_work
			return strings.Contains(pod.NS.IP(t, "-6", "route", "get", auto.String()), "local")
		})
		s.runtime.MustCheck(t, list, pod, "net1")
		moved := providerB
		moved.pod6 = auto
		s.assertOnlyThrough(t, moved, netlab.Client{NS: s.client, Source: client6}, pod)
	})
}

// TestTentativeAddress lets ADD come while duplicate address detection still
// runs: a tentative address cannot be asked about, and needs to be no obstacle.
func TestTentativeAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	pod := b.pod.NS
	pod.SetSysctl(t, "net/ipv6/conf/eth0/accept_dad=1", "net/ipv6/conf/eth0/dad_transmits=60")
	pod.IP(t, "addr", "flush", "dev", "eth0", "to", "2001:db8::/32")
	pod.IP(t, "addr", "add", "2001:db8:a::87/64", "dev", "eth0")
	if state := pod.IP(t, "-6", "addr", "show", "dev", "eth0"); !strings.Contains(state, "tentative") {
		t.Fatalf("the address is not tentative:\n%s", state)
	}
	a := b.attach(eth0, nil)
	a.must(t, "ADD")
	a.must(t, "CHECK")
	if state := pod.IP(t, "-6", "addr", "show", "dev", "eth0"); !strings.Contains(state, "tentative") {
		t.Errorf("the address ceased to be tentative: this test showed nothing:\n%s", state)
	}
	assertRules(t, pod, "-6", rulesOf("eth0", "7300", "2001:db8:a::87"))
}

// TestIPv6Disabled gives a NIC without IPv6 no IPv6 part.
func TestIPv6Disabled(t *testing.T) {
	t.Parallel()
	four := nic{name: "eth0", addresses: []string{"198.51.100.87/24"}, gateways: []string{"198.51.100.1"}}
	b := newBench(t, four)
	b.pod.NS.SetSysctl(t, "net/ipv6/conf/eth0/disable_ipv6=1")
	before := b.pod.NS.Snapshot(t)
	a := b.attach(four, nil)
	a.must(t, "ADD")
	a.must(t, "CHECK")
	assertLines(t, "IPv6 rules", nil, ourRules(t, b.pod.NS, "-6"))
	assertLines(t, "IPv6 table", nil, table(t, b.pod.NS, "-6", "7300"))
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
}
