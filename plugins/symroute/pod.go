package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

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
	lock     *record.Lock // nil where DEL has to do without
	store    record.Store
	identity string
	key      record.Key
	subject  string         // what messages are about
	cfg      *config.Config // nil for DEL, which needs none
	seen     *fib.Snapshot
	// unread: what is remembered could not be read this time.
	unread bool
	mine   *record.Attachment
	// recovered: mine is not from a record but from what the kernel tells.
	recovered bool
	others    []record.Attachment
	// replaced are attachments whose interface this one has taken over.
	replaced []record.Attachment
}

// enter opens the pod and reads what a verb with a configuration needs of it. The
// caller closes it.
func enter(args *skel.CmdArgs, key record.Key, cfg *config.Config, mode record.LockMode) (*pod, error) {
	return open(args, &pod{key: key, cfg: cfg}, cfg.DataDir, mode)
}

// enterToRemove does the same for DEL.
func enterToRemove(args *skel.CmdArgs, key record.Key, conf *config.Teardown) (*pod, error) {
	return open(args, &pod{key: key}, conf.DataDir, record.Exclusive)
}

func open(args *skel.CmdArgs, p *pod, dataDir string, mode record.LockMode) (*pod, error) {
	p.store, p.subject = record.NewStore(dataDir), subjectOf(args, p.key)
	ns, err := kernel.Enter(args.Netns)
	if err != nil {
		return nil, fmt.Errorf("CNI_NETNS: %w", err)
	}
	p.ns = ns
	if err := p.hold(dataDir, mode); err != nil {
		p.close()
		return nil, err
	}
	if err := p.read(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// hold locks the pod against other invocations. The lock lies in one place for all networks,
// else where this one's records are.
func (p *pod) hold(dataDir string, mode record.LockMode) (err error) {
	if p.identity, err = p.ns.Identity(p.key.ContainerID); err != nil {
		return err
	}
	p.lock, err = record.TakeLock(kernel.LockName(p.identity), mode, config.DefaultDataDir, dataDir)
	switch {
	case err == nil || errors.Is(err, record.ErrBusy):
		return err
	case p.cfg == nil: // a directory that takes no file must not keep the pod from being taken down
		p.warn("%v: going on without the lock", err)
		return nil
	}
	return fmt.Errorf("%w: %w", errRecord, err)
}

// close leaves the pod. The lock goes last, and its file with the last record.
func (p *pod) close() {
	if err := p.ns.Close(); err != nil {
		p.warn("%v", err)
	}
	if p.lock == nil {
		return
	}
	forget := !p.store.Knows(p.identity)
	if err := p.lock.Release(forget); err != nil {
		p.warn("%v", err)
	}
	if forget { // it may have been in another directory before
		p.store.RemoveIdleLock(kernel.LockName(p.identity))
	}
}

func (p *pod) read() error {
	remembered, err := p.store.Load(p.identity)
	switch {
	case errors.Is(err, record.ErrNotUsable):
		// It is not acted on; rules and routes are found without.
		p.warn("%v", err)
	case err != nil && p.cfg != nil:
		return fmt.Errorf("%w: %w", errRecord, err)
	case err != nil:
		p.warn("%v", err)
		p.unread = true
	}
	p.mine, p.others = record.Find(remembered, p.key)
	return p.observe()
}

// takeOver makes the memory of an earlier attachment of the same interface our
// own: its DEL never came, or came to nothing.
func (p *pod) takeOver() {
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
	return p.observeMore()
}

// observeMore reads what depends on what is remembered.
func (p *pod) observeMore() error {
	in := p.input()
	if plan.ReadsARP(in) {
		if err := p.ns.ReadARP(p.seen); err != nil {
			return err
		}
	}
	return p.ns.ReadTables(p.seen, plan.Tables(in)...)
}

// input is what a plan depends on.
func (p *pod) input() plan.Input { return p.inputOf(p.cfg) }

// inputOf is the same with another configuration.
func (p *pod) inputOf(cfg *config.Config) plan.Input {
	in := plan.Input{
		Config: cfg,
		Key:    p.key,
		Seen:   p.seen,
		Mine:   p.mine,
		Others: p.others,
		Routes: p.ns.Table,
		Node:   kernel.AddressOfNode,
	}
	if cfg != nil && cfg.Prev != nil {
		for _, itf := range cfg.Prev.Interfaces {
			// Some plugins name no sandbox for the interface they were called for.
			itsOwn := itf.Name == p.key.IfName && itf.Sandbox == ""
			in.InPod = append(in.InPod, itsOwn || p.ns.Holds(itf.Sandbox))
		}
	}
	return in
}

// chained parses the configuration of a verb that needs a result to work on. With config.Faults it
// returns what could be read.
func chained(args *skel.CmdArgs) (*config.Config, record.Key, error) {
	cfg, err := config.Parse(args.StdinData)
	faults, isFaulty := errors.AsType[config.Faults](err)
	if err != nil && !isFaulty {
		return nil, record.Key{}, err
	}
	if cfg.Prev == nil && !faults.On("prevResult") {
		faults = append(faults, config.Fault{Path: "prevResult", Problem: "symroute must be chained: put it behind an interface plugin in \"plugins\""})
	}
	return cfg, keyOf(args, cfg.Network), faults.OrNone()
}

func keyOf(args *skel.CmdArgs, network string) record.Key {
	return record.Key{Network: network, ContainerID: args.ContainerID, IfName: args.IfName}
}

// podOf is the Kubernetes pod that CNI_ARGS names. Its keys may be repeated.
func podOf(args *skel.CmdArgs) (p record.Pod) {
	for pair := range strings.SplitSeq(args.Args, ";") {
		switch key, value, _ := strings.Cut(pair, "="); key {
		case "K8S_POD_NAMESPACE":
			p.Namespace = value
		case "K8S_POD_NAME":
			p.Name = value
		}
	}
	return p
}

// subjectOf names the attachment for messages.
func subjectOf(args *skel.CmdArgs, key record.Key) string {
	if pod := podOf(args); pod.Name != "" {
		return fmt.Sprintf("network %s, %s of pod %s/%s", key.Network, key.IfName, pod.Namespace, pod.Name)
	}
	return fmt.Sprintf("network %s, %s of container %s", key.Network, key.IfName, key.ContainerID)
}

// warn tells the operator something that is no error. Standard output is the
// runtime's.
func (p *pod) warn(format string, values ...any) { warn(p.subject, format, values...) }

func warn(subject, format string, values ...any) {
	fmt.Fprintf(os.Stderr, "symroute: %s: %s\n", subject, oneLine(fmt.Sprintf(format, values...)))
}
