package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// source is a directory with executables as an image has them.
func source(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range Names() {
		write(t, filepath.Join(dir, name), "#!/bin/sh\n# "+content+"\nexec sleep 1000\n", 0o755)
	}
	return dir
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func install(t *testing.T, from, to string, want Result) {
	t.Helper()
	got, err := Install(from, to)
	if err != nil || got != want {
		t.Errorf("Install: %v, %v, want %v", got, err, want)
	}
	for _, name := range Names() {
		wantFile, gotFile := read(t, filepath.Join(from, name)), read(t, filepath.Join(to, name))
		if !bytes.Equal(gotFile, wantFile) {
			t.Errorf("%s is not what was to be installed", name)
		}
		info, err := os.Stat(filepath.Join(to, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(to, temporary+"*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestInstall(t *testing.T) {
	one, two, to := source(t, "one"), source(t, "two"), t.TempDir()
	install(t, one, to, Installed)
	install(t, one, to, Unchanged)
	install(t, two, to, Installed) // an upgrade
	install(t, one, to, Installed) // and the way back
	plugin := filepath.Join(to, "symroute")
	for what, spoil := range map[string]func() error{
		"one is gone":       func() error { return os.Remove(plugin) },
		"one is cut off":    func() error { return os.Truncate(plugin, 5) },
		"one is longer":     func() error { return os.WriteFile(plugin, append(read(t, plugin), '#'), 0o755) },
		"one cannot be run": func() error { return os.Chmod(plugin, 0o600) },
		"one is a link": func() error {
			return errors.Join(os.Remove(plugin), os.Symlink(filepath.Join(one, "symroute"), plugin))
		},
		"an installer was killed": func() error {
			return errors.Join(os.Remove(plugin), os.WriteFile(filepath.Join(to, temporary+"1"), nil, 0o600))
		},
		"others' files are no one": func() error {
			return errors.Join(os.Remove(plugin), os.WriteFile(filepath.Join(to, "bridge"), nil, 0o755))
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(what, err)
		}
		install(t, one, to, Installed)
	}
	write(t, filepath.Join(to, temporary+"2"), "", 0o600)
	install(t, one, to, Unchanged)
	if err := Uninstall(to); err != nil {
		t.Error(err)
	}
	if err := Uninstall(to); err != nil {
		t.Error("twice:", err)
	}
	entries, err := os.ReadDir(to)
	if err != nil || len(entries) != 1 || entries[0].Name() != "bridge" {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// "Text file busy" (multus#1221, #1213): an executable that runs is replaced all the same, and runs on.
func TestTextFileBusy(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	from, to := t.TempDir(), t.TempDir()
	for _, name := range Names() {
		write(t, filepath.Join(from, name), string(read(t, sleep)), 0o755)
	}
	install(t, from, to, Installed)
	running := exec.Command(filepath.Join(to, "symroute"), "1000")
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = running.Process.Kill()
		_ = running.Wait()
	}()
	if err := os.WriteFile(filepath.Join(to, "symroute"), nil, 0o755); !errors.Is(err, unix.ETXTBSY) {
		t.Fatalf("writing to an executable that runs: %v, want ETXTBSY: this test proves nothing", err)
	}
	install(t, source(t, "new"), to, Installed)
}

// A read-only directory with the right executables is fine (calico#7486), and one without them says what to do.
func TestReadOnly(t *testing.T) {
	from, to := source(t, "one"), t.TempDir()
	install(t, from, to, Installed)
	inOwnMounts(t, func() {
		if err := unix.Mount(to, to, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("", to, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		install(t, from, to, Unchanged)
		_, err := Install(source(t, "two"), to)
		if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "--bin-dir") {
			t.Errorf("%v, want a hint", err)
		}
	})
	_, err := Install(from, filepath.Join(to, "none"))
	if err == nil || !strings.Contains(err.Error(), "--bin-dir") {
		t.Errorf("%v, want a hint", err)
	}
}

// inOwnMounts calls f where mounts are its own.
func inOwnMounts(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with its mounts
		if err := errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// TestMain is also an installer that another process of the test starts: a process that starts others while it
// writes an executable would lend them the file that it writes (golang.org/issue/22315).
func TestMain(m *testing.M) {
	dirs := strings.Fields(os.Getenv("INSTALL"))
	if len(dirs) == 0 {
		os.Exit(m.Run())
	}
	for i := 0; ; i++ { // until it is killed
		if _, err := Install(dirs[i%2], dirs[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// A runtime that starts the plugin at any time finds a whole one, whatever is installed meanwhile, and when the
// installer is killed.
func TestAlwaysWhole(t *testing.T) {
	one, two, to := t.TempDir(), t.TempDir(), t.TempDir()
	for _, name := range Names() {
		write(t, filepath.Join(one, name), "#!/bin/sh\necho whole\n", 0o755)
		write(t, filepath.Join(two, name), "#!/bin/sh\n# another one\necho whole\n", 0o755)
	}
	install(t, one, to, Installed)
	for range 10 {
		installer := exec.Command(os.Args[0])
		installer.Env = append(os.Environ(), "INSTALL="+strings.Join([]string{one, two, to}, " "))
		var told strings.Builder
		installer.Stderr = &told
		if err := installer.Start(); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			out, err := exec.Command(filepath.Join(to, "symroute")).CombinedOutput()
			if err != nil || string(out) != "whole\n" {
				t.Errorf("%q, %v", out, err)
			}
		}
		_ = installer.Process.Kill()
		_ = installer.Wait()
		if told.Len() > 0 {
			t.Error(told.String())
		}
	}
	if _, err := Install(one, to); err != nil {
		t.Error(err)
	}
	install(t, one, to, Unchanged)
}

// What is deleted or replaced is told (istio#34524, flannel#1721).
func TestWatch(t *testing.T) {
	from, dir := source(t, "one"), t.TempDir()
	plugin := filepath.Join(dir, "symroute")
	for what, spoil := range map[string]func() error{
		"removed": func() error { return os.Remove(plugin) },
		"replaced": func() error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "x"), nil, 0o755), os.Rename(filepath.Join(dir, "x"), plugin))
		},
		"written": func() error { return os.WriteFile(plugin, []byte("other"), 0o755) },
		"chmod":   func() error { return os.Chmod(plugin, 0o600) },
	} {
		if _, err := Install(from, dir); err != nil {
			t.Fatal(err)
		}
		changed := make(chan struct{}, 10)
		ctx, stop := context.WithCancel(t.Context()) // what was before it is not told
		if err := Watch(ctx, dir, func() { changed <- struct{}{} }); err != nil {
			t.Fatal(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(what, err)
		}
		<-changed
		stop()
		install(t, from, dir, Installed)
	}
	if err := Watch(t.Context(), filepath.Join(dir, "none"), nil); err == nil {
		t.Error("a directory that is not there is watched")
	}
}

// What somebody takes away from the running agent's directory comes back, though an init container would be long
// gone (kubernetes#115629, flannel#1721), also where the directory was not there at first.
func TestKeep(t *testing.T) {
	from, to := source(t, "one"), filepath.Join(t.TempDir(), "bin")
	type end struct {
		result Result
		err    error
	}
	told := make(chan end, 10)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	keep := func() {
		go func() {
			defer close(stopped)
			Keep(ctx, from, to, func(r Result, err error) { told <- end{r, err} })
		}()
	}
	keep()
	if e := <-told; e.err == nil {
		t.Error("installed into nothing")
	}
	stop()
	<-stopped
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, stop = context.WithCancel(t.Context())
	stopped = make(chan struct{})
	keep()
	for range 3 {
		if e := <-told; e.result != Installed || e.err != nil {
			t.Errorf("%v, %v", e.result, e.err)
		}
		install(t, from, to, Unchanged)
		if err := Uninstall(to); err != nil { // as an upgrade of Debian's kubernetes-cni does
			t.Fatal(err)
		}
	}
	<-told
	stop()
	<-stopped
	install(t, from, to, Unchanged) // what ends leaves all as it is
	ctx, stop = context.WithCancel(t.Context())
	stopped = make(chan struct{})
	keep()
	if e := <-told; e.result != Unchanged || e.err != nil {
		t.Errorf("%v, %v", e.result, e.err)
	}
	stop()
	<-stopped
}
