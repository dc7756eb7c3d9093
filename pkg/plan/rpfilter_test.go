package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/symroute/symroute/pkg/plan"
)

// modes are the numbers of rp_filter, as they are read from files.
type modes struct {
	all, def int
	lo       int
	eth0     int
	net1     int
	net2     int
}

func (m *model) modes() modes {
	return modes{
		all: m.all.RPFilter, def: m.def.RPFilter, lo: m.link("lo").RPFilter,
		eth0: m.link("eth0").RPFilter, net1: m.link("net1").RPFilter, net2: m.link("net2").RPFilter,
	}
}

// threeNICs is a pod for attachments of net1 and net2, which are of no account
// to routing here.
func threeNICs(m modes) string {
	return fmt.Sprintf(`
		rp_filter all=%d default=%d
		eth0 rp_filter=%d
		net1 rp_filter=%d
		net2 rp_filter=%d`, m.all, m.def, m.eth0, m.net1, m.net2)
}

// holder is an attachment that wants nothing but a mode of its NIC.
func holder(nic, mode string) attachment {
	return attachment{ifname: nic, conf: fmt.Sprintf(`"rpFilter": %q`, mode), prev: `{}`}
}

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
		{"strict under loose: all is handed down", modes{all: 2, def: 1, eth0: 1}, "strict", modes{all: 1, def: 2, lo: 2, eth0: 2, net1: 1, net2: 2}},
		{"strict, where all is loose and default too", modes{all: 2, def: 2, net1: 1}, "strict", modes{all: 1, def: 2, lo: 2, eth0: 2, net1: 1, net2: 2}},
		{"off under nothing", modes{net1: 1}, "off", modes{}},
		{"off under strict: all is handed down", modes{all: 1}, "off", modes{def: 1, lo: 1, eth0: 1, net2: 1}},
		{"off under strict: who has more keeps it", modes{all: 1, eth0: 2, net2: 1}, "off", modes{def: 1, lo: 1, eth0: 2, net2: 1}},
		{"off under loose", modes{all: 2, def: 1, net1: 1}, "off", modes{def: 2, lo: 2, eth0: 2, net2: 2}},
		{"all is never raised", modes{all: 0, def: 2, eth0: 1}, "strict", modes{def: 2, eth0: 1, net1: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, threeNICs(tc.was))
			before := p.kernel.modes()
			p.add(holder("net1", tc.mode))
			if diff := cmp.Diff(tc.want, p.kernel.modes(), cmp.AllowUnexported(modes{})); diff != "" {
				t.Errorf("after ADD (-want +got):\n%s", diff)
			}
			p.del(holder("net1", tc.mode))
			if diff := cmp.Diff(before, p.kernel.modes(), cmp.AllowUnexported(modes{})); diff != "" {
				t.Errorf("after DEL (-want +got):\n%s", diff)
			}
		})
	}
}

// allModes lists the values that a number can have, and the words for them.
func allModes() []string { return []string{"off", "strict", "loose", "keep"} }

// TestEveryMode tries one attachment on every state that a pod can have. What
// is wanted is so, nobody else's mode changes, not even on the way, and DEL
// leads back.
func TestEveryMode(t *testing.T) {
	everyState(func(was modes) {
		for _, mode := range allModes() {
			p := newPod(t, threeNICs(was))
			before := p.kernel.modes()
			p.hold("net1", mode)
			p.release("net1", mode)
			if after := p.kernel.modes(); !cmp.Equal(before, after, cmp.AllowUnexported(modes{})) {
				t.Fatalf("%s on %+v: left %+v", mode, before, after)
			}
		}
	})
}

// everyState calls back with all combinations of numbers. net1 and net2 are not
// told apart by the code, so net2 has one number only.
func everyState(try func(modes)) {
	for n := range 81 {
		try(modes{all: n % 3, def: n / 3 % 3, eth0: n / 9 % 3, net1: n / 27})
	}
}

// hold has an attachment come, and watches it.
func (p *pod) hold(nic, mode string) {
	p.t.Helper()
	before := p.kernel.effective()[nic]
	p.watch("ADD of "+nic+" "+mode, p.begin(holder(nic, mode)), nil, map[string]bool{nic: true})
	want := map[string]int{"off": 0, "strict": 1, "loose": 2, "keep": before}[mode]
	if got := p.kernel.effective()[nic]; got != want {
		p.t.Fatalf("%s: the effective mode is %d after ADD with %q", nic, got, mode)
	}
}

// release has it leave, and watches it.
func (p *pod) release(nic, mode string) {
	p.t.Helper()
	p.watch("DEL of "+nic+" "+mode, p.leave(holder(nic, mode)), nil, map[string]bool{nic: true})
	p.forget(holder(nic, mode).key())
}

// TestHolders lets two attachments come and leave in every order, with every
// mode, on every state, and a device appear at every time. The last one to leave
// restores all.
func TestHolders(t *testing.T) {
	orders := []string{"A1 A2 D1 D2", "A1 A2 D2 D1", "A1 D1 A2 D2", "A1 A2 A1 D1 D2", "A1 A2 D1 A1 D2 D1"}
	everyState(func(was modes) {
		for _, first := range allModes() {
			for _, second := range allModes() {
				for _, order := range orders {
					p := newPod(t, threeNICs(was))
					before := p.kernel.modes()
					p.run(order, map[string]string{"1": first, "2": second})
					if after := p.kernel.modes(); !cmp.Equal(before, after, cmp.AllowUnexported(modes{})) {
						t.Fatalf("net1 %s, net2 %s, %s on %+v: left %+v", first, second, order, before, after)
					}
				}
			}
		}
	})
}

// run has attachments come (A) and leave (D), and devices be born (B), as the
// order says.
func (p *pod) run(order string, wanted map[string]string) {
	p.t.Helper()
	for step := range steps(order) {
		nic := "net" + step[1:]
		switch step[0] {
		case 'A':
			p.hold(nic, wanted[step[1:]])
		case 'D':
			p.release(nic, wanted[step[1:]])
		case 'B':
			p.newDevice("new" + step[1:])
		}
	}
}

func steps(order string) func(func(string) bool) {
	return slices.Values(strings.Fields(order))
}

// newDevice lets a device come to the pod, which has the mode that every new
// device would have had without us.
func (p *pod) newDevice(name string) {
	p.t.Helper()
	whole := p.kernel.observe()
	index := 100 + len(whole.Links)
	whole.Links = append(whole.Links, whole.Links[0])
	last := &whole.Links[len(whole.Links)-1]
	last.Index, last.Name, last.Loopback = index, name, false
	p.kernel.born(whole, name)
}

// TestDevicesInBetween has devices appear while all is held down: they get the
// mode that they would have got, and keep it, and their own number is in the end
// what it would have been.
func TestDevicesInBetween(t *testing.T) {
	orders := []string{
		"A1 B1 D1", "B1 A1 B2 D1 B3", "A1 B1 A2 B2 D1 B3 D2", "A1 A2 B1 D2 B2 D1", "A1 B1 D1 A2 D2", "A1 B1 A1 D1", "A2 B1 A1 B2 D2 B3 D1",
	}
	everyState(func(was modes) {
		for _, first := range allModes() {
			for _, second := range allModes() {
				for _, order := range orders {
					p := newPod(t, threeNICs(was))
					before := p.kernel.modes()
					p.run(order, map[string]string{"1": first, "2": second})
					what := fmt.Sprintf("net1 %s, net2 %s, %s on %+v", first, second, order, before)
					if after := p.kernel.modes(); !cmp.Equal(before, after, cmp.AllowUnexported(modes{})) {
						t.Fatalf("%s: left %+v", what, after)
					}
					for _, l := range p.kernel.links {
						if l.Index > 100 && l.RPFilter != was.def {
							t.Fatalf("%s: left %s with %d, not %d", what, l.Name, l.RPFilter, was.def)
						}
					}
				}
			}
		}
	})
}

// TestForeignChanges has somebody else change numbers while an attachment is
// there. They stay as they were set.
func TestForeignChanges(t *testing.T) {
	for _, tc := range []struct {
		name    string
		was     modes
		mode    string
		foreign []plan.Set
		want    modes
	}{
		{
			"of the NIC", modes{}, "strict",
			[]plan.Set{{Device: "net1", Was: 1, Value: 2}},
			modes{net1: 2},
		},
		{
			"of another device that was handed down", modes{all: 1}, "off",
			[]plan.Set{{Device: "eth0", Was: 1, Value: 2}},
			modes{all: 1, eth0: 2},
		},
		{
			"of all", modes{all: 1, def: 1}, "off",
			[]plan.Set{{Device: "all", Was: 0, Value: 2}},
			modes{all: 2, def: 1},
		},
		{
			"of default", modes{all: 2}, "off",
			[]plan.Set{{Device: "default", Was: 2, Value: 1}},
			modes{all: 2, def: 1},
		},
		{
			"of all that there is", modes{all: 1}, "off",
			[]plan.Set{
				{Device: "all", Was: 0, Value: 2}, {Device: "default", Was: 1, Value: 2}, {Device: "lo", Was: 1, Value: 2},
				{Device: "eth0", Was: 1, Value: 2}, {Device: "net1", Was: 0, Value: 1}, {Device: "net2", Was: 1, Value: 0},
			},
			modes{all: 2, def: 2, lo: 2, eth0: 2, net1: 1},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, threeNICs(tc.was))
			p.add(holder("net1", tc.mode))
			for _, set := range tc.foreign {
				set.Key = "rp_filter"
				p.apply([]plan.Op{set})
			}
			p.del(holder("net1", tc.mode))
			if diff := cmp.Diff(tc.want, p.kernel.modes(), cmp.AllowUnexported(modes{})); diff != "" {
				t.Errorf("after DEL (-want +got):\n%s", diff)
			}
		})
	}
}

// TestForeignARP is the same for the ARP settings.
func TestForeignARP(t *testing.T) {
	p := newPod(t, second)
	a := attachment{conf: `"arp": "isolate"`, prev: resultOf}
	p.add(a)
	p.apply([]plan.Op{plan.Set{Device: "net1", Key: "arp_ignore", Was: 1, Value: 2}})
	p.del(a)
	got := *p.kernel.link("net1")
	if got.ARPIgnore != 2 || got.ARPAnnounce != 0 || got.ARPFilter != 0 {
		t.Errorf("left arp_ignore=%d arp_announce=%d arp_filter=%d; the first was somebody else's, the others were 0", got.ARPIgnore, got.ARPAnnounce, got.ARPFilter)
	}
}

// TestHolderIsGone has a NIC go before its attachment leaves.
func TestHolderIsGone(t *testing.T) {
	for _, mode := range allModes() {
		t.Run(mode, func(t *testing.T) {
			p := newPod(t, threeNICs(modes{all: 2, def: 1, eth0: 1}))
			p.add(holder("net1", mode))
			p.kernel.died("net1")
			p.del(holder("net1", mode))
			compare(t, "after DEL", []string{
				"lo: rp_filter=0 arp_ignore=0 arp_announce=0 arp_filter=0",
				"eth0: rp_filter=1 arp_ignore=0 arp_announce=0 arp_filter=0",
				"net2: rp_filter=0 arp_ignore=0 arp_announce=0 arp_filter=0",
				"rp_filter all=2 default=1",
				"arp default ignore=0 announce=0",
			}, p.kernel.text()[len(p.kernel.text())-5:])
		})
	}
}
