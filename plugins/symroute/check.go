package main

import (
	"github.com/containernetworking/cni/pkg/skel"

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
	return append(plan.Verify(in), p.ask(p.mine.State)...)
}
