package runtimes

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

// network is one that containers hang on: a LAN with a gateway to the client,
// and the addresses that its next container gets.
type network struct {
	name             string
	subnet4, subnet6 netip.Prefix
}

func newNetwork(name, subnet4, subnet6 string) network {
	return network{name: name, subnet4: netip.MustParsePrefix(subnet4), subnet6: netip.MustParsePrefix(subnet6)}
}

func (n network) bridge() string { return "br-" + n.name }
func (n network) uplink() string { return "up-" + n.name }

// gateways have the first address of each subnet, the container the second.
func (n network) gateways() []netip.Addr {
	return []netip.Addr{n.subnet4.Addr().Next(), n.subnet6.Addr().Next()}
}

func (n network) containers() []netip.Addr {
	return []netip.Addr{n.subnet4.Addr().Next().Next(), n.subnet6.Addr().Next().Next()}
}

// ipam leases the container's addresses, with default routes of both families.
func (n network) ipam() netlab.Object {
	var ranges []netlab.Range
	for i, subnet := range []netip.Prefix{n.subnet4, n.subnet6} {
		address := n.containers()[i].String()
		ranges = append(ranges, netlab.Range{
			Subnet: subnet.String(), RangeStart: address, RangeEnd: address, Gateway: n.gateways()[i].String(),
		})
	}
	return netlab.HostLocal("", ranges, "0.0.0.0/0", "::/0")
}

// internet is the way from each network's gateway to one client, which has the
// same address whichever way it goes. Each gateway has a stateful firewall: an
// answer that takes another way than its request is lost.
type internet struct {
	node, client *netlab.NS
	gateways     []*netlab.NS
}

var clients = []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8:c::7")}

func newInternet(t *testing.T) *internet {
	t.Helper()
	i := &internet{node: netlab.New(t, "node"), client: netlab.New(t, "client")}
	i.client.Batch(t, netlab.Address(clients[0].String()+"/32", "lo"), netlab.Address(clients[1].String()+"/128", "lo"))
	return i
}

// lan gives the node a link to a LAN, on a bridge where one is named.
func (i *internet) lan(t *testing.T, n network, bridge string) {
	t.Helper()
	gateway := netlab.New(t, "gateway-"+n.name)
	if bridge != "" {
		i.node.Bridge(t, bridge)
	}
	var addresses []string
	for at, subnet := range []netip.Prefix{n.subnet4, n.subnet6} {
		addresses = append(addresses, netip.PrefixFrom(n.gateways()[at], subnet.Bits()).String())
	}
	netlab.Cable(t,
		netlab.Port{NS: i.node, Link: n.uplink(), Bridge: bridge},
		netlab.Port{NS: gateway, Link: "lan", Addresses: addresses})
	i.route(t, n, gateway)
}

// uplinkTo gives the node a link to a router that is the way between the client
// and a network whose gateway is the node itself.
func (i *internet) uplinkTo(t *testing.T, n network) {
	t.Helper()
	router := netlab.New(t, "router-"+n.name)
	netlab.Cable(t,
		netlab.Port{NS: i.node, Link: n.uplink(), Addresses: []string{"10.254.0.1/30", "2001:db8:fe::1/64"}},
		netlab.Port{NS: router, Link: "lan", Addresses: []string{"10.254.0.2/30", "2001:db8:fe::2/64"}})
	i.node.Batch(t, fmt.Sprintf("route add %v via 10.254.0.2", clients[0]), fmt.Sprintf("route add %v via 2001:db8:fe::2", clients[1]))
	router.Batch(t, fmt.Sprintf("route add %v via 10.254.0.1", n.subnet4), fmt.Sprintf("route add %v via 2001:db8:fe::1", n.subnet6))
	i.node.Forward(t)
	i.route(t, n, router)
}

// route leads from a gateway to the client and back.
func (i *internet) route(t *testing.T, n network, gateway *netlab.NS) {
	t.Helper()
	i.gateways = append(i.gateways, gateway)
	number, wan := len(i.gateways), "wan-"+n.name
	near4, far4 := fmt.Sprintf("10.255.%d.1", number), fmt.Sprintf("10.255.%d.2", number)
	near6, far6 := fmt.Sprintf("2001:db8:ff:%d::1", number), fmt.Sprintf("2001:db8:ff:%d::2", number)
	netlab.Cable(t,
		netlab.Port{NS: gateway, Link: wan, Addresses: []string{near4 + "/30", near6 + "/64"}},
		netlab.Port{NS: i.client, Link: wan, Addresses: []string{far4 + "/30", far6 + "/64"}})
	gateway.Batch(t, fmt.Sprintf("route add %v via %s", clients[0], far4), fmt.Sprintf("route add %v via %s", clients[1], far6))
	i.client.Batch(t,
		fmt.Sprintf("route add %v via %s src %v", n.subnet4, near4, clients[0]),
		fmt.Sprintf("route add %v via %s src %v", n.subnet6, near6, clients[1]))
	gateway.Forward(t)
	gateway.StatefulFirewall(t, wan)
}

// unanswered is how long a conversation may stay silent before a test believes
// that it does not happen.
const unanswered = 1500 * time.Millisecond

// talk has the client talk to one of a container's addresses. Without a timeout
// it is patient.
func (i *internet) talk(t *testing.T, container *netlab.NS, protocol string, address netip.Addr, timeout time.Duration) error {
	t.Helper()
	source := clients[0]
	if address.Is6() {
		source = clients[1]
	}
	client := netlab.Client{NS: i.client, Network: protocol, Source: source, Timeout: timeout}
	_, err := client.Talk(container.Echo(t, netip.AddrPortFrom(address, 0)))
	return err
}

// assertReachable demands that the client reaches the container in each of the
// networks, in both families, by TCP and UDP.
func (i *internet) assertReachable(t *testing.T, container *netlab.NS, networks ...network) {
	t.Helper()
	for _, n := range networks {
		for _, address := range n.containers() {
			for _, protocol := range []string{"tcp", "udp"} {
				if err := i.talk(t, container, protocol, address, 0); err != nil {
					t.Errorf("%s to %v in network %s: %v", protocol, address, n.name, err)
				}
			}
		}
	}
}

// forgetNeighbours has the gateways ask anew for the hardware address of a
// container: that of a NIC that comes back with the same address is another.
func (i *internet) forgetNeighbours(t *testing.T) {
	t.Helper()
	for _, gateway := range i.gateways {
		gateway.Batch(t, "neigh flush all", "-6 neigh flush all")
	}
}
