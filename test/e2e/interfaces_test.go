package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/test/netlab"
)

// TestWhichNICs asks which interfaces of prevResult an attachment takes care of.
func TestWhichNICs(t *testing.T) {
	t.Parallel()
	// both is a prevResult of two NICs, the second with a sandbox of the
	// test's choice.
	both := func(b *bench, sandbox string) netlab.Object {
		return netlab.Object{
			"cniVersion": cniVersion,
			"interfaces": []netlab.Object{
				{"name": "br0"},
				{"name": "eth0", "sandbox": b.pod.NS.Path},
				{"name": "net1", "sandbox": sandbox},
			},
			"ips": []netlab.Object{
				{"interface": 1, "address": "198.51.100.87/24", "gateway": "198.51.100.1"},
				{"interface": 2, "address": "203.0.113.144/24", "gateway": "203.0.113.1"},
			},
		}
	}
	const ruleOfNet1 = "40012: from 203.0.113.144 lookup 7301"
	for _, test := range []struct {
		name    string
		sandbox func(t *testing.T, b *bench) string
		want    bool
	}{
		{"same path", func(_ *testing.T, b *bench) string { return b.pod.NS.Path }, true},
		{"same namespace by another path", func(t *testing.T, b *bench) string { return b.pod.NS.Alias(t) }, true},
		{"a path that is gone, a NIC that is there", func(*testing.T, *bench) string { return "/run/netns/gone" }, true},
		{"the node's namespace", func(_ *testing.T, b *bench) string { return b.node.Path }, false},
		{"an interface of the node", func(*testing.T, *bench) string { return "" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0.withoutDefaults(), net1.withoutDefaults())
			before := b.pod.NS.Snapshot(t)
			a := b.attach(eth0, nil)
			a.prev = both(b, test.sandbox(t, b))
			a.must(t, "ADD")
			rules := strings.Join(ourRules(t, b.pod.NS, "-4"), "\n")
			if got := strings.Contains(rules, ruleOfNet1); got != test.want {
				t.Errorf("net1 taken care of: %t, want %t; rules:\n%s", got, test.want, rules)
			}
			a.must(t, "CHECK")
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			assertNoFiles(t, b.dataDir)
		})
	}

	t.Run("a path that is gone, a NIC that is not there", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0)
		a := b.attach(eth0, nil)
		a.prev = both(b, "/run/netns/gone")
		a.must(t, "ADD")
		if rules := strings.Join(ourRules(t, b.pod.NS, "-4"), "\n"); strings.Contains(rules, "203.0.113.144") {
			t.Errorf("rules for a NIC that the pod does not have:\n%s", rules)
		}
	})
	t.Run("ips without an interface index", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0)
		a := b.attach(eth0, nil)
		a.prev = netlab.Object{
			"cniVersion": cniVersion,
			"ips":        []netlab.Object{{"address": "198.51.100.87/24", "gateway": "198.51.100.1"}},
		}
		a.must(t, "ADD")
		assertRules(t, b.pod.NS, "-4", rulesOf("eth0", "7300", "198.51.100.87"))
	})
}

// TestNoNetdev attaches what has no device in the pod, such as a VF that is
// bound to vfio for DPDK.
func TestNoNetdev(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	vf := net1
	before := b.pod.NS.Snapshot(t)
	a := b.attach(vf, nil)
	call := a.must(t, "ADD")
	assertPassedOn(t, a.prev, call)
	assertSame(t, "ADD changed the pod", before, b.pod.NS.Snapshot(t))
	a.must(t, "CHECK")
	a.must(t, "DEL")
	assertSame(t, "DEL changed the pod", before, b.pod.NS.Snapshot(t))
	assertNoFiles(t, b.dataDir)
}

// TestLayer2Only gives a NIC without addresses rp_filter and nothing else.
func TestLayer2Only(t *testing.T) {
	t.Parallel()
	n := nic{name: "eth0"}
	b := newBench(t, n)
	before := b.pod.NS.Snapshot(t)
	a := b.attach(n, netlab.Object{"rpFilter": "loose"})
	a.must(t, "ADD")
	assertNothingOfOurs(t, b.pod.NS)
	assertEffective(t, b.pod.NS, "eth0", "2")
	a.must(t, "CHECK")
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
}

// TestOtherDevices sets rp_filter of devices that no attachment brought.
func TestOtherDevices(t *testing.T) {
	t.Parallel()
	tunnel := nic{name: "tunl9"}
	b := newBench(t, eth0, tunnel)
	pod := b.pod.NS
	pod.SetSysctl(t, "net/ipv4/conf/all/rp_filter=1")
	before := pod.Snapshot(t)
	a := b.attach(eth0, netlab.Object{
		"rpFilter":   "strict",
		"interfaces": netlab.Object{"tunl9": netlab.Object{"rpFilter": "off"}},
	})
	a.must(t, "ADD")
	assertEffective(t, pod, "eth0", "1")
	assertEffective(t, pod, "tunl9", "0")
	assertEffective(t, pod, "lo", "1")
	a.must(t, "CHECK")
	t.Run("CHECK finds it changed", func(t *testing.T) {
		pod.SetSysctl(t, "net/ipv4/conf/tunl9/rp_filter=1")
		defer pod.SetSysctl(t, "net/ipv4/conf/tunl9/rp_filter=0")
		assertCode(t, a.fails(t, "CHECK", "tunl9"), deviations...)
	})
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, pod.Snapshot(t))
}

// TestARPIsolate sets the ARP keys of the NIC, never those of all.
func TestARPIsolate(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	pod := b.pod.NS
	before := pod.Snapshot(t)
	a := b.attach(net1, netlab.Object{"arp": "isolate"})
	a.must(t, "ADD")
	for key, want := range map[string]string{"arp_ignore": "1", "arp_announce": "2", "arp_filter": "1"} {
		if got := pod.Sysctl(t, "net/ipv4/conf/net1/"+key); got != want {
			t.Errorf("%s of net1 is %s, want %s", key, got, want)
		}
		for _, other := range []string{"all", "default", "lo", "eth0"} {
			if got := pod.Sysctl(t, "net/ipv4/conf/"+other+"/"+key); got != "0" {
				t.Errorf("%s of %s is %s, want 0", key, other, got)
			}
		}
	}
	a.must(t, "CHECK")
	t.Run("CHECK finds it changed", func(t *testing.T) {
		pod.SetSysctl(t, "net/ipv4/conf/net1/arp_ignore=0")
		defer pod.SetSysctl(t, "net/ipv4/conf/net1/arp_ignore=1")
		assertCode(t, a.fails(t, "CHECK", "arp_ignore", "net1"), deviations...)
	})
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, pod.Snapshot(t))
}

// TestTwoNICsInOneSubnet is what arp isolate is for: each NIC answers for its
// own address, and replies leave by the right one.
func TestTwoNICsInOneSubnet(t *testing.T) {
	t.Parallel()
	s := newSite(t, providerA)
	second := newProvider("a", "198.51.100.88/24", "2001:db8:a::88/64")
	pod := netlab.NewPod(t)
	keys := netlab.Object{"arp": "isolate", "rpFilter": "strict"}
	first, other := s.chained(providerA, keys), netlab.NewConflist("second", cniVersion,
		netlab.BridgePlugin(second.bridge(), second.hostLocal(t.TempDir(), defaults...)), s.symroute(keys))
	s.runtime.MustAdd(t, first, pod, "eth0")
	s.runtime.MustAdd(t, other, pod, "net1")
	s.runtime.MustCheck(t, first, pod, "eth0")
	s.runtime.MustCheck(t, other, pod, "net1")

	for nic, p := range map[string]provider{"eth0": providerA, "net1": second} {
		for _, from := range clients {
			captures := map[string]*netlab.Capture{"eth0": pod.NS.Capture(t, "eth0"), "net1": pod.NS.Capture(t, "net1")}
			s.assertOnlyThrough(t, p, netlab.Client{NS: s.client, Source: from}, pod)
			for where, capture := range captures {
				packets := capture.Matching(t, func(packet netlab.Packet) bool { return packet.Between(p.pod(from), from) })
				if here := len(packets) > 0; here != (where == nic) {
					t.Errorf("%v, address of %s, on %s:\n%s", p.pod(from), nic, where, netlab.List(packets))
				}
			}
		}
	}
}

// assertPassedOn demands that ADD printed prevResult as it came.
func assertPassedOn(t *testing.T, prev any, call netlab.Invocation) {
	t.Helper()
	encoded, err := json.Marshal(prev)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decode(t, encoded), decode(t, call.Stdout)); diff != "" {
		t.Errorf("result differs from prevResult (-prevResult +result):\n%s", diff)
	}
}

// decode reads JSON without losing digits.
func decode(t *testing.T, data []byte) any {
	t.Helper()
	var value any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%v in %q", err, data)
	}
	return value
}
