// Package state holds the routing that an attachment shall have as a value. It prints as
// iproute2 would print it, it is what a record remembers, and what CHECK compares with the
// kernel.
package state

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/settings"
)

// ErrUnfit is wrapped by the error for a pod that is in no state to be set up: a NIC that
// is down, a source that another NIC has. The configuration may be right all the same.
var ErrUnfit = errors.New("the pod's network is in no state for this")

// State is the routing that an attachment shall have.
type State struct {
	NICs []NIC `json:"nics,omitempty"`
	// Rules are all rules of its own, in the order in which they are added. Others may
	// share some of them; those that all attachments share are in none (package plan).
	Rules []fib.Rule `json:"rules,omitempty"`
	// Settings is what it wants of device settings and what they were, by key
	// (fib.RPFilter ...).
	Settings map[string]settings.Memory `json:"settings,omitempty"`
	// Main is its part in the defaults of main; nil: none.
	Main *Main `json:"main,omitempty"`
	// Server is what an LVS real server has beside; nil: the pod is none.
	Server *Server `json:"lvs,omitempty"`
}

// Role is why a NIC is in a state.
type Role string

// The roles.
const (
	Attached  Role = "attached"  // it is the attachment's
	Displaced Role = "displaced" // it lost the pod's default to this attachment
	Replies   Role = "replies"   // answers from VIPs leave by it
)

// NIC is an interface with sources of its own.
type NIC struct {
	Index int    `json:"index"`
	Name  string `json:"name"` // on ADD
	Role  Role   `json:"role"`
	// Guarded says that its addresses were kept from the fallbacks before ADD. They are
	// again after DEL; those of others are not, for the interface is about to go.
	Guarded bool `json:"guarded,omitempty"`
	// Tables are its source tables. One that has no sources has none.
	Tables []Table `json:"tables,omitempty"`
}

// Table is the routing table of one NIC and one set of gateways per family.
type Table struct {
	Number  uint32      `json:"number"`
	Sources []Source    `json:"sources"`
	Routes  []fib.Route `json:"routes"` // in the order in which the kernel accepts them
}

// Source is what a source rule matches.
type Source struct {
	Prefix netip.Prefix `json:"prefix"`
	// Subnet is the connected prefix of an address of the NIC; not valid for a
	// source that the configuration names.
	Subnet netip.Prefix `json:"subnet,omitzero"`
	// Exit is how its default route leaves; empty: it has none.
	Exit []fib.Hop `json:"exit,omitempty"`
	// Arrival is the index of the device by which packets for a VIP come; 0: the NIC.
	Arrival int `json:"arrival,omitempty"`
	// MaxMSS is the most that its segments may hold, in bytes; 0: as it comes.
	MaxMSS uint32 `json:"maxMSS,omitempty"`
}

// Family is the address family of the source.
func (s Source) Family() fib.Family { return fib.FamilyOf(s.Prefix.Addr()) }

// Sources lists the sources of all tables.
func (n NIC) Sources() []Source {
	var out []Source
	for _, t := range n.Tables {
		out = append(out, t.Sources...)
	}
	return out
}

// Has reports whether the NIC has a source.
func (n NIC) Has(source netip.Prefix) bool {
	return slices.ContainsFunc(n.Tables, func(t Table) bool {
		return slices.ContainsFunc(t.Sources, func(s Source) bool { return s.Prefix == source })
	})
}

// IsRouted reports whether the NIC has sources of a family, and so a table.
func (n NIC) IsRouted(f fib.Family) bool {
	return slices.ContainsFunc(n.Tables, func(t Table) bool { return slices.Contains(t.Families(), f) })
}

// Families lists the families that the table has sources of.
func (t Table) Families() []fib.Family {
	var out []fib.Family
	for _, f := range fib.Families() {
		if slices.ContainsFunc(t.Sources, func(s Source) bool { return s.Family() == f }) {
			out = append(out, f)
		}
	}
	return out
}

// Default is the table's default route of a family.
func (t Table) Default(f fib.Family) (fib.Route, bool) {
	i := slices.IndexFunc(t.Routes, func(r fib.Route) bool { return r.Family == f && r.IsDefault() })
	if i < 0 {
		return fib.Route{}, false
	}
	return t.Routes[i], true
}

// Device names an interface by its index; the name is that of ADD, for the reader.
type Device struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
}

// Main is an attachment's part in the defaults of main.
type Main struct {
	// Wish is "yield", "take" or "keep" (config.MainDefault).
	Wish string `json:"wish"`
	// Turn orders those that take: the latest has it.
	Turn int `json:"turn,omitempty"`
	// NICs are the attachment's, its own first.
	NICs []Device `json:"nics"`
	// Made are the defaults that it adds where its NIC has none.
	Made []fib.Route `json:"made,omitempty"`
	// Defaults are those that its NICs came with, with all their attributes, and
	// Displaced those, of its own NICs and others, that were out of main after ADD.
	Defaults  []fib.Route `json:"defaults,omitempty"`
	Displaced []fib.Route `json:"displaced,omitempty"`
	// Replaced are those that were out of main when ADD found others in their place: they are in the record
	// of who took them out, and count no more.
	Replaced []fib.Route `json:"replaced,omitempty"`
	// Families are those of which main has a default.
	Families []fib.Family `json:"families,omitempty"`
}

// Server is what an LVS real server has.
type Server struct {
	// VIPs are its addresses: on lo, or on a tunnel.
	VIPs []VIP `json:"vips"`
	// Tunnels are the devices by which packets come, all up.
	Tunnels []Tunnel `json:"tunnels,omitempty"`
}

// VIP is an address that clients know.
type VIP struct {
	fib.Address
	// Foreign is set where somebody else has configured it, whose it is to take away.
	Foreign bool `json:"foreign,omitempty"`
}

// Tunnel is a device that a real server uses, and how it was before the first attachment
// came that uses it.
type Tunnel struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Made  bool   `json:"made,omitempty"`    // there was none
	Down  bool   `json:"wasDown,omitempty"` // it was not up
}

// Routes lists the routes of all tables.
func (s State) Routes() []fib.Route {
	var out []fib.Route
	for _, n := range s.NICs {
		for _, t := range n.Tables {
			out = append(out, t.Routes...)
		}
	}
	return out
}

// Tables lists the numbers of all tables.
func (s State) Tables() []uint32 {
	var out []uint32
	for _, n := range s.NICs {
		for _, t := range n.Tables {
			out = append(out, t.Number)
		}
	}
	return out
}

// String prints the state as iproute2 would.
func (s State) String() string {
	var b strings.Builder
	for _, r := range s.Rules {
		fmt.Fprintf(&b, "%s\n", command("rule", r.Family, r.String()))
	}
	for _, r := range s.Routes() {
		fmt.Fprintf(&b, "%s\n", command("route", r.Family, r.String()))
	}
	for _, key := range settings.Keys() {
		for _, line := range s.Settings[key].Text(key) {
			fmt.Fprintf(&b, "%s\n", line)
		}
	}
	if s.Server != nil {
		for _, v := range s.Server.VIPs {
			fmt.Fprintf(&b, "VIP %s dev %s\n", v, s.Server.DeviceOf(v))
		}
	}
	return b.String()
}

// DeviceOf names the device of a VIP.
func (s *Server) DeviceOf(v VIP) string {
	if i := slices.IndexFunc(s.Tunnels, func(t Tunnel) bool { return t.Index == v.Index }); i >= 0 {
		return s.Tunnels[i].Name
	}
	return "lo"
}

func command(object string, f fib.Family, text string) string {
	if f == fib.V6 {
		return "-6 " + object + " " + text
	}
	return "-4 " + object + " " + text
}
