package config

import (
	"errors"
	"slices"
	"strings"
)

// A Fault is one thing that is wrong in a configuration.
type Fault struct {
	// Path is the path of the key, such as "routes[1].gw".
	Path string
	// Problem says what is wrong and what would be right.
	Problem string
}

// String returns the fault as one line: its path, then its problem.
func (f Fault) String() string { return f.Path + ": " + f.Problem }

// Error returns the fault as one line, as String does.
func (f Fault) Error() string { return f.String() }

// Faults is everything that is wrong in a configuration. Parse returns it as
// its error; it maps to code 7 of the CNI specification.
type Faults []Fault

// Error returns all faults in one line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "; ")
}

// OrNone is the error that the faults are; nil if there are none.
func (fs Faults) OrNone() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

// Unwrap returns the faults one by one, for errors.As to find.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// With adds faults that the pod has shown. Some may only follow from those that are known: where a
// key could not be read, it counted as absent. They are left out.
func (fs Faults) With(shown Faults) Faults {
	unread := map[string]bool{}
	for _, f := range fs {
		for _, key := range f.keys() {
			unread[key] = true
		}
	}
	follows := map[string][]string{
		"gateways":          {"sources"},
		"routes":            {"gateways"},
		"requireGateway":    {"gateways", "sources"},
		"mainDefault":       {"gateways"},
		"checkDestinations": {"sources", "lvs"},
		"interfaces":        {"lvs"},
	}
	out := slices.Clone(fs)
	for _, f := range shown {
		key := f.keys()[0]
		if !unread[key] && !slices.ContainsFunc(follows[key], func(from string) bool { return unread[from] }) {
			out = append(out, f)
		}
	}
	return out
}

// keys are the keys of the top level that a fault is about: its own, and of one that is misspelt those
// that it may have been meant to be.
func (f Fault) keys() []string {
	key := f.Path
	if end := strings.IndexAny(key, ".["); end > 0 {
		key = key[:end]
	}
	keys := []string{key}
	remedy := nearMiss(f.Path)
	for _, ours := range ownKeys() {
		if strings.Contains(remedy, `"`+ours+`"`) {
			keys = append(keys, ours)
		}
	}
	return keys
}

// On reports whether any fault is about a key of the top level.
func (fs Faults) On(key string) bool {
	return slices.ContainsFunc(fs, func(f Fault) bool { return slices.Contains(f.keys(), key) })
}

// Findings are what keeps a pod from being set up: all faults of its configuration, and of what
// else there is the first.
type Findings struct {
	faults Faults
	other  error
}

// Add adds an error; nil is none, and a fault counts once.
func (f *Findings) Add(err error) {
	faults, ok := errors.AsType[Faults](err)
	if !ok && f.other == nil {
		f.other = err
	}
	for _, fault := range faults {
		if !slices.Contains(f.faults, fault) {
			f.faults = append(f.faults, fault)
		}
	}
}

// Err is the faults, all of them; without any it is the first of the other errors, or nil.
func (f *Findings) Err() error {
	if len(f.faults) > 0 {
		return f.faults
	}
	return f.other
}

// A DecodeError says that the configuration is not a JSON object at all. It
// maps to code 6 of the CNI specification.
type DecodeError struct {
	Err error
}

// Error says what is wrong with the JSON, and where.
func (e *DecodeError) Error() string {
	return "configuration is not a JSON object: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *DecodeError) Unwrap() error { return e.Err }
