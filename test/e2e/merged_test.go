package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestDefaultBesideMultipath has a single default of net1's beside a multipath default of all
// NICs that begins with the same hop. The kernel that is asked for the one with RTA_GATEWAY takes
// the other, whichever comes first (fib_nh_match): the one that yields is net1's own.
func TestDefaultBesideMultipath(t *testing.T) {
	t.Parallel()
	multipath := "route append default nexthop via 203.0.113.1 dev net1 nexthop via 198.51.100.1 dev eth0"
	single := "route append default via 203.0.113.1 dev net1"
	for name, routes := range map[string][]string{
		"it comes first":  {single, multipath},
		"it comes second": {multipath, single},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0.withoutDefaults(), net1.withoutDefaults())
			b.pod.NS.Batch(t, append([]string{"route add default via 198.51.100.1 dev eth0 metric 0"}, routes...)...)
			before := b.pod.NS.Snapshot(t)
			a := b.attach(net1, nil)
			a.must(t, "ADD")
			main := b.pod.NS.IP(t, "-4", "route", "show", "default")
			if !strings.Contains(main, "default via 198.51.100.1 dev eth0") || strings.Count(main, "nexthop") != 2 {
				t.Errorf("the default of the other NIC, or the one of both, is gone:\n%s", main)
			}
			if strings.Contains(main, "default via 203.0.113.1 dev net1") {
				t.Errorf("net1's own default did not yield:\n%s", main)
			}
			a.must(t, "CHECK")
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}
}

// TestMergedDefaultsOfDifferentMTU merges IPv6 defaults of three NICs, each with an MTU, an
// initial window and a preference of its own. The dump of such a route tells the first's only.
// Each keeps its own in its table and in main, whoever attaches after it, and returns with it.
func TestMergedDefaultsOfDifferentMTU(t *testing.T) {
	t.Parallel()
	nics := []nic{eth0.withoutDefaults(), net1.withoutDefaults(), net2.withoutDefaults()}
	attributes := []string{"mtu 1280 advmss 1200", "mtu 1400 initcwnd 20", "mtu 1450 hoplimit 9"}
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		for _, wish := range []string{"yield", "take"} {
			t.Run(fmt.Sprintf("%s %v", wish, order), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, nics...)
				for i, n := range nics {
					b.pod.NS.Batch(t, fmt.Sprintf("-6 route append default via %s dev %s proto static %s", n.gateways[1], n.name, attributes[i]))
				}
				allElse := func() netlab.Snapshot { // the dump tells of the first hop that has come back
					return b.pod.NS.Snapshot(t).Without(func(line string) bool { return strings.HasPrefix(line, "unicast default table main proto static ") })
				}
				before := allElse()
				inMain := b.ownDefaults(t, nics)
				for i, n := range nics {
					assertAttributes(t, n, attributes[i], inMain[n.name])
				}
				var attached []attachment
				for _, i := range order {
					a := b.attach(nics[i], netlab.Object{"mainDefault": wish})
					a.must(t, "ADD")
					attached = append(attached, a)
					for _, a := range attached {
						a.must(t, "CHECK")
					}
				}
				for i, n := range nics {
					assertAttributes(t, n, attributes[i], b.tableDefaults(t, n))
				}
				for i, a := range attached {
					a.must(t, "DEL")
					for _, a := range attached[i+1:] {
						a.must(t, "CHECK")
					}
				}
				assertSame(t, "ADD and DEL changed the pod", before, allElse())
				assertSame(t, "ADD and DEL changed a default of main", inMain, b.ownDefaults(t, nics))
			})
		}
	}
}

// assertAttributes demands attributes of each of some lines about a NIC's default, of which there
// has to be one.
func assertAttributes(t *testing.T, n nic, attributes string, lines []string) {
	t.Helper()
	if len(lines) == 0 {
		t.Errorf("there is no default by %s", n.name)
	}
	words := strings.Fields(attributes)
	for _, line := range lines {
		for i := 0; i < len(words); i += 2 {
			if want := " " + words[i] + " " + words[i+1] + " "; !strings.Contains(line+" ", want) {
				t.Errorf("the default by %s lost%s: %s", n.name, want, line)
			}
		}
	}
}

// ownDefaults asks the kernel for main's IPv6 default by each NIC: the dump of a merged one tells
// nothing of its hops' attributes but the first's. No rule may lead such a question elsewhere.
func (b *bench) ownDefaults(t *testing.T, nics []nic) netlab.Snapshot {
	t.Helper()
	own := netlab.Snapshot{}
	for _, n := range nics {
		text := b.pod.NS.IP(t, "-6", "-oneline", "route", "get", "fibmatch", "3fff::1", "oif", n.name)
		attributes, _, _ := strings.Cut(text, "\\") // before the hops, whose order is that of their coming
		own[n.name] = []string{strings.Join(strings.Fields(attributes), " ")}
	}
	return own
}

// tableDefaults lists the IPv6 defaults by a NIC alone, in all tables.
func (b *bench) tableDefaults(t *testing.T, n nic) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(b.pod.NS.IP(t, "-6", "-oneline", "route", "show", "table", "all")) {
		if strings.HasPrefix(line, "default via "+n.gateways[1]+" dev "+n.name+" ") {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return out
}
