package record

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// soon is how long tests wait for a lock that they shall not get, and sleep so that others
// come to wait.
const soon = 50 * time.Millisecond

// mustLock takes a lock that is free.
func mustLock(t *testing.T, mode LockMode, dirs ...string) *Lock {
	t.Helper()
	l, err := TakeLock(netns, mode, dirs...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustRelease(t *testing.T, l *Lock, forget bool) {
	t.Helper()
	if err := l.Release(forget); err != nil {
		t.Fatal(err)
	}
}

// lockDir is a directory that does not exist yet, and the lock in it.
func lockDir(t *testing.T) (dir, file string) {
	dir = filepath.Join(t.TempDir(), "run", "symroute")
	return dir, filepath.Join(dir, netns+lockSuffix)
}

func TestLockExcludes(t *testing.T) {
	for _, tt := range []struct {
		name          string
		first, second LockMode
		excludes      bool
	}{
		{"reader and reader", Shared, Shared, false},
		{"reader and writer", Shared, Exclusive, true},
		{"writer and reader", Exclusive, Shared, true},
		{"writer and writer", Exclusive, Exclusive, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, file := lockDir(t)
			mustRelease(t, mustLock(t, Exclusive, dir), false) // readers make none
			first := mustLock(t, tt.first, dir)
			second, err := lockIn(dir, netns, tt.second)
			if errors.Is(err, ErrBusy) != tt.excludes || (second == nil) != tt.excludes {
				t.Errorf("the second gets %v (%v), excluded: want %t", second, err, tt.excludes)
			}
			if err != nil && !strings.Contains(err.Error(), file) {
				t.Errorf("the file is not named in: %v", err)
			}
			got := make(chan error, 1)
			go func() {
				l, err := TakeLock(netns, tt.second, dir)
				if err == nil {
					err = l.Release(false)
				}
				got <- err
			}()
			time.Sleep(soon)
			mustRelease(t, first, false)
			if err := <-got; err != nil {
				t.Errorf("when the first has gone: %v", err)
			}
		})
	}
}

// Another namespace's is another lock.
func TestLockOfAnother(t *testing.T) {
	dir, _ := lockDir(t)
	defer mustRelease(t, mustLock(t, Exclusive, dir), true)
	other, err := lockIn(dir, "another", Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	mustRelease(t, other, true)
}

func TestLockModes(t *testing.T) {
	dir, file := lockDir(t)
	l := mustLock(t, Exclusive, dir)
	for path, want := range map[string]os.FileMode{dir: 0o700, file: 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	mustRelease(t, l, false)
	if !exists(file) {
		t.Error("the lock of a namespace of which something is remembered is gone")
	}
	reader := mustLock(t, Shared, dir)
	mustRelease(t, reader, true)
	if !exists(file) {
		t.Error("a reader took the lock away, which others may hold")
	}
	mustRelease(t, mustLock(t, Exclusive, dir), true)
	if left := list(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Readers make nothing: where there is no lock nobody is at work.
func TestLockOfReader(t *testing.T) {
	dir, _ := lockDir(t)
	other := t.TempDir()
	if l, err := TakeLock(netns, Shared, dir, other); l != nil || err != nil {
		t.Errorf("no lock: got %v, %v", l, err)
	}
	if exists(dir) || len(list(t, other)) > 0 {
		t.Error("a reader made something")
	}
	writer := mustLock(t, Exclusive, other) // who could not write to the first
	if l, err := lockIn(other, netns, Shared); !errors.Is(err, ErrBusy) {
		t.Errorf("beside a writer: got %v, %v", l, err)
	}
	mustRelease(t, writer, false)
	mustRelease(t, mustLock(t, Shared, dir, other), false)
}

// Where the first directory takes no lock, the second does. A lock that is held is no reason
// to go on to the second.
func TestLockInSecondDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	open := filepath.Join(t.TempDir(), "open")
	must(t, errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)))
	foreign := filepath.Join(t.TempDir(), "foreign")
	must(t, errors.Join(os.Mkdir(foreign, 0o700), os.Chown(foreign, os.Geteuid()+1000, -1)))
	link := t.TempDir()
	must(t, os.Symlink("/absent", filepath.Join(link, netns+lockSuffix)))
	for name, first := range map[string]string{
		"a file": file, "below a file": filepath.Join(file, "x"), "a file system that takes none": "/proc/symroute",
		"others may write": open, "somebody else's": foreign, "a link for the lock": link,
	} {
		t.Run(name, func(t *testing.T) {
			if l, err := TakeLock(netns, Exclusive, first); err == nil || l != nil {
				t.Fatalf("it takes a lock: %v, %v", l, err)
			}
			second, lock := lockDir(t)
			l := mustLock(t, Exclusive, first, second)
			if !exists(lock) {
				t.Errorf("the lock is not in the second, which has %v", list(t, second))
			}
			if other, err := lockIn(second, netns, Exclusive); !errors.Is(err, ErrBusy) {
				t.Errorf("another gets %v (%v)", other, err)
			}
			mustRelease(t, l, true)
		})
	}
}

func TestLockNowhere(t *testing.T) {
	if l, err := TakeLock(netns, Exclusive, "/proc/a", "/proc/b"); l != nil || err == nil || errors.Is(err, ErrBusy) ||
		!strings.Contains(err.Error(), "/proc/a") || !strings.Contains(err.Error(), "/proc/b") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, %v; want an error that names both", l, err)
	}
}

// A waiter whose file was removed by the one before it notices: the file that others find is
// another.
func TestLockOfRemovedFile(t *testing.T) {
	dir, file := lockDir(t)
	first := mustLock(t, Exclusive, dir)
	second := make(chan *Lock, 1)
	go func() {
		l, err := TakeLock(netns, Exclusive, dir)
		if err != nil {
			t.Error(err)
		}
		second <- l
	}()
	time.Sleep(soon)
	mustRelease(t, first, true)
	l := <-second
	if l == nil {
		return
	}
	if !exists(file) {
		t.Error("the second holds a file that nobody finds")
	}
	if third, err := lockIn(dir, netns, Exclusive); !errors.Is(err, ErrBusy) {
		t.Errorf("a third gets %v (%v)", third, err)
	}
	mustRelease(t, l, true)
}

// However they come and go, there is one writer or there are readers.
func TestLockHolders(t *testing.T) {
	dir, _ := lockDir(t)
	var wg sync.WaitGroup
	var writers, readers atomic.Int32
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				mode, holders := Exclusive, &writers
				if (i+j)%3 == 0 {
					mode, holders = Shared, &readers
				}
				l, err := TakeLock(netns, mode, dir)
				if err != nil {
					t.Error(err)
					return
				}
				if l == nil {
					continue // a reader where there is nothing
				}
				holders.Add(1)
				if w, r := writers.Load(), readers.Load(); w > 1 || w == 1 && r > 0 {
					t.Errorf("%d writers and %d readers", w, r)
				}
				holders.Add(-1)
				if err := l.Release(j%2 == 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// A process that is killed leaves no lock behind: the kernel lets go of it with the file.
func TestLockOfTheDead(t *testing.T) {
	dir, _ := lockDir(t)
	l := mustLock(t, Exclusive, dir)
	must(t, l.file.Close())
	mustRelease(t, mustLock(t, Exclusive, dir), true)
}

// Who locks the directory, which others may be able to open, keeps nobody waiting.
func TestLockOfTheDirectory(t *testing.T) {
	dir, _ := lockDir(t)
	must(t, os.MkdirAll(dir, 0o700))
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	l, err := lockIn(dir, netns, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	mustRelease(t, l, true)
}

// A lock that has been removed is taken anew. One that cannot be looked at is an error: it is not
// known who else holds it.
func TestLockOutOfSight(t *testing.T) {
	dir, file := lockDir(t)
	l := mustLock(t, Exclusive, dir)
	stands := func(want, fails bool) {
		t.Helper()
		if got, err := l.stands(); got != want || (err != nil) != fails {
			t.Errorf("it stands: %t (%v), want %t, an error: %t", got, err, want, fails)
		}
	}
	stands(true, false)
	must(t, os.Remove(file))
	stands(false, false)
	must(t, os.WriteFile(file, nil, 0o600)) // that of the next one
	stands(false, false)
	must(t, errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)))
	stands(false, true)
	must(t, l.file.Close())
	stands(false, true)
}

// GC removes locks that nobody holds of namespaces of which nothing is remembered.
func TestCollectIdleLocks(t *testing.T) {
	s, dir := newStore(t)
	mustSave(t, s, "known", full())
	mustSave(t, s, "boot-inode-7-c1", full())
	for _, name := range []string{"known", "boot-inode-7", "boot-inode-77", "idle", "held"} {
		l, err := TakeLock(name, Exclusive, dir)
		if err != nil {
			t.Fatal(err)
		}
		if name == "held" {
			defer mustRelease(t, l, true)
		} else {
			mustRelease(t, l, false)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	alive := func(Attachment, string) bool { return true }
	if err := s.Collect("net", func(Key) bool { return true }, alive); err != nil {
		t.Error(err)
	}
	var left []string
	for _, name := range list(t, dir) {
		if strings.HasSuffix(name, lockSuffix) || name == "file" {
			left = append(left, name)
		}
	}
	if diff := cmp.Diff([]string{"boot-inode-7.lock", "file", "held.lock", "known.lock"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// lockIn takes a lock in one directory, and does not wait for long.
func lockIn(dir, namespace string, mode LockMode) (*Lock, error) {
	f, err := openIn(dir, namespace, mode)
	if err != nil {
		return nil, err
	}
	return takeLock(f, mode, soon)
}
