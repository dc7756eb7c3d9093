package e2e

import (
	"net/netip"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// lans are the networks of a pod, by the NIC that is on each.
var lans = map[string]provider{"eth0": providerA, "net1": providerB, "net2": providerC}

// TestLVSVIPIsNobodysNeighbour asks on every LAN of a real server who has the VIPs.
// The pod never answers, nor does it say so unasked: the director has them. For its
// own addresses it answers as before, on NICs that came before symroute and on those
// that come later, from networks that know nothing of it.
func TestLVSVIPIsNobodysNeighbour(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		lvs   netlab.Object
		needs func(*testing.T)
	}{
		{"direct routing", direct(), func(*testing.T) {}},
		{"tunneling", tunnel(), needsTunnels},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.needs(t)
			l := newLVSSite(t)
			l.connect(t, 2, providerC)
			heard := l.listenOnLANs(t)
			list := l.realServer(test.lvs, nil)
			l.runtime.MustAdd(t, list, l.pod, "net1")
			l.runtime.MustAdd(t, l.plain(providerC), l.pod, "net2")
			l.assertNeighbour(t, heard)
			// A pod that answers a request has to ask for its gateway, and could do that
			// with the VIP as its own address.
			l.serve(t, netlab.DirectRouting, vips...)
			listen(t, l.pod, vips...)
			for _, nic := range []string{"eth0", "net1"} {
				l.pod.NS.IP(t, "neigh", "flush", "dev", nic)
			}
			for _, vip := range vips {
				if _, err := l.visitor(vip).Talk(service(vip)); err != nil {
					t.Errorf("%v: %v", vip, err)
				}
			}
			l.assertNeighbour(t, heard)
			l.runtime.MustCheck(t, list, l.pod, "net1")

			l.runtime.MustDel(t, list, l.pod, "net1")
			for _, nic := range []string{"eth0", "net2", "default"} {
				for _, key := range []string{"arp_ignore", "arp_announce"} {
					if got := l.pod.NS.Sysctl(t, "net/ipv4/conf/"+nic+"/"+key); got != "0" {
						t.Errorf("after DEL %s of %s is %s", key, nic, got)
					}
				}
			}
		})
	}
}

// TestLVSVIPByHandIsANeighbour is what happens where only the VIP is put on lo: the
// pod answers for it on every LAN.
func TestLVSVIPByHandIsANeighbour(t *testing.T) {
	t.Parallel()
	l := newLVSSite(t)
	heard := l.listenOnLANs(t)
	l.runtime.MustAdd(t, l.backend(providerB), l.pod, "net1")
	l.pod.NS.Batch(t, netlab.Address(host(vip4), "lo"))
	for nic := range heard {
		gateway := l.gateways[lans[nic].name]
		gateway.WhoHas(t, "lan", lans[nic].gateway4(), vip4)
		netlab.Eventually(t, "the pod answers for the VIP on "+nic, func() bool { return len(saying(t, heard[nic], vip4)) > 0 })
	}
}

// listenOnLANs records what the gateways hear on their LANs, by the NIC that the pod
// has there.
func (l *lvsSite) listenOnLANs(t *testing.T) map[string]*netlab.Capture {
	t.Helper()
	captures := map[string]*netlab.Capture{}
	for nic, p := range lans {
		if gateway := l.gateways[p.name]; gateway != nil {
			captures[nic] = gateway.Capture(t, "lan")
		}
	}
	return captures
}

// assertNeighbour asks on every LAN for the VIPs and then for the pod's own
// addresses, twice: when the second of those is answered, an answer to the first
// question would be there.
func (l *lvsSite) assertNeighbour(t *testing.T, heard map[string]*netlab.Capture) {
	t.Helper()
	for nic, capture := range heard {
		p := lans[nic]
		for i, vip := range vips {
			own, asker := p.pods()[i], p.gateway(vip)
			for range 2 {
				before := len(saying(t, capture, own))
				l.gateways[p.name].WhoHas(t, "lan", asker, vip)
				l.gateways[p.name].WhoHas(t, "lan", asker, own)
				netlab.Eventually(t, nic+" answers for "+own.String(), func() bool { return len(saying(t, capture, own)) > before })
			}
			if said := saying(t, capture, vip); len(said) > 0 {
				t.Errorf("the pod claims %v on %s:\n%s", vip, nic, netlab.List(said))
			}
		}
	}
}

// saying picks what was heard of somebody who speaks as the owner of an address, in
// ARP or IPv6 neighbour discovery.
func saying(t *testing.T, capture *netlab.Capture, owner netip.Addr) []netlab.Packet {
	t.Helper()
	return capture.Matching(t, func(packet netlab.Packet) bool {
		discovery := packet.Protocol == "icmpv6" &&
			(packet.Type == netlab.NeighbourSolicitation || packet.Type == netlab.NeighbourAdvertisement)
		return !packet.Outgoing && packet.Src.Addr() == owner && (packet.Protocol == "arp" || discovery)
	})
}
