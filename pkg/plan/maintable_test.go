package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
)

// mainDefaults lists the defaults that main has.
func (p *pod) mainDefaults() []string {
	return slices.DeleteFunc(p.kernel.text(), func(line string) bool {
		return !strings.Contains(line, "route default") || strings.Contains(line, " table ")
	})
}

// plug has IPAM put a route into the pod: behind those of its destination and metric,
// or, as it does with IPv4 defaults, in front of them.
func (p *pod) plug(line string) {
	p.t.Helper()
	r := parseRoute(p.t, p.kernel.observe(), line)
	put := p.kernel.appendRoute
	if r.Family == fib.V4 {
		put = p.kernel.prepend
	}
	if err := put(r); err != nil {
		p.t.Fatal(err)
	}
}

// attachmentOf is the attachment of a NIC with one address.
func attachmentOf(ifname, mode, address, gateway string) attachment {
	return attachment{
		ifname: ifname, conf: fmt.Sprintf(`"mainDefault": %q`, mode),
		prev: fmt.Sprintf(`{"ips": [{"address": %q, "gateway": %q}]}`, address, gateway),
	}
}

// TestAddWhileAnotherNICIsDown attaches a NIC while another one is down whose default
// had been displaced: that is no reason to fail. What cannot be put in is told of, and
// when the NIC is up again, ADD puts its table in.
func TestAddWhileAnotherNICIsDown(t *testing.T) {
	const prev = `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`
	const pod = `
		eth0
		10.244.0.5/24
		2001:db8:1::5/64
		net1
		10.20.30.5/24
		2001:db8:30::5/64`
	const alone = pod + `
		-4 route default via 10.244.0.1 dev eth0
		-6 route default via 2001:db8:1::1 dev eth0 metric 1`
	take := attachment{conf: `"mainDefault": "take"`, prev: prev}
	const main4 = `eth0 is down: the default route "default via 10.244.0.1 dev eth0 proto boot" is not put into main by it`
	const main6 = `eth0 is down: the default route "default via 2001:db8:1::1 dev eth0 proto boot metric 1" is not put into main by it`
	for _, tc := range []struct {
		name string
		pod  string
		attachment
		main  string // its defaults then
		notes []string
	}{
		{
			name: "the same again", pod: alone, attachment: take,
			main: `
				-4 route default via 10.20.30.1 dev net1 proto 73
				-6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1`,
			notes: []string{
				`eth0 is down: the default route "default via 10.244.0.1 dev eth0 proto boot metric 100" is not put into main by it`,
				`eth0 is down: the default route "default via 2001:db8:1::1 dev eth0 proto boot metric 101" is not put into main by it`,
				"eth0 is down: its source table stays empty until ADD is repeated with it up",
			},
		},
		{name: "it yields now", pod: alone, attachment: attachment{prev: prev}, notes: []string{main4, main6}},
		{name: "it leaves main alone now", pod: alone, attachment: attachment{conf: `"mainDefault": "keep"`, prev: prev}, notes: []string{main4, main6}},
		{
			name: "it yields now, and its own default is the last",
			pod: pod + `
				-4 route default via 10.20.30.1 dev net1
				-4 route default via 10.244.0.1 dev eth0`,
			attachment: attachment{prev: prev},
			main:       "-4 route default via 10.20.30.1 dev net1 proto boot",
			notes:      []string{main4},
		},
		{
			name: "a default by two NICs loses one",
			pod: pod + `
				eth1
				10.245.0.5/24
				-4 route default nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1`,
			attachment: attachment{prev: prev},
			main:       "-4 route default via 10.245.0.1 dev eth1 proto boot",
			notes: []string{`eth0 is down: the default route "default proto boot nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1"` +
				` is not put into main by it`},
		},
		{
			name: "a default by two NICs, which is there, stays whole",
			pod: pod + `
				eth1
				10.245.0.5/24
				-4 route default nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1`,
			attachment: take,
			main: `
				-4 route default via 10.20.30.1 dev net1 proto 73
				-4 route default proto boot metric 100 nexthop via 10.244.0.1 dev eth0 weight 1 nexthop via 10.245.0.1 dev eth1 weight 1
				-6 route default via 2001:db8:30::1 dev net1 proto 73 metric 1023`,
			notes: []string{"eth0 is down: its source table stays empty until ADD is repeated with it up"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, tc.pod)
			p.add(take)
			p.kernel.down("eth0")

			compare(t, "notes", tc.notes, p.build(tc.attachment).Notes)
			p.add(tc.attachment)
			compare(t, "defaults of main", lines(tc.main), p.mainDefaults())
			compare(t, "deviations", nil, p.deviations(tc.attachment))
			if again := p.begin(tc.attachment); len(again) > 0 {
				t.Errorf("ADD again wants to do:\n%s", opsText(again))
			}
			p.settle(tc.attachment)
			for _, op := range p.leave(tc.attachment) {
				if in, ok := op.(plan.PutIn); ok && in.Route.Hops[0].Dev == "eth0" {
					continue // of a route that can't come back DEL tells (kernel.ErrNoReturn)
				}
				p.apply([]plan.Op{op})
			}
			if left := slices.DeleteFunc(p.kernel.text(), func(line string) bool { return !isOurs(line) }); len(left) > 0 {
				t.Errorf("after DEL there is left\n%s", strings.Join(left, "\n"))
			}
		})
	}
}

// TestDisplacedNICComesUpAgain has ADD fill the source table of a NIC that was down.
func TestDisplacedNICComesUpAgain(t *testing.T) {
	p := newPod(t, `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0`)
	take := attachment{conf: `"mainDefault": "take"`, prev: resultOf}
	p.add(take)
	whole := slices.Sorted(slices.Values(p.kernel.text()))
	p.kernel.down("eth0")
	p.add(take)
	p.kernel.link("eth0").Up = true
	for _, link := range []string{
		"-4 route 10.244.0.0/24 dev eth0 proto kernel scope link src 10.244.0.5",
		"-6 route fe80::/64 dev eth0 proto kernel metric 256",
	} {
		p.plug(link)
	}
	p.add(take)
	compare(t, "with eth0 up again, after ADD", whole, slices.Sorted(slices.Values(p.kernel.text())))
}

// TestAttachedLaterThanDisplaced attaches a NIC whose default had been displaced: from
// then on its own attachment's rules decide for its sources, and by those alone
// they are judged.
func TestAttachedLaterThanDisplaced(t *testing.T) {
	p := newPod(t, `
		net1
		10.20.30.5/24
		10.20.31.5/24
		net2
		10.20.32.5/24
		-4 route default via 10.20.30.1 dev net1`)
	take := attachment{ifname: "net2", conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "10.20.32.5/24", "gateway": "10.20.32.1"}]}`}
	late := attachment{prev: `{"ips": [{"address": "10.20.31.5/24", "gateway": "10.20.31.1"}]}`}
	judged := func() []string {
		d, err := plan.Build(p.check(take))
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, n := range d.NICs {
			for _, s := range n.Sources {
				if !s.Held {
					out = append(out, s.Prefix.Addr().String())
				}
			}
			if !n.Attached() {
				out = append(out, "sockets bound to "+n.Link.Name)
			}
		}
		return out
	}
	all := []string{"10.20.32.5", "sockets bound to net2", "10.20.30.5", "10.20.31.5", "sockets bound to net1"}
	p.add(take)
	compare(t, "judged", all, judged())
	p.add(late)
	compare(t, "judged while net1 has an attachment", []string{"10.20.32.5", "sockets bound to net2", "10.20.30.5"}, judged())
	compare(t, "deviations", nil, p.deviations(take))
	p.del(late)
	compare(t, "judged when that has left", all, judged())
}

// TestLastDefaultStays has a NIC that had taken main lose its default, for it is down,
// before another leaves that has nothing to do with it: the default that was
// displaced is the last one.
func TestLastDefaultStays(t *testing.T) {
	p := newPod(t, `
		net3
		2001:db8:3::5/64
		net4
		10.4.0.5/24
		net5
		2001:db8:5::5/64
		-4 route default via 10.4.0.1 dev net4
		-6 route default nexthop via fe80::1 dev net5 weight 1 nexthop via 2001:db8:3::1 dev net3 weight 1`)
	bystander := attachment{ifname: "net4", prev: `{"ips": [{"address": "10.4.0.5/24", "gateway": "10.4.0.1"}]}`}
	taker := attachment{ifname: "net3", conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "2001:db8:3::5/64", "gateway": "2001:db8:3::1"}]}`}
	p.add(bystander)
	p.add(taker)
	p.kernel.down("net3")
	p.del(bystander)
	compare(t, "defaults after DEL", lines(`
		-4 route default via 10.4.0.1 dev net4 proto boot
		-6 route default via fe80::1 dev net5 proto boot metric 1124`), p.mainDefaults())
	p.del(taker)
	compare(t, "defaults when all have left", lines(`
		-4 route default via 10.4.0.1 dev net4 proto boot
		-6 route default via fe80::1 dev net5 proto boot metric 1024`), p.mainDefaults())
}

// TestBackupDefaultOfOthersStays has somebody add a default that differs from a
// displaced one in its metric alone, while it is displaced.
func TestBackupDefaultOfOthersStays(t *testing.T) {
	p := newPod(t, `
		eth0
		10.244.0.5/24
		2001:db8:1::5/64
		net1
		10.20.30.5/24
		2001:db8:30::5/64
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0
		-6 route default nexthop via 2001:db8:1::1 dev eth0 weight 1 nexthop via 2001:db8:30::1 dev net1 weight 1`)
	backups := []string{"-4 route default via 10.244.0.1 dev eth0 proto boot metric 200", "-6 route default via 2001:db8:1::1 dev eth0 proto boot metric 2000"}
	before := p.kernel.text()
	taker := attachment{conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "10.20.30.5/24"}, {"address": "2001:db8:30::5/64"}]}`}
	p.add(taker)
	for _, line := range backups {
		p.plug(line)
	}
	p.del(taker)
	after := p.kernel.text()
	compare(t, "come", backups, newLines(before, after))
	compare(t, "gone", nil, newLines(after, before))
}

// TestOrderOfDefaultsOutlivesKilledChanges ends an ADD that changes who has the
// pod's default after every step, and the taking back of it: when all attachments
// have left, main's defaults stand as they stood.
func TestOrderOfDefaultsOutlivesKilledChanges(t *testing.T) {
	addresses := `
		eth0
		10.244.0.5/24
		2001:db8:1::5/64
		net1
		10.20.30.5/24
		2001:db8:30::5/64`
	pods := map[string]string{
		"net1 first": `
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0
		-6 route default nexthop via 2001:db8:30::1 dev net1 weight 1 nexthop via 2001:db8:1::1 dev eth0 weight 1`,
		"eth0 first": `
		-4 route default via 10.244.0.1 dev eth0
		-4 route default via 10.20.30.1 dev net1
		-6 route default nexthop via 2001:db8:1::1 dev eth0 weight 1 nexthop via 2001:db8:30::1 dev net1 weight 1`,
	}
	of := func(ifname, mode string) attachment {
		prev := `{"ips": [{"address": "10.20.30.5/24"}, {"address": "2001:db8:30::5/64"}]}`
		if ifname == "eth0" {
			prev = `{"ips": [{"address": "10.244.0.5/24"}, {"address": "2001:db8:1::5/64"}]}`
		}
		return attachment{ifname: ifname, conf: fmt.Sprintf(`"mainDefault": %q`, mode), prev: prev}
	}
	changes := map[string][2]attachment{
		"from yield to take":      {of("net1", "yield"), of("net1", "take")},
		"from take to yield":      {of("net1", "take"), of("net1", "yield")},
		"the other yields later":  {of("net1", "yield"), of("eth0", "yield")},
		"the other takes it back": {of("net1", "take"), of("eth0", "take")},
	}
	for order, routes := range pods {
		for name, change := range changes {
			t.Run(order+", "+name, func(t *testing.T) {
				begin := func() (*pod, []string, []plan.Op) {
					p := newPod(t, addresses+routes)
					before := p.kernel.text()
					p.add(change[0])
					return p, before, p.begin(change[1])
				}
				_, _, ops := begin()
				for cut := range len(ops) + 1 {
					for back := range cut + 1 {
						p, before, ops := begin()
						p.apply(ops[:cut])
						for _, op := range reversed(ops[cut-back : cut]) {
							p.apply([]plan.Op{op.Inverse()})
						}
						p.del(change[1])
						if change[0].key() != change[1].key() {
							p.del(change[0])
						}
						p.same(fmt.Sprintf("killed after %d steps and %d back, then DEL", cut, back), before)
					}
				}
			})
		}
	}
}

// TestDisplacedDefaultComesBackAlone has somebody delete the better of a taker's
// two defaults: what others are displaced to depends on the other from then on.
func TestDisplacedDefaultComesBackAlone(t *testing.T) {
	p := newPod(t, `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		net2
		10.20.31.5/24
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0
		-4 route default via 10.20.30.1 dev net1 metric 50
		-4 route default via 10.20.31.1 dev net2`)
	better := "-4 route default via 10.20.30.1 dev net1 proto boot"
	before := slices.DeleteFunc(p.kernel.text(), func(line string) bool { return line == better })
	taker := attachment{conf: `"mainDefault": "take"`, prev: resultOf}
	other := attachment{ifname: "net2", prev: `{"ips": [{"address": "10.20.31.5/24"}]}`}
	p.add(taker)
	without(better)(t, p)
	p.add(other)
	p.del(other)
	p.del(taker)
	p.same("when all have left", before)
}

// TestDefaultsThatCameInFront has two NICs plugged, one after the other, whose IPAM puts
// their defaults in front of all there are, while a NIC's default is out of main: that
// one comes back behind both.
func TestDefaultsThatCameInFront(t *testing.T) {
	p := newPod(t, `
		eth0
		10.244.0.5/24
		net1
		10.20.30.5/24
		net2
		10.20.31.5/24
		net3
		10.20.32.5/24
		-4 route default via 10.20.30.1 dev net1
		-4 route default via 10.244.0.1 dev eth0`)
	yields := attachment{prev: resultOf}
	p.add(yields)
	p.plug("-4 route default via 10.20.31.1 dev net2")
	p.plug("-4 route default via 10.20.32.1 dev net3")
	p.del(yields)
	compare(t, "defaults", lines(`
		-4 route default via 10.20.32.1 dev net3 proto boot
		-4 route default via 10.20.31.1 dev net2 proto boot
		-4 route default via 10.20.30.1 dev net1 proto boot
		-4 route default via 10.244.0.1 dev eth0 proto boot`), p.mainDefaults())
}

// TestTakerVanishes has a NIC that had taken main vanish before another takes it: what
// that one displaced comes back as it was, though with the first one there it would
// have been displaced to another metric.
func TestTakerVanishes(t *testing.T) {
	p := newPod(t, `
		eth0
		2001:db8:1::5/64
		net1
		2001:db8:30::5/64
		net2
		2001:db8:2::5/64
		-6 route default via 2001:db8:1::1 dev eth0`)
	vanishes := attachmentOf("net2", "take", "2001:db8:2::5/64", "2001:db8:2::1")
	stays := attachmentOf("net1", "take", "2001:db8:30::5/64", "2001:db8:30::1")
	p.add(vanishes)
	p.plug("-6 route default via 2001:db8:30::1 dev net1")
	p.kernel.died("net2")
	p.add(stays)
	p.del(stays)
	p.del(vanishes)
	compare(t, "defaults", lines("-6 route default proto boot metric 1024 nexthop via 2001:db8:1::1 dev eth0 weight 1 nexthop via 2001:db8:30::1 dev net1 weight 1"), p.mainDefaults())
}

// TestTwoTakersAndOneIsDown has two NICs take main, and the NIC of the first go down:
// what is displaced then, by an attachment that leaves, is told from a default of
// others although it would have got another metric with both there.
func TestTwoTakersAndOneIsDown(t *testing.T) {
	p := newPod(t, `
		net1
		2001:db8:1::5/64
		net2
		2001:db8:2::5/64
		net3
		2001:db8:3::5/64`)
	first := attachmentOf("net2", "take", "2001:db8:2::5/64", "2001:db8:2::1")
	yields := attachmentOf("net3", "yield", "2001:db8:3::5/64", "2001:db8:3::1")
	second := attachmentOf("net1", "take", "2001:db8:1::5/64", "2001:db8:1::1")
	p.add(first)
	p.plug("-6 route default via 2001:db8:3::1 dev net3")
	p.add(yields)
	p.plug("-6 route default via 2001:db8:1::1 dev net1")
	p.add(second)
	p.kernel.down("net2")
	p.del(yields)
	p.del(second)
	p.del(first)
	compare(t, "defaults", lines("-6 route default proto boot metric 1024 nexthop via 2001:db8:3::1 dev net3 weight 1 nexthop via 2001:db8:1::1 dev net1 weight 1"), p.mainDefaults())
}

// TestLastDefaultComesBack detaches a NIC whose default was the pod's for another had
// yielded, and one that has nothing to do with either while that one is down: main
// gets the default of the one that yielded, or keeps it.
func TestLastDefaultComesBack(t *testing.T) {
	addresses, _, _ := strings.Cut(crowd, "\t-4 route")
	shared := addresses + `
		-4 route default nexthop via 10.20.1.1 dev net1 weight 1 nexthop via 10.20.2.1 dev net2 weight 1
		-4 route default via 10.244.0.1 dev eth0 metric 50`
	p := newPod(t, shared)
	for _, nic := range []string{"net1", "eth0"} {
		p.add(member(nic, "yield"))
	}
	p.del(member("eth0", "yield"))
	p.kernel.died("eth0")
	compare(t, "defaults when the NIC of the better one has gone", []string{"-4 route default via 10.20.2.1 dev net2 proto boot"}, p.mainDefaults())

	p = newPod(t, addresses+`
		-4 route default via 10.244.0.1 dev eth0
		-4 route default via 10.20.1.1 dev net1`)
	p.add(member("net1", "yield"))
	p.add(member("net2", "yield"))
	p.kernel.down("eth0")
	p.del(member("net2", "yield"))
	compare(t, "defaults while eth0 is down", []string{"-4 route default via 10.20.1.1 dev net1 proto boot"}, p.mainDefaults())
}

// TestNICStaysAfterDEL detaches a NIC that stays (host-device has some do so) from a
// default that several NICs share: DEL took it for leaving, and what it displaced on
// that account goes when the taker of the time keeps main no longer.
func TestNICStaysAfterDEL(t *testing.T) {
	p := newPod(t, crowds()["one route for all"])
	before := p.kernel.text()
	for _, step := range []struct{ nic, mode string }{
		{"eth0", "yield"}, {"net1", "take"}, {"eth0", "yield"}, {"net2", "take"}, {"net1", ""}, {"net2", "keep"}, {"eth0", ""}, {"net2", ""},
	} {
		if step.mode == "" {
			p.del(member(step.nic, "yield"))
			continue
		}
		p.add(member(step.nic, step.mode))
	}
	p.same("when all have left", before)
}
