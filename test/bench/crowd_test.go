package bench

import (
	"fmt"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Crowded pods: what somebody in a pod can make many of, or who configures it. What symroute
// takes there must not grow with the square of it.
var (
	manyDefaults = shape{name: "1,000 defaults of one metric, displaced", addresses: 1, defaults: 1000}
	manyByNIC    = shape{name: "4,000 routes by the NIC in main", addresses: 1, routes: 4000}
	manySubnets  = shape{name: "500 addresses in 500 subnets", addresses: 500, apart: true}
	manyGateways = shape{name: "100 gateways", addresses: 100, apart: true, gateways: true}
	manyRules    = shape{name: "20,000 rules of protocol 73", addresses: 1, rules: 20_000}

	crowds = []shape{manyDefaults, manyByNIC, manySubnets, manyGateways, manyRules}
)

// crowdRounds is how often each verb runs in a crowded pod.
const crowdRounds = 3

// crowd measures symroute alone in crowded pods of a shape.
func (b *bench) crowd(t *testing.T, s shape) {
	t.Helper()
	c := b.symroute(s)
	for range crowdRounds {
		pods := b.pods(t, c, 1)
		for _, verb := range verbs {
			of := row{s.name, verb, ours}
			b.times[of] = append(b.times[of], b.command(t, c, verb, pods[0])[ours])
		}
		b.remove(t, pods)
	}
	b.countInCrowd(t, s)
}

// countInCrowd counts what symroute sends to the kernel in a crowded pod.
func (b *bench) countInCrowd(t testing.TB, s shape) {
	t.Helper()
	c := b.symroute(s)
	pods := b.pods(t, c, 1)
	for _, verb := range verbs {
		for _, each := range calls(c.chain, verb, pods[0], s.last()) {
			b.counts[row{s.name, verb, ours}] = counts{netlink: traced(t, each).toNetlink()}
		}
	}
	b.remove(t, pods)
}

// printCrowds prints what symroute takes in crowded pods.
func (f figures) printCrowds() {
	lines := table{{"", "", "CPU ms", "median ms", "peak KiB", "netlink round trips", "of them questions"}}
	for _, s := range crowds {
		for _, verb := range verbs {
			taken, counted := f.times[row{s.name, verb, ours}], f.counts[row{s.name, verb, ours}]
			if len(taken) > 0 {
				lines.add(s.name, verb,
					fmt.Sprintf("%.0f", taken.median(cpu)), fmt.Sprintf("%.0f", taken.median(wall)), fmt.Sprintf("%.0f", taken.median(peak)),
					fmt.Sprint(len(counted.netlink)), fmt.Sprint(counted.questions()))
			}
		}
	}
	if len(lines) > 1 {
		section(fmt.Sprintf("Crowded pods: %d rounds", crowdRounds), lines)
	}
}

// questions counts the questions how the kernel would route a packet: requests for one route,
// and not for a dump.
func (c counts) questions() int {
	n := 0
	for _, datagram := range c.netlink {
		messages, err := syscall.ParseNetlinkMessage(datagram)
		for _, m := range messages {
			if err == nil && m.Header.Type == unix.RTM_GETROUTE && m.Header.Flags&unix.NLM_F_DUMP == 0 {
				n++
			}
		}
	}
	return n
}
