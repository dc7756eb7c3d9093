package pod

import (
	"fmt"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
)

// Preview is what Add would do in a pod.
type Preview struct {
	// Changes are in the order in which Add makes them.
	Changes []change.Change
	// Notes are what Add would note.
	Notes []string
	// Seen is the pod as it is.
	Seen *fib.Snapshot
	// Idle is set where the interface of the attachment is no device of the pod: Add does nothing then.
	Idle bool
}

// PreviewIn says what Add would do in a pod, without doing it: one that was opened to check will do. Its
// errors are those of Add.
func PreviewIn(p *Pod) (Preview, error) {
	in, err := p.read()
	if err != nil {
		return Preview{}, err
	}
	if in, _, err = p.recall(in); err != nil {
		return Preview{}, err
	}
	return PreviewOf(in)
}

// PreviewOf says what Add would do in a pod that is given, and need not exist.
func PreviewOf(in plan.Input) (Preview, error) {
	desired, err := plan.Build(in)
	if err != nil {
		return Preview{}, err
	}
	out := Preview{Notes: desired.Notes, Seen: in.Seen, Idle: len(desired.State.NICs) == 0}
	if out.Idle {
		return out, nil
	}
	if len(in.Config.Prev.IPs) > 0 && len(desired.State.NICs[0].Tables) == 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("none of the addresses in prevResult is %s's: it gets no source rules", in.Key.IfName))
	}
	out.Changes = plan.Changes(in, desired)
	return out, nil
}
