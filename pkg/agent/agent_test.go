package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/state"
)

// diary is an observer that writes down what it is told.
type diary struct {
	Deaf
	lines []string
}

func (d *diary) Deviates(i audit.Item, note string) {
	d.lines = append(d.lines, fmt.Sprint("deviates ", i.Interface, " ", note))
}

func (d *diary) Repaired(i audit.RepairItem, trigger string) {
	d.lines = append(d.lines, fmt.Sprint("repaired ", i.Interface, " ", i.State, " ", trigger))
}

func (d *diary) Left(identity string) { d.lines = append(d.lines, "left "+identity) }

func (d *diary) Audited(time.Duration, time.Time) { d.lines = append(d.lines, "audited") }

func (d *diary) Vain(i audit.Item, repairs int) {
	d.lines = append(d.lines, fmt.Sprint("vain ", i.Interface, " ", repairs))
}

func (d *diary) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(d.lines, want) {
		t.Errorf("told %q, want %q", d.lines, want)
	}
	d.lines = nil
}

func quiet(mode Mode) (*Agent, *diary) {
	d := &diary{}
	return New(Options{Repair: mode, Log: slog.New(slog.DiscardHandler)}, d), d
}

func found(name, what string, kind state.Kind) audit.Item {
	return audit.Item{Subject: audit.Subject{Interface: name}, State: audit.StateDeviating, Deviations: []audit.Deviation{{What: what, Kind: kind}}}
}

// Observers are told of a deviation once, if it stays, and again if it becomes another one or comes back.
func TestToldOnce(t *testing.T) {
	a, d := quiet(Links)
	var x attachment
	now := time.Now()
	see := func(i audit.Item) {
		x = a.took(context.Background(), x, node.Pod{Identity: "pod"}, i, TriggerAudit, now)
	}
	rule, setting := found("net1", "a rule", state.Missing), found("net1", "a setting", state.Setting)
	fine := audit.Item{Subject: rule.Subject, State: audit.StateSymmetric}
	see(rule)
	see(rule)   // since something else has changed
	d.expect(t) // it may be on its way
	if wait := a.nextDue(now); wait != confirm {
		t.Errorf("looked at again after %s, want %s", wait, confirm)
	}
	now = now.Add(confirm)
	see(rule)
	d.expect(t, "deviates net1 ")
	see(rule)
	see(rule)
	d.expect(t)
	see(setting)
	see(setting)
	d.expect(t, "deviates net1 ")
	see(fine)
	see(rule)
	see(fine)
	d.expect(t)
	see(rule)
	d.expect(t)
	now = now.Add(confirm)
	see(rule)
	d.expect(t, "deviates net1 ")
}

// Records that cannot be listed are no pods that have left, and nothing that was checked.
func TestRecordsOutOfReach(t *testing.T) {
	a, d := quiet(Links)
	file := filepath.Join(t.TempDir(), "records")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a.Node.DataDirs = []string{file}
	a.pods["pod"] = &watched{number: kernel.NoNumber}
	a.audit(t.Context())
	if a.pods["pod"] == nil {
		t.Error("the pod is forgotten")
	}
	d.expect(t)
}

// What could not be told, as of a pod that somebody else had locked, is looked at again at once.
func TestUnknown(t *testing.T) {
	a, d := quiet(Links)
	item := audit.Item{Subject: audit.Subject{Interface: "net1"}, State: audit.StateUnknown, Reason: "busy"}
	x := a.took(context.Background(), attachment{}, node.Pod{Identity: "pod"}, item, TriggerAudit, time.Now())
	if wait := a.nextDue(time.Now()); wait > confirm {
		t.Errorf("looked at again after %s, want %s", wait, confirm)
	}
	delete(a.due, "pod")
	a.took(context.Background(), x, node.Pod{Identity: "pod"}, item, TriggerAudit, time.Now())
	if wait := a.nextDue(time.Now()); wait <= confirm {
		t.Errorf("looked at again after %s: that does not help", wait)
	}
	d.expect(t)
}

// Repairs that do not last are told of once, and are made ever more seldom; meanwhile the deviation is told of.
func TestVain(t *testing.T) {
	a, d := quiet(All)
	item := found("net1", "a rule", state.Missing)
	now := time.Now()
	x := attachment{item: item, since: now.Add(-confirm)}
	for i := range 6 {
		x = a.repaired(x, audit.RepairItem{Subject: item.Subject, State: audit.StateRepaired}, TriggerLink, now)
		want := []string{"repaired net1 repaired link"}
		if i == 4 {
			want = append(want, "vain net1 5")
		}
		d.expect(t, want...)
		if x.item.State != audit.StateSymmetric {
			t.Errorf("state %s", x.item.State)
		}
		x.item, x.since = item, now.Add(-confirm)
	}
	x = a.took(context.Background(), x, node.Pod{Identity: "pod"}, item, TriggerLink, now)
	d.expect(t, "deviates net1 the next repair waits until "+x.history.next.Format(time.TimeOnly)+", since the ones before did not last")
}

// Changes of a pod have it checked when they have settled; those of others do not.
func TestSettle(t *testing.T) {
	a, _ := quiet(Links)
	a.numbers[7] = "pod"
	a.pods["pod"] = &watched{number: 7, running: map[int]bool{}}
	begin := time.Now()
	a.note([]kernel.Change{{Namespace: kernel.NoNumber}, {Namespace: 8}}, begin)
	if len(a.due) != 0 {
		t.Errorf("due: %v", a.due)
	}
	for i := range 10 {
		a.note([]kernel.Change{{Namespace: 7}}, begin.Add(time.Duration(i)*200*time.Millisecond))
	}
	if at := a.due["pod"].at.Sub(begin); at != settleAtMost {
		t.Errorf("due after %s, want %s", at, settleAtMost)
	}
	for _, c := range []kernel.Change{{Namespace: 7, Link: 3}, {Namespace: 7, Link: 3}, {Namespace: 7, Link: 3, Running: true}, {Namespace: 7, Link: 3}} {
		a.note([]kernel.Change{c}, begin)
	}
	if d := a.due["pod"]; !slices.Equal(d.stopped, []int{3, 3}) || !d.linked {
		t.Errorf("stopped: %v, linked: %v", d.stopped, d.linked)
	}
}
