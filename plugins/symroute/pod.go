package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
)

// pod is the namespace of one invocation, entered and locked, with what was
// seen of it and what is remembered of it.
type pod struct {
	ns       *kernel.Namespace
	store    record.Store
	identity string
	key      record.Key
	cfg      *config.Config // nil for DEL, which needs none
	seen     *fib.Snapshot
	// unread: what is remembered could not be read this time.
	unread bool
	mine   *record.Attachment
	others []record.Attachment
	// replaced are attachments whose interface this one has taken over.
	replaced []record.Attachment
}

// enter opens the pod and reads what a verb with a configuration needs of it. The
// caller closes it.
func enter(args *skel.CmdArgs, key record.Key, cfg *config.Config, lock kernel.Lock) (*pod, error) {
	return open(args, &pod{store: record.NewStore(cfg.DataDir), key: key, cfg: cfg}, lock)
}

// enterToRemove does the same for DEL.
func enterToRemove(args *skel.CmdArgs, key record.Key, conf *config.Teardown, lock kernel.Lock) (*pod, error) {
	return open(args, &pod{store: record.NewStore(conf.DataDir), key: key}, lock)
}

func open(args *skel.CmdArgs, p *pod, lock kernel.Lock) (*pod, error) {
	ns, err := kernel.Enter(args.Netns, lock)
	if err != nil {
		return nil, fmt.Errorf("CNI_NETNS: %w", err)
	}
	p.ns = ns
	if err := p.read(); err != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return p, nil
}

func (p *pod) close() {
	if err := p.ns.Close(); err != nil {
		warn("%v", err)
	}
}

func (p *pod) read() (err error) {
	if p.identity, err = p.ns.Identity(p.key.ContainerID); err != nil {
		return err
	}
	remembered, err := p.store.Load(p.identity)
	switch {
	case errors.Is(err, record.ErrNotUsable):
		// It is not acted on; rules and routes are found without.
		warn("%v", err)
	case err != nil && p.cfg != nil:
		return fmt.Errorf("%w: %w", errRecord, err)
	case err != nil:
		warn("%v", err)
		p.unread = true
	}
	p.mine, p.others = record.Find(remembered, p.key)
	return p.observe()
}

// takeOver makes the memory of an earlier attachment of the same interface our
// own: its DEL never came, or came to nothing, and its rules are found by the
// interface's name.
func (p *pod) takeOver() {
	if p.mine != nil {
		return
	}
	var others []record.Attachment
	for _, a := range p.others {
		if a.IfName != p.key.IfName {
			others = append(others, a)
			continue
		}
		p.replaced = append(p.replaced, a)
		if p.mine == nil {
			a.Key = p.key
			p.mine = &a
		}
	}
	p.others = others
}

// observe reads the namespace, with the source tables that matter.
func (p *pod) observe() (err error) {
	if p.seen, err = p.ns.Observe(); err != nil {
		return err
	}
	in := p.input()
	if plan.ReadsARP(in) {
		if err := p.ns.ReadARP(p.seen); err != nil {
			return err
		}
	}
	return p.ns.ReadTables(p.seen, plan.Tables(in)...)
}

// input is what a plan depends on.
func (p *pod) input() plan.Input {
	in := plan.Input{
		Config: p.cfg,
		Key:    p.key,
		Seen:   p.seen,
		Mine:   p.mine,
		Others: p.others,
		Vacant: p.ns.Vacant,
	}
	if p.cfg != nil && p.cfg.Prev != nil {
		for _, itf := range p.cfg.Prev.Interfaces {
			// Some plugins name no sandbox for the interface they were called for.
			itsOwn := itf.Name == p.key.IfName && itf.Sandbox == ""
			in.InPod = append(in.InPod, itsOwn || p.ns.Holds(itf.Sandbox))
		}
	}
	return in
}

// chained parses the configuration of a verb that needs a result to work on.
func chained(args *skel.CmdArgs) (*config.Config, record.Key, error) {
	cfg, err := config.Parse(args.StdinData)
	if err != nil {
		return nil, record.Key{}, err
	}
	if cfg.Prev == nil {
		return nil, record.Key{}, config.Faults{{Path: "prevResult", Problem: "symroute must be chained: put it behind an interface plugin in \"plugins\""}}
	}
	return cfg, keyOf(args, cfg.Network), nil
}

func keyOf(args *skel.CmdArgs, network string) record.Key {
	return record.Key{Network: network, ContainerID: args.ContainerID, IfName: args.IfName}
}

// warn tells the operator something that is no error. Standard output is the
// runtime's.
func warn(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "symroute: "+format+"\n", values...)
}
