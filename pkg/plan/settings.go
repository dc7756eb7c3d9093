package plan

import (
	"maps"
	"slices"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/record"
)

// Device settings are a function of what they were before any attachment came
// and of the wishes of all attachments that are there, so that these may leave
// in any order.

// loopback is the index of lo (LOOPBACK_IFINDEX).
const loopback = 1

// settingKeys lists the settings in the order in which they are written.
func settingKeys() []string {
	return []string{fib.ARPIgnore, fib.ARPAnnounce, fib.ARPFilter, fib.RPFilter}
}

// SettingWish is what an attachment wants of one device setting.
type SettingWish struct {
	// Devices are the values wanted of devices; of rp_filter the effective ones.
	Devices []record.Device
	// Least is what every device but lo shall have at least, now and later.
	Least int
}

// Strict reports whether a device's mode is to be strict.
func (d *Desired) Strict(index int) bool {
	for _, w := range d.Settings[fib.RPFilter].Devices {
		if w.Index == index {
			return w.Value == int(config.RPFilterStrict)
		}
	}
	return false
}

// settingWishes lists what the attachment wants of settings, by key.
func settingWishes(in Input, links []fib.Link, nics []NIC, rs *RealServer) (map[string]SettingWish, error) {
	modes, err := rpWanted(in, nics, rs)
	if err != nil {
		return nil, err
	}
	wishes := map[string]SettingWish{}
	if len(modes) > 0 {
		wishes[fib.RPFilter] = SettingWish{Devices: modes}
	}
	if in.Config.ARP == config.ARPIsolate {
		wishes[fib.ARPIgnore] = SettingWish{Devices: each(links, isolatedIgnore)}
		wishes[fib.ARPAnnounce] = SettingWish{Devices: each(links, isolatedAnnounce)}
		wishes[fib.ARPFilter] = SettingWish{Devices: each(links, isolatedFilter)}
	}
	if in.Config.LVS != nil {
		for key, least := range map[string]int{fib.ARPIgnore: isolatedIgnore, fib.ARPAnnounce: isolatedAnnounce} {
			w := wishes[key]
			w.Least = least
			wishes[key] = w
		}
	}
	return wishes, nil
}

// What a NIC needs to answer for its own addresses only, and to ask with one of
// them (ip-sysctl: arp_ignore, arp_announce, arp_filter).
const (
	isolatedIgnore   = 1
	isolatedAnnounce = 2
	isolatedFilter   = 1
)

// ReadsARP reports whether a plan depends on the settings for ARP that belong to no
// device.
func ReadsARP(in Input) bool {
	return in.Config != nil && (in.Config.LVS != nil || in.Config.ARP == config.ARPIsolate) ||
		slices.ContainsFunc(in.attachments(), func(a record.Attachment) bool { return !a.Settings[fib.ARPIgnore].Empty() })
}

// each wants one value of all devices that have IPv4.
func each(links []fib.Link, value int) []record.Device {
	var out []record.Device
	for _, l := range links {
		if l.HasIPv4 {
			out = append(out, record.Device{Index: l.Index, Name: l.Name, Value: value})
		}
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

func (w *wanted) add(devices []record.Device, least int) {
	if w.devices == nil {
		w.devices = map[int]int{}
	}
	for _, d := range devices {
		w.devices[d.Index] = d.Value
	}
	w.least = max(w.least, least)
}

// wantedBy adds up the wishes of attachments.
func wantedBy(key string, attachments []record.Attachment) wanted {
	var w wanted
	for _, a := range attachments {
		w.add(a.Settings[key].Wants, a.Settings[key].Least)
	}
	return w
}

// targets computes what every number of a setting has to be.
func targets(key string, was values, w wanted) values {
	if key == fib.RPFilter {
		return rpTargets(was, w.devices)
	}
	now := values{all: was.all, def: max(was.def, w.least), devices: maps.Clone(was.devices)}
	for index := range was.devices {
		if value, ok := w.devices[index]; ok {
			now.devices[index] = value
		}
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
		if l.HasIPv4 {
			v.devices[l.Index] = l.Of(key)
		}
	}
	return v
}

// originalValues are the numbers as they were before the first of the
// attachments came: remembered ones, and for what no attachment touched, what is
// seen.
func originalValues(s *fib.Snapshot, key string, attachments []record.Attachment) values {
	was := seenValues(s, key)
	changed := false
	for _, a := range attachments {
		if m := a.Settings[key]; m.All != nil && m.Default != nil {
			was.all, was.def = *m.All, *m.Default
			changed = true
		}
	}
	born := targets(key, values{all: was.all, def: was.def}, wantedBy(key, attachments)).def
	for index, own := range was.devices {
		if value, ok := rememberedValue(key, attachments, index); ok {
			was.devices[index] = value
		} else if changed && own == born {
			// It came since, and was born with the default that is ours.
			was.devices[index] = was.def
		}
	}
	return was
}

func rememberedValue(key string, attachments []record.Attachment, index int) (int, bool) {
	for _, a := range attachments {
		if d, ok := a.Settings[key].Original(index); ok {
			return d.Value, true
		}
	}
	return 0, false
}

// settingMemory is what an attachment has to remember so that every number can
// be restored by whichever attachment leaves last.
func settingMemory(in Input, key string, wish SettingWish) record.Setting {
	now := seenValues(in.Seen, key)
	was := originalValues(in.Seen, key, in.attachments())
	then := targets(key, was, in.wantedWith(key, wish))
	m := record.Setting{Wants: wish.Devices, Least: wish.Least}
	common := was.all != now.all || was.all != then.all || was.def != now.def || was.def != then.def
	if common {
		m.All, m.Default = &was.all, &was.def
	}
	for _, l := range in.Seen.Links {
		own, ok := was.devices[l.Index]
		// With the common numbers any device's may have to change by the time an
		// earlier attachment leaves.
		if ok && (common || own != then.devices[l.Index] || own != now.devices[l.Index]) {
			m.Devices = append(m.Devices, record.Device{Index: l.Index, Name: l.Name, Value: own})
		}
	}
	return m
}

// wantedWith adds up the wishes of the other attachments and one of this.
func (in Input) wantedWith(key string, wish SettingWish) wanted {
	w := wantedBy(key, in.Others)
	w.add(wish.Devices, wish.Least)
	return w
}

// settingChanges leads all settings to what they have to be.
func settingChanges(in Input, d *Desired) []Op {
	var ops []Op
	for _, key := range settingKeys() {
		w := in.wantedWith(key, d.Settings[key])
		to := targets(key, originalValues(in.Seen, key, in.attachments()), w)
		for index, now := range seenValues(in.Seen, key).devices {
			if _, exact := w.devices[index]; !exact && w.least > 0 && now > w.least {
				to.devices[index] = now // somebody has made it more, which serves as well
			}
		}
		ops = append(ops, settingOps(in.Seen, key, to)...)
	}
	return ops
}

// settingRemoval lists the writes that take the attachment's wishes back. A
// number that somebody else has changed since is left as it is.
func settingRemoval(in Input) []Op {
	var ops []Op
	for _, key := range settingKeys() {
		was := originalValues(in.Seen, key, in.attachments())
		ours := targets(key, was, wantedBy(key, in.attachments()))
		after := targets(key, was, wantedBy(key, in.Others))
		to := seenValues(in.Seen, key)
		restore(&to.all, ours.all, after.all)
		restore(&to.def, ours.def, after.def)
		for index, value := range to.devices {
			restore(&value, ours.devices[index], after.devices[index])
			to.devices[index] = value
		}
		ops = append(ops, settingOps(in.Seen, key, to)...)
	}
	return ops
}

// restore puts a number back if it is ours.
func restore(seen *int, ours, after int) {
	if *seen == ours {
		*seen = after
	}
}

// settingOps lists the writes that lead to a state. For rp_filter, of which the
// kernel uses the larger of all's and the device's, their order never lets a
// mode fall below what it is before or after: going down, all comes last; going
// up, first.
func settingOps(s *fib.Snapshot, key string, to values) []Op {
	from := seenValues(s, key)
	var devices, def, all []Op
	for _, l := range s.Links {
		// A write to default spreads to every device whose own file was never
		// written (devinet_copy_dflt_conf): so then each of them is.
		if a, b := from.devices[l.Index], to.devices[l.Index]; a != b || (l.HasIPv4 && from.def != to.def) {
			devices = append(devices, Set{Device: l.Name, Index: l.Index, Key: key, Was: a, Value: b})
		}
	}
	if from.def != to.def {
		def = append(def, Set{Device: "default", Key: key, Was: from.def, Value: to.def})
	}
	if from.all != to.all {
		all = append(all, Set{Device: "all", Key: key, Was: from.all, Value: to.all})
	}
	if to.all > from.all {
		return append(append(all, def...), devices...)
	}
	return append(append(devices, def...), all...)
}
