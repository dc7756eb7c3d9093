package bench

import "fmt"

// goal is a ratio that symroute is to keep.
type goal struct {
	what    string
	ratio   func(f figures, of quantity) (ratio float64, measured bool)
	bound   float64
	atLeast bool
	// timeless goals are not about time.
	timeless bool
}

var goals = []goal{
	{what: "ADD, 1 NIC, of sbr+tuning's ADD", ratio: share(oneNIC, "ADD", sbrTuning), bound: 0.56},
	{what: "CHECK, 1 NIC, of sbr+tuning's CHECK, which does next to nothing", ratio: share(oneNIC, "CHECK", sbrTuning), bound: 0.68},
	{what: "DEL, 1 NIC, of sbr+tuning's DEL", ratio: share(oneNIC, "DEL", sbrTuning), bound: 0.60},
	{what: "ADD, 64 addresses, of sbr's ADD", ratio: share(manyAddresses, "ADD", sbr), bound: 0.60},
	{what: "ADD, 10,000 foreign routes, of ADD without them", ratio: share(manyRoutes, "ADD", unburdened), bound: 1.25},
	{what: "pods a second, 200 pods with 4 NICs, times sbr+tuning", ratio: timesPods, bound: 1.5, atLeast: true, timeless: true},
	{what: "symroutectl check of 800 attachments, in s", ratio: auditSeconds, bound: 0.5},
	{what: "symroutectl check of 800 attachments, of twice that of 400", ratio: auditGrowth, bound: 1.2},
	{what: "symroute-agent: audit of 2,000 attachments, in s", ratio: agentAudit, bound: 2, timeless: true},
	{what: "symroute-agent: memory with 2,000 attachments, in MiB", ratio: agentMemory, bound: 64, timeless: true},
	{what: "symroute-agent: CPU time when nothing happens, in %", ratio: agentShare, bound: 1, timeless: true},
	{what: "CPU time of any verb in a crowded pod, in s", ratio: mostInCrowds, bound: 1, timeless: true},
	{what: "size of the executable, in MB", ratio: sizeInMB, bound: 4.2, timeless: true},
}

// printGoals prints the goals about which there are figures. Beside the ratio of times
// that counts stands that of CPU times, which others on the machine disturb less.
func (f figures) printGoals() {
	lines := table{{"goal", "is", "of CPU time", "wanted", ""}}
	for _, g := range goals {
		ratio, measured := g.ratio(f, wall)
		if !measured {
			continue
		}
		byCPU := none
		if !g.timeless {
			ratio, _ := g.ratio(f, cpu)
			byCPU = fmt.Sprintf("%.2f", ratio)
		}
		lines.add(g.what, fmt.Sprintf("%.2f", ratio), byCPU, g.wanted(), g.verdict(ratio))
	}
	section("Goals: ratios of medians", lines)
}

func (g goal) wanted() string {
	if g.atLeast {
		return fmt.Sprintf("%.2f or more", g.bound)
	}
	return fmt.Sprintf("%.2f or less", g.bound)
}

func (g goal) verdict(ratio float64) string {
	if ratio == g.bound || (ratio > g.bound) == g.atLeast {
		return "met"
	}
	return "missed"
}

// share is what symroute takes as a part of what another contestant takes.
func share(s shape, verb, name string) func(figures, quantity) (float64, bool) {
	return func(f figures, of quantity) (float64, bool) {
		part, whole := f.times[row{s.name, verb, ours}], f.times[row{s.name, verb, name}]
		if len(part) == 0 || len(whole) == 0 {
			return 0, false
		}
		return part.median(of) / whole.median(of), true
	}
}

func timesPods(f figures, _ quantity) (float64, bool) {
	speeds := f.podsPerSecond
	if len(speeds[ours]) == 0 {
		return 0, false
	}
	return quartile(2, speeds[ours]) / quartile(2, speeds[sbrTuning]), true
}

func sizeInMB(f figures, _ quantity) (float64, bool) { return float64(f.sizes[ours]) / 1e6, true }

// mostInCrowds is the most CPU time that a verb took in any crowded pod, in seconds.
func mostInCrowds(f figures, _ quantity) (most float64, measured bool) {
	for _, s := range crowds {
		for _, verb := range verbs {
			if taken := f.times[row{s.name, verb, ours}]; len(taken) > 0 {
				most, measured = max(most, taken.median(cpu)/1000), true
			}
		}
	}
	return most, measured
}
