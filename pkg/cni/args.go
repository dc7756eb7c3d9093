package cni

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Args is what the runtime hands to a verb (section 2, Parameters). CNI_ARGS and
// CNI_PATH are not among them: they are for plugins that take arguments there, or
// run others.
type Args struct {
	ContainerID string // CNI_CONTAINERID
	Netns       string // CNI_NETNS, a path; DEL may come without
	IfName      string // CNI_IFNAME
	// StdinData is the configuration, a JSON object.
	StdinData []byte
}

// readArgs reads what a verb needs, and refuses what the specification does not
// allow.
func readArgs(command string, proc Process) (*Args, error) {
	args, err := readEnvironment(command, proc.Getenv)
	if err != nil {
		return nil, err
	}
	if args.StdinData, err = io.ReadAll(proc.Stdin); err != nil {
		return nil, NewError(ErrIOFailure, fmt.Sprintf("error reading from stdin: %v", err), "")
	}
	return args, nil
}

func readEnvironment(command string, getenv func(string) string) (*Args, error) {
	var args Args
	var path string
	var missing []string
	for _, variable := range []struct {
		name     string
		value    *string
		required []string // for these verbs
		validate func(string) error
	}{
		{"CNI_CONTAINERID", &args.ContainerID, []string{"ADD", "CHECK", "DEL"}, validateContainerID},
		{"CNI_NETNS", &args.Netns, []string{"ADD", "CHECK"}, anything},
		{"CNI_IFNAME", &args.IfName, []string{"ADD", "CHECK", "DEL"}, validateIfName},
		{"CNI_PATH", &path, []string{"ADD", "CHECK", "DEL", "GC", "STATUS"}, anything},
	} {
		*variable.value = getenv(variable.name)
		switch {
		case !slices.Contains(variable.required, command):
		case *variable.value == "":
			missing = append(missing, variable.name)
		default:
			if err := variable.validate(*variable.value); err != nil {
				return nil, err
			}
		}
	}
	if len(missing) > 0 {
		return nil, NewError(ErrInvalidEnvironmentVariables,
			fmt.Sprintf("required env variables [%s] missing", strings.Join(missing, ",")), "")
	}
	return &args, nil
}

func anything(string) error { return nil }

func validateContainerID(id string) error {
	if !validName(id) {
		return NewError(ErrInvalidEnvironmentVariables, "invalid characters in containerID", id)
	}
	return nil
}

// validName reports whether s is a name as the specification wants it, for a
// container (section 2, Parameters) and a network (section 1, Configuration format).
func validName(s string) bool {
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case i > 0 && (r == '_' || r == '.' || r == '-'):
		default:
			return false
		}
	}
	return s != ""
}

// maxIfName is the longest name that the kernel takes for an interface: IFNAMSIZ
// less the byte that ends it.
const maxIfName = 15

// validateIfName refuses what the kernel does not take for a name, either
// (dev_valid_name in net/core/dev.c).
func validateIfName(name string) error {
	invalid := func(msg, details string) error { return NewError(ErrInvalidEnvironmentVariables, msg, details) }
	switch {
	case len(name) > maxIfName:
		return invalid("interface name is too long", fmt.Sprintf("interface name should be less than %d characters", maxIfName+1))
	case name == "." || name == "..":
		return invalid("interface name is . or ..", "")
	case strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == ':' || unicode.IsSpace(r) }):
		return invalid("interface name contains / or : or whitespace characters", "")
	}
	return nil
}
