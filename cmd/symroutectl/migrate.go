package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/lint"
)

func (a *app) migrate() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate FILE|-",
		Short: "Put symroute in place of sbr, tuning's rp_filter, spiderpool's coordinator",
		Long: `migrate prints a conflist, or a file with NetworkAttachmentDefinitions, in which symroute has taken the place of

  sbr            whose gateways become symroute's
  tuning         of its keys net.ipv4.conf.NIC.rp_filter; all others stay
  coordinator    of spiderpool, unless its mode is "disable"

All else stays as it is, comments and order included. What has another meaning now stands on standard error, one
comment for each, with what it was and what it is: read them before you use the result. It is checked as lint does.

Exit codes: 0 migrated, or there was nothing to migrate; 1 the result has errors, which are on standard error; 2 the
file could not be read.`,
		Example: `  symroutectl migrate networks.yaml > networks.new.yaml
  kubectl get network-attachment-definitions storage -o yaml | symroutectl migrate - | kubectl diff -f -`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.runMigrate(args[0]) },
	}
}

func (a *app) runMigrate(name string) error {
	files, err := lint.Open(name, a.in)
	if err != nil {
		return err
	}
	if len(files) != 1 || files[0].Listed {
		return fmt.Errorf("%s is a directory; name one file", name)
	}
	m, err := lint.Migrate(files[0])
	if err != nil {
		return err
	}
	if _, err := a.out.Write(m.Data); err != nil {
		return err
	}
	if string(m.Data) == string(files[0].Data) {
		a.note("nothing to migrate in %s", files[0].Name)
		return nil
	}
	for _, c := range m.Changes {
		fmt.Fprintln(a.err, c)
	}
	if m.Report.Errors == 0 {
		return nil
	}
	a.note("the result has %s:", count(m.Report.Errors, "error"))
	for _, f := range m.Report.Items {
		fmt.Fprintln(a.err, f)
	}
	return errProblem
}
