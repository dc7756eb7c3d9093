// Package doctor says whether a node can run symroute: a list of small tests, each with what it found, why that matters
// and what to do about it.
package doctor

import (
	"context"

	"github.com/symroute/symroute/pkg/node"
)

// Verdict is what a test says.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning" // symroute works; something is missing, or in doubt
	Problem Verdict = "problem" // symroute does not work, or not as it is configured
)

// Finding is the outcome of a test.
type Finding struct {
	Test    string  `json:"test"`
	Verdict Verdict `json:"verdict"`
	// Found is what there is.
	Found string `json:"found"`
	// Remedy is what to do about it.
	Remedy string `json:"remedy,omitempty"`
}

// Report is what all tests say.
type Report struct {
	Findings []Finding `json:"findings"`
	Warnings int       `json:"warnings"`
	Problems int       `json:"problems"`
}

// Patient is the node that is examined: where things are on it, and the release of the tool.
type Patient struct {
	Node node.Node
	// BinDirs and ConfDir are the runtime's.
	BinDirs []string
	ConfDir string
	Release string
	// Proc and Sys are where the kernel shows itself, Modules where its modules are.
	Proc, Sys, Modules string
}

// Usual is a node on which everything is at its usual place.
func Usual(release string) Patient {
	return Patient{
		Node: node.Default(), BinDirs: []string{node.DefaultBinDir}, ConfDir: node.DefaultConfDir, Release: release,
		Proc: "/proc", Sys: "/sys", Modules: "/lib/modules",
	}
}

// Examine makes all tests. They change nothing, but for a file in each directory of records that is removed at once.
func (p Patient) Examine(ctx context.Context) Report {
	var r Report
	for _, test := range []func(context.Context) []Finding{
		p.kernel, p.rules, p.cookies, p.tunnels, p.drops, p.rpFilter, p.capabilities, p.dataDirs, p.leftovers, p.plugin, p.networks,
		p.cache, p.iproute2,
	} {
		r.Findings = append(r.Findings, test(ctx)...)
	}
	for _, f := range r.Findings {
		switch f.Verdict {
		case Warning:
			r.Warnings++
		case Problem:
			r.Problems++
		case OK:
		}
	}
	return r
}
