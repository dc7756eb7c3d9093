// Package record remembers the little that the kernel cannot hold for us: what
// a setting was before we changed it, and the routes that we took out of the
// main table. Rules and routes of our own are not in it, for they carry our
// protocol number in the kernel.
//
// There is one file for each attachment, in one directory for each network
// namespace. A namespace's state is what the files in its directory say
// together, so that any attachment can leave first.
//
// Nothing is synced to disk: what a record speaks of does not outlive the
// machine's uptime either.
package record

import (
	"net/netip"
	"slices"

	"github.com/symroute/symroute/pkg/fib"
)

// Version is the version of the file's format. A file of another version is
// never acted on: rules and routes of its attachment go all the same, settings and
// the main table stay. DEL of a running pod comes after an upgrade, so a release that
// raises it has to go on reading the one before.
const Version = 1

// Key names an attachment (CNI SPEC, "attachment").
type Key struct {
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

// Attachment is what is remembered for one attachment.
type Attachment struct {
	Version int `json:"version"`
	Key
	// Netns is the path that the namespace had on ADD.
	Netns string `json:"netns"`
	// Unknown is set where an earlier record of the attachment could not be read:
	// what is remembered here is then how an earlier ADD left things.
	Unknown bool `json:"unknown,omitempty"`
	// Tables and Sources name our rules and routes a second time, for the case
	// that somebody has deleted one of the rules that tell whose they are.
	Tables  []uint32       `json:"tables,omitempty"`
	Sources []netip.Prefix `json:"sources,omitempty"`
	// Settings are the attachment's parts of what device settings were and are to
	// be, by key (fib.RPFilter ...).
	Settings map[string]Setting `json:"settings,omitempty"`
	// LVS is what was made for a real server; nil: it is none.
	LVS *LVS `json:"lvs,omitempty"`
	// Wish is what the attachment wants of main's defaults; nil: nothing.
	Wish *Wish `json:"wish,omitempty"`
	// Displaced are the interfaces, by index, of other attachments or none that
	// got a source table because their default was displaced.
	Displaced []int `json:"displaced,omitempty"`
	// Order is the order of all our rules, of all attachments, before this one
	// changed it, each the payload of an RTM_NEWRULE message; empty: it did not.
	Order [][]byte `json:"order,omitempty"`
	// Main are the routes of the main table, as it was before any attachment came,
	// that matter here: its defaults, and the routes that the tables were made
	// from. Each is the payload of an RTM_NEWROUTE message.
	Main [][]byte `json:"main,omitempty"`
	// Moving are routes of others in main that are being moved behind one that is
	// put back: for a moment they are not there, and if we are killed in it they
	// have to be brought back. Payloads of RTM_NEWROUTE messages.
	Moving [][]byte `json:"moving,omitempty"`
	// Earlier are the states, oldest first, that the attachment was in when an ADD
	// began to change it: until that has ended what there is may be of any of them.
	Earlier []Attachment `json:"earlier,omitempty"`
	// MainDefaults are the families of which main had a default route.
	MainDefaults []fib.Family `json:"mainDefaults,omitempty"`
}

// Device is a number that belongs to one device.
type Device struct {
	Index int    `json:"index"`
	Name  string `json:"name"` // on ADD; for the reader, the index decides
	Value int    `json:"value"`
}

// Setting is an attachment's part of what a device setting was and is to be in
// its namespace.
type Setting struct {
	// All and Default are conf/all and conf/default before the first attachment
	// changed them; nil where this one did not need them changed.
	All     *int `json:"all,omitempty"`
	Default *int `json:"default,omitempty"`
	// Devices are the devices' own values from before.
	Devices []Device `json:"devices,omitempty"`
	// Wants are the values that this attachment wants of devices; of rp_filter the
	// effective ones.
	Wants []Device `json:"wants,omitempty"`
	// Least is what every device but lo shall have at least, now and later.
	Least int `json:"least,omitempty"`
}

// LVS is what was made for a real server.
type LVS struct {
	// Addresses are the VIPs that it configured, with the device of each.
	Addresses []VIP `json:"addresses,omitempty"`
	// Devices are the tunnels that it uses.
	Devices []Tunnel `json:"devices,omitempty"`
	// Replies are the routes of the table for replies by another NIC, each the
	// payload of an RTM_NEWROUTE message: CHECK wants what ADD made.
	Replies [][]byte `json:"replies,omitempty"`
}

// VIP is an address that was configured.
type VIP struct {
	Index   int        `json:"index"` // of the device
	Address netip.Addr `json:"address"`
}

// Tunnel is a device that was made, or set up, before the first attachment came
// that uses it.
type Tunnel struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Made  bool   `json:"made,omitempty"`    // there was none
	Down  bool   `json:"wasDown,omitempty"` // it was not up
}

// Wish is what an attachment wants of main's defaults.
type Wish struct {
	Seq  int   `json:"seq"` // wishes are fulfilled in this order
	Take bool  `json:"take,omitempty"`
	NICs []int `json:"nics"` // the attachment's interfaces by index, its own first
	// Saw are main's defaults at the time, as they would be had no attachment
	// come: what the wish is about. Those that came later are others' business.
	Saw [][]byte `json:"saw,omitempty"`
	// Own are the defaults that it puts in where its NIC has none, each the
	// payload of an RTM_NEWROUTE message.
	Own [][]byte `json:"own,omitempty"`
}

// Settled is the record of an attachment whose ADD has ended.
func (a Attachment) Settled() Attachment {
	a.Earlier = nil
	return a
}

// States are all states that the attachment may be in, the latest first.
func (a Attachment) States() []Attachment {
	out := []Attachment{a.Settled()}
	for _, e := range slices.Backward(a.Earlier) {
		out = append(out, e)
	}
	return out
}

// Tunnels are those that the attachment uses in any of its states.
func (a Attachment) Tunnels() []Tunnel {
	var out []Tunnel
	for _, s := range a.States() {
		if s.LVS == nil {
			continue
		}
		for _, t := range s.LVS.Devices {
			if !slices.ContainsFunc(out, func(o Tunnel) bool { return o.Index == t.Index }) {
				out = append(out, t)
			}
		}
	}
	return out
}

// Seq is the place of the attachment's wish among others; 0: it has none.
func (a Attachment) Seq() int {
	if a.Wish == nil {
		return 0
	}
	return a.Wish.Seq
}

// Find returns the attachment with the key, and the others.
func Find(all []Attachment, key Key) (mine *Attachment, others []Attachment) {
	for i := range all {
		if all[i].Key == key {
			mine = &all[i]
		} else {
			others = append(others, all[i])
		}
	}
	return mine, others
}

// Empty reports whether there is nothing to remember of a setting.
func (s Setting) Empty() bool {
	return s.All == nil && s.Default == nil && len(s.Devices) == 0 && len(s.Wants) == 0 && s.Least == 0
}

// Original looks up what a device's own value was.
func (s Setting) Original(index int) (Device, bool) {
	i := slices.IndexFunc(s.Devices, func(d Device) bool { return d.Index == index })
	if i < 0 {
		return Device{}, false
	}
	return s.Devices[i], true
}
