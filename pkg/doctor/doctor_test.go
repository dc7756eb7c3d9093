package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/node"
)

func TestJudgeKernel(t *testing.T) {
	for release, want := range map[string]Verdict{
		"6.18.44-fc-v657": OK, "5.10.0-46-amd64": OK, "5.4.0-generic": Warning, "4.18.0-553.el8": Warning, "4.16.1": Problem,
		"4.4.0": Problem, "10.0": OK, "": Warning, "rolling": Warning, "v6.1": Warning, "6": Warning,
	} {
		f := judgeKernel(release)
		if f.Verdict != want || (f.Remedy == "") != (want == OK) {
			t.Errorf("%q: got %+v, want %s", release, f, want)
		}
	}
}

func TestJudgeRPFilter(t *testing.T) {
	for _, tt := range []struct {
		all, def, inherit int
		want              Verdict
		found             string
	}{
		{0, 0, 0, OK, "all=0, default=0: new pods begin with these; pods that run keep theirs"},
		{2, 2, 0, OK, "all=2"},
		{2, 1, 0, OK, "all=2"}, // the larger one counts
		{0, 2, 1, OK, "default=2"},
		{1, 1, 0, Warning, "all=1"},
		{1, 0, 0, Warning, "all=1"},
		{0, 1, 0, Warning, "default=1"},
		{1, 2, 0, OK, "default=2"},
		{1, 1, 3, Warning, "all=1"},
		{1, 1, 2, OK, "but new pods begin with 0 (net.core.devconf_inherit_init_net=2)"},
	} {
		f := judgeRPFilter(tt.all, tt.def, tt.inherit)
		if f.Verdict != tt.want || !strings.Contains(f.Found, tt.found) {
			t.Errorf("%+v: got %+v", tt, f)
		}
	}
}

// A new namespace begins with the settings of the node: with all=0, default=0 on most, which shows little, but not there
// where they are otherwise.
func TestNewPodsBegin(t *testing.T) {
	here := Usual("").rpFilter(t.Context())[0].Found
	if strings.Contains(here, "devconf_inherit_init_net") {
		here = "all=0, default=0"
	}
	const conf = "/proc/sys/net/ipv4/conf/"
	out, err := exec.CommandContext(t.Context(), "unshare", "-n", "cat", conf+"all/rp_filter", conf+"default/rp_filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	there := strings.Fields(string(out))
	if want := "all=" + there[0] + ", default=" + there[1]; !strings.HasPrefix(here, want) {
		t.Errorf("it says %q, and a new namespace has %s", here, want)
	}
}

func TestJudgeVersion(t *testing.T) {
	for says, want := range map[string]Finding{
		"CNI plugin symroute v1.0.0\n": {Test: "plugin", Verdict: OK, Found: "/x is symroute v1.0.0, as this program"},
		"CNI plugin symroute v0.9.0\n": {Test: "plugin", Verdict: Warning, Found: "/x is symroute v0.9.0, this program v1.0.0"},
		"CNI bridge plugin v1.4.0\n":   {Test: "plugin", Verdict: Problem, Found: `/x is something else: its version is "CNI bridge plugin v1.4.0"`},
	} {
		got := judgeVersion("/x", says, "v1.0.0")
		if (got.Remedy == "") != (want.Verdict == OK) {
			t.Errorf("%q: the remedy is %q", says, got.Remedy)
		}
		got.Remedy = ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// tree makes files below a directory of its own.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestModules(t *testing.T) {
	root := tree(t, map[string]string{
		"proc/sys/kernel/osrelease":     "6.1.0\n",
		"sys/module/loaded/x":           "",
		"sys/class/net/tunl0/x":         "",
		"lib/6.1.0/modules.builtin":     "kernel/net/built-in.ko\n",
		"lib/6.1.0/modules.dep":         "kernel/net/ipv6/ip6_tunnel.ko.xz: kernel/net/tunnel6.ko.xz\n",
		"none/proc/sys/kernel/nothing":  "",
		"other/proc/sys/kernel/nothing": "",
	})
	p := Patient{Proc: root + "/proc", Sys: root + "/sys", Modules: root + "/lib"}
	for _, tt := range []struct {
		module, device string
		has            bool
		where          string
	}{
		{"loaded", "x0", true, "is loaded"},
		{"ipip", "tunl0", true, "is loaded"},
		{"built_in", "x0", true, "is built into the kernel"},
		{"ip6_tunnel", "x0", true, "can be loaded"},
		{"tunnel6", "x0", false, "is neither loaded nor in " + root + "/lib/6.1.0"}, // only others need it here
	} {
		if has, where := p.module(tt.module, tt.device); has != tt.has || where != tt.where {
			t.Errorf("%s: got %v, %q", tt.module, has, where)
		}
	}
	p.Modules = root + "/nowhere"
	if has, where := p.module("ipip", "x0"); has || !strings.Contains(where, "is not known") {
		t.Errorf("got %v, %q", has, where)
	}
}

func TestDrops(t *testing.T) {
	root := tree(t, map[string]string{
		"new/kernel/btf/vmlinux": "\x00skb\x00skb_drop_reason\x00",
		"old/kernel/btf/vmlinux": "\x00skb\x00my_skb_drop_reasons\x00",
		"none/x":                 "",
	})
	for dir, want := range map[string]Verdict{"new": OK, "old": Warning, "none": Warning} {
		if got := (Patient{Sys: filepath.Join(root, dir)}).drops(t.Context())[0]; got.Verdict != want {
			t.Errorf("%s: got %+v", dir, got)
		}
	}
}

// The kernel of this machine has what the tests of all packages need.
func TestThisMachine(t *testing.T) {
	p := Usual("unreleased")
	p.Node = node.Node{DataDirs: []string{filepath.Join(t.TempDir(), "records")}, CacheDir: t.TempDir()}
	r := p.Examine(t.Context())
	for _, f := range r.Findings {
		switch f.Test {
		case "kernel", "policy routing, IPv4", "policy routing, IPv6", "capabilities", "records", "leftovers":
			if f.Verdict != OK {
				t.Errorf("%+v", f)
			}
		}
		if (f.Remedy == "") != (f.Verdict == OK) {
			t.Errorf("%s: %s with the remedy %q", f.Test, f.Verdict, f.Remedy)
		}
	}
}

func TestNetworks(t *testing.T) {
	root := tree(t, map[string]string{
		"bin/bridge": "", "bin/sbr": "", "bin/tuning": "", "bin/symroute": "",
		"conf/10-good.conflist":   `{"cniVersion": "1.0.0", "name": "good", "plugins": [{"type": "bridge"}, {"type": "symroute"}]}`,
		"conf/20-both.conflist":   `{"cniVersion": "1.0.0", "name": "both", "plugins": [{"type": "sbr"}, {"type": "symroute"}]}`,
		"conf/30-beside.conflist": `{"cniVersion": "1.0.0", "name": "beside", "plugins": [{"type": "bridge"}, {"type": "sbr"}]}`,
		"conf/40-tuned.conflist": `{"cniVersion": "1.0.0", "name": "tuned", "plugins": [{"type": "symroute"},
			{"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.rp_filter": "2"}}]}`,
		"conf/50-fine.conflist":    `{"cniVersion": "1.0.0", "name": "fine", "plugins": [{"type": "tuning", "sysctl": {"net.core.somaxconn": "2"}}]}`,
		"conf/60-missing.conflist": `{"cniVersion": "1.0.0", "name": "missing", "plugins": [{"type": "macvlan"}]}`,
		"conf/70-torn.conflist":    `{`,
	})
	p := Patient{BinDirs: []string{root + "/none", root + "/bin"}, ConfDir: root + "/conf"}
	want := []Finding{
		{"networks", OK, "7 networks in " + root + "/conf, with symroute: good, both, tuned", ""},
		{"network both", Problem, "20-both.conflist has sbr, which makes rules and tables for addresses as symroute does", ""},
		{"network beside", Warning, "30-beside.conflist has sbr, which makes rules and tables for addresses as symroute does", ""},
		{"network tuned", Problem, "40-tuned.conflist has tuning, which writes net.ipv4.conf.IFNAME.rp_filter as symroute does", ""},
		{"network missing", Warning, `60-missing.conflist names the plugin "macvlan", which is not in ` + root + "/none, " + root + "/bin", ""},
		{"network 70-torn.conflist", Warning, "70-torn.conflist cannot be read: error parsing configuration list: unexpected end of JSON input", ""},
	}
	got := p.networks(t.Context())
	for i := range got {
		got[i].Remedy = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDataDir(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil { //nolint:gosec // that is what is tested
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]struct {
		verdict Verdict
		found   string
	}{
		filepath.Join(t.TempDir(), "new"): {OK, "takes records"},
		open:                              {Problem, "others may write to it (mode 0777)"},
		file:                              {Problem, "not a directory"},
		"/proc/none":                      {Problem, "no such file or directory"},
	} {
		if f := judgeDataDir(dir); f.Verdict != want.verdict || !strings.Contains(f.Found, want.found) {
			t.Errorf("%s: got %+v", dir, f)
		}
	}
	damaged := tree(t, map[string]string{"ns/c1:net1:net.json": "{"})
	if err := os.Chmod(filepath.Join(damaged, "ns"), 0o700); err != nil {
		t.Fatal(err)
	}
	if f := judgeDataDir(damaged); f.Verdict != Warning || !strings.Contains(f.Found, "not usable") {
		t.Errorf("got %+v", f)
	}
}

func TestLeft(t *testing.T) {
	if got, want := left([]string{"a", "b", "c", "d", "e", "f", "g"}, 1),
		"records of 7 pods that are gone (a, b, c, d, e and 2 more), 1 lock of which no record is known"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := left([]string{"shop/cart-0"}, 0), "records of 1 pod that is gone (shop/cart-0)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
