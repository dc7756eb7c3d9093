package fib

import (
	"cmp"
	"net/netip"
	"slices"
)

// Ways finds the route of a table that decides for an address, among thousands.
type Ways struct {
	routes  map[netip.Prefix]Route // the best of each destination
	lengths []int                  // of their prefixes, of both families, the longest first
}

// WaysIn are the ways of these routes of one table.
func WaysIn(routes []Route) *Ways {
	w := &Ways{routes: make(map[netip.Prefix]Route, len(routes))}
	for _, r := range routes {
		w.Add(r)
	}
	return w
}

// Add adds a route behind the others. One for a source or a type of service decides for no
// address alone.
func (w *Ways) Add(r Route) {
	if r.From.IsValid() || r.TOS != 0 {
		return
	}
	dst := r.Dst.Masked()
	if best, taken := w.routes[dst]; taken && best.Metric <= r.Metric {
		return
	}
	w.routes[dst] = r
	bits := dst.Bits()
	if i, there := slices.BinarySearchFunc(w.lengths, bits, func(a, b int) int { return cmp.Compare(b, a) }); !there {
		w.lengths = slices.Insert(w.lengths, i, bits)
	}
}

// Longest finds the route of the longest prefix that holds an address, and of several the one
// with the best metric.
func (w *Ways) Longest(x netip.Addr) (Route, bool) { return w.Covering(Host(x)) }

// Covering is the same for all addresses of a prefix, as far as no longer one holds them.
func (w *Ways) Covering(p netip.Prefix) (Route, bool) {
	for _, bits := range w.lengths {
		if bits > p.Bits() {
			continue
		}
		if p, err := p.Addr().Prefix(bits); err == nil {
			if r, ok := w.routes[p]; ok {
				return r, true
			}
		}
	}
	return Route{}, false
}
