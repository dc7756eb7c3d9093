package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/symroute/symroute/pkg/config"
)

// schema is docs/symroute.schema.json, compiled. An address has to be one: formats are asserted.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	file, err := filepath.Abs(filepath.Join(root, "docs", "symroute.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	s, err := compiler.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate judges a configuration by the schema.
func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return s.Validate(value)
}

// TestSchemaHasTheKeys: the schema names each key of symroute, with what the documentation says of it, and no other.
func TestSchemaHasTheKeys(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "symroute.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]struct{ Title, Description string }
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	keys := configKeys(t)
	for _, key := range keys {
		if p, ok := s.Properties[key]; !ok || p.Title == "" || p.Description == "" {
			t.Errorf("the schema does not explain %q", key)
		}
	}
	for key := range s.Properties {
		if key != "type" && !slices.Contains(keys, key) {
			t.Errorf("the schema has %q, which is no key", key)
		}
	}
}

// TestSchemaTakesTheReference: what the documentation shows is valid.
func TestSchemaTakesTheReference(t *testing.T) {
	t.Parallel()
	s := schema(t)
	judged := 0
	judge := func(name string, text []byte) {
		var list struct{ Plugins []json.RawMessage }
		if json.Unmarshal(text, &list) == nil && list.Plugins == nil {
			list.Plugins = []json.RawMessage{text}
		}
		for _, p := range list.Plugins {
			var is struct{ Type string }
			if json.Unmarshal(p, &is) != nil || is.Type != "symroute" {
				continue
			}
			judged++
			if err := validate(t, s, p); err != nil {
				t.Errorf("%s: %v in\n%s", name, err, p)
			}
		}
	}
	reference, err := os.ReadFile(filepath.Join(root, "docs", "reference.conflist"))
	if err != nil {
		t.Fatal(err)
	}
	judge("reference.conflist", reference)
	for name, text := range pages(t) {
		for _, block := range fenced.FindAllStringSubmatch(text, -1) {
			if block[1] == "json" {
				judge(name, []byte(block[2]))
			}
		}
	}
	if judged < len(configKeys(t)) {
		t.Errorf("this test shows nothing: %d configurations were judged", judged)
	}
}

// TestSchemaAgreesWithTheParser has values of each key, good and bad, judged by both.
func TestSchemaAgreesWithTheParser(t *testing.T) {
	t.Parallel()
	s := schema(t)
	values := map[string][]string{
		"rpFilter":          {`"strict"`, `"loose"`, `"off"`, `"keep"`, `0`, `1`, `2`, `3`, `"lose"`, `true`, `[]`, `{}`},
		"interfaces":        {`{}`, `{"tunl0": {"rpFilter": "off"}}`, `{"tunl0": {"rpFilter": 7}}`, `{"tunl0": {}}`, `{"tunl0": {"rpFilter": 1, "arp": 1}}`, `{"tunl0": "off"}`, `[]`, `{"all": {"rpFilter": 0}}`, `{"a/b": {"rpFilter": 0}}`, `{"": {"rpFilter": 0}}`, `{"sixteen-letters-": {"rpFilter": 0}}`, `{"a b": {"rpFilter": 0}}`},
		"gateways":          {`[]`, `["10.0.0.1"]`, `["fe80::1"]`, `[{"gw": "10.0.0.1"}]`, `[{"gw": "10.0.0.1", "onlink": true}]`, `["10.0.0.1", "10.0.0.1"]`, `["10.0.0"]`, `"10.0.0.1"`, `[1]`, `[{"onlink": true}]`, `[{"gw": "10.0.0.1", "onlink": "true"}]`, `[{"gw": "10.0.0.1", "via": "10.0.0.1"}]`, `{}`},
		"noGateway":         {`"refuse"`, `"main"`, `"drop"`, `true`, `1`},
		"sources":           {`[]`, `["10.0.0.1"]`, `["10.0.0.0/24", "2001:db8::/64"]`, `["10.0.0.1", "10.0.0.1"]`, `["a"]`, `[10]`, `"10.0.0.1"`, `["10.0.0.0/x"]`},
		"routes":            {`[]`, `[{"dst": "10.0.0.0/8"}]`, `[{"dst": "10.0.0.0/8", "gw": "192.0.2.1", "metric": 5, "mtu": 1400, "advmss": 1360, "onlink": true}]`, `[{"gw": "192.0.2.1"}]`, `[{"dst": "0.0.0.0/0", "gw": "192.0.2.1"}]`, `[{"dst": "10.0.0.0/8", "metric": -1}]`, `[{"dst": "10.0.0.0/8", "metric": 4294967296}]`, `[{"dst": "10.0.0.0/8", "mtu": 67}]`, `[{"dst": "2001:db8::/32", "mtu": 1279}]`, `[{"dst": "2001:db8::/32", "mtu": 1280}]`, `[{"dst": "10.0.0.0/8", "mtu": 65521}]`, `[{"dst": "10.0.0.0/8", "advmss": 0}]`, `[{"dst": "10.0.0.0/8", "advmss": 65496}]`, `[{"dst": "10.0.0.0/8", "onlink": true}]`, `[{"dst": "10.0.0.0/8", "gateway": "192.0.2.1"}]`, `[{"dst": "10.0.0.1"}]`, `["10.0.0.0/8"]`, `{}`, `[{"dst": "10.0.0.0/8", "mtu": 1400.5}]`},
		"viaMain":           {`[]`, `["10.96.0.0/12"]`, `["10.0.0.1"]`, `["10.96.0.0/12", "10.96.0.0/12"]`, `"10.96.0.0/12"`, `[1]`, `["x/12"]`},
		"mainDefault":       {`"yield"`, `"take"`, `"keep"`, `"leave"`, `true`},
		"table":             {`1`, `7400`, `4294967295`, `0`, `253`, `254`, `255`, `256`, `4294967296`, `-1`, `"7400"`, `7400.5`, `true`},
		"priority":          {`4`, `32765`, `3`, `32766`, `"100"`, `100.5`},
		"arp":               {`"keep"`, `"isolate"`, `"off"`, `true`},
		"lvs":               {`{"mode": "dr", "vips": ["10.0.0.1"]}`, `{"mode": "tunnel", "vips": ["10.0.0.1"], "device": "tunl0", "replyBy": "eth0"}`, `{"mode": "nat", "vips": ["10.0.0.1"]}`, `{"mode": "dr"}`, `{"vips": ["10.0.0.1"]}`, `{"mode": "dr", "vips": []}`, `{"mode": "dr", "vips": ["10.0.0.1", "10.0.0.1"]}`, `{"mode": "dr", "vips": ["10.0.0.1"], "device": "tunl0"}`, `{"mode": "dr", "vips": ["10.0.0.1"], "replyBy": "lo"}`, `{"mode": "tunnel", "vips": ["10.0.0.1"], "device": "lo"}`, `{"mode": "dr", "vips": "10.0.0.1"}`, `{"mode": "dr", "vip": ["10.0.0.1"], "vips": ["10.0.0.1"]}`, `[]`},
		"checkDestinations": {`[]`, `["192.0.2.7"]`, `["192.0.2.7", "192.0.2.7"]`, `["192.0.2.0/24"]`, `"192.0.2.7"`, `[7]`},
		"requireGateway":    {`true`, `false`, `"true"`, `1`},
		"verify":            {`true`, `false`, `"false"`, `0`},
		"dataDir":           {`"/run/symroute"`, `"run/symroute"`, `"/"`, `"/run/symroute/"`, `7`, `"/run/a\u0007b"`},
	}
	// What a schema of types and words cannot say: addresses of some kinds are no gateways or sources, prefixes hold no host
	// bits, paths have a shortest form, two elements of a list can mean one thing in two spellings.
	parserAlone := map[string][]string{
		"gateways":          {`["0.0.0.0"]`, `["224.0.0.1"]`, `["10.0.0.1", {"gw": "10.0.0.1"}]`},
		"sources":           {`["127.0.0.1"]`, `["0.0.0.0/0"]`, `["fe80::1"]`, `["10.0.0.1", "10.0.0.1/32"]`, `["10.0.0.0/33"]`},
		"routes":            {`[{"dst": "10.0.0.1/8"}]`, `[{"dst": "10.0.0.0/8"}, {"dst": "10.0.0.0/8", "gw": "192.0.2.1"}]`, `[{"dst": "2001:db8::/32", "gw": "10.0.0.1"}]`},
		"viaMain":           {`["0.0.0.0/0"]`},
		"checkDestinations": {`["224.0.0.1"]`},
		"dataDir":           {`"/run/../run"`, `"/run//a"`},
		"lvs":               {`{"mode": "dr", "vips": ["fe80::1"]}`},
	}
	for _, key := range configKeys(t) {
		if len(values[key]) < 2 {
			t.Errorf("%q has no values here", key)
		}
	}
	text := func(key, value string) []byte {
		return fmt.Appendf(nil, `{"cniVersion": "1.1.0", "name": "a", "type": "symroute", %q: %s}`, key, value)
	}
	for key, list := range values {
		good := 0
		for _, value := range list {
			bySchema := validate(t, s, text(key, value))
			_, byParser := config.Parse(text(key, value))
			if (bySchema == nil) != (byParser == nil) {
				t.Errorf("%s: %s: the schema says %v, the parser %v", key, value, bySchema, byParser)
			}
			if byParser == nil {
				good++
			}
		}
		if good == 0 || good == len(list) {
			t.Errorf("%q: %d of %d values are good: this shows nothing", key, good, len(list))
		}
	}
	// The plugin takes these, too, and nobody is told to write them: a number in quotes, and null for nothing.
	for key, value := range map[string]string{"rpFilter": `"1"`, "table": `null`} {
		if _, err := config.Parse(text(key, value)); err != nil {
			t.Errorf("%s: %s: %v", key, value, err)
		}
		if validate(t, s, text(key, value)) == nil {
			t.Errorf("%s: %s: the schema takes it, too", key, value)
		}
	}
	for key, list := range parserAlone {
		for _, value := range list {
			if err := validate(t, s, text(key, value)); err != nil {
				t.Errorf("%s: %s: the schema can tell, too: %v", key, value, strings.ReplaceAll(err.Error(), "\n", " "))
			}
			if _, err := config.Parse(text(key, value)); err == nil {
				t.Errorf("%s: %s is fine", key, value)
			}
		}
	}
	for _, both := range []string{
		`"rpFilter": "strict", "viaMain": ["10.96.0.0/12"]`, `"rpFilter": 1, "noGateway": "main"`, `"rpFilter": "strict", "viaMain": []`,
		`"rpFilter": "loose", "viaMain": ["10.96.0.0/12"], "noGateway": "main"`,
	} {
		conf := []byte(`{"cniVersion": "1.1.0", "name": "a", "type": "symroute", ` + both + `}`)
		_, byParser := config.Parse(conf)
		if bySchema := validate(t, s, conf); (bySchema == nil) != (byParser == nil) {
			t.Errorf("%s: the schema says %v, the parser %v", both, bySchema, byParser)
		}
	}
}
