package ctl

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

// twin is what a plan is made for: a configuration, in a pod that is there twice.
type twin struct {
	name    string
	nic     string
	keys    netlab.Object
	before  []string // what is done to both pods, by ip
	earlier string   // a NIC that is attached before
	kind    string   // of a tunnel that the kernel needs
	// imagined leaves the pod out: the result has to tell all that matters.
	imagined bool
}

// TestPlanDoesWhatADDDoes runs the commands of a plan in one pod and ADD in its twin: rules, routes and
// settings are the same then.
func TestPlanDoesWhatADDDoes(t *testing.T) {
	for _, tw := range []twin{
		{name: "a second NIC", nic: "net1"},
		{name: "a second NIC, imagined", nic: "net1", imagined: true},
		{name: "the first NIC", nic: "eth0"},
		{name: "strict", nic: "net1", keys: netlab.Object{"rpFilter": "strict"}},
		{name: "isolated", nic: "net1", keys: netlab.Object{"arp": "isolate", "rpFilter": "off"}},
		{name: "takes the default", nic: "net1", keys: netlab.Object{"mainDefault": "take"}},
		{name: "takes the default of an attachment", nic: "net1", keys: netlab.Object{"mainDefault": "take"}, earlier: "eth0"},
		{name: "takes defaults with attributes", nic: "net1", keys: netlab.Object{"mainDefault": "take"}, before: []string{
			"route replace default proto static mtu 1400 advmss 1360 nexthop via 198.51.100.1 dev eth0 weight 2 nexthop via 198.51.100.2 dev eth0 weight 3",
			"route add default via 198.51.100.9 dev eth0 metric 50 src 198.51.100.87",
			"-6 route append default via 2001:db8:a::2 dev eth0",
		}},
		{name: "refusals in main", nic: "net1", before: []string{
			"route add unreachable 192.0.2.128/25", "route add blackhole 198.18.0.0/16", "-6 route add prohibit 2001:db8:9::/48",
		}},
		{name: "routes, sources and what main decides", nic: "net1", keys: netlab.Object{
			"gateways": []string{"203.0.113.7", "fe80::1"},
			"sources":  []string{"192.0.2.64/26", "2001:db8:77::/64"},
			"viaMain":  []string{"10.96.0.0/12"},
			"routes": []netlab.Object{
				{"dst": "172.20.0.0/16", "gw": "203.0.113.9", "metric": 50, "mtu": 1400, "advmss": 1360},
				{"dst": "172.21.0.0/16", "gw": "10.0.0.1", "onlink": true}, {"dst": "2001:db8:40::/48"},
			},
		}},
		{name: "a device of an odd name", nic: "net1", keys: netlab.Object{
			"interfaces": netlab.Object{"$(id)'x;": netlab.Object{"rpFilter": "off"}},
		}, before: []string{"link add $(id)'x; type veth peer name other"}},
		{name: "VIPs on lo", nic: "net1", keys: netlab.Object{
			"lvs": netlab.Object{"mode": "dr", "vips": []string{"203.0.113.30", "2001:db8:b::30"}},
		}},
		{name: "VIPs on tunnels", nic: "net1", kind: "ipip", keys: netlab.Object{
			"lvs": netlab.Object{"mode": "tunnel", "vips": []string{"203.0.113.30"}},
		}},
	} {
		t.Run(tw.name, func(t *testing.T) {
			t.Parallel()
			if tw.kind != "" {
				netlab.NeedsLink(t, tw.kind)
			}
			tw.compare(t)
		})
	}
}

func (tw twin) compare(t *testing.T) {
	planned, added := tw.make(t), tw.make(t)
	tw.run(t, planned)
	added.add(t, tw.nic, tw.keys)
	look := func(l *lab) netlab.Snapshot { return l.pod.NS.Snapshot(t).Without(ownMAC.MatchString) }
	if diff := look(added).Diff(look(planned)); diff != "" {
		t.Errorf("what ADD did (-) is not what the plan did (+):\n%s", diff)
	}
}

// ownMAC matches lines in which twins differ: those with the MAC of a cable, or the address made of it.
var ownMAC = regexp.MustCompile(`fe80::[0-9a-f]+:| [0-9a-f]{2}(:[0-9a-f]{2}){5} <`)

// make makes one of the twins.
func (tw twin) make(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.dataDir = filepath.Join(t.TempDir(), "records")
	l.pod.NS.Batch(t, tw.before...)
	if tw.earlier != "" {
		l.add(t, tw.earlier, nil)
	}
	return l
}

// run plans, and runs the plan in the pod.
func (tw twin) run(t *testing.T, l *lab) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "conf.json")
	if err := os.WriteFile(conf, l.input(t, tw.nic, tw.keys), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"plan", "-f", conf, "--data-dir", l.dataDir}
	if !tw.imagined {
		args = append(args, "--netns", l.pod.NS.Path)
	}
	cmd := exec.Command(filepath.Join(netlab.BinDir(t), "symroutectl"), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	commands, err := cmd.Output()
	if err != nil || len(commands) == 0 {
		t.Fatalf("%v: %v\n%s%s", cmd, err, commands, stderr.String())
	}
	if _, err := l.pod.NS.Command(string(commands), "sh", "-e"); err != nil {
		t.Fatalf("%v\n%s", err, commands)
	}
}

// add runs ADD for a NIC, which has to succeed.
func (l *lab) add(t *testing.T, nicName string, keys netlab.Object) {
	t.Helper()
	run := l.node.RunPlugin(t, []string{
		"CNI_COMMAND=ADD", "CNI_CONTAINERID=" + l.pod.ID, "CNI_NETNS=" + l.pod.NS.Path, "CNI_IFNAME=" + nicName, "CNI_PATH=" + netlab.BinDir(t),
	}, l.input(t, nicName, keys))
	if run.ExitCode != 0 {
		t.Fatalf("%v", run)
	}
}

// input is the configuration for a NIC, with the result of the plugins before.
func (l *lab) input(t *testing.T, nicName string, keys netlab.Object) []byte {
	t.Helper()
	n, ok := find([]string{nicName})
	if !ok {
		t.Fatalf("no NIC %q", nicName)
	}
	conf := netlab.Object{
		"cniVersion": "1.1.0", "name": "net-of-" + n.name, "type": "symroute", "dataDir": l.dataDir, "prevResult": l.result(n),
	}
	for key, value := range keys {
		conf[key] = value
	}
	data, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
