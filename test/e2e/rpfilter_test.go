package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestStrictHost attaches pods that inherit all.rp_filter=1: a NIC's own key
// says nothing there, for the kernel takes the larger one.
func TestStrictHost(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct{ name, value string }{{"off", "0"}, {"loose", "2"}} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, providerA, providerB)
			pod := netlab.NewPod(t)
			pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=1")
			// Two devices that are nobody's business.
			for device, own := range map[string]string{"quiet": "0", "spare": "2"} {
				netlab.Cable(t, netlab.Port{NS: pod.NS, Link: device}, netlab.Port{NS: s.node, Link: device})
				pod.NS.SetSysctl(t, "net/ipv4/conf/"+device+"/rp_filter="+own)
			}
			before := pod.NS.Snapshot(t)

			a := s.chained(providerA, netlab.Object{"rpFilter": mode.name})
			b := s.chained(providerB, netlab.Object{"rpFilter": "keep"})
			s.runtime.MustAdd(t, a, pod, "eth0")
			s.runtime.MustAdd(t, b, pod, "net1")

			assertEffective(t, pod.NS, "eth0", mode.value)
			for device, want := range map[string]string{"net1": "1", "lo": "1", "default": "1", "quiet": "1", "spare": "2"} {
				assertEffective(t, pod.NS, device, want)
			}
			t.Run("it takes effect", func(t *testing.T) {
				s.assertForgedPasses(t, providerA, pod, "eth0", providerB.pod4)
			})
			t.Run("the other NIC stays strict", func(t *testing.T) {
				s.assertForgedDropped(t, providerB, pod, "net1", providerA.pod4)
			})
			s.runtime.MustCheck(t, a, pod, "eth0")
			s.runtime.MustCheck(t, b, pod, "net1")

			s.runtime.MustDel(t, b, pod, "net1")
			s.runtime.MustDel(t, a, pod, "eth0")
			assertSame(t, "ADD and DEL changed the pod", before, pod.NS.Snapshot(t))
			assertNoFiles(t, s.dataDir)
		})
	}
}

// TestStrictModeHolds uses what source routing makes safe: strict mode on every
// NIC, with all traffic that belongs there, and nothing that does not.
func TestStrictModeHolds(t *testing.T) {
	t.Parallel()
	for _, inherited := range []string{"0", "1", "2"} {
		t.Run("all="+inherited, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, providerA, providerB)
			pod := netlab.NewPod(t)
			pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter="+inherited)
			before := pod.NS.Snapshot(t)
			strict := netlab.Object{"rpFilter": "strict"}
			a, b := s.chained(providerA, strict), s.chained(providerB, strict)
			s.runtime.MustAdd(t, a, pod, "eth0")
			s.runtime.MustAdd(t, b, pod, "net1")
			assertEffective(t, pod.NS, "eth0", "1")
			assertEffective(t, pod.NS, "net1", "1")
			assertEffective(t, pod.NS, "lo", inherited)

			for _, p := range []provider{providerA, providerB} {
				for _, from := range clients {
					s.assertOnlyThrough(t, p, netlab.Client{NS: s.client, Source: from}, pod)
				}
			}
			s.assertForgedDropped(t, providerA, pod, "eth0", providerB.pod4)
			s.assertForgedDropped(t, providerB, pod, "net1", providerA.pod4)
			s.runtime.MustCheck(t, a, pod, "eth0")
			s.runtime.MustCheck(t, b, pod, "net1")

			s.runtime.MustDel(t, a, pod, "eth0")
			s.runtime.MustDel(t, b, pod, "net1")
			assertSame(t, "ADD and DEL changed the pod", before, pod.NS.Snapshot(t))
		})
	}
}

// TestTwoHolders lets two attachments lower an inherited all=2, and leave in
// either order.
func TestTwoHolders(t *testing.T) {
	t.Parallel()
	net1, net2 := net1.withoutDefaults(), net2.withoutDefaults()
	modes := map[string]string{"net1": "strict", "net2": "off"}
	values := map[string]string{"net1": "1", "net2": "0"}
	orders := [][]nic{{net1, net2}, {net2, net1}}
	for _, come := range orders {
		for _, leave := range orders {
			t.Run(fmt.Sprintf("%s comes first, %s leaves first", come[0].name, leave[0].name), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, eth0, net1, net2)
				pod := b.pod.NS
				pod.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2", "net/ipv4/conf/default/rp_filter=1")
				before := pod.Snapshot(t)

				// assertModes demands what is wanted on the NICs that
				// are held, and on all other devices what there was.
				assertModes := func(held ...nic) {
					t.Helper()
					for _, device := range []string{"lo", "default", "eth0", "net1", "net2"} {
						want := "2"
						if slices.ContainsFunc(held, func(n nic) bool { return n.name == device }) {
							want = values[device]
						}
						assertEffective(t, pod, device, want)
					}
				}
				attach := func(n nic) attachment { return b.attach(n, netlab.Object{"rpFilter": modes[n.name]}) }

				attach(come[0]).must(t, "ADD")
				assertModes(come[0])
				attach(come[1]).must(t, "ADD")
				assertModes(come[0], come[1])
				attach(net1).must(t, "CHECK")
				attach(net2).must(t, "CHECK")

				attach(leave[0]).must(t, "DEL")
				assertModes(leave[1])
				attach(leave[1]).must(t, "CHECK")
				attach(leave[1]).must(t, "DEL")
				assertSame(t, "ADD and DEL changed the pod", before, pod.Snapshot(t))
				assertNoFiles(t, b.dataDir)
			})
		}
	}
}

// TestKeepAndLoose asks for the modes that leave all alone.
func TestKeepAndLoose(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mode            any
		all, own, after string // all and the NIC's key before; the NIC's key after
	}{
		{"keep", "1", "0", "0"},
		{"keep", "0", "1", "1"},
		{"loose", "0", "0", "2"},
		{"loose", "1", "0", "2"},
		{"loose", "0", "1", "2"},
		{2, "1", "1", "2"},
	} {
		t.Run(fmt.Sprintf("%v with all=%s own=%s", test.mode, test.all, test.own), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			pod := b.pod.NS
			pod.SetSysctl(t, "net/ipv4/conf/all/rp_filter="+test.all, "net/ipv4/conf/net1/rp_filter="+test.own)
			before := pod.Snapshot(t)
			a := b.attach(net1, netlab.Object{"rpFilter": test.mode})
			a.must(t, "ADD")
			if got := pod.Sysctl(t, "net/ipv4/conf/net1/rp_filter"); got != test.after {
				t.Errorf("rp_filter of net1 is %s, want %s", got, test.after)
			}
			ownKey := func(line string) bool { return strings.HasPrefix(line, "net/ipv4/conf/net1/rp_filter") }
			settings := func(s netlab.Snapshot) netlab.Snapshot {
				return netlab.Snapshot{"settings": s.Without(ownKey)["net/ipv4/conf"]}
			}
			assertSame(t, "other settings changed", settings(before), settings(pod.Snapshot(t)))
			a.must(t, "DEL")
			assertSame(t, "ADD and DEL changed the pod", before, pod.Snapshot(t))
		})
	}
}

// forge sends the pod a packet from the client to one of the pod's addresses,
// over the LAN of a provider, whichever provider the address belongs to.
func (s *site) forge(t *testing.T, over provider, pod *netlab.Pod, nic string, to netip.Addr) *netlab.Mailbox {
	t.Helper()
	box := pod.NS.Mailbox(t, addrPort(to))
	s.gateways[over.name].Inject(t, "lan", netlab.Frame{
		DstMAC:  pod.NS.MAC(t, nic),
		Src:     netip.AddrPortFrom(client4, 7),
		Dst:     box.Address,
		Payload: "forged",
	})
	return box
}

// assertForgedDropped demands that the kernel drops such a packet, and that it
// does so because of rp_filter.
func (s *site) assertForgedDropped(t *testing.T, over provider, pod *netlab.Pod, nic string, to netip.Addr) {
	t.Helper()
	drops := pod.NS.ReversePathDrops(t)
	box := s.forge(t, over, pod, nic, to)
	netlab.Eventually(t, "rp_filter drops the packet for "+to.String()+" on "+nic, func() bool {
		return pod.NS.ReversePathDrops(t) > drops || len(box.Messages(t)) > 0
	})
	if got := box.Messages(t); len(got) > 0 {
		t.Errorf("a packet for %v was accepted on %s", to, nic)
	}
}

// assertForgedPasses demands that the kernel delivers it.
func (s *site) assertForgedPasses(t *testing.T, over provider, pod *netlab.Pod, nic string, to netip.Addr) {
	t.Helper()
	drops := pod.NS.ReversePathDrops(t)
	box := s.forge(t, over, pod, nic, to)
	netlab.Eventually(t, "the packet for "+to.String()+" arrives on "+nic, func() bool {
		return pod.NS.ReversePathDrops(t) > drops || len(box.Messages(t)) > 0
	})
	if len(box.Messages(t)) == 0 {
		t.Errorf("rp_filter dropped a packet for %v on %s", to, nic)
	}
}
