package plan

import (
	"fmt"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// rpTargets computes what every number has to be from what it was before any
// attachment came and from the effective modes that are wanted. The kernel uses
// max(all, device), so a device can only be stricter or more open than all if
// all does not exceed it: all goes down to the lowest number wanted, and
// whoever did not ask is handed what all gave it before. IPv6 has no such
// filter.
func rpTargets(was values, wants map[int]int) values {
	now := values{all: was.all, def: was.def, devices: make(map[int]int, len(was.devices))}
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

// rpWanted lists the modes that a configuration asks for, and refuses what
// cannot be had.
func rpWanted(in Input, nics []NIC, rs *RealServer) ([]record.Device, error) {
	var wants []record.Device
	want := func(path string, l fib.Link, mode config.RPFilter) error {
		if mode == config.RPFilterKeep || !l.HasIPv4 {
			return nil
		}
		for _, o := range in.Others {
			for _, w := range o.Settings[fib.RPFilter].Wants {
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
	if err := rs.tunnelModes(in, want); err != nil {
		return nil, err
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
