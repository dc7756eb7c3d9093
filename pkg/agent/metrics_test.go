package agent

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/install"
	"github.com/symroute/symroute/pkg/state"
)

// filled are metrics to which everything has happened once.
func filled(t *testing.T) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry, "v1.2.3", true)
	subject := audit.Subject{Namespace: "shop", Pod: "cart-0", ContainerID: "c", Interface: "net1", Network: "red"}
	bad := audit.Item{Subject: subject, State: "deviating", Deviations: []audit.Deviation{{Code: 102, Kind: state.Missing}}}
	fine := audit.Item{Subject: audit.Subject{Pod: "b"}, State: "symmetric"}
	m.Installed(install.Installed, nil)
	m.Installed(install.Unchanged, errors.New("no space"))
	m.Checked(bad)
	m.Checked(fine)
	m.PodChecked(3 * time.Millisecond)
	m.Audited(time.Second, time.Unix(1, 5e8))
	m.Known([]audit.Item{bad, fine, fine}, 1)
	m.Repaired(audit.RepairItem{State: "repaired"}, TriggerLink)
	m.LinkFlapped(subject)
	return registry
}

func TestMetrics(t *testing.T) {
	const want = `
# HELP symroute_attachment_deviation 1 for each attachment that deviates, with the code of CHECK's error.
# TYPE symroute_attachment_deviation gauge
symroute_attachment_deviation{code="102",interface="net1",namespace="shop",network="red",pod="cart-0"} 1
# HELP symroute_attachments Attachments of this node, by state: symmetric, deviating, unknown.
# TYPE symroute_attachments gauge
symroute_attachments{state="deviating"} 1
symroute_attachments{state="symmetric"} 2
symroute_attachments{state="unknown"} 0
# HELP symroute_audit_last_completed_timestamp_seconds When the last audit was completed, in seconds since 1970.
# TYPE symroute_audit_last_completed_timestamp_seconds gauge
symroute_audit_last_completed_timestamp_seconds 1.5
# HELP symroute_install_ready 1 if the plugin and symroutectl are installed as this agent has them.
# TYPE symroute_install_ready gauge
symroute_install_ready 0
# HELP symroute_installs_total Installations of the plugin and symroutectl, by result: installed, unchanged, failed.
# TYPE symroute_installs_total counter
symroute_installs_total{result="failed"} 1
symroute_installs_total{result="installed"} 1
symroute_installs_total{result="unchanged"} 0
# HELP symroute_link_flaps_total How often an attached interface stopped running.
# TYPE symroute_link_flaps_total counter
symroute_link_flaps_total 1
# HELP symroute_repairs_suspended Attachments that deviate though they were repaired five times and more: somebody undoes it.
# TYPE symroute_repairs_suspended gauge
symroute_repairs_suspended 1
`
	var names []string
	for _, m := range regexp.MustCompile(`# TYPE (\S+)`).FindAllStringSubmatch(want, -1) {
		names = append(names, m[1])
	}
	if err := testutil.GatherAndCompare(filled(t), strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// Names are as the linter of Prometheus wants them, and have a line in docs/operations.md.
func TestMetricsLint(t *testing.T) {
	registry := filled(t)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"symroute_drops_total"} // which needs a kernel that tells: test/ctl
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "symroute_") {
			names = append(names, f.GetName())
		}
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(symroute_[a-z_]+)").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = true
		if !slices.Contains(names, m[1]) {
			t.Errorf("docs/operations.md has a metric %s, which there is not", m[1])
		}
	}
	for _, name := range names {
		if !documented[name] {
			t.Errorf("docs/operations.md has no metric %s", name)
		}
	}
}
