package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// families names the families of ip's options.
var families = []string{"-4", "-6"}

// TestDefaultRoute attaches a second NIC for which IPAM installs defaults of
// its own. Without help the newest IPv4 default wins and the IPv6 defaults
// become one route that spreads connections over both NICs at random.
func TestDefaultRoute(t *testing.T) {
	t.Parallel()
	t.Run("IPAM alone takes over", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, providerA, providerB)
		pod := netlab.NewPod(t)
		s.runtime.MustAdd(t, s.plain(providerA, defaults...), pod, "eth0")
		before := defaultRoutes(t, pod.NS, "-4")
		s.runtime.MustAdd(t, s.plain(providerB, defaults...), pod, "net1")
		if now := defaultRoutes(t, pod.NS, "-4"); now == before || !strings.Contains(strings.SplitN(now, "\n", 2)[0], "net1") {
			t.Errorf("the newest IPv4 default does not win:\n%s", now)
		}
		if now := defaultRoutes(t, pod.NS, "-6"); strings.Count(now, "nexthop") != 2 {
			t.Errorf("the IPv6 defaults do not merge:\n%s", now)
		}
	})
	t.Run("yield", testYield)
	t.Run("take", testTake)
	t.Run("take, and its NIC goes down", testTakenFailsOver)
	t.Run("keep", testKeep)
	t.Run("its owner leaves", testOwnerLeaves)
	t.Run("its owner vanishes", testOwnerVanishes)
}

// testYield: the pod's default stays where it was.
func testYield(t *testing.T) {
	t.Parallel()
	s := newSite(t, providerA, providerB)
	s.allowOutgoing(t)
	pod := netlab.NewPod(t)
	a, b := s.chained(providerA, nil), s.chained(providerB, netlab.Object{"mainDefault": "yield"})
	s.runtime.MustAdd(t, a, pod, "eth0")
	before := pod.NS.Snapshot(t)
	first := map[string]string{}
	for _, family := range families {
		first[family] = defaultRoutes(t, pod.NS, family)
	}
	s.runtime.MustAdd(t, b, pod, "net1")

	for _, family := range families {
		if now := defaultRoutes(t, pod.NS, family); now != first[family] || now == "" {
			t.Errorf("ip %s route show default: want\n%sgot\n%s", family, first[family], now)
		}
	}
	for _, to := range clients {
		assertRoute(t, pod.NS, "eth0", providerA.gateway(to), to)
		assertRoute(t, pod.NS, "net1", providerB.gateway(to), to, "from", providerB.pod(to).String())
		s.assertOnlyThrough(t, providerB, netlab.Client{NS: s.client, Source: to}, pod)
	}
	t.Run("100 new connections take one NIC", func(t *testing.T) {
		for _, to := range clients {
			server := s.client.Echo(t, addrPort(to))
			eth0, net1 := pod.NS.Capture(t, "eth0"), pod.NS.Capture(t, "net1")
			for range 100 {
				local, err := netlab.Client{NS: pod.NS}.Talk(server)
				if err != nil {
					t.Fatal(err)
				}
				if want := providerA.pod(to); local.Addr() != want {
					t.Fatalf("a connection to %v came from %v, want %v", to, local.Addr(), want)
				}
			}
			toServer := func(packet netlab.Packet) bool { return packet.Dst == server || packet.Src == server }
			if got := net1.Matching(t, toServer); len(got) > 0 {
				t.Errorf("on net1:\n%s", netlab.List(got))
			}
			if len(eth0.Matching(t, toServer)) == 0 {
				t.Error("nothing on eth0")
			}
		}
	})
	s.runtime.MustCheck(t, a, pod, "eth0")
	s.runtime.MustCheck(t, b, pod, "net1")
	s.runtime.MustDel(t, b, pod, "net1")
	assertSame(t, "ADD and DEL of net1 changed the pod", before, pod.NS.Snapshot(t))
}

// testTake: the pod's default moves to the new NIC, that of the other leaves main, and replies
// from the addresses of the one that had it keep their path.
func testTake(t *testing.T) {
	t.Parallel()
	s := newSite(t, providerA, providerB)
	s.allowOutgoing(t)
	pod := netlab.NewPod(t)
	// The displaced NIC need not know about symroute.
	a, b := s.plain(providerA, defaults...), s.chained(providerB, netlab.Object{"mainDefault": "take"})
	s.runtime.MustAdd(t, a, pod, "eth0")
	before := pod.NS.Snapshot(t)
	s.runtime.MustAdd(t, b, pod, "net1")

	for _, to := range clients {
		assertRoute(t, pod.NS, "net1", providerB.gateway(to), to)
		assertRoute(t, pod.NS, "eth0", providerA.gateway(to), to, "from", providerA.pod(to).String())
		s.assertOnlyThrough(t, providerA, netlab.Client{NS: s.client, Source: to}, pod)
		s.assertOnlyThrough(t, providerB, netlab.Client{NS: s.client, Source: to}, pod)

		local, err := netlab.Client{NS: pod.NS}.Talk(s.client.Echo(t, addrPort(to)))
		if err != nil || local.Addr() != providerB.pod(to) {
			t.Errorf("a connection to %v came from %v, want %v: %v", to, local.Addr(), providerB.pod(to), err)
		}
	}
	for _, family := range families {
		// One with a worse metric would be preferred while the gateway is silent (IPv6), and
		// let in what strict mode shall refuse.
		if now := defaultRoutes(t, pod.NS, family); strings.Count(now, "via") != 1 || !strings.Contains(now, "dev net1") {
			t.Errorf("the displaced default is still in main (ip %s):\n%s", family, now)
		}
	}
	s.runtime.MustCheck(t, a, pod, "eth0")
	s.runtime.MustCheck(t, b, pod, "net1")
	s.runtime.MustDel(t, b, pod, "net1")
	assertSame(t, "ADD and DEL of net1 changed the pod", before, pod.NS.Snapshot(t))
	assertNoFiles(t, s.dataDir)
}

// testTakenFailsOver: when the NIC that took the default goes down, sockets without a source
// find the displaced one. Nothing leaves by that from the other's addresses.
func testTakenFailsOver(t *testing.T) {
	t.Parallel()
	s := newSite(t, providerA, providerB)
	s.allowOutgoing(t)
	pod := netlab.NewPod(t)
	s.runtime.MustAdd(t, s.plain(providerA, defaults...), pod, "eth0")
	s.runtime.MustAdd(t, s.chained(providerB, netlab.Object{"mainDefault": "take"}), pod, "net1")
	for _, to := range clients {
		s.assertOwnSource(t, pod, to, providerB)
	}
	pod.NS.IP(t, "link", "set", "net1", "down")
	for _, to := range clients {
		s.assertOwnSource(t, pod, to, providerA)
		s.assertOnlyThrough(t, providerA, netlab.Client{NS: s.client, Source: to}, pod)
		eth0 := pod.NS.Capture(t, "eth0")
		sender := netlab.Client{NS: pod.NS, Network: "udp", Source: providerB.pod(to), Timeout: 50 * time.Millisecond}
		if _, err := sender.Talk(netip.AddrPortFrom(to, 9)); err == nil {
			t.Errorf("from %v to %v: answered, though net1 is down", providerB.pod(to), to)
		}
		assertNoneFrom(t, eth0, providerB.pod(to))
	}
}

// testKeep: main is not touched.
func testKeep(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	main := func() netlab.Snapshot {
		s := netlab.Snapshot{}
		for _, family := range families {
			s[family] = strings.Split(b.pod.NS.IP(t, family, "-details", "route", "show", "table", "main"), "\n")
		}
		return s
	}
	before := main()
	a := b.attach(net1, netlab.Object{"mainDefault": "keep"})
	a.must(t, "ADD")
	assertSame(t, "ADD changed main", before, main())
	a.must(t, "CHECK")
	a.must(t, "DEL")
	assertSame(t, "DEL changed main", before, main())
}

// TestLoneDefault leaves the only default of a pod where it is, whatever the
// attachment says.
func TestLoneDefault(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"yield", "take", "keep"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0)
			want := map[string]string{}
			for _, family := range families {
				want[family] = defaultRoutes(t, b.pod.NS, family)
			}
			before := b.pod.NS.Snapshot(t)
			a := b.attach(eth0, netlab.Object{"mainDefault": mode})
			a.must(t, "ADD")
			for _, family := range families {
				if got := defaultRoutes(t, b.pod.NS, family); got != want[family] {
					t.Errorf("ip %s route show default: want\n%sgot\n%s", family, want[family], got)
				}
			}
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}
}

// TestDefaultsNotOurs meets defaults that a route daemon or router
// advertisements own: they are left alone, and reported.
func TestDefaultsNotOurs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		setup  []string
		family string
		keep   string // of the line that has to stay
	}{
		{
			name:   "router advertisement",
			setup:  []string{"-6 route append default via fe80::1 dev net1 proto ra metric 2048"},
			family: "-6",
			keep:   "proto ra",
		},
		{
			name: "nexthop object",
			setup: []string{
				"nexthop add id 7 via 203.0.113.1 dev net1",
				"route add default nhid 7 metric 50",
			},
			family: "-4",
			keep:   "nhid 7",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := net1.withoutDefaults()
			b := newBench(t, eth0, n)
			b.pod.NS.Batch(t, test.setup...)
			before := b.pod.NS.Snapshot(t)
			a := b.attach(n, nil)
			call := a.must(t, "ADD")
			if got := defaultRoutes(t, b.pod.NS, test.family); !strings.Contains(got, test.keep) {
				t.Errorf("the default was taken away:\n%s", got)
			}
			if !strings.Contains(string(call.Stderr), "net1") {
				t.Errorf("standard error does not report the default by net1 that stays: %q", call.Stderr)
			}
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
		})
	}
}

// allowOutgoing lets the pod open connections, too. A reply by the wrong
// gateway is dropped all the same.
func (s *site) allowOutgoing(t *testing.T) {
	t.Helper()
	for _, gateway := range s.gateways {
		gateway.AllowFrom(t, "lan")
	}
}

// testOwnerLeaves detaches a running pod from the network of its default route
// (podman network disconnect). Of those that yielded, the first in the order of names has it
// next, whichever came first.
func testOwnerLeaves(t *testing.T) {
	t.Parallel()
	providers := []provider{providerA, providerB, providerC}
	s := newSite(t, providers...)
	s.allowOutgoing(t)
	pod := netlab.NewPod(t)
	lists, nics := []netlab.Conflist{}, []string{"eth0", "net1", "net2"}
	for _, p := range providers {
		lists = append(lists, s.chained(p, nil))
	}
	for _, i := range []int{2, 0, 1} {
		s.runtime.MustAdd(t, lists[i], pod, nics[i])
	}
	for leaving := range 2 {
		s.runtime.MustDel(t, lists[leaving], pod, nics[leaving])
		heir := providers[leaving+1]
		for _, family := range families {
			now := defaultRoutes(t, pod.NS, family)
			if strings.Count(now, "via") != 1 || !strings.Contains(now, "dev "+nics[leaving+1]) {
				t.Errorf("ip %s route show default, after %s left:\n%s", family, nics[leaving], now)
			}
		}
		for _, to := range clients {
			local, err := netlab.Client{NS: pod.NS}.Talk(s.client.Echo(t, addrPort(to)))
			if err != nil || local.Addr() != heir.pod(to) {
				t.Errorf("after %s left a connection to %v came from %v, want %v: %v", nics[leaving], to, local.Addr(), heir.pod(to), err)
			}
		}
		for staying := leaving + 1; staying < len(nics); staying++ {
			s.runtime.MustCheck(t, lists[staying], pod, nics[staying])
		}
	}
}

// testOwnerVanishes removes the NIC of the pod's default route without a word.
// CHECK names what is missing, and ADD repairs it.
func testOwnerVanishes(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	b.pod.NS.IP(t, "link", "del", "eth0")
	for _, family := range families {
		if now := defaultRoutes(t, b.pod.NS, family); now != "" {
			t.Fatalf("ip %s route show default:\n%s", family, now)
		}
	}
	assertCode(t, a.fails(t, "CHECK", "default"), codeMissing)
	a.must(t, "ADD")
	for _, family := range families {
		if now := defaultRoutes(t, b.pod.NS, family); !strings.Contains(now, "dev net1") {
			t.Errorf("ip %s route show default, after ADD:\n%s", family, now)
		}
	}
	a.must(t, "CHECK")
}
