package bench

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// executables are the paths of what is measured, and of what measures.
type executables struct {
	symroute, other, sbr, tuning string
	emptyGo, emptyC              string
	launch, writer               string
	// reporting are builds that report their allocations, by the names of plugins.
	reporting map[string]string
}

// The packages of the Go executables. The plugins that symroute is compared with are of
// the release in go.mod.
const (
	packageOfSymroute = "github.com/symroute/symroute/plugins/symroute"
	packageOfSBR      = "github.com/containernetworking/plugins/plugins/meta/sbr"
	packageOfTuning   = "github.com/containernetworking/plugins/plugins/meta/tuning"
	packageOfEmpty    = "./testdata/empty"
)

// build builds all of them.
func build(t testing.TB) executables {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("needs a C compiler, for the limits that symroute is compared with: packages gcc and libc6-dev")
	}
	dir := t.TempDir()
	e := executables{
		sbr:     buildGo(t, dir, "sbr", packageOfSBR),
		tuning:  buildGo(t, dir, "tuning", packageOfTuning),
		emptyGo: buildGo(t, dir, "empty-go", packageOfEmpty),
		emptyC:  buildC(t, dir, "empty"),
		launch:  buildC(t, dir, "launch"),
		writer:  buildC(t, dir, "writer"),
		reporting: map[string]string{
			sbr:     buildReporting(t, dir, "sbr-reporting", packageOfSBR),
			tuning:  buildReporting(t, dir, "tuning-reporting", packageOfTuning),
			emptyGo: buildReporting(t, dir, "empty-go-reporting", packageOfEmpty),
		},
	}
	e.withSymroute(t, dir)
	if *other != "" {
		e.other = install(t, *other, filepath.Join(dir, "other"))
	}
	return e
}

// buildToCount builds what TestCounts needs.
func buildToCount(t testing.TB) executables {
	t.Helper()
	dir := t.TempDir()
	e := executables{emptyGo: buildGo(t, dir, "empty-go", packageOfEmpty), reporting: map[string]string{}}
	e.withSymroute(t, dir)
	return e
}

// withSymroute adds symroute: the executable that was asked for, or the tree's.
func (e *executables) withSymroute(t testing.TB, dir string) {
	t.Helper()
	if *symroute != "" {
		e.symroute = install(t, *symroute, filepath.Join(dir, "symroute"))
		return
	}
	e.symroute = buildGo(t, dir, "symroute", packageOfSymroute)
	e.reporting[ours] = buildReporting(t, dir, "symroute-reporting", packageOfSymroute)
}

// sizes are those of the executables, by the names of plugins.
func (e executables) sizes(t testing.TB) map[string]int64 {
	t.Helper()
	sizes := map[string]int64{}
	for name, path := range map[string]string{
		ours: e.symroute, otherBuild: e.other, sbr: e.sbr, tuning: e.tuning, emptyGo: e.emptyGo, emptyC: e.emptyC,
	} {
		if path != "" {
			sizes[name] = size(t, path)
		}
	}
	return sizes
}

func size(t testing.TB, path string) int64 {
	t.Helper()
	file, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return file.Size()
}

// buildGo builds the way a release is built.
func buildGo(t testing.TB, dir, name, pkg string, flags ...string) string {
	t.Helper()
	built := filepath.Join(t.TempDir(), name)
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", built}, flags...)
	run(t, "go", append(args, pkg)...)
	return install(t, built, filepath.Join(dir, name))
}

func buildC(t testing.TB, dir, name string) string {
	t.Helper()
	built := filepath.Join(t.TempDir(), name)
	run(t, "cc", "-O2", "-static", "-Wall", "-Werror", "-o", built, filepath.Join("testdata", name+".c"))
	return install(t, built, filepath.Join(dir, name))
}

// install copies an executable, as it gets onto a node. The file that a linker has written
// lies in the page cache in single pages, a copied one in large folios: it runs faster.
func install(t testing.TB, from, to string) string {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755) //nolint:gosec // an executable
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// buildReporting builds a command that, when it ends, writes to descriptor 3 what it has
// allocated. The package that is built is there for the go command only: it is the
// command's with a file more.
func buildReporting(t testing.TB, dir, name, pkg string) string {
	t.Helper()
	const reporting = "reporting"
	listed := run(t, "go", "list", "-f", "{{range .GoFiles}}{{$.Dir}}/{{.}} {{end}}", pkg)
	replace := map[string]string{}
	for _, file := range append(strings.Fields(listed), absolute(t, "testdata/reporting.go")) {
		replace[absolute(t, filepath.Join(reporting, filepath.Base(file)))] = file
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, name+".json")
	if err := os.WriteFile(overlay, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return buildGo(t, dir, name, "./"+reporting, "-overlay", overlay, "-ldflags", "-checklinkname=0")
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a program of the toolchain and returns what it prints.
func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.String())
	}
	return string(out)
}
