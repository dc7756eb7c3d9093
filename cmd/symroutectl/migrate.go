package main

import (
	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/lint"
)

func (a *app) migrate() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate FILE | -",
		Short: "Rewrite a network with sbr, tuning's rp_filter or coordinator for symroute",
		Long: `Rewrite a network so that symroute does what sbr, the rp_filter keys of tuning, or spiderpool's coordinator did.

FILE is a conflist or a file of NetworkAttachmentDefinitions. The new one is printed on standard output, and nothing is
written; what changes in meaning is printed on standard error, a line each. If there is nothing to migrate, the file is
printed as it is.

Pods keep what they have: the new network is that of pods that start after it.`,
		Example: `  symroutectl migrate 20-data.conflist > 20-data.conflist.new
  kubectl get net-attach-def data -o yaml | symroutectl migrate - | kubectl apply -f -`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.runMigrate(args[0]) },
	}
}

func (a *app) runMigrate(name string) error {
	data, err := a.contents(name)
	if err != nil {
		return err
	}
	migrated, notes, err := lint.Migrate(name, data)
	if err != nil {
		return err
	}
	if len(notes) == 0 {
		a.note("%s: nothing to migrate", name)
	}
	for _, n := range notes {
		a.note("%s", n)
	}
	_, err = a.out.Write(migrated)
	return err
}
