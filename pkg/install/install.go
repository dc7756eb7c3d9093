// Package install puts executables where a runtime looks for CNI plugins, and keeps them there.
package install

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Names are the executables that are installed.
func Names() []string { return []string{"symroute", "symroutectl"} }

// mode is that of an executable.
const mode = 0o755

// temporary begins the names of files that are being written. A runtime takes none of them for a plugin.
const temporary = ".symroute-install-"

// Result says what an installation did.
type Result int

// The results.
const (
	Unchanged Result = iota // all was there
	Installed
)

// Install copies the executables from one directory to another, where they differ. Each is whole at any time: it is
// written under another name in the same directory, synced and renamed. So an executable that runs is never
// written to ("text file busy"). A directory that cannot be written is fine if all is in it.
//
// Its error is of the system.
func Install(from, to string) (Result, error) {
	removeTemporary(to)
	result := Unchanged
	for _, name := range Names() {
		source, target := filepath.Join(from, name), filepath.Join(to, name)
		same, err := isCopy(source, target)
		if err != nil {
			return result, err
		}
		if same {
			continue
		}
		if err := replace(source, target); err != nil {
			return result, hint(err, to)
		}
		result = Installed
	}
	return result, nil
}

// hint says what to do about a directory that takes no file.
func hint(err error, dir string) error {
	switch {
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w (%s is on a read-only file system: set --bin-dir, or binDir of the runtime, to a directory that can be written)", err, dir)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w (is %s where the runtime looks for CNI plugins? set --bin-dir)", err, dir)
	}
	return err
}

// isCopy says whether a file is a copy of another that can be run. One that is not there is none.
func isCopy(source, target string) (bool, error) {
	a, err := os.Open(source)
	if err != nil {
		return false, fmt.Errorf("open what is to be installed: %w", err)
	}
	defer a.Close() //nolint:errcheck // it was only read
	info, err := os.Lstat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look what is installed: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm() != mode {
		return false, nil
	}
	b, err := os.Open(target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // it went just now
	}
	if err != nil {
		return false, fmt.Errorf("open what is installed: %w", err)
	}
	defer b.Close() //nolint:errcheck // it was only read
	return sameContent(a, b)
}

func sameContent(a, b io.Reader) (bool, error) {
	left, right := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, left)
		m, errB := io.ReadFull(b, right)
		if !bytes.Equal(left[:n], right[:m]) {
			return false, nil
		}
		end := errors.Is(errA, io.EOF) || errors.Is(errA, io.ErrUnexpectedEOF)
		switch {
		case end:
			return true, nil
		case errA != nil || errB != nil:
			return false, fmt.Errorf("compare executables: %w", errors.Join(errA, errB))
		}
	}
}

// replace puts a copy of a file in the place of another, at once.
func replace(source, target string) error {
	dir := filepath.Dir(target)
	temp, err := os.CreateTemp(dir, temporary)
	if err != nil {
		return fmt.Errorf("install %s: %w", filepath.Base(target), err)
	}
	err = errors.Join(fill(temp, source), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), target)
	}
	if err != nil {
		_ = os.Remove(temp.Name()) // the next run removes it
		return fmt.Errorf("install %s: %w", filepath.Base(target), err)
	}
	return syncDir(dir)
}

// fill writes a copy of a file, to the disk.
func fill(temp *os.File, source string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	if _, err := io.Copy(temp, in); err != nil {
		return err
	}
	if err := temp.Chmod(mode); err != nil {
		return err
	}
	return temp.Sync()
}

// syncDir makes sure that a renaming outlives a loss of power.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	defer dir.Close() //nolint:errcheck // it was only synced
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// removeTemporary removes what an installation left that was killed. Nothing else begins like these files.
func removeTemporary(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, temporary+"*")) // the pattern is ours
	for _, path := range left {
		_ = os.Remove(path) // the next run tries again
	}
}

// Uninstall removes the executables. Its error is of the system; one that is not there is fine.
func Uninstall(dir string) error {
	removeTemporary(dir)
	var faults []error
	for _, name := range Names() {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, fmt.Errorf("uninstall %s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// Word is the result for a metric or a log, where err is what Install returned with it.
func (r Result) Word(err error) string {
	switch {
	case err != nil:
		return "failed"
	case r == Installed:
		return "installed"
	}
	return "unchanged"
}
