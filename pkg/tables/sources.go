package tables

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
	"github.com/symroute/symroute/pkg/state"
)

// Attached finds the sources of the attachment's interfaces and how each leaves. Its error is a
// config.Faults, of what is wrong with them in this pod.
func (p Pod) Attached(links []fib.Link, server *lvs.Server) ([]NIC, error) {
	var out []NIC
	for i, l := range links {
		n := NIC{Link: l, Role: state.Attached, Sources: p.addressSources(l)}
		if server != nil && server.Reply.Index == l.Index {
			n.Sources = append(n.Sources, server.Sources(links[0])...)
		}
		if i == 0 {
			n.Sources = append(n.Sources, p.configuredSources(n)...)
		}
		out = append(out, n)
	}
	for i := range out {
		exits := exits{pod: p, nic: out[i], all: out}
		for j, source := range out[i].Sources {
			out[i].Sources[j].Exit = exits.of(source)
		}
	}
	return out, p.faults(out).OrNone()
}

// addressSources are the addresses that the result gives to an interface. An
// IPv6 one needs IPv6 on the device; a link-local one is only ever used on its
// own link and needs no rule.
func (p Pod) addressSources(l fib.Link) []state.Source {
	var out []state.Source
	prev := p.Config.Prev
	for _, ip := range prev.IPs {
		name := p.IfName
		if ip.Interface != config.NoInterface {
			if !p.InPod[ip.Interface] {
				continue // an address of the node's side
			}
			name = prev.Interfaces[ip.Interface].Name
		}
		a := ip.Address.Addr()
		if name != l.Name || (a.Is6() && (!l.IPv6 || a.IsLinkLocalUnicast())) {
			continue
		}
		out = append(out, state.Source{Prefix: fib.Host(a), Subnet: ip.Address.Masked()})
	}
	return out
}

// configuredSources are those of the configuration that are not addresses of
// the interface anyway.
func (p Pod) configuredSources(n NIC) []state.Source {
	var out []state.Source
	for _, prefix := range p.Config.Sources {
		if !n.has(prefix) && (prefix.Addr().Is4() || n.Link.IPv6) {
			out = append(out, state.Source{Prefix: prefix})
		}
	}
	return out
}

// exits finds how the sources of one NIC leave.
type exits struct {
	pod Pod
	nic NIC
	all []NIC
}

// of finds the gateways of a source: the first of the places that names any.
// IPAM plugins often name it in only one of them.
func (e exits) of(s state.Source) []fib.Hop {
	if gws := e.configured(s); len(gws) > 0 {
		return e.hops(gws...)
	}
	if !s.Subnet.IsValid() {
		if like, ok := e.addressLike(s); ok {
			return e.of(like)
		}
	}
	if gw, ok := e.fromAddress(s); ok {
		return e.hops(config.Gateway{Addr: gw})
	}
	if gw, ok := e.fromResultRoutes(s); ok {
		return e.hops(config.Gateway{Addr: gw})
	}
	return e.fromKernel(s.Family())
}

func (e exits) hops(gws ...config.Gateway) []fib.Hop {
	var out []fib.Hop
	for _, g := range gws {
		onLink := g.OnLink && !e.subnetOf(g.Addr).IsValid() // a neighbour in a subnet is one anyway
		out = append(out, fib.Hop{Gateway: g.Addr, Index: e.nic.Link.Index, Dev: e.nic.Link.Name, OnLink: onLink})
	}
	return normalHops(out)
}

// normalHops makes equal sets of next hops equal: sorted, with weights only
// where there are several.
func normalHops(hops []fib.Hop) []fib.Hop {
	hops = slices.Clone(hops)
	slices.SortStableFunc(hops, func(a, b fib.Hop) int { return a.Gateway.Compare(b.Gateway) })
	return normalWeights(hops)
}

// normalWeights gives weights where there are several hops and none to one.
func normalWeights(hops []fib.Hop) []fib.Hop {
	for i := range hops {
		switch {
		case len(hops) == 1:
			hops[i].Weight = 0
		case hops[i].Weight == 0:
			hops[i].Weight = 1
		}
	}
	return hops
}

// addressLike finds the address of the NIC whose way a configured source goes:
// one whose subnet holds it, or the first of its family.
func (e exits) addressLike(s state.Source) (state.Source, bool) {
	var first *state.Source
	for _, a := range e.nic.Sources {
		if !a.Subnet.IsValid() || a.Family() != s.Family() {
			continue
		}
		if a.Subnet.Contains(s.Prefix.Addr()) {
			return a, true
		}
		if first == nil {
			first = &a
		}
	}
	if first == nil {
		return state.Source{}, false
	}
	return *first, true
}

// configured lists the gateways of the configuration that serve a source: those
// in its subnet, link-local ones and those on the link by configuration. A source
// without a subnet (a /32, a VIP) goes by those of the subnet it lies in, else by
// all. Another gateway in no subnet is for a /32 source; where there is one it
// serves all.
func (e exits) configured(s state.Source) []config.Gateway {
	family := slices.DeleteFunc(slices.Clone(e.pod.Config.Gateways), func(g config.Gateway) bool { return fib.FamilyOf(g.Addr) != s.Family() })
	single := !s.Subnet.IsValid() || fib.IsHost(s.Subnet)
	home := s.Subnet
	if single {
		home = e.subnetOf(s.Prefix.Addr())
	}
	var out []config.Gateway
	for _, g := range family {
		onLink := g.Addr.IsLinkLocalUnicast() || g.OnLink && !e.elsewhere(g.Addr)
		if onLink || (home.IsValid() && home.Contains(g.Addr)) || !e.inSubnet(g.Addr) && (single || e.hasHost(s.Family())) {
			out = append(out, g)
		}
	}
	if len(out) == 0 && single {
		out = slices.DeleteFunc(family, func(g config.Gateway) bool { return e.elsewhere(g.Addr) })
	}
	return out
}

// subnetOf finds the connected prefix of the NIC that holds an address.
func (e exits) subnetOf(a netip.Addr) netip.Prefix {
	for _, s := range e.nic.Sources {
		if s.Subnet.IsValid() && !fib.IsHost(s.Subnet) && s.Subnet.Contains(a) {
			return s.Subnet
		}
	}
	return netip.Prefix{}
}

// inSubnet reports whether any NIC of the attachment is connected to a gateway.
func (e exits) inSubnet(g netip.Addr) bool {
	return e.subnetOf(g).IsValid() || e.elsewhere(g)
}

// elsewhere reports whether another NIC of the attachment is connected to a
// gateway and this one is not.
func (e exits) elsewhere(g netip.Addr) bool {
	if e.subnetOf(g).IsValid() {
		return false
	}
	return slices.ContainsFunc(e.all, func(n NIC) bool {
		return n.Link.Index != e.nic.Link.Index && exits{nic: n}.subnetOf(g).IsValid()
	})
}

func (e exits) hasHost(f fib.Family) bool {
	return slices.ContainsFunc(e.nic.Sources, func(s state.Source) bool { return s.Family() == f && fib.IsHost(s.Subnet) })
}

// fromAddress is the gateway that came with the address itself.
func (e exits) fromAddress(s state.Source) (netip.Addr, bool) {
	for _, ip := range e.pod.Config.Prev.IPs {
		if ip.Address.Addr() == s.Prefix.Addr() && ip.Gateway.IsValid() {
			return ip.Gateway, true
		}
	}
	return netip.Addr{}, false
}

// fromResultRoutes is the next hop of a default route of the result: one that
// the source's subnet holds, else any that no other NIC is connected to.
func (e exits) fromResultRoutes(s state.Source) (netip.Addr, bool) {
	var fallback netip.Addr
	for _, r := range e.pod.Config.Prev.Routes {
		if r.Table != nil || r.Dst.Bits() != 0 || !r.Gateway.IsValid() || fib.FamilyOf(r.Dst.Addr()) != s.Family() {
			continue
		}
		if s.Subnet.IsValid() && s.Subnet.Contains(r.Gateway) {
			return r.Gateway, true
		}
		if !fallback.IsValid() && !e.elsewhere(r.Gateway) {
			fallback = r.Gateway
		}
	}
	return fallback, fallback.IsValid()
}

// fromKernel is how the best default route by this NIC leaves that the main
// table has, or would have without us.
func (e exits) fromKernel(f fib.Family) []fib.Hop {
	var hops []fib.Hop
	var chosen fib.Route
	for _, r := range e.pod.Defaults {
		if r.Family != f || !r.Uses(e.nic.Link.Index) {
			continue
		}
		best := r.Through(e.nic.Link.Index, false).Hops
		switch {
		case len(hops) == 0 || isBetter(r, chosen):
			hops, chosen = best, r
		case f == fib.V6 && !isBetter(chosen, r): // hops of one route (fib6_add_rt2node), or equal routers
			hops = append(hops, best...)
		}
	}
	return normalHops(hops)
}

// isBetter reports whether a default is used before another: by its metric, and of routers that
// advertise themselves by their preference (rt6_score_route).
func isBetter(a, b fib.Route) bool {
	if a.Metric != b.Metric || a.Protocol != unix.RTPROT_RA || b.Protocol != unix.RTPROT_RA {
		return a.Metric < b.Metric
	}
	return preference(a.Pref) > preference(b.Pref)
}

// preference is a router's: high above medium above low, a number of two bits with a sign (RFC 4191, 2.1).
func preference(p uint8) int8 { return int8(p<<6) >> 6 }
