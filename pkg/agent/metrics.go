package agent

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/install"
)

// Metrics are what Prometheus gets: docs/operations.md lists them.
type Metrics struct {
	Deaf
	installReady prometheus.Gauge
	installs     *prometheus.CounterVec
	attachments  *prometheus.GaugeVec
	checks       *prometheus.CounterVec
	checkTook    prometheus.Histogram
	auditTook    prometheus.Gauge
	audited      prometheus.Gauge
	repairs      *prometheus.CounterVec
	vain         prometheus.Gauge
	flaps        prometheus.Counter
	deviations   *prometheus.GaugeVec // nil: not wanted
}

// NewMetrics registers them. With series there is one for each attachment that deviates, with its names.
func NewMetrics(registry prometheus.Registerer, release string, series bool) *Metrics {
	m := &Metrics{
		installReady: newGauge("symroute_install_ready", "1 if the plugin and symroutectl are installed as this agent has them."),
		installs:     newCounters("symroute_installs_total", "Installations of the plugin and symroutectl, by result: installed, unchanged, failed.", "result"),
		attachments: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "symroute_attachments", Help: "Attachments of this node, by state: symmetric, deviating, unknown.",
		}, []string{"state"}),
		checks: newCounters("symroute_checks_total",
			"Checks of attachments, by result (symmetric, deviating, gone, unknown) and the code of CHECK's error.", "result", "code"),
		checkTook: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "symroute_check_duration_seconds", Help: "How long the check of a pod took, with all its attachments.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5},
		}),
		auditTook: newGauge("symroute_audit_duration_seconds", "How long the last audit of all attachments took, repairs included."),
		audited:   newGauge("symroute_audit_last_completed_timestamp_seconds", "When the last audit was completed, in seconds since 1970."),
		repairs: newCounters("symroute_repairs_total",
			"Repairs, by trigger (link: something changed in the pod; audit) and result: repaired, deviating, failed, gone, unknown.", "trigger", "result"),
		vain:  newGauge("symroute_repairs_suspended", "Attachments that deviate though they were repaired five times and more: somebody undoes it."),
		flaps: prometheus.NewCounter(prometheus.CounterOpts{Name: "symroute_link_flaps_total", Help: "How often an attached interface stopped running."}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "symroute_build_info", Help: "1, with the version of symroute and of Go.",
	}, []string{"version", "goversion"})
	build.WithLabelValues(release, runtime.Version()).Set(1)
	registry.MustRegister(build, m.installReady, m.installs, m.attachments, m.checks, m.checkTook, m.auditTook, m.audited, m.repairs, m.vain, m.flaps,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if series {
		m.deviations = prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "symroute_attachment_deviation", Help: "1 for each attachment that deviates, with the code of CHECK's error.",
		}, []string{"namespace", "pod", "interface", "network", "code"})
		registry.MustRegister(m.deviations)
	}
	// A counter that appears with its first event has no rate before the second.
	for _, result := range []string{"installed", "unchanged", "failed"} {
		m.installs.WithLabelValues(result)
	}
	for _, trigger := range []string{TriggerLink, TriggerAudit} {
		for _, result := range []string{audit.StateRepaired, audit.StateDeviating, audit.StateFailed} {
			m.repairs.WithLabelValues(trigger, result)
		}
	}
	return m
}

func newGauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

func newCounters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Installed notes an installation, or that it failed.
func (m *Metrics) Installed(result install.Result, err error) {
	m.installs.WithLabelValues(result.Word(err)).Inc()
	ready := 1.0
	if err != nil {
		ready = 0
	}
	m.installReady.Set(ready)
}

// Checked counts.
func (m *Metrics) Checked(item audit.Item) { m.checks.WithLabelValues(item.State, item.Code()).Inc() }

// PodChecked counts.
func (m *Metrics) PodChecked(took time.Duration) { m.checkTook.Observe(took.Seconds()) }

// Audited notes.
func (m *Metrics) Audited(took time.Duration, at time.Time) {
	m.auditTook.Set(took.Seconds())
	m.audited.Set(float64(at.UnixMilli()) / 1000)
}

// Known counts attachments by state.
func (m *Metrics) Known(items []audit.Item, vain int) {
	counts := map[string]int{audit.StateSymmetric: 0, audit.StateDeviating: 0, audit.StateUnknown: 0}
	if m.deviations != nil {
		m.deviations.Reset()
	}
	for _, i := range items {
		counts[i.State]++
		if m.deviations != nil && i.State == audit.StateDeviating {
			m.deviations.WithLabelValues(i.Namespace, i.Pod, i.Interface, i.Network, i.Code()).Set(1)
		}
	}
	for state, n := range counts {
		m.attachments.WithLabelValues(state).Set(float64(n))
	}
	m.vain.Set(float64(vain))
}

// Repaired counts.
func (m *Metrics) Repaired(item audit.RepairItem, trigger string) {
	m.repairs.WithLabelValues(trigger, item.State).Inc()
}

// LinkFlapped counts.
func (m *Metrics) LinkFlapped(audit.Subject) { m.flaps.Inc() }
