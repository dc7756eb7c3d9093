// Package view is the routing of one pod as a value that can be shown and drawn: what the kernel has, with the words for
// it, and what symroute remembers. It works for pods without symroute, too.
package view

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/state"
)

// Pod is one pod's routing. Its keys in JSON are stable.
type Pod struct {
	Name      string    `json:"name"`
	Container string    `json:"container,omitempty"`
	Netns     string    `json:"netns"`
	NICs      []NIC     `json:"nics"`
	Defaults  []Default `json:"defaults"`
	Rules     []Rule    `json:"rules"`
	Tables    []Table   `json:"tables"`
	VIPs      []VIP     `json:"vips"`
}

// NIC is an interface of the pod that is not lo.
type NIC struct {
	Index     int       `json:"index"`
	Name      string    `json:"name"`
	Kind      string    `json:"kind,omitempty"` // "veth", "macvlan" ...; empty for hardware
	Up        bool      `json:"up"`
	Idle      string    `json:"idle,omitempty"` // why nothing passes though it is up
	MTU       uint32    `json:"mtu"`
	Addresses []Address `json:"addresses"`
	Sources   []Source  `json:"sources"`
	RPFilter  RPFilter  `json:"rpFilter"`
	// Network, MainDefault and Mode are those of its attachment; empty: it has none of symroute.
	Network     string `json:"network,omitempty"`
	MainDefault string `json:"mainDefault,omitempty"`
}

// Address is an address of a NIC.
type Address struct {
	Prefix     netip.Prefix `json:"prefix"`
	Tentative  bool         `json:"tentative,omitempty"`
	Deprecated bool         `json:"deprecated,omitempty"`
}

// Source is where traffic from an address, or a prefix, goes.
type Source struct {
	Source   netip.Prefix `json:"source"`
	Table    string       `json:"table"`
	Gateways []string     `json:"gateways"` // of its default route; none: it has none
}

// RPFilter is the effective mode of the reverse-path filter.
type RPFilter struct {
	Mode string `json:"mode"` // "off", "strict" or "loose"
	By   string `json:"by"`   // the setting that makes it so: "all", or the NIC's name
}

// Default is who has the pod's default route of a family.
type Default struct {
	Family string   `json:"family"`
	Owners []string `json:"owners"` // "eth0 via 198.51.100.1", the best first
	Next   []string `json:"next"`   // the NICs that have it if those lose theirs, in order
}

// Rule is a policy routing rule, in the kernel's order.
type Rule struct {
	Family string `json:"family"`
	Rule   string `json:"rule"`
	// Role is what it is for: of symroute's, "source", "bound", "decision", "via main", "refusal", "guard", "fallback",
	// "anchor"; else "kernel" or "foreign".
	Role string `json:"role"`
}

// Table is a routing table that rules lead to.
type Table struct {
	Name   string   `json:"name"`
	Routes []string `json:"routes"`
}

// VIP is an address of a virtual service that the pod serves.
type VIP struct {
	Address netip.Addr `json:"address"`
	Device  string     `json:"device"`
}

// Of looks at a pod. Its errors are those of kernel.Enter and kernel.Namespace.Observe.
func Of(p node.Pod) (*Pod, error) {
	ns, err := kernel.Enter(p.Netns)
	if err != nil {
		return nil, err
	}
	defer ns.Close() //nolint:errcheck // it was only looked at
	if now, err := ns.Identity(p.ContainerID); p.Identity != "" && (err != nil || now != p.Identity) {
		return nil, fmt.Errorf("%w: another one stands at %s", kernel.ErrGone, p.Netns)
	}
	seen, err := ns.Observe()
	if err != nil {
		return nil, err
	}
	if seen.Routes, err = ns.AllRoutes(); err != nil {
		return nil, err
	}
	seen.NameHops(seen.Routes)
	out := of(seen, p)
	out.Name, out.Container, out.Netns = p.String(), p.ContainerID, p.Netns
	return out, nil
}

// of puts together what was seen and what is remembered.
func of(seen *fib.Snapshot, p node.Pod) *Pod {
	v := viewer{seen}
	out := &Pod{NICs: []NIC{}, Defaults: []Default{}, Rules: []Rule{}, Tables: []Table{}, VIPs: []VIP{}}
	for _, l := range seen.Links {
		if !l.Loopback {
			out.NICs = append(out.NICs, v.nic(l, p))
		}
	}
	for _, r := range seen.Rules {
		out.Rules = append(out.Rules, Rule{r.Family.String(), v.text(r), roleOf(r)})
	}
	for _, f := range fib.Families() {
		if d := v.mainDefault(f); len(d.Owners) > 0 || len(d.Next) > 0 {
			out.Defaults = append(out.Defaults, d)
		}
	}
	out.Tables = v.routingTables()
	for _, a := range p.Attachments {
		if s := a.State.Server; s != nil {
			for _, vip := range s.VIPs {
				out.VIPs = append(out.VIPs, VIP{vip.Prefix.Addr(), s.DeviceOf(vip)})
			}
		}
	}
	return out
}

// viewer looks at a pod.
type viewer struct {
	seen *fib.Snapshot
}

// nic is a NIC with what its addresses use.
func (v viewer) nic(l fib.Link, p node.Pod) NIC {
	n := NIC{
		Index: l.Index, Name: l.Name, Kind: l.Kind, Up: l.Up, Idle: l.Idle, MTU: l.MTU, Addresses: []Address{}, Sources: []Source{}, RPFilter: v.filter(l),
	}
	own := map[netip.Prefix]bool{}
	for _, a := range v.seen.Addresses {
		ip := a.Prefix.Addr()
		if a.Index != l.Index || ip.IsLinkLocalUnicast() && ip.Is6() {
			continue
		}
		n.Addresses = append(n.Addresses, Address{a.Prefix, a.Tentative, a.Deprecated})
		n.Sources = append(n.Sources, v.source(fib.Host(ip)))
		own[fib.Host(ip)] = true
	}
	for _, r := range v.seen.Rules { // VIPs, and prefixes
		if r.Action == fib.Lookup && r.From.IsValid() && !state.Reserved(r.Table) && !v.isAddress(r.From) && !own[r.From] && v.leadsBy(r.Table, r.Family, l.Index) {
			own[r.From] = true
			n.Sources = append(n.Sources, v.source(r.From))
		}
	}
	for _, a := range p.Attachments {
		if a.State.Main == nil || len(a.State.Main.NICs) == 0 {
			continue
		}
		if own := a.State.Main.NICs[0]; own.Index == l.Index {
			n.Network, n.MainDefault = a.Network, a.State.Main.Wish
		}
	}
	return n
}

func (v viewer) isAddress(source netip.Prefix) bool {
	return fib.IsHost(source) && slices.ContainsFunc(v.seen.Addresses, func(a fib.Address) bool {
		l, _ := v.seen.LinkAt(a.Index)
		return a.Prefix.Addr() == source.Addr() && !l.Loopback
	})
}

// leadsBy says whether the default route of a table is by a NIC.
func (v viewer) leadsBy(table uint32, f fib.Family, index int) bool {
	return slices.ContainsFunc(fib.OfFamily(v.seen.Defaults(table), f), func(r fib.Route) bool { return r.Uses(index) })
}

// filter is the effective reverse-path filter of a NIC, and who makes it so.
func (v viewer) filter(l fib.Link) RPFilter {
	mode := map[int]string{0: "off", 1: "strict", 2: "loose"}[v.seen.EffectiveRPFilter(l)]
	if v.seen.All.RPFilter >= l.RPFilter && v.seen.All.RPFilter > 0 {
		return RPFilter{mode, "all"}
	}
	return RPFilter{mode, l.Name}
}

// source finds the table of a source: that of the first rule that is for all its traffic.
func (v viewer) source(source netip.Prefix) Source {
	table, f := state.MainTable, fib.FamilyOf(source.Addr())
	for _, r := range v.seen.Rules {
		if r.Family == f && r.Action == fib.Lookup && r.Matches(source) && r.From.IsValid() && !state.Reserved(r.Table) {
			table = r.Table
			break
		}
	}
	return Source{source, fib.TableText(table), v.gateways(table, f)}
}

// gateways are the next hops of a table's best default routes.
func (v viewer) gateways(table uint32, f fib.Family) []string {
	out := []string{}
	routes := fib.OfFamily(v.seen.Defaults(table), f)
	for _, r := range routes {
		if r.Metric > routes[0].Metric {
			break
		}
		for _, h := range r.Hops {
			if h.Gateway.IsValid() {
				out = append(out, fmt.Sprintf("%s via %s", h.Dev, h.Gateway))
			} else {
				out = append(out, h.Dev)
			}
		}
		if f == fib.V4 { // of two IPv4 routes at one place the first is used
			break
		}
	}
	return out
}

// mainDefault is who has the default route of main, and who is next: the tables that the fallbacks lead to.
func (v viewer) mainDefault(f fib.Family) Default {
	d := Default{Family: f.String(), Owners: v.gateways(state.MainTable, f), Next: []string{}}
	for _, r := range v.seen.Rules {
		if r.Family == f && state.IsFallback(r) {
			d.Next = append(d.Next, v.gateways(r.Table, f)...)
		}
	}
	return d
}

// text is a rule as iproute2 prints it. What is not modelled of it stands in brackets.
func (v viewer) text(r fib.Rule) string {
	more := r.Other != ""
	r.Other = ""
	text := r.String()
	if more {
		text += " [and more]"
	}
	return text
}

// roleOf says what a rule is for.
func roleOf(r fib.Rule) string {
	switch {
	case state.IsDecision(r):
		return "decision"
	case state.IsAnchor(r):
		return "anchor"
	case state.IsGuard(r):
		return "guard"
	case state.IsFallback(r):
		return "fallback"
	case state.IsBound(r):
		return "bound"
	case state.IsSource(r):
		return "source"
	case r.Protocol == state.Protocol && r.Action == fib.Unreachable:
		return "refusal"
	case r.Protocol == state.Protocol && r.Action == fib.Lookup && r.Table == state.MainTable:
		return "via main"
	case r.Protocol == kernelProtocol, r.Plain() && state.Reserved(r.Table) && !r.From.IsValid() && r.Action == fib.Lookup:
		return "kernel"
	}
	return "foreign"
}

const kernelProtocol = 2 // RTPROT_KERNEL

// routingTables are main and those that rules lead to, in the order of the rules.
func (v viewer) routingTables() []Table {
	out := []Table{}
	var numbers []uint32
	for _, r := range v.seen.Rules {
		if r.Action == fib.Lookup && r.Table != state.LocalTable && !slices.Contains(numbers, r.Table) {
			numbers = append(numbers, r.Table)
		}
	}
	for _, number := range numbers {
		t := Table{fib.TableText(number), []string{}}
		for _, r := range v.seen.Table(number) {
			if r.Dst.Addr().Is6() && r.Dst.Addr().IsMulticast() {
				continue
			}
			r.Table = state.MainTable // which the text leaves out
			t.Routes = append(t.Routes, r.String())
		}
		if len(t.Routes) > 0 || number != defaultTable {
			out = append(out, t)
		}
	}
	return out
}

const defaultTable = 253 // RT_TABLE_DEFAULT, which is empty as a rule

// ModeOf is the mode of rp_filter that an attachment wants for its NIC, in a word.
func ModeOf(a node.Attachment) string {
	for _, d := range a.State.Settings[fib.RPFilter].Devices {
		if d.Name == a.IfName {
			return map[int]string{0: "off", 1: "strict", 2: "loose"}[d.Value]
		}
	}
	return string(config.KeepMain)
}
