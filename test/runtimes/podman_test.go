package runtimes

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/machine"
	"github.com/symroute/symroute/test/netlab"
)

// podmanConf has podman make its networks by CNI. The limits are those that a
// process without CAP_SYS_RESOURCE can set.
const podmanConf = `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "/etc/cni/net.d"
`

const storageConf = `
[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
`

// image is what the containers run: one process, which waits.
const image = "localhost/pause:latest"

// withImage gives the machine podman and the image.
func withImage(t *testing.T, m *machine.Machine) {
	t.Helper()
	m.Write(t, "/etc/containers/containers.conf", podmanConf)
	m.Write(t, "/etc/containers/storage.conf", storageConf)
	program := filepath.Join(t.TempDir(), "pause")
	build := exec.Command("go", "build", "-o", program, "./pause")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./pause: %v\n%s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var root bytes.Buffer
	archive := tar.NewWriter(&root)
	if err := archive.WriteHeader(&tar.Header{Name: "pause", Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	m.Write(t, "/tmp/root.tar", root.String())
	m.Must(t, "podman", "import", "--change", `CMD ["/pause"]`, "/tmp/root.tar", image)
}

// Podman's networks, and the plugin that makes the NIC of each.
var (
	bridged = newNetwork("bridged", "198.51.100.0/24", "2001:db8:a::/64")
	macvlan = newNetwork("macvlan", "203.0.113.0/24", "2001:db8:b::/64")
	routed  = newNetwork("routed", "10.77.0.0/24", "2001:db8:77::/64")
	later   = newNetwork("later", "10.88.0.0/24", "2001:db8:88::/64")
)

// podmanSite is a machine with podman and its networks.
type podmanSite struct {
	*internet
	machine *machine.Machine
}

// newPodmanSite makes the networks, with these plugins behind the interface
// plugin of each.
func newPodmanSite(t *testing.T, chained ...netlab.Object) *podmanSite {
	t.Helper()
	s := &podmanSite{internet: newInternet(t)}
	s.lan(t, bridged, bridged.bridge())
	s.lan(t, macvlan, "")
	s.uplinkTo(t, routed) // ptp makes the node the gateway
	s.lan(t, later, later.bridge())
	s.machine = newMachine(t, s.node)
	withImage(t, s.machine)
	for n, plugin := range map[network]netlab.Object{
		bridged: netlab.BridgePlugin(bridged.bridge(), bridged.ipam()),
		macvlan: netlab.MacvlanPlugin(macvlan.uplink(), macvlan.ipam()),
		routed:  netlab.PTPPlugin(routed.ipam()),
		later:   netlab.BridgePlugin(later.bridge(), later.ipam()),
	} {
		list := netlab.NewConflist(n.name, "0.4.0", append([]netlab.Object{plugin}, chained...)...)
		s.machine.Write(t, "/etc/cni/net.d/"+n.name+".conflist", string(list))
	}
	return s
}

// podman runs a command of podman.
func (s *podmanSite) podman(t *testing.T, args ...string) string {
	t.Helper()
	return s.machine.Must(t, append([]string{"podman"}, args...)...)
}

// run starts a container on networks and returns its network namespace.
func (s *podmanSite) run(t *testing.T, name string, networks ...network) *netlab.NS {
	t.Helper()
	var names []string
	for _, n := range networks {
		names = append(names, n.name)
	}
	s.podman(t, "run", "--detach", "--name", name, "--cgroup-parent", s.machine.Cgroup, "--network", strings.Join(names, ","), image)
	return s.namespaceOf(t, name)
}

func (s *podmanSite) namespaceOf(t *testing.T, name string) *netlab.NS {
	t.Helper()
	path := s.podman(t, "inspect", "--format", "{{.NetworkSettings.SandboxKey}}", name)
	if path == "" {
		t.Fatalf("container %s has no network namespace", name)
	}
	return &netlab.NS{Name: filepath.Base(path), Path: s.machine.Path(path)}
}

// TestPodman runs a container on three networks, whose conflists end in
// symroute, and plugs a fourth one in and out.
func TestPodman(t *testing.T) {
	t.Run("without symroute answers are lost", func(t *testing.T) {
		t.Parallel()
		s := newPodmanSite(t)
		container := s.run(t, "broken", bridged, macvlan, routed)
		for _, n := range []network{bridged, macvlan, routed} {
			if s.talk(t, container, "tcp", n.containers()[0], unanswered) != nil {
				return
			}
		}
		t.Error("the client reaches every address")
	})
	t.Run("with symroute", func(t *testing.T) {
		t.Parallel()
		testPodman(t, newPodmanSite(t, netlab.Object{"type": "symroute"}))
	})
}

func testPodman(t *testing.T, s *podmanSite) {
	container := s.run(t, "pod", bridged, macvlan, routed)
	s.assertReachable(t, container, bridged, macvlan, routed)
	before := container.Snapshot(t)

	t.Run("network connect and disconnect leave the others untouched", func(t *testing.T) {
		s.podman(t, "network", "connect", later.name, "pod")
		s.assertReachable(t, container, bridged, macvlan, routed, later)
		ofNewNIC := func(line string) bool {
			return strings.Contains(line, "eth3") || strings.Contains(line, "7303") ||
				strings.Contains(line, later.containers()[0].String()) || strings.Contains(line, later.containers()[1].String())
		}
		if diff := before.Diff(container.Snapshot(t).Without(ofNewNIC)); diff != "" {
			t.Errorf("network connect changed other NICs (-before +after):\n%s", diff)
		}
		s.podman(t, "network", "disconnect", later.name, "pod")
		s.assertReachable(t, container, bridged, macvlan, routed)
		if diff := before.Diff(container.Snapshot(t)); diff != "" {
			t.Errorf("network connect and disconnect changed the pod (-before +after):\n%s", diff)
		}
	})

	t.Run("disconnecting the network of the default route", func(t *testing.T) {
		s.podman(t, "network", "disconnect", bridged.name, "pod")
		s.assertReachable(t, container, macvlan, routed)
		for _, client := range clients {
			if route := container.IP(t, "route", "get", client.String()); !strings.Contains(route, " dev eth") {
				t.Errorf("the container has no way out: %s", route)
			}
		}
		s.podman(t, "network", "connect", bridged.name, "pod")
		s.forgetNeighbours(t)
		s.assertReachable(t, container, bridged, macvlan, routed)
	})

	t.Run("stop and start", func(t *testing.T) {
		s.podman(t, "stop", "--time", "1", "pod")
		s.assertNothingLeft(t)
		s.podman(t, "start", "pod")
		s.forgetNeighbours(t)
		s.assertReachable(t, s.namespaceOf(t, "pod"), bridged, macvlan, routed)
	})

	t.Run("rm leaves nothing", func(t *testing.T) {
		s.podman(t, "rm", "--force", "--time", "1", "pod")
		s.assertNothingLeft(t)
	})
}

// assertNothingLeft demands that no lease, no file of symroute's and no network
// namespace are left.
func (s *podmanSite) assertNothingLeft(t *testing.T) {
	t.Helper()
	for _, file := range slices.Concat(leases(t, s.machine), remembered(t, s.machine), s.machine.Files(t, "/run/netns"), s.machine.Files(t, "/var/lib/cni/results")) {
		t.Errorf("%s is left over", file)
	}
}

// leases lists the addresses that host-local has given away.
func leases(t *testing.T, m *machine.Machine) []string {
	t.Helper()
	return slices.DeleteFunc(m.Files(t, "/var/lib/cni/networks"), func(file string) bool {
		name := filepath.Base(file)
		return name == "lock" || strings.HasPrefix(name, "last_reserved_ip")
	})
}

// remembered lists the files of symroute.
func remembered(t *testing.T, m *machine.Machine) []string {
	t.Helper()
	return m.Files(t, "/run/cni/symroute")
}
