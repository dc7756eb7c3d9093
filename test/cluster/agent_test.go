package cluster

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/symroute/symroute/test/netlab"
)

const (
	imageRepository = "ghcr.io/symroute/symroute"
	agentNamespace  = "symroute-system"
	// Where the machine has the repository's deploy/ and Helm.
	deployDir, helmProgram = "/root/deploy", "/root/helm"
)

// agents is a cluster that the chart can be installed in.
type agents struct {
	*cluster
	tag string // of the image
}

// newAgents starts a cluster whose containerd has the image of the agent.
func newAgents(t *testing.T) *agents {
	t.Helper()
	c := newCluster(t)
	root := filepath.Join("..", "..")
	if err := os.CopyFS(c.Path(deployDir), os.DirFS(filepath.Join(root, "deploy"))); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"bin/helm": helmProgram, "dist/symroute-image.tar": "/tmp/agent.tar"} {
		content, err := os.ReadFile(filepath.Join(root, from))
		if err != nil {
			t.Fatalf("run these tests by \"make test-cluster\", which makes image and Helm: %v", err)
		}
		if err := os.WriteFile(c.Path(to), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.Must(t, "ctr", "--namespace", "k8s.io", "images", "import", "--base-name", imageRepository, "/tmp/agent.tar")
	for _, name := range strings.Fields(c.Must(t, "ctr", "--namespace", "k8s.io", "images", "list", "--quiet")) {
		if tag, ours := strings.CutPrefix(name, imageRepository+":"); ours {
			return &agents{cluster: c, tag: tag}
		}
	}
	t.Fatalf("containerd has no image %s", imageRepository)
	return nil
}

func (a *agents) helm(t *testing.T, args ...string) string {
	t.Helper()
	return a.Must(t, append([]string{helmProgram, "--kubeconfig=/etc/kubernetes/admin.conf", "--namespace", agentNamespace}, args...)...)
}

// chart is the chart and its values: events, one series for each deviation, and others.
func (a *agents) chart(values ...string) []string {
	args := []string{"symroute", deployDir + "/helm/symroute"}
	for _, value := range append([]string{"image.tag=" + a.tag, "events.enabled=true", "metrics.deviationSeries=true"}, values...) {
		args = append(args, "--set", value)
	}
	return args
}

// install installs or upgrades the chart and waits for the agent.
func (a *agents) install(t *testing.T, values ...string) {
	t.Helper()
	a.helm(t, append([]string{"upgrade", "--install", "--create-namespace"}, a.chart(values...)...)...)
	a.agentReady(t)
}

func (a *agents) agentReady(t *testing.T) {
	t.Helper()
	a.kubectl(t, "--namespace", agentNamespace, "rollout", "status", "daemonset/symroute-agent", "--timeout", patience.String())
}

// metric is the sum of the agent's series that start so.
func (a *agents) metric(series string) (float64, error) {
	text, err := get(a.node, netip.Addr{}, "http://127.0.0.1:9740/metrics", patience)
	if err != nil {
		return 0, err
	}
	var sum float64
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, series) {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
		if err != nil {
			return 0, fmt.Errorf("%q: %w", line, err)
		}
		sum += value
	}
	return sum, nil
}

// waitForMetric waits until the agent's series have a fine value.
func (a *agents) waitForMetric(t *testing.T, series string, fine func(value float64) bool) {
	t.Helper()
	eventually(t, series, func() error {
		value, err := a.metric(series)
		if err == nil && !fine(value) {
			err = fmt.Errorf("%s is %v", series, value)
		}
		return err
	})
}

func is(want float64) func(float64) bool { return func(value float64) bool { return value == want } }
func atLeast(want float64) func(float64) bool {
	return func(value float64) bool { return value >= want }
}

// waitForEvent waits until Kubernetes has an event of a pod.
func (a *agents) waitForEvent(t *testing.T, pod, reason string) {
	t.Helper()
	eventually(t, "event "+reason, func() error {
		notes, err := a.Run(kubectl("get", "events", "--field-selector", "reason="+reason+",involvedObject.name="+pod,
			"-o", "jsonpath={.items[*].message}")...)
		if err == nil && notes == "" {
			err = fmt.Errorf("%s has no event %s", pod, reason)
		}
		if err == nil {
			t.Logf("%s: %s", reason, notes)
		}
		return err
	})
}

const installedPlugin = "/opt/cni/bin/symroute"

// waitForPlugin waits until the plugin is where containerd looks for it, whole.
func (a *agents) waitForPlugin(t *testing.T) {
	t.Helper()
	eventually(t, installedPlugin, func() error {
		_, err := a.Run(installedPlugin, "--version")
		return err
	})
}

// routing is all that a pod routes by, sorted: of rules with one priority the order is that in which they were added.
func routing(t *testing.T, ns *netlab.NS) string {
	t.Helper()
	var all []string
	for _, family := range []string{"-4", "-6"} {
		all = slices.AppendSeq(all, strings.Lines(ns.IP(t, family, "rule", "show")+ns.IP(t, family, "route", "show", "table", "all")))
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// acceptsManifests: the API server accepts what the chart and kustomize make.
func acceptsManifests(t *testing.T, a *agents) {
	a.kubectl(t, "apply", "-f", deployDir+"/kustomize/base/namespace.yaml")
	// The test's pod needs a service account that is there: installsThePlugin runs it.
	rendered := a.helm(t, append([]string{"template", "--skip-tests"}, a.chart("drops.enabled=true", "resourceQuota.create=true", "grafanaDashboard.enabled=true")...)...)
	a.Write(t, "/tmp/rendered.yaml", rendered)
	a.kubectl(t, "apply", "--dry-run=server", "--namespace", agentNamespace, "-f", "/tmp/rendered.yaml")
	for _, dir := range []string{"base", "overlays/events", "overlays/uninstall"} {
		a.kubectl(t, "apply", "--dry-run=server", "-k", deployDir+"/kustomize/"+dir)
	}
}

// installsThePlugin: pods that wait for the plugin start when the agent has installed it.
func installsThePlugin(t *testing.T, a *agents) {
	a.apply(t, deployment("waits", 2))
	eventually(t, "a pod waits for the plugin", func() error {
		events, err := a.Run(kubectl("get", "events", "--field-selector", "reason=FailedCreatePodSandBox", "-o", "jsonpath={.items[*].message}")...)
		if err == nil && !strings.Contains(events, `failed to find plugin "symroute"`) {
			err = fmt.Errorf("the events are %q", events)
		}
		return err
	})
	a.install(t)
	a.waitForPlugin(t)
	a.rolledOut(t, "deployment/waits")
	for _, pod := range a.pods(t, "app=waits") {
		a.assertReachable(t, pod)
	}
	a.helm(t, "test", "symroute", "--timeout", patience.String())
}

// repairsALinkFlap: a pod answers on a NIC that went down and up, and the agent tells it.
func repairsALinkFlap(t *testing.T, a *agents) {
	a.deploy(t, "flap", 1)
	pod := a.pods(t, "app=flap")[0]
	a.waitForMetric(t, `symroute_attachments{state="symmetric"}`, is(2))
	ns := a.netns(t, pod)
	before := routing(t, ns)
	repairs, err := a.metric(`symroute_repairs_total{result="repaired"`)
	if err != nil {
		t.Fatal(err)
	}
	flaps, err := a.metric("symroute_link_flaps_total")
	if err != nil {
		t.Fatal(err)
	}

	ns.Batch(t, "link set eth1 down", "link set eth1 up")
	began := time.Now()
	eventually(t, "the pod routes as before", func() error {
		if now := routing(t, ns); now != before {
			return fmt.Errorf("before:\n%s\nnow:\n%s", before, now)
		}
		return nil
	})
	t.Logf("repaired after %v", time.Since(began).Round(time.Millisecond))
	a.assertReachable(t, pod)
	a.waitForMetric(t, `symroute_repairs_total{result="repaired",trigger="link"}`, atLeast(repairs+1))
	a.waitForMetric(t, "symroute_link_flaps_total", atLeast(flaps+1))
	a.waitForEvent(t, pod, "RoutingRepaired")
}

// namesADeletedRule: a rule that somebody deletes is named by default, and put back if the agent
// is to repair all.
func namesADeletedRule(t *testing.T, a *agents) {
	a.deploy(t, "rule", 1)
	pod := a.pods(t, "app=rule")[0]
	a.waitForMetric(t, `symroute_attachments{state="symmetric"}`, is(2))
	ns := a.netns(t, pod)
	before := routing(t, ns)
	address := a.addresses(t, ns)[2] // eth1, IPv4
	ns.Batch(t, "rule del from "+address)

	a.waitForMetric(t, `symroute_attachments{state="deviating"}`, is(1))
	a.waitForMetric(t, "symroute_attachment_deviation{", is(1))
	a.waitForEvent(t, pod, "RoutingAsymmetric")
	if name, err := a.get(address, unanswered); err == nil {
		t.Errorf("%s answers at %s without its rule: the test shows nothing", name, address)
	}

	a.install(t, "repair.mode=all")
	a.waitForMetric(t, `symroute_attachments{state="symmetric"}`, is(2))
	if now := routing(t, ns); now != before {
		t.Errorf("before:\n%s\nrepaired:\n%s", before, now)
	}
	a.waitForEvent(t, pod, "RoutingRepaired")
	a.assertReachable(t, pod)
	a.install(t)
}

// restartsUnnoticed: pods start and end while the agent is upgraded and killed.
func restartsUnnoticed(t *testing.T, a *agents) {
	const replicas = 5
	a.deploy(t, "churn", 1)
	disturb := []func(){
		func() { a.kubectl(t, "--namespace", agentNamespace, "rollout", "restart", "daemonset/symroute-agent") },
		func() {
			eventually(t, "there is an agent to kill", func() error {
				_, err := a.Run("pkill", "-KILL", "-x", "symroute-agent")
				return err
			})
		},
	}
	for _, hit := range disturb {
		a.agentReady(t)
		a.kubectl(t, "scale", "deployment/churn", fmt.Sprintf("--replicas=%d", replicas))
		hit()
		a.rolledOut(t, "deployment/churn")
		for _, pod := range a.pods(t, "app=churn") {
			a.assertReachable(t, pod)
		}
		a.agentReady(t)
		a.kubectl(t, "scale", "deployment/churn", "--replicas=0")
		hit()
		a.kubectl(t, "wait", "--for=delete", "pod", "-l", "app=churn", "--timeout", patience.String())
	}
	a.agentReady(t)
	a.assertNothingLeft(t)
}

// putsADeletedPluginBack: the plugin that somebody deletes comes back.
func putsADeletedPluginBack(t *testing.T, a *agents) {
	before, err := os.ReadFile(a.Path(installedPlugin))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(a.Path(installedPlugin)); err != nil {
		t.Fatal(err)
	}
	a.waitForPlugin(t)
	after, err := os.ReadFile(a.Path(installedPlugin))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("another plugin came back")
	}
}

// uninstallsLast: the plugin goes when the last pod that needs it has gone, and not before.
func uninstallsLast(t *testing.T, a *agents) {
	a.deploy(t, "last", 1)
	a.helm(t, append([]string{"upgrade"}, a.chart("uninstall=true")...)...)
	eventually(t, "it refuses", func() error {
		codes, err := a.Run(kubectl("--namespace", agentNamespace, "get", "pods", "-l", "app.kubernetes.io/component=agent", "-o",
			"jsonpath={.items[*].status.initContainerStatuses[*]['state','lastState'].terminated.exitCode}")...)
		if err == nil && strings.Trim(codes, "0 ") == "" {
			err = fmt.Errorf("the exit codes are %q", codes)
		}
		return err
	})
	a.waitForPlugin(t)
	a.kubectl(t, "delete", "deployment", "last")
	a.kubectl(t, "wait", "--for=delete", "pod", "-l", "app=last", "--timeout", patience.String())
	a.agentReady(t)
	if _, err := os.Stat(a.Path(installedPlugin)); !os.IsNotExist(err) {
		t.Errorf("the plugin is still there: %v", err)
	}
	a.helm(t, "uninstall", "symroute", "--wait")
	a.assertNothingLeft(t)
}
