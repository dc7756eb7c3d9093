// Package maindefault decides who owns the pod's default route in main. IPAM installs one for
// each NIC, of which the newest wins (IPv4) or which become one multipath route that spreads
// connections over NICs at random (IPv6). Here one NIC has its defaults in main, in each
// family, and those of the others leave it.
//
// What is decided depends on the attachments that are there and the defaults they came with,
// not on the order in which they came, so that they may leave in any order.
package maindefault

import (
	"cmp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
)

// NIC is an interface that may have a default, and what its attachment wants.
type NIC struct {
	Index int
	Name  string
	// Wish is what its attachment wants; empty: it has none, and nothing is done to its
	// defaults unless another takes main.
	Wish config.MainDefault
	// Turn orders those that take: the latest has it.
	Turn int
	// Leaving is set while its attachment is taken back: the interface goes next, so it
	// owns nothing any more, and its defaults stand in main as they did before.
	Leaving bool
}

// Outcome is who has main.
type Outcome struct {
	// Main are the defaults that main holds, of those known, in their order.
	Main []fib.Route
	// Lost are the NICs that have a default and do not own main, by family, in the order in
	// which they would own it; Yielded those of them whose defaults are out of it.
	Lost, Yielded map[fib.Family][]NIC
	// Stuck are the defaults that would have left main and cannot.
	Stuck []fib.Route
}

// Decide decides, from all defaults that are known, in main or out of it, who has main. The
// NICs are those of the pod.
func Decide(known []fib.Route, nics []NIC) Outcome {
	out := Outcome{Lost: map[fib.Family][]NIC{}, Yielded: map[fib.Family][]NIC{}}
	for _, f := range fib.Families() {
		defaults := slices.DeleteFunc(slices.Clone(known), func(r fib.Route) bool { return r.Family != f })
		has, canYield := map[int]bool{}, map[int]bool{} // by NIC
		for _, r := range defaults {
			for _, h := range r.Hops {
				has[h.Index] = true
				canYield[h.Index] = canYield[h.Index] || Fixed(r) == ""
			}
		}
		out.Lost[f] = losers(nics, has)
		yields := map[int]bool{}
		for _, n := range out.Lost[f] {
			yields[n.Index] = true
			if canYield[n.Index] {
				out.Yielded[f] = append(out.Yielded[f], n)
			}
		}
		for _, r := range defaults {
			leaves := slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { return yields[h.Index] })
			if leaves && Fixed(r) != "" {
				out.Stuck = append(out.Stuck, r)
			}
			if !leaves || Fixed(r) != "" {
				out.Main = append(out.Main, r)
			}
		}
	}
	return out
}

// losers are the NICs with a default that do not own main, in the order in which they would.
func losers(nics []NIC, has map[int]bool) []NIC {
	var ranked []NIC
	for _, n := range nics {
		if !n.Leaving && has[n.Index] {
			ranked = append(ranked, n)
		}
	}
	if len(ranked) == 0 {
		return nil
	}
	slices.SortStableFunc(ranked, func(a, b NIC) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(b.Turn, a.Turn), natural(a.Name, b.Name), cmp.Compare(a.Index, b.Index))
	})
	owners := 1
	if ranked[0].rank() == rankUnasked { // nothing is done to any of these
		owners = 0
		for owners < len(ranked) && ranked[owners].rank() == rankUnasked {
			owners++
		}
	}
	return ranked[owners:]
}

// Ranks of NICs, the first of which own main.
const (
	rankTake    = iota // the latest take
	rankUnasked        // those that do not yield: keep, or no attachment at all
	rankYield
)

func (n NIC) rank() int {
	switch n.Wish {
	case config.Take:
		return rankTake
	case config.Yield:
		return rankYield
	case config.KeepMain, "":
	}
	return rankUnasked
}

// Fixed says why a default is left alone, wherever its NIC stands; empty: it is not.
func Fixed(r fib.Route) string {
	switch {
	case r.Protocol == unix.RTPROT_RA || r.Expires:
		return "it is the router's own advertisement, which would come back"
	case r.NexthopID != 0:
		return "it uses a nexthop object, which is somebody else's"
	case slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { return h.Index != r.Hops[0].Index }):
		return "it is one route by several NICs"
	}
	return ""
}

// natural compares names as people count: eth0, net1, net2, net10.
func natural(a, b string) int {
	for a != "" && b != "" {
		wordA, restA := run(a)
		wordB, restB := run(b)
		if wordA != wordB {
			numberA, numberB := strings.TrimLeft(wordA, "0"), strings.TrimLeft(wordB, "0")
			if isDigit(wordA[0]) && isDigit(wordB[0]) {
				return cmp.Or(cmp.Compare(len(numberA), len(numberB)), cmp.Compare(numberA, numberB), cmp.Compare(wordA, wordB))
			}
			return cmp.Compare(wordA, wordB)
		}
		a, b = restA, restB
	}
	return cmp.Compare(len(a), len(b))
}

// run cuts what is all digits, or has none, off the front.
func run(s string) (word, rest string) {
	i := 1
	for i < len(s) && isDigit(s[i]) == isDigit(s[0]) {
		i++
	}
	return s[:i], s[i:]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
