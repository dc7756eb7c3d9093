package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// holdVariable tells the test's executable, started once more, to hold a
// namespace instead of testing: "PATH shared" or "PATH exclusive".
const holdVariable = "KERNEL_TEST_HOLD"

func TestMain(m *testing.M) {
	if what := os.Getenv(holdVariable); what != "" {
		hold(what)
		return
	}
	os.Exit(m.Run())
}

// hold enters a namespace, says what came of it and stays there until its
// standard input ends.
func hold(what string) {
	path, mode, _ := strings.Cut(what, " ")
	lock := Shared
	if mode == "exclusive" {
		lock = Exclusive
	}
	n, err := Enter(path, lock)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = n.Close()
}

// holder is another process that holds a namespace.
type holder struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
}

func startHolder(t *testing.T, path, mode string) *holder {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), holdVariable+"="+path+" "+mode)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	h := &holder{cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
	t.Cleanup(h.release)
	return h
}

// says is the first line that the holder prints.
func (h *holder) says() string {
	h.lines.Scan()
	return h.lines.Text()
}

func (h *holder) release() {
	_ = h.stdin.Close()
	_ = h.cmd.Wait()
}

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
		for _, lock := range []Lock{Shared, Exclusive} {
			t.Run(name, func(t *testing.T) {
				n, err := Enter(path, lock)
				if !errors.Is(err, ErrGone) || n != nil {
					t.Errorf("got %v, %v; want ErrGone", n, err)
				}
			})
		}
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
				if n, err := Enter(path, Shared); !errors.Is(err, ErrHost) || n != nil {
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
			if n, err := Enter(path, Shared); !errors.Is(err, ErrHost) {
				return fmt.Errorf("%s: want ErrHost, got %v, %w", path, n, err)
			}
		}
		n, err := Enter(other.path, Shared)
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
		n, err := Enter(pod.path, Exclusive)
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
		if _, err := Enter(path, Shared); err == nil {
			t.Errorf("entered %s", path)
		}
		if got := openFiles(t); got != files {
			t.Errorf("after a failure with %s %d files are open, before it were %d", path, got, files)
		}
	}
}

func TestLock(t *testing.T) {
	tests := []struct {
		first, second string
		excludes      bool
	}{
		{"shared", "shared", false},
		{"shared", "exclusive", true},
		{"exclusive", "shared", true},
		{"exclusive", "exclusive", true},
	}
	for _, tt := range tests {
		t.Run(tt.first+" and "+tt.second, func(t *testing.T) {
			inOwnMounts(t, func(t *testing.T, dir string) {
				pod := newNetns(t)
				bound := bind(t, pod.path, filepath.Join(dir, "netns"))
				first := startHolder(t, pod.path, tt.first)
				if got := first.says(); got != "held" {
					t.Fatalf("the first: %s", got)
				}
				lock := map[string]Lock{"shared": Shared, "exclusive": Exclusive}[tt.second]
				if got := wouldWait(t, bound, lock); got != tt.excludes {
					t.Errorf("the second waits: %t, want %t", got, tt.excludes)
				}
				second := startHolder(t, pod.path, tt.second)
				first.release()
				if got := second.says(); got != "held" {
					t.Errorf("the second, when the first has gone: %s", got)
				}
			})
		})
	}
}

// wouldWait reports whether a lock is not to be had at once.
func wouldWait(t *testing.T, path string, lock Lock) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), int(lock)|unix.LOCK_NB)
	if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
		t.Fatal(err)
	}
	return err != nil
}

// A process that is killed leaves no lock behind.
func TestLockOfTheDead(t *testing.T) {
	pod := newNetns(t)
	h := startHolder(t, pod.path, "exclusive")
	if got := h.says(); got != "held" {
		t.Fatal(got)
	}
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.release()
	n, err := Enter(pod.path, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestLockTimeout(t *testing.T) {
	if testing.Short() {
		t.Skipf("waits for %s", lockTimeout)
	}
	t.Parallel()
	pod := newNetns(t)
	h := startHolder(t, pod.path, "exclusive")
	if got := h.says(); got != "held" {
		t.Fatal(got)
	}
	start := time.Now()
	n, err := Enter(pod.path, Exclusive)
	if !errors.Is(err, ErrBusy) || n != nil {
		t.Errorf("got %v, %v; want ErrBusy", n, err)
	}
	if waited := time.Since(start); waited < lockTimeout {
		t.Errorf("gave up after %s", waited)
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

// Whoever holds a namespace, a process of the pod itself for one, does not hold up
// those who only look at what it is.
func TestAliveWhileLocked(t *testing.T) {
	pod := newNetns(t)
	id := identityOf(t, pod.path)
	h := startHolder(t, pod.path, "exclusive")
	if got := h.says(); got != "held" {
		t.Fatal(got)
	}
	start := time.Now()
	if !Alive(pod.path, id, "c1") {
		t.Error("a namespace that is held is not alive")
	}
	if waited := time.Since(start); waited > lockTimeout/2 {
		t.Errorf("waited %s for the lock", waited)
	}
}

func TestHolds(t *testing.T) {
	inOwnMounts(t, func(t *testing.T, dir string) {
		pod, other := newNetns(t), newNetns(t)
		bound := bind(t, pod.path, filepath.Join(dir, "netns"))
		n, err := Enter(pod.path, Shared)
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
	n, err := Enter(path, Shared)
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
