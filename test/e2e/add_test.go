package e2e

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestAddTwice repeats ADD, which changes nothing, unless there is something to
// repair.
func TestAddTwice(t *testing.T) {
	t.Parallel()
	for _, keys := range []netlab.Object{
		{"rpFilter": "strict"},
		{"rpFilter": "off", "mainDefault": "take", "arp": "isolate"},
		{"sources": []string{"203.0.113.200"}, "viaMain": []string{"10.96.0.0/12"}},
	} {
		t.Run(fmt.Sprint(keys), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
			before := b.pod.NS.Snapshot(t)
			a := b.attach(net1, keys)
			first := a.must(t, "ADD")
			added := b.pod.NS.Snapshot(t)
			second := a.must(t, "ADD")
			assertSame(t, "the second ADD changed the pod", added, b.pod.NS.Snapshot(t))
			if !bytes.Equal(first.Stdout, second.Stdout) {
				t.Errorf("results differ:\n%s\n%s", first.Stdout, second.Stdout)
			}
			a.must(t, "CHECK")
			a.must(t, "DEL")
			assertSame(t, "ADD, ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			assertNoFiles(t, b.dataDir)
		})
	}

	t.Run("repairs", func(t *testing.T) {
		t.Parallel()
		for name, damage := range map[string]func(t *testing.T, pod *netlab.NS){
			"a table emptied by link down and up": func(t *testing.T, pod *netlab.NS) { bounce(t, pod, "net1") },
			"a deleted rule": func(t *testing.T, pod *netlab.NS) {
				pod.IP(t, "rule", "del", "from", "203.0.113.144", "lookup", "7300", "protocol", "73")
			},
			"a deleted decision": func(t *testing.T, pod *netlab.NS) {
				pod.IP(t, "-6", "rule", "del", "from", "2001:db8:b::144", "goto", "40000", "protocol", "73")
			},
			"a deleted anchor": func(t *testing.T, pod *netlab.NS) {
				pod.IP(t, "rule", "del", "nop", "protocol", "73")
			},
			"a changed setting": func(t *testing.T, pod *netlab.NS) {
				pod.SetSysctl(t, "net/ipv4/conf/net1/rp_filter=0")
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, eth0, net1.withoutDefaults())
				a := b.attach(net1.withoutDefaults(), netlab.Object{"rpFilter": "strict"})
				a.must(t, "ADD")
				rules := slices.Sorted(slices.Values(ourRules(t, b.pod.NS, "-4")))
				four, six := table(t, b.pod.NS, "-4", "7300"), table(t, b.pod.NS, "-6", "7300")
				damage(t, b.pod.NS)
				assertCode(t, a.fails(t, "CHECK"), deviations...)
				a.must(t, "ADD")
				a.must(t, "CHECK")
				assertLines(t, "rules", rules, slices.Sorted(slices.Values(ourRules(t, b.pod.NS, "-4"))))
				assertLines(t, "IPv4 table", four, table(t, b.pod.NS, "-4", "7300"))
				assertLines(t, "IPv6 table", six, table(t, b.pod.NS, "-6", "7300"))
				a.must(t, "DEL")
				assertNothingOfOurs(t, b.pod.NS)
			})
		}
	})
}

// TestAddChanges repeats ADD with another configuration: the pod becomes what it becomes with
// that one alone, whichever was before, and DEL leaves nothing of either.
func TestAddChanges(t *testing.T) {
	t.Parallel()
	configurations := []netlab.Object{
		{},
		{"gateways": []string{"203.0.113.9", "fe80::9"}},
		{"mainDefault": "take", "rpFilter": "strict"},
		{"sources": []string{"203.0.113.200", "2001:db8:b::/64"}, "priority": 20000, "mainDefault": "keep", "rpFilter": "off", "noGateway": "main"},
		{
			"arp": "isolate", "viaMain": []string{"10.96.0.0/12"},
			"routes": []netlab.Object{{"dst": "10.0.0.0/8", "gw": "203.0.113.7", "mtu": 1400}},
		},
	}
	for i, first := range configurations {
		for j, second := range configurations {
			if i == j || !chosen(i+j, 1) {
				continue
			}
			t.Run(fmt.Sprintf("%v, then %v", first, second), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, eth0, net1)
				b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
				before := b.pod.NS.Snapshot(t)
				b.attach(net1, second).must(t, "ADD")
				want := b.pod.NS.Snapshot(t).Sorted()
				b.attach(net1, second).must(t, "DEL")

				b.attach(net1, first).must(t, "ADD")
				a := b.attach(net1, second)
				a.must(t, "ADD")
				assertSame(t, "ADD with a changed configuration does something else", want, b.pod.NS.Snapshot(t).Sorted())
				a.must(t, "CHECK")
				a.must(t, "DEL")
				assertSame(t, "the ADDs and DEL changed the pod", before, b.pod.NS.Snapshot(t))
				assertNoFiles(t, b.dataDir)
			})
		}
	}
}

// TestAddThatFails asks ADD to do what cannot be done: it says what is wrong,
// and leaves nothing behind.
func TestAddThatFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		keys  netlab.Object
		setup func(t *testing.T, b *bench)
		words []string
		codes []uint // empty: the configuration's, or the pod's state
	}{
		{
			name:  "gateway in no subnet",
			keys:  netlab.Object{"gateways": []string{"10.99.0.1"}},
			words: []string{"10.99.0.1"},
		},
		{
			name: "NIC down",
			setup: func(t *testing.T, b *bench) {
				b.pod.NS.IP(t, "link", "set", "net1", "down")
			},
			words: []string{"net1", "down"},
		},
		{
			name: "a source that is another NIC's address",
			setup: func(t *testing.T, b *bench) {
				b.pod.NS.IP(t, "addr", "add", "203.0.113.144/24", "dev", "eth0")
			},
			words: []string{"203.0.113.144", "eth0"},
		},
		{
			name: "a source that another attachment has configured",
			keys: netlab.Object{"sources": []string{"203.0.113.200"}},
			setup: func(t *testing.T, b *bench) {
				b.attach(eth0, netlab.Object{"sources": []string{"203.0.113.200"}, "mainDefault": "keep"}).must(t, "ADD")
			},
			words: []string{"203.0.113.200", "eth0"},
		},
		{
			name:  "a source that is the address of another attachment",
			keys:  netlab.Object{"sources": []string{"198.51.100.87"}},
			setup: func(t *testing.T, b *bench) { b.attach(eth0, netlab.Object{"mainDefault": "keep"}).must(t, "ADD") },
			words: []string{"198.51.100.87", "eth0"},
		},
		{
			// IPv6 takes no neighbour of one NIC for one of another (ip6_route_check_nh_onlink).
			name:  "a step refused by the kernel",
			keys:  netlab.Object{"rpFilter": "strict", "routes": []netlab.Object{{"dst": "2001:db8:f::/48", "gw": "2001:db8:a::1", "onlink": true}}},
			words: []string{"2001:db8:f::/48"},
			codes: []uint{codeRefused},
		},
		{
			name: "local is not consulted first",
			setup: func(t *testing.T, b *bench) {
				b.pod.NS.Batch(t,
					"rule add lookup local priority 32765",
					"rule del priority 0")
			},
			words: []string{"local"},
		},
		{
			name: "a rule of somebody else decides first",
			setup: func(t *testing.T, b *bench) {
				b.pod.NS.Batch(t, "rule add from 203.0.113.144 lookup main priority 100")
			},
			words: []string{"203.0.113.144", "100"},
			codes: deviations,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
			if test.setup != nil {
				test.setup(t, b)
			}
			remembered := files(t, b.dataDir)
			a := b.attach(net1, test.keys)
			if test.codes == nil {
				test.codes = []uint{codeConfiguration, codeState}
			}
			assertCode(t, a.fails(t, "ADD", test.words...), test.codes...)
			assertLines(t, "remembered files", remembered, files(t, b.dataDir))
			before := b.pod.NS.Snapshot(t)
			a.must(t, "DEL")
			assertSame(t, "DEL after the ADD that failed changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}

	t.Run("an address on two NICs of one prevResult", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		a := b.attach(net1, nil)
		a.prev = netlab.Object{
			"cniVersion": cniVersion,
			"interfaces": []netlab.Object{{"name": "eth0", "sandbox": a.netns}, {"name": "net1", "sandbox": a.netns}},
			"ips": []netlab.Object{
				{"interface": 0, "address": "203.0.113.144/24"},
				{"interface": 1, "address": "203.0.113.144/24"},
			},
		}
		a.fails(t, "ADD", "ips[1]")
	})
	t.Run("without verify a rule of somebody else is none of ADD's business", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		b.pod.NS.Batch(t, "rule add from 203.0.113.144 lookup main priority 100")
		a := b.attach(net1, netlab.Object{"verify": false})
		a.must(t, "ADD")
		assertCode(t, a.fails(t, "CHECK", "203.0.113.144"), deviations...)
	})
}

// TestRequireGateway fails ADD where a source has no gateway.
func TestRequireGateway(t *testing.T) {
	t.Parallel()
	four := nic{name: "net1", addresses: net1.addresses, gateways: []string{"203.0.113.1", ""}}
	for _, test := range []struct {
		name string
		nic  nic
		word string // names the source without a gateway; empty: none
	}{
		{"both families have one", net1.withoutDefaults(), ""},
		{"IPv6 has none", four, "2001:db8:b::144"},
		{"none has one", net1.withoutGateways(), "203.0.113.144"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, test.nic)
			a := b.attach(test.nic, netlab.Object{"requireGateway": true})
			if test.word == "" {
				a.must(t, "ADD")
				return
			}
			a.fails(t, "ADD", test.word, "gateway")
			assertNoFiles(t, b.dataDir)
		})
	}
}
