package e2e

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// cniVersion is what the tests speak where the version does not matter.
const cniVersion = "1.1.0"

// unanswered is how long a conversation may stay silent before a test believes
// that it does not happen. Only tests of a broken state wait for it.
const unanswered = 1500 * time.Millisecond

// provider is one of the networks that a pod hangs on: a LAN with a gateway on
// it, and the pod's addresses in it. The gateway has the first address of each
// subnet, and fe80::1.
type provider struct {
	name             string
	subnet4, subnet6 netip.Prefix
	pod4, pod6       netip.Addr
}

var (
	providerA = newProvider("a", "198.51.100.87/24", "2001:db8:a::87/64")
	providerB = newProvider("b", "203.0.113.144/24", "2001:db8:b::144/64")
	providerC = newProvider("c", "192.0.2.130/25", "2001:db8:d::130/64")
)

func newProvider(name, pod4, pod6 string) provider {
	four, six := netip.MustParsePrefix(pod4), netip.MustParsePrefix(pod6)
	return provider{
		name:    name,
		subnet4: four.Masked(), pod4: four.Addr(),
		subnet6: six.Masked(), pod6: six.Addr(),
	}
}

func (p provider) bridge() string       { return "br-" + p.name }
func (p provider) uplink() string       { return "up-" + p.name }
func (p provider) gateway4() netip.Addr { return p.subnet4.Addr().Next() }
func (p provider) gateway6() netip.Addr { return p.subnet6.Addr().Next() }

// pods lists the pod's addresses of both families.
func (p provider) pods() []netip.Addr { return []netip.Addr{p.pod4, p.pod6} }

// pod is the pod's address of the family of another address.
func (p provider) pod(family netip.Addr) netip.Addr {
	if family.Is4() {
		return p.pod4
	}
	return p.pod6
}

// gateway is the gateway's address of the family of another address.
func (p provider) gateway(family netip.Addr) netip.Addr {
	if family.Is4() {
		return p.gateway4()
	}
	return p.gateway6()
}

// defaults are the destinations of both default routes.
var defaults = []string{"0.0.0.0/0", "::/0"}

// hostLocal is the IPAM of the provider: one address of each family, with the
// gateway, and routes to the destinations by it.
func (p provider) hostLocal(dataDir string, destinations ...string) netlab.Object {
	return netlab.HostLocal(dataDir, []netlab.Range{
		{Subnet: p.subnet4.String(), RangeStart: p.pod4.String(), RangeEnd: p.pod4.String(), Gateway: p.gateway4().String()},
		{Subnet: p.subnet6.String(), RangeStart: p.pod6.String(), RangeEnd: p.pod6.String(), Gateway: p.gateway6().String()},
	}, destinations...)
}

// noGateway is the IPAM of a provider that nobody routes for.
func (p provider) noGateway() netlab.Object {
	return netlab.Static([]netlab.StaticAddress{
		{Address: netip.PrefixFrom(p.pod4, p.subnet4.Bits()).String()},
		{Address: netip.PrefixFrom(p.pod6, p.subnet6.Bits()).String()},
	})
}

// The client's addresses: it is the same host whichever provider it goes through.
var (
	client4 = netip.MustParseAddr("192.0.2.7")
	client6 = netip.MustParseAddr("2001:db8:c::7")
	clients = []netip.Addr{client4, client6}
)

// site is a node with a runtime, providers, and one client behind the gateways
// of them all:
//
//	          +-- br-a --- gateway a (stateful firewall) --+
//	pod - node                                             +- client
//	          +-- br-b --- gateway b (stateful firewall) --+
type site struct {
	node, client *netlab.NS
	gateways     map[string]*netlab.NS // by the provider's name; their links are "lan" and "wan"
	runtime      *netlab.Runtime
	dataDir      string // of symroute
	ipamDir      string // of host-local
}

// newSite builds a site. The client knows the way to each provider's subnets.
func newSite(t *testing.T, providers ...provider) *site {
	t.Helper()
	node := netlab.New(t, "node")
	s := &site{
		node:     node,
		client:   netlab.New(t, "client"),
		gateways: map[string]*netlab.NS{},
		runtime:  netlab.NewRuntime(t, node),
		dataDir:  filepath.Join(t.TempDir(), "symroute"),
		ipamDir:  t.TempDir(),
	}
	s.client.Batch(t, netlab.Address(client4.String()+"/32", "lo"), netlab.Address(client6.String()+"/128", "lo"))
	for i, p := range providers {
		s.connect(t, i, p)
	}
	return s
}

// connect adds provider number i to the site.
func (s *site) connect(t *testing.T, i int, p provider) {
	t.Helper()
	gateway := netlab.New(t, "gateway-"+p.name)
	s.gateways[p.name] = gateway
	s.node.Bridge(t, p.bridge())
	netlab.Cable(t,
		netlab.Port{NS: s.node, Link: p.uplink(), Bridge: p.bridge()},
		netlab.Port{NS: gateway, Link: "lan", Addresses: []string{
			netip.PrefixFrom(p.gateway4(), p.subnet4.Bits()).String(),
			netip.PrefixFrom(p.gateway6(), p.subnet6.Bits()).String(),
			"fe80::1/64",
		}})
	near4, far4 := fmt.Sprintf("10.255.%d.1", i), fmt.Sprintf("10.255.%d.2", i)
	near6, far6 := fmt.Sprintf("2001:db8:ff:%d::1", i), fmt.Sprintf("2001:db8:ff:%d::2", i)
	wan := "wan-" + p.name
	netlab.Cable(t,
		netlab.Port{NS: gateway, Link: "wan", Addresses: []string{near4 + "/30", near6 + "/64"}},
		netlab.Port{NS: s.client, Link: wan, Addresses: []string{far4 + "/30", far6 + "/64"}})
	gateway.Batch(t,
		"route add "+client4.String()+" via "+far4,
		"route add "+client6.String()+" via "+far6)
	s.client.Batch(t,
		fmt.Sprintf("route add %v via %s src %v", p.subnet4, near4, client4),
		fmt.Sprintf("route add %v via %s src %v", p.subnet6, near6, client6))
	gateway.Forward(t)
	gateway.StatefulFirewall(t, "wan")
}

// symroute is the plugin's part of a conflist: these keys, and a data directory
// of the test's own.
func (s *site) symroute(keys netlab.Object) netlab.Object {
	conf := netlab.Object{"type": "symroute", "dataDir": s.dataDir}
	for key, value := range keys {
		conf[key] = value
	}
	return conf
}

// plain is the network of a provider without symroute.
func (s *site) plain(p provider, destinations ...string) netlab.Conflist {
	return netlab.NewConflist("net-"+p.name, cniVersion, netlab.BridgePlugin(p.bridge(), p.hostLocal(s.ipamDir, destinations...)))
}

// chained is the network of a provider, with default routes of both families,
// and symroute at the end of the chain.
func (s *site) chained(p provider, keys netlab.Object) netlab.Conflist {
	return s.chain(p, p.hostLocal(s.ipamDir, defaults...), keys)
}

// chain is the network of a provider with an IPAM of one's own choice.
func (s *site) chain(p provider, ipam, keys netlab.Object) netlab.Conflist {
	return netlab.NewConflist("net-"+p.name, cniVersion, netlab.BridgePlugin(p.bridge(), ipam), s.symroute(keys))
}

// addrPort is an address with a port of the kernel's choice.
func addrPort(address netip.Addr) netip.AddrPort { return netip.AddrPortFrom(address, 0) }
