package cluster

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/symroute/symroute/test/machine"
	"github.com/symroute/symroute/test/netlab"
)

//go:embed inside.sh
var inside string

//go:embed setup.sh
var setup string

// newMachine starts the node.
func newMachine(t *testing.T, node *netlab.NS) *machine.Machine {
	t.Helper()
	return machine.New(t, node, machine.Software{
		Variable: "SYMROUTE_CLUSTER", Script: "make test-cluster", Inside: inside, Setup: setup,
	})
}

// nodeName is what Kubernetes calls the machine.
const nodeName = "node"

// containerdConf has containerd attach two networks to each pod, work without the right to
// lower OOM scores, and make sandboxes of the image that is there.
const containerdConf = `
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + podImage + `"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
    max_conf_num = 2
`

// kubeletConf has the kubelet stay in the machine's cgroup, whatever the hierarchies are,
// keep images, as none can be pulled, and not ask for the size of a root that is in memory.
const kubeletConf = `
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  x509: {clientCAFile: /etc/kubernetes/ca.crt}
  webhook: {enabled: true}
  anonymous: {enabled: false}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: %s
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
maxOpenFiles: 20000
resolvConf: ""
evictionHard: {memory.available: "50Mi"}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
syncFrequency: 10s
`

const proxyConf = `
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: /etc/kubernetes/kube-proxy.conf}
clusterCIDR: "10.244.0.0/24,2001:db8:244::/64"
detectLocalMode: ClusterCIDR
hostnameOverride: node
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

// cluster is a Kubernetes of one node.
type cluster struct {
	*wan
	*machine.Machine
}

// newCluster starts a cluster, whose node lacks nothing but the plugin symroute.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	began := time.Now()
	w := newWAN(t)
	c := &cluster{wan: w, Machine: newMachine(t, w.node)}
	c.installPlugins(t, "bridge", "host-local", "loopback")
	c.writePKI(t)
	c.Write(t, "/etc/containerd/config.toml", containerdConf)
	c.Write(t, "/etc/kubernetes/kubelet.yaml", fmt.Sprintf(kubeletConf, c.Cgroup))
	c.Write(t, "/etc/kubernetes/kube-proxy.yaml", proxyConf)
	c.Write(t, "/tmp/pod.tar", buildPodImage(t))

	c.startContainerd(t)
	c.Must(t, "ctr", "--namespace", "k8s.io", "images", "import", "/tmp/pod.tar")
	c.startAPIServer(t)
	t.Logf("the API server is ready after %v", time.Since(began).Round(time.Second))
	c.daemon(t, "kube-controller-manager", "--kubeconfig=/etc/kubernetes/kube-controller-manager.conf",
		"--use-service-account-credentials", "--service-account-private-key-file=/etc/kubernetes/sa.key",
		"--root-ca-file=/etc/kubernetes/ca.crt", "--service-cluster-ip-range="+services4+","+services6, "--leader-elect=false")
	c.daemon(t, "kube-scheduler", "--kubeconfig=/etc/kubernetes/kube-scheduler.conf", "--leader-elect=false")
	c.daemon(t, "kube-proxy", "--config=/etc/kubernetes/kube-proxy.yaml")
	c.startKubelet(t)
	c.addNetworks(t)
	c.waitForNode(t)
	eventually(t, "there is a service account for pods", func() error {
		_, err := c.Run(kubectl("get", "serviceaccount", "default")...)
		return err
	})
	t.Logf("the node is ready after %v", time.Since(began).Round(time.Second))
	return c
}

// startAPIServer starts what the others talk to.
func (c *cluster) startAPIServer(t *testing.T) {
	t.Helper()
	c.daemon(t, "etcd", "--data-dir=/var/lib/etcd")
	c.daemon(t, "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--advertise-address="+nodeAddress4,
		"--client-ca-file=/etc/kubernetes/ca.crt",
		"--tls-cert-file=/etc/kubernetes/apiserver.crt", "--tls-private-key-file=/etc/kubernetes/apiserver.key",
		"--kubelet-client-certificate=/etc/kubernetes/admin.crt", "--kubelet-client-key=/etc/kubernetes/admin.key",
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=/etc/kubernetes/sa.key", "--service-account-signing-key-file=/etc/kubernetes/sa.key",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--service-cluster-ip-range="+services4+","+services6)
	eventually(t, "the API server is ready", func() error {
		_, err := c.Run(kubectl("get", "--raw", "/readyz")...)
		return err
	})
}

// installPlugins puts CNI plugins where containerd looks for them.
func (c *cluster) installPlugins(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(netlab.BinDir(t), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.Path("/opt/cni/bin/"+name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// addNetworks configures the networks, each of which ends in symroute.
func (c *cluster) addNetworks(t *testing.T) {
	t.Helper()
	for number, n := range []network{podNetwork, provider} {
		c.Write(t, fmt.Sprintf("/etc/cni/net.d/%d-%s.conflist", 10+number, n.name), n.conflist(netlab.Object{"type": "symroute"}))
	}
}

// writePKI gives everybody a certificate, and those who talk to the API server a kubeconfig. The names and
// groups are those that the API server's default roles are bound to
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#core-component-roles).
func (c *cluster) writePKI(t *testing.T) {
	t.Helper()
	ca := newAuthority(t)
	c.Write(t, "/etc/kubernetes/ca.crt", string(ca.pem()))
	c.Write(t, "/etc/kubernetes/sa.key", string(pemKey(t, newKey(t))))
	for name, i := range map[string]identity{
		"apiserver":               ca.server(t, "127.0.0.1", nodeAddress4, firstService),
		"admin":                   ca.client(t, "admin", "system:masters"),
		"kubelet":                 ca.client(t, "system:node:"+nodeName, "system:nodes"),
		"kube-controller-manager": ca.client(t, "system:kube-controller-manager"),
		"kube-scheduler":          ca.client(t, "system:kube-scheduler"),
		"kube-proxy":              ca.client(t, "system:kube-proxy"),
	} {
		c.Write(t, "/etc/kubernetes/"+name+".crt", string(i.certificate))
		c.Write(t, "/etc/kubernetes/"+name+".key", string(i.key))
		c.Write(t, "/etc/kubernetes/"+name+".conf", ca.kubeconfig(t, i))
	}
}

// daemon starts a program of the node that stays. What it says is in /var/log.
func (c *cluster) daemon(t *testing.T, name string, args ...string) {
	t.Helper()
	path := "/var/log/" + name + ".log"
	log, err := os.OpenFile(c.Path(path), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	daemon := c.Command(append([]string{name}, args...)...)
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	go daemon.Wait()
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := c.Run("tail", "-n", "20", path)
			t.Logf("the last words of %s:\n%s", name, said)
		}
	})
}

func (c *cluster) startContainerd(t *testing.T) {
	t.Helper()
	c.daemon(t, "containerd")
	eventually(t, "containerd listens", func() error {
		_, err := c.Run("ctr", "version")
		return err
	})
}

func (c *cluster) startKubelet(t *testing.T) {
	t.Helper()
	c.daemon(t, "kubelet", "--config=/etc/kubernetes/kubelet.yaml", "--kubeconfig=/etc/kubernetes/kubelet.conf",
		"--hostname-override="+nodeName, "--node-ip="+nodeAddress4+","+nodeAddress6)
}

func (c *cluster) waitForNode(t *testing.T) {
	t.Helper()
	eventually(t, "the node is ready", func() error {
		ready, err := c.Run(kubectl("get", "node", nodeName,
			"-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].message}`)...)
		if err == nil && !strings.HasPrefix(ready, "True") {
			err = fmt.Errorf("ready is %s", ready)
		}
		return err
	})
}

// kubectl is a command line of the administrator.
func kubectl(args ...string) []string {
	return append([]string{"kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"}, args...)
}

// kubectl is kubectl for what cannot fail.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.Must(t, kubectl(args...)...)
}

// apply makes objects of a manifest, and has the test delete them and wait until they are gone.
func (c *cluster) apply(t *testing.T, manifest string) {
	t.Helper()
	c.Write(t, "/tmp/manifest.yaml", manifest)
	c.kubectl(t, "apply", "-f", "/tmp/manifest.yaml")
	t.Cleanup(func() {
		c.Write(t, "/tmp/manifest.yaml", manifest)
		c.kubectl(t, "delete", "--ignore-not-found", "--wait", "-f", "/tmp/manifest.yaml", "--timeout", patience.String())
	})
}

// addresses lists the addresses of a pod's NICs, eth0's first.
func (c *cluster) addresses(t *testing.T, ns *netlab.NS) []string {
	t.Helper()
	var found []string
	for _, nic := range []string{"eth0", "eth1"} {
		for _, family := range []string{"-4", "-6"} {
			for line := range strings.Lines(ns.IP(t, family, "-oneline", "addr", "show", "dev", nic, "scope", "global")) {
				address, _, _ := strings.Cut(strings.Fields(line)[3], "/") // 2: eth0 inet6 2001:db8::1/64 ...
				found = append(found, address)
			}
		}
	}
	return found
}

// netns is the network namespace of a pod: that which has its address.
func (c *cluster) netns(t *testing.T, pod string) *netlab.NS {
	t.Helper()
	address := c.kubectl(t, "get", "pod", pod, "-o", "jsonpath={.status.podIP}")
	for _, path := range c.Files(t, "/run/netns") {
		ns := &netlab.NS{Name: filepath.Base(path), Path: c.Path(path)}
		addresses, err := ns.Command("", "ip", "-oneline", "addr", "show")
		if err == nil && strings.Contains(addresses, " "+address+"/") {
			return ns
		}
	}
	t.Fatalf("no namespace has the address %s of the pod %s", address, pod)
	return nil
}

// leftover lists what pods have left on the node: leases, records, results that the runtime
// remembers, namespaces, and ports of the bridges.
func (c *cluster) leftover(t *testing.T) []string {
	t.Helper()
	var left []string
	for _, dir := range []string{"/var/lib/cni", "/run/cni/symroute", "/run/netns"} {
		for _, file := range c.Files(t, dir) {
			if name := filepath.Base(file); dir == "/var/lib/cni" && (name == "lock" || strings.HasPrefix(name, "last_reserved_ip.")) {
				continue // host-local's own
			}
			left = append(left, file)
		}
	}
	for line := range strings.Lines(c.node.IP(t, "-oneline", "link", "show", "type", "veth")) {
		if name := strings.Fields(line)[1]; strings.HasPrefix(name, "veth") {
			left = append(left, name)
		}
	}
	return left
}

// assertNothingLeft waits until the kubelet is done with the pods that were deleted.
func (c *cluster) assertNothingLeft(t *testing.T) {
	t.Helper()
	eventually(t, "nothing is left of the pods", func() error {
		if left := c.leftover(t); len(left) > 0 {
			return fmt.Errorf("left over: %q", left)
		}
		return nil
	})
}
