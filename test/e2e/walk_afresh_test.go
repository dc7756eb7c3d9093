package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/walk"
)

// age notes that something has happened since the ADDs of attachments.
func (k *walker) age(s walk.Step) {
	if s.Verb == walk.Add || s.Verb == walk.Check || s.Verb == walk.GC {
		return
	}
	for _, a := range k.attached {
		a.stale = true
	}
}

// arrange notes the order of attachments: that of their first ADDs, but for one that comes to take
// main, which is the latest then. Where another has main afterwards, those that gave tables to
// NICs that had lost it find that out when they are added again.
func (k *walker) arrange(name string, conf map[string]any) {
	a := k.attached[name]
	changes := a != nil && a.conf["mainDefault"] != conf["mainDefault"]
	if i := slices.Index(k.order, name); i >= 0 && changes && conf["mainDefault"] == "take" {
		k.order = slices.Delete(k.order, i, i+1)
	}
	for _, o := range k.attached {
		o.stale = o.stale || changes
	}
	if !slices.Contains(k.order, name) {
		k.order = append(k.order, name)
	}
}

// afresh holds attachments that have been added again, with whichever keys, to fresh ones: the
// twin, which lives the same life, gets the same attachments for the first time. They leave it
// again as it was.
func (k *walker) afresh() (what, details string) {
	if len(k.order) == 0 || k.loss != nil {
		return "", ""
	}
	if k.twin.is.hidesHops() || k.twin.is.hasFallback() {
		return "", ""
	}
	for _, name := range k.order {
		if d, there := k.pod.is.device(name); !there || !d.up || len(k.lost) > 0 {
			return "", "" // the twin's routes went with the link, which the pod's attachments remember
		}
	}
	for _, name := range slices.Clone(k.order) {
		if !k.attached[name].stale {
			continue
		}
		s := walk.Step{Verb: walk.Add, NIC: name, Config: k.attached[name].conf}
		call := k.call(s)
		k.observe()
		if what, details := k.judge(s, call); what != "" || call.ExitCode != 0 {
			return what, details
		}
	}
	for _, d := range k.twin.is.devices {
		if d.keepAddr != 0 { // see mirrorKeepAddr
			k.keepAddr(d.name, 0)
		}
	}
	defer func() { k.twin.was, k.twin.is = k.twin.is, k.look(k.twin) }()
	for _, name := range k.order {
		call := k.callIn(k.twin, walk.Step{Verb: walk.Add, NIC: name, Config: k.attached[name].conf})
		if call.ExitCode != 0 {
			return "ADD succeeds when it is repeated, and fails afresh", call.String()
		}
	}
	fresh := k.look(k.twin)
	got, want := k.portrait(k.pod, k.pod.is), k.portrait(k.twin, fresh)
	for _, name := range slices.Backward(k.order) {
		call := k.callIn(k.twin, walk.Step{Verb: walk.Del, NIC: name})
		if call.ExitCode != 0 {
			return "DEL failed", call.String()
		}
	}
	if diff := k.difference(want, got); diff != "" {
		return "ADD again has another outcome than ADD afresh", diff
	}
	left := k.look(k.twin)
	before, after := k.twin.is.withoutKept().sorted(), left.withoutKept().sorted()
	before.rules, after.rules = withoutAnchors(before.rules), withoutAnchors(after.rules)
	if diff := before.diff(&after); diff != "" {
		return "ADDs and DELs changed the twin", diff
	}
	return "", ""
}

// trait is one thing that attachments make of a pod: what it is, how it reads, and which NIC it is
// for if that is not the attachment's own: one that lost main to it, or that replies leave by.
type trait struct{ is, shows, other string }

// portrait is all that attachments make of a pod, with names in place of the numbers of tables,
// without what depends on the order of its life (IPv4 defaults of one metric).
func (k *walker) portrait(p walkPod, s *routing) []trait {
	k.t.Helper()
	records := k.records(p)
	tables, others := map[uint32]string{}, map[string]string{}
	for _, name := range k.order {
		for _, n := range records[name].State.NICs {
			for i, t := range n.Tables {
				tables[t.Number] = fmt.Sprintf("%d of %s, %s", i, n.Name, n.Role)
				if n.Role == "attached" {
					continue
				}
				others[tables[t.Number]] = n.Name
				if n.Role != "displaced" {
					continue
				}
				others[n.Name] = n.Name
				for _, source := range t.Sources {
					others[source.Prefix] = n.Name
				}
			}
		}
	}
	var out []trait
	kernel := func(f fact, abouts ...string) {
		table, ok := tables[f.table]
		if !ok {
			table = strconv.Itoa(int(f.table))
		}
		x := trait{is: f.anywhere + " in table " + table, shows: f.short + ": " + f.anywhere}
		for _, about := range append(abouts, table) {
			x.other = cmp.Or(x.other, others[about])
		}
		out = append(out, x)
	}
	for _, r := range s.rules {
		kernel(r.fact, r.from.String(), r.oif)
	}
	for _, r := range s.routes {
		kernel(r.fact)
	}
	add := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		out = append(out, trait{is: text, shows: text})
	}
	for _, a := range s.addresses {
		add("%s", a.short)
	}
	all := atoi(s.settings["ipv4/conf/all/rp_filter"])
	add("rp_filter of devices to come: %d", max(all, atoi(s.settings["ipv4/conf/default/rp_filter"])))
	for _, d := range s.devices {
		add("%s: arp_ignore %d, arp_announce %d, arp_filter %d, keep_addr_on_down %d", d.name, d.arIgnore, d.announce, d.arpFilter, d.keepAddr)
		if !k.written[d.name] {
			add("%s: effective rp_filter %d", d.name, max(all, d.rpFilter))
		}
	}
	for _, name := range k.order {
		for _, line := range records[name].lines() {
			add("record of %s: %s", name, line)
		}
	}
	slices.SortFunc(out, func(a, b trait) int { return strings.Compare(a.is, b.is) })
	// Several may give one NIC a table: the latest that takes main, and one that another gave
	// before it. One is as good as two.
	return slices.CompactFunc(out, func(a, b trait) bool { return a.is == b.is && a.other != "" })
}

// remembered is the part of a record that depends neither on what was before nor on what came
// since. That its rules and routes are the kernel's CHECK says, and DEL, which takes them all.
type remembered struct {
	IfName  string
	State   rememberedState
	Earlier []rememberedState
	Lost    bool
}

type rememberedState struct {
	NICs []struct {
		Name, Role string
		Tables     []struct {
			Number  uint32
			Sources []struct {
				Prefix, Subnet string
				Exit           []string
			}
		}
	}
	Settings map[string]struct{ Wants, Least json.RawMessage }
	Main     struct {
		Wish string
		NICs json.RawMessage
		Made []string
	}
	LVS json.RawMessage
}

func (r remembered) lines() []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, n := range r.State.NICs {
		for i, t := range n.Tables {
			if n.Role == "attached" {
				add("%s, %s: sources of table %d: %v", n.Name, n.Role, i, t.Sources)
			}
		}
	}
	for key, m := range r.State.Settings {
		if m.Wants != nil || m.Least != nil {
			add("setting %s: %s %s", key, m.Wants, m.Least)
		}
	}
	m := r.State.Main
	add("main: %s, NICs %s, made %q", m.Wish, m.NICs, m.Made)
	add("lvs: %s", r.State.LVS)
	add("lost %t, earlier states: %d", r.Lost, len(r.Earlier))
	return out
}

// records are those of a pod's attachments, by NIC.
func (k *walker) records(p walkPod) map[string]remembered {
	k.t.Helper()
	out := map[string]remembered{}
	for _, file := range files(k.t, p.names.DataDir) {
		if filepath.Ext(file) != ".json" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			k.t.Fatal(err)
		}
		var r remembered
		if err := json.Unmarshal(text, &r); err != nil {
			k.t.Fatalf("%s: %v", file, err)
		}
		out[r.IfName] = r
	}
	return out
}

// difference lists what only one of two portraits has, or has more often. Of a NIC that has an
// attachment itself it does not matter whether another one gave it a table, too, or what is in that:
// it depends on which came first.
func (k *walker) difference(want, got []trait) string {
	var out strings.Builder
	only := func(sign string, x trait) {
		if k.attached[x.other] == nil {
			fmt.Fprintf(&out, "%s %s\n", sign, x.shows)
		}
	}
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0].is < got[0].is:
			only("-", want[0])
			want = want[1:]
		case len(want) == 0 || got[0].is < want[0].is:
			only("+", got[0])
			got = got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	return out.String()
}

// hidesHops reports whether the kernel cannot tell all of an IPv6 default of several hops: of the second and further ones
// it tells the attributes only when it is asked for the way by their devices, and then a better route is the answer.
func (s *routing) hidesHops() bool {
	return slices.ContainsFunc(s.routes, func(r route) bool {
		return !r.four && r.defaultOfMain() && len(r.hops) > 1 && slices.ContainsFunc(s.routes, func(o route) bool {
			return !o.four && o.defaultOfMain() && o.metric < r.metric
		})
	})
}

// hasFallback reports whether others have made a fallback in our name: the refusals of all that were there with it then stay
// (rules.StaleFallbacks), also in the twin.
func (s *routing) hasFallback() bool {
	return slices.ContainsFunc(s.rules, func(r rule) bool {
		return r.ours && r.action == unix.FR_ACT_TO_TBL && r.priority >= 49999
	})
}
