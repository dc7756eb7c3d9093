package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaFile = "../../docs/symroute.schema.json"

// schema is docs/symroute.schema.json, as text and compiled.
func schema(t *testing.T) (map[string]any, *jsonschema.Schema) {
	t.Helper()
	data, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return document.(map[string]any), compiled
}

// beyond are what the parser refuses and a schema cannot express: what stands in the configuration, and why.
var beyond = map[string]string{
	`7300.0`:                              "for a schema it is a whole number",
	`"0:0::1"`:                            "one address can be written in several ways",
	`"0::0"`:                              "one address can be written in several ways",
	`"0:0:0:0:0:ffff:c000:201"`:           "one address can be written in several ways",
	`"2001:db8::1", "2001:DB8::1"`:        "one address can be written in several ways",
	`"192.0.2.1", "192.0.2.1/32"`:         "one address can be written in several ways",
	`"192.0.2.1", {"gw": "192.0.2.1"`:     "uniqueItems compares whole elements",
	`192.0.2.1/24`:                        "a schema does not calculate: host bits",
	`64.0.0.0/2`:                          "a schema does not calculate: it holds 127.0.0.0/8",
	`fe00::/8`:                            "a schema does not calculate: it holds fe80::/10",
	`2001:db8:::/32`:                      "there is no format for prefixes; the pattern is about their characters",
	`"ä23456789012345"`:                   "a schema counts characters, and the kernel bytes",
	`"viaMian"`:                           "a schema does not know how near a word is to another",
	`"viaMain": ["192.0.2.0/24"], "check`: "a schema does not compare addresses with prefixes",
	`{"dst": "10.0.0.0/8"}, {"dst": "10.0.0.0/8", "mtu"`: "uniqueItems compares whole elements",
}

// agree demands that schema and parser think the same of a plugin's configuration.
func agree(t *testing.T, compiled *jsonschema.Schema, text string) (good bool) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	refusal := compiled.Validate(value)
	_, err = Parse([]byte(text))
	switch {
	case err == nil && refusal != nil:
		t.Errorf("%s: the parser takes what the schema refuses: %v", text, refusal)
	case err != nil && refusal == nil && !isBeyond(text):
		t.Errorf("%s: the schema takes what the parser refuses: %v", text, err)
	}
	return err == nil
}

// isBeyond says whether a schema cannot express what is wrong with a configuration.
func isBeyond(text string) bool {
	for part := range beyond {
		if strings.Contains(text, part) {
			met[part] = true
			return true
		}
	}
	return false
}

// met are those of beyond that were there.
var met = map[string]bool{}

// TestSchemaKeys holds the schema to the keys of the parser, also within its objects, which the parser names
// where it finds another one.
func TestSchemaKeys(t *testing.T) {
	document, _ := schema(t)
	keys := slices.Sorted(maps.Keys(document["properties"].(map[string]any)))
	want := append(ownKeys(), "type")
	slices.Sort(want)
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("parser and schema: %s", diff)
	}
	for name, text := range map[string]string{
		"interface":  `{"interfaces": {"tunl0": {"rpFilter": 0, "other": 1}}}`,
		"gateway":    `{"gateways": [{"gw": "192.0.2.1", "other": 1}]}`,
		"route":      `{"routes": [{"dst": "192.0.2.0/24", "other": 1}]}`,
		"realServer": `{"lvs": {"mode": "dr", "vips": ["192.0.2.1"], "other": 1}}`,
	} {
		object := document["$defs"].(map[string]any)[name].(map[string]any)
		keys := slices.Sorted(maps.Keys(object["properties"].(map[string]any)))
		_, err := Parse([]byte(text))
		_, known, _ := strings.Cut(fmt.Sprint(err), "write one of ")
		own := strings.Split(known, ", ")
		slices.Sort(own)
		if diff := cmp.Diff(own, keys); diff != "" {
			t.Errorf("%s: parser and schema: %s", name, diff)
		}
	}
}

// TestSchemaReference takes the reference configuration, every example of the documentation, and every default
// and example of the schema.
func TestSchemaReference(t *testing.T) {
	document, compiled := schema(t)
	data, err := os.ReadFile("../../docs/reference.conflist")
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Plugins []json.RawMessage }
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	examples := []string{string(list.Plugins[len(list.Plugins)-1])}
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?ms)^```json\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		examples = append(examples, block[1])
	}
	if len(examples) <= len(ownKeys()) {
		t.Errorf("this test shows little: %d examples", len(examples))
	}
	for key, property := range document["properties"].(map[string]any) {
		values, _ := property.(map[string]any)["examples"].([]any)
		if fallback, has := property.(map[string]any)["default"]; has {
			values = append(values, fallback)
		}
		if property.(map[string]any)["description"] == "" || key != "type" && len(values) == 0 {
			t.Errorf("%s has no description or no example", key)
		}
		for _, v := range values {
			text, err := json.Marshal(map[string]any{"type": "symroute", key: v})
			if err != nil {
				t.Fatal(err)
			}
			examples = append(examples, string(text))
		}
	}
	for _, text := range examples {
		if !agree(t, compiled, text) {
			t.Errorf("refused: %s", text)
		}
	}
}

// TestSchemaDefaults holds the defaults of the schema to those of the parser.
func TestSchemaDefaults(t *testing.T) {
	document, _ := schema(t)
	conf := map[string]any{}
	for key, property := range document["properties"].(map[string]any) {
		if fallback, has := property.(map[string]any)["default"]; has {
			conf[key] = fallback
		}
	}
	data, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	explicit, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	implicit, err := Parse([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(implicit, explicit, netipValues); diff != "" {
		t.Error(diff)
	}
}

// someValues are values, good for some key and bad for others.
var someValues = []string{
	`null`, `true`, `false`, `0`, `1`, `2`, `3`, `4`, `-1`, `67`, `68`, `253`, `255`, `256`, `1279`, `1280`, `7300`, `7300.0`, `7300.5`, `32765`, `32766`,
	`65495`, `65496`, `65520`, `65521`, `4294967295`, `4294967296`, `""`, `"1"`, `"7300"`, `"true"`, `{}`, `[]`, `[null]`,
	`"strict"`, `"loose"`, `"off"`, `"keep"`, `"Strict"`, `"refuse"`, `"main"`, `"yield"`, `"take"`, `"isolate"`, `"dr"`, `"tunnel"`,
	`"192.0.2.1"`, `"192.0.2.01"`, `"192.0.2"`, `"192.0.2.256"`, `"2001:db8::1"`, `"2001:DB8::A"`, `"2001:db8::1::"`, `"fe80::1"`, `"fe80::1%eth0"`, `"febf::1"`,
	`"127.0.0.1"`, `"::1"`, `"0:0::1"`, `"0.0.0.0"`, `"::"`, `"0::0"`, `"224.0.0.1"`, `"239.1.1.1"`, `"ff02::1"`, `"FF02::1"`, `"ff::1"`, `"255.255.255.255"`,
	`"255.255.255.254"`, `"240.0.0.1"`, `"169.254.1.1"`, `"::ffff:192.0.2.1"`, `"::FFFF:192.0.2.1"`, `"0:0:0:0:0:ffff:c000:201"`,
	`"192.0.2.0/24"`, `"192.0.2.1/24"`, `"192.0.2.1/32"`, `"192.0.2.0/33"`, `"192.0.2.0/024"`, `"192.0.2.0/"`, `"0.0.0.0/0"`, `"::/0"`, `"10.0.0.0/0"`, `"0.0.0.0/1"`,
	`"2001:db8::/32"`, `"2001:db8::1/128"`, `"2001:db8::/129"`, `"2001:db8:::/32"`, `"fe80::/10"`, `"fe80::/64"`, `"fe00::/9"`, `"fe00::/8"`, `"64.0.0.0/2"`, `"ff02::/16"`, `"224.0.0.0/4"`,
	`"127.0.0.0/8"`, `"::ffff:192.0.2.0/120"`, `"::ffff:0:0/90"`, `"::/96"`, `"fe80::%eth0/64"`, `"x"`, `"x/8"`,
	`"lo"`, `"eth0"`, `"a/b"`, `"a:b"`, `"a b"`, `"."`, `".."`, `"all"`, `"default"`, `"a234567890123456"`, `"a23456789012345"`, `"ä2345678901234"`, `"ä23456789012345"`, `"a\u00a0b"`, `"a\u0001b"`,
	`"/run/x"`, `"/"`, `"run/x"`, `"/run/../x"`, `"/run//x"`, `"/run/x/"`, `"/run/./x"`, `"/run/..x"`, `"/run/x.."`, `"/run/a\nb"`, `"/run/ä b"`,
	`["192.0.2.1"]`, `["192.0.2.1", "192.0.2.1"]`, `["2001:db8::1", "2001:DB8::1"]`, `["192.0.2.0/24", "192.0.2.0/24"]`,
	`{"gw": "192.0.2.1"}`, `{"gw": "192.0.2.1", "onlink": true}`, `{"onlink": true}`, `{"gw": null}`, `{"gw": "192.0.2.1", "via": 1}`,
	`{"dst": "192.0.2.0/24"}`, `{"dst": "192.0.2.0/24", "gw": "fe80::1"}`, `{"dst": "2001:db8::/32", "gw": "192.0.2.1"}`, `{"dst": "2001:db8::/32", "mtu": 1279}`,
	`{"dst": "2001:db8::/32", "gw": null, "mtu": null}`, `{"dst": "192.0.2.0/24", "onlink": true}`, `{"dst": "192.0.2.0/24", "gw": null, "onlink": true}`, `{"dst": null}`,
	`{"rpFilter": 0}`, `{"rpFilter": null}`, `{"rpFilter": "off", "x": 1}`, `{"tunl0": {"rpFilter": 0}}`, `{"all": {"rpFilter": 0}}`, `{"tunl0": null}`,
	`{"mode": "dr", "vips": ["192.0.2.1"]}`, `{"mode": "dr", "vips": []}`, `{"mode": "dr"}`, `{"vips": ["192.0.2.1"]}`, `{"mode": "dr", "vips": ["192.0.2.1"], "device": "x"}`,
	`{"mode": "dr", "vips": ["192.0.2.1"], "device": null}`, `{"mode": "tunnel", "vips": ["192.0.2.1"], "device": "lo", "replyBy": "lo"}`,
}

// places are where a value may stand in a configuration.
func places() []string {
	places := []string{
		`"gateways": [{"gw": %s}]`, `"gateways": [{"gw": "192.0.2.1", "onlink": %s}]`,
		`"routes": [{"dst": %s}]`, `"routes": [{"dst": "10.0.0.0/8", "gw": %s}]`, `"routes": [{"dst": "2001:db8::/32", "gw": %s}]`,
		`"routes": [{"dst": "10.0.0.0/8", "metric": %s}]`, `"routes": [{"dst": "10.0.0.0/8", "mtu": %s}]`, `"routes": [{"dst": "2001:db8::/32", "mtu": %s}]`,
		`"routes": [{"dst": "10.0.0.0/8", "advmss": %s}]`, `"routes": [{"dst": "10.0.0.0/8", "gw": "192.0.2.1", "onlink": %s}]`,
		`"interfaces": {"tunl0": %s}`, `"interfaces": {"tunl0": {"rpFilter": %s}}`,
		`"lvs": {"mode": %s, "vips": ["192.0.2.1"]}`, `"lvs": {"mode": "dr", "vips": %s}`, `"lvs": {"mode": "dr", "vips": [%s]}`,
		`"lvs": {"mode": "dr", "vips": ["192.0.2.1"], "replyBy": %s}`, `"lvs": {"mode": "tunnel", "vips": ["192.0.2.1"], "device": %s}`,
		`"lvs": {"mode": "dr", "vips": ["192.0.2.1"], "device": %s}`,
		`"rpFilter": "strict", "viaMain": [%s]`, `"rpFilter": 1, "noGateway": %s`, `"viaMain": ["10.0.0.0/8"], "rpFilter": %s`,
		`"deviceID": %s`, `"runtimeConfig": %s`,
	}
	for _, key := range ownKeys() {
		places = append(places, fmt.Sprintf("%q: %%s", key), fmt.Sprintf("%q: [%%s]", key), fmt.Sprintf(`%q: ["192.0.2.1", %%s]`, key))
	}
	return places
}

// TestSchemaValues puts every value everywhere: schema and parser must agree, but for what is beyond a schema.
func TestSchemaValues(t *testing.T) {
	_, compiled := schema(t)
	good, bad := 0, 0
	for _, place := range places() {
		for _, value := range someValues {
			if agree(t, compiled, fmt.Sprintf(`{"type": "symroute", `+place+`}`, value)) {
				good++
			} else {
				bad++
			}
		}
	}
	for _, v := range someValues { // as the name of a device
		if strings.HasPrefix(v, `"`) {
			agree(t, compiled, fmt.Sprintf(`{"type": "symroute", "interfaces": {%s: {"rpFilter": 0}}}`, v))
		}
	}
	for _, conf := range []string{
		`"viaMian": ["192.0.2.0/24"]`, `"viaMain": ["192.0.2.0/24"], "checkDestinations": ["192.0.2.7"]`,
		`"routes": [{"dst": "10.0.0.0/8"}, {"dst": "10.0.0.0/8", "mtu": 1400}]`,
	} {
		agree(t, compiled, `{"type": "symroute", `+conf+`}`)
	}
	for part, reason := range beyond {
		if !met[part] {
			t.Errorf("%s is not beyond a schema (%s)", part, reason)
		}
	}
	if good < 300 || bad < 3000 {
		t.Errorf("this test shows little: %d good values and %d bad ones", good, bad)
	}
}
