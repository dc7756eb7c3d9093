package preview

import (
	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// purpose says what a change is for.
func purpose(c change.Change) string {
	switch c := c.(type) {
	case change.AddRule:
		return purposeOfRule(c.Rule)
	case change.DelRule, change.DelRoute:
		return "what is not wanted any more"
	case change.AddRoute, change.ReplaceRoute:
		return "the source table"
	case change.AddToMain:
		return "the main table gets a default route"
	case change.DelFromMain:
		return "the main table loses a default route: the source table has it"
	case change.Set:
		switch c.Key {
		case fib.RPFilter:
			return "the reverse-path filter"
		case fib.KeepAddrOnDown:
			return "IPv6 addresses stay when the link goes down, as IPv4 ones do"
		}
		return "which NIC answers ARP for the addresses"
	case change.AddAddress, change.DelAddress:
		return "the virtual IPs, but for the mark by which DEL knows its own"
	case change.MakeLink, change.DelLink, change.SetLink:
		return "the tunnels"
	}
	return ""
}

func purposeOfRule(r fib.Rule) string {
	switch {
	case state.IsAnchor(r):
		return "where the decision rules lead to"
	case state.IsDecision(r):
		return "the decision rules, which switch the sources on"
	case state.IsGuard(r), state.IsFallback(r):
		return "what finds no default route in the main table"
	}
	return "the rules of the sources"
}
