package lint

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// conflist is a network with a plugin before symroute, and others behind it.
func conflist(first, keys, behind string) string {
	return `{"cniVersion": "1.0.0", "name": "n", "plugins": [` + first + `, {"type": "symroute"` + keys + `}` + behind + `]}`
}

const (
	macvlan = `{"type": "macvlan", "ipam": {"type": "dhcp"}}`
	head    = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\n"
)

// definitionOf is a definition with a configuration.
func definitionOf(conf string) string {
	return head + "metadata: {name: n}\nspec:\n  config: |\n    " + strings.ReplaceAll(conf, "\n", "\n    ") + "\n"
}

func TestCheck(t *testing.T) {
	tuning := func(key, value string) string {
		return `{"type": "tuning", "sysctl": {"net.ipv4.conf.` + key + `": "` + value + `"}}`
	}
	mustBe := `symroute must be chained`
	undone := func(key, name string, is, wanted string) string {
		return `1: plugins[2].sysctl["net.ipv4.conf.` + key + `"]: ` + is + " undoes " + name + " of symroute before it, which wants " + wanted +
			"; remove it (CHECK reports it with code 101)"
	}
	vain := func(key, name string, is, wanted string) string {
		return `1: warning: plugins[1].sysctl["net.ipv4.conf.` + key + `"]: ` + is + " does not count: by " + name + " symroute makes it " + wanted +
			" for the NIC; remove it"
	}
	tests := []struct {
		name string
		file string // of the name of the file what matters
		text string
		want []string // LINE: FINDING; of one that begins with "...", a part of it
	}{
		{"right", "x.conflist", conflist(macvlan, "", ""), nil},
		{"right, on stdin", "stdin", conflist(macvlan, "", ""), nil},
		{"right, of all versions", "x.conflist", strings.Replace(conflist(macvlan, "", ""), `"name"`, `"cniVersions": ["0.4.0", "1.1.0", "9.0.0"], "name"`, 1), nil},
		{"right, with keys of runtimes", "x.conflist", conflist(macvlan, `, "deviceID": "x", "runtimeConfig": {}`, ""), nil},
		{"right: prevResult is the runtime's", "x.conflist", conflist(macvlan, `, "prevResult": {"ips": 5}`, ""), nil},

		{"empty", "x.conflist", " \n", []string{"1: is empty"}},
		{"empty stdin", "stdin", "", []string{"1: is empty"}},
		{"broken", "x.conflist", "{\n  \"name\": \"n\",\n}", []string{
			"3: is not JSON: column 1: invalid character '}' looking for beginning of object key string: a comma stands before it; remove that comma"}},
		{"broken on stdin", "stdin", "{\n  \"name\": \"n\"", []string{"...2: is not JSON: column 14: unexpected end of JSON input"}},
		{"no object", "x.conf", "[]", []string{"1: is not a JSON object: it is a list"}},
		{"YAML in a conflist", "x.conflist", "cniVersion: 1.0.0\nname: n\n", []string{"...1: is not JSON: column 1: "}},
		{"a network in YAML", "x.yaml", "# net\ncniVersion: 1.0.0\ntype: symroute\n", []string{"2: is a CNI configuration in YAML; runtimes read JSON: write JSON"}},
		{"twice", "x.conflist", `{"name": "m", ` + "\n" + conflist(macvlan, "", "")[1:], []string{"2: warning: name: stands more than once in its object; only the last one counts"}},

		{"no name", "x.conflist", `{"cniVersion": "1.0.0", "plugins": [{"type": "macvlan"}]}`, []string{"1: name: is missing; it must be the name of the network"}},
		{"bad name", "x.conflist", `{"cniVersion": "1.0.0", "name": "a/b", "plugins": [{"type": "macvlan"}]}`, []string{"...1: name: \"a/b\" is not a network name"}},
		{"no version", "x.conflist", `{"name": "n", "plugins": [` + macvlan + `, {"type": "symroute"}]}`, []string{
			`1: cniVersion: is missing, which means 0.1.0, and plugins cannot be chained before 0.3.0; write "cniVersion": "1.0.0"`}},
		{"no version, without symroute", "x.conflist", `{"name": "n", "plugins": [` + macvlan + `]}`, []string{
			`1: warning: cniVersion: is missing, which means 0.1.0; write "cniVersion": "1.0.0"`}},
		{"unknown version", "x.conflist", strings.Replace(conflist(macvlan, "", ""), "1.0.0", "1.0", 1), []string{
			`1: cniVersion: "1.0" is no version of the CNI specification that plugins know; write one of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0`}},
		{"old version", "x.conflist", strings.Replace(conflist(macvlan, "", ""), "1.0.0", "0.2.0", 1), []string{
			`1: cniVersion: 0.2.0 is before 0.3.0, and plugins cannot be chained then; write 1.0.0`}},
		{"version of another kind", "x.conflist", strings.Replace(conflist(macvlan, "", ""), `"1.0.0"`, "1", 1), []string{`1: cniVersion: must be a string such as "1.0.0"`}},
		{"mixed versions", "x.conflist", conflist(macvlan, `, "cniVersion": "0.4.0", "name": "n"`, ""), []string{
			`1: warning: plugins[1].cniVersion: 0.4.0 does not count; the runtime writes that of the network, 1.0.0`}},
		{"a version in the wrong place", "x.conflist", `{"name": "n", "plugins": [{"type": "macvlan", "cniVersion": "1.0.0"}]}`, []string{
			`1: warning: cniVersion: is missing, which means 0.1.0; write "cniVersion": "1.0.0"`,
			`1: warning: plugins[0].cniVersion: 1.0.0 does not count; write it beside "plugins"`}},
		{"versions of another kind", "x.conflist", strings.Replace(conflist(macvlan, "", ""), `"name"`, `"cniVersions": [1], "name"`, 1), []string{
			`1: cniVersions: invalid type for cniVersions index 0: float64`}},

		{"no plugins in a list", "x.conflist", `{"cniVersion": "1.0.0", "name": "n", "plugins": []}`, []string{"1: plugins: is empty; it must have at least one plugin"}},
		{"plugins elsewhere", "x.conflist", `{"cniVersion": "1.0.0", "name": "n"}`, []string{
			`...1: warning: has no "plugins"; libcni takes them from the directory of the network's name`}},
		{"nothing", "x.conf", `{"cniVersion": "1.0.0", "name": "n"}`, []string{`1: has neither "plugins" nor "type"`}},
		{"plugins of another kind", "x.conflist", `{"cniVersion": "1.0.0", "name": "n", "plugins": {}}`, []string{"1: plugins: must be a list of plugins"}},
		{"a plugin of another kind", "x.conflist", `{"cniVersion": "1.0.0", "name": "n", "plugins": [1, {"type": "a/b"}, {}]}`, []string{
			`1: plugins[0]: must be an object such as {"type": "symroute"}`, `1: plugins[1].type: "a/b" is a path; write the name of the file alone`,
			`1: plugins[2].type: is missing; it must be the name of a plugin such as "symroute"`}},
		{"a list in a .conf", "x.conf", conflist(macvlan, "", ""), []string{
			`1: plugins: is not looked at in a .conf, in which libcni expects one plugin and its "type"; name the file .conflist`}},
		{"a list in a .json", "x.json", conflist(macvlan, "", ""), []string{
			`1: warning: plugins: is not looked at if this file is in the runtime's directory, where .json means one plugin; name it .conflist there`}},
		{"a plugin in a .conflist", "x.conflist", `{"cniVersion": "1.0.0", "name": "n", "type": "macvlan"}`, []string{
			`1: is a single plugin (macvlan) in a .conflist, in which libcni looks for "plugins"; put it into "plugins"`}},
		{"a plugin and a list", "x.conf", `{"cniVersion": "1.0.0", "name": "n", "type": "macvlan", "plugins": []}`, []string{
			`1: plugins: is not looked at, because of "type" beside it; remove one of them`}},
		{"a single plugin", "x.conf", `{"cniVersion": "1.0.0", "name": "n", "type": "macvlan"}`, nil},
		{"refused by libcni alone", "x.conflist", strings.Replace(conflist(macvlan, "", ""), `"name"`, `"disableCheck": 1, "name"`, 1), []string{
			"1: is refused by runtimes: invalid type float64 for disableCheck"}},

		{"symroute alone", "x.conf", `{"cniVersion": "1.0.0", "name": "n", "type": "symroute"}`, []string{
			`1: type: ` + mustBe + `: put it behind an interface plugin in "plugins"`}},
		{"symroute first", "x.conflist", `{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "symroute"}, ` + macvlan + `]}`, []string{
			`1: plugins[0]: ` + mustBe + `, and is the first in "plugins"; put it behind an interface plugin`}},
		{"behind no interface plugin", "x.conflist", conflist(`{"type": "tuning"}`, "", ""), []string{
			`1: plugins[1]: ` + mustBe + ` behind an interface plugin; none of the plugins before it makes an interface`}},
		{"symroute twice", "x.conflist", conflist(macvlan, "", `, {"type": "symroute", "table": 0}`), []string{
			`...1: plugins[2].table: 0 is not a table`,
			`1: plugins[2]: is symroute once more; it would take the place of plugins[1], because both are for the same attachment: put all keys into one`}},
		{"all keys at once", "x.conflist", conflist(macvlan, ",\n\"viaMian\": [],\n\"routes\": [{\"dst\":\n\"10.0.0.1/8\", \"via\": 1}],\n\"lvs\": {}", ""), []string{
			`2: plugins[1].viaMian: is not a key of symroute; write "viaMain"`,
			`3: plugins[1].routes[0].dst: 10.0.0.1/8 has host bits; write 10.0.0.0/8`,
			`4: plugins[1].routes[0].via: is not a key here; write "gw"`,
			`5: plugins[1].lvs.mode: is missing; it must be "dr" or "tunnel"`,
			`5: plugins[1].lvs.vips: names no address; write those of the virtual services, such as ["192.0.2.10"]`}},

		{"sbr", "x.conflist", conflist(macvlan+`, {"type": "sbr"}`, "", ""), []string{"...1: plugins[1]: sbr and symroute do the same work"}},
		{"vrf", "x.conflist", conflist(macvlan, "", `, {"type": "vrf"}`), []string{"...1: plugins[2]: vrf moves the NIC's routes"}},
		{"vrf without addresses", "x.conflist", conflist(`{"type": "unknown"}`, "", `, {"type": "vrf"}`), nil},
		{"coordinator", "x.conflist", conflist(macvlan, "", `, {"type": "coordinator"}`), []string{"...1: plugins[2]: coordinator and symroute do the same work"}},
		{"coordinator off", "x.conflist", conflist(macvlan, "", `, {"type": "coordinator", "mode": "disable"}`), nil},
		{"coordinator without routes", "x.conflist", conflist(macvlan, "", `, {"type": "coordinator", "tunePodRoutes": false}`), []string{
			`1: warning: plugins[2]: coordinator writes net.ipv4.conf.all.rp_filter; leave that to symroute ("podRPFilter": -1)`}},
		{"coordinator beside", "x.conflist", conflist(macvlan, "", `, {"type": "coordinator", "tunePodRoutes": false, "podRPFilter": -1}`), nil},
		{"route-override before", "x.conflist", conflist(macvlan+`, {"type": "route-override"}`, "", ""), nil},
		{"route-override behind", "x.conflist", conflist(macvlan, "", `, {"type": "route-override"}`), []string{
			"1: warning: plugins[2]: route-override changes routes behind symroute, whose tables then have the old ones; put it before symroute"}},

		{"rp_filter behind", "x.conflist", conflist(macvlan, "", ","+tuning("IFNAME.rp_filter", "1")), []string{undone("IFNAME.rp_filter", "rpFilter", "1", "2")}},
		{"rp_filter before", "x.conflist", conflist(macvlan+","+tuning("IFNAME.rp_filter", "0"), `, "rpFilter": "strict"`, ""), []string{
			vain("IFNAME.rp_filter", "rpFilter", "0", "1")}},
		{"rp_filter of all behind", "x.conflist", conflist(macvlan, `, "rpFilter": "off"`, ","+tuning("all.rp_filter", "1")), []string{
			undone("all.rp_filter", "rpFilter", "1", "0")}},
		{"rp_filter of all is smaller", "x.conflist", conflist(macvlan, "", ","+tuning("all.rp_filter", "1")), nil},
		{"rp_filter is the same", "x.conflist", conflist(macvlan, `, "rpFilter": 1`, ","+tuning("IFNAME.rp_filter", "1")), nil},
		{"rp_filter is kept", "x.conflist", conflist(macvlan, `, "rpFilter": "keep"`, ","+tuning("IFNAME.rp_filter", "1")), nil},
		{"rp_filter of others", "x.conflist", conflist(macvlan, "", ","+tuning("eth7.rp_filter", "1")), nil},
		{"rp_filter of default", "x.conflist", conflist(macvlan, "", ","+tuning("default.rp_filter", "1")), nil},
		{"rp_filter of an interface", "x.conflist", conflist(macvlan, `, "interfaces": {"tunl0": {"rpFilter": "off"}}`, ","+tuning("tunl0.rp_filter", "1")), []string{
			undone("tunl0.rp_filter", "interfaces.tunl0.rpFilter", "1", "0")}},
		{"rp_filter with slashes", "x.conflist", conflist(macvlan, "", `, {"type": "tuning", "sysctl": {"net/ipv4/conf/IFNAME/rp_filter": "1"}}`), []string{
			`...1: plugins[2].sysctl["net/ipv4/conf/IFNAME/rp_filter"]: 1 undoes rpFilter`}},
		{"arp", "x.conflist", conflist(macvlan, `, "arp": "isolate"`, ","+tuning("IFNAME.arp_announce", "0")), []string{undone("IFNAME.arp_announce", "arp", "0", "2")}},
		{"arp is kept", "x.conflist", conflist(macvlan, "", ","+tuning("IFNAME.arp_ignore", "0")), nil},
		{"arp of all", "x.conflist", conflist(macvlan, `, "arp": "isolate"`, ","+tuning("all.arp_ignore", "2")), []string{
			`1: warning: plugins[2].sysctl["net.ipv4.conf.all.arp_ignore"]: 2 overrules arp of symroute, which never writes all; remove it`}},
		{"a sysctl that is no string", "x.conflist", conflist(macvlan, "", `, {"type": "tuning", "sysctl": {"net.core.somaxconn": 500}}`), []string{
			`1: plugins[2].sysctl["net.core.somaxconn"]: must be a string, in quotes; tuning takes no other value`}},

		{"no ipam", "x.conflist", conflist(`{"type": "macvlan"}`, "", ""), []string{
			`1: warning: plugins[0]: has no "ipam" with a type, so the NIC gets no address, and symroute sets its rp_filter alone`}},
		{"empty ipam", "x.conflist", conflist("{\"type\": \"macvlan\",\n\"ipam\": {}}", `, "gateways": ["192.0.2.1"], "mainDefault": "take"`, ""), []string{
			`2: warning: plugins[0].ipam: has no "ipam" with a type, so the NIC gets no address that symroute could route by gateways, mainDefault`}},
		{"addresses from elsewhere", "x.conflist", conflist(`{"type": "ovn-k8s-cni-overlay"}`, "", ""), nil},

		{"a bridge's default route in a conflist", "x.conflist", conflist(`{"type": "bridge", "isDefaultGateway": true, "ipam": {"type": "x"}}`, "", ""), nil},
		{"a bridge's default route yields", "x.yaml", definitionOf(conflist(`{"type": "bridge", "isDefaultGateway": true, "isGateway": false, "ipam": {"type": "x"}}`, "", "")), []string{
			`6: warning: plugins[0].isGateway: false does not count, because "isDefaultGateway": true includes it; remove one of them`,
			`6: warning: plugins[0].isDefaultGateway: asks for the pod's default route, and "mainDefault": "yield" leaves it to eth0; ` +
				`write "mainDefault": "take", or "isGateway": true in place of isDefaultGateway`}},
		{"a bridge's default route is taken", "x.yaml", definitionOf(conflist(`{"type": "bridge", "isDefaultGateway": true, "ipam": {"type": "x"}}`, `, "mainDefault": "take"`, "")), nil},
		{"two default routes", "x.yaml", definitionOf(conflist("{\"type\": \"bridge\", \"ipam\": {\"type\": \"x\", \"routes\": [{\"dst\": \"10.0.0.0/8\"},\n{\"dst\": \"::/0\"}]}}",
			`, "mainDefault": "keep"`, "")), []string{
			`7: warning: plugins[0].ipam.routes[1]: makes a second default route, which "mainDefault": "keep" leaves in main beside that of eth0: ` +
				`the kernel takes either; write "take" or "yield"`}},

		{"another name", "x.yaml", strings.Replace(definitionOf(conflist(macvlan, "", "")), `"n"`, `"m"`, 1), []string{
			`6: warning: name: m is not the name of the NetworkAttachmentDefinition, n: plugins and libcni's cache use the former, ` +
				`Multus' network status and events the latter`}},
		{"no name of its own", "x.yaml", strings.Replace(definitionOf(conflist(macvlan, "", "")), `"name": "n",`, ``, 1), nil},
		{"no name at all", "x.yaml", head + "spec: {}\n", []string{"1: metadata.name: is missing"}},
		{"a generated name", "x.yaml", head + "metadata: {generateName: n-}\n", nil},
		{"a name that Kubernetes refuses", "x.yaml", head + "metadata:\n  name: Provider_B\n", []string{
			`4: metadata.name: "Provider_B" is no name that Kubernetes takes; it must hold only small letters, digits, '-' and '.', and begin and end with a letter or digit`}},
		{"a name that Multus refuses", "x.yaml", head + "metadata:\n  name: a.b\n", []string{
			`4: warning: metadata.name: "a.b" has a dot: Multus refuses it in the short form of a pod's annotation (k8s.v1.cni.cncf.io/networks: NAME), ` +
				`and takes it only as {"name": "a.b"}`}},
		{"YAML in a definition", "x.yaml", definitionOf("type: symroute"), []string{
			"6: spec.config: is not JSON: column 6: invalid character 'y' in literal true (expecting 'r'): it looks like YAML; write JSON"}},
		{"an object in a definition", "x.yaml", head + "metadata: {name: n}\nspec:\n  config:\n    type: macvlan\n", []string{
			`6: spec.config: must be a string that holds JSON, not YAML; write "config: |" and JSON below`}},
		{"a number in a definition", "x.yaml", head + "metadata: {name: n}\nspec: {config: 5}\n", []string{`4: spec.config: must be a string that holds JSON`}},
		{"a string as spec", "x.yaml", head + "metadata: {name: n}\nspec: x\n", []string{`4: spec: must be an object such as {"config": "..."}`}},
		{"an empty string in a definition", "x.yaml", head + "metadata: {name: n}\nspec: {config: \"\"}\n", []string{`4: spec.config: is empty`}},
		{"a plugin and a list in a definition", "x.yaml", definitionOf(`{"cniVersion": "1.0.0", "type": "macvlan", "plugins": [{"type": "symroute"}]}`), []string{
			`6: plugins: is not looked at, because of "type" beside it; remove one of them`}},
		{"no YAML", "x.yaml", "a: b\nc: [\n", []string{"...2: is not YAML: "}},
		{"a definition in JSON", "x.json", "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n{\"apiVersion\": \"k8s.cni.cncf.io/v1\", " +
			"\"kind\": \"NetworkAttachmentDefinition\",\n\"metadata\": {\"name\": \"A\"},\n\"spec\": {\"config\": \"{\\\"cniVersion\\\": \\\"9\\\"}\"}}]}", []string{
			`...3: items[0].metadata.name: "A" is no name`, `...4: cniVersion: "9" is no version`, `4: has neither "plugins" nor "type"`}},
		{"an item of a list", "x.yaml", "kind: List\nitems:\n- kind: Service\n- " + strings.ReplaceAll(head, "\n", "\n  ") + "metadata: {name: n}\n  spec: {config: '{'}\n", []string{
			"...7: items[1].spec.config: is not JSON: column 20: unexpected end of JSON input"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			report := Check(File{Name: test.file, Data: []byte(test.text)})
			if report.Configurations != 1 {
				t.Errorf("%d configurations", report.Configurations)
			}
			var got []string
			for i, f := range report.Items {
				line := strings.TrimPrefix(f.String(), test.file+":")
				if i < len(test.want) {
					if part, ok := strings.CutPrefix(test.want[i], "..."); ok && strings.HasPrefix(line, part) {
						line = test.want[i]
					}
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestPassedOver has files in which there is no configuration.
func TestPassedOver(t *testing.T) {
	for _, f := range []File{
		{Name: "x.yaml", Data: []byte("apiVersion: v1\nkind: Service\n---\n# nothing\n---\nkind: NetworkAttachmentDefinition\napiVersion: other/v1\n")},
		{Name: "x.json", Data: []byte(`{"dependencies": {}}`)},
		{Name: "x.json", Data: []byte(`[1]`), Listed: true},
		{Name: "x.json", Data: []byte("{ // a comment\n}"), Listed: true},
		{Name: "x.yaml", Data: []byte("{{ if x }}\na: b\n"), Listed: true}, // a template
		{Name: "x.yaml"},
	} {
		if report := Check(f); report.Configurations != 0 || len(report.Items) > 0 {
			t.Errorf("%s: %+v", f.Data, report)
		}
	}
}

// TestDocumentation holds what people paste to be right.
func TestDocumentation(t *testing.T) {
	reference, err := os.ReadFile("../../docs/reference.conflist")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/kubernetes.md")
	if err != nil {
		t.Fatal(err)
	}
	files := []File{{Name: "reference.conflist", Data: reference}}
	for _, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		files = append(files, File{Name: "kubernetes.yaml", Data: []byte(block[1])})
	}
	report := Check(files...)
	if report.Configurations < 5 {
		t.Errorf("this test shows little: %d configurations", report.Configurations)
	}
	for _, f := range report.Items {
		t.Error(f)
	}
}

// TestLines writes one configuration in every style of YAML, and wants each fault in the line in which it stands.
func TestLines(t *testing.T) {
	const conf = "{ \"cniVersion\": \"1.0.0\", \"name\": \"it's \\u00e9\",\n  \"plugins\": [ {\"type\": \"macvlan\", \"ipam\": {\"type\": \"x\"}},\n" +
		"    {\"type\": \"symroute\",\n      \"table\": \"TABLE\",\n      \"gateways\": [\"fe80::1\",\n        \"GATEWAY\"] } ] }"
	indented := strings.ReplaceAll(conf, "\n", "\n    ")
	for name, value := range map[string]string{
		"literal":             "|\n    " + indented,
		"literal, with blank": "|2 # comment\n\n\n    " + indented,
		"folded":              ">-\n    " + indented,
		"single quotes":       "'" + strings.ReplaceAll(indented, "'", "''") + "'",
		"double quotes":       `"` + strings.NewReplacer(`"`, `\"`, `\u`, `\\u`, "\n", "\\n\n").Replace(indented) + `"`,
		"escapes":             `"` + strings.NewReplacer(`"`, `\x22`, `\u`, `\\u`, "\n", "\\\n", "{", `\u007b`, " ", `\u0020`).Replace(indented) + `"`,
		"tag and anchor":      "!!str &a |+\n    " + indented,
	} {
		text := "# é\n" + head + "metadata: {name: n}\nspec:\n  config: " + value + "\n  # end\n"
		report := Check(File{Name: "x.yaml", Data: []byte(text)})
		lines := strings.Split(text, "\n")
		for path, word := range map[string]string{"name": "it", "plugins[1].table": "TABLE", "plugins[1].gateways[1]": "GATEWAY"} {
			i := slices.IndexFunc(report.Items, func(f Finding) bool { return f.Path == path && f.Severity == Error })
			if i < 0 {
				t.Errorf("%s: nothing about %s in %v", name, path, report.Items)
				continue
			}
			if line := report.Items[i].Line; !strings.Contains(lines[line-1], word) {
				t.Errorf("%s: %s: line %d: %s", name, path, line, lines[line-1])
			}
		}
	}
}

// FuzzCheck reads anything as any kind of file: no panic, every line within the file, and libcni takes what is
// found to be right.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		conflist(macvlan, `, "gateways": ["x"]`, ""), definitionOf(conflist(macvlan, "", "")), "{", "a: &a [*a]", "\xff", "\r\n\r|", "--- |\n---",
		"kind: List\nitems: &a\n- kind: List\n  items: *a\n", head + "spec:\n  config: \"{\\\n  \\x7d\\u0020\\", head + "spec: {config: >2\n\n  {}\n",
		"\ufeff{}", "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"kind\":\"NetworkAttachmentDefinition\",\"spec\":{\"config\":\"\\ud83d\\ude00\"}}]}",
		head + "metadata: {name: n}\nspec:\n  config: 'it''s\n\n    {}'\n", "a\u2028b: c\n\u0085" + head + "spec:\n  config: |\n    x", "!!str &b |\n",
		chain(`{"type": "sbr", "gateways": ["192.0.2.1", 5, {"a": 1}]}`, `{"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.rp_filter": "1"}}`),
		definitionOf(chain(`{"type": "coordinator", "podRPFilter": 1e3, "policyRoutes": [{"dst": "10.0.0.0/8", "gw": "x"}]}`, `{"type": "route-override"}`)),
		head + "spec: &a {config: '" + chain(`{"type": "sbr"}`) + "'}\n---\n" + head + "spec: {config: \"{\\\"plugins\\\": [{\\\"type\\\": \\\"sbr\\\"}]}\"}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := 1 + strings.Count(strings.TrimSuffix(text, "\n"), "\n")
		for _, name := range []string{"x.conflist", "x.conf", "x.json", "x.yaml", "stdin"} {
			for _, listed := range []bool{false, true} {
				file := File{Name: name, Data: []byte(text), Listed: listed}
				for _, item := range Check(file).Items {
					if item.Line < 1 || item.Line > lines || item.Problem == "" {
						t.Errorf("of %d lines: %v", lines, item)
					}
				}
				checkMigration(t, file)
			}
		}
	})
}

// checkMigration demands that a migrated file has nothing to migrate.
func checkMigration(t *testing.T, file File) {
	t.Helper()
	first, err := Migrate(file)
	if err != nil {
		return
	}
	file.Data = first.Data
	second, err := Migrate(file)
	if err != nil || string(second.Data) != string(first.Data) {
		t.Errorf("%q became %q (%v)", first.Data, second.Data, err)
	}
}
