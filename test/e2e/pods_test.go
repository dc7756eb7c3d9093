package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// TestAddTouchesNothingElse asks what ADD leaves alone: addresses, links,
// the other NIC's settings, and all of main but a default that yields. Of its own NIC it sets
// the reverse-path filter, and that IPv6 addresses outlive the link's going down.
func TestAddTouchesNothingElse(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	b.pod.NS.Batch(t,
		"route add 10.1.0.0/16 via 203.0.113.2 dev net1",
		"-6 route add 2001:db8:1::/48 via fe80::2 dev net1")
	// untouched is what has to stay.
	untouched := func() netlab.Snapshot {
		return b.pod.NS.Snapshot(t).Without(func(line string) bool {
			return strings.Contains(line, protocol) ||
				strings.Contains(line, "unicast default") || strings.Contains(line, "nexthop") ||
				strings.HasPrefix(line, "net/ipv4/conf/net1/rp_filter") ||
				strings.HasPrefix(line, "net/ipv6/conf/net1/keep_addr_on_down")
		})
	}
	before := untouched()
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	assertSame(t, "ADD changed what is none of its business", before, untouched())
}

// TestTwoPods shares a node, a data directory and names between two pods.
func TestTwoPods(t *testing.T) {
	t.Parallel()
	one, two := newBench(t, eth0, net1), newBench(t, eth0, net1)
	two.dataDir, two.node = one.dataDir, one.node
	keys := netlab.Object{"rpFilter": "strict", "mainDefault": "take"}
	one.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	two.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=1")
	beforeOne, beforeTwo := one.pod.NS.Snapshot(t), two.pod.NS.Snapshot(t)

	first, second := one.attach(net1, keys), two.attach(net1, keys)
	first.must(t, "ADD")
	second.must(t, "ADD")
	first.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the first pod", beforeOne, one.pod.NS.Snapshot(t))
	second.must(t, "CHECK")
	second.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the second pod", beforeTwo, two.pod.NS.Snapshot(t))
	assertNoFiles(t, one.dataDir)
}

// TestStaleRecord has a pod that died without DEL, and one that got the inode
// of its namespace afterwards: the kernel hands out the lowest free number.
// What is remembered of the dead one must not be taken for the living one's.
//
// It does not run beside other tests: they would snatch the inode.
func TestStaleRecord(t *testing.T) {
	dead := newBench(t, eth0)
	dead.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=1", "net/ipv4/conf/default/rp_filter=1")
	keys := netlab.Object{"rpFilter": "off", "dataDir": dead.dataDir}
	dead.attach(eth0, keys).must(t, "ADD")
	inode := dead.pod.NS.Inode(t)
	dead.pod.NS.Vanish(t)

	var heir *netlab.Pod
	for range 100 {
		if pod := netlab.NewPod(t); pod.NS.Inode(t) == inode {
			heir = pod
			break
		}
	}
	if heir == nil {
		t.Skip("the kernel did not hand out the inode again")
	}
	living := &bench{node: dead.node, wire: netlab.New(t, "wire"), pod: heir, dataDir: dead.dataDir}
	living.plug(t, eth0)
	heir.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	before := heir.NS.Snapshot(t)
	a := living.attach(eth0, netlab.Object{"rpFilter": "strict", "dataDir": dead.dataDir})
	a.must(t, "ADD")
	assertEffective(t, heir.NS, "eth0", "1")
	assertEffective(t, heir.NS, "lo", "2")
	a.must(t, "CHECK")
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, heir.NS.Snapshot(t))
}

// TestManyAddresses gives a NIC more addresses than fit into one answer of the
// kernel.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	const count = 120
	n := nic{name: "net1"}
	for i := range count {
		n.addresses = append(n.addresses, fmt.Sprintf("203.0.113.%d/24", i+2), fmt.Sprintf("2001:db8:b::%x/64", i+2))
		n.gateways = append(n.gateways, "203.0.113.1", "2001:db8:b::1")
	}
	b := newBench(t, eth0, n)
	before := b.pod.NS.Snapshot(t)
	a := b.attach(n, nil)
	a.must(t, "ADD")
	a.must(t, "CHECK")
	for _, family := range families {
		// Three rules for each address, three for the device, and the anchor.
		if got, want := len(ourRules(t, b.pod.NS, family)), 3*count+4; got != want {
			t.Errorf("%d rules (ip %s), want %d", got, family, want)
		}
	}
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
}

// TestNameWithADot has a NIC whose name would be two folders to a sysctl tool.
func TestNameWithADot(t *testing.T) {
	t.Parallel()
	n := providerB.nic("net1.100")
	b := newBench(t, eth0, n)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	before := b.pod.NS.Snapshot(t)
	a := b.attach(n, netlab.Object{"rpFilter": "strict", "arp": "isolate"})
	a.must(t, "ADD")
	assertEffective(t, b.pod.NS, "net1.100", "1")
	assertEffective(t, b.pod.NS, "eth0", "2")
	a.must(t, "CHECK")
	a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
}

// TestInterfacePlugins chains symroute behind each interface plugin, next to a
// first NIC that has the pod's default. The client is the node itself, with an
// address that only routes lead to.
func TestInterfacePlugins(t *testing.T) {
	t.Parallel()
	var (
		nodeAddress = netip.MustParseAddr("192.0.2.99")
		podAddress  = netip.MustParseAddr("10.77.0.2")
	)
	ipam := netlab.Static([]netlab.StaticAddress{{Address: podAddress.String() + "/24", Gateway: "10.77.0.1"}}, "0.0.0.0/0")
	bridge := netlab.BridgePlugin("br-plugin", ipam)
	bridge["isGateway"] = true
	tuning := netlab.Object{"type": "tuning", "sysctl": netlab.Object{"net.ipv4.conf.IFNAME.log_martians": "1"}}
	hostDevice := netlab.Object{"type": "host-device", "device": "own0", "ipam": ipam}
	ipvlan := netlab.Object{"type": "ipvlan", "master": "own0", "ipam": ipam}
	vlan := netlab.Object{"type": "vlan", "master": "own0", "vlanId": 7, "ipam": ipam}
	for _, test := range []struct {
		name    string
		plugins []netlab.Object
		onNode  []string // what has to be there before
		needs   string   // the kind of link, where not every kernel has it
	}{
		{name: "bridge", plugins: []netlab.Object{bridge}},
		{name: "ptp", plugins: []netlab.Object{netlab.PTPPlugin(ipam)}},
		{name: "bridge and tuning", plugins: []netlab.Object{bridge, tuning}},
		{name: "host-device", plugins: []netlab.Object{hostDevice}, onNode: []string{
			"link add own0 type veth peer name own1", "addr add 10.77.0.1/24 dev own1", "link set own1 up",
		}},
		{name: "ipvlan", plugins: []netlab.Object{ipvlan}, needs: "ipvlan", onNode: []string{
			"link add own0 type veth peer name own1", "addr add 10.77.0.1/24 dev own1", "link set own1 up", "link set own0 up",
		}},
		{name: "vlan", plugins: []netlab.Object{vlan}, needs: "vlan", onNode: []string{
			"link add own0 type veth peer name own1", "link set own1 up", "link set own0 up",
			"link add link own1 name own1.7 type vlan id 7", "addr add 10.77.0.1/24 dev own1.7", "link set own1.7 up",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.needs != "" {
				netlab.NeedsLink(t, test.needs)
			}
			s := newSite(t, providerA)
			s.node.Batch(t, append(test.onNode, "addr add "+nodeAddress.String()+"/32 dev lo")...)
			pod := netlab.NewPod(t)
			first := s.chained(providerA, nil)
			s.runtime.MustAdd(t, first, pod, "eth0")
			before := pod.NS.Snapshot(t)

			list := netlab.NewConflist("second", cniVersion, append(test.plugins, s.symroute(netlab.Object{"rpFilter": "strict"}))...)
			s.runtime.MustAdd(t, list, pod, "net1")
			s.runtime.MustCheck(t, list, pod, "net1")
			capture := pod.NS.Capture(t, "net1")
			server := pod.NS.Echo(t, addrPort(podAddress))
			if _, err := (netlab.Client{NS: s.node, Source: nodeAddress}).Talk(server); err != nil {
				t.Error(err)
			}
			packets := capture.Matching(t, func(packet netlab.Packet) bool { return packet.Between(nodeAddress, podAddress) })
			if in, out := directions(packets); !in || !out {
				t.Errorf("net1 carried requests: %t, replies: %t\n%s", in, out, netlab.List(packets))
			}
			assertRoute(t, pod.NS, "eth0", providerA.gateway4(), client4)
			s.runtime.MustDel(t, list, pod, "net1")
			assertSame(t, "ADD and DEL changed the pod", before, pod.NS.Snapshot(t))
			s.runtime.MustCheck(t, first, pod, "eth0")
		})
	}
}
