package settings_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/settings"
)

// The devices of the pods here, by index.
const (
	lo = iota + 1
	eth0
	net1
	net2
	firstNew // what comes later
)

// modes are the numbers of rp_filter, as they are read from files.
type modes struct{ all, def, lo, eth0, net1, net2 int }

// pod is a model of a pod's settings, with what is remembered of its attachments.
type pod struct {
	t       *testing.T
	seen    fib.Snapshot
	written map[string]bool // DEVICE/KEY: of those default does not spread to
	// mine is what each attachment remembers, the state it settled in alone; names in the
	// order in which they came.
	mine  map[string]settings.Memories
	names []string
}

func newPod(t *testing.T, was modes) *pod {
	t.Helper()
	p := &pod{t: t, written: map[string]bool{}, mine: map[string]settings.Memories{}}
	p.seen.All.RPFilter, p.seen.Default.RPFilter = was.all, was.def
	for i, own := range []int{was.lo, was.eth0, was.net1, was.net2} {
		name := []string{"lo", "eth0", "net1", "net2"}[i]
		l := fib.Link{Index: i + 1, Name: name, Up: true, Loopback: name == "lo", HasIPv4: true, HasIPv6: true, IPv6: true}
		l.RPFilter = own
		p.seen.Links = append(p.seen.Links, l)
		p.written[name+"/"+fib.RPFilter] = own != was.def // else it was not what default is
	}
	return p
}

func (p *pod) modes() modes {
	of := func(index int) int { l, _ := p.seen.LinkAt(index); return l.RPFilter }
	return modes{p.seen.All.RPFilter, p.seen.Default.RPFilter, of(lo), of(eth0), of(net1), of(net2)}
}

// effective are the modes that devices go by, and, as "new", one that would come now.
func (p *pod) effective() map[string]int {
	out := map[string]int{"new": max(p.seen.All.RPFilter, p.seen.Default.RPFilter)}
	for _, l := range p.seen.Links {
		out[l.Name] = p.seen.EffectiveRPFilter(l)
	}
	return out
}

// set carries a change out as the kernel does: what is written to default spreads to the
// devices whose own number was never written (devinet_copy_dflt_conf).
func (p *pod) set(c change.Change) {
	p.t.Helper()
	s, ok := c.(change.Set)
	if !ok {
		p.t.Fatalf("%s is no write to a setting", c)
	}
	at := p.at(s.Device, s.Key)
	if *at != s.Was {
		p.t.Fatalf("%s: was %d, not %d", s, *at, s.Was)
	}
	*at = s.Value
	switch s.Device {
	case "all":
	case "default":
		p.written["default/"+s.Key] = true // which devices to come inherit
		for i, l := range p.seen.Links {
			if !p.written[l.Name+"/"+s.Key] {
				*p.seen.Links[i].At(s.Key) = s.Value
			}
		}
	default:
		p.written[s.Device+"/"+s.Key] = true
	}
}

// at finds a number of a device, of all or of default.
func (p *pod) at(device, key string) *int {
	switch device {
	case "all":
		return p.seen.All.At(key)
	case "default":
		return p.seen.Default.At(key)
	}
	i := slices.IndexFunc(p.seen.Links, func(l fib.Link) bool { return l.Name == device })
	return p.seen.Links[i].At(key)
}

// others are what the other attachments remember, and own what this does.
func (p *pod) others(name string) (own, others []settings.Memories) {
	for _, n := range p.names {
		if n == name {
			own = append(own, p.mine[n])
		} else {
			others = append(others, p.mine[n])
		}
	}
	return own, others
}

// begin remembers an attachment's wishes and returns the changes for them, as ADD does.
func (p *pod) begin(name string, wishes map[string]settings.Wish) []change.Change {
	own, others := p.others(name)
	now := settings.Memories{}
	for _, key := range settings.Keys() {
		if m := settings.Remember(&p.seen, key, wishes[key], own, others); !m.Empty() {
			now[key] = m
		}
	}
	changes := settings.Changes(&p.seen, now, own, others)
	if p.mine[name] == nil {
		p.names = append(p.names, name)
	}
	p.mine[name] = now
	return changes
}

func (p *pod) add(name string, wishes map[string]settings.Wish) {
	p.t.Helper()
	for _, c := range p.begin(name, wishes) {
		p.set(c)
	}
}

// leave returns the changes that take an attachment's wishes back, as DEL does.
func (p *pod) leave(name string) []change.Change {
	own, others := p.others(name)
	return settings.Removal(&p.seen, own, others)
}

func (p *pod) del(name string) {
	p.t.Helper()
	for _, c := range p.leave(name) {
		p.set(c)
	}
	p.forget(name)
}

func (p *pod) forget(name string) {
	delete(p.mine, name)
	p.names = slices.DeleteFunc(p.names, func(n string) bool { return n == name })
}

// born lets a device come, with the numbers that default has.
func (p *pod) born(name string) {
	l := fib.Link{Index: firstNew + len(p.seen.Links), Name: name, Up: true, HasIPv4: true, HasIPv6: true, IPv6: true}
	l.Settings = p.seen.Default
	for _, key := range settings.Keys() {
		p.written[name+"/"+key] = p.written["default/"+key]
	}
	p.seen.Links = append(p.seen.Links, l)
}

func (p *pod) died(name string) {
	p.seen.Links = slices.DeleteFunc(p.seen.Links, func(l fib.Link) bool { return l.Name == name })
}

// effectively wants an effective mode of one NIC.
func effectively(nic, mode string) map[string]settings.Wish {
	value, wanted := map[string]int{"off": 0, "strict": 1, "loose": 2}[mode]
	if !wanted {
		return nil
	}
	return map[string]settings.Wish{fib.RPFilter: {Devices: []settings.Device{{Index: indexOf(nic), Name: nic, Value: value}}}}
}

func indexOf(nic string) int {
	return map[string]int{"lo": lo, "eth0": eth0, "net1": net1, "net2": net2}[nic]
}

func allModes() []string { return []string{"off", "strict", "loose", "keep"} }

func TestModes(t *testing.T) {
	for _, tc := range []struct {
		name string
		was  modes
		mode string
		want modes
	}{
		{"keep writes nothing", modes{all: 1, net1: 2}, "keep", modes{all: 1, net1: 2}},
		{"loose needs the NIC's own number only", modes{all: 1}, "loose", modes{all: 1, net1: 2}},
		{"loose, as it is", modes{all: 1, net1: 2}, "loose", modes{all: 1, net1: 2}},
		{"strict under nothing", modes{}, "strict", modes{net1: 1}},
		{"strict under strict", modes{all: 1}, "strict", modes{all: 1, net1: 1}},
		{
			"strict under loose: all is handed down", modes{all: 2, def: 1, eth0: 1}, "strict",
			modes{all: 1, def: 2, lo: 2, eth0: 2, net1: 1, net2: 2},
		},
		{
			"strict, where all is loose and default too", modes{all: 2, def: 2, net1: 1}, "strict",
			modes{all: 1, def: 2, lo: 2, eth0: 2, net1: 1, net2: 2},
		},
		{"off under nothing", modes{net1: 1}, "off", modes{}},
		{"off under strict: all is handed down", modes{all: 1}, "off", modes{def: 1, lo: 1, eth0: 1, net2: 1}},
		{
			"off under strict: who has more keeps it", modes{all: 1, eth0: 2, net2: 1}, "off",
			modes{def: 1, lo: 1, eth0: 2, net2: 1},
		},
		{"off under loose", modes{all: 2, def: 1, net1: 1}, "off", modes{def: 2, lo: 2, eth0: 2, net2: 2}},
		{"all is never raised", modes{def: 2, eth0: 1}, "strict", modes{def: 2, eth0: 1, net1: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, tc.was)
			p.add("net1", effectively("net1", tc.mode))
			p.compare("after ADD", tc.want)
			p.del("net1")
			p.compare("after DEL", tc.was)
		})
	}
}

func (p *pod) compare(what string, want modes) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.modes(), cmp.AllowUnexported(modes{})); diff != "" {
		p.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestOrderOfWrites: devices and default are handed what all gave them before all goes down,
// and all comes up before it is taken from them again.
func TestOrderOfWrites(t *testing.T) {
	p := newPod(t, modes{all: 1})
	changes := p.begin("net1", effectively("net1", "off"))
	for _, c := range changes {
		p.set(c)
	}
	for _, tc := range []struct {
		what    string
		changes []change.Change
		want    []string
	}{
		{"ADD", changes, []string{"lo=1", "eth0=1", "net1=0", "net2=1", "default=1", "all=0"}},
		{"DEL", p.leave("net1"), []string{"all=1", "default=0", "lo=0", "eth0=0", "net1=0", "net2=0"}},
	} {
		var got []string
		for _, c := range tc.changes {
			set, _ := c.(change.Set)
			got = append(got, fmt.Sprintf("%s=%d", set.Device, set.Value))
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("writes of %s (-want +got):\n%s", tc.what, diff)
		}
	}
}

// everyState calls back with all combinations of numbers. net1 and net2 are not told apart by
// the code, so net2 has one number only.
func everyState(try func(modes)) {
	for n := range 81 {
		try(modes{all: n % 3, def: n / 3 % 3, eth0: n / 9 % 3, net1: n / 27})
	}
}

// watch carries changes out. On the way nobody else's mode changes, and the NIC's own lies
// between what it was and what it becomes.
func (p *pod) watch(what, nic string, changes []change.Change) {
	p.t.Helper()
	before := p.effective()
	var seen []map[string]int
	for _, c := range changes {
		p.set(c)
		seen = append(seen, p.effective())
	}
	after := p.effective()
	for _, now := range seen {
		for name, mode := range now {
			least, most := before[name], before[name]
			if name == nic {
				least, most = min(before[name], after[name]), 2
			}
			if mode < least || mode > most {
				p.t.Fatalf("%s: the mode of %s goes from %d to %d on the way to %d", what, name, before[name], mode, after[name])
			}
		}
	}
}

// hold has an attachment come, and watches it.
func (p *pod) hold(nic, mode string) {
	p.t.Helper()
	before := p.effective()[nic]
	p.watch("ADD of "+nic+" "+mode, nic, p.begin(nic, effectively(nic, mode)))
	want := map[string]int{"off": 0, "strict": 1, "loose": 2, "keep": before}[mode]
	if got := p.effective()[nic]; got != want {
		p.t.Fatalf("%s: the effective mode is %d after ADD with %q", nic, got, mode)
	}
}

// release has it leave, and watches it.
func (p *pod) release(nic, mode string) {
	p.t.Helper()
	p.watch("DEL of "+nic+" "+mode, nic, p.leave(nic))
	p.forget(nic)
}

// run has attachments come (A) and leave (D), and devices be born (B), as the order says.
func (p *pod) run(order string, wanted map[string]string) {
	p.t.Helper()
	for step := range strings.FieldsSeq(order) {
		nic := "net" + step[1:]
		switch step[0] {
		case 'A':
			p.hold(nic, wanted[step[1:]])
		case 'D':
			p.release(nic, wanted[step[1:]])
		case 'B':
			p.born("new" + step[1:])
		}
	}
}

// TestHolders lets one or two attachments come and leave in every order, with every mode, on
// every state, and devices appear at every time: these have the mode that they would have
// without us. The last one to leave restores all.
func TestHolders(t *testing.T) {
	orders := []string{
		"A1 D1", "A1 A2 D1 D2", "A1 A2 D2 D1", "A1 D1 A2 D2", "A1 A2 A1 D1 D2", "A1 A2 D1 A1 D2 D1",
		"A1 B1 D1", "B1 A1 B2 D1 B3", "A1 B1 A2 B2 D1 B3 D2", "A1 A2 B1 D2 B2 D1", "A1 B1 D1 A2 D2", "A1 B1 A1 D1", "A2 B1 A1 B2 D2 B3 D1",
	}
	everyState(func(was modes) {
		for _, first := range allModes() {
			for _, second := range allModes() {
				for _, order := range orders {
					p := newPod(t, was)
					p.run(order, map[string]string{"1": first, "2": second})
					what := fmt.Sprintf("net1 %s, net2 %s, %s on %+v", first, second, order, was)
					if after := p.modes(); after != was {
						t.Fatalf("%s: left %+v", what, after)
					}
					for _, l := range p.seen.Links[net2:] {
						if l.RPFilter != was.def {
							t.Fatalf("%s: left %s with %d", what, l.Name, l.RPFilter)
						}
					}
				}
			}
		}
	})
}

// TestKilled ends an ADD after each of its writes. The next DEL restores all, and the next ADD
// gets what it wants, whatever mode it wants.
func TestKilled(t *testing.T) {
	everyState(func(was modes) {
		for _, first := range allModes() {
			for _, then := range append(allModes(), "DEL") {
				for n := range len(newPod(t, was).begin("net1", effectively("net1", first))) + 1 {
					p := newPod(t, was)
					for _, c := range p.begin("net1", effectively("net1", first))[:n] {
						p.set(c)
					}
					if then != "DEL" {
						p.reAdd("net1", effectively("net1", then))
					}
					p.del("net1")
					if after := p.modes(); after != was {
						t.Fatalf("%s on %+v, killed after %d writes, then %s: left %+v", first, was, n, then, after)
					}
				}
			}
		}
	})
}

// reAdd is an ADD over an ADD that has not settled.
func (p *pod) reAdd(name string, wishes map[string]settings.Wish) {
	p.t.Helper()
	p.add(name, wishes)
	for key, wish := range wishes {
		for _, d := range wish.Devices {
			l, _ := p.seen.LinkAt(d.Index)
			if key == fib.RPFilter && p.seen.EffectiveRPFilter(l) != d.Value {
				p.t.Fatalf("the effective mode of %s is %d, not %d", d.Name, p.seen.EffectiveRPFilter(l), d.Value)
			}
		}
	}
}

// TestForeignChanges has somebody else change numbers while an attachment is there. They stay
// as they were set.
func TestForeignChanges(t *testing.T) {
	for _, tc := range []struct {
		name    string
		was     modes
		mode    string
		foreign []change.Set
		want    modes
	}{
		{
			"of the NIC", modes{}, "strict",
			[]change.Set{{Device: "net1", Was: 1, Value: 2}},
			modes{net1: 2},
		},
		{
			"of another device that was handed down", modes{all: 1}, "off",
			[]change.Set{{Device: "eth0", Was: 1, Value: 2}},
			modes{all: 1, eth0: 2},
		},
		{
			"of all", modes{all: 1, def: 1}, "off",
			[]change.Set{{Device: "all", Was: 0, Value: 2}},
			modes{all: 2, def: 1},
		},
		{
			"of default", modes{all: 2}, "off",
			[]change.Set{{Device: "default", Was: 2, Value: 1}},
			modes{all: 2, def: 1},
		},
		{
			"of all that there is", modes{all: 1}, "off",
			[]change.Set{
				{Device: "all", Was: 0, Value: 2}, {Device: "default", Was: 1, Value: 2}, {Device: "lo", Was: 1, Value: 2},
				{Device: "eth0", Was: 1, Value: 2}, {Device: "net1", Was: 0, Value: 1}, {Device: "net2", Was: 1, Value: 0},
			},
			modes{all: 2, def: 2, lo: 2, eth0: 2, net1: 1},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, tc.was)
			p.add("net1", effectively("net1", tc.mode))
			for _, set := range tc.foreign {
				set.Key = fib.RPFilter
				p.set(set)
			}
			p.del("net1")
			p.compare("after DEL", tc.want)
		})
	}
}

// TestHolderIsGone has a NIC go before its attachment leaves.
func TestHolderIsGone(t *testing.T) {
	for _, mode := range allModes() {
		t.Run(mode, func(t *testing.T) {
			p := newPod(t, modes{all: 2, def: 1, eth0: 1})
			p.add("net1", effectively("net1", mode))
			p.died("net1")
			p.del("net1")
			p.compare("after DEL", modes{all: 2, def: 1, eth0: 1})
		})
	}
}

// exactly wants a number of a device, each of another key.
func exactly(nic string, values map[string]int) map[string]settings.Wish {
	out := map[string]settings.Wish{}
	for key, value := range values {
		out[key] = settings.Wish{Devices: []settings.Device{{Index: indexOf(nic), Name: nic, Value: value}}}
	}
	return out
}

// TestKeepAddrOnDown is about the setting of IPv6 that ADD makes on NICs with sources of it.
func TestKeepAddrOnDown(t *testing.T) {
	keep := exactly("net1", map[string]int{fib.KeepAddrOnDown: 1})
	for _, tc := range []struct {
		name  string
		was   fib.Settings // of net1
		noV6  bool
		more  func(*pod) // between ADD and DEL
		added int
		left  int
	}{
		{name: "is set, and put back", added: 1},
		{name: "was set before", was: fib.Settings{KeepAddrOnDown: 1}, added: 1, left: 1},
		{name: "was -1, which says never", was: fib.Settings{KeepAddrOnDown: -1}, added: 1, left: -1},
		{
			name: "somebody else changes it since", added: 1, left: -1,
			more: func(p *pod) { p.set(change.Set{Device: "net1", Key: fib.KeepAddrOnDown, Was: 1, Value: -1}) },
		},
		{name: "ADD twice", added: 1, more: func(p *pod) { p.add("net1", keep) }},
		{name: "ADD again without IPv6 sources", added: 1, more: func(p *pod) { p.add("net1", nil) }},
		{name: "a NIC without IPv6", noV6: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, modes{})
			p.seen.Links[net1-1].Settings, p.seen.Links[net1-1].HasIPv6 = tc.was, !tc.noV6
			p.add("net1", keep)
			compareNumbers(t, "after ADD", map[string]int{"net1": tc.added}, p.numbers(fib.KeepAddrOnDown))
			if tc.more != nil {
				tc.more(p)
			}
			p.del("net1")
			compareNumbers(t, "after DEL", map[string]int{"net1": tc.left}, p.numbers(fib.KeepAddrOnDown))
		})
	}
}

// TestNegativeNumbersOfOthersStay: only the NIC's own number is written.
func TestNegativeNumbersOfOthersStay(t *testing.T) {
	p := newPod(t, modes{})
	p.seen.Links[eth0-1].KeepAddrOnDown = -1
	p.add("net1", exactly("net1", map[string]int{fib.KeepAddrOnDown: 1}))
	compareNumbers(t, "after ADD", map[string]int{"eth0": -1, "net1": 1}, p.numbers(fib.KeepAddrOnDown))
	p.del("net1")
	compareNumbers(t, "after DEL", map[string]int{"eth0": -1}, p.numbers(fib.KeepAddrOnDown))
}

// numbers are those of a setting, by device.
func (p *pod) numbers(key string) map[string]int {
	out := map[string]int{"all": p.seen.All.Of(key), "default": p.seen.Default.Of(key)}
	for _, l := range p.seen.Links {
		out[l.Name] = l.Of(key)
	}
	return out
}

// compareNumbers compares the numbers that are not 0.
func compareNumbers(t *testing.T, what string, want, got map[string]int) {
	t.Helper()
	for _, numbers := range []map[string]int{want, got} {
		maps.DeleteFunc(numbers, func(_ string, n int) bool { return n == 0 })
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestLeast is about what every NIC shall have at least, now and later, and what one wants for
// itself beside.
func TestLeast(t *testing.T) {
	server := map[string]settings.Wish{fib.ARPAnnounce: {Least: 2}}
	isolated := exactly("net2", map[string]int{fib.ARPAnnounce: 1})

	p := newPod(t, modes{})
	p.seen.Links[eth0-1].ARPAnnounce = 1
	before := p.numbers(fib.ARPAnnounce)
	step := func(what string, want map[string]int) {
		t.Helper()
		compareNumbers(t, what, want, p.numbers(fib.ARPAnnounce))
	}
	p.add("net1", server)
	step("a real server comes: all but lo", map[string]int{"default": 2, "eth0": 2, "net1": 2, "net2": 2})
	p.add("net2", isolated)
	step("less is no wish while more is needed", map[string]int{"default": 2, "eth0": 2, "net1": 2, "net2": 2})
	p.born("new1")
	step("one that comes has it", map[string]int{"default": 2, "eth0": 2, "net1": 2, "net2": 2, "new1": 2})
	p.del("net1")
	step("the real server leaves", map[string]int{"eth0": 1, "net2": 1})
	p.del("net2")
	step("all have left", before)
}

// TestMoreThanLeast: a number that is more serves as well, and stays.
func TestMoreThanLeast(t *testing.T) {
	p := newPod(t, modes{})
	p.seen.Links[eth0-1].ARPIgnore = 8
	p.add("net1", map[string]settings.Wish{fib.ARPIgnore: {Least: 1}})
	compareNumbers(t, "after ADD", map[string]int{"default": 1, "eth0": 8, "net1": 1, "net2": 1}, p.numbers(fib.ARPIgnore))
	p.set(change.Set{Device: "net2", Key: fib.ARPIgnore, Was: 1, Value: 2})
	p.add("net1", map[string]settings.Wish{fib.ARPIgnore: {Least: 1}})
	compareNumbers(t, "after ADD again", map[string]int{"default": 1, "eth0": 8, "net1": 1, "net2": 2}, p.numbers(fib.ARPIgnore))
	p.del("net1")
	compareNumbers(t, "after DEL", map[string]int{"eth0": 8, "net2": 2}, p.numbers(fib.ARPIgnore))
}

// TestForeignARP: of several numbers, that which somebody else has changed stays.
func TestForeignARP(t *testing.T) {
	isolate := exactly("net1", map[string]int{fib.ARPIgnore: 1, fib.ARPAnnounce: 2, fib.ARPFilter: 1})
	p := newPod(t, modes{})
	p.add("net1", isolate)
	p.set(change.Set{Device: "net1", Key: fib.ARPIgnore, Was: 1, Value: 2})
	p.del("net1")
	l, _ := p.seen.LinkAt(net1)
	if diff := cmp.Diff(fib.Settings{ARPIgnore: 2}, l.Settings); diff != "" {
		t.Errorf("after DEL (-want +got):\n%s", diff)
	}
}

func TestText(t *testing.T) {
	for _, tc := range []struct {
		key  string
		wish settings.Wish
		want []string
	}{
		{fib.RPFilter, effectively("net1", "strict")[fib.RPFilter], []string{"rp_filter net1: effectively strict (1)"}},
		{fib.ARPFilter, exactly("net1", map[string]int{fib.ARPFilter: 1})[fib.ARPFilter], []string{"net1 arp_filter=1"}},
		{fib.ARPIgnore, settings.Wish{Least: 1}, []string{"every NIC arp_ignore>=1"}},
		{fib.RPFilter, settings.Wish{}, nil},
	} {
		if diff := cmp.Diff(tc.want, tc.wish.Text(tc.key)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.key, diff)
		}
	}
	for mode, want := range map[int]string{0: "off (0)", 1: "strict (1)", 2: "loose (2)", 3: "3"} {
		if got := settings.ModeText(mode); got != want {
			t.Errorf("mode %d is %q, want %q", mode, got, want)
		}
	}
}
