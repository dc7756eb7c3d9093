package plan

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
	// tableTries bounds the search for a free table.
	tableTries = 10_000

	// Metrics that the kernel gives IPv6 routes which name none: connected
	// (IP6_RT_PRIO_ADDRCONF) and others (IP6_RT_PRIO_USER). They are written out
	// so that what is wanted compares equal to what is seen.
	metricConnected6 = 256
	metricDefault6   = 1024

	// displacedStep is how much worse the metric of a displaced default becomes:
	// enough to fit others between, too little to pass a metric set by hand.
	displacedStep = 100

	localTable = unix.RT_TABLE_LOCAL
	mainTable  = unix.RT_TABLE_MAIN
)
