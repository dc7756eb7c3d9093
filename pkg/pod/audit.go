package pod

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
)

// Verdict is what Audit says of an attachment.
type Verdict int

// The verdicts.
const (
	Symmetric Verdict = iota // it is as Add made it, and the kernel routes it symmetrically
	Deviating                // it is not
	Gone                     // its pod is gone, or it was detached: there is nothing to be wrong
	Unknown                  // it could not be told
)

func (v Verdict) String() string {
	switch v {
	case Symmetric:
		return "symmetric"
	case Deviating:
		return "deviating"
	case Gone:
		return "gone"
	case Unknown:
	}
	return "unknown"
}

// Finding is what Audit says of one attachment.
type Finding struct {
	Verdict Verdict
	// Deviations are all that there are, where it deviates.
	Deviations state.Deviations
	// Err says why it is gone, or why it could not be told.
	Err error
	// Notes are what CHECK would note.
	Notes []string
}

// Audit checks many attachments as Check does, those of a namespace together: it is opened, locked and
// observed once. Namespaces are looked at on all CPUs at the same time. Findings are in the order of the calls.
//
// Of each call the key, the path and identity of the namespace, and dataDir count: what is compared is the
// record as it is now. Nothing is written. Before each namespace stopped is asked: what it ends by an error
// (context.Context.Err) is Unknown. After each done is told how many attachments have been checked so far; it may
// be nil.
func Audit(calls []Call, stopped func() error, done func(checked int)) []Finding {
	findings := make([]Finding, len(calls))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	var count counter
	for _, group := range byNamespace(calls) {
		slots <- struct{}{}
		// On a goroutine, and so on a thread, of its own: see kernel.Namespace.Close.
		workers.Go(func() {
			defer func() { <-slots }()
			for i, f := range auditNamespace(calls, group, stopped) {
				findings[group[i]] = f
			}
			count.add(len(group), done)
		})
	}
	workers.Wait()
	return findings
}

// counter counts for several goroutines.
type counter struct {
	sync.Mutex
	n int
}

func (c *counter) add(n int, tell func(int)) {
	c.Lock()
	defer c.Unlock()
	c.n += n
	if tell != nil {
		tell(c.n)
	}
}

// byNamespace groups the places of calls that can be carried out together: of one namespace, under one
// lock, out of one directory.
func byNamespace(calls []Call) [][]int {
	type place struct{ netns, identity, dataDir string }
	var groups [][]int
	at := map[place]int{}
	for i, c := range calls {
		key := place{c.Netns, c.Namespace, c.DataDir}
		group, known := at[key]
		if !known {
			group = len(groups)
			at[key] = group
			groups = append(groups, nil)
		}
		groups[group] = append(groups[group], i)
	}
	return groups
}

// auditNamespace checks the attachments of one namespace.
func auditNamespace(calls []Call, group []int, stopped func() error) []Finding {
	findings := make([]Finding, len(group))
	err := stopped()
	if err == nil {
		err = auditOpened(calls, group, findings)
	}
	var alive *bool // asked once, behind Close: who is inside a namespace cannot enter it
	for i, f := range findings {
		if err != nil {
			f = Finding{Verdict: Unknown, Err: err}
		}
		if f.Verdict == Deviating || f.Verdict == Unknown {
			if alive == nil {
				alive = new(stands(calls[group[0]]))
			}
			if !*alive {
				f = Finding{Verdict: Gone, Err: kernel.ErrGone}
			}
		}
		findings[i] = f
	}
	return findings
}

// stands says whether the namespace of a call still stands: what is found in one that is being taken
// down says nothing.
func stands(c Call) bool {
	return c.Namespace == "" || kernel.Alive(c.Netns, c.Namespace, c.Key.ContainerID)
}

// auditOpened opens the namespace and fills in what is found. Its error is about all.
func auditOpened(calls []Call, group []int, findings []Finding) error {
	var notes []string
	first := calls[group[0]]
	first.Note = func(_, note string) { notes = append(notes, note) }
	p, err := OpenToCheck(first)
	if err != nil {
		return err
	}
	defer func() {
		p.Close()
		findings[0].Notes = append(notes, findings[0].Notes...) // they are about the namespace
	}()
	look, err := lookInto(p)
	if err != nil {
		return err
	}
	for i, c := range group {
		findings[i] = look.finding(calls[c].Key)
	}
	return nil
}

// look is what was read of a namespace once, for all of its attachments.
type look struct {
	pod        *Pod
	remembered []record.Attachment
	seen       *fib.Snapshot // without source tables
	tables     map[uint32][]fib.Route
}

func lookInto(p *Pod) (*look, error) {
	remembered, err := p.remembered()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	seen, err := p.ns.Observe()
	if err != nil {
		return nil, err
	}
	return &look{p, remembered, seen, map[uint32][]fib.Route{}}, nil
}

// finding checks one of the attachments.
func (l *look) finding(key record.Key) Finding {
	p, err := repeating(l.pod, key, l.remembered)
	if errors.Is(err, detached{}) {
		return Finding{Verdict: Gone, Err: err}
	}
	if err != nil {
		return Finding{Verdict: Unknown, Err: err}
	}
	var f Finding
	p.call.Note = func(_, note string) { f.Notes = append(f.Notes, note) }
	wrong, err := l.deviations(p)
	switch {
	case err != nil:
		f.Verdict, f.Err = Unknown, err
	case len(wrong) > 0:
		f.Verdict, f.Deviations = Deviating, wrong
	}
	return f
}

// deviations are those that Check finds, of a pod whose call is that of the record.
func (l *look) deviations(p *Pod) (state.Deviations, error) {
	in := p.input(p.call.Config, l.remembered)
	in.Routes, in.Node = l.table, nil // of the node ADD tells
	seen := *l.seen
	seen.Routes = slices.Clip(seen.Routes) // what is added is this attachment's
	in.Seen = &seen
	if plan.ReadsARP(in) {
		if err := p.ns.ReadARP(in.Seen); err != nil {
			return nil, err
		}
	}
	for _, table := range plan.Tables(in) {
		routes, err := l.table(table)
		if err != nil {
			return nil, err
		}
		in.Seen.Routes = append(in.Seen.Routes, routes...)
	}
	for _, warning := range plan.Warnings(in) {
		p.call.note("%s", warning)
	}
	// plan.Outdated goes by the input of the last ADD, which this call repeats.
	return slices.Concat(plan.Verify(in), plan.Outdated(in), p.ask(in, in.Mine.State)), nil
}

// table reads the routes of a source table once.
func (l *look) table(table uint32) ([]fib.Route, error) {
	if routes, known := l.tables[table]; known {
		return routes, nil
	}
	routes, err := l.pod.ns.Table(table)
	if err != nil {
		return nil, err
	}
	l.seen.NameHops(routes)
	l.tables[table] = routes
	return routes, nil
}

// detached says that an attachment is not remembered any more: its DEL has been here. It is no variable, which
// would be in every executable.
type detached struct{}

func (detached) Error() string { return "it was detached: its record is gone" }

// repeating is the pod with the call that its record says. It shares all else, and only one of the two
// is to be closed.
func repeating(p *Pod, key record.Key, remembered []record.Attachment) (*Pod, error) {
	mine, _ := record.Find(remembered, key)
	switch {
	case mine == nil && p.store.Damaged(p.identity, key):
		return nil, fmt.Errorf("%w: its record cannot be read", ErrRecord)
	case mine == nil:
		return nil, detached{}
	}
	call, err := FromRecord(*mine, p.call.DataDir, p.identity)
	if err != nil {
		return nil, fmt.Errorf("its record holds no input that ADD or CHECK could be repeated with: %w", err)
	}
	call.Release, call.Note = p.call.Release, p.call.Note
	repeated := *p
	repeated.call = call
	return &repeated, nil
}
