// Package plan computes, from a configuration, the result of the plugins before and what was
// seen of the pod, the routing that the pod shall have, and the changes that lead there and
// back. It makes no system calls.
package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
	"github.com/symroute/symroute/pkg/maindefault"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/rules"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/tables"
)

// Input is everything that a plan depends on.
type Input struct {
	Config *config.Config // nil for a removal
	Key    record.Key
	// InPod says of each interface of the result whether its sandbox is, or may
	// be, this pod; one that is and has no device there does not count.
	InPod []bool
	Seen  *fib.Snapshot
	// Mine is what is remembered of this attachment, nil for nothing; Others
	// what is remembered of the others of the same namespace.
	Mine   *record.Attachment
	Others []record.Attachment
	// Routes reads the routes of a table that Seen does not hold.
	Routes func(table uint32) ([]fib.Route, error)
	// Node is the address from which the node reaches one of the pod's; nil: it is not asked.
	Node func(netip.Addr) netip.Addr
}

// Desired is what an attachment shall have, and what else follows from it.
type Desired struct {
	// State is the attachment's own part; its NICs are empty where there is nothing to do.
	State state.State
	// Notes are for the operator: what was left alone, and why.
	Notes []string

	server *lvs.Server
	main   maindefault.Outcome
	// left are routes of ours that stand in its tables and that no record knows.
	left []fib.Route
}

// situation is an Input with what follows from it and is asked for again and again. It is
// read, never changed.
type situation struct {
	Input
	// states are those that the attachment may be in, the latest first.
	states []state.State
	// defaults are all that are known, in main or out of it, but for those that we made;
	// main is the table as it would be without us.
	defaults, main []fib.Route
	// replaced are those that somebody has put others in the place of.
	replaced []fib.Route
	// ownTables are those of the states.
	ownTables map[uint32]bool
}

func situationOf(in Input) situation {
	s := situation{Input: in}
	if in.Mine != nil {
		s.states = in.Mine.States()
	}
	s.ownTables = state.Tables(s.states)
	s.defaults = knownDefaults(in, s.states, true)
	s.defaults, s.replaced = withoutReplaced(in, s.states, s.defaults)
	s.main = make([]fib.Route, 0, len(in.Seen.Routes)+len(s.defaults))
	for _, r := range in.Seen.Routes {
		if r.Table == state.MainTable && r.Protocol != state.Protocol && !r.IsDefault() {
			s.main = append(s.main, r)
		}
	}
	s.main = append(s.main, s.defaults...)
	return s
}

// otherStates are those of the other attachments.
func (in Input) otherStates() []state.State {
	var out []state.State
	for _, o := range in.Others {
		out = append(out, o.State)
	}
	return out
}

// everyOtherState are all states that the other attachments may be in.
func (in Input) everyOtherState() []state.State {
	var out []state.State
	for _, o := range in.Others {
		out = append(out, o.States()...)
	}
	return out
}

// tables is the pod for the source tables.
func (s situation) tables() tables.Pod {
	return tables.Pod{
		Config: s.Config, IfName: s.Key.IfName, InPod: s.InPod, Seen: s.Seen, Main: s.main, Defaults: s.defaults,
		Mine: s.states, Others: s.otherStates(), Routes: s.Routes,
	}
}

// pod is the pod for a real server.
func (s situation) pod() lvs.Pod {
	return lvs.Pod{Config: s.Config, Seen: s.Seen, Mine: s.states, Others: s.everyOtherState()}
}

// Build computes what the attachment shall have. Where its own interface has no network
// device (a virtual function bound to a userspace driver) there is nothing to do.
//
// A wrong configuration is a config.Faults, with all that is wrong; a pod in no state to be set up
// wraps state.ErrUnfit.
func Build(in Input) (*Desired, error) {
	now := situationOf(in)
	pod := now.pod()
	now.Seen = pod.WithTunnels()
	links, err := attachmentLinks(now.Input)
	if err != nil || len(links) == 0 {
		return &Desired{}, err
	}
	var found config.Findings
	server, err := pod.Plan(now.Seen, links[0])
	found.Add(err)
	d := now.build(links, server, &found)
	if err := found.Err(); err != nil {
		return nil, err
	}
	d.State.Server = server.Remember(pod)
	return d, nil
}

// build plans what the attachment's interfaces get, as far as that goes: it stops at no finding.
func (s situation) build(links []fib.Link, server *lvs.Server, found *config.Findings) *Desired {
	d := &Desired{server: server}
	pod := s.tables()
	nics, err := pod.Attached(links, server)
	found.Add(err)
	replies, err := pod.Replies(links, server)
	found.Add(err)
	found.Add(s.checkState(slices.Concat(nics, replies)))
	wishes, faults := s.settingWishes(nics, server)
	found.Add(faults.OrNone())
	d.State.Main, err = s.mainOf(nics)
	found.Add(err)
	d.main = s.decide(d.State.Main, nil)
	s.rememberOutcome(d.State.Main, d.main)
	nics = slices.Concat(nics, s.displaced(d.main, nics), replies)
	d.left, err = pod.Fill(nics)
	found.Add(err)
	for _, n := range nics {
		d.State.NICs = append(d.State.NICs, state.NIC{
			Index: n.Link.Index, Name: n.Link.Name, Role: n.Role, Guarded: s.wasGuarded(n.Link.Index), Tables: n.Tables,
		})
	}
	d.State.Rules = rules.Of(s.Config, d.State.NICs)
	found.Add(s.localFirst(d.State.Rules))
	d.State.Settings = s.remembered(wishes)
	d.Notes = slices.Concat(server.Notes(), s.notesOnMain(d.State.Main, d.main), notesOnSettings(s.Seen, d.State),
		gatewayNotes(nics), linkNotes(s.Seen, nics), s.notesOnNode(d.State))
	return d
}

// interfaceNames lists the attachment's interfaces, its own first.
func interfaceNames(in Input) []string {
	names := []string{in.Key.IfName}
	for i, itf := range in.Config.Prev.Interfaces {
		if in.InPod[i] && !slices.Contains(names, itf.Name) {
			names = append(names, itf.Name)
		}
	}
	return names
}

// attachmentLinks finds the attachment's interfaces in the pod.
func attachmentLinks(in Input) ([]fib.Link, error) {
	var links []fib.Link
	for i, name := range interfaceNames(in) {
		l, ok := in.Seen.Link(name)
		switch {
		case !ok && i == 0:
			return nil, nil
		case !ok:
			continue
		case l.Loopback:
			if i == 0 {
				return nil, fmt.Errorf("%w: %s is the loopback device, which needs no routing of its own", state.ErrUnfit, name)
			}
			continue
		}
		links = append(links, l)
	}
	return links, nil
}

// checkState refuses what cannot work before anything is written.
func (s situation) checkState(nics []tables.NIC) error {
	claims := s.claims()
	for _, n := range nics {
		if len(n.Sources) == 0 {
			continue // the reverse-path filter alone
		}
		if !n.Link.Up {
			return fmt.Errorf("%w: %s is administratively down, and the kernel takes no routes for it: set it up first (ip link set %s up)",
				state.ErrUnfit, n.Link.Name, n.Link.Name)
		}
		if master, ok := s.Seen.LinkAt(n.Link.Master); ok && master.Kind == fib.KindVRF {
			return fmt.Errorf("%w: %s is enslaved to the VRF %s, whose table %d decides for it: symroute can only set its rpFilter (a NIC without addresses)",
				state.ErrUnfit, n.Link.Name, master.Name, master.VRFTable)
		}
		for _, source := range n.Sources {
			if err := claims.against(n, source); err != nil {
				return err
			}
		}
		if absent := absentAddresses(s.Seen, n.Sources); len(absent) > 0 {
			return fmt.Errorf("%w: no device has %s, which prevResult gives to %s: packets for it would not be delivered",
				state.ErrUnfit, listed(absent), n.Link.Name)
		}
	}
	return nil
}

// absentAddresses are the addresses among the sources that no device of the pod has: on none the
// kernel delivers packets for them. A source of the configuration need not be there.
func absentAddresses(seen *fib.Snapshot, sources []state.Source) []string {
	there := map[netip.Addr]bool{}
	for _, a := range seen.Addresses {
		there[a.Prefix.Addr()] = true
	}
	var out []string
	for _, x := range sources {
		if x.Subnet.IsValid() && !there[x.Prefix.Addr()] {
			out = append(out, x.Prefix.Addr().String())
		}
	}
	return out
}

// wasGuarded reports whether the addresses of a NIC were kept from the fallbacks before ADD.
func (s situation) wasGuarded(index int) bool {
	for _, st := range s.states {
		for _, n := range st.NICs {
			if n.Index == index {
				return n.Guarded
			}
		}
	}
	own := map[netip.Prefix]bool{}
	for _, a := range s.Seen.Addresses {
		if a.Index == index {
			own[fib.Host(a.Prefix.Addr())] = true
		}
	}
	return slices.ContainsFunc(s.Seen.Rules, func(r fib.Rule) bool { return state.IsGuard(r) && own[r.From] })
}

// localFirst makes sure that packets to the pod's own addresses are seen as such before our
// rules are asked.
func (s situation) localFirst(ours []fib.Rule) error {
	for _, f := range fib.Families() {
		i := slices.IndexFunc(ours, func(r fib.Rule) bool { return r.Family == f && r.Action == fib.Goto })
		if i < 0 {
			continue
		}
		if !rules.LocalFirst(s.Seen, f, ours[i].Priority) {
			return fmt.Errorf("%w: no %s rule \"from all lookup local\" stands before priority %d: ours would send the pod's own traffic out",
				state.ErrUnfit, f, ours[i].Priority)
		}
	}
	return nil
}

// remembered is the wishes for settings with what has to be put back.
func (s situation) remembered(wishes map[string]settings.Wish) settings.Memories {
	out := settings.Memories{}
	for _, key := range settings.Keys() {
		if m := settings.Remember(s.Seen, key, wishes[key], memories(s.states), record.Settings(s.Others)); !m.Empty() {
			out[key] = m
		}
	}
	return out
}

func memories(states []state.State) []settings.Memories {
	var out []settings.Memories
	for _, s := range states {
		out = append(out, s.Settings)
	}
	return out
}

// Tables lists the source tables for the observer to read: those that the attachment has, and
// those of the NIC that replies leave by.
func Tables(in Input) []uint32 {
	var out []uint32
	if in.Mine != nil {
		out = slices.Collect(maps.Keys(state.Tables(in.Mine.States())))
	}
	if in.Config != nil && in.Config.LVS != nil && in.Config.LVS.ReplyBy != "" {
		if l, ok := in.Seen.Link(in.Config.LVS.ReplyBy); ok {
			out = append(out, tables.ReplyTables(in.otherStates(), l.Index)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(slices.DeleteFunc(out, state.Reserved))
}
