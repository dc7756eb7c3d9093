package e2e

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestThreeDefaults lets three NICs with defaults of their own leave in every
// order.
func TestThreeDefaults(t *testing.T) {
	t.Parallel()
	nics := []nic{eth0, net1, net2}
	for _, modes := range [][]string{
		{"yield", "yield", "yield"},
		{"yield", "take", "take"},
		{"keep", "take", "yield"},
	} {
		for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
			name := fmt.Sprintf("%s, leaving in order %v", strings.Join(modes, " "), order)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, nics...)
				before := b.pod.NS.Snapshot(t)
				var attachments []attachment
				for i, n := range nics {
					a := b.attach(n, netlab.Object{"mainDefault": modes[i]})
					a.must(t, "ADD")
					attachments = append(attachments, a)
				}
				for i, leaving := range order {
					attachments[leaving].must(t, "DEL")
					for _, staying := range order[i+1:] {
						attachments[staying].must(t, "CHECK")
					}
				}
				assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
				assertNoFiles(t, b.dataDir)
			})
		}
	}
}

// TestIPAMBetween attaches NIC after NIC, as a runtime does: each comes with
// its defaults after the one before it was set up. When all have left, main has
// the defaults that IPAM made, in whatever order.
func TestIPAMBetween(t *testing.T) {
	t.Parallel()
	nics := []nic{eth0, net1, net2}
	defaultsOf := func(b *bench) []string {
		var hops []string
		for _, family := range families {
			for line := range strings.Lines(defaultRoutes(t, b.pod.NS, family)) {
				if via := strings.Index(line, "via"); via >= 0 {
					hops = append(hops, strings.Join(strings.Fields(line[via:])[:4], " "))
				}
			}
		}
		slices.Sort(hops)
		return hops
	}
	want := defaultsOf(newBench(t, nics...))
	for _, mode := range []string{"yield", "take"} {
		for _, reverse := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, last comes, first leaves: %t", mode, reverse), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				var attachments []attachment
				for _, n := range nics {
					b.plug(t, n)
					a := b.attach(n, netlab.Object{"mainDefault": mode})
					a.must(t, "ADD")
					a.must(t, "CHECK")
					attachments = append(attachments, a)
				}
				if reverse {
					slices.Reverse(attachments)
				}
				for _, a := range attachments {
					a.must(t, "DEL")
				}
				assertLines(t, "defaults in main", want, defaultsOf(b))
				assertNothingOfOurs(t, b.pod.NS)
				assertNoFiles(t, b.dataDir)
			})
		}
	}
}

// TestOddDefaults takes defaults out of main that have more to them than a
// gateway, and puts them back as they were. An IPv4 route by several NICs is nobody's to take
// away: it stays, and ADD says so.
func TestOddDefaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		setup []string
		stays string // the family whose default is left alone
	}{
		{name: "attributes", setup: []string{
			"route add default via 198.51.100.1 dev eth0",
			"route prepend default via 203.0.113.1 dev net1 src 203.0.113.144 mtu 1400 advmss 1300 initcwnd 20 window 9000 proto static",
			"-6 route add default via 2001:db8:a::1 dev eth0",
			"-6 route add default via 2001:db8:b::1 dev net1 metric 512 mtu 1400 pref high proto static",
		}},
		{name: "an IPv4 multipath route", stays: "-4", setup: []string{
			"route add default nexthop via 198.51.100.1 dev eth0 weight 3 nexthop via 203.0.113.1 dev net1 weight 7",
		}},
		{name: "an IPv6 multipath route with weights", setup: []string{
			"-6 route add default nexthop via 2001:db8:a::1 dev eth0 weight 3 nexthop via 2001:db8:b::1 dev net1 weight 7",
		}},
		{name: "a multipath route with two hops by the NIC", stays: "-4", setup: []string{
			"route add default nexthop via 198.51.100.1 dev eth0 nexthop via 203.0.113.1 dev net1 nexthop via 203.0.113.2 dev net1",
			"-6 route add default nexthop via fe80::1 dev net1 nexthop via 2001:db8:a::1 dev eth0 nexthop via fe80::2 dev net1",
		}},
		{name: "metrics", setup: []string{
			"route add default via 203.0.113.1 dev net1 metric 10",
			"route add default via 198.51.100.1 dev eth0 metric 20",
			"route add default via 203.0.113.2 dev net1 metric 30",
			"-6 route add default via 2001:db8:b::1 dev net1 metric 10",
			"-6 route add default via 2001:db8:a::1 dev eth0 metric 20",
		}},
		{name: "a gateway off the subnet", setup: []string{
			"route add default via 198.51.100.1 dev eth0",
			"route prepend default via 169.254.1.1 dev net1 onlink",
		}},
		{name: "no gateway at all", setup: []string{
			"route add default via 198.51.100.1 dev eth0",
			"route prepend default dev net1 scope link",
		}},
	} {
		for _, mode := range []string{"yield", "take"} {
			t.Run(test.name+", "+mode, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, eth0.withoutDefaults(), net1.withoutDefaults())
				pod := b.pod.NS
				pod.Batch(t, test.setup...)
				before := pod.Snapshot(t)
				alone := ""
				if test.stays != "" {
					alone = defaultRoutes(t, pod, test.stays)
				}
				a := b.attach(net1, netlab.Object{"mainDefault": mode})
				call := a.must(t, "ADD")
				if test.stays != "" {
					now, behind := strings.CutPrefix(defaultRoutes(t, pod, test.stays), alone)
					own := mode == "take" && strings.Contains(now, " dev net1 "+protocol) && strings.Count(now, "via") == 1
					if !behind || now != "" && !own {
						t.Errorf("ip %s route show default: want\n%s, and nothing but one of ours behind it; got\n%s",
							test.stays, alone, defaultRoutes(t, pod, test.stays))
					}
					assertTells(t, call, "several NICs")
				}
				for i, remote := range clients {
					if families[i] == test.stays {
						continue // the kernel chooses
					}
					had := strings.Contains(strings.Join(before.Grep("default"), "\n"), "via "+providerA.gateway(remote).String()) ||
						strings.Contains(strings.Join(before.Grep("nexthop"), "\n"), "via "+providerA.gateway(remote).String())
					if !had {
						continue // nothing to yield to or to take from
					}
					want := map[string]string{"yield": "dev eth0", "take": "dev net1"}[mode]
					if got := pod.IP(t, "route", "get", remote.String()); !strings.Contains(got, want) {
						t.Errorf("ip route get %v: want %q in\n%s", remote, want, got)
					}
				}
				a.must(t, "CHECK")
				a.must(t, "DEL")
				assertSame(t, "ADD and DEL changed the pod", before, pod.Snapshot(t))
				assertNoFiles(t, b.dataDir)
			})
		}
	}
}

// TestOwnerByName attaches NICs in every order: containerd attaches several networks at once,
// and eth1 comes first. The pod's default is eth0's, and the NICs that serve when it is gone
// stand in the order in which people count.
func TestOwnerByName(t *testing.T) {
	t.Parallel()
	nics := []nic{eth0, providerB.nic("net2"), providerC.nic("net10")}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			var all []attachment
			for _, i := range order {
				b.plug(t, nics[i])
				a := b.attach(nics[i], nil)
				a.must(t, "ADD")
				all = append(all, a)
			}
			for _, a := range all {
				a.must(t, "CHECK")
			}
			for _, family := range families {
				if now := defaultRoutes(t, b.pod.NS, family); strings.Count(now, "via") != 1 || !strings.Contains(now, "dev eth0") {
					t.Errorf("ip %s route show default:\n%s", family, now)
				}
				tableOf, fallbacks := map[string]string{}, []string{}
				for _, rule := range ourRules(t, b.pod.NS, family) {
					var nic, table string
					if _, err := fmt.Sscanf(rule, "49000: from all oif %s lookup %s", &nic, &table); err == nil {
						tableOf[table] = nic
					}
					if _, table, ok := strings.Cut(rule, ": from all lookup "); ok {
						fallbacks = append(fallbacks, tableOf[table])
					}
				}
				assertLines(t, "NICs that serve when eth0 is gone", []string{"net2", "net10"}, fallbacks)
			}
		})
	}
}

// TestRulesOfOthersBetween puts rules of somebody else between ours and beside them, before
// ADD and after it. They do what they did, ours decide all that is left, nobody's rule is ever
// moved, and when the attachments have left theirs stand as they stood.
func TestRulesOfOthersBetween(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, rule string
		theirs     bool // it decides on packets from net1's address to 10.9.0.0/16
	}{
		{"a mesh's, before ours", "fwmark 0x111/0xfff lookup 555 priority 32764", false},
		{"one network's, before ours", "from 203.0.113.144 to 10.9.0.0/16 lookup 555 priority 32764", true},
		{"another network's, among our decisions", "to 10.7.0.0/16 lookup 555 priority 32765", false},
		{"in the block, before our steps", "to 10.9.0.0/16 lookup 555 priority 40001", true},
		{"in the block, behind the table", "from 203.0.113.144 to 10.9.0.0/16 lookup 555 priority 40013", false},
		{"in the block, behind our steps", "from all lookup 555 priority 45000", false},
		{"behind main", "from all lookup 555 priority 33000", false},
		{"a goto into the block", "to 10.7.0.0/16 goto 40000 priority 32000", false},
	} {
		for _, first := range []bool{true, false} {
			t.Run(test.name+" "+meshOrder(first), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, eth0, net1, net2)
				b.pod.NS.Batch(t, "route add default via 198.51.100.5 dev eth0 table 555")
				all := []attachment{b.attach(net1, nil), b.attach(net2, nil)}
				before := b.pod.NS.Snapshot(t)
				install := func() { b.pod.NS.Batch(t, "rule add "+test.rule) }
				if first {
					install()
				}
				for _, a := range all {
					a.must(t, "ADD")
				}
				if !first {
					install()
				}
				order := b.pod.NS.IP(t, "rule")
				for _, a := range all {
					a.must(t, "CHECK")
					a.must(t, "ADD")
				}
				if now := b.pod.NS.IP(t, "rule"); now != order {
					t.Errorf("rules were moved: were\n%sare\n%s", order, now)
				}
				for _, n := range []provider{providerB, providerC} {
					nic := map[string]string{providerB.name: "net1", providerC.name: "net2"}[n.name]
					for _, to := range clients {
						assertRoute(t, b.pod.NS, nic, n.gateway(to), to, "from", n.pod(to).String())
					}
				}
				there := netip.MustParseAddr("10.9.0.1")
				if test.theirs {
					assertRoute(t, b.pod.NS, "eth0", netip.MustParseAddr("198.51.100.5"), there, "from", providerB.pod4.String())
				} else {
					assertRoute(t, b.pod.NS, "net1", providerB.gateway4(), there, "from", providerB.pod4.String())
				}
				for _, a := range all {
					a.must(t, "DEL")
				}
				if left := b.pod.NS.IP(t, "rule"); strings.Count(left, "\n") != 4 {
					t.Errorf("want the kernel's three rules, and the one of somebody else:\n%s", left)
				}
				b.pod.NS.Batch(t, "rule del "+test.rule)
				assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
				assertNothingOfOurs(t, b.pod.NS)
			})
		}
	}
}

// TestNeverUndecided stops ADD and DEL behind every change that they make to rules and
// routes, and asks each time where packets go: where they went before or where they go
// afterwards, once afterwards always so, and never anywhere else. (Without -faults.all: behind
// every fifth change.)
func TestNeverUndecided(t *testing.T) {
	t.Parallel()
	take := netlab.Object{"mainDefault": "take"}
	more := netlab.Object{
		"sources": []string{"203.0.113.200", "2001:db8:b::/64"}, "viaMain": []string{"10.96.0.0/12"},
		"priority": 20000, "noGateway": "main",
	}
	for i, test := range []struct {
		name    string
		earlier []func(b *bench) attachment // attached before
		command func(b *bench) attachment
		verb    string
		// mayFail says that packets may reach nobody for a moment, but leave by no
		// other NIC: of two routes to one place a table holds the newer only when the
		// older is gone. (IPv4 sockets that are bound to a device cannot be refused.)
		mayFail bool
	}{
		{name: "ADD", verb: "ADD", command: attaching(net1, nil)},
		{name: "ADD that takes the default", verb: "ADD", command: attaching(net1, take)},
		{
			name: "ADD with another configuration", verb: "ADD", command: attaching(net1, more),
			earlier: []func(*bench) attachment{attaching(net1, nil)},
		},
		{
			name: "ADD without it", verb: "ADD", command: attaching(net1, nil),
			earlier: []func(*bench) attachment{attaching(net1, more)},
		},
		{
			name: "ADD with another gateway", verb: "ADD", mayFail: true,
			command: attaching(net1, netlab.Object{"gateways": []string{"203.0.113.9", "fe80::9"}}),
			earlier: []func(*bench) attachment{attaching(net1, nil)},
		},
		{
			name: "ADD of another NIC", verb: "ADD", command: attaching(net2, take),
			earlier: []func(*bench) attachment{attaching(eth0, nil), attaching(net1, nil)},
		},
		{name: "DEL", verb: "DEL", command: attaching(net1, nil), earlier: []func(*bench) attachment{attaching(net1, nil)}},
		{
			name: "DEL where the default was taken", verb: "DEL", command: attaching(net1, take),
			earlier: []func(*bench) attachment{attaching(net1, take)},
		},
		{
			name: "DEL of another NIC", verb: "DEL", command: attaching(net2, take),
			earlier: []func(*bench) attachment{attaching(eth0, nil), attaching(net1, nil), attaching(net2, take)},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			prepare := func() (*bench, attachment) {
				b := newBench(t, eth0, net1, net2)
				for _, earlier := range test.earlier {
					earlier(b).must(t, "ADD")
				}
				return b, test.command(b)
			}
			b, a := prepare()
			before := waysOf(b)
			changes := changesOf(a.straced(t, test.verb, []string{"sendto"}).trace)
			after := waysOf(b)
			if len(changes) == 0 {
				t.Fatal("no change was seen: this test shows nothing")
			}
			arrived := map[string]bool{}
			for at, place := range changes {
				if !chosen(at+i, 5) {
					continue
				}
				b, a := prepare()
				h := a.halt(t, test.verb, "sendto", place)
				for question, way := range waysOf(b) {
					arrived[question] = arrived[question] || way == after[question] && way != before[question]
					switch {
					case way == after[question] || way == before[question] && !arrived[question]:
					case test.mayFail && (way == refused || strings.Contains(way, " dev net1 ")):
					default:
						t.Errorf("behind change %d of %d: %s goes %s; before it went %s, afterwards %s",
							at+1, len(changes), question, way, before[question], after[question])
					}
				}
				if call := h.goOn(); call.ExitCode != 0 {
					t.Errorf("%s failed\n%v", test.verb, call)
				}
			}
		})
	}
}

// attaching prepares an attachment, as bench.attach does.
func attaching(n nic, keys netlab.Object) func(*bench) attachment {
	return func(b *bench) attachment { return b.attach(n, keys) }
}

// changeOfRouting is how strace shows that a rule or route comes or goes; it may not know the
// names of the types.
var changeOfRouting = regexp.MustCompile(`nlmsg_type=(0x18|0x19|0x20|0x21|RTM_(NEW|DEL)(ROUTE|RULE))\b`)

// changesOf numbers the requests of a trace of sendto that change routing.
func changesOf(trace []string) []int {
	var places []int
	for i, line := range trace {
		if changeOfRouting.MatchString(line) {
			places = append(places, i+1)
		}
	}
	return places
}

// refused is the way of what goes nowhere.
const refused = "nowhere"

// waysOf asks where packets to the clients go, from each of net1's addresses and from sockets
// that are bound to it.
func waysOf(b *bench) map[string]string {
	ways := map[string]string{}
	for i, to := range clients {
		for _, selector := range []string{"from " + providerB.pod(to).String(), "oif net1"} {
			question := to.String() + " " + selector
			ways[question] = refused
			answer, err := b.pod.NS.Command("", "ip", append([]string{families[i], "route", "get"}, strings.Fields(question)...)...)
			if via := strings.Index(answer, "via "); err == nil && via >= 0 {
				ways[question] = strings.Join(strings.Fields(answer[via:])[:4], " ")
			} else if err == nil {
				ways[question] = answer
			}
		}
	}
	return ways
}
