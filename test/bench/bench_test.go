package bench

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/test/netlab"
)

// TestBench runs every contestant as often as -bench.pairs says in every shape of pod,
// and prints what that took. It passes whatever the figures are: time depends on the
// machine, and on who else uses it.
func TestBench(t *testing.T) {
	if *pairs == 0 {
		t.Skip("measures time, which takes minutes: make bench runs it")
	}
	wanted := regexp.MustCompile(*only)
	all := slices.Concat(shapes, crowds)
	if !slices.ContainsFunc(all, func(s shape) bool { return wanted.MatchString(s.name) }) && !wanted.MatchString(fleetName) && !wanted.MatchString(auditName) && !wanted.MatchString(agentName) {
		t.Fatalf("-bench.only=%s matches no shape: see bench_test.go", wanted)
	}
	b := newBench(t, build(t))
	fmt.Print(machine(t))
	for _, s := range shapes {
		if wanted.MatchString(s.name) {
			b.compare(t, s)
		}
	}
	if wanted.MatchString(fleetName) {
		b.fleets(t)
	}
	if wanted.MatchString(auditName) {
		b.audits(t)
	}
	if wanted.MatchString(agentName) {
		b.agents(t)
	}
	for _, s := range crowds {
		if wanted.MatchString(s.name) {
			b.crowd(t, s)
		}
	}
	b.printCrowds()
	b.printCounts()
	b.printSizes()
	b.printGoals()
}

// The shapes, by the names that -bench.only looks at.
var (
	oneNIC        = shape{name: "1 NIC, IPv4", addresses: 1}
	dualStack     = shape{name: "1 NIC, dual stack", addresses: 1, dual: true}
	fourthNIC     = shape{name: "4th NIC of a pod, IPv4", addresses: 1, earlier: 3}
	manyAddresses = shape{name: "1 NIC, 64 IPv4 addresses", addresses: 64}
	manyRoutes    = shape{name: "1 NIC, IPv4, 10,000 foreign routes", addresses: 1, foreign: 10_000}

	shapes = []shape{oneNIC, dualStack, fourthNIC, manyAddresses, manyRoutes}
)

// bench is what is needed to measure, and what was measured.
type bench struct {
	*site
	roster
	figures
}

func newBench(t testing.TB, paths executables) *bench {
	t.Helper()
	return &bench{
		site:   newSite(t),
		roster: roster{paths: paths, dataDir: dataDir(t)},
		figures: figures{
			times:         map[row]samples{},
			counts:        map[row]counts{},
			podsPerSecond: map[string][]float64{},
			audited:       map[int]samples{},
			sizes:         paths.sizes(t),
		},
	}
}

// dataDir is symroute's folder of records: in memory, as the default one is, for a
// node's /run is a tmpfs (file-hierarchy(7)), what it may not be in a container.
func dataDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("symroute-bench", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A round is one run of every command of every contestant, each contestant in a new
// pod of its own. Some rounds come first that do not count. Pods are made for several
// rounds at once, so that making them and taking them away is far from what is timed.
const (
	warmUps = 5
	batch   = 10
)

// compare measures all contestants of a shape.
func (b *bench) compare(t *testing.T, s shape) {
	t.Helper()
	contestants := b.contestants(t, s)
	for round := -warmUps; round < *pairs; {
		size := min(batch, *pairs-round)
		var pods [][]*netlab.NS // by contestant
		for _, c := range contestants {
			pods = append(pods, b.pods(t, c, size))
		}
		for i := range size {
			b.round(t, round, contestants, func(contestant int) *netlab.NS { return pods[contestant][i] })
			round++
		}
		b.remove(t, slices.Concat(pods...))
	}
	for _, c := range b.peers(s) {
		b.count(t, c)
	}
	b.printTimes(s)
}

// contestants are those of a shape.
func (b *bench) contestants(t *testing.T, s shape) []contestant {
	t.Helper()
	list := b.peers(s)
	if s.foreign > 0 {
		rid := s
		rid.foreign = 0
		return append(list, b.build(unburdened, b.paths.symroute, rid))
	}
	list = append(list, b.writer(b.record(t, s), s))
	if s == oneNIC {
		list = append(list, b.limits(s)...)
	}
	return list
}

// round runs each contestant once. Who comes first, and who comes after whom, changes
// from round to round.
func (b *bench) round(t *testing.T, round int, contestants []contestant, pod func(contestant int) *netlab.NS) {
	t.Helper()
	order := turn(len(contestants), round+warmUps)
	for _, verb := range verbs {
		for _, i := range order {
			c := contestants[i]
			if !slices.Contains(c.verbs, verb) {
				continue
			}
			took := b.command(t, c, verb, pod(i))
			if round < 0 {
				continue
			}
			for name, m := range took {
				of := row{c.shape.name, verb, name}
				b.times[of] = append(b.times[of], m)
			}
		}
	}
}

// turn is an order of so many: forwards and backwards in turn, from another one on each
// time both have been.
func turn(size, number int) []int {
	var order []int
	for i := range size {
		order = append(order, (i+number/2)%size)
	}
	if number%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

// command runs one command of a contestant: what each of its plugins took, and all of
// them together.
func (b *bench) command(t *testing.T, c contestant, verb string, pod *netlab.NS) map[string]measurement {
	t.Helper()
	took := map[string]measurement{}
	var sum measurement
	for _, each := range calls(c.chain, verb, pod, c.shape.last()) {
		m := measure(t, b.paths.launch, each)
		took[each.plugin.name] = m
		sum = sum.and(m)
	}
	took[c.name] = sum
	return took
}
