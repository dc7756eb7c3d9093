// Package fake is a network namespace in memory that does what pkg/kernel does
// on the real kernel: observe, apply one change and return its undo, answer how
// a packet would be routed. A test holds it to the real kernel.
//
// It knows nothing of what no plan is made of: rules with selectors that fib.Rule
// does not model match no packet, types of service, encapsulation and nexthop
// objects are carried and not interpreted, nothing is forwarded, and all
// neighbours are reachable. A write to conf/default/rp_filter stays there: that it
// spreads to devices whose own was never written (devinet_copy_dflt_conf) cannot
// be seen in a snapshot.
package fake

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
)

// Namespace is a network namespace. Not safe for concurrent use.
type Namespace struct{ now state }

// New makes a namespace that is as it was seen. Only tables that the snapshot
// has routes of have any; the local table follows from the addresses.
func New(s *fib.Snapshot) *Namespace {
	n := &Namespace{now: state{
		links:     s.Links,
		addresses: s.Addresses,
		rules:     s.Rules,
		all:       s.All,
		def:       s.Default,
	}}
	for _, r := range s.Routes {
		if r.Table != unix.RT_TABLE_LOCAL {
			n.now.routes = append(n.now.routes, siblings(r)...)
		}
	}
	n.now.customRules = len(keep(s.Rules, func(r fib.Rule) bool { return r.Family == fib.V4 })) > 3
	n.now = n.now.clone() // the snapshot stays the caller's
	return n
}

// state is what the kernel keeps. A change is made to a copy, which takes the
// place of the original when all of it went well.
type state struct {
	links     []fib.Link
	addresses []fib.Address
	rules     []fib.Rule
	// routes are in the order in which the kernel lists them. One of IPv6 has
	// exactly one hop, which keeps its weight.
	routes   []fib.Route
	all, def fib.Settings
	// customRules is set for good once an IPv4 rule was added
	// (net->ipv4.fib_has_custom_rules).
	customRules bool
}

func (s state) clone() state {
	s.links = slices.Clone(s.links)
	s.addresses = slices.Clone(s.addresses)
	s.rules = slices.Clone(s.rules)
	s.routes = slices.Clone(s.routes)
	for i := range s.routes {
		s.routes[i].Hops = slices.Clone(s.routes[i].Hops)
	}
	return s
}

// Observe is what pkg/kernel's Observe reads.
func (n *Namespace) Observe() (*fib.Snapshot, error) {
	now := n.now.clone()
	s := &fib.Snapshot{
		Links:     now.links,
		Addresses: now.addresses,
		Rules:     now.rules,
		All:       now.all,
		Default:   now.def,
	}
	return s, n.ReadTables(s, unix.RT_TABLE_MAIN)
}

// ReadTables adds the routes of tables to a snapshot.
func (n *Namespace) ReadTables(s *fib.Snapshot, tables ...uint32) error {
	for _, table := range tables {
		for _, f := range fib.Families() {
			routes := n.now.list(f, table)
			s.NameHops(routes)
			s.Routes = append(s.Routes, routes...)
		}
	}
	return nil
}

// Vacant reports whether a table holds no route of either family.
func (n *Namespace) Vacant(table uint32) (bool, error) {
	local := table == unix.RT_TABLE_LOCAL && len(n.now.addresses) > 0
	return !local && !slices.ContainsFunc(n.now.routes, func(r fib.Route) bool { return r.Table == table }), nil
}

// list are the routes of a table as the kernel lists them.
func (s *state) list(f fib.Family, table uint32) []fib.Route {
	routes := keep(s.clone().routes, func(r fib.Route) bool { return r.Family == f && r.Table == table })
	if f == fib.V6 {
		return merge(routes)
	}
	return routes
}

// request is one request to the kernel: done whole, or not at all.
func (n *Namespace) request(change func(*state) error) error {
	next := n.now.clone()
	if err := change(&next); err != nil {
		return err
	}
	n.now = next
	return nil
}

// errPartly marks the failure of a change after the first of its steps.
var errPartly = errors.New("done in part")

// Apply carries out one change and returns the change that takes it back, also
// with an error after which some of it was done.
func (n *Namespace) Apply(op plan.Op) (undo plan.Op, err error) {
	err = n.apply(op)
	switch {
	case err == nil:
		return op.Inverse(), nil
	case errors.Is(err, errPartly):
		return op.Inverse(), fmt.Errorf("%s: %w", op, err)
	}
	return nil, fmt.Errorf("%s: %w", op, err)
}

// Revert carries out a change that takes something back. What is already so, or
// whose interface has gone, is done.
func (n *Namespace) Revert(op plan.Op) error {
	err := n.apply(op)
	if err == nil || alreadySo(op, err) {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}

func alreadySo(op plan.Op, err error) bool {
	gone := errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENETDOWN)
	switch op.(type) {
	case plan.AddRule, plan.AddRoute, plan.PutIn:
		return gone || errors.Is(err, unix.EEXIST)
	case plan.DelRule:
		return errors.Is(err, unix.ENOENT)
	case plan.DelRoute, plan.TakeOut:
		return gone || errors.Is(err, unix.ESRCH)
	case plan.Set:
		return errors.Is(err, unix.ENOENT)
	case plan.AddAddress:
		return gone || errors.Is(err, unix.EEXIST)
	case plan.DelAddress:
		return gone || errors.Is(err, unix.EADDRNOTAVAIL)
	case plan.MakeLink:
		return errors.Is(err, unix.EEXIST)
	case plan.DelLink, plan.SetLink:
		return gone
	}
	return false
}

func (n *Namespace) apply(op plan.Op) error {
	switch op := op.(type) {
	case plan.AddRule:
		return n.request(func(s *state) error { return s.addRule(op.Rule, true) })
	case plan.DelRule:
		return n.request(func(s *state) error { return s.delRule(op.Rule) })
	case plan.Reorder:
		return n.reorder(op)
	case plan.AddRoute:
		return n.request(func(s *state) error { return s.addRoute(op.Route, exclusive) })
	case plan.DelRoute:
		return n.delRoute(op.Route)
	case plan.TakeOut:
		return n.takeOut(op.Route)
	case plan.PutIn:
		return n.putIn(op)
	case plan.Set:
		return n.request(func(s *state) error { return s.set(op) })
	case plan.AddAddress:
		return n.request(func(s *state) error { return s.addAddress(op.Address) })
	case plan.DelAddress:
		return n.request(func(s *state) error { return s.delAddress(op.Address) })
	case plan.MakeLink:
		return n.request(func(s *state) error { return s.makeLink(op) })
	case plan.DelLink:
		return n.request(func(s *state) error { return s.delLink(op.Index) })
	case plan.SetLink:
		return n.request(func(s *state) error { return s.setLink(op) })
	}
	return fmt.Errorf("unknown operation %T", op)
}

// reorder adds rules a second time, last, and deletes the first ones.
func (n *Namespace) reorder(op plan.Reorder) error {
	seen, err := n.Observe()
	if err != nil {
		return err
	}
	add, remove := op.Requests(seen.Rules)
	for i, r := range add {
		err := n.request(func(s *state) error { return s.addRule(r, false) })
		if err != nil && i > 0 {
			return fmt.Errorf("%w: %w", errPartly, err)
		}
		if err != nil {
			return err
		}
	}
	for _, r := range remove {
		if err := n.request(func(s *state) error { return s.delRule(r) }); err != nil {
			return fmt.Errorf("%w: %w", errPartly, err)
		}
	}
	return nil
}

// delRoute removes a route. The hops of an IPv6 multipath route are deleted one
// by one, whatever becomes of the others (ip6_route_multipath_del).
func (n *Namespace) delRoute(r fib.Route) error {
	var failed error
	for _, one := range siblings(r) {
		if err := n.request(func(s *state) error { return s.delRoute(one) }); err != nil {
			failed = err
		}
	}
	return failed
}

// takeOut does not ask for the protocol of IPv6 routes, as pkg/kernel does not.
func (n *Namespace) takeOut(r fib.Route) error {
	if r.Family == fib.V6 {
		r.Protocol = unix.RTPROT_UNSPEC
	}
	return n.delRoute(r)
}

// putIn inserts a route among others of its place, as pkg/kernel does: in front,
// or behind, and then moves those behind it that belong there.
func (n *Namespace) putIn(op plan.PutIn) error {
	if op.Route.Family == fib.V4 && op.Place.First {
		return n.request(func(s *state) error { return s.addRoute(op.Route, inFront) })
	}
	err := n.append(op.Route)
	if err != nil && (!errors.Is(err, unix.EEXIST) || len(op.Place.Before) == 0) {
		return err
	}
	for _, behind := range op.Place.Before {
		err := n.takeOut(behind)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err == nil {
			err = n.appendOrphan(behind)
		}
		if err != nil {
			return fmt.Errorf("%w: move %q behind it: %w", errPartly, behind, err)
		}
	}
	return nil
}

func (n *Namespace) append(r fib.Route) error {
	return n.request(func(s *state) error { return s.addRoute(r, behind) })
}

// appendOrphan appends a route whose gateway may have become unreachable.
func (n *Namespace) appendOrphan(r fib.Route) error {
	err := n.append(r)
	if !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.EHOSTUNREACH) {
		return err
	}
	r.Hops = slices.Clone(r.Hops)
	for i := range r.Hops {
		r.Hops[i].OnLink = true
	}
	return n.append(r)
}

// set writes a setting of conf/DEVICE.
func (s *state) set(op plan.Set) error {
	settings, ok := s.settings(op.Device)
	if ok {
		if at := settings.At(op.Key); at != nil {
			*at = op.Value
			return nil
		}
	}
	return fmt.Errorf("conf/%s/%s: %w", op.Device, op.Key, unix.ENOENT)
}

// settings finds the settings of a device, of "all" or of "default".
func (s *state) settings(device string) (*fib.Settings, bool) {
	switch device {
	case "all":
		return &s.all, true
	case "default":
		return &s.def, true
	}
	i := slices.IndexFunc(s.links, func(l fib.Link) bool { return l.Name == device && l.HasIPv4 })
	if i < 0 {
		return nil, false
	}
	return &s.links[i].Settings, true
}

func (s *state) hasIPv4Address(index int) bool {
	return slices.ContainsFunc(s.addresses, func(a fib.Address) bool { return a.Index == index && a.Prefix.Addr().Is4() })
}

func (s *state) link(index int) (fib.Link, bool) {
	i := slices.IndexFunc(s.links, func(l fib.Link) bool { return l.Index == index })
	if i < 0 {
		return fib.Link{}, false
	}
	return s.links[i], true
}

// loopback is the index of lo, which the kernel names where no device of the
// outside is meant.
const loopback = 1

func keep[T any](list []T, want func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return !want(x) })
}
