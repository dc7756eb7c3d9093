package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/test/netlab"
)

// site is a pod with eth0 and net1, of which net1 is to be attached.
type site struct {
	netns   *netlab.NS
	dataDir string
	notes   []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{netns: netlab.New(t, "pod"), dataDir: filepath.Join(t.TempDir(), "records")}
	wire := netlab.New(t, "wire")
	netlab.Cable(t, netlab.Port{NS: wire, Link: "eth0"},
		netlab.Port{NS: s.netns, Link: "eth0", Addresses: []string{"198.51.100.87/24", "2001:db8:a::87/64"}})
	netlab.Cable(t, netlab.Port{NS: wire, Link: "net1"},
		netlab.Port{NS: s.netns, Link: "net1", Addresses: []string{"203.0.113.144/24", "2001:db8:b::144/64"}})
	s.netns.Batch(t, "route add default via 198.51.100.1 dev eth0", "-6 route add default via 2001:db8:a::1 dev eth0")
	return s
}

// call is a runtime's.
func (s *site) call(t *testing.T) Call {
	t.Helper()
	c, err := Call{
		Key:   record.Key{ContainerID: "c1", IfName: "net1"},
		Netns: s.netns.Path,
		Pod:   record.Pod{Namespace: "shop", Name: "web"},
		Input: fmt.Appendf(nil, `{
			"cniVersion": "1.0.0", "name": "red", "type": "symroute", "dataDir": %q,
			"prevResult": {
				"cniVersion": "1.0.0",
				"interfaces": [{"name": "net1", "sandbox": %q}],
				"ips": [
					{"interface": 0, "address": "203.0.113.144/24", "gateway": "203.0.113.1"},
					{"interface": 0, "address": "2001:db8:b::144/64", "gateway": "2001:db8:b::1"}
				]
			}
		}`, s.dataDir, s.netns.Path),
		Release: "v1.2.3",
		Note:    s.note,
	}.Configured()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *site) note(subject, note string) { s.notes = append(s.notes, subject+": "+note) }

// remembered is the only record of the site, and the namespace that it is of.
func (s *site) remembered(t *testing.T) (a record.Attachment, namespace string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dataDir, "*", "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the records are %q (%v), want one", files, err)
	}
	namespace = filepath.Base(filepath.Dir(files[0]))
	all, err := record.NewStore(s.dataDir).Load(namespace)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d records: %v", len(all), err)
	}
	return all[0], namespace
}

// repeated is the call that the only record of the site says.
func (s *site) repeated(t *testing.T) Call {
	t.Helper()
	a, namespace := s.remembered(t)
	c, err := FromRecord(a, s.dataDir, namespace)
	if err != nil {
		t.Fatal(err)
	}
	c.Release, c.Note = a.Release, s.note
	return c
}

// during opens the pod of a call, does something in it, and closes it.
func during(t *testing.T, open func(Call) (*Pod, error), c Call, do func(*Pod) error) error {
	t.Helper()
	p, err := open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return do(p)
}

func text(t *testing.T, a record.Attachment) string {
	t.Helper()
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func done() error { return nil }

// destroy is what people do to the pod: everything of ours goes, as does the mode of the filter.
func (s *site) destroy(t *testing.T) {
	t.Helper()
	for _, family := range []string{"-4", "-6"} {
		s.netns.IP(t, family, "rule", "flush", "protocol", "73")
		s.netns.IP(t, family, "route", "flush", "table", "7300")
	}
	s.netns.SetSysctl(t, "net/ipv4/conf/net1/rp_filter=1")
}

// TestFromRecordAlone: an attachment is checked, repaired and taken back by what its record says, under one
// lock where that has to be, and it is the same that a runtime gets.
func TestFromRecordAlone(t *testing.T) {
	s := newSite(t)
	before := s.netns.Snapshot(t).Sorted()
	if err := during(t, OpenToAdd, s.call(t), func(p *Pod) error { return p.Add(done) }); err != nil {
		t.Fatal("ADD: ", err)
	}
	whole := s.netns.Snapshot(t).Sorted()
	was, _ := s.remembered(t)
	c := s.repeated(t)
	t.Cleanup(c.Forget) // the lock lies where those of the machine do
	if err := during(t, OpenToCheck, c, (*Pod).Check); err != nil {
		t.Error("CHECK of what ADD has just made: ", err)
	}

	s.destroy(t)
	err := during(t, OpenToAdd, c, func(p *Pod) error {
		wrong, _ := errors.AsType[state.Deviations](p.Check())
		if len(wrong) < 4 || wrong.First().Kind != state.Missing {
			t.Errorf("CHECK finds %v, want all that is missing", wrong)
		}
		if err := p.Add(done); err != nil {
			return fmt.Errorf("ADD: %w", err)
		}
		return p.Check()
	})
	if err != nil {
		t.Error("the repair: ", err)
	}
	if diff := whole.Diff(s.netns.Snapshot(t).Sorted()); diff != "" {
		t.Errorf("the repair did not bring back what there was:\n%s", diff)
	}
	if is, _ := s.remembered(t); text(t, is) != text(t, was) {
		t.Errorf("the repair changed the record:\n%s", cmp.Diff(text(t, was), text(t, is)))
	}

	if err := during(t, OpenToDel, c, (*Pod).Del); err != nil {
		t.Error("DEL: ", err)
	}
	if diff := before.Diff(s.netns.Snapshot(t).Sorted()); diff != "" {
		t.Errorf("DEL left something:\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(s.dataDir, c.Namespace)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("DEL left the records: %v", err)
	}
	if len(s.notes) > 0 {
		t.Errorf("notes: %q", s.notes)
	}
}

// TestResultThatCannotBePassedOn: whoever asked does not know that the attachment is there, and so it is not.
func TestResultThatCannotBePassedOn(t *testing.T) {
	s := newSite(t)
	before := s.netns.Snapshot(t).Sorted()
	broken := errors.New("broken pipe")
	err := during(t, OpenToAdd, s.call(t), func(p *Pod) error { return p.Add(func() error { return broken }) })
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "everything was taken back: ") {
		t.Errorf("ADD says %v", err)
	}
	if diff := before.Diff(s.netns.Snapshot(t).Sorted()); diff != "" {
		t.Errorf("ADD left something:\n%s", diff)
	}
}

// TestAnotherNamespaceAtThePath: the pod of a record is gone, whatever stands at its path now.
func TestAnotherNamespaceAtThePath(t *testing.T) {
	s := newSite(t)
	if err := during(t, OpenToAdd, s.call(t), func(p *Pod) error { return p.Add(done) }); err != nil {
		t.Fatal(err)
	}
	c := s.repeated(t)
	t.Cleanup(c.Forget)
	another := netlab.New(t, "another")
	c.Netns = another.Path
	before := another.Snapshot(t)
	for what, open := range map[string]func(Call) (*Pod, error){"CHECK": OpenToCheck, "ADD": OpenToAdd, "DEL": OpenToDel} {
		_, err := open(c)
		if _, ok := errors.AsType[*NetnsError](err); !ok || !errors.Is(err, kernel.ErrGone) {
			t.Errorf("%s says %v, want that it is gone", what, err)
		}
	}
	if diff := before.Diff(another.Snapshot(t)); diff != "" {
		t.Errorf("the namespace there has changed:\n%s", diff)
	}
	c.Forget()
	if left, err := filepath.Glob(filepath.Join(s.dataDir, "*")); err != nil || len(left) > 0 {
		t.Errorf("Forget left %q (%v)", left, err)
	}
}
