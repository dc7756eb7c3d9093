package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
	"github.com/symroute/symroute/pkg/maindefault"
	"github.com/symroute/symroute/pkg/rules"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
)

// Verify compares what was seen with what the attachment has according to its record: that
// its rules and routes are there, once, and not shadowed, that the settings are as configured,
// and that main has the defaults it had. Whether packets go the right way is not for it to
// say: the kernel is asked that (package symmetry).
func Verify(in Input) state.Deviations {
	s, now := in.Mine.State, situationOf(in)
	return slices.Concat(
		verifyLinks(in.Seen, s),
		verifyAddresses(in.Seen, s),
		verifyRules(in.Seen, s),
		rules.Shadows(in.Seen, in.Routes, s),
		verifyClaims(now),
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
			out = append(out, state.Deviation{Kind: state.Down, What: "the interface " + n.Name, Want: "present, as it was on ADD", Got: "none"})
		case l.Name != n.Name:
			out = append(out, state.Deviation{Kind: state.Foreign, What: "the interface " + n.Name, Want: "the name it had on ADD", Got: l.Name})
		case !l.Up && len(n.Tables) > 0:
			out = append(out, state.Deviation{Kind: state.Down, What: "the interface " + n.Name, Want: "up", Got: "administratively down, and without the routes of its table"})
		}
		if l.Idle != "" && len(n.Tables) > 0 && n.Role != state.Displaced { // and the kernel is not asked about it
			out = append(out, state.Deviation{Kind: state.Down, What: "the interface " + n.Name, Want: "running", Got: l.Idle})
		}
	}
	for _, f := range fib.Families() {
		i := slices.IndexFunc(s.Rules, func(r fib.Rule) bool { return r.Family == f && state.IsDecision(r) })
		if i >= 0 && !rules.LocalFirst(seen, f, s.Rules[i].Priority) {
			out = append(out, state.Deviation{
				Kind: state.Foreign, What: fmt.Sprintf("the %s rule \"from all lookup local\"", f),
				Want: fmt.Sprintf("before priority %d", s.Rules[i].Priority), Got: "none: our rules send the pod's own traffic out",
			})
		}
	}
	return out
}

// verifyAddresses looks for the addresses that the sources are. Those of other NICs, which have
// tables as they lost main, are not the attachment's: they may come and go.
func verifyAddresses(seen *fib.Snapshot, s state.State) state.Deviations {
	var out state.Deviations
	for _, n := range s.NICs {
		if _, ok := seen.LinkAt(n.Index); !ok || n.Role != state.Attached {
			continue // that it is gone has been said
		}
		for _, a := range absentAddresses(seen, n.Sources()) {
			out = append(out, state.Deviation{
				Kind: state.Lost, What: fmt.Sprintf("the address %s of %s", a, n.Name),
				Want: "on a device, as it was on ADD", Got: "on none: packets for it are not delivered",
			})
		}
		for _, a := range duplicates(seen, n.Index) {
			out = append(out, state.Deviation{
				Kind: state.Lost, What: fmt.Sprintf("the address %s of %s", a, n.Name),
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
	for _, want := range append(rules.Anchors(s.Rules), s.Rules...) {
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
	return out
}

// verifyClaims looks for addresses of other NICs that a source takes with it, because they
// came, or lost their own source rule, after ADD.
func verifyClaims(now situation) state.Deviations {
	claims := now.claims()
	var out state.Deviations
	for _, n := range now.Mine.State.NICs {
		if n.Role == state.Displaced {
			continue
		}
		for _, source := range n.Sources() {
			if a, other, ok := claims.takenAlong(n.Index, source.Prefix); ok {
				out = append(out, state.Deviation{
					Kind: state.Foreign, What: fmt.Sprintf("the source %s of %s", fib.PrefixText(source.Prefix), n.Name),
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

// verifyTogether looks for the fallbacks of the attachment's tables, wherever they stand among
// those of others. One is missing where the NIC's default is really out of main: what decides
// that may have changed since (Multus moves defaults), and no ADD or DEL has come yet to carry
// it out.
func verifyTogether(in Input, s state.State) state.Deviations {
	type by struct { // a family, and a NIC or a table
		family fib.Family
		number int
	}
	isIn, there := map[by]bool{}, map[by]bool{}
	for _, r := range in.Seen.Defaults(state.MainTable) {
		for _, h := range r.Hops {
			isIn[by{r.Family, h.Index}] = true
		}
	}
	for _, r := range in.Seen.Rules {
		if state.IsFallback(r) {
			there[by{r.Family, int(r.Table)}] = true
		}
	}
	nics := map[uint32]int{} // of tables
	for _, n := range s.NICs {
		for _, t := range n.Tables {
			nics[t.Number] = n.Index
		}
	}
	var out state.Deviations
	for _, want := range together(in) {
		nic, mine := nics[want.Table]
		if state.IsFallback(want) && mine && !isIn[by{want.Family, nic}] && !there[by{want.Family, int(want.Table)}] {
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
	return rules.Fallbacks(in.Seen, all, nil, maindefault.Decide(defaults, nicsOf(in.Seen, all, nil)))
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
		rivals := there[want.Place()]
		if slices.ContainsFunc(rivals, func(r fib.Route) bool { return asAdded(want, r) }) {
			continue
		}
		dev := state.Deviation{Kind: state.Lost, What: fmt.Sprintf("%s route %q", want.Family, want), Want: "present", Got: "none"}
		if len(rivals) > 0 {
			dev.Got = texts(rivals)
		}
		out = append(out, dev)
	}
	tables := state.Tables([]state.State{s})
	for _, r := range seen.Routes {
		if tables[r.Table] && !slices.ContainsFunc(wanted[r.Place()], func(want fib.Route) bool { return asAdded(want, r) }) {
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
		if len(fib.OfFamily(seen.Defaults(state.MainTable), f)) == 0 {
			out = append(out, state.Deviation{Kind: state.Lost, What: fmt.Sprintf("the %s default route of the main table", f), Want: "one, as there was on ADD", Got: "none"})
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
		covered := coverOf(n)
		for _, a := range in.Seen.Addresses {
			ip := a.Prefix.Addr()
			if a.Index != n.Index || n.Role != state.Attached || ip.IsLinkLocalUnicast() || covered(ip) {
				continue
			}
			out = append(out, fmt.Sprintf("no source covers the address %s of %s: its traffic goes by the main table; list it, or its prefix, in \"sources\"", ip, n.Name))
		}
	}
	seen := rules.Set(in.Seen.Rules)
	for _, r := range together(in) {
		if state.IsGuard(r) && !seen[r] {
			out = append(out, fmt.Sprintf("no rule refuses what %s sends while main has no default: it may leave by another NIC; ADD again adds it", r.From.Addr()))
		}
	}
	return out
}

// coverOf tells whether a NIC has a source that holds an address.
func coverOf(n state.NIC) func(netip.Addr) bool {
	sources := state.Sources([]state.State{{NICs: []state.NIC{n}}})
	prefixes := slices.DeleteFunc(slices.Collect(maps.Keys(sources)), fib.IsHost)
	return func(ip netip.Addr) bool {
		return sources[fib.Host(ip)] || slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
	}
}

// texts prints routes for a message.
func texts(routes []fib.Route) string {
	out := make([]string, len(routes))
	for i, r := range routes {
		out[i] = fmt.Sprintf("%q", r)
	}
	return strings.Join(out, ", ")
}
