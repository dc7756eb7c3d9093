package cluster

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// network is one that each pod has a NIC on.
type network struct {
	name             string
	bridge           string
	subnet4, subnet6 netip.Prefix
}

// The first network is routed by the node, as Kubernetes' pod networks are: its gateway
// is the node's bridge. The other is a provider's LAN, with a router of the provider.
var (
	podNetwork = network{"pods", "cni0", netip.MustParsePrefix("10.244.0.0/24"), netip.MustParsePrefix("2001:db8:244::/64")}
	provider   = network{"provider", "provider0", netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:b::/64")}
)

// conflist is the network for containerd: an interface plugin and what follows it.
func (n network) conflist(chained ...netlab.Object) string {
	bridge := netlab.BridgePlugin(n.bridge, netlab.HostLocal("", []netlab.Range{
		{Subnet: n.subnet4.String(), RangeStart: n.subnet4.Addr().Next().Next().String(), Gateway: n.subnet4.Addr().Next().String()},
		{Subnet: n.subnet6.String(), RangeStart: n.subnet6.Addr().Next().Next().String(), Gateway: n.subnet6.Addr().Next().String()},
	}, "0.0.0.0/0", "::/0"))
	if n == podNetwork {
		bridge["isGateway"], bridge["hairpinMode"] = true, true
	}
	return string(netlab.NewConflist(n.name, "1.0.0", append([]netlab.Object{bridge}, chained...)...))
}

// The addresses of the node, of the client and of Kubernetes' services.
const (
	nodeAddress4, nodeAddress6 = "192.0.2.2", "2001:db8:a::2"
	clientAddress4             = "203.0.113.7"
	clientAddress6             = "2001:db8:c::7"
	services4, services6       = "10.96.0.0/16", "2001:db8:96::/112"
	firstService               = "10.96.0.1" // the API server's
)

// wan is the way between one client and the pods: one router to the node and one to the
// provider's LAN. The client has the same address whichever way it goes, and each router
// has a stateful firewall: an answer that takes another way than its request is lost.
type wan struct {
	node, client *netlab.NS
}

func newWAN(t *testing.T) *wan {
	t.Helper()
	w := &wan{node: netlab.New(t, "node"), client: netlab.New(t, "client")}
	w.client.Batch(t, netlab.Address(clientAddress4+"/32", "lo"), netlab.Address(clientAddress6+"/128", "lo"))

	router := netlab.New(t, "router")
	netlab.Cable(t,
		netlab.Port{NS: w.node, Link: "uplink", Addresses: []string{nodeAddress4 + "/24", nodeAddress6 + "/64"}},
		netlab.Port{NS: router, Link: "lan", Addresses: []string{"192.0.2.1/24", "2001:db8:a::1/64"}})
	w.node.Batch(t, "route add default via 192.0.2.1", "-6 route add default via 2001:db8:a::1")
	w.node.Forward(t)
	for _, prefix := range []string{podNetwork.subnet4.String(), services4} {
		router.Batch(t, "route add "+prefix+" via "+nodeAddress4)
	}
	for _, prefix := range []string{podNetwork.subnet6.String(), services6} {
		router.Batch(t, "-6 route add "+prefix+" via "+nodeAddress6)
	}
	w.route(t, router, 1, podNetwork.subnet4.String(), services4, podNetwork.subnet6.String(), services6)

	gateway := netlab.New(t, "provider")
	w.node.Bridge(t, provider.bridge)
	netlab.Cable(t,
		netlab.Port{NS: w.node, Link: "provider-up", Bridge: provider.bridge},
		netlab.Port{NS: gateway, Link: "lan", Addresses: []string{
			netip.PrefixFrom(provider.subnet4.Addr().Next(), 24).String(), netip.PrefixFrom(provider.subnet6.Addr().Next(), 64).String(),
		}})
	w.route(t, gateway, 2, provider.subnet4.String(), provider.subnet6.String())
	return w
}

// route leads from a router to the client, and from the client to prefixes by the router.
func (w *wan) route(t *testing.T, router *netlab.NS, number int, prefixes ...string) {
	t.Helper()
	link := fmt.Sprintf("wan%d", number)
	near4, far4 := fmt.Sprintf("10.255.%d.1", number), fmt.Sprintf("10.255.%d.2", number)
	near6, far6 := fmt.Sprintf("2001:db8:ff:%d::1", number), fmt.Sprintf("2001:db8:ff:%d::2", number)
	netlab.Cable(t,
		netlab.Port{NS: router, Link: link, Addresses: []string{near4 + "/30", near6 + "/64"}},
		netlab.Port{NS: w.client, Link: link, Addresses: []string{far4 + "/30", far6 + "/64"}})
	router.Batch(t, "route add "+clientAddress4+" via "+far4, "-6 route add "+clientAddress6+" via "+far6)
	for _, prefix := range prefixes {
		if strings.Contains(prefix, ":") {
			w.client.Batch(t, "-6 route add "+prefix+" via "+near6+" src "+clientAddress6)
		} else {
			w.client.Batch(t, "route add "+prefix+" via "+near4+" src "+clientAddress4)
		}
	}
	router.Forward(t)
	router.StatefulFirewall(t, link)
}

// unanswered is how long a request may stay without an answer before a test believes
// that there is none.
const unanswered = 3 * time.Second

// get has the client ask a pod or service at an address by HTTP, over a connection of its
// own, and returns what it answers: the pod's name.
func (w *wan) get(address string, timeout time.Duration) (string, error) {
	from := clientAddress4
	if strings.Contains(address, ":") {
		from = clientAddress6
	}
	return get(w.client, netip.MustParseAddr(from), pageOf(address), timeout)
}

// pageOf is where a serving pod, or a service, answers at an address.
func pageOf(address string) string { return "http://" + net.JoinHostPort(address, "8080") + "/" }

// get fetches a page from a namespace, which has to be there.
func get(ns *netlab.NS, from netip.Addr, url string, timeout time.Duration) (string, error) {
	text, status, err := ns.Get(from, url, timeout)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("GET %s: %d: %s", url, status, text)
	}
	return text, err
}
