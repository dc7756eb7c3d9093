package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
)

// netns is the identity of a namespace; what it looks like is not the store's
// business.
const netns = "0a1b2c3d-0000000000000001"

var remembered = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

func key(network, container, ifname string) Key {
	return Key{Network: network, ContainerID: container, IfName: ifname}
}

// full is a record with something in every field.
func full() Attachment {
	var a Attachment
	fill(reflect.ValueOf(&a).Elem())
	a.Version = Version
	a.Key = key("net", "c1", "net1")
	return a
}

func fill(v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *netip.Prefix:
		*p = netip.MustParsePrefix("192.0.2.7/32")
		return
	case *netip.Addr:
		*p = netip.MustParseAddr("192.0.2.7")
		return
	case *json.RawMessage:
		*p = json.RawMessage(`{"some":"text"}`)
		return
	case *fib.Family:
		*p = fib.V4
		return
	case *fib.Action:
		*p = fib.Lookup
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			switch v.Type().Field(i).Name {
			case "Tentative", "Duplicate": // change by themselves, and are not remembered
			case "Target": // of a rule that is no lookup
			default:
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("some key"), value)
	case reflect.String:
		v.SetString("/some text")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.Set(reflect.ValueOf(7).Convert(v.Type()))
	}
}

// path is the file of a key.
func path(dir string, k Key) string { return filepath.Join(dir, netns, k.fileName()) }

// newStore is a store in a directory that does not exist yet.
func newStore(t testing.TB) (Store, string) {
	dir := filepath.Join(t.TempDir(), "run", "symroute")
	return NewStore(dir), dir
}

func mustSave(t testing.TB, s Store, namespace string, all ...Attachment) {
	t.Helper()
	for _, a := range all {
		if err := s.Save(namespace, a); err != nil {
			t.Fatal(err)
		}
	}
}

func mustLoad(t testing.TB, s Store, namespace string) []Attachment {
	t.Helper()
	all, err := s.Load(namespace)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSaveLoadRemove(t *testing.T) {
	s, dir := newStore(t)
	if all := mustLoad(t, s, netns); all != nil {
		t.Errorf("an empty store remembers %v", all)
	}
	second := Attachment{Key: key("net", "c1", "net2")}
	mustSave(t, s, netns, full(), second)
	second.Version = Version
	if diff := cmp.Diff([]Attachment{full(), second}, mustLoad(t, s, netns), remembered); diff != "" {
		t.Errorf("(-saved +loaded):\n%s", diff)
	}

	changed := full()
	changed.Netns = "/run/netns/b"
	mustSave(t, s, netns, changed)
	if diff := cmp.Diff([]Attachment{changed, second}, mustLoad(t, s, netns), remembered); diff != "" {
		t.Errorf("saved again (-saved +loaded):\n%s", diff)
	}

	for _, k := range []Key{full().Key, full().Key, second.Key, second.Key} {
		if err := s.Remove(netns, k); err != nil {
			t.Errorf("remove %v: %v", k, err)
		}
	}
	if left := list(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// list names everything below a directory.
func list(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if p != dir {
			names = append(names, strings.TrimPrefix(p, dir+"/"))
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

// Records come in the order of their files' names, whatever that of the directory is.
func TestOrder(t *testing.T) {
	s, _ := newStore(t)
	var want, got []string
	for i := range 50 {
		name := fmt.Sprintf("net%02d", i*37%50)
		mustSave(t, s, netns, Attachment{Key: key("net", "c1", name)})
		want = append(want, name)
	}
	for _, a := range mustLoad(t, s, netns) {
		got = append(got, a.IfName)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// In a directory that somebody else may write to nothing is read, written or removed.
func TestNotOursAlone(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"others may write":               func(dir string) error { return os.Chmod(dir, 0o777) },
		"a group may write":              func(dir string) error { return os.Chmod(dir, 0o770) },
		"somebody else's":                func(dir string) error { return os.Chown(dir, os.Geteuid()+1000, -1) },
		"others may write to the folder": func(dir string) error { return os.Chmod(filepath.Join(dir, netns), 0o777) },
		"somebody else's folder":         func(dir string) error { return os.Chown(filepath.Join(dir, netns), os.Geteuid()+1000, -1) },
		"a link for the folder":          func(dir string) error { return moveBehindLink(filepath.Join(dir, netns)) },
		"somebody else's, without a folder": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, netns)), os.Chown(dir, os.Geteuid()+1000, -1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newStore(t)
			mustSave(t, s, netns, full())
			must(t, spoil(dir))
			before := list(t, dir)
			if all, err := s.Load(netns); !errors.Is(err, ErrNotUsable) || len(all) > 0 {
				t.Errorf("loaded %v (%v)", all, err)
			}
			if err := s.Save(netns, Attachment{Key: key("net", "c1", "net2")}); !errors.Is(err, ErrNotUsable) {
				t.Errorf("saved: %v", err)
			}
			if err := s.Remove(netns, full().Key); !errors.Is(err, ErrNotUsable) {
				t.Errorf("removed: %v", err)
			}
			if diff := cmp.Diff(before, list(t, dir)); diff != "" {
				t.Errorf("changed:\n%s", diff)
			}
		})
	}
}

func moveBehindLink(path string) error {
	return errors.Join(os.Rename(path, path+".elsewhere"), os.Symlink(path+".elsewhere", path))
}

// Nobody else may read or write what decides over routing.
func TestModes(t *testing.T) {
	s, dir := newStore(t)
	mustSave(t, s, netns, full())
	for p, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, netns): 0o700, path(dir, full().Key): 0o600} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", p, got, want)
		}
	}
}

// Every name that the CNI specification and its library let through.
func TestNames(t *testing.T) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	tests := []struct {
		name string
		key  Key
	}{
		{"all characters of a network and a container", key(letters, letters, "net1")},
		{"one letter each", key("n", "c", "e")},
		{"signs", key("n", "c", `!"#$%&'()*+,-.;`)},
		{"more signs", key("n", "c", "<=>?@[\\]^_`{|}~")},
		{"dots", key("n..", "c..", "...")},
		{"hidden", key("n", "c", ".net1")},
		{"letters of the world", key("n", "c", "nät1")},
		{"bytes that are no letters", key("n", "c", "net\xff\xfe")},
		{"control characters", key("n", "c", "net\x01\x7f")},
		{"names of files", key("n.json", "c.json", "a.json")},
		{"name of a temporary file", key("n.new", "c.json.new", "a.new")},
		{"as long as an object's name may be", key(strings.Repeat("n", 253), strings.Repeat("c", 64), "abcdefghijklmno")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := newStore(t)
			mustSave(t, s, netns, Attachment{Key: tt.key})
			all := mustLoad(t, s, netns)
			if len(all) != 1 || all[0].Key != tt.key {
				t.Errorf("saved %q, loaded %v", tt.key, all)
			}
			if err := s.RemoveEverywhere(tt.key); err != nil {
				t.Error(err)
			}
			if left := list(t, dir); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// No two keys share a file: none of their parts holds a colon, by which skel
// and the configuration refuse them.
func TestFileNames(t *testing.T) {
	seen := map[string]Key{}
	parts := []string{"a", "b", "a.b", "a-b", "a_b", "a.json", "A"}
	long := strings.Repeat("n", 300)
	for _, network := range append(parts, long, long+"n", long[:250]) {
		for _, container := range parts {
			for _, ifname := range parts {
				k := key(network, container, ifname)
				if other, ok := seen[k.fileName()]; ok {
					t.Errorf("%v and %v are both %q", k, other, k.fileName())
				}
				seen[k.fileName()] = k
			}
		}
	}
}

// What is not usable is named and not acted on, and the rest is read all the
// same.
func TestNotUsable(t *testing.T) {
	good := Attachment{Version: Version, Key: key("net", "c1", "net2")}
	valid, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) func(t *testing.T, file string) {
		return func(t *testing.T, file string) { must(t, os.WriteFile(file, b, 0o600)) }
	}
	tests := []struct {
		name  string
		place func(t *testing.T, file string)
	}{
		{"empty", write(nil)},
		{"torn", write(valid[:len(valid)/2])},
		{"torn at the last byte", write(valid[:len(valid)-1])},
		{"more than a record", write(append(slices.Clone(valid), '{'))},
		{"zeros", write(make([]byte, 100))},
		{"null", write([]byte("null"))},
		{"a list", write([]byte("[]"))},
		{"of no version", write([]byte(strings.Replace(string(valid), `"version":1,`, "", 1)))},
		{"of another version", write([]byte(strings.Replace(string(valid), `"version":1,`, `"version":2,`, 1)))},
		{"of another attachment", write([]byte(strings.Replace(string(valid), `"c1"`, `"c2"`, 1)))},
		{"a source that is none", write([]byte(strings.Replace(string(valid), `192.0.2.7/32`, `192.0.2.7/33`, 1)))},
		{"too large", func(t *testing.T, file string) {
			must(t, errors.Join(os.WriteFile(file, valid, 0o600), os.Truncate(file, maxSize+1)))
		}},
		{"writable by a group", func(t *testing.T, file string) {
			must(t, errors.Join(os.WriteFile(file, valid, 0o600), os.Chmod(file, 0o620)))
		}},
		{"writable by all", func(t *testing.T, file string) {
			must(t, errors.Join(os.WriteFile(file, valid, 0o600), os.Chmod(file, 0o602)))
		}},
		{"somebody else's", func(t *testing.T, file string) {
			must(t, errors.Join(os.WriteFile(file, valid, 0o600), os.Chown(file, os.Geteuid()+1000, -1)))
		}},
		{"symbolic link", func(t *testing.T, file string) {
			elsewhere := filepath.Join(t.TempDir(), "elsewhere")
			must(t, errors.Join(os.WriteFile(elsewhere, valid, 0o600), os.Symlink(elsewhere, file)))
		}},
		{"dangling link", func(t *testing.T, file string) { must(t, os.Symlink("/absent", file)) }},
		{"directory", func(t *testing.T, file string) { must(t, os.Mkdir(file, 0o700)) }},
		{"FIFO", func(t *testing.T, file string) { must(t, unix.Mkfifo(file, 0o600)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := newStore(t)
			mustSave(t, s, netns, good)
			file := path(dir, full().Key)
			tt.place(t, file)
			all, err := s.Load(netns)
			if !errors.Is(err, ErrNotUsable) {
				t.Errorf("got %v, want ErrNotUsable", err)
			} else if !strings.Contains(err.Error(), filepath.Base(file)) {
				t.Errorf("the file is not named in: %v", err)
			}
			if diff := cmp.Diff([]Attachment{good}, all, remembered); diff != "" {
				t.Errorf("the others (-want +got):\n%s", diff)
			}
			if err := s.Remove(netns, full().Key); err != nil {
				t.Errorf("it cannot be removed: %v", err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A record is replaced whole, whatever an earlier writer left when it was killed
// or somebody put there.
func TestSaveOverLeftovers(t *testing.T) {
	tests := []struct {
		name  string
		place func(t *testing.T, file, temporary string)
	}{
		{"torn record", func(t *testing.T, file, _ string) { must(t, os.WriteFile(file, []byte("{"), 0o600)) }},
		{"record that others may write", func(t *testing.T, file, _ string) {
			must(t, errors.Join(os.WriteFile(file, []byte("{"), 0o600), os.Chmod(file, 0o666)))
		}},
		{"link instead of the record", func(t *testing.T, file, _ string) { must(t, os.Symlink("/absent", file)) }},
		{"FIFO instead of the record", func(t *testing.T, file, _ string) { must(t, unix.Mkfifo(file, 0o600)) }},
		{"half a write", func(t *testing.T, _, temporary string) {
			must(t, os.WriteFile(temporary, []byte(strings.Repeat("x", 10000)), 0o600))
		}},
		{"half a write that others may write", func(t *testing.T, _, temporary string) {
			must(t, errors.Join(os.WriteFile(temporary, []byte("x"), 0o600), os.Chmod(temporary, 0o666)))
		}},
		{"somebody else's half a write", func(t *testing.T, _, temporary string) {
			must(t, errors.Join(os.WriteFile(temporary, []byte("x"), 0o600), os.Chown(temporary, os.Geteuid()+1000, -1)))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := newStore(t)
			must(t, os.MkdirAll(filepath.Join(dir, netns), 0o700))
			file := path(dir, full().Key)
			tt.place(t, file, file+".new")
			mustSave(t, s, netns, full())
			if diff := cmp.Diff([]Attachment{full()}, mustLoad(t, s, netns), remembered); diff != "" {
				t.Errorf("(-saved +loaded):\n%s", diff)
			}
			if got := list(t, dir); len(got) != 2 {
				t.Errorf("beside the record there is: %v", got)
			}
		})
	}
}

// What stands in the way is replaced or an error, but neither followed nor waited
// for.
func TestSaveOverStrangeThings(t *testing.T) {
	tests := []struct {
		name  string
		place func(t *testing.T, temporary, elsewhere string)
	}{
		{"link", func(t *testing.T, temporary, elsewhere string) { must(t, os.Symlink(elsewhere, temporary)) }},
		{"directory", func(t *testing.T, temporary, _ string) { must(t, os.Mkdir(temporary, 0o700)) }},
		{"FIFO", func(t *testing.T, temporary, _ string) { must(t, unix.Mkfifo(temporary, 0o600)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, dir := newStore(t)
			elsewhere := filepath.Join(t.TempDir(), "elsewhere")
			must(t, errors.Join(os.WriteFile(elsewhere, []byte("x"), 0o600), os.MkdirAll(filepath.Join(dir, netns), 0o700)))
			temporary := path(dir, full().Key) + ".new"
			tt.place(t, temporary, elsewhere)
			result := make(chan error, 1)
			go func() { result <- s.Save(netns, full()) }()
			var err error
			select {
			case err = <-result:
			case <-time.After(10 * time.Second):
				t.Fatal("Save waits")
			}
			if b, _ := os.ReadFile(elsewhere); string(b) != "x" {
				t.Errorf("wrote through the link: %q", b)
			}
			if all, loadErr := s.Load(netns); err == nil && len(all) != 1 {
				t.Errorf("saved, it says, but there is %v (%v)", all, loadErr)
			}
		})
	}
}

func TestSaveFails(t *testing.T) {
	t.Run("a file for a directory", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		must(t, os.WriteFile(file, nil, 0o600))
		for _, dir := range []string{file, filepath.Join(file, "below")} {
			if err := NewStore(dir).Save(netns, full()); err == nil {
				t.Errorf("saved below a file, %s", dir)
			}
		}
	})
	t.Run("a directory in its place", func(t *testing.T) {
		s, dir := newStore(t)
		must(t, os.MkdirAll(path(dir, full().Key), 0o700))
		if err := s.Save(netns, full()); err == nil {
			t.Error("saved over a directory")
		}
	})
}

// DEL removes what it can and does not stumble over what it finds.
func TestRemoveStrangeThings(t *testing.T) {
	s, dir := newStore(t)
	if err := s.Remove(netns, full().Key); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	must(t, os.MkdirAll(filepath.Join(path(dir, full().Key), "somebody's"), 0o700))
	if err := s.Remove(netns, full().Key); err != nil {
		t.Errorf("a directory in its place: %v", err)
	}
	if _, err := os.Stat(filepath.Join(path(dir, full().Key), "somebody's")); err != nil {
		t.Errorf("somebody's directory was removed: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := NewStore(file).Remove(netns, full().Key); !errors.Is(err, ErrNotUsable) {
		t.Errorf("a file for the directory: %v", err)
	}
}

func TestDamaged(t *testing.T) {
	s, dir := newStore(t)
	if s.Damaged(netns, full().Key) {
		t.Error("nothing is there, and it is damaged")
	}
	must(t, os.MkdirAll(filepath.Join(dir, netns), 0o700))
	must(t, os.WriteFile(path(dir, full().Key), []byte("{"), 0o600))
	if !s.Damaged(netns, full().Key) {
		t.Error("a torn record is not damaged")
	}
	if s.Damaged(netns, key("net", "c1", "net2")) {
		t.Error("another attachment's is damaged")
	}
}

// A record that stands in another's file is nobody's.
func TestForeignRecord(t *testing.T) {
	keys := []Key{key("net", "c1", "net1"), key("net", "c1", "net2"), key("other", "c1", "net1"), key(strings.Repeat("n", 300), "c1", "net1")}
	for i, k := range keys {
		for j, other := range keys {
			if i == j {
				continue
			}
			s, dir := newStore(t)
			mustSave(t, s, netns, Attachment{Key: k})
			must(t, os.Rename(path(dir, k), path(dir, other)))
			if all, err := s.Load(netns); !errors.Is(err, ErrNotUsable) || len(all) > 0 {
				t.Errorf("%q in the file of %q: loaded %v (%v)", k, other, all, err)
			}
		}
	}
}

func TestRemoveEverywhere(t *testing.T) {
	s, dir := newStore(t)
	if err := s.RemoveEverywhere(full().Key); err != nil {
		t.Errorf("no directory: %v", err)
	}
	other := Attachment{Version: Version, Key: key("net", "c2", "net1")}
	mustSave(t, s, "ns1", full(), other)
	mustSave(t, s, "ns2", full())
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	if err := s.RemoveEverywhere(full().Key); err != nil {
		t.Error(err)
	}
	want := []string{"file", "ns1", filepath.Join("ns1", other.fileName())}
	if diff := cmp.Diff(want, list(t, dir)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// Of namespaces that one name may stand for, the last writer's is the one that is.
func TestLatest(t *testing.T) {
	s, dir := newStore(t)
	if got, err := s.Latest("boot-inode-7-", "net1"); got != "" || err != nil {
		t.Errorf("no directory: %q, %v", got, err)
	}
	began := time.Now()
	for age, record := range []struct{ namespace, ifname string }{
		{"boot-inode-71-c3", "net1"},
		{"boot-inode-7-c2", "net2"},
		{"boot-inode-7-c2", "net1"},
		{"boot-inode-7-c1", "net1"},
	} {
		a := Attachment{Key: key("net", "c", record.ifname)}
		mustSave(t, s, record.namespace, a)
		when := began.Add(-time.Duration(age) * time.Second)
		must(t, os.Chtimes(filepath.Join(dir, record.namespace, a.fileName()), when, when))
	}
	must(t, os.WriteFile(filepath.Join(dir, "boot-inode-7-c1", "torn:net1:net.json"), []byte("{"), 0o600))
	for ifname, want := range map[string]string{"net1": "boot-inode-7-c2", "net2": "boot-inode-7-c2", "net3": ""} {
		if got, err := s.Latest("boot-inode-7-", ifname); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", ifname, got, err, want)
		}
	}
}

// A writer that was killed leaves half a write and nothing else. DEL finds that
// too, with and without the namespace.
func TestLeftovers(t *testing.T) {
	for name, remove := range map[string]func(Store) error{
		"namespace there": func(s Store) error { return s.Remove(netns, full().Key) },
		"namespace gone":  func(s Store) error { return s.RemoveEverywhere(full().Key) },
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newStore(t)
			must(t, os.MkdirAll(filepath.Join(dir, netns), 0o700))
			must(t, os.WriteFile(path(dir, full().Key)+".new", []byte("{"), 0o600))
			if all := mustLoad(t, s, netns); len(all) > 0 {
				t.Errorf("half a write is taken for %v", all)
			}
			if err := remove(s); err != nil {
				t.Error(err)
			}
			if left := list(t, dir); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestCollect(t *testing.T) {
	s, dir := newStore(t)
	valid, dead, alive, foreign := key("net", "valid", "net1"), key("net", "dead", "net1"), key("net", "alive", "net1"), key("other", "dead", "net1")
	mustSave(t, s, "ns1", Attachment{Key: valid}, Attachment{Key: dead}, Attachment{Key: foreign})
	mustSave(t, s, "ns2", Attachment{Key: alive}, Attachment{Key: key("net", "dead", "net2")})
	mustSave(t, s, "ns3", Attachment{Key: dead})
	must(t, os.WriteFile(filepath.Join(dir, "ns1", "torn:net1:net.json"), []byte("{"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))

	keep := func(k Key) bool { return k == valid }
	var asked []string
	isAlive := func(a Attachment, identity string) bool {
		asked = append(asked, a.ContainerID+" "+a.IfName+" in "+identity)
		return a.ContainerID == "alive"
	}
	if err := s.Collect("net", keep, isAlive); err != nil {
		t.Error(err)
	}
	want := []string{
		"file",
		"ns1", filepath.Join("ns1", foreign.fileName()), filepath.Join("ns1", "torn:net1:net.json"), filepath.Join("ns1", valid.fileName()),
		"ns2", filepath.Join("ns2", alive.fileName()),
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(list(t, dir)))); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	slices.Sort(asked)
	if diff := cmp.Diff([]string{"alive net1 in ns2", "dead net1 in ns1", "dead net1 in ns3", "dead net2 in ns2"}, asked); diff != "" {
		t.Errorf("asked whether it is alive (-want +got):\n%s", diff)
	}
	if err := NewStore(filepath.Join(dir, "absent")).Collect("net", keep, isAlive); err != nil {
		t.Errorf("no directory: %v", err)
	}
}

// Invocations on different namespaces share nothing but the directory, which
// they make and find made by others.
func TestConcurrentNamespaces(t *testing.T) {
	s, dir := newStore(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			namespace := fmt.Sprintf("ns%d", i)
			a := Attachment{Version: Version, Key: key("net", fmt.Sprintf("c%d", i), "net1")}
			for range 20 {
				if err := s.Save(namespace, a); err != nil {
					t.Error(err)
				}
				all, err := s.Load(namespace)
				if diff := cmp.Diff([]Attachment{a}, all, remembered); err != nil || diff != "" {
					t.Errorf("%v (-saved +loaded):\n%s", err, diff)
				}
				if err := errors.Join(s.Remove(namespace, a.Key), s.RemoveEverywhere(key("net", "absent", "net1"))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if left := list(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestUsable(t *testing.T) {
	s, dir := newStore(t)
	for range 2 {
		if err := s.Usable(); err != nil {
			t.Error(err)
		}
	}
	if left := list(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for name, dir := range map[string]string{"a file": file, "below a file": filepath.Join(file, "x"), "a file system that takes none": "/proc/symroute"} {
		if err := NewStore(dir).Usable(); err == nil {
			t.Errorf("%s is usable", name)
		}
	}
	// docs/errors.md has these words.
	if err, want := NewStore(file).Usable(), "mkdir "+file+": not a directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFind(t *testing.T) {
	a, b, c := Attachment{Key: key("n", "c", "1")}, Attachment{Key: key("n", "c", "2")}, Attachment{Key: key("m", "c", "1")}
	mine, others := Find([]Attachment{a, b, c}, b.Key)
	if mine == nil || mine.Key != b.Key {
		t.Errorf("mine is %v", mine)
	}
	if diff := cmp.Diff([]Attachment{a, c}, others, remembered); diff != "" {
		t.Errorf("others (-want +got):\n%s", diff)
	}
	if mine, others := Find([]Attachment{a, b, c}, key("n", "d", "1")); mine != nil || len(others) != 3 {
		t.Errorf("of an unknown key: %v, %d others", mine, len(others))
	}
}

// The states that an attachment may be in come with the latest first.
func TestStates(t *testing.T) {
	numbered := func(n uint32) state.State { return state.State{Rules: []fib.Rule{{Priority: n}}} }
	a := Attachment{State: numbered(3), Earlier: []state.State{numbered(1), numbered(2)}}
	a.State.Settings = settings.Memories{fib.RPFilter: {Wish: settings.Wish{Least: 1}}}
	var got []uint32
	for _, s := range a.States() {
		got = append(got, s.Rules[0].Priority)
	}
	if diff := cmp.Diff([]uint32{3, 2, 1}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	all := []Attachment{a, {State: numbered(4)}}
	if states := States(all); len(states) != 2 || states[0].Rules[0].Priority != 3 || states[1].Rules[0].Priority != 4 {
		t.Errorf("states of all: %v", states)
	}
	if memories := Settings(all); len(memories) != 2 || memories[0][fib.RPFilter].Least != 1 || len(memories[1]) > 0 {
		t.Errorf("settings of all: %v", memories)
	}
}
