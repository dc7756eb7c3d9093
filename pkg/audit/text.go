package audit

import (
	"fmt"
	"strings"

	"github.com/symroute/symroute/pkg/pod"
)

// headlineWidth is what node-problem-detector keeps of the output of a plugin (max_output_length).
const headlineWidth = 80

// String names an attachment.
func (s Subject) String() string { return s.PodName() + " " + s.Interface }

// PodName names its pod, as well as it is known.
func (s Subject) PodName() string {
	if s.Pod == "" {
		return "container " + s.ContainerID
	}
	return s.Namespace + "/" + s.Pod
}

// Headline says in one line of at most 80 characters how it stands.
func (r Report) Headline() string {
	s := r.Summary
	switch {
	case s.Deviating > 0:
		return r.headline(fmt.Sprintf("PROBLEM: %d of %s %s", s.Deviating, attachments(s.Attachments), verb(s.Deviating, "deviates", "deviate")), pod.Deviating)
	case s.Unknown > 0:
		return r.headline(fmt.Sprintf("UNKNOWN: %d of %s could not be checked", s.Unknown, attachments(s.Attachments)), pod.Unknown)
	case r.Unread != "":
		return fmt.Sprintf("UNKNOWN: not all records could be read; of the others %d %s symmetric", s.Symmetric, verb(s.Symmetric, "is", "are"))
	case s.Attachments == 0:
		return "OK: symroute has no attachments here"
	case s.Symmetric == 0:
		return fmt.Sprintf("OK: %s %s gone", attachments(s.Gone), verb(s.Gone, "is", "are"))
	case s.Gone > 0:
		return fmt.Sprintf("OK: %s %s symmetric, %d %s gone",
			attachments(s.Symmetric), verb(s.Symmetric, "is", "are"), s.Gone, verb(s.Gone, "is", "are"))
	}
	return fmt.Sprintf("OK: %s of %s %s symmetric", attachments(s.Attachments), counted(s.Pods, "pod"), verb(s.Attachments, "is", "are"))
}

// headline is the beginning of one, and as many names of a state as fit behind it.
func (r Report) headline(line string, of pod.Verdict) string {
	const more = ", ..."
	var names []string
	for _, item := range r.Items {
		if item.State == of.String() {
			names = append(names, item.String())
		}
	}
	fits := func(names []string, tail string) bool {
		return len(line)+len(": ")+len(strings.Join(names, ", "))+len(tail) <= headlineWidth
	}
	if fits(names, "") {
		return line + ": " + strings.Join(names, ", ")
	}
	for n := len(names) - 1; n > 0; n-- {
		if fits(names[:n], more) {
			return line + ": " + strings.Join(names[:n], ", ") + more
		}
	}
	return line
}

func attachments(n int) string { return counted(n, "attachment") }

func counted(n int, what string) string { return fmt.Sprintf("%d %s", n, verb(n, what, what+"s")) }

func verb(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// First is what explains an item best, in one line: its first deviation with the number of the others,
// or the reason; "" where there is nothing to explain.
func (i Item) First() string {
	switch len(i.Deviations) {
	case 0:
		return i.Reason
	case 1:
		return i.Deviations[0].String()
	}
	return fmt.Sprintf("%s (and %d more)", i.Deviations[0], len(i.Deviations)-1)
}

// Code is the code of an item, as CHECK's error would have it; "" where it has none.
func (i Item) Code() string {
	if len(i.Deviations) == 0 {
		return ""
	}
	return fmt.Sprint(i.Deviations[0].Code)
}

func (d Deviation) String() string {
	s := fmt.Sprintf("%s: want %s, got %s", d.What, d.Want, d.Got)
	if d.Decides != "" {
		s += "; decided by " + d.Decides
	}
	return s
}
