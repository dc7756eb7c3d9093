package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEnterNothing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	fifo := filepath.Join(dir, "fifo")
	link := filepath.Join(dir, "link")
	absent := filepath.Join(dir, "absent")
	if err := errors.Join(os.WriteFile(file, []byte("x"), 0o600), unix.Mkfifo(fifo, 0o600), os.Symlink(absent, link)); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	for name, path := range map[string]string{
		"empty path":                  "",
		"nothing":                     absent,
		"nothing in a directory":      filepath.Join(absent, "netns"),
		"below a file":                filepath.Join(file, "netns"),
		"dangling link":               link,
		"regular file":                file,
		"directory":                   dir,
		"FIFO":                        fifo,
		"device":                      "/dev/null",
		"namespace of another type":   "/proc/self/ns/uts",
		"namespace of a dead process": "/proc/999999999/ns/net",
	} {
		t.Run(name, func(t *testing.T) {
			n, err := Enter(path)
			if !errors.Is(err, ErrGone) || n != nil {
				t.Errorf("got %v, %v; want ErrGone", n, err)
			}
		})
	}
	if _, err := os.Lstat(absent); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made at a path where nothing was: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "x" {
		t.Errorf("the regular file has %q now (%v)", b, err)
	}
}

func TestEnterHost(t *testing.T) {
	inOwnMounts(t, func(t *testing.T, dir string) {
		for name, source := range hostPaths(t) {
			bound := bind(t, source, filepath.Join(dir, name))
			link := filepath.Join(dir, name+" link")
			if err := os.Symlink(bound, link); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{source, bound, link} {
				if n, err := Enter(path); !errors.Is(err, ErrHost) || n != nil {
					t.Errorf("%s: got %v, %v; want ErrHost", path, n, err)
				}
			}
		}
	})
}

// A plugin that was started in a pod takes neither that nor the node's for the
// one to work on.
func TestEnterHostFromPod(t *testing.T) {
	pod, other := newNetns(t), newNetns(t)
	hosts := hostPaths(t)
	hosts["ours"] = pod.path
	err := pod.do(func() error {
		for _, path := range hosts {
			if n, err := Enter(path); !errors.Is(err, ErrHost) {
				return fmt.Errorf("%s: want ErrHost, got %v, %w", path, n, err)
			}
		}
		n, err := Enter(other.path)
		if err != nil {
			return err
		}
		return n.Close()
	})
	if err != nil {
		t.Error(err)
	}
}

// hostPaths are paths of the namespace that the node's own processes are in. On
// some machines nobody may look at process 1.
func hostPaths(t *testing.T) map[string]string {
	t.Helper()
	paths := map[string]string{"ours": "/proc/thread-self/ns/net"}
	var st unix.Stat_t
	if err := unix.Stat("/proc/1/ns/net", &st); err == nil {
		paths["init's"] = "/proc/1/ns/net"
	} else if !errors.Is(err, unix.EACCES) {
		t.Error(err)
	}
	return paths
}

func TestClose(t *testing.T) {
	pod := newNetns(t, "link add net1 type veth peer name far1")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	files, home := openFiles(t), netnsOf(t, "/proc/thread-self/ns/net")
	for range 3 {
		n, err := Enter(pod.path)
		if err != nil {
			t.Fatal(err)
		}
		if netnsOf(t, "/proc/thread-self/ns/net") != netnsOf(t, pod.path) {
			t.Error("the thread is not in the namespace")
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if netnsOf(t, "/proc/thread-self/ns/net") != home {
			t.Fatal("the thread did not come home")
		}
	}
	if got := openFiles(t); got != files {
		t.Errorf("%d files are open, before it were %d", got, files)
	}
	for _, path := range []string{"/proc/self/ns/uts", "/proc/thread-self/ns/net"} {
		if _, err := Enter(path); err == nil {
			t.Errorf("entered %s", path)
		}
		if got := openFiles(t); got != files {
			t.Errorf("after a failure with %s %d files are open, before it were %d", path, got, files)
		}
	}
}

func TestIdentity(t *testing.T) {
	inOwnMounts(t, func(t *testing.T, dir string) {
		pod := newNetns(t)
		want := identityOf(t, pod.path)
		if got := identityOf(t, bind(t, pod.path, filepath.Join(dir, "netns"))); got != want {
			t.Errorf("%s by another path, %s by the first", got, want)
		}
		if strings.ContainsAny(want, "/:") || want == "" {
			t.Errorf("%q does not do as name of a directory", want)
		}
	})
	t.Run("is never given twice", func(t *testing.T) {
		seen := map[string]int{}
		for i := range 50 { // each of which is gone before the next comes
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				id := identityOf(t, newNetns(t).path)
				if strings.Contains(id, "-inode-") {
					t.Skip("this kernel has no cookie for namespaces (Linux 5.14): container IDs keep them apart")
				}
				if before, ok := seen[id]; ok {
					t.Errorf("%s was that of namespace %d, and is that of %d", id, before, i)
				}
				seen[id] = i
			})
		}
	})
}

func TestAmbiguous(t *testing.T) {
	for identity, want := range map[string]string{
		"1234abcd-0000000100000000":       "",
		"1234abcd-inode-4026532281-c1":    "1234abcd-inode-4026532281-",
		"1234abcd-inode-4026532281-a-b-c": "1234abcd-inode-4026532281-",
	} {
		if got, ok := Ambiguous(identity); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t, want %q", identity, got, ok, want)
		}
	}
}

func TestAlive(t *testing.T) {
	dir := t.TempDir()
	pod, other := newNetns(t), newNetns(t)
	id := identityOf(t, pod.path)
	tests := []struct {
		name, path, identity string
		want                 bool
	}{
		{"as it was", pod.path, id, true},
		{"another one at its path", other.path, id, false},
		{"nothing at its path", filepath.Join(dir, "absent"), id, false},
		{"something else at its path", dir, id, false},
		{"the host's at its path", "/proc/thread-self/ns/net", id, false},
		{"no path", "", id, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Alive(tt.path, tt.identity, "c1"); got != tt.want {
				t.Errorf("got %t, want %t", got, tt.want)
			}
		})
	}
}

// Whoever locks the namespace's inode, which any process of the pod can do, delays nobody: the
// lock is a file of package record.
func TestLockOfTheInode(t *testing.T) {
	pod := newNetns(t)
	id := identityOf(t, pod.path)
	f, err := os.Open(pod.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	n, err := Enter(pod.path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Observe()
	if err := errors.Join(err, n.Close()); err != nil {
		t.Error(err)
	}
	if !Alive(pod.path, id, "c1") {
		t.Error("a namespace that is locked is not alive")
	}
}

func TestLockName(t *testing.T) {
	for identity, want := range map[string]string{
		"1234abcd-0000000100000000":       "1234abcd-0000000100000000",
		"1234abcd-inode-4026532281-c1":    "1234abcd-inode-4026532281",
		"1234abcd-inode-4026532281-a-b-c": "1234abcd-inode-4026532281",
	} {
		if got := LockName(identity); got != want {
			t.Errorf("%s is locked as %s, want %s", identity, got, want)
		}
	}
}

func TestHolds(t *testing.T) {
	inOwnMounts(t, func(t *testing.T, dir string) {
		pod, other := newNetns(t), newNetns(t)
		bound := bind(t, pod.path, filepath.Join(dir, "netns"))
		n, err := Enter(pod.path)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		for sandbox, want := range map[string]bool{
			"":                          false,
			pod.path:                    true,
			bound:                       true,
			other.path:                  false,
			filepath.Join(dir, "other"): true,
			dir:                         false,
		} {
			if got := n.Holds(sandbox); got != want {
				t.Errorf("%q: %t, want %t", sandbox, got, want)
			}
		}
	})
}

// inOwnMounts runs f on a thread whose mounts nobody else sees: with the thread
// they are gone, however the process ends.
func inOwnMounts(t *testing.T, f func(t *testing.T, dir string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("mounts need root")
	}
	dir := t.TempDir()
	t.Run("own mounts", func(t *testing.T) {
		runtime.LockOSThread() // and never unlocked: the thread ends with the subtest
		if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
			t.Fatal(err)
		}
		f(t, dir)
	})
}

// bind makes a namespace known by another path.
func bind(t *testing.T, source, target string) string {
	t.Helper()
	if err := errors.Join(os.WriteFile(target, nil, 0o600), unix.Mount(source, target, "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
	return target
}

func identityOf(t *testing.T, path string) string {
	t.Helper()
	n, err := Enter(path)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	id, err := n.Identity("c1")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

type inode struct{ dev, ino uint64 }

func netnsOf(t *testing.T, path string) inode {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return inode{st.Dev, st.Ino}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
