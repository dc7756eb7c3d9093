package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrBusy is returned where another invocation holds a namespace for longer than a runtime
// would wait.
var ErrBusy = errors.New("another invocation holds the network namespace")

// lockTimeout is how long an invocation waits for others on the same namespace.
const lockTimeout = 30 * time.Second

// LockMode says how a namespace is held.
type LockMode int

// Shared is for readers, Exclusive for writers.
const (
	Shared    LockMode = unix.LOCK_SH
	Exclusive LockMode = unix.LOCK_EX
)

// Lock is a file that excludes other invocations on one namespace. It lies where no process
// of a pod and no other user of the node can open it: the namespace itself, which any of
// them can open and lock, would not do (nsfs files have mode 0444).
type Lock struct {
	file *os.File
	mode LockMode
}

// TakeLock locks a namespace. The file lies in the first of the directories that takes one: all
// networks of a pod have to use the same, whatever their dataDir. It returns ErrBusy, or an
// error of the system.
//
// Readers make no file: without one nothing is remembered of the namespace and nobody is at
// work in it. The lock is nil then.
func TakeLock(namespace string, mode LockMode, dirs ...string) (*Lock, error) {
	var errs []error
	for _, dir := range dirs {
		f, err := openIn(dir, namespace, mode)
		switch {
		case err == nil:
			return takeLock(f, mode, lockTimeout)
		case errors.Is(err, fs.ErrNotExist) && mode == Shared:
		default:
			errs = append(errs, err)
		}
	}
	if len(errs) < len(dirs) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock the network namespace: %w", errors.Join(errs...))
}

// openIn opens the file of a lock in a directory, and makes both where they have to be.
func openIn(dir, namespace string, mode LockMode) (*os.File, error) {
	if err := trustedDir(dir, os.Stat); errors.Is(err, fs.ErrNotExist) && mode == Exclusive {
		err = os.MkdirAll(dir, 0o700)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	return openLock(filepath.Join(dir, namespace+lockSuffix), mode)
}

// takeLock waits until a lock is ours. Whoever had it may have removed its file: then the file
// that others find counts.
func takeLock(f *os.File, mode LockMode, within time.Duration) (*Lock, error) {
	for {
		l := &Lock{f, mode}
		if err := l.wait(within); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		stands, err := l.stands()
		if stands {
			return l, nil
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("lock the network namespace: %w", err)
		}
		if f, err = openLock(f.Name(), mode); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, nil // a reader, of a namespace of which nothing is remembered any more
			}
			return nil, fmt.Errorf("lock the network namespace: %w", err)
		}
	}
}

const lockSuffix = ".lock"

func openLock(path string, mode LockMode) (*os.File, error) {
	if mode == Shared {
		return os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
}

// wait waits for its turn.
func (l *Lock) wait(within time.Duration) error {
	fd := int(l.file.Fd())
	err := unix.Flock(fd, int(l.mode)|unix.LOCK_NB)
	if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
		return flockError(err)
	}
	done := make(chan error, 1)
	go func() {
		for {
			err := unix.Flock(fd, int(l.mode))
			if !errors.Is(err, unix.EINTR) {
				done <- err
				return
			}
		}
	}()
	select {
	case err := <-done:
		return flockError(err)
	case <-time.After(within):
		return fmt.Errorf("%w (%s), for %s", ErrBusy, l.file.Name(), within)
	}
}

func flockError(err error) error {
	if err != nil {
		return fmt.Errorf("lock the network namespace: %w", err)
	}
	return nil
}

// stands reports whether the file is still the one that others find.
func (l *Lock) stands() (bool, error) {
	ours, err := l.file.Stat()
	if err != nil {
		return false, err
	}
	theirs, err := os.Lstat(l.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ours, theirs), err
}

// Release lets the next one in. With forget, and held exclusively, it takes the file away, too:
// nothing is remembered of the namespace any more.
func (l *Lock) Release(forget bool) error {
	var err error
	if forget && l.mode == Exclusive {
		err = unlink(l.file.Name())
	}
	return errors.Join(err, l.file.Close())
}

// isLockOf reports whether a namespace's lock has a name: containers that the kernel cannot
// tell apart share one (kernel.LockName).
func isLockOf(lock, namespace string) bool {
	return namespace == lock || strings.HasPrefix(namespace, lock+"-")
}

// RemoveIdleLock removes the lock of a namespace from the directory of the records, if nobody
// holds it.
func (s Store) RemoveIdleLock(lock string) { removeIdle(filepath.Join(s.dir, lock+lockSuffix)) }

// removeIdleLocks removes the locks of a directory that are chosen and that nobody holds: DEL
// removes its own, unless its namespace was gone.
func removeIdleLocks(dir string, chosen func(lock string) bool) {
	names, _ := readNames(dir) // nothing is lost with those that stay
	for _, name := range names {
		if lock, ok := strings.CutSuffix(name, lockSuffix); ok && chosen(lock) {
			removeIdle(filepath.Join(dir, name))
		}
	}
}

func removeIdle(path string) {
	f, err := openLock(path, Shared)
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // nothing was written
	l := &Lock{f, Exclusive}
	if err := unix.Flock(int(f.Fd()), int(l.mode)|unix.LOCK_NB); err != nil {
		return
	}
	if stands, err := l.stands(); err == nil && stands {
		_ = unlink(path)
	}
}
