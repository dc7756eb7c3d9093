// Package tables plans the source tables of a pod: which sources a NIC has, by which gateways
// they leave, and which routes stand in a table of which number.
package tables

import (
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// Pod is where source tables are planned.
type Pod struct {
	Config *config.Config
	IfName string // of the attachment's own interface
	// InPod says of each interface of the result whether its sandbox is this pod.
	InPod []bool
	Seen  *fib.Snapshot
	// Main is the main table as it would be without us; Defaults are its default routes,
	// in it or taken out of it.
	Main, Defaults []fib.Route
	// Mine are the states that the attachment may be in, Others those of the others.
	Mine, Others []state.State
	// Routes reads the routes of a table that Seen does not hold.
	Routes func(table uint32) ([]fib.Route, error)
}

// NIC is an interface that is being planned.
type NIC struct {
	Link    fib.Link
	Role    state.Role
	Sources []state.Source
	Tables  []state.Table
}

func (n NIC) has(source netip.Prefix) bool {
	return slices.ContainsFunc(n.Sources, func(s state.Source) bool { return s.Prefix == source })
}

// tables are those that an attachment has.
func (p Pod) tables() map[uint32]bool {
	out := map[uint32]bool{}
	for _, s := range slices.Concat(p.Mine, p.Others) {
		for _, table := range s.Tables() {
			out[table] = true
		}
	}
	return out
}

// Displaced is a NIC that another attachment displaced, or none has: with the addresses of the
// families that it has in the kernel.
func (p Pod) Displaced(l fib.Link, families []fib.Family) NIC {
	n := NIC{Link: l, Role: state.Displaced}
	exit := map[fib.Family][]fib.Hop{}
	for _, f := range families {
		exit[f] = exits{pod: p, nic: n}.fromKernel(f)
	}
	has := map[netip.Addr]bool{}
	for _, a := range p.Seen.Addresses {
		ip := a.Prefix.Addr()
		f := fib.FamilyOf(ip)
		if a.Index != l.Index || !slices.Contains(families, f) || (ip.Is6() && ip.IsLinkLocalUnicast()) || has[ip] {
			continue
		}
		has[ip] = true
		n.Sources = append(n.Sources, state.Source{Prefix: fib.Host(ip), Subnet: a.Prefix.Masked(), Exit: exit[f]})
	}
	return n
}

// Default is the default route that main would have by a NIC's gateways of a family; none
// without any.
func (p Pod) Default(n NIC, f fib.Family) (fib.Route, bool) {
	for _, s := range n.Sources {
		if s.Family() == f && len(s.Exit) > 0 {
			b := &tableBuilder{pod: p, nic: n, table: state.Table{Number: state.MainTable}}
			return b.defaultRoute(f, s.Exit), true
		}
	}
	return fib.Route{}, false
}
