package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/symroute/symroute/test/netlab"
)

// TestVersions speaks every version of the CNI specification that symroute
// knows, through libcni and with plugins that speak it too.
func TestVersions(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, providerA, providerB)
			pod := netlab.NewPod(t)
			before := pod.NS.Snapshot(t)
			list := func(p provider) netlab.Conflist {
				return netlab.NewConflist("net-"+p.name, version,
					netlab.BridgePlugin(p.bridge(), p.hostLocal(s.ipamDir, defaults...)), s.symroute(nil))
			}
			a, b := list(providerA), list(providerB)
			s.runtime.MustAdd(t, a, pod, "eth0")
			s.runtime.MustAdd(t, b, pod, "net1")
			s.assertOnlyThrough(t, providerB, netlab.Client{NS: s.client, Source: client4}, pod)
			s.assertOnlyThrough(t, providerB, netlab.Client{NS: s.client, Source: client6}, pod)

			add := s.runtime.Last(t, "symroute", "ADD")
			assertPassedOn(t, member(t, add.Stdin, "prevResult"), add)
			if !strings.HasPrefix(version, "0.3.") { // which knew no CHECK
				s.runtime.MustCheck(t, a, pod, "eth0")
				s.runtime.MustCheck(t, b, pod, "net1")
			}
			s.runtime.MustDel(t, b, pod, "net1")
			s.runtime.MustDel(t, a, pod, "eth0")
			assertSame(t, "ADD and DEL changed the pod", before, pod.NS.Snapshot(t))
			assertNoFiles(t, s.dataDir)
		})
	}

	for _, version := range []string{"0.1.0", "0.2.0", "2.0.0", "nonsense"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, eth0)
			a := b.attach(eth0, nil).with("cniVersion", version)
			assertCode(t, a.fails(t, "ADD"), codeIncompatible, codeDecoding)
		})
	}
}

// member is one member of a JSON object.
func member(t *testing.T, object []byte, name string) json.RawMessage {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatal(err)
	}
	return members[name]
}

// TestVersionCommand asks which versions it speaks.
func TestVersionCommand(t *testing.T) {
	t.Parallel()
	node := netlab.New(t, "node")
	call := node.RunPlugin(t, []string{"CNI_COMMAND=VERSION"}, []byte(`{"cniVersion":"1.1.0"}`))
	if failure := call.Failed(t); failure != nil {
		t.Fatal(failure)
	}
	var answer struct {
		CNIVersion        string   `json:"cniVersion"`
		SupportedVersions []string `json:"supportedVersions"`
	}
	if err := json.Unmarshal(call.Stdout, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.CNIVersion != "1.1.0" {
		t.Errorf("cniVersion %q", answer.CNIVersion)
	}
	assertLines(t, "supported versions", []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}, answer.SupportedVersions)
}

// TestRunByHand runs it without CNI_COMMAND: it says what it is.
func TestRunByHand(t *testing.T) {
	t.Parallel()
	node := netlab.New(t, "node")
	call := node.RunPlugin(t, nil, nil)
	text := strings.ToLower(string(call.Stdout) + string(call.Stderr))
	for _, word := range []string{"symroute", "cni", "1.1.0"} {
		if !strings.Contains(text, word) {
			t.Errorf("it does not mention %q:\n%s", word, text)
		}
	}
	if call.ExitCode != 0 {
		t.Errorf("exit code %d", call.ExitCode)
	}
}

// TestEnvironment leaves variables out that ADD needs, or sets them to nonsense.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, nil)
	for _, missing := range []string{"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"} {
		env := slices.DeleteFunc(a.environ("ADD"), func(variable string) bool { return strings.HasPrefix(variable, missing+"=") })
		failure := b.node.RunPlugin(t, env, a.stdin(t)).Failed(t)
		if failure == nil {
			t.Fatalf("ADD without %s succeeded", missing)
		}
		assertCode(t, failure, codeEnvironment)
		if !strings.Contains(failure.Msg+failure.Details, missing) {
			t.Errorf("the error does not name %s: %s", missing, failure.Msg)
		}
	}
	unknown := a
	assertCode(t, unknown.fails(t, "EXPLODE"), codeEnvironment)
	gone := a
	gone.netns = filepath.Join(t.TempDir(), "gone")
	gone.fails(t, "ADD", gone.netns)
	gone.fails(t, "CHECK", gone.netns)
	if _, err := os.Lstat(gone.netns); !os.IsNotExist(err) {
		t.Errorf("the plugin made %s: %v", gone.netns, err)
	}
	repeated := a
	repeated.env = []string{"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=p;IgnoreUnknown=1;K8S_POD_NAME=p"}
	repeated.must(t, "ADD")
	repeated.must(t, "DEL")
}

// TestNotChained refuses to work alone.
func TestNotChained(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, nil)
	a.prev = nil
	for _, command := range []string{"ADD", "CHECK"} {
		assertCode(t, a.fails(t, command, "must be chained"), codeConfiguration)
	}
	a.must(t, "DEL")
}

// TestResultPassedOn demands that ADD prints prevResult as it came, with all
// that symroute does not know.
func TestResultPassedOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0)
	a := b.attach(eth0, nil)
	prev := b.result(eth0)
	maps.Copy(prev, netlab.Object{
		"dns":        netlab.Object{"nameservers": []string{"192.0.2.53"}, "search": []string{"example.org"}},
		"ourSecret":  netlab.Object{"number": json.Number("12345678901234567890"), "list": []any{nil, 1.5e300, "<&>"}},
		"interfaces": []netlab.Object{{"name": "eth0", "sandbox": a.netns, "mac": "02:00:00:00:00:01", "mtu": 1400, "pciID": "0000:00:02.0", "socketPath": "/x"}},
		"routes":     []netlab.Object{{"dst": "0.0.0.0/0", "gw": "198.51.100.1", "priority": 7, "unheardOf": true}},
	})
	a.prev = prev
	assertPassedOn(t, prev, a.must(t, "ADD"))

	t.Run("with cniVersion where it lacked one", func(t *testing.T) {
		bare := maps.Clone(prev)
		delete(bare, "cniVersion")
		a.prev = bare
		call := a.must(t, "ADD")
		assertPassedOn(t, prev, call)
	})
	t.Run("unknown keys at the top are left alone", func(t *testing.T) {
		more := a.with("deviceID", "0000:00:02.0").with("runtimeConfig", netlab.Object{"mac": "x"}).
			with("args", netlab.Object{"cni": netlab.Object{}}).with("capabilities", netlab.Object{"ips": true})
		assertPassedOn(t, prev, more.must(t, "ADD"))
	})
	a.must(t, "DEL")
}

// TestNotesNameThePod has something to tell on standard error: whose network, interface and
// pod it is about comes first, or whose container where the runtime names no pod.
func TestNotesNameThePod(t *testing.T) {
	t.Parallel()
	for args, subject := range map[string]string{
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0": "pod shop/web-0",
		"CNI_ARGS=IgnoreUnknown=1": "container ",
	} {
		n := net1.withoutDefaults()
		b := newBench(t, eth0, n)
		b.pod.NS.IP(t, "-6", "route", "add", "default", "via", "fe80::1", "dev", "net1", "proto", "ra", "metric", "2048")
		a := b.attach(n, nil)
		a.env = []string{args}
		if strings.HasPrefix(subject, "container") {
			subject += a.containerID
		}
		call := a.must(t, "ADD")
		assertTells(t, call, "proto ra")
		for line := range strings.Lines(string(call.Stderr)) {
			if want := "symroute: network net-of-net1, net1 of " + subject + ": "; !strings.HasPrefix(line, want) {
				t.Errorf("the note does not begin with %q: %s", want, line)
			}
		}
	}
}

// TestStatus asks whether the node can serve.
func TestStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := b.attach(eth0, nil)
	a.prev = nil
	a.netns, a.containerID, a.nic = "", "", ""
	a.must(t, "STATUS")
	assertNoFiles(t, b.dataDir)

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{
		"dataDir is a file":       file,
		"dataDir is below a file": filepath.Join(file, "dir"),
		"dataDir cannot be made":  "/proc/symroute",
	} {
		t.Run(name, func(t *testing.T) {
			assertCode(t, a.with("dataDir", dir).fails(t, "STATUS", "dataDir"), codeUnavailable)
		})
	}
	t.Run("through libcni", func(t *testing.T) {
		s := newSite(t, providerA)
		if err := s.runtime.Status(s.chained(providerA, nil)); err != nil {
			t.Error(err)
		}
		s.dataDir = filepath.Join(file, "dir")
		if err := s.runtime.Status(s.chained(providerA, nil)); err == nil {
			t.Error("no error, though dataDir is unusable")
		}
	})
	t.Run("ADD with such a dataDir changes nothing", func(t *testing.T) {
		b := newBench(t, eth0, net1)
		b.attach(net1, netlab.Object{"dataDir": filepath.Join(file, "dir"), "rpFilter": "strict"}).fails(t, "ADD", file)
	})
}

// TestGC tells what is still valid: what is remembered of the rest goes, where
// the pod is gone.
func TestGC(t *testing.T) {
	t.Parallel()
	// remembered is an attachment that needs a record, for its setting of all.
	remembered := func(t *testing.T, dataDir string) (*bench, attachment) {
		t.Helper()
		b := newBench(t, eth0)
		b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
		a := b.attach(eth0, netlab.Object{"rpFilter": "strict", "dataDir": dataDir})
		a.must(t, "ADD")
		if len(files(t, dataDir)) == 0 {
			t.Fatal("nothing is remembered: this test shows nothing")
		}
		return b, a
	}
	collect := func(t *testing.T, a attachment, valid []types.GCAttachment) {
		t.Helper()
		a.prev = nil
		if valid != nil {
			a = a.with("cni.dev/valid-attachments", valid)
		}
		a.netns, a.containerID, a.nic = "", "", ""
		a.must(t, "GC")
	}
	none := []types.GCAttachment{}

	for _, test := range []struct {
		name   string
		vanish bool                                  // the pod's namespace
		valid  func(attachment) []types.GCAttachment // nil: no such key
		other  func(a attachment) attachment         // GC of another network
		gone   bool                                  // want nothing remembered
	}{
		{name: "gone and not listed", vanish: true, valid: func(attachment) []types.GCAttachment { return none }, gone: true},
		{name: "gone and listed", vanish: true, valid: func(a attachment) []types.GCAttachment {
			return []types.GCAttachment{{ContainerID: a.containerID, IfName: a.nic}}
		}},
		{name: "gone and no list", vanish: true},
		{name: "there and not listed", valid: func(attachment) []types.GCAttachment { return none }},
		{
			name: "gone and of another network", vanish: true,
			valid: func(attachment) []types.GCAttachment { return none },
			other: func(a attachment) attachment { return a.with("name", "another") },
		},
		{name: "gone and another NIC listed", vanish: true, gone: true, valid: func(a attachment) []types.GCAttachment {
			return []types.GCAttachment{{ContainerID: a.containerID, IfName: "net9"}, {ContainerID: "other", IfName: a.nic}}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dataDir := filepath.Join(t.TempDir(), "symroute")
			b, a := remembered(t, dataDir)
			before := files(t, dataDir)
			if test.vanish {
				b.pod.NS.Vanish(t)
			}
			var valid []types.GCAttachment
			if test.valid != nil {
				valid = test.valid(a)
			}
			told := a
			if test.other != nil {
				told = test.other(a)
			}
			collect(t, told, valid)
			if test.gone {
				assertNoFiles(t, dataDir)
				return
			}
			assertLines(t, "remembered files", before, files(t, dataDir))
			if !test.vanish {
				a.must(t, "CHECK")
				a.must(t, "DEL")
				assertNoFiles(t, dataDir)
			}
		})
	}

	t.Run("through libcni", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, providerA)
		pod, other := netlab.NewPod(t), netlab.NewPod(t)
		list := s.chained(providerA, netlab.Object{"rpFilter": "strict"})
		other.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
		s.runtime.MustAdd(t, list, other, "eth0")
		// The runtime forgets the pod: its address comes free again.
		other.NS.Vanish(t)
		if err := s.runtime.GC(list); err != nil {
			t.Errorf("GC: %v", err)
		}
		assertNoFiles(t, s.dataDir)
		s.runtime.MustAdd(t, list, pod, "eth0")
		if err := s.runtime.GC(list, types.GCAttachment{ContainerID: pod.ID, IfName: "eth0"}); err != nil {
			t.Errorf("GC: %v", err)
		}
		s.runtime.MustCheck(t, list, pod, "eth0")
	})
}
