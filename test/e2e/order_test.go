package e2e

import (
	"fmt"
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
// gateway, and puts them back as they were.
func TestOddDefaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		setup []string
	}{
		{"attributes", []string{
			"route add default via 198.51.100.1 dev eth0",
			"route prepend default via 203.0.113.1 dev net1 src 203.0.113.144 mtu 1400 advmss 1300 initcwnd 20 window 9000 proto static",
			"-6 route add default via 2001:db8:a::1 dev eth0",
			"-6 route add default via 2001:db8:b::1 dev net1 metric 512 mtu 1400 pref high proto static",
		}},
		{"an IPv4 multipath route", []string{
			"route add default nexthop via 198.51.100.1 dev eth0 weight 3 nexthop via 203.0.113.1 dev net1 weight 7",
		}},
		{"an IPv6 multipath route with weights", []string{
			"-6 route add default nexthop via 2001:db8:a::1 dev eth0 weight 3 nexthop via 2001:db8:b::1 dev net1 weight 7",
		}},
		{"a multipath route with two hops by the NIC", []string{
			"route add default nexthop via 198.51.100.1 dev eth0 nexthop via 203.0.113.1 dev net1 nexthop via 203.0.113.2 dev net1",
			"-6 route add default nexthop via fe80::1 dev net1 nexthop via 2001:db8:a::1 dev eth0 nexthop via fe80::2 dev net1",
		}},
		{"metrics", []string{
			"route add default via 203.0.113.1 dev net1 metric 10",
			"route add default via 198.51.100.1 dev eth0 metric 20",
			"route add default via 203.0.113.2 dev net1 metric 30",
			"-6 route add default via 2001:db8:b::1 dev net1 metric 10",
			"-6 route add default via 2001:db8:a::1 dev eth0 metric 20",
		}},
		{"a gateway off the subnet", []string{
			"route add default via 198.51.100.1 dev eth0",
			"route prepend default via 169.254.1.1 dev net1 onlink",
		}},
		{"no gateway at all", []string{
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
				a := b.attach(net1, netlab.Object{"mainDefault": mode})
				a.must(t, "ADD")
				for _, remote := range clients {
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
