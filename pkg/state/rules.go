package state

import "github.com/symroute/symroute/pkg/fib"

// This file tells our rules apart, by what they are for.

// leadsToOurs reports whether a rule of ours leads to a source table. The tables
// of the kernel never are, whoever says so with our protocol.
func leadsToOurs(r fib.Rule) bool {
	return r.Protocol == Protocol && r.Action == fib.Lookup && !Reserved(r.Table)
}

// IsSource reports whether a rule gives a source its table.
func IsSource(r fib.Rule) bool { return leadsToOurs(r) && r.From.IsValid() }

// IsBound reports whether a rule leads sockets that are bound to a NIC to its table.
func IsBound(r fib.Rule) bool { return leadsToOurs(r) && r.OIF != "" && !r.From.IsValid() }

// IsDecision reports whether a rule leads to the block.
func IsDecision(r fib.Rule) bool { return r.Protocol == Protocol && r.Action == fib.Goto }

// IsAnchor reports whether a rule is what the decision rules lead to.
func IsAnchor(r fib.Rule) bool {
	return r.Protocol == Protocol && r.Action == fib.Nop && r.Priority == Anchor
}

// IsGuard reports whether a rule keeps an address from the fallbacks.
func IsGuard(r fib.Rule) bool {
	return r.Protocol == Protocol && r.Priority == GuardPriority && r.Action == fib.Unreachable && r.From.IsValid()
}

// IsFallback reports whether a rule leads to a table what finds no default in main.
func IsFallback(r fib.Rule) bool {
	return leadsToOurs(r) && r.Priority >= FallbackPriority && !r.From.IsValid() && r.OIF == ""
}
