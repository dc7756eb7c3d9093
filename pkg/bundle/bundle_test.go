package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/record"
)

// unpack is what is in an archive, by name.
func unpack(t *testing.T, packed io.Reader) map[string]string {
	t.Helper()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o600 || files[h.Name] != "" {
			t.Errorf("%s has mode %o, or is there twice", h.Name, h.Mode)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(data)
	}
}

func options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	return Options{
		Name: "report", Node: node.Node{DataDirs: []string{dir}, CacheDir: dir}, BinDir: dir, ConfDir: dir, Version: "symroutectl v1",
		Check: Recorded, Now: time.Unix(1, 0), Patience: DefaultPatience, MaxFile: DefaultMaxFile, MaxTotal: DefaultMaxTotal,
	}
}

func write(t *testing.T, o Options) (map[string]string, []File) {
	t.Helper()
	var out bytes.Buffer
	files, err := Write(t.Context(), &out, o)
	if err != nil {
		t.Fatal(err)
	}
	return unpack(t, &out), files
}

// Each file that is promised is there, or its error.
func TestFiles(t *testing.T) {
	archived, files := write(t, options(t))
	names := []string{"report/README.txt"}
	for _, f := range files {
		name := "report/" + f.Name
		if f.Error != "" {
			name += ".error"
		}
		names = append(names, name)
		if !strings.Contains(archived["report/README.txt"], f.Name) || !strings.Contains(archived["report/README.txt"], f.How) {
			t.Errorf("README.txt does not say what %s is", f.Name)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(archived))); diff != "" {
		t.Errorf("(-told +archived):\n%s", diff)
	}
}

// A pod that has ended is not broken: its record is there, and that it is gone.
func TestGone(t *testing.T) {
	o := options(t)
	gone := node.Pod{
		ContainerID: "../cart", Netns: filepath.Join(t.TempDir(), "gone"), Identity: "x",
		Attachments: []node.Attachment{{Attachment: record.Attachment{Key: record.Key{Network: "b", IfName: "net1"}}, DataDir: "/data"}},
	}
	o.Pods = []node.Pod{gone, gone}
	archived, files := write(t, o)
	for _, want := range []string{
		"report/pods/container_.._cart/gone.txt", "report/pods/container_.._cart/record-net1-b.json", "report/pods/container_.._cart_/gone.txt",
	} {
		if archived[want] == "" {
			t.Errorf("no %s in %v", want, slices.Sorted(maps.Keys(archived)))
		}
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name, "pods/") && f.Error != "" {
			t.Errorf("%s: %s", f.Name, f.Error)
		}
	}
}

// One that ends meanwhile is gone, too.
func TestGoneMeanwhile(t *testing.T) {
	var out bytes.Buffer
	a := &archive{tar: tar.NewWriter(&out), options: options(t)}
	f, err := a.collect(t.Context(), item{"x", "x", func(context.Context) ([]byte, error) {
		return inside(filepath.Join(t.TempDir(), "gone"), func() ([]byte, error) { return nil, nil })
	}})
	if err != nil || f.Error != "the pod is gone" {
		t.Errorf("got %+v, %v", f, err)
	}
}

// Neither one file nor all together may become large, whatever a pod has made.
func TestBounds(t *testing.T) {
	o := options(t)
	o.MaxFile, o.MaxTotal = 20, 40
	archived, _ := write(t, o)
	cutOff, leftOut := 0, 0
	for _, text := range archived {
		if strings.HasSuffix(text, "\n[cut off after 20 bytes]\n") {
			cutOff++
		}
		if text == "left out: the archive has reached 40 bytes\n" {
			leftOut++
		}
	}
	if leftOut < 10 {
		t.Errorf("%d left out", leftOut)
	}
	o.MaxTotal = DefaultMaxTotal
	archived, _ = write(t, o)
	for _, text := range archived {
		if strings.HasSuffix(text, "\n[cut off after 20 bytes]\n") {
			cutOff++
		}
	}
	if cutOff < 10 {
		t.Errorf("%d cut off", cutOff)
	}
	b := &bounded{limit: 3}
	if n, err := b.Write([]byte("12345")); n != 5 || err != nil || b.String() != "123" {
		t.Errorf("kept %q, took %d, %v", b, n, err)
	}
}

// A command that hangs is given up, and what it has printed is kept.
func TestPatience(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	out, err := run(ctx, "sh", []string{"-c", "echo begun; exec sleep 60"})
	if err == nil || !strings.Contains(err.Error(), "it did not end in time") || string(out) != "begun\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

// Who interrupts it gets no archive.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, io.Discard, options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Keys are only for root to read.
func TestSysctls(t *testing.T) {
	got, err := sysctls()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(got, []byte("\nnet/ipv4/conf/all/rp_filter = ")) || !bytes.Contains(got, []byte("\nnet/ipv4/tcp_rmem = ")) {
		t.Errorf("the usual settings are missing in:\n%s", got)
	}
	for line := range strings.Lines(string(got)) {
		path, _, _ := strings.Cut(line, " = ")
		if info, err := os.Stat("/proc/sys/" + path); err == nil && info.Mode()&fs.FileMode(0o004) == 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

func TestSafe(t *testing.T) {
	for name, want := range map[string]string{
		"shop/cart-0": "shop_cart-0", "../../etc": "etc", "-rf": "rf", "a b\nc": "a_b_c", "v1.2": "v1.2", "Ä": "nameless",
	} {
		if got := safe(name); got != want {
			t.Errorf("safe(%q) = %q, want %q", name, got, want)
		}
	}
	if got := NameOn("node-7", time.Unix(0, 0)); got != "symroute-bundle-node-7-19700101T000000Z" {
		t.Errorf("got %q", got)
	}
}
