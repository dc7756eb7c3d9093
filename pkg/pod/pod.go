// Package pod carries out the verbs of CNI in a pod: ADD, CHECK and DEL of one attachment, which is
// called for by a runtime or from its record, and GC and STATUS of a node.
//
// A Call says what is asked for. Opened, it is a Pod: the network namespace, entered and locked. Each
// verb reads what is remembered of the namespace and what there is in it, has package plan work out
// what follows, and carries that out by package kernel. Nothing is read from the environment and
// nothing is printed: results, errors and notes are the caller's.
package pod

import (
	"errors"
	"fmt"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
)

// ErrRecord is wrapped by the error for a dataDir that takes no lock or no record.
var ErrRecord = errors.New("dataDir is not usable")

// NetnsError says that no pod can be entered at the path of a call. It wraps kernel.ErrGone,
// kernel.ErrHost or an error of the system.
type NetnsError struct{ Err error }

// Error says why.
func (e *NetnsError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *NetnsError) Unwrap() error { return e.Err }

// Pod is the network namespace of a call, entered and locked. The thread of the goroutine that opened
// it is in the namespace until Close: no other one may use it.
type Pod struct {
	call     Call
	ns       *kernel.Namespace
	identity string
	store    record.Store
	// lock is nil where Del has to do without, and for Check where nothing is remembered.
	lock *record.Lock
}

// OpenToCheck opens the pod of a call for Check. Others may check at the same time.
//
// Its error is a *NetnsError, or wraps record.ErrBusy or ErrRecord; others are of the system.
func OpenToCheck(c Call) (*Pod, error) { return open(c, record.Shared) }

// OpenToAdd opens the pod of a call for Add and Check, once or more, with nobody else in between. Its
// errors are those of OpenToCheck.
func OpenToAdd(c Call) (*Pod, error) { return open(c, record.Exclusive) }

// OpenToDel opens the pod of a call for Del, with nobody else in between. A dataDir that takes no lock is
// a note: it must not keep the pod from being taken down. All other errors are those of OpenToCheck;
// where one wraps kernel.ErrGone, there is nothing to delete, and Forget does the rest.
func OpenToDel(c Call) (*Pod, error) {
	p, err := enter(c)
	if err != nil {
		return nil, err
	}
	err = p.hold(record.Exclusive)
	switch {
	case errors.Is(err, record.ErrBusy):
		p.Close()
		return nil, err
	case err != nil:
		c.note("%v: going on without the lock", err)
	}
	return p, nil
}

func open(c Call, mode record.LockMode) (*Pod, error) {
	p, err := enter(c)
	if err != nil {
		return nil, err
	}
	err = p.hold(mode)
	switch {
	case errors.Is(err, record.ErrBusy):
		p.Close()
		return nil, err
	case err != nil:
		p.Close()
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return p, nil
}

func enter(c Call) (*Pod, error) {
	ns, err := kernel.Enter(c.Netns)
	if err != nil {
		return nil, &NetnsError{err}
	}
	p := &Pod{call: c, ns: ns, store: record.NewStore(c.DataDir)}
	p.identity, err = ns.Identity(c.Key.ContainerID)
	if err == nil && c.Namespace != "" && c.Namespace != p.identity {
		err = &NetnsError{fmt.Errorf("%w: another one stands at %s", kernel.ErrGone, c.Netns)}
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// hold locks the pod against other calls. The lock lies in one place for all networks, else
// where this one's records are.
func (p *Pod) hold(mode record.LockMode) (err error) {
	p.lock, err = record.TakeLock(kernel.LockName(p.identity), mode, config.DefaultDataDir, p.call.DataDir)
	return err
}

// Close leaves the pod. The lock goes last, and its file with the last record. What cannot be closed
// is a note.
func (p *Pod) Close() {
	if err := p.ns.Close(); err != nil {
		p.call.note("%v", err)
	}
	if p.lock == nil {
		return
	}
	forget := !p.store.Knows(p.identity)
	if err := p.lock.Release(forget); err != nil {
		p.call.note("%v", err)
	}
	if forget { // it may have been in another directory before
		p.store.RemoveIdleLock(kernel.LockName(p.identity))
	}
}

// read reads all that a plan depends on: what is remembered, and what there is.
func (p *Pod) read() (plan.Input, error) {
	remembered, err := p.remembered()
	if err != nil {
		return plan.Input{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return p.observe(p.input(p.call.Config, remembered))
}

// remembered are the attachments of the namespace. What is not usable of it is not acted on: rules and
// routes are found without.
func (p *Pod) remembered() ([]record.Attachment, error) {
	all, err := p.store.Load(p.identity)
	if errors.Is(err, record.ErrNotUsable) {
		p.call.note("%v", err)
		return all, nil
	}
	return all, err
}

// input is what a plan depends on, but for what there is to be seen.
func (p *Pod) input(cfg *config.Config, remembered []record.Attachment) plan.Input {
	mine, others := record.Find(remembered, p.call.Key)
	return plan.Input{
		Config: cfg,
		Key:    p.call.Key,
		InPod:  p.inPod(cfg),
		Mine:   mine,
		Others: others,
		Routes: p.ns.Table,
		Node:   kernel.AddressOfNode,
	}
}

// inPod says of each interface of the result before whether it may be in this pod.
func (p *Pod) inPod(cfg *config.Config) []bool {
	if cfg == nil || cfg.Prev == nil {
		return nil
	}
	var out []bool
	for _, itf := range cfg.Prev.Interfaces {
		// Some plugins name no sandbox for the interface they were called for.
		itsOwn := itf.Name == p.call.Key.IfName && itf.Sandbox == ""
		out = append(out, itsOwn || p.ns.Holds(itf.Sandbox))
	}
	return out
}

// observe is an input with the namespace as it is now, and the source tables that matter.
func (p *Pod) observe(in plan.Input) (plan.Input, error) {
	seen, err := p.ns.Observe()
	if err != nil {
		return plan.Input{}, err
	}
	in.Seen = seen
	return in, p.observeMore(in)
}

// observeMore adds to what was seen what is looked at because of what is remembered.
func (p *Pod) observeMore(in plan.Input) error {
	if plan.ReadsARP(in) {
		if err := p.ns.ReadARP(in.Seen); err != nil {
			return err
		}
	}
	return p.ns.ReadTables(in.Seen, plan.Tables(in)...)
}
