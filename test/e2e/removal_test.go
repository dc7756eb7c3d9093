package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// TestRemoval asks what is left after DEL: nothing, whatever state DEL finds.
func TestRemoval(t *testing.T) {
	t.Parallel()
	t.Run("ADD and DEL leave everything byte-identical", testRoundTrip)
	t.Run("through libcni", testRoundTripThroughLibcni)
	t.Run("both NICs, either order", testRoundTripOfTwo)
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		b, a, before := addStrict(t)
		a.must(t, "DEL")
		a.must(t, "DEL")
		assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		assertNoFiles(t, b.dataDir)
	})
	t.Run("without ADD", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, net1)
		before := b.pod.NS.Snapshot(t)
		a := b.attach(net1, netlab.Object{"rpFilter": "strict"})
		a.must(t, "DEL")
		a.prev = nil
		a.must(t, "DEL")
		assertSame(t, "DEL changed the pod", before, b.pod.NS.Snapshot(t))
		assertNoFiles(t, b.dataDir)
	})
	t.Run("without prevResult", func(t *testing.T) {
		t.Parallel()
		b, a, before := addStrict(t)
		a.prev = nil
		a.must(t, "DEL")
		assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		assertNoFiles(t, b.dataDir)
	})
	t.Run("with empty CNI_NETNS", func(t *testing.T) {
		t.Parallel()
		b, a, _ := addStrict(t)
		added, node := b.pod.NS.Snapshot(t), b.node.Snapshot(t)
		a.netns = ""
		a.must(t, "DEL")
		a.prev = nil
		a.must(t, "DEL")
		assertSame(t, "DEL changed a pod that it was not told of", added, b.pod.NS.Snapshot(t))
		assertSame(t, "DEL changed the node", node, b.node.Snapshot(t))
	})
	t.Run("without CNI_NETNS", func(t *testing.T) {
		t.Parallel()
		b, a, _ := addStrict(t)
		env := slices.DeleteFunc(a.environ("DEL"), func(variable string) bool { return strings.HasPrefix(variable, "CNI_NETNS=") })
		call := b.node.RunPlugin(t, env, a.stdin(t))
		if failure := call.Failed(t); failure != nil {
			t.Errorf("DEL failed\n%v", call)
		}
	})
	t.Run("with a vanished netns", func(t *testing.T) {
		t.Parallel()
		b, a, _ := addStrict(t)
		node := b.node.Snapshot(t)
		b.pod.NS.Vanish(t)
		a.must(t, "DEL")
		a.prev = nil
		a.must(t, "DEL")
		if _, err := os.Lstat(a.netns); !os.IsNotExist(err) {
			t.Errorf("DEL made %s: %v", a.netns, err)
		}
		assertSame(t, "DEL changed the node", node, b.node.Snapshot(t))
		assertNoFiles(t, b.dataDir)
	})
	t.Run("with a netns path that is no namespace", func(t *testing.T) {
		t.Parallel()
		_, a, _ := addStrict(t)
		a.netns = filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(a.netns, []byte("left by a runtime"), 0o600); err != nil {
			t.Fatal(err)
		}
		a.must(t, "DEL")
		if data, err := os.ReadFile(a.netns); err != nil || string(data) != "left by a runtime" {
			t.Errorf("DEL changed the file: %q, %v", data, err)
		}
	})
	t.Run("with the NIC already gone", testNICGone)
	t.Run("with the remembered file gone", testRecordGone)
	t.Run("with what is somebody else's", testForeignSurvives)
	t.Run("with what another container has there now", testSuccessorSurvives)
	t.Run("with lo down", func(t *testing.T) {
		t.Parallel()
		b, a, _ := addStrict(t)
		b.pod.NS.IP(t, "link", "set", "lo", "down")
		a.must(t, "DEL")
		assertNothingOfOurs(t, b.pod.NS)
		assertNoFiles(t, b.dataDir)
	})
}

// addStrict is a pod that inherits all=2, with a strict attachment of net1: a
// state with something in every place that DEL has to clean.
func addStrict(t *testing.T) (*bench, attachment, netlab.Snapshot) {
	t.Helper()
	b := newBench(t, eth0, net1)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	before := b.pod.NS.Snapshot(t)
	a := b.attach(net1, netlab.Object{"rpFilter": "strict"})
	a.must(t, "ADD")
	if before.Diff(b.pod.NS.Snapshot(t)) == "" {
		t.Fatal("ADD changed nothing")
	}
	return b, a, before
}

// testRoundTrip adds and deletes with one configuration after the other. (With
// -short: with every third.)
func testRoundTrip(t *testing.T) {
	t.Parallel()
	const all = "net/ipv4/conf/all/rp_filter="
	for i, test := range []struct {
		name   string
		sysctl string
		keys   netlab.Object
	}{
		{name: "nothing but the type"},
		{name: "loose where all is strict", sysctl: all + "1"},
		{name: "strict where all is loose", sysctl: all + "2", keys: netlab.Object{"rpFilter": "strict"}},
		{name: "strict where all is off", sysctl: all + "0", keys: netlab.Object{"rpFilter": "strict"}},
		{name: "off where all is strict", sysctl: all + "1", keys: netlab.Object{"rpFilter": "off"}},
		{name: "off where all is loose", sysctl: all + "2", keys: netlab.Object{"rpFilter": "off"}},
		{name: "keep", sysctl: all + "1", keys: netlab.Object{"rpFilter": "keep"}},
		{name: "take", keys: netlab.Object{"mainDefault": "take"}},
		{name: "keep main", keys: netlab.Object{"mainDefault": "keep"}},
		{name: "arp isolate", keys: netlab.Object{"arp": "isolate"}},
		{name: "viaMain", keys: netlab.Object{"viaMain": []string{"10.96.0.0/12", "fd00:10:96::/108"}}},
		{name: "noGateway main", keys: netlab.Object{"noGateway": "main"}},
		{name: "sources", keys: netlab.Object{"sources": []string{"203.0.113.200", "2001:db8:b:1::/64"}}},
		{name: "routes", keys: netlab.Object{"routes": []netlab.Object{
			{"dst": "10.0.0.0/8", "gw": "203.0.113.2", "metric": 7},
			{"dst": "2001:db8:f::/48", "gw": "fe80::2"},
		}}},
		{name: "gateways", keys: netlab.Object{"gateways": []string{"203.0.113.254", "fe80::1"}}},
		{name: "priority and table", keys: netlab.Object{"priority": 500, "table": 600}},
		{name: "everything", sysctl: all + "2", keys: netlab.Object{
			"rpFilter":    "strict",
			"interfaces":  netlab.Object{"eth0": netlab.Object{"rpFilter": "off"}},
			"gateways":    []string{"203.0.113.254", "2001:db8:b::fe"},
			"sources":     []string{"203.0.113.200", "2001:db8:b:1::/64"},
			"routes":      []netlab.Object{{"dst": "10.0.0.0/8", "gw": "203.0.113.2"}},
			"mainDefault": "take",
			"arp":         "isolate",
			"table":       9000,
			"priority":    32000,
		}},
	} {
		if testing.Short() && i%3 != 1 { // with the last, which is everything
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			// What others have put there: it has to survive, too.
			b.pod.NS.Batch(t,
				"route add 10.1.0.0/16 via 203.0.113.2 dev net1 metric 5",
				"route add 10.1.0.0/16 via 198.51.100.2 dev eth0 metric 6",
				"route add default via 198.51.100.3 dev eth0 metric 100",
				"-6 route add 2001:db8:1::/48 via fe80::2 dev net1",
				"rule add fwmark 7 lookup 555")
			if test.sysctl != "" {
				b.pod.NS.SetSysctl(t, test.sysctl)
			}
			before := b.pod.NS.Snapshot(t)
			a := b.attach(net1, test.keys)
			a.must(t, "ADD")
			added := b.pod.NS.Snapshot(t)
			if before.Diff(added) == "" {
				t.Error("ADD changed nothing")
			}
			a.must(t, "CHECK")
			assertSame(t, "CHECK changed the pod", added, b.pod.NS.Snapshot(t))
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			assertNoFiles(t, b.dataDir)
		})
	}
}

// testRoundTripThroughLibcni lets the runtime do it with the whole chain: the
// pod ends as empty as it began, and the addresses are free again.
func testRoundTripThroughLibcni(t *testing.T) {
	t.Parallel()
	s := newSite(t, providerA, providerB)
	pod := netlab.NewPod(t)
	pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	before, node := pod.NS.Snapshot(t), s.node.Snapshot(t)
	strict := netlab.Object{"rpFilter": "strict"}
	a, b := s.chained(providerA, strict), s.chained(providerB, strict)
	for range 2 { // the second time needs the addresses of the first
		s.runtime.MustAdd(t, a, pod, "eth0")
		s.runtime.MustAdd(t, b, pod, "net1")
		s.runtime.MustDel(t, b, pod, "net1")
		s.runtime.MustDel(t, a, pod, "eth0")
		s.runtime.MustDel(t, a, pod, "eth0")
	}
	assertSame(t, "ADD and DEL changed the pod", before, pod.NS.Snapshot(t))
	advertisements := func(line string) bool { // the bridge plugin turns them off
		return strings.HasSuffix(line, "accept_ra = 0") || strings.HasSuffix(line, "accept_ra = 1")
	}
	assertSame(t, "ADD and DEL changed the node", node.Without(advertisements), s.node.Snapshot(t).Without(advertisements))
	assertNoFiles(t, s.dataDir)
}

// testRoundTripOfTwo adds two NICs and deletes them in either order.
func testRoundTripOfTwo(t *testing.T) {
	t.Parallel()
	for _, modes := range [][2]string{{"yield", "yield"}, {"yield", "take"}, {"take", "yield"}, {"take", "take"}, {"keep", "yield"}} {
		for _, first := range []int{0, 1} {
			t.Run(strings.Join(modes[:], " and ")+", "+[]string{"eth0", "net1"}[first]+" leaves first", func(t *testing.T) {
				t.Parallel()
				b := newBench(t, eth0, net1)
				before := b.pod.NS.Snapshot(t)
				attachments := []attachment{
					b.attach(eth0, netlab.Object{"mainDefault": modes[0]}),
					b.attach(net1, netlab.Object{"mainDefault": modes[1]}),
				}
				attachments[0].must(t, "ADD")
				attachments[1].must(t, "ADD")
				attachments[first].must(t, "DEL")
				attachments[1-first].must(t, "CHECK")
				for _, family := range families {
					if defaultRoutes(t, b.pod.NS, family) == "" {
						t.Errorf("main has lost its default (ip %s)", family)
					}
				}
				attachments[1-first].must(t, "DEL")
				assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
				assertNoFiles(t, b.dataDir)
			})
		}
	}
}

// testNICGone deletes the NIC before DEL comes, as a runtime does that tears a
// pod down in its own order.
func testNICGone(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"yield", "take"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			pod := b.pod.NS
			pod.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
			// What is left of the pod without symroute when the NIC goes.
			twin := newBench(t, eth0, net1)
			twin.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
			twin.pod.NS.IP(t, "link", "del", "net1")

			a := b.attach(net1, netlab.Object{"rpFilter": "strict", "mainDefault": mode})
			a.must(t, "ADD")
			pod.IP(t, "link", "del", "net1")
			a.must(t, "DEL")
			hardware := func(line string) bool { // differs from pod to pod
				return strings.Contains(line, "fe80::") || strings.Contains(line, "LOWER_UP")
			}
			assertSame(t, "DEL after the NIC left something", twin.pod.NS.Snapshot(t).Without(hardware), pod.Snapshot(t).Without(hardware))
			assertNoFiles(t, b.dataDir)
			a.prev = nil
			a.must(t, "DEL")
		})
	}
}

// testSuccessorSurvives deletes an attachment whose path, or whose pod, is
// another container's by now: that one loses nothing.
func testSuccessorSurvives(t *testing.T) {
	t.Parallel()
	t.Run("at the same path", func(t *testing.T) {
		t.Parallel()
		dead, a, _ := addStrict(t)
		a.netns = dead.pod.NS.Alias(t)
		a.must(t, "ADD")
		dead.pod.NS.Vanish(t)

		living := newBench(t, eth0, net1)
		living.dataDir, living.node = dead.dataDir, dead.node
		living.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
		before := living.pod.NS.Snapshot(t)
		successor := living.attach(net1, netlab.Object{"rpFilter": "strict"})
		successor.netns = a.netns
		if err := unix.Mount(living.pod.NS.Path, a.netns, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(a.netns, unix.MNT_DETACH) })
		successor.must(t, "ADD")
		added := living.pod.NS.Snapshot(t)
		a.must(t, "DEL")
		assertSame(t, "DEL of the dead container changed the living one's pod", added, living.pod.NS.Snapshot(t))
		successor.must(t, "CHECK")
		successor.must(t, "DEL")
		assertSame(t, "ADD and DEL changed the pod", before, living.pod.NS.Snapshot(t))
		assertNoFiles(t, dead.dataDir)
	})
	t.Run("in the same pod", func(t *testing.T) {
		t.Parallel()
		b, a, before := addStrict(t)
		added := b.pod.NS.Snapshot(t)
		late := a
		late.containerID = "long-forgotten"
		late.must(t, "DEL")
		late.prev = nil
		late.must(t, "DEL")
		assertSame(t, "DEL of another container changed the pod", added, b.pod.NS.Snapshot(t))
		a.must(t, "CHECK")
		a.must(t, "DEL")
		assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
	})
}

// testRecordGone loses what cannot be kept in the kernel: rules and routes go
// all the same, the rest stays, and DEL says so.
func testRecordGone(t *testing.T) {
	t.Parallel()
	b, a, _ := addStrict(t)
	if err := os.RemoveAll(b.dataDir); err != nil {
		t.Fatal(err)
	}
	settings := b.pod.NS.Snapshot(t)["net/ipv4/conf"]
	main := map[string]string{}
	for _, family := range families {
		main[family] = b.pod.NS.IP(t, family, "route", "show", "table", "main")
	}
	call := a.must(t, "DEL")
	assertNothingOfOurs(t, b.pod.NS)
	assertLines(t, "settings", settings, b.pod.NS.Snapshot(t)["net/ipv4/conf"])
	for _, family := range families {
		if now := b.pod.NS.IP(t, family, "route", "show", "table", "main"); now != main[family] {
			t.Errorf("main changed: was\n%sis\n%s", main[family], now)
		}
	}
	if len(call.Stderr) == 0 {
		t.Error("standard error does not say that settings and main stay as they are")
	}
	assertNoFiles(t, b.dataDir)
}

// testForeignSurvives has rules with the same source and a table with our
// number, made by somebody else.
func testForeignSurvives(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		setup []string
	}{
		{"a rule with the same source", []string{
			"rule add from 203.0.113.144 lookup main priority 32000",
			"rule add from 203.0.113.144 lookup main priority 33000",
			"-6 rule add from 2001:db8:b::144 lookup main priority 33000",
		}},
		{"a table 7300", []string{
			"route add 10.0.0.0/8 via 198.51.100.1 table 7300",
			"-6 route add 2001:db8:1::/48 via 2001:db8:a::1 table 7300",
			"rule add from 10.0.0.0/8 lookup 7300",
		}},
		{"routes by the same NIC in other tables", []string{
			"route add 10.0.0.0/8 via 203.0.113.1 table 7777",
			"route add 10.0.0.0/8 via 203.0.113.1",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			b.pod.NS.Batch(t, test.setup...)
			before := b.pod.NS.Snapshot(t)
			// A rule ahead of ours makes things asymmetric: that is what
			// verify is for, and not the point here.
			a := b.attach(net1, netlab.Object{"verify": false})
			a.must(t, "ADD")
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
			a.must(t, "DEL")
			a.prev = nil
			a.must(t, "DEL")
			assertSame(t, "DEL without ADD changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}

	t.Run("rules made after ADD", func(t *testing.T) {
		t.Parallel()
		b, a, _ := addStrict(t)
		// Ours but for the protocol, and one that leads to the same place.
		rules := []string{
			"from 203.0.113.144 goto 40000", "from all nop", "from 203.0.113.144 lookup 7300", "from 203.0.113.144 unreachable", "from 10.9.0.0/16 goto 40000",
		}
		for i, priority := range []string{"32765", "40000", "40012", "40015", "32765"} {
			b.pod.NS.Batch(t, "rule add "+rules[i]+" priority "+priority)
		}
		const route = "10.9.0.0/16 via 203.0.113.9"
		b.pod.NS.Batch(t, "route add "+route+" dev net1 table 555")
		a.must(t, "DEL")
		assertNothingOfOurs(t, b.pod.NS)
		left := b.pod.NS.Snapshot(t)
		for _, want := range append(rules, route) {
			if len(left.Grep(want)) != 1 {
				t.Errorf("DEL removed somebody else's %q", want)
			}
		}
	})
}
