// Package sysfile opens files by the system's calls. A file of package os is also
// prepared for waiting, as a socket has to be: with that and a look at its size,
// reading a line of /proc takes nine system calls instead of three.
package sysfile

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Open opens a file for this process alone, not for those that it starts. It returns
// an *fs.PathError with the errno.
func Open(path string, flags int, mode uint32) (fd int, err error) {
	fd, err = Again(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, mode) })
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// Again makes a system call until no signal interrupts it: open, read and write of a
// file system in user space, and all of a process that is traced, can be (EINTR).
func Again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
