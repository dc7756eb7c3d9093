package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// ErrNotUsable is wrapped by the error for a file that exists but is not acted
// on: torn, of another version, or not safely root's own.
var ErrNotUsable = errors.New("remembered file not usable")

// suffix is what the names of all records end with.
const suffix = ".json"

// Store is the directory that holds the records (the key "dataDir").
type Store struct {
	dir   string
	locks []string // where the locks of the namespaces may be
}

// NewStore names a store, and where the locks may be beside it. It touches nothing.
func NewStore(dir string, locks ...string) Store {
	return Store{dir: dir, locks: append(locks, dir)}
}

// maxName leaves room for unwritten below the 255 bytes of a name (NAME_MAX).
const maxName = 240

// fileName cannot be ambiguous: none of the three may hold a colon. In the place
// of a network name that is too long for it stands a hash.
func (k Key) fileName() string {
	name := k.ContainerID + ":" + k.IfName + ":" + k.Network + suffix
	if len(name) <= maxName {
		return name
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(k.Network)) // a hash takes everything
	return fmt.Sprintf("%s:%s:%016x%s", k.ContainerID, k.IfName, hash.Sum64(), suffix)
}

// Load reads the records of one namespace. Of a file that is not usable it
// returns the name and why (ErrNotUsable), and goes on. Any other error is the
// system's: nothing is known then, and another time it may be.
func (s Store) Load(namespace string) ([]Attachment, error) {
	err := s.trusted(namespace)
	var names []string
	if err == nil {
		names, err = readNames(filepath.Join(s.dir, namespace))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, ErrNotUsable):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("read what is remembered: %w", err)
	}
	var all []Attachment
	var faults []error
	for _, name := range names {
		if !strings.HasSuffix(name, suffix) {
			continue // a write that was cut off
		}
		a, err := load(filepath.Join(s.dir, namespace, name))
		if err == nil && !a.isIn(name) {
			err = fmt.Errorf("%w: %s: speaks of another attachment, %s", ErrNotUsable, name, a.fileName())
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, ErrNotUsable):
			faults = append(faults, err)
		case err != nil:
			return nil, fmt.Errorf("read what is remembered: %w", err)
		default:
			all = append(all, a)
		}
	}
	return all, errors.Join(faults...)
}

// Damaged reports whether something stands where an attachment's record does.
// Where Load did not return it, it is not usable.
func (s Store) Damaged(namespace string, key Key) bool {
	return exists(filepath.Join(s.dir, namespace, key.fileName()))
}

// isIn reports whether a record is that of its file. JSON does not hold every
// byte that the name of an interface may have; then the file's name does.
func (a *Attachment) isIn(fileName string) bool {
	if parts := strings.Split(fileName, ":"); len(parts) == 3 && !utf8.ValidString(parts[1]) {
		a.IfName = parts[1]
	}
	return a.fileName() == fileName
}

// load reads the record in a file.
func load(path string) (Attachment, error) {
	data, err := readFile(path)
	if err != nil {
		return Attachment{}, err
	}
	a, err := decode(data)
	if err != nil {
		return Attachment{}, fmt.Errorf("%w: %s: %w", ErrNotUsable, path, err)
	}
	return a, nil
}

// trusted refuses a namespace's folder, or a directory of all, in which somebody else
// than this user could have put or taken records. The directory may stand behind a
// link, which is the administrator's doing; a namespace's folder is ours and may not.
func (s Store) trusted(namespace string) error {
	if err := trustedDir(s.dir, os.Stat); err != nil {
		return err
	}
	return trustedDir(filepath.Join(s.dir, namespace), os.Lstat)
}

func trustedDir(path string, stat func(string) (fs.FileInfo, error)) error {
	info, err := stat(path)
	switch {
	case errors.Is(err, unix.ENOTDIR), err == nil && !info.IsDir():
		return fmt.Errorf("%w: %s: not a directory", ErrNotUsable, path)
	case err != nil:
		return err
	}
	if err := onlyOurs(info); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNotUsable, path, err)
	}
	return nil
}

// Save writes a record. A reader sees the old file or the new one, whenever
// the writer is killed; after an error the old one, or none as before.
func (s Store) Save(namespace string, a Attachment) error {
	a.Version = Version
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("remember the attachment: %w", err)
	}
	path := filepath.Join(s.dir, namespace, a.fileName())
	if err = s.prepare(namespace); err == nil {
		if err = replaceFile(path, data); err != nil {
			_ = unix.Rmdir(filepath.Dir(path)) // which fails while there are others
		}
	}
	if err != nil {
		return fmt.Errorf("remember the attachment: %w", err)
	}
	return nil
}

// prepare makes a namespace's folder, where this is its first attachment, and sees that
// it is trusted.
func (s Store) prepare(namespace string) error {
	err := s.trusted(namespace)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.dir, namespace), 0o700); err != nil {
		return err
	}
	return s.trusted(namespace)
}

// Remove forgets an attachment in one namespace. What is not there is gone.
func (s Store) Remove(namespace string, key Key) error {
	dir := filepath.Join(s.dir, namespace)
	path := filepath.Join(dir, key.fileName())
	if err := s.trusted(namespace); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("forget the attachment: %w", err)
	}
	for _, p := range []string{path + unwritten, path} {
		if err := unlink(p); err != nil {
			return fmt.Errorf("forget the attachment: %w", err)
		}
	}
	// Fails while other attachments are remembered, as it should.
	_ = os.Remove(dir)
	return nil
}

// Knows reports whether anything is remembered of a namespace.
func (s Store) Knows(namespace string) bool { return exists(filepath.Join(s.dir, namespace)) }

// RemoveEverywhere forgets an attachment whose namespace is gone. The lock goes with the last.
func (s Store) RemoveEverywhere(key Key) error {
	namespaces, err := s.namespaces()
	if err != nil {
		return err
	}
	for _, ns := range namespaces {
		if !s.holds(ns, key) {
			continue
		}
		if err := s.Remove(ns, key); err != nil {
			return err
		}
		if s.Knows(ns) {
			continue
		}
		for _, dir := range s.locks {
			removeIdleLocks(dir, func(lock string) bool { return isLockOf(lock, ns) })
		}
	}
	return nil
}

// holds reports whether a namespace has a record of an attachment, or the
// beginning of one.
func (s Store) holds(namespace string, key Key) bool {
	path := filepath.Join(s.dir, namespace, key.fileName())
	for _, p := range []string{path, path + unwritten} {
		if exists(p) {
			return true
		}
	}
	return false
}

// Latest is the namespace, of those whose name begins with prefix, in which an
// interface was remembered last; "" if none has it.
func (s Store) Latest(prefix, ifName string) (string, error) {
	namespaces, err := s.namespaces()
	if err != nil {
		return "", err
	}
	var latest string
	var when time.Time
	for _, ns := range namespaces {
		if !strings.HasPrefix(ns, prefix) {
			continue
		}
		all, err := s.Load(ns)
		if err != nil && !errors.Is(err, ErrNotUsable) {
			return "", err
		}
		for _, a := range all {
			if a.IfName != ifName {
				continue
			}
			info, err := os.Lstat(filepath.Join(s.dir, ns, a.fileName()))
			if err == nil && info.ModTime().After(when) {
				latest, when = ns, info.ModTime()
			}
		}
	}
	return latest, nil
}

func (s Store) namespaces() ([]string, error) {
	names, err := readNames(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is remembered: %w", err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		info, err := os.Lstat(filepath.Join(s.dir, name))
		return err != nil || !info.IsDir()
	}), nil
}

// Collect forgets the attachments of a network that are not to be kept and
// whose namespace is gone.
func (s Store) Collect(network string, keep func(Key) bool, alive func(a Attachment, identity string) bool) error {
	namespaces, err := s.namespaces()
	if err != nil {
		return err
	}
	var faults []error
	for _, ns := range namespaces {
		all, err := s.Load(ns)
		if err != nil && !errors.Is(err, ErrNotUsable) {
			faults = append(faults, err)
		}
		for _, a := range all {
			if a.Network != network || keep(a.Key) || alive(a, ns) {
				continue
			}
			faults = append(faults, s.Remove(ns, a.Key))
		}
	}
	if namespaces, err := s.namespaces(); err == nil {
		removeIdleLocks(s.dir, func(lock string) bool {
			return !slices.ContainsFunc(namespaces, func(ns string) bool { return isLockOf(lock, ns) })
		})
	}
	return errors.Join(faults...)
}

// Usable reports whether records can be written: that the directory exists, or
// can be made, and takes a file.
func (s Store) Usable() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.dir, ".status-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
