package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/symroute/symroute/pkg/config"
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
	p, err := enterToRemove(args, key, conf)
	if errors.Is(err, kernel.ErrGone) {
		forgetEverywhere(record.NewStore(conf.DataDir, config.DefaultDataDir), key, subjectOf(args, key))
		return nil
	}
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.findRenamed(); err != nil {
		return fmt.Errorf("DEL is not complete, call it again: %w", err)
	}
	another := p.belongsToAnother()
	if p.mine == nil && !p.unread || another {
		forgetEverywhere(p.store, key, p.subject) // of a namespace that stood at this path before
	}
	if another {
		return nil
	}
	return p.remove()
}

// findRenamed makes the attachment of the container's interface our own whatever network it is
// remembered of: a network can be renamed between ADD and DEL.
func (p *pod) findRenamed() error {
	i := slices.IndexFunc(p.others, func(a record.Attachment) bool {
		return a.ContainerID == p.key.ContainerID && a.IfName == p.key.IfName
	})
	if p.mine != nil || i < 0 {
		return nil
	}
	renamed := p.others[i]
	p.warn("it was attached to network %q: that is taken back", renamed.Network)
	p.mine, p.key, p.others = &renamed, renamed.Key, slices.Delete(p.others, i, i+1)
	return p.observeMore()
}

// belongsToAnother reports, and says, whether another attachment has the interface now: the rules
// that bear its name are that one's.
func (p *pod) belongsToAnother() bool {
	for _, a := range p.others {
		if p.mine == nil && a.IfName == p.key.IfName {
			p.warn("nothing is removed: %s belongs to container %s of network %q by now", a.IfName, a.ContainerID, a.Network)
			return true
		}
	}
	prefix, ok := kernel.Ambiguous(p.identity)
	if !ok {
		return false
	}
	latest, err := p.store.Latest(prefix, p.key.IfName)
	if err != nil {
		p.warn("%v", err)
	}
	return latest != "" && latest != p.identity
}

func (p *pod) remove() error {
	if err := p.recover(); err != nil {
		return fmt.Errorf("DEL is not complete, call it again: %w", err)
	}
	if p.mine != nil {
		if p.mine.Lost {
			p.warn("its record was lost or damaged: its rules and routes are removed, settings, tunnels and the main table stay as they are")
		}
		if err := p.revert(); err != nil {
			return fmt.Errorf("DEL is not complete, call it again: %w", err)
		}
	}
	if p.unread {
		p.warn("what is remembered is kept: DEL once more takes back the rest, or the pod takes it with it")
		return nil
	}
	if err := p.store.Remove(p.identity, p.key); err != nil {
		p.warn("%v", err)
	}
	return nil
}

// recover finds what the kernel tells of an attachment of which nothing is remembered.
func (p *pod) recover() error {
	if p.mine != nil {
		return nil
	}
	routes, err := p.ns.AllRoutes()
	if err != nil {
		return err
	}
	p.mine = plan.Recover(p.input(), routes)
	if p.mine == nil {
		return nil
	}
	for _, note := range plan.LeftBehind(p.input()) {
		p.warn("%s", note)
	}
	return p.observeMore()
}

// revert carries out the removal, up to the first change that fails: the record stays, by
// which the next DEL finds the rest. What can never come back is told and no reason to fail.
func (p *pod) revert() error {
	for _, c := range plan.Removal(p.input()) {
		err := p.ns.Revert(c)
		if errors.Is(err, kernel.ErrNoReturn) {
			p.warn("%v", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func forgetEverywhere(s record.Store, key record.Key, subject string) {
	if err := s.RemoveEverywhere(key); err != nil {
		warn(subject, "%v", err)
	}
}
