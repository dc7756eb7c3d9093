package state

import (
	"net/netip"

	"github.com/symroute/symroute/pkg/fib"
)

// This file is about what several attachments have together.

// Tables are the tables of all states.
func Tables(states []State) map[uint32]bool {
	out := map[uint32]bool{}
	for _, s := range states {
		for _, table := range s.Tables() {
			out[table] = true
		}
	}
	return out
}

// RoutedNICs are the NICs that have a source table of a family.
func RoutedNICs(states []State, f fib.Family) map[int]bool {
	out := map[int]bool{}
	for _, s := range states {
		for _, n := range s.NICs {
			if n.Role != Replies && n.IsRouted(f) {
				out[n.Index] = true
			}
		}
	}
	return out
}

// Sources are the sources of all attachments.
func Sources(states []State) map[netip.Prefix]bool {
	out := map[netip.Prefix]bool{}
	for _, s := range states {
		for _, n := range s.NICs {
			for _, t := range n.Tables {
				for _, source := range t.Sources {
					out[source.Prefix] = true
				}
			}
		}
	}
	return out
}
