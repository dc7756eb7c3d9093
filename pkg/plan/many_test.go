package plan_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/state"
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
