package e2e

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// routers are two on net1's link.
var routers = []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::2")}

// advertised is a bench whose net1 gets what it knows of its link from routers alone.
func advertised(t *testing.T, n nic) *bench {
	t.Helper()
	b := newBench(t, eth0, n)
	b.answer(t, "net1", providerB)
	for _, router := range routers {
		b.wire.Batch(t, netlab.Address(router.String()+"/64", "net1"))
	}
	b.wire.Settle(t, "net1")
	return b
}

// advertise sends an advertisement to net1, and waits until main has, by net1, just these
// destinations or next hops of what routers advertise.
func (b *bench) advertise(t *testing.T, a netlab.Advertisement, want ...string) {
	t.Helper()
	b.wire.Advertise(t, "net1", a)
	netlab.Eventually(t, "net1 has heard the advertisement", func() bool {
		var got []string
		for line := range strings.Lines(b.pod.NS.IP(t, "-6", "route", "show", "dev", "net1")) {
			if strings.Contains(line, "expires") {
				got = append(got, line)
			}
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(got, ""), w) {
				return false
			}
		}
		return len(got) == len(want)
	})
}

const advertisedFor = 30 * time.Minute

// TestRouterComesLater: the router is not there yet when ADD comes. Then it comes, is replaced, and
// goes. CHECK tells each time, and ADD again makes the source go by what main has.
func TestRouterComesLater(t *testing.T) {
	t.Parallel()
	n := net1.withoutGateways()
	b := advertised(t, n)
	pod := b.pod.NS
	a := b.attach(n, nil)
	said := string(a.must(t, "ADD").Stderr)
	for _, family := range []string{"IPv4", "IPv6"} {
		if !strings.Contains(said, "no "+family+" gateway of net1") {
			t.Errorf("ADD does not note that there is no %s gateway: %q", family, said)
		}
	}
	a.must(t, "CHECK")
	assertUnreachable := func() {
		t.Helper()
		sender := netlab.Client{NS: pod, Network: "udp", Source: providerB.pod6}
		if _, err := sender.Talk(netip.AddrPortFrom(client6, 9)); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("from %v: %v, want %v", providerB.pod6, err, syscall.ENETUNREACH)
		}
	}
	assertUnreachable()

	for i, router := range routers {
		if i > 0 {
			b.advertise(t, netlab.Advertisement{Router: routers[i-1]})
		}
		b.advertise(t, netlab.Advertisement{Router: router, Lifetime: advertisedFor}, "via "+router.String()+" ")
		assertCode(t, a.fails(t, "CHECK", "the table 7300", "default via "+router.String(), "ADD again"), codeMissing)
		a.must(t, "ADD")
		a.must(t, "CHECK")
		assertRoute(t, pod, "net1", router, client6, "from", providerB.pod6.String())
		b.assertAnswers(t, "net1", []string{"eth0"}, providerB.pod6)
	}

	b.advertise(t, netlab.Advertisement{Router: routers[1]})
	assertCode(t, a.fails(t, "CHECK", "no IPv6 route \"default via fe80::2", "ADD again"), codeMissing)
	a.must(t, "ADD")
	a.must(t, "CHECK")
	assertUnreachable()
	a.must(t, "DEL")
	if left := pod.Snapshot(t).Grep("proto 73"); len(left) > 0 {
		t.Errorf("left over:\n%s", strings.Join(left, "\n"))
	}
}

// TestRouterIsReplaced: a client of DHCP puts another default into main, that of a NIC which yields
// or of one that owns it. CHECK tells; ADD again makes the table go by it, and main what it was.
func TestRouterIsReplaced(t *testing.T) {
	t.Parallel()
	first, second := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2")
	dhcp := nic{name: "net1", addresses: []string{"203.0.113.144/24"}, gateways: []string{""}}
	for name, nics := range map[string][]nic{"of a NIC that yields": {eth0, dhcp}, "of the NIC that owns main": {dhcp}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nics...)
			pod := b.pod.NS
			b.answer(t, "net1", providerB)
			b.wire.IP(t, "addr", "add", second.String()+"/24", "dev", "net1")
			owns := len(nics) == 1
			a := b.attach(dhcp, nil)
			a.must(t, "ADD")
			for _, router := range []netip.Addr{first, second} {
				if owns {
					pod.IP(t, "route", "replace", "default", "via", router.String(), "dev", "net1")
				} else {
					pod.IP(t, "route", "append", "default", "via", router.String(), "dev", "net1")
				}
				assertCode(t, a.fails(t, "CHECK", "the table 7300", "default via "+router.String(), "ADD again"), codeMissing)
				for range 2 {
					a.must(t, "ADD")
					a.must(t, "CHECK")
				}
				assertRoute(t, pod, "net1", router, client4, "from", providerB.pod4.String())
				b.assertAnswers(t, "net1", nil, providerB.pod4)
				got := strings.TrimSpace(pod.IP(t, "-4", "route", "show", "default", "dev", "net1"))
				if owns && got != "default via "+router.String() || !owns && got != "" {
					t.Errorf("main has, by net1: %q", got)
				}
			}
			a.must(t, "DEL")
			if got := strings.TrimSpace(pod.IP(t, "-4", "route", "show", "default", "dev", "net1")); got != "default via "+second.String() {
				t.Errorf("after DEL main has, by net1: %q", got)
			}
		})
	}
}

// TestReplacedRouterStaysReplaced: net1 has displaced the default of eth0, for which somebody then adds another. The table
// of eth0 goes by the new one; the old one, which the record of net1 still holds, does not come back to it, neither in
// CHECK nor when net1's attachment is added again. Of two defaults by one next hop the table has the size of packets of the
// better one.
func TestReplacedRouterStaysReplaced(t *testing.T) {
	t.Parallel()
	dhcp := eth0.withoutGateways()
	b := newBench(t, dhcp, net1)
	pod := b.pod.NS
	pod.Batch(t, "route append default via "+providerA.gateway6().String()+" dev eth0 mtu 1400")
	taker, a := b.attach(net1, netlab.Object{"mainDefault": "take"}), b.attach(dhcp, nil)
	taker.must(t, "ADD")
	pod.Batch(t, "route append default via fe80::2 dev eth0")
	for range 2 {
		a.must(t, "ADD")
		a.must(t, "CHECK")
		taker.must(t, "ADD")
		taker.must(t, "CHECK")
	}
	table := pod.IP(t, "-6", "route", "show", "table", "all", "default")
	if strings.Contains(table, "via "+providerA.gateway6().String()) || !strings.Contains(table, "default via fe80::2 dev eth0 table") {
		t.Errorf("eth0's table does not go by the new router:\n%s", table)
	}
	pod.Batch(t, "route append default via fe80::2 dev eth0 metric 20 mtu 1300")
	a.must(t, "ADD")
	a.must(t, "CHECK")
	if table := pod.IP(t, "-6", "route", "show", "table", "all", "default"); !strings.Contains(table, "mtu 1300") {
		t.Errorf("eth0's table does not have the better default's size of packets:\n%s", table)
	}
	a.must(t, "DEL")
	taker.must(t, "DEL")
}

// TestNamedGatewayStays: what main has does not matter where the configuration or IPAM names the
// gateway.
func TestNamedGatewayStays(t *testing.T) {
	t.Parallel()
	unnamed := nic{name: "net1", addresses: []string{"203.0.113.144/24"}, gateways: []string{""}}
	for name, test := range map[string]struct {
		nic  nic
		keys netlab.Object
	}{
		"by the configuration": {unnamed, netlab.Object{"gateways": []string{"203.0.113.1"}}},
		"by IPAM":              {nic{name: "net1", addresses: unnamed.addresses, gateways: []string{"203.0.113.1"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, test.nic)
			a := b.attach(test.nic, test.keys)
			a.must(t, "ADD")
			b.pod.NS.IP(t, "route", "append", "default", "via", "203.0.113.9", "dev", "net1")
			a.must(t, "CHECK")
			assertRoute(t, b.pod.NS, "net1", netip.MustParseAddr("203.0.113.1"), client4, "from", "203.0.113.144")
		})
	}
}

// TestCheckGoesByWhatADDGot: the prevResult of CHECK is that of the whole chain, of which a plugin
// behind symroute may have taken the gateways. That is no change of main.
func TestCheckGoesByWhatADDGot(t *testing.T) {
	t.Parallel()
	n := net1.withoutDefaults()
	b := newBench(t, eth0, n)
	a := b.attach(n, nil)
	a.must(t, "ADD")
	a.prev = b.result(n.withoutGateways())
	if said := a.must(t, "CHECK").Stderr; len(said) > 0 {
		t.Errorf("CHECK says\n%s", said)
	}
}

// TestPrefixReachesItsNeighbours: the NIC gets its addresses after ADD, which knows their prefix
// from "sources". There is no gateway, so that only what is on the link is reached, and that is
// what main has there: what came is copied by ADD again, and what expires goes.
func TestPrefixReachesItsNeighbours(t *testing.T) {
	t.Parallel()
	none := nic{name: "net1"}
	t.Run("autoconfigured", func(t *testing.T) {
		t.Parallel()
		b := advertised(t, none)
		pod := b.pod.NS
		a := b.attach(none, netlab.Object{"sources": []string{providerB.subnet6.String()}})
		a.must(t, "ADD")
		prefix := providerB.subnet6.String()
		b.advertise(t, netlab.Advertisement{Router: routers[0], Prefix: providerB.subnet6, PrefixLifetime: 3 * time.Hour}, prefix)
		assertCode(t, a.fails(t, "CHECK", "the table 7300", prefix, "ADD again"), codeMissing)
		a.must(t, "ADD")
		a.must(t, "CHECK")
		pod.Settle(t, "net1")
		auto := autoconfigured(t, pod)
		assertByNIC(t, netlab.Client{NS: b.wire, Source: providerB.gateway6()}, b.pod, []string{"eth0", "net1"}, "net1", auto)

		b.advertise(t, netlab.Advertisement{Router: routers[0], Prefix: providerB.subnet6})
		assertCode(t, a.fails(t, "CHECK", "the table 7300", "no IPv6 route \""+prefix, "ADD again"), codeMissing)
		a.must(t, "ADD")
		a.must(t, "CHECK")
	})
	t.Run("by DHCP", func(t *testing.T) {
		t.Parallel()
		b := newBench(t, eth0, none)
		pod := b.pod.NS
		b.answer(t, "net1", providerB)
		a := b.attach(none, netlab.Object{"sources": []string{providerB.subnet4.String()}, "rpFilter": "strict"})
		a.must(t, "ADD")
		pod.IP(t, "addr", "add", providerB.pod4.String()+"/24", "dev", "net1")
		assertCode(t, a.fails(t, "CHECK", "the table 7300", "203.0.113.0/24", "ADD again"), codeMissing)
		a.must(t, "ADD")
		a.must(t, "CHECK")
		assertByNIC(t, netlab.Client{NS: b.wire, Source: providerB.gateway4()}, b.pod, []string{"eth0", "net1"}, "net1", providerB.pod4)
	})
	t.Run("of which no source is told", func(t *testing.T) {
		t.Parallel()
		b := advertised(t, none)
		a := b.attach(none, nil)
		a.must(t, "ADD")
		b.advertise(t, netlab.Advertisement{Router: routers[0], Prefix: providerB.subnet6, PrefixLifetime: 3 * time.Hour}, providerB.subnet6.String())
		b.pod.NS.Settle(t, "net1")
		assertTells(t, a.must(t, "CHECK"), "no source covers the address "+autoconfigured(t, b.pod.NS).String())
	})
}

// autoconfigured is the address that net1 has made itself.
func autoconfigured(t *testing.T, pod *netlab.NS) netip.Addr {
	t.Helper()
	for word := range strings.FieldsSeq(pod.IP(t, "-6", "addr", "show", "dev", "net1", "scope", "global", "dynamic")) {
		if prefix, err := netip.ParsePrefix(word); err == nil {
			return prefix.Addr()
		}
	}
	t.Fatal("net1 has no autoconfigured address")
	return netip.Addr{}
}
