package plan

import (
	"fmt"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

const rpFilterKey = "rp_filter"

// rpValues are the numbers below /proc/sys/net/ipv4/conf/*/rp_filter.
type rpValues struct {
	all, def int
	devices  map[int]int // by index
}

// rpTargets computes what every number has to be from what it was before any
// attachment came and from the effective modes that are wanted. The kernel uses
// max(all, device), so a device can only be stricter or more open than all if
// all does not exceed it: all goes down to the lowest number wanted, and
// whoever did not ask is handed what all gave it before. IPv6 has no such
// filter.
func rpTargets(was rpValues, wants map[int]int) rpValues {
	now := rpValues{all: was.all, def: was.def, devices: make(map[int]int, len(was.devices))}
	for _, mode := range wants {
		now.all = min(now.all, mode)
	}
	lowered := now.all < was.all
	if lowered {
		now.def = max(was.all, was.def)
	}
	for index, own := range was.devices {
		mode, wanted := wants[index]
		switch {
		case wanted:
			now.devices[index] = mode
		case lowered:
			now.devices[index] = max(was.all, own)
		default:
			now.devices[index] = own
		}
	}
	return now
}

// rpSeen are the numbers as they are.
func rpSeen(s *fib.Snapshot) rpValues {
	v := rpValues{all: s.RPFilterAll, def: s.RPFilterDefault, devices: make(map[int]int, len(s.Links))}
	for _, l := range s.Links {
		if l.HasIPv4 {
			v.devices[l.Index] = l.RPFilter
		}
	}
	return v
}

// rpOriginals are the numbers as they were before the first of the attachments
// came: remembered ones, and for what no attachment touched, what is seen.
func rpOriginals(s *fib.Snapshot, attachments []record.Attachment) rpValues {
	was := rpSeen(s)
	lowered := false
	for _, a := range attachments {
		if a.RPFilter.All != nil && a.RPFilter.Default != nil {
			was.all, was.def = *a.RPFilter.All, *a.RPFilter.Default
			lowered = true
		}
	}
	for index, own := range was.devices {
		if d, ok := rpRemembered(attachments, index); ok {
			was.devices[index] = d.Value
		} else if lowered && own == max(was.all, was.def) {
			// It came after all was lowered and was born with the default that
			// we had handed down.
			was.devices[index] = was.def
		}
	}
	return was
}

func rpRemembered(attachments []record.Attachment, index int) (record.Device, bool) {
	for _, a := range attachments {
		if d, ok := a.RPFilter.Original(index); ok {
			return d, true
		}
	}
	return record.Device{}, false
}

func rpWants(attachments []record.Attachment) map[int]int {
	wants := map[int]int{}
	for _, a := range attachments {
		for _, w := range a.RPFilter.Wants {
			wants[w.Index] = w.Value
		}
	}
	return wants
}

// rpMemory is what an attachment has to remember so that every number can be
// restored by whichever attachment leaves last.
func rpMemory(s *fib.Snapshot, was, now rpValues, wants []record.Device) record.RPFilter {
	m := record.RPFilter{Wants: wants}
	lowered := now.all < was.all
	if lowered {
		m.All, m.Default = &was.all, &was.def
	}
	for _, l := range s.Links {
		before, ok := was.devices[l.Index]
		// Where all is lowered any device may have to be raised by the time an
		// earlier attachment leaves.
		if ok && (lowered || before != now.devices[l.Index]) {
			m.Devices = append(m.Devices, record.Device{Index: l.Index, Name: l.Name, Value: before})
		}
	}
	return m
}

// rpOps lists the writes from one state to the other, in an order in which no
// effective mode is ever below what it is before or after: going down, all
// comes last; going up, first.
func rpOps(s *fib.Snapshot, from, to rpValues) []Op {
	var devices, def, all []Op
	for _, l := range s.Links {
		// A write to default spreads to every device whose own file was never
		// written (devinet_copy_dflt_conf): so then each of them is.
		if a, b := from.devices[l.Index], to.devices[l.Index]; a != b || (l.HasIPv4 && from.def != to.def) {
			devices = append(devices, Set{Device: l.Name, Key: rpFilterKey, Was: a, Value: b})
		}
	}
	if from.def != to.def {
		def = append(def, Set{Device: "default", Key: rpFilterKey, Was: from.def, Value: to.def})
	}
	if from.all != to.all {
		all = append(all, Set{Device: "all", Key: rpFilterKey, Was: from.all, Value: to.all})
	}
	if to.all > from.all {
		return append(append(all, def...), devices...)
	}
	return append(append(devices, def...), all...)
}

// rpRestore lists the writes that take an attachment's wishes back. A number
// that somebody else has changed since is left as it is.
func rpRestore(s *fib.Snapshot, mine record.Attachment, others []record.Attachment) []Op {
	everybody := append([]record.Attachment{mine}, others...)
	was := rpOriginals(s, everybody)
	ours := rpTargets(was, rpWants(everybody))
	after := rpTargets(was, rpWants(others))
	seen := rpSeen(s)
	keepForeign := func(seen, ours, after int) int {
		if seen != ours {
			return seen
		}
		return after
	}
	to := rpValues{
		all:     keepForeign(seen.all, ours.all, after.all),
		def:     keepForeign(seen.def, ours.def, after.def),
		devices: map[int]int{},
	}
	for index, value := range seen.devices {
		to.devices[index] = keepForeign(value, ours.devices[index], after.devices[index])
	}
	return rpOps(s, seen, to)
}

// rpWanted lists the modes that a configuration asks for, and refuses what
// cannot be had.
func rpWanted(in Input, nics []NIC) ([]record.Device, error) {
	var wants []record.Device
	want := func(path string, l fib.Link, mode config.RPFilter) error {
		if mode == config.RPFilterKeep || !l.HasIPv4 {
			return nil
		}
		for _, o := range in.Others {
			for _, w := range o.RPFilter.Wants {
				if w.Index == l.Index && w.Value != int(mode) {
					return config.Faults{{Path: path, Problem: fmt.Sprintf(
						"%s is to be %s, but the attachment %s of network %q set it to %s: let both say the same, or one of them \"keep\"",
						l.Name, modeText(int(mode)), o.IfName, o.Network, modeText(w.Value))}}
				}
			}
		}
		wants = append(wants, record.Device{Index: l.Index, Name: l.Name, Value: int(mode)})
		return nil
	}
	for _, n := range nics {
		if err := want("rpFilter", n.Link, in.Config.RPFilter); err != nil {
			return nil, err
		}
	}
	for _, name := range sortedKeys(in.Config.Interfaces) {
		path := "interfaces." + name
		l, ok := in.Seen.Link(name)
		if !ok {
			return nil, config.Faults{{Path: path, Problem: "the pod has no such device; it has " + linkNames(in.Seen)}}
		}
		for _, n := range nics {
			if n.Link.Index == l.Index {
				return nil, config.Faults{{Path: path, Problem: "is a NIC of this attachment: use the key rpFilter beside type"}}
			}
		}
		if err := want(path+".rpFilter", l, in.Config.Interfaces[name]); err != nil {
			return nil, err
		}
	}
	return wants, nil
}

// modeText names a mode as the configuration does.
func modeText(mode int) string {
	switch config.RPFilter(mode) {
	case config.RPFilterOff:
		return "off (0)"
	case config.RPFilterStrict:
		return "strict (1)"
	case config.RPFilterLoose:
		return "loose (2)"
	default:
		return fmt.Sprint(mode)
	}
}
