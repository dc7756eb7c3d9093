package plan_test

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
)

// fuzzed are attachments whose records together hold all that one can hold.
func fuzzed() []attachment {
	with := func(a attachment, keys string) attachment {
		a.conf += ", " + keys
		return a
	}
	return []attachment{
		member("net1", "yield"),
		with(member("net1", "take"), `"rpFilter": "strict", "arp": "isolate"`),
		with(member("net1", "keep"), `"lvs": {"mode": "dr", "vips": ["10.99.0.1", "2001:db8:99::1"], "replyBy": "eth0"}`),
		with(member("net1", "yield"), `"rpFilter": "off", "lvs": {"mode": "tunnel", "vips": ["10.99.0.1", "2001:db8:99::1"]}`),
	}
}

// attached is a pod after an ADD, and what that remembers.
type attached struct {
	seen   *fib.Snapshot
	memory []byte
}

// FuzzRemembered plans with what a damaged or forged file may make the plugin
// remember: a sound record after some edits, as that of the attachment itself and
// as that of its neighbour. No plan panics, and whatever a record says, changes
// stay with what can be ours to change.
func FuzzRemembered(f *testing.F) {
	var once sync.Once
	var pods []attached
	for i := range fuzzed() {
		f.Add(uint8(i), []byte(nil))
		f.Add(uint8(i), []byte("\x00\x00\x00\x00\x01\x01\x00\x02\x02\x00\x03\x03\x00\x04\xff"))
	}
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		once.Do(func() { pods = attachEach(t) })
		own := fuzzed()[int(which)%len(pods)]
		before := pods[int(which)%len(pods)]
		p := &pod{t: t, kernel: newModel(before.seen)}

		damaged := load(t, before.memory)
		edit(reflect.ValueOf(&damaged).Elem(), edits)
		damaged.Key = own.key() // the file's name says so
		file, err := json.Marshal(damaged)
		if err != nil || json.Unmarshal(file, &damaged) != nil {
			t.Skip("no file holds this")
		}
		p.records = []record.Attachment{damaged}
		p.planAll(own)
		p.planAll(member("eth0", "yield"))

		damaged.IfName = "eth0"
		p.records = []record.Attachment{load(t, before.memory), damaged}
		p.planAll(own)
	})
}

// attachEach attaches each of the fuzzed, twice: the second time, which has ended no
// more than begun, remembers the first.
func attachEach(t *testing.T) []attached {
	t.Helper()
	var pods []attached
	for _, a := range fuzzed() {
		p := newPod(t, crowd)
		p.add(a)
		again := a
		again.conf += `, "sources": ["10.99.0.77"], "viaMain": ["10.96.0.0/12"]`
		if len(pods) == 1 { // strict, which excludes viaMain
			again = a
		}
		p.apply(p.begin(again))
		mine, _ := record.Find(p.records, a.key())
		memory, err := json.Marshal(mine)
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, attached{p.kernel.observe(), memory})
	}
	return pods
}

func load(t *testing.T, memory []byte) (a record.Attachment) {
	t.Helper()
	if err := json.Unmarshal(memory, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// planAll makes every plan that an attachment's verbs make.
func (p *pod) planAll(a attachment) {
	p.t.Helper()
	if in := p.removal(a); in.Mine != nil {
		p.within(in.Seen, plan.Removal(in))
		_ = plan.LeftBehind(in)
	}
	in := p.input(a)
	if d, err := plan.Build(in); err == nil {
		_ = d.State.String()
		p.within(in.Seen, plan.Changes(in, d))
		if _, err := json.Marshal(d.State); err != nil {
			p.t.Errorf("it cannot be remembered: %v", err)
		}
	}
	if in = p.check(a); in.Mine != nil {
		_ = plan.Warnings(in)
		for _, deviation := range plan.Verify(in) {
			_ = deviation.String()
		}
	}
}

// within demands that changes stay with what can be ours: rules and routes of our
// protocol, defaults of main, settings and tunnels of devices that are there.
func (p *pod) within(seen *fib.Snapshot, changes []change.Change) {
	p.t.Helper()
	for _, c := range changes {
		if !permitted(seen, c) || !permitted(seen, c.Inverse()) {
			p.t.Errorf("%T %s is none of our business", c, c)
		}
	}
}

func permitted(seen *fib.Snapshot, c change.Change) bool {
	ours := func(protocol uint8) bool { return protocol == state.Protocol }
	inMain := func(r fib.Route) bool { return r.Table == state.MainTable && r.IsDefault() }
	tunnel := func(kind string) bool { return kind == fib.KindIPIP || kind == fib.KindIP6Tunnel }
	switch c := c.(type) {
	case change.AddRule:
		return ours(c.Rule.Protocol)
	case change.DelRule:
		return ours(c.Rule.Protocol)
	case change.AddRoute:
		return ours(c.Route.Protocol) && c.Route.Table != state.MainTable
	case change.ReplaceRoute:
		return ours(c.Old.Protocol) && ours(c.Route.Protocol) && c.Route.Table != state.MainTable && c.Old.SamePlace(c.Route)
	case change.DelRoute:
		return ours(c.Route.Protocol) && c.Route.Table != state.MainTable
	case change.AddToMain:
		return inMain(c.Route)
	case change.DelFromMain:
		return inMain(c.Route)
	case change.Set:
		_, there := seen.Link(c.Device)
		return (there || c.Device == "all" || c.Device == "default") && slices.Contains(settings.Keys(), c.Key)
	case change.AddAddress:
		return fib.IsHost(c.Address.Prefix)
	case change.DelAddress:
		return fib.IsHost(c.Address.Prefix)
	case change.MakeLink:
		return tunnel(c.Kind)
	case change.DelLink:
		return tunnel(c.Kind)
	case change.SetLink:
		l, there := seen.LinkAt(c.Index)
		return !there || tunnel(l.Kind)
	}
	return false
}

// edit changes a value in places that a script chooses, three bytes for each: the
// place, and what becomes of it. The value stays one that a file can hold.
func edit(v reflect.Value, script []byte) {
	for ; len(script) >= 3; script = script[3:] {
		places := placesIn(v, func() {})
		place := places[(int(script[0])<<8|int(script[1]))%len(places)]
		alter(place.value, script[2])
		place.store()
	}
}

// place is a part of a value that can be changed.
type place struct {
	value reflect.Value
	store func() // what is in a map is a copy, which has to go back
}

// placesIn lists the parts of a value, down to the numbers.
func placesIn(v reflect.Value, store func()) []place {
	whole := place{v, store}
	switch v.Interface().(type) {
	case netip.Addr, netip.Prefix, []byte:
		return []place{whole}
	}
	var parts []place
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			parts = append(parts, placesIn(v.Field(i), store)...)
		}
		return parts
	case reflect.Pointer:
		if !v.IsNil() {
			parts = placesIn(v.Elem(), store)
		}
	case reflect.Slice:
		for i := range v.Len() {
			parts = append(parts, placesIn(v.Index(i), store)...)
		}
	case reflect.Map:
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			parts = append(parts, placesIn(value, func() { v.SetMapIndex(key, value); store() })...)
		}
	default: // it has none
	}
	return append(parts, whole)
}

// alter makes something else of a value.
func alter(v reflect.Value, how byte) {
	switch old := v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(addresses()[int(how)%len(addresses())]))
		return
	case netip.Prefix:
		a := addresses()[int(how)%len(addresses())]
		v.Set(reflect.ValueOf(netip.PrefixFrom(a, int(how>>1))))
		return
	case []byte:
		if len(old) == 0 {
			v.SetBytes([]byte{how})
			return
		}
		b := slices.Clone(old)
		b[int(how)%len(b)] ^= 1 << (how % 8)
		v.SetBytes(b[:len(b)-int(how)/128])
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(how%2 == 0)
	case reflect.String:
		names := []string{"", "lo", "eth0", "net1", "net2", "all", "default", "tunl0", "ipip", "../x", "\x00"}
		v.SetString(names[int(how)%len(names)])
	case reflect.Int:
		v.SetInt(int64(int8(how)))
	case reflect.Uint8, reflect.Uint32:
		v.SetUint(uint64(how))
	case reflect.Slice:
		changeList(v, how)
	default:
		v.SetZero()
	}
}

// changeList empties a list, shortens it, or repeats a part of it.
func changeList(v reflect.Value, how byte) {
	switch {
	case v.Len() == 0:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case how%3 == 0:
		v.SetZero()
	case how%3 == 1:
		v.Set(v.Slice(0, v.Len()-1))
	case v.Len() < 20:
		v.Set(reflect.Append(v, v.Index(int(how)%v.Len())))
	}
}

// addresses are of all sorts.
func addresses() []netip.Addr {
	return []netip.Addr{
		{}, netip.MustParseAddr("10.20.1.5"), netip.MustParseAddr("10.244.0.5"), netip.MustParseAddr("10.99.0.1"),
		netip.MustParseAddr("2001:db8:1::5"), netip.MustParseAddr("2001:db8:99::1"), netip.MustParseAddr("fe80::1%net1"),
		netip.MustParseAddr("::ffff:10.20.1.5"), netip.IPv4Unspecified(), netip.IPv6Unspecified(),
	}
}
