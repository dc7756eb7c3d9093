package kernel

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/wire"
)

// The facts about main that the plan stands on. Where a kernel differs, these say so.

// inMain is a default of main, as an IPAM plugin adds it.
func inMain(gateway string, index int, protocol uint8, metric uint32) fib.Route {
	f := fib.FamilyOf(addr(gateway))
	return fib.Route{
		Family: f, Dst: f.Any(), Table: unix.RT_TABLE_MAIN, Protocol: protocol, Type: unix.RTN_UNICAST, Metric: metric,
		Hops: []fib.Hop{{Gateway: addr(gateway), Index: index}},
	}
}

// The dump of a merged IPv6 default tells the first hop's attributes only. Asked for the route
// by its device the kernel tells each hop's own, and so does Observe.
func TestFactHiddenAttributes(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"-6 route append default via fe80::1 dev eth0 protocol static mtu 1400 pref high",
		"-6 route append default via fe80::2 dev net1 protocol boot mtu 1300 advmss 1200",
	)...)
	ns := n.enter(t)
	dumped, err := ns.routes(fib.V6, unix.RT_TABLE_MAIN)
	if err != nil {
		t.Fatal(err)
	}
	dumped = slices.DeleteFunc(dumped, func(r fib.Route) bool { return !r.IsDefault() })
	if len(dumped) != 1 || len(dumped[0].Hops) != 2 || dumped[0].MTU != 1400 {
		t.Fatalf("the kernel tells %v", dumped)
	}
	s := observe(t, ns)
	first := inMain("fe80::1", linkIndex(t, s, "eth0"), unix.RTPROT_STATIC, 1024)
	first.MTU, first.Pref, first.Hops[0].Dev = 1400, 1, "eth0"
	second := inMain("fe80::2", linkIndex(t, s, "net1"), unix.RTPROT_BOOT, 1024)
	second.MTU, second.AdvMSS, second.Hops[0].Dev = 1300, 1200, "net1"
	if diff := cmp.Diff([]fib.Route{first, second}, s.Defaults(unix.RT_TABLE_MAIN), observed); diff != "" {
		t.Errorf("(-added +observed):\n%s", diff)
	}
}

// Two hops by one device cannot be asked for apart: they stay with what the dump says. So does
// one whose device rules lead elsewhere.
func TestFactHiddenAttributesOfOneDevice(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"-6 route append default via fe80::1 dev eth0 mtu 1400",
		"-6 route append default via fe80::2 dev eth0 mtu 1300",
		"-6 route append default via fe80::3 dev net1 mtu 1200",
		"-6 rule add priority 5 oif net1 table 7300",
		"-6 route add default via fe80::9 dev net1 table 7300 mtu 1290",
	)...)
	s := observe(t, n.enter(t))
	own := map[string]uint32{"fe80::1": 1400, "fe80::2": 1300, "fe80::3": 1200}
	var got []string
	for _, r := range s.Defaults(unix.RT_TABLE_MAIN) {
		gateway := r.Gateways()[0].String()
		// Which hop of a device the kernel tells of depends on its neighbours.
		if r.MTU != 1400 && r.MTU != own[gateway] {
			t.Errorf("%s: its mtu is %d, and the dump says 1400", r, own[gateway])
		}
		got = append(got, gateway)
	}
	if diff := cmp.Diff([]string{"fe80::1", "fe80::2", "fe80::3"}, got); diff != "" {
		t.Errorf("hops (-added +observed):\n%s", diff)
	}
}

// A hop of an IPv6 default is deleted by gateway, device and metric. Its protocol may not be
// the one that the dump tells, and the kernel compares it where it is sent.
func TestFactHopDeletion(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"-6 route append default via fe80::1 dev eth0 protocol static",
		"-6 route append default via fe80::2 dev net1 protocol boot",
		"-6 route append default via fe80::2 dev net1 metric 2048",
		"-6 route append default via fe80::9 dev net1",
	)...)
	ns := n.enter(t)
	s := observe(t, ns)
	eth0, net1 := linkIndex(t, s, "eth0"), linkIndex(t, s, "net1")
	asDumped := inMain("fe80::2", net1, unix.RTPROT_STATIC, 1024)
	if err := ns.do(unix.RTM_DELROUTE, 0, wire.EncodeRoute(asDumped)); errno(err) != unix.ESRCH {
		t.Errorf("with the first hop's protocol: %v, want ESRCH", err)
	}
	undo, err := ns.Apply(change.DelFromMain{Route: asDumped})
	if err != nil {
		t.Fatal(err)
	}
	want := []fib.Route{
		inMain("fe80::1", eth0, unix.RTPROT_STATIC, 1024),
		inMain("fe80::9", net1, unix.RTPROT_STATIC, 1024), // as it is dumped
		inMain("fe80::2", net1, unix.RTPROT_BOOT, 2048),
	}
	now, err := ns.routes(fib.V6, unix.RT_TABLE_MAIN)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range fib.Hops(now) {
		i := slices.IndexFunc(want, func(w fib.Route) bool { return w.IdentityButProtocol() == r.IdentityButProtocol() })
		switch {
		case i >= 0:
			want = slices.Delete(want, i, i+1)
		case r.IsDefault():
			t.Errorf("%s is there", r)
		}
	}
	for _, r := range want {
		t.Errorf("%s is not there", r)
	}
	if _, err := ns.Apply(undo); err != nil {
		t.Error(err)
	}
}

// With NLM_F_EXCL the kernel refuses a route because of another gateway of its metric. With
// NLM_F_APPEND another gateway is appended, and EEXIST means exactly this route.
func TestFactExclusiveAndAppend(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"route add default via 10.1.0.1 dev eth0",
		"-6 route add default via fe80::1 dev eth0",
	)...)
	ns := n.enter(t)
	s := observe(t, ns)
	eth0, net1 := linkIndex(t, s, "eth0"), linkIndex(t, s, "net1")
	for _, f := range []struct {
		there, other, sameDevice, otherProtocol fib.Route
	}{
		{
			inMain("10.1.0.1", eth0, unix.RTPROT_BOOT, 0), inMain("10.2.0.1", net1, 73, 0),
			inMain("10.1.0.9", eth0, 73, 0), inMain("10.1.0.1", eth0, 73, 0),
		},
		{
			inMain("fe80::1", eth0, unix.RTPROT_BOOT, 1024), inMain("fe80::1", net1, 73, 1024),
			inMain("fe80::9", eth0, 73, 1024), inMain("fe80::1", eth0, 73, 2048),
		},
	} {
		if err := ns.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, wire.EncodeRoute(f.other)); errno(err) != unix.EEXIST {
			t.Errorf("%s: exclusively: %v, want EEXIST", f.other, err)
		}
		if undo, err := ns.Apply(change.AddToMain{Route: f.there}); errno(err) != unix.EEXIST || undo != nil {
			t.Errorf("%s: it is there: %v (undo %v), want EEXIST", f.there, err, undo)
		}
		before := n.routing(t)
		var undos []change.Change
		for _, r := range []fib.Route{f.other, f.sameDevice, f.otherProtocol} {
			undo, err := ns.Apply(change.AddToMain{Route: r})
			if err != nil {
				t.Fatal(err)
			}
			undos = append(undos, undo)
			if undo, err := ns.Apply(change.AddToMain{Route: r}); errno(err) != unix.EEXIST || undo != nil {
				t.Errorf("%s a second time: %v (undo %v), want EEXIST", r, err, undo)
			}
		}
		main := observe(t, ns).Defaults(unix.RT_TABLE_MAIN)
		first := main[slices.IndexFunc(main, func(r fib.Route) bool { return r.Family == f.there.Family })]
		if f.there.Family == fib.V4 && !first.Equal(f.there) { // the first is the one that is used
			t.Errorf("%s stands ahead of %s", first, f.there)
		}
		for _, undo := range slices.Backward(undos) {
			if err := ns.Revert(undo); err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff(before, n.routing(t)); diff != "" {
			t.Errorf("not as before (-before +after):\n%s", diff)
		}
	}
}

// A deletion with metric 0 takes a route of any metric. So an undo looks first.
func TestFactMetricZero(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"route add default via 10.1.0.1 dev eth0 metric 100 protocol 73",
		"-6 route add default via fe80::1 dev eth0 metric 2048 protocol 73",
	)...)
	ns := n.enter(t)
	eth0 := linkIndex(t, observe(t, ns), "eth0")
	before := n.routing(t)
	for _, gateway := range []string{"10.1.0.1", "fe80::1"} {
		zero := inMain(gateway, eth0, 73, 0)
		if err := ns.Revert(change.DelFromMain{Route: zero}); err != nil {
			t.Errorf("%s: %v", zero, err)
		}
		if diff := cmp.Diff(before, n.routing(t)); diff != "" {
			t.Fatalf("the undo of %s deleted another (-before +after):\n%s", zero, diff)
		}
	}
	for _, gateway := range []string{"10.1.0.1", "fe80::1"} {
		if err := ns.do(unix.RTM_DELROUTE, 0, wire.EncodeRouteDeletion(inMain(gateway, eth0, 73, 0))); err != nil {
			t.Errorf("the kernel: %v; it compares the metric 0, and nobody has to look", err)
		}
	}
}

// Beside one of metric 0 by another protocol, which is not ours, one of a higher metric by ours
// is not taken for the one that was added.
func TestMetricZeroBesideOthers(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"route append default via 10.1.0.1 dev eth0 protocol boot",
		"route append default via 10.1.0.1 dev eth0 protocol 73 metric 100",
	)...)
	ns := n.enter(t)
	before := n.routing(t)
	zero := inMain("10.1.0.1", linkIndex(t, observe(t, ns), "eth0"), 73, 0)
	if err := ns.Revert(change.DelFromMain{Route: zero}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, n.routing(t)); diff != "" {
		t.Errorf("what was not there was deleted (-before +after):\n%s", diff)
	}
	undo, err := ns.Apply(change.AddToMain{Route: zero})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ns.Revert(undo); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(before, n.routing(t)); diff != "" {
		t.Errorf("more than what was added was deleted (-before +after):\n%s", diff)
	}
}

// Of several metrics a deletion with metric 0 takes the smallest: where the route of metric 0 is
// there, as the dump has shown, it is that one.
func TestFactMetricZeroGoesFirst(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"route append default via 10.1.0.1 dev eth0 metric 100",
		"route append default via 10.1.0.1 dev eth0",
		"route append default via 10.1.0.1 dev eth0 metric 50",
	)...)
	ns := n.enter(t)
	eth0 := linkIndex(t, observe(t, ns), "eth0")
	zero := inMain("10.1.0.1", eth0, unix.RTPROT_BOOT, 0)
	if _, err := ns.Apply(change.DelFromMain{Route: zero}); err != nil {
		t.Fatal(err)
	}
	var left []uint32
	for _, r := range observe(t, ns).Defaults(unix.RT_TABLE_MAIN) {
		left = append(left, r.Metric)
	}
	if diff := cmp.Diff([]uint32{50, 100}, left); diff != "" {
		t.Errorf("metrics that are left (-want +got):\n%s", diff)
	}
}

// The undo of a hop finds it although the dump says the first hop's attributes of it.
func TestUndoOfHopWithItsOwnAttributes(t *testing.T) {
	n := newNetns(t, append(twoNICs, "-6 route add default via fe80::1 dev eth0 mtu 1400 pref high")...)
	ns := n.enter(t)
	s := observe(t, ns)
	for _, device := range []string{"net1", "eth0"} { // the hops of one device cannot be asked for apart
		before := n.routing(t)
		hop := inMain("fe80::2", linkIndex(t, s, device), 73, 1024)
		hop.MTU = 1300
		undo, err := ns.Apply(change.AddToMain{Route: hop})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it is gone
			if err := ns.Revert(undo); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before, n.routing(t)); diff != "" {
				t.Errorf("%s: not as before (-before +after):\n%s", device, diff)
			}
		}
	}
}

// Told of no gateway the kernel deletes any hop of the device. Told of the unspecified one it
// deletes the hop that has none.
func TestFactOnLinkHopDeletion(t *testing.T) {
	gateway, onLink := "-6 route append default via fe80::1 dev eth0 metric 7", "-6 route append default dev eth0 metric 7"
	for name, order := range map[string][]string{"gateway first": {gateway, onLink}, "on-link first": {onLink, gateway}} {
		t.Run(name, func(t *testing.T) {
			n := newNetns(t, append(twoNICs, order...)...)
			ns := n.enter(t)
			before := observe(t, ns).Defaults(unix.RT_TABLE_MAIN)
			i := slices.IndexFunc(before, func(r fib.Route) bool { return len(r.Gateways()) == 0 })
			undo, err := ns.Apply(change.DelFromMain{Route: before[i]})
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Delete(slices.Clone(before), i, i+1)
			if diff := cmp.Diff(want, observe(t, ns).Defaults(unix.RT_TABLE_MAIN), observed); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if err := ns.Revert(undo); err != nil {
				t.Error(err)
			}
			after := observe(t, ns).Defaults(unix.RT_TABLE_MAIN)
			if len(after) != 2 || !slices.ContainsFunc(after, before[0].Equal) || !slices.ContainsFunc(after, before[1].Equal) {
				t.Errorf("before %v, brought back %v", before, after)
			}
		})
	}
}
