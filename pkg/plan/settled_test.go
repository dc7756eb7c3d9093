package plan

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/symroute/symroute/pkg/fib"
)

// TestSettled has rules in any order. Then those of a source stand before its refusal, and
// those of a source before those of any prefix that holds it.
func TestSettled(t *testing.T) {
	var rules []fib.Rule
	for i, name := range []string{"net1", "net2"} {
		rules = append(rules, fib.Rule{Priority: 100, OIF: name, Action: fib.Lookup, Table: TableBase + uint32(i), Protocol: Protocol})
	}
	for i, from := range []string{"10.1.2.4/32", "10.1.2.5/32", "10.1.2.4/31", "10.1.2.0/24", "10.1.0.0/16", "10.2.0.1/32"} {
		source := netip.MustParsePrefix(from)
		table := TableBase + uint32(i%2)
		rules = append(rules,
			fib.Rule{Priority: 100, From: source, Action: fib.Lookup, Table: table, Protocol: Protocol},
			fib.Rule{Priority: 100, From: source, Action: fib.Unreachable, Protocol: Protocol})
	}
	var orders [][]fib.Rule
	random := rand.New(rand.NewPCG(1, 0))
	for range 2000 {
		order := slices.Clone(rules)
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		orders = append(orders, order)
	}
	for i := range len(rules) - 1 { // and where just two are wrong
		order := slices.Clone(settled(rules))
		order[i], order[i+1] = order[i+1], order[i]
		orders = append(orders, order)
	}
	for _, was := range orders {
		given := slices.Clone(was)
		now := settled(was)
		if !slices.Equal(was, given) {
			t.Fatal("the list itself was changed")
		}
		for i, a := range now {
			for _, b := range now[i+1:] {
				if mustStandBefore(b, a) {
					t.Fatalf("%s stands before %s, among:\n%v", a, b, now)
				}
			}
		}
		if again := settled(now); !slices.Equal(now, again) {
			t.Fatalf("settled again, the order is another:\n%v\n%v", now, again)
		}
	}
}

// mustStandBefore is what the rules of two sources, or of one, demand.
func mustStandBefore(a, b fib.Rule) bool {
	switch {
	case !a.From.IsValid() || !b.From.IsValid() || a.Action != fib.Lookup:
		return false
	case a.From == b.From:
		return b.Action == fib.Unreachable
	}
	return a.From.Bits() > b.From.Bits() && b.From.Contains(a.From.Addr())
}
