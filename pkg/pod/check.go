package pod

import (
	"errors"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/state"
)

// Check compares the pod with what is remembered of the attachment, and asks the kernel. It changes
// nothing.
//
// Its error is state.Deviations, with every deviation from what Add made. Any other says that it could
// not tell: it wraps ErrRecord or kernel.ErrUnsteady, or is of the system.
func (p *Pod) Check() error {
	in, err := p.read()
	if err != nil {
		return err
	}
	if wrong := p.deviations(in); len(wrong) > 0 {
		return wrong
	}
	return nil
}

func (p *Pod) deviations(in plan.Input) state.Deviations {
	if in.Mine == nil {
		if _, ok := in.Seen.Link(in.Key.IfName); !ok {
			return nil // ADD had nothing to do: a virtual function bound to a userspace driver
		}
		return state.Deviations{{
			Kind: state.Missing, What: "the record of " + in.Key.IfName,
			Want: "one, which ADD wrote", Got: "nothing is remembered of it: ADD again",
		}}
	}
	for _, warning := range plan.Warnings(in) {
		p.call.note("%s", warning)
	}
	return slices.Concat(plan.Verify(in), p.outdated(in), p.ask(in, in.Mine.State))
}

// outdated compares the source tables with what ADD would make of them now. That goes by the input
// of the last ADD: the prevResult of CHECK is the result of the whole chain.
func (p *Pod) outdated(in plan.Input) state.Deviations {
	cfg, err := config.Parse(in.Mine.Input)
	if err == nil && cfg.Prev == nil {
		err = errors.New("it has no prevResult")
	}
	if err != nil {
		p.call.note("the record of %s holds no input that ADD could be repeated with, to compare its tables with main: %v",
			in.Key.IfName, err)
		return nil
	}
	in.Config, in.InPod = cfg, p.inPod(cfg)
	return plan.Outdated(in)
}
