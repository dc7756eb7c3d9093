package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
)

// del takes back what ADD of this attachment made. Runtimes call it more than
// once, without a namespace, without a result: a failure here would keep the
// plugins before us from freeing what they hold.
func del(args *skel.CmdArgs) error {
	conf, err := config.ParseTeardown(args.StdinData)
	if err != nil {
		return err
	}
	key := keyOf(args, conf.Network)
	p, err := enterToRemove(args, key, conf, kernel.Exclusive)
	if errors.Is(err, kernel.ErrBusy) {
		// Any process of the pod can lock its own namespace, and must not be able
		// to keep the runtime from taking the pod down.
		warn("%v: going on without the lock", err)
		p, err = enterToRemove(args, key, conf, kernel.None)
	}
	if errors.Is(err, kernel.ErrGone) {
		forgetEverywhere(record.NewStore(conf.DataDir), key)
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	another := p.belongsToAnother()
	if p.mine == nil && !p.unread || another {
		forgetEverywhere(p.store, key) // of a namespace that stood at this path before
	}
	if another {
		return nil
	}
	return p.remove()
}

// belongsToAnother reports whether another attachment has the interface now:
// the rules that bear its name are that one's.
func (p *pod) belongsToAnother() bool {
	if p.mine == nil && slices.ContainsFunc(p.others, func(a record.Attachment) bool { return a.IfName == p.key.IfName }) {
		return true
	}
	prefix, ok := kernel.Ambiguous(p.identity)
	if !ok {
		return false
	}
	latest, err := p.store.Latest(prefix, p.key.IfName)
	if err != nil {
		warn("%v", err)
	}
	return latest != "" && latest != p.identity
}

func (p *pod) remove() error {
	if err := p.revertStates(); err != nil {
		return fmt.Errorf("DEL is not complete, call it again: %w", err)
	}
	if p.unread {
		warn("what is remembered is kept: DEL once more takes back the rest, or the pod takes it with it")
		return nil
	}
	if err := p.store.Remove(p.identity, p.key); err != nil {
		warn("%v", err)
	}
	return nil
}

// revertStates takes back what there is of the attachment's latest state, and then
// of those before it: an ADD that was killed while it changed the one into the other
// leaves something of both.
func (p *pod) revertStates() error {
	whole := p.mine
	if whole == nil {
		return p.revertUnknown()
	}
	if whole.Unknown {
		warn("what was remembered of %s of container %s had been damaged: settings and the main table may stay as an earlier ADD left them",
			p.key.IfName, p.key.ContainerID)
	}
	for i, state := range whole.States() {
		if i > 0 {
			if err := p.observe(); err != nil {
				return err
			}
		}
		p.mine = &state
		if err := p.revertAll(*whole, plan.Removal(p.input())); err != nil {
			return err
		}
	}
	return nil
}

// revertUnknown takes back what the kernel tells of an attachment.
func (p *pod) revertUnknown() error {
	ops := plan.Removal(p.input())
	if len(ops) > 0 {
		warn("nothing is remembered of %s of container %s: its rules and routes are removed, settings, tunnels and the main table stay as they are",
			p.key.IfName, p.key.ContainerID)
	}
	for _, note := range plan.LeftBehind(p.input()) {
		warn("%s", note)
	}
	return p.revertAll(record.Attachment{Key: p.key, Unknown: true}, ops)
}

// revertAll carries out the changes, up to the first that fails: their order
// leaves to the next DEL what it needs. A route that can never come back is
// told and no reason to fail; what stands in its stead then stays.
func (p *pod) revertAll(base record.Attachment, ops []plan.Op) error {
	lost := map[fib.Family]bool{}
	for _, op := range ops {
		if out, ok := op.(plan.TakeOut); ok && lost[out.Route.Family] && out.Route.Protocol != plan.Protocol {
			continue
		}
		err := p.revert(base, op)
		if errors.Is(err, kernel.ErrNoReturn) {
			warn("%v", err)
			if in, ok := op.(plan.PutIn); ok {
				lost[in.Route.Family] = true
			}
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// revert takes one change back, having remembered what it moves, if it can: to be
// killed just now is less likely than a dataDir that will never take a record again.
func (p *pod) revert(base record.Attachment, op plan.Op) error {
	if p.unread { // what is remembered must not be written over
		return p.ns.Revert(op)
	}
	if err := p.journal(base, op); err != nil {
		warn("%v", err)
	}
	return p.ns.Revert(op)
}

// journal remembers the routes of others that a change is about to move.
func (p *pod) journal(base record.Attachment, op plan.Op) error {
	moving := plan.Moves(op)
	if len(moving) == 0 {
		return nil
	}
	base.Moving = append(slices.Clone(base.Moving), moving...)
	return p.store.Save(p.identity, base)
}

func forgetEverywhere(s record.Store, key record.Key) {
	if err := s.RemoveEverywhere(key); err != nil {
		warn("%v", err)
	}
}
