// Package rules works out the policy routing rules of a pod: those of an attachment, and those that all
// attachments share.
package rules

import (
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// Of lists the rules of an attachment's NICs, in the order in which they are added. The
// decision rules come last: they switch a source on as a whole, and taken away first they
// switch it off. The default priority is the last before main (32766): policies of others,
// such as a service mesh's for marked packets, have to stand before them, and Istio's ambient
// mode has priority 32764 for its own (istio/istio, cni/pkg/iptables).
func Of(cfg *config.Config, nics []state.NIC) []fib.Rule {
	var block, decisions []fib.Rule
	for _, n := range nics {
		b := ruleBuilder{cfg: cfg, nic: n}
		for _, t := range n.Tables {
			block = append(block, b.bound(t)...)
			for _, s := range t.Sources {
				block = append(block, b.steps(s, t.Number)...)
				decisions = append(decisions, b.decision(fib.Rule{Family: s.Family(), From: s.Prefix}))
			}
		}
		for _, f := range b.boundFamilies() {
			decisions = append(decisions, b.decision(fib.Rule{Family: f, OIF: n.Name}))
		}
	}
	return distinct(append(block, decisions...))
}

// ruleBuilder makes the rules of one NIC.
type ruleBuilder struct {
	cfg *config.Config
	nic state.NIC
}

// decision sends what a selector matches to the block.
func (b ruleBuilder) decision(selector fib.Rule) fib.Rule {
	selector.Priority = b.cfg.Priority
	if b.nic.Role == state.Displaced {
		selector.Priority = config.DefaultPriority
	}
	selector.Action, selector.Target, selector.Protocol = fib.Goto, state.Anchor, state.Protocol
	return selector
}

// steps are the rules of a source, in the order in which the kernel tries them.
func (b ruleBuilder) steps(s state.Source, table uint32) []fib.Rule {
	from := fib.Rule{Family: s.Family(), From: s.Prefix, Protocol: state.Protocol}
	at := func(step state.Step, r fib.Rule) fib.Rule {
		r.Priority = step.Priority(s.Prefix.Bits(), s.Family().Bits())
		return r
	}
	var out []fib.Rule
	if b.nic.Role == state.Attached {
		for _, to := range b.cfg.ViaMain {
			if fib.FamilyOf(to.Addr()) == s.Family() {
				out = append(out, at(state.StepViaMain, lookup(withTo(from, to), state.MainTable)))
			}
		}
	}
	step := state.StepLookup
	if b.nic.Role == state.Displaced {
		step = state.StepDisplaced
	}
	out = append(out, at(step, lookup(from, table)))
	if b.cfg.NoGateway == config.UseMain && b.nic.Role != state.Displaced {
		return append(out, at(state.StepNoGateway, lookup(from, state.MainTable)))
	}
	from.Action = fib.Unreachable
	return append(out, at(state.StepNoGateway, from))
}

func lookup(r fib.Rule, table uint32) fib.Rule {
	r.Action, r.Table = fib.Lookup, table
	return r
}

func withTo(r fib.Rule, to netip.Prefix) fib.Rule {
	r.To = to
	return r
}

// boundFamilies are those in which sockets that are bound to the NIC are our business: of a
// NIC that only sends replies for VIPs they are not.
func (b ruleBuilder) boundFamilies() []fib.Family {
	if b.nic.Role == state.Replies {
		return nil
	}
	var out []fib.Family
	for _, f := range fib.Families() {
		if b.nic.IsRouted(f) {
			out = append(out, f)
		}
	}
	return out
}

// bound are the rules for sockets that are bound to the NIC and have no source yet.
func (b ruleBuilder) bound(t state.Table) []fib.Rule {
	if b.nic.Role == state.Replies {
		return nil
	}
	priority := state.BoundPriority
	if b.nic.Role == state.Displaced {
		priority = state.BoundDisplacedPriority
	}
	var out []fib.Rule
	for _, f := range t.Families() {
		r := fib.Rule{Family: f, Priority: priority, OIF: b.nic.Name, Protocol: state.Protocol}
		out = append(out, lookup(r, t.Number))
		r.Priority = state.BoundMainPriority
		out = append(out, lookup(r, state.MainTable))
	}
	return out
}

// distinct drops what stands there already.
func distinct(rules []fib.Rule) []fib.Rule {
	seen := make(map[fib.Rule]bool, len(rules))
	out := make([]fib.Rule, 0, len(rules))
	for _, r := range rules {
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out
}

// Set is the rules as a set.
func Set(rules []fib.Rule) map[fib.Rule]bool {
	set := make(map[fib.Rule]bool, len(rules))
	for _, r := range rules {
		set[r] = true
	}
	return set
}

// LocalFirst reports whether the table of the pod's own addresses is asked before rules of a priority.
func LocalFirst(seen *fib.Snapshot, f fib.Family, priority uint32) bool {
	return slices.ContainsFunc(seen.Rules, func(r fib.Rule) bool {
		return r.Family == f && r.Plain() && !r.From.IsValid() && !r.To.IsValid() && r.IIF == "" && r.OIF == "" &&
			r.Action == fib.Lookup && r.Table == state.LocalTable && r.Priority < priority
	})
}
