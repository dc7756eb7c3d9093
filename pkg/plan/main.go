package plan

import (
	"fmt"
	"slices"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/maindefault"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/tables"
)

// This file is what an attachment has to do with main: package maindefault decides, here is
// what follows. defaults.go is what it decides from.

// nicsOf are the pod's interfaces with what their attachments want of main. Those of leaving
// go with their attachment.
func nicsOf(seen *fib.Snapshot, states []state.State, leaving []state.State) []maindefault.NIC {
	var out []maindefault.NIC
	for _, l := range seen.Links {
		if l.Loopback {
			continue
		}
		n := wishing(states, l.Index, l.Name)
		n.Leaving = slices.ContainsFunc(leaving, func(s state.State) bool { return isOfMain(s, l.Index) })
		out = append(out, n)
	}
	return out
}

// wishing is an interface with what its attachment wants of main.
func wishing(states []state.State, index int, name string) maindefault.NIC {
	n := maindefault.NIC{Index: index, Name: name}
	for _, s := range states {
		if !isOfMain(s, index) {
			continue
		}
		n.Wish, n.Turn = config.MainDefault(s.Main.Wish), s.Main.Turn
		if n.Wish == config.Take && s.Main.NICs[0].Index != index {
			n.Wish, n.Turn = config.Yield, 0 // it is for the attachment's own NIC that main is taken
		}
	}
	return n
}

func isOfMain(s state.State, index int) bool {
	return s.Main != nil && slices.ContainsFunc(s.Main.NICs, func(n state.Device) bool { return n.Index == index })
}

// mainOf is the attachment's part in main.
func (s situation) mainOf(nics []tables.NIC) (*state.Main, error) {
	m := &state.Main{Wish: string(s.Config.MainDefault), Replaced: s.replaced}
	for _, n := range nics {
		m.NICs = append(m.NICs, state.Device{Index: n.Link.Index, Name: n.Link.Name})
	}
	if len(nics[0].Sources) == 0 { // the reverse-path filter alone
		m.Wish = string(config.KeepMain)
	}
	for _, r := range s.defaults {
		if maindefault.Fixed(r) == "" && isOfMain(state.State{Main: m}, r.Hops[0].Index) {
			m.Defaults = append(m.Defaults, r)
		}
	}
	if m.Wish != string(config.Take) {
		return m, nil
	}
	m.Turn = s.turn()
	own, taken := nics[0].Link.Index, false
	for _, f := range fib.Families() {
		has := slices.ContainsFunc(s.defaults, func(r fib.Route) bool { return r.Family == f && len(r.Through(own, true).Hops) == 0 })
		if r, ok := s.tables().Default(nics[0], f); ok && !has {
			m.Made = append(m.Made, fib.Hops([]fib.Route{r})...)
		}
		taken = taken || has
	}
	if len(m.Made) == 0 && !taken {
		return m, config.Faults{{Path: "mainDefault", Problem: fmt.Sprintf("\"take\" needs a gateway, and none of %s is known: name one in gateways", nics[0].Link.Name)}}
	}
	return m, nil
}

// turn is the attachment's place among those that take: behind all others, or where its first
// ADD put it.
func (s situation) turn() int {
	for _, mine := range s.states {
		if mine.Main != nil && mine.Main.Turn > 0 {
			return mine.Main.Turn
		}
	}
	last := 0
	for _, o := range s.otherStates() {
		if o.Main != nil {
			last = max(last, o.Main.Turn)
		}
	}
	return last + 1
}

// decide says who has main with this attachment in the state, with further defaults than there
// are.
func (s situation) decide(m *state.Main, further []fib.Route) maindefault.Outcome {
	all := append(s.otherStates(), state.State{Main: m})
	return maindefault.Decide(slices.Concat(s.defaults, s.made(), m.Made, further), nicsOf(s.Seen, all, nil))
}

// displaced are the NICs that lost main in a family in which they have no source table. They
// get one, so that replies from their addresses do not change their path: NICs of other
// attachments, or of none, and one of its own of whose family the result has no address.
func (s situation) displaced(out maindefault.Outcome, nics []tables.NIC) []tables.NIC {
	families := map[int][]fib.Family{}
	var losers []int
	lost := func(index int, f fib.Family) {
		if s.isRoutedIn(index, f, nics) {
			return
		}
		if families[index] == nil {
			losers = append(losers, index)
		}
		families[index] = append(families[index], f)
	}
	for _, f := range fib.Families() {
		for _, n := range out.Lost[f] {
			lost(n.Index, f)
		}
		for _, index := range s.displacedAndDown(f) {
			lost(index, f)
		}
	}
	var found []tables.NIC
	for _, index := range losers {
		l, _ := s.Seen.LinkAt(index)
		found = append(found, s.tables().Displaced(l, families[index]))
	}
	return found
}

// displacedAndDown are the NICs that an earlier ADD of a taker displaced and that are down. They
// have no default now, and what comes from their addresses stays refused.
func (s situation) displacedAndDown(f fib.Family) []int {
	if s.Config.MainDefault != config.Take {
		return nil
	}
	var out []int
	for _, st := range s.states {
		for _, n := range st.NICs {
			l, ok := s.Seen.LinkAt(n.Index)
			if ok && !l.Up && hasTable(st, n.Index, state.Displaced, f) && !slices.Contains(out, n.Index) {
				out = append(out, n.Index)
			}
		}
	}
	return out
}

// isRoutedIn reports whether a NIC that lost main has a source table of a family without one from
// this attachment: it is one of its own, or another has one for it. Each that takes main gives
// it one, for they may leave in any order; others do where none has, and keep it.
func (s situation) isRoutedIn(index int, f fib.Family, nics []tables.NIC) bool {
	own := slices.ContainsFunc(nics, func(n tables.NIC) bool {
		return n.Link.Index == index && slices.ContainsFunc(n.Sources, func(x state.Source) bool { return x.Family() == f })
	})
	had := slices.ContainsFunc(s.states, func(st state.State) bool { return hasTable(st, index, state.Displaced, f) })
	byOthers := slices.ContainsFunc(s.otherStates(), func(st state.State) bool {
		return hasTable(st, index, state.Attached, f) || s.Config.MainDefault != config.Take && hasTable(st, index, state.Displaced, f)
	})
	return own || !had && byOthers
}

func hasTable(s state.State, index int, role state.Role, f fib.Family) bool {
	return slices.ContainsFunc(s.NICs, func(n state.NIC) bool {
		return n.Index == index && n.Role == role && n.IsRouted(f)
	})
}

// mainChanges leads main's defaults to what is decided: what comes is there before anything
// goes.
func (s situation) mainChanges(d *Desired) []change.Change {
	seen := s.Seen.Defaults(state.MainTable)
	there, stays := routeSetOf(seen), routeSetOf(d.main.Main)
	known, made := identities(s.defaults), madeBy(append(s.otherStates(), s.states...))
	var put, take []change.Change
	for _, r := range d.main.Main {
		if !there.has(r) && canReturn(s.Seen, r) {
			put = append(put, change.AddToMain{Route: r})
		}
	}
	for _, r := range seen {
		leaves := known[r.Identity()] || r.Protocol == state.Protocol && made[r.Identity()]
		if leaves && !stays.has(r) {
			take = append(take, change.DelFromMain{Route: r})
		}
	}
	return append(put, take...)
}

// mainRemoval takes the attachment out of what decides. Its interfaces are about to go: so
// another that yielded becomes the owner, and what they had themselves stands there as it
// would without us. What is missing because of somebody else stays so. What cannot return owns
// nothing; it is tried all the same, for the kernel to say why not.
func (s situation) mainRemoval() []change.Change {
	seen := s.Seen.Defaults(state.MainTable)
	there, gone := routeSetOf(seen), takenOut(s.Input, s.states)
	var out []change.Change
	put := func(r fib.Route) {
		if !there.has(r) {
			there.add(r)
			out = append(out, change.AddToMain{Route: r})
		}
	}
	for _, r := range s.without(nil).Main {
		if gone.has(r) {
			put(r)
		}
	}
	asleep := s.asleepDefaults()
	would := identities(s.without(asleep).Main)
	for _, r := range asleep {
		if would[r.Identity()] {
			put(r)
		}
	}
	for _, r := range s.rememberedAlone() {
		put(named(s.Seen, r))
	}
	mine, theirs := madeBy(s.states), madeBy(s.otherStates())
	for _, r := range seen {
		if r.Protocol == state.Protocol && mine[r.Identity()] && !theirs[r.Identity()] {
			out = append(out, change.DelFromMain{Route: r})
		}
	}
	return out
}

// rememberedAlone are the defaults that are out of main and that no other record knows: they
// return with this attachment, whoever has main then, for nobody could put them back later.
func (s situation) rememberedAlone() []fib.Route {
	var out []fib.Route
	byOthers := routeSet{}
	for _, o := range s.otherStates() {
		for _, r := range displacedIn(o) {
			byOthers.add(r)
		}
		if o.Main != nil {
			for _, r := range o.Main.Replaced { // which nobody is to put back
				byOthers.add(r)
			}
		}
	}
	for _, st := range s.states {
		for _, r := range displacedIn(st) {
			if r.Protocol != state.Protocol && !byOthers.has(r) && canReturn(s.Seen, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// without says who has main when the attachment has left, with further defaults than there are.
func (s situation) without(further []fib.Route) maindefault.Outcome {
	return maindefault.Decide(slices.Concat(s.defaults, s.made(), further), nicsOf(s.Seen, s.otherStates(), s.states))
}

// notesOnMain tells of defaults that stay in main although another NIC has it, and of those
// that do not come back yet.
func (s situation) notesOnMain(m *state.Main, out maindefault.Outcome) []string {
	var notes []string
	for _, r := range out.Stuck {
		notes = append(notes, fmt.Sprintf("the default route %q stays in main as it is: %s", r, maindefault.Fixed(r)))
	}
	for _, r := range s.Seen.Routes {
		lost := func(n maindefault.NIC) bool { return r.Uses(n.Index) }
		if r.Table == state.MainTable && r.TOS != 0 && r.Dst.Bits() == 0 && slices.ContainsFunc(out.Lost[r.Family], lost) {
			notes = append(notes, fmt.Sprintf("the default route %q stays in main as it is: it is for one type of service only", r))
		}
	}
	asleep := s.asleepDefaults()
	sleeps := identities(asleep)
	for _, r := range s.decide(m, asleep).Main {
		if sleeps[r.Identity()] {
			l, _ := s.Seen.LinkAt(r.Hops[0].Index)
			why := l.Name + " is down"
			if l.Up {
				why = "IPv6 is off on " + l.Name
			}
			notes = append(notes, fmt.Sprintf("%s: its default route %q comes back to main when ADD is repeated after that", why, r))
		}
	}
	return notes
}

// rememberOutcome notes which defaults are out of main, so that whoever leaves last can put
// those of others back, and which families have one.
func (s situation) rememberOutcome(m *state.Main, out maindefault.Outcome) {
	stays := identities(out.Main)
	for _, r := range slices.Concat(s.defaults, s.made(), m.Made, s.asleepDefaults()) {
		if !stays[r.Identity()] {
			m.Displaced = append(m.Displaced, r)
		}
	}
	for _, f := range fib.Families() {
		if len(fib.OfFamily(out.Main, f)) > 0 {
			m.Families = append(m.Families, f)
		}
	}
}
