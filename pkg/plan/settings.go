package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/lvs"
	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
	"github.com/symroute/symroute/pkg/tables"
)

// What a NIC needs to answer for its own addresses only, and to ask with one of
// them (ip-sysctl: arp_ignore, arp_announce, arp_filter).
const (
	isolatedIgnore   = 1
	isolatedAnnounce = 2
	isolatedFilter   = 1
)

// settingWishes lists what the attachment wants of settings, by key, and what of that cannot be had.
func (s situation) settingWishes(nics []tables.NIC, server *lvs.Server) (map[string]settings.Wish, config.Faults) {
	modes, faults := s.modes(nics, server)
	wishes := map[string]settings.Wish{fib.RPFilter: {Devices: modes}}
	if s.Config.ARP == config.ARPIsolate {
		wishes[fib.ARPIgnore] = settings.Wish{Devices: each(nics, isolatedIgnore)}
		wishes[fib.ARPAnnounce] = settings.Wish{Devices: each(nics, isolatedAnnounce)}
		wishes[fib.ARPFilter] = settings.Wish{Devices: each(nics, isolatedFilter)}
	}
	if s.Config.LVS != nil {
		for key, least := range map[string]int{fib.ARPIgnore: isolatedIgnore, fib.ARPAnnounce: isolatedAnnounce} {
			w := wishes[key]
			w.Least = least
			wishes[key] = w
		}
	}
	var kept []settings.Device
	for _, n := range nics {
		if n.Link.IPv6 && slices.ContainsFunc(n.Sources, func(x state.Source) bool { return x.Family() == fib.V6 }) {
			kept = append(kept, settings.Device{Index: n.Link.Index, Name: n.Link.Name, Value: 1})
		}
	}
	wishes[fib.KeepAddrOnDown] = settings.Wish{Devices: kept}
	return wishes, faults
}

// each wants one value of all devices that have IPv4.
func each(nics []tables.NIC, value int) []settings.Device {
	var out []settings.Device
	for _, n := range nics {
		if n.Link.HasIPv4 {
			out = append(out, settings.Device{Index: n.Link.Index, Name: n.Link.Name, Value: value})
		}
	}
	return out
}

// modes lists the effective modes of rp_filter that a configuration asks for, and what of that
// cannot be had.
func (s situation) modes(nics []tables.NIC, server *lvs.Server) ([]settings.Device, config.Faults) {
	var wants []settings.Device
	var faults config.Faults
	fault := func(path, format string, values ...any) {
		faults = append(faults, config.Fault{Path: path, Problem: fmt.Sprintf(format, values...)})
	}
	want := func(path string, l fib.Link, mode config.RPFilter) {
		if mode == config.RPFilterKeep || !l.HasIPv4 {
			return
		}
		for _, o := range s.Others {
			if value, ok := o.State.Settings[fib.RPFilter].Wants(l.Index); ok && value != int(mode) {
				fault(path, "%s is to be %s, but the attachment %s of network %q set it to %s: let both say the same, or one of them \"keep\"",
					l.Name, settings.ModeText(int(mode)), o.IfName, o.Network, settings.ModeText(value))
				return
			}
		}
		wants = append(wants, settings.Device{Index: l.Index, Name: l.Name, Value: int(mode)})
	}
	for _, n := range nics {
		want("rpFilter", n.Link, s.Config.RPFilter)
	}
	faults = append(faults, server.TunnelModes(s.Config, want)...)
	for _, name := range slices.Sorted(maps.Keys(s.Config.Interfaces)) {
		path := "interfaces." + name
		l, ok := s.Seen.Link(name)
		switch {
		case !ok:
			fault(path, "the pod has no such device; it has %s", s.Seen.LinkNames())
		case slices.ContainsFunc(nics, func(n tables.NIC) bool { return n.Link.Index == l.Index }):
			fault(path, "is a NIC of this attachment: use the key rpFilter beside type")
		default:
			want(path+".rpFilter", l, s.Config.Interfaces[name])
		}
	}
	return wants, faults
}

// ReadsARP reports whether a plan depends on the settings for ARP that belong to no
// device.
func ReadsARP(in Input) bool {
	if in.Config != nil && (in.Config.LVS != nil || in.Config.ARP == config.ARPIsolate) {
		return true
	}
	all := in.otherStates()
	if in.Mine != nil {
		all = append(all, in.Mine.States()...)
	}
	return slices.ContainsFunc(all, func(s state.State) bool { return !s.Settings[fib.ARPIgnore].Empty() })
}

// notesOnSettings tells of what makes an isolated NIC answer less than it should.
func notesOnSettings(seen *fib.Snapshot, s state.State) []string {
	var notes []string
	for _, d := range overruled(seen, s) {
		notes = append(notes, d.String())
	}
	return notes
}
