package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// railNetwork is the LAN of the rails: GPU and storage nodes have several NICs in
// one subnet. Its gateway is that of a site.
var railNetwork = newProvider("rail", "10.60.0.0/24", "2001:db8:60::/64")

// railNICs are the rails of every pod.
var railNICs = []string{"rail1", "rail2", "rail3", "rail4"}

// isolated is what makes several NICs in one subnet work.
var isolated = netlab.Object{"arp": "isolate", "rpFilter": "strict"}

// rail is a macvlan NIC in the LAN of the rails, with an address of each family.
type rail struct {
	nic  string
	four netip.Addr
	six  netip.Addr
	list netlab.Conflist
}

func (r rail) addresses() []netip.Addr { return []netip.Addr{r.four, r.six} }

// addressLike is the rail's address of the family of another.
func (r rail) addressLike(family netip.Addr) netip.Addr {
	if family.Is4() {
		return r.four
	}
	return r.six
}

// railSite is a site with the LAN of the rails, and pods that hang on it by four
// NICs each.
type railSite struct {
	*site
	lan *netlab.NS // a neighbour of the rails: their gateway
}

func newRailSite(t *testing.T) railSite {
	t.Helper()
	s := newSite(t, railNetwork)
	s.allowOutgoing(t)
	return railSite{site: s, lan: s.gateways[railNetwork.name]}
}

// rails prepares the rails of pod number n, with further plugins behind macvlan.
func (s railSite) rails(n int, chained ...netlab.Object) []rail {
	var all []rail
	for i, nic := range railNICs {
		host := 10*n + i + 1
		r := rail{
			nic:  nic,
			four: netip.MustParseAddr(fmt.Sprintf("10.60.0.%d", host)),
			six:  netip.MustParseAddr(fmt.Sprintf("2001:db8:60::%x", host)),
		}
		ipam := netlab.Static([]netlab.StaticAddress{
			{Address: r.four.String() + "/24", Gateway: railNetwork.gateway4().String()},
			{Address: r.six.String() + "/64", Gateway: railNetwork.gateway6().String()},
		}, defaults...)
		plugins := append([]netlab.Object{netlab.MacvlanPlugin(railNetwork.bridge(), ipam)}, chained...)
		r.list = netlab.NewConflist("network-of-"+nic, cniVersion, plugins...)
		all = append(all, r)
	}
	return all
}

// pod makes a pod with these rails.
func (s railSite) pod(t *testing.T, rails []rail) *netlab.Pod {
	t.Helper()
	pod := netlab.NewPod(t)
	for _, r := range rails {
		s.runtime.MustAdd(t, r.list, pod, r.nic)
	}
	return pod
}

// captureRails records what crosses the rails of a pod.
func captureRails(t *testing.T, pod *netlab.Pod, rails []rail) map[string]*netlab.Capture {
	t.Helper()
	captures := map[string]*netlab.Capture{}
	for _, r := range rails {
		captures[r.nic] = pod.NS.Capture(t, r.nic)
	}
	return captures
}

// ask lets the neighbour resolve an address of a rail anew, and returns the NICs
// that answered. Every NIC hears the question, and none may answer it twice.
func (s railSite) ask(t *testing.T, pod *netlab.Pod, rails []rail, address netip.Addr) (answering []string) {
	t.Helper()
	captures := captureRails(t, pod, rails)
	s.lan.IP(t, "neigh", "flush", "dev", "lan")
	if _, err := (netlab.Client{NS: s.lan}).Talk(pod.NS.Echo(t, addrPort(address))); err != nil {
		t.Errorf("%v does not answer its neighbour: %v", address, err)
	}
	const request, reply = 1, 2
	questions := func(packet netlab.Packet) bool {
		return packet.Protocol == "arp" && packet.Type == request && packet.Dst.Addr() == address && !packet.Outgoing
	}
	answers := func(packet netlab.Packet) bool {
		return packet.Protocol == "arp" && packet.Type == reply && packet.Src.Addr() == address && packet.Outgoing
	}
	for nic, capture := range captures {
		netlab.Eventually(t, nic+" hears who has "+address.String(), func() bool {
			return len(capture.Matching(t, questions)) > 0
		})
		asked, answered := len(capture.Matching(t, questions)), len(capture.Matching(t, answers))
		if answered > asked {
			t.Errorf("%s answers %d times to %d questions who has %v", nic, answered, asked, address)
		}
		if answered > 0 {
			answering = append(answering, nic)
		}
	}
	slices.Sort(answering)
	return answering
}

// TestRailsAnswerForThemselves asks the LAN's question, who has an address. The
// NIC that has it answers, once, and no other.
func TestRailsAnswerForThemselves(t *testing.T) {
	t.Parallel()
	t.Run("with arp isolate the NIC that has the address", func(t *testing.T) {
		t.Parallel()
		s := newRailSite(t)
		rails := s.rails(1, s.symroute(isolated))
		pod := s.pod(t, rails)
		for range 3 { // an answer that comes late is seen the next time
			for _, r := range rails {
				if answering := s.ask(t, pod, rails, r.four); !slices.Equal(answering, []string{r.nic}) {
					t.Errorf("%q answer for %v, want %s alone", answering, r.four, r.nic)
				}
			}
		}
	})
	t.Run("without it every NIC", func(t *testing.T) {
		t.Parallel()
		s := newRailSite(t)
		rails := s.rails(1, s.symroute(nil))
		pod := s.pod(t, rails)
		answering := map[string]bool{}
		netlab.Eventually(t, "every NIC answers for rail1", func() bool {
			for _, nic := range s.ask(t, pod, rails, rails[0].four) {
				answering[nic] = true
			}
			return len(answering) == len(rails)
		})
	})
	t.Run("neighbour discovery needs no setting", func(t *testing.T) {
		t.Parallel()
		s := newRailSite(t)
		rails := s.rails(1, s.symroute(nil))
		pod := s.pod(t, rails)
		const advertisement = 136
		for _, r := range rails {
			captures := captureRails(t, pod, rails)
			s.lan.IP(t, "-6", "neigh", "flush", "dev", "lan")
			if _, err := (netlab.Client{NS: s.lan}).Talk(pod.NS.Echo(t, addrPort(r.six))); err != nil {
				t.Errorf("%v does not answer its neighbour: %v", r.six, err)
			}
			for nic, capture := range captures {
				answers := len(capture.Matching(t, func(packet netlab.Packet) bool {
					return packet.Protocol == "icmpv6" && packet.Type == advertisement && packet.Src.Addr() == r.six && packet.Outgoing
				}))
				if (answers > 0) != (nic == r.nic) {
					t.Errorf("%v of %s: %s advertised it %d times", r.six, r.nic, nic, answers)
				}
			}
		}
	})
}

// TestRailsUseTheirOwnNIC sends traffic from and to every address of two pods
// with four NICs each in one subnet.
func TestRailsUseTheirOwnNIC(t *testing.T) {
	t.Parallel()
	s := newRailSite(t)
	one, two := s.rails(1, s.symroute(isolated)), s.rails(2, s.symroute(isolated))
	pod, peer := s.pod(t, one), s.pod(t, two)

	t.Run("clients far away and on the LAN", func(t *testing.T) {
		for _, client := range []*netlab.NS{s.client, s.lan} {
			for _, r := range one {
				for _, address := range r.addresses() {
					assertByNIC(t, netlab.Client{NS: client}, pod, railNICs, r.nic, address)
				}
			}
		}
	})
	t.Run("servers far away and on the LAN", func(t *testing.T) {
		for _, place := range []struct {
			ns        *netlab.NS
			addresses []netip.Addr
		}{
			{s.client, clients},
			{s.lan, []netip.Addr{railNetwork.gateway4(), railNetwork.gateway6()}},
		} {
			for _, address := range place.addresses {
				server := place.ns.Echo(t, addrPort(address))
				for _, r := range one {
					captures := captureRails(t, pod, one)
					source := r.addressLike(address)
					if _, err := (netlab.Client{NS: pod.NS, Source: source}).Talk(server); err != nil {
						t.Errorf("from %v to %v: %v", source, server, err)
						continue
					}
					assertCrosses(t, captures, r.nic, source, address)
				}
			}
		}
	})
	t.Run("pod to pod, rail to rail", func(t *testing.T) {
		for i, r := range one {
			for _, from := range r.addresses() {
				to := two[i].addressLike(from)
				here, there := captureRails(t, pod, one), captureRails(t, peer, two)
				if _, err := (netlab.Client{NS: pod.NS, Source: from}).Talk(peer.NS.Echo(t, addrPort(to))); err != nil {
					t.Errorf("from %v to %v: %v", from, to, err)
					continue
				}
				assertCrosses(t, here, r.nic, from, to)
				assertCrosses(t, there, two[i].nic, from, to)
			}
		}
	})
	t.Run("strict mode drops what arrives on the wrong NIC", func(t *testing.T) {
		for i, r := range one {
			assertEffective(t, pod.NS, r.nic, "1")
			next := one[(i+1)%len(one)]
			s.assertForgedDropped(t, railNetwork, pod, r.nic, next.four)
		}
	})
	t.Run("CHECK", func(t *testing.T) {
		for i := range one {
			s.runtime.MustCheck(t, one[i].list, pod, one[i].nic)
			s.runtime.MustCheck(t, two[i].list, peer, two[i].nic)
		}
	})
}

// TestRailsWithoutSymroute shows the fault: the kernel takes the first of four
// NICs that lead to the LAN, whatever the address.
func TestRailsWithoutSymroute(t *testing.T) {
	t.Parallel()
	s := newRailSite(t)
	rails := s.rails(1)
	pod := s.pod(t, rails)
	server := s.lan.Echo(t, addrPort(railNetwork.gateway4()))
	used := map[string]bool{}
	for _, r := range rails {
		captures := captureRails(t, pod, rails)
		if _, err := (netlab.Client{NS: pod.NS, Source: r.four}).Talk(server); err != nil {
			t.Errorf("from %v: %v", r.four, err)
		}
		for nic, capture := range captures {
			if slices.ContainsFunc(capture.Packets(t), func(packet netlab.Packet) bool {
				return packet.Outgoing && packet.Src.Addr() == r.four && packet.Dst == server
			}) {
				used[nic] = true
			}
		}
	}
	if len(used) != 1 {
		t.Errorf("four addresses leave by %d NICs, want one: this network lacks the fault that symroute is there for", len(used))
	}
}

// TestRailsLeave takes one rail after the other away, in different orders. Those
// that stay keep working, and the last one leaves the pod as the first one found
// it.
func TestRailsLeave(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}} {
		t.Run(fmt.Sprintf("in order %v", order), func(t *testing.T) {
			t.Parallel()
			s := newRailSite(t)
			rails := s.rails(1, s.symroute(isolated))
			pod := netlab.NewPod(t)
			pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
			before := pod.NS.Snapshot(t)
			for _, r := range rails {
				s.runtime.MustAdd(t, r.list, pod, r.nic)
			}
			for i, leaving := range order {
				s.runtime.MustDel(t, rails[leaving].list, pod, rails[leaving].nic)
				var nics []string
				for _, staying := range order[i+1:] {
					nics = append(nics, rails[staying].nic)
				}
				for _, staying := range order[i+1:] {
					r := rails[staying]
					for _, address := range r.addresses() {
						assertByNIC(t, netlab.Client{NS: s.client}, pod, nics, r.nic, address)
					}
					assertEffective(t, pod.NS, r.nic, "1")
					s.runtime.MustCheck(t, r.list, pod, r.nic)
				}
			}
			assertSame(t, "ADDs and DELs changed the pod", before, pod.NS.Snapshot(t))
			assertNoFiles(t, s.dataDir)
		})
	}
}

// TestRailsUnderAllSettings has somebody change the ARP settings of all devices
// after ADD. The kernel combines them with the NIC's own (ip-sysctl: the larger
// one of arp_ignore and arp_announce, either one of arp_filter): CHECK names what
// takes effect, and nothing else.
func TestRailsUnderAllSettings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		setting string
		named   bool
	}{
		{"arp_ignore=8", true}, // no answer at all
		{"arp_ignore=2", true}, // none to neighbours of another subnet
		{"arp_ignore=1", false},
		{"arp_announce=1", false},
		{"arp_announce=2", false},
		{"arp_filter=1", false},
	} {
		t.Run("all."+test.setting, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			a := b.attach(net1, isolated)
			a.must(t, "ADD")
			b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/"+test.setting)
			if !test.named {
				a.must(t, "CHECK")
				return
			}
			key, _, _ := strings.Cut(test.setting, "=")
			assertCode(t, a.fails(t, "CHECK", key, "net1"), codeSetting)
		})
	}
}
