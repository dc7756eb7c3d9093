package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/sysfile"
)

const (
	unwritten = ".new"  // behind the name of a file while it is written
	maxSize   = 4 << 20 // bytes; a real record has a few hundred
)

// readFile returns what is in a file that is safely this user's own.
func readFile(path string) ([]byte, error) {
	fd, err := sysfile.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a symbolic link; a socket, a device
		return nil, fmt.Errorf("%w: %w", ErrNotUsable, err)
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if err := trustedFile(st); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotUsable, path, err)
	}
	data := make([]byte, st.Size)
	n, err := transfer(unix.Read, fd, data)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data[:n], nil
}

// trustedFile refuses what somebody else than this user could have written.
func trustedFile(st unix.Stat_t) error {
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("not a regular file")
	case st.Size > maxSize:
		return fmt.Errorf("%d bytes long", st.Size)
	}
	return onlyOurs(st)
}

// replaceFile writes a file. A reader sees the old one or the new one, whenever the writer
// is killed.
func replaceFile(path string, data []byte) error {
	next := path + unwritten
	// What a killed write left may not be ours alone.
	if err := unlink(next); err != nil {
		return err
	}
	fd, err := sysfile.Open(next, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(write(fd, data), unix.Close(fd)); err == nil {
		err = unix.Rename(next, path)
	}
	if err != nil {
		_ = unlink(next) // the error is what matters
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

func write(fd int, data []byte) error {
	n, err := transfer(unix.Write, fd, data)
	if err == nil && n < len(data) {
		return io.ErrShortWrite
	}
	return err
}

// readNames returns the names of what is in a directory, in their order.
func readNames(path string) ([]string, error) {
	fd, err := sysfile.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	var names []string
	block := make([]byte, 4096)
	for {
		n, err := sysfile.Again(func() (int, error) { return unix.Getdents(fd, block) })
		switch {
		case err != nil:
			return nil, &fs.PathError{Op: "readdir", Path: path, Err: err}
		case n == 0:
			slices.Sort(names)
			return names, nil
		default:
			_, _, names = unix.ParseDirent(block[:n], -1, names)
		}
	}
}

// transfer reads or writes until data is used up or there is no more.
func transfer(call func(int, []byte) (int, error), fd int, data []byte) (done int, err error) {
	for done < len(data) {
		n, err := sysfile.Again(func() (int, error) { return call(fd, data[done:]) })
		switch {
		case err != nil:
			return done, err
		case n == 0:
			return done, nil
		default:
			done += n
		}
	}
	return done, nil
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
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil
}

// makeDirs makes a directory, with those that it stands in, where it is not there. As for
// the rest of this file, package os would do: but for its FileInfo has a time.Time, and
// with that the executable holds the formats and zones of time, 100 KB of them.
func makeDirs(path string) error {
	err := makeDir(path)
	if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
		if err = makeDirs(parent); err == nil {
			err = makeDir(path)
		}
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
	}
	return nil
}

func makeDir(path string) error {
	_, err := sysfile.Again(func() (int, error) { return 0, unix.Mkdir(path, 0o700) })
	if err != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}
