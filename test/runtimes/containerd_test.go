package runtimes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/symroute/symroute/test/machine"
	"github.com/symroute/symroute/test/netlab"
)

// containerdConf has containerd work without the right to lower OOM scores, and
// with the image that is there.
const containerdConf = `
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + image + `"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
    max_conf_num = %d
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
`

const containerdSocket = "/run/containerd/containerd.sock"

// kubelet is what drives containerd, by the CRI.
type kubelet struct {
	*internet
	machine *machine.Machine
	cri     cri.RuntimeServiceClient
	pods    int
}

// newKubelet starts a machine with containerd, whose pods hang on these networks, each of
// which ends in the plugin.
func newKubelet(t *testing.T, plugin string, networks ...network) *kubelet {
	t.Helper()
	k := &kubelet{internet: newInternet(t)}
	for _, n := range networks {
		k.lan(t, n, n.bridge())
	}
	k.machine = newMachine(t, k.node)
	withImage(t, k.machine)
	for i, n := range networks {
		list := netlab.NewConflist(n.name, "1.0.0", netlab.BridgePlugin(n.bridge(), n.ipam()), netlab.Object{"type": plugin})
		k.machine.Write(t, fmt.Sprintf("/etc/cni/net.d/%d-%s.conflist", 10+i, n.name), string(list))
	}
	k.machine.Write(t, "/etc/containerd/config.toml", fmt.Sprintf(containerdConf, len(networks)))
	k.startContainerd(t)
	k.machine.Must(t, "podman", "save", "--quiet", "--format", "oci-archive", "--output", "/tmp/image.tar", image)
	k.machine.Must(t, "ctr", "--namespace", "k8s.io", "images", "import", "/tmp/image.tar")

	conn, err := grpc.NewClient("unix://"+k.machine.Path(containerdSocket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	k.cri = cri.NewRuntimeServiceClient(conn)
	netlab.Eventually(t, "containerd has its network", func() bool { return k.ready(t) })
	return k
}

// startContainerd starts containerd and waits until it listens.
func (k *kubelet) startContainerd(t *testing.T) {
	t.Helper()
	log, err := os.Create(k.machine.Path("/var/log/containerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	daemon := k.machine.Command("containerd")
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	go daemon.Wait()
	netlab.Eventually(t, "containerd listens", func() bool {
		_, err := k.machine.Run("ctr", "version")
		return err == nil
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(k.machine.Run("tail", "-n", "40", "/var/log/containerd.log"))
		}
	})
}

func (k *kubelet) ready(t *testing.T) bool {
	t.Helper()
	status, err := k.cri.Status(t.Context(), &cri.StatusRequest{})
	if err != nil {
		return false
	}
	for _, condition := range status.GetStatus().GetConditions() {
		if condition.GetType() == "NetworkReady" {
			return condition.GetStatus()
		}
	}
	return false
}

// podSandbox is a pod that runs.
type podSandbox struct {
	id    string
	pause int    // the process that holds its namespaces, as the machine numbers it
	netns string // in the machine
	ns    *netlab.NS
}

// runPod makes a pod.
func (k *kubelet) runPod(t *testing.T) podSandbox {
	t.Helper()
	k.pods++
	name := "pod-" + strconv.Itoa(k.pods)
	run, err := k.cri.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "default"},
		Linux:    &cri.LinuxPodSandboxConfig{CgroupParent: k.machine.Cgroup},
	}})
	if err != nil {
		t.Fatal(err)
	}
	status, err := k.cri.PodSandboxStatus(t.Context(), &cri.PodSandboxStatusRequest{PodSandboxId: run.GetPodSandboxId(), Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	// https://github.com/containerd/containerd/blob/v1.6.20/pkg/cri/server/sandbox_status.go, SandboxInfo
	var info struct {
		Pid         int `json:"pid"`
		RuntimeSpec struct {
			Linux struct {
				Namespaces []struct{ Type, Path string } `json:"namespaces"`
			} `json:"linux"`
		} `json:"runtimeSpec"`
	}
	if err := json.Unmarshal([]byte(status.GetInfo()["info"]), &info); err != nil {
		t.Fatal(err)
	}
	s := podSandbox{id: run.GetPodSandboxId(), pause: info.Pid}
	for _, namespace := range info.RuntimeSpec.Linux.Namespaces {
		if namespace.Type == "network" {
			s.netns = namespace.Path
		}
	}
	s.ns = &netlab.NS{Name: filepath.Base(s.netns), Path: k.machine.Path(s.netns)}
	return s
}

// stop and remove are what the kubelet calls, as often as it takes.
func (k *kubelet) stop(s podSandbox) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := k.cri.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: s.id})
	return err
}

func (k *kubelet) remove(s podSandbox) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := k.cri.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: s.id})
	return err
}

// killPause kills the process that holds the pod's namespaces, and waits until
// containerd knows.
func (k *kubelet) killPause(t *testing.T, s podSandbox) {
	t.Helper()
	k.machine.Must(t, "kill", "-KILL", strconv.Itoa(s.pause))
	netlab.Eventually(t, "containerd notices that the pod is dead", func() bool {
		status, err := k.cri.PodSandboxStatus(t.Context(), &cri.PodSandboxStatusRequest{PodSandboxId: s.id})
		return err == nil && status.GetStatus().GetState() == cri.PodSandboxState_SANDBOX_NOTREADY
	})
}

// lose takes a pod's namespace away after its pause process, as somebody does
// who cleans up by hand.
func (k *kubelet) lose(t *testing.T, s podSandbox) {
	t.Helper()
	k.killPause(t, s)
	k.machine.Must(t, "umount", s.netns)
	k.machine.Must(t, "rm", s.netns)
}

// reboot takes away what a reboot takes away: all processes and namespaces of
// pods, and what containerd knew of them in memory. What is on disk stays, and
// here also dataDir, so that it shows whether its files go.
func (k *kubelet) reboot(t *testing.T) {
	t.Helper()
	k.machine.Must(t, "sh", "-ec", `
		pkill -KILL containerd || true
		pkill -KILL pause || true
		while pgrep containerd || pgrep -x pause; do sleep 0.01; done
		for netns in /run/netns/*; do umount "$netns"; rm "$netns"; done
		grep -o ' /run/containerd[^ ]*' /proc/mounts | sort -r | while read -r dir; do umount -l "$dir"; done
		rm -rf /run/containerd`)
	k.startContainerd(t)
	netlab.Eventually(t, "containerd has its network", func() bool { return k.ready(t) })
}

// leftover lists what a pod has left: leases, files of symroute, namespaces, and
// results that the runtime remembers.
func (k *kubelet) leftover(t *testing.T) []string {
	t.Helper()
	return slices.Concat(leases(t, k.machine), remembered(t, k.machine), k.machine.Files(t, "/run/netns"), k.machine.Files(t, "/var/lib/cni/results"))
}

// TestContainerd makes pods by the CRI and ends them in every way that was seen
// on nodes: all leases are freed and all files are gone. It does the same with
// sbr at the end of the chain, whose DEL fails where the namespace is gone:
// containerd ignores that, the plugins before it are not called any more, and
// the pod's addresses are leased for good.
func TestContainerd(t *testing.T) {
	for _, way := range []struct {
		name     string
		before   func(k *kubelet, t *testing.T, s podSandbox) // what happens to the pod before it is stopped
		stops    int
		sbrLeaks bool
	}{
		{name: "stopped and removed", stops: 1},
		{name: "stopped twice", stops: 2},
		{name: "removed without a stop", stops: 0},
		{name: "stopped after its pause process was killed", before: (*kubelet).killPause, stops: 1},
		{name: "stopped after its namespace was gone, too", before: (*kubelet).lose, stops: 1, sbrLeaks: true},
		{name: "stopped after a reboot", before: func(k *kubelet, t *testing.T, _ podSandbox) { k.reboot(t) }, stops: 1, sbrLeaks: true},
	} {
		for plugin, leaks := range map[string]bool{"symroute": false, "sbr": way.sbrLeaks} {
			t.Run(plugin+", "+way.name, func(t *testing.T) {
				t.Parallel()
				k := newKubelet(t, plugin, bridged)
				pod := k.runPod(t)
				k.assertReachable(t, pod.ns, bridged)
				if leases := leases(t, k.machine); len(leases) != 2 {
					t.Fatalf("leases of the running pod: %q, want one of each family", leases)
				}
				if way.before != nil {
					way.before(k, t, pod)
				}
				for range way.stops {
					if err := k.stop(pod); err != nil {
						t.Errorf("StopPodSandbox: %v", err)
					}
				}
				if err := k.remove(pod); err != nil {
					t.Errorf("RemovePodSandbox: %v", err)
				}
				left := k.leftover(t)
				if !leaks && len(left) > 0 {
					t.Errorf("left over: %q", left)
				}
				if leases := leases(t, k.machine); leaks && len(leases) != 2 {
					t.Errorf("%s leaks %q; a lease of each family was expected: this test compares with what is no more", plugin, leases)
				}
			})
		}
	}
}

// TestContainerdTwoNetworks has two networks for every pod (max_conf_num = 2), which containerd
// attaches at once: whichever comes first, the pod's default is eth0's, and eth1's is the
// fallback.
func TestContainerdTwoNetworks(t *testing.T) {
	t.Parallel()
	const pods = 20
	k := newKubelet(t, "symroute", bridged, later)
	for range pods {
		pod := k.runPod(t)
		k.forgetNeighbours(t)
		k.assertReachable(t, pod.ns, bridged, later)
		for i, family := range families {
			want := fmt.Sprintf("default via %v dev eth0", bridged.gateways()[i])
			routes := strings.TrimSpace(pod.ns.IP(t, family, "route", "show", "default", "table", "main"))
			if strings.Count(routes, "default") != 1 || !strings.HasPrefix(routes, want) {
				t.Errorf("%s: main has\n%s\nwant %q alone", pod.ns.Name, routes, want)
			}
			if rules := pod.ns.IP(t, family, "rule"); strings.Count(rules, "\n49999:") != 1 || strings.Contains(rules, "\n50000:") {
				t.Errorf("%s: want one fallback, eth1's:\n%s", pod.ns.Name, rules)
			}
		}
		if err := errors.Join(k.stop(pod), k.remove(pod)); err != nil {
			t.Fatal(err)
		}
	}
	if left := k.leftover(t); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}
