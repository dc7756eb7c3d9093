package config

import "strings"

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

// Unwrap returns the faults one by one, for errors.As to find.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
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
