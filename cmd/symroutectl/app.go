package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// app is one run of the program: where it reads and writes, and what the options common to all commands
// say.
type app struct {
	name     string // "symroutectl", or "kubectl symroute" as a plugin of kubectl
	in       io.Reader
	out, err io.Writer

	selection selection
	output    output
	// unread is what could not be read of the pods of the node.
	unread error
}

// Exit codes, as grep, diff and node-problem-detector have them.
const (
	exitFine    = 0
	exitProblem = 1 // what was looked at has a problem
	exitUnknown = 2 // it could not be told, or the command was wrong
)

// errProblem ends a command that has found and printed a problem.
var errProblem = errors.New("a problem was found")

// errUnknown ends a command that has printed what it could not tell.
var errUnknown = errors.New("it could not be told")

// exit says what was wrong, unless the command has, and turns it into a code.
func (a *app) exit(err error) int {
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, errProblem):
		return exitProblem
	case errors.Is(err, errUnknown):
		return exitUnknown
	}
	fmt.Fprintf(a.err, "%s: %v\n", a.name, err)
	return exitUnknown
}

// note tells on standard error what is no result and no failure.
func (a *app) note(format string, values ...any) {
	fmt.Fprintf(a.err, "%s: %s\n", a.name, fmt.Sprintf(format, values...))
}

// nameOf is how the program is called: kubectl finds plugins by their names.
func nameOf(arg0 string) string {
	if base := filepath.Base(arg0); strings.HasPrefix(base, "kubectl-") {
		return strings.Replace(base, "-", " ", 1)
	}
	return "symroutectl"
}

// root is the command of all commands, in the groups in which help lists them.
func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   strings.ReplaceAll(a.name, " ", "-"),
		Short: "See, explain, check and repair the routing of the pods of this node",
		Long: `symroutectl shows how the pods of this node route, and says why a packet does not arrive and what to change.

It runs on the node, as root. It asks the kernel and reads the records of symroute; it needs no API server and no
runtime. Pods without symroute can be looked at, too.

Exit codes: 0 fine, 1 a problem was found, 2 it could not be told or the command was wrong.`,
		SilenceErrors: true, // exit prints them
		SilenceUsage:  true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: false,
		},
	}
	cmd.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: a.name}
	cmd.SetIn(a.in)
	cmd.SetOut(a.out)
	cmd.SetErr(a.err)
	a.output.flags(cmd.PersistentFlags())
	complete(cmd)
	for _, g := range groups() {
		cmd.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands(a) {
			c.GroupID = g.id
			cmd.AddCommand(c)
		}
	}
	cmd.SetHelpCommandGroupID("more")
	cmd.SetCompletionCommandGroupID("more")
	return cmd
}

// group is a chapter of the help.
type group struct {
	id, title string
	commands  func(*app) []*cobra.Command
}

// groups are all commands.
func groups() []group {
	return []group{
		{"see", "See:", func(a *app) []*cobra.Command {
			return []*cobra.Command{a.list(), a.show(), a.explain(), a.drops(), a.draw()}
		}},
		{"check", "Check and repair:", func(a *app) []*cobra.Command {
			return []*cobra.Command{a.check(), a.repair()}
		}},
		{"configure", "Configurations:", func(a *app) []*cobra.Command {
			return []*cobra.Command{a.lint(), a.plan(), a.migrate()}
		}},
		{"more", "More:", func(a *app) []*cobra.Command {
			return []*cobra.Command{a.doctor(), a.bundle(), a.version()}
		}},
	}
}
