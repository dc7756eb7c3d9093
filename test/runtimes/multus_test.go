package runtimes

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// The tests of this file drive libcni in the order, and with the arguments, that
// Multus was seen to: github.com/k8snetworkplumbingwg/multus-cni at 4.3.0,
// pkg/multus/multus.go, pkg/netutils/netutils.go and pkg/types/conf.go.

// TestMultusPod is a pod as Multus makes it: the cluster's network as it always
// was, and two more with symroute.
func TestMultusPod(t *testing.T) {
	t.Parallel()
	lab := newMultusLab(t)
	m := newMultus(t, multus430, lab.runtime)
	pod, empty := newMultusPod(t)
	delegates := []delegate{
		lab.plain(clusterNetwork, "eth0"),
		lab.chained(networkB, "net1", nil),
		lab.chained(networkC, "net2", netlab.Object{"rpFilter": "strict"}),
	}
	addresses := m.mustAddAll(t, pod, delegates)

	t.Run("every address answers the way it was asked", func(t *testing.T) {
		lab.assertAnswers(t, pod, slices.Concat(addresses...)...)
	})
	t.Run("the pod's own connections leave by the cluster's network", func(t *testing.T) {
		for _, remote := range clients {
			assertWayOut(t, pod.NS, "eth0", remote, netip.Addr{})
		}
	})
	t.Run("CHECK", func(t *testing.T) {
		m.assertCheck(t, pod, delegates...)
	})
	t.Run("CNI_ARGS has its keys twice, CNI_PATH its folder", func(t *testing.T) {
		call := lab.runtime.Last(t, "symroute", "ADD")
		for _, variable := range call.Env {
			switch name, value, _ := strings.Cut(variable, "="); name {
			case "CNI_ARGS":
				if strings.Count(value, "IgnoreUnknown=") != 2 || strings.Count(value, "K8S_POD_NAME=gateway-0") != 2 {
					t.Errorf("this test shows nothing: %s", variable)
				}
			case "CNI_PATH":
				if folders := strings.Split(value, ":"); len(folders) != 2 || folders[0] != folders[1] {
					t.Errorf("this test shows nothing: %s", variable)
				}
			}
		}
	})
	t.Run("DEL takes everything back", func(t *testing.T) {
		m.assertLeaves(t, pod, empty, delegates, addresses)
		lab.assertNothingHeld(t)
	})
}

// newMultusPod makes a pod, and a picture of it as it has to be when it ends:
// without NICs, and with lo down, as it is when a runtime's DEL comes.
func newMultusPod(t *testing.T) (*netlab.Pod, netlab.Snapshot) {
	t.Helper()
	pod := netlab.NewPod(t)
	pod.NS.IP(t, "link", "set", "lo", "down")
	empty := pod.NS.Snapshot(t)
	pod.NS.IP(t, "link", "set", "lo", "up")
	return pod, empty
}

// assertLeaves detaches the pod the way Multus does at its end, and demands
// that each DEL leaves the rules of the other attachments of symroute alone, and
// the last one nothing at all.
func (m *multus) assertLeaves(t *testing.T, pod *netlab.Pod, empty netlab.Snapshot, delegates []delegate, addresses [][]netip.Addr) {
	t.Helper()
	pod.NS.IP(t, "link", "set", "lo", "down")
	for i, d := range slices.Backward(delegates) {
		before := rulesOf(t, pod.NS, delegates[:i], addresses)
		if err := m.del(sandboxOf(pod), d); err != nil {
			t.Error(err)
		}
		if diff := before.Diff(rulesOf(t, pod.NS, delegates[:i], addresses)); diff != "" {
			t.Errorf("DEL of %s changed other attachments (-before +after):\n%s", d.nic, diff)
		}
	}
	if diff := empty.Diff(pod.NS.Snapshot(t)); diff != "" {
		t.Errorf("what is left in the pod (-empty +now):\n%s", diff)
	}
}

// rulesOf are the source rules of the attachments that have symroute.
func rulesOf(t *testing.T, ns *netlab.NS, delegates []delegate, addresses [][]netip.Addr) netlab.Snapshot {
	t.Helper()
	rules := netlab.Snapshot{}
	for i, d := range delegates {
		if !bytes.Contains(d.list, []byte(`"symroute"`)) {
			continue
		}
		for _, address := range addresses[i] {
			family := "-6"
			if address.Is4() {
				family = "-4"
			}
			shown := ns.IP(t, family, "rule", "show", "from", address.String())
			if shown == "" {
				t.Errorf("%s has no rules for %v", d.nic, address)
			}
			rules[d.nic+" "+address.String()] = strings.Split(shown, "\n")
		}
	}
	return rules
}

// wayOut is the NIC that the kernel sends packets to a remote by, from one of
// the pod's addresses or from none in particular.
func wayOut(t *testing.T, ns *netlab.NS, to, from netip.Addr) string {
	t.Helper()
	args := []string{"route", "get", to.String()}
	if from.IsValid() {
		args = append(args, "from", from.String())
	}
	words := strings.Fields(ns.IP(t, args...))
	i := slices.Index(words, "dev")
	if i < 0 {
		t.Fatalf("ip %s: no device in %q", strings.Join(args, " "), words)
	}
	return words[i+1]
}

func assertWayOut(t *testing.T, ns *netlab.NS, nic string, to, from netip.Addr) {
	t.Helper()
	if got := wayOut(t, ns, to, from); got != nic {
		t.Errorf("packets from %v to %v leave by %s, want %s", from, to, got, nic)
	}
}

// TestMultusFailingAttachment has a last attachment that cannot be made. Multus
// then takes back what it has made, and the runtime makes it do so again.
func TestMultusFailingAttachment(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// last is the attachment that fails, given the address that net1 has.
		last func(lab *multusLab, net1 netip.Addr) delegate
		// says is in the error.
		says string
	}{
		{
			name: "symroute refuses its configuration",
			last: func(lab *multusLab, _ netip.Addr) delegate {
				return lab.chained(networkC, "net2", netlab.Object{"gateways": []string{"192.168.77.1"}})
			},
			says: "gateways[0]",
		},
		{
			name: "symroute finds an address on two NICs",
			last: func(lab *multusLab, net1 netip.Addr) delegate {
				return lab.chained(networkC, "net2", netlab.Object{"sources": []string{net1.String()}})
			},
			says: "net1",
		},
		{
			name: "the interface plugin fails before symroute",
			last: func(lab *multusLab, _ netip.Addr) delegate {
				missing := lab.plugin(networkB)
				missing["master"] = "nosuchlink"
				return lab.chain(networkB, "net2", missing, nil)
			},
			says: "macvlan",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lab := newMultusLab(t)
			m := newMultus(t, multus430, lab.runtime)
			pod, empty := newMultusPod(t)
			delegates := []delegate{lab.plain(clusterNetwork, "eth0"), lab.chained(networkB, "net1", nil)}
			addresses := m.mustAddAll(t, pod, delegates)
			last := test.last(lab, addresses[1][0])
			delegates = append(delegates, last)

			_, err := m.add(t, pod, last, delegates)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("ADD of %s: %v; want an error that names %q", last.nic, err, test.says)
			}
			// Until its DEL the default that IPAM made for net2 is in main, and
			// takes eth0's answers away: nobody has chained symroute there.
			lab.assertAnswers(t, pod, addresses[1]...)
			m.assertCheck(t, pod, delegates[1])
			if err := m.del(sandboxOf(pod), last); err != nil {
				t.Errorf("after its failed ADD: %v", err)
			}
			if call := lab.runtime.Last(t, "symroute", "DEL"); bytes.Contains(call.Stdin, []byte(`"prevResult":`)) {
				t.Errorf("this test shows nothing: DEL had a prevResult: %v", call)
			}
			lab.assertAnswers(t, pod, slices.Concat(addresses...)...)
			m.assertCheck(t, pod, delegates[:2]...)
			m.assertLeaves(t, pod, empty, delegates[:2], addresses)
			lab.assertNothingHeld(t)

			if err := m.delAll(sandboxOf(pod), delegates); err != nil {
				t.Errorf("second round: %v", err)
			}
			if diff := empty.Diff(pod.NS.Snapshot(t)); diff != "" {
				t.Errorf("what the second round left in the pod (-empty +now):\n%s", diff)
			}
			lab.assertNothingHeld(t)
		})
	}
}

// TestMultusSandboxIsGone is DEL after the sandbox died: the runtime does not
// know the namespace any more and says so by an empty CNI_NETNS, twice.
func TestMultusSandboxIsGone(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		prevResult bool
	}{
		{"with prevResult", true},
		{"without prevResult", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lab := newMultusLab(t)
			m := newMultus(t, multus430, lab.runtime)
			pod := netlab.NewPod(t)
			delegates := []delegate{
				lab.chained(clusterNetwork, "eth0", nil),
				lab.chained(networkB, "net1", netlab.Object{"mainDefault": "take"}),
				lab.chained(networkC, "net2", netlab.Object{"rpFilter": "strict"}),
			}
			m.mustAddAll(t, pod, delegates)
			if want := 2 * len(delegates); len(lab.leased(t)) != want || len(regularFiles(t, lab.symroute)) != len(delegates) {
				t.Fatalf("this test shows nothing: leased %q, remembered %q", lab.leased(t), regularFiles(t, lab.symroute))
			}
			pod.NS.Vanish(t)
			netlab.Eventually(t, "the node's ends of the pod's NICs are gone", func() bool {
				return !strings.Contains(lab.node.IP(t, "-brief", "link"), "\nveth")
			})
			node := lab.node.Snapshot(t)
			if !test.prevResult {
				m.forget(t)
			}
			gone := sandbox{id: pod.ID}
			if err := m.delAll(gone, delegates); err != nil {
				t.Error(err)
			}
			if call := lab.runtime.Last(t, "symroute", "DEL"); bytes.Contains(call.Stdin, []byte(`"prevResult":`)) != test.prevResult {
				t.Errorf("this test shows nothing: %v", call)
			}
			lab.assertNothingHeld(t)
			if err := m.delAll(gone, delegates); err != nil {
				t.Errorf("second time: %v", err)
			}
			if diff := node.Diff(lab.node.Snapshot(t)); diff != "" {
				t.Errorf("DEL changed the node (-before +after):\n%s", diff)
			}
		})
	}
}

// TestMultusDevice has what Multus adds to a configuration for a pod's device
// (SR-IOV) and for what its annotation asks: deviceID and pciBusID in every
// plugin of the list, and runtimeConfig where a plugin has the capability.
func TestMultusDevice(t *testing.T) {
	t.Parallel()
	const (
		device = "0000:3b:02.1"
		mac    = "02:00:5e:10:00:77"
	)
	address := netip.MustParseAddr("203.0.113.77")
	lab := newMultusLab(t)
	m := newMultus(t, multus430, lab.runtime)
	pod, empty := newMultusPod(t)
	injected := netlab.Object{"deviceID": device, "pciBusID": device}
	with := func(object, more netlab.Object) netlab.Object {
		for key, value := range more {
			object[key] = value
		}
		return object
	}
	ipam := netlab.Object{"type": "static"}
	plugin := with(with(netlab.MacvlanPlugin(networkB.uplink(), ipam), injected),
		netlab.Object{"capabilities": netlab.Object{"mac": true, "ips": true}})
	net1 := lab.chain(networkB, "net1", plugin, with(netlab.Object{
		"capabilities": netlab.Object{"deviceID": true, "CNIDeviceInfoFile": true, "ips": true},
		// The addresses of an annotation come without a gateway.
		"gateways": networkB.gateways()[:1],
	}, injected))
	net1.capabilities = netlab.Object{
		"ips": []string{address.String() + "/24"}, "mac": mac,
		"deviceID": device, "CNIDeviceInfoFile": "/var/run/k8s.cni.cncf.io/devinfo/cni/net-b-" + pod.ID + "-net1",
	}
	delegates := []delegate{lab.plain(clusterNetwork, "eth0"), net1}
	addresses := m.mustAddAll(t, pod, delegates)

	call := lab.runtime.Last(t, "symroute", "ADD")
	for _, want := range []string{`"deviceID":"` + device, `"pciBusID":"` + device, `"runtimeConfig":{`, `"CNIDeviceInfoFile":"/var/run`} {
		if !bytes.Contains(call.Stdin, []byte(want)) {
			t.Errorf("this test shows nothing: no %s in %s", want, call.Stdin)
		}
	}
	if !slices.Equal(addresses[1], []netip.Addr{address}) || pod.NS.MAC(t, "net1").String() != mac {
		t.Errorf("net1 has %v and %v, want what the annotation asks for", addresses[1], pod.NS.MAC(t, "net1"))
	}
	lab.assertAnswers(t, pod, slices.Concat(addresses...)...)
	m.assertCheck(t, pod, delegates...)
	m.assertLeaves(t, pod, empty, delegates, addresses)
	lab.assertNothingHeld(t)
}

// several says that main has defaults by more than one NIC.
const several = "several"

// TestMultusDefaultRoute is the table of docs/kubernetes.md: who has the default
// route of main where an annotation's `default-route` meets `mainDefault`, and
// which of the pod's addresses answer then.
func TestMultusDefaultRoute(t *testing.T) {
	t.Parallel()
	lab := newMultusLab(t)
	for _, test := range defaultRouteCases {
		t.Run(test.String(), func(t *testing.T) {
			t.Parallel()
			for _, behindEth0 := range []bool{false, true} {
				test.run(t, lab, behindEth0)
			}
		})
	}
	t.Cleanup(func() { lab.assertNothingHeld(t) })
}

// defaultRouteCase is one cell of the table. The chosen network is the one that
// gets mainDefault and that the annotation names; the others have no keys.
type defaultRouteCase struct {
	chosen      string
	mainDefault string
	annotation  annotation
	// main is the NIC of main's default in each family, or several.
	main4, main6 string
	// eth0 says that eth0's addresses answer without symroute behind eth0.
	eth0 bool
}

// annotation is what becomes of the annotation `default-route`.
type annotation string

const (
	notThere annotation = "no default-route"
	deletes  annotation = "default-route of Multus 4.0.0 to 4.2.1"
	adds     annotation = "default-route of Multus 4.2.2 to 4.3.0"
	// afterwards is somebody who moves the default when the pod is complete.
	afterwards annotation = "default moved after all ADDs"
)

var defaultRouteCases = []defaultRouteCase{
	{"net1", "yield", notThere, "eth0", "eth0", true},
	{"net1", "yield", deletes, "net1", "net1", false},
	{"net1", "yield", adds, "eth0", "eth0", true},
	{"net1", "yield", afterwards, "net1", "net1", false},
	{"net1", "take", notThere, "net1", "net1", true},
	{"net1", "take", deletes, "net1", "net1", false},
	{"net1", "take", adds, "net1", "net1", true},
	{"net1", "take", afterwards, "net1", "net1", true},
	{"net1", "keep", notThere, several, several, false},
	{"net1", "keep", deletes, "net1", "net1", false},
	{"net1", "keep", adds, several, several, false},
	{"net1", "keep", afterwards, "net1", several, false},
	{"net2", "yield", deletes, "net2", "net2", false},
	{"net2", "yield", adds, "eth0", "eth0", true},
	{"net2", "take", deletes, "net2", "net2", false},
	{"net2", "take", adds, "net2", "net2", true},
}

func (c defaultRouteCase) String() string {
	return c.annotation.String() + ", mainDefault " + c.mainDefault + ", " + c.chosen
}

func (a annotation) String() string { return string(a) }

// delegates are the pod's networks, with the annotation on the chosen one.
func (c defaultRouteCase) delegates(lab *multusLab, behindEth0 bool) []delegate {
	eth0 := lab.plain(clusterNetwork, "eth0")
	if behindEth0 {
		eth0 = lab.chained(clusterNetwork, "eth0", nil)
	}
	delegates := []delegate{eth0}
	for nic, n := range map[string]network{"net1": networkB, "net2": networkC} {
		d := lab.chained(n, nic, nil)
		if nic == c.chosen {
			d = lab.chained(n, nic, netlab.Object{"mainDefault": c.mainDefault})
			if c.annotation == deletes || c.annotation == adds {
				d.gateways = n.gateways()
			}
		}
		delegates = append(delegates, d)
	}
	slices.SortFunc(delegates, func(a, b delegate) int { return strings.Compare(a.nic, b.nic) })
	return delegates
}

// run makes a pod and holds it to the case.
func (c defaultRouteCase) run(t *testing.T, lab *multusLab, behindEth0 bool) {
	t.Helper()
	release := multus430
	if c.annotation == deletes {
		release = multus421
	}
	m := newMultus(t, release, lab.runtime)
	pod, empty := newMultusPod(t)
	delegates := c.delegates(lab, behindEth0)
	addresses := m.mustAddAll(t, pod, delegates)
	if c.annotation == afterwards {
		c.moveDefault(t, pod.NS)
	}

	if behindEth0 && c.mainDefault == "keep" {
		c.main4, c.main6 = c.chosen, c.chosen // eth0 yields to a NIC that does not
	}
	c.assertMain(t, pod.NS)
	lab.assertAnswers(t, pod, slices.Concat(addresses[1:]...)...)
	switch {
	case c.eth0 || behindEth0:
		lab.assertAnswers(t, pod, addresses[0]...)
	default:
		c.assertEth0Leaves(t, pod.NS, addresses[0])
	}
	m.assertCheck(t, pod, delegates...)
	m.assertLeaves(t, pod, empty, delegates, addresses)
}

// moveDefault gives the pod's defaults to the chosen NIC.
func (c defaultRouteCase) moveDefault(t *testing.T, ns *netlab.NS) {
	t.Helper()
	for _, nic := range []string{"eth0", "net1", "net2"} {
		deleteDefaults(t, ns, nic)
	}
	setDefaults(t, ns, c.chosen, map[string]network{"net1": networkB, "net2": networkC}[c.chosen].gateways())
}

func (c defaultRouteCase) assertMain(t *testing.T, ns *netlab.NS) {
	t.Helper()
	for i, want := range []string{c.main4, c.main6} {
		if want != several {
			assertWayOut(t, ns, want, clients[i], netip.Addr{})
			continue
		}
		family := families[i]
		if routes := ns.IP(t, family, "route", "show", "default", "table", "main"); strings.Count(routes, " dev ") < 2 {
			t.Errorf("main has one default, want one by each of several NICs:\n%s", routes)
		}
	}
}

// assertEth0Leaves demands that eth0's answers leave by the chosen NIC. Where
// main has several defaults the kernel decides from case to case: by what it
// knows of the gateways in IPv4, by a hash of the addresses in IPv6.
func (c defaultRouteCase) assertEth0Leaves(t *testing.T, ns *netlab.NS, addresses []netip.Addr) {
	t.Helper()
	for i, main := range []string{c.main4, c.main6} {
		if main != several {
			assertWayOut(t, ns, c.chosen, clients[i], addresses[i])
		}
	}
}
