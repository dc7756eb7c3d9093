package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	unwritten = ".new"  // behind the name of a file while it is written
	maxSize   = 4 << 20 // bytes; a real record has a few hundred
)

// readFile returns what is in a file that is safely this user's own.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a symbolic link; a socket, a device
		return nil, fmt.Errorf("%w: %w", ErrNotUsable, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := trustedFile(info); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotUsable, path, err)
	}
	return io.ReadAll(f)
}

// trustedFile refuses what somebody else than this user could have written.
func trustedFile(info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	case info.Size() > maxSize:
		return fmt.Errorf("%d bytes long", info.Size())
	}
	return onlyOurs(info)
}

// onlyOurs refuses what belongs to another user, or what others may write to.
func onlyOurs(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || int(st.Uid) != os.Geteuid():
		return errors.New("belongs to another user")
	case info.Mode()&0o022 != 0:
		return fmt.Errorf("others may write to it (mode %#o)", info.Mode().Perm())
	}
	return nil
}

// replaceFile writes a file. A reader sees the old one or the new one, whenever the writer
// is killed.
func replaceFile(path string, data []byte) error {
	next := path + unwritten
	// What a killed write left may not be ours alone.
	if err := unlink(next); err != nil {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		_ = unlink(next) // the error is what matters
	}
	return err
}

// readNames returns the names of what is in a directory, in their order.
func readNames(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// unlink removes a file, and nothing but a file: a directory in its place is
// somebody else's doing and no reason for DEL to fail.
func unlink(path string) error {
	err := unix.Unlink(path)
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR) ||
		errors.Is(err, unix.ENAMETOOLONG) {
		return nil
	}
	return &fs.PathError{Op: "unlink", Path: path, Err: err}
}

// exists reports whether there is anything at a path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
