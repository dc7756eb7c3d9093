package manifests

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// TestArguments hands each container's arguments to the executable of this tree, with --help behind them: it takes them apart
// as it would to work, refuses what it does not know, and does nothing.
func TestArguments(t *testing.T) {
	t.Parallel()
	agent := build(t, "./cmd/symroute-agent")
	ctl := build(t, "./cmd/symroutectl")
	if out, err := exec.Command(agent, "run", "--no-such-flag", "--help").CombinedOutput(); err == nil {
		t.Fatalf("this test cannot fail: an unknown flag is taken: %s", out)
	}
	forEachVariant(t, func(t *testing.T, _ string, r rendering) {
		pod := the[*appsv1.DaemonSet](t, r).Spec.Template.Spec
		for _, c := range containers(pod) {
			if len(c.Command) > 0 {
				t.Errorf("%s: the image's entrypoint is replaced by %q", c.Name, c.Command)
			}
			takes(t, agent, c)
		}
		c := the[*corev1.Pod](t, r).Spec.Containers[0]
		if len(c.Command) != 1 || c.Command[0] != "/symroutectl" {
			t.Errorf("the test runs %q", c.Command)
		}
		takes(t, ctl, c)
	})
}

func takes(t *testing.T, executable string, c corev1.Container) {
	t.Helper()
	out, err := exec.Command(executable, append(c.Args[:len(c.Args):len(c.Args)], "--help")...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), c.Args[0]) {
		t.Errorf("container %s: %q: %v: %s", c.Name, c.Args, err, out)
	}
}

// build is an executable of this tree.
func build(t *testing.T, pkg string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", file, pkg)
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}
