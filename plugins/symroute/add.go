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
	"github.com/symroute/symroute/pkg/symmetry"
)

// add makes the attachment's routing symmetric and passes the result on. It is
// all or nothing, and changes nothing where everything is as it shall be.
func add(args *skel.CmdArgs) error {
	cfg, key, err := chained(args)
	if err != nil {
		return err
	}
	p, err := enter(args, key, cfg, kernel.Exclusive)
	if err != nil {
		return err
	}
	defer p.close()
	p.takeOver()
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

// fallbackTunnels is how many devices the kernel may make by itself while ADD asks
// for others: one of each family.
const fallbackTunnels = 2

// setUp plans and establishes what was asked for.
func (p *pod) setUp(args *skel.CmdArgs) error {
	in := p.input()
	desired, err := plan.Build(in)
	if err != nil {
		return err
	}
	desired.Memory.Netns = args.Netns
	desired.Memory.Unknown = p.unknown()
	for _, note := range desired.Notes {
		warn("%s", note)
	}
	if len(desired.NICs) == 0 {
		return passOn(args, p.cfg)
	}
	if len(p.cfg.Prev.IPs) > 0 && len(desired.NICs[0].Sources) == 0 {
		warn("none of the addresses in prevResult is %s's: it gets no source rules", args.IfName)
	}
	return p.establish(args, in, desired)
}

// unknown reports whether what was there before the attachment came cannot be
// told any more, because its record was damaged.
func (p *pod) unknown() bool {
	if p.mine != nil {
		return p.mine.Unknown
	}
	return p.store.Damaged(p.identity, p.key)
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
	undo.push(p.forget)
	if err := p.remember(d.Memory); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	for _, op := range plan.Changes(in, d) {
		if err := p.journal(d.Memory, op); err != nil {
			return fmt.Errorf("%w: %w", errRecord, err)
		}
		back, err := p.ns.Apply(op)
		if back != nil {
			undo.push(func() error { return p.revert(d.Memory, back) })
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
	}
	if p.cfg.Verify {
		if err := p.verify(d); err != nil {
			return err
		}
	}
	if len(d.Memory.Earlier) > 0 { // none of which there is anything left of
		undo.push(func() error { return p.store.Save(p.identity, d.Memory) })
		if err := p.store.Save(p.identity, d.Memory.Settled()); err != nil {
			return fmt.Errorf("%w: %w", errRecord, err)
		}
	}
	if err := passOn(args, p.cfg); err != nil {
		return err
	}
	undo.kept = true
	return nil
}

// remember writes the attachment's record and drops those that it replaces.
func (p *pod) remember(a record.Attachment) error {
	if err := p.store.Save(p.identity, a); err != nil {
		return err
	}
	for _, old := range p.replaced {
		if err := p.store.Remove(p.identity, old.Key); err != nil {
			return err
		}
	}
	return nil
}

// forget brings the records back to what they were before ADD.
func (p *pod) forget() error {
	if p.mine != nil && len(p.replaced) == 0 {
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
func (p *pod) verify(d *plan.Desired) error {
	if d.Server == nil && len(symmetry.Check(p.ns, p.cfg, p.seen, d)) == 0 {
		return nil
	}
	if err := p.observe(); err != nil {
		return err
	}
	if wrong := symmetry.Check(p.ns, p.cfg, p.seen, d); len(wrong) > 0 {
		return fmt.Errorf("routing would not be symmetric: %w", wrong)
	}
	return nil
}

// undoing is what takes back the steps done so far.
type undoing struct {
	steps []func() error
	kept  bool
}

func (u *undoing) push(step func() error) { u.steps = append(u.steps, step) }

// all runs the steps backwards. It stops where one fails: the record, which is
// the last, then stays, and so do the rules by which DEL finds the rest.
func (u *undoing) all() error {
	for _, step := range slices.Backward(u.steps) {
		if err := step(); err != nil && !errors.Is(err, kernel.ErrNoReturn) {
			return err
		}
	}
	return nil
}
