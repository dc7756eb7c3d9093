package kernel

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/sysfile"
)

// readFile reads the one short line that a file of /proc or /proc/sys holds, without
// its end.
func readFile(path string) (string, error) {
	fd, err := sysfile.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read from
	var line [128]byte
	n, err := sysfile.Again(func() (int, error) { return unix.Read(fd, line[:]) })
	if err != nil {
		return "", &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return strings.TrimSpace(string(line[:n])), nil
}

// writeFile writes to a file that exists.
func writeFile(path, text string) error {
	fd, err := sysfile.Open(path, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = sysfile.Again(func() (int, error) { return unix.Write(fd, []byte(text)) })
	if err = errors.Join(err, unix.Close(fd)); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}
