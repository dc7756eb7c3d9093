// Package draw draws the routing of a pod: as a picture (SVG), as Graphviz' DOT, and as Mermaid's flowchart. It is made
// to be put into a ticket: it needs nothing beside itself, and can be read without colors.
package draw

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/view"
)

// Flow is a connection that is drawn into the picture.
type Flow struct {
	Client, Local string // addresses
	// Arrives is the NIC by which the client's packets come, Leaves the one by which those of the pod leave; "" or "none":
	// nothing does.
	Arrives, Leaves string
	Works           bool
	Verdict         string
}

// row is a NIC with what its sources use.
type row struct {
	nic    []string // lines about it, its name first
	groups []group
}

// group are sources of a NIC that use one table and its gateways.
type group struct {
	sources  []string
	table    string
	gateways []string
}

// rowsOf are the rows of a pod.
func rowsOf(p *view.Pod) []row {
	var out []row
	for _, n := range p.NICs {
		r := row{nic: aboutNIC(n)}
		for _, s := range n.Sources {
			source := s.Source.String()
			if s.Source.IsSingleIP() {
				source = s.Source.Addr().String()
			}
			gateways := s.Gateways
			if len(gateways) == 0 {
				gateways = []string{"no default route"}
			}
			i := slices.IndexFunc(r.groups, func(g group) bool { return g.table == s.Table && slices.Equal(g.gateways, gateways) })
			if i < 0 {
				i = len(r.groups)
				r.groups = append(r.groups, group{table: s.Table, gateways: gateways})
			}
			r.groups[i].sources = append(r.groups[i].sources, source)
		}
		if len(r.groups) == 0 {
			r.groups = []group{{sources: []string{"no addresses"}, table: "none", gateways: []string{"none"}}}
		}
		out = append(out, r)
	}
	return out
}

func aboutNIC(n view.NIC) []string {
	up := "up"
	switch {
	case !n.Up:
		up = "DOWN"
	case n.Idle != "":
		up = strings.ToUpper(n.Idle)
	}
	filter := "rp_filter " + n.RPFilter.Mode
	if n.RPFilter.Mode != "off" {
		filter += " (" + n.RPFilter.By + ")"
	}
	lines := []string{n.Name, fmt.Sprintf("%s, mtu %d", up, n.MTU), filter}
	if n.Network != "" {
		lines = append(lines, "network "+n.Network, "mainDefault "+n.MainDefault)
	} else {
		lines = append(lines, "without symroute")
	}
	return lines
}

// defaults tells who has the pod's default routes.
func defaults(p *view.Pod) []string {
	lines := []string{"Sockets without a source address leave by:"}
	for _, d := range p.Defaults {
		line := d.Family + ": " + strings.Join(d.Owners, " or ")
		if len(d.Owners) == 0 {
			line = d.Family + ": nothing in main"
		}
		if len(d.Next) > 0 {
			line += "; next " + strings.Join(d.Next, ", ")
		}
		lines = append(lines, line)
	}
	if len(p.Defaults) == 0 {
		lines = append(lines, "nothing: there is no default route")
	}
	for _, v := range p.VIPs {
		lines = append(lines, fmt.Sprintf("Virtual service %s on %s", v.Address, v.Device))
	}
	return lines
}

// foreign are the rules that are neither the kernel's nor symroute's, as far as there is room.
func foreign(p *view.Pod) []string {
	const most = 12
	var lines []string
	for _, r := range p.Rules {
		if r.Role != "foreign" {
			continue
		}
		if len(lines) == most {
			lines = append(lines, "and more")
			break
		}
		lines = append(lines, r.Family+" "+r.Rule)
	}
	if len(lines) == 0 {
		return nil
	}
	return append([]string{"Rules of others:"}, lines...)
}
