package settings

import (
	"fmt"

	"github.com/symroute/symroute/pkg/config"
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

// ModeText names a mode as the configuration does.
func ModeText(mode int) string {
	switch config.RPFilter(mode) {
	case config.RPFilterOff:
		return "off (0)"
	case config.RPFilterStrict:
		return "strict (1)"
	case config.RPFilterLoose:
		return "loose (2)"
	case config.RPFilterKeep:
		return "keep"
	}
	return fmt.Sprint(mode) // somebody else's
}
