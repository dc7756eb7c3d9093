package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const docs = "../../docs/"

// TestReferenceIsSound: what the documentation shows has no fault.
func TestReferenceIsSound(t *testing.T) {
	data, err := os.ReadFile(docs + "reference.conflist")
	if err != nil {
		t.Fatal(err)
	}
	found, err := Lint("reference.conflist", data)
	if err != nil || len(found) > 0 {
		t.Errorf("%v %v", found, err)
	}
}

// TestDefinitionsOfDocs lints the NetworkAttachmentDefinitions of docs/kubernetes.md.
func TestDefinitionsOfDocs(t *testing.T) {
	page, err := os.ReadFile(docs + "kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllSubmatch(page, -1)
	linted := 0
	for _, b := range blocks {
		if !bytes.Contains(b[1], []byte("NetworkAttachmentDefinition")) {
			continue
		}
		linted++
		found, err := Lint("kubernetes.md", b[1])
		if err != nil {
			t.Errorf("%v in\n%s", err, b[1])
		}
		for _, f := range found {
			t.Errorf("%v in\n%s", f, b[1])
		}
	}
	if linted == 0 {
		t.Error("this test shows nothing: there are no definitions")
	}
}

func TestLint(t *testing.T) {
	list := func(plugins string) string {
		return `{"cniVersion": "1.0.0", "name": "a", "plugins": [` + plugins + `]}`
	}
	const macvlan = `{"type": "macvlan", "ipam": {"type": "dhcp"}}, `
	tests := []struct {
		name, file, text string
		want             []string // the findings without the file, a line each
	}{
		{"nothing of ours", "a.conflist", list(`{"type": "bridge"}`), nil},
		{"no plugins", "a.conflist", list(``), []string{`1: plugins: must be a list of at least one plugin`}},
		{"no type", "a.conflist", list(`{}`), []string{`1: plugins[0]: has no "type", which names the plugin`}},
		{
			"no name, no version", "a.conflist", `{"plugins": [{"type": "bridge"}]}`,
			[]string{
				"1: name: is missing: the network needs one",
				`1: cniVersion: is missing; write "1.0.0", or the latest that your runtime and plugins speak`,
			},
		},
		{
			"first", "a.conflist", list(`{"type": "symroute"}`),
			[]string{"1: plugins[0]: symroute is the first plugin, and finds no result to work on: put it behind the interface plugin"},
		},
		{
			"one plugin in a list's file", "a.conflist", `{"cniVersion": "1.0.0", "name": "a", "type": "bridge"}`,
			[]string{`1: a file that ends in .conflist needs a list "plugins"`},
		},
		{
			"twice", "a.conflist", list(macvlan + "{\n\"type\": \"symroute\",\n\"table\": 100,\n\"table\": 200}"),
			[]string{"4: plugins[1].table: stands there twice, and the last one counts; remove one"},
		},
		{
			"coordinator beside", "a.conflist", list(macvlan + `{"type": "symroute"}, {"type": "coordinator"}`),
			[]string{"1: plugins[2]: coordinator and symroute both make tables and rules for the NIC: remove one (symroutectl migrate keeps symroute)"},
		},
		{
			"route-override behind", "a.conflist", list(macvlan + `{"type": "symroute"}, {"type": "route-override"}`),
			[]string{"1: warning: plugins[2]: route-override behind symroute changes routes that symroute has seen: put it before symroute"},
		},
		{"route-override before", "a.conflist", list(macvlan + `{"type": "route-override"}, {"type": "symroute"}`), nil},
		{
			"tuning sets ARP", "a.conflist", list(macvlan + `{"type": "tuning", "sysctl": {"net/ipv4/conf/all/arp_ignore": "1"}}, {"type": "symroute", "arp": "isolate"}`),
			[]string{`1: warning: plugins[1].sysctl["net/ipv4/conf/all/arp_ignore"]: symroute sets arp_ignore, too ("arp" or "lvs"), ` +
				`and the kernel uses the larger of all's and the NIC's: remove it here`},
		},
		{"tuning sets ARP, and symroute does not", "a.conflist", list(macvlan + `{"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_ignore": "1"}}, {"type": "symroute"}`), nil},
		{"a version that is none", "a.conflist", `{"cniVersion": "7", "name": "a", "plugins": [{"type": "bridge"}]}`, []string{
			`1: cniVersion: "7" is none; write one of 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0`,
		}},
		{"no JSON", "a.yaml", "a: [", []string{"1: this is neither JSON nor YAML: "}},
		{"an empty definition", "a.yaml", "kind: NetworkAttachmentDefinition\nmetadata: {name: a}\nspec: {}\n", []string{
			"1: warning: spec.config: is empty: Multus looks for a network of the name on each node",
		}},
		{"broken JSON in a definition", "a.yaml", "kind: NetworkAttachmentDefinition\nmetadata: {name: a}\nspec:\n  config: |\n    {\n      \"a\": 1,\n    }\n", []string{
			"7: spec.config: configuration is not a JSON object: column 1: ",
		}},
		{"a list", "a.yaml", "kind: List\nitems:\n- kind: NetworkAttachmentDefinition\n  metadata: {name: A}\n  spec: {config: '{\"cniVersion\": \"1.0.0\", \"type\": \"bridge\"}'}\n", []string{
			`4: metadata.name: "A" is no name of an object`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found, err := Lint(tt.file, []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range found {
				got := strings.TrimPrefix(f.String(), tt.file+":")
				if i >= len(tt.want) || !strings.HasPrefix(got, tt.want[i]) {
					t.Errorf("finding %d is %q, want %q", i, got, tt.want)
				}
			}
			if len(found) < len(tt.want) {
				t.Errorf("found %v, want %q", found, tt.want)
			}
		})
	}
}

// FuzzLint: whatever a file holds, it is read or refused, and what is found is in the file. What Migrate makes of it
// is JSON or YAML again, and has nothing left to migrate.
func FuzzLint(f *testing.F) {
	f.Add([]byte(`{"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "macvlan"}, {"type": "sbr", "table": 7}]}`))
	f.Add([]byte(`{"plugins": [{"type": "tuning", "sysctl": {"net.ipv4.conf.all.rp_filter": "1"}}, {"type": "symroute", "gateways": [1]}]}`))
	f.Add([]byte("kind: NetworkAttachmentDefinition\nspec:\n  config: '{\"plugins\": [{\"type\": \"coordinator\"}]}'\n"))
	f.Add([]byte("kind: List\nitems: [{kind: NetworkAttachmentDefinition, spec: {config: {}}}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := Lint("a.conflist", data)
		if err != nil && !errors.Is(err, ErrNoNetwork) {
			t.Fatalf("%v is not ErrNoNetwork", err)
		}
		lines := bytes.Count(data, []byte("\n")) + 1
		for _, x := range found {
			if x.Line < 1 || x.Line > lines {
				t.Errorf("%v: the file has %d lines", x, lines)
			}
		}
		migrated, notes, err := Migrate("a.conflist", data)
		if err != nil || len(notes) == 0 {
			return
		}
		var value any
		if isJSON(data) {
			err = json.Unmarshal(migrated, &value)
		} else {
			err = yaml.Unmarshal(migrated, &value)
		}
		if err != nil && isJSON(data) {
			t.Fatalf("what was migrated cannot be read: %v\n%s", err, migrated)
		}
		if _, more, err := Migrate("a.conflist", migrated); err != nil || len(more) > 0 {
			t.Errorf("migrated again: %q %v\n%s", more, err, migrated)
		}
	})
}
