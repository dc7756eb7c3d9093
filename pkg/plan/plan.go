// Package plan computes, from a configuration, the result of the plugins before
// and what was seen of the pod, the routing that the pod shall have, and the
// changes that lead there and back. It makes no system calls.
package plan

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// ErrState is wrapped by the error for a pod that is in no state to be set up:
// a NIC that is down, a source that another NIC holds. The configuration may
// be right all the same.
var ErrState = errors.New("the pod's network is in no state for this")

// Input is everything that a plan depends on.
type Input struct {
	Config *config.Config
	Key    record.Key
	// InPod says of each interface of the result whether its sandbox is, or may
	// be, this pod; one that is and has no device there does not count.
	InPod []bool
	Seen  *fib.Snapshot
	// Mine is what is remembered of this attachment, nil for nothing; Others
	// what is remembered of the others of the same namespace.
	Mine   *record.Attachment
	Others []record.Attachment
	// Then is the main table as ADD saw it, for CHECK; nil: as it is seen.
	Then []fib.Route
	// Vacant asks whether a routing table holds no route.
	Vacant func(table uint32) (bool, error)
}

// situation is an Input with what follows from it and is asked for again and again.
// Its lists are read, never changed.
type situation struct {
	Input
	// originals are main's defaults as they would be had no attachment come, main is
	// the whole table.
	originals, main []fib.Route
	// own is what of our rules and tables belongs to the attachment.
	own owned
}

func situationOf(in Input) situation {
	s := situation{Input: in, originals: originals(in), own: ownership(in)}
	s.main = mainWithoutUs(in, s.originals)
	return s
}

// Desired is the routing that an attachment shall have.
type Desired struct {
	NICs []NIC
	// Rules and Routes are ours, in the order in which the kernel accepts them.
	Rules  []fib.Rule
	Routes []fib.Route
	// Settings are the wishes for device settings, by key (fib.RPFilter ...).
	Settings map[string]SettingWish
	// Server is what an LVS real server has beside; nil: the pod is none.
	Server *RealServer
	// reorderings mend the order of our rules when those that are missing are there.
	reorderings []Reorder
	// Before and After are main's defaults without and with the attachment's
	// wish, in their order, IPv6 ones hop by hop.
	Before, After []fib.Route

	// Memory is what has to be remembered before anything is changed.
	Memory record.Attachment
	// Notes are for the operator: what was left alone, and why.
	Notes []string
}

// NIC is an interface with sources of its own.
type NIC struct {
	Link    fib.Link
	Sources []Source
	Tables  []Table
	// displaced marks a NIC that is not of the attachment: its default was.
	displaced bool
	// attached marks a displaced one that has an attachment of its own by now.
	attached bool
	// replies marks one by which answers from VIPs leave.
	replies bool
}

// RepliesOnly reports whether the NIC is not the attachment's, and answers from
// VIPs leave by it.
func (n NIC) RepliesOnly() bool { return n.replies }

// Attached reports whether the NIC is a displaced one that has an attachment of its
// own by now: the rules of that one stand first.
func (n NIC) Attached() bool { return n.attached }

func (n NIC) has(source netip.Prefix) bool {
	return slices.ContainsFunc(n.Sources, func(s Source) bool { return s.Prefix == source })
}

// Source is what a source rule matches.
type Source struct {
	Prefix netip.Prefix
	// Subnet is the connected prefix of an address of the NIC; not valid for a
	// source that the configuration names.
	Subnet netip.Prefix
	// Exit is how its default route leaves; empty: it has none.
	Exit []fib.Hop
	// Arrival is the device by which packets for a VIP come; without index: that
	// of the NIC.
	Arrival fib.Link
	// MaxMSS is the most that its segments may hold, in bytes; 0: as it comes.
	MaxMSS uint32
	// Held marks a source of a displaced NIC that the NIC's own attachment has by now,
	// whose rules decide for it: it is there that its way is judged.
	Held bool
}

// Family is the address family of the source.
func (s Source) Family() fib.Family { return fib.FamilyOf(s.Prefix.Addr()) }

// Table is the routing table of one NIC and one set of gateways per family.
type Table struct {
	Number  uint32
	Sources []Source
	Routes  []fib.Route
}

// Families lists the families that the table has sources of.
func (t Table) Families() []fib.Family {
	var out []fib.Family
	for _, f := range fib.Families() {
		if slices.ContainsFunc(t.Sources, func(s Source) bool { return s.Family() == f }) {
			out = append(out, f)
		}
	}
	return out
}

// Build computes the plan. Where the attachment's own interface has no network
// device (a virtual function bound to a userspace driver) there is nothing to
// do and the plan is empty.
//
// A wrong configuration is a config.Faults, a pod in no state to be set up wraps
// ErrState.
func Build(in Input) (*Desired, error) {
	with := withTunnels(in)
	links, err := attachmentLinks(with)
	if err != nil || len(links) == 0 {
		return &Desired{Memory: record.Attachment{Key: in.Key}}, err
	}
	d := &Desired{}
	if d.Server, err = realServer(with, in, links); err != nil {
		return nil, err
	}
	if err := d.build(situationOf(with), in, links); err != nil {
		return nil, err
	}
	return d, nil
}

// build plans what the attachment's interfaces get. Actual is what was seen, without
// the tunnels that are to be made.
func (d *Desired) build(in situation, actual Input, links []fib.Link) (err error) {
	if d.NICs, err = nics(in, links, d.Server); err != nil {
		return err
	}
	replies, err := d.Server.replyNIC(in, links)
	if err != nil {
		return err
	}
	if err := checkState(in, slices.Concat(d.NICs, replies)); err != nil {
		return err
	}
	if d.Settings, err = settingWishes(in.Input, links, d.NICs, d.Server); err != nil {
		return err
	}
	mainWish, err := wishOf(in, d.NICs)
	if err != nil {
		return err
	}
	d.wishFor(in, mainWish)
	d.NICs = append(d.NICs, replies...)
	if err := numberTables(in, d.NICs); err != nil {
		return err
	}
	for _, n := range d.NICs {
		d.Rules = append(d.Rules, rules(in.Input, n)...)
		for _, t := range n.Tables {
			d.Routes = append(d.Routes, t.Routes...)
		}
	}
	slices.SortStableFunc(d.Rules, ruleOrder)
	if err := localFirst(in.Seen, d.Rules); err != nil {
		return err
	}
	d.Notes = append(d.Notes, d.Server.notes()...)
	for _, o := range overruled(in.Seen, d) {
		d.Notes = append(d.Notes, o.String())
	}
	d.reorderings = reorderings(rulesAdded(in.Input, d), settled)
	d.Memory = memory(in, d)
	d.Memory.LVS = lvsMemory(actual, d)
	d.Memory.Wish = mainWish.encode()
	return nil
}

// wishFor plans the main table.
func (d *Desired) wishFor(in situation, w *wish) {
	others := standingWishes(in.Input)
	before := defaultTargets(in.originals, others, in.exists)
	after := before
	if w != nil {
		after = defaultTargets(in.originals, append(others, *w), in.exists)
		d.Notes = w.leftAlone(living(in.Seen, in.originals))
		d.NICs = append(d.NICs, w.displacedNICs(in)...)
	}
	d.Before, d.After = attainable(in.Seen, before), attainable(in.Seen, after)
	d.Notes = append(d.Notes, unattainable(in.Seen, after, d.NICs)...)
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
				return nil, fmt.Errorf("%w: %s is the loopback device, which needs no routing of its own", ErrState, name)
			}
			continue
		}
		links = append(links, l)
	}
	return links, nil
}

const kindVRF = "vrf"

// checkState refuses what cannot work before anything is written.
func checkState(in situation, nics []NIC) error {
	for _, n := range nics {
		if len(n.Sources) == 0 {
			continue // the reverse-path filter alone
		}
		if !n.Link.Up {
			return fmt.Errorf("%w: %s is administratively down, and the kernel takes no routes for it: set it up first (ip link set %s up)", ErrState, n.Link.Name, n.Link.Name)
		}
		if master, ok := in.Seen.LinkAt(n.Link.Master); ok && master.Kind == kindVRF {
			return fmt.Errorf("%w: %s is enslaved to the VRF %s, whose table %d decides for it: symroute can only set its rpFilter (a NIC without addresses)",
				ErrState, n.Link.Name, master.Name, master.VRFTable)
		}
		for _, s := range n.Sources {
			if err := unclaimed(in, n, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// unclaimed refuses a source that another NIC holds: a packet from it could
// leave by one of them only.
func unclaimed(in situation, n NIC, s Source) error {
	l := n.Link
	for _, r := range in.Seen.Rules {
		if r.From != s.Prefix || !isSource(r) {
			continue
		}
		if nic := tableOwner(in.Seen.Rules, r.Table); (nic != l.Name || n.replies) && !in.own.tables[r.Table] {
			return fmt.Errorf("%w: the source %s of %s belongs to %s already (rule %q)", ErrState, prefixText(s.Prefix), l.Name, nic, r)
		}
	}
	for _, a := range in.Seen.Addresses {
		if a.Index == l.Index || !s.Prefix.Contains(a.Prefix.Addr()) {
			continue
		}
		other, ok := in.Seen.LinkAt(a.Index)
		meant := other.Loopback || fib.IsHost(s.Prefix) && silent(other) // a VIP, by its own name
		if ok && !meant && !guarded(in.Input, a, other) {
			return fmt.Errorf("%w: the source %s of %s takes the address %s of %s with it", ErrState, prefixText(s.Prefix), l.Name, a.Prefix.Addr(), other.Name)
		}
	}
	return nil
}

// guarded reports whether an address has a source rule of its own NIC, which
// stands before that of any prefix of ours.
func guarded(in Input, a fib.Address, nic fib.Link) bool {
	return slices.ContainsFunc(in.Seen.Rules, func(r fib.Rule) bool {
		return isSource(r) && r.Priority <= in.Config.Priority && r.From == fib.Host(a.Prefix.Addr()) && tableOwner(in.Seen.Rules, r.Table) == nic.Name
	})
}

// localFirst makes sure that packets to the pod's own addresses are seen as
// such before our rules are asked.
func localFirst(s *fib.Snapshot, ours []fib.Rule) error {
	for _, f := range fib.Families() {
		first := slices.IndexFunc(ours, func(r fib.Rule) bool { return r.Family == f })
		if first < 0 {
			continue
		}
		ahead := slices.ContainsFunc(s.Rules, func(r fib.Rule) bool {
			return r.Family == f && r.Plain() && !r.From.IsValid() && !r.To.IsValid() && r.IIF == "" && r.OIF == "" &&
				r.Action == fib.Lookup && r.Table == localTable && r.Priority < ours[first].Priority
		})
		if !ahead {
			return fmt.Errorf("%w: no %s rule \"from all lookup local\" stands before priority %d: ours would send the pod's own traffic out", ErrState, f, ours[first].Priority)
		}
	}
	return nil
}

// memory is what has to be remembered of the plan. What an earlier ADD of the
// same attachment remembers is older, so it stays.
func memory(in situation, d *Desired) record.Attachment {
	m := record.Attachment{Key: in.Key, Earlier: in.earlier()}
	m.Settings = map[string]record.Setting{}
	for _, key := range settingKeys() {
		if s := settingMemory(in.Input, key, d.Settings[key]); !s.Empty() {
			m.Settings[key] = s
		}
	}
	for _, n := range d.NICs {
		if n.displaced {
			m.Displaced = append(m.Displaced, n.Link.Index)
		}
		for _, t := range n.Tables {
			m.Tables = append(m.Tables, t.Number)
		}
		for _, s := range n.Sources {
			m.Sources = append(m.Sources, s.Prefix)
		}
	}
	m.Main = rememberedMain(in, d.NICs)
	for _, r := range lostInMove(in.Input) {
		m.Moving = append(m.Moving, fib.EncodeRoute(r))
	}
	m.Order = rememberedOrder(in.Input, d)
	for _, f := range fib.Families() {
		// One that is not put in, because its NIC is down, CHECK will not miss.
		if len(ofFamily(living(in.Seen, in.originals), f)) > 0 && len(ofFamily(d.After, f)) > 0 {
			m.MainDefaults = append(m.MainDefaults, f)
		}
	}
	return m
}

// String prints the plan as iproute2 would print the state.
func (d *Desired) String() string {
	var b strings.Builder
	for _, r := range d.Rules {
		fmt.Fprintf(&b, "%s\n", commandOf("rule", r.Family, r.String()))
	}
	for _, r := range d.Routes {
		fmt.Fprintf(&b, "%s\n", commandOf("route", r.Family, r.String()))
	}
	for _, r := range d.Before {
		if !slices.ContainsFunc(d.After, r.Equal) {
			fmt.Fprintf(&b, "main: - %s\n", commandOf("route", r.Family, r.String()))
		}
	}
	for _, r := range d.After {
		if !slices.ContainsFunc(d.Before, r.Equal) {
			fmt.Fprintf(&b, "main: + %s\n", commandOf("route", r.Family, r.String()))
		}
	}
	for _, w := range d.Settings[fib.RPFilter].Devices {
		fmt.Fprintf(&b, "rp_filter %s: effectively %s\n", w.Name, modeText(w.Value))
	}
	for _, key := range settingKeys() {
		if key == fib.RPFilter {
			continue
		}
		for _, w := range d.Settings[key].Devices {
			fmt.Fprintf(&b, "%s %s=%d\n", w.Name, key, w.Value)
		}
		if least := d.Settings[key].Least; least > 0 {
			fmt.Fprintf(&b, "every NIC %s>=%d\n", key, least)
		}
	}
	if d.Server != nil {
		for _, v := range d.Server.VIPs {
			fmt.Fprintf(&b, "VIP %s dev %s\n", v, d.Server.deviceName(v.Index))
		}
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

func commandOf(object string, f fib.Family, text string) string {
	if f == fib.V6 {
		return "-6 " + object + " " + text
	}
	return "-4 " + object + " " + text
}

// prefixText prints an address as such, and a prefix with its length.
func prefixText(p netip.Prefix) string {
	if fib.IsHost(p) {
		return p.Addr().String()
	}
	return p.String()
}

func linkNames(s *fib.Snapshot) string {
	var names []string
	for _, l := range s.Links {
		names = append(names, l.Name)
	}
	return strings.Join(names, ", ")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
