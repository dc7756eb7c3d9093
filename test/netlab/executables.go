package netlab

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// BinDirVariable names a folder of executables that are built already: symroute
// and the plugins of go.mod's tool directives. It is for machines without
// a Go toolchain.
const BinDirVariable = "SYMROUTE_BIN_DIR"

// modulePath is the module of symroute, whose tool directives name the plugins.
const modulePath = "github.com/symroute/symroute"

// BinDir is the folder with the CNI plugins. The first call builds them.
func BinDir(t testing.TB) string {
	t.Helper()
	dir, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Build makes sure that the CNI plugins are there and up to date, and returns
// their folder. It works once in each process; call it from TestMain to keep
// the time that compiling takes out of the first test.
var Build = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(BinDirVariable); dir != "" {
		return dir, nil
	}
	found, err := run("", "go", "list", "-m", "-f", "{{.Dir}}", modulePath)
	if err != nil {
		return "", fmt.Errorf("run the tests inside their module, or set %s: %w", BinDirVariable, err)
	}
	module := strings.TrimSpace(found)
	dir, unlock, err := cacheDir(module)
	if err != nil {
		return "", err
	}
	defer unlock()
	// go build leaves an executable alone that is up to date.
	for _, what := range []string{"tool", "./plugins/symroute", "./cmd/symroutectl", "./cmd/symroute-agent"} {
		if _, err := run(module, "go", "build", "-o", dir+"/", what); err != nil {
			return "", err
		}
	}
	return dir, nil
})

// cacheDir is a folder for executables that outlives the test run and belongs
// to one checkout, locked against other test processes.
func cacheDir(module string) (dir string, unlock func() error, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, err
	}
	dir = filepath.Join(cache, "symroute-test", fmt.Sprintf("%.8x", sha256.Sum256([]byte(module))))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	lock, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		lock.Close()
		return "", nil, err
	}
	return dir, lock.Close, nil
}

// run runs a program of the toolchain, without cgo: the plugins run in
// namespaces and guests that have no C library to offer.
func run(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}
