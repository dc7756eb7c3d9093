package e2e

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// The addresses of virtual services. Two are of the backend LAN, where every
// neighbour may ask for their hardware address; two come through the director
// from elsewhere.
var (
	vip4  = netip.MustParseAddr("203.0.113.200")
	vip6  = netip.MustParseAddr("2001:db8:b::200")
	vips  = []netip.Addr{vip4, vip6}
	away4 = netip.MustParseAddr("10.20.73.29")
	away6 = netip.MustParseAddr("2001:db8:e::29")
	aways = []netip.Addr{away4, away6}
)

// host is the prefix of one address alone.
func host(address netip.Addr) string { return netip.PrefixFrom(address, address.BitLen()).String() }

// servicePort is that of every virtual service.
const servicePort = 80

// service is a virtual service.
func service(vip netip.Addr) netip.AddrPort { return netip.AddrPortFrom(vip, servicePort) }

// The director's own addresses on the backend LAN.
var (
	director4 = netip.MustParseAddr("203.0.113.2")
	director6 = netip.MustParseAddr("2001:db8:b::2")
)

// lvsSite is a site with a pod behind a director: provider A is the management
// network, where the pod has its default route, provider B the backend LAN.
//
//	          +-- management --- gateway a (stateful firewall) --+
//	pod - node                                                   +- client
//	          +-- backend LAN -- gateway b (stateful firewall) --+
//	                   |
//	               director
//
// Requests go from the client through gateway b to the director, and from there
// over the backend LAN to the pod. Replies go to a gateway, never to the director.
type lvsSite struct {
	*site
	pod *netlab.Pod // with eth0, a management NIC
	// director is nil where the requests come without one: see serve.
	director *netlab.Director
}

// newLVSSite makes a site without director, whose pod has its management NIC.
func newLVSSite(t *testing.T) *lvsSite {
	t.Helper()
	return lvsSiteOf(t, netlab.NewPod(t))
}

// newDirectedSite makes a site with a director.
func newDirectedSite(t *testing.T) *lvsSite {
	t.Helper()
	netlab.NeedsIPVS(t)
	return newLVSSite(t).withDirector(t)
}

// lvsSiteOf makes a site of a pod without NICs.
func lvsSiteOf(t *testing.T, pod *netlab.Pod) *lvsSite {
	t.Helper()
	l := &lvsSite{site: newSite(t, providerA, providerB), pod: pod}
	l.runtime.MustAdd(t, l.management(), l.pod, "eth0")
	for i, away := range aways {
		l.client.Batch(t, "route add "+away.String()+" via "+[]string{"10.255.1.1", "2001:db8:ff:1::1"}[i]+" src "+clients[i].String())
	}
	return l
}

// management is the network of the pod's first NIC, without symroute.
func (l *lvsSite) management() netlab.Conflist { return l.plain(providerA, defaults...) }

// backend is the network of the pod's second NIC, which no default route leads
// through, with what is chained behind its plugin.
func (l *lvsSite) backend(p provider, chained ...netlab.Object) netlab.Conflist {
	plugin := netlab.BridgePlugin(p.bridge(), p.hostLocal(l.ipamDir))
	return netlab.NewConflist("net-b", cniVersion, append([]netlab.Object{plugin}, chained...)...)
}

// realServer is the backend network with symroute: lvs is the key of that name,
// further keys may stand beside it.
func (l *lvsSite) realServer(lvs, keys netlab.Object) netlab.Conflist {
	return l.backend(providerB, l.symroute(and(keys, "lvs", lvs)))
}

// direct is the key lvs for direct routing, tunnel for tunneling, both with the
// VIPs of the backend LAN.
func direct() netlab.Object { return netlab.Object{"mode": "dr", "vips": vips} }
func tunnel() netlab.Object { return netlab.Object{"mode": "tunnel", "vips": vips} }

// and is an object with one more key.
func and(o netlab.Object, key string, value any) netlab.Object {
	more := netlab.Object{}
	maps.Copy(more, o)
	more[key] = value
	return more
}

// withDirector puts a director with all VIPs onto the backend LAN.
func (l *lvsSite) withDirector(t *testing.T) *lvsSite {
	t.Helper()
	l.director = netlab.NewDirector(t)
	netlab.Cable(t,
		netlab.Port{NS: l.node, Link: "director", Bridge: providerB.bridge()},
		netlab.Port{NS: l.director.NS, Link: "lan", Addresses: []string{director4.String() + "/24", director6.String() + "/64"}})
	for _, vip := range slices.Concat(vips, aways) {
		address := netlab.Address(host(vip), "lan")
		if vip.Is6() {
			// Otherwise ip_vs would take it as the source of tunnelled packets, for
			// it is the longest prefix (RFC 6724 rule 8), and a real server drops
			// what seems to come from itself (ip6_tnl_rcv_ctl).
			address += " preferred_lft 0"
		}
		l.director.NS.Batch(t, address)
	}
	l.director.NS.Settle(t, "lan")
	l.director.NS.Batch(t,
		"route add default via "+providerB.gateway4().String(),
		"route add default via "+providerB.gateway6().String())
	l.gateways["b"].Batch(t,
		"route add "+away4.String()+" via "+director4.String(),
		"route add "+away6.String()+" via "+director6.String())
	for _, vip := range slices.Concat(vips, aways) {
		l.director.Serve(t, service(vip))
	}
	return l
}

// serve lets the pod get requests for VIPs: from the director, or, where there is
// none, from gateway b, which then believes that the pod is the owner of the VIPs.
// To the pod that is the same as direct routing.
func (l *lvsSite) serve(t *testing.T, how netlab.Forwarding, addresses ...netip.Addr) {
	t.Helper()
	if l.director != nil {
		for _, vip := range addresses {
			l.director.AddServer(t, service(vip), providerB.pod(vip), how)
		}
		return
	}
	mac := l.pod.NS.MAC(t, "net1").String()
	for _, vip := range addresses {
		l.gateways["b"].Batch(t,
			"route replace "+vip.String()+" dev lan",
			"neigh replace "+vip.String()+" lladdr "+mac+" nud permanent dev lan")
	}
}

// listen starts a server in a pod for each of these VIPs.
func listen(t *testing.T, pod *netlab.Pod, addresses ...netip.Addr) {
	t.Helper()
	for _, vip := range addresses {
		pod.NS.Echo(t, service(vip))
	}
}

// visitor is the client with the address of a VIP's family.
func (l *lvsSite) visitor(vip netip.Addr) netlab.Client {
	client := netlab.Client{NS: l.client, Source: client4}
	if vip.Is6() {
		client.Source = client6
	}
	return client
}

// assertServed demands that every one of so many connections is answered, each
// from a new port, over TCP and once over UDP, and that the replies leave the pod
// by one NIC.
func (l *lvsSite) assertServed(t *testing.T, times int, nic string, addresses ...netip.Addr) {
	t.Helper()
	for _, vip := range addresses {
		out := l.replies(t, l.pod, vip)
		client := l.visitor(vip)
		for i := range times {
			if _, err := client.Talk(service(vip)); err != nil {
				t.Errorf("connection %d of %d to %v: %v", i+1, times, vip, err)
				return
			}
		}
		client.Network = "udp"
		if _, err := client.Talk(service(vip)); err != nil {
			t.Errorf("%v, UDP: %v", vip, err)
		}
		for name, packets := range out() {
			if here := len(packets) > 0; here != (name == nic) {
				t.Errorf("replies from %v have to leave by %s; on %s there were %d:\n%s", vip, nic, name,
					len(packets), netlab.List(packets[:min(4, len(packets))]))
			}
		}
	}
}

// replies starts to watch the pod's NICs for packets that a VIP sends to the
// client. It returns what gives them, by NIC.
func (l *lvsSite) replies(t *testing.T, pod *netlab.Pod, vip netip.Addr) func() map[string][]netlab.Packet {
	t.Helper()
	captures := map[string]*netlab.Capture{}
	for _, nic := range []string{"eth0", "net1"} {
		captures[nic] = pod.NS.Capture(t, nic)
	}
	client := l.visitor(vip).Source
	return func() map[string][]netlab.Packet {
		found := map[string][]netlab.Packet{}
		for nic, capture := range captures {
			found[nic] = capture.Matching(t, func(packet netlab.Packet) bool {
				return packet.Outgoing && packet.Src.Addr() == vip && packet.Dst.Addr() == client
			})
		}
		return found
	}
}

// unansweredConnections is how many connections show that none is answered.
const unansweredConnections = 3

// assertUnanswered demands that no connection to a VIP gets an answer,
// and that with a director they pile up there, waiting for it.
func (l *lvsSite) assertUnanswered(t *testing.T, vip netip.Addr) {
	t.Helper()
	client := l.visitor(vip)
	client.Timeout = unanswered
	var conversations sync.WaitGroup
	for range unansweredConnections {
		conversations.Go(func() {
			if _, err := client.Talk(service(vip)); err == nil {
				t.Errorf("%v answered", vip)
			}
		})
	}
	conversations.Wait()
	if l.director == nil {
		return
	}
	netlab.Eventually(t, "the director has connections to "+vip.String()+" in SYN_RECV", func() bool {
		waiting := 0
		for _, c := range l.director.Connections(t) {
			if c.Service == service(vip) && c.State == "SYN_RECV" {
				waiting++
			}
		}
		return waiting >= unansweredConnections
	})
}

// assertBalanced demands that the director has handed at least so many connections
// for a VIP to a real server, and that none of them still waits for an answer.
func (l *lvsSite) assertBalanced(t *testing.T, times int, vip, server netip.Addr) {
	t.Helper()
	var served, waiting []string
	for _, c := range l.director.Connections(t) {
		switch {
		case c.Protocol != "TCP" || c.Service != service(vip) || c.Server.Addr() != server:
		case c.State == "SYN_RECV":
			waiting = append(waiting, c.String())
		default:
			served = append(served, c.String())
		}
	}
	if len(served) < times || len(waiting) > 0 {
		t.Errorf("the director had %d connections for %v at %v served, want %d or more; waiting:\n%s",
			len(served), vip, server, times, strings.Join(waiting, "\n"))
	}
}
