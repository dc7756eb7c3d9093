// Package change holds the changes to a pod's network as values: what each does, and which
// takes it back. Package kernel carries them out.
package change

import (
	"fmt"

	"github.com/symroute/symroute/pkg/fib"
)

// Change is one change to the kernel.
type Change interface {
	// String is the command that would do the same.
	fmt.Stringer
	// Inverse is the change that takes this one back.
	Inverse() Change
}

// AddRule adds a rule; it must not exist.
type AddRule struct{ Rule fib.Rule }

// DelRule removes a rule of that protocol.
type DelRule struct{ Rule fib.Rule }

// AddRoute adds a route to a table of ours; its place must be free.
type AddRoute struct{ Route fib.Route }

// DelRoute removes a route from a table of ours.
type DelRoute struct{ Route fib.Route }

// ReplaceRoute puts a route of a table of ours into the place of another: at no moment is
// there none.
type ReplaceRoute struct{ Old, Route fib.Route }

// AddToMain adds a route to main, behind those of its destination and metric.
type AddToMain struct{ Route fib.Route }

// DelFromMain removes just this route from main, an IPv6 one hop by hop.
type DelFromMain struct{ Route fib.Route }

// Set writes a device setting (fib.SettingPath).
type Set struct {
	Device string // a name, "all" or "default"
	Index  int    // of the device, whose name may change; 0: all, default
	Key    string
	Was    int
	Value  int
}

// AddAddress configures an address.
type AddAddress struct{ Address fib.Address }

// DelAddress takes an address away.
type DelAddress struct{ Address fib.Address }

// MakeLink makes a device of a kind, under an index that is free.
type MakeLink struct {
	Index      int
	Name, Kind string
}

// DelLink removes a device. The kernel keeps those that it made itself.
type DelLink MakeLink

// SetLink sets a device up or down.
type SetLink struct {
	Index int
	Name  string
	Up    bool
}

// Inverse implements Change.
func (c AddRule) Inverse() Change { return DelRule(c) }

// Inverse implements Change.
func (c DelRule) Inverse() Change { return AddRule(c) }

// Inverse implements Change.
func (c AddRoute) Inverse() Change { return DelRoute(c) }

// Inverse implements Change.
func (c DelRoute) Inverse() Change { return AddRoute(c) }

// Inverse implements Change.
func (c ReplaceRoute) Inverse() Change { return ReplaceRoute{Old: c.Route, Route: c.Old} }

// Inverse implements Change.
func (c AddToMain) Inverse() Change { return DelFromMain(c) }

// Inverse implements Change.
func (c DelFromMain) Inverse() Change { return AddToMain(c) }

// Inverse implements Change.
func (c AddAddress) Inverse() Change { return DelAddress(c) }

// Inverse implements Change.
func (c DelAddress) Inverse() Change { return AddAddress(c) }

// Inverse implements Change.
func (c MakeLink) Inverse() Change { return DelLink(c) }

// Inverse implements Change.
func (c DelLink) Inverse() Change { return MakeLink(c) }

// Inverse implements Change.
func (c SetLink) Inverse() Change {
	c.Up = !c.Up
	return c
}

// Inverse implements Change.
func (c Set) Inverse() Change {
	c.Was, c.Value = c.Value, c.Was
	return c
}

func (c AddRule) String() string  { return command(c.Rule.Family, "rule add ", c.Rule) }
func (c DelRule) String() string  { return command(c.Rule.Family, "rule del ", c.Rule) }
func (c AddRoute) String() string { return command(c.Route.Family, "route add ", c.Route) }
func (c DelRoute) String() string { return command(c.Route.Family, "route del ", c.Route) }
func (c ReplaceRoute) String() string {
	return command(c.Route.Family, "route replace ", c.Route)
}
func (c AddToMain) String() string   { return command(c.Route.Family, "route append ", c.Route) }
func (c DelFromMain) String() string { return command(c.Route.Family, "route del ", c.Route) }
func (c AddAddress) String() string  { return "ip addr add " + addressText(c.Address) }
func (c DelAddress) String() string  { return "ip addr del " + addressText(c.Address) }
func (c MakeLink) String() string    { return fmt.Sprintf("ip link add %s type %s", c.Name, c.Kind) }
func (c DelLink) String() string     { return "ip link del " + c.Name }

func (c SetLink) String() string {
	if c.Up {
		return fmt.Sprintf("ip link set %s up", c.Name)
	}
	return fmt.Sprintf("ip link set %s down", c.Name)
}

func (c Set) String() string {
	return fmt.Sprintf("sysctl -w %s=%d", fib.SettingPath(c.Device, c.Key), c.Value)
}

func addressText(a fib.Address) string { return fmt.Sprintf("%s dev #%d", a.Prefix, a.Index) }

func command(f fib.Family, verb string, object fmt.Stringer) string {
	if f == fib.V6 {
		return "ip -6 " + verb + object.String()
	}
	return "ip " + verb + object.String()
}
