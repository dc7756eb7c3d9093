package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// rules lists the rules of a NIC's tables. All have one priority, by default
// the last before main (32766): policies of others, such as a service mesh's for
// marked packets, have to stand before them, and Istio's ambient mode has
// priority 32764 for its own (istio/istio, cni/pkg/iptables). Within a priority
// the kernel asks rules in the order of their addition: see move.go.
func rules(in Input, n NIC) []fib.Rule {
	var out []fib.Rule
	p := in.Config.Priority
	if n.displaced {
		p = config.DefaultPriority
	}
	for _, t := range n.Tables {
		for _, f := range t.Families() {
			owner := fib.Rule{Family: f, Priority: p, OIF: n.Link.Name, Action: fib.Lookup, Table: t.Number, Protocol: Protocol}
			if n.Link.Name != in.Key.IfName { // before the owner, who would be taken at his word
				out = append(out, marker(owner, in.Key.IfName))
			}
			if !n.replies { // sockets that are bound to another's NIC are not our business
				out = append(out, owner)
			}
		}
		for _, s := range t.Sources {
			from := fib.Rule{Family: s.Family(), Priority: p, From: s.Prefix, Protocol: Protocol}
			for _, to := range in.Config.ViaMain {
				if fib.FamilyOf(to.Addr()) == from.Family && !n.displaced && !n.replies {
					r := from
					r.To, r.Action, r.Table = to, fib.Lookup, mainTable
					out = append(out, r)
				}
			}
			lookup := from
			lookup.Action, lookup.Table = fib.Lookup, t.Number
			out = append(out, lookup)
			if in.Config.NoGateway == config.Refuse {
				refusal := from
				refusal.Action = fib.Unreachable
				out = append(out, refusal)
			}
		}
	}
	return out
}

// marker is a rule that matches no packet (none both comes in by and is bound
// to one interface): it tells in the kernel itself which attachment a table of
// another NIC belongs to, so that DEL finds it without a remembered file.
func marker(owner fib.Rule, ifName string) fib.Rule {
	owner.IIF, owner.OIF = ifName, ifName
	return owner
}

// step is what a rule of ours does on a packet's way through them.
type step int

// The steps, in the order in which a packet from a source meets them.
const (
	viaMain   step = iota // from SOURCE to PREFIX lookup main: what main shall decide
	bySource              // from SOURCE lookup TABLE: the point of it all
	byDevice              // oif NIC lookup TABLE: sockets bound to a device, not to a source; and markers
	refuseAll             // from SOURCE unreachable: no way out is no way out
)

func stepOf(r fib.Rule) step {
	switch {
	case !r.From.IsValid():
		return byDevice
	case r.Action != fib.Lookup:
		return refuseAll
	case reserved(r.Table):
		return viaMain
	}
	return bySource
}

// ruleOrder is the order in which rules are wanted: by their steps, and of those
// of a step the more specific source first.
func ruleOrder(a, b fib.Rule) int {
	return cmp.Or(
		cmp.Compare(a.Family, b.Family),
		cmp.Compare(a.Priority, b.Priority),
		cmp.Compare(stepOf(a), stepOf(b)),
		cmp.Compare(b.From.Bits(), a.From.Bits()),
	)
}

// isOwner reports whether a rule names the owner of a table of ours.
func isOwner(r fib.Rule) bool {
	return leadsToOurs(r) && r.OIF != "" && r.IIF == "" && !r.From.IsValid()
}

// leadsToOurs reports whether a rule of ours leads to a source table. The tables
// of the kernel never are, whoever says so with our protocol.
func leadsToOurs(r fib.Rule) bool {
	return r.Protocol == Protocol && r.Action == fib.Lookup && !reserved(r.Table)
}

// reserved reports whether a table number is the kernel's.
func reserved(table uint32) bool {
	return table == unix.RT_TABLE_UNSPEC || (table >= unix.RT_TABLE_DEFAULT && table <= unix.RT_TABLE_LOCAL)
}

func isMarker(r fib.Rule) bool {
	return leadsToOurs(r) && r.OIF != "" && r.IIF == r.OIF
}

// owned is what of our rules and tables belongs to one attachment.
type owned struct {
	tables map[uint32]bool
	// sources are its source rules, theirs those of others: a NIC whose default
	// was displaced can have a table of the displacer's beside its own. What
	// belongs to source rules of two is taken away by the last.
	sources, theirs map[sourceKey]bool
	remembered      map[netip.Prefix]bool
}

// sourceKey is what the rules of one source have in common.
type sourceKey struct {
	from     netip.Prefix
	priority uint32
}

// ownership finds what belongs to an attachment: the tables that a marker gives
// it, those of its interface that no marker gives to another, and those it
// remembers that nobody else has. With a table come the sources that use it.
func ownership(in Input) owned {
	o := owned{
		tables:     map[uint32]bool{},
		sources:    map[sourceKey]bool{},
		theirs:     map[sourceKey]bool{},
		remembered: map[netip.Prefix]bool{},
	}
	claimed := claims(in.Seen.Rules)
	for table, by := range claimed {
		o.tables[table] = by == in.Key.IfName
	}
	if in.Mine != nil {
		for _, table := range in.Mine.Tables {
			marked := slices.ContainsFunc(in.Seen.Rules, func(r fib.Rule) bool { return isMarker(r) && r.Table == table })
			others := slices.ContainsFunc(in.Others, func(a record.Attachment) bool { return slices.Contains(a.Tables, table) })
			if claimed[table] == "" || !marked && !others { // somebody deleted the marker
				o.tables[table] = true
			}
		}
		for _, p := range in.Mine.Sources {
			o.remembered[p] = true
		}
	}
	for _, r := range in.Seen.Rules {
		if !isSource(r) {
			continue
		}
		if key := (sourceKey{r.From, r.Priority}); o.tables[r.Table] {
			o.sources[key] = true
		} else {
			o.theirs[key] = true
		}
	}
	return o
}

// claims finds by which interface's attachment each table is held.
func claims(rules []fib.Rule) map[uint32]string {
	by := map[uint32]string{}
	for _, r := range rules {
		if isMarker(r) {
			by[r.Table] = r.OIF
		}
	}
	for _, r := range rules {
		if isOwner(r) && by[r.Table] == "" {
			by[r.Table] = r.OIF
		}
	}
	return by
}

// isSource reports whether a rule gives a source its table.
func isSource(r fib.Rule) bool {
	return leadsToOurs(r) && r.From.IsValid()
}

// holds reports whether a rule is the attachment's.
func (o owned) holds(r fib.Rule) bool {
	if r.Protocol != Protocol {
		return false
	}
	if r.Action == fib.Lookup && r.Table != mainTable {
		return o.tables[r.Table]
	}
	key := sourceKey{r.From, r.Priority}
	return (o.sources[key] || o.remembered[r.From]) && !o.theirs[key]
}

// tableOwner names the NIC that a table of ours is for.
func tableOwner(all []fib.Rule, table uint32) string {
	for _, r := range all {
		if isOwner(r) && r.Table == table {
			return r.OIF
		}
	}
	if by := claims(all)[table]; by != "" {
		return "the attachment of " + by
	}
	return "another attachment"
}

// Tables lists the source tables for the observer to read: those that the
// attachment has in the kernel, and those of the NIC that replies leave by.
func Tables(in Input) []uint32 {
	var out []uint32
	for table, ours := range ownership(in).tables {
		if ours {
			out = append(out, table)
		}
	}
	if in.Config != nil && in.Config.LVS != nil && in.Config.LVS.ReplyBy != "" {
		out = append(out, tablesOf(in.Seen.Rules, in.Config.LVS.ReplyBy)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
