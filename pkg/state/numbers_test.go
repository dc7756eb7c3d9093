package state_test

import (
	"testing"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// TestSteps: each source has its steps one behind the other, before those of any shorter prefix,
// and all stand between the anchor with the places for marks and the rules for bound sockets.
func TestSteps(t *testing.T) {
	steps := []state.Step{state.StepViaMain, state.StepLookup, state.StepDisplaced, state.StepNoGateway}
	for _, f := range fib.Families() {
		last := state.Anchor + 9
		for bits := f.Bits(); bits >= 0; bits-- {
			for _, step := range steps {
				priority := step.Priority(bits, f.Bits())
				if priority <= last || priority >= state.BoundPriority {
					t.Errorf("%s: step %d of a /%d is at %d, behind %d", f, step, bits, priority, last)
				}
				last = priority
			}
		}
	}
}

// TestRulesAreToldApart: a rule is of one sort at most, and never where it is somebody else's.
func TestRulesAreToldApart(t *testing.T) {
	host := fib.Host(fib.OffLink(fib.V4)[0])
	sorts := map[string]func(fib.Rule) bool{
		"source": state.IsSource, "bound": state.IsBound, "decision": state.IsDecision,
		"anchor": state.IsAnchor, "guard": state.IsGuard, "fallback": state.IsFallback,
	}
	for want, r := range map[string]fib.Rule{
		"source":        {Priority: 40012, From: host, Action: fib.Lookup, Table: 7300},
		"bound":         {Priority: state.BoundPriority, OIF: "net1", Action: fib.Lookup, Table: 7300},
		"decision":      {Priority: 32765, From: host, Action: fib.Goto, Target: state.Anchor},
		"anchor":        {Priority: state.Anchor, Action: fib.Nop},
		"guard":         {Priority: state.GuardPriority, From: host, Action: fib.Unreachable},
		"fallback":      {Priority: state.FallbackPriority + 3, Action: fib.Lookup, Table: 7300},
		"none: refusal": {Priority: 40015, From: host, Action: fib.Unreachable},
		"none: viaMain": {Priority: 40011, From: host, To: host, Action: fib.Lookup, Table: state.MainTable},
		"none: main":    {Priority: state.BoundMainPriority, OIF: "net1", Action: fib.Lookup, Table: state.MainTable},
	} {
		theirs := r
		r.Protocol, theirs.Protocol = state.Protocol, state.Protocol-1
		for sort, is := range sorts {
			if is(r) != (sort == want) {
				t.Errorf("%s %q: as %s it counts: %t", want, r, sort, is(r))
			}
			if is(theirs) {
				t.Errorf("%q is somebody else's, and no %s of ours", theirs, sort)
			}
		}
	}
}
