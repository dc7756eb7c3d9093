package manifests

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// TestKustomize compares what deploy/kustomize asks for with what the chart does, with the values of each: all but the namespace,
// which the chart's user creates, the pod of "helm test", and the labels that only Helm reads.
func TestKustomize(t *testing.T) {
	t.Parallel()
	for folder, values := range map[string]string{
		"base":                "",
		"overlays/events":     "events: {enabled: true}",
		"overlays/prometheus": "{podMonitor: {enabled: true}, prometheusRule: {enabled: true}}",
		// The service account is there already.
		"overlays/uninstall": "{uninstall: true, serviceAccount: {create: false, name: symroute-agent}}",
	} {
		got := objectsOf(t, kustomization(t, folder))
		if folder != "overlays/uninstall" {
			const key = "Namespace symroute-system"
			ns, is := got[key].(*corev1.Namespace)
			if !is || ns.Labels["pod-security.kubernetes.io/enforce"] != "privileged" {
				t.Errorf("%s: the namespace does not allow the agent's pods: %v", folder, got[key])
			}
			delete(got, key)
		}
		want := objectsOf(t, render(t, values))
		delete(want, "Pod symroute-check")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-chart +kustomize)\n%s", folder, diff)
		}
	}
}

// kustomization is what "kubectl kustomize" makes of a folder.
func kustomization(t *testing.T, folder string) rendering {
	t.Helper()
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), root+"/deploy/kustomize/"+folder)
	if err != nil {
		t.Fatalf("%s: %v", folder, err)
	}
	text, err := objects.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, string(text))
}

// objectsOf are objects by kind and name, without Helm's labels.
func objectsOf(t *testing.T, r rendering) map[string]runtime.Object {
	t.Helper()
	all := map[string]runtime.Object{}
	for _, object := range r {
		o, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		delete(o.GetLabels(), "helm.sh/chart")
		delete(o.GetLabels(), "app.kubernetes.io/managed-by")
		all[object.GetObjectKind().GroupVersionKind().Kind+" "+o.GetName()] = object
	}
	return all
}

// TestKustomizeIsWritten holds the files to what "make manifests" writes, with the comments that the API server never sees.
func TestKustomizeIsWritten(t *testing.T) {
	t.Parallel()
	written := t.TempDir()
	if out, err := exec.Command("bash", root+"/scripts/manifests", written).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := 0
	err := filepath.WalkDir(written, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		name := strings.TrimPrefix(path, written)
		want, err := os.ReadFile(path)
		got, missing := os.ReadFile(root + "/deploy/kustomize" + name)
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not what the chart renders; 'make manifests' writes it: (-want +got)\n%s", name, diff)
		}
		return errors.Join(err, missing)
	})
	if err != nil || files == 0 {
		t.Errorf("%d files: %v", files, err)
	}
}
