package e2e

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/symroute/symroute/test/netlab"
)

// bench is a pod whose NICs are made by hand, for tests that call the
// executable directly: they can hand it any prevResult, and the NICs outlive
// DEL. The other ends of the NICs lie in the namespace wire, where nobody
// answers.
type bench struct {
	node, wire *netlab.NS
	pod        *netlab.Pod
	dataDir    string
}

// nic is a NIC of a bench as an interface plugin and IPAM leave it.
type nic struct {
	name string
	// addresses and gateways go together: an empty gateway is none.
	addresses, gateways []string
	// defaults says that IPAM was asked for default routes.
	defaults bool
}

// nic is what a provider's plugins would give the pod.
func (p provider) nic(name string) nic {
	return nic{
		name: name,
		addresses: []string{
			netip.PrefixFrom(p.pod4, p.subnet4.Bits()).String(),
			netip.PrefixFrom(p.pod6, p.subnet6.Bits()).String(),
		},
		gateways: []string{p.gateway4().String(), p.gateway6().String()},
		defaults: true,
	}
}

var (
	eth0 = providerA.nic("eth0")
	net1 = providerB.nic("net1")
	net2 = providerC.nic("net2")
)

// withoutDefaults is the NIC where IPAM was asked for no routes.
func (n nic) withoutDefaults() nic {
	n.defaults = false
	return n
}

// withoutGateways is the NIC where IPAM knows no gateway either.
func (n nic) withoutGateways() nic {
	n.gateways = make([]string, len(n.addresses))
	return n.withoutDefaults()
}

// newBench makes a pod with these NICs.
func newBench(t *testing.T, nics ...nic) *bench {
	t.Helper()
	b := &bench{
		node:    netlab.New(t, "node"),
		wire:    netlab.New(t, "wire"),
		pod:     netlab.NewPod(t),
		dataDir: filepath.Join(t.TempDir(), "symroute"),
	}
	for _, n := range nics {
		b.plug(t, n)
	}
	return b
}

// plug puts a NIC into the pod. Defaults are installed the way IPAM does it:
// in IPv4 before the others, in IPv6 merged with them.
func (b *bench) plug(t *testing.T, n nic) {
	t.Helper()
	netlab.Cable(t,
		netlab.Port{NS: b.wire, Link: n.name},
		netlab.Port{NS: b.pod.NS, Link: n.name, Addresses: n.addresses})
	if n.defaults {
		var routes []string
		for _, gateway := range n.gateways {
			routes = append(routes, "route prepend default via "+gateway+" dev "+n.name)
		}
		b.pod.NS.Batch(t, routes...)
	}
}

// result is what the plugins before symroute say about the NIC.
func (b *bench) result(n nic) netlab.Object {
	ips := []netlab.Object{}
	for i, address := range n.addresses {
		ip := netlab.Object{"address": address, "interface": 0}
		if n.gateways[i] != "" {
			ip["gateway"] = n.gateways[i]
		}
		ips = append(ips, ip)
	}
	routes := []netlab.Object{}
	if n.defaults {
		for _, dst := range defaults {
			routes = append(routes, netlab.Object{"dst": dst})
		}
	}
	return netlab.Object{
		"cniVersion": cniVersion,
		"interfaces": []netlab.Object{{"name": n.name, "sandbox": b.pod.NS.Path}},
		"ips":        ips,
		"routes":     routes,
	}
}

// attachment is one attachment of the bench's pod, and what the executable is
// told about it.
type attachment struct {
	node        *netlab.NS
	pod         *netlab.Pod
	containerID string
	nic         string
	netns       string        // CNI_NETNS
	conf        netlab.Object // all of standard input but prevResult
	prev        any           // prevResult; nil: none
	env         []string      // more variables
}

// attach prepares an attachment of a NIC to a network of its own. Nothing runs
// yet.
func (b *bench) attach(n nic, keys netlab.Object) attachment {
	conf := netlab.Object{
		"cniVersion": cniVersion,
		"name":       "net-of-" + n.name,
		"type":       "symroute",
		"dataDir":    b.dataDir,
	}
	for key, value := range keys {
		conf[key] = value
	}
	return attachment{
		node:        b.node,
		pod:         b.pod,
		containerID: b.pod.ID,
		nic:         n.name,
		netns:       b.pod.NS.Path,
		conf:        conf,
		prev:        b.result(n),
	}
}

// with is the attachment with one key of its configuration changed.
func (a attachment) with(key string, value any) attachment {
	conf := netlab.Object{key: value}
	for k, v := range a.conf {
		if k != key {
			conf[k] = v
		}
	}
	a.conf = conf
	return a
}

// stdin is the configuration as a runtime writes it.
func (a attachment) stdin(t testing.TB) []byte {
	t.Helper()
	conf := a.conf
	if a.prev != nil {
		conf = a.with("prevResult", a.prev).conf
	}
	stdin, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	return stdin
}

// environ is what a runtime tells the plugin besides.
func (a attachment) environ(command string) []string {
	return append([]string{
		"CNI_COMMAND=" + command,
		"CNI_CONTAINERID=" + a.containerID,
		"CNI_NETNS=" + a.netns,
		"CNI_IFNAME=" + a.nic,
		"CNI_PATH=/opt/cni/bin",
	}, a.env...)
}

// run runs the executable.
func (a attachment) run(t testing.TB, command string) netlab.Invocation {
	t.Helper()
	return a.node.RunPlugin(t, a.environ(command), a.stdin(t))
}

// must runs a command that has to succeed.
func (a attachment) must(t testing.TB, command string) netlab.Invocation {
	t.Helper()
	call := a.run(t, command)
	if failure := call.Failed(t); failure != nil {
		t.Fatalf("%s of %s failed\n%v", command, a.nic, call)
	}
	if command != "ADD" && len(call.Stdout) != 0 {
		t.Errorf("%s of %s printed\n%s", command, a.nic, call.Stdout)
	}
	return call
}

// fails runs a command that has to fail, with words in its message or details
// that name what is wrong, and without any change to pod or node.
func (a attachment) fails(t testing.TB, command string, words ...string) *types.Error {
	t.Helper()
	pod, node := a.pod.NS.Snapshot(t), a.node.Snapshot(t)
	call := a.run(t, command)
	failure := call.Failed(t)
	if failure == nil {
		t.Fatalf("%s of %s succeeded\n%v", command, a.nic, call)
	}
	text := failure.Msg + "\n" + failure.Details
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s of %s: the error does not name %q: %s", command, a.nic, word, text)
		}
	}
	if strings.Contains(failure.Msg, "\n") {
		t.Errorf("%s of %s: msg has more than one line: %q", command, a.nic, failure.Msg)
	}
	assertSame(t, command+" failed and changed the pod", pod, a.pod.NS.Snapshot(t))
	assertSame(t, command+" failed and changed the node", node, a.node.Snapshot(t))
	return failure
}

// Codes of the CNI specification, and symroute's own.
const (
	codeEnvironment   = types.ErrInvalidEnvironmentVariables
	codeDecoding      = types.ErrDecodingFailure
	codeConfiguration = types.ErrInvalidNetworkConfig
	codeHostNetns     = types.ErrInvalidNetNS
	codeTryAgain      = types.ErrTryAgainLater
	codeUnavailable   = types.ErrPluginNotAvailable
	codeIncompatible  = types.ErrIncompatibleCNIVersion

	codeNotSymmetric = 100
	codeSetting      = 101
	codeMissing      = 102
	codeForeign      = 103
	codeRefused      = 104 // by the kernel
	codeState        = 105 // of the pod: nothing can be done in it
)

// deviations are the codes of CHECK's findings.
var deviations = []uint{codeNotSymmetric, codeSetting, codeMissing, codeForeign}

// assertCode demands an error with one of these codes.
func assertCode(t testing.TB, failure *types.Error, codes ...uint) {
	t.Helper()
	if failure == nil {
		t.Errorf("success, want an error with one of the codes %v", codes)
		return
	}
	if !slices.Contains(codes, failure.Code) {
		t.Errorf("error code %d, want one of %v: %s; %s", failure.Code, codes, failure.Msg, failure.Details)
	}
}

// assertSame demands that nothing has changed, but for the order of main's defaults of one
// metric: one that left main returns behind the others.
func assertSame(t testing.TB, what string, before, after netlab.Snapshot) {
	t.Helper()
	if diff := before.Diff(after); diff != "" {
		t.Errorf("%s (-before +after):\n%s", what, diff)
	}
}

// assertNoFiles demands that nothing is remembered below a folder. Empty
// folders may stay.
func assertNoFiles(t testing.TB, dir string) {
	t.Helper()
	for _, file := range files(t, dir) {
		t.Errorf("%s is left over", file)
	}
}

// files lists everything below a folder that is no folder.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}
