package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestHostileInput feeds the executable what no runtime should: it answers with
// a CNI error, and touches nothing.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	t.Run("host netns", testHostNetns)
	t.Run("path tricks", testPathTricks)
	t.Run("no JSON", testNoJSON)
	t.Run("a megabyte of JSON", testMegabyte)
	t.Run("prevResult", testHostilePrevResult)
	t.Run("addresses in the configuration", testHostileAddresses)
}

// testHostNetns names the namespace that the plugin itself runs in, by whatever
// path: nothing may happen to it.
func testHostNetns(t *testing.T) {
	t.Parallel()
	for _, override := range []string{"", "1", "true"} {
		for _, command := range []string{"ADD", "CHECK", "DEL"} {
			for _, path := range []string{"its path", "an alias", "/proc/self/ns/net"} {
				t.Run(fmt.Sprintf("%s by %s, CNI_NETNS_OVERRIDE=%s", command, path, override), func(t *testing.T) {
					t.Parallel()
					b := newBench(t)
					// The NIC is there, on the node: only the guard
					// keeps ADD from working on it.
					netlab.Cable(t,
						netlab.Port{NS: b.wire, Link: "eth0"},
						netlab.Port{NS: b.node, Link: "eth0", Addresses: eth0.addresses})
					a := b.attach(eth0, netlab.Object{"rpFilter": "strict"})
					a.netns = map[string]string{
						"its path":          b.node.Path,
						"an alias":          b.node.Alias(t),
						"/proc/self/ns/net": "/proc/self/ns/net",
					}[path]
					prev := b.result(eth0)
					prev["interfaces"] = []netlab.Object{{"name": "eth0", "sandbox": a.netns}}
					a.prev = prev
					if override != "" {
						a.env = []string{"CNI_NETNS_OVERRIDE=" + override}
					}
					assertCode(t, a.fails(t, command), codeHostNetns)
					assertNoFiles(t, b.dataDir)
				})
			}
		}
	}
}

// testPathTricks uses names that lead somewhere else when they end up in a path.
func testPathTricks(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	good := b.attach(eth0, nil)
	tricks := []string{"../../etc/passwd", "..", ".", "/etc/passwd", "a/b", " "}
	for _, command := range []string{"ADD", "DEL"} {
		for _, trick := range tricks {
			byNIC := good
			byNIC.nic = trick
			assertCode(t, byNIC.fails(t, command), codeEnvironment)
		}
		for _, trick := range append(tricks, "a\x01b", "-rf") {
			byID, byName := good, good.with("name", trick)
			byID.containerID = trick
			assertCode(t, byID.fails(t, command), codeEnvironment)
			assertCode(t, byName.fails(t, command), codeConfiguration)
		}
	}
	// The name of a network may be of any length; that of a container has to fit
	// into a file's.
	network := good.with("name", strings.Repeat("n", 5000))
	network.must(t, "ADD")
	network.must(t, "CHECK")
	network.must(t, "DEL")
	long := good
	long.containerID = strings.Repeat("i", 5000)
	long.fails(t, "ADD")
	// As long as the file names of libcni's own cache can be.
	fits := good.with("name", strings.Repeat("n", 170))
	fits.containerID = strings.Repeat("i", 64)
	fits.must(t, "ADD")
	fits.must(t, "DEL")
	// Names that are allowed, and still no folder's business.
	for _, odd := range []string{"a..b", "a.b_c-d", "0"} {
		a := good.with("name", odd)
		a.containerID = odd
		a.must(t, "ADD")
		a.must(t, "CHECK")
		a.must(t, "DEL")
	}
	assertNoFiles(t, b.dataDir)
	assertNothingOfOurs(t, b.pod.NS)
}

// testNoJSON sends what is no configuration at all.
func testNoJSON(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, nil)
	before := b.pod.NS.Snapshot(t)
	for name, stdin := range map[string]string{
		"nothing":          "",
		"an open brace":    "{",
		"a number":         "7",
		"an array":         "[]",
		"null":             "null",
		"half a document":  string(a.stdin(t)[:100]),
		"two documents":    string(a.stdin(t)) + string(a.stdin(t)),
		"not UTF-8":        "{\"name\": \"\xff\xfe\", \"cniVersion\": \"1.1.0\"}",
		"a name of type 7": `{"cniVersion":"1.1.0","name":7,"type":"symroute"}`,
		"no name":          `{"cniVersion":"1.1.0","type":"symroute"}`,
		"prevResult of 7":  `{"cniVersion":"1.1.0","name":"n","type":"symroute","prevResult":7}`,
	} {
		for _, command := range []string{"ADD", "CHECK", "GC", "STATUS"} {
			if name == "prevResult of 7" && (command == "GC" || command == "STATUS") {
				continue // they have no prevResult
			}
			call := b.node.RunPlugin(t, a.environ(command), []byte(stdin))
			if call.Failed(t) == nil {
				t.Errorf("%s of %s succeeded\n%v", command, name, call)
			}
		}
	}
	assertSame(t, "hostile input changed the pod", before, b.pod.NS.Snapshot(t))
	assertNoFiles(t, b.dataDir)
}

// testMegabyte sends more than anybody configures by hand.
func testMegabyte(t *testing.T) {
	t.Parallel()
	const megabyte = 1 << 20
	b := newBench(t, eth0)
	a := b.attach(eth0, nil)
	var faults []string
	for i := range 30_000 {
		faults = append(faults, fmt.Sprintf("999.999.%d.%d/99", i/256, i%256))
	}
	for name, hostile := range map[string]attachment{
		"faulty sources":   a.with("sources", faults),
		"one long gateway": a.with("gateways", []string{strings.Repeat("1", megabyte)}),
		"one long mode":    a.with("rpFilter", strings.Repeat("x", megabyte)),
	} {
		t.Run(name, func(t *testing.T) {
			assertCode(t, hostile.fails(t, "ADD"), codeConfiguration)
		})
	}
	t.Run("deep nesting", func(t *testing.T) {
		before := b.pod.NS.Snapshot(t)
		deep := strings.Repeat(`{"a":`, megabyte/5)
		for _, stdin := range []string{
			deep,
			strings.TrimSuffix(string(a.stdin(t)), "}") + `,"x":` + deep,
			strings.TrimSuffix(string(a.stdin(t)), "}") + `,"x":` + strings.Repeat("[", megabyte/2) + strings.Repeat("]", megabyte/2) + "}",
		} {
			call := b.node.RunPlugin(t, a.environ("ADD"), []byte(stdin))
			failure := call.Failed(t)
			if failure == nil {
				t.Fatal("ADD succeeded")
			}
			assertCode(t, failure, codeDecoding)
		}
		assertSame(t, "ADD failed and changed the pod", before, b.pod.NS.Snapshot(t))
	})
	t.Run("a long key of somebody else", func(t *testing.T) {
		// Unknown keys are left alone, whatever their size.
		long := a.with("runtimeConfig", netlab.Object{"x": strings.Repeat("x", megabyte)})
		long.must(t, "ADD")
		long.must(t, "DEL")
	})
	assertNoFiles(t, b.dataDir)
	assertNothingOfOurs(t, b.pod.NS)
}

// testHostilePrevResult sends results that no plugin returns.
func testHostilePrevResult(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		ips   []netlab.Object
		more  netlab.Object // beside interfaces and ips
		words []string
	}{
		{
			name:  "an index out of range",
			ips:   []netlab.Object{{"interface": 1, "address": "198.51.100.87/24"}},
			words: []string{"prevResult.ips[0].interface"},
		},
		{
			name:  "a negative index",
			ips:   []netlab.Object{{"interface": -1, "address": "198.51.100.87/24"}},
			words: []string{"prevResult.ips[0].interface"},
		},
		{
			name:  "a huge index",
			ips:   []netlab.Object{{"interface": 1 << 40, "address": "198.51.100.87/24"}},
			words: []string{"prevResult.ips[0].interface"},
		},
		{
			name:  "an IPv4-mapped address",
			ips:   []netlab.Object{{"interface": 0, "address": "::ffff:198.51.100.87/120"}},
			words: []string{"prevResult.ips[0].address"},
		},
		{
			name:  "an IPv4-mapped gateway",
			ips:   []netlab.Object{{"interface": 0, "address": "2001:db8:a::87/64", "gateway": "::ffff:198.51.100.1"}},
			words: []string{"prevResult.ips[0].gateway"},
		},
		{
			name:  "a mask of 0",
			ips:   []netlab.Object{{"interface": 0, "address": "198.51.100.87/0"}},
			words: []string{"prevResult.ips[0].address"},
		},
		{
			name:  "an IPv6 mask of 0",
			ips:   []netlab.Object{{"interface": 0, "address": "2001:db8:a::87/0"}},
			words: []string{"prevResult.ips[0].address"},
		},
		{
			name:  "a mask beyond the family",
			ips:   []netlab.Object{{"interface": 0, "address": "198.51.100.87/33"}},
			words: []string{"prevResult.ips[0].address"},
		},
		{
			name: "duplicate addresses",
			ips: []netlab.Object{
				{"interface": 0, "address": "198.51.100.87/24"},
				{"interface": 0, "address": "198.51.100.87/24"},
			},
			words: []string{"prevResult.ips[1]"},
		},
		{
			name:  "no address",
			ips:   []netlab.Object{{"interface": 0}},
			words: []string{"prevResult.ips[0].address"},
		},
		{
			name:  "an address of words",
			ips:   []netlab.Object{{"interface": 0, "address": "localhost/8"}},
			words: []string{"prevResult.ips[0].address"},
		},
		{
			name:  "a gateway of the other family",
			ips:   []netlab.Object{{"interface": 0, "address": "2001:db8:a::87/64", "gateway": "198.51.100.1"}},
			words: []string{"prevResult.ips[0].gateway"},
		},
		{
			name:  "the unspecified address",
			ips:   []netlab.Object{{"interface": 0, "address": "0.0.0.0/24"}},
			words: []string{"prevResult.ips[0].address"},
		},
		{
			name:  "a multicast address",
			ips:   []netlab.Object{{"interface": 0, "address": "224.0.0.5/24"}},
			words: []string{"prevResult.ips[0].address"},
		},
		{
			name:  "a route to nowhere",
			ips:   []netlab.Object{{"interface": 0, "address": "198.51.100.87/24"}},
			more:  netlab.Object{"routes": []netlab.Object{{"dst": "everywhere"}}},
			words: []string{"prevResult.routes[0].dst"},
		},
		{
			name:  "ips that are no list",
			more:  netlab.Object{"ips": "198.51.100.87/24"},
			words: []string{"prevResult"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0)
			a := b.attach(eth0, nil)
			prev := netlab.Object{
				"cniVersion": cniVersion,
				"interfaces": []netlab.Object{{"name": "eth0", "sandbox": a.netns}},
				"ips":        test.ips,
			}
			for key, value := range test.more {
				prev[key] = value
			}
			a.prev = prev
			assertCode(t, a.fails(t, "ADD", test.words...), codeConfiguration, codeDecoding)
			a.fails(t, "CHECK")
			assertNoFiles(t, b.dataDir)
			before := b.pod.NS.Snapshot(t)
			a.must(t, "DEL") // which must never stop a chain
			assertSame(t, "DEL changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}
}

// testHostileAddresses sends addresses that are valid somewhere, but not here.
func testHostileAddresses(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	for _, test := range []struct {
		key     string
		value   any
		located string // how the error names the place
	}{
		{"gateways", []string{"::ffff:198.51.100.1"}, "gateways[0]"},
		{"gateways", []string{"0.0.0.0"}, "gateways[0]"},
		{"gateways", []string{"127.0.0.1"}, "gateways[0]"},
		{"gateways", []string{"224.0.0.1"}, "gateways[0]"},
		{"gateways", []string{"198.51.100.1/24"}, "gateways[0]"},
		{"gateways", []string{"fe80::1%eth0"}, "gateways[0]"},
		{"sources", []string{"0.0.0.0/0"}, "sources[0]"},
		{"sources", []string{"::/0"}, "sources[0]"},
		{"sources", []string{"::ffff:203.0.113.200"}, "sources[0]"},
		{"sources", []string{"203.0.113.200", "203.0.113.200"}, "sources[1]"},
		{"sources", []string{"127.0.0.0/8"}, "sources[0]"},
		{"sources", []string{"224.0.0.0/4"}, "sources[0]"},
		{"sources", []any{nil}, "sources[0]"},
		{"viaMain", []string{"10.96.0.0/33"}, "viaMain[0]"},
		{"routes", []netlab.Object{{"gw": "198.51.100.1"}}, "routes[0]"},
		{"routes", []netlab.Object{{"dst": "2001:db8:f::/48", "gw": "198.51.100.1"}}, "routes[0].gw"},
		{"gateways", []any{netlab.Object{"gw": "198.51.100.87"}}, "gateways[0]"},
		{"gateways", []any{netlab.Object{"gw": nil}}, "gateways[0].gw"},
		{"gateways", []any{netlab.Object{"gw": "198.51.100.1", "onlink": "yes"}}, "gateways[0].onlink"},
		{"gateways", []any{[]string{"198.51.100.1"}}, "gateways[0]"},
		{"routes", []netlab.Object{{"dst": "10.0.0.0/8", "metric": -1}}, "routes[0].metric"},
		{"checkDestinations", []string{"10.0.0.0/8"}, "checkDestinations[0]"},
		{"table", 0x1_0000_0000, "table"},
		{"table", 254, "table"},
		{"priority", 3, "priority"},
		{"priority", 32766, "priority"},
		{"dataDir", "relative/path", "dataDir"},
		{"dataDir", 7, "dataDir"},
		{"interfaces", netlab.Object{"../x": netlab.Object{"rpFilter": "off"}}, "interfaces"},
	} {
		a := b.attach(eth0, nil).with(test.key, test.value)
		assertCode(t, a.fails(t, "ADD", test.located), codeConfiguration, codeDecoding)
	}
	assertNoFiles(t, b.dataDir)
}
