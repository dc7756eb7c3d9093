package pod

import (
	"errors"
	"fmt"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
)

// Del takes back what Add of this attachment made. Runtimes call it more than once, without a result:
// a failure here would keep the plugins before us from freeing what they hold. So all that cannot be
// helped is a note. It needs no configuration and reads none.
//
// Its error is of the system, or wraps kernel.ErrUnsteady: what was not taken back is remembered, and
// Del can be called again.
func (p *Pod) Del() error {
	remembered, unread := p.remembered()
	if unread != nil {
		p.call.note("%v", unread)
	}
	in, err := p.observe(p.input(nil, remembered))
	if err != nil {
		return err
	}
	if in, err = p.findRenamed(in); err != nil {
		return notComplete(err)
	}
	another := p.belongsToAnother(in)
	if in.Mine == nil && unread == nil || another {
		p.call.forgetIn(p.store) // of a namespace that stood at this path before
	}
	if another {
		return nil
	}
	if err := p.takeBack(in); err != nil {
		return notComplete(err)
	}
	if unread != nil {
		p.call.note("what is remembered is kept: DEL once more takes back the rest, or the pod takes it with it")
	} else if err := p.store.Remove(p.identity, in.Key); err != nil {
		p.call.note("%v", err)
	}
	return nil
}

func notComplete(err error) error { return fmt.Errorf("DEL is not complete, call it again: %w", err) }

// Forget forgets the attachment of a call whose namespace is gone. What fails is a note.
func (c Call) Forget() { c.forgetIn(record.NewStore(c.DataDir, config.DefaultDataDir)) }

func (c *Call) forgetIn(s record.Store) {
	if err := s.RemoveEverywhere(c.Key); err != nil {
		c.note("%v", err)
	}
}

// findRenamed makes the attachment of the container's interface our own whatever network it is
// remembered of: a network can be renamed between ADD and DEL.
func (p *Pod) findRenamed(in plan.Input) (plan.Input, error) {
	i := slices.IndexFunc(in.Others, func(a record.Attachment) bool {
		return a.ContainerID == in.Key.ContainerID && a.IfName == in.Key.IfName
	})
	if in.Mine != nil || i < 0 {
		return in, nil
	}
	renamed := in.Others[i]
	p.call.note("it was attached to network %q: that is taken back", renamed.Network)
	in.Mine, in.Key, in.Others = &renamed, renamed.Key, slices.Delete(in.Others, i, i+1)
	return in, p.observeMore(in)
}

// belongsToAnother reports, and says, whether another attachment has the interface now: the rules
// that bear its name are that one's.
func (p *Pod) belongsToAnother(in plan.Input) bool {
	for _, a := range in.Others {
		if in.Mine == nil && a.IfName == in.Key.IfName {
			p.call.note("nothing is removed: %s belongs to container %s of network %q by now", a.IfName, a.ContainerID, a.Network)
			return true
		}
	}
	prefix, ok := kernel.Ambiguous(p.identity)
	if !ok {
		return false
	}
	latest, err := p.store.Latest(prefix, in.Key.IfName)
	if err != nil {
		p.call.note("%v", err)
	}
	return latest != "" && latest != p.identity
}

// takeBack removes what the attachment has.
func (p *Pod) takeBack(in plan.Input) error {
	in, err := p.recover(in)
	if err != nil || in.Mine == nil {
		return err
	}
	if in.Mine.Lost {
		p.call.note("its record was lost or damaged: its rules and routes are removed, " +
			"settings, tunnels and the main table stay as they are")
	}
	return p.revert(in)
}

// recover finds what the kernel tells of an attachment of which nothing is remembered.
func (p *Pod) recover(in plan.Input) (plan.Input, error) {
	if in.Mine != nil {
		return in, nil
	}
	routes, err := p.ns.AllRoutes()
	if err != nil {
		return in, err
	}
	in.Mine = plan.Recover(in, routes)
	if in.Mine == nil {
		return in, nil
	}
	for _, note := range plan.LeftBehind(in) {
		p.call.note("%s", note)
	}
	return in, p.observeMore(in)
}

// revert carries out the removal, up to the first change that fails: the record stays, by
// which the next DEL finds the rest. What can never come back is told and no reason to fail.
func (p *Pod) revert(in plan.Input) error {
	for _, c := range plan.Removal(in) {
		err := p.ns.Revert(c)
		if errors.Is(err, kernel.ErrNoReturn) {
			p.call.note("%v", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
