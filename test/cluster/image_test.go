package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// podImage is what all pods of the tests run: ./pod.
const podImage = "cluster.test/pod:1"

// buildPodImage returns the image as `docker save` writes one
// (https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md), with one file in it.
func buildPodImage(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "pod")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./pod")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build ./pod: %v\n%s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	layer := archive(t, file{"pod", content})
	config := toJSON(t, object{
		"architecture": "amd64", "os": "linux",
		"config": object{"Entrypoint": []string{"/pod"}, "Cmd": []string{"pause"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}},
	})
	manifest := toJSON(t, []object{{"Config": "config.json", "RepoTags": []string{podImage}, "Layers": []string{"layer.tar"}}})
	return string(archive(t, file{"config.json", config}, file{"layer.tar", layer}, file{"manifest.json", manifest}))
}

// file is one of an archive.
type file struct {
	name    string
	content []byte
}

func archive(t *testing.T, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func toJSON(t *testing.T, value any) []byte {
	t.Helper()
	content, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
