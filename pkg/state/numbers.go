package state

import "golang.org/x/sys/unix"

// Every number that symroute claims for itself stands here, with its reason.
const (
	// Protocol marks our rules and routes (rtnetlink(7), rtm_protocol and
	// FRA_PROTOCOL). It is free in the kernel's rtnetlink.h and in iproute2's
	// rt_protos, and above 4 (RTPROT_STATIC), below which the kernel
	// interprets the number.
	Protocol uint8 = 73

	// TableBase is the number of the first source table that is tried: above 255,
	// so that it meets no table that is numbered by hand, and far from the
	// ranges of the well-known CNIs.
	TableBase uint32 = 7300

	// MainTable and LocalTable are the kernel's.
	MainTable  uint32 = unix.RT_TABLE_MAIN
	LocalTable uint32 = unix.RT_TABLE_LOCAL
)

// Priorities of our rules. The decision rules ("goto") stand where the configuration says,
// by default last before main (32766). All other rules stand in a block behind main and
// default, in which the kernel's own order by priority does all ordering.
const (
	// Anchor is where the decision rules lead: the kernel wants a rule with exactly the
	// priority of a goto's target.
	Anchor uint32 = 40000

	// The steps of a source. Those of its prefix length begin at sourceSteps plus
	// stepWidth for each bit that the prefix is shorter than a host: longer prefixes are
	// decided first, each as a whole. 40001 to 40009 are for marks.
	sourceSteps = 40010
	stepWidth   = 10

	// For sockets that are bound to a device and have no source yet.
	BoundPriority          uint32 = 49000 // oif NIC lookup TABLE
	BoundDisplacedPriority uint32 = 49001 // the same of a NIC that another attachment displaced
	BoundMainPriority      uint32 = 49002 // oif NIC lookup main: what the table does not have

	// GuardPriority keeps addresses of NICs without a source table from the fallbacks.
	GuardPriority uint32 = 49998
	// FallbackPriority is that of the first fallback; the others follow.
	FallbackPriority uint32 = 49999
)

// Step is a rule of a source's own, in the order in which a packet meets them.
type Step uint32

// The steps of a source.
const (
	StepViaMain   Step = 1 // from SOURCE to PREFIX lookup main
	StepLookup    Step = 2 // from SOURCE lookup TABLE: the point of it all
	StepDisplaced Step = 3 // the same of a NIC that another attachment displaced
	StepNoGateway Step = 5 // from SOURCE unreachable, or lookup main
)

// Priority is the priority of a step of a source with a prefix of so many bits, in a family
// whose addresses have so many.
func (s Step) Priority(prefixBits, addressBits int) uint32 {
	return sourceSteps + stepWidth*uint32(addressBits-prefixBits) + uint32(s)
}

// Reserved reports whether a table number is the kernel's.
func Reserved(table uint32) bool {
	return table == unix.RT_TABLE_UNSPEC || (table >= unix.RT_TABLE_DEFAULT && table <= unix.RT_TABLE_LOCAL)
}
