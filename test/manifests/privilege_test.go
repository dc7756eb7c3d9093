package manifests

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestLeastPrivilege is about what no container may have, whatever the values are.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	forEachVariant(t, func(t *testing.T, name string, r rendering) {
		if got := len(pods(r)); got != 2 {
			t.Fatalf("want the pods of the agent and of the test, got %d", got)
		}
		for _, pod := range pods(r) {
			if pod.HostPID || pod.HostIPC || !pod.HostNetwork || pod.DNSPolicy != corev1.DNSClusterFirstWithHostNet {
				t.Errorf("hostPID %t, hostIPC %t, hostNetwork %t, DNS %s", pod.HostPID, pod.HostIPC, pod.HostNetwork, pod.DNSPolicy)
			}
			for _, c := range containers(pod) {
				checkContainer(t, c)
			}
		}
		events := strings.Contains(variants[name], "events: {enabled: true}")
		if token := the[*appsv1.DaemonSet](t, r).Spec.Template.Spec.AutomountServiceAccountToken; token == nil || *token != events {
			t.Errorf("events: %t, but the token is mounted: %v", events, token)
		}
		if token := the[*corev1.ServiceAccount](t, r).AutomountServiceAccountToken; token == nil || *token != events {
			t.Errorf("events: %t, but the service account's token is mounted: %v", events, token)
		}
		if token := the[*corev1.Pod](t, r).Spec.AutomountServiceAccountToken; token == nil || *token {
			t.Errorf("the test's pod has a token: %v", token)
		}
		if roles := len(of[*rbacv1.ClusterRole](r)) + len(of[*rbacv1.ClusterRoleBinding](r)); roles > 0 != events {
			t.Errorf("events: %t, but %d cluster roles and bindings", events, roles)
		}
		if roles := len(of[*rbacv1.Role](r)) + len(of[*rbacv1.RoleBinding](r)); roles > 0 != (name == "openshift") {
			t.Errorf("%d roles and bindings", roles)
		}
	})
}

func checkContainer(t *testing.T, c corev1.Container) {
	t.Helper()
	no := func(b *bool) bool { return b != nil && !*b }
	yes := func(b *bool) bool { return b != nil && *b }
	s := c.SecurityContext
	if s == nil || s.Capabilities == nil || s.SeccompProfile == nil {
		t.Fatalf("%s: its security context says too little: %+v", c.Name, s)
	}
	if !no(s.Privileged) || !no(s.AllowPrivilegeEscalation) || !yes(s.ReadOnlyRootFilesystem) {
		t.Errorf("%s: is privileged, or may become so, or may write to its image: %+v", c.Name, s)
	}
	if !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("%s: drops %v", c.Name, s.Capabilities.Drop)
	}
	if s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: seccomp %s", c.Name, s.SeccompProfile.Type)
	}
	requests, limits := c.Resources.Requests, c.Resources.Limits
	if requests.Cpu().IsZero() || requests.Memory().IsZero() || limits.Memory().IsZero() {
		t.Errorf("%s: resources %+v", c.Name, c.Resources)
	}
	if c.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError {
		t.Errorf("%s: terminationMessagePolicy %q", c.Name, c.TerminationMessagePolicy)
	}
	for _, m := range c.VolumeMounts {
		if m.MountPropagation != nil && *m.MountPropagation == corev1.MountPropagationBidirectional {
			t.Errorf("%s: what it mounts at %s shows on the node", c.Name, m.MountPath)
		}
	}
}

// TestCapabilities has the exact ones of each option.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	for values, want := range map[string][]corev1.Capability{
		"":                        {"SYS_ADMIN", "NET_ADMIN", "NET_BROADCAST"},
		"repair: {mode: all}":     {"SYS_ADMIN", "NET_ADMIN", "NET_BROADCAST"},
		"repair: {mode: 'off'}":   {"SYS_ADMIN", "NET_BROADCAST"},
		"watch: {enabled: false}": {"SYS_ADMIN", "NET_ADMIN"},
		"{watch: {enabled: false}, repair: {mode: 'off'}}":    {"SYS_ADMIN"},
		"drops: {enabled: true}":                              {"SYS_ADMIN", "NET_ADMIN", "NET_BROADCAST"},
		"platform: openshift":                                 {"SYS_ADMIN", "NET_ADMIN", "NET_BROADCAST"},
		"uninstall: true":                                     {"SYS_ADMIN", "NET_BROADCAST"},
		"securityContext: {capabilities: {add: [SYS_ADMIN]}}": {"SYS_ADMIN"},
	} {
		r := render(t, values)
		if diff := cmp.Diff(want, agent(t, r).SecurityContext.Capabilities.Add); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", values, diff)
		}
		for _, c := range slices.Concat(the[*appsv1.DaemonSet](t, r).Spec.Template.Spec.InitContainers, the[*corev1.Pod](t, r).Spec.Containers) {
			if diff := cmp.Diff([]corev1.Capability{"SYS_ADMIN"}, c.SecurityContext.Capabilities.Add); diff != "" {
				t.Errorf("%s: container %s: (-want +got)\n%s", values, c.Name, diff)
			}
		}
	}
}

// TestMounts has the exact ones of each option, "w" where the container may write: never /etc/cni/net.d, nor all of the node.
func TestMounts(t *testing.T) {
	t.Parallel()
	records := []string{
		"/run/netns at /run/netns", "/run/netns at /var/run/netns", "/var/lib/cni at /var/lib/cni",
		"/run/cni/symroute at /run/cni/symroute w",
	}
	bin := "/opt/cni/bin at /opt/cni/bin w"
	settings := "/proc/sys/net at /host/proc/sys/net w"
	for values, want := range map[string][]string{
		"":                          slices.Concat([]string{bin}, records, []string{settings}),
		"repair: {mode: 'off'}":     slices.Concat([]string{bin}, records),
		"install: {enabled: false}": slices.Concat(records, []string{settings}),
		"uninstall: true":           records,
		"events: {enabled: true}":   slices.Concat([]string{bin}, records, []string{settings}),
		"drops: {enabled: true}":    slices.Concat([]string{bin}, records, []string{settings}),
		"cni: {dataDirs: [/run/cni/symroute, /srv/records/]}": slices.Concat(
			[]string{bin}, records, []string{"/srv/records at /srv/records w", settings}),
		"platform: talos": {
			bin, "/var/run/netns at /var/run/netns", "/var/run/netns at /run/netns", "/var/lib/cni at /var/lib/cni",
			"/run/cni/symroute at /run/cni/symroute w", settings,
		},
	} {
		r := render(t, values)
		d := the[*appsv1.DaemonSet](t, r).Spec.Template.Spec
		if diff := cmp.Diff(want, mounts(t, d, d.Containers[0])); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", values, diff)
		}
		for _, c := range d.InitContainers {
			if diff := cmp.Diff(slices.Concat([]string{bin}, records), mounts(t, d, c)); diff != "" {
				t.Errorf("%s: container %s: (-want +got)\n%s", values, c.Name, diff)
			}
		}
		p := the[*corev1.Pod](t, r).Spec
		if got := mounts(t, p, p.Containers[0]); values == "" && !slices.Equal(got, records) {
			t.Errorf("the test's pod has %q, want %q", got, records)
		}
	}
}

func mounts(t *testing.T, pod corev1.PodSpec, c corev1.Container) []string {
	t.Helper()
	paths := hostPaths(pod)
	var all []string
	for _, m := range c.VolumeMounts {
		path, known := paths[m.Name]
		if !known {
			t.Errorf("container %s: no volume %s", c.Name, m.Name)
		}
		if m.Name == "netns" && (m.MountPropagation == nil || *m.MountPropagation != corev1.MountPropagationHostToContainer) {
			t.Errorf("container %s: namespaces that come later are not seen at %s", c.Name, m.MountPath)
		}
		text := path + " at " + m.MountPath
		if !m.ReadOnly {
			text += " w"
		}
		all = append(all, text)
	}
	return all
}

// TestEveryNode is about nodes that a DaemonSet would leave out, or leave without an agent.
func TestEveryNode(t *testing.T) {
	t.Parallel()
	pod := the[*appsv1.DaemonSet](t, render(t, "")).Spec.Template.Spec
	if diff := cmp.Diff([]corev1.Toleration{{Operator: corev1.TolerationOpExists}}, pod.Tolerations); diff != "" {
		t.Errorf("tolerations: (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"kubernetes.io/os": "linux"}, pod.NodeSelector); diff != "" {
		t.Errorf("nodeSelector: (-want +got)\n%s", diff)
	}
	if pod.PriorityClassName != "system-node-critical" {
		t.Errorf("priorityClassName %q", pod.PriorityClassName)
	}
}

// TestRoles has what the agent may do at the API server, exactly.
func TestRoles(t *testing.T) {
	t.Parallel()
	r := render(t, "events: {enabled: true}")
	want := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
	}
	if diff := cmp.Diff(want, the[*rbacv1.ClusterRole](t, r).Rules); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	binding := the[*rbacv1.ClusterRoleBinding](t, r)
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Name: "symroute-agent", Namespace: namespace}}
	if diff := cmp.Diff(subjects, binding.Subjects); diff != "" || binding.RoleRef.Name != the[*rbacv1.ClusterRole](t, r).Name {
		t.Errorf("role %s, subjects (-want +got)\n%s", binding.RoleRef.Name, diff)
	}
}
