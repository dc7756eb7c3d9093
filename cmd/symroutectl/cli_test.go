package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/cli.md")

// TestReference holds docs/cli.md to the commands: it is what --help says, of all of them.
//
//	go test ./cmd/symroutectl -update
func TestReference(t *testing.T) {
	want := reference()
	path := filepath.Join("..", "..", "docs", "cli.md")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // everybody reads it
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("go test ./cmd/symroutectl -update writes it anew (-want +got):\n%s", diff)
	}
	for n, line := range strings.Split(want, "\n") {
		if len(line) >= 130 {
			t.Errorf("docs/cli.md:%d has %d bytes: break the line in the command", n+1, len(line))
		}
	}
}

// TestHelp: somebody in trouble has only --help.
func TestHelp(t *testing.T) {
	for _, c := range tree() {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short description is %q", c.CommandPath(), c.Short)
		}
		if c.Args == nil && c.Run == nil && c.RunE == nil && !c.HasSubCommands() {
			t.Errorf("%s does nothing", c.CommandPath())
		}
	}
}

// tree are all commands, each before its own, but those that everybody knows.
func tree() []*cobra.Command {
	root := (&app{name: "symroutectl"}).root()
	root.InitDefaultCompletionCmd()
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		all = append(all, c)
		if c.Name() == "completion" {
			return // what is said of each shell is cobra's
		}
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				walk(sub)
			}
		}
	}
	walk(root)
	return all
}

// reference is the page of all commands.
func reference() string {
	all := tree()
	root := all[0]
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n\n%s\n\n", root.Name(), "Made from the commands by `go test ./cmd/symroutectl -update`: change them, not this page.")
	out.WriteString(prose(root.Long))
	for _, g := range root.Groups() {
		listed := false
		for _, c := range all[1:] {
			if c.GroupID != g.ID || c.Parent() != root {
				continue
			}
			if !listed {
				fmt.Fprintf(&out, "**%s**\n\n", g.Title)
				listed = true
			}
			fmt.Fprintf(&out, "- [`%s`](#%s): %s\n", c.CommandPath(), anchor(c), escape(c.Short))
		}
		if listed {
			out.WriteString("\n")
		}
	}
	fmt.Fprintf(&out, "Options of all commands:\n\n%s", fence(options(root.PersistentFlags())))
	for _, c := range all[1:] {
		out.WriteString(chapter(c))
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

// chapter is a command on the page.
func chapter(c *cobra.Command) string {
	var out strings.Builder
	fmt.Fprintf(&out, "## %s\n\n%s.\n\n%s", c.CommandPath(), escape(c.Short), fence(c.UseLine()))
	if c.Long != "" && c.Long != c.Short {
		out.WriteString(prose(c.Long))
	}
	for _, sub := range c.Commands() {
		fmt.Fprintf(&out, "- `%s`: %s\n", sub.CommandPath(), escape(sub.Short))
	}
	if c.HasSubCommands() {
		out.WriteString("\n")
	}
	if text := options(c.LocalFlags()); text != "" {
		out.WriteString("Options:\n\n" + fence(text))
	}
	if c.Example != "" {
		out.WriteString("Examples:\n\n" + fence(unindented(c.Example)))
	}
	return out.String()
}

func options(flags *pflag.FlagSet) string {
	return strings.Trim(flags.FlagUsagesWrapped(120), "\n")
}

// prose is a text of --help. What is indented there, or in columns, stays as it is.
func prose(text string) string {
	var out strings.Builder
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		paragraph = strings.Trim(paragraph, "\n")
		switch {
		case paragraph == "":
		case strings.HasPrefix(paragraph, " ") || strings.HasPrefix(paragraph, "\t") || strings.Contains(paragraph, "\n "):
			out.WriteString(fence(paragraph))
		default:
			fmt.Fprintf(&out, "%s\n\n", escape(paragraph))
		}
	}
	return out.String()
}

func fence(text string) string {
	return "```\n" + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\t", "    ") + "\n```\n\n"
}

// escape keeps Markdown from taking what it should print.
func escape(text string) string {
	return strings.NewReplacer("*", `\*`, "<", `\<`, "[", `\[`, "#", `\#`, "`", "\\`").Replace(text)
}

func unindented(text string) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "  ")
	}
	return strings.Join(lines, "\n")
}

// anchor is what GitHub makes of a command's heading.
func anchor(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }
