package manifests

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestRefusals has what values are refused with. A key that is spelled wrong must not be ignored.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"foo: 1":                                           "additional properties 'foo' not allowed",
		"image: {digest: v1}":                              "'/image/digest'",
		"cni: {bindir: /opt/cni/bin}":                      "additional properties 'bindir' not allowed",
		"cni: {binDir: opt/cni/bin}":                       "'/cni/binDir'",
		"cni: {dataDirs: []}":                              "'/cni/dataDirs'",
		"audit: {interval: 5}":                             "'/audit/interval'",
		"audit: {interval: 5min}":                          "'/audit/interval'",
		"audit: {interval: 0s}":                            "audit.interval: 0s is too short",
		"repair: {mode: on}":                               "'/repair/mode'",
		"repair: {mode: off}":                              "'/repair/mode'", // YAML's "off" is false
		"events: {enabled: 'yes'}":                         "'/events/enabled'",
		"metrics: {port: '9740'}":                          "'/metrics/port'",
		"metrics: {port: 0}":                               "'/metrics/port'",
		"metrics: {bindAddress: '[::1]'}":                  "'/metrics/bindAddress'",
		"platform: k3d":                                    "'/platform'",
		"tolerations: [{operater: Exists}]":                "additional properties 'operater' not allowed",
		"updateStrategy: {rollingUpdate: {maxSurge: 1}}":   "additional properties 'maxSurge' not allowed",
		"resources: {limits: {memory: [1]}}":               "'/resources/limits/memory'",
		"extraEnv: [{name: A, valueFrom: {fieldref: {}}}]": "additional properties 'fieldref' not allowed",
		"podLabels: {a: 1}":                                "'/podLabels/a'",

		"{events: {enabled: true}, serviceAccount: {automountToken: false}}": "events.enabled needs the service account's token",
		"{events: {enabled: true}, serviceAccount: {create: false}}":         "events.enabled needs a service account of its own",
		"{podMonitor: {enabled: true}, metrics: {enabled: false}}":           "podMonitor.enabled needs metrics",
		"{prometheusRule: {enabled: true}, metrics: {enabled: false}}":       "prometheusRule.enabled needs metrics",
		"{grafanaDashboard: {enabled: true}, metrics: {enabled: false}}":     "grafanaDashboard.enabled needs metrics",
		"{drops: {enabled: true}, metrics: {enabled: false}}":                "drops.enabled is told by metrics only",
		"metrics: {enabled: false, deviationSeries: true}":                   "metrics.deviationSeries is told by metrics only",
		"{podMonitor: {enabled: true}, metrics: {bindAddress: 127.0.0.1}}":   "Prometheus does not reach 127.0.0.1",
		"metrics: {port: 9741}":                        "metrics.port and health.port are both 9741",
		"{uninstall: true, install: {enabled: false}}": "uninstall removes what install put there",
	} {
		out, err := template(t, values)
		switch {
		case err == nil:
			t.Errorf("%s: is taken:\n%s", values, out)
		case !strings.Contains(err.Error(), want):
			t.Errorf("%s: want %q in\n%v", values, want, err)
		}
	}
}

// TestSchemaIsClosed looks for objects of the schema that take any key. Whose keys are the user's own names its type of value.
func TestSchemaIsClosed(t *testing.T) {
	t.Parallel()
	open := map[string]bool{
		"/properties/global": true, // Helm's, for subcharts
		// The API server checks these.
		"/properties/affinity/properties/nodeAffinity":    true,
		"/properties/affinity/properties/podAffinity":     true,
		"/properties/affinity/properties/podAntiAffinity": true,
	}
	walk(schema(t), "", func(path string, s map[string]any) {
		kinds, several := s["type"].([]any)
		object := s["type"] == "object" || several && slices.Contains(kinds, any("object"))
		_, typed := s["additionalProperties"].(map[string]any)
		if closed := typed || s["additionalProperties"] == false; object && closed == open[path] {
			t.Errorf("%s: additionalProperties is %v", path, s["additionalProperties"])
		}
	})
}

// walk visits each schema within a schema.
func walk(s any, path string, visit func(path string, s map[string]any)) {
	switch s := s.(type) {
	case map[string]any:
		visit(path, s)
		for key, below := range s {
			walk(below, path+"/"+key, visit)
		}
	case []any:
		for _, below := range s {
			walk(below, path+"/-", visit)
		}
	}
}

// TestSchemaAndValues holds both to the same keys: values.yaml is what users read.
func TestSchemaAndValues(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	s := schema(t)
	definitions, is := s["definitions"].(map[string]any)
	if !is {
		t.Fatal("the schema has no definitions")
	}
	var compare func(path string, s, values map[string]any)
	compare = func(path string, s, values map[string]any) {
		if ref, is := s["$ref"].(string); is {
			s, _ = definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
		}
		properties, is := s["properties"].(map[string]any)
		if !is {
			return // names of the user's
		}
		known := slices.Sorted(maps.Keys(properties))
		if path == "" {
			known = slices.DeleteFunc(known, func(key string) bool { return key == "global" })
		}
		if path == "/affinity" || path == "/securityContext" {
			known = nil // they are empty by default
		}
		if documented := slices.Sorted(maps.Keys(values)); !slices.Equal(known, documented) {
			t.Errorf("%s/: the schema has %q, values.yaml %q", path, known, documented)
		}
		for key, value := range values {
			below, isSchema := properties[key].(map[string]any)
			if v, isMap := value.(map[string]any); isMap && isSchema {
				compare(path+"/"+key, below, v)
			}
		}
	}
	compare("", s, values)
}

func schema(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(chart + "/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNotes is about what "helm install" prints: its commands name the objects that there are.
func TestNotes(t *testing.T) {
	t.Parallel()
	for values, want := range map[string][]string{
		"": {
			"kubectl --namespace symroute-system rollout status daemonset/symroute-agent",
			"kubectl label namespace symroute-system pod-security.kubernetes.io/enforce=privileged",
			"kubectl --namespace symroute-system exec daemonset/symroute-agent -- symroutectl list",
		},
		"uninstall: true": {
			"kubectl --namespace symroute-system rollout status daemonset/symroute-agent",
			"helm uninstall symroute --namespace symroute-system",
		},
	} {
		file := t.TempDir() + "/values.yaml"
		if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := helm(t, "install", "symroute", chart, "--namespace", namespace, "--dry-run=client", "--values", file)
		if err != nil {
			t.Fatal(err)
		}
		_, notes, _ := strings.Cut(out, "NOTES:")
		for _, line := range want {
			if !strings.Contains(notes, line) {
				t.Errorf("%s: want %q in\n%s", values, line, notes)
			}
		}
	}
}
