package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
)

// Recover finds in the kernel what an attachment without a record has there: rules and routes
// that carry our protocol and are its NIC's, as far as no other attachment's record knows them.
// From the rules for bound sockets, or the routes, come the tables, from the tables the
// sources, from these the decision rules and refusals. Of settings, and of what was taken out
// of main, the kernel tells nothing. It returns nil where there is nothing.
func Recover(in Input, routes []fib.Route) *record.Attachment {
	l, _ := in.Seen.Link(in.Key.IfName)
	r := recovery{in: in, nic: l}
	r.findTables(routes)
	r.findRules()
	r.findMade()
	r.findVIPs()
	if len(r.found.NICs) == 0 && len(r.found.Rules) == 0 && r.found.Main == nil {
		return nil
	}
	return &record.Attachment{Key: in.Key, Lost: true, State: r.found}
}

// recovery looks for what one attachment has. A pod may have any number of rules of our
// protocol, of others' making: each is looked at once for each thing that is looked for.
type recovery struct {
	in      Input
	nic     fib.Link
	found   state.State
	tables  map[uint32]bool
	sources map[netip.Prefix]bool
}

func (r *recovery) findTables(routes []fib.Route) {
	claimed := state.Tables(r.in.everyOtherState())
	r.tables, r.sources = map[uint32]bool{}, map[netip.Prefix]bool{}
	add := func(table uint32) {
		if !state.Reserved(table) && !claimed[table] {
			r.tables[table] = true
		}
	}
	for _, rule := range r.in.Seen.Rules {
		if state.IsBound(rule) && rule.OIF == r.in.Key.IfName && rule.Priority == state.BoundPriority {
			add(rule.Table)
		}
	}
	for _, route := range routes {
		if route.Protocol == state.Protocol && r.nic.Index != 0 && route.Uses(r.nic.Index) {
			add(route.Table)
		}
	}
	if len(r.tables) == 0 {
		return
	}
	sources := map[uint32][]state.Source{}
	for _, rule := range r.in.Seen.Rules {
		if state.IsSource(rule) && r.tables[rule.Table] {
			sources[rule.Table] = append(sources[rule.Table], state.Source{Prefix: rule.From})
			r.sources[rule.From] = true
		}
	}
	n := state.NIC{Index: r.nic.Index, Name: r.in.Key.IfName, Role: state.Attached}
	for _, table := range slices.Sorted(maps.Keys(r.tables)) {
		n.Tables = append(n.Tables, state.Table{Number: table, Sources: sources[table]})
	}
	r.found.NICs = []state.NIC{n}
}

// findRules finds the rules of the NIC and of the sources, in the order in which an ADD would
// have added them: the decision rules last.
func (r *recovery) findRules() {
	if len(r.found.NICs) == 0 {
		return
	}
	nic := r.found.NICs[0].Name
	var block, decisions []fib.Rule
	for _, rule := range r.in.Seen.Rules {
		switch {
		case rule.Protocol != state.Protocol || state.IsGuard(rule) || state.IsFallback(rule) || state.IsAnchor(rule):
		case state.IsDecision(rule):
			if rule.OIF == nic || r.sources[rule.From] {
				decisions = append(decisions, rule)
			}
		case rule.From.IsValid():
			if r.sources[rule.From] && (!state.IsSource(rule) || r.tables[rule.Table]) {
				block = append(block, rule)
			}
		case rule.OIF == nic && (rule.Priority == state.BoundMainPriority || r.tables[rule.Table]):
			block = append(block, rule)
		}
	}
	r.found.Rules = slices.Concat(block, decisions)
}

// findMade finds the default by the NIC that an ADD put into main.
func (r *recovery) findMade() {
	byOthers := madeBy(r.in.otherStates())
	for _, route := range r.in.Seen.Defaults(state.MainTable) {
		if route.Protocol == state.Protocol && r.nic.Index != 0 && route.Uses(r.nic.Index) && !byOthers[route.Identity()] {
			if r.found.Main == nil {
				r.found.Main = &state.Main{NICs: []state.Device{{Index: r.nic.Index, Name: r.nic.Name}}}
			}
			r.found.Main.Made = append(r.found.Main.Made, route)
		}
	}
}

// findVIPs finds the addresses of a source that bear our protocol (IFA_PROTO, since Linux
// 5.18).
func (r *recovery) findVIPs() {
	for _, a := range r.in.Seen.Addresses {
		if a.Protocol != state.Protocol || !r.sources[a.Prefix] {
			continue
		}
		if r.found.Server == nil {
			r.found.Server = &state.Server{}
		}
		r.found.Server.VIPs = append(r.found.Server.VIPs, state.VIP{Address: a})
	}
}

// LeftBehind lists the VIPs that DEL leaves where nothing is remembered and the
// kernel does not tell who configured them (before Linux 5.18).
func LeftBehind(in Input) []string {
	var out []string
	for _, n := range in.Mine.State.NICs {
		for _, a := range in.Seen.Addresses {
			l, ok := in.Seen.LinkAt(a.Index)
			if ok && lvs.Silent(l) && a.Protocol != state.Protocol && n.Has(fib.Host(a.Prefix.Addr())) {
				out = append(out, fmt.Sprintf("the address %s of %s stays: if it is a VIP of ours, take it away (ip addr del %s dev %s)", a, l.Name, a.Prefix, l.Name))
			}
		}
	}
	return out
}
