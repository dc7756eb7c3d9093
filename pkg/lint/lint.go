// Package lint finds what is wrong in files with CNI configurations before a pod does: conflists, single
// plugins, and NetworkAttachmentDefinitions. It knows symroute's keys, what libcni and Multus make of a
// configuration, and which plugins do not go together with symroute. It also replaces others by symroute
// (Migrate).
package lint

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Severity says how bad a finding is.
type Severity string

const (
	// Error is what keeps a pod from being set up, or makes its routing wrong.
	Error Severity = "error"
	// Warning is what works, but hardly as it was meant.
	Warning Severity = "warning"
)

// A Finding is one thing that is wrong in a file.
type Finding struct {
	File string `json:"file"`
	Line int    `json:"line"` // from 1
	// Path is that of the key within its configuration; of one of Kubernetes, within its document. It may
	// be empty: the finding is about all of it then.
	Path     string   `json:"path"`
	Severity Severity `json:"severity"`
	Problem  string   `json:"problem"`
}

// String is the finding as compilers write theirs, so that editors find the place.
func (f Finding) String() string {
	text := f.Problem
	if f.Path != "" {
		text = f.Path + ": " + text
	}
	if f.Severity == Warning {
		text = "warning: " + text
	}
	return fmt.Sprintf("%s:%d: %s", f.File, f.Line, text)
}

// A Report is what was found in files.
type Report struct {
	Items          []Finding `json:"items"`
	Errors         int       `json:"errors"`
	Warnings       int       `json:"warnings"`
	Configurations int       `json:"configurations"` // that were checked
}

// Check looks at files.
func Check(files ...File) Report {
	report := Report{Items: []Finding{}}
	for _, f := range files {
		c := &checker{file: f}
		for _, d := range c.documents() {
			c.document(d)
			report.Configurations++
		}
		report.Items = append(report.Items, c.sorted()...)
	}
	for _, f := range report.Items {
		switch f.Severity {
		case Error:
			report.Errors++
		case Warning:
			report.Warnings++
		}
	}
	return report
}

// A checker looks at one file.
type checker struct {
	file     File
	findings []Finding
}

// found adds a finding, at an offset of the file.
func (c *checker) found(severity Severity, offset int, path, problem string) {
	line := 1 + bytes.Count(c.file.Data[:c.inLine(offset)], []byte("\n"))
	f := Finding{File: c.file.Name, Line: line, Path: path, Severity: severity, Problem: problem}
	if !slices.Contains(c.findings, f) {
		c.findings = append(c.findings, f)
	}
}

// inLine is an offset that is in a line: what is missing at the end of the file is missed in the last one.
func (c *checker) inLine(offset int) int {
	return min(offset, len(bytes.TrimSuffix(c.file.Data, []byte("\n"))))
}

// sorted are the findings in the order of their lines.
func (c *checker) sorted() []Finding {
	slices.SortStableFunc(c.findings, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return c.findings
}
