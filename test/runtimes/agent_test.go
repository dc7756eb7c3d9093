package runtimes

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/symroute/symroute/test/netlab"
)

// agentImage has the executables as the image of a release has them: nothing else is in it.
const agentImage = "localhost/agent:latest"

// withAgentImage gives containerd the image.
func (k *kubelet) withAgentImage(t *testing.T) {
	t.Helper()
	var root bytes.Buffer
	archive := tar.NewWriter(&root)
	for _, name := range []string{"symroute", "symroutectl", "symroute-agent"} {
		content, err := os.ReadFile(filepath.Join(netlab.BinDir(t), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	k.machine.Write(t, "/tmp/agent-root.tar", root.String())
	k.machine.Must(t, "podman", "import", "--change", `ENTRYPOINT ["/symroute-agent"]`, "--change", "ENV PATH=/", "/tmp/agent-root.tar", agentImage)
	k.machine.Must(t, "podman", "save", "--quiet", "--format", "oci-archive", "--output", "/tmp/agent.tar", agentImage)
	k.machine.Must(t, "ctr", "--namespace", "k8s.io", "images", "import", "/tmp/agent.tar")
}

// agentContainer is an agent that runs as the DaemonSet of deploy/ has it.
type agentContainer struct {
	*kubelet
	id string
}

// runAgent starts the agent with the rights and mounts that the chart gives it, which test/manifests holds the chart to.
func (k *kubelet) runAgent(t *testing.T, args ...string) agentContainer {
	t.Helper()
	k.machine.Must(t, "mkdir", "-p", "/run/cni/symroute", "/var/lib/cni", "/run/netns", "/opt/plugins")
	sandbox := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "agent", Uid: "agent", Namespace: "symroute-system"},
		LogDirectory: "/var/log/agent",
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent:    k.machine.Cgroup,
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE}},
		},
	}
	run, err := k.cri.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: sandbox})
	if err != nil {
		t.Fatal(err)
	}
	mount := func(path, at string, readOnly bool, how cri.MountPropagation) *cri.Mount {
		return &cri.Mount{HostPath: path, ContainerPath: at, Readonly: readOnly, Propagation: how}
	}
	created, err := k.cri.CreateContainer(t.Context(), &cri.CreateContainerRequest{
		PodSandboxId: run.GetPodSandboxId(), SandboxConfig: sandbox,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "agent"},
			Image:    &cri.ImageSpec{Image: agentImage},
			Args:     append([]string{"run", "--bin-dir=/opt/plugins"}, args...),
			LogPath:  "agent.log",
			Mounts: []*cri.Mount{
				mount("/opt/plugins", "/opt/plugins", false, cri.MountPropagation_PROPAGATION_PRIVATE),
				mount("/run/netns", "/run/netns", true, cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER),
				mount("/run/netns", "/var/run/netns", true, cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER),
				mount("/var/lib/cni", "/var/lib/cni", true, cri.MountPropagation_PROPAGATION_PRIVATE),
				mount("/run/cni/symroute", "/run/cni/symroute", false, cri.MountPropagation_PROPAGATION_PRIVATE),
				mount("/proc/sys/net", "/host/proc/sys/net", false, cri.MountPropagation_PROPAGATION_PRIVATE),
			},
			Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
				Capabilities: &cri.Capability{
					DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"SYS_ADMIN", "NET_ADMIN", "NET_BROADCAST"},
				},
				NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
				ReadonlyRootfs:   true,
				NoNewPrivs:       true,
				Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
			}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.cri.StartContainer(t.Context(), &cri.StartContainerRequest{ContainerId: created.GetContainerId()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(k.machine.Run("sh", "-c", "tail -n 40 /var/log/agent/agent.log"))
		}
	})
	return agentContainer{k, created.GetContainerId()}
}

// page gets a page from the agent, in the node; none from one that does not listen yet.
func (a agentContainer) page(port int, path string) (text string, code int) {
	text, code, _ = a.node.Get(netip.Addr{}, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), unanswered)
	return text, code
}

// shows waits until the agent's metrics have a line.
func (a agentContainer) shows(t *testing.T, line string) {
	t.Helper()
	is := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(line) + "$")
	netlab.Eventually(t, "the agent shows "+line, func() bool {
		text, _ := a.page(9740, "/metrics")
		return is.MatchString(text)
	})
}

// TestAgentContainer runs the agent as the DaemonSet has it, with the capabilities, the read-only root, the mounts and the seccomp
// profile of containerd: it installs, hears changes, repairs routes and settings, counts drops, and its image has symroutectl.
func TestAgentContainer(t *testing.T) {
	t.Parallel()
	k := newKubelet(t, "symroute", bridged, later)
	k.machine.Must(t, "mount", "--make-rshared", "/") // as systemd has it: mounts of namespaces come into containers
	k.withAgentImage(t)
	k.node.Batch(t, "link set lo up")
	pod := k.runPod(t)
	agent := k.runAgent(t, "--repair=all", "--drops")
	netlab.Eventually(t, "the agent is ready", func() bool {
		_, code := agent.page(9741, "/readyz")
		return code == http.StatusOK
	})
	for _, name := range []string{"symroute", "symroutectl"} {
		k.machine.Must(t, "cmp", "/opt/plugins/"+name, "/opt/cni/bin/"+name)
	}
	// The pod that was there before the agent, and one whose namespace is mounted while it runs.
	for i := range 2 {
		if i > 0 {
			pod = k.runPod(t)
		}
		agent.shows(t, `symroute_attachments{state="symmetric"} 2`)
		pod.ns.Batch(t, "link set eth1 down", "link set eth1 up")
		agent.shows(t, fmt.Sprintf(`symroute_repairs_total{result="repaired",trigger="link"} %d`, 2*i+1))
		pod.ns.SetSysctl(t, "net/ipv4/conf/eth0/rp_filter=1")
		agent.shows(t, fmt.Sprintf(`symroute_repairs_total{result="repaired",trigger="link"} %d`, 2*i+2))
		if got := pod.ns.Sysctl(t, "net/ipv4/conf/eth0/rp_filter"); got != "2" {
			t.Errorf("rp_filter is %s after the repair, want 2", got)
		}
		agent.shows(t, `symroute_attachments{state="symmetric"} 2`)
		k.forgetNeighbours(t)
		k.assertReachable(t, pod.ns, bridged, later)
		said, err := k.cri.ExecSync(t.Context(), &cri.ExecSyncRequest{ContainerId: agent.id, Cmd: []string{"symroutectl", "check", "-A"}})
		if err != nil || said.GetExitCode() != 0 || !strings.HasPrefix(string(said.GetStdout()), "OK: 2 attachments of 1 pod are symmetric") {
			t.Errorf("symroutectl in the agent's container: %v, %s%s", err, said.GetStdout(), said.GetStderr())
		}
		if err := errors.Join(k.stop(pod), k.remove(pod)); err != nil {
			t.Error(err)
		}
		agent.shows(t, `symroute_attachments{state="symmetric"} 0`)
		agent.shows(t, `symroute_attachments{state="deviating"} 0`)
		if left := k.leftover(t); len(left) > 0 { // the agent keeps no namespace alive
			t.Errorf("left over: %q", left)
		}
	}
}
