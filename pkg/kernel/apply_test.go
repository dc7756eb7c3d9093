package kernel

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
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
		"-6 route add default table 7300 protocol 73 nexthop via fe80::a dev net1 nexthop via fe80::b dev net1",
		"route add default via 10.1.0.1 dev eth0",
		"-6 route add default via fe80::1 dev eth0",
		"addr add 10.9.0.9/32 dev lo scope host",
		"link add br0 index 70 type bridge",
		"link set dev br0 up",
		"link set dev br0 down",
	)...)
	ns := n.enter(t)
	s := observe(t, ns, 7300)
	net1, br0 := linkIndex(t, s, "net1"), linkIndex(t, s, "br0")
	main6 := s.Defaults(254)[1]
	rule := fib.Rule{Family: fib.V4, Priority: 5, From: prefix("10.1.0.2/32"), Action: fib.Lookup, Table: 8, Protocol: 73}
	v6rule := fib.Rule{Family: fib.V6, Priority: 5, From: prefix("2001:db8::/64"), Action: fib.Unreachable, Protocol: 73}
	inMain := func(r fib.Route) fib.Route { r.Table = 254; return r }
	goTo := fib.Rule{Family: fib.V4, Priority: 32765, From: prefix("10.2.0.2/32"), Action: fib.Goto, Target: 40000, Protocol: 73}
	anchor := fib.Rule{Family: fib.V6, Priority: 40000, Action: fib.Nop, Protocol: 73}
	bound := fib.Rule{Family: fib.V6, Priority: 49000, OIF: "net1", Action: fib.Lookup, Table: 7300, Protocol: 73}
	tests := []struct {
		name  string
		op    change.Change
		shown string // what `ip` then shows one more or one less line of
		again unix.Errno
	}{
		{"rule", change.AddRule{Rule: v6rule}, "from 2001:db8::/64 unreachable", unix.EEXIST},
		{"rule away", change.DelRule{Rule: rule}, "from 10.1.0.2 lookup 8", unix.ENOENT},
		{"link route", change.AddRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: net1})}, "192.0.2.0/24 dev net1", unix.EEXIST},
		{"IPv6 route", change.AddRoute{Route: ours("fd00::/8", fib.Hop{Gateway: addr("fe80::1"), Index: net1})}, "fd00::/8 via fe80::1", unix.EEXIST},
		{
			"route away", change.DelRoute{Route: ours("0.0.0.0/0", fib.Hop{Gateway: addr("10.2.0.1"), Index: net1})},
			"default via 10.2.0.1 dev net1 table 7300", unix.ESRCH,
		},
		{
			"in the place of another", change.ReplaceRoute{
				Old:   ours("0.0.0.0/0", fib.Hop{Gateway: addr("10.2.0.1"), Index: net1}),
				Route: ours("0.0.0.0/0", fib.Hop{Gateway: addr("10.2.0.254"), Index: net1}),
			},
			"default via 10.2.0.254 dev net1 table 7300", 0,
		},
		{
			"in the place of an IPv6 multipath route", change.ReplaceRoute{
				Old: ours("::/0", fib.Hop{Gateway: addr("fe80::a"), Index: net1, Weight: 1},
					fib.Hop{Gateway: addr("fe80::b"), Index: net1, Weight: 1}),
				Route: ours("::/0", fib.Hop{Gateway: addr("fe80::3"), Index: net1}),
			},
			"default via fe80::3 dev net1 table 7300", 0,
		},
		{"goto whose target is missing", change.AddRule{Rule: goTo}, "from 10.2.0.2 goto 40000", unix.EEXIST},
		{"anchor", change.AddRule{Rule: anchor}, "from all nop", unix.EEXIST},
		{"rule of bound sockets", change.AddRule{Rule: bound}, "from all oif net1 lookup 7300", unix.EEXIST},
		{
			"into main", change.AddToMain{Route: inMain(ours("0.0.0.0/0", fib.Hop{Gateway: addr("10.2.0.1"), Index: net1}))},
			"default via 10.2.0.1 dev net1 table main", unix.EEXIST,
		},
		{
			"into IPv6 main", change.AddToMain{Route: inMain(ours("fd00::/8", fib.Hop{Gateway: addr("fe80::1"), Index: net1}))},
			"fd00::/8 via fe80::1 dev net1 table main", unix.EEXIST,
		},
		{
			"beside the IPv6 default of main", change.AddToMain{Route: inMain(ours("::/0", fib.Hop{Gateway: addr("fe80::1"), Index: net1}))},
			"nexthop via fe80::1 dev net1", unix.EEXIST,
		},
		{"out of main", change.DelFromMain{Route: s.Table(254)[0]}, "default via 10.1.0.1", unix.ESRCH},
		{"out of IPv6 main", change.DelFromMain{Route: main6}, "default via fe80::1", unix.ESRCH},
		{"set up", change.SetLink{Index: br0, Name: "br0", Up: true}, "70: br0: <BROADCAST,MULTICAST> mtu", 0},
		{"VIP", change.AddAddress{Address: vip("192.0.2.9")}, "inet 192.0.2.9/32 scope host lo", unix.EEXIST},
		{"IPv6 VIP", change.AddAddress{Address: vip("3fff::9")}, "inet6 3fff::9/128 scope global nodad deprecated noprefixroute", unix.EEXIST},
		{"VIP away", change.DelAddress{Address: vip("10.9.0.9")}, "10.9.0.9/32 scope host", unix.EADDRNOTAVAIL},
		{"device", change.MakeLink{Index: 77, Name: "br7", Kind: "bridge"}, "77: br7: <BROADCAST,MULTICAST>", unix.EEXIST},
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
			if again, err := ns.Apply(tt.op); errno(err) != tt.again || (again == nil) != (tt.again != 0) {
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
		if _, err := ns.Apply(change.AddAddress{Address: want}); err != nil {
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
	undo, err := ns.Apply(change.SetLink{Index: index, Name: "br7", Up: true})
	if err != nil || !up() {
		t.Errorf("set up: %v, is up: %t", err, up())
	}
	if err := ns.Revert(undo); err != nil || up() {
		t.Errorf("undo: %v, is up: %t", err, up())
	}
	absent := change.SetLink{Index: 999, Name: "absent"}
	if _, err := ns.Apply(absent); errno(err) != unix.ENODEV {
		t.Errorf("a device that is not there: %v", err)
	}
	if err := ns.Revert(absent); err != nil {
		t.Errorf("undo on a device that has gone: %v", err)
	}
}

func TestMakeLink(t *testing.T) {
	n := newNetns(t)
	ns := n.enter(t)
	make7 := change.MakeLink{Index: 77, Name: "br7", Kind: "bridge"}
	there := func() bool { _, ok := observe(t, ns).LinkAt(77); return ok }
	undo, err := ns.Apply(make7)
	if err != nil || !there() {
		t.Fatalf("made: %v, there: %t", err, there())
	}
	for range 2 { // the second time it is gone
		if err := ns.Revert(undo); err != nil || there() {
			t.Errorf("undo: %v, there: %t", err, there())
		}
	}
	if undo, err := ns.Apply(change.DelLink(make7)); errno(err) != unix.ENODEV || undo != nil {
		t.Errorf("a device that is not there: %v (undo %v)", err, undo)
	}
	if undo, err := ns.Apply(change.MakeLink{Index: 78, Name: "lo", Kind: "bridge"}); errno(err) != unix.EEXIST || undo != nil {
		t.Errorf("a name that is taken: %v (undo %v)", err, undo)
	}
}

// A device that was renamed keeps its index: it is found by that.
func TestSetOfRenamed(t *testing.T) {
	n := newNetns(t, append(twoNICs, "link set dev net1 down", "link set dev net1 name other", "link add net1 type bridge")...)
	ns := n.enter(t)
	index := linkIndex(t, observe(t, ns), "other")
	n.ip(t, "link del net1")
	undo, err := ns.Apply(change.Set{Device: "net1", Index: index, Key: fib.RPFilter, Was: 0, Value: 2})
	if got := n.get(t, "ipv4/conf/other/rp_filter"); err != nil || got != 2 {
		t.Fatalf("it has %d (%v), want 2", got, err)
	}
	if err := ns.Revert(undo); err != nil {
		t.Error(err)
	}
	if got := n.get(t, "ipv4/conf/other/rp_filter"); got != 0 {
		t.Errorf("it has %d again, want 0", got)
	}
	gone := change.Set{Device: "net1", Index: 999, Key: fib.RPFilter, Value: 2}
	if _, err := ns.Apply(gone); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a device that is not there: %v", err)
	}
	if err := ns.Revert(gone); err != nil {
		t.Errorf("undo on a device that has gone: %v", err)
	}
}

// In a container /proc/sys is read-only, and what may be written is somewhere else: the settings of the namespace that the
// thread is in, all the same.
func TestApplySetInContainer(t *testing.T) {
	n := newNetns(t, twoNICs...)
	if _, err := os.Stat("/host"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("/host is there (%v): this test makes it", err)
	}
	if err := os.MkdirAll(containerSettings+"net", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for dir := containerSettings + "net"; dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		}
	})
	inOwnMounts(t, func(t *testing.T, nodes string) {
		if err := unix.Mount("/proc/sys/net", nodes, "", unix.MS_BIND, ""); err != nil { // by a thread that is not in the namespace
			t.Fatal(err)
		}
		ro := func(flags uintptr) error { return unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND|flags, "") }
		if err := errors.Join(ro(0), ro(unix.MS_REMOUNT|unix.MS_RDONLY)); err != nil {
			t.Fatal(err)
		}
		ns, err := Enter(n.path)
		if err != nil {
			t.Fatal(err)
		}
		set := change.Set{Device: "net1", Key: "rp_filter", Was: 0, Value: 2}
		if _, err := ns.Apply(set); !errors.Is(err, unix.EROFS) {
			t.Errorf("a read-only /proc/sys alone: %v, want EROFS", err)
		}
		if err := unix.Mount(nodes, containerSettings+"net", "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := ns.Apply(set); err != nil {
			t.Error(err)
		}
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	if got := n.get(t, "ipv4/conf/net1/rp_filter"); got != 2 {
		t.Errorf("rp_filter is %d, want 2", got)
	}
}

func TestApplySet(t *testing.T) {
	n := newNetns(t, twoNICs...)
	ns := n.enter(t)
	keep := change.Set{Device: "net1", Key: fib.KeepAddrOnDown, Was: 0, Value: 1}
	undo, err := ns.Apply(keep)
	if got := n.get(t, "ipv6/conf/net1/keep_addr_on_down"); err != nil || got != 1 {
		t.Errorf("keep_addr_on_down is %d (%v), want 1", got, err)
	}
	if err := ns.Revert(undo); err != nil || n.get(t, "ipv6/conf/net1/keep_addr_on_down") != 0 {
		t.Errorf("undo of keep_addr_on_down: %v", err)
	}
	for _, device := range []string{"net1", "all", "default"} {
		undo, err := ns.Apply(change.Set{Device: device, Key: "rp_filter", Was: 0, Value: 2})
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
	absent := change.Set{Device: "absent", Key: "rp_filter", Value: 2}
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
		op    change.Change
		want  unix.Errno
		words string
	}{
		{"device that is not there", change.AddRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: 999})}, unix.ENODEV, ""},
		{"device that is down", change.AddRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: down0})}, unix.ENETDOWN, "Device for nexthop is not up"},
		{"gateway that is not on the link", change.AddRoute{Route: ours("0.0.0.0/0", fib.Hop{Gateway: addr("192.0.2.1"), Index: net1})}, unix.ENETUNREACH, "Nexthop has invalid gateway"},
		{"source that we have not", change.AddRoute{Route: withSource(ours("192.0.2.0/24", fib.Hop{Index: net1}), "192.0.2.1")}, unix.EINVAL, "Invalid prefsrc address"},
		{"IPv6 gateway that is not on the link", change.AddRoute{Route: ours("fd00::/8", fib.Hop{Gateway: addr("2001:db8:9::1"), Index: net1})}, unix.EHOSTUNREACH, ""},
		{"IPv6 source that we have not", change.AddRoute{Route: withSource(ours("fd00::/8", fib.Hop{Index: net1}), "fd00::1")}, unix.EINVAL, "Invalid source address"},
		{"device of a kind that no module has", change.MakeLink{Index: 99, Name: "odd0", Kind: "nosuch"}, unix.EOPNOTSUPP, "modprobe rtnl-link-nosuch"},
		{"route that is not there", change.DelRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: net1})}, unix.ESRCH, ""},
		{"rule that is not there", change.DelRule{Rule: fib.Rule{Family: fib.V6, Priority: 5, Action: fib.Lookup, Table: 9}}, unix.ENOENT, ""},
		{"somebody else's rule", change.DelRule{Rule: foreign}, unix.ENOENT, ""},
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

func (unknownOp) String() string         { return "nothing" }
func (unknownOp) Inverse() change.Change { return unknownOp{} }

// What an undo would delete has gone with its interface. What it would bring back by one that
// is down is lost: that is worth a note.
func TestRevertWithoutInterface(t *testing.T) {
	n := newNetns(t, append(twoNICs, "link add down0 type veth peer name down1")...)
	ns := n.enter(t)
	down0 := linkIndex(t, observe(t, ns), "down0")
	for _, dst := range []string{"192.0.2.0/24", "fd00::/64"} {
		absent, down := ours(dst, fib.Hop{Index: 999}), ours(dst, fib.Hop{Index: down0})
		for _, op := range []change.Change{
			change.AddRoute{Route: absent}, change.DelRoute{Route: absent}, change.AddToMain{Route: absent}, change.DelFromMain{Route: absent},
			change.DelRoute{Route: down}, change.DelFromMain{Route: down},
		} {
			if err := ns.Revert(op); err != nil {
				t.Errorf("%s: %v", op, err)
			}
		}
		for _, op := range []change.Change{change.AddRoute{Route: down}, change.AddToMain{Route: down}} {
			if err := ns.Revert(op); !errors.Is(err, ErrNoReturn) || errno(err) != unix.ENETDOWN {
				t.Errorf("%s: got %v, want ErrNoReturn", op, err)
			}
		}
	}
	for _, a := range []fib.Address{{Index: 999, Prefix: prefix("192.0.2.9/32")}, {Index: 999, Prefix: prefix("3fff::9/128")}} {
		for _, op := range []change.Change{change.AddAddress{Address: a}, change.DelAddress{Address: a}} {
			if err := ns.Revert(op); err != nil {
				t.Errorf("%s: %v", op, err)
			}
		}
	}
}

// An undo that can never succeed is told from one that is worth another try.
func TestRevertWithoutGround(t *testing.T) {
	n := newNetns(t, append(twoNICs, "link add off0 type veth peer name off1", "link set dev off1 up", "link set dev off0 up",
		"link add down0 type veth peer name down1")...)
	n.set(t, 1, "ipv6/conf/off0/disable_ipv6")
	n.set(t, 1, "ipv6/conf/down0/disable_ipv6")
	ns := n.enter(t)
	s := observe(t, ns)
	net1, off0, down0 := linkIndex(t, s, "net1"), linkIndex(t, s, "off0"), linkIndex(t, s, "down0")
	withSource := func(r fib.Route, src string) fib.Route { r.PrefSrc = addr(src); return r }
	for _, tt := range []struct {
		name string
		op   change.Change
		want unix.Errno
	}{
		{"gateway", change.AddToMain{Route: ours("0.0.0.0/0", fib.Hop{Gateway: addr("192.0.2.1"), Index: net1})}, unix.ENETUNREACH},
		{"IPv6 gateway", change.AddToMain{Route: ours("::/0", fib.Hop{Gateway: addr("2001:db8:9::1"), Index: net1})}, unix.EHOSTUNREACH},
		{"source", change.AddRoute{Route: withSource(ours("192.0.2.0/24", fib.Hop{Index: net1}), "192.0.2.1")}, unix.EINVAL},
		{"IPv6 source", change.AddRoute{Route: withSource(ours("fd00::/8", fib.Hop{Index: net1}), "fd00::1")}, unix.EINVAL},
		{"IPv6 is off", change.AddToMain{Route: ours("::/0", fib.Hop{Gateway: addr("fe80::1"), Index: off0})}, unix.EACCES},
		{"IPv6 is off, and the link is down", change.AddToMain{Route: ours("::/0", fib.Hop{Gateway: addr("fe80::1"), Index: down0})}, unix.EACCES},
		{"IPv6 is off, in a table of ours", change.AddRoute{Route: ours("fd00::/8", fib.Hop{Index: off0})}, unix.EACCES},
	} {
		if err := ns.Revert(tt.op); !errors.Is(err, ErrNoReturn) || errno(err) != tt.want {
			t.Errorf("%s: got %v, want ErrNoReturn with %v", tt.name, err, tt.want)
		}
	}
	for _, op := range []change.Change{change.DelRule{Rule: fib.Rule{Family: 99}}, change.AddRule{Rule: fib.Rule{Family: 99}}, unknownOp{}} {
		if err := ns.Revert(op); err == nil || errors.Is(err, ErrNoReturn) {
			t.Errorf("%s: got %v, want another refusal", op, err)
		}
	}
}

// What a refusal of an undo means: nothing to do, nothing to be done, or worth another try.
func TestRefusals(t *testing.T) {
	const done, lost, again = "done", "lost", "again"
	for _, tt := range []struct {
		op   change.Change
		err  error
		want string
	}{
		{change.AddRule{}, unix.EEXIST, done},
		{change.AddRule{}, unix.EPERM, again},
		{change.DelRule{}, unix.ENOENT, done},
		{change.DelRule{}, unix.EINVAL, again},
		{change.AddRoute{}, unix.EEXIST, done},
		{change.AddRoute{}, unix.ENODEV, done},
		{change.AddRoute{}, unix.EPERM, again},
		{change.AddToMain{}, unix.EEXIST, done},
		{change.AddToMain{}, unix.ENETDOWN, lost},
		{change.AddToMain{}, unix.EACCES, lost},
		{change.AddToMain{}, unix.EPERM, again},
		{change.AddToMain{}, ErrNoAnswer, again},
		{change.DelRoute{}, unix.ESRCH, done},
		{change.DelFromMain{}, unix.ESRCH, done},
		{change.DelFromMain{}, unix.ENODEV, done},
		{change.DelFromMain{}, ErrUnsteady, again},
		{change.Set{}, fs.ErrNotExist, done},
		{change.Set{}, unix.EROFS, lost},
		{change.Set{}, unix.EINVAL, lost},
		{change.Set{}, unix.EACCES, again},
		{change.AddAddress{}, unix.EEXIST, done},
		{change.AddAddress{}, unix.EACCES, again},
		{change.DelAddress{}, unix.EADDRNOTAVAIL, done},
		{change.MakeLink{}, unix.EEXIST, done},
		{change.MakeLink{}, unix.EBUSY, again},
		{change.DelLink{}, unix.ENODEV, done},
		{change.DelLink{}, unix.EOPNOTSUPP, again},
		{change.SetLink{}, unix.ENODEV, done},
		{change.SetLink{}, unix.EPERM, again},
	} {
		got := again
		switch {
		case alreadySo(tt.op, tt.err):
			got = done
		case groundless(tt.op, tt.err):
			got = lost
		}
		if got != tt.want {
			t.Errorf("%T, %v: %s, want %s", tt.op, tt.err, got, tt.want)
		}
	}
}

// An answer that is lost leaves open whether the change was made: the undo comes
// with the error, and brings back what was.
func TestApplyWithoutAnswer(t *testing.T) {
	n := newNetns(t, append(twoNICs,
		"rule add priority 5 from 10.1.0.2 table 8 protocol 73",
		"rule add priority 5 from 10.1.0.3 table 8 protocol 73",
		"route add default via 10.2.0.1 dev net1 table 7300 protocol 73",
		"route append default via 10.1.0.1 dev eth0",
		"route append default via 10.2.0.1 dev net1",
		"addr add 10.9.0.9/32 dev lo scope host",
		"link add br0 type bridge",
		"link set dev br0 up",
		"link set dev br0 down",
	)...)
	ns := n.enter(t)
	s := observe(t, ns, 7300)
	state := func() string { return n.routing(t) + n.show(t, "addr", "show") }
	net1 := linkIndex(t, s, "net1")
	main, table := s.Table(254), s.Table(7300)
	other := s.Rules[2]
	third := ours("0.0.0.0/0", fib.Hop{Gateway: addr("10.2.0.9"), Index: net1})
	third.Table = 254
	for _, op := range []change.Change{
		change.AddRule{Rule: fib.Rule{Family: fib.V4, Priority: 6, Action: fib.Unreachable, Protocol: 73}},
		change.DelRule{Rule: other},
		change.AddRoute{Route: ours("192.0.2.0/24", fib.Hop{Index: net1})},
		change.DelRoute{Route: table[0]},
		change.AddToMain{Route: third},
		change.DelFromMain{Route: main[1]}, // the last of its metric: where it comes back
		change.SetLink{Index: linkIndex(t, s, "br0"), Name: "br0", Up: true},
		change.MakeLink{Index: 77, Name: "br7", Kind: "bridge"},
		change.AddAddress{Address: vip("3fff::9")},
		change.DelAddress{Address: vip("10.9.0.9")},
	} {
		t.Run(op.String(), func(t *testing.T) {
			before := state()
			undo, err := applyUnanswered(ns, op)
			if !errors.Is(err, ErrNoAnswer) || undo == nil {
				t.Fatalf("got %v (undo %v), want ErrNoAnswer and an undo", err, undo)
			}
			if state() == before {
				t.Fatal("the kernel did nothing: this test shows nothing")
			}
			if err := ns.Revert(undo); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before, state()); diff != "" {
				t.Errorf("not as before (-before +after):\n%s", diff)
			}
		})
	}
}

// applyUnanswered carries out an operation without being able to read the
// kernel's answer.
func applyUnanswered(ns *Namespace, op change.Change) (change.Change, error) {
	sock := ns.sock.handles[unix.NETLINK_ROUTE].Socket
	_ = sock.SetReceiveTimeout(&unix.Timeval{Usec: 50_000})
	defer sock.SetReceiveTimeout(&unix.Timeval{})
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	if err := unix.SetsockoptSockFprog(sock.GetFd(), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing}); err != nil {
		return nil, err
	}
	defer unix.SetsockoptInt(sock.GetFd(), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
	return ns.Apply(op)
}
