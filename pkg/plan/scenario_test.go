package plan_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
)

// attachment is one invocation's part: what the runtime hands to the plugin.
type attachment struct {
	ifname string // net1 where empty
	conf   string // the keys beside type, JSON
	prev   string // prevResult, JSON
}

// scenario is a pod, an attachment that comes to it, and the plan for it.
type scenario struct {
	name    string
	pod     string       // see parsePod
	earlier []attachment // those that have come before, in their order
	late    string       // a NIC that comes after them
	attachment
	only       string // compare just the lines that hold this
	want       string // the plan, as iproute2 would print the state
	deviations string // what CHECK finds all the same, right after ADD
}

// runScenarios compares the plan of each scenario with what is wanted.
func runScenarios(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			p := s.start(t)
			d := p.build(s.attachment)
			got := lines(d.String())
			if s.only != "" {
				got = slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, s.only) })
			}
			compare(t, "plan", lines(s.want), got)
		})
	}
}

// compare compares texts line by line.
func compare(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// start makes the pod with the attachments that came before.
func (s scenario) start(t *testing.T) *pod {
	t.Helper()
	p := newPod(t, s.pod)
	whole := p.kernel.observe()
	if s.late != "" {
		p.kernel.died(s.late)
	}
	for _, a := range s.earlier {
		p.add(a)
	}
	if s.late != "" {
		p.kernel.born(whole, s.late)
	}
	return p
}

// pod is a model of a pod together with what is remembered of its attachments:
// what the plugin has before it when it is run.
type pod struct {
	t       *testing.T
	kernel  *model
	records []record.Attachment
}

func newPod(t *testing.T, text string) *pod {
	t.Helper()
	m := newModel(parsePod(t, text))
	m.sortRoutes()
	return &pod{t: t, kernel: m}
}

func (a attachment) key() record.Key {
	if a.ifname == "" {
		a.ifname = "net1"
	}
	return record.Key{Network: "data", ContainerID: "c1", IfName: a.ifname}
}

// parse reads the attachment's configuration as the plugin does.
func (a attachment) parse(t *testing.T) *config.Config {
	t.Helper()
	members := []string{`"cniVersion": "1.1.0"`, `"name": "data"`, `"type": "symroute"`}
	if a.conf != "" {
		members = append(members, a.conf)
	}
	members = append(members, `"prevResult": `+a.prev)
	cfg, err := config.Parse([]byte("{" + strings.Join(members, ", ") + "}"))
	if err != nil {
		t.Fatalf("configuration: %v", err)
	}
	return cfg
}

// removal is what a plan to take an attachment back depends on.
func (p *pod) removal(key record.Key) plan.Input {
	in := plan.Input{Key: key, Seen: p.kernel.observe(unix.RT_TABLE_MAIN), Vacant: p.kernel.vacant}
	in.Mine, in.Others = record.Find(slices.Clone(p.records), key)
	in.Seen = p.kernel.observe(append([]uint32{unix.RT_TABLE_MAIN}, plan.Tables(in)...)...)
	return in
}

// input is what a plan for an attachment depends on.
func (p *pod) input(a attachment) plan.Input {
	p.t.Helper()
	in := p.removal(a.key())
	in.Config = a.parse(p.t)
	in.Seen = p.kernel.observe(append([]uint32{unix.RT_TABLE_MAIN}, plan.Tables(in)...)...)
	for _, itf := range in.Config.Prev.Interfaces {
		in.InPod = append(in.InPod, itf.Sandbox != "")
	}
	return in
}

// check is what a plan to compare with depends on.
func (p *pod) check(a attachment) plan.Input {
	p.t.Helper()
	in := p.input(a)
	in.Then = plan.RememberedMain(in.Seen, in.Mine)
	return in
}

func (p *pod) build(a attachment) *plan.Desired {
	p.t.Helper()
	d, err := plan.Build(p.input(a))
	if err != nil {
		p.t.Fatalf("Build: %v", err)
	}
	return d
}

// remember keeps the record of an attachment, as a file does.
func (p *pod) remember(a record.Attachment) {
	p.t.Helper()
	file, err := json.Marshal(a)
	if err != nil {
		p.t.Fatal(err)
	}
	var read record.Attachment
	if err := json.Unmarshal(file, &read); err != nil {
		p.t.Fatal(err)
	}
	p.forget(a.Key)
	p.records = append(p.records, read)
}

func (p *pod) forget(key record.Key) {
	p.records = slices.DeleteFunc(slices.Clone(p.records), func(a record.Attachment) bool { return a.Key == key })
}

// begin remembers an attachment and returns the changes for it, as ADD does.
func (p *pod) begin(a attachment) []plan.Op {
	p.t.Helper()
	in := p.input(a)
	d, err := plan.Build(in)
	if err != nil {
		p.t.Fatalf("Build: %v", err)
	}
	if len(d.NICs) == 0 {
		return nil
	}
	p.remember(d.Memory)
	return plan.Changes(in, d)
}

// apply carries changes out, none of which the kernel may refuse.
func (p *pod) apply(ops []plan.Op) {
	p.t.Helper()
	for i, op := range ops {
		if err := p.kernel.apply(op); err != nil {
			p.t.Fatalf("step %d of %d, %s: %v", i+1, len(ops), op, err)
		}
	}
}

// add is an ADD that goes through.
func (p *pod) add(a attachment) {
	p.t.Helper()
	p.apply(p.begin(a))
	p.settle(a)
}

// settle is what ADD does last: from now on the attachment is in one state.
func (p *pod) settle(a attachment) {
	p.t.Helper()
	if mine, _ := record.Find(p.records, a.key()); mine != nil {
		p.remember(mine.Settled())
	}
}

// del is a DEL that goes through.
func (p *pod) del(a attachment) {
	p.t.Helper()
	for _, state := range p.states(a) {
		p.apply(p.leaveFrom(a, state))
	}
	p.forget(a.key())
}

// states are those that an attachment may be in; nil: nothing is remembered.
func (p *pod) states(a attachment) []*record.Attachment {
	mine, _ := record.Find(p.records, a.key())
	if mine == nil {
		return []*record.Attachment{nil}
	}
	var out []*record.Attachment
	for _, state := range mine.States() {
		out = append(out, &state)
	}
	return out
}

// leaveFrom returns the changes that take one state of an attachment back.
func (p *pod) leaveFrom(a attachment, state *record.Attachment) []plan.Op {
	p.t.Helper()
	in := p.removal(a.key())
	in.Mine = state
	return plan.Removal(in)
}

// leave returns the changes that take an attachment back, as DEL does.
func (p *pod) leave(a attachment) []plan.Op {
	p.t.Helper()
	return plan.Removal(p.removal(a.key()))
}

// same compares the pod with what it was.
func (p *pod) same(what string, want []string) {
	p.t.Helper()
	compare(p.t, what, want, p.kernel.text())
}

// refusal is a pod that an attachment cannot come to.
type refusal struct {
	name    string
	pod     string
	earlier []attachment
	attachment
	faults []string // the paths of the keys at fault; none: the pod is in no state for it
	want   string   // the message
}

func runRefusals(t *testing.T, refusals []refusal) {
	t.Helper()
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			p := scenario{pod: r.pod, earlier: r.earlier}.start(t)
			_, err := plan.Build(p.input(r.attachment))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(r.want, err.Error()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(r.faults, faultPaths(err)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if isState := errors.Is(err, plan.ErrState); isState != (r.faults == nil) {
				t.Errorf("errors.Is(err, ErrState) is %t", isState)
			}
		})
	}
}

func faultPaths(err error) []string {
	faults, _ := errors.AsType[config.Faults](err)
	var paths []string
	for _, f := range faults {
		paths = append(paths, f.Path)
	}
	return paths
}
