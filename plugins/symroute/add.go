package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/symmetry"
)

// add makes the attachment's routing symmetric and passes the result on. It is
// all or nothing, and changes nothing where everything is as it shall be.
func add(args *skel.CmdArgs) error {
	cfg, key, err := chained(args)
	if err != nil {
		return withFaultsOfPod(args, cfg, key, err)
	}
	p, err := enter(args, key, cfg, record.Exclusive)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.recall(); err != nil {
		return err
	}
	err = p.setUp(args)
	for range fallbackTunnels {
		if !errors.Is(err, kernel.ErrAppeared) {
			return err
		}
		if err := p.observe(); err != nil {
			return err
		}
		err = p.setUp(args)
	}
	return err
}

// withFaultsOfPod adds to the faults of a configuration those that only the pod shows, for all to be
// mended at once. It changes nothing.
func withFaultsOfPod(args *skel.CmdArgs, cfg *config.Config, key record.Key, err error) error {
	faults, ok := errors.AsType[config.Faults](err)
	if !ok || faults.On("prevResult") {
		return err
	}
	p, unseen := enter(args, key, cfg, record.Shared)
	if unseen != nil {
		return err
	}
	defer p.close()
	if p.recall() != nil {
		return err
	}
	_, more := plan.Build(p.input())
	shown, _ := errors.AsType[config.Faults](more)
	return faults.With(shown)
}

// fallbackTunnels is how many devices the kernel may make by itself while ADD asks
// for others: one of each family.
const fallbackTunnels = 2

// recall finds what there is of the attachment already: as it is remembered, by an earlier
// attachment of the interface, or, where a record was lost, as the kernel tells.
func (p *pod) recall() error {
	if p.mine != nil {
		return nil // and what depends on it has been read
	}
	p.takeOver()
	if p.mine == nil {
		p.mine = plan.Recover(p.input(), nil)
		p.recovered = p.mine != nil
	}
	if p.mine == nil {
		return nil
	}
	return p.observeMore()
}

// setUp plans and establishes what was asked for.
func (p *pod) setUp(args *skel.CmdArgs) error {
	in := p.input()
	desired, err := plan.Build(in)
	if err != nil {
		return err
	}
	for _, note := range desired.Notes {
		p.warn("%s", note)
	}
	if len(desired.State.NICs) == 0 {
		return passOn(args, p.cfg)
	}
	if len(p.cfg.Prev.IPs) > 0 && len(desired.State.NICs[0].Tables) == 0 {
		p.warn("none of the addresses in prevResult is %s's: it gets no source rules", args.IfName)
	}
	return p.establish(args, in, desired)
}

// attachment is what is to be remembered while the plan is carried out.
func (p *pod) attachment(args *skel.CmdArgs, d *plan.Desired) record.Attachment {
	a := record.Attachment{
		Release: release,
		Key:     p.key,
		Netns:   args.Netns,
		Pod:     podOf(args),
		Lost:    p.store.Damaged(p.identity, p.key),
		Input:   args.StdinData,
		State:   d.State,
	}
	if p.mine != nil {
		a.Lost = p.mine.Lost
		a.Earlier = append(slices.Clone(p.mine.Earlier), p.mine.State)
	}
	return a
}

// passOn prints the result of the plugins before, as it came.
func passOn(args *skel.CmdArgs, cfg *config.Config) error {
	result, err := config.PrevResult(args.StdinData, cfg)
	if err == nil {
		_, err = os.Stdout.Write(result)
	}
	return err
}

// establish carries the plan out and prints the result, or leaves everything as
// it was.
func (p *pod) establish(args *skel.CmdArgs, in plan.Input, d *plan.Desired) (err error) {
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
	a := p.attachment(args, d)
	if err := p.store.Save(p.identity, a); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	undo.push(p.forget)
	if err := p.dropReplaced(); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	for _, c := range plan.Changes(in, d) {
		back, err := p.ns.Apply(c)
		if back != nil {
			undo.push(func() error { return p.ns.Revert(back) })
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	if p.cfg.Verify {
		if err := p.verify(d.State); err != nil {
			return err
		}
	}
	if len(a.Earlier) > 0 { // none of which there is anything left of
		settled := a
		settled.Earlier = nil
		if err := p.store.Save(p.identity, settled); err != nil {
			return fmt.Errorf("%w: %w", errRecord, err)
		}
		undo.push(func() error { return p.store.Save(p.identity, a) })
	}
	if err := passOn(args, p.cfg); err != nil {
		return err
	}
	undo.kept = true
	return nil
}

// dropReplaced removes the records of those whose interface this attachment has taken over.
func (p *pod) dropReplaced() error {
	for _, old := range p.replaced {
		if err := p.store.Remove(p.identity, old.Key); err != nil {
			return err
		}
	}
	return nil
}

// forget brings the records back to what they were before ADD.
func (p *pod) forget() error {
	if p.mine != nil && len(p.replaced) == 0 && !p.recovered {
		return p.store.Save(p.identity, *p.mine)
	}
	for _, old := range p.replaced {
		if err := p.store.Save(p.identity, old); err != nil {
			return err
		}
	}
	err := p.store.Remove(p.identity, p.key)
	if errors.Is(err, record.ErrNotUsable) {
		return nil // a folder that takes no record has none
	}
	return err
}

// verify asks CHECK's symmetry questions. What was seen before the changes is
// enough to ask them, unless addresses have come; to explain a wrong answer the
// present is read.
func (p *pod) verify(s state.State) error {
	if s.Server == nil && len(p.ask(s)) == 0 {
		return nil
	}
	if err := p.observe(); err != nil {
		return err
	}
	if wrong := p.ask(s); len(wrong) > 0 {
		return fmt.Errorf("routing would not be symmetric: %w", wrong)
	}
	return nil
}

// ask asks the symmetry questions about what the attachment has.
func (p *pod) ask(s state.State) state.Deviations {
	return symmetry.Check(p.ns, p.cfg, p.seen, s, record.States(p.others))
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
