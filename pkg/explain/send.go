package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/state"
)

// send follows a packet of the pod to the remote.
func (p *Pod) send(c conn) account {
	var a account
	packet := c.out()
	if master, ok := p.Seen.LinkAt(c.nic.Master); ok && master.Kind == fib.KindVRF {
		packet.OIF = master.Index // as a socket of the VRF sends
	}
	answer := p.ask(packet)
	w := p.trace(packet, answer)
	command := packet.Command(p.Seen)
	if answer.Err != nil {
		a.steps = w.steps(Bad, packet, answer, command)
		a.problems = []Problem{p.refused(c, w, answer)}
		return a
	}
	judgement := Fine
	wrong := p.wrongNIC(c, w, answer)
	if wrong != nil {
		judgement = Bad
		a.problems = []Problem{*wrong}
	}
	a.steps = w.steps(judgement, packet, answer, command)
	if wrong == nil {
		a.append(p.linkOf(c.nic, "leave"))
		a.append(p.neighbourOf(c, answer))
	}
	return a
}

// what is what the pod sends, in a word.
func (c conn) what() string {
	if c.opened() {
		return "The request"
	}
	return "The reply"
}

// refused says why the kernel sends nothing.
func (p *Pod) refused(c conn, w way, answer fib.Answer) Problem {
	switch {
	case w.ours() && w.rule.Action == fib.Unreachable && !p.hasTable(c.local):
		return Problem{
			fmt.Sprintf("%s to %s is refused by symroute's rule %q: the rule that leads %s to its table is missing.", c.what(), c.remote, w.text(), c.local),
			p.makeSymmetric(c),
		}
	case w.ours() && w.rule.Action == fib.Unreachable:
		return Problem{
			fmt.Sprintf("%s to %s is refused by symroute's rule %q: the table of %s has no route there, so that nothing leaves by another NIC.",
				c.what(), c.remote, w.text(), c.local),
			fmt.Sprintf("Give %s a gateway (\"gateways\", or IPAM's), or put lost routes back: symroutectl repair, or ADD again. No counter moves where this rule refuses.", c.nic.Name),
		}
	case w.rule.Family != 0 && !w.route.Dst.IsValid():
		return Problem{
			fmt.Sprintf("%s to %s is refused by the rule %q, which is not symroute's.", c.what(), c.remote, w.text()),
			fmt.Sprintf("Find out who added it; remove it (ip %srule del priority %d), or exempt %s from it.", dash(c.family()), w.rule.Priority, c.local),
		}
	case w.route.Dst.IsValid() && w.route.Protocol == state.Protocol:
		return Problem{
			fmt.Sprintf("%s to %s is refused by the route %q of table %s, which symroute has copied from main.",
				c.what(), c.remote, w.route, fib.TableText(w.route.Table)),
			fmt.Sprintf("Find out who added it to main; remove it there if it is not meant (ip %sroute del %s %s), then symroutectl repair.",
				dash(c.family()), w.route.Type, fib.PrefixText(w.route.Dst)),
		}
	case w.route.Dst.IsValid():
		return Problem{
			fmt.Sprintf("%s to %s is refused by the route %q of table %s.", c.what(), c.remote, w.route, fib.TableText(w.route.Table)),
			fmt.Sprintf("Find out who added it; remove it if it is not meant: ip %sroute del %s %s table %s.",
				dash(c.family()), w.route.Type, fib.PrefixText(w.route.Dst), fib.TableText(w.route.Table)),
		}
	case errors.Is(answer.Err, unix.EINVAL) && !p.has(c.local):
		return Problem{
			fmt.Sprintf("No NIC of the pod has %s: the kernel sends nothing from it.", c.local),
			fmt.Sprintf("Use one of the pod's own addresses: %s.", p.ownAddresses(c.family())),
		}
	}
	return Problem{
		fmt.Sprintf("There is no route to %s from %s: %s.", c.remote, c.local, errnoText(answer.Err)),
		"Add a route, most often a default route by the gateway of " + c.nic.Name + ". " + p.makeSymmetric(c),
	}
}

func dash(f fib.Family) string {
	if f == fib.V6 {
		return "-6 "
	}
	return ""
}

// wrongNIC says why a packet leaves by another NIC than the remote's come by; nil: it does not.
func (p *Pod) wrongNIC(c conn, w way, answer fib.Answer) *Problem {
	route := answer.Route
	if w.route.Dst.IsValid() && len(w.route.Hops) > 1 {
		route = w.route // the answer is that for one packet
	}
	if !slices.ContainsFunc(route.Hops, func(h fib.Hop) bool { return h.Index != c.nic.Index }) && route.Uses(c.nic.Index) {
		return nil
	}
	out := devices(route)
	leaves := fmt.Sprintf("%s to %s leaves by %s, but what comes for %s comes by %s", c.what(), c.remote, out, c.local, c.nic.Name)
	change := p.makeSymmetric(c)
	switch {
	case w.foreign():
		return &Problem{
			fmt.Sprintf("%s: the rule %q decides first, and is not symroute's.", leaves, w.text()),
			fmt.Sprintf("Find out who added it (a VPN, a service mesh, a VRF); exempt %s from it, by a rule before it: ip %srule add from %s priority %d lookup %s.",
				c.local, dash(c.family()), c.local, max(w.rule.Priority, 1)-1, p.tableOf(c.local)),
		}
	case len(w.route.Hops) > 1 && w.route.Uses(c.nic.Index):
		return &Problem{
			fmt.Sprintf("%s to %s leaves by %s, as the hash of the connection has it: the %s default routes of several NICs are merged into one.",
				c.what(), c.remote, out, c.family()),
			change,
		}
	case w.route.Dst.IsValid() && w.route.Dst.Bits() > 0 && !answerHasGateway(answer):
		return &Problem{
			fmt.Sprintf("%s: %s is in a subnet of %s, which is nearer (%s).", leaves, c.remote, out, w.route),
			change,
		}
	case w.route.IsDefault() && p.isStolen(w.route, c):
		return &Problem{
			fmt.Sprintf("%s: of the default routes of metric %d the newest is used, that of %s.", leaves, w.route.Metric, out),
			change,
		}
	}
	return &Problem{fmt.Sprintf("%s.", leaves), change}
}

// tableOf is the table that symroute has given an address, or a word for it.
func (p *Pod) tableOf(a netip.Addr) string {
	if _, table, ok := p.nicOf(a); ok {
		return fib.TableText(table)
	}
	return "TABLE"
}

func answerHasGateway(a fib.Answer) bool { return len(a.Route.Gateways()) > 0 }

// isStolen says whether main has another default route of that metric, by the NIC itself: of two at one place IPv4 uses
// the first, and the latest comes first (fib_table_insert).
func (p *Pod) isStolen(r fib.Route, c conn) bool {
	return slices.ContainsFunc(p.Seen.Defaults(r.Table), func(o fib.Route) bool {
		return o.Family == r.Family && o.Metric == r.Metric && o.Uses(c.nic.Index)
	})
}

// makeSymmetric says how a NIC gets a way of its own.
func (p *Pod) makeSymmetric(c conn) string {
	if master, ok := p.Seen.LinkAt(c.nic.Master); ok && master.Kind == fib.KindVRF {
		return fmt.Sprintf("Give the table of the VRF %s a way there: ip %sroute add default via GATEWAY dev %s table %d. What it has none for goes on to main.",
			master.Name, dash(c.family()), c.nic.Name, master.VRFTable)
	}
	if p.isManaged(c.local) {
		return fmt.Sprintf("Put back what symroute gave %s: symroutectl check says what is missing, symroutectl repair puts it back (or ADD again).", c.local)
	}
	return fmt.Sprintf("Chain symroute to the network of %s. By hand: ip %sroute add default via GATEWAY dev %s table 100, and ip %srule add from %s lookup 100.",
		c.nic.Name, dash(c.family()), c.nic.Name, dash(c.family()), c.local)
}

// neighbourOf looks whether the next hop answers.
func (p *Pod) neighbourOf(c conn, answer fib.Answer) account {
	var a account
	if len(answer.Route.Hops) == 0 {
		return a
	}
	hop := answer.Route.Hops[0]
	next, who := hop.Gateway, "the gateway"
	if !next.IsValid() {
		next, who = c.remote, "the remote host"
	}
	command := fmt.Sprintf("ip neighbour show %s dev %s", next, hop.Dev)
	n, known := p.neighbour(next, hop.Index)
	switch {
	case !known:
		a.add(Note, "neighbour", fmt.Sprintf("%s %s has not been asked for yet", who, next), command)
	case n.State&fib.NeighbourFailed != 0:
		a.bad("neighbour", fmt.Sprintf("%s %s does not answer (FAILED)", who, next), command, Problem{
			fmt.Sprintf("Nobody answers for %s %s on %s: its neighbour entry is FAILED.", who, next, hop.Dev),
			"Look whether that host is up, in this VLAN, and has this address; arping from the pod shows the same.",
		})
	case n.State&fib.NeighbourIncomplete != 0:
		a.bad("neighbour", fmt.Sprintf("%s %s has not answered yet (INCOMPLETE)", who, next), command, Problem{
			fmt.Sprintf("Nobody answers for %s %s on %s so far: its neighbour entry is INCOMPLETE.", who, next, hop.Dev),
			"Look whether that host is up, in this VLAN, and has this address; arping from the pod shows the same.",
		})
	default:
		a.add(Fine, "neighbour", fmt.Sprintf("%s %s is known", who, next), command)
	}
	return a
}

func (p *Pod) neighbour(a netip.Addr, index int) (fib.Neighbour, bool) {
	for _, n := range p.Neighbours {
		if n.Address == a && n.Index == index {
			return n, true
		}
	}
	return fib.Neighbour{}, false
}
