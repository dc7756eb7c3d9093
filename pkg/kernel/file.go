package kernel

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// Files of /proc and /proc/sys hold one short line. Package os would take nine
// system calls for each of them where these take three: it asks for the size, and
// whether the file can be polled.

// readFile reads the line of a file, without its end.
func readFile(path string) (string, error) {
	fd, err := openFile(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read from
	var line [128]byte
	n, err := again(func() (int, error) { return unix.Read(fd, line[:]) })
	if err != nil {
		return "", &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return strings.TrimSpace(string(line[:n])), nil
}

// writeFile writes to a file that exists.
func writeFile(path, text string) error {
	fd, err := openFile(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = again(func() (int, error) { return unix.Write(fd, []byte(text)) })
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

func openFile(path string, flags int) (int, error) {
	fd, err := again(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, 0) })
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// again repeats a system call that a signal has interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
