// Package manifests tests the Helm chart and deploy/kustomize: what they render, that they ask for no more than is needed,
// and that they fit the agent, its metrics and its documentation.
package manifests

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

const (
	root      = "../.."
	chart     = root + "/deploy/helm/symroute"
	namespace = "symroute-system"
)

// variants are values that users set. What must hold for the chart holds for all of them.
var variants = map[string]string{
	"default":        "",
	"k3s":            "platform: k3s",
	"rke2":           "platform: rke2",
	"microk8s":       "platform: microk8s",
	"gke":            "platform: gke",
	"talos":          "platform: talos",
	"openshift":      "platform: openshift",
	"events":         "events: {enabled: true}",
	"drops":          "drops: {enabled: true}",
	"monitoring":     "{podMonitor: {enabled: true}, prometheusRule: {enabled: true}, grafanaDashboard: {enabled: true}}",
	"silent":         "metrics: {enabled: false}",
	"not watching":   "watch: {enabled: false}",
	"not repairing":  "repair: {mode: 'off'}",
	"repairing all":  "repair: {mode: all}",
	"not installing": "install: {enabled: false}",
	"audit only":     "{install: {enabled: false}, watch: {enabled: false}, repair: {mode: 'off'}}",
	"uninstall":      "uninstall: true",
	"two data dirs":  "cni: {dataDirs: [/run/cni/symroute, /var/lib/symroute/]}",
	"IPv6":           "metrics: {bindAddress: '2001:db8::1'}",
	"all that users may set": `
image: {repository: registry.example/symroute, tag: v9, digest: "sha256:` + strings.Repeat("0a", 32) + `", pullPolicy: Always}
imagePullSecrets: [{name: registry}]
nameOverride: sym
fullnameOverride: net
cni: {binDir: /srv/bin/, cacheDir: /srv/cache, netnsDir: /var/run/docker/netns, dataDirs: [/srv/records]}
audit: {interval: 1h30m}
events: {enabled: true}
drops: {enabled: true}
metrics: {port: 19740, bindAddress: 192.0.2.1, deviationSeries: true}
health: {port: 19741}
log: {format: text, level: debug}
podMonitor:
  enabled: true
  namespace: monitoring
  labels: {release: prometheus}
  interval: 30s
  scrapeTimeout: 10s
  relabelings: [{sourceLabels: [__meta_kubernetes_pod_node_name], targetLabel: nodename}]
  metricRelabelings: [{sourceLabels: [__name__], regex: go_.*, action: drop}]
prometheusRule:
  enabled: true
  namespace: monitoring
  labels: {release: prometheus}
  alertLabels: {team: network}
  runbookURL: https://x.example/y
grafanaDashboard: {enabled: true, namespace: monitoring, labels: {grafana: "yes"}, annotations: {grafana_folder: Network}}
serviceAccount: {name: agent, annotations: {a: b}}
resources: {requests: {cpu: 20m, memory: 80Mi}, limits: {cpu: 1, memory: 256Mi}}
securityContext: {appArmorProfile: {type: Unconfined}}
tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}]
nodeSelector: {network: multi}
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: x, operator: Exists}]}]}}}
priorityClassName: high
updateStrategy: {type: OnDelete, rollingUpdate: null}
podAnnotations: {a: b}
podLabels: {c: d}
extraEnv: [{name: GODEBUG, value: madvdontneed=1}, {name: IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}]
`,
}

// forEachVariant runs a test for each of the variants.
func forEachVariant(t *testing.T, test func(t *testing.T, name string, r rendering)) {
	for _, name := range slices.Sorted(maps.Keys(variants)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, name, render(t, variants[name]))
		})
	}
}

// rendering is what a chart or a kustomization asks the API server for.
type rendering []runtime.Object

// render is the chart with values. Each document of it is decoded strictly.
func render(t *testing.T, values string) rendering {
	t.Helper()
	out, err := template(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, out)
}

// template is the text of the chart with values, or what Helm says against them.
func template(t *testing.T, values string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	return helm(t, "template", "symroute", chart, "--namespace", namespace, "--values", file)
}

// helm runs Helm as built by "make bin/helm", with no settings of the user's.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(root+"/bin/helm", args...)
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME=/nonexistent", "HELM_DATA_HOME=/nonexistent", "HELM_CACHE_HOME="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, refused := errors.AsType[*exec.ExitError](err); refused {
		return "", errors.New(stderr.String())
	}
	if err != nil {
		t.Fatalf("%v; 'make bin/helm' builds it", err)
	}
	return stdout.String(), nil
}

// decode takes documents apart into the types of their kinds. A field that a type does not have is an error, and so is a kind
// that is not expected here.
func decode(t *testing.T, text string) rendering {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, rbacv1.AddToScheme, monitoringv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var all rendering
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if onlyComments(document) {
			continue
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%v:\n%s", err, document)
		}
		all = append(all, object)
	}
}

func onlyComments(document []byte) bool {
	for line := range strings.Lines(string(document)) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// of are the objects of a type.
func of[T runtime.Object](r rendering) []T {
	var found []T
	for _, object := range r {
		if o, is := object.(T); is {
			found = append(found, o)
		}
	}
	return found
}

// the is the only object of a type.
func the[T runtime.Object](t *testing.T, r rendering) T {
	t.Helper()
	found := of[T](r)
	if len(found) != 1 {
		t.Fatalf("want one %T, got %d", *new(T), len(found))
	}
	return found[0]
}

// pods are the specifications of all pods: that of the agent, and that of "helm test".
func pods(r rendering) []corev1.PodSpec {
	var all []corev1.PodSpec
	for _, d := range of[*appsv1.DaemonSet](r) {
		all = append(all, d.Spec.Template.Spec)
	}
	for _, p := range of[*corev1.Pod](r) {
		all = append(all, p.Spec)
	}
	return all
}

func containers(pod corev1.PodSpec) []corev1.Container {
	return slices.Concat(pod.InitContainers, pod.Containers)
}

func agent(t *testing.T, r rendering) corev1.Container {
	t.Helper()
	return the[*appsv1.DaemonSet](t, r).Spec.Template.Spec.Containers[0]
}

func TestObjects(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, name string, r rendering) {
		for _, object := range r {
			o, err := meta.Accessor(object)
			if err != nil {
				t.Fatal(err)
			}
			kind := object.GetObjectKind().GroupVersionKind().Kind
			for _, label := range []string{
				"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "app.kubernetes.io/version",
				"app.kubernetes.io/part-of", "app.kubernetes.io/managed-by", "helm.sh/chart",
			} {
				if o.GetLabels()[label] == "" {
					t.Errorf("%s %s has no label %s", kind, o.GetName(), label)
				}
			}
			wanted := namespace
			switch {
			case kind == "ClusterRole" || kind == "ClusterRoleBinding":
				wanted = ""
			case name == "all that users may set" && (kind == "PodMonitor" || kind == "PrometheusRule" || kind == "ConfigMap"):
				wanted = "monitoring"
			}
			if o.GetNamespace() != wanted {
				t.Errorf("%s %s is in namespace %q, want %q", kind, o.GetName(), o.GetNamespace(), wanted)
			}
		}
		d := the[*appsv1.DaemonSet](t, r)
		selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		if err != nil {
			t.Fatal(err)
		}
		if !selector.Matches(labels.Set(d.Spec.Template.Labels)) {
			t.Errorf("the selector %s does not select the pods, which have %v", selector, d.Spec.Template.Labels)
		}
		for _, p := range of[*corev1.Pod](r) {
			if selector.Matches(labels.Set(p.Labels)) {
				t.Errorf("the selector %s takes the pod %s for the agent's", selector, p.Name)
			}
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	r := render(t, "")
	if d := the[*appsv1.DaemonSet](t, r); d.Name != "symroute-agent" || d.Spec.Template.Spec.ServiceAccountName != "symroute-agent" {
		t.Errorf("got DaemonSet %s, service account %s", d.Name, d.Spec.Template.Spec.ServiceAccountName)
	}
	if a := the[*corev1.ServiceAccount](t, r); a.Name != "symroute-agent" {
		t.Errorf("got service account %s", a.Name)
	}
	if a := agent(t, r); a.Name != "agent" {
		t.Errorf("got container %s", a.Name)
	}
}

func TestImage(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("0a", 32)
	for values, want := range map[string]string{
		"image: {tag: v9}":                                "ghcr.io/symroute/symroute:v9",
		"image: {digest: '" + digest + "'}":               "ghcr.io/symroute/symroute:v0.1.0@" + digest,
		"image: {repository: 'x.example:5000/y', tag: z}": "x.example:5000/y:z",
	} {
		for _, pod := range pods(render(t, values)) {
			for _, c := range containers(pod) {
				if c.Image != want {
					t.Errorf("%s: got %s of container %s, want %s", values, c.Image, c.Name, want)
				}
			}
		}
	}
}

// TestPlatforms compares with what docs/kubernetes.md lists.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	for platform, want := range map[string]struct{ bin, netns string }{
		"":          {"/opt/cni/bin", "/run/netns"},
		"k3s":       {"/var/lib/rancher/k3s/data/cni", "/run/netns"},
		"rke2":      {"/opt/cni/bin", "/run/netns"},
		"microk8s":  {"/var/snap/microk8s/current/opt/cni/bin", "/run/netns"},
		"gke":       {"/home/kubernetes/bin", "/run/netns"},
		"talos":     {"/opt/cni/bin", "/var/run/netns"},
		"openshift": {"/var/lib/cni/bin", "/run/netns"},
	} {
		r := render(t, "platform: '"+platform+"'")
		paths := hostPaths(the[*appsv1.DaemonSet](t, r).Spec.Template.Spec)
		if paths["cni-bin"] != want.bin || paths["netns"] != want.netns || paths["cni-cache"] != "/var/lib/cni" {
			t.Errorf("platform %q: want %v, got %v", platform, want, paths)
		}
		if !slices.Contains(agent(t, r).Args, "--bin-dir="+want.bin) {
			t.Errorf("platform %q: the agent gets %v", platform, agent(t, r).Args)
		}
		if quotas := of[*corev1.ResourceQuota](r); (len(quotas) > 0) != (platform == "gke") {
			t.Errorf("platform %q: got %d resource quotas", platform, len(quotas))
		}
		if options := agent(t, r).SecurityContext.SELinuxOptions; (options != nil) != (platform == "openshift") {
			t.Errorf("platform %q: got SELinux options %v", platform, options)
		}
	}
	r := render(t, "{platform: k3s, cni: {binDir: /srv/bin}}")
	if paths := hostPaths(the[*appsv1.DaemonSet](t, r).Spec.Template.Spec); paths["cni-bin"] != "/srv/bin" {
		t.Errorf("the user's binDir does not count: %v", paths)
	}
}

func hostPaths(pod corev1.PodSpec) map[string]string {
	paths := map[string]string{}
	for _, v := range pod.Volumes {
		if v.HostPath != nil {
			paths[v.Name] = v.HostPath.Path
		}
	}
	return paths
}

// TestProbes holds the probes to the address that the agent listens at.
func TestProbes(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, _ string, r rendering) {
		a := agent(t, r)
		for path, probe := range map[string]*corev1.Probe{"/readyz": a.ReadinessProbe, "/healthz": a.LivenessProbe} {
			if probe == nil || probe.HTTPGet == nil {
				t.Fatalf("no probe of %s", path)
			}
			flag := "--health-probe-bind-address=" + probe.HTTPGet.Host + ":" + probe.HTTPGet.Port.String()
			if probe.HTTPGet.Path != path || probe.HTTPGet.Host != "127.0.0.1" || !slices.Contains(a.Args, flag) {
				t.Errorf("the kubelet asks %+v, the agent gets %v", probe.HTTPGet, a.Args)
			}
		}
	})
}

// TestLint has Helm's own opinion.
func TestLint(t *testing.T) {
	t.Parallel()
	if _, err := helm(t, "lint", "--strict", "--quiet", chart); err != nil {
		t.Error(err)
	}
}

// TestPackage packages the chart twice, as two clones would have it: with other times of the files.
func TestPackage(t *testing.T) {
	t.Parallel()
	var packages [2][]byte
	for i := range packages {
		clone := t.TempDir()
		for _, dir := range []string{"deploy", "scripts"} {
			if err := os.CopyFS(filepath.Join(clone, dir), os.DirFS(filepath.Join(root, dir))); err != nil {
				t.Fatal(err)
			}
		}
		helm, err := filepath.Abs(root + "/bin/helm")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Mkdir(clone+"/bin", 0o700), os.Symlink(helm, clone+"/bin/helm")); err != nil {
			t.Fatal(err)
		}
		then := time.Unix(int64(1_000_000_000*(i+1)), 0)
		if err := os.Chtimes(clone+"/deploy/helm/symroute/values.yaml", then, then); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("bash", clone+"/scripts/chart", "v0.1.0", clone+"/dist")
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(clone))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if packages[i], err = os.ReadFile(clone + "/dist/symroute-0.1.0.tgz"); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packages[0], packages[1]) {
		t.Error("two packages of the same chart differ")
	}
}
