package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSemantic: krew takes versions that begin with v and are semantic ones.
func TestSemantic(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"v1.2.3":            "v1.2.3",
		"v1.2.3-rc.1":       "v1.2.3-rc.1",
		"v1.2.3-4-g0123abc": "v1.2.3-4-g0123abc",
		"0123456":           "v0.0.0-g0123456", // a number must not begin with 0
		"0123abc-dirty":     "v0.0.0-g0123abc-dirty",
		"unreleased":        "v0.0.0-gunreleased",
	} {
		if got := semantic(version); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

// TestKrew: the manifest has one platform for each archive, with its checksum and where it will be.
func TestKrew(t *testing.T) {
	t.Parallel()
	b := testBuild()
	b.root, b.arches = t.TempDir(), []string{"amd64", "s390x"}
	text, err := os.ReadFile("../../deploy/krew/symroute.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"deploy/krew/symroute.yaml":     string(text),
		"dist/symroute-linux-amd64.tgz": "archive of amd64",
		"dist/symroute-linux-s390x.tgz": "archive of s390x",
	} {
		path := filepath.Join(b.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.krew(); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(b.root, "dist", "symroute-krew.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	const of = "https://github.com/symroute/symroute/releases/download/v1.2.3/symroute-linux-"
	for _, want := range []string{
		"\n  name: symroute\n", "\n  version: v1.2.3\n",
		"\n          arch: amd64\n      uri: " + of + "amd64.tgz\n      sha256: " + sum256([]byte("archive of amd64")) + "\n",
		"\n          arch: s390x\n      uri: " + of + "s390x.tgz\n      sha256: " + sum256([]byte("archive of s390x")) + "\n",
	} {
		if !strings.Contains(string(manifest), want) {
			t.Errorf("no %q in\n%s", want, manifest)
		}
	}
	if n := strings.Count(string(manifest), "- selector:"); n != 2 {
		t.Errorf("%d platforms, want 2, in\n%s", n, manifest)
	}
}
