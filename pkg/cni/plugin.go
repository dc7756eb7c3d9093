// Package cni is the plugin's side of the CNI protocol: what a runtime hands over
// by environment and standard input, the verbs, and what it is answered. The
// sections named here are those of the CNI specification (SPEC.md), version 1.1.0.
//
// It answers like the CNI project's own package for plugins, skel v1.3.1; test/protocol
// holds it to that. A plugin is a process that lives for some milliseconds and is
// started for every pod, so its start-up is its cost: an executable with skel in it
// that does nothing takes 0.24 ms longer, of 2 ms, than one without, and is 460 KB
// larger. skel brings regexp, net, log and the results of four versions of the
// specification, and decodes the configuration by reflection.
//
// What differs on purpose:
//   - "name" and "cniVersion" are read as package config reads every key: in exactly
//     that spelling, null is the same as absent, and of a repeated key the last one
//     counts, and that alone. encoding/json takes any case, and passes over null.
//   - What is no JSON, no object, or no string where one must be, is told with its
//     place and without the names of Go's types. The code is the same, but for null:
//     to skel that is a configuration without a name.
//   - In what is printed, no more characters are escaped than JSON demands.
//   - Whether CNI_NETNS is the plugin's own namespace is left to the verbs, and
//     CNI_NETNS_OVERRIDE is not read.
package cni

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/jsontext"
)

// Plugin is what a plugin has to say and to do (section 2, CNI operations). A verb
// prints its result to standard output by itself. An error that is, or wraps, an
// *Error is printed as that; any other has code ErrInternal.
type Plugin struct {
	// About is what the plugin says of itself when it is run by hand.
	About string
	// Versions are those of the specification that it speaks, oldest first.
	Versions []string

	Add, Del, Check, GC, Status func(*Args) error
}

// Process is the surroundings of one invocation.
type Process struct {
	Getenv         func(string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Main serves the runtime that started this process, and ends the process.
func (p *Plugin) Main() {
	os.Exit(p.Serve(Process{os.Getenv, os.Stdin, os.Stdout, os.Stderr}))
}

// Serve does what the runtime demands and returns the exit code (section 2, Errors).
func (p *Plugin) Serve(proc Process) int {
	err := p.answer(proc)
	if err == nil {
		return 0
	}
	if _, err := proc.Stdout.Write(inForm(err).json()); err != nil {
		_, _ = fmt.Fprintln(proc.Stderr, "Error writing error JSON to stdout: ", err)
	}
	return 1
}

// inForm is an error as the runtime has to see it.
func inForm(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return NewError(ErrInternal, err.Error(), "")
}

func (p *Plugin) answer(proc Process) error {
	switch command := proc.Getenv("CNI_COMMAND"); command {
	case "":
		p.introduce(proc.Stderr)
		return nil
	case "VERSION":
		return p.tellVersions(proc.Stdout)
	default:
		return p.obey(command, proc)
	}
}

// introduce is for those who run the plugin by hand.
func (p *Plugin) introduce(w io.Writer) {
	_, _ = fmt.Fprintf(w, "%s\nCNI protocol versions supported: %s\n", p.About, strings.Join(p.Versions, ", "))
}

// tellVersions answers VERSION (section 5, VERSION Success). Standard input is not
// read: there are runtimes that give none.
func (p *Plugin) tellVersions(w io.Writer) error {
	b := jsontext.AppendString([]byte(`{"cniVersion":`), p.newest())
	b = append(b, `,"supportedVersions":[`...)
	for i, version := range p.Versions {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsontext.AppendString(b, version)
	}
	b = append(b, "]}\n"...)
	if _, err := w.Write(b); err != nil {
		return NewError(ErrIOFailure, err.Error(), "")
	}
	return nil
}

func (p *Plugin) newest() string { return p.Versions[len(p.Versions)-1] }

// obey runs a verb, once all that the specification demands of the runtime is there.
func (p *Plugin) obey(command string, proc Process) error {
	args, err := readArgs(command, proc)
	if err != nil {
		return err
	}
	conf, err := readConfiguration(args.StdinData)
	if err != nil {
		return err
	}
	if err := conf.validateName(); err != nil {
		return err
	}
	v, err := p.verb(command)
	if err != nil {
		return err
	}
	version, err := conf.version()
	if err != nil {
		return err
	}
	if err := p.accept(v, version); err != nil {
		return err
	}
	return v.run(args)
}

// verb is one of the operations of section 2.
type verb struct {
	command string
	run     func(*Args) error
	since   release // the first version of the specification that has it
}

func (p *Plugin) verb(command string) (verb, error) {
	for _, v := range []verb{
		{"ADD", p.Add, release{}},
		{"DEL", p.Del, release{}},
		{"CHECK", p.Check, release{0, 4, 0}},
		{"GC", p.GC, release{1, 1, 0}},
		{"STATUS", p.Status, release{1, 1, 0}},
	} {
		if v.command == command {
			return v, nil
		}
	}
	return verb{}, NewError(ErrInvalidEnvironmentVariables, "unknown CNI_COMMAND: "+command, "")
}

// accept refuses a version of the configuration that does not have the verb, or
// that the plugin does not speak.
func (p *Plugin) accept(v verb, version string) error {
	if v.since != (release{}) {
		if err := p.allow(v, version); err != nil {
			return err
		}
	}
	if !slices.Contains(p.Versions, version) {
		return NewError(ErrIncompatibleCNIVersion, "incompatible CNI versions",
			fmt.Sprintf("config is %q, plugin supports %q", version, p.Versions))
	}
	return nil
}

// allow refuses a version from before the verb, or from after the plugin.
func (p *Plugin) allow(v verb, version string) error {
	asked, err := parseRelease(version)
	if err != nil {
		return NewError(ErrDecodingFailure, err.Error(), "")
	}
	newest, err := parseRelease(p.newest())
	if err != nil {
		return NewError(ErrDecodingFailure, err.Error(), "")
	}
	switch {
	case asked.before(v.since):
		return NewError(ErrIncompatibleCNIVersion, "config version does not allow "+v.command, "")
	case newest.before(asked):
		return NewError(ErrIncompatibleCNIVersion, "plugin version does not allow "+v.command, "")
	}
	return nil
}
