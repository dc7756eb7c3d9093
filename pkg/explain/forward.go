package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
)

// forwarded explains a flow between two others, which the pod would pass on.
func (p *Pod) forwarded(f Flow) *Explanation {
	e := &Explanation{From: f.From, To: f.To, NotJudged: p.Chains}
	there, _ := p.Seen.Link(f.NIC)
	if there.Index == 0 {
		there = p.towards(f.From)
	}
	back := p.towards(f.To)
	e.NIC, e.Leaves = there.Name, back.Name
	packet := fib.Packet{Query: fib.Query{To: f.To, From: f.From, IIF: there.Index}, Mark: f.Mark, Protocol: f.Protocol, Port: f.Port}
	request := p.passOn(packet, there)
	reply := p.passOn(fib.Packet{
		Query: fib.Query{To: f.From, From: f.To, IIF: back.Index}, Mark: f.Mark, Protocol: f.Protocol, SourcePort: f.Port,
	}, back)
	e.Directions = []Direction{{"request", f.From, f.To, request.steps}, {"reply", f.To, f.From, reply.steps}}
	e.Problems = slices.Concat(request.problems, reply.problems)
	if !p.forwards(f.To) {
		e.Problems = e.Problems[:1] // which both directions have
	}
	e.conclude(fmt.Sprintf("The pod passes on what %s and %s send each other.", f.From, f.To))
	return e
}

// towards is the NIC by which the pod reaches an address.
func (p *Pod) towards(to netip.Addr) fib.Link {
	answer := p.ask(fib.Packet{Query: fib.Query{To: to}})
	if answer.Err != nil || len(answer.Route.Hops) == 0 {
		return fib.Link{}
	}
	l, _ := p.Seen.LinkAt(answer.Route.Hops[0].Index)
	return l
}

// passOn follows a packet through the pod.
func (p *Pod) passOn(packet fib.Packet, nic fib.Link) account {
	var a account
	f := fib.FamilyOf(packet.To)
	switching := sysctlName(forwardingOf(f))
	command := packet.Command(p.Seen)
	if !p.forwards(packet.To) {
		a.bad("sysctl", switching+" is 0", "sysctl "+switching, Problem{
			fmt.Sprintf("The pod does not forward: %s is no address of it, and %s is 0.", packet.To, switching),
			fmt.Sprintf("Use one of the pod's own addresses: %s. If the pod has to forward: sysctl -w %s=1.", p.ownAddresses(f), switching),
		})
		return a
	}
	answer := p.ask(packet)
	w := p.trace(packet, answer)
	switch {
	case errors.Is(answer.Err, unix.EXDEV), errors.Is(answer.Err, unix.EINVAL) && packet.To.Is4():
		a.bad("rp_filter", fmt.Sprintf("the kernel does not accept %s as a source on %s (rp_filter: %s)", packet.From, nic.Name, p.filterMode(nic)), command, Problem{
			fmt.Sprintf("The reverse-path filter of %s drops what comes from %s: the way back is by %s.", nic.Name, packet.From, p.towards(packet.From).Name),
			fmt.Sprintf("Route %s by %s, or loosen the filter (sysctl -w %s=2).", packet.From, nic.Name, p.filterSetting(nic)),
		})
	case answer.Err != nil:
		a.steps = w.steps(Bad, packet, answer, command)
		a.problems = []Problem{{
			fmt.Sprintf("The pod does not pass on what %s sends to %s: %s.", packet.From, packet.To, errnoText(answer.Err)),
			"Add a route to " + packet.To.String() + ", or look at the rule above.",
		}}
	default:
		a.steps = w.steps(Fine, packet, answer, command)
	}
	return a
}
