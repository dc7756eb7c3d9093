// Package agent watches over the attachments of a node: it checks them again and again, and each as soon as
// something changes in its pod, repairs what a link took, and tells others what it found.
package agent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/install"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/state"
)

// Options say how an agent works.
type Options struct {
	Node node.Node
	// Release is the version that a repair is remembered with.
	Release string
	// Interval is how long after an audit the next one begins, give or take a tenth, so that the nodes of a cluster do
	// not all work at once.
	Interval time.Duration
	Repair   Mode
	// Watch has a pod checked as soon as something changes in it.
	Watch bool
	Log   *slog.Logger
}

// Observer is told what the agent finds and does. It must not wait for others.
type Observer interface {
	// Met is told of each pod that is found, and Left of each that is not there any more.
	Met(p node.Pod)
	Left(identity string)
	// Checked is told of each check of an attachment.
	Checked(item audit.Item)
	// PodChecked is told how long the check of a pod took.
	PodChecked(took time.Duration)
	// Audited is told of each audit that has come to its end.
	Audited(took time.Duration, at time.Time)
	// Known is told of all attachments as they stand, after any of them has changed.
	Known(items []audit.Item, vain int)
	// Repaired is told of each repair, and what it was done for.
	Repaired(item audit.RepairItem, trigger string)
	// LinkFlapped is told that an attached interface stopped running.
	LinkFlapped(attachment audit.Subject)
	// Deviates is told once that an attachment deviates and is not repaired at once, and why not.
	Deviates(item audit.Item, note string)
	// Vain is told once that repairs of an attachment do not last.
	Vain(item audit.Item, repairs int)
	// Installed is told of each installation of the plugin, or why it failed: by whoever installs, and at any time.
	Installed(result install.Result, err error)
}

// What a repair was done for.
const (
	TriggerLink  = "link"  // something changed in the pod
	TriggerAudit = "audit" // an audit found it
)

// Agent is one. Run runs it.
type Agent struct {
	Options
	observers []Observer
	pods      map[string]*watched // by the identity of the namespace
	numbers   map[int]string      // numbers of namespaces (kernel.Numbers) -> identity
	due       map[string]due      // pods to check, by identity
	asker     *kernel.Numbers
}

// watched is a pod as it was last seen.
type watched struct {
	number   int          // of its namespace; kernel.NoNumber: its changes are not heard
	deaf     bool         // they cannot be
	running  map[int]bool // links that are known to run, or not, by index
	attached map[audit.Subject]attachment
}

// attachment is one as it was last seen.
type attachment struct {
	item    audit.Item
	since   time.Time
	told    []audit.Deviation // what observers were told of; nil: nothing
	history history
}

// due is when a pod is to be checked, and why.
type due struct {
	at, latest time.Time
	stopped    []int // links that stopped running
	linked     bool  // a link has changed
	looks      int   // how often nothing was found
}

// New makes an agent.
func New(o Options, observers ...Observer) *Agent {
	return &Agent{Options: o, observers: observers, pods: map[string]*watched{}, numbers: map[int]string{}, due: map[string]due{}}
}

const (
	// settle is how long nothing has to change in a pod before it is checked, and settleAtMost how long a pod in
	// which things change all the time waits.
	settle       = 300 * time.Millisecond
	settleAtMost = 1 * time.Second
	// confirm is how long an attachment has to deviate before anybody is told of it: a runtime that attaches a network
	// passes through states that are none.
	confirm = 3 * time.Second
)

// Run works until ctx ends. Audited is told for the first time when all that is remembered has been looked at.
func (a *Agent) Run(ctx context.Context) {
	heard := make(chan heard)
	if a.Watch {
		end, err := a.listen(ctx, heard)
		if err != nil {
			a.Log.Error("changes in pods are not heard, pods are checked at intervals only", "error", err)
		} else {
			defer end()
		}
	}
	audit := time.NewTimer(0)
	defer audit.Stop()
	for ctx.Err() == nil {
		check := time.NewTimer(a.nextDue(time.Now()))
		select {
		case <-ctx.Done():
		case h := <-heard:
			if h.missed {
				a.Log.Warn("changes in pods were missed, all are checked")
				audit.Reset(0)
			}
			if h.records {
				a.soon(anybody, time.Now())
			}
			a.note(h.changes, time.Now())
		case <-audit.C:
			a.audit(ctx)
			audit.Reset(jitter(a.Interval))
		case <-check.C:
			a.checkDue(ctx, time.Now())
		}
		check.Stop()
	}
}

// jitter is an interval, give or take a tenth.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + time.Duration(rand.Int64N(int64(d)/5+1))
}

// audit checks all that is remembered.
func (a *Agent) audit(ctx context.Context) {
	begin := time.Now()
	identities, err := a.Node.Identities()
	if err != nil {
		a.Log.Error("the records cannot be listed, nothing is checked", "error", err)
		return
	}
	for identity := range a.pods {
		if !slices.Contains(identities, identity) {
			a.forget(identity)
		}
	}
	all := a.look(ctx, identities)
	if ctx.Err() != nil {
		return
	}
	for _, l := range all {
		if len(l.pod.Attachments) > 0 {
			a.settleReport(ctx, l, due{}, TriggerAudit)
		}
	}
	a.known()
	for _, o := range a.observers {
		o.Audited(time.Since(begin), time.Now())
	}
}

func (a *Agent) forget(identity string) {
	if w := a.pods[identity]; w != nil {
		a.unnumber(w)
	}
	delete(a.pods, identity)
	delete(a.due, identity)
	for _, o := range a.observers {
		o.Left(identity)
	}
}

// look is what was found of a pod.
type look struct {
	// pod has of its attachments what names them alone: what is remembered of hundreds of pods is much.
	pod    node.Pod
	index  [][]int // of the interfaces of each attachment
	report audit.Report
}

// look checks the pods of namespaces, several at a time. What it finds is in their order.
func (a *Agent) look(ctx context.Context, identities []string) []look {
	found := make([]look, len(identities))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	var told sync.Mutex
	for i, identity := range identities {
		slots <- struct{}{}
		workers.Go(func() {
			defer func() { <-slots }()
			p, err := a.Node.In(identity)
			if err != nil {
				a.Log.Error("not all records can be read", "error", err)
			}
			begin := time.Now()
			found[i].report = audit.Check(ctx, []node.Pod{p}, nil)
			took := time.Since(begin)
			for j := range p.Attachments {
				x := &p.Attachments[j]
				found[i].index = append(found[i].index, indexes(x.State))
				x.Input, x.State, x.Earlier = nil, state.State{}, nil
			}
			found[i].pod = p
			told.Lock()
			defer told.Unlock()
			for _, o := range a.observers {
				o.PodChecked(took)
			}
		})
	}
	workers.Wait()
	return found
}

// indexes are those of the interfaces that an attachment was made for; others that it has, other attachments are for.
func indexes(s state.State) []int {
	var out []int
	for _, n := range s.NICs {
		if n.Role == state.Attached {
			out = append(out, n.Index)
		}
	}
	return out
}

// known tells how all attachments stand.
func (a *Agent) known() {
	var items []audit.Item
	vain := 0
	for _, w := range a.pods {
		for _, x := range w.attached {
			items = append(items, x.item)
			if x.history.vain() && x.item.State == audit.StateDeviating {
				vain++
			}
		}
	}
	for _, o := range a.observers {
		o.Known(items, vain)
	}
}
