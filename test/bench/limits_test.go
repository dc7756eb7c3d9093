package bench

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// limit is how much one command of symroute may take. What it takes hardly depends on the
// machine or on who else uses it. System calls vary a little with what Go's runtime does with
// files, allocations with its maps, which are seeded at random: a twentieth is their room.
type limit struct {
	shape       shape
	verb        string
	systemCalls int // beyond those of an executable of Go that does nothing
	roundTrips  int // over netlink
	allocations int // objects
	kilobytes   int // KiB allocated
}

var limits = []limit{
	{oneNIC, "ADD", 182, 24, 2523, 268},
	{oneNIC, "CHECK", 134, 15, 2648, 300},
	{oneNIC, "DEL", 166, 18, 2181, 244},
	{dualStack, "ADD", 240, 40, 3083, 338},
	{dualStack, "CHECK", 155, 21, 3184, 397},
	{dualStack, "DEL", 207, 28, 2550, 299},
	{fourthNIC, "ADD", 217, 25, 3489, 459},
	{fourthNIC, "CHECK", 167, 15, 3559, 493},
	{fourthNIC, "DEL", 201, 19, 3007, 404},
	{manyAddresses, "ADD", 1584, 465, 14360, 1581},
	{manyAddresses, "CHECK", 950, 268, 14208, 2075},
	{manyAddresses, "DEL", 784, 208, 8386, 1148},
}

// crowdLimit is how many messages one command may send in a crowded pod, and how many of them
// are questions: they must not grow with the square of the crowd.
type crowdLimit struct {
	shape      shape
	verb       string
	roundTrips int
	questions  int
}

var crowdLimits = []crowdLimit{
	{manyDefaults, "ADD", 1044, 15},
	{manyDefaults, "CHECK", 26, 15},
	{manyDefaults, "DEL", 1029, 0},
	{manyByNIC, "ADD", 7018, 3000},
	{manyByNIC, "CHECK", 3009, 3000},
	{manyByNIC, "DEL", 4018, 0},
	{manySubnets, "ADD", 3517, 1503},
	{manySubnets, "CHECK", 1513, 1503},
	{manySubnets, "DEL", 2015, 0},
	{manyGateways, "ADD", 17211, 6501},
	{manyGateways, "CHECK", 6709, 6501},
	{manyGateways, "DEL", 10711, 0},
	{manyRules, "ADD", 25, 6},
	{manyRules, "CHECK", 16, 6},
	{manyRules, "DEL", 18, 0},
}

// sizeLimit is for the executable, stripped and of amd64, in KiB. 4.2 MB are the goal (TestBench).
const sizeLimit = 4290

// TestCounts keeps symroute from doing more than it did, where that is the same in each
// run: system calls, netlink round trips, allocations, and the size of the executable.
// (Time is TestBench's affair.)
func TestCounts(t *testing.T) {
	if found := devices(t, netlab.New(t, "bare")); len(found) > 0 {
		t.Skipf("this kernel puts %s into every namespace, which makes more work (see net.core.fb_tunnels_only_for_init_net)",
			strings.Join(found, ", "))
	}
	b := newBench(t, buildToCount(t))
	for _, l := range limits {
		of := row{l.shape.name, l.verb, ours}
		if _, counted := b.counts[of]; !counted {
			b.count(t, b.symroute(l.shape))
		}
		t.Run(l.verb+", "+l.shape.name, func(t *testing.T) { l.hold(t, b.counts[of]) })
	}
	for _, l := range crowdLimits {
		of := row{l.shape.name, l.verb, ours}
		if _, counted := b.counts[of]; !counted {
			b.countInCrowd(t, l.shape)
		}
		t.Run(l.verb+", "+l.shape.name, func(t *testing.T) {
			n := b.counts[of]
			within(t, len(n.netlink), l.roundTrips, "netlink round trips, with these messages: "+listed(n.kinds()))
			within(t, n.questions(), l.questions, "questions")
		})
	}
	if runtime.GOARCH == "amd64" {
		within(t, int(b.sizes[ours]>>10), sizeLimit, "KiB of executable")
	}
	if t.Failed() {
		t.Log("To see what changed, run go test -count=1 -v -run TestCounts ./test/bench in the commit before, too. " +
			"The limits are in test/bench/limits_test.go.")
	}
}

// hold looks at what a command took, and tells what that was.
func (l limit) hold(t *testing.T, n counts) {
	t.Helper()
	within(t, total(n.systemCalls), l.systemCalls, "system calls: "+listed(n.systemCalls))
	within(t, len(n.netlink), l.roundTrips, "netlink round trips, with these messages: "+listed(n.kinds()))
	if n.allocations > 0 {
		within(t, n.allocations, l.allocations, "allocations (GODEBUG=inittrace=1 shows those before main)")
		within(t, n.bytes>>10, l.kilobytes, "KiB allocated")
	}
}

// within compares a count with its limit.
func within(t *testing.T, count, limit int, what string) {
	t.Helper()
	switch {
	case count > limit:
		t.Errorf("the limit of %d is exceeded by %d %s", limit, count, what)
	case count*10 < limit*9:
		t.Logf("the limit of %d can be lowered: %d %s", limit, count, what)
	default:
		t.Logf("the limit of %d is kept: %d %s", limit, count, what)
	}
}

// kinds counts the netlink messages by what they ask for.
func (c counts) kinds() map[string]int {
	names := map[uint16]string{
		unix.RTM_GETLINK: "RTM_GETLINK", unix.RTM_GETADDR: "RTM_GETADDR",
		unix.RTM_NEWADDR: "RTM_NEWADDR", unix.RTM_DELADDR: "RTM_DELADDR",
		unix.RTM_GETRULE: "RTM_GETRULE", unix.RTM_NEWRULE: "RTM_NEWRULE", unix.RTM_DELRULE: "RTM_DELRULE",
		unix.RTM_GETNETCONF: "RTM_GETNETCONF", unix.RTM_GETROUTE: "RTM_GETROUTE", unix.RTM_NEWROUTE: "RTM_NEWROUTE", unix.RTM_DELROUTE: "RTM_DELROUTE",
	}
	kinds := map[string]int{}
	for _, datagram := range c.netlink {
		messages, err := syscall.ParseNetlinkMessage(datagram)
		if err != nil {
			kinds[err.Error()]++
		}
		for _, m := range messages {
			name, known := names[m.Header.Type]
			if !known {
				name = fmt.Sprintf("message %d", m.Header.Type)
			}
			kinds[name]++
		}
	}
	return kinds
}
