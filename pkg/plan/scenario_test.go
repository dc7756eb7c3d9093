package plan_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
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
	want       string // the plan, see planText
	deviations string // what CHECK finds all the same, right after ADD
}

// runScenarios compares the plan of each scenario with what is wanted.
func runScenarios(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			p := s.start(t)
			got := p.planText(s.attachment)
			if s.only != "" {
				got = slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, s.only) })
			}
			compare(t, "plan", lines(s.want), got)
		})
	}
}

// planText prints the plan for an attachment: its state, as iproute2 would print it, and then
//
//	shared: + -4 rule 49999: from all lookup 7300 proto 73   what changes of the rules that all share
//	main: - -4 route default via 10.20.30.1 dev net1         what changes of main's defaults
//	note: ...                                                what the operator is told
func (p *pod) planText(a attachment) []string {
	p.t.Helper()
	in := p.input(a)
	d := p.buildFrom(in)
	out := lines(d.State.String())
	for _, c := range plan.Changes(in, d) {
		switch c := c.(type) {
		case change.AddRule:
			if isShared(c.Rule) {
				out = append(out, fmt.Sprintf("shared: + %s rule %s", option(c.Rule.Family), c.Rule))
			}
		case change.DelRule:
			if isShared(c.Rule) {
				out = append(out, fmt.Sprintf("shared: - %s rule %s", option(c.Rule.Family), c.Rule))
			}
		case change.AddToMain:
			out = append(out, "main: + "+routeText(c.Route))
		case change.DelFromMain:
			out = append(out, "main: - "+routeText(c.Route))
		}
	}
	for _, note := range d.Notes {
		out = append(out, "note: "+note)
	}
	return out
}

// isShared reports whether a rule is one of those that all attachments share.
func isShared(r fib.Rule) bool { return state.IsAnchor(r) || state.IsGuard(r) || state.IsFallback(r) }

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
func (p *pod) removal(a attachment) plan.Input {
	in := plan.Input{Key: a.key(), Routes: p.kernel.table}
	in.Mine, in.Others = record.Find(slices.Clone(p.records), in.Key)
	p.observe(&in)
	if in.Mine == nil {
		if in.Mine = plan.Recover(in, p.kernel.observe().Routes); in.Mine != nil {
			p.observe(&in)
		}
	}
	return in
}

// input is what a plan for an attachment depends on.
func (p *pod) input(a attachment) plan.Input {
	p.t.Helper()
	in := p.check(a)
	if in.Mine == nil {
		if in.Mine = plan.Recover(in, nil); in.Mine != nil {
			p.observe(&in)
		}
	}
	return in
}

// check is what CHECK depends on.
func (p *pod) check(a attachment) plan.Input {
	p.t.Helper()
	in := plan.Input{Config: a.parse(p.t), Key: a.key(), Routes: p.kernel.table}
	in.Mine, in.Others = record.Find(slices.Clone(p.records), in.Key)
	for _, itf := range in.Config.Prev.Interfaces {
		in.InPod = append(in.InPod, itf.Sandbox != "")
	}
	p.observe(&in)
	return in
}

// observe looks at as much of the pod as the plugin does.
func (p *pod) observe(in *plan.Input) {
	in.Seen = p.kernel.observe(state.MainTable)
	in.Seen = p.kernel.observe(append([]uint32{state.MainTable}, plan.Tables(*in)...)...)
	if !plan.ReadsARP(*in) {
		for _, at := range []*fib.Settings{&in.Seen.All, &in.Seen.Default} {
			*at = fib.Settings{RPFilter: at.RPFilter}
		}
	}
}

func (p *pod) build(a attachment) *plan.Desired {
	p.t.Helper()
	return p.buildFrom(p.input(a))
}

func (p *pod) buildFrom(in plan.Input) *plan.Desired {
	p.t.Helper()
	d, err := plan.Build(in)
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
func (p *pod) begin(a attachment) []change.Change {
	p.t.Helper()
	in := p.input(a)
	d := p.buildFrom(in)
	if len(d.State.NICs) == 0 {
		return nil
	}
	r := record.Attachment{Version: record.Version, Key: in.Key, State: d.State}
	if in.Mine != nil {
		r.Lost, r.Earlier = in.Mine.Lost, append(slices.Clone(in.Mine.Earlier), in.Mine.State)
	}
	p.remember(r)
	return plan.Changes(in, d)
}

// apply carries changes out, none of which the kernel may refuse.
func (p *pod) apply(changes []change.Change) {
	p.t.Helper()
	for i, c := range changes {
		if err := p.kernel.apply(c); err != nil {
			p.t.Fatalf("step %d of %d, %s: %v", i+1, len(changes), c, err)
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
		settled := *mine
		settled.Earlier = nil
		p.remember(settled)
	}
}

// del is a DEL that goes through.
func (p *pod) del(a attachment) {
	p.t.Helper()
	p.revert(p.leave(a))
	p.forget(a.key())
}

// revert carries out what takes an attachment back. A default cannot come back to a NIC that is
// down: of that DEL tells, and goes on (kernel.ErrNoReturn).
func (p *pod) revert(changes []change.Change) {
	p.t.Helper()
	p.apply(slices.DeleteFunc(changes, func(c change.Change) bool {
		back, ok := c.(change.AddToMain)
		return ok && !slices.ContainsFunc(p.kernel.links, func(l fib.Link) bool { return l.Index == back.Route.Hops[0].Index && l.Up })
	}))
}

// leave returns the changes that take an attachment back, as DEL does.
func (p *pod) leave(a attachment) []change.Change {
	p.t.Helper()
	in := p.removal(a)
	if in.Mine == nil {
		return nil
	}
	return plan.Removal(in)
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
			if isState := errors.Is(err, state.ErrUnfit); isState != (r.faults == nil) {
				t.Errorf("errors.Is(err, ErrUnfit) is %t", isState)
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
