package main

import (
	"errors"
	"slices"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
)

// check reports every deviation from what ADD made. It changes nothing.
func check(args *skel.CmdArgs) error {
	cfg, key, err := chained(args)
	if err != nil {
		return err
	}
	p, err := enter(args, key, cfg, record.Shared)
	if err != nil {
		return err
	}
	defer p.close()
	if wrong := p.deviations(); len(wrong) > 0 {
		return wrong
	}
	return nil
}

// deviations compares the pod with what is remembered of the attachment.
func (p *pod) deviations() state.Deviations {
	if p.mine == nil {
		if _, ok := p.seen.Link(p.key.IfName); !ok {
			return nil // ADD had nothing to do: a virtual function bound to a userspace driver
		}
		return state.Deviations{{Kind: state.Missing, What: "the record of " + p.key.IfName, Want: "one, which ADD wrote", Got: "nothing is remembered of it: ADD again"}}
	}
	in := p.input()
	for _, warning := range plan.Warnings(in) {
		p.warn("%s", warning)
	}
	return slices.Concat(plan.Verify(in), p.outdated(), p.ask(p.mine.State))
}

// outdated compares the source tables with what ADD would make of them now. That goes by the input
// of the last ADD: the prevResult of CHECK is the result of the whole chain.
func (p *pod) outdated() state.Deviations {
	cfg, err := config.Parse(p.mine.Input)
	if err == nil && cfg.Prev == nil {
		err = errors.New("it has no prevResult")
	}
	if err != nil {
		p.warn("the record of %s holds no input that ADD could be repeated with, to compare its tables with main: %v", p.key.IfName, err)
		return nil
	}
	return plan.Outdated(p.inputOf(cfg))
}
