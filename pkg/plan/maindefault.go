package plan

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
)

// mainPlan is what happens to the main table.
type mainPlan struct {
	swaps     []Swap
	defaults  []fib.Route // ours, to be put in before anything is taken out
	displaced []NIC       // NICs that lose the default and get a source table
	notes     []string
}

// planMain decides who owns the pod's default route.
func planMain(in Input, nics []NIC) (mainPlan, error) {
	switch {
	case len(nics) == 0 || len(nics[0].Sources) == 0:
		return mainPlan{}, nil // no routing of its own, no say in it
	case in.Config.MainDefault == config.Yield:
		return yield(in, nics), nil
	case in.Config.MainDefault == config.Take:
		return take(in, nics)
	}
	return mainPlan{}, nil
}

// defaultsSeen divides the defaults of a family in main into those that use a
// NIC of the attachment and those that use another NIC. A multipath route can
// be both.
func defaultsSeen(in Input, nics []NIC, f fib.Family) (mine, others []fib.Route) {
	ours := func(h fib.Hop) bool {
		return slices.ContainsFunc(nics, func(n NIC) bool { return n.Link.Index == h.Index })
	}
	for _, r := range mainNow(in) {
		if r.Family != f || !r.IsDefault() {
			continue
		}
		if slices.ContainsFunc(r.Hops, ours) {
			mine = append(mine, r)
		}
		if slices.ContainsFunc(r.Hops, func(h fib.Hop) bool { return !ours(h) }) {
			others = append(others, r)
		}
	}
	return mine, others
}

// yield takes this attachment's defaults out of main in each family in which
// another NIC has one.
func yield(in Input, nics []NIC) mainPlan {
	var p mainPlan
	for _, f := range fib.Families() {
		mine, others := defaultsSeen(in, nics, f)
		if len(others) == 0 {
			continue
		}
		for _, r := range mine {
			if why := untouchable(r); why != "" {
				p.notes = append(p.notes, fmt.Sprintf("the default route %q stays in main beside the other NIC's: %s", r, why))
				continue
			}
			p.swaps = append(p.swaps, without(in, r, nics)...)
		}
	}
	return p
}

// untouchable says why a route in main is left alone; empty: it is not.
func untouchable(r fib.Route) string {
	switch {
	case r.Protocol == unix.RTPROT_RA || r.Expires:
		return "it is the router's own advertisement, which would come back"
	case r.NexthopID != 0:
		return fmt.Sprintf("it uses the nexthop object %d, which is somebody else's", r.NexthopID)
	}
	return ""
}

// without takes the hops by the NICs out of a route. In IPv6 each hop is a route
// of its own to the kernel; of an IPv4 route no single hop can be deleted, so
// what is left of it replaces it.
func without(in Input, r fib.Route, nics []NIC) []Swap {
	table := mainWithoutAnyone(in)
	rest := r
	for _, n := range nics {
		rest = rest.Through(n.Link.Index, true)
	}
	if len(rest.Hops) == 0 {
		return []Swap{{Out: r, Place: placeOf(r, table)}}
	}
	if r.Family == fib.V4 {
		return []Swap{{Out: r, Place: placeOf(r, table), In: &rest}}
	}
	var swaps []Swap
	for _, h := range r.Hops {
		if !rest.Uses(h.Index) {
			swaps = append(swaps, Swap{Out: singleHop(r, h), Place: placeOf(singleHop(r, h), table)})
		}
	}
	return swaps
}

func singleHop(r fib.Route, h fib.Hop) fib.Route {
	h.Weight = 0
	r.Hops = []fib.Hop{h}
	return r
}

// take makes this attachment's default the pod's in each family that it has a
// gateway in. Rivals stay in main with a worse metric, so that main is never
// without a default, and their NICs get source tables, so that replies from
// their addresses do not change their path.
func take(in Input, nics []NIC) (mainPlan, error) {
	var p mainPlan
	own := nics[0]
	if len(firstExit(own, fib.V4)) == 0 && len(firstExit(own, fib.V6)) == 0 {
		return p, config.Faults{{Path: "mainDefault", Problem: fmt.Sprintf("\"take\" needs a gateway, and none of %s is known: name one in gateways", own.Link.Name)}}
	}
	for _, f := range fib.Families() {
		exit := firstExit(own, f)
		if len(exit) == 0 {
			continue
		}
		mine, others := defaultsSeen(in, nics[:1], f)
		ours, have := ownDefault(in, own, f, mine, exit)
		if !have {
			ours.Metric = betterMetric(others, ours.Metric, f)
		}
		if ours.Protocol == Protocol {
			p.defaults = append(p.defaults, ours)
		}
		for _, r := range others {
			if why := untouchable(r); why != "" {
				p.notes = append(p.notes, fmt.Sprintf("the default route %q is left as it is beside the pod's new one: %s", r, why))
			} else if r.Metric <= ours.Metric {
				p.swaps = append(p.swaps, displace(in, r, own, ours.Metric+displacedStep)...)
			}
		}
		p.displaced = displacedNICs(in, p.displaced, others, nics, f)
	}
	return p, nil
}

func firstExit(n NIC, f fib.Family) []fib.Hop {
	for _, s := range n.Sources {
		if s.Family() == f && len(s.Exit) > 0 {
			return s.Exit
		}
	}
	return nil
}

// ownDefault finds this NIC's default in main, or makes one. A hop of an IPv6
// multipath route is a default of its own once the other hops have gone.
func ownDefault(in Input, own NIC, f fib.Family, mine []fib.Route, exit []fib.Hop) (r fib.Route, have bool) {
	for _, m := range mine {
		if f == fib.V6 || len(m.Through(own.Link.Index, true).Hops) == 0 {
			return m.Through(own.Link.Index, false), true
		}
	}
	b := tableBuilder{in: in, nic: own, table: Table{Number: mainTable}}
	return b.defaultRoute(f, exit), false
}

// betterMetric is a metric below those of others where there is one, so that
// they can stay as they are; an IPv6 route of the same metric would become one
// multipath route with them.
func betterMetric(others []fib.Route, metric uint32, f fib.Family) uint32 {
	best := uint32(0)
	if f == fib.V6 {
		best = 1 // 0 asks IPv6 for its default metric
	}
	for _, r := range others {
		metric = min(metric, max(r.Metric, best+1)-1)
	}
	return metric
}

// displace gives what a rival has beside the NIC's own hops a worse metric.
func displace(in Input, r fib.Route, own NIC, metric uint32) []Swap {
	rest := r.Through(own.Link.Index, true)
	rest.Metric = metric
	table := mainWithoutAnyone(in)
	if r.Family == fib.V4 {
		return []Swap{{Out: r, Place: placeOf(r, table), In: &rest}}
	}
	var swaps []Swap
	for _, h := range r.Hops {
		if rest.Uses(h.Index) {
			worse := singleHop(rest, h)
			swaps = append(swaps, Swap{Out: singleHop(r, h), Place: placeOf(singleHop(r, h), table), In: &worse})
		}
	}
	return swaps
}

// displacedNICs adds the NICs of other defaults that have no source table yet.
func displacedNICs(in Input, known []NIC, rivals []fib.Route, nics []NIC, f fib.Family) []NIC {
	for _, r := range rivals {
		for _, h := range r.Hops {
			l, ok := in.Seen.LinkAt(h.Index)
			if !ok || slices.ContainsFunc(nics, func(n NIC) bool { return n.Link.Index == l.Index }) || !needsTable(in, l) {
				continue
			}
			i := slices.IndexFunc(known, func(n NIC) bool { return n.Link.Index == l.Index })
			if i < 0 {
				i = len(known)
				known = append(known, NIC{Link: l, displaced: true})
			}
			known[i].Sources = append(known[i].Sources, kernelSources(in, known[i], f)...)
		}
	}
	return known
}

// needsTable reports whether a displaced NIC gets a source table from this
// attachment: if it got one on ADD already, or else has none of its own.
func needsTable(in Input, l fib.Link) bool {
	if in.Mine != nil && slices.Contains(in.Mine.Displaced, l.Index) {
		return true
	}
	return in.Then == nil && !slices.ContainsFunc(in.Seen.Rules, func(r fib.Rule) bool { return isOwner(r) && r.OIF == l.Name })
}

// kernelSources are the addresses that a NIC has in the kernel.
func kernelSources(in Input, n NIC, f fib.Family) []Source {
	var out []Source
	for _, a := range in.Seen.Addresses {
		ip := a.Prefix.Addr()
		known := slices.ContainsFunc(n.Sources, func(s Source) bool { return s.Prefix == fib.Host(ip) })
		if a.Index != n.Link.Index || fib.FamilyOf(ip) != f || (ip.Is6() && ip.IsLinkLocalUnicast()) || known {
			continue
		}
		e := exits{in: in, nic: n}
		out = append(out, Source{Prefix: fib.Host(ip), Subnet: a.Prefix.Masked(), Exit: e.fromKernel(f)})
	}
	return out
}
