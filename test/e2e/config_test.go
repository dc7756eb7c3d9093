package e2e

import (
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestEveryFaultAtOnce makes several mistakes, and wants to hear of all.
func TestEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, netlab.Object{
		"rpFilter":          "stric",
		"interfaces":        netlab.Object{"tunl0": netlab.Object{"rpFilter": 3}},
		"gateways":          []string{"198.51.100.1", "nowhere"},
		"noGateway":         "leak",
		"sources":           []string{"203.0.113.300"},
		"routes":            []netlab.Object{{"dst": "10.0.0.0/8", "gw": "gw"}, {"dst": "10.0.0.0/8", "mtu": -1}},
		"viaMain":           []string{"10.96.0.0/12", "cluster"},
		"mainDefault":       "give",
		"table":             "seven",
		"priority":          1,
		"arp":               "silent",
		"checkDestinations": []string{"example.org"},
		"requireGateway":    "yes",
		"verify":            "no",
	})
	failure := a.fails(t, "ADD",
		"rpFilter", "interfaces.tunl0.rpFilter", "gateways[1]", "noGateway", "sources[0]",
		"routes[0].gw", "routes[1].mtu", "viaMain[1]", "mainDefault", "table", "priority", "arp",
		"checkDestinations[0]", "requireGateway", "verify",
		"strict", "isolate", "yield", "refuse") // what would be right
	assertCode(t, failure, codeConfiguration)
	assertNoFiles(t, b.dataDir)
}

// TestNearMisses spells keys the way other plugins do, or with a typo: the
// error names ours.
func TestNearMisses(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	for miss, ours := range map[string]string{
		"rp_filter":    "rpFilter",
		"rpfilter":     "rpFilter",
		"gateway":      "gateways",
		"rulePriority": "priority",
		"tables":       "table",
		"vip":          "sources",
	} {
		failure := b.attach(eth0, netlab.Object{miss: "x"}).fails(t, "ADD", miss+": ", ours)
		assertCode(t, failure, codeConfiguration)
	}
}

// TestUnknownKeysOfOurs refuses what our own objects do not have.
func TestUnknownKeysOfOurs(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	for _, test := range []struct {
		key     string
		value   any
		located string
	}{
		{"routes", []netlab.Object{{"dst": "10.0.0.0/8", "gateway": "198.51.100.1"}}, "routes[0].gateway"},
		{"interfaces", netlab.Object{"tunl0": netlab.Object{"rp_filter": 1}}, "interfaces.tunl0.rp_filter"},
	} {
		failure := b.attach(eth0, netlab.Object{test.key: test.value}).fails(t, "ADD", test.located)
		assertCode(t, failure, codeConfiguration)
	}
}

// TestContradictions refuses keys that cannot go together.
func TestContradictions(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	for name, test := range map[string]struct {
		keys  netlab.Object
		words []string
	}{
		"viaMain is asymmetric on purpose": {
			netlab.Object{"rpFilter": "strict", "viaMain": []string{"10.96.0.0/12"}},
			[]string{"viaMain", "strict"},
		},
		"and so it is with 1 for strict": {
			netlab.Object{"rpFilter": 1, "viaMain": []string{"10.96.0.0/12"}},
			[]string{"viaMain", "strict"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assertCode(t, b.attach(eth0, test.keys).fails(t, "ADD", test.words...), codeConfiguration)
		})
	}
}

// TestRPFilterNumbers takes the kernel's numbers for the modes.
func TestRPFilterNumbers(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	for _, test := range []struct {
		value any
		want  string
	}{
		{0, "0"}, {1, "1"}, {2, "2"}, {"off", "0"}, {"strict", "1"}, {"loose", "2"},
	} {
		a := b.attach(eth0, netlab.Object{"rpFilter": test.value})
		a.must(t, "ADD")
		assertEffective(t, b.pod.NS, "eth0", test.want)
		a.must(t, "DEL")
	}
}

// TestNothingButType is the configuration of a Multus attachment: the plugin,
// and what the runtime adds.
func TestNothingButType(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	a := b.attach(net1, nil).with("deviceID", "0000:00:02.0")
	a.must(t, "ADD")
	assertEffective(t, b.pod.NS, "net1", "2")
	assertRoute(t, b.pod.NS, "net1", providerB.gateway4(), client4, "from", providerB.pod4.String())
	assertRoute(t, b.pod.NS, "net1", providerB.gateway6(), client6, "from", providerB.pod6.String())
	assertRoute(t, b.pod.NS, "eth0", providerA.gateway4(), client4)
	assertRoute(t, b.pod.NS, "eth0", providerA.gateway6(), client6)
	a.must(t, "CHECK")
}
