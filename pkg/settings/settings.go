// Package settings works out the device settings of a pod (fib.Settings): what each number
// has to be from what it was before any attachment came and from the wishes of all
// attachments that are there, so that these may leave in any order.
package settings

import (
	"fmt"
	"maps"
	"slices"

	"github.com/symroute/symroute/pkg/change"
	"github.com/symroute/symroute/pkg/fib"
)

// loopback is the index of lo (LOOPBACK_IFINDEX).
const loopback = 1

// Keys lists the settings in the order in which they are written.
func Keys() []string {
	return []string{fib.KeepAddrOnDown, fib.ARPIgnore, fib.ARPAnnounce, fib.ARPFilter, fib.RPFilter}
}

// Device is a number that belongs to one device.
type Device struct {
	Index int    `json:"index"`
	Name  string `json:"name"` // on ADD; for the reader, the index decides
	Value int    `json:"value"`
}

// Wish is what an attachment wants of one setting.
type Wish struct {
	// Devices are the values wanted of devices; of rp_filter the effective ones.
	Devices []Device `json:"wants,omitempty"`
	// Least is what every device but lo shall have at least, now and later.
	Least int `json:"least,omitempty"`
}

// Memory is a wish, and an attachment's part of what the setting was.
type Memory struct {
	Wish
	// All and Default are conf/all and conf/default before the first attachment
	// changed them; nil where this one did not need them changed.
	All     *int `json:"all,omitempty"`
	Default *int `json:"default,omitempty"`
	// Originals are the devices' own values from before.
	Originals []Device `json:"originals,omitempty"`
}

// Memories are those of one attachment, by key.
type Memories = map[string]Memory

// Empty reports whether there is nothing to remember of a setting.
func (m Memory) Empty() bool {
	return m.All == nil && m.Default == nil && len(m.Originals) == 0 && len(m.Devices) == 0 && m.Least == 0
}

// Wants is the value that is wanted of a device.
func (w Wish) Wants(index int) (int, bool) {
	i := slices.IndexFunc(w.Devices, func(d Device) bool { return d.Index == index })
	if i < 0 {
		return 0, false
	}
	return w.Devices[i].Value, true
}

// Text says what is wanted of a setting, a line each.
func (w Wish) Text(key string) []string {
	var out []string
	for _, d := range w.Devices {
		if key == fib.RPFilter {
			out = append(out, fmt.Sprintf("rp_filter %s: effectively %s", d.Name, ModeText(d.Value)))
		} else {
			out = append(out, fmt.Sprintf("%s %s=%d", d.Name, key, d.Value))
		}
	}
	if w.Least > 0 {
		out = append(out, fmt.Sprintf("every NIC %s>=%d", key, w.Least))
	}
	return out
}

// values are the numbers of one setting in a namespace.
type values struct {
	all, def int
	devices  map[int]int // by index
}

// wanted is what all attachments together want of one setting.
type wanted struct {
	devices map[int]int
	least   int
}

func (w *wanted) add(wish Wish) {
	if w.devices == nil {
		w.devices = map[int]int{}
	}
	for _, d := range wish.Devices {
		w.devices[d.Index] = d.Value
	}
	w.least = max(w.least, wish.Least)
}

// wantedBy adds up the wishes of attachments.
func wantedBy(key string, attachments []Memories) wanted {
	var w wanted
	for _, a := range attachments {
		w.add(a[key].Wish)
	}
	return w
}

// targets computes what every number of a setting has to be.
func targets(key string, was values, w wanted) values {
	if key == fib.RPFilter {
		return rpTargets(was, w.devices)
	}
	now := values{all: was.all, def: was.def, devices: maps.Clone(was.devices)}
	for index := range was.devices {
		if value, ok := w.devices[index]; ok {
			now.devices[index] = value
		}
	}
	if w.least == 0 { // no wish, and a number may be negative (keep_addr_on_down)
		return now
	}
	now.def = max(was.def, w.least)
	for index := range was.devices {
		if index != loopback {
			now.devices[index] = max(now.devices[index], w.least)
		}
	}
	return now
}

// seenValues are the numbers as they are.
func seenValues(s *fib.Snapshot, key string) values {
	v := values{all: s.All.Of(key), def: s.Default.Of(key), devices: make(map[int]int, len(s.Links))}
	for _, l := range s.Links {
		if has(l, key) {
			v.devices[l.Index] = l.Of(key)
		}
	}
	return v
}

// has reports whether a device has a setting at all.
func has(l fib.Link, key string) bool {
	if key == fib.KeepAddrOnDown {
		return l.HasIPv6
	}
	return l.HasIPv4
}

// originalValues are the numbers as they were before the first of the
// attachments came: remembered ones, and for what no attachment touched, what is
// seen.
func originalValues(s *fib.Snapshot, key string, attachments []Memories) values {
	was := seenValues(s, key)
	changed := false
	for _, a := range attachments {
		if m := a[key]; m.All != nil && m.Default != nil {
			was.all, was.def = *m.All, *m.Default
			changed = true
		}
	}
	born := targets(key, values{all: was.all, def: was.def}, wantedBy(key, attachments)).def
	remembered := rememberedValues(key, attachments)
	for index, own := range was.devices {
		if value, ok := remembered[index]; ok {
			was.devices[index] = value
		} else if changed && own == born {
			// It came since, and was born with the default that is ours.
			was.devices[index] = was.def
		}
	}
	return was
}

// rememberedValues are the devices' own, each as the first attachment has it that knows one.
func rememberedValues(key string, attachments []Memories) map[int]int {
	out := map[int]int{}
	for _, a := range slices.Backward(attachments) {
		for _, d := range slices.Backward(a[key].Originals) {
			out[d.Index] = d.Value
		}
	}
	return out
}

// Remember is what an attachment has to remember so that every number can be restored by
// whichever attachment leaves last. Mine is what it remembers of earlier ADDs.
func Remember(seen *fib.Snapshot, key string, wish Wish, mine, others []Memories) Memory {
	now := seenValues(seen, key)
	was := originalValues(seen, key, slices.Concat(mine, others))
	then := targets(key, was, wantedWith(key, wish, others))
	m := Memory{Wish: wish}
	common := was.all != now.all || was.all != then.all || was.def != now.def || was.def != then.def
	if common {
		m.All, m.Default = &was.all, &was.def
	}
	for _, l := range seen.Links {
		own, ok := was.devices[l.Index]
		// With the common numbers any device's may have to change by the time an
		// earlier attachment leaves.
		if ok && (common || own != then.devices[l.Index] || own != now.devices[l.Index]) {
			m.Originals = append(m.Originals, Device{Index: l.Index, Name: l.Name, Value: own})
		}
	}
	return m
}

// wantedWith adds up the wishes of the other attachments and one of this.
func wantedWith(key string, wish Wish, others []Memories) wanted {
	w := wantedBy(key, others)
	w.add(wish)
	return w
}

// Changes leads all settings to what they have to be by the wishes of an attachment.
func Changes(seen *fib.Snapshot, wishes Memories, mine, others []Memories) []change.Change {
	var out []change.Change
	for _, key := range Keys() {
		w := wantedWith(key, wishes[key].Wish, others)
		to := targets(key, originalValues(seen, key, slices.Concat(mine, others)), w)
		for index, now := range seenValues(seen, key).devices {
			if _, exact := w.devices[index]; !exact && w.least > 0 && now > w.least {
				to.devices[index] = now // somebody has made it more, which serves as well
			}
		}
		out = append(out, writes(seen, key, to)...)
	}
	return out
}

// Removal lists the writes that take an attachment's wishes back, whichever of its states it
// is in. A number that somebody else has changed since is left as it is.
func Removal(seen *fib.Snapshot, mine, others []Memories) []change.Change {
	var out []change.Change
	for _, key := range Keys() {
		was := originalValues(seen, key, slices.Concat(mine, others))
		after := targets(key, was, wantedBy(key, others))
		now, to := seenValues(seen, key), seenValues(seen, key)
		for _, state := range mine {
			ours := targets(key, was, wantedWith(key, state[key].Wish, others))
			restore(&to.all, now.all, ours.all, after.all)
			restore(&to.def, now.def, ours.def, after.def)
			for index, value := range to.devices {
				restore(&value, now.devices[index], ours.devices[index], after.devices[index])
				to.devices[index] = value
			}
		}
		out = append(out, writes(seen, key, to)...)
	}
	return out
}

// restore puts a number back if what is seen is ours.
func restore(to *int, seen, ours, after int) {
	if seen == ours {
		*to = after
	}
}

// writes lists the writes that lead to a state. For rp_filter, of which the
// kernel uses the larger of all's and the device's, their order never lets a
// mode fall below what it is before or after: going down, all comes last; going
// up, first.
func writes(s *fib.Snapshot, key string, to values) []change.Change {
	from := seenValues(s, key)
	var devices, def, all []change.Change
	for _, l := range s.Links {
		// A write to default spreads to every device whose own file was never
		// written (devinet_copy_dflt_conf): so then each of them is.
		if a, b := from.devices[l.Index], to.devices[l.Index]; a != b || (has(l, key) && from.def != to.def) {
			devices = append(devices, change.Set{Device: l.Name, Index: l.Index, Key: key, Was: a, Value: b})
		}
	}
	if from.def != to.def {
		def = append(def, change.Set{Device: "default", Key: key, Was: from.def, Value: to.def})
	}
	if from.all != to.all {
		all = append(all, change.Set{Device: "all", Key: key, Was: from.all, Value: to.all})
	}
	if to.all > from.all {
		return append(append(all, def...), devices...)
	}
	return append(append(devices, def...), all...)
}
