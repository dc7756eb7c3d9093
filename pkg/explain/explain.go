// Package explain says why a packet between a pod and somebody outside arrives, or does not, and what to
// change. It asks the kernel, for both directions, and simulates nothing: what it works out by itself are
// the words for an answer, such as which rule led to the route.
package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
)

// Flow is a connection: its first packet goes from From to To.
type Flow struct {
	From, To netip.Addr
	// NIC is the pod's interface by which the packets of the other side come; "": the one that has the
	// pod's address.
	NIC string
	// Protocol is IPPROTO_*; 0: any. Port is the server's; 0: any.
	Protocol uint8
	Port     uint16
	// Mark is the firewall mark of its packets.
	Mark uint32
}

// ErrFlow is wrapped by the error for a flow that cannot be asked about.
var ErrFlow = errors.New("this connection cannot be explained")

// Explanation is what there is to say of a flow.
type Explanation struct {
	From netip.Addr `json:"from"`
	To   netip.Addr `json:"to"`
	// Local is that of the two which is the pod's; not valid where it passes packets on.
	Local netip.Addr `json:"local,omitzero"`
	// NIC is the one by which what comes from the other side comes; Leaves those by which what the pod sends leaves, "none"
	// where nothing leaves.
	NIC    string `json:"nic"`
	Leaves string `json:"leaves"`
	// Works is set where nothing was found that keeps the packets from arriving.
	Works bool `json:"works"`
	// Verdict is one sentence.
	Verdict string `json:"verdict"`
	// Problems are what was found, the first cause first.
	Problems []Problem `json:"problems"`
	// Directions are the packets of the one who begins, and those that come back.
	Directions []Direction `json:"directions"`
	// NotJudged are the hooks of netfilter that see the packets: what their rules do with them is not
	// asked.
	NotJudged []Chain `json:"notJudged"`
}

// Problem is something that keeps packets from arriving.
type Problem struct {
	Sentence string `json:"sentence"`
	// Change says what to change.
	Change string `json:"change"`
}

// Direction is the way of the packets of one side.
type Direction struct {
	Name  string     `json:"name"` // "request" or "reply"
	From  netip.Addr `json:"from"`
	To    netip.Addr `json:"to"`
	Steps []Step     `json:"steps"`
}

// Step is one thing that a packet meets.
type Step struct {
	Judgement Judgement `json:"judgement"`
	// Subject is what sort of thing: "address", "link", "rule", "route", "neighbour", "rp_filter" ...
	Subject string `json:"subject"`
	Text    string `json:"text"`
	// Command shows the same by hand; empty: none does.
	Command string `json:"command,omitempty"`
}

// Judgement is whether a step is as it has to be.
type Judgement string

// The judgements.
const (
	Fine Judgement = "ok"
	Note Judgement = "note" // to be seen, and no problem by itself
	Bad  Judgement = "bad"
)

// account is what one direction, or a part of it, comes to.
type account struct {
	steps    []Step
	problems []Problem
}

func (a *account) add(j Judgement, subject, text, command string) {
	a.steps = append(a.steps, Step{j, subject, text, command})
}

// bad adds a step that is a problem.
func (a *account) bad(subject, text, command string, p Problem) {
	a.add(Bad, subject, text, command)
	a.problems = append(a.problems, p)
}

func (a *account) append(b account) {
	a.steps = append(a.steps, b.steps...)
	a.problems = append(a.problems, b.problems...)
}

// Explain explains a flow of the pod. Its error wraps ErrFlow.
func (p *Pod) Explain(f Flow) (*Explanation, error) {
	f.From, f.To = f.From.Unmap(), f.To.Unmap()
	if f.From.Is4() != f.To.Is4() {
		return nil, fmt.Errorf("%w: %s and %s are of two families", ErrFlow, f.From, f.To)
	}
	for _, a := range []netip.Addr{f.From, f.To} {
		if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return nil, fmt.Errorf("%w: %s is no unicast address of a host", ErrFlow, a)
		}
	}
	if _, ok := p.Seen.Link(f.NIC); f.NIC != "" && !ok {
		return nil, fmt.Errorf("%w: the pod has no interface %q; it has %s", ErrFlow, f.NIC, p.Seen.LinkNames())
	}
	fromPod, toPod := p.has(f.From), p.has(f.To)
	switch {
	case fromPod && toPod && f.NIC == "":
		return nil, fmt.Errorf("%w: %s and %s are both the pod's own, what they say to each other stays on lo", ErrFlow, f.From, f.To)
	case toPod:
		return p.connection(f, f.To, f.From), nil
	case fromPod:
		return p.connection(f, f.From, f.To), nil
	case p.isMeant(f.To) && !p.forwards(f.To):
		return p.connection(f, f.To, f.From), nil
	case p.isMeant(f.From) && !p.forwards(f.To):
		return p.connection(f, f.From, f.To), nil
	}
	return p.forwarded(f), nil
}

// has says whether an address is the pod's.
func (p *Pod) has(a netip.Addr) bool {
	_, ok := p.Seen.Address(a)
	return ok
}

// isMeant says whether an address that the pod does not have looks as if it should: it is in the subnet of one of
// its NICs and of no remote that has been named before, or there is a rule for it.
func (p *Pod) isMeant(a netip.Addr) bool {
	for _, x := range p.Seen.Addresses {
		if x.Prefix.Contains(a) && !fib.IsHost(x.Prefix) {
			return true
		}
	}
	for _, r := range p.Seen.Rules {
		if r.From == fib.Host(a) {
			return true
		}
	}
	return false
}

// conn is a flow between the pod's address and a remote one.
type conn struct {
	Flow
	local, remote netip.Addr
	nic           fib.Link // by which the remote's packets come
}

func (c conn) family() fib.Family { return fib.FamilyOf(c.local) }

// opened says whether the pod begins.
func (c conn) opened() bool { return c.From == c.local }

// in is a packet of the remote.
func (c conn) in() fib.Packet {
	p := fib.Packet{Query: fib.Query{To: c.local, From: c.remote, IIF: c.nic.Index}, Mark: c.Mark, Protocol: c.Protocol}
	if c.opened() {
		p.SourcePort = c.Port
	} else {
		p.Port = c.Port
	}
	return p
}

// out is a packet of the pod.
func (c conn) out() fib.Packet {
	p := fib.Packet{Query: fib.Query{To: c.remote, From: c.local}, Mark: c.Mark, Protocol: c.Protocol}
	if c.opened() {
		p.Port = c.Port
	} else {
		p.SourcePort = c.Port
	}
	return p
}

// connection explains a flow that ends at the pod.
func (p *Pod) connection(f Flow, local, remote netip.Addr) *Explanation {
	c := conn{Flow: f, local: local, remote: remote}
	nic, how := p.arrival(c)
	c.nic = nic
	e := &Explanation{From: f.From, To: f.To, Local: local, NIC: nic.Name, Leaves: devices(p.ask(c.out()).Route), NotJudged: p.Chains}
	arriving := p.receive(c)
	if how != "" {
		arriving.steps = append([]Step{{Note, "nic", how, ""}}, arriving.steps...)
	}
	var leaving account
	if len(arriving.problems) == 0 || !p.isGround(c) && !p.has(remote) {
		leaving = p.send(c)
	}
	name := func(begins bool) string {
		if begins {
			return "request"
		}
		return "reply"
	}
	in := Direction{name(!c.opened()), remote, local, arriving.steps}
	out := Direction{name(c.opened()), local, remote, leaving.steps}
	e.Directions, e.Problems = []Direction{in, out}, slices.Concat(arriving.problems, leaving.problems)
	if c.opened() {
		e.Directions = []Direction{out, in}
		e.Problems = slices.Concat(leaving.problems, arriving.problems)
	}
	e.conclude(fmt.Sprintf("%s and %s reach each other by %s: the kernel accepts what comes, and what leaves goes the same way.",
		local, remote, nic.Name))
	return e
}

// conclude makes the verdict of what was found.
func (e *Explanation) conclude(fine string) {
	if e.Works = len(e.Problems) == 0; e.Works {
		e.Problems = []Problem{} // in JSON an empty list
	}
	switch {
	case !e.Works:
		e.Verdict = e.Problems[0].Sentence
	case slices.ContainsFunc(e.NotJudged, Chain.interferes):
		e.Verdict = fine + " Netfilter has rules that may drop them, which are not judged: --live shows it."
	default:
		e.Verdict = fine
	}
}

// isGround says whether the problem with what arrives takes the ground from all that leaves: the NIC is down, or
// nobody has the address.
func (p *Pod) isGround(c conn) bool {
	return !p.has(c.local) || !c.nic.Up || c.nic.Idle != ""
}

// arrival is the NIC by which a remote's packets come, and how that is known if it is not plain.
func (p *Pod) arrival(c conn) (nic fib.Link, how string) {
	if l, ok := p.Seen.Link(c.NIC); ok {
		return l, ""
	}
	if a, ok := p.Seen.Address(c.local); ok {
		if l, ok := p.Seen.LinkAt(a.Index); ok && !lvs.Silent(l) {
			return l, ""
		}
	} else if l, _, ok := p.nicOf(c.local); ok {
		return l, ""
	} else if l, ok := p.bySubnet(c.local); ok {
		return l, ""
	}
	// A VIP: it comes by whichever NIC the director or router chooses.
	if answer := p.ask(c.out()); answer.Err == nil && len(answer.Route.Hops) > 0 {
		if l, ok := p.Seen.LinkAt(answer.Route.Hops[0].Index); ok {
			return l, fmt.Sprintf("packets for %s are taken to come by %s, by which answers leave; --nic says otherwise", c.local, l.Name)
		}
	}
	for _, l := range p.Seen.Links {
		if !lvs.Silent(l) {
			return l, fmt.Sprintf("packets for %s are taken to come by %s; --nic says otherwise", c.local, l.Name)
		}
	}
	return fib.Link{}, ""
}

// bySubnet is the NIC in whose subnet an address lies.
func (p *Pod) bySubnet(a netip.Addr) (fib.Link, bool) {
	for _, x := range p.Seen.Addresses {
		if x.Prefix.Contains(a) && !fib.IsHost(x.Prefix) {
			return p.Seen.LinkAt(x.Index)
		}
	}
	return fib.Link{}, false
}
