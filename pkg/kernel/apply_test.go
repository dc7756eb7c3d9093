package kernel

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

// ours is a route of ours in a table of ours.
func ours(dst string, hops ...fib.Hop) fib.Route {
	p := prefix(dst)
	r := fib.Route{Family: fib.FamilyOf(p.Addr()), Dst: p, Table: 7300, Protocol: 73, Type: unix.RTN_UNICAST, Hops: hops}
	if r.Family == fib.V6 {
		r.Metric = 1024
	}
	return r
}

// vip is a VIP on lo.
func vip(ip string) fib.Address {
	a := fib.Address{Index: 1, Prefix: fib.Host(addr(ip)), Protocol: 73}
	if a.Prefix.Addr().Is4() {
		a.Scope = unix.RT_SCOPE_HOST
	} else {
		a.Deprecated = true
	}
	return a
}

func linkIndex(t testing.TB, s *fib.Snapshot, name string) int {
	t.Helper()
	l, ok := s.Link(name)
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	return l.Index
}

// Each operation changes what it says, its undo takes it back, and both tell the
// kernel's errno when they cannot.
func TestApply(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"rule add priority 5 from 10.1.0.2 table 8 protocol 73",
		"route add default via 10.2.0.1 dev net1 table 7300 protocol 73",
		"route add default via 10.1.0.1 dev eth0",
		"-6 route add default via fe80::1 dev eth0",
		"addr add 10.9.0.9/32 dev lo scope host",
	)...)
	ns := n.enter(t)
	s := observe(t, ns, 7300)
	net1 := linkIndex(t, s, "net1")
	rule := fib.Rule{Family: fib.V4, Priority: 5, From: prefix("10.1.0.2/32"), Action: fib.Lookup, Table: 8, Protocol: 73}
	v6rule := fib.Rule{Family: fib.V6, Priority: 5, From: prefix("2001:db8::/64"), Action: fib.Unreachable, Protocol: 73}
	inMain := func(r fib.Route) fib.Route { r.Table = 254; return r }
	tests := []struct {
		name  string
		op    plan.Op
		shown string // what `ip` then shows one more or one less line of
		again unix.Errno
	}{
		{"rule", plan.AddRule{Rule: v6rule}, "from 2001:db8::/64 unreachable", unix.EEXIST},
		{"rule away", plan.DelRule{Rule: rule}, "from 10.1.0.2 lookup 8", unix.ENOENT},
		{"link route", plan.AddRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: net1})}, "192.0.2.0/24 dev net1", unix.EEXIST},
		{"IPv6 route", plan.AddRoute{Route: ours("fd00::/8", fib.Hop{Gateway: addr("fe80::1"), Index: net1})}, "fd00::/8 via fe80::1", unix.EEXIST},
		{
			"route away", plan.DelRoute{Route: ours("0.0.0.0/0", fib.Hop{Gateway: addr("10.2.0.1"), Index: net1})},
			"default via 10.2.0.1 dev net1 table 7300", unix.ESRCH,
		},
		{
			"into main", plan.PutIn{Route: inMain(ours("0.0.0.0/0", fib.Hop{Gateway: addr("10.2.0.1"), Index: net1})), Place: plan.Place{First: true}},
			"default via 10.2.0.1 dev net1 table main", unix.EEXIST,
		},
		{
			"into IPv6 main", plan.PutIn{Route: inMain(ours("fd00::/8", fib.Hop{Gateway: addr("fe80::1"), Index: net1})), Place: plan.Place{First: true}},
			"fd00::/8 via fe80::1 dev net1 table main", unix.EEXIST,
		},
		{"VIP", plan.AddAddress{Address: vip("192.0.2.9")}, "inet 192.0.2.9/32 scope host lo", unix.EEXIST},
		{"IPv6 VIP", plan.AddAddress{Address: vip("3fff::9")}, "inet6 3fff::9/128 scope global nodad deprecated noprefixroute", unix.EEXIST},
		{"VIP away", plan.DelAddress{Address: vip("10.9.0.9")}, "10.9.0.9/32 scope host", unix.EADDRNOTAVAIL},
		{"device", plan.MakeLink{Index: 77, Name: "br7", Kind: "bridge"}, "77: br7: <BROADCAST,MULTICAST>", unix.EEXIST},
		{"out of main", plan.TakeOut{Route: s.Table(254)[0], Place: plan.Place{First: true}}, "default via 10.1.0.1", unix.ESRCH},
	}
	state := func() string { return n.routing(t) + n.show(t, "addr", "show") }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := state()
			undo, err := ns.Apply(tt.op)
			if err != nil {
				t.Fatal(err)
			}
			after := state()
			if strings.Contains(before, tt.shown) == strings.Contains(after, tt.shown) {
				t.Errorf("%s: %q did not change:\n%s", tt.op, tt.shown, after)
			}
			if again, err := ns.Apply(tt.op); errno(err) != tt.again || again != nil {
				t.Errorf("a second time: %v (undo %v), want %v", err, again, tt.again)
			}
			if err := ns.Revert(tt.op); err != nil {
				t.Errorf("as undo it ought to be content: %v", err)
			}
			if err := ns.Revert(undo); err != nil {
				t.Errorf("undo: %v", err)
			}
			if err := ns.Revert(undo); err != nil {
				t.Errorf("undo a second time: %v", err)
			}
			if diff := cmp.Diff(before, state()); diff != "" {
				t.Errorf("not as before (-before +after):\n%s", diff)
			}
		})
	}
}

// A VIP is seen as it was configured: with our protocol, where the kernel keeps it
// (since Linux 5.18).
func TestVIPIsSeen(t *testing.T) {
	ns := newNetns(t, twoNICs...).enter(t)
	for _, want := range []fib.Address{vip("192.0.2.9"), vip("3fff::9")} {
		if _, err := ns.Apply(plan.AddAddress{Address: want}); err != nil {
			t.Fatal(err)
		}
		s := observe(t, ns)
		got, ok := s.Address(want.Prefix.Addr())
		if !tellsOrigin(s) {
			want.Protocol = 0
		}
		if !ok || got != want {
			t.Errorf("got %#v, want %#v", got, want)
		}
	}
}

// tellsOrigin reports whether the kernel keeps who configured an address: then it
// says so of ::1, which it did itself.
func tellsOrigin(s *fib.Snapshot) bool {
	lo, _ := s.Address(addr("::1"))
	return lo.Protocol != 0
}

func TestSetLink(t *testing.T) {
	n := newNetns(t, append(twoNICs, "link add br7 type bridge")...)
	ns := n.enter(t)
	index := linkIndex(t, observe(t, ns), "br7")
	up := func() bool {
		l, _ := observe(t, ns).Link("br7")
		return l.Up
	}
	undo, err := ns.Apply(plan.SetLink{Index: index, Name: "br7", Up: true})
	if err != nil || !up() {
		t.Errorf("set up: %v, is up: %t", err, up())
	}
	if err := ns.Revert(undo); err != nil || up() {
		t.Errorf("undo: %v, is up: %t", err, up())
	}
	absent := plan.SetLink{Index: 999, Name: "absent"}
	if _, err := ns.Apply(absent); errno(err) != unix.ENODEV {
		t.Errorf("a device that is not there: %v", err)
	}
	if err := ns.Revert(absent); err != nil {
		t.Errorf("undo on a device that has gone: %v", err)
	}
}

func TestApplySet(t *testing.T) {
	n := newNetns(t, twoNICs...)
	ns := n.enter(t)
	for _, device := range []string{"net1", "all", "default"} {
		undo, err := ns.Apply(plan.Set{Device: device, Key: "rp_filter", Was: 0, Value: 2})
		if err != nil {
			t.Fatal(err)
		}
		if got := n.get(t, "ipv4/conf", device, "rp_filter"); got != 2 {
			t.Errorf("%s has %d, want 2", device, got)
		}
		if err := ns.Revert(undo); err != nil {
			t.Error(err)
		}
		if got := n.get(t, "ipv4/conf", device, "rp_filter"); got != 0 {
			t.Errorf("%s has %d again, want 0", device, got)
		}
	}
	absent := plan.Set{Device: "absent", Key: "rp_filter", Value: 2}
	if undo, err := ns.Apply(absent); !errors.Is(err, fs.ErrNotExist) || undo != nil {
		t.Errorf("a device that is not there: %v (undo %v)", err, undo)
	}
	if err := ns.Revert(absent); err != nil {
		t.Errorf("undo on a device that has gone: %v", err)
	}
}

// A refusal is the kernel's errno, with its own words where it has some, and
// changes nothing.
func TestApplyErrors(t *testing.T) {
	n := newNetns(t, append(twoNICs, "link add down0 type veth peer name down1", "addr add 10.3.0.2/24 dev down0")...)
	n.set(t, 1, "ipv6/conf/down0/disable_ipv6")
	ns := n.enter(t)
	s := observe(t, ns)
	net1, down0 := linkIndex(t, s, "net1"), linkIndex(t, s, "down0")
	withSource := func(r fib.Route, src string) fib.Route { r.PrefSrc = addr(src); return r }
	foreign := fib.Rule{Family: fib.V4, Priority: 32766, Action: fib.Lookup, Table: 254, Protocol: 73}
	tests := []struct {
		name  string
		op    plan.Op
		want  unix.Errno
		words string
	}{
		{"device that is not there", plan.AddRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: 999})}, unix.ENODEV, ""},
		{"device that is down", plan.AddRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: down0})}, unix.ENETDOWN, "Device for nexthop is not up"},
		{"gateway that is not on the link", plan.AddRoute{Route: ours("0.0.0.0/0", fib.Hop{Gateway: addr("192.0.2.1"), Index: net1})}, unix.ENETUNREACH, "Nexthop has invalid gateway"},
		{"source that we have not", plan.AddRoute{Route: withSource(ours("192.0.2.0/24", fib.Hop{Index: net1}), "192.0.2.1")}, unix.EINVAL, "Invalid prefsrc address"},
		{"IPv6 gateway that is not on the link", plan.AddRoute{Route: ours("fd00::/8", fib.Hop{Gateway: addr("2001:db8:9::1"), Index: net1})}, unix.EHOSTUNREACH, ""},
		{"IPv6 source that we have not", plan.AddRoute{Route: withSource(ours("fd00::/8", fib.Hop{Index: net1}), "fd00::1")}, unix.EINVAL, "Invalid source address"},
		{"route that is not there", plan.DelRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: net1})}, unix.ESRCH, ""},
		{"rule that is not there", plan.DelRule{Rule: fib.Rule{Family: fib.V6, Priority: 5, Action: fib.Lookup, Table: 9}}, unix.ENOENT, ""},
		{"somebody else's rule", plan.DelRule{Rule: foreign}, unix.ENOENT, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := n.routing(t)
			undo, err := ns.Apply(tt.op)
			if !errors.Is(err, tt.want) || undo != nil {
				t.Errorf("got %v (undo %v), want %v and no undo", err, undo, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.words) {
				t.Errorf("the kernel's words %q are missing in: %v", tt.words, err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), tt.op.String()) {
				t.Errorf("the operation %q is not named in: %v", tt.op, err)
			}
			if diff := cmp.Diff(before, n.routing(t)); diff != "" {
				t.Errorf("something was done (-before +after):\n%s", diff)
			}
		})
	}
	t.Run("operation of another kind", func(t *testing.T) {
		if undo, err := ns.Apply(unknownOp{}); err == nil || undo != nil {
			t.Errorf("got %v, %v", undo, err)
		}
	})
}

type unknownOp struct{}

func (unknownOp) String() string   { return "nothing" }
func (unknownOp) Inverse() plan.Op { return unknownOp{} }

// An undo whose interface has gone, or is down, has nothing to do any more.
func TestRevertWithoutInterface(t *testing.T) {
	n := newNetns(t, append(twoNICs, "link add down0 type veth peer name down1")...)
	ns := n.enter(t)
	down0 := linkIndex(t, observe(t, ns), "down0")
	for name, index := range map[string]int{"gone": 999, "down": down0} {
		for _, dst := range []string{"192.0.2.0/24", "fd00::/64"} {
			r := ours(dst, fib.Hop{Index: index})
			for _, op := range []plan.Op{plan.AddRoute{Route: r}, plan.DelRoute{Route: r}, plan.PutIn{Route: r}, plan.TakeOut{Route: r}} {
				if err := ns.Revert(op); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// An undo that can never succeed is told from one that is worth another try.
func TestRevertWithoutGround(t *testing.T) {
	n := newNetns(t, twoNICs...)
	ns := n.enter(t)
	net1 := linkIndex(t, observe(t, ns), "net1")
	withSource := func(r fib.Route, src string) fib.Route { r.PrefSrc = addr(src); return r }
	for name, op := range map[string]plan.Op{
		"gateway":      plan.PutIn{Route: ours("0.0.0.0/0", fib.Hop{Gateway: addr("192.0.2.1"), Index: net1}), Place: plan.Place{First: true}},
		"IPv6 gateway": plan.PutIn{Route: ours("::/0", fib.Hop{Gateway: addr("2001:db8:9::1"), Index: net1})},
		"source":       plan.AddRoute{Route: withSource(ours("192.0.2.0/24", fib.Hop{Index: net1}), "192.0.2.1")},
		"IPv6 source":  plan.AddRoute{Route: withSource(ours("fd00::/8", fib.Hop{Index: net1}), "fd00::1")},
	} {
		if err := ns.Revert(op); !errors.Is(err, ErrNoReturn) || errno(err) == 0 {
			t.Errorf("%s: got %v, want ErrNoReturn with the kernel's errno", name, err)
		}
	}
	if err := ns.Revert(plan.DelRule{Rule: fib.Rule{Family: 99}}); err == nil || errors.Is(err, ErrNoReturn) {
		t.Errorf("another refusal: got %v", err)
	}
}

// A reordering leaves rules of a priority in the wanted order, from whatever order
// they are in and also if one is there twice, and its undo brings the old one back.
func TestReorder(t *testing.T) {
	n := newNetns(t,
		"rule add priority 5 from 192.0.2.0/24 table 1 protocol 73",
		"rule add priority 5 from 192.0.2.1 table 2 protocol 73",
		"rule add priority 5 fwmark 7 table 3",
		"rule add priority 5 from 192.0.2.2 table 4 protocol 73",
		"rule add priority 6 from 192.0.2.3 table 5 protocol 73",
	)
	ns := n.enter(t)
	rules := observe(t, ns).Rules
	wide, one, foreign, two := rules[1], rules[2], rules[3], rules[4]
	was := []fib.Rule{wide, one, two}
	inOrder := func(t *testing.T) []fib.Rule {
		t.Helper()
		rules := observe(t, ns).Rules
		if !slices.Contains(rules, foreign) {
			t.Error("somebody else's rule has gone")
		}
		return slices.DeleteFunc(rules, func(r fib.Rule) bool { return r.Priority != 5 || r.Protocol != 73 })
	}
	for _, tt := range []struct {
		name       string
		want, then []fib.Rule
	}{
		{"the first behind all", []fib.Rule{one, two, wide}, []fib.Rule{one, two, wide}},
		{"turned round", []fib.Rule{two, one, wide}, []fib.Rule{two, one, wide}},
		{"as it is", was, was},
		{"one that is not there", []fib.Rule{two, {Family: fib.V4, Priority: 5, Action: fib.Lookup, Table: 9}, one}, []fib.Rule{wide, two, one}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			undo, err := ns.Apply(plan.Reorder{Was: was, Want: tt.want})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.then, inOrder(t), observed); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := ns.Revert(undo); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(was, inOrder(t), observed); diff != "" {
				t.Errorf("undo (-before +after):\n%s", diff)
			}
		})
	}
	t.Run("two that are there twice", func(t *testing.T) { // an invocation was killed
		for _, r := range []fib.Rule{two, one} {
			if err := ns.do(unix.RTM_NEWRULE, unix.NLM_F_CREATE, fib.EncodeRule(r)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ns.Apply(plan.Reorder{Want: was}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(was, inOrder(t), observed); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// An answer that is lost leaves open whether the change was made: the undo comes
// with the error, and brings back what was. (A reordering begins by reading, and
// its undo mends whatever order it finds: TestReorder.)
func TestApplyWithoutAnswer(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"rule add priority 5 from 10.1.0.2 table 8 protocol 73",
		"rule add priority 5 from 10.1.0.3 table 8 protocol 73",
		"route add default via 10.2.0.1 dev net1 table 7300 protocol 73",
		"route append default via 10.1.0.1 dev eth0",
		"route append default via 10.2.0.1 dev net1",
	)...)
	ns := n.enter(t)
	s := observe(t, ns, 7300)
	net1 := linkIndex(t, s, "net1")
	main, table := s.Table(254), s.Table(7300)
	other := s.Rules[2]
	third := ours("0.0.0.0/0", fib.Hop{Gateway: addr("10.2.0.9"), Index: net1})
	third.Table = 254
	for _, op := range []plan.Op{
		plan.AddRule{Rule: fib.Rule{Family: fib.V4, Priority: 6, Action: fib.Unreachable, Protocol: 73}},
		plan.DelRule{Rule: other},
		plan.AddRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: net1})},
		plan.DelRoute{Route: table[0]},
		plan.PutIn{Route: third, Place: plan.Place{First: true}},
		plan.PutIn{Route: third, Place: plan.Place{Before: main[1:2]}},
		plan.TakeOut{Route: main[0], Place: place(main[0], main)},
	} {
		t.Run(op.String(), func(t *testing.T) {
			before := n.routing(t)
			undo, err := applyUnanswered(ns, op)
			if !errors.Is(err, ErrNoAnswer) || undo == nil {
				t.Fatalf("got %v (undo %v), want ErrNoAnswer and an undo", err, undo)
			}
			if n.routing(t) == before {
				t.Fatal("the kernel did nothing: this test shows nothing")
			}
			if err := ns.Revert(undo); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before, n.routing(t)); diff != "" {
				t.Errorf("not as before (-before +after):\n%s", diff)
			}
		})
	}
}

// applyUnanswered carries out an operation without being able to read the
// kernel's answer.
func applyUnanswered(ns *Namespace, op plan.Op) (plan.Op, error) {
	sock := ns.sock.handles[unix.NETLINK_ROUTE].Socket
	_ = sock.SetReceiveTimeout(&unix.Timeval{Usec: 50_000})
	defer sock.SetReceiveTimeout(&unix.Timeval{}) //nolint:errcheck // it is only noted
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	if err := unix.SetsockoptSockFprog(sock.GetFd(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing}); err != nil {
		return nil, err
	}
	defer unix.SetsockoptInt(sock.GetFd(), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) //nolint:errcheck // as above
	return ns.Apply(op)
}

// A place between others is made by moving those behind it. One that the kernel
// would not take again, for the way to its gateway has gone, must not be lost.
func TestPutInKeepsOthers(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"route append default via 10.1.0.1 dev eth0",
		"route append default via 10.2.0.1 dev net1",
		"route del 10.2.0.0/24 dev net1",
	)...)
	ns := n.enter(t)
	before := n.routing(t)
	main := observe(t, ns).Routes
	r := main[0]
	r.Hops = []fib.Hop{{Gateway: addr("10.1.0.9"), Index: linkIndex(t, observe(t, ns), "eth0")}}
	undo, err := ns.Apply(plan.PutIn{Route: r, Place: plan.Place{Before: main[1:2]}})
	if undo == nil {
		t.Fatalf("no undo (%v)", err)
	}
	if err := ns.Revert(undo); err != nil {
		t.Error(err)
	}
	// That it needs "onlink" now is no loss.
	if diff := cmp.Diff(before, strings.ReplaceAll(n.routing(t), " onlink", "")); diff != "" {
		t.Errorf("not as before, after %v (-before +after):\n%s", err, diff)
	}
}

// What is taken out of main comes back where it was, wherever that is.
func TestPlaces(t *testing.T) {
	tests := []struct {
		name   string
		routes []string
	}{
		{"IPv4 defaults of one metric", []string{
			"route append default via 10.1.0.1 dev eth0",
			"route append default via 10.2.0.1 dev net1",
			"route append default via 10.1.0.9 dev eth0 mtu 1400",
			"route append default via 10.2.0.9 dev net1 src 10.2.0.2",
			"route append default via 10.1.0.1 dev eth0 metric 100",
		}},
		{"IPv4 defaults with a metric", []string{
			"route append default via 10.1.0.1 dev eth0 metric 7",
			"route append default via 10.2.0.1 dev net1 metric 7",
			"route append default via 10.1.0.9 dev eth0 metric 7",
			"route append default via 10.2.0.1 dev net1 metric 8",
		}},
		{"one gateway by several protocols", []string{
			"route append default via 10.2.0.1 dev net1 protocol static",
			"route append default via 10.2.0.1 dev net1 protocol 73",
			"route append default via 10.2.0.1 dev net1 protocol dhcp",
		}},
		{"multipath beside others", []string{
			"route append default via 10.2.0.1 dev net1",
			"route append default nexthop via 10.1.0.1 dev eth0 nexthop via 10.2.0.1 dev net1",
			"route append default via 10.1.0.1 dev eth0",
		}},
		{"IPv6 alone", []string{"-6 route append default via fe80::1 dev eth0"}},
		{"IPv6 of different metrics", []string{
			"-6 route append default via fe80::1 dev eth0 metric 7",
			"-6 route append default via fe80::1 dev net1 metric 8",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNetns(t, append(twoNICs, tt.routes...)...)
			ns := n.enter(t)
			before := n.routing(t)
			main := observe(t, ns).Routes
			for _, r := range main {
				if !r.IsDefault() {
					continue
				}
				n.takeOutAndBack(t, ns, plan.TakeOut{Route: r, Place: place(r, main)}, before)
			}
		})
	}
}

// In IPv6 the hops of a multipath route are taken out one by one.
func TestPlacesOfHops(t *testing.T) {
	tests := []struct {
		name   string
		routes []string
	}{
		{"written as one route", []string{
			"-6 route add default nexthop via fe80::1 dev eth0 nexthop via fe80::2 dev net1 nexthop via fe80::3 dev eth0",
		}},
		{"merged", []string{
			"-6 route append default via fe80::1 dev eth0",
			"-6 route append default via 2001:db8:2::1 dev net1",
			"-6 route append default via fe80::1 dev net1",
		}},
		{"with attributes", []string{
			"-6 route append default via fe80::1 dev eth0 metric 5 mtu 1400 protocol static",
			"-6 route append default via fe80::1 dev net1 metric 5 mtu 1400 protocol static",
		}},
		{"of different protocols", []string{
			"-6 route append default via fe80::1 dev eth0 protocol static",
			"-6 route append default via fe80::1 dev net1 protocol boot",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNetns(t, append(twoNICs, tt.routes...)...)
			ns := n.enter(t)
			before := n.routing(t)
			for _, r := range observe(t, ns).Routes {
				if !r.IsDefault() {
					continue
				}
				for i := range r.Hops {
					n.takeOutAndBack(t, ns, plan.TakeOut{Route: hop(r, i), Place: hopPlace(r, i)}, before)
				}
			}
		})
	}
}

// Who else has a default in IPv6's main table keeps it as it is: what the router
// advertised goes on to expire.
func TestPlaceBesideAdvertisedRoute(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"-6 route append default via fe80::1 dev net1",
		"-6 route append default dev eth0 protocol ra expires 5000",
	)...)
	ns := n.enter(t)
	main := observe(t, ns).Routes
	for _, r := range main {
		if r.IsDefault() && !r.Expires {
			undo, err := ns.Apply(plan.TakeOut{Route: r, Place: place(r, main)})
			if err == nil {
				_, err = ns.Apply(undo)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	for _, r := range main {
		if again, ok := find(t, ns, r); !ok || again.Expires != r.Expires {
			t.Errorf("%s: there %t, expires %t, want %t", r, ok, again.Expires, r.Expires)
		}
	}
}

func (n *testNS) takeOutAndBack(t *testing.T, ns *Namespace, op plan.TakeOut, before string) {
	t.Helper()
	undo, err := ns.Apply(op)
	if err != nil {
		t.Error(err)
		return
	}
	if diff := cmp.Diff(before, n.routing(t)); diff == "" {
		t.Errorf("%s: took nothing out", op)
	}
	if _, err := ns.Apply(undo); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, n.routing(t)); diff != "" {
		t.Errorf("%s: not at its place again (-before +after):\n%s", op, diff)
	}
}

// hop is one hop of an IPv6 multipath route, as the kernel has it.
func hop(r fib.Route, i int) fib.Route {
	h := r.Hops[i]
	h.Weight = 0
	r.Hops = []fib.Hop{h}
	return r
}

func hopPlace(r fib.Route, i int) plan.Place {
	p := plan.Place{First: i == 0}
	for j := i + 1; j < len(r.Hops); j++ {
		p.Before = append(p.Before, hop(r, j))
	}
	return p
}
