package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/symmetry"
)

// TestManyRules has 20,000 rules of our protocol in the pod, as anybody with CAP_NET_ADMIN there
// can add them. What ADD and DEL do takes milliseconds then; time that grows with the square of
// that would be half a minute.
func TestManyRules(t *testing.T) {
	const (
		many = 20_000
		most = 5 * time.Second // on a machine that has much else to do
	)
	host := func(i int) netip.Prefix { return fib.Host(netip.AddrFrom4([4]byte{10, 99, byte(i >> 8), byte(i)})) }
	for name, rule := range map[string]func(i int) fib.Rule{
		"tables of the NIC": func(i int) fib.Rule {
			return fib.Rule{Priority: state.BoundPriority, OIF: "net1", Action: fib.Lookup, Table: state.TableBase + uint32(i)}
		},
		"tables of a displaced NIC": func(i int) fib.Rule {
			return fib.Rule{Priority: state.BoundDisplacedPriority, OIF: "eth0", Action: fib.Lookup, Table: state.TableBase + uint32(i)}
		},
		"sources of its table": func(i int) fib.Rule {
			return fib.Rule{Priority: 40012, From: host(i), Action: fib.Lookup, Table: state.TableBase}
		},
		"sources of its own address": func(i int) fib.Rule {
			return fib.Rule{Priority: 40012, From: host(0), Action: fib.Lookup, Table: state.TableBase + many + uint32(i)}
		},
		"decisions": func(i int) fib.Rule {
			return fib.Rule{Priority: 32765, From: host(i), Action: fib.Goto, Target: state.Anchor}
		},
		"refusals": func(i int) fib.Rule {
			return fib.Rule{Priority: 40015, From: host(i), Action: fib.Unreachable}
		},
		"guards": func(i int) fib.Rule {
			return fib.Rule{Priority: state.GuardPriority, From: host(i), Action: fib.Unreachable}
		},
		"fallbacks": func(i int) fib.Rule {
			return fib.Rule{Priority: state.FallbackPriority, Action: fib.Lookup, Table: state.TableBase + many + uint32(i)}
		},
	} {
		for recorded, what := range map[bool]string{true: "with a record", false: "without one"} {
			t.Run(name+" "+what, func(t *testing.T) {
				p := newPod(t, crowd)
				a := member("net1", "take")
				a.conf += `, "sources": ["10.99.0.0/16"]`
				p.kernel.addresses = append(p.kernel.addresses, fib.Address{Index: p.kernel.link("eth0").Index, Prefix: host(0)})
				p.kernel.appendRule(fib.Rule{Family: fib.V4, Priority: 40012, From: host(0), Action: fib.Lookup, Table: 100, Protocol: state.Protocol})
				p.kernel.appendRule(fib.Rule{Family: fib.V4, Priority: state.BoundPriority, OIF: "eth0", Action: fib.Lookup, Table: 100, Protocol: state.Protocol})
				p.add(a)
				if !recorded {
					p.forget(a.key())
				}
				for i := range many {
					r := rule(i)
					r.Family, r.Protocol = fib.V4, state.Protocol
					p.kernel.rules = append(p.kernel.rules, r)
				}
				began := time.Now()
				in := p.input(a)
				plan.Changes(in, p.buildFrom(in))
				plan.Removal(p.removal(a))
				if took := time.Since(began); took > most {
					t.Errorf("ADD and DEL are planned in %s, want less than %s", took, most)
				}
			})
		}
	}
}

// TestManyOfAnything has many of what somebody in the pod can make any number of, or who
// configures it. What takes the square of that takes minutes here.
func TestManyOfAnything(t *testing.T) {
	const most = time.Minute // for what takes a second, on a machine that has much else to do
	for name, c := range manyPods() {
		t.Run(name, func(t *testing.T) {
			p, a := c(t)
			began := time.Now()
			asked := p.lives(a)
			if took := time.Since(began); took > most {
				t.Errorf("ADD, CHECK and DEL are planned in %s, want less than %s", took, most)
			}
			if asked > 20_000 { // 32 pairs of each of 150 tables, three questions each, and some more
				t.Errorf("CHECK asks %d questions", asked)
			}
		})
	}
}

// BenchmarkManyOfAnything is for a look at what ADD, CHECK and DEL are planned with.
func BenchmarkManyOfAnything(b *testing.B) {
	for name, c := range manyPods() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				t := &testing.T{}
				p, a := c(t)
				b.StartTimer()
				p.lives(a)
			}
		})
	}
}

// lives is an ADD, a CHECK whose questions are all answered wrongly, and a DEL, without what a
// kernel takes for them. It returns how many questions there were.
func (p *pod) lives(a attachment) int {
	p.t.Helper()
	in := p.input(a)
	d := p.buildFrom(in)
	changes := plan.Changes(in, d)
	p.records = append(p.records, record.Attachment{Version: record.Version, Key: in.Key, State: d.State})
	p.kernel.allAtOnce(changes)
	in = p.check(a)
	plan.Verify(in)
	plan.Warnings(in)
	var k mute
	symmetry.Check(&k, in.Config, in.Seen, d.State, nil)
	p.kernel.allAtOnce(plan.Removal(p.removal(a)))
	return k.asked
}

// allAtOnce carries out changes as far as rules and routes go, without a look at whether the
// kernel would.
func (m *model) allAtOnce(changes []change.Change) {
	gone := map[fib.Identity]bool{}
	for _, c := range changes {
		switch c := c.(type) {
		case change.AddRule:
			m.rules = append(m.rules, c.Rule)
		case change.AddRoute:
			m.routes = append(m.routes, c.Route)
		case change.AddToMain:
			m.routes = append(m.routes, c.Route)
		case change.DelFromMain:
			gone[c.Route.Identity()] = true
		}
	}
	m.routes = slices.DeleteFunc(m.routes, func(r fib.Route) bool { return gone[r.Identity()] })
	slices.SortStableFunc(m.rules, byFamilyAndPriority)
}

// mute is a kernel that refuses everything.
type mute struct{ asked int }

func (k *mute) Ask(questions ...fib.Query) []fib.Answer {
	k.asked += len(questions)
	return slices.Repeat([]fib.Answer{{Err: unix.ENETUNREACH}}, len(questions))
}

// manyPods are pods with many of something, and an attachment that is to come.
func manyPods() map[string]func(*testing.T) (*pod, attachment) {
	const many = 10_000
	plain := func(t *testing.T) (*pod, attachment) {
		p := newPod(t, `
			eth0
			10.244.0.5/16
			net1
			10.20.0.5/16
			-4 route default via 10.20.0.1 dev net1
			-4 route default via 10.244.0.1 dev eth0`)
		return p, attachment{ifname: "net1", conf: `"mainDefault": "take"`, prev: `{"ips": [{"address": "10.20.0.5/16", "gateway": "10.20.0.1"}]}`}
	}
	address := func(a, b, i int) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(a), byte(b), byte(1 + i/250), byte(1 + i%250)})
	}
	route := func(p *pod, dst netip.Prefix, nic string, gateway netip.Addr, mtu int) {
		r := fib.Route{Family: fib.V4, Dst: dst, Table: state.MainTable, Type: unix.RTN_UNICAST, Protocol: unix.RTPROT_BOOT, MTU: uint32(mtu)}
		r.Hops = []fib.Hop{{Index: p.kernel.link(nic).Index, Dev: nic, Gateway: gateway}}
		if !gateway.IsValid() {
			r.Scope = unix.RT_SCOPE_LINK
		}
		p.kernel.routes = append(p.kernel.routes, r)
	}
	return map[string]func(*testing.T) (*pod, attachment){
		"defaults of one metric by another NIC": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many {
				route(p, fib.V4.Any(), "eth0", address(10, 244, i), 0)
			}
			return p, a
		},
		"defaults by one gateway": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many {
				route(p, fib.V4.Any(), "eth0", address(10, 244, 0), 100+i)
			}
			return p, a
		},
		"defaults of its own": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many {
				route(p, fib.V4.Any(), "net1", address(10, 20, i), 0)
			}
			a.conf = ""
			return p, a
		},
		"routes by the NIC": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many {
				route(p, fib.Host(address(172, 16, i)), "net1", address(10, 20, 0), 0)
			}
			return p, a
		},
		"routes by the NIC, each with a gateway off the link": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many {
				route(p, fib.Host(address(172, 17, i)), "net1", netip.Addr{}, 0)
				route(p, fib.Host(address(172, 16, i)), "net1", address(172, 17, i), 0)
			}
			return p, a
		},
		"refusals of main, and what it reaches inside": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many {
				route(p, netip.PrefixFrom(address(172, 16, i), 31).Masked(), "net1", netip.Addr{}, 0)
				refusal := &p.kernel.routes[len(p.kernel.routes)-1]
				refusal.Type, refusal.Hops = unix.RTN_UNREACHABLE, nil
				route(p, fib.Host(address(172, 16, i)), "eth0", address(10, 244, 0), 0)
			}
			return p, a
		},
		"routes by another NIC": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many {
				route(p, fib.Host(address(172, 16, i)), "eth0", address(10, 244, 0), 0)
			}
			return p, a
		},
		"addresses of a NIC that is displaced": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many {
				p.kernel.addresses = append(p.kernel.addresses, fib.Address{Index: p.kernel.link("eth0").Index, Prefix: fib.Host(address(172, 16, i))})
			}
			return p, a
		},
		"addresses of the NIC that are in no result": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many {
				p.kernel.addresses = append(p.kernel.addresses, fib.Address{Index: p.kernel.link("net1").Index, Prefix: fib.Host(address(172, 16, i))})
			}
			return p, a
		},
		"NICs, each with an address and a default": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			for i := range many / 10 {
				l := *p.kernel.link("eth0")
				l.Index, l.Name = 100+i, fmt.Sprintf("eth%d", 1+i)
				p.kernel.links = append(p.kernel.links, l)
				p.kernel.addresses = append(p.kernel.addresses, fib.Address{Index: l.Index, Prefix: netip.PrefixFrom(address(172, 16, i), 16)})
				route(p, fib.V4.Any(), l.Name, address(172, 17, i), 0)
			}
			a.conf = ""
			return p, a
		},
		"subnets": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			a.prev = p.manySubnets(1000, false)
			return p, a
		},
		"gateways": func(t *testing.T) (*pod, attachment) {
			p, a := plain(t)
			a.prev = p.manySubnets(150, true)
			return p, a
		},
	}
}

// manySubnets gives net1 addresses in as many subnets, and is the result that says so.
func (p *pod) manySubnets(many int, gateways bool) string {
	out := `{"ips": [{"address": "10.20.0.5/16", "gateway": "10.20.0.1"}`
	for i := range many {
		ip := netip.AddrFrom4([4]byte{10, byte(100 + i/250), byte(i % 250), 5})
		p.kernel.addresses = append(p.kernel.addresses, fib.Address{Index: p.kernel.link("net1").Index, Prefix: netip.PrefixFrom(ip, 24)})
		out += fmt.Sprintf(`, {"address": "10.%d.%d.5/24"`, 100+i/250, i%250)
		if gateways {
			out += fmt.Sprintf(`, "gateway": "10.%d.%d.1"`, 100+i/250, i%250)
		}
		out += "}"
	}
	return out + "]}"
}
