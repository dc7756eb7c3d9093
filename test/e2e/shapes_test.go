package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// shapes are the fixtures: one file for each way in which a cluster's CNI makes
// eth0. A further file is a further test.
const shapes = "testdata/shapes/*.json"

// shape is what a cluster's CNI makes of eth0, and what the node has to do with
// it. Lists of addresses have one of each family that the shape has.
type shape struct {
	About  []string // what is special about it
	Source []string // where it was read: repository, commit, file, function

	Pod      []netip.Addr // eth0's addresses
	Node     []netip.Addr // the node's own
	Services []netip.Addr // of the service range, answered by the node

	NodeSetup []string // ip commands on the node, before any pod is there

	// One of these makes eth0.
	Plugin netlab.Object // an interface plugin, where it is to be had
	Veth   *handmade     // else what the CNI does, by hand

	ClusterRoutes struct {
		About  []string // how a user gets the CNI to make them
		Routes []clusterRoute
	}
}

// handmade is an eth0 as a CNI makes it whose plugin needs a cluster.
type handmade struct {
	Link, MAC     string          // the node's end
	Sysctls       []string        // of the node's end
	InPod, OnNode []string        // ip commands, once both ends are up
	Result        json.RawMessage // what the CNI reports, with $CNI_NETNS for the pod's namespace
}

// clusterRoute is a route as IPAM plugins know it. Without a gateway it goes by
// that of the address.
type clusterRoute struct {
	Dst string `json:"dst"`
	GW  string `json:"gw,omitempty"`
}

// readShape reads a fixture. A key that nobody knows is a slip.
func readShape(t *testing.T, file string) shape {
	t.Helper()
	text, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	var s shape
	decoder := json.NewDecoder(text)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	families := len(s.Pod)
	if len(s.About) == 0 || len(s.Source) == 0 || (s.Plugin == nil) == (s.Veth == nil) ||
		families == 0 || len(s.Node) != families || len(s.Services) != families {
		t.Fatalf("%s: want about, source, plugin or veth, and an address of each family in pod, node and services", file)
	}
	return s
}

// TestPodShapes gives pods of the well-known CNIs a macvlan NIC beside the eth0
// that their CNI made, with symroute behind it, and behind eth0 or not. Whoever
// owns the pod's default route: the pod reaches its node and its services, the
// node's probes reach the pod, clients far away reach the new NIC.
//
// With "take" that needs routes to the cluster by eth0, for its default is no
// longer the pod's (TestServicesWithTake). They are those of the fixture.
func TestPodShapes(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(shapes)
	if err != nil || len(files) == 0 {
		t.Fatalf("no shapes in %s: %v", shapes, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, readShape(t, file))
			for _, eth0 := range []string{"plain", "symroute"} {
				for _, mode := range []string{"yield", "take", "keep"} {
					t.Run("eth0 "+eth0+", net1 "+mode, func(t *testing.T) { c.testPod(t, eth0 == "symroute", mode) })
				}
			}
			assertNoFiles(t, c.dataDir)
		})
	}
}

// testPod is the life of one pod.
func (c *cluster) testPod(t *testing.T, chained bool, mode string) {
	destinations := defaults
	if mode == "keep" { // it would keep two defaults: it is for networks that bring none
		destinations = nil
	}
	pod := c.newPod(t, chained, mode == "take")
	before, neighbours := pod.NS.Snapshot(t), pod.permanentNeighbours(t)

	list := c.net1(t, netlab.Object{"mainDefault": mode}, destinations...)
	c.runtime.MustAdd(t, list, pod.Pod, "net1")
	pod.watch(t)
	for i, address := range c.shape.Pod {
		for _, server := range []netip.AddrPort{c.node[i], c.services[i]} {
			pod.assertTalk(t, "eth0", netlab.Client{NS: pod.NS}, server)
		}
		// Probes come from the address that the kernel prefers, or from the
		// node's own; visitors keep theirs.
		server := pod.NS.Echo(t, addrPort(address))
		for _, source := range []netip.Addr{{}, c.shape.Node[i], visitor(address)} {
			pod.assertTalk(t, "eth0", netlab.Client{NS: c.site.node, Source: source}, server)
		}
	}
	for _, client := range clients {
		server := pod.NS.Echo(t, addrPort(providerB.pod(client)))
		pod.assertTalk(t, "net1", netlab.Client{NS: c.client, Source: client}, server)
	}
	for i, way := range c.ways(t, pod) {
		if way != pod.ways[i] {
			t.Errorf("packets go from %s; without symroute they went from %s", way, pod.ways[i])
		}
	}
	pod.check(t)
	c.runtime.MustCheck(t, list, pod.Pod, "net1")

	c.runtime.MustDel(t, list, pod.Pod, "net1")
	assertSame(t, "ADD and DEL of net1 changed the pod", before, pod.NS.Snapshot(t))
	if now := pod.permanentNeighbours(t); now != neighbours {
		t.Errorf("permanent neighbours: want\n%sgot\n%s", neighbours, now)
	}
	pod.check(t)
	pod.detach(t)
}

// TestServicesWithTake is why TestPodShapes gives the pod routes to the cluster:
// where eth0 has a default and nothing else, "take" takes the services with it.
// Sockets that are bound to eth0's address are not concerned.
func TestServicesWithTake(t *testing.T) {
	t.Parallel()
	c := newCluster(t, readShape(t, "testdata/shapes/calico.json"))
	pod := c.newPod(t, false, false)
	c.runtime.MustAdd(t, c.net1(t, netlab.Object{"mainDefault": "take"}, defaults...), pod.Pod, "net1")
	pod.watch(t)
	for i, address := range c.shape.Pod {
		for _, server := range []netip.AddrPort{c.node[i], c.services[i]} {
			assertRoute(t, pod.NS, "net1", providerB.gateway(address), server.Addr())
			pod.assertTalk(t, "eth0", netlab.Client{NS: pod.NS, Source: address}, server)
		}
	}
}

// TestServicesFromTheSecondAddress asks services from net1's address, by
// viaMain. The node has to know that this address, too, is behind the pod's
// eth0: without it the answers leave by the node's LAN.
func TestServicesFromTheSecondAddress(t *testing.T) {
	t.Parallel()
	c := newCluster(t, readShape(t, "testdata/shapes/calico.json"))
	pod := c.newPod(t, false, false)
	list := c.net1(t, netlab.Object{"viaMain": c.shape.Services}, defaults...)
	c.runtime.MustAdd(t, list, pod.Pod, "net1")
	pod.watch(t)
	for i, server := range c.services {
		source := providerB.pod(server.Addr())
		c.site.node.IP(t, "route", "add", source.String(), "via", c.shape.Pod[i].String(), "dev", c.shape.Veth.Link, "onlink")
		pod.assertTalk(t, "eth0", netlab.Client{NS: pod.NS, Source: source}, server)
	}
	c.runtime.MustCheck(t, list, pod.Pod, "net1")
}

// visitor is a client in the world outside that reaches pods through the node and
// under its own address, as by a service with externalTrafficPolicy Local. No
// route to the cluster holds it. For the sake of brevity the node has it.
func visitor(family netip.Addr) netip.Addr {
	if family.Is4() {
		return netip.MustParseAddr("198.51.100.99")
	}
	return netip.MustParseAddr("2001:db8:e::99")
}

// cluster is a node whose pods have a shape. It hangs on the LAN of provider b,
// with the client behind the gateway; its own addresses are on lo.
type cluster struct {
	*site
	shape    shape
	node     []netip.AddrPort // servers
	services []netip.AddrPort
}

func newCluster(t *testing.T, s shape) *cluster {
	t.Helper()
	c := &cluster{site: newSite(t, providerB), shape: s}
	node := c.site.node
	node.Forward(t)
	for i := range s.Pod {
		for _, address := range []netip.Addr{s.Node[i], s.Services[i], visitor(s.Pod[i])} {
			node.Batch(t, netlab.Address(netip.PrefixFrom(address, address.BitLen()).String(), "lo"))
		}
	}
	// A proxy answers ARP for what it has a route to.
	node.Batch(t, fmt.Sprintf("route add default via %v dev %s onlink", providerB.gateway4(), providerB.bridge()))
	node.Batch(t, s.NodeSetup...)
	for i := range s.Node {
		c.node = append(c.node, node.Echo(t, addrPort(s.Node[i])))
		c.services = append(c.services, node.Echo(t, addrPort(s.Services[i])))
	}
	return c
}

// net1 is the network of the macvlan NIC, with symroute behind it.
func (c *cluster) net1(t *testing.T, keys netlab.Object, destinations ...string) netlab.Conflist {
	t.Helper()
	ipam := providerB.hostLocal(t.TempDir(), destinations...)
	return netlab.NewConflist("net1", cniVersion, netlab.MacvlanPlugin(providerB.bridge(), ipam), c.symroute(keys))
}

// clusterPod is a pod that has its eth0.
type clusterPod struct {
	*netlab.Pod
	captures map[string]*netlab.Capture
	ways     []string // before symroute came, where that could be seen

	check  func(*testing.T) // eth0, as the runtime does it
	detach func(*testing.T) // takes eth0 away, and looks what is left over
}

// newPod makes a pod with an eth0, on request with symroute behind it, and with
// routes to the cluster.
func (c *cluster) newPod(t *testing.T, chained, clusterRoutes bool) *clusterPod {
	t.Helper()
	nothing := func(*testing.T) {} // where eth0's CNI is not to be had, and symroute not behind it
	pod := &clusterPod{Pod: netlab.NewPod(t), check: nothing, detach: nothing}
	if c.shape.Plugin != nil {
		c.plugin(t, pod, chained, clusterRoutes)
		pod.ways = c.ways(t, pod)
		return pod
	}
	c.shape.Veth.plug(t, c.site.node, pod.NS)
	if clusterRoutes {
		for _, route := range c.shape.ClusterRoutes.Routes {
			pod.NS.IP(t, "route", "add", route.Dst, "via", route.GW, "dev", "eth0")
		}
	}
	pod.ways = c.ways(t, pod)
	if chained {
		c.shape.Veth.chain(t, c, pod)
	}
	return pod
}

// plugin lets the shape's interface plugin make eth0, and IPAM name the routes
// to the cluster.
func (c *cluster) plugin(t *testing.T, pod *clusterPod, chained, clusterRoutes bool) {
	t.Helper()
	ipam := maps.Clone(c.shape.Plugin["ipam"].(netlab.Object))
	ipam["dataDir"] = t.TempDir()
	if clusterRoutes {
		routes := slices.Clone(ipam["routes"].([]any))
		for _, route := range c.shape.ClusterRoutes.Routes {
			routes = append(routes, route)
		}
		ipam["routes"] = routes
	}
	plugin := maps.Clone(c.shape.Plugin)
	plugin["ipam"] = ipam
	plugins := []netlab.Object{plugin}
	if chained {
		plugins = append(plugins, c.symroute(nil))
	}
	list := netlab.NewConflist("cluster", cniVersion, plugins...)
	before := pod.NS.Snapshot(t)
	c.runtime.MustAdd(t, list, pod.Pod, "eth0")
	pod.check = func(t *testing.T) { c.runtime.MustCheck(t, list, pod.Pod, "eth0") }
	pod.detach = func(t *testing.T) {
		c.runtime.MustDel(t, list, pod.Pod, "eth0")
		assertSame(t, "ADD and DEL of eth0 changed the pod", before, pod.NS.Snapshot(t))
	}
}

// plug makes eth0 by hand. Its other end leaves the node before the pod's
// namespace does, which takes its time: the next pod has the same name for it.
func (v *handmade) plug(t *testing.T, node, pod *netlab.NS) {
	t.Helper()
	node.IP(t, "link", "add", v.Link, "address", v.MAC, "type", "veth", "peer", "name", "eth0", "netns", pod.Name)
	t.Cleanup(func() { node.IP(t, "link", "del", v.Link) })
	node.SetSysctl(t, v.Sysctls...)
	node.Batch(t, "link set "+v.Link+" up")
	pod.Batch(t, "link set eth0 up")
	node.Settle(t, v.Link)
	pod.Settle(t, "eth0")
	pod.Batch(t, v.InPod...)
	node.Batch(t, v.OnNode...)
	pod.Settle(t, "eth0")
	node.Settle(t, v.Link)
}

// chain runs symroute as it would run behind the CNI that makes eth0.
func (v *handmade) chain(t *testing.T, c *cluster, pod *clusterPod) {
	t.Helper()
	conf := c.symroute(netlab.Object{"cniVersion": cniVersion, "name": "cluster"})
	a := attachment{
		node: c.site.node, pod: pod.Pod, containerID: pod.ID, nic: "eth0", netns: pod.NS.Path, conf: conf,
		prev: json.RawMessage(strings.ReplaceAll(string(v.Result), "$CNI_NETNS", pod.NS.Path)),
	}
	before := pod.NS.Snapshot(t)
	a.must(t, "ADD")
	pod.check = func(t *testing.T) { a.must(t, "CHECK") }
	pod.detach = func(t *testing.T) {
		a.must(t, "DEL")
		assertSame(t, "ADD and DEL of eth0 changed the pod", before, pod.NS.Snapshot(t))
	}
}

// permanentNeighbours are the neighbours that the pod was told of.
func (p *clusterPod) permanentNeighbours(t *testing.T) string {
	t.Helper()
	return p.NS.IP(t, "neigh", "show", "nud", "permanent")
}

// ways says how packets leave from eth0's addresses, to the node, the services
// and far away: the next hop, the NIC and the MTU.
func (c *cluster) ways(t *testing.T, pod *clusterPod) []string {
	t.Helper()
	var ways []string
	for i, from := range c.shape.Pod {
		for _, to := range []netip.Addr{c.shape.Node[i], c.shape.Services[i], farClient(from)} {
			way := fmt.Sprintf("%v to %v:", from, to)
			answer := strings.Fields(pod.NS.IP(t, "route", "get", to.String(), "from", from.String()))
			for j, word := range answer[:len(answer)-1] {
				if slices.Contains([]string{"via", "dev", "mtu"}, word) {
					way += " " + word + " " + answer[j+1]
				}
			}
			ways = append(ways, way)
		}
	}
	return ways
}

// farClient is the client's address of the family of another address.
func farClient(family netip.Addr) netip.Addr {
	if family.Is4() {
		return client4
	}
	return client6
}

// watch starts to record what crosses the pod's NICs.
func (p *clusterPod) watch(t *testing.T) {
	t.Helper()
	p.captures = map[string]*netlab.Capture{"eth0": p.NS.Capture(t, "eth0"), "net1": p.NS.Capture(t, "net1")}
}

// assertTalk lets a client talk to a server over TCP and UDP, and demands that
// both directions cross one of the pod's NICs and no other.
func (p *clusterPod) assertTalk(t *testing.T, nic string, client netlab.Client, server netip.AddrPort) {
	t.Helper()
	for _, client.Network = range []string{"tcp", "udp"} {
		for _, capture := range p.captures {
			capture.Forget(t)
		}
		local, err := client.Talk(server)
		if err != nil {
			t.Errorf("%s from %v to %v: %v", client.Network, client.Source, server, err)
		}
		if !local.IsValid() {
			continue
		}
		for name, capture := range p.captures {
			packets := capture.Matching(t, func(packet netlab.Packet) bool {
				return packet.Src == local && packet.Dst == server || packet.Src == server && packet.Dst == local
			})
			if in, out := directions(packets); in != (name == nic) || out != (name == nic) {
				t.Errorf("%s from %v to %v: %s carried packets to the pod: %t, from it: %t; want both by %s alone\n%s",
					client.Network, local, server, name, in, out, nic, netlab.List(packets))
			}
		}
	}
}
