package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/tables"
)

// gatewayNotes tells of the attachment's NICs for which no gateway of a family is known.
func gatewayNotes(nics []tables.NIC) []string {
	var notes []string
	for _, n := range nics {
		for _, f := range fib.Families() {
			has := func(is func(state.Source) bool) bool {
				return slices.ContainsFunc(n.Sources, func(x state.Source) bool { return x.Family() == f && is(x) })
			}
			if n.Role == state.Attached && has(func(state.Source) bool { return true }) && !has(func(x state.Source) bool { return len(x.Exit) > 0 }) {
				notes = append(notes, fmt.Sprintf("no %s gateway of %s is known: what its addresses send reaches no further than its own subnets; "+
					"name one in \"gateways\", or ADD again when main has a default by %s", f, n.Link.Name, n.Link.Name))
			}
		}
	}
	return notes
}

// linkNotes tells of the NICs that nothing passes now, which is no reason for ADD to fail.
func linkNotes(seen *fib.Snapshot, nics []tables.NIC) []string {
	var notes []string
	for _, n := range nics {
		for _, a := range duplicates(seen, n.Link.Index) {
			notes = append(notes, fmt.Sprintf("the address %s of %s is of no use: another host has it, too (duplicate address detection)", a, n.Link.Name))
		}
		switch {
		case n.Role == state.Displaced && !n.Link.Up:
			notes = append(notes, fmt.Sprintf("%s is down: its source table stays empty until ADD is repeated with it up", n.Link.Name))
		case n.Link.Idle != "" && len(n.Tables) > 0:
			notes = append(notes, fmt.Sprintf("%s does not run (%s): all is set up for when it does; the kernel was not asked about it", n.Link.Name, n.Link.Idle))
		}
	}
	return notes
}

// duplicates are the addresses of a NIC that another host of the link has, too.
func duplicates(seen *fib.Snapshot, index int) []string {
	var out []string
	for _, a := range seen.Addresses {
		if a.Index == index && a.Duplicate {
			out = append(out, a.Prefix.Addr().String())
		}
	}
	return out
}

// listed prints what may be many.
func listed(words []string) string {
	const most = 8
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}
