// Package walk draws random lives of a pod: NICs that come, go and lose their
// carrier, attachments of symroute to them with any configuration, invocations
// that are killed, and all that others do in the pod meanwhile.
//
// A walk is data, the same for the same seed. It is rendered as the commands
// that make it up, which a test runs and a person can read and run as a script;
// and one that shows a fault is made shorter (Shrink). Nothing here looks at the
// kernel: what has to hold after each step is the test's to say.
package walk

import (
	"maps"
	"net/netip"
	"slices"
)

// Walk is a pod and what happens to it.
type Walk struct {
	Seed uint64
	// All and Default are conf/all/rp_filter and conf/default/rp_filter of the
	// new namespace.
	All, Default int
	NICs         []NIC
	Steps        []Step
}

// NIC is an interface as an interface plugin and IPAM leave it.
type NIC struct {
	Name      string
	Addresses []Address
	// Defaults says that IPAM installs default routes, with this metric in IPv4
	// (0: none is named).
	Defaults bool
	Metric   int
	// MTU is that of the IPv6 default; 0: the link's.
	MTU int
	// Routes are further destinations that IPAM routes by the NIC's gateway.
	Routes []netip.Prefix
	// Settings are what the tuning plugin writes ("rp_filter=1").
	Settings []string
}

// Address is one that IPAM gave, and the gateway that it named, if any.
type Address struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// Verb is what a step does.
type Verb string

// The first are others' doing.
const (
	Plug   Verb = "plug"   // the NIC comes
	Unplug Verb = "unplug" // it vanishes
	Down   Verb = "down"
	Up     Verb = "up" // and with Back, IPAM's routes come again
	// The NIC's other end goes down and up: the carrier is lost and comes again.
	NoCarrier Verb = "no carrier"
	Carrier   Verb = "carrier"
	Router    Verb = "router" // a default by the NIC comes, or one by another gateway in its place
	Foreign   Verb = "foreign"
	// What symroute works with goes, for the NIC's attachment (the record) or for all.
	Flush  Verb = "flush"  // the routes of the source tables
	Lose   Verb = "lose"   // the record
	Damage Verb = "damage" // the record, half of which stays

	// All attachments are added again if something has happened since, and the pod is compared
	// with one to which they are added for the first time, with the keys that they have now.
	Afresh Verb = "afresh"

	Add   Verb = "ADD"
	Del   Verb = "DEL"
	Check Verb = "CHECK"
	GC    Verb = "GC"
)

// Step is one thing that happens.
type Step struct {
	Verb Verb
	NIC  string
	// Index makes the NIC's other end and its hardware address unlike all others; of the steps that
	// do something to that end.
	Index int
	// Back brings the NIC's routes back, too.
	Back bool
	// Config has the keys of an ADD; the other verbs have those of the last one.
	Config map[string]any
	// Kill ends the invocation; nil: it lives.
	Kill *Kill
	// Lines are what somebody else does in the pod.
	Lines []Line
}

// Kill is a moment of an invocation: the When-th system call of a name.
type Kill struct {
	Call string
	When int
}

// Line is one command of iproute2's ip, or one setting, in a namespace.
type Line struct {
	// Wire says that it is for the namespace of the NICs' other ends.
	Wire bool
	// Setting says that Text is "net/ipv4/conf/eth0/rp_filter=1", and else it is
	// what ip is told.
	Setting bool
	Text    string
}

// NIC finds a NIC by its name.
func (w Walk) NIC(name string) (NIC, bool) {
	i := slices.IndexFunc(w.NICs, func(n NIC) bool { return n.Name == name })
	if i < 0 {
		return NIC{}, false
	}
	return w.NICs[i], true
}

// Gateway is the first gateway of a family that IPAM named; not valid: none.
func (n NIC) Gateway(four bool) netip.Addr {
	for _, a := range n.Addresses {
		if a.Gateway.IsValid() && a.Gateway.Is4() == four {
			return a.Gateway
		}
	}
	return netip.Addr{}
}

// Has reports whether the NIC has an address of a family.
func (n NIC) Has(four bool) bool {
	return slices.ContainsFunc(n.Addresses, func(a Address) bool { return a.Prefix.Addr().Is4() == four })
}

// ReplyBy is the NIC that the replies of a real server leave by, where it is another one.
func (s Step) ReplyBy() string {
	lvs, _ := s.Config["lvs"].(map[string]any)
	by, _ := lvs["replyBy"].(string)
	return by
}

// Modes are the modes that a configuration wants of other devices, by name.
func (s Step) Modes() map[string]any {
	out := map[string]any{}
	interfaces, _ := s.Config["interfaces"].(map[string]any)
	for name, settings := range interfaces {
		out[name] = settings.(map[string]any)["rpFilter"]
	}
	return out
}

// clone copies what a shorter walk may change.
func (w Walk) clone() Walk {
	w.NICs = slices.Clone(w.NICs)
	w.Steps = slices.Clone(w.Steps)
	for i, s := range w.Steps {
		w.Steps[i].Config = maps.Clone(s.Config)
		w.Steps[i].Lines = slices.Clone(s.Lines)
	}
	return w
}
