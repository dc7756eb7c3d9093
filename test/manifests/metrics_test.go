package manifests

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	corev1 "k8s.io/api/core/v1"
)

// metrics are those of the agent, with their labels: what docs/operations.md lists.
var metrics = map[string][]string{
	"symroute_build_info":                             {"version", "goversion"},
	"symroute_install_ready":                          {},
	"symroute_installs_total":                         {"result"},
	"symroute_attachments":                            {"state"},
	"symroute_checks_total":                           {"result", "code"},
	"symroute_check_duration_seconds_bucket":          {"le"},
	"symroute_audit_duration_seconds":                 {},
	"symroute_audit_last_completed_timestamp_seconds": {},
	"symroute_repairs_total":                          {"trigger", "result"},
	"symroute_repairs_suspended":                      {},
	"symroute_link_flaps_total":                       {},
	"symroute_drops_total":                            {"reason"},
	"symroute_attachment_deviation":                   {"namespace", "pod", "interface", "network", "code"},
	"process_resident_memory_bytes":                   {},
	"process_cpu_seconds_total":                       {},
}

// ofTarget are labels that every series has: by the PodMonitor, and by Prometheus.
var ofTarget = []string{"node", "instance", "__name__"}

// known says that an expression can be read, and asks for metrics and labels that there are.
func known(t *testing.T, expr string) {
	t.Helper()
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", expr, err)
		return
	}
	all := slices.Clone(ofTarget)
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		selector, is := node.(*parser.VectorSelector)
		if !is {
			return nil
		}
		names, there := metrics[selector.Name]
		if !there {
			t.Errorf("%s: there is no metric %q", expr, selector.Name)
		}
		all = append(all, names...)
		for _, m := range selector.LabelMatchers {
			if !slices.Contains(names, m.Name) && !slices.Contains(ofTarget, m.Name) {
				t.Errorf("%s: %s has no label %q", expr, selector.Name, m.Name)
			}
		}
		return nil
	})
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if a, is := node.(*parser.AggregateExpr); is {
			for _, name := range a.Grouping {
				if !slices.Contains(all, name) {
					t.Errorf("%s: nothing in it has a label %q", expr, name)
				}
			}
		}
		return nil
	})
}

func rules(t *testing.T, values string) map[string]monitoringv1.Rule {
	t.Helper()
	all := map[string]monitoringv1.Rule{}
	for _, group := range the[*monitoringv1.PrometheusRule](t, render(t, values)).Spec.Groups {
		for _, rule := range group.Rules {
			all[rule.Alert] = rule
		}
	}
	return all
}

var alerts = []string{
	"SymrouteAttachmentUnknown", "SymrouteAuditStale", "SymrouteDeviation", "SymrouteInstallNotReady", "SymrouteRepairFailing",
	"SymrouteRepairsSuspended",
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	all := rules(t, "prometheusRule: {enabled: true, alertLabels: {team: network}, runbookURL: https://x.example/operations.md}")
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, alerts) {
		t.Errorf("got alerts %q, want %q", names, alerts)
	}
	ofTemplate := regexp.MustCompile(`\{\{ *\$labels\.(\w+) *\}\}`)
	for name, rule := range all {
		known(t, rule.Expr.StrVal)
		if rule.For == nil {
			t.Errorf("%s: has no time to pass by itself", name)
		} else if d, err := model.ParseDuration(string(*rule.For)); err != nil || time.Duration(d) < 5*time.Minute {
			t.Errorf("%s: for %s: %v", name, *rule.For, err)
		}
		if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" || rule.Labels["team"] != "network" {
			t.Errorf("%s: labels %v", name, rule.Labels)
		}
		for _, key := range []string{"summary", "description"} {
			text := rule.Annotations[key]
			if !strings.Contains(text, "{{ $labels.node }}") {
				t.Errorf("%s: %s does not name the node: %q", name, key, text)
			}
			for _, label := range ofTemplate.FindAllStringSubmatch(text, -1) {
				if label[1] != "node" && !slices.Contains(slices.Concat(slices.Collect(maps.Values(metrics))...), label[1]) {
					t.Errorf("%s: no metric has a label %q", name, label[1])
				}
			}
		}
		if want := "https://x.example/operations.md#" + strings.ToLower(name); rule.Annotations["runbook_url"] != want {
			t.Errorf("%s: got runbook_url %s, want %s", name, rule.Annotations["runbook_url"], want)
		}
	}
}

// TestAlertsOfWhatIsOff is about alerts that would fire for ever, or never could.
func TestAlertsOfWhatIsOff(t *testing.T) {
	t.Parallel()
	for values, gone := range map[string][]string{
		"{prometheusRule: {enabled: true}, install: {enabled: false}}": {"SymrouteInstallNotReady"},
		"{prometheusRule: {enabled: true}, repair: {mode: 'off'}}":     {"SymrouteRepairFailing", "SymrouteRepairsSuspended"},
		"{prometheusRule: {enabled: true}, uninstall: true}":           {"SymrouteInstallNotReady", "SymrouteRepairFailing", "SymrouteRepairsSuspended"},
	} {
		want := slices.DeleteFunc(slices.Clone(alerts), func(name string) bool { return slices.Contains(gone, name) })
		if names := slices.Sorted(maps.Keys(rules(t, values))); !slices.Equal(names, want) {
			t.Errorf("%s: got alerts %q, want %q", values, names, want)
		}
	}
}

// TestAlertsFire asks Prometheus' own engine, an hour after a node began to report, whether an alert's condition holds.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	const hour = 3600
	// Of 121 samples, one each 30 s.
	well := map[string]string{
		`symroute_install_ready`:                                    "1x120",
		`symroute_attachments{state="symmetric"}`:                   "7x120",
		`symroute_attachments{state="deviating"}`:                   "0x120",
		`symroute_attachments{state="unknown"}`:                     "0x120",
		`symroute_audit_last_completed_timestamp_seconds`:           "0+30x120",
		`symroute_repairs_total{trigger="link",result="repaired"}`:  "0+1x120",
		`symroute_repairs_total{trigger="link",result="deviating"}`: "3x120",
		`symroute_repairs_total{trigger="link",result="failed"}`:    "3x120",
		`symroute_repairs_suspended`:                                "0x120",
	}
	rules := rules(t, "prometheusRule: {enabled: true}")
	fires := func(name string, ill map[string]string) bool {
		t.Helper()
		var load strings.Builder
		load.WriteString("load 30s\n")
		series := maps.Clone(well)
		maps.Copy(series, ill)
		for s, values := range series {
			s, more, _ := strings.Cut(strings.TrimSuffix(s, "}"), "{")
			fmt.Fprintf(&load, "  %s{%s} %s\n", s, strings.Trim(more+`,node="a"`, ","), values)
		}
		storage := promqltest.LoadedStorage(t, load.String())
		query, err := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery).
			NewInstantQuery(t.Context(), storage, nil, rules[name].Expr.StrVal, time.Unix(hour, 0))
		if err != nil {
			t.Fatal(err)
		}
		result := query.Exec(t.Context())
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		vector, is := result.Value.(promql.Vector)
		if !is {
			t.Fatalf("%s: is %T", name, result.Value)
		}
		for _, sample := range vector {
			if !sample.Metric.Has("node") || sample.Metric.Get("node") != "a" || sample.Metric.Has(labels.BucketLabel) {
				t.Errorf("%s: does not say of which node: %s", name, sample.Metric)
			}
		}
		return len(vector) > 0
	}
	cases := []struct {
		alert string
		ill   map[string]string
	}{
		{"SymrouteInstallNotReady", map[string]string{`symroute_install_ready`: "0x120"}},
		{"SymrouteDeviation", map[string]string{`symroute_attachments{state="deviating"}`: "1x120"}},
		{"SymrouteAttachmentUnknown", map[string]string{`symroute_attachments{state="unknown"}`: "1x120"}},
		// No audit has ended since 1199 s (fine) and 1201 s (not), and none ever.
		{"SymrouteAuditStale", map[string]string{`symroute_audit_last_completed_timestamp_seconds`: "2399x120"}},
		{"SymrouteAuditStale", map[string]string{`symroute_audit_last_completed_timestamp_seconds`: "0x120"}},
		{"SymrouteRepairFailing", map[string]string{`symroute_repairs_total{trigger="link",result="failed"}`: "0+1x120"}},
		{"SymrouteRepairFailing", map[string]string{`symroute_repairs_total{trigger="link",result="deviating"}`: "0+1x120"}},
		{"SymrouteRepairsSuspended", map[string]string{`symroute_repairs_suspended`: "2x120"}},
	}
	for _, c := range cases {
		if !fires(c.alert, c.ill) {
			t.Errorf("%s does not fire with %v", c.alert, c.ill)
		}
	}
	for _, name := range alerts {
		if fires(name, nil) {
			t.Errorf("%s fires though all is well", name)
		}
	}
	if fires("SymrouteAuditStale", map[string]string{`symroute_audit_last_completed_timestamp_seconds`: "2401x120"}) {
		t.Error("SymrouteAuditStale fires 1199 s after an audit")
	}
}

// TestAuditStale follows the interval.
func TestAuditStale(t *testing.T) {
	t.Parallel()
	for interval, seconds := range map[string]string{"5m": "1200", "1h30m": "16500", "90s": "570", "1h2m3s": "11469"} {
		rule := rules(t, "{prometheusRule: {enabled: true}, audit: {interval: "+interval+"}}")["SymrouteAuditStale"]
		if !strings.HasSuffix(rule.Expr.StrVal, " > "+seconds) {
			t.Errorf("interval %s: got %s, want %s seconds", interval, rule.Expr.StrVal, seconds)
		}
	}
}

// TestPodMonitor holds the monitor to the agent's pods, their port, and the label that alerts name the node by.
func TestPodMonitor(t *testing.T) {
	t.Parallel()
	r := render(t, "podMonitor: {enabled: true}")
	monitor := the[*monitoringv1.PodMonitor](t, r)
	endpoints := monitor.Spec.PodMetricsEndpoints
	if len(endpoints) != 1 || endpoints[0].Port == nil || *endpoints[0].Port != agent(t, r).Ports[0].Name {
		t.Fatalf("got endpoints %+v, the agent's ports are %+v", endpoints, agent(t, r).Ports)
	}
	if !slices.Contains(agent(t, r).Args, fmt.Sprintf("--metrics-bind-address=:%d", agent(t, r).Ports[0].ContainerPort)) {
		t.Errorf("the agent gets %q, its port is %d", agent(t, r).Args, agent(t, r).Ports[0].ContainerPort)
	}
	if !endpoints[0].HonorLabels {
		t.Error("the labels namespace and pod of symroute_attachment_deviation become the agent's")
	}
	if got := endpoints[0].RelabelConfigs; len(got) != 1 || got[0].TargetLabel != "node" {
		t.Errorf("nothing makes the label node: %+v", got)
	}
	if !slices.Equal(monitor.Spec.NamespaceSelector.MatchNames, []string{namespace}) {
		t.Errorf("looks in %+v", monitor.Spec.NamespaceSelector)
	}
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	var dashboard struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	text := the[*corev1.ConfigMap](t, render(t, "grafanaDashboard: {enabled: true}")).Data["symroute.json"]
	if err := json.Unmarshal([]byte(text), &dashboard); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(chart + "/files/dashboard.json")
	if err != nil || strings.TrimSpace(string(file)) != strings.TrimSpace(text) {
		t.Errorf("the ConfigMap has something else than files/dashboard.json: %v", err)
	}
	used := ""
	ids := map[int]bool{}
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] || panel.GridPos.X+panel.GridPos.W > 24 || len(panel.Targets) == 0 {
			t.Errorf("panel %q: its number is another's, or it is too wide, or shows nothing: %+v", panel.Title, panel)
		}
		ids[panel.ID] = true
		for _, target := range panel.Targets {
			known(t, strings.NewReplacer("$__rate_interval", "5m", "$node", ".*").Replace(target.Expr))
			used += target.Expr + "\n"
		}
	}
	for name := range metrics {
		if !strings.Contains(used, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}
