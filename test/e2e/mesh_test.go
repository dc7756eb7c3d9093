package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// mesh is what a service mesh puts into a pod so that its transparent proxy gets
// the packets that it marked: a rule for the mark, and a table in which every
// address is the pod's own.
type mesh struct {
	name     string
	mark     int
	selector string // the mark, as `ip rule` takes it
	table    string
	priority string // empty: the kernel chooses
}

var (
	// ambientMesh is Istio's ambient mode
	// (istio/istio: cni/pkg/iptables/iptables_linux.go, AddInpodMarkIPRule and
	// AddLoopbackRoutes). The mark is on the application's answers to what
	// ztunnel forwarded in the client's name.
	ambientMesh = mesh{name: "Istio ambient", mark: 0x111, selector: "0x111/0xfff", table: "100", priority: "32764"}
	// sidecarMesh is Istio's sidecar with interceptionMode TPROXY
	// (istio/istio: tools/istio-iptables/pkg/capture/run_linux.go,
	// configureTProxyRoutes; mark and table are the defaults of that tool).
	sidecarMesh = mesh{name: "Istio sidecar", mark: 1337, selector: "1337", table: "133"}
	// ownTableMesh wants the first table that symroute would take.
	ownTableMesh = mesh{name: "a mesh with table 7300", mark: 1337, selector: "1337", table: "7300"}
)

// install does what the mesh does, in both families.
func (m mesh) install(t *testing.T, pod *netlab.Pod) {
	t.Helper()
	rule := "rule add fwmark " + m.selector + " lookup " + m.table
	if m.priority != "" {
		rule += " priority " + m.priority
	}
	pod.NS.Batch(t,
		rule, "route replace local 0.0.0.0/0 dev lo table "+m.table,
		"-6 "+rule, "-6 route replace local ::/0 dev lo table "+m.table)
}

// has says whether a line of a snapshot is about the mesh.
func (m mesh) has(line string) bool {
	return strings.Contains(line, "fwmark") || strings.Contains(line, "local default dev lo table "+m.table+" ")
}

// assertCaught sends a marked packet from an address of the pod to one that the
// pod does not have, and demands that the mesh's proxy in the pod gets it.
func (m mesh) assertCaught(t *testing.T, pod *netlab.Pod, nics []string, from, to netip.Addr) {
	t.Helper()
	box := pod.NS.ProxyMailbox(t, addrPort(to))
	captures := map[string]*netlab.Capture{}
	for _, nic := range nics {
		captures[nic] = pod.NS.Capture(t, nic)
	}
	if err := pod.NS.SendMarked(m.mark, from, box.Address, "for the proxy"); err != nil {
		t.Errorf("packets with mark %#x from %v to %v are refused: %v", m.mark, from, to, err)
		return
	}
	sent := func(packet netlab.Packet) bool { return packet.Outgoing && packet.Dst == box.Address }
	escaped := func() (over string) {
		for nic, capture := range captures {
			if len(capture.Matching(t, sent)) > 0 {
				return nic
			}
		}
		return ""
	}
	netlab.Eventually(t, "the marked packet arrives somewhere", func() bool {
		return len(box.Messages(t)) > 0 || escaped() != ""
	})
	if nic := escaped(); nic != "" {
		t.Errorf("packets with mark %#x from %v to %v leave by %s, want them in the proxy's hands", m.mark, from, to, nic)
	}
}

// TestAmbientMeshProxies has the proxy of an ambient mesh talk to the pod's
// addresses in the name of a client, as ztunnel does for the connections that it
// takes in: the application's answers are marked by connection tracking, and have
// to come back to the proxy instead of going to the client.
func TestAmbientMeshProxies(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} {
		t.Run(meshOrder(first), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0, net1)
			if first {
				ambientMesh.install(t, b.pod)
			}
			a := b.attach(net1, nil)
			a.must(t, "ADD")
			if !first {
				ambientMesh.install(t, b.pod)
			}
			const ztunnel = 0x539 // the mark of its own packets
			b.pod.NS.MarkAnswers(t, ztunnel, ambientMesh.mark)
			for _, client := range clients {
				for _, p := range []provider{providerA, providerB} {
					server := b.pod.NS.Echo(t, addrPort(p.pod(client)))
					if err := b.pod.NS.TalkInTheNameOf(client, ztunnel, server); err != nil {
						t.Errorf("the proxy talks to %v in the name of %v: %v", server, client, err)
					}
				}
			}
			a.must(t, "CHECK")
		})
	}
}

// meshOrder names the tests of both orders.
func meshOrder(first bool) string {
	if first {
		return "before symroute"
	}
	return "after symroute"
}

// TestServiceMesh has a service mesh in the pod. What it marked goes where it
// says, all else is symmetric, and it stays when symroute goes.
func TestServiceMesh(t *testing.T) {
	t.Parallel()
	for _, m := range []mesh{ambientMesh, sidecarMesh, ownTableMesh} {
		for _, first := range []bool{true, false} {
			if m == ownTableMesh && !first {
				continue // TestServiceMeshTakesOurTable
			}
			t.Run(m.name+" "+meshOrder(first), func(t *testing.T) {
				t.Parallel()
				testServiceMesh(t, m, first)
			})
		}
	}
}

func testServiceMesh(t *testing.T, m mesh, first bool) {
	s := newSite(t, providerA, providerB)
	pod := netlab.NewPod(t)
	s.runtime.MustAdd(t, s.plain(providerA, defaults...), pod, "eth0")
	if first {
		m.install(t, pod)
	}
	before := pod.NS.Snapshot(t)
	list := s.chained(providerB, netlab.Object{"rpFilter": "strict"})
	s.runtime.MustAdd(t, list, pod, "net1")
	if !first {
		m.install(t, pod)
	}

	t.Run("marked packets go to the proxy", func(t *testing.T) {
		for _, to := range clients {
			for _, p := range []provider{providerA, providerB} {
				m.assertCaught(t, pod, []string{"eth0", "net1"}, p.pod(to), to)
			}
		}
	})
	t.Run("all others are symmetric", func(t *testing.T) {
		for _, from := range clients {
			for _, p := range []provider{providerA, providerB} {
				s.assertOnlyThrough(t, p, netlab.Client{NS: s.client, Source: from}, pod)
			}
		}
	})
	t.Run("CHECK", func(t *testing.T) { s.runtime.MustCheck(t, list, pod, "net1") })
	t.Run("tables do not collide", func(t *testing.T) {
		for _, family := range families {
			got := table(t, pod.NS, family, m.table)
			if len(got) != 1 || !strings.HasPrefix(got[0], "local default dev lo") {
				t.Errorf("the mesh's table %s (ip %s) is not its own:\n%s", m.table, family, strings.Join(got, "\n"))
			}
		}
	})

	s.runtime.MustDel(t, list, pod, "net1")
	after := pod.NS.Snapshot(t)
	if left := len(after.Grep("fwmark")); left != 2 {
		t.Errorf("%d rules of the mesh are left, want 2", left)
	}
	if !first {
		after = after.Without(m.has)
	}
	assertSame(t, "ADD and DEL changed the pod", before, after)
	for _, to := range clients {
		m.assertCaught(t, pod, []string{"eth0"}, providerA.pod(to), to)
	}
}

// TestServiceMeshTakesOurTable has a mesh come after ADD that replaces the
// default route of the table that is symroute's. CHECK says so, and DEL leaves
// the mesh what it made.
func TestServiceMeshTakesOurTable(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	before := b.pod.NS.Snapshot(t)
	a := b.attach(net1, nil)
	a.must(t, "ADD")
	ownTableMesh.install(t, b.pod)
	assertCode(t, a.fails(t, "CHECK", "7300", "local default dev lo"), deviations...)
	a.must(t, "DEL")
	after := b.pod.NS.Snapshot(t)
	if left := after.Grep("local default dev lo table 7300"); len(left) != 2 {
		t.Errorf("routes of the mesh that are left: %q, want one of each family", left)
	}
	assertSame(t, "ADD and DEL changed the pod", before, after.Without(ownTableMesh.has))
}
