package kernel

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel/fake"
	"github.com/symroute/symroute/pkg/plan"
)

var (
	paritySeed  = flag.Uint64("parity.seed", 1, "seed of the first of TestParity's walks, which it prints; 0: a new one")
	paritySteps = flag.Int("parity.steps", 500, "least length of each of TestParity's walks")
)

// parityTables are the tables that the walks change.
var parityTables = []uint32{254, 7300, 7301}

// TestParity holds pkg/kernel/fake to the kernel: the same random walk on both
// gives the same errors, leads to the same state, and after every step both
// answer the same questions alike.
func TestParity(t *testing.T) {
	seed := *paritySeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	steps := *paritySteps
	if testing.Short() {
		steps = min(steps, 100)
	}
	for i := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed+i), func(t *testing.T) {
			n := newNetns(t, append(twoNICs,
				"link add down0 type veth peer name down1",
				"addr add 10.3.0.2/24 dev down0",
				"addr add 10.1.0.3/24 dev eth0",
				"addr add 10.9.0.9/32 dev lo",
			)...)
			n.set(t, 1, "ipv6/conf/far1/disable_ipv6")
			n.set(t, 1, "ipv6/conf/default/addr_gen_mode") // no link-local addresses (IN6_ADDR_GEN_MODE_NONE)
			w := newWalk(t, n, seed+i)
			for done := 0; done < steps || done < 10*steps && len(w.missed()) > 0; done++ {
				w.step(t)
				if t.Failed() {
					t.Fatalf("go test -run TestParity -parity.seed=%d", seed+i)
				}
			}
			w.report(t)
		})
	}
}

// walk is a random walk on the kernel and on its fake.
type walk struct {
	*rand.Rand
	kernel *Namespace
	fake   *fake.Namespace
	seen   *fib.Snapshot
	index  map[string]int
	undo   []plan.Op
	met    map[string]int // what the steps came to
}

func newWalk(t *testing.T, n *testNS, seed uint64) *walk {
	t.Helper()
	w := &walk{Rand: rand.New(rand.NewPCG(seed, 0)), kernel: n.enter(t), index: map[string]int{}, met: map[string]int{}}
	w.seen = observe(t, w.kernel, parityTables[1:]...)
	w.fake = fake.New(w.seen)
	for _, l := range w.seen.Links {
		w.index[l.Name] = l.Index
	}
	return w
}

// step makes one change to both and compares them.
func (w *walk) step(t *testing.T) {
	t.Helper()
	op, revert := w.op()
	var undo, fakeUndo plan.Op
	var err, fakeErr error
	if revert {
		err, fakeErr = w.kernel.Revert(op), w.fake.Revert(op)
	} else {
		undo, err = w.kernel.Apply(op)
		fakeUndo, fakeErr = w.fake.Apply(op)
	}
	w.met[fmt.Sprintf("%T %s", op, failure(err))]++
	if failure(err) != failure(fakeErr) || (undo == nil) != (fakeUndo == nil) {
		t.Errorf("%s (revert %t):\nkernel %v (undo %v)\nfake   %v (undo %v)", op, revert, err, undo, fakeErr, fakeUndo)
	}
	if undo != nil && w.IntN(3) == 0 {
		w.undo = append(w.undo, undo)
	}
	w.compare(t, op)
}

// failure is the errno in words.
func failure(err error) string {
	if err == nil {
		return "done"
	}
	return errno(err).Error()
}

func (w *walk) compare(t *testing.T, op plan.Op) {
	t.Helper()
	w.seen = observe(t, w.kernel, parityTables[1:]...)
	got, err := w.fake.Observe()
	if err == nil {
		err = w.fake.ReadTables(got, parityTables[1:]...)
	}
	if err == nil {
		err = w.kernel.ReadARP(w.seen)
	}
	if err != nil {
		t.Fatal(err)
	}
	got.All.ARPFilter, got.Default.ARPFilter = 0, 0 // which nobody reads
	notFaked := cmp.Options{cmpopts.IgnoreFields(fib.Link{}, "MTU")}
	if !tellsOrigin(w.seen) {
		notFaked = append(notFaked, cmpopts.IgnoreFields(fib.Address{}, "Protocol"))
	}
	if diff := cmp.Diff(w.seen, got, observed, notFaked); diff != "" {
		t.Errorf("after %#v (-kernel +fake):\n%s", op, diff)
	}
	asked := []fib.Query{w.query(), w.query(), w.query(), w.query()}
	want, faked := w.kernel.Ask(asked...), w.fake.Ask(asked...)
	for i, q := range asked {
		w.compareAnswers(t, q, want[i], faked[i])
	}
}

func (w *walk) compareAnswers(t *testing.T, q fib.Query, asked, faked fib.Answer) {
	t.Helper()
	want, err := asked.Route, asked.Err
	got, fakeErr := faked.Route, faked.Err
	w.met["Ask: "+failure(fakeErr)]++
	if refused(err) != refused(fakeErr) {
		t.Errorf("%+v:\nkernel %v, %v\nfake   %v, %v", q, want, err, got, fakeErr)
	}
	if err != nil || fakeErr != nil {
		return
	}
	if want.Type != got.Type {
		t.Errorf("%+v:\nkernel %v, type %d\nfake   %v, type %d", q, want, want.Type, got, got.Type)
	}
	if got.Type == unix.RTN_LOCAL { // by table main while the kernel keeps the two in one (fib_trie_unmerge)
		return
	}
	if want.Table != got.Table {
		t.Errorf("%+v:\nkernel %v, table %d\nfake   %v, table %d", q, want, want.Table, got, got.Table)
	}
	if w.ambiguous(q, got) {
		return
	}
	if r, f := want.Hops[0], got.Hops[0]; r.Index != f.Index || r.Gateway != f.Gateway {
		t.Errorf("%+v:\nkernel %v\nfake   %v", q, want, got)
	}
}

// refused is the errno of an answer. Newer kernels have EINVAL for EXDEV.
func refused(err error) unix.Errno {
	if e := errno(err); e != unix.EXDEV {
		return e
	}
	return unix.EINVAL
}

// ambiguous reports whether there are several next hops that the kernel chooses
// from by a hash, or by what it thinks of the neighbours.
func (w *walk) ambiguous(q fib.Query, got fib.Route) bool {
	hops, bits := 0, -1
	for _, r := range w.seen.Table(got.Table) {
		if !r.Dst.Contains(q.To) || r.Dst.Bits() < bits || q.OIF != 0 && !r.Uses(q.OIF) {
			continue
		}
		if r.Dst.Bits() > bits {
			hops, bits = 0, r.Dst.Bits()
		}
		hops += len(r.Hops)
	}
	return hops > 1
}

// changes are all that plans are made of.
var changes = []plan.Op{
	plan.AddRule{}, plan.DelRule{}, plan.Reorder{}, plan.AddRoute{}, plan.DelRoute{}, plan.PutIn{}, plan.TakeOut{},
	plan.Set{}, plan.AddAddress{}, plan.DelAddress{}, plan.MakeLink{}, plan.DelLink{}, plan.SetLink{},
}

// missed are the kinds of change that the walk has not made yet. Chance leaves
// out a rare one now and then: the walk goes on until it met all.
func (w *walk) missed() []string {
	var missed []string
	for _, op := range changes {
		if name := fmt.Sprintf("%T", op); w.met[name+" done"] == 0 {
			missed = append(missed, name)
		}
	}
	return missed
}

// report says what the walk met, and fails if it met too little to show anything.
func (w *walk) report(t *testing.T) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(w.met)) {
		t.Logf("%6d %s", w.met[what], what)
	}
	if missed := w.missed(); len(missed) > 0 && *paritySteps >= 100 {
		t.Errorf("the walk never made %v", missed)
	}
}

func pick[T any](w *walk, list ...T) T { return list[w.IntN(len(list))] }

// rarely is the zero value most of the time.
func rarely[T any](w *walk, list ...T) T {
	if w.IntN(8) > 0 {
		var none T
		return none
	}
	return pick(w, list...)
}

// op is the next change, and whether to make it as an undo.
func (w *walk) op() (op plan.Op, revert bool) {
	switch w.IntN(15) {
	case 0, 1:
		return plan.AddRule{Rule: w.rule()}, false
	case 2:
		return plan.DelRule{Rule: w.oldOrNewRule()}, w.IntN(2) == 0
	case 3:
		return w.reorder(), false
	case 4, 5:
		return plan.AddRoute{Route: w.route()}, false
	case 6:
		return plan.DelRoute{Route: w.oldOrNewRoute()}, w.IntN(2) == 0
	case 7, 8:
		r := w.route()
		return plan.PutIn{Route: r, Place: w.place(r)}, w.IntN(2) == 0
	case 9:
		r := w.oldOrNewRoute()
		return plan.TakeOut{Route: r, Place: w.place(r)}, false
	case 10:
		return w.setting(), w.IntN(2) == 0
	case 12:
		return plan.AddAddress{Address: w.vip()}, w.IntN(2) == 0
	case 13:
		return plan.DelAddress{Address: w.vip()}, w.IntN(2) == 0
	case 14:
		return w.device(), w.IntN(2) == 0
	}
	if len(w.undo) == 0 {
		return w.op()
	}
	op = w.undo[len(w.undo)-1]
	w.undo = w.undo[:len(w.undo)-1]
	return op, true
}

// vip is an address on lo or on a NIC.
func (w *walk) vip() fib.Address {
	a := vip(pick(w, "10.9.0.10", "10.9.0.11", "3fff:9::9", "3fff:9::10"))
	a.Index = pick(w, 1, w.index["net1"], 999)
	return a
}

// bridgeIndex is that of a device which the walk makes.
const bridgeIndex = 900

// device makes or removes a device, or sets it up or down. It never has an address:
// what the kernel does then by itself, and when, is not the fake's.
func (w *walk) device() plan.Op {
	bridge := plan.MakeLink{Index: bridgeIndex, Name: "br9", Kind: "bridge"}
	switch w.IntN(8) {
	case 0:
		return plan.DelLink(bridge)
	case 1, 2, 3:
		return bridge
	}
	return plan.SetLink{Index: bridge.Index, Name: bridge.Name, Up: w.IntN(3) > 0}
}

func (w *walk) setting() plan.Op {
	o := plan.Set{
		Device: pick(w, "all", "default", "eth0", "net1", "far0", "lo", "br9", "absent"),
		Key:    pick(w, fib.RPFilter, fib.RPFilter, fib.ARPIgnore, fib.ARPAnnounce, fib.ARPFilter),
		Value:  w.IntN(3),
	}
	if o.Key == fib.ARPFilter {
		o.Value %= 2
	}
	return o
}

func (w *walk) rule() fib.Rule {
	f := pick(w, fib.V4, fib.V6)
	r := fib.Rule{
		Family:   f,
		Priority: pick[uint32](w, 100, 101, 102),
		Protocol: pick[uint8](w, 0, 4, 73),
		IIF:      rarely(w, "lo", "eth0", "absent"),
		OIF:      rarely(w, "eth0", "net1", "absent"),
		Action:   pick(w, fib.Lookup, fib.Lookup, fib.Lookup, fib.Lookup, fib.Unreachable, unix.FR_ACT_PROHIBIT, unix.FR_ACT_BLACKHOLE),
		Inverted: w.IntN(20) == 0,
		From:     w.end(f),
		TOS:      rarely[uint8](w, 0x10),
	}
	if w.IntN(3) == 0 {
		r.To = w.end(f)
	}
	if r.Action == fib.Lookup {
		r.Table = pick(w, parityTables...)
	}
	return r
}

// end is the source or destination of a rule.
func (w *walk) end(f fib.Family) netip.Prefix {
	if f == fib.V4 {
		return pick(w, netip.Prefix{}, prefix("10.1.0.2/32"), prefix("10.2.0.2/32"), prefix("10.0.0.0/8"), prefix("192.0.2.0/24"))
	}
	return pick(w, netip.Prefix{}, prefix("2001:db8:1::2/128"), prefix("2001:db8:2::2/128"), prefix("2001:db8::/32"), prefix("3fff::/64"))
}

// rulesSeen are the rules that the walk made.
func (w *walk) rulesSeen() []fib.Rule {
	return keep(w.seen.Rules, func(r fib.Rule) bool { return r.Priority >= 100 && r.Priority < 200 })
}

func (w *walk) oldOrNewRule() fib.Rule {
	if old := w.rulesSeen(); len(old) > 0 && w.IntN(4) > 0 {
		return pick(w, old...)
	}
	return w.rule()
}

// reorder turns the rules of one family and priority round, as far as chance has it.
func (w *walk) reorder() plan.Op {
	mine := w.oldOrNewRule()
	was := keep(w.rulesSeen(), func(r fib.Rule) bool { return r.Family == mine.Family && r.Priority == mine.Priority })
	want := slices.Clone(was)
	w.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
	return plan.Reorder{Was: was, Want: want}
}

func (w *walk) route() fib.Route {
	f := pick(w, fib.V4, fib.V6)
	r := fib.Route{
		Family:   f,
		Table:    pick(w, parityTables...),
		Protocol: pick[uint8](w, 3, 4, 73),
		Type:     unix.RTN_UNICAST,
		Metric:   pick[uint32](w, 0, 100, 1024),
		MTU:      rarely[uint32](w, 1400),
	}
	if f == fib.V4 {
		r.Dst = pick(w, f.Any(), f.Any(), prefix("192.0.2.0/24"), prefix("192.0.2.0/25"), prefix("203.0.113.7/32"), prefix("10.2.0.0/24"))
		r.PrefSrc = rarely(w, addr("10.1.0.3"), addr("10.2.0.2"), addr("10.9.0.9"), addr("192.0.2.9"))
		r.TOS = rarely[uint8](w, 0, 0, 0x10)
	} else {
		r.Dst = pick(w, f.Any(), f.Any(), prefix("3fff::/64"), prefix("3fff::/48"), prefix("3fff::7/128"), prefix("2001:db8:2::/64"))
		r.PrefSrc = rarely(w, addr("2001:db8:1::2"), addr("2001:db8:2::2"), addr("3fff::9"))
	}
	if r.Type = pick[uint8](w, 1, 1, 1, 1, 1, 1, unix.RTN_UNREACHABLE, unix.RTN_BLACKHOLE, unix.RTN_PROHIBIT, unix.RTN_THROW); r.Type != unix.RTN_UNICAST {
		r.PrefSrc = netip.Addr{}
		return r
	}
	r.Hops = w.hops(f)
	if f == fib.V4 && len(r.Gateways()) < len(r.Hops) && w.IntN(20) > 0 {
		r.Scope = unix.RT_SCOPE_LINK
	}
	return r
}

func (w *walk) hops(f fib.Family) []fib.Hop {
	switch w.IntN(16) {
	case 0: // no gateway: the kernel keeps a hop among others when its device goes down
		return []fib.Hop{{Index: bridgeIndex}}
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11:
		return []fib.Hop{w.hop(f)}
	}
	hops := []fib.Hop{w.hop(f), w.hop(f)}
	for i := range hops {
		if f == fib.V6 && !hops[i].Gateway.IsValid() {
			return hops[i : i+1] // several need gateways; which fault is told first is up to the version
		}
		hops[i].Weight = pick(w, 1, 1, 3)
	}
	return hops
}

func (w *walk) hop(f fib.Family) fib.Hop {
	device := pick(w, "eth0", "eth0", "net1", "net1", "net1", "down0", "far1", "absent")
	h := fib.Hop{Index: w.index[device], OnLink: w.IntN(16) == 0}
	if device == "absent" {
		h.Index = 999
	}
	switch f {
	case fib.V4:
		h.Gateway = pick(w, netip.Addr{}, addr("10.1.0.1"), addr("10.2.0.1"), addr("10.2.0.9"), addr("10.2.0.1"), addr("192.0.2.1"))
	default:
		h.Gateway = pick(w, netip.Addr{}, addr("fe80::1"), addr("fe80::2"), addr("2001:db8:1::1"), addr("2001:db8:2::1"), addr("3fff::1"), addr("2001:db8:2::2"))
	}
	if !h.Gateway.IsValid() {
		h.OnLink = false
	}
	return h
}

// routesSeen are the routes that the walk made, and now and then others.
func (w *walk) routesSeen() []fib.Route {
	all := w.IntN(50) == 0
	return keep(w.seen.Routes, func(r fib.Route) bool { return all || r.Protocol != unix.RTPROT_KERNEL })
}

func (w *walk) oldOrNewRoute() fib.Route {
	old := w.routesSeen()
	if len(old) == 0 || w.IntN(5) == 0 {
		return asListed(w.route())
	}
	r := pick(w, old...)
	if r.Family == fib.V6 && len(r.Hops) > 1 && w.IntN(2) == 0 {
		return hop(r, w.IntN(len(r.Hops)))
	}
	return r
}

// asListed is a route with what the kernel adds to one of IPv6.
func asListed(r fib.Route) fib.Route {
	if r.Family == fib.V4 {
		return r
	}
	if r.Metric == 0 {
		r.Metric = 1024
	}
	if len(r.Hops) == 0 {
		r.Hops = []fib.Hop{{Index: 1}}
	}
	return r
}

// place is where a route goes: anywhere among its rivals.
func (w *walk) place(r fib.Route) plan.Place {
	r = asListed(r)
	var rivals []fib.Route
	for _, o := range w.seen.Routes {
		if !o.SamePlace(r) || o.Equal(r) {
			continue
		}
		if r.Family == fib.V4 {
			rivals = append(rivals, o)
			continue
		}
		for i := range o.Hops {
			rivals = append(rivals, hop(o, i))
		}
	}
	from := w.IntN(len(rivals) + 1)
	return plan.Place{First: from == 0, Before: slices.Clone(rivals[from:])}
}

func (w *walk) query() fib.Query {
	device := w.index[pick(w, "eth0", "net1", "far0")]
	local, remote := w.addresses(pick(w, fib.V4, fib.V6))
	switch w.IntN(4) {
	case 0:
		return fib.Query{To: remote}
	case 1:
		return fib.Query{To: remote, OIF: device}
	case 2:
		return fib.Query{To: remote, From: local}
	}
	return fib.Query{To: local, From: remote, IIF: device}
}

func (w *walk) addresses(f fib.Family) (local, remote netip.Addr) {
	if f == fib.V4 {
		return pick(w, addr("10.1.0.2"), addr("10.2.0.2"), addr("10.9.0.9")), pick(w, addr("192.0.2.7"), addr("192.0.2.200"), addr("203.0.113.7"), addr("10.1.0.7"), addr("10.2.0.7"), addr("10.1.0.2"))
	}
	return pick(w, addr("2001:db8:1::2"), addr("2001:db8:2::2")), pick(w, addr("3fff::7"), addr("3fff::8"), addr("3fff:0:0:1::8"), addr("2001:db8:1::7"), addr("2001:db8:2::7"), addr("2001:db8:ffff::1"))
}
