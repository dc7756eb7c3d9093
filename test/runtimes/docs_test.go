package runtimes

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"go.yaml.in/yaml/v3"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/test/netlab"
)

// kubernetesDocument is what its readers paste from.
const kubernetesDocument = "../../docs/kubernetes.md"

// manifest is what the document's YAML has in it that matters here.
type manifest struct {
	Kind     string
	Metadata struct {
		Name        string
		Annotations map[string]string
	}
	Spec struct {
		Config string
	}
}

// fence finds the blocks of one language in a Markdown text.
var fence = regexp.MustCompile("(?ms)^```(yaml|json)\n(.*?)^```$")

// readManifests reads every YAML and JSON block of a document.
func readManifests(t *testing.T, document string) []manifest {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	var manifests []manifest
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		decoder := yaml.NewDecoder(strings.NewReader(block[2])) // JSON is YAML, too
		for {
			var m manifest
			err := decoder.Decode(&m)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v in\n%s", document, err, block[2])
			}
			if block[1] == "json" && !json.Valid([]byte(block[2])) {
				t.Errorf("%s: not JSON:\n%s", document, block[2])
			}
			manifests = append(manifests, m)
		}
	}
	return manifests
}

// networksOf are the configurations of the NetworkAttachmentDefinitions, by name.
func networksOf(manifests []manifest) map[string]netlab.Conflist {
	networks := map[string]netlab.Conflist{}
	for _, m := range manifests {
		if m.Kind == "NetworkAttachmentDefinition" {
			networks[m.Metadata.Name] = netlab.Conflist(m.Spec.Config)
		}
	}
	return networks
}

// TestPastedNetworks reads every network of the documentation the way Multus and
// symroute do. What is in other blocks than YAML is for package docs to read.
func TestPastedNetworks(t *testing.T) {
	t.Parallel()
	networks := networksOf(readManifests(t, kubernetesDocument))
	for _, name := range []string{"fast", "provider-b", "sip", "storage"} {
		if _, there := networks[name]; !there {
			t.Errorf("no network %s", name)
		}
	}
	for name, network := range networks {
		assertReadable(t, name, network)
	}
}

// assertReadable demands a list that ends in a symroute without a fault.
func assertReadable(t *testing.T, name string, network netlab.Conflist) {
	t.Helper()
	list, err := libcni.NetworkConfFromBytes(network)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if list.Name != name {
		t.Errorf("%s: its list is named %s", name, list.Name)
	}
	last := list.Plugins[len(list.Plugins)-1]
	if last.Network.Type != "symroute" || len(list.Plugins) < 2 {
		t.Fatalf("%s: symroute is not the last of several plugins", name)
	}
	if _, err := config.Parse(last.Bytes); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestPastedPod makes the document's pod of the document's networks, as Multus
// would: with the addresses that its annotation asks for.
func TestPastedPod(t *testing.T) {
	t.Parallel()
	lab := newMultusLab(t)
	// The names that the document has for the node's devices.
	lab.node.Batch(t,
		"link set "+networkB.uplink()+" name eth1",
		"link set "+networkC.bridge()+" down", "link set "+networkC.bridge()+" name br-storage", "link set br-storage up")
	lab.node.WaitForCarrier(t, "eth1")

	manifests := readManifests(t, kubernetesDocument)
	networks := networksOf(manifests)
	delegates := []delegate{lab.plain(clusterNetwork, "eth0")}
	for _, asked := range askedFor(t, manifests) {
		d := delegate{nic: "net" + string(rune('0'+len(delegates))), list: lab.ownDirectories(t, networks[asked.Name])}
		if asked.IPs != nil {
			d.capabilities = netlab.Object{"ips": asked.IPs}
		}
		delegates = append(delegates, d)
	}
	if len(delegates) < 3 {
		t.Fatalf("this test shows nothing: the pod asks for %d networks", len(delegates)-1)
	}
	m := newMultus(t, multus430, lab.runtime)
	pod, empty := newMultusPod(t)
	addresses := m.mustAddAll(t, pod, delegates)
	if want := netip.MustParseAddr("203.0.113.144"); !slices.Contains(addresses[1], want) {
		t.Errorf("net1 has %v, want %v as in the document's output", addresses[1], want)
	}
	lab.assertAnswers(t, pod, slices.Concat(addresses...)...)
	m.assertCheck(t, pod, delegates...)
	m.assertLeaves(t, pod, empty, delegates, addresses)
	lab.assertNothingHeld(t)
}

// selection is one entry of the annotation.
type selection struct {
	Name string   `json:"name"`
	IPs  []string `json:"ips"`
}

// askedFor reads the annotation of the document's pod.
func askedFor(t *testing.T, manifests []manifest) []selection {
	t.Helper()
	for _, m := range manifests {
		if m.Kind != "Pod" {
			continue
		}
		var asked []selection
		if err := json.Unmarshal([]byte(m.Metadata.Annotations["k8s.v1.cni.cncf.io/networks"]), &asked); err != nil {
			t.Fatalf("annotation of %s: %v", m.Metadata.Name, err)
		}
		return asked
	}
	t.Fatal("the document has no pod")
	return nil
}

// ownDirectories has a pasted network keep its files with the lab's, and not
// where the machine has its own.
func (lab *multusLab) ownDirectories(t *testing.T, network netlab.Conflist) netlab.Conflist {
	t.Helper()
	var list struct {
		CNIVersion string          `json:"cniVersion"`
		Name       string          `json:"name"`
		Plugins    []netlab.Object `json:"plugins"`
	}
	if err := json.Unmarshal(network, &list); err != nil {
		t.Fatal(err)
	}
	for _, plugin := range list.Plugins {
		if plugin["type"] == "symroute" {
			plugin["dataDir"] = lab.symroute
		}
		if ipam, has := plugin["ipam"].(netlab.Object); has {
			ipam["dataDir"] = lab.leases
		}
	}
	return netlab.NewConflist(list.Name, list.CNIVersion, list.Plugins...)
}
