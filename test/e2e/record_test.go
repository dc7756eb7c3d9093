package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// TestRememberedFile spoilings what is remembered in every way that a disk, another
// release or somebody else's hand can. DEL never fails for it and takes rules and
// routes back; nothing is read or written elsewhere; neighbours are not harmed.
func TestRememberedFile(t *testing.T) {
	t.Parallel()
	t.Run("for people, too", testReadableRecord)
	t.Run("damaged", testDamagedRecord)
	t.Run("of another release", testRecordOfAnotherRelease)
	t.Run("cut off", testRecordCutOff)
	t.Run("folders that are not ours alone", testUntrustedFolders)
	t.Run("dataDir behind a link", testLinkedDataDir)
	t.Run("dataDir gone", testDataDirGone)
	t.Run("dataDir read-only", testReadOnlyDataDir)
}

// keeping is a pod with two attachments that are remembered: eth0's, and net1's, of
// which there is something in every place that DEL has to clean. What eth0 does about
// its default (mainDefault) is up to the test.
type keeping struct {
	*bench
	neighbour, a attachment
	before       netlab.Snapshot // before net1's
	file         string          // that remembers net1's
	valid        []byte          // what is in it
	elsewhere    string          // a folder of somebody else
}

func newKeeping(t *testing.T, neighbour string) *keeping {
	t.Helper()
	k := &keeping{bench: newBench(t, eth0, net1), elsewhere: t.TempDir()}
	k.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	k.neighbour = k.attach(eth0, netlab.Object{"mainDefault": neighbour})
	k.neighbour.must(t, "ADD")
	k.before = k.pod.NS.Snapshot(t)
	k.a = k.attach(net1, netlab.Object{"rpFilter": "strict", "mainDefault": "take", "arp": "isolate"})
	k.a.must(t, "ADD")
	k.file = recordOf(t, k.a, k.dataDir)
	k.valid = readFile(t, k.file)
	return k
}

// recordOf is the file that remembers an attachment.
func recordOf(t *testing.T, a attachment, dataDir string) string {
	t.Helper()
	for _, file := range files(t, dataDir) {
		if strings.HasPrefix(filepath.Base(file), a.containerID+":"+a.nic+":") {
			return file
		}
	}
	t.Fatalf("%s is not remembered: %v", a.nic, files(t, dataDir))
	return ""
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func succeed(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// spoiling is something that stands where the record did.
type spoiling struct {
	name  string
	place func(k *keeping) error
	// stays says that ADD can put nothing in its place, and DEL not remove it.
	stays bool
}

// holding is a file with this content.
func holding(content func(valid string) string) func(*keeping) error {
	return func(k *keeping) error { return os.WriteFile(k.file, []byte(content(string(k.valid))), 0o600) }
}

// instead removes the record, and puts something else there. What it leads to has a
// sound record in it.
func instead(place func(k *keeping, target string) error) func(*keeping) error {
	return func(k *keeping) error {
		target := filepath.Join(k.elsewhere, "target")
		return errors.Join(os.Remove(k.file), os.WriteFile(target, k.valid, 0o600), place(k, target))
	}
}

var spoilings = []spoiling{
	{name: "empty", place: holding(func(string) string { return "" })},
	{name: "zeros", place: holding(func(valid string) string { return strings.Repeat("\x00", len(valid)) })},
	{name: "no JSON", place: holding(func(string) string { return "{]" })},
	{name: "JSON of another kind", place: holding(func(string) string { return "[1, 2]" })},
	{name: "more than a record", place: holding(func(valid string) string { return valid + valid })},
	{name: "the neighbour's", place: holding(func(valid string) string { return strings.ReplaceAll(valid, "net1", "eth0") })},
	{name: "huge", place: func(k *keeping) error { return os.Truncate(k.file, 1<<40) }},
	{name: "writable for a group", place: func(k *keeping) error { return os.Chmod(k.file, 0o660) }},
	{name: "writable for all", place: func(k *keeping) error { return os.Chmod(k.file, 0o666) }},
	{name: "somebody else's", place: func(k *keeping) error { return os.Chown(k.file, 1000, 1000) }},
	{name: "link to a record", place: instead(func(k *keeping, target string) error { return os.Symlink(target, k.file) })},
	{name: "link to a folder", place: instead(func(k *keeping, _ string) error { return os.Symlink(k.elsewhere, k.file) })},
	{name: "link to nothing", place: instead(func(k *keeping, target string) error { return os.Symlink(target+"-absent", k.file) })},
	{name: "FIFO", place: instead(func(k *keeping, _ string) error { return unix.Mkfifo(k.file, 0o600) })},
	{name: "socket", place: instead(func(k *keeping, _ string) error { return unix.Mknod(k.file, unix.S_IFSOCK|0o600, 0) })},
	{name: "device", place: instead(func(k *keeping, _ string) error { // /dev/zero: no end of it
		return unix.Mknod(k.file, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 5)))
	})},
	{name: "folder", stays: true, place: instead(func(k *keeping, _ string) error { return os.Mkdir(k.file, 0o700) })},
	{name: "folder with something in it", stays: true, place: instead(func(k *keeping, _ string) error {
		return errors.Join(os.Mkdir(k.file, 0o700), os.WriteFile(filepath.Join(k.file, "x"), nil, 0o600))
	})},
}

// testReadableRecord looks for what a person would look for in a record: whose it is, what it
// was asked for, and the rules and routes as ip prints them.
func testReadableRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	a := b.attach(net1, netlab.Object{"rpFilter": "strict"})
	a.env = []string{"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;IgnoreUnknown=1"}
	a.must(t, "ADD")
	file := recordOf(t, a, b.dataDir)
	record := decode(t, readFile(t, file)).(map[string]any)
	for key, want := range map[string]any{
		"version": json.Number("1"), "network": "net-of-net1", "containerID": a.containerID,
		"ifname": "net1", "netns": a.netns, "input": decode(t, a.stdin(t)),
		"pod": map[string]any{"namespace": "shop", "name": "web-0"},
	} {
		if diff := gocmp.Diff(want, record[key]); diff != "" {
			t.Errorf("%s of the record (-want +got):\n%s", key, diff)
		}
	}
	if release, ok := record["release"].(string); !ok || release == "" {
		t.Errorf("release of the record: %v", record["release"])
	}
	state := string(member(t, readFile(t, file), "state"))
	for _, want := range []string{
		"from 203.0.113.144 goto 40000", "from 203.0.113.144 lookup 7300", "from 203.0.113.144 unreachable", "oif net1 lookup main",
		"203.0.113.0/24", "default", "via 203.0.113.1 dev net1", "2001:db8:b::/64", "via 2001:db8:b::1 dev net1",
		"rp_filter", "keep_addr_on_down",
	} {
		if !strings.Contains(state, want) {
			t.Errorf("the state in the record does not say %q:\n%s", want, state)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode of the record: %v, %v", info.Mode(), err)
	}
}

func testDamagedRecord(t *testing.T) {
	t.Parallel()
	for i, d := range spoilings {
		if !chosen(i, 1) {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			t.Run("DEL", d.testDEL)
			t.Run("ADD", d.testADD)
		})
	}
}

// testDEL detaches net1 when its record is damaged: what the kernel knows is taken
// back, what it does not stays, and standard error says so.
func (d spoiling) testDEL(t *testing.T) {
	k := newKeeping(t, "yield") // so that DEL of net1 has its default to put back

	succeed(t, d.place(k))
	elsewhere := inventory(t, k.elsewhere)
	k.assertReadersDoNoHarm(t)
	call := k.a.must(t, "DEL")
	assertTells(t, call, filepath.Base(k.file))
	k.assertGone(t)
	assertSameFiles(t, "DEL of a damaged record", elsewhere, inventory(t, k.elsewhere))
	if _, err := os.Lstat(k.file); d.stays != (err == nil) {
		t.Errorf("it stays there: %t, want %t", err == nil, d.stays)
	}
	k.a.must(t, "DEL")
	k.neighbour.must(t, "CHECK")
	k.neighbour.must(t, "DEL")
	assertNothingOfOurs(t, k.pod.NS)
	if !d.stays {
		assertNoFiles(t, k.dataDir)
	}
}

// testADD attaches net1 once more: ADD puts a sound record in the place of the
// damaged one, or changes nothing. Then CHECK is content and DEL says what it does not
// know.
func (d spoiling) testADD(t *testing.T) {
	k := newKeeping(t, "keep")
	succeed(t, d.place(k))
	elsewhere := inventory(t, k.elsewhere)
	if d.stays {
		failure := k.a.fails(t, "ADD", filepath.Base(k.file))
		assertCode(t, failure, codeInputOutput)
	} else {
		k.a.must(t, "ADD")
		k.a.must(t, "CHECK")
		if info, err := os.Lstat(k.file); err != nil || info.Mode() != 0o600 {
			t.Errorf("ADD left %v there (%v)", info, err)
		}
	}
	k.neighbour.must(t, "CHECK")
	assertTells(t, k.a.must(t, "DEL"), k.a.nic)
	k.assertGone(t)
	k.neighbour.must(t, "CHECK")
	k.neighbour.must(t, "DEL")
	assertNothingOfOurs(t, k.pod.NS)
	assertSameFiles(t, "ADD over a damaged record", elsewhere, inventory(t, k.elsewhere))
}

// lost is what DEL says where it knows of an attachment only what the kernel tells.
const lost = "its record was lost or damaged: its rules and routes are removed, settings, tunnels and the main table stay"

// codeInputOutput is CNI's code for a dataDir that cannot be used.
const codeInputOutput = 5

// assertReadersDoNoHarm runs the verbs that take nothing back: they change neither
// the pod nor the files. CHECK says what it does not know.
func (k *keeping) assertReadersDoNoHarm(t *testing.T) {
	t.Helper()
	pod, kept, elsewhere := k.pod.NS.Snapshot(t), inventory(t, k.dataDir), inventory(t, k.elsewhere)
	check := k.a.run(t, "CHECK")
	if failure := check.Failed(t); failure != nil {
		assertCode(t, failure, deviations...)
	}
	assertTells(t, check, filepath.Base(k.file))
	k.neighbour.must(t, "CHECK")
	k.a.with("cni.dev/valid-attachments", []netlab.Object{}).must(t, "GC")
	k.a.must(t, "STATUS")
	assertSame(t, "CHECK, GC or STATUS changed the pod", pod, k.pod.NS.Snapshot(t))
	assertSameFiles(t, "CHECK, GC or STATUS", kept, inventory(t, k.dataDir))
	assertSameFiles(t, "CHECK, GC or STATUS", elsewhere, inventory(t, k.elsewhere))
}

// assertGone demands that net1 has no rule and no route of ours, and that eth0, which
// was attached first, still has.
func (k *keeping) assertGone(t *testing.T) {
	t.Helper()
	ours := k.pod.NS.Snapshot(t).Grep(protocol)
	for _, line := range ours {
		if strings.Contains(line, "net1") || strings.Contains(line, "203.0.113.144") || strings.Contains(line, "2001:db8:b::144") {
			t.Errorf("DEL left %s", line)
		}
	}
	if len(ours) == 0 {
		t.Error("DEL took what belongs to eth0")
	}
}

// assertTells demands a word on standard error.
func assertTells(t *testing.T, call netlab.Invocation, word string) {
	t.Helper()
	if !bytes.Contains(call.Stderr, []byte(word)) {
		t.Errorf("standard error does not speak of %q\n%v", word, call)
	}
}

// inventory describes all files below a folder: kind, mode, owner, size, time and,
// of those that are small, the content.
func inventory(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		found[path] = fmt.Sprintf("mode %o of %d, %d bytes", st.Mode, st.Uid, st.Size)
		if !entry.IsDir() { // what comes and goes in a folder is seen itself
			found[path] += fmt.Sprintf(" of %d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		if entry.Type().IsRegular() && st.Size < 1<<20 {
			found[path] += ": " + string(readFile(t, path))
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// assertSameFiles demands that nothing has happened to files.
func assertSameFiles(t *testing.T, what string, before, after map[string]string) {
	t.Helper()
	for path, was := range before {
		if now := after[path]; now != was {
			t.Errorf("%s: %s was\n%s\nis\n%s", what, path, was, now)
		}
	}
	for path, now := range after {
		if _, was := before[path]; !was {
			t.Errorf("%s: there is now %s, %s", what, path, now)
		}
	}
}

// testRecordOfAnotherRelease has the format of a release to come, and of one before
// there was any: it is not guessed what it means, and named as what it is.
func testRecordOfAnotherRelease(t *testing.T) {
	t.Parallel()
	replace := func(by string) func(string) string {
		return func(valid string) string { return strings.Replace(valid, `"version":1,`, by, 1) }
	}
	for i, release := range []struct {
		name, says string
		content    func(valid string) string
	}{
		{"version 2", "format version 2", replace(`"version":2,`)},
		{"version 2, where all is new", "format version 2", func(string) string {
			return `{"tables": {"main": "all"}, "settings": [7], "version": 2}`
		}},
		{"version 0", "format version 0", replace(`"version":0,`)},
		{"no version", "format version 0", replace("")},
		{"a version that is no number", "", replace(`"version":"next",`)},
	} {
		if !chosen(i, 1) {
			continue
		}
		t.Run(release.name, func(t *testing.T) {
			t.Parallel()
			d := spoiling{name: release.name, place: holding(release.content)}
			k := newKeeping(t, "keep")
			succeed(t, d.place(k))
			assertTells(t, k.a.run(t, "CHECK"), release.says)
			t.Run("DEL", d.testDEL)
			t.Run("ADD", d.testADD)
		})
	}
	t.Run("this version, and keys that came with a patch", testRecordWithMore)
}

// testRecordWithMore has keys that this release does not know, in its own format: it
// does what it knows.
func testRecordWithMore(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "keep")
	more := strings.Replace(string(k.valid), `"version":1`, `"version":1,"more":{"a":[1]}`, 1)
	succeed(t, os.WriteFile(k.file, []byte(more), 0o600))
	k.a.must(t, "CHECK")
	k.a.must(t, "DEL")
	assertSame(t, "ADD and DEL changed the pod", k.before, k.pod.NS.Snapshot(t))
}

// testRecordCutOff ends the record after every byte. DEL takes back what the kernel
// knows. When the whole record is there again the next DEL does the rest: nothing
// was made worse.
func testRecordCutOff(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "keep")
	stride := len(k.valid) / 10
	switch {
	case *faultsAll:
		stride = 1
	case testing.Short():
		stride = len(k.valid) / 2
	}
	for size := 0; size < len(k.valid); size += stride {
		succeed(t, os.WriteFile(k.file, k.valid[:size], 0o600))
		assertTells(t, k.a.must(t, "DEL"), filepath.Base(k.file))
		k.assertGone(t)
		succeed(t, os.MkdirAll(filepath.Dir(k.file), 0o700), os.WriteFile(k.file, k.valid, 0o600))
		k.a.must(t, "DEL")
		assertSame(t, fmt.Sprintf("DEL with %d of %d bytes, and DEL with all", size, len(k.valid)), k.before, k.pod.NS.Snapshot(t))
		k.a.must(t, "ADD")
		if t.Failed() {
			return
		}
		k.valid = readFile(t, k.file)
	}
}

// testUntrustedFolders puts the folder of the namespace, or dataDir, into a state in
// which others may have put the record there. Nothing in it is acted on, no link is
// followed, and ADD says what is wrong and changes nothing.
func testUntrustedFolders(t *testing.T) {
	t.Parallel()
	type folder struct {
		name  string
		place func(k *keeping, dir string) error
		says  string // other than its name
	}
	moved := func(k *keeping, dir string) (string, error) {
		target := filepath.Join(k.elsewhere, "folder")
		return target, os.Rename(dir, target)
	}
	folders := []folder{
		{"writable for all", func(_ *keeping, dir string) error { return os.Chmod(dir, 0o777) }, ""},
		{"writable for a group", func(_ *keeping, dir string) error { return os.Chmod(dir, 0o770) }, ""},
		{"somebody else's", func(_ *keeping, dir string) error { return os.Chown(dir, 1000, 1000) }, ""},
		{"a file", func(k *keeping, dir string) error {
			_, err := moved(k, dir)
			return errors.Join(err, os.WriteFile(dir, []byte("x"), 0o600))
		}, ""},
		{"a FIFO", func(k *keeping, dir string) error {
			_, err := moved(k, dir)
			return errors.Join(err, unix.Mkfifo(dir, 0o600))
		}, ""},
		{"a link to nothing", func(k *keeping, dir string) error {
			target, err := moved(k, dir)
			return errors.Join(err, os.Symlink(target+"-absent", dir))
		}, lost}, // as where there is no folder yet
		{"a link to a folder", func(k *keeping, dir string) error {
			target, err := moved(k, dir)
			return errors.Join(err, os.Symlink(target, dir))
		}, ""},
	}
	test := 0
	for _, f := range folders {
		for _, level := range []string{"the namespace's folder", "dataDir"} {
			if level == "dataDir" && f.name == "a link to a folder" {
				continue // which an administrator may do: testLinkedDataDir
			}
			if test++; !chosen(test, 1) {
				continue
			}
			t.Run(level+" "+f.name, func(t *testing.T) {
				t.Parallel()
				k := newKeeping(t, "keep")
				dir := map[string]string{"dataDir": k.dataDir, "the namespace's folder": filepath.Dir(k.file)}[level]
				succeed(t, f.place(k, dir))
				kept, elsewhere := inventory(t, dir), inventory(t, k.elsewhere)

				late := k.attach(net1, nil).with("name", "another-network")
				assertCode(t, late.fails(t, "ADD", dir), codeInputOutput)
				assertSameFiles(t, "ADD", kept, inventory(t, dir))

				call := k.a.must(t, "DEL")
				assertTells(t, call, cmp.Or(f.says, dir))
				assertTells(t, call, lost)
				k.assertGone(t)
				k.a.must(t, "DEL")
				k.neighbour.must(t, "DEL")
				assertNothingOfOurs(t, k.pod.NS)
				assertSameFiles(t, "what is elsewhere", elsewhere, inventory(t, k.elsewhere))
				k.a.with("cni.dev/valid-attachments", []netlab.Object{}).run(t, "GC").Failed(t) // it may fail, and not panic
				assertSameFiles(t, "GC: what is elsewhere", elsewhere, inventory(t, k.elsewhere))
			})
		}
	}
}

// testLinkedDataDir has dataDir on another disk, behind a link: an administrator's
// doing, and of no account.
func testLinkedDataDir(t *testing.T) {
	t.Parallel()
	b := newBench(t, eth0, net1)
	b.pod.NS.SetSysctl(t, "net/ipv4/conf/all/rp_filter=2")
	before := b.pod.NS.Snapshot(t)
	succeed(t, os.Mkdir(b.dataDir+"-there", 0o700), os.Symlink(b.dataDir+"-there", b.dataDir))
	a := b.attach(net1, netlab.Object{"rpFilter": "strict", "mainDefault": "take"})
	a.must(t, "ADD")
	a.must(t, "CHECK")
	if len(files(t, b.dataDir+"-there")) != 1 {
		t.Errorf("remembered are %v", files(t, b.dataDir+"-there"))
	}
	if call := a.must(t, "DEL"); len(call.Stderr) > 0 {
		t.Errorf("DEL says\n%s", call.Stderr)
	}
	assertSame(t, "ADD and DEL changed the pod", before, b.pod.NS.Snapshot(t))
	assertNoFiles(t, b.dataDir+"-there")
}

// testDataDirGone loses dataDir: DEL does not make it anew, ADD does.
func testDataDirGone(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "keep")
	succeed(t, os.RemoveAll(k.dataDir))
	k.a.run(t, "CHECK").Failed(t)
	assertTells(t, k.a.must(t, "DEL"), lost)
	k.assertGone(t)
	k.a.with("cni.dev/valid-attachments", []netlab.Object{}).must(t, "GC")
	k.neighbour.must(t, "DEL")
	assertNothingOfOurs(t, k.pod.NS)
	if _, err := os.Lstat(k.dataDir); !os.IsNotExist(err) {
		t.Errorf("dataDir has come back: %v", err)
	}
	k.a.must(t, "ADD")
	k.a.must(t, "CHECK")
	recordOf(t, k.a, k.dataDir)
}

// testReadOnlyDataDir has a disk that went read-only: ADD fails and changes nothing;
// DEL reads what is remembered, and takes everything back.
func testReadOnlyDataDir(t *testing.T) {
	t.Parallel()
	k := newKeeping(t, "keep")
	succeed(t, unix.Mount(k.dataDir, k.dataDir, "", unix.MS_BIND, ""))
	t.Cleanup(func() {
		if err := unix.Unmount(k.dataDir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", k.dataDir, err)
		}
	})
	succeed(t, unix.Mount("", k.dataDir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	kept := inventory(t, k.dataDir)
	k.a.must(t, "CHECK")
	assertCode(t, k.a.with("arp", "keep").fails(t, "ADD", "read-only"), codeInputOutput)
	assertCode(t, k.a.fails(t, "STATUS", "read-only"), codeUnavailable)
	for range 2 { // the second time there is nothing to take back, and the record is there all the same
		assertTells(t, k.a.must(t, "DEL"), "read-only")
		assertSame(t, "ADD and DEL changed the pod", k.before, k.pod.NS.Snapshot(t))
	}
	assertSameFiles(t, "a read-only dataDir", kept, inventory(t, k.dataDir))
}
