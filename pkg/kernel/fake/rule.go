package fake

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// addRule adds a rule behind those of its priority (fib_nl_newrule).
func (s *state) addRule(r fib.Rule, exclusive bool) error {
	if exclusive && slices.ContainsFunc(s.rules, func(o fib.Rule) bool { return sameKind(o, r) && selects(r, o) }) {
		return unix.EEXIST
	}
	at := slices.IndexFunc(s.rules, func(o fib.Rule) bool {
		return o.Family == r.Family && o.Priority > r.Priority || o.Family > r.Family
	})
	if at < 0 {
		at = len(s.rules)
	}
	s.rules = slices.Insert(s.rules, at, r)
	s.customRules = s.customRules || r.Family == fib.V4
	return nil
}

// sameKind is what rule_exists compares whether it is given or not. That one
// of the two is inverted does not count.
func sameKind(o, r fib.Rule) bool {
	return o.Family == r.Family && o.Priority == r.Priority && o.Action == r.Action && o.Table == r.Table &&
		o.IIF == r.IIF && o.OIF == r.OIF && o.Protocol == r.Protocol && o.Other == r.Other
}

// delRule removes the first rule that has everything that is asked for
// (fib_nl_delrule, rule_find).
func (s *state) delRule(r fib.Rule) error {
	i := slices.IndexFunc(s.rules, func(o fib.Rule) bool {
		return o.Family == r.Family && o.Priority == r.Priority && o.Action == r.Action &&
			(r.Table == 0 || o.Table == r.Table) &&
			(r.IIF == "" || o.IIF == r.IIF) && (r.OIF == "" || o.OIF == r.OIF) &&
			(r.Protocol == 0 || o.Protocol == r.Protocol) && (r.Other == "" || o.Other == r.Other) && selects(r, o)
	})
	if i < 0 {
		return unix.ENOENT
	}
	s.rules = slices.Delete(s.rules, i, i+1)
	return nil
}

// selects reports whether a rule has the selectors of another as far as that
// one has any (fib4_rule_compare, fib6_rule_compare).
func selects(r, o fib.Rule) bool {
	return (!r.From.IsValid() || r.From == o.From) && (!r.To.IsValid() || r.To == o.To) && (r.TOS == 0 || r.TOS == o.TOS)
}

// matches reports whether a rule decides for a packet.
func (s *state) matches(r fib.Rule, p packet) bool {
	if r.Family != p.family || r.Other != "" {
		return false
	}
	match := s.isDevice(r.IIF, p.iif) && s.isDevice(r.OIF, p.oif) && r.TOS == 0 &&
		(!r.From.IsValid() || p.from.IsValid() && r.From.Contains(p.from)) &&
		(!r.To.IsValid() || r.To.Contains(p.to))
	return match != r.Inverted
}

func (s *state) isDevice(name string, index int) bool {
	l, ok := s.link(index)
	return name == "" || ok && l.Name == name
}
