package kernel

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
)

var encapRoutes = []string{
	"route add 172.30.0.0/16 encap ip id 3 dst 10.1.0.9 via 10.1.0.1 dev eth0",
	"route add 172.31.0.0/16 nexthop encap ip id 4 dst 10.1.0.8 via 10.1.0.1 dev eth0 nexthop via 10.2.0.1 dev net1",
	"-6 route add 3fff:30::/64 encap seg6 mode encap segs 2001:db8:1::9 via 2001:db8:1::1 dev eth0",
}

// What was read can be deleted by what we write of it, and written again, and
// iproute2 shows what it showed before. That is what an undo stands on.
func TestRulesComeBack(t *testing.T) {
	n := newNetns(t, slices.Concat(twoNICs, richLinks, richRules)...)
	ns := n.enter(t)
	before := n.routing(t)
	for _, r := range observe(t, ns).Rules {
		undo, err := ns.Apply(change.DelRule{Rule: r})
		if err != nil {
			t.Errorf("delete: %v", err)
			continue
		}
		if diff := cmp.Diff(lines(before), lines(n.routing(t))); strings.Count(diff, "\n-")+strings.Count(diff, "\n+") != 1 {
			t.Errorf("%s: not this rule alone was deleted (-before +after):\n%s", r, diff)
		}
		if _, err := ns.Apply(undo); err != nil {
			t.Fatalf("add again: %v", err)
		}
		// A rule comes behind others of its priority: the order is not compared.
		if diff := cmp.Diff(lines(before), lines(n.routing(t))); diff != "" {
			t.Fatalf("%s: came back as another (-before +after):\n%s", r, diff)
		}
	}
}

func TestRoutesComeBack(t *testing.T) {
	n := newNetns(t, slices.Concat(twoNICs, richLinks, richRoutes, encapRoutes)...)
	ns := n.enter(t)
	before := n.routing(t)
	s := observe(t, ns, 255, 7300)
	for _, r := range fib.Hops(s.Routes) { // an IPv6 multipath route hop by hop
		if r.Family == fib.V6 && r.Table == unix.RT_TABLE_LOCAL {
			continue // the kernel's own: nobody else can write a metric of 0 there
		}
		undo, err := ns.Apply(change.DelFromMain{Route: r})
		if err != nil {
			t.Errorf("take out: %v", err)
			continue
		}
		if n.routing(t) == before {
			t.Errorf("%s: nothing was taken out", r)
		}
		if _, err := ns.Apply(undo); err != nil {
			t.Fatalf("put in again: %v", err)
		}
		// It comes behind others of its destination and metric: the order is not compared.
		if diff := cmp.Diff(lines(before), lines(n.routing(t))); diff != "" {
			t.Fatalf("%s: came back as another (-before +after):\n%s", r, diff)
		}
	}
}

// Two kinds of route do not come back as they were. The planner leaves them
// alone for it.
func TestFrailRoutes(t *testing.T) {
	n := newNetns(t, append(twoNICs, frailRoutes...)...)
	ns := n.enter(t)
	s := observe(t, ns)
	for _, r := range s.Routes {
		if r.NexthopID == 0 && !r.Expires {
			continue
		}
		t.Run(r.String(), func(t *testing.T) {
			undo, err := ns.Apply(change.DelFromMain{Route: r})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ns.Apply(undo); err != nil {
				t.Fatal(err)
			}
			again, ok := find(t, ns, r)
			switch {
			case !ok:
				t.Error("the route did not come back")
			case again.Expires:
				t.Error("the route expires again: it can be put back, and need not be left alone")
			}
		})
	}
	t.Run("a nexthop object that is gone", func(t *testing.T) {
		i := slices.IndexFunc(s.Routes, func(r fib.Route) bool { return r.NexthopID == 5 })
		undo, err := ns.Apply(change.DelFromMain{Route: s.Routes[i]})
		if err != nil {
			t.Fatal(err)
		}
		n.ip(t, "nexthop del id 5")
		if _, err := ns.Apply(undo); err == nil {
			t.Error("the route came back without its nexthop object")
		}
	})
}

// observe reads what is the case, with further tables.
func observe(t testing.TB, ns *Namespace, tables ...uint32) *fib.Snapshot {
	t.Helper()
	s, err := ns.Observe()
	if err == nil {
		err = ns.ReadTables(s, tables...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// find looks for a route in its table.
func find(t testing.TB, ns *Namespace, r fib.Route) (fib.Route, bool) {
	t.Helper()
	routes, err := ns.routes(r.Family, r.Table)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(routes, r.Equal)
	if i < 0 {
		return fib.Route{}, false
	}
	return routes[i], true
}

func lines(text string) []string { return slices.Sorted(strings.Lines(text)) }
