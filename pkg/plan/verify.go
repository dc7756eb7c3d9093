package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/fib"
)

// Verify compares what was seen with what is desired: that our rules and routes
// are there, once, and not shadowed, that the settings are as configured, and
// that main has the defaults it had. Whether packets go the right way is not
// for it to say: the kernel is asked that (package symmetry).
func Verify(in Input, d *Desired) Deviations {
	var out Deviations
	out = append(out, verifyRules(in.Seen, d)...)
	out = append(out, verifyRoutes(in, d)...)
	out = append(out, verifyMain(in)...)
	out = append(out, verifyServer(in.Seen, d.Server)...)
	return append(out, verifySettings(in.Seen, d)...)
}

func verifyRules(s *fib.Snapshot, d *Desired) Deviations {
	var out Deviations
	for _, want := range d.Rules {
		what := fmt.Sprintf("%s rule %q", want.Family, want)
		times := 0
		for _, r := range s.Rules {
			if r == want {
				times++
			}
			if twin(r, want) {
				out = append(out, Deviation{Kind: Foreign, What: what, Want: "ours alone", Got: "a twin under another protocol", Decides: fmt.Sprintf("the rule %q", r)})
			}
		}
		switch {
		case times == 0:
			out = append(out, Deviation{Kind: Missing, What: what, Want: "present", Got: "none"})
		case times > 1:
			out = append(out, Deviation{Kind: Foreign, What: what, Want: "present once", Got: fmt.Sprintf("%d of it", times)})
		}
	}
	for _, n := range d.NICs {
		for _, t := range n.Tables {
			for _, source := range t.Sources {
				out = append(out, shadows(s, source, t.Number, d)...)
			}
		}
	}
	return out
}

// twin reports whether a rule differs from ours in its protocol alone.
func twin(r, ours fib.Rule) bool {
	same := r.Protocol == ours.Protocol
	r.Protocol = ours.Protocol
	return r == ours && !same
}

// shadows finds the rules that take all of a source's traffic before its own
// rule is asked, for the sources that the kernel cannot be asked about. The
// local table answers for the pod's own addresses only; a rule with further
// selectors is a policy that is meant to come first.
func shadows(s *fib.Snapshot, source Source, table uint32, d *Desired) Deviations {
	own := slices.IndexFunc(s.Rules, func(r fib.Rule) bool {
		return isSource(r) && r.From == source.Prefix && r.Table == table
	})
	if own < 0 || source.Held || askable(s, source) {
		return nil // missing, which was said, another's, or the kernel's to say
	}
	var out Deviations
	for _, r := range s.Rules[:own] {
		if r.Family != source.Family() || !r.Matches(source.Prefix) || slices.Contains(d.Rules, r) ||
			(r.Action == fib.Lookup && r.Table == localTable) {
			continue
		}
		out = append(out, Deviation{
			Kind: Foreign,
			What: fmt.Sprintf("traffic from %s", prefixText(source.Prefix)),
			Want: fmt.Sprintf("the rule %q to decide", s.Rules[own]), Got: "an earlier rule that decides before it",
			Decides: fmt.Sprintf("the rule %q", r),
		})
	}
	return out
}

// askable reports whether the kernel answers questions about a source: not
// before the pod has an address of it.
func askable(s *fib.Snapshot, source Source) bool {
	return slices.ContainsFunc(s.Addresses, func(a fib.Address) bool {
		return !a.Tentative && source.Prefix.Contains(a.Prefix.Addr())
	})
}

func verifyRoutes(in Input, d *Desired) Deviations {
	var out Deviations
	for _, want := range d.Routes {
		if slices.ContainsFunc(in.Seen.Routes, func(r fib.Route) bool { return asAdded(want, r) }) {
			continue
		}
		rivals := texts(in.Seen.Routes, want.SamePlace)
		dev := Deviation{Kind: Missing, What: fmt.Sprintf("%s route %q", want.Family, want), Want: "present", Got: "none"}
		if rivals != "" {
			dev.Got = rivals
		}
		out = append(out, dev)
	}
	own := ownership(in)
	for _, r := range in.Seen.Routes {
		if own.tables[r.Table] && !slices.ContainsFunc(d.Routes, func(want fib.Route) bool { return asAdded(want, r) }) {
			out = append(out, Deviation{Kind: Foreign, What: "the table " + fib.TableText(r.Table), Want: "our routes alone", Got: fmt.Sprintf("the route %q", r)})
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
func verifyMain(in Input) Deviations {
	if in.Mine == nil {
		return nil
	}
	var out Deviations
	for _, f := range in.Mine.MainDefaults {
		has := len(ofFamily(in.Seen.Defaults(mainTable), f)) > 0
		if !has {
			out = append(out, Deviation{Kind: Missing, What: fmt.Sprintf("the %s default route of the main table", f), Want: "one, as there was on ADD", Got: "none"})
		}
	}
	return out
}

func verifySettings(s *fib.Snapshot, d *Desired) Deviations {
	var out Deviations
	for _, key := range settingKeys() {
		if key == fib.RPFilter {
			out = append(out, verifyModes(s, d.Settings[key])...)
		} else {
			out = append(out, verifySetting(s, key, d.Settings[key])...)
		}
	}
	return append(out, overruled(s, d)...)
}

// verifyModes compares effective modes of the reverse-path filter.
func verifyModes(s *fib.Snapshot, wish SettingWish) Deviations {
	var out Deviations
	for _, w := range wish.Devices {
		l, ok := s.LinkAt(w.Index)
		if !ok {
			out = append(out, Deviation{Kind: Setting, What: "rp_filter of " + w.Name, Want: modeText(w.Value), Got: "no such device"})
			continue
		}
		if mode := s.EffectiveRPFilter(l); mode != w.Value {
			out = append(out, Deviation{
				Kind: Setting, What: "the effective rp_filter of " + l.Name, Want: modeText(w.Value), Got: modeText(mode),
				Decides: fmt.Sprintf("conf/all/rp_filter=%d and conf/%s/rp_filter=%d, of which the kernel uses the larger", s.All.RPFilter, l.Name, l.RPFilter),
			})
		}
	}
	return out
}

// verifySetting compares devices' own numbers, and those of all with what each
// shall have at least: of that the kernel uses the larger of all's and its own
// (inetdevice.h, IN_DEV_ARP_IGNORE and IN_DEV_ARP_ANNOUNCE).
func verifySetting(s *fib.Snapshot, key string, wish SettingWish) Deviations {
	var out Deviations
	differs := func(l fib.Link, want string) {
		out = append(out, Deviation{Kind: Setting, What: fmt.Sprintf("conf/%s/%s", l.Name, key), Want: want, Got: fmt.Sprint(l.Of(key))})
	}
	for _, w := range wish.Devices {
		if l, ok := s.LinkAt(w.Index); ok && l.Of(key) != w.Value {
			differs(l, fmt.Sprint(w.Value))
		}
	}
	for _, l := range s.Links {
		if l.HasIPv4 && !l.Loopback && max(l.Of(key), s.All.Of(key)) < wish.Least {
			differs(l, fmt.Sprintf("%d or more", wish.Least))
		}
	}
	return out
}

// overruled reports what makes an isolated NIC answer less than it should:
// the kernel uses the larger arp_ignore of all and the NIC's own. Of the other ARP
// settings ours are the largest there are.
func overruled(s *fib.Snapshot, d *Desired) Deviations {
	var out Deviations
	for _, want := range d.Settings[fib.ARPIgnore].Devices {
		if s.All.ARPIgnore > want.Value {
			out = append(out, Deviation{
				Kind: Setting, What: "the effective arp_ignore of " + want.Name, Want: fmt.Sprint(want.Value), Got: fmt.Sprint(s.All.ARPIgnore),
				Decides: "conf/all/arp_ignore, the larger",
			})
		}
	}
	return out
}

// Uncovered lists the global addresses of the attachment's NICs that no source
// covers: autoconfigured ones, whose traffic goes by the main table.
func Uncovered(s *fib.Snapshot, d *Desired) []string {
	var out []string
	for _, n := range d.NICs {
		for _, a := range s.Addresses {
			ip := a.Prefix.Addr()
			if a.Index != n.Link.Index || n.displaced || n.replies || len(n.Sources) == 0 || ip.IsLinkLocalUnicast() ||
				slices.ContainsFunc(n.Sources, func(x Source) bool { return x.Prefix.Contains(ip) }) {
				continue
			}
			out = append(out, fmt.Sprintf("no source covers the address %s of %s: its traffic goes by the main table; list it, or its prefix, in \"sources\"", ip, n.Link.Name))
		}
	}
	return out
}

// texts prints the routes that match, for messages.
func texts(routes []fib.Route, match func(fib.Route) bool) string {
	var out []string
	for _, r := range routes {
		if match(r) {
			out = append(out, fmt.Sprintf("%q", r))
		}
	}
	return strings.Join(out, ", ")
}
