package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/pod"
)

func (a *app) repair() *cobra.Command {
	dry := false
	cmd := &cobra.Command{
		Use:   "repair [POD | -A]",
		Short: "Put back what check finds missing",
		Long: `Checks the attachments, and does ADD again for each that deviates, as symroute remembers it: under the lock that ADD
and DEL take, and by the same code. Then it checks that attachment again. Attachments that do not deviate are not touched.

What somebody else has put in the way stays: only symroute's own rules, routes and settings are put back. If ADD fails, it
takes back what it did, and the attachment is as it was.

--dry-run prints the commands that would do the same, and changes nothing.

Exit codes: 0 nothing deviates, or all was repaired; 1 something still deviates, or would be repaired; 2 something
could not be checked, and nothing deviates.`,
		Example: `  symroutectl repair shop/cart-0 --dry-run
  symroutectl repair -A`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRepair(cmd.Context(), args, dry) },
	}
	a.selection.several(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what would be done, and change nothing")
	return cmd
}

func (a *app) runRepair(ctx context.Context, args []string, dry bool) error {
	pods, err := a.remembered(args)
	if err != nil {
		return err
	}
	progress := a.progress("checked", attachmentsOf(pods))
	report := audit.Repair(ctx, pods, release, dry, progress.report)
	progress.end()
	err = a.output.print(a.out, document{kind: "RepairReport", value: report, text: func(t *text) {
		if len(report.Items) == 0 {
			fmt.Fprintf(t, "nothing to repair: none of %d attachments deviates\n", report.Checked)
		}
		for _, item := range report.Items {
			printRepair(t, item, dry)
		}
	}})
	return errors.Join(err, a.endOfRepair(report, args))
}

// endOfRepair is the error of the command for what became of the attachments.
func (a *app) endOfRepair(r audit.Repairs, args []string) error {
	var err error
	for _, item := range r.Items {
		switch item.State {
		case audit.StateFailed, pod.Deviating.String():
			return errProblem
		case pod.Unknown.String():
			err = errUnknown
		}
	}
	if err == nil && a.unreadOf(args) != "" {
		return errUnknown
	}
	return err
}

// printRepair prints what was wrong with an attachment, and what is now.
func printRepair(t *text, i audit.RepairItem, dry bool) {
	color := red
	switch i.State {
	case audit.StateRepaired:
		color = green
	case pod.Gone.String(), pod.Unknown.String():
		color = yellow
	}
	fmt.Fprintf(t, "%s: %s\n", i.Subject, t.paint(color, i.Verdict(dry)))
	for _, d := range i.Was {
		fmt.Fprintf(t, "  was: %d %s\n", d.Code, d)
	}
	t.commands(i.Commands, "  ")
	for _, note := range i.Notes {
		fmt.Fprintf(t, "  note: %s\n", note)
	}
}
