package tables

import (
	"fmt"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// tableTries bounds the search for a free table.
const tableTries = 10_000

// numbering hands out table numbers.
type numbering struct {
	pod   Pod
	next  uint32 // the next candidate
	first uint32 // the number that the configuration asks for; 0: none, or given out
	given []uint32
	// lookups are the tables that rules lead to, each with the first of these.
	lookups map[uint32]fib.Rule
	// left are routes of ours that stand in the tables that were given out and that no
	// record knows.
	left []fib.Route
}

func (p Pod) numbering() *numbering {
	n := &numbering{pod: p, next: state.TableBase, lookups: make(map[uint32]fib.Rule, len(p.Seen.Rules))}
	for _, r := range p.Seen.Rules {
		if _, known := n.lookups[r.Table]; !known && r.Action == fib.Lookup {
			n.lookups[r.Table] = r
		}
	}
	if p.Config.Table != 0 {
		n.next, n.first = p.Config.Table, p.Config.Table
	}
	return n
}

// Fill divides the sources of each NIC into tables, numbers them and fills them. It returns the
// routes of ours that stand in these tables and that no record knows.
func (p Pod) Fill(nics []NIC) (left []fib.Route, err error) {
	n := p.numbering()
	if err := n.number(nics); err != nil {
		return nil, err
	}
	return n.left, nil
}

func (n *numbering) number(nics []NIC) error {
	attached := slices.DeleteFunc(slices.Clone(nics), func(n NIC) bool { return n.Role != state.Attached })
	for i := range nics {
		nics[i].Tables = divide(nics[i].Sources)
		have := n.existing(nics[i])
		b := n.pod.builder(nics[i], attached)
		for j := range nics[i].Tables {
			t := &nics[i].Tables[j]
			var err error
			if j < len(have) {
				t.Number = have[j]
			} else if t.Number, err = n.allocate(nics[i].Link); err != nil {
				return err
			}
			b.begin(*t)
			t.Routes = b.build()
		}
	}
	return nil
}

// divide makes one table for each distinct set of gateways, and one more for VIPs
// whose packets have to be smaller. IPv4 and IPv6 share them: the first set of one with
// the first set of the other, and so on.
func divide(sources []state.Source) []state.Table {
	var tables []state.Table
	for _, f := range fib.Families() {
		var sets []state.Source // one of each set
		for _, s := range sources {
			if s.Family() != f {
				continue
			}
			i := slices.IndexFunc(sets, func(o state.Source) bool { return slices.Equal(o.Exit, s.Exit) && o.MaxMSS == s.MaxMSS })
			if i < 0 {
				i = len(sets)
				sets = append(sets, s)
			}
			if i == len(tables) {
				tables = append(tables, state.Table{})
			}
			tables[i].Sources = append(tables[i].Sources, s)
		}
	}
	return tables
}

// existing lists the tables that a NIC already has from an earlier ADD: as the record says,
// or, of a displaced NIC whose displacer's record was lost, the rule for bound sockets.
func (n *numbering) existing(nic NIC) []uint32 {
	var tables []uint32
	taken := map[uint32]bool{}
	for _, table := range n.given {
		taken[table] = true
	}
	add := func(table uint32) {
		if !taken[table] && !state.Reserved(table) {
			taken[table] = true
			tables = append(tables, table)
		}
	}
	for _, s := range n.pod.Mine {
		for _, known := range s.NICs {
			if n.pod.isNow(known, nic.Link) && known.Role == nic.Role {
				for _, t := range known.Tables {
					add(t.Number)
				}
			}
		}
	}
	if nic.Role == state.Displaced {
		known := n.pod.tables()
		for _, r := range n.pod.Seen.Rules {
			if state.IsBound(r) && r.OIF == nic.Link.Name && r.Priority == state.BoundDisplacedPriority && !known[r.Table] {
				add(r.Table)
			}
		}
	}
	if n.first != 0 && (len(tables) == 0 || tables[0] != n.first) {
		return nil
	}
	n.first = 0
	n.given = append(n.given, tables...)
	for _, table := range tables { // further ones come behind, so that their order stays
		n.next = max(n.next, table+1)
	}
	return tables
}

// isNow reports whether a NIC that is remembered is this one: also where it went and came again
// under its name, with another index.
func (p Pod) isNow(known state.NIC, l fib.Link) bool {
	_, stillThere := p.Seen.LinkAt(known.Index)
	return known.Index == l.Index || known.Name == l.Name && !stillThere
}

// allocate finds the first number that nobody uses: no rule, no route of any
// table, no VRF.
func (n *numbering) allocate(nic fib.Link) (uint32, error) {
	for range tableTries {
		candidate := n.next
		if candidate == 0 {
			return 0, config.Faults{{Path: "table", Problem: "leaves no room for all tables: name a smaller number, or none"}}
		}
		n.next++
		user, err := n.user(candidate, nic)
		if err != nil {
			return 0, err
		}
		if user == "" {
			n.first = 0
			n.given = append(n.given, candidate)
			return candidate, nil
		}
		if n.first == candidate {
			return 0, config.Faults{{Path: "table", Problem: fmt.Sprintf("%d is in use by %s: name a free one, or none", candidate, user)}}
		}
	}
	return 0, fmt.Errorf("%w: no free routing table among %d from %d on", state.ErrUnfit, tableTries, n.next-tableTries)
}

// user names who uses a table; empty: nobody. Routes of ours by the very NIC are what an ADD
// left whose rules and record are both gone.
func (n *numbering) user(table uint32, nic fib.Link) (string, error) {
	switch {
	case state.Reserved(table):
		return "the kernel", nil
	case slices.Contains(n.given, table):
		return "this attachment", nil
	}
	if r, ok := n.lookups[table]; ok {
		return fmt.Sprintf("the rule %q", r), nil
	}
	for _, l := range n.pod.Seen.Links {
		if l.VRFTable == table {
			return "the VRF " + l.Name, nil
		}
	}
	routes, err := n.pod.Routes(table)
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(routes, func(r fib.Route) bool { return r.Protocol != state.Protocol || !r.Uses(nic.Index) && !isRefusal(r) }) {
		return "routes of somebody else", nil
	}
	n.left = append(n.left, routes...)
	return "", nil
}
