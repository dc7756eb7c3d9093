// Package audit checks and repairs the attachments of a node, by what symroute remembers of them, and
// reports on them for people and programs.
package audit

import (
	"context"
	"slices"

	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/pod"
	"github.com/symroute/symroute/pkg/state"
)

// Report is what a check has found. Its keys are for programs: they stay.
type Report struct {
	Summary Summary `json:"summary"`
	Items   []Item  `json:"items"`
	// Unread says which records could not be read, and why: nobody knows what they are of.
	Unread string `json:"unread,omitempty"`
}

// Verdict is what the report says as a whole: Deviating if anything does, else Unknown if anything could not
// be told.
func (r Report) Verdict() pod.Verdict {
	switch {
	case r.Summary.Deviating > 0:
		return pod.Deviating
	case r.Summary.Unknown > 0, r.Unread != "":
		return pod.Unknown
	}
	return pod.Symmetric
}

// Summary counts attachments by their state, and the pods that they are of.
type Summary struct {
	Attachments int `json:"attachments"`
	Pods        int `json:"pods"`
	Symmetric   int `json:"symmetric"`
	Deviating   int `json:"deviating"`
	Gone        int `json:"gone"`
	Unknown     int `json:"unknown"`
}

// Subject names an attachment.
type Subject struct {
	Namespace   string `json:"namespace"`
	Pod         string `json:"pod"`
	ContainerID string `json:"containerID"`
	Interface   string `json:"interface"`
	Network     string `json:"network"`
}

// Item is what was found of one attachment.
type Item struct {
	Subject
	// State is "symmetric", "deviating", "gone" or "unknown".
	State      string      `json:"state"`
	Deviations []Deviation `json:"deviations"`
	// Reason says why it is gone or unknown.
	Reason string   `json:"reason,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// Deviation is one thing that is not as it shall be, with the code of CHECK's error (docs/errors.md).
type Deviation struct {
	Code    uint   `json:"code"`
	What    string `json:"what"`
	Want    string `json:"want"`
	Got     string `json:"got"`
	Decides string `json:"decides,omitempty"`
	// Kind is for programs that decide by it what to do.
	Kind state.Kind `json:"-"`
}

// Check checks all attachments of pods. After each namespace done is told how many have been checked so
// far; it may be nil.
func Check(ctx context.Context, pods []node.Pod, done func(checked int)) Report {
	subjects, calls := callsOf(pods)
	report := Report{Items: []Item{}}
	report.Summary.Pods = len(pods)
	for i, f := range pod.Audit(calls, ctx.Err, done) {
		item := Item{Subject: subjects[i], State: f.Verdict.String(), Deviations: deviations(f.Deviations), Notes: f.Notes}
		if f.Err != nil {
			item.Reason = f.Err.Error()
		}
		report.Items = append(report.Items, item)
		report.Summary.count(f.Verdict)
	}
	return report
}

func (s *Summary) count(v pod.Verdict) {
	s.Attachments++
	switch v {
	case pod.Symmetric:
		s.Symmetric++
	case pod.Deviating:
		s.Deviating++
	case pod.Gone:
		s.Gone++
	case pod.Unknown:
		s.Unknown++
	}
}

// callsOf are the calls for all attachments of pods, by what finds their records.
func callsOf(pods []node.Pod) ([]Subject, []pod.Call) {
	var subjects []Subject
	var calls []pod.Call
	for _, p := range pods {
		for _, a := range p.Attachments {
			subjects = append(subjects, Subject{p.Kubernetes.Namespace, p.Kubernetes.Name, a.ContainerID, a.IfName, a.Network})
			calls = append(calls, pod.Call{Key: a.Key, Netns: p.Netns, Namespace: p.Identity, Pod: p.Kubernetes, DataDir: a.DataDir})
		}
	}
	return subjects, calls
}

// deviations are sorted as CHECK chooses its code: the most telling first.
func deviations(found state.Deviations) []Deviation {
	found = slices.Clone(found)
	slices.SortStableFunc(found, func(a, b state.Deviation) int { return int(a.Kind) - int(b.Kind) })
	out := make([]Deviation, len(found))
	for i, d := range found {
		out[i] = Deviation{state.Code(d.Kind), d.What, d.Want, d.Got, d.Decides, d.Kind}
	}
	return out
}

// Changed is an attachment whose state, or whose deviations, are not those of an earlier report.
type Changed struct {
	Item
	// Was is the state that it had; "" for one that was not there.
	Was string
}

// Since are the attachments that have changed since an earlier report. One that is not there any more was
// detached, and counts as gone.
func (r Report) Since(earlier Report) []Changed {
	before := map[Subject]Item{}
	for _, item := range earlier.Items {
		before[item.Subject] = item
	}
	var out []Changed
	for _, item := range r.Items {
		was, known := before[item.Subject]
		delete(before, item.Subject)
		if !known || was.State != item.State || !slices.Equal(was.Deviations, item.Deviations) {
			out = append(out, Changed{item, was.State})
		}
	}
	for _, item := range earlier.Items {
		if _, left := before[item.Subject]; left && item.State != StateGone {
			was := item.State
			item.State, item.Deviations, item.Reason = StateGone, []Deviation{}, "nothing is remembered of it any more"
			out = append(out, Changed{item, was})
		}
	}
	return out
}
