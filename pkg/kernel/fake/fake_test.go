package fake_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel/fake"
	"github.com/symroute/symroute/pkg/plan"
)

// That the fake does what the kernel does is TestParity's matter, in pkg/kernel.
// Here is what makes it fit for tests.

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
	values = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}
)

// pod has two NICs, with a default by the first.
func pod() *fib.Snapshot {
	connected := func(dst string, index int, src string) fib.Route {
		return fib.Route{
			Family: fib.V4, Dst: prefix(dst), Table: 254, Protocol: unix.RTPROT_KERNEL, Scope: unix.RT_SCOPE_LINK,
			Type: unix.RTN_UNICAST, PrefSrc: addr(src), Hops: []fib.Hop{{Index: index}},
		}
	}
	lookup := func(priority, table uint32) fib.Rule {
		return fib.Rule{Family: fib.V4, Priority: priority, Action: fib.Lookup, Table: table, Protocol: unix.RTPROT_KERNEL}
	}
	return &fib.Snapshot{
		Links: []fib.Link{
			{Index: 1, Name: "lo", Up: true, Loopback: true, HasIPv4: true, IPv6: true},
			{Index: 2, Name: "eth0", Up: true, HasIPv4: true, IPv6: true},
			{Index: 3, Name: "net1", Up: true, HasIPv4: true, IPv6: true},
		},
		Addresses: []fib.Address{
			{Index: 2, Prefix: prefix("10.1.0.2/24")},
			{Index: 3, Prefix: prefix("10.2.0.2/24")},
		},
		Rules: []fib.Rule{lookup(0, 255), lookup(32766, 254), lookup(32767, 253)},
		Routes: []fib.Route{
			defaultBy("10.1.0.1", 2),
			connected("10.1.0.0/24", 2, "10.1.0.2"),
			connected("10.2.0.0/24", 3, "10.2.0.2"),
		},
	}
}

func defaultBy(gateway string, index int) fib.Route {
	return fib.Route{
		Family: fib.V4, Dst: fib.V4.Any(), Table: 254, Protocol: unix.RTPROT_BOOT, Type: unix.RTN_UNICAST,
		Hops: []fib.Hop{{Gateway: addr(gateway), Index: index}},
	}
}

func observe(t *testing.T, n *fake.Namespace) *fib.Snapshot {
	t.Helper()
	s, err := n.Observe()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What was given and what was observed are the caller's, to change as he likes.
func TestNothingIsShared(t *testing.T) {
	given := pod()
	n := fake.New(given)
	before := observe(t, n)
	for _, s := range []*fib.Snapshot{given, observe(t, n)} {
		s.Links[2].Up = false
		s.Addresses[1].Tentative = true
		s.Rules[1].Priority = 7
		s.Routes[0].Hops[0].Index = 3
	}
	if diff := cmp.Diff(before, observe(t, n), values); diff != "" {
		t.Errorf("the namespace changed with it (-before +after):\n%s", diff)
	}
}

// A change that is refused leaves nothing behind, and no undo.
func TestRefusal(t *testing.T) {
	n := fake.New(pod())
	before := observe(t, n)
	two := defaultBy("10.2.0.1", 3)
	two.Hops = append(two.Hops, fib.Hop{Gateway: addr("192.0.2.1"), Index: 3, Weight: 1})
	for name, tt := range map[string]struct {
		op   plan.Op
		want unix.Errno
	}{
		"rule that is there":     {plan.AddRule{Rule: before.Rules[1]}, unix.EEXIST},
		"rule that is not there": {plan.DelRule{Rule: fib.Rule{Family: fib.V4, Priority: 5, Action: fib.Lookup, Table: 9}}, unix.ENOENT},
		"second hop":             {plan.AddRoute{Route: two}, unix.ENETUNREACH},
		"no such setting":        {plan.Set{Device: "net1", Key: "forwarding", Value: 1}, unix.ENOENT},
	} {
		if undo, err := n.Apply(tt.op); !errors.Is(err, tt.want) || undo != nil {
			t.Errorf("%s: got %v (undo %v), want %v", name, err, undo, tt.want)
		}
	}
	if diff := cmp.Diff(before, observe(t, n), values); diff != "" {
		t.Errorf("something was done (-before +after):\n%s", diff)
	}
}

// The undo brings back what was, in the order it was.
func TestUndo(t *testing.T) {
	n := fake.New(pod())
	before := observe(t, n)
	second := defaultBy("10.2.0.1", 3)
	var undo []plan.Op
	for _, op := range []plan.Op{
		plan.PutIn{Route: second, Place: plan.Place{First: true}},
		plan.TakeOut{Route: before.Routes[0], Place: plan.Place{Before: nil}},
		plan.Set{Device: "all", Key: "rp_filter", Value: 1},
	} {
		back, err := n.Apply(op)
		if err != nil {
			t.Fatal(err)
		}
		undo = append(undo, back)
	}
	for i := len(undo) - 1; i >= 0; i-- {
		if err := n.Revert(undo[i]); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(before, observe(t, n), values); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// The reverse-path filter judges a packet that arrives on the NIC that its answer
// would not leave by.
func TestReversePathFilter(t *testing.T) {
	ask := fib.Query{To: addr("10.2.0.2"), From: addr("192.0.2.7"), IIF: 3}
	for mode, want := range map[int]error{0: nil, 1: unix.EXDEV, 2: nil} {
		n := fake.New(pod())
		if _, err := n.Apply(plan.Set{Device: "net1", Key: "rp_filter", Value: mode}); err != nil {
			t.Fatal(err)
		}
		if got := n.Ask(ask)[0]; !errors.Is(got.Err, want) {
			t.Errorf("mode %d: got %v, want %v", mode, got.Err, want)
		}
		rule := fib.Rule{Family: fib.V4, Priority: 5, From: prefix("10.2.0.2/32"), Action: fib.Lookup, Table: 7300, Protocol: 73}
		route := defaultBy("10.2.0.1", 3)
		route.Table = 7300
		for _, op := range []plan.Op{plan.AddRoute{Route: route}, plan.AddRule{Rule: rule}} {
			if _, err := n.Apply(op); err != nil {
				t.Fatal(err)
			}
		}
		if got := n.Ask(ask)[0]; got.Err != nil || got.Route.Type != unix.RTN_LOCAL {
			t.Errorf("mode %d, with a table of its own: got %v (%v), want it delivered", mode, got.Route, got.Err)
		}
	}
}
