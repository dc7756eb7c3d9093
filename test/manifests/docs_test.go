package manifests

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestDocs holds the lists of docs/kubernetes.md to the chart: its values are there, and only those.
func TestDocs(t *testing.T) {
	t.Parallel()
	page := section(t, "kubernetes.md", "### Values", "### Upgrade")
	var documented []string
	for _, name := range regexp.MustCompile("`([a-z][A-Za-z]*(?:\\.[A-Za-z]+)*)`").FindAllStringSubmatch(page, -1) {
		documented = append(documented, name[1])
	}
	text, err := os.ReadFile(chart + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	for path := range leaves(values, "") {
		if !slices.Contains(documented, path) {
			t.Errorf("docs/kubernetes.md does not list %s", path)
		}
	}
	all := leaves(values, "")
	for _, path := range documented {
		words := []string{"off", "links", "all", "dataDir"} // values of keys, and a key of networks
		if !all[path] && !slices.Contains(words, path) {
			t.Errorf("docs/kubernetes.md lists %s, which is none", path)
		}
	}
}

// leaves are the paths of values; a map that the user fills, and the lists of resources, count as one.
func leaves(values map[string]any, above string) map[string]bool {
	all := map[string]bool{}
	for key, value := range values {
		path := strings.TrimPrefix(above+"."+key, ".")
		below, isMap := value.(map[string]any)
		if !isMap || len(below) == 0 || above == "resources" || key == "nodeSelector" || strings.HasSuffix(key, "labels") {
			all[path] = true
			continue
		}
		for p := range leaves(below, path) {
			all[p] = true
		}
	}
	return all
}

// TestDocsOfPlatforms holds the table of platforms to what each of them renders.
func TestDocsOfPlatforms(t *testing.T) {
	t.Parallel()
	page := section(t, "kubernetes.md", "### Platforms", "### Values")
	rows := regexp.MustCompile("(?m)^\\| `([a-z0-9]+|\"\")`[^|]*\\| `([^`]+)` \\|").FindAllStringSubmatch(page, -1)
	schema, is := schema(t)["properties"].(map[string]any)["platform"].(map[string]any)["enum"].([]any)
	if !is || len(rows) != len(schema) {
		t.Errorf("the table has %d platforms, the schema %v", len(rows), schema)
	}
	for _, row := range rows {
		platform := strings.Trim(row[1], `"`)
		if !slices.Contains(schema, any(platform)) {
			t.Errorf("the schema has no platform %q", platform)
			continue
		}
		if got := agent(t, render(t, "platform: '"+platform+"'")).Args; !slices.Contains(got, "--bin-dir="+row[2]) {
			t.Errorf("platform %q: the page has %s, the agent gets %q", platform, row[2], got)
		}
	}
}

// TestDocsOfAlerts: runbook_url leads to a heading.
func TestDocsOfAlerts(t *testing.T) {
	t.Parallel()
	page := section(t, "operations.md", "## Alerts", "## Events")
	var headings []string
	for _, heading := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(page, -1) {
		headings = append(headings, heading[1])
	}
	slices.Sort(headings)
	if !slices.Equal(headings, alerts) {
		t.Errorf("docs/operations.md explains %q, the chart has %q", headings, alerts)
	}
}

// TestDocsOfMetrics holds the metrics that alerts and dashboard may ask for to those that docs/operations.md lists.
func TestDocsOfMetrics(t *testing.T) {
	t.Parallel()
	page := section(t, "operations.md", "## Metrics", "## Alerts")
	name := regexp.MustCompile("`([a-z_]+)`")
	documented := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(symroute_[a-z_]+)` \\|[^|]*\\|([^|]*)\\|").FindAllStringSubmatch(page, -1) {
		labels := []string{}
		for _, label := range name.FindAllStringSubmatch(row[2], -1) {
			labels = append(labels, label[1])
		}
		documented[row[1]] = labels
	}
	ours := map[string][]string{}
	for metric, labels := range metrics {
		if histogram, is := strings.CutSuffix(metric, "_bucket"); is {
			metric, labels = histogram, []string{}
		}
		if strings.HasPrefix(metric, "symroute_") {
			ours[metric] = labels
		}
	}
	if diff := cmp.Diff(documented, ours); diff != "" {
		t.Errorf("(-docs/operations.md +this test)\n%s", diff)
	}
}

// section is what stands between two headings of a page.
func section(t *testing.T, name, from, to string) string {
	t.Helper()
	page, err := os.ReadFile(root + "/docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begins := strings.Cut(string(page), "\n"+from+"\n")
	text, _, ends := strings.Cut(rest, "\n"+to+"\n")
	if !begins || !ends {
		t.Fatalf("docs/%s has no %q before %q", name, from, to)
	}
	return text
}
