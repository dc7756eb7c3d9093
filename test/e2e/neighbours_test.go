package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/symroute/symroute/test/netlab"
)

// TestSBRBeside has sbr look after one NIC and symroute after another. Neither
// minds in which order the other comes and goes.
func TestSBRBeside(t *testing.T) {
	t.Parallel()
	for _, sbrFirst := range []bool{true, false} {
		for _, sbrLeavesFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("sbr comes first: %t, leaves first: %t", sbrFirst, sbrLeavesFirst), func(t *testing.T) {
				t.Parallel()
				testSBRBeside(t, sbrFirst, sbrLeavesFirst)
			})
		}
	}
}

func testSBRBeside(t *testing.T, sbrFirst, sbrLeavesFirst bool) {
	s := newSite(t, providerA, providerB, providerC)
	pod := netlab.NewPod(t)
	s.runtime.MustAdd(t, s.plain(providerA, defaults...), pod, "eth0")
	before := pod.NS.Snapshot(t)
	// neighbour is an attachment, and what there is of it in the pod.
	type neighbour struct {
		list     netlab.Conflist
		nic      string
		provider provider
		present  func() []string
	}
	bySBR := neighbour{
		list: netlab.NewConflist("by-sbr", cniVersion,
			netlab.BridgePlugin(providerB.bridge(), providerB.hostLocal(s.ipamDir)), netlab.Object{"type": "sbr"}),
		nic: "net1", provider: providerB,
		present: func() []string { return sbrState(t, pod.NS) },
	}
	bySymroute := neighbour{
		list: s.chained(providerC, netlab.Object{"rpFilter": "strict"}),
		nic:  "net2", provider: providerC,
		present: func() []string {
			ours := pod.NS.Snapshot(t).Grep(protocol)
			return slices.Sorted(slices.Values(slices.DeleteFunc(ours, keepsFromFallback)))
		},
	}
	// unmoved runs something and demands that a neighbour's state stays.
	unmoved := func(n neighbour, what string, do func()) {
		t.Helper()
		was := n.present()
		do()
		assertLines(t, what+" changed what "+n.nic+" has", was, n.present())
	}
	answers := func(providers ...provider) {
		t.Helper()
		for _, p := range providers {
			for _, from := range clients {
				s.assertOnlyThrough(t, p, netlab.Client{NS: s.client, Source: from}, pod)
			}
		}
	}
	first, second := bySBR, bySymroute
	if !sbrFirst {
		first, second = second, first
	}
	s.runtime.MustAdd(t, first.list, pod, first.nic)
	unmoved(first, "ADD of "+second.nic, func() { s.runtime.MustAdd(t, second.list, pod, second.nic) })
	if len(bySBR.present()) == 0 || len(bySymroute.present()) == 0 {
		t.Error("sbr or symroute made nothing: this test shows nothing")
	}
	answers(providerA, providerB, providerC)
	s.runtime.MustCheck(t, bySymroute.list, pod, bySymroute.nic)

	leaving, staying := bySBR, bySymroute
	if !sbrLeavesFirst {
		leaving, staying = staying, leaving
	}
	unmoved(staying, "DEL of "+leaving.nic, func() { s.runtime.MustDel(t, leaving.list, pod, leaving.nic) })
	assertLines(t, "left of "+leaving.nic, nil, leaving.present())
	answers(providerA, staying.provider)
	if sbrLeavesFirst {
		s.runtime.MustCheck(t, bySymroute.list, pod, bySymroute.nic)
	}
	s.runtime.MustDel(t, staying.list, pod, staying.nic)
	assertSame(t, "ADDs and DELs changed the pod", before, pod.NS.Snapshot(t))
	assertNoFiles(t, s.dataDir)
}

// keepsFromFallback reports whether a rule keeps an address of provider B's NIC from leaving by
// another when main has no default. It goes with the NIC: sbr deletes every rule that is for an
// address of its own (plugins/meta/sbr/main.go, tidyRules).
func keepsFromFallback(rule string) bool {
	return strings.HasPrefix(rule, "49998:") && slices.ContainsFunc(providerB.pods(), func(a netip.Addr) bool {
		return strings.Contains(rule, "from "+a.String()+" unreachable")
	})
}

// sbrState is what sbr has in the pod: its rules, without their priorities,
// which depend on what else there is, and its tables, which it takes from 100 on
// (containernetworking/plugins: plugins/meta/sbr/main.go).
func sbrState(t *testing.T, ns *netlab.NS) []string {
	t.Helper()
	var state []string
	for _, family := range families {
		for line := range strings.Lines(ns.IP(t, family, "rule")) {
			if _, rule, _ := strings.Cut(line, "\t"); strings.Contains(rule, "lookup 10") {
				state = append(state, strings.TrimSpace(rule))
			}
		}
		for number := 100; number < 110; number++ {
			state = append(state, table(t, ns, family, fmt.Sprint(number))...)
		}
	}
	return state
}

// TestTuningBefore has tuning before symroute in the chain. What both set is what
// the last of them says, and CHECK names a contradiction.
func TestTuningBefore(t *testing.T) {
	t.Parallel()
	sysctl := func(key, value string) netlab.Object {
		return netlab.Object{"sysctl": netlab.Object{"net.ipv4.conf." + key: value}}
	}
	for _, test := range []struct {
		name         string
		tuning       netlab.Object
		rpFilter     string
		effective    string // of net1, in the end
		others       string // of eth0 and lo
		all          string // what tuning leaves when all have gone
		contradicted string // the setting that tuning's CHECK finds changed
	}{
		{"strict on the NIC, then loose", sysctl("IFNAME.rp_filter", "1"), "loose", "2", "0", "0", "net1/rp_filter is 1, current value is 2"},
		{"strict on the NIC, then strict", sysctl("IFNAME.rp_filter", "1"), "strict", "1", "0", "0", ""},
		{"strict on the NIC, then keep", sysctl("IFNAME.rp_filter", "1"), "keep", "1", "0", "0", ""},
		{"strict for all, then loose", sysctl("all.rp_filter", "1"), "loose", "2", "1", "1", ""},
		{"strict for all, then strict", sysctl("all.rp_filter", "1"), "strict", "1", "1", "1", ""},
		{"strict for all, then off", sysctl("all.rp_filter", "1"), "off", "0", "1", "1", "all/rp_filter is 1, current value is 0"},
		{"loose for all, then strict", sysctl("all.rp_filter", "2"), "strict", "1", "2", "2", "all/rp_filter is 2, current value is "},
		{"another MAC address and MTU", netlab.Object{"mac": "02:00:5e:00:53:01", "mtu": 1300}, "strict", "1", "0", "0", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, providerA, providerB)
			pod := netlab.NewPod(t)
			s.runtime.MustAdd(t, s.plain(providerA, defaults...), pod, "eth0")
			before := pod.NS.Snapshot(t)
			tuning := netlab.Object{"type": "tuning", "dataDir": t.TempDir()}
			for key, value := range test.tuning {
				tuning[key] = value
			}
			list := netlab.NewConflist("tuned", cniVersion,
				netlab.BridgePlugin(providerB.bridge(), providerB.hostLocal(s.ipamDir, defaults...)),
				tuning, s.symroute(netlab.Object{"rpFilter": test.rpFilter}))
			s.runtime.MustAdd(t, list, pod, "net1")

			assertEffective(t, pod.NS, "net1", test.effective)
			assertEffective(t, pod.NS, "eth0", test.others)
			assertEffective(t, pod.NS, "lo", test.others)
			if mac := test.tuning["mac"]; mac != nil && pod.NS.MAC(t, "net1").String() != mac {
				t.Errorf("the MAC address of net1 is %v, want %v", pod.NS.MAC(t, "net1"), mac)
			}
			for _, from := range clients {
				s.assertOnlyThrough(t, providerA, netlab.Client{NS: s.client, Source: from}, pod)
				s.assertOnlyThrough(t, providerB, netlab.Client{NS: s.client, Source: from}, pod)
			}
			s.assertOwnCheckPasses(t)
			err := s.runtime.Check(list, pod, "net1")
			switch {
			case test.contradicted == "" && err != nil:
				t.Errorf("CHECK of the chain: %v", err)
			case test.contradicted != "" && (err == nil || !strings.Contains(err.Error(), test.contradicted)):
				t.Errorf("CHECK of the chain says %v, want it to name that %s", err, test.contradicted)
			}

			s.runtime.MustDel(t, list, pod, "net1")
			// Tuning does not put sysctls back (plugins/meta/tuning: cmdDel).
			const all = "net/ipv4/conf/all/rp_filter"
			if got := pod.NS.Sysctl(t, all); got != test.all {
				t.Errorf("%s is %s after DEL, want %s as tuning left it", all, got, test.all)
			}
			ofTuning := func(line string) bool { return strings.HasPrefix(line, all) }
			assertSame(t, "ADD and DEL changed the pod", before.Without(ofTuning), pod.NS.Snapshot(t).Without(ofTuning))
			assertNoFiles(t, s.dataDir)
		})
	}
}

// assertOwnCheckPasses runs CHECK of symroute alone, with what its latest ADD was
// told: in a chain, the plugins before it may end CHECK before it is asked.
func (s *site) assertOwnCheckPasses(t *testing.T) {
	t.Helper()
	call := s.runtime.Last(t, "symroute", "ADD")
	env := slices.Clone(call.Env)
	env[slices.Index(env, "CNI_COMMAND=ADD")] = "CNI_COMMAND=CHECK"
	if check := s.node.RunPlugin(t, env, call.Stdin); check.Failed(t) != nil {
		t.Errorf("CHECK of symroute alone failed\n%v", check)
	}
}

// override is a configuration of the plugin route-override
// (openshift/route-override-cni: cmd/route-override/route-override.go, which
// changes the routes of the NIC in main, and the result to match).
type override struct {
	flushRoutes, flushGateway bool
	delRoutes                 []string
	addRoutes                 []string // by the provider's gateway
}

// apply changes the pod's main table, and returns the result that the next
// plugin gets.
func (o override) apply(t *testing.T, pod *netlab.Pod, nic string, p provider, result *current.Result) *current.Result {
	t.Helper()
	del := slices.Clone(o.delRoutes)
	if o.flushGateway {
		del = append(del, defaults...)
	}
	changed := *result
	changed.Routes = nil
	for _, route := range result.Routes {
		dst := route.Dst.String()
		if o.flushRoutes || slices.Contains(del, dst) {
			// It may be gone, as from main the default that yields. Without
			// the gateway IPv6 would delete the other NICs' hops too.
			gateway := p.gateway(netip.MustParsePrefix(dst).Addr()).String()
			_, _ = pod.NS.Command("", "ip", "route", "del", dst, "via", gateway, "dev", nic, "table", "main")
			continue
		}
		changed.Routes = append(changed.Routes, route)
	}
	changed.IPs = nil
	for _, ip := range result.IPs {
		address := *ip
		if o.flushGateway {
			address.Gateway = make([]byte, len(ip.Gateway)) // 0.0.0.0, ::
		}
		changed.IPs = append(changed.IPs, &address)
	}
	for _, text := range o.addRoutes {
		dst := netip.MustParsePrefix(text)
		pod.NS.IP(t, "route", "add", text, "via", p.gateway(dst.Addr()).String(), "dev", nic)
		changed.Routes = append(changed.Routes, &types.Route{
			Dst: net.IPNet{IP: dst.Addr().AsSlice(), Mask: net.CIDRMask(dst.Bits(), dst.Addr().BitLen())},
			GW:  p.gateway(dst.Addr()).AsSlice(),
		})
	}
	return &changed
}

// behind is symroute's part of an attachment whose NIC other plugins made.
func (s *site) behind(result *current.Result, pod *netlab.Pod, nic string, keys netlab.Object) attachment {
	conf := s.symroute(keys)
	conf["cniVersion"], conf["name"] = cniVersion, "net-of-"+nic
	return attachment{node: s.node, pod: pod, containerID: pod.ID, nic: nic, netns: pod.NS.Path, conf: conf, prev: result}
}

// beyondGateway is what IPAM routes by net1 beside the defaults.
var beyondGateway = []string{"10.1.0.0/16", "2001:db8:1::/48"}

// TestRouteOverrideBefore has route-override between IPAM and symroute: what it
// leaves of routes and gateways is what symroute works with.
func TestRouteOverrideBefore(t *testing.T) {
	t.Parallel()
	towardsClients := []string{"192.0.2.0/24", "2001:db8:c::/64"}
	for _, test := range []struct {
		name     string
		override override
		keys     netlab.Object
		// Destinations of net1's addresses that are answered, and refused.
		answered, refused []netip.Addr
	}{
		{
			name:     "no routes, the gateway of the addresses stays",
			override: override{flushRoutes: true},
			answered: clients,
		},
		{
			name:     "routes deleted one by one",
			override: override{delRoutes: slices.Concat(defaults, beyondGateway)},
			answered: clients,
		},
		{
			name:     "neither routes nor gateways",
			override: override{flushRoutes: true, flushGateway: true},
			refused:  clients,
		},
		{
			name:     "neither routes nor gateways, but configured ones",
			override: override{flushRoutes: true, flushGateway: true},
			keys:     netlab.Object{"gateways": []string{"203.0.113.1", "2001:db8:b::1"}},
			answered: clients,
		},
		{
			name:     "a route added in place of the default",
			override: override{flushGateway: true, addRoutes: towardsClients},
			answered: clients,
			refused:  []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("2001:db8:9::1")},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, providerA, providerB)
			pod := netlab.NewPod(t)
			// Eth0 needs symroute, too: a route that is added to main
			// takes its answers with it.
			first, plain := s.chained(providerA, nil), s.plain(providerB, slices.Concat(defaults, beyondGateway)...)
			s.runtime.MustAdd(t, first, pod, "eth0")
			result := s.runtime.MustAdd(t, plain, pod, "net1")
			a := s.behind(test.override.apply(t, pod, "net1", providerB, result), pod, "net1", test.keys)
			before := pod.NS.Snapshot(t)
			a.must(t, "ADD")

			for _, from := range clients {
				s.assertOnlyThrough(t, providerA, netlab.Client{NS: s.client, Source: from}, pod)
			}
			for _, remote := range test.answered {
				s.assertOnlyThrough(t, providerB, netlab.Client{NS: s.client, Source: remote}, pod)
			}
			for _, remote := range test.refused {
				client := netlab.Client{NS: pod.NS, Source: providerB.pod(remote)}
				if _, err := client.Talk(netip.AddrPortFrom(remote, 7)); !errors.Is(err, syscall.ENETUNREACH) {
					t.Errorf("from %v to %v: %v, want it refused as unreachable", client.Source, remote, err)
				}
			}
			for _, gateway := range []netip.Addr{providerB.gateway4(), providerB.gateway6()} {
				neighbour := netlab.Client{NS: pod.NS, Source: providerB.pod(gateway)}
				if _, err := neighbour.Talk(s.gateways["b"].Echo(t, addrPort(gateway))); err != nil {
					t.Errorf("from %v to the neighbour %v: %v", neighbour.Source, gateway, err)
				}
			}
			a.must(t, "CHECK")
			s.runtime.MustCheck(t, first, pod, "eth0")
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, pod.NS.Snapshot(t))
			s.runtime.MustDel(t, plain, pod, "net1")
			s.runtime.MustDel(t, first, pod, "eth0")
			assertNothingOfOurs(t, pod.NS)
			assertNoFiles(t, s.dataDir)
		})
	}
}

// TestRouteOverrideBehind has route-override after symroute: it changes main and
// the final result, and not the source table. CHECK asks for what ADD made.
func TestRouteOverrideBehind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		override override
	}{
		{name: "no routes", override: override{flushRoutes: true}},
		{name: "neither routes nor gateways", override: override{flushRoutes: true, flushGateway: true}},
		{name: "a route deleted", override: override{delRoutes: beyondGateway}},
		// The source table lacks it: there it goes by the default.
		{name: "a route added", override: override{addRoutes: []string{"10.2.0.0/16", "2001:db8:2::/48"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, providerA, providerB)
			pod := netlab.NewPod(t)
			s.runtime.MustAdd(t, s.plain(providerA, defaults...), pod, "eth0")
			before := pod.NS.Snapshot(t)
			plain := s.plain(providerB, slices.Concat(defaults, beyondGateway)...)
			result := s.runtime.MustAdd(t, plain, pod, "net1")
			a := s.behind(result, pod, "net1", nil)
			a.must(t, "ADD")
			a.prev = test.override.apply(t, pod, "net1", providerB, result)

			for _, from := range clients {
				s.assertOnlyThrough(t, providerA, netlab.Client{NS: s.client, Source: from}, pod)
				s.assertOnlyThrough(t, providerB, netlab.Client{NS: s.client, Source: from}, pod)
			}
			a.must(t, "CHECK")
			a.must(t, "DEL")
			assertNothingOfOurs(t, pod.NS)
			assertNoFiles(t, s.dataDir)
			s.runtime.MustDel(t, plain, pod, "net1")
			assertSame(t, "ADD and DEL changed the pod", before, pod.NS.Snapshot(t))
		})
	}
}

// TestEarlierPluginsCheck has the interface plugins before symroute look for their own work
// after ADD: their addresses and routes, of which symroute takes none but defaults away. Of
// these they ask for one by any NIC (plugins/pkg/ip, ValidateExpectedRoute).
func TestEarlierPluginsCheck(t *testing.T) {
	t.Parallel()
	for name, plugin := range map[string]func(string, netlab.Object) netlab.Object{"bridge": netlab.BridgePlugin, "macvlan": netlab.MacvlanPlugin} {
		for _, mainDefault := range []string{"yield", "take", "keep"} {
			for _, eth0Chained := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, eth0 chained: %t", name, mainDefault, eth0Chained), func(t *testing.T) {
					t.Parallel()
					s := newSite(t, providerA, providerB)
					pod := netlab.NewPod(t)
					first := s.plain(providerA, defaults...)
					if eth0Chained {
						first = s.chained(providerA, nil)
					}
					ipam := providerB.hostLocal(s.ipamDir, slices.Concat(defaults, beyondGateway)...)
					second := netlab.NewConflist("net-b", cniVersion, plugin(providerB.bridge(), ipam), s.symroute(netlab.Object{"mainDefault": mainDefault}))
					s.runtime.MustAdd(t, first, pod, "eth0")
					s.runtime.MustAdd(t, second, pod, "net1")
					s.runtime.MustCheck(t, first, pod, "eth0")
					s.runtime.MustCheck(t, second, pod, "net1")
					if check := s.runtime.Last(t, name, "CHECK"); check.ExitCode != 0 {
						t.Errorf("CHECK of %s: %v", name, check)
					}
					pod.NS.IP(t, "route", "del", beyondGateway[0], "dev", "net1", "table", "main")
					if err := s.runtime.Check(second, pod, "net1"); err == nil || !strings.Contains(err.Error(), "Expected Route") {
						t.Errorf("CHECK without the route to %s: %v; this test shows nothing", beyondGateway[0], err)
					}
				})
			}
		}
	}
}

// assertByNIC lets a client talk to an address of the pod, and demands that both
// directions cross one NIC of the pod and none of its others.
func assertByNIC(t *testing.T, client netlab.Client, pod *netlab.Pod, nics []string, nic string, address netip.Addr) {
	t.Helper()
	captures := map[string]*netlab.Capture{}
	for _, name := range nics {
		captures[name] = pod.NS.Capture(t, name)
	}
	server := pod.NS.Echo(t, addrPort(address))
	local, err := client.Talk(server)
	if err != nil {
		t.Errorf("%v of %s does not answer: %v", address, nic, err)
		return
	}
	assertCrosses(t, captures, nic, local.Addr(), address)
}

// assertCrosses demands that both directions of a conversation crossed one NIC
// and no other.
func assertCrosses(t *testing.T, captures map[string]*netlab.Capture, nic string, one, other netip.Addr) {
	t.Helper()
	for name, capture := range captures {
		packets := capture.Matching(t, func(packet netlab.Packet) bool {
			return packet.Protocol != "arp" && packet.Between(one, other)
		})
		in, out := directions(packets)
		if want := name == nic; in != want || out != want {
			t.Errorf("%v and %v: %s carried incoming: %t, outgoing: %t; want both: %t\n%s",
				one, other, name, in, out, want, netlab.List(packets))
		}
	}
}
