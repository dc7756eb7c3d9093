package plan_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/state"
)

// backendPod has a management NIC with the pod's default and a backend NIC.
const backendPod = `
	rp_filter all=1 default=1
	eth0 rp_filter=1 mtu=1500
	10.244.0.5/24
	2001:db8:1::5/64
	net1 rp_filter=1 mtu=1500
	10.20.30.5/24
	2001:db8:30::5/64
	-4 route default via 10.244.0.1 dev eth0
	-6 route default via 2001:db8:1::1 dev eth0
`

const tunnelPod = backendPod + `
	tunl0 kind=ipip mtu=1480 down noipv6
	ip6tnl0 kind=ip6tnl mtu=1452 down
`

const backendResult = `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}, {"address": "2001:db8:30::5/64", "gateway": "2001:db8:30::1"}]}`

const backendResult4 = `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}]}`

func realServer(lvs string) attachment {
	return attachment{conf: `"lvs": {` + lvs + `}`, prev: backendResult4}
}

func TestRealServer(t *testing.T) {
	runScenarios(t, []scenario{
		{
			name:       "direct routing: the VIP on lo goes the way of the NIC",
			pod:        backendPod,
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"]`),
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 40012: from 10.99.0.1 lookup 7300 proto 73
				-4 rule 40015: from 10.99.0.1 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-4 rule 32765: from 10.99.0.1 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				every NIC arp_ignore>=1
				every NIC arp_announce>=2
				rp_filter net1: effectively loose (2)
				VIP 10.99.0.1 dev lo
				shared: + -4 rule 40000: from all nop proto 73`,
		},
		{
			name:       "a tunnel: the VIP has a table with smaller segments",
			pod:        tunnelPod,
			attachment: realServer(`"mode": "tunnel", "vips": ["10.99.0.1"]`),
			want: `
				-4 rule 49000: from all oif net1 lookup 7300 proto 73
				-4 rule 49002: from all oif net1 lookup main proto 73
				-4 rule 40012: from 10.20.30.5 lookup 7300 proto 73
				-4 rule 40015: from 10.20.30.5 unreachable proto 73
				-4 rule 49000: from all oif net1 lookup 7301 proto 73
				-4 rule 40012: from 10.99.0.1 lookup 7301 proto 73
				-4 rule 40015: from 10.99.0.1 unreachable proto 73
				-4 rule 32765: from 10.20.30.5 goto 40000 proto 73
				-4 rule 32765: from 10.99.0.1 goto 40000 proto 73
				-4 rule 32765: from all oif net1 goto 40000 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7300 proto 73 scope link src 10.20.30.5
				-4 route default via 10.20.30.1 dev net1 table 7300 proto 73
				-4 route 10.20.30.0/24 dev net1 table 7301 proto 73 scope link src 10.20.30.5 advmss 1440
				-4 route default via 10.20.30.1 dev net1 table 7301 proto 73 advmss 1440
				every NIC arp_ignore>=1
				every NIC arp_announce>=2
				rp_filter net1: effectively loose (2)
				rp_filter tunl0: effectively loose (2)
				VIP 10.99.0.1 dev tunl0
				shared: + -4 rule 40000: from all nop proto 73`,
		},
		{
			name: "replies by the other NIC: its ways for the VIP alone",
			pod:  backendPod,
			attachment: attachment{
				conf: `"lvs": {"mode": "dr", "vips": ["10.99.0.1", "2001:db8:99::1"], "replyBy": "eth0"}`,
				prev: backendResult,
			},
			only: "7301",
			want: `
				-4 rule 40012: from 10.99.0.1 lookup 7301 proto 73
				-6 rule 40012: from 2001:db8:99::1 lookup 7301 proto 73
				-4 route 10.244.0.0/24 dev eth0 table 7301 proto 73 scope link src 10.244.0.5
				-6 route 2001:db8:1::/64 dev eth0 table 7301 proto 73 metric 256
				-6 route fe80::/64 dev eth0 table 7301 proto 73 metric 256
				-4 route default via 10.244.0.1 dev eth0 table 7301 proto 73
				-6 route default via 2001:db8:1::1 dev eth0 table 7301 proto 73 metric 1024`,
		},
		{
			name:       "replies by the NIC itself, named",
			pod:        backendPod,
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "net1"`),
			only:       "10.99.0.1 ",
			want: `
				-4 rule 40012: from 10.99.0.1 lookup 7300 proto 73
				-4 rule 40015: from 10.99.0.1 unreachable proto 73
				-4 rule 32765: from 10.99.0.1 goto 40000 proto 73
				VIP 10.99.0.1 dev lo`,
		},
		{
			name:       "replies by a NIC that has an attachment go as that one says",
			pod:        strings.ReplaceAll(backendPod, "-4 route default via 10.244.0.1 dev eth0", ""),
			earlier:    []attachment{{ifname: "eth0", conf: `"gateways": ["10.244.0.7"]`, prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}},
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth0"`),
			only:       "default via",
			want: `
				-4 route default via 10.20.30.1 dev net1 table 7301 proto 73
				-4 route default via 10.244.0.7 dev eth0 table 7302 proto 73`,
		},
		{
			name:       "a tunnel of ours where the kernel has none",
			pod:        backendPod,
			attachment: realServer(`"mode": "tunnel", "vips": ["10.99.0.1"], "device": "lvs0"`),
			only:       "lvs0",
			want: `
				rp_filter lvs0: effectively loose (2)
				VIP 10.99.0.1 dev lvs0`,
		},
		{
			name:       "a tunnel whose mode the configuration names",
			pod:        tunnelPod,
			attachment: attachment{conf: `"interfaces": {"tunl0": {"rpFilter": "off"}}, "lvs": {"mode": "tunnel", "vips": ["10.99.0.1"]}`, prev: backendResult4},
			only:       "rp_filter",
			want: `
				rp_filter net1: effectively loose (2)
				rp_filter tunl0: effectively off (0)`,
		},
		{
			name:       "sizes that the configuration names stay",
			pod:        tunnelPod,
			attachment: attachment{conf: `"routes": [{"dst": "192.0.2.0/24", "gw": "10.20.30.9", "advmss": 1200}], "lvs": {"mode": "tunnel", "vips": ["10.99.0.1"]}`, prev: backendResult4},
			only:       "advmss",
			want: `
				-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7300 proto 73 advmss 1200
				-4 route 10.20.30.0/24 dev net1 table 7301 proto 73 scope link src 10.20.30.5 advmss 1440
				-4 route default via 10.20.30.1 dev net1 table 7301 proto 73 advmss 1440
				-4 route 192.0.2.0/24 via 10.20.30.9 dev net1 table 7301 proto 73 advmss 1200`,
		},
		{
			name: "a route's own size is no larger than its packets", pod: tunnelPod,
			attachment: attachment{
				conf: `"lvs": {"mode": "tunnel", "vips": ["10.99.0.1"]}`,
				prev: `{"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1"}], "routes": [{"dst": "0.0.0.0/0", "mtu": 1400}]}`,
			},
			only: "advmss",
			want: `
				-4 route 10.20.30.0/24 dev net1 table 7301 proto 73 scope link src 10.20.30.5 advmss 1440
				-4 route default via 10.20.30.1 dev net1 table 7301 proto 73 mtu 1400 advmss 1360`,
		},
		{
			name:       "replies by a NIC whose attachment has more routes",
			pod:        backendPod,
			earlier:    []attachment{behind("eth0", `"routes": [{"dst": "192.0.2.0/24", "gw": "10.244.0.9"}]`)},
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth0"`),
			only:       "table 7302",
			want: `
				-4 route 10.244.0.0/24 dev eth0 table 7302 proto 73 scope link src 10.244.0.5
				-4 route default via 10.244.0.1 dev eth0 table 7302 proto 73
				-4 route 192.0.2.0/24 via 10.244.0.9 dev eth0 table 7302 proto 73`,
		},
		{
			name:       "replies by a NIC whose attachment knows no gateway",
			pod:        strings.ReplaceAll(backendPod, "-4 route default via 10.244.0.1 dev eth0", ""),
			earlier:    []attachment{{ifname: "eth0", prev: `{"ips": [{"address": "10.244.0.5/24"}]}`}},
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth0"`),
			only:       "table 7302",
			want:       `-4 route 10.244.0.0/24 dev eth0 table 7302 proto 73 scope link src 10.244.0.5`,
		},
		{
			name: "replies by another NIC of the attachment: it is a source of that", pod: backendPod + "\n	net2\n	10.30.0.5/24",
			attachment: attachment{
				conf: `"lvs": {"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "net2"}`,
				prev: `{"interfaces": [{"name": "net1", "sandbox": "x"}, {"name": "net2", "sandbox": "x"}],
					"ips": [{"address": "10.20.30.5/24", "gateway": "10.20.30.1", "interface": 0}, {"address": "10.30.0.5/24", "gateway": "10.30.0.1", "interface": 1}]}`,
			},
			only: "lookup 7301",
			want: `
				-4 rule 49000: from all oif net2 lookup 7301 proto 73
				-4 rule 40012: from 10.30.0.5 lookup 7301 proto 73
				-4 rule 40012: from 10.99.0.1 lookup 7301 proto 73`,
		},
		{
			name: "the mode of an IPv6 tunnel is nobody's concern", pod: tunnelPod,
			attachment: attachment{conf: `"lvs": {"mode": "tunnel", "vips": ["2001:db8:99::1"]}`, prev: backendResult},
			only:       "rp_filter",
			want:       `rp_filter net1: effectively loose (2)`,
		},
		{
			name:       "a VIP that the pod has on lo already",
			pod:        backendPod + "\n	dummy0 kind=dummy\n	10.99.0.1/32",
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"]`),
			only:       "10.99.0.1 ",
			want: `
				-4 rule 40012: from 10.99.0.1 lookup 7300 proto 73
				-4 rule 40015: from 10.99.0.1 unreachable proto 73
				-4 rule 32765: from 10.99.0.1 goto 40000 proto 73
				VIP 10.99.0.1 dev lo`,
		},
	})
}

// TestRealServerComesAndGoes has real servers come, be checked and leave, in every
// order, with every step watched as for other attachments.
func TestRealServerComesAndGoes(t *testing.T) {
	first := realServer(`"mode": "tunnel", "vips": ["10.99.0.1", "10.99.0.2"]`)
	second := attachment{
		ifname: "eth0", conf: `"arp": "isolate", "lvs": {"mode": "tunnel", "vips": ["10.99.0.3"]}`,
		prev: `{"ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1"}]}`,
	}
	for name, pod := range map[string]string{"the kernel's tunnels": tunnelPod, "no tunnel": backendPod} {
		for order, leave := range map[string][]attachment{"first in, first out": {first, second}, "last in, first out": {second, first}} {
			t.Run(name+", "+order, func(t *testing.T) {
				p := newPod(t, pod)
				before := p.kernel.text()
				p.add(first)
				p.add(second)
				for _, a := range []attachment{first, second} {
					if again := p.begin(a); len(again) > 0 {
						t.Errorf("a second ADD of %s changes something: %v", a.ifname, again)
					}
					compare(t, "CHECK of "+a.ifname, nil, p.deviations(a))
				}
				p.del(leave[0])
				if l := p.kernel.link("tunl0"); !l.Up {
					t.Error("the tunnel is down, and somebody uses it")
				}
				p.del(leave[1])
				compare(t, "after DEL", before, p.kernel.text())
			})
		}
	}
}

// TestRealServerChanges has an ADD with another configuration take the VIPs of the
// one before away.
func TestRealServerChanges(t *testing.T) {
	p := newPod(t, tunnelPod)
	before := p.kernel.text()
	p.add(realServer(`"mode": "tunnel", "vips": ["10.99.0.1", "10.99.0.2"]`))
	p.add(realServer(`"mode": "dr", "vips": ["10.99.0.2"]`))
	vips := slices.DeleteFunc(p.kernel.text(), func(line string) bool { return !strings.HasPrefix(line, "10.99.") })
	compare(t, "VIPs", []string{"10.99.0.2/32 dev lo, deprecated false"}, vips)
	if p.kernel.link("tunl0").Up {
		t.Error("the tunnel is still up")
	}
	p.add(attachment{prev: backendResult4})
	if slices.ContainsFunc(p.kernel.text(), func(line string) bool { return strings.HasPrefix(line, "10.99.") }) {
		t.Error("the VIP is still there")
	}
	p.del(attachment{prev: backendResult4})
	compare(t, "after DEL", before, p.kernel.text())
}

// TestRealServerKilled has the ADD and the DEL of a real server be killed before each
// of their steps: the next DEL leads back, and so does the next ADD and its DEL.
func TestRealServerKilled(t *testing.T) {
	a := attachment{conf: `"lvs": {"mode": "tunnel", "vips": ["10.99.0.1", "2001:db8:99::1"], "replyBy": "eth0"}`, prev: backendResult}
	for name, pod := range map[string]string{"the kernel's tunnels": tunnelPod, "no tunnel": backendPod} {
		t.Run(name, func(t *testing.T) {
			steps := len(newPod(t, pod).begin(a))
			for done := range steps + 1 {
				for _, again := range []bool{false, true} {
					p := newPod(t, pod)
					before := p.kernel.text()
					p.apply(p.begin(a)[:done])
					if again {
						p.add(a)
						ops := p.leave(a)
						p.apply(ops[:min(done, len(ops))])
					}
					p.del(a)
					compare(t, "after DEL", before, p.kernel.text())
					if t.Failed() {
						t.Fatalf("killed after %d of %d steps, ADD once more: %t", done, steps, again)
					}
				}
			}
		})
	}
}

// TestRealServerWithoutMemory has DEL find VIPs by what the kernel says of them.
func TestRealServerWithoutMemory(t *testing.T) {
	p := newPod(t, backendPod)
	a := realServer(`"mode": "dr", "vips": ["10.99.0.1"]`)
	p.add(a)
	p.forget(a.key())
	p.del(a)
	if slices.ContainsFunc(p.kernel.text(), func(line string) bool { return strings.Contains(line, "10.99.0.1") }) {
		t.Errorf("the VIP is still there:\n%s", strings.Join(p.kernel.text(), "\n"))
	}
}

// behind is an attachment of eth0 or net1 of backendPod with some keys.
func behind(nic, conf string) attachment {
	a := attachment{ifname: nic, conf: conf, prev: backendResult4}
	if nic == "eth0" {
		a.prev = `{"ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1"}]}`
	}
	return a
}

// TestKilledReAdd has an ADD with another configuration be killed before each of its
// steps. DEL then leads back, whatever of both configurations there is.
func TestKilledReAdd(t *testing.T) {
	for _, confs := range [][2]string{
		{`"lvs": {"mode": "dr", "vips": ["10.99.0.1"]}`, ``},
		{`"lvs": {"mode": "dr", "vips": ["10.99.0.1"]}`, `"arp": "isolate"`},
		{`"lvs": {"mode": "tunnel", "vips": ["10.99.0.1"]}`, `"lvs": {"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth0"}`},
		{`"lvs": {"mode": "tunnel", "vips": ["10.99.0.1"]}`, ``},
		{`"arp": "isolate"`, ``},
		{`"rpFilter": "strict"`, `"rpFilter": "loose"`},
		{`"rpFilter": "off"`, `"rpFilter": "keep"`},
		{`"mainDefault": "take"`, ``},
		{``, `"mainDefault": "take"`},
	} {
		t.Run(confs[0]+" then "+confs[1], func(t *testing.T) {
			first, then := behind("net1", confs[0]), behind("net1", confs[1])
			p := newPod(t, tunnelPod)
			p.add(first)
			for cut := range len(p.begin(then)) + 1 {
				p := newPod(t, tunnelPod)
				before := p.kernel.text()
				p.add(first)
				p.apply(p.begin(then)[:cut])
				p.del(then)
				compare(t, fmt.Sprintf("killed after %d steps, after DEL", cut), before, p.kernel.text())
			}
		})
	}
}

// TestVIPMovesToAnotherNIC has replies change their NIC, and VIPs their attachment.
func TestVIPMovesToAnotherNIC(t *testing.T) {
	vip := func(rest string) string { return `"lvs": {"mode": "dr", "vips": ["10.99.0.1"]` + rest + `}` }
	t.Run("replies by another NIC", func(t *testing.T) {
		p := newPod(t, backendPod)
		before := p.kernel.text()
		p.add(behind("net1", vip("")))
		p.add(behind("net1", vip(`, "replyBy": "eth0"`)))
		compare(t, "CHECK", nil, p.deviations(behind("net1", vip(`, "replyBy": "eth0"`))))
		p.add(behind("net1", vip("")))
		compare(t, "CHECK", nil, p.deviations(behind("net1", vip(""))))
		p.del(behind("net1", vip("")))
		compare(t, "after DEL", before, p.kernel.text())
	})
	t.Run("another attachment", func(t *testing.T) {
		p := newPod(t, backendPod)
		p.add(behind("net1", vip("")))
		p.add(behind("net1", ""))
		p.add(behind("eth0", vip("")))
		p.del(behind("net1", ""))
		compare(t, "CHECK", nil, p.deviations(behind("eth0", vip(""))))
	})
	t.Run("its table stays behind that of the NIC's addresses", func(t *testing.T) {
		p := newPod(t, tunnelPod)
		p.add(behind("eth0", ""))
		p.add(behind("net1", ""))
		p.del(behind("eth0", ""))
		a := realServer(`"mode": "tunnel", "vips": ["10.99.0.1"]`)
		p.add(a)
		compare(t, "CHECK", nil, p.deviations(a))
		compare(t, "a second ADD", nil, lines(textOf(p.begin(a))))
	})
}

// TestReplyNICChanges has the NIC that replies leave by get an attachment, or lose it:
// what ADD made stays right.
func TestReplyNICChanges(t *testing.T) {
	a := behind("eth0", `"lvs": {"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "net1"}`)
	p := newPod(t, backendPod+"-4 route default via 10.20.30.7 dev net1 metric 50")
	p.add(a)
	p.add(behind("net1", ""))
	compare(t, "CHECK after it came", nil, p.deviations(a))
	p.add(a)
	p.del(behind("net1", ""))
	compare(t, "CHECK after it left", nil, p.deviations(a))
	compare(t, "warnings", []string{
		`no source covers the address 2001:db8:1::5 of eth0: its traffic goes by the main table; list it, or its prefix, in "sources"`,
		`no rule refuses what 10.20.30.5 sends while main has no default: it may leave by another NIC; ADD again adds it`,
	}, plan.Warnings(p.check(a)))
}

// TestVIPWithoutMemory has an ADD find the VIP that one before it configured.
func TestVIPWithoutMemory(t *testing.T) {
	p := newPod(t, backendPod)
	a := realServer(`"mode": "dr", "vips": ["10.99.0.1"]`)
	p.add(a)
	p.forget(a.key())
	p.add(a)
	p.del(a)
	if slices.ContainsFunc(p.kernel.text(), func(line string) bool { return strings.Contains(line, "10.99.0.1") }) {
		t.Errorf("the VIP is still there:\n%s", strings.Join(p.kernel.text(), "\n"))
	}
}

// TestForeignVIP has somebody else configure the VIP before. It stays, however it is.
func TestForeignVIP(t *testing.T) {
	p := newPod(t, backendPod)
	theirs := fib.Address{Index: 1, Prefix: netip.MustParsePrefix("2001:db8:99::1/128")}
	p.kernel.addresses = append(p.kernel.addresses, theirs)
	before := p.kernel.text()
	a := attachment{conf: `"lvs": {"mode": "dr", "vips": ["2001:db8:99::1"]}`, prev: backendResult}
	if notes := strings.Join(p.build(a).Notes, "\n"); !strings.Contains(notes, "the kernel may choose it as source") {
		t.Errorf("no note of it: %q", notes)
	}
	p.add(a)
	compare(t, "CHECK", nil, p.deviations(a))
	p.del(a)
	compare(t, "after DEL", before, p.kernel.text())
}

// TestMoreThanLeast leaves a number alone that somebody has made more than is needed.
func TestMoreThanLeast(t *testing.T) {
	p := newPod(t, backendPod)
	p.add(realServer(`"mode": "dr", "vips": ["10.99.0.1"]`))
	p.kernel.link("eth0").ARPIgnore = 2
	p.add(behind("eth0", ""))
	if got := p.kernel.link("eth0").ARPIgnore; got != 2 {
		t.Errorf("arp_ignore is %d, was 2", got)
	}
}

// TestRealServerNeedsLoopback: what is on lo while that is down nobody reaches.
func TestRealServerNeedsLoopback(t *testing.T) {
	p := newPod(t, backendPod)
	p.kernel.link("lo").Up = false
	_, err := plan.Build(p.input(realServer(`"mode": "dr", "vips": ["10.99.0.1"]`)))
	const want = "the pod's network is in no state for this: lo is down, and VIPs on it would not be reachable: set it up first (ip link set lo up)"
	if !errors.Is(err, state.ErrUnfit) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestVIPMadePreferred has somebody make a VIP of ours a source for the kernel to choose. ADD
// configures it anew.
func TestVIPMadePreferred(t *testing.T) {
	p := newPod(t, tunnelPod)
	a := attachment{conf: `"lvs": {"mode": "tunnel", "vips": ["2001:db8:99::1"]}`, prev: backendResult}
	before := p.kernel.text()
	p.add(a)
	whole := p.kernel.text()
	i := slices.IndexFunc(p.kernel.addresses, func(x fib.Address) bool { return x.Deprecated })
	p.kernel.addresses[i].Deprecated = false
	p.add(a)
	p.same("after ADD again", whole)
	p.del(a)
	p.same("after DEL", before)
}

// TestVIPOnOldKernel: before Linux 5.18 the kernel does not tell who configured an address.
// Without a record a VIP then stays, and the operator is told.
func TestVIPOnOldKernel(t *testing.T) {
	p := newPod(t, backendPod)
	a := realServer(`"mode": "dr", "vips": ["10.99.0.1"]`)
	p.add(a)
	for i := range p.kernel.addresses {
		p.kernel.addresses[i].Protocol = 0
	}
	p.forget(a.key())
	compare(t, "notes", []string{
		"the address 10.99.0.1 of lo stays: if it is a VIP of ours, take it away (ip addr del 10.99.0.1/32 dev lo)",
	}, plan.LeftBehind(p.removal(a)))
}

func TestRealServerRefusals(t *testing.T) {
	runRefusals(t, []refusal{
		{
			name: "replies by a NIC of a VRF", pod: "blue vrf=10\n eth0 master=blue\n 10.244.0.5/24\n net1\n 10.20.30.5/24",
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth0"`),
			want:       `the pod's network is in no state for this: replies are to leave by eth0, which is enslaved to the VRF blue`,
		},
		{
			name: "another attachment wants the tunnel to be off", pod: tunnelPod,
			earlier:    []attachment{behind("eth0", `"interfaces": {"tunl0": {"rpFilter": "off"}}`)},
			attachment: realServer(`"mode": "tunnel", "vips": ["10.99.0.1"]`),
			faults:     []string{"interfaces.tunl0.rpFilter"},
			want: `interfaces.tunl0.rpFilter: tunl0 is to be loose (2), but the attachment eth0 of network "data" set it to off (0): ` +
				`let both say the same, or one of them "keep"`,
		},
		{
			name: "strict, and replies by another NIC", pod: backendPod,
			attachment: attachment{conf: `"rpFilter": "strict", "lvs": {"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth0"}`, prev: backendResult4},
			faults:     []string{"lvs.replyBy"},
			want: `lvs.replyBy: replies by eth0 make the path asymmetric on purpose, which "rpFilter": "strict" of net1 forbids; ` +
				`write "rpFilter": "loose" or remove replyBy`,
		},
		{
			name: "replies by nobody", pod: backendPod,
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth9"`),
			faults:     []string{"lvs.replyBy"},
			want:       `lvs.replyBy: the pod has no device "eth9"; it has lo, eth0, net1`,
		},
		{
			name: "replies by the tunnel", pod: tunnelPod,
			attachment: realServer(`"mode": "tunnel", "vips": ["10.99.0.1"], "replyBy": "tunl0"`),
			faults:     []string{"lvs.replyBy"},
			want:       `lvs.replyBy: tunl0 is the tunnel that requests come by; write the NIC that replies leave by`,
		},
		{
			name: "replies by a NIC that is down", pod: strings.Replace(backendPod, "eth0 rp_filter=1", "eth0 down", 1) + "no -4 route default via 10.244.0.1 dev eth0",
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth0"`),
			want:       `the pod's network is in no state for this: eth0 is administratively down, and replies are to leave by it: set it up first (ip link set eth0 up)`,
		},
		{
			name: "a VIP that a NIC has", pod: backendPod + "\n	net2\n	10.99.0.1/24",
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"]`),
			want:       `the pod's network is in no state for this: the VIP 10.99.0.1 is an address of net2, which would answer for it: take it away there, or from lvs.vips`,
		},
		{
			name: "the NIC's own address", pod: backendPod,
			attachment: realServer(`"mode": "dr", "vips": ["10.20.30.5"]`),
			want:       `the pod's network is in no state for this: the VIP 10.20.30.5 is an address of net1, which would answer for it: take it away there, or from lvs.vips`,
		},
		{
			name: "a VIP of another attachment", pod: backendPod,
			earlier:    []attachment{{ifname: "eth0", conf: `"lvs": {"mode": "dr", "vips": ["10.99.0.1"]}`, prev: `{"ips": [{"address": "10.244.0.5/24", "gateway": "10.244.0.1"}]}`}},
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"]`),
			want: `the pod's network is in no state for this: the source 10.99.0.1 of net1 belongs to eth0 already ` +
				`(rule "40012: from 10.99.0.1 lookup 7300 proto 73")`,
		},
		{
			name: "a NIC for a tunnel", pod: backendPod,
			attachment: realServer(`"mode": "tunnel", "vips": ["10.99.0.1"], "device": "eth0"`),
			faults:     []string{"lvs.device"},
			want:       `lvs.device: eth0 is no tunnel that a director sends through (ipip, ip6tnl, sit, gre, ip6gre); name one in lvs.device, or remove the key`,
		},
		{
			name: "one tunnel of IPv4 for both families", pod: tunnelPod,
			attachment: attachment{conf: `"lvs": {"mode": "tunnel", "vips": ["10.99.0.1", "2001:db8:99::1"], "device": "tunl0"}`, prev: backendResult},
			faults:     []string{"lvs.device"},
			want:       `lvs.device: tunl0, of kind ipip, carries no IPv6 packets, and lvs.vips has such addresses; remove lvs.device (tunl0 and ip6tnl0 are then used), or name one that does`,
		},
		{
			name: "somebody else's tunnel for everybody", pod: backendPod + "\n	ipip9 kind=ipip",
			attachment: realServer(`"mode": "tunnel", "vips": ["10.99.0.1"]`),
			faults:     []string{"lvs.mode"},
			want:       `lvs.mode: ipip9 accepts packets of everybody already, and the kernel makes no second device of that kind: name it in lvs.device`,
		},
		{
			name: "a strict tunnel", pod: tunnelPod,
			attachment: attachment{conf: `"interfaces": {"tunl0": {"rpFilter": "strict"}}, "lvs": {"mode": "tunnel", "vips": ["10.99.0.1"]}`, prev: backendResult4},
			faults:     []string{"interfaces.tunl0.rpFilter"},
			want:       `interfaces.tunl0.rpFilter: strict would drop every request that comes by tunl0, for replies leave by net1; remove it`,
		},
		{
			name: "a VIP of another attachment, and replies by its NIC", pod: backendPod,
			earlier:    []attachment{behind("eth0", `"lvs": {"mode": "dr", "vips": ["10.99.0.1"]}`)},
			attachment: realServer(`"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth0"`),
			want: `the pod's network is in no state for this: the source 10.99.0.1 of eth0 belongs to eth0 already ` +
				`(rule "40012: from 10.99.0.1 lookup 7300 proto 73")`,
		},
		{
			name: "replies by a NIC without gateway, where one is required", pod: strings.ReplaceAll(backendPod, "-4 route default via 10.244.0.1 dev eth0", ""),
			attachment: attachment{conf: `"requireGateway": true, "lvs": {"mode": "dr", "vips": ["10.99.0.1"], "replyBy": "eth0"}`, prev: backendResult4},
			faults:     []string{"requireGateway"},
			want:       `requireGateway: the source 10.99.0.1 of eth0 has no gateway: name one in gateways, or let the IPAM plugin return one`,
		},
		{
			name: "a prefix that takes a tunnel's address", pod: backendPod + "\n	gre9 kind=gre\n	10.77.0.5/24",
			attachment: behind("net1", `"sources": ["10.77.0.0/16"]`),
			want:       `the pod's network is in no state for this: the source 10.77.0.0/16 of net1 takes the address 10.77.0.5 of gre9 with it`,
		},
		{
			name: "a tunnel with routes and without address", pod: tunnelPod + "\n	-4 route 192.0.2.0/24 dev tunl0",
			attachment: realServer(`"mode": "tunnel", "vips": ["10.99.0.1"]`),
			want:       `the pod's network is in no state for this: tunl0 has IPv4 routes and no address, and would lose them with the VIP (the kernel flushes them with the last address): give it one of its own`,
		},
		{
			name: "a tunnel for the other family", pod: backendPod + "\n	ip6tnl0 kind=ip6tnl inside=41",
			attachment: realServer(`"mode": "tunnel", "vips": ["10.99.0.1"], "device": "ip6tnl0"`),
			faults:     []string{"lvs.device"},
			want:       `lvs.device: ip6tnl0, of kind ip6tnl, carries no IPv4 packets, and lvs.vips has such addresses; remove lvs.device (tunl0 and ip6tnl0 are then used), or name one that does`,
		},
		{
			name: "several faults at once", pod: strings.Replace(backendPod, "net1 rp_filter=1", "net1 noipv6", 1) + "\n	ip6tnl0 kind=ip6tnl inside=41",
			attachment: attachment{
				conf: `"lvs": {"mode": "tunnel", "vips": ["10.99.0.1", "2001:db8:99::1"], "device": "ip6tnl0", "replyBy": "eth9"}, "checkDestinations": ["10.20.30.5"]`,
				prev: backendResult4,
			},
			faults: []string{"lvs.replyBy", "lvs.device", "lvs.vips", "checkDestinations[0]"},
			want: `lvs.replyBy: the pod has no device "eth9"; it has lo, eth0, net1, ip6tnl0; ` +
				`lvs.device: ip6tnl0, of kind ip6tnl, carries no IPv4 packets, and lvs.vips has such addresses; remove lvs.device (tunl0 and ip6tnl0 are then used), or name one that does; ` +
				`lvs.vips: holds IPv6 addresses, but IPv6 is off on net1; ` +
				`checkDestinations[0]: 10.20.30.5 is never asked about, for it is the pod's own address; remove it`,
		},
		{
			name: "IPv6 VIPs without IPv6", pod: strings.Replace(backendPod, "net1 rp_filter=1", "net1 noipv6", 1),
			attachment: realServer(`"mode": "dr", "vips": ["2001:db8:99::1"]`),
			faults:     []string{"lvs.vips"},
			want:       `lvs.vips: holds IPv6 addresses, but IPv6 is off on net1`,
		},
	})
}

// TestVerifyRealServer has others meddle with what a real server needs.
func TestVerifyRealServer(t *testing.T) {
	a := attachment{conf: `"lvs": {"mode": "tunnel", "vips": ["10.99.0.1", "2001:db8:99::1"]}`, prev: backendResult}
	for _, tc := range []struct {
		name string
		do   func(p *pod)
		want string
	}{
		{"nothing happened", func(*pod) {}, ""},
		{"the VIP is gone", func(p *pod) {
			p.kernel.addresses = slices.DeleteFunc(p.kernel.addresses, func(x fib.Address) bool { return x.String() == "10.99.0.1" })
		}, `lost: the VIP 10.99.0.1 on tunl0: want present, got none`},
		{"the tunnel is down", func(p *pod) { p.kernel.link("ip6tnl0").Up = false }, `lost: the tunnel ip6tnl0: want present and up, got down`},
		{"the VIP may be chosen as source", func(p *pod) {
			for i := range p.kernel.addresses {
				p.kernel.addresses[i].Deprecated = false
			}
		}, `setting: the VIP 2001:db8:99::1: want with a preferred lifetime of 0, got one that the kernel may choose as source`},
		{"a NIC answers for the VIP", func(p *pod) { p.kernel.link("eth0").ARPIgnore = 0 }, `setting: conf/eth0/arp_ignore: want 1 or more, got 0`},
		{"all NICs answer for themselves", func(p *pod) { p.kernel.link("eth0").ARPIgnore, p.kernel.all.ARPIgnore = 0, 1 }, ``},
		{"the tunnel is strict", func(p *pod) { p.kernel.link("tunl0").RPFilter = 1 }, `setting: the effective rp_filter of tunl0: want loose (2), got strict (1); ` +
			`decided by conf/all/rp_filter=1 and conf/tunl0/rp_filter=1, of which the kernel uses the larger`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPod(t, tunnelPod)
			p.add(a)
			tc.do(p)
			compare(t, "deviations", lines(tc.want), p.deviations(a))
		})
	}
}
