package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kind is what sort of deviation CHECK found.
type Kind int

// The kinds, the most telling first: an interface that is down explains why its routes
// are gone, and a missing rule why routing is not symmetric.
const (
	Down       Kind = iota // an interface is not there or carries nothing: nothing can be put back before it does
	Missing                // a rule of ours is not there, which no change of a link takes
	Lost                   // an address, a route or a tunnel is not there, as links and addresses take them
	Foreign                // somebody else's rule or route stands in the way of ours
	Setting                // rp_filter or an ARP setting is not as configured
	Asymmetric             // the kernel answers a symmetry question wrongly
)

// Deviation is one thing that is not as it shall be.
type Deviation struct {
	Kind Kind
	// What it is about, what was wanted and what is there.
	What, Want, Got string
	// Decides is the rule or route that makes it so; empty where none does.
	Decides string
}

func (d Deviation) String() string {
	s := fmt.Sprintf("%s: want %s, got %s", d.What, d.Want, d.Got)
	if d.Decides != "" {
		s += "; decided by " + d.Decides
	}
	return s
}

// Deviations is every deviation that was found, as one error.
type Deviations []Deviation

func (d Deviations) Error() string {
	if len(d) == 1 {
		return d[0].String()
	}
	return fmt.Sprintf("%d deviations; the first: %s", len(d), d.First())
}

// First is the deviation that most likely explains the others.
func (d Deviations) First() Deviation {
	return slices.MinFunc(d, func(a, b Deviation) int { return cmp.Compare(a.Kind, b.Kind) })
}

// Details lists all of them, a line each.
func (d Deviations) Details() string {
	lines := make([]string, len(d))
	for i, x := range d {
		lines[i] = x.String()
	}
	return strings.Join(lines, "\n")
}
