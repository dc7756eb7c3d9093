package pod

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/test/netlab"
)

// attached is a site whose net1 has been attached, and the call of its record, without what the record says.
func attached(t *testing.T) (*site, Call) {
	t.Helper()
	s := newSite(t)
	if err := during(t, OpenToAdd, s.call(t), func(p *Pod) error { return p.Add(done) }); err != nil {
		t.Fatal(err)
	}
	full := s.repeated(t)
	t.Cleanup(full.Forget) // the lock lies where those of the machine do
	return s, Call{Key: full.Key, Netns: full.Netns, Namespace: full.Namespace, Pod: full.Pod, DataDir: full.DataDir, Release: "v1.2.4"}
}

func never() error { return nil }

func (s *site) audit(t *testing.T, c Call) Finding {
	t.Helper()
	found := Audit([]Call{c}, never, nil)
	if len(found) != 1 {
		t.Fatalf("%d findings", len(found))
	}
	return found[0]
}

// An audit says what CHECK says, whatever is wrong, and what it notes.
func TestAuditIsCheck(t *testing.T) {
	s, c := attached(t)
	for _, step := range []struct {
		name    string
		do      func()
		verdict Verdict
	}{
		{"nothing", func() {}, Symmetric},
		{"an address without source", func() { s.netns.IP(t, "addr", "add", "203.0.113.9/24", "dev", "net1") }, Symmetric},
		{"a rule of others", func() { s.netns.IP(t, "rule", "add", "from", "203.0.113.144", "lookup", "main", "pref", "100") }, Deviating},
		{"a setting", func() { s.netns.SetSysctl(t, "net/ipv4/conf/net1/rp_filter=1") }, Deviating},
		{"an outdated table", func() { s.netns.IP(t, "addr", "add", "192.0.2.1/24", "dev", "net1") }, Deviating},
		{"the default of main", func() { s.netns.IP(t, "route", "del", "default") }, Deviating},
		{"all that is ours", func() { s.destroy(t) }, Deviating},
		{"the link", func() { s.netns.IP(t, "link", "set", "net1", "down") }, Deviating},
	} {
		step.do()
		repeated := s.repeated(t)
		var notes []string
		repeated.Note = func(_, note string) { notes = append(notes, note) }
		var want state.Deviations
		if err := during(t, OpenToCheck, repeated, (*Pod).Check); err != nil && !errors.As(err, &want) {
			t.Fatalf("%s: CHECK: %v", step.name, err)
		}
		f := s.audit(t, c)
		if f.Verdict != step.verdict || f.Err != nil {
			t.Errorf("%s: %v (%v), want %v", step.name, f.Verdict, f.Err, step.verdict)
		}
		if diff := cmp.Diff(want, f.Deviations); diff != "" {
			t.Errorf("%s: CHECK and the audit (-want +got):\n%s", step.name, diff)
		}
		if diff := cmp.Diff(notes, f.Notes); diff != "" {
			t.Errorf("%s: notes (-want +got):\n%s", step.name, diff)
		}
	}
}

// Findings are those of the calls, in their order, whatever namespace each is of.
func TestAuditOfMany(t *testing.T) {
	a, callA := attached(t)
	_, callB := attached(t)
	a.netns.IP(t, "rule", "flush", "protocol", "73")
	detached, vanished := callB, callB
	detached.Key.IfName = "net9"
	vanished.Netns = "/run/netns/never"
	var told []int
	found := Audit([]Call{callB, callA, detached, vanished, callB}, never, func(n int) { told = append(told, n) })
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%v: %v", f.Verdict, f.Err))
	}
	gone := fmt.Sprint(kernel.ErrGone)
	want := []string{"symmetric: <nil>", "deviating: <nil>", "gone: it was detached: its record is gone", "gone: " + gone, "symmetric: <nil>"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(told) != 3 || told[2] != 5 {
		t.Errorf("progress %v, want one for each of 3 namespaces, up to 5", told)
	}
}

// What the audit cannot look at it does not judge.
func TestAuditUnknown(t *testing.T) {
	s, c := attached(t)
	stop := errors.New("stop")
	if f := Audit([]Call{c}, func() error { return stop }, nil)[0]; f.Verdict != Unknown || !errors.Is(f.Err, stop) {
		t.Errorf("a stopped audit: %v: %v", f.Verdict, f.Err)
	}
	files, err := filepath.Glob(filepath.Join(s.dataDir, "*", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"dataDir is not usable: its record cannot be read":                                        "{",
		"its record holds no input that ADD or CHECK could be repeated with: prevResult: symrout": strings.Replace(string(whole), `"prevResult"`, `"before"`, 1),
	} {
		if err := os.WriteFile(files[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if f := s.audit(t, c); f.Verdict != Unknown || !strings.HasPrefix(fmt.Sprint(f.Err), what) {
			t.Errorf("%v: %v, want %q", f.Verdict, f.Err, what)
		}
		if r := Repair(c, false); r.Result != Untold || !strings.HasPrefix(fmt.Sprint(r.Err), what) {
			t.Errorf("repair: %v: %v, want %q", r.Result, r.Err, what)
		}
	}
}

// awaited waits until somebody waits for the lock of a call's namespace (/proc/locks, "->").
func awaited(t *testing.T, c Call) {
	t.Helper()
	info, err := os.Stat(filepath.Join(config.DefaultDataDir, kernel.LockName(c.Namespace)+".lock"))
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatal("no inode")
	}
	netlab.Eventually(t, "somebody waits for the lock", func() bool {
		locks, err := os.ReadFile("/proc/locks")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "->") && strings.Contains(line, fmt.Sprintf(":%d ", stat.Ino)) {
				return true
			}
		}
		return false
	})
}

// A pod that is taken down while it is looked at is gone: what is missing in it is no problem.
func TestAuditOfPodThatVanishes(t *testing.T) {
	s, c := attached(t)
	holder, err := OpenToAdd(s.repeated(t))
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan Finding)
	go func() { found <- Audit([]Call{c}, never, nil)[0] }()
	awaited(t, c)
	s.destroy(t)
	s.netns.Vanish(t)
	holder.Close()
	if f := <-found; f.Verdict != Gone || !errors.Is(f.Err, kernel.ErrGone) || f.Deviations != nil {
		t.Errorf("%v: %v %v, want that it is gone", f.Verdict, f.Err, f.Deviations)
	}
}

// DEL while a repair waits: there is nothing to repair any more, and nothing comes back.
func TestRepairOfWhatIsDeleted(t *testing.T) {
	s, c := attached(t)
	s.netns.IP(t, "rule", "del", "from", "203.0.113.144", "lookup", "7300")
	del, err := OpenToDel(s.repeated(t))
	if err != nil {
		t.Fatal(err)
	}
	became := make(chan Outcome)
	go func() { became <- Repair(c, false) }()
	awaited(t, c)
	if err := del.Del(); err != nil {
		t.Error(err)
	}
	after := s.netns.Snapshot(t)
	del.Close()
	if r := <-became; r.Result != Vanished {
		t.Errorf("result %v (%v), want that it is gone", r.Result, r.Err)
	}
	if diff := after.Diff(s.netns.Snapshot(t)); diff != "" {
		t.Errorf("the repair changed the pod:\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(s.dataDir, c.Namespace)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there are records again: %v", err)
	}
	lock := filepath.Join(config.DefaultDataDir, kernel.LockName(c.Namespace)+".lock")
	if _, err := os.Stat(lock); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock is left: %v", err)
	}
}

// What deviates is put back as it was, and nothing else is touched, the record but for its release included.
func TestRepair(t *testing.T) {
	s, c := attached(t)
	whole := s.netns.Snapshot(t).Sorted()
	was, _ := s.remembered(t)

	if r := Repair(c, false); r.Result != Untouched || r.Was != nil {
		t.Errorf("of what is well: %v %v", r.Result, r.Was)
	}
	if is, _ := s.remembered(t); text(t, is) != text(t, was) {
		t.Error("the record of what is well was written")
	}

	s.destroy(t)
	broken := s.netns.Snapshot(t)
	reader, err := OpenToCheck(s.repeated(t)) // who only looks keeps nobody else from looking
	if err != nil {
		t.Fatal(err)
	}
	r := Repair(c, true)
	reader.Close()
	if r.Result != Unrepaired || len(r.Was) < 4 || len(r.Preview.Changes) < 4 {
		t.Errorf("dry: %v, %d deviations, %d changes", r.Result, len(r.Was), len(r.Preview.Changes))
	}
	if diff := broken.Diff(s.netns.Snapshot(t)); diff != "" {
		t.Errorf("the dry run changed something:\n%s", diff)
	}
	if r = Repair(c, false); r.Result != Repaired || len(r.Was) < 4 || r.Is != nil || r.Err != nil {
		t.Errorf("%v: %v %v", r.Result, r.Is, r.Err)
	}
	if diff := whole.Diff(s.netns.Snapshot(t).Sorted()); diff != "" {
		t.Errorf("the repair did not bring back what there was:\n%s", diff)
	}
	is, _ := s.remembered(t)
	if is.Release != c.Release {
		t.Errorf("the record is of release %q", is.Release)
	}
	is.Release = was.Release
	if text(t, is) != text(t, was) {
		t.Errorf("the repair changed the record:\n%s", cmp.Diff(text(t, was), text(t, is)))
	}
}

// What ADD cannot mend is left as it was.
func TestRepairThatFails(t *testing.T) {
	s, c := attached(t)
	s.netns.IP(t, "rule", "add", "from", "203.0.113.144", "lookup", "main", "pref", "100")
	broken := s.netns.Snapshot(t)
	if r := Repair(c, false); r.Result != Failed || !strings.HasPrefix(fmt.Sprint(r.Err), "everything was taken back: ") {
		t.Errorf("%v: %v", r.Result, r.Err)
	}
	if diff := broken.Diff(s.netns.Snapshot(t)); diff != "" {
		t.Errorf("something is otherwise:\n%s", diff)
	}
}

// The attachment of a call without identity is never taken for gone because of that.
func TestAuditWithoutIdentity(t *testing.T) {
	s, c := attached(t)
	s.netns.IP(t, "rule", "flush", "protocol", "73")
	c.Namespace = ""
	if f := s.audit(t, c); f.Verdict != Deviating {
		t.Errorf("%v: %v", f.Verdict, f.Err)
	}
}
