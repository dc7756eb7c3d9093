package audit

import (
	"context"

	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/pod"
	"github.com/symroute/symroute/pkg/preview"
)

// Repairs is what a repair has done. Its keys are for programs: they stay.
type Repairs struct {
	// Checked is how many attachments were looked at. Those that did not deviate are no items.
	Checked int          `json:"checked"`
	Items   []RepairItem `json:"items"`
}

// RepairItem is what became of one attachment.
type RepairItem struct {
	Subject
	// State is "repaired", "deviating" (it still does, or would be repaired), "failed", "gone", "unknown".
	State string `json:"state"`
	// Was are the deviations before, Deviations those that are left.
	Was        []Deviation `json:"was"`
	Deviations []Deviation `json:"deviations"`
	// Commands are those that would repair it, if that was all that was asked for.
	Commands []preview.Command `json:"commands,omitempty"`
	// Reason says why it failed, is gone or unknown.
	Reason string   `json:"reason,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// The states of attachments, as pod.Verdict.String has them, and those of repairs alone.
const (
	StateSymmetric = "symmetric"
	StateDeviating = "deviating"
	StateGone      = "gone"
	StateUnknown   = "unknown"

	StateRepaired = "repaired"
	StateFailed   = "failed"
)

// Repair checks all attachments of pods, and repairs those that deviate, one after the other; release is
// remembered as the one that did. With dry set it changes nothing and says what it would do. Done is that of
// Check.
func Repair(ctx context.Context, pods []node.Pod, release string, dry bool, done func(checked int)) Repairs {
	subjects, calls := callsOf(pods)
	report := Repairs{Checked: len(calls), Items: []RepairItem{}}
	for i, f := range pod.Audit(calls, ctx.Err, done) {
		item := RepairItem{Subject: subjects[i], State: f.Verdict.String(), Was: []Deviation{}, Deviations: []Deviation{}, Notes: f.Notes}
		if f.Err != nil {
			item.Reason = f.Err.Error()
		}
		switch f.Verdict {
		case pod.Symmetric, pod.Gone:
			continue
		case pod.Unknown:
		case pod.Deviating:
			if err := ctx.Err(); err != nil {
				item.State, item.Reason = StateUnknown, err.Error()
				break
			}
			calls[i].Release = release
			r := pod.Repair(calls[i], dry)
			if r.Result == pod.Untouched {
				continue // what was repaired before it was the same thing
			}
			item.became(r)
		}
		report.Items = append(report.Items, item)
	}
	return report
}

// became fills in what became of a repair.
func (i *RepairItem) became(r pod.Outcome) {
	i.Was, i.Deviations, i.Notes = deviations(r.Was), deviations(r.Is), r.Notes
	if r.Err != nil {
		i.Reason = r.Err.Error()
	}
	i.Commands = preview.Commands(r.Preview)
	switch r.Result {
	case pod.Untouched, pod.Unrepaired:
		i.State = StateDeviating
	case pod.Repaired:
		i.State = StateRepaired
	case pod.Failed:
		i.State = StateFailed
	case pod.Vanished:
		i.State = StateGone
	case pod.Untold:
		i.State = StateUnknown
	}
}

// Verdict says in a few words what became of an attachment.
func (i RepairItem) Verdict(dry bool) string {
	switch i.State {
	case StateRepaired:
		return "repaired"
	case StateFailed:
		return "could not be repaired: " + i.Reason
	case StateGone:
		return "gone: " + i.Reason
	case StateUnknown:
		return "could not be checked: " + i.Reason
	}
	switch {
	case dry && len(i.Commands) == 0:
		return "is not ADD's to repair: " + Item{Deviations: i.Was}.First()
	case dry:
		return "would be repaired"
	}
	return "still deviates: " + Item{Deviations: i.Deviations}.First()
}
