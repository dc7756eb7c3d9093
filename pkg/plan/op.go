package plan

import (
	"fmt"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
)

// Op is one change to the kernel. It is a value: what it does is up to whoever
// applies it.
type Op interface {
	fmt.Stringer
	// Inverse is the change that takes this one back.
	Inverse() Op
}

// AddRule adds a rule behind those of the same priority; it must not exist.
type AddRule struct{ Rule fib.Rule }

// DelRule removes a rule.
type DelRule struct{ Rule fib.Rule }

// AddRoute adds a route to a table of ours; nothing may stand in its place.
type AddRoute struct{ Route fib.Route }

// DelRoute removes a route from a table of ours.
type DelRoute struct{ Route fib.Route }

// Reorder puts rules of ours of one family and priority, which the kernel tries
// in the order of their addition, into another order.
type Reorder struct {
	Was, Want []fib.Rule
}

// Place is where a route stands among those of the same table, destination and
// metric. In IPv4 the first of them is used (fib_find_alias); in IPv6 they are
// hops of one route.
type Place struct {
	First  bool        // none stands before it
	Before []fib.Route // these stand behind it
}

// PutIn inserts a route into a table of others, at its place.
type PutIn struct {
	Route fib.Route
	Place Place
}

// TakeOut removes a route from a table of others.
type TakeOut struct {
	Route fib.Route
	Place Place
}

// Set writes a device setting, /proc/sys/net/ipv4/conf/DEVICE/KEY.
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

// Inverse implements Op.
func (o AddRule) Inverse() Op { return DelRule(o) }

// Inverse implements Op.
func (o DelRule) Inverse() Op { return AddRule(o) }

// Inverse implements Op.
func (o AddRoute) Inverse() Op { return DelRoute(o) }

// Inverse implements Op.
func (o DelRoute) Inverse() Op { return AddRoute(o) }

// Inverse implements Op.
func (o PutIn) Inverse() Op { return TakeOut(o) }

// Inverse implements Op.
func (o TakeOut) Inverse() Op { return PutIn(o) }

// Inverse implements Op.
func (o Reorder) Inverse() Op { return Reorder{Was: o.Want, Want: distinct(o.Was)} }

// Inverse implements Op.
func (o AddAddress) Inverse() Op { return DelAddress(o) }

// Inverse implements Op.
func (o DelAddress) Inverse() Op { return AddAddress(o) }

// Inverse implements Op.
func (o MakeLink) Inverse() Op { return DelLink(o) }

// Inverse implements Op.
func (o DelLink) Inverse() Op { return MakeLink(o) }

// Inverse implements Op.
func (o SetLink) Inverse() Op {
	o.Up = !o.Up
	return o
}

// Inverse implements Op.
func (o Set) Inverse() Op {
	o.Was, o.Value = o.Value, o.Was
	return o
}

func (o AddRule) String() string { return familyCommand("rule add", o.Rule.Family) + o.Rule.String() }
func (o DelRule) String() string { return familyCommand("rule del", o.Rule.Family) + o.Rule.String() }
func (o AddRoute) String() string {
	return familyCommand("route add", o.Route.Family) + o.Route.String()
}
func (o DelRoute) String() string {
	return familyCommand("route del", o.Route.Family) + o.Route.String()
}
func (o PutIn) String() string { return familyCommand("route add", o.Route.Family) + o.Route.String() }
func (o TakeOut) String() string {
	return familyCommand("route del", o.Route.Family) + o.Route.String()
}
func (o Reorder) String() string { return fmt.Sprintf("put rules into the order %q", o.Want) }
func (o Set) String() string {
	return fmt.Sprintf("sysctl net.ipv4.conf.%s.%s=%d", o.Device, o.Key, o.Value)
}

func (o AddAddress) String() string { return "ip addr add " + addressText(o.Address) }
func (o DelAddress) String() string { return "ip addr del " + addressText(o.Address) }
func (o MakeLink) String() string   { return fmt.Sprintf("ip link add %s type %s", o.Name, o.Kind) }
func (o DelLink) String() string    { return "ip link del " + o.Name }
func (o SetLink) String() string {
	if o.Up {
		return fmt.Sprintf("ip link set %s up", o.Name)
	}
	return fmt.Sprintf("ip link set %s down", o.Name)
}

func addressText(a fib.Address) string { return fmt.Sprintf("%s dev #%d", a.Prefix, a.Index) }

func familyCommand(what string, f fib.Family) string {
	if f == fib.V6 {
		return "ip -6 " + what + " "
	}
	return "ip " + what + " "
}

// besides reports whether the order of two routes means anything. In IPv6 it
// does among the hops of one multipath route only, which none is that the router
// advertised, that expires, or that has no gateway (rt6_qualify_for_ecmp).
func besides(o, r fib.Route) bool {
	if !o.SamePlace(r) {
		return false
	}
	return o.Family == fib.V4 || (untouchable(o) == "" && len(o.Gateways()) > 0)
}

// placeOf finds where a route stands in a table.
func placeOf(r fib.Route, table []fib.Route) Place {
	rivals := slices.DeleteFunc(asHops(table), func(o fib.Route) bool { return !besides(o, r) })
	i := slices.IndexFunc(rivals, r.Equal)
	if i < 0 {
		return Place{First: len(rivals) == 0}
	}
	return Place{First: i == 0, Before: rivals[i+1:]}
}
