package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/lint"
)

func (a *app) lint() *cobra.Command {
	strict := false
	cmd := &cobra.Command{
		Use:   "lint FILE|DIRECTORY|-...",
		Short: "Find what is wrong in conflists and NetworkAttachmentDefinitions",
		Long: `lint reads network configurations, and says what is wrong in them before a pod does: all of it at once, each with
its file, its line and its path. It needs no node.

It takes conflists, single plugins (.conf, .json) and NetworkAttachmentDefinitions (YAML or JSON, several in a file,
lists as kubectl prints them). Other objects of Kubernetes are passed over. Of a directory it reads all files that
may be one of these; "-" is standard input.

It knows the keys of symroute, what the runtime and Multus make of a configuration, and plugins that do not go together
with symroute. What only a pod shows, such as a gateway in no subnet of the NIC, it cannot tell.

Exit codes: 0 no errors (warnings alone are none, but with --strict), 1 errors, 2 a file could not be read, or there
is no configuration in any of them.`,
		Example: `  symroutectl lint /etc/cni/net.d
  symroutectl lint --strict networks.yaml
  kubectl get network-attachment-definitions -A -o yaml | symroutectl lint -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.runLint(args, strict) },
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit 1 if there are warnings")
	return cmd
}

func (a *app) runLint(args []string, strict bool) error {
	var files []lint.File
	var unread error // keeps nobody from the others
	for _, name := range args {
		more, err := lint.Open(name, a.in)
		files, unread = append(files, more...), errors.Join(unread, err)
	}
	report := lint.Check(files...)
	if report.Configurations == 0 {
		return cmp.Or(unread, fmt.Errorf("no network configuration in %s", strings.Join(args, ", ")))
	}
	err := a.output.print(a.out, document{
		kind:  "LintReport",
		value: report,
		text: func(t *text) {
			for _, f := range report.Items {
				fmt.Fprintln(t, f)
			}
		},
	})
	if err != nil {
		return err
	}
	a.note("%s checked: %s, %s", count(report.Configurations, "configuration"), count(report.Errors, "error"), count(report.Warnings, "warning"))
	if unread != nil {
		return unread
	}
	if report.Errors > 0 || strict && report.Warnings > 0 {
		return errProblem
	}
	return nil
}

// count is a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
