package preview

import (
	"errors"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/pod"
)

// The entry of a list gets its name and version, as libcni does it, and the result.
func TestInput(t *testing.T) {
	for _, tt := range []struct{ name, conf, result, want string }{
		{"a plugin", `{"type": "symroute"}`, `{"ips": []}`, `{"prevResult":{"ips":[]},"type":"symroute"}`},
		{"a result replaces another", `{"type": "symroute", "prevResult": {}}`, `{"ips": []}`, `{"prevResult":{"ips":[]},"type":"symroute"}`},
		{
			"a list", `{"cniVersion": "1.0.0", "name": "red", "plugins": [{"type": "a"}, {"type": "symroute", "table": 7400, "X": 1}]}`, `{}`,
			`{"X":1,"cniVersion":"1.0.0","name":"red","prevResult":{},"table":7400,"type":"symroute"}`,
		},
		{"of the cache", `{"type": "symroute"}`, `{"kind": "cniCacheV1", "result": {"ips": []}}`, `{"prevResult":{"ips":[]},"type":"symroute"}`},
		{"broken JSON is for ADD to judge", `{"type"`, `{}`, `{"type"`},
	} {
		got, err := Input([]byte(tt.conf), []byte(tt.result))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s (%v), want %s", tt.name, got, err, tt.want)
		}
	}
	if got, err := Input([]byte(`{"prevResult": {}}`), nil); err != nil || string(got) != `{"prevResult": {}}` {
		t.Errorf("without a result: %s (%v)", got, err)
	}
	for name, conf := range map[string]string{
		"no symroute":  `{"cniVersion": "1.0.0", "name": "red", "plugins": [{"type": "a"}]}`,
		"two of them":  `{"cniVersion": "1.0.0", "name": "red", "plugins": [{"type": "symroute"}, {"type": "symroute"}]}`,
		"no plugins":   `{"cniVersion": "1.0.0", "name": "red", "plugins": []}`,
		"not a result": `{"type": "symroute"}`,
	} {
		if got, err := Input([]byte(conf), []byte(`[]`)); !errors.Is(err, ErrNoInput) {
			t.Errorf("%s: %s (%v)", name, got, err)
		}
	}
}

func TestIfName(t *testing.T) {
	for want, r := range map[string]*config.Result{
		"":     nil,
		"net1": {Interfaces: []config.Interface{{Name: "veth1"}, {Name: "net1", Sandbox: "/x"}, {Name: "net2", Sandbox: "/x"}}},
	} {
		if got := IfName(r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A pod that is imagined has what the result says.
func TestImagined(t *testing.T) {
	for _, tt := range []struct {
		name, keys, result string
		want               []string // among the commands
		not                string   // in none of them
	}{
		{
			name: "its default is yielded to nobody: there is no other", keys: `"mainDefault": "yield"`,
			result: `"interfaces": [{"name": "net1", "sandbox": "/x"}], "ips": [{"address": "192.0.2.5/24", "gateway": "192.0.2.1"}], "routes": [{"dst": "0.0.0.0/0"}]`,
			want:   []string{"ip route add default via 192.0.2.1 dev net1 table 7300 proto 73"}, not: "route del default",
		},
		{
			name: "both families", keys: `"rpFilter": "keep"`,
			result: `"interfaces": [{"name": "net1", "sandbox": "/x"}], "ips": [{"address": "192.0.2.5/24"}, {"address": "2001:db8::5/64"}],
				"routes": [{"dst": "0.0.0.0/0", "gw": "192.0.2.9", "priority": 50}, {"dst": "::/0", "gw": "2001:db8::9"}, {"dst": "10.0.0.0/8", "table": 9}]`,
			want: []string{
				"ip route add default via 192.0.2.9 dev net1 table 7300 proto 73",
				"ip -6 route add default via 2001:db8::9 dev net1 table 7300 proto 73 metric 1024",
				"ip -6 route add fe80::/64 dev net1 table 7300 proto 73 metric 256",
			}, not: "10.0.0.0",
		},
		{
			name: "two interfaces, and one of the node", keys: `"rpFilter": "keep"`,
			result: `"interfaces": [{"name": "br0"}, {"name": "net1", "sandbox": "/x"}, {"name": "net2", "sandbox": "/x"}],
				"ips": [{"interface": 1, "address": "192.0.2.5/24"}, {"interface": 2, "address": "192.0.2.66/32"}, {"interface": 0, "address": "192.0.2.1/24"}]`,
			want: []string{"ip rule add from all oif net2 priority 49000 lookup 7301 proto 73", "ip rule add from 192.0.2.66 priority 40012 lookup 7301 proto 73"},
			not:  "from 192.0.2.1 ",
		},
	} {
		input := `{"cniVersion": "1.0.0", "name": "red", "type": "symroute", ` + tt.keys + `, "prevResult": {` + tt.result + `}}`
		call, err := pod.Call{Input: []byte(input)}.Configured()
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		call.Key.IfName = IfName(call.Config.Prev)
		p, err := Imagined(call)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		there := map[string]bool{}
		for _, c := range Commands(p) {
			there[c.Text] = true
			if tt.not != "" && strings.Contains(c.Text, tt.not) {
				t.Errorf("%s: %s", tt.name, c.Text)
			}
		}
		for _, want := range tt.want {
			if !there[want] {
				t.Errorf("%s: no %q in %v", tt.name, want, Commands(p))
			}
		}
	}
}
