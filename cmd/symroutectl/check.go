package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/node"
	"github.com/symroute/symroute/pkg/pod"
)

// checkOptions are those of check.
type checkOptions struct {
	details bool
	watch   time.Duration
}

func (a *app) check() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [POD | -A]",
		Short: "Check that the attachments are as ADD made them, and symmetric",
		Long: `Does for each attachment what the CNI verb CHECK does, which Kubernetes never calls: compares rules, routes, settings
and the main table with what symroute remembers, and asks the kernel which way it routes. It changes nothing.

The first line says how it stands, in at most 80 characters. Attachments that deviate follow, a line each; with -o wide
all do. --details lists every deviation. CODE is that of CHECK's error: 100 the kernel routes asymmetrically, 101 a setting
differs, 102 something of symroute's is missing, 103 something of somebody else's is in the way (docs/errors.md).

A pod that goes away while it is looked at is gone, and no problem.

Exit codes: 0 all are symmetric, 1 something deviates, 2 something could not be checked, and nothing deviates.`,
		Example: `  symroutectl check -A
  symroutectl check shop/cart-0 --details
  symroutectl check -A --watch=10s`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runCheck(cmd.Context(), args, o) },
	}
	a.selection.several(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.details, "details", false, "list every deviation, and notes")
	flags.DurationVar(&o.watch, "watch", 0, "check again and again, so often; print what has changed")
	flags.Lookup("watch").NoOptDefVal = "30s"
	return cmd
}

func (a *app) runCheck(ctx context.Context, args []string, o checkOptions) error {
	report, err := a.checked(ctx, args)
	if err != nil {
		return err
	}
	if err := a.printReport(report, o); err != nil || o.watch <= 0 {
		return a.endOfCheck(report, err)
	}
	for {
		select {
		case <-ctx.Done():
			return a.endOfCheck(report, nil)
		case <-time.After(o.watch):
		}
		now, err := a.checked(ctx, args)
		if ctx.Err() != nil {
			return a.endOfCheck(report, nil) // that one was not finished
		}
		if err != nil {
			a.note("%v", err) // the pod may be back another time
			continue
		}
		if err := a.printChanges(now, now.Since(report), o); err != nil {
			return err
		}
		report = now
	}
}

// endOfCheck is the error of the command for what was found, unless it has one already.
func (a *app) endOfCheck(r audit.Report, err error) error {
	if err != nil {
		return err
	}
	switch r.Verdict() {
	case pod.Deviating:
		return errProblem
	case pod.Unknown:
		return errUnknown
	case pod.Symmetric, pod.Gone:
	}
	return nil
}

// checked checks what is selected.
func (a *app) checked(ctx context.Context, args []string) (audit.Report, error) {
	pods, err := a.remembered(args)
	if err != nil {
		return audit.Report{}, err
	}
	progress := a.progress("checked", attachmentsOf(pods))
	defer progress.end()
	report := audit.Check(ctx, pods, progress.report)
	report.Unread = a.unreadOf(args)
	return report, nil
}

// attachmentsOf counts the attachments of pods.
func attachmentsOf(pods []node.Pod) int {
	n := 0
	for _, p := range pods {
		n += len(p.Attachments)
	}
	return n
}

// remembered are the selected pods, which symroute has to remember.
func (a *app) remembered(args []string) ([]node.Pod, error) {
	pods, err := a.selected(args)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		if len(p.Attachments) == 0 {
			return nil, fmt.Errorf("symroute remembers no attachment of %s", p)
		}
	}
	return pods, nil
}

// unreadOf says what could not be read of what is selected. Of records that cannot be read nobody knows the
// pod: they count where many are selected.
func (a *app) unreadOf(args []string) string {
	if a.unread == nil || len(args) > 0 || a.selection.named() {
		return ""
	}
	return a.unread.Error()
}

func (a *app) printReport(r audit.Report, o checkOptions) error {
	return a.output.print(a.out, document{kind: "CheckReport", value: r, text: func(t *text) {
		fmt.Fprintln(t, t.paint(colorOf(r), r.Headline()))
		rows := reportRows(t, r)
		if len(rows) > 0 {
			t.table([]string{"POD", "NIC", "NETWORK", "STATE", "CODE", "WHAT"}, rows)
		}
		if o.details {
			printDetails(t, r.Items)
		}
	}})
}

func colorOf(r audit.Report) paint {
	switch r.Verdict() {
	case pod.Deviating:
		return red
	case pod.Unknown:
		return yellow
	case pod.Symmetric, pod.Gone:
	}
	return green
}

// reportRows are the rows for what is not well, or for all.
func reportRows(t *text, r audit.Report) [][]string {
	var rows [][]string
	for _, i := range r.Items {
		if t.wide || i.State == pod.Deviating.String() || i.State == pod.Unknown.String() {
			rows = append(rows, []string{i.PodName(), i.Interface, i.Network, i.State, i.Code(), i.First()})
		}
	}
	return rows
}

// printDetails prints all deviations and notes.
func printDetails(t *text, items []audit.Item) {
	for _, i := range items {
		if len(i.Deviations)+len(i.Notes) == 0 {
			continue
		}
		fmt.Fprintf(t, "\n%s:\n", i.Subject)
		for _, d := range i.Deviations {
			fmt.Fprintf(t, "  %d %s\n", d.Code, d)
		}
		for _, note := range i.Notes {
			fmt.Fprintf(t, "  note: %s\n", note)
		}
	}
}

// printChanges prints what has changed since the report before; for programs the whole report again.
func (a *app) printChanges(r audit.Report, changes []audit.Changed, o checkOptions) error {
	if len(changes) == 0 {
		return nil
	}
	return a.output.print(a.out, document{kind: "CheckReport", value: r, text: func(t *text) {
		now := time.Now().Format(time.TimeOnly)
		var items []audit.Item
		for _, c := range changes {
			was := c.Was
			if was == "" {
				was = "not attached"
			}
			line := fmt.Sprintf("%s %s is %s, was %s", now, c.Subject, c.State, was)
			if why := c.First(); why != "" {
				line += ": " + why
			}
			fmt.Fprintln(t, line)
			items = append(items, c.Item)
		}
		if o.details {
			printDetails(t, items)
		}
	}})
}
