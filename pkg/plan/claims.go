package plan

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/tables"
)

// claims are what speaks against a source: that another NIC has it, or would lose an address
// to it.
type claims struct {
	situation
	sources  map[netip.Prefix][]fib.Rule // the source rules that are not the attachment's own
	owners   func() map[uint32]string
	deciding func() map[netip.Prefix]map[string]bool
}

func (s situation) claims() claims {
	c := claims{situation: s, sources: map[netip.Prefix][]fib.Rule{}, owners: sync.OnceValue(s.tableOwners), deciding: sync.OnceValue(s.deciding)}
	for _, r := range s.Seen.Rules {
		if state.IsSource(r) && !s.ownTables[r.Table] {
			c.sources[r.From] = append(c.sources[r.From], r)
		}
	}
	return c
}

// against refuses a source that another NIC has: a packet from it could leave by one of
// them only.
func (c claims) against(n tables.NIC, source state.Source) error {
	for _, r := range c.sources[source.Prefix] {
		owner, known := c.owners()[r.Table]
		if !known {
			owner = "another attachment"
		}
		if owner != n.Link.Name || n.Role == state.Replies {
			return fmt.Errorf("%w: the source %s of %s belongs to %s already (rule %q)", state.ErrUnfit, fib.PrefixText(source.Prefix), n.Link.Name, owner, r)
		}
	}
	if a, other, ok := c.takenAlong(n.Link.Index, source.Prefix); ok {
		return fmt.Errorf("%w: the source %s of %s takes the address %s of %s with it",
			state.ErrUnfit, fib.PrefixText(source.Prefix), n.Link.Name, a.Prefix.Addr(), other.Name)
	}
	return nil
}

// takenAlong finds an address of another NIC that a source holds and that has no source rule
// of its own.
func (c claims) takenAlong(index int, source netip.Prefix) (fib.Address, fib.Link, bool) {
	for _, a := range c.Seen.Addresses {
		if a.Index == index || !source.Contains(a.Prefix.Addr()) {
			continue
		}
		other, ok := c.Seen.LinkAt(a.Index)
		meant := other.Loopback || fib.IsHost(source) && lvs.Silent(other) // a VIP, by its own name
		if !ok || meant {
			continue
		}
		if !c.deciding()[fib.Host(a.Prefix.Addr())][other.Name] {
			return a, other, true
		}
	}
	return fib.Address{}, fib.Link{}, false
}

// deciding are the NICs whose source rules decide for a source. Those of an address come before
// those of any prefix.
func (s situation) deciding() map[netip.Prefix]map[string]bool {
	owners := s.tableOwners()
	out := map[netip.Prefix]map[string]bool{}
	for _, r := range s.Seen.Rules {
		if !state.IsSource(r) {
			continue
		}
		if out[r.From] == nil {
			out[r.From] = map[string]bool{}
		}
		out[r.From][owners[r.Table]] = true
	}
	return out
}

// tableOwners names the NICs that source tables are for, by their records, else by the rules
// for sockets bound to them.
func (s situation) tableOwners() map[uint32]string {
	owners := map[uint32]string{}
	for _, o := range s.otherStates() {
		for _, n := range o.NICs {
			name := n.Name
			if l, there := s.Seen.LinkAt(n.Index); there {
				name = l.Name
			}
			for _, t := range n.Tables {
				owners[t.Number] = name
			}
		}
	}
	for _, r := range s.Seen.Rules {
		if _, known := owners[r.Table]; !known && state.IsBound(r) {
			owners[r.Table] = r.OIF
		}
	}
	return owners
}
