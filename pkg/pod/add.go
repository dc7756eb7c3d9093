package pod

import (
	"errors"
	"fmt"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/symmetry"
)

// ErrRefused is wrapped by the error for a change that the kernel refused.
var ErrRefused = errors.New("the kernel refused a change")

// Add makes the attachment's routing symmetric. It is all or nothing, and changes nothing where
// everything is as it shall be. At the end it calls passOn, which tells the one who asked that it is
// done; an error of that takes everything back, too.
//
// Its error is config.Faults, which the pod has shown, or state.Deviations, where routing would not be
// symmetric, or it wraps state.ErrUnfit, ErrRefused, ErrRecord, kernel.ErrUnsteady or what passOn returned;
// others are of the system.
func (p *Pod) Add(passOn func() error) error {
	in, err := p.read()
	if err != nil {
		return err
	}
	in, was, err := p.recall(in)
	if err != nil {
		return err
	}
	err = p.setUp(in, was, passOn)
	for range fallbackTunnels {
		if !errors.Is(err, kernel.ErrAppeared) {
			return err
		}
		if in, err = p.observe(in); err != nil {
			return err
		}
		err = p.setUp(in, was, passOn)
	}
	return err
}

// fallbackTunnels is how many devices the kernel may make by itself while Add asks
// for others: one of each family.
const fallbackTunnels = 2

// WithFaultsOfPod adds to the faults of a configuration, which Configured returned, those that only the
// pod shows, for all to be mended at once. It changes nothing. Any other error it returns as it is.
func (c Call) WithFaultsOfPod(err error) error {
	faults, ok := errors.AsType[config.Faults](err)
	if !ok || faults.On("prevResult") {
		return err
	}
	p, unseen := OpenToCheck(c)
	if unseen != nil {
		return err
	}
	defer p.Close()
	in, unseen := p.read()
	if unseen != nil {
		return err
	}
	in, _, unseen = p.recall(in)
	if unseen != nil {
		return err
	}
	_, more := plan.Build(in)
	shown, _ := errors.AsType[config.Faults](more)
	return faults.With(shown)
}

// former is what was remembered before Add.
type former struct {
	mine *record.Attachment // nil for nothing
	// replaced are earlier attachments of the interface, which this one takes over.
	replaced []record.Attachment
}

// recall finds what there is of the attachment already: as it is remembered, by an earlier
// attachment of the interface, or, where a record was lost, as the kernel tells.
func (p *Pod) recall(in plan.Input) (plan.Input, former, error) {
	if in.Mine != nil { // and what depends on it has been read
		return in, former{mine: in.Mine}, nil
	}
	in, replaced := takeOver(in)
	if in.Mine == nil {
		in.Mine = plan.Recover(in, nil)
	}
	if in.Mine == nil {
		return in, former{}, nil
	}
	return in, former{replaced: replaced}, p.observeMore(in)
}

// takeOver makes the memory of an earlier attachment of the same interface our
// own: its DEL never came, or came to nothing.
func takeOver(in plan.Input) (_ plan.Input, replaced []record.Attachment) {
	var others []record.Attachment
	for _, a := range in.Others {
		if a.IfName != in.Key.IfName {
			others = append(others, a)
			continue
		}
		replaced = append(replaced, a)
		if in.Mine == nil {
			a.Key = in.Key
			in.Mine = &a
		}
	}
	in.Others = others
	return in, replaced
}

// setUp plans and establishes what was asked for.
func (p *Pod) setUp(in plan.Input, was former, passOn func() error) error {
	desired, err := plan.Build(in)
	if err != nil {
		return err
	}
	for _, note := range desired.Notes {
		p.call.note("%s", note)
	}
	if len(desired.State.NICs) == 0 {
		return passOn()
	}
	if len(in.Config.Prev.IPs) > 0 && len(desired.State.NICs[0].Tables) == 0 {
		p.call.note("none of the addresses in prevResult is %s's: it gets no source rules", in.Key.IfName)
	}
	return p.establish(in, was, desired, passOn)
}

// establish carries the plan out and passes on that it is done, or leaves everything as
// it was.
func (p *Pod) establish(in plan.Input, was former, d *plan.Desired, passOn func() error) (err error) {
	var undo undoing
	defer func() {
		if undo.kept {
			return
		}
		if failed := undo.all(); failed != nil {
			err = fmt.Errorf("%w; it could not be taken back, which DEL will do: %w", err, failed)
		} else if err != nil {
			err = fmt.Errorf("everything was taken back: %w", err)
		}
	}()
	// What is remembered comes before what is done: an ADD that is killed in
	// between leaves a record of more than was done, never of less.
	a := p.attachment(in, d)
	if err := p.store.Save(p.identity, a); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	undo.push(func() error { return p.forget(was) })
	if err := p.dropReplaced(was); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	for _, c := range plan.Changes(in, d) {
		back, err := p.ns.Apply(c)
		if back != nil {
			undo.push(func() error { return p.ns.Revert(back) })
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	if in.Config.Verify {
		if err := p.verify(in, d.State); err != nil {
			return err
		}
	}
	if len(a.Earlier) > 0 { // none of which there is anything left of
		settled := a
		settled.Earlier = nil
		if err := p.store.Save(p.identity, settled); err != nil {
			return fmt.Errorf("%w: %w", ErrRecord, err)
		}
		undo.push(func() error { return p.store.Save(p.identity, a) })
	}
	if err := passOn(); err != nil {
		return err
	}
	undo.kept = true
	return nil
}

// attachment is what is to be remembered while the plan is carried out.
func (p *Pod) attachment(in plan.Input, d *plan.Desired) record.Attachment {
	a := record.Attachment{
		Release: p.call.Release,
		Key:     in.Key,
		Netns:   p.call.Netns,
		Pod:     p.call.Pod,
		Lost:    p.store.Damaged(p.identity, in.Key),
		Input:   p.call.Input,
		State:   d.State,
	}
	if in.Mine != nil {
		a.Lost = in.Mine.Lost
		a.Earlier = append(slices.Clone(in.Mine.Earlier), in.Mine.State)
	}
	return a
}

// dropReplaced removes the records of those whose interface this attachment has taken over.
func (p *Pod) dropReplaced(was former) error {
	for _, old := range was.replaced {
		if err := p.store.Remove(p.identity, old.Key); err != nil {
			return err
		}
	}
	return nil
}

// forget brings the records back to what they were.
func (p *Pod) forget(was former) error {
	if was.mine != nil {
		return p.store.Save(p.identity, *was.mine)
	}
	for _, old := range was.replaced {
		if err := p.store.Save(p.identity, old); err != nil {
			return err
		}
	}
	err := p.store.Remove(p.identity, p.call.Key)
	if errors.Is(err, record.ErrNotUsable) {
		return nil // a folder that takes no record has none
	}
	return err
}

// verify asks CHECK's symmetry questions. What was seen before the changes is
// enough to ask them, unless addresses have come; to explain a wrong answer the
// present is read.
func (p *Pod) verify(in plan.Input, s state.State) error {
	if s.Server == nil && len(p.ask(in, s)) == 0 {
		return nil
	}
	in, err := p.observe(in)
	if err != nil {
		return err
	}
	if wrong := p.ask(in, s); len(wrong) > 0 {
		return fmt.Errorf("routing would not be symmetric: %w", wrong)
	}
	return nil
}

// ask asks the symmetry questions about what the attachment has.
func (p *Pod) ask(in plan.Input, s state.State) state.Deviations {
	return symmetry.Check(p.ns, in.Config, in.Seen, s, record.States(in.Others))
}

// undoing is what takes back the steps done so far.
type undoing struct {
	steps []func() error
	kept  bool
}

func (u *undoing) push(step func() error) { u.steps = append(u.steps, step) }

// all runs the steps backwards. It stops where one fails: the record, which is
// the last, then stays, by which DEL finds the rest.
func (u *undoing) all() error {
	for _, step := range slices.Backward(u.steps) {
		if err := step(); err != nil && !errors.Is(err, kernel.ErrNoReturn) {
			return err
		}
	}
	return nil
}
