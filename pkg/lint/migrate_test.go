package lint

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

// network is one with these plugins behind macvlan.
func chain(plugins ...string) string {
	return fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "n", "plugins": [%s]}`, strings.Join(append([]string{macvlan}, plugins...), ", "))
}

const (
	sbrMoves     = "plugins[1]: was: the NIC has no route in main; is: its connected and specific routes stay in main; its default route is there only if it is the pod's (\"mainDefault\")"
	sbrTables    = `plugins[1]: was: tables from 100 on, one for each address; is: tables from 7300 on, one for each NIC and set of gateways ("table" for another first one)`
	sbrRefuses   = `plugins[1]: was: what the table of an address has no route for is decided by main; is: it is refused at once ("noGateway": "main" lets main decide)`
	becomesLoose = `plugins[1]: was: rp_filter is as the pod has it; is: the effective rp_filter of the NIC is loose, by default ("rpFilter": "keep" leaves it)`
	coordTables  = `plugins[1]: was: tables from 100 on; the NIC has no route in main, if it does not have the pod's default route; ` +
		`is: tables from 7300 on; connected and specific routes stay in main ("mainDefault" for the default route)`
	coordRoutes = `plugins[1]: was: routes to services and pods by eth0 or veth0, also for the NIC's own addresses; ` +
		`is: main decides; sockets without an address use eth0 ("viaMain" for the NIC's addresses: read docs/configuration.md first)`
	coordFilter = `plugins[1].podRPFilter: was: as SpiderCoordinator says, by default 0, for all NICs of the pod; is: loose for this NIC ("rpFilter", by default)`
	coordMode   = `plugins[1].mode: was: in underlay mode a veth pair to the node, for services, probes and the node; ` +
		`is: no such pair; if eth0 is an underlay NIC, give its network routes to services and nodes (docs/kubernetes.md)`
)

func TestMigrate(t *testing.T) {
	sysctl := func(pairs string) string { return `{"type": "tuning", "sysctl": {` + pairs + `}}` }
	own := func(i int, n, mode string) string {
		return fmt.Sprintf(`plugins[%d].sysctl["net.ipv4.conf.IFNAME.rp_filter"]: was: %s as the NIC's own value, which a larger one of all overrules; `+
			`DEL leaves it; is: %s as the effective mode of the NIC; DEL puts back what was`, i, n, mode)
	}
	all := func(i int, n string) string {
		return fmt.Sprintf(`plugins[%d].sysctl["net.ipv4.conf.all.rp_filter"]: was: %s for all NICs of the pod, but for those with a larger value of their own; `+
			`is: the effective mode of this NIC alone ("interfaces" has others)`, i, n)
	}
	tests := []struct {
		name string
		from string
		to   string
		want []string
	}{
		{"nothing", chain(`{"type": "symroute"}`), chain(`{"type": "symroute"}`), nil},
		{"a tuning of other things", chain(sysctl(`"net.core.somaxconn": "5"`)), chain(sysctl(`"net.core.somaxconn": "5"`)), nil},
		{"a coordinator that is off", chain(`{"type": "coordinator", "mode": "disable"}`), chain(`{"type": "coordinator", "mode": "disable"}`), nil},
		{"values that are no mode", chain(sysctl(`"net.ipv4.conf.all.rp_filter": "7"`)), chain(sysctl(`"net.ipv4.conf.all.rp_filter": "7"`)), nil},

		{"sbr", chain(`{"type": "sbr"}`), chain(`{ "type": "symroute" }`), []string{sbrTables, sbrMoves, sbrRefuses, becomesLoose}},
		{"sbr with gateways", chain(`{"type": "sbr", "gateways": ["192.0.2.1", "2001:db8::1"], "addSourceHints": true, "capabilities": {"ips": true}}`),
			chain(`{ "type": "symroute", "gateways": ["192.0.2.1", "2001:db8::1"] }`), []string{sbrTables, sbrMoves, sbrRefuses,
				"plugins[1].gateways: was: each serves all addresses of its family; is: each serves the addresses whose subnet holds it",
				"plugins[1].addSourceHints: was: connected routes in main have the NIC's address as source; is: they stay as the kernel made them",
				`plugins[1].capabilities: was: {"ips":true}; is: left out; symroute has nothing like it`, becomesLoose}},
		{"sbr with a table", chain(`{"type": "sbr", "table": 100}`), chain(`{ "type": "symroute" }`), []string{
			`plugins[1].table: was: a rule to table 100 for each address, and the routes in it are made by others; ` +
				`is: symroute fills a table of its own, from 7300; routes with "table": 100 in ipam are not looked at`, sbrRefuses, becomesLoose}},
		{"sbr beside symroute", chain(`{"type": "sbr", "gateways": ["192.0.2.1"]}`, `{"type": "symroute", "verify": false}`),
			chain(`{"type": "symroute", "verify": false, "gateways": ["192.0.2.1"]}`), []string{sbrTables, sbrMoves, sbrRefuses,
				"plugins[1].gateways: was: each serves all addresses of its family; is: each serves the addresses whose subnet holds it"}},
		{"sbr before route-override", chain(`{"type": "sbr"}`, `{"type": "route-override"}`), chain(`{"type": "route-override"}`, `{ "type": "symroute" }`),
			[]string{sbrTables, sbrMoves, sbrRefuses, strings.Replace(becomesLoose, "[1]", "[2]", 1)}},

		{"tuning alone", chain(sysctl(`"net.ipv4.conf.IFNAME.rp_filter": "1"`)), chain(`{ "type": "symroute", "rpFilter": "strict" }`), []string{own(1, "1", "strict")}},
		{"tuning with slashes", chain(sysctl(`"net/ipv4/conf/IFNAME/rp_filter": "0"`)), chain(`{ "type": "symroute", "rpFilter": "off" }`), []string{
			strings.ReplaceAll(own(1, "0", "off"), "net.ipv4.conf.IFNAME.rp_filter", "net/ipv4/conf/IFNAME/rp_filter")}},
		{"the larger one counts", chain(sysctl(`"net.ipv4.conf.all.rp_filter": "2", "net.ipv4.conf.IFNAME.rp_filter": "1"`)),
			chain(`{ "type": "symroute", "rpFilter": "loose" }`), []string{own(1, "1", "strict"), all(1, "2")}},
		{"what else tuning does", chain(`{"type": "tuning", "mtu": 9000, "sysctl": {"net.ipv4.conf.all.rp_filter": "0"}}`),
			chain(`{"type": "tuning", "mtu": 9000}`, `{ "type": "symroute", "rpFilter": "off" }`), []string{all(1, "0")}},
		{"other sysctls", chain(sysctl(`"net.ipv4.conf.IFNAME.rp_filter": "0", "net.ipv4.conf.default.rp_filter": "0",  "a": "b"`)),
			chain(sysctl(`"net.ipv4.conf.default.rp_filter": "0",  "a": "b"`), `{ "type": "symroute", "rpFilter": "off" }`), []string{own(1, "0", "off")}},
		{"other devices", chain(sysctl(`"net.ipv4.conf.tunl0.rp_filter": "0"`)), chain(`{ "type": "symroute", "interfaces": { "tunl0": { "rpFilter": "off" } } }`), []string{
			`plugins[1].sysctl["net.ipv4.conf.tunl0.rp_filter"]: was: 0 as the own value of tunl0; ` +
				`is: off as the effective mode of tunl0, which has to be there on ADD; if tunl0 is the NIC itself, write "rpFilter"`,
			becomesLoose}},

		{"coordinator", chain(`{"type": "coordinator"}`), chain(`{ "type": "symroute" }`), []string{coordTables, coordRoutes, coordMode, coordFilter, becomesLoose}},
		{"coordinator with keys", chain(`{"type": "coordinator", "mode": "overlay", "podRPFilter": 1, "tunePodRoutes": false, "podDefaultRouteNic": "net1", ` +
			`"policyRoutes": [{"dst": "10.1.2.3/8", "gw": "192.0.2.1"}, {"dst": "10.9.9.9", "gw": "192.0.2.1"}, {"dst": "::/0", "gw": "fe80::1"}, {"dst": "x"}], "hostRuleTable": 500}`),
			chain(`{ "type": "symroute", "rpFilter": "strict", "mainDefault": "take", ` +
				`"routes": [{ "dst": "10.0.0.0/8", "gw": "192.0.2.1" }, { "dst": "10.9.9.9/32", "gw": "192.0.2.1" }], "gateways": ["fe80::1"] }`), []string{
				coordTables, coordRoutes,
				`plugins[1].podRPFilter: was: 1 for all NICs of the pod, but for those with a larger value of their own; is: strict as the effective mode of this NIC alone ("interfaces" has others)`,
				`plugins[1].tunePodRoutes: was: false: the NIC's routes stay in main alone; is: the NIC has a table of its own all the same`,
				`plugins[1].podDefaultRouteNic: was: net1 has the pod's default route; is: the NIC of this network takes it, whatever its name ("mainDefault": "take")`,
				`plugins[1].policyRoutes[0]: was: a route of the table; of main, for the first NIC in underlay mode; is: a route of the NIC's table ("routes")`,
				`plugins[1].policyRoutes[1]: was: a route of the table; of main, for the first NIC in underlay mode; is: a route of the NIC's table ("routes")`,
				`plugins[1].policyRoutes[2]: was: a default route by fe80::1; is: a gateway ("gateways")`,
				`plugins[1].policyRoutes[3]: was: "x"; is: left out; it is no prefix`,
				`plugins[1].hostRuleTable: was: 500; is: left out; symroute has nothing like it`}},
		{"coordinator leaves rp_filter", chain(`{"type": "coordinator", "mode": "overlay", "podRPFilter": -1, "podDefaultRouteNic": "eth0"}`),
			chain(`{ "type": "symroute", "rpFilter": "keep" }`), []string{coordTables, coordRoutes}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := Migrate(File{Name: "x.conflist", Data: []byte(test.from)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.to, string(m.Data)); diff != "" {
				t.Error(diff)
			}
			var got []string
			for _, c := range m.Changes {
				got = append(got, strings.TrimPrefix(c.String(), "# x.conflist:1: "))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			for _, f := range m.Report.Items {
				if f.Severity == Error && !strings.Contains(test.name, "off") {
					t.Errorf("the result: %v", f)
				}
			}
		})
	}
}

// TestMigrateStyles migrates one configuration in every style of YAML. What is around it stays, byte for byte.
func TestMigrateStyles(t *testing.T) {
	before, after := chain(`{"type": "sbr", "gateways": ["192.0.2.1"]}`), chain(`{ "type": "symroute", "gateways": ["192.0.2.1"] }`)
	broken := strings.ReplaceAll(before, "{", "{\n")
	for name, value := range map[string]string{
		"plain of JSON": `"` + strings.ReplaceAll(before, `"`, `\"`) + `"`,
		"literal":       "|\n    " + before,
		"with blank":    "|2- # comment\n\n    " + before,
		"indented":      "|2\n      " + before,
		"folded":        ">\n    " + strings.ReplaceAll(broken, "\n", "\n    "),
		"single quotes": "'" + before + "'",
		"double quotes": `"` + strings.NewReplacer(`"`, `\"`, "\n", "\\n\n").Replace(strings.ReplaceAll(broken, "\n", "\n   ")) + `"`,
	} {
		head := "# é\n" + head + "metadata: {name: n} # our own\nspec:\n  config: "
		tail := "\n  # end\n---\nkind: Service\n---\n" + strings.Replace(head, "name: n", "name: m", 1) + "'" + before + "'\n"
		m, err := Migrate(File{Name: "x.yaml", Data: []byte(head + value + tail)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text := string(m.Data)
		if !strings.HasPrefix(text, head) || !strings.HasSuffix(text, strings.Replace(tail, before, after, 1)) {
			t.Errorf("%s: what is around it has changed:\n%s", name, text)
		}
		var old, got struct{ Spec struct{ Config string } }
		if err := errors.Join(yaml.Unmarshal([]byte(head+value+tail), &old), yaml.Unmarshal(m.Data, &got)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if before, _, _ := strings.Cut(old.Spec.Config, "{"); !strings.HasPrefix(got.Spec.Config, before+"{") {
			t.Errorf("%s: it begins otherwise: %q", name, got.Spec.Config)
		}
		if strings.Join(strings.Fields(got.Spec.Config), "") != strings.Join(strings.Fields(after), "") {
			t.Errorf("%s: %s", name, got.Spec.Config)
		}
		if len(m.Changes) != 10 {
			t.Errorf("%s: %d changes", name, len(m.Changes))
		}
	}
}

// TestMigrateJSON migrates a list as kubectl prints it, with a character that JSON escapes as two.
func TestMigrateJSON(t *testing.T) {
	const list = "{\n \"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{\"kind\": \"NetworkAttachmentDefinition\", \"metadata\": {\"name\": \"n\"},\n" +
		"  \"spec\": {\"config\": %s}}]\n}\n"
	text := func(conf string) string {
		return fmt.Sprintf(list, strings.Replace(encoded(conf), "😀", `\ud83d\ude00`, 1))
	}
	with := func(plugin string) string {
		return strings.Replace(chain(plugin), `"cniVersion"`, `"note": "😀 <&>", "cniVersion"`, 1)
	}
	m, err := Migrate(File{Name: "x.json", Data: []byte(text(with(`{"type": "sbr"}`)))})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fmt.Sprintf(list, encoded(with(`{ "type": "symroute" }`))), string(m.Data)); diff != "" {
		t.Error(diff)
	}
	if len(m.Report.Items) > 0 || len(m.Changes) != 4 || m.Changes[0].Line != 3 {
		t.Errorf("%v, %v", m.Report, m.Changes)
	}
}

// TestMigrateLayout keeps the style in which somebody has written it.
func TestMigrateLayout(t *testing.T) {
	const before = `{
  "cniVersion": "1.0.0", "name": "n",
  "plugins": [
    {"type": "macvlan", "ipam": {"type": "dhcp"}},
    {
        "type": "tuning",
        "sysctl": {
            "net.ipv4.conf.IFNAME.rp_filter": "1",
            "net.core.somaxconn": "500"
        }
    },
    {
        "type": "sbr",
        "gateways": ["192.0.2.1"]
    },
    {"type": "portmap"}
  ]
}
`
	const after = `{
  "cniVersion": "1.0.0", "name": "n",
  "plugins": [
    {"type": "macvlan", "ipam": {"type": "dhcp"}},
    {
        "type": "tuning",
        "sysctl": {
            "net.core.somaxconn": "500"
        }
    },
    {
        "type": "symroute",
        "rpFilter": "strict",
        "gateways": ["192.0.2.1"]
    },
    {"type": "portmap"}
  ]
}
`
	m, err := Migrate(File{Name: "x.conflist", Data: []byte(before)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(after, string(m.Data)); diff != "" {
		t.Error(diff)
	}
	if line := m.Changes[0].Line; line != 8 {
		t.Errorf("line %d", line)
	}
}

// TestMigrateNot has files that are not touched.
func TestMigrateNot(t *testing.T) {
	for text, want := range map[string]string{
		"{": "cannot be migrated before this is right: x.conflist:1: is not JSON: column 2: ",
		`{"plugins": [{"type": "sbr"}], "plugins": [{"type": "sbr"}]}`: "cannot be migrated before this is right: x.conflist:1: warning: plugins: stands more than once",
	} {
		m, err := Migrate(File{Name: "x.conflist", Data: []byte(text)})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
		if string(m.Data) != text {
			t.Errorf("%s became %s", text, m.Data)
		}
	}
	// What was wrong before is so afterwards, and the report says so.
	m, err := Migrate(File{Name: "x.conflist", Data: []byte(`{"plugins": [{"type": "sbr"}]}`)})
	if err != nil || m.Report.Errors == 0 {
		t.Errorf("%+v, %v", m.Report, err)
	}
}
