package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
	"github.com/symroute/symroute/pkg/maindefault"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
)

// Verify compares what was seen with what the attachment has according to its record: that
// its rules and routes are there, once, and not shadowed, that the settings are as configured,
// and that main has the defaults it had. Whether packets go the right way is not for it to
// say: the kernel is asked that (package symmetry).
func Verify(in Input) state.Deviations {
	s := in.Mine.State
	return slices.Concat(
		verifyLinks(in.Seen, s),
		verifyAddresses(in.Seen, s),
		verifyRules(in.Seen, s),
		verifyClaims(in),
		verifyTogether(in, s),
		verifyRoutes(in.Seen, withoutGone(in.Seen, s)),
		verifyMain(in.Seen, s),
		lvs.Verify(in.Seen, s.Server),
		verifySettings(in.Seen, s),
	)
}

// verifyLinks looks for the NICs, and for the local table that has to decide first.
func verifyLinks(seen *fib.Snapshot, s state.State) state.Deviations {
	var out state.Deviations
	for _, n := range s.NICs {
		l, ok := seen.LinkAt(n.Index)
		switch {
		case n.Role != state.Attached:
		case !ok:
			out = append(out, state.Deviation{Kind: state.Missing, What: "the interface " + n.Name, Want: "present, as it was on ADD", Got: "none"})
		case l.Name != n.Name:
			out = append(out, state.Deviation{Kind: state.Foreign, What: "the interface " + n.Name, Want: "the name it had on ADD", Got: l.Name})
		case !l.Up && len(n.Tables) > 0:
			out = append(out, state.Deviation{Kind: state.Missing, What: "the interface " + n.Name, Want: "up", Got: "administratively down, and without the routes of its table"})
		}
		if l.Idle != "" && len(n.Tables) > 0 { // and the kernel is not asked about it
			out = append(out, state.Deviation{Kind: state.Missing, What: "the interface " + n.Name, Want: "running", Got: l.Idle})
		}
	}
	for _, f := range fib.Families() {
		i := slices.IndexFunc(s.Rules, func(r fib.Rule) bool { return r.Family == f && state.IsDecision(r) })
		if i >= 0 && !localAhead(seen, f, s.Rules[i].Priority) {
			out = append(out, state.Deviation{
				Kind: state.Foreign, What: fmt.Sprintf("the %s rule \"from all lookup local\"", f),
				Want: fmt.Sprintf("before priority %d", s.Rules[i].Priority), Got: "none: our rules send the pod's own traffic out",
			})
		}
	}
	return out
}

// verifyAddresses looks for the addresses that the sources are.
func verifyAddresses(seen *fib.Snapshot, s state.State) state.Deviations {
	var out state.Deviations
	for _, n := range s.NICs {
		if _, ok := seen.LinkAt(n.Index); !ok {
			continue // which has been said
		}
		for _, a := range absentAddresses(seen, n.Sources()) {
			out = append(out, state.Deviation{
				Kind: state.Missing, What: fmt.Sprintf("the address %s of %s", a, n.Name),
				Want: "on a device, as it was on ADD", Got: "on none: packets for it are not delivered",
			})
		}
		for _, a := range duplicates(seen, n.Index) {
			out = append(out, state.Deviation{
				Kind: state.Missing, What: fmt.Sprintf("the address %s of %s", a, n.Name),
				Want: "no other host's", Got: "one that duplicate address detection found in use",
			})
		}
	}
	return out
}

func verifyRules(seen *fib.Snapshot, s state.State) state.Deviations {
	var out state.Deviations
	times := map[fib.Rule]int{}
	for _, r := range seen.Rules {
		times[r]++
	}
	twins := twinsOf(seen.Rules)
	for _, want := range append(anchors(s.Rules), s.Rules...) {
		what := fmt.Sprintf("%s rule %q", want.Family, want)
		for _, r := range twins[alone(want)] {
			out = append(out, state.Deviation{Kind: state.Foreign, What: what, Want: "ours alone", Got: "a twin under another protocol", Decides: fmt.Sprintf("the rule %q", r)})
		}
		switch n := times[want]; {
		case n == 0:
			out = append(out, state.Deviation{Kind: state.Missing, What: what, Want: "present", Got: "none"})
		case n > 1:
			out = append(out, state.Deviation{Kind: state.Foreign, What: what, Want: "present once", Got: fmt.Sprintf("%d of it", n)})
		}
	}
	for _, n := range s.NICs {
		for _, t := range n.Tables {
			for _, source := range t.Sources {
				out = append(out, shadows(seen, source, t.Number)...)
			}
		}
	}
	return out
}

// verifyClaims looks for addresses of other NICs that a source takes with it, because they
// came, or lost their own source rule, after ADD.
func verifyClaims(in Input) state.Deviations {
	now := situationOf(in)
	var out state.Deviations
	for _, n := range in.Mine.State.NICs {
		if n.Role == state.Displaced {
			continue
		}
		for _, source := range n.Sources() {
			if a, other, ok := now.takenAlong(n.Index, source.Prefix); ok {
				out = append(out, state.Deviation{
					Kind: state.Foreign, What: fmt.Sprintf("the source %s of %s", prefixText(source.Prefix), n.Name),
					Want: "addresses of " + n.Name + " alone, or of NICs with sources of their own",
					Got:  fmt.Sprintf("the address %s of %s", a.Prefix.Addr(), other.Name),
				})
			}
		}
	}
	return out
}

// twinsOf are the rules of others by what they do.
func twinsOf(rules []fib.Rule) map[fib.Rule][]fib.Rule {
	out := map[fib.Rule][]fib.Rule{}
	for _, r := range rules {
		if r.Protocol != state.Protocol {
			out[alone(r)] = append(out[alone(r)], r)
		}
	}
	return out
}

// alone is a rule without who installed it.
func alone(r fib.Rule) fib.Rule {
	r.Protocol = 0
	return r
}

// shadows finds the rules that take all of a source's traffic before its own
// rule is asked, for the sources that the kernel cannot be asked about. The
// local table answers for the pod's own addresses only; a rule with further
// selectors is a policy that is meant to come first.
func shadows(seen *fib.Snapshot, source state.Source, table uint32) state.Deviations {
	if askable(seen, source) {
		return nil // the kernel's to say
	}
	decision := slices.IndexFunc(seen.Rules, func(r fib.Rule) bool { return state.IsDecision(r) && r.From == source.Prefix })
	own := slices.IndexFunc(seen.Rules, func(r fib.Rule) bool { return state.IsSource(r) && r.From == source.Prefix && r.Table == table })
	if decision < 0 || own < 0 {
		return nil // which has been said
	}
	lookup := seen.Rules[own]
	var out state.Deviations
	for i, r := range seen.Rules[:own] {
		before := i < decision || r.Priority >= state.Anchor
		if !before || r.Family != source.Family() || !r.Matches(source.Prefix) || r.Protocol == state.Protocol ||
			r.Action == fib.Nop || (r.Action == fib.Lookup && r.Table == state.LocalTable) {
			continue
		}
		out = append(out, state.Deviation{
			Kind: state.Foreign,
			What: fmt.Sprintf("traffic from %s", prefixText(source.Prefix)),
			Want: fmt.Sprintf("the rule %q to decide", lookup), Got: "an earlier rule that decides before it",
			Decides: fmt.Sprintf("the rule %q", r),
		})
	}
	return out
}

// askable reports whether the kernel answers questions about a source: not
// before the pod has an address of it.
func askable(seen *fib.Snapshot, source state.Source) bool {
	return slices.ContainsFunc(seen.Addresses, func(a fib.Address) bool {
		return !a.Tentative && source.Prefix.Contains(a.Prefix.Addr())
	})
}

// verifyTogether looks for the fallbacks of the attachment's tables, wherever they stand among
// those of others. One is missing where the NIC's default is really out of main: what decides
// that may have changed since (Multus moves defaults), and no ADD or DEL has come yet to carry
// it out.
func verifyTogether(in Input, s state.State) state.Deviations {
	var out state.Deviations
	for _, want := range together(in) {
		n, mine := s.NICOf(want.Table)
		if !state.IsFallback(want) || !mine {
			continue
		}
		isIn := slices.ContainsFunc(in.Seen.Defaults(state.MainTable), func(r fib.Route) bool {
			return r.Family == want.Family && r.Uses(n.Index)
		})
		there := slices.ContainsFunc(in.Seen.Rules, func(r fib.Rule) bool {
			return r.Family == want.Family && state.IsFallback(r) && r.Table == want.Table
		})
		if !isIn && !there {
			out = append(out, state.Deviation{
				Kind: state.Missing, What: fmt.Sprintf("%s rule %q", want.Family, want), Want: "present", Got: "none",
			})
		}
	}
	return out
}

// together are the rules that all attachments share, as the records have it.
func together(in Input) []fib.Rule {
	all := append(in.otherStates(), in.Mine.State)
	defaults := knownDefaults(in, in.Mine.States(), false)
	for _, s := range all {
		if s.Main != nil {
			defaults = append(defaults, s.Main.Made...)
		}
	}
	return fallbacks(in.Seen, all, nil, maindefault.Decide(defaults, nicsOf(in.Seen, all, nil)))
}

// withoutGone is a state without the displaced NICs that are gone, whose routes went with them.
func withoutGone(seen *fib.Snapshot, s state.State) state.State {
	s.NICs = slices.DeleteFunc(slices.Clone(s.NICs), func(n state.NIC) bool {
		_, there := seen.LinkAt(n.Index)
		return n.Role == state.Displaced && !there
	})
	return s
}

func verifyRoutes(seen *fib.Snapshot, s state.State) state.Deviations {
	var out state.Deviations
	wanted, there := byPlace(s.Routes()), byPlace(seen.Routes)
	for _, want := range s.Routes() {
		rivals := there[placeOf(want)]
		if slices.ContainsFunc(rivals, func(r fib.Route) bool { return asAdded(want, r) }) {
			continue
		}
		dev := state.Deviation{Kind: state.Missing, What: fmt.Sprintf("%s route %q", want.Family, want), Want: "present", Got: "none"}
		if len(rivals) > 0 {
			dev.Got = texts(rivals)
		}
		out = append(out, dev)
	}
	tables := s.Tables()
	for _, r := range seen.Routes {
		if slices.Contains(tables, r.Table) && !slices.ContainsFunc(wanted[placeOf(r)], func(want fib.Route) bool { return asAdded(want, r) }) {
			out = append(out, state.Deviation{Kind: state.Foreign, What: "the table " + fib.TableText(r.Table), Want: "our routes alone", Got: fmt.Sprintf("the route %q", r)})
		}
	}
	return out
}

// asAdded reports whether a route is the wanted one, as ADD could make it: an
// address that the pod did not have then is no preferred source.
func asAdded(want, r fib.Route) bool {
	if !r.PrefSrc.IsValid() {
		want.PrefSrc = r.PrefSrc
	}
	return want.Equal(r)
}

// verifyMain looks for a default route in each family that main had one of.
// Another may have taken its place: Multus moves it.
func verifyMain(seen *fib.Snapshot, s state.State) state.Deviations {
	if s.Main == nil {
		return nil
	}
	var out state.Deviations
	for _, f := range s.Main.Families {
		if len(ofFamily(seen.Defaults(state.MainTable), f)) == 0 {
			out = append(out, state.Deviation{Kind: state.Missing, What: fmt.Sprintf("the %s default route of the main table", f), Want: "one, as there was on ADD", Got: "none"})
		}
	}
	return out
}

func verifySettings(seen *fib.Snapshot, s state.State) state.Deviations {
	var out state.Deviations
	for _, key := range settings.Keys() {
		if key == fib.RPFilter {
			out = append(out, verifyModes(seen, s.Settings[key].Wish)...)
		} else {
			out = append(out, verifySetting(seen, key, s.Settings[key].Wish)...)
		}
	}
	return append(out, overruled(seen, s)...)
}

// verifyModes compares effective modes of the reverse-path filter.
func verifyModes(seen *fib.Snapshot, wish settings.Wish) state.Deviations {
	var out state.Deviations
	for _, w := range wish.Devices {
		l, ok := seen.LinkAt(w.Index)
		if !ok {
			out = append(out, state.Deviation{Kind: state.Setting, What: "rp_filter of " + w.Name, Want: settings.ModeText(w.Value), Got: "no such device"})
			continue
		}
		if mode := seen.EffectiveRPFilter(l); mode != w.Value {
			out = append(out, state.Deviation{
				Kind: state.Setting, What: "the effective rp_filter of " + l.Name, Want: settings.ModeText(w.Value), Got: settings.ModeText(mode),
				Decides: fmt.Sprintf("conf/all/rp_filter=%d and conf/%s/rp_filter=%d, of which the kernel uses the larger", seen.All.RPFilter, l.Name, l.RPFilter),
			})
		}
	}
	return out
}

// verifySetting compares devices' own numbers, and those of all with what each
// shall have at least: of that the kernel uses the larger of all's and its own
// (inetdevice.h, IN_DEV_ARP_IGNORE and IN_DEV_ARP_ANNOUNCE).
func verifySetting(seen *fib.Snapshot, key string, wish settings.Wish) state.Deviations {
	var out state.Deviations
	differs := func(l fib.Link, want string) {
		out = append(out, state.Deviation{Kind: state.Setting, What: fmt.Sprintf("conf/%s/%s", l.Name, key), Want: want, Got: fmt.Sprint(l.Of(key))})
	}
	for _, w := range wish.Devices {
		if l, ok := seen.LinkAt(w.Index); ok && l.Of(key) != w.Value {
			differs(l, fmt.Sprint(w.Value))
		}
	}
	for _, l := range seen.Links {
		if l.HasIPv4 && !l.Loopback && max(l.Of(key), seen.All.Of(key)) < wish.Least {
			differs(l, fmt.Sprintf("%d or more", wish.Least))
		}
	}
	return out
}

// overruled reports what makes an isolated NIC answer less than it should:
// the kernel uses the larger arp_ignore of all and the NIC's own. Of the other ARP
// settings ours are the largest there are.
func overruled(seen *fib.Snapshot, s state.State) state.Deviations {
	var out state.Deviations
	for _, want := range s.Settings[fib.ARPIgnore].Devices {
		if seen.All.ARPIgnore > want.Value {
			out = append(out, state.Deviation{
				Kind: state.Setting, What: "the effective arp_ignore of " + want.Name, Want: fmt.Sprint(want.Value), Got: fmt.Sprint(seen.All.ARPIgnore),
				Decides: "conf/all/arp_ignore, the larger",
			})
		}
	}
	return out
}

// Warnings lists what is no deviation and may yet surprise: the global addresses of the
// attachment's NICs that no source covers (autoconfigured ones), and those of other NICs that
// came since the refusals were made that keep them from the fallbacks.
func Warnings(in Input) []string {
	s := in.Mine.State
	var out []string
	for _, n := range s.NICs {
		for _, a := range in.Seen.Addresses {
			ip := a.Prefix.Addr()
			if a.Index != n.Index || n.Role != state.Attached || len(n.Tables) == 0 || ip.IsLinkLocalUnicast() ||
				slices.ContainsFunc(n.Sources(), func(x state.Source) bool { return x.Prefix.Contains(ip) }) {
				continue
			}
			out = append(out, fmt.Sprintf("no source covers the address %s of %s: its traffic goes by the main table; list it, or its prefix, in \"sources\"", ip, n.Name))
		}
	}
	seen := setOf(in.Seen.Rules)
	for _, r := range together(in) {
		if state.IsGuard(r) && !seen[r] {
			out = append(out, fmt.Sprintf("no rule refuses what %s sends while main has no default: it may leave by another NIC; ADD again adds it", r.From.Addr()))
		}
	}
	return out
}

// texts prints routes for a message.
func texts(routes []fib.Route) string {
	out := make([]string, len(routes))
	for i, r := range routes {
		out[i] = fmt.Sprintf("%q", r)
	}
	return strings.Join(out, ", ")
}
