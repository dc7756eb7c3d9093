package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
	"github.com/symroute/symroute/test/walk"
)

// judge notes what a step has changed for the attachments, and returns the first
// thing that does not hold after it, with details.
func (k *walker) judge(s walk.Step, call netlab.Invocation) (what, details string) {
	if panicked(call) {
		return "a panic", call.String()
	}
	for _, rule := range []func(walk.Step, netlab.Invocation) (string, string){
		k.ended, k.foreignUntouched, k.mainKeepsDefaults, k.settingsHold, k.symmetric, k.checksAgree, k.withoutRecord, k.nothingLeft,
	} {
		if what, details := rule(s, call); what != "" {
			return what, details
		}
	}
	return "", ""
}

// ended judges how an invocation ended, and notes what became of the attachments.
func (k *walker) ended(s walk.Step, call netlab.Invocation) (what, details string) {
	a := k.attached[s.NIC]
	k.was = a
	killed := call.ExitCode < 0
	k.age(s)
	switch s.Verb {
	case walk.Add:
		return k.added(s, call, killed)
	case walk.Del:
		switch {
		case killed && a != nil:
			a.killed = true
		case killed:
		case call.ExitCode != 0:
			return "DEL failed", call.String()
		default:
			delete(k.attached, s.NIC)
			k.order = slices.DeleteFunc(k.order, func(name string) bool { return name == s.NIC })
		}
	case walk.Check, walk.GC:
		if k.pod.was.diff(k.pod.is) != "" {
			return string(s.Verb) + " changed the pod", k.pod.was.diff(k.pod.is)
		}
	case walk.Flush, walk.Lose, walk.Damage, walk.Afresh:
	case walk.Router:
		k.routers[s.NIC] = true
		if len(s.Lines) > 1 { // a default that is out of main is not replaced
			k.lost[s.NIC] = true
		}
		for _, a := range k.attached {
			a.muted = true
		}
		if a != nil && a.conf["gateways"] == nil && k.pod.is.hasDefaultBy(a.index) && k.followsMain(s) {
			a.rerouted = true
		}
	case walk.Plug, walk.Unplug, walk.Down, walk.Up, walk.NoCarrier, walk.Carrier, walk.Foreign:
		if s.Verb == walk.Plug {
			delete(k.routers, s.NIC)
			delete(k.ignoring, s.NIC)
		}
		for _, l := range k.w.Lines(s, k.pod.names) {
			if strings.HasPrefix(l.Text, "route ") && strings.Contains(l.Text, "default") { // which a table may go by
				for _, a := range k.attached {
					a.muted = true
				}
			}
			if strings.Contains(l.Text, "/ignore_routes_with_linkdown=1") {
				k.ignoring[s.NIC] = true
			}
			if words := strings.Fields(l.Text); len(words) > 3 && words[0] == "link" && words[3] == "name" { // it was down for that
				k.lost[words[2]], k.lost[words[4]] = true, true
				k.written[words[4]] = k.written[words[2]]
			}
			if device, ok := strings.CutPrefix(l.Text, "net/ipv6/conf/"); ok && strings.Contains(l.Text, "/disable_ipv6=1") {
				device, _, _ = strings.Cut(device, "/")
				for _, d := range k.pod.is.devices { // addresses go, and routes with them
					if device == "all" || device == d.name {
						k.lost[d.name] = true
					}
				}
			}
			if device, ok := strings.CutPrefix(l.Text, "net/ipv4/conf/"); ok && strings.Contains(l.Text, "/rp_filter=") && len(k.attached) > 0 {
				device, _, _ = strings.Cut(device, "/")
				k.written[device] = true
				d, _ := k.pod.is.device(device)
				for name, a := range k.attached {
					if _, wants := a.wants[d.index]; name == device || wants {
						a.spoiled = true
					}
				}
			}
		}
	}
	for name, a := range k.attached {
		d, there := k.pod.is.device(name)
		if !there || d.index != a.index || !d.up {
			a.cut = true
		}
		a.spoiled = a.spoiled || !k.hasAddresses(name) || !k.othersThere(a)
		a.rival = a.rival || k.rivalsLost(name)
		a.muted = a.muted || there && !d.carrier || !slices.Equal(k.pod.was.refusals(), k.pod.is.refusals())
	}
	for _, d := range k.pod.is.devices {
		if !d.up {
			k.lost[d.name] = true
		}
	}
	return "", ""
}

// followsMain reports whether the NIC of a router's step goes by the routers of its family that main
// has: it has an address of that, and IPAM named no gateway.
func (k *walker) followsMain(s walk.Step) bool {
	four := !strings.Contains(s.Lines[len(s.Lines)-1].Text, ":")
	i := slices.IndexFunc(k.w.NICs, func(n walk.NIC) bool { return n.Name == s.NIC })
	return i >= 0 && k.w.NICs[i].Has(four) && !k.w.NICs[i].Gateway(four).IsValid()
}

// rivalsLost reports whether another NIC than an attachment's has lost routes.
func (k *walker) rivalsLost(name string) bool {
	return slices.ContainsFunc(k.w.NICs, func(n walk.NIC) bool {
		d, there := k.pod.is.device(n.Name)
		_, renamed := k.pod.is.device("was-" + n.Name) // it was down for that
		return n.Name != name && (renamed || there && (!d.up || !k.hasAddresses(n.Name)))
	})
}

// added judges an ADD: it succeeds where the NIC is up and has its addresses, and
// changes nothing where it fails.
func (k *walker) added(s walk.Step, call netlab.Invocation, killed bool) (what, details string) {
	d, there := k.pod.is.device(s.NIC)
	complete := k.hasAddresses(s.NIC)
	switch {
	case killed:
		if k.attached[s.NIC] == nil {
			k.attached[s.NIC] = &attached{index: d.index}
		}
		a := k.attached[s.NIC]
		k.arrange(s.NIC, s.Config)
		a.conf, a.killed, a.stale = s.Config, true, true
	case call.ExitCode != 0:
		if changes := k.pod.was.diff(k.pod.is); changes != "" {
			return "ADD failed and changed the pod", changes + call.String()
		}
		if there && d.up && complete && !k.ambiguous(s.NIC, s.Config) && !k.refusable(s) {
			return "ADD failed with code " + codeOf(call), call.String()
		}
	case !there:
		// There is nothing to do without a NIC, and so nothing was done.
		if changes := k.pod.was.diff(k.pod.is); changes != "" {
			return "ADD without a NIC changed the pod", changes
		}
	case !d.up:
		return "ADD by a NIC that is down succeeded", call.String()
	default:
		k.arrange(s.NIC, s.Config)
		a := &attached{
			conf: s.Config, index: d.index, muted: !d.carrier, wants: k.wants(s), replies: k.repliesOf(s), refusals: k.pod.is.refusals(),
		}
		a.spoiled = !complete || !k.othersThere(a)
		k.attached[s.NIC] = a
		return k.taken(s.NIC)
	}
	return "", ""
}

// wants are the modes that an ADD sets, by the index of the device.
func (k *walker) wants(s walk.Step) map[int]int {
	out := map[int]int{}
	modes := s.Modes()
	modes[s.NIC] = s.Config["rpFilter"]
	for name, mode := range modes {
		if d, there := k.pod.is.device(name); there && modeOf(mode) >= 0 {
			out[d.index] = modeOf(mode)
		}
	}
	return out
}

// repliesOf is the index of the NIC by which replies leave.
func (k *walker) repliesOf(s walk.Step) int {
	name := s.ReplyBy()
	if name == "" {
		name = s.NIC
	}
	d, _ := k.pod.is.device(name)
	return d.index
}

// refusable reports whether another device than the NIC is a reason to refuse an ADD: one that
// it names is not there or down, or two attachments want different modes of one.
func (k *walker) refusable(s walk.Step) bool {
	for name := range s.Modes() {
		if _, there := k.pod.is.device(name); !there {
			return true
		}
	}
	if by := s.ReplyBy(); by != "" {
		if d, there := k.pod.is.device(by); !there || !d.up || !d.six { // all its VIPs are of both families
			return true
		}
	}
	mine := k.wants(s)
	for name, a := range k.attached {
		if name == s.NIC {
			continue
		}
		theirs := a.wants
		if a.killed { // then it is one of two
			theirs = k.wants(walk.Step{NIC: name, Config: a.conf})
		}
		for index, mode := range mine {
			if o, ok := theirs[index]; ok && o != mode {
				return true
			}
			if o, ok := a.wants[index]; ok && o != mode {
				return true
			}
		}
	}
	return false
}

// othersThere reports whether the other devices of an attachment are as they were.
func (k *walker) othersThere(a *attached) bool {
	there := func(index int) bool {
		return slices.ContainsFunc(k.pod.is.devices, func(d device) bool { return d.index == index })
	}
	for index := range a.wants {
		if !there(index) {
			return false
		}
	}
	name := k.pod.is.nameOf(a.replies)
	d, _ := k.pod.is.device(name)
	return a.killed || a.replies == 0 || a.replies == a.index || name != "" && d.up && d.carrier && !k.lost[name] && k.hasAddresses(name)
}

// taken looks, right after an ADD, whether the pod's own traffic leaves by the NIC
// that was to take it.
func (k *walker) taken(name string) (what, details string) {
	n, _ := k.w.NIC(name)
	a := k.attached[name]
	for other, o := range k.attached {
		// Of several that want it, the one attached last has it, whichever is attached
		// again.
		if other != name && o.conf["mainDefault"] == "take" || o.killed {
			return "", ""
		}
	}
	// What came since the first ADD that took it is not its business.
	again := k.was != nil && (k.was.killed || k.was.conf["mainDefault"] == "take")
	d, _ := k.pod.is.device(name)
	// A default that came while the link went up without a carrier the kernel may call dead; then the next NIC serves.
	if a.conf["mainDefault"] != "take" || a.spoiled || again || !d.carrier {
		return "", ""
	}
	for _, four := range []bool{true, false} {
		if !n.Gateway(four).IsValid() {
			continue
		}
		if w := k.pod.way(offLink(four), netip.Addr{}, 0); w.index != a.index {
			return "the default was not taken", fmt.Sprintf("route get %v: %v, want dev %s", offLink(four), w, name)
		}
	}
	return "", ""
}

// hasAddresses reports whether all addresses that IPAM gave are on the NIC.
func (k *walker) hasAddresses(name string) bool {
	n, ok := k.w.NIC(name)
	d, there := k.twin.is.device(name)
	return ok && there && !slices.ContainsFunc(n.Addresses, func(a walk.Address) bool { return !k.twin.is.has(a.Prefix.Addr(), d.index) })
}

// ambiguous reports whether a strict NIC may accept what is another's: they share a
// subnet, and the other one's addresses are left to the main table, which may have
// the shared subnet by the strict NIC. ADD refuses that, and CHECK names it.
func (k *walker) ambiguous(name string, conf map[string]any) bool {
	n, _ := k.w.NIC(name)
	if mode := wantedMode(conf); mode != 1 {
		return false
	}
	own, _ := k.pod.is.device(name)
	for _, c := range k.pod.is.addresses {
		i := slices.IndexFunc(k.pod.is.devices, func(d device) bool { return d.index == c.index })
		other := k.pod.is.devices[i]
		if !c.prefix.Addr().Is4() || other.loopback || other.index == own.index {
			continue
		}
		shares := slices.ContainsFunc(n.Addresses, func(a walk.Address) bool { return a.Prefix.Overlaps(c.prefix) })
		a := k.attached[other.name]
		o, _ := k.w.NIC(other.name)
		of := slices.ContainsFunc(o.Addresses, func(x walk.Address) bool { return x.Prefix.Addr() == c.prefix.Addr() })
		if shares && (a == nil || a.killed || !of) {
			return true
		}
	}
	return false
}

// wantedMode is the effective rp_filter that a configuration asks for; -1: none.
func wantedMode(conf map[string]any) int { return modeOf(conf["rpFilter"]) }

func modeOf(mode any) int {
	switch mode {
	case nil, "loose":
		return 2
	case "strict":
		return 1
	case "off":
		return 0
	case "keep":
		return -1
	default:
		return mode.(int)
	}
}

// foreignUntouched holds what is not symroute's to what the twin has. Defaults of
// main are another matter.
func (k *walker) foreignUntouched(walk.Step, netlab.Invocation) (what, details string) {
	got, want := k.pod.is.foreign(k.twin.is).sorted(), k.twin.is.foreign(k.twin.is).sorted()
	if len(k.attached) > 0 || len(k.lost) > 0 || k.loss != nil { // then see nothingLeft
		got.routes, want.routes = withoutDefaults(got.routes), withoutDefaults(want.routes)
	}
	got.routes, want.routes = k.withoutKeptOnDown(got.routes), k.withoutKeptOnDown(want.routes)
	if diff := want.diff(&got); diff != "" {
		return "what is others' differs from the twin", diff
	}
	return "", ""
}

// foreign leaves out what is ours, and VIPs with the routes that the kernel makes of
// them. What the twin has of ours others have made in our name; but an anchor is one for all, and goes
// with the last rule that leads to it.
func (s *routing) foreign(twin *routing) routing {
	forged := twin.wholes()
	f := routing{}
	for _, r := range s.rules {
		if !r.ours || forged[r.whole] && r.action != unix.FR_ACT_NOP {
			f.rules = append(f.rules, r)
		}
	}
	for _, r := range s.routes {
		if (!r.ours || forged[r.whole]) && !isVIP(r.dst.Addr()) {
			f.routes = append(f.routes, r)
		}
	}
	for _, a := range s.addresses {
		if !isVIP(a.prefix.Addr()) {
			f.addresses = append(f.addresses, a)
		}
	}
	f.devices = s.devices
	return f
}

// withoutAnchors leaves out the anchors, one of which others may have made in our name: it goes with ours.
func withoutAnchors(rules []rule) []rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return r.ours && r.action == unix.FR_ACT_NOP })
}

func isVIP(ip netip.Addr) bool {
	return slices.ContainsFunc(walk.VIPs(), func(p netip.Prefix) bool { return p.Contains(ip) })
}

// wholes are the rules and routes that bear our protocol.
func (s *routing) wholes() map[string]bool {
	out := map[string]bool{}
	for _, r := range s.rules {
		out[r.whole] = r.ours
	}
	for _, r := range s.routes {
		out[r.whole] = r.ours
	}
	return out
}

// withoutKept is the state without what stays as long as others have rules in our name: the anchor
// of a "goto", and the refusals of a fallback to a table that no record knows.
func (s routing) withoutKept() routing {
	kept := func(r rule) bool {
		return r.ours && slices.ContainsFunc(s.rules, func(o rule) bool {
			isGoto, isFallback := o.action == unix.FR_ACT_GOTO, o.action == unix.FR_ACT_TO_TBL && o.priority >= 49999
			return o.ours && o.four == r.four && (isGoto && r.action == unix.FR_ACT_NOP || isFallback && r.priority == 49998)
		})
	}
	s.rules = slices.DeleteFunc(slices.Clone(s.rules), kept)
	return s
}

// sorted is the state without what the order of main's defaults of one metric says: one that
// left and came back comes behind the others.
func (s routing) sorted() routing {
	out := s
	out.routes = slices.Clone(s.routes)
	for i := 0; i < len(out.routes); {
		same := i + 1
		for same < len(out.routes) && out.routes[i].besides(out.routes[same]) {
			same++
		}
		slices.SortFunc(out.routes[i:same], func(a, b route) int { return cmp.Compare(a.whole, b.whole) })
		i = same
	}
	return out
}

// besides reports whether two routes are defaults of main of one metric.
func (r route) besides(o route) bool {
	return r.defaultOfMain() && o.defaultOfMain() && r.four == o.four && r.metric == o.metric
}

// withoutKeptOnDown leaves out the IPv6 routes to addresses of a NIC without carrier: those of an
// address that was kept on down (ADD sets that) are there at once when the NIC is set up, those of a
// new one when it runs.
func (k *walker) withoutKeptOnDown(routes []route) []route {
	return slices.DeleteFunc(slices.Clone(routes), func(r route) bool {
		return !r.four && r.table == unix.RT_TABLE_LOCAL && slices.ContainsFunc(k.pod.is.devices, func(d device) bool {
			return !d.carrier && slices.ContainsFunc(r.hops, func(h hop) bool { return h.index == d.index })
		})
	})
}

func withoutDefaults(routes []route) []route {
	return slices.DeleteFunc(slices.Clone(routes), route.defaultOfMain)
}

// diff is empty where two states agree. Settings that symroute writes are not
// compared, only those of others.
func (s *routing) diff(later *routing) string {
	var out strings.Builder
	compare := func(a, b []fact) {
		for _, f := range a {
			if !slices.ContainsFunc(b, func(o fact) bool { return o.whole == f.whole }) {
				fmt.Fprintf(&out, "- %s\n", f.short)
			}
		}
		for _, f := range b {
			if !slices.ContainsFunc(a, func(o fact) bool { return o.whole == f.whole }) {
				fmt.Fprintf(&out, "+ %s\n", f.short)
			}
		}
		if same := func(a, b fact) bool { return a.whole == b.whole }; out.Len() == 0 && !slices.EqualFunc(a, b, same) {
			i := 0
			for i < min(len(a), len(b)) && same(a[i], b[i]) {
				i++
			}
			fmt.Fprintf(&out, "another order, or number:\n- %s\n+ %s\n", shorts(a[i:min(i+1, len(a))]), shorts(b[i:min(i+1, len(b))]))
		}
	}
	compare(facts(s.rules, func(r rule) fact { return r.fact }), facts(later.rules, func(r rule) fact { return r.fact }))
	compare(facts(s.routes, func(r route) fact { return r.fact }), facts(later.routes, func(r route) fact { return r.fact }))
	compare(facts(s.addresses, func(a configured) fact { return a.fact }), facts(later.addresses, func(a configured) fact { return a.fact }))
	compare(facts(s.devices, func(d device) fact { return d.fact }), facts(later.devices, func(d device) fact { return d.fact }))
	return out.String()
}

func facts[T any](list []T, of func(T) fact) []fact {
	out := make([]fact, 0, len(list))
	for _, x := range list {
		out = append(out, of(x))
	}
	return out
}

func shorts(list []fact) string {
	var out strings.Builder
	for _, f := range list {
		out.WriteString(f.short + "\n")
	}
	return out.String()
}

// mainKeepsDefaults demands that no invocation, killed or not, takes away the only
// default of a family that the twin has. After an ADD or DEL that ended there is one
// again where a NIC that was never down has one in the twin: but what went with a
// NIC is repaired by those who are attached, and while one was killed by none.
func (k *walker) mainKeepsDefaults(s walk.Step, call netlab.Invocation) (what, details string) {
	if s.Verb != walk.Add && s.Verb != walk.Del {
		return "", ""
	}
	unsure := k.was == nil
	for _, a := range k.attached {
		unsure = unsure || a.killed
	}
	for _, four := range []bool{true, false} {
		has := func(r *routing, good func(hop) bool) bool {
			return slices.ContainsFunc(r.routes, func(r route) bool {
				return r.four == four && r.defaultOfMain() && slices.ContainsFunc(r.hops, good)
			})
		}
		whichever := func(hop) bool { return true }
		if k.was != nil && k.was.lost { // what is ours by its protocol goes without a record, too
			whichever = func(h hop) bool {
				return slices.ContainsFunc(k.twin.is.routes, func(r route) bool {
					return r.four == four && r.defaultOfMain() && slices.Contains(r.hops, h)
				})
			}
		}
		kept := func(h hop) bool { return !k.lost[k.twin.is.nameOf(h.index)] }
		switch {
		case has(k.pod.is, whichever):
		case k.loss != nil: // who is the next one may have been in that record alone
		case has(k.pod.was, whichever) && has(k.twin.is, whichever):
			return "the only default of main was taken away", fmt.Sprintf("IPv4 %t\n%s", four, k.mains())
		case call.ExitCode == 0 && !unsure && k.loss == nil && has(k.twin.is, kept):
			return "main lacks a default that the twin has", fmt.Sprintf("IPv4 %t\n%s", four, k.mains())
		}
	}
	return "", ""
}

func (k *walker) mains() string {
	var out strings.Builder
	for _, p := range []walkPod{k.pod, k.twin} {
		fmt.Fprintf(&out, "%s:\n", p.ns.Name)
		for _, r := range p.is.routes {
			if r.defaultOfMain() {
				fmt.Fprintf(&out, "\t%s\n", r.short)
			}
		}
	}
	return out.String()
}

// settingsHold compares device settings: effective rp_filter with the configuration,
// or with the twin where nobody asked for anything, and those of ARP.
func (k *walker) settingsHold(walk.Step, netlab.Invocation) (what, details string) {
	all := func(p walkPod, key string) int { return atoi(p.is.settings["ipv4/conf/all/"+key]) }
	def := func(p walkPod, key string) int { return atoi(p.is.settings["ipv4/conf/default/"+key]) }
	if got, want := max(all(k.pod, "rp_filter"), def(k.pod, "rp_filter")), max(all(k.twin, "rp_filter"), def(k.twin, "rp_filter")); got != want && k.loss == nil {
		return "rp_filter of devices to come differs from the twin", fmt.Sprintf("got %d, want %d", got, want)
	}
	servers, unsure := 0, 0
	for _, a := range k.attached {
		if a.conf["lvs"] != nil {
			servers++
		}
		if a.killed {
			unsure++
		}
	}
	for _, d := range k.pod.is.devices {
		o, ok := k.twin.is.device(d.name)
		if !ok {
			continue // the comparison with the twin has said so
		}
		name, a := k.attachedAt(d.index)
		got := max(all(k.pod, "rp_filter"), d.rpFilter)
		want := max(all(k.twin, "rp_filter"), o.rpFilter)
		here := a != nil
		if k.loss != nil && (!here || !a.sound() || a.lost || wantedMode(a.conf) < 0) {
			continue // it stays as it is, as whoever lost his record wanted it
		}
		if here && wantedMode(a.conf) >= 0 {
			want = wantedMode(a.conf)
		}
		sure := !k.written[d.name]
		for _, a := range k.attached {
			if mode, ok := a.wants[d.index]; ok {
				want, sure = mode, sure && unsure == 0
			}
		}
		if here && (a.killed || wantedMode(a.conf) >= 0) {
			sure = !a.killed && !a.spoiled
		}
		if got != want && sure {
			return "the effective rp_filter is wrong", fmt.Sprintf("%s: got %d, want %d", d.name, got, want)
		}
		arp := [3]int{d.arIgnore, d.announce, d.arpFilter}
		wantARP := [3]int{o.arIgnore, o.announce, o.arpFilter}
		if here && a.conf["arp"] == "isolate" {
			wantARP = [3]int{1, 2, 1}
		}
		if servers > 0 && !d.loopback {
			wantARP[0], wantARP[1] = max(wantARP[0], 1), max(wantARP[1], 2)
		}
		wantKeep := 0
		if n, _ := k.w.NIC(name); here && n.Has(false) && d.six {
			wantKeep = 1
		}
		if d.keepAddr != wantKeep && (!here || a.sound()) {
			return "keep_addr_on_down is wrong", fmt.Sprintf("%s: got %d, want %d", d.name, d.keepAddr, wantKeep)
		}
		if k.loss != nil && a.conf["arp"] != "isolate" {
			continue
		}
		if arp != wantARP && unsure == 0 && (!here || !a.cut) {
			return "ARP settings are wrong", fmt.Sprintf("%s: arp_ignore, arp_announce, arp_filter are %v, want %v", d.name, arp, wantARP)
		}
	}
	return "", ""
}

// attachedAt is the attachment of a device, whatever its name is now.
func (k *walker) attachedAt(index int) (string, *attached) {
	for name, a := range k.attached {
		if a.index == index {
			return name, a
		}
	}
	return "", nil
}

func atoi(text string) int {
	n := 0
	for _, c := range text {
		n = 10*n + int(c-'0')
	}
	return n
}

func offLink(four bool) netip.Addr {
	if four {
		return netip.MustParseAddr("192.0.2.7")
	}
	return netip.MustParseAddr("2001:db8:ffff::7")
}

// symmetric asks the kernel about both ways of flows of each attachment.
func (k *walker) symmetric(walk.Step, netlab.Invocation) (what, details string) {
	for name, a := range k.attached {
		if !a.sound() || a.lost { // another's DEL takes the rules that both had
			continue
		}
		if d, there := k.pod.is.device(name); there && !d.carrier && k.ignoring[name] {
			continue
		}
		for _, f := range k.flows(name, a) {
			by := cmp.Or(f.by, a.index)
			if w := k.pod.way(f.remote, f.local, 0); f.refused != (w.err != nil) || w.err == nil && (w.index != by || f.gateway.IsValid() && w.gateway != f.gateway) {
				return "answers take another way", fmt.Sprintf("route get %v from %v: %v, want dev %d (%s) via %v, or if %t a refusal", f.remote, f.local, w, by, k.pod.is.nameOf(by), f.gateway, f.refused)
			}
			if f.refused {
				continue
			}
			if w := k.pod.way(f.local, f.remote, a.index); w.kind != unix.RTN_LOCAL {
				return "requests are not accepted", fmt.Sprintf("route get %v from %v iif %s: %v", f.local, f.remote, name, w)
			}
		}
	}
	return "", ""
}

// flow is a local and a remote address, and how packets from the one to the other
// have to leave.
type flow struct {
	local, remote, gateway netip.Addr
	refused                bool
	by                     int // the NIC that answers leave by; 0: the attachment's
}

// flows are those of an attachment that everybody can tell the right answer for.
func (k *walker) flows(name string, a *attached) []flow {
	n, _ := k.w.NIC(name)
	i := slices.IndexFunc(k.w.NICs, func(o walk.NIC) bool { return o.Name == name })
	var out []flow
	for _, x := range n.Addresses {
		local := x.Prefix.Addr()
		four := local.Is4()
		out = append(out, flow{local: local, remote: neighbourOf(x.Prefix)})
		for _, p := range a.refusals {
			if p.Addr().Is4() == four && slices.Contains(k.pod.is.refusals(), p) {
				out = append(out, flow{local: local, remote: neighbourOf(p), refused: true})
			}
		}
		switch {
		case x.Gateway.IsValid() && a.conf["gateways"] == nil:
			out = append(out, flow{local: local, remote: offLink(four)})
			if x.Gateway.IsGlobalUnicast() {
				out = append(out, flow{local: local, remote: x.Gateway})
			}
			if len(n.Routes) > 0 {
				out = append(out, flow{local: local, remote: inside(n.Routes, four)})
			}
		case k.routers[name]: // which of them an address goes by
		case !n.Gateway(four).IsValid() && a.conf["gateways"] == nil && a.conf["noGateway"] != "main":
			out = append(out, flow{local: local, remote: offLink(four), refused: true})
		}
	}
	for _, vip := range []netip.Addr{
		netip.MustParseAddr(fmt.Sprintf("10.200.%d.1", i)), netip.MustParseAddr(fmt.Sprintf("2001:db8:200:%x::1", i)),
		netip.MustParseAddr(fmt.Sprintf("10.210.%d.1", i)), netip.MustParseAddr(fmt.Sprintf("2001:db8:210:%x::1", i)),
	} {
		wanted := a.conf["sources"] != nil && !isVIP(vip) || a.conf["lvs"] != nil && isVIP(vip)
		by := n
		if isVIP(vip) && a.replies != a.index {
			by, _ = k.w.NIC(k.pod.is.nameOf(a.replies))
		}
		known := by.Name == n.Name || by.Defaults // what IPAM said of another NIC it does not know
		if wanted && known && oneExit(by, vip.Is4()) && a.conf["gateways"] == nil && k.pod.is.has(vip, 0) {
			f := flow{local: vip, remote: offLink(vip.Is4())}
			if isVIP(vip) {
				f.by = a.replies
			}
			out = append(out, f)
		}
	}
	return out
}

// refusals are the destinations that main refuses.
func (s *routing) refusals() []netip.Prefix {
	var out []netip.Prefix
	for _, r := range s.routes {
		if r.table == unix.RT_TABLE_MAIN && !r.ours && slices.Contains([]uint8{unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_PROHIBIT}, r.kind) {
			out = append(out, r.dst)
		}
	}
	return out
}

// hasDefaultBy reports whether main has a default by a device.
func (s *routing) hasDefaultBy(index int) bool {
	return slices.ContainsFunc(s.routes, func(r route) bool {
		return r.defaultOfMain() && slices.ContainsFunc(r.hops, func(h hop) bool { return h.index == index })
	})
}

// oneExit reports whether all addresses of a family have gateways: where some have
// none, the design does not say which an address in no subnet goes by.
func oneExit(n walk.NIC, four bool) bool {
	return n.Has(four) && !slices.ContainsFunc(n.Addresses, func(a walk.Address) bool {
		return a.Prefix.Addr().Is4() == four && !a.Gateway.IsValid()
	})
}

// neighbourOf is an address in the subnet that nobody has.
func neighbourOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	b[len(b)-1] = 250
	ip, _ := netip.AddrFromSlice(b)
	return ip
}

func inside(routes []netip.Prefix, four bool) netip.Addr {
	i := slices.IndexFunc(routes, func(p netip.Prefix) bool { return p.Addr().Is4() == four })
	return neighbourOf(routes[i])
}

// checksAgree runs CHECK of all attachments: it is content with those to which
// nothing has happened, and names those whose NIC lost its routes.
func (k *walker) checksAgree(walk.Step, netlab.Invocation) (what, details string) {
	for _, n := range k.w.NICs {
		a := k.attached[n.Name]
		if a == nil || !a.lost && (a.killed || a.spoiled && !a.cut) {
			continue
		}
		call := k.call(walk.Step{Verb: walk.Check, NIC: n.Name})
		_, there := k.pod.is.device(n.Name)
		switch {
		case a.lost && there && !bytes.Contains(call.Stdout, []byte("nothing is remembered of it")):
			return "CHECK does not miss the record", call.String()
		case a.lost:
		case panicked(call):
			return "a panic", call.String()
		case a.rerouted && k.loss == nil && call.ExitCode == 0: // a record may be all that knows of it
			return "CHECK does not see that a router has come", call.String()
		case a.cut && call.ExitCode == 0:
			return "CHECK does not see that the NIC was down", call.String()
		case call.ExitCode != 0 && k.content(n.Name, a) && !k.excused(call):
			return "CHECK failed with code " + codeOf(call), call.String()
		}
	}
	return "", ""
}

// content reports whether CHECK of an attachment has nothing to complain of.
func (k *walker) content(name string, a *attached) bool {
	displaced := a.rival && (a.conf["mainDefault"] == "take" || k.displaces(name))
	return a.sound() && !displaced && !a.muted && !k.ambiguous(name, a.conf)
}

// codeOf is the code of the error that an invocation printed.
func codeOf(call netlab.Invocation) string {
	_, rest, _ := strings.Cut(string(call.Stdout), `"code": `)
	code, _, _ := strings.Cut(rest, ",")
	return code
}

// displaces reports whether an attachment has a table for a NIC that lost main to another.
func (k *walker) displaces(name string) bool {
	records, err := filepath.Glob(filepath.Join(k.dataDir, "*", "*:"+name+":*.json"))
	if err != nil {
		k.t.Fatal(err)
	}
	return slices.ContainsFunc(records, func(path string) bool {
		record, err := os.ReadFile(path)
		return err == nil && bytes.Contains(record, []byte(`"role":"displaced"`))
	})
}

// excused reports whether all that CHECK says is that a default is missing, which went with a NIC
// (mainKeepsDefaults judges that), or, where a record was lost, a fallback: there was one by a table
// of that attachment; or that the NIC of that record is left by another router: a record that knows the
// NIC as displaced asks for the one that it had then.
func (k *walker) excused(call netlab.Invocation) bool {
	var failure struct{ Details string }
	if err := json.Unmarshal(call.Stdout, &failure); err != nil {
		return false
	}
	for line := range strings.Lines(failure.Details) {
		isFallback := strings.Contains(line, `: from all lookup `) && strings.Contains(line, "want present, got none")
		isOfLost := k.loss != nil && strings.Contains(line, ": want out of "+k.loss.nic+" ")
		if !strings.Contains(line, "default route of the main table: want one") && (k.loss == nil || !isFallback) && !isOfLost {
			return false
		}
	}
	return true
}

// nothingLeft compares everything with the twin when there is no attachment.
func (k *walker) nothingLeft(s walk.Step, call netlab.Invocation) (what, details string) {
	if len(k.attached) > 0 || s.Verb != walk.Del || call.ExitCode < 0 {
		return "", ""
	}
	if k.loss != nil {
		return k.allButLost()
	}
	got, want := k.pod.is.withoutKept().sorted(), k.twin.is.withoutKept().sorted()
	got.rules, want.rules = withoutAnchors(got.rules), withoutAnchors(want.rules)
	if diff := want.diff(&got); diff != "" {
		if why := k.excuse(); why != "" {
			k.over = true
			return "", ""
		}
		return "all have left, and the pod differs from the twin", diff + k.mains() + fmt.Sprint(k.lost)
	}
	for key, want := range k.twin.is.settings {
		if got := k.pod.is.settings[key]; got != want {
			return "all have left, and a setting differs from the twin", fmt.Sprintf("%s: got %s, want %s", key, got, want)
		}
	}
	for _, d := range k.pod.is.devices {
		o, _ := k.twin.is.device(d.name)
		got, want := [5]int{d.rpFilter, d.arIgnore, d.announce, d.arpFilter}, [5]int{o.rpFilter, o.arIgnore, o.announce, o.arpFilter}
		got[4] = d.keepAddr // the twin's is the pod's while a link goes down: see mirrorKeepAddr
		if k.written[d.name] {
			got[0], want[0] = 0, 0
		}
		if got != want {
			return "all have left, and a device's settings differ from the twin", fmt.Sprintf("%s: got %v, want %v", d.name, got, want)
		}
	}
	if left := files(k.t, k.dataDir); len(left) > 0 {
		return "all have left, and a file has not", strings.Join(left, "\n")
	}
	clear(k.lost)
	return "", ""
}

// excuse says why the pod may differ from its twin: the defaults of NICs that were
// down or lost addresses meanwhile. What the kernel took from the twin then the pod
// may have had taken out, and got back. From here on the twin says nothing any more.
func (k *walker) excuse() string {
	got, want := k.pod.is.withoutKept(), k.twin.is.withoutKept()
	got.rules, want.rules = withoutAnchors(got.rules), withoutAnchors(want.rules)
	got.routes, want.routes = withoutDefaults(got.routes), withoutDefaults(want.routes)
	if got.diff(&want) != "" {
		return ""
	}
	kept := func(p walkPod) []string {
		var hops []string // what has come back to main stands behind the others there
		for _, r := range p.is.routes {
			for _, h := range r.hops {
				if r.defaultOfMain() && !k.lost[p.is.nameOf(h.index)] {
					hops = append(hops, fmt.Sprintf("%t %d %d %v %d", r.four, r.protocol, h.index, h.gateway, r.metric))
				}
			}
		}
		return slices.Sorted(slices.Values(hops))
	}
	if !slices.Equal(kept(k.pod), kept(k.twin)) {
		return ""
	}
	return "NICs lost their defaults"
}
