// Package release tests what "make release" makes: that it is complete, the same from the same sources, and
// what those take who download it: runtimes, krew, tar, scanners.
//
//	go test -count=1 ./test/release
//
// The tests build for the architecture of this machine alone. The chart has its own tests (test/manifests).
package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

const (
	root     = "../.."
	version  = "v1.2.3"
	revision = "0123456789abcdef0123456789abcdef01234567"
	epoch    = 1_700_000_000
)

// sources are what a release is made of. The chart is left out: Helm compiles for minutes.
func sources() []string {
	return []string{"LICENSE", "Makefile", "go.mod", "go.sum", "cmd", "deploy/krew", "pkg", "plugins", "scripts"}
}

// released are two releases of the same sources, made in two folders.
var released = sync.OnceValues(func() ([2]string, error) {
	var out [2]string
	for i := range out {
		dir, err := os.MkdirTemp("", "symroute-release-")
		if err != nil {
			return out, err
		}
		out[i] = dir
		if err := release(dir); err != nil {
			return out, err
		}
	}
	return out, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	dirs, _ := released()
	for _, dir := range dirs {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// release copies the sources to a folder that is no git repository, and makes a release there.
func release(dir string) error {
	for _, name := range sources() {
		target := filepath.Join(dir, filepath.Dir(name))
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if out, err := exec.Command("cp", "-R", filepath.Join(root, name), target).CombinedOutput(); err != nil {
			return fmt.Errorf("cp: %w\n%s", err, out)
		}
	}
	// To be signed with a key that is thrown away.
	key := filepath.Join(dir, "key")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "release", "-f", key).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ssh-keygen: %w\n%s", err, out)
	}
	cmd := exec.Command("make", "release", "ARCHES="+runtime.GOARCH, "RELEASE="+version, "REVISION="+revision, "SIGN_KEY="+key)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), fmt.Sprint("SOURCE_DATE_EPOCH=", epoch))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make release: %w\n%s", err, out)
	}
	return nil
}

// dist is the folder of a release.
func dist(t *testing.T) string {
	t.Helper()
	dirs, err := released()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dirs[0], "dist")
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// archive is the name of what README fetches.
func archive() string { return "symroute-linux-" + runtime.GOARCH + ".tgz" }

// TestFiles: a release has these files, and SHA256SUMS has all of them.
func TestFiles(t *testing.T) {
	t.Parallel()
	want := []string{"symroute-image.tar", "symroute-krew.yaml", "symroute-linux-" + runtime.GOARCH + ".spdx.json", archive()}
	entries, err := os.ReadDir(dist(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		if !entry.IsDir() {
			got = append(got, entry.Name())
		}
	}
	if diff := cmp.Diff(append([]string{"SHA256SUMS", "SHA256SUMS.sig"}, want...), got); diff != "" {
		t.Error("files (-want +got):\n" + diff)
	}
	var sums strings.Builder
	for _, name := range want {
		fmt.Fprintf(&sums, "%s  %s\n", sum(read(t, dist(t), name)), name)
	}
	if diff := cmp.Diff(sums.String(), string(read(t, dist(t), "SHA256SUMS"))); diff != "" {
		t.Error("SHA256SUMS (-want +got):\n" + diff)
	}
}

// TestReproducible: the same sources in another folder, some time later, give the same bytes.
func TestReproducible(t *testing.T) {
	t.Parallel()
	dirs, err := released()
	if err != nil {
		t.Fatal(err)
	}
	var sums [2]map[string]string
	for i, dir := range dirs {
		sums[i] = map[string]string{}
		for _, below := range []string{"dist", "bin/linux-" + runtime.GOARCH} {
			err := filepath.WalkDir(filepath.Join(dir, below), func(path string, entry os.DirEntry, err error) error {
				// Each run has its own key.
				if err == nil && !entry.IsDir() && entry.Name() != "SHA256SUMS.sig" {
					sums[i][strings.TrimPrefix(path, dir)] = sum(read(t, path))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(sums[0], sums[1]); diff != "" || len(sums[0]) < 10 {
		t.Errorf("%d files; first and second run differ:\n%s", len(sums[0]), diff)
	}
}

// TestSigned: the signature is verified as RELEASING.md says, and refused if a checksum is another one.
func TestSigned(t *testing.T) {
	t.Parallel()
	dirs, err := released()
	if err != nil {
		t.Fatal(err)
	}
	allowed := filepath.Join(t.TempDir(), "allowed_signers")
	key := strings.Fields(string(read(t, dirs[0], "key.pub")))
	if err := os.WriteFile(allowed, []byte("symroute "+key[0]+" "+key[1]+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	verify := func(sums []byte) ([]byte, error) {
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "symroute", "-n", "file",
			"-s", filepath.Join(dist(t), "SHA256SUMS.sig"))
		cmd.Stdin = bytes.NewReader(sums)
		return cmd.CombinedOutput()
	}
	sums := read(t, dist(t), "SHA256SUMS")
	if out, err := verify(sums); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	sums[0] ^= 1
	if out, err := verify(sums); err == nil {
		t.Errorf("it verifies other checksums: %s", out)
	}
}

// entry is what an archive says of a file.
type entry struct {
	Name     string
	Mode     int64
	UID, GID int
	Owner    string
	ModTime  int64
}

// unpack reads an archive that is compressed.
func unpack(t *testing.T, data []byte) (entries []entry, contents map[string][]byte) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if z.Name != "" || !z.ModTime.IsZero() {
		t.Errorf("gzip has a name (%q) or a time (%s)", z.Name, z.ModTime)
	}
	contents = map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry{h.Name, h.Mode, h.Uid, h.Gid, h.Uname + h.Gname, h.ModTime.Unix()})
		if contents[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// content is what is in the archive and in the image.
func content() []entry {
	return []entry{
		{Name: "LICENSE", Mode: 0o644, ModTime: epoch},
		{Name: "sbom.spdx.json", Mode: 0o644, ModTime: epoch},
		{Name: "symroute", Mode: 0o755, ModTime: epoch},
		{Name: "symroute-agent", Mode: 0o755, ModTime: epoch},
		{Name: "symroutectl", Mode: 0o755, ModTime: epoch},
	}
}

// TestArchive: all executables, root's, that say the version, and the licence.
func TestArchive(t *testing.T) {
	t.Parallel()
	entries, contents := unpack(t, read(t, dist(t), archive()))
	if diff := cmp.Diff(content(), entries); diff != "" {
		t.Error("entries (-want +got):\n" + diff)
	}
	if !bytes.Equal(contents["LICENSE"], read(t, root, "LICENSE")) {
		t.Error("LICENSE is another one")
	}
	if !bytes.Equal(contents["sbom.spdx.json"], read(t, dist(t), "symroute-linux-"+runtime.GOARCH+".spdx.json")) {
		t.Error("the SBOM in the archive is not the one beside it")
	}
	dir := t.TempDir()
	for _, name := range []string{"symroute", "symroutectl", "symroute-agent"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, contents[name], 0o755); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(path, "version").CombinedOutput()
		if err != nil || !strings.Contains(string(out), name+" "+version) {
			t.Errorf("%s version: %v\n%s", name, err, out)
		}
	}
}

// descriptor is how the parts of an image name each other (OCI image specification, descriptor.md).
type descriptor struct {
	MediaType   string
	Digest      string
	Size        int
	Platform    struct{ OS, Architecture string }
	Annotations map[string]string
}

// blob is a part of the image, whose digest and size are right.
func blob(t *testing.T, d descriptor) []byte {
	t.Helper()
	data := read(t, dist(t), "image", "blobs", "sha256", strings.TrimPrefix(d.Digest, "sha256:"))
	if "sha256:"+sum(data) != d.Digest || len(data) != d.Size {
		t.Errorf("%s: %d bytes with sum %s", d.Digest, len(data), sum(data))
	}
	return data
}

// TestImage: the image is an index with the platform, starts the agent, finds symroutectl by its name, and has the files of
// the archive and nothing else.
func TestImage(t *testing.T) {
	t.Parallel()
	var list struct {
		MediaType   string
		Manifests   []descriptor
		Annotations map[string]string
	}
	decode(t, read(t, dist(t), "image", "index.json"), &list)
	if len(list.Manifests) != 1 {
		t.Fatalf("the layout has %d images", len(list.Manifests))
	}
	if name := list.Manifests[0].Annotations["io.containerd.image.name"]; name != "ghcr.io/symroute/symroute:"+version {
		t.Errorf("its name is %q", name)
	}
	decode(t, blob(t, list.Manifests[0]), &list)
	if list.MediaType != "application/vnd.oci.image.index.v1+json" || len(list.Manifests) != 1 {
		t.Fatalf("%s with %d images", list.MediaType, len(list.Manifests))
	}
	labels := map[string]string{
		"org.opencontainers.image.title":       "symroute",
		"org.opencontainers.image.description": "Symmetric routing for pods with several NICs: CNI plugin, agent of the node, and symroutectl",
		"org.opencontainers.image.source":      "https://github.com/symroute/symroute",
		"org.opencontainers.image.version":     version,
		"org.opencontainers.image.revision":    revision,
		"org.opencontainers.image.created":     "2023-11-14T22:13:20Z",
		"org.opencontainers.image.licenses":    "Apache-2.0",
	}
	if diff := cmp.Diff(labels, list.Annotations); diff != "" {
		t.Error("annotations of the index (-want +got):\n" + diff)
	}
	if p := list.Manifests[0].Platform; p.OS != "linux" || p.Architecture != runtime.GOARCH {
		t.Errorf("its platform is %v", p)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	decode(t, blob(t, list.Manifests[0]), &manifest)
	var config, want image
	decode(t, blob(t, manifest.Config), &config)
	want.OS, want.Architecture, want.Created = "linux", runtime.GOARCH, time.Unix(epoch, 0).UTC()
	want.Config.User, want.Config.WorkingDir, want.Config.Labels = "0", "/", labels
	want.Config.Env, want.Config.Entrypoint, want.Config.Cmd = []string{"PATH=/"}, []string{"/symroute-agent"}, []string{"run"}
	if diff := cmp.Diff(want, config); diff != "" {
		t.Error("configuration (-want +got):\n" + diff)
	}
	if len(manifest.Layers) != 1 {
		t.Fatalf("%d layers", len(manifest.Layers))
	}
	if entries, _ := unpack(t, blob(t, manifest.Layers[0])); !slices.Equal(entries, content()) {
		t.Errorf("files %v, want %v", entries, content())
	}
}

// image is the configuration of an image (OCI image specification, config.md).
type image struct {
	OS, Architecture string
	Created          time.Time
	Config           struct {
		User            string
		Env             []string
		Entrypoint, Cmd []string
		WorkingDir      string
		Labels          map[string]string
	}
}

// TestImageArchive: what runtimes import is the layout, file by file.
func TestImageArchive(t *testing.T) {
	t.Parallel()
	layout := filepath.Join(dist(t), "image")
	files := 0
	for r := tar.NewReader(bytes.NewReader(read(t, dist(t), "symroute-image.tar"))); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		files++
		data, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(data, read(t, layout, h.Name)) {
			t.Errorf("%s is not that of the layout (%v)", h.Name, err)
		}
	}
	if files != 6 { // oci-layout, index.json, index, manifest, configuration, layer
		t.Errorf("%d files", files)
	}
}

// TestBill: the SBOM has the sums of the executables, and every module of go.mod that the agent is made of.
func TestBill(t *testing.T) {
	t.Parallel()
	_, contents := unpack(t, read(t, dist(t), archive()))
	var bill struct {
		SPDXVersion string
		Packages    []struct{ Name, VersionInfo, LicenseDeclared string }
		Files       []struct {
			FileName  string
			Checksums []struct{ Algorithm, ChecksumValue string }
		}
	}
	decode(t, contents["sbom.spdx.json"], &bill)
	if bill.SPDXVersion != "SPDX-2.3" || len(bill.Files) != 3 {
		t.Errorf("%s with %d files", bill.SPDXVersion, len(bill.Files))
	}
	for _, f := range bill.Files {
		if got, want := f.Checksums[1].ChecksumValue, sum(contents[strings.TrimPrefix(f.FileName, "./")]); got != want {
			t.Errorf("%s: sum %s, want %s", f.FileName, got, want)
		}
	}
	var names []string
	for _, p := range bill.Packages {
		names = append(names, p.Name)
		if p.LicenseDeclared == "NOASSERTION" {
			t.Errorf("%s %s: its licence is not told", p.Name, p.VersionInfo)
		}
	}
	for _, want := range []string{"symroute", "stdlib", "github.com/containernetworking/cni", "github.com/vishvananda/netlink"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %v", want, names)
		}
	}
}

// TestKrew: the manifest names the archive with its checksum, and a program that is in it.
func TestKrew(t *testing.T) {
	t.Parallel()
	var manifest struct {
		APIVersion string `yaml:"apiVersion"`
		Metadata   struct{ Name string }
		Spec       struct {
			Version   string
			Platforms []struct {
				Selector struct {
					MatchLabels map[string]string `yaml:"matchLabels"`
				}
				URI, SHA256, Bin string
				Files            []struct{ From string }
			}
		}
	}
	if err := yaml.Unmarshal(read(t, dist(t), "symroute-krew.yaml"), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || manifest.Metadata.Name != "symroute" ||
		manifest.Spec.Version != version || len(manifest.Spec.Platforms) != 1 {
		t.Fatalf("%+v", manifest)
	}
	data := read(t, dist(t), archive())
	p := manifest.Spec.Platforms[0]
	if p.Selector.MatchLabels["arch"] != runtime.GOARCH || p.SHA256 != sum(data) || !strings.HasSuffix(p.URI, "/"+version+"/"+archive()) {
		t.Errorf("%+v", p)
	}
	_, contents := unpack(t, data)
	for _, f := range p.Files {
		if contents[f.From] == nil {
			t.Errorf("%s is not in the archive", f.From)
		}
	}
	if contents[p.Bin] == nil {
		t.Errorf("its program %s is not in the archive", p.Bin)
	}
}
