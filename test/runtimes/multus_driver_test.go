package runtimes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/symroute/symroute/test/netlab"
)

// multusRelease is how a release of Multus carries out the annotation
// `default-route`. In every release it does so for each attachment of the pod
// right after the ADD of its conflist, not once at the end (pkg/multus/multus.go,
// CmdAdd).
type multusRelease struct {
	name string
	// deletes says that the defaults of a NIC really go. DeleteDefaultGW
	// (pkg/netutils/netutils.go) looks for routes without destination. Those it
	// finds with the netlink library of Multus 4.0.0 to 4.2.1; that of 4.2.2 to
	// 4.3.0 gives a default the destination 0.0.0.0/0 or ::/0, and nothing is
	// deleted (Multus pull request 1552 mends that).
	deletes bool
}

var (
	multus421 = multusRelease{name: "Multus 4.0.0 to 4.2.1", deletes: true}
	multus430 = multusRelease{name: "Multus 4.2.2 to 4.3.0"}
)

// multus drives libcni as Multus does for its delegates: a cache of its own, a
// CNI_PATH that has its binDir before what the runtime's already lists, and
// CNI_ARGS with its own keys before those of the runtime, which are the same.
type multus struct {
	release  multusRelease
	cacheDir string
	cni      *libcni.CNIConfig
}

func newMultus(t *testing.T, release multusRelease, runtime *netlab.Runtime) *multus {
	t.Helper()
	binDir, cacheDir := netlab.BinDir(t), t.TempDir()
	return &multus{
		release:  release,
		cacheDir: cacheDir,
		cni:      libcni.NewCNIConfigWithCacheDir([]string{binDir, binDir}, cacheDir, runtime.Exec()),
	}
}

// delegate is one network of a pod, the cluster's or that of an annotation.
type delegate struct {
	nic  string
	list netlab.Conflist
	// gateways is the annotation's `default-route`.
	gateways []netip.Addr
	// capabilities is what Multus takes from the annotation (ips, mac) and the
	// device plugin (deviceID).
	capabilities netlab.Object
}

// sandbox is what Multus knows of a pod. CNI_NETNS is empty when the runtime
// does not know the namespace any more.
type sandbox struct {
	id, netns string
}

func sandboxOf(pod *netlab.Pod) sandbox { return sandbox{id: pod.ID, netns: pod.NS.Path} }

// runtimeConf is that of newCNIRuntimeConf (pkg/types/conf.go).
func (d delegate) runtimeConf(s sandbox) *libcni.RuntimeConf {
	pod := [][2]string{
		{"K8S_POD_NAMESPACE", "default"},
		{"K8S_POD_NAME", "gateway-0"},
		{"K8S_POD_INFRA_CONTAINER_ID", s.id},
		{"K8S_POD_UID", "0b36a9bc-3c37-4f3c-8ea6-f6e4b15ac8b0"},
	}
	return &libcni.RuntimeConf{
		ContainerID: s.id,
		NetNS:       s.netns,
		IfName:      d.nic,
		Args: slices.Concat(
			[][2]string{{"IgnoreUnknown", "true"}}, pod,
			[][2]string{{"IgnoreUnknown", "1"}}, pod), // the runtime's
		CapabilityArgs: d.capabilities,
	}
}

// addAll is CmdAdd. The first attachment that fails makes Multus take back all
// that it has made, with the errors of that ignored.
func (m *multus) addAll(t *testing.T, pod *netlab.Pod, delegates []delegate) ([]*current.Result, error) {
	t.Helper()
	var results []*current.Result
	for i, d := range delegates {
		result, err := m.add(t, pod, d, delegates)
		if err != nil {
			_ = m.delAll(sandboxOf(pod), delegates[:i+1])
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

// mustAddAll is addAll where nothing is wrong. The addresses are those of each
// NIC, in the order of the delegates.
func (m *multus) mustAddAll(t *testing.T, pod *netlab.Pod, delegates []delegate) (addresses [][]netip.Addr) {
	t.Helper()
	results, err := m.addAll(t, pod, delegates)
	if err != nil {
		t.Fatalf("ADD: %v", err)
	}
	for _, result := range results {
		addresses = append(addresses, addressesOf(result))
	}
	return addresses
}

func addressesOf(result *current.Result) []netip.Addr {
	var addresses []netip.Addr
	for _, ip := range result.IPs {
		address, _ := netip.AddrFromSlice(ip.Address.IP)
		addresses = append(addresses, address.Unmap())
	}
	return addresses
}

// add attaches the pod to one network, and moves defaults if an annotation of
// the pod wants that.
func (m *multus) add(t *testing.T, pod *netlab.Pod, d delegate, all []delegate) (*current.Result, error) {
	t.Helper()
	list, err := libcni.NetworkConfFromBytes(d.list)
	if err != nil {
		return nil, err
	}
	result, err := m.cni.AddNetworkList(context.Background(), list, d.runtimeConf(sandboxOf(pod)))
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(all, func(d delegate) bool { return d.gateways != nil }) {
		if m.release.deletes {
			deleteDefaults(t, pod.NS, d.nic)
		}
		setDefaults(t, pod.NS, d.nic, d.gateways)
		m.rewriteCache(t, list.Name, pod, d)
	}
	return current.NewResultFromResult(result)
}

// families are ip's options for IPv4 and IPv6.
var families = []string{"-4", "-6"}

// deleteDefaults is DeleteDefaultGW where it works: every default of both
// families by the NIC, but not its hop of a multipath route.
func deleteDefaults(t *testing.T, ns *netlab.NS, nic string) {
	t.Helper()
	for _, family := range families {
		for route := range strings.Lines(ns.IP(t, family, "-oneline", "route", "show", "default", "dev", nic, "table", "main")) {
			ns.IP(t, slices.Concat([]string{family, "route", "del"}, strings.Fields(route), []string{"dev", nic})...)
		}
	}
}

// setDefaults is SetDefaultGW: a default that is there already, be it by
// another NIC, is no error.
func setDefaults(t *testing.T, ns *netlab.NS, nic string, gateways []netip.Addr) {
	t.Helper()
	for _, gateway := range gateways {
		_, err := ns.Command("", "ip", "route", "add", "default", "via", gateway.String(), "dev", nic)
		if err != nil && !strings.Contains(err.Error(), "File exists") {
			t.Fatal(err)
		}
	}
}

// rewriteCache is DeleteDefaultGWCache and AddDefaultGWCache: the result that
// CHECK and DEL get as prevResult says what Multus wants of the defaults. It
// looks for IPv6 defaults under a name that libcni does not use, and so leaves
// them there; its own come on top, under that name.
func (m *multus) rewriteCache(t *testing.T, network string, pod *netlab.Pod, d delegate) {
	t.Helper()
	file := filepath.Join(m.cacheDir, "results", network+"-"+pod.ID+"-"+d.nic)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cached netlab.Object
	if err := json.Unmarshal(data, &cached); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	result, _ := cached["result"].(netlab.Object)
	routes, _ := result["routes"].([]any)
	routes = slices.DeleteFunc(routes, func(route any) bool {
		entry, _ := route.(netlab.Object)
		return entry["dst"] == "0.0.0.0/0"
	})
	for _, gateway := range d.gateways {
		dst := "0.0.0.0/0"
		if gateway.Is6() {
			dst = "::0/0"
		}
		routes = append(routes, netlab.Object{"dst": dst, "gw": gateway})
	}
	result["routes"] = routes
	if data, err = json.Marshal(cached); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// forget loses what libcni keeps for prevResult, as the first round of DEL does.
func (m *multus) forget(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(m.cacheDir, "results")); err != nil {
		t.Fatal(err)
	}
}

// delAll is delPlugins: the last attachment first, all of them whatever fails.
func (m *multus) delAll(s sandbox, delegates []delegate) error {
	var failed []error
	for _, d := range slices.Backward(delegates) {
		failed = append(failed, m.del(s, d))
	}
	return errors.Join(failed...)
}

func (m *multus) del(s sandbox, d delegate) error {
	list, err := libcni.NetworkConfFromBytes(d.list)
	if err != nil {
		return err
	}
	if err := m.cni.DelNetworkList(context.Background(), list, d.runtimeConf(s)); err != nil {
		return fmt.Errorf("DEL of %s: %w", d.nic, err)
	}
	return nil
}

// assertCheck is DelegateCheck. No runtime was seen to ask for it.
func (m *multus) assertCheck(t *testing.T, pod *netlab.Pod, delegates ...delegate) {
	t.Helper()
	for _, d := range delegates {
		list, err := libcni.NetworkConfFromBytes(d.list)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.cni.CheckNetworkList(context.Background(), list, d.runtimeConf(sandboxOf(pod))); err != nil {
			t.Errorf("CHECK of %s: %v", d.nic, err)
		}
	}
}

// The networks of a pod: the cluster's, and two more. Pods have macvlan NICs in
// the first of these, and hang on a bridge in the others.
var (
	clusterNetwork = newNetwork("cluster", "10.244.0.0/24", "fd00:10:244::/64")
	networkB       = newNetwork("b", "203.0.113.0/24", "2001:db8:b::/64")
	networkC       = newNetwork("c", "198.51.100.0/24", "2001:db8:c:1::/64")
)

// multusLab is a node whose pods hang on the three networks.
type multusLab struct {
	*internet
	runtime          *netlab.Runtime
	leases, symroute string // data directories
}

func newMultusLab(t *testing.T) *multusLab {
	t.Helper()
	i := newInternet(t)
	i.lan(t, clusterNetwork, clusterNetwork.bridge())
	i.lan(t, networkB, "")
	i.lan(t, networkC, networkC.bridge())
	return &multusLab{
		internet: i,
		runtime:  netlab.NewRuntime(t, i.node),
		leases:   t.TempDir(),
		symroute: filepath.Join(t.TempDir(), "symroute"),
	}
}

// plugin is the interface plugin of a network, with leases and defaults of both
// families.
func (lab *multusLab) plugin(n network) netlab.Object {
	gateways := n.gateways()
	ipam := netlab.HostLocal(lab.leases, []netlab.Range{
		{Subnet: n.subnet4.String(), Gateway: gateways[0].String()},
		{Subnet: n.subnet6.String(), Gateway: gateways[1].String()},
	}, "0.0.0.0/0", "::/0")
	if n == networkB {
		return netlab.MacvlanPlugin(n.uplink(), ipam)
	}
	return netlab.BridgePlugin(n.bridge(), ipam)
}

// multusCNIVersion is that of most NetworkAttachmentDefinitions.
const multusCNIVersion = "1.0.0"

// plain is a network without symroute.
func (lab *multusLab) plain(n network, nic string) delegate {
	return delegate{nic: nic, list: netlab.NewConflist("net-"+n.name, multusCNIVersion, lab.plugin(n))}
}

// chained is a network with symroute behind the interface plugin.
func (lab *multusLab) chained(n network, nic string, keys netlab.Object) delegate {
	return lab.chain(n, nic, lab.plugin(n), keys)
}

func (lab *multusLab) chain(n network, nic string, plugin, keys netlab.Object) delegate {
	symroute := netlab.Object{"type": "symroute", "dataDir": lab.symroute}
	for key, value := range keys {
		symroute[key] = value
	}
	return delegate{nic: nic, list: netlab.NewConflist("net-"+n.name, multusCNIVersion, plugin, symroute)}
}

// assertAnswers lets the client talk to each address of the pod, over TCP and
// UDP. Where the answer leaves by another NIC than its question came in on,
// there is none: the firewalls see to that.
func (lab *multusLab) assertAnswers(t *testing.T, pod *netlab.Pod, addresses ...netip.Addr) {
	t.Helper()
	for _, address := range addresses {
		for _, protocol := range []string{"tcp", "udp"} {
			if err := lab.talk(t, pod.NS, protocol, address, 0); err != nil {
				t.Errorf("%s to %v: %v", protocol, address, err)
			}
		}
	}
}

// assertNothingHeld demands that no address is leased and nothing remembered.
func (lab *multusLab) assertNothingHeld(t *testing.T) {
	t.Helper()
	for _, lease := range lab.leased(t) {
		t.Errorf("the address of %s is still leased", lease)
	}
	for _, file := range regularFiles(t, lab.symroute) {
		t.Errorf("symroute left %s behind", file)
	}
}

// leased lists the files of host-local that are named after an address.
func (lab *multusLab) leased(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(regularFiles(t, lab.leases), func(file string) bool {
		_, err := netip.ParseAddr(filepath.Base(file))
		return err != nil
	})
}

func regularFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}
