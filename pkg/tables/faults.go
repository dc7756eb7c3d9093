package tables

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// This file is what is wrong in a configuration and shows in the pod alone.

// faults are those of the attachment's NICs, of which the first is its own.
func (p Pod) faults(nics []NIC) config.Faults {
	var out config.Faults
	fault := func(problem, path string, i int) {
		if problem != "" {
			out = append(out, config.Fault{Path: fmt.Sprintf(path, i), Problem: problem})
		}
	}
	var places []place
	if len(p.Config.Gateways) > 0 || len(p.Config.Routes) > 0 {
		for _, n := range nics {
			places = append(places, place{NIC: n, subnets: p.subnetsOf(n)})
		}
	}
	for i, g := range p.Config.Gateways {
		fault(p.unfitGateway(g, places), "gateways[%d]", i)
	}
	for i, r := range p.Config.Routes {
		fault(p.unfitNextHop(r, places[0]), "routes[%d].gw", i)
	}
	for i, remote := range p.Config.CheckDestinations {
		fault(p.neverAsked(remote, nics), "checkDestinations[%d]", i)
	}
	return append(out, p.missingGateways(nics...)...)
}

// place is a NIC and the subnets of its addresses: as the result has them, and as the kernel does.
type place struct {
	NIC
	subnets []netip.Prefix
}

func (p Pod) subnetsOf(n NIC) []netip.Prefix {
	var out []netip.Prefix
	known := map[netip.Prefix]bool{}
	add := func(s netip.Prefix) {
		if s.IsValid() && !fib.IsHost(s) && !known[s] {
			known[s] = true
			out = append(out, s)
		}
	}
	for _, s := range n.Sources {
		add(s.Subnet)
	}
	for _, a := range p.Seen.Addresses {
		if a.Index == n.Link.Index && !a.Prefix.Addr().IsLinkLocalUnicast() {
			add(a.Prefix.Masked())
		}
	}
	return out
}

// unfitGateway says why an entry of "gateways" can be nobody's gateway; "" where it can.
func (p Pod) unfitGateway(g config.Gateway, nics []place) string {
	if problem := p.noNextHop(g.Addr, nics); problem != "" {
		return problem
	}
	if g.OnLink || g.Addr.IsLinkLocalUnicast() {
		return ""
	}
	if slices.ContainsFunc(nics, func(n place) bool { return slices.ContainsFunc(n.Sources, serves(g.Addr)) }) {
		return ""
	}
	var subnets []string
	for _, n := range nics {
		for _, s := range n.Sources {
			if s.Family() == fib.FamilyOf(g.Addr) && s.Subnet.IsValid() {
				subnets = append(subnets, s.Subnet.String()+" of "+n.Link.Name)
			}
		}
	}
	if len(subnets) == 0 {
		return "" // no address of its family came with one
	}
	return fmt.Sprintf(`%s is in no subnet of the attachment (%s): name a gateway in one of them, or write {"gw": "%s", "onlink": true} if the NIC reaches it all the same`,
		g.Addr, some(subnets), g.Addr)
}

// serves tells the sources whose gateway an address may be. An address that came as /32 has no
// subnet: its gateway is anywhere.
func serves(gateway netip.Addr) func(state.Source) bool {
	return func(s state.Source) bool {
		return s.Family() == fib.FamilyOf(gateway) && (fib.IsHost(s.Subnet) || s.Subnet.Contains(gateway) || s.Prefix.Contains(gateway))
	}
}

// unfitNextHop says why the next hop of a route of the configuration is none; "" where it is one.
func (p Pod) unfitNextHop(r config.Route, own place) string {
	g, f := r.Gateway, fib.FamilyOf(r.Gateway)
	hasFamily := func(s state.Source) bool { return s.Family() == fib.FamilyOf(r.Dst.Addr()) }
	if !g.IsValid() || !slices.ContainsFunc(own.Sources, hasFamily) {
		return "" // on-link, or for a part of the table that there is not
	}
	if g.Is6() && !own.Link.IPv6 {
		return fmt.Sprintf("%s is IPv6, and IPv6 is off on %s: switch it on, or name an IPv4 next hop", g, own.Link.Name)
	}
	if problem := p.noNextHop(g, []place{own}); problem != "" {
		return problem
	}
	if r.OnLink || g.IsLinkLocalUnicast() || p.onLinkOf(own, g) {
		return ""
	}
	var subnets []string
	for _, s := range own.subnets {
		if fib.FamilyOf(s.Addr()) == f {
			subnets = append(subnets, s.String())
		}
	}
	if len(subnets) == 0 {
		return fmt.Sprintf(`%s is in no subnet of %s, which has none in %s: write "onlink": true beside it if the NIC reaches it all the same`, g, own.Link.Name, f)
	}
	return fmt.Sprintf(`%s is in no subnet of %s (%s): name a next hop in one of them, or write "onlink": true beside it if the NIC reaches it all the same`,
		g, own.Link.Name, some(subnets))
}

// onLinkOf reports whether a NIC reaches an address by the link, as far as one can tell: it is in
// one of its subnets, in a link route to somewhere, or the gateway of a source. An address that came
// as /32 tells nothing.
func (p Pod) onLinkOf(n place, a netip.Addr) bool {
	f := fib.FamilyOf(a)
	tells := func(s state.Source) bool {
		isExit := slices.ContainsFunc(s.Exit, func(h fib.Hop) bool { return h.Gateway == a })
		return isExit || s.Family() == f && fib.IsHost(s.Subnet)
	}
	if slices.ContainsFunc(n.subnets, func(s netip.Prefix) bool { return s.Contains(a) }) || slices.ContainsFunc(n.Sources, tells) {
		return true
	}
	b := p.builder(n.NIC, nil)
	links := slices.Concat(b.configured(f), b.fromMain(f), b.fromResult(f, nil))
	return slices.ContainsFunc(links, func(r fib.Route) bool { return len(r.Gateways()) == 0 && r.Dst.Contains(a) })
}

// noNextHop says why an address is nobody's next hop, whatever the NICs reach; "" where it may be.
func (p Pod) noNextHop(a netip.Addr, nics []place) string {
	for _, x := range p.Seen.Addresses {
		onThem := slices.ContainsFunc(nics, func(n place) bool { return n.Link.Index == x.Index })
		if x.Prefix.Addr() == a && (onThem || !a.IsLinkLocalUnicast()) {
			return fmt.Sprintf("%s is the pod's own address; name another host's", a)
		}
	}
	for _, n := range nics {
		if n.has(fib.Host(a)) {
			return fmt.Sprintf("%s is the pod's own address; name another host's", a)
		}
		for _, s := range n.subnets {
			if fib.IsEdge(s, a) {
				return fmt.Sprintf("%s is the network or broadcast address of %s of %s; name a host's", a, s, n.Link.Name)
			}
		}
	}
	return ""
}

// neverAsked says why CHECK would not ask about an address of the configuration; "" where it does.
func (p Pod) neverAsked(remote netip.Addr, nics []NIC) string {
	if _, local := p.Seen.Address(remote); local {
		return fmt.Sprintf("%s is never asked about, for it is the pod's own address; remove it", remote)
	}
	for _, x := range p.Seen.Addresses {
		if fib.IsEdge(x.Prefix, remote) {
			return fmt.Sprintf("%s is never asked about, for it is the network or broadcast address of %s; remove it", remote, x.Prefix.Masked())
		}
	}
	family := func(s state.Source) bool { return s.Family() == fib.FamilyOf(remote) }
	if !slices.ContainsFunc(nics, func(n NIC) bool { return slices.ContainsFunc(n.Sources, family) }) {
		return fmt.Sprintf("%s is never asked about, for the attachment has no %s source; remove it", remote, fib.FamilyOf(remote))
	}
	return ""
}

// missingGateways are the sources that have none where each needs one.
func (p Pod) missingGateways(nics ...NIC) config.Faults {
	var out config.Faults
	for _, n := range nics {
		for _, s := range n.Sources {
			if p.Config.RequireGateway && len(s.Exit) == 0 {
				out = append(out, config.Fault{Path: "requireGateway", Problem: fmt.Sprintf(
					"the source %s of %s has no gateway: name one in gateways, or let the IPAM plugin return one", fib.PrefixText(s.Prefix), n.Link.Name)})
			}
		}
	}
	return out
}

// some lists names for a message, of many the first.
func some(names []string) string {
	const enough = 5
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > enough {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
	}
	return strings.Join(names, ", ")
}
