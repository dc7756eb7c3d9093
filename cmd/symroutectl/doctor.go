package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/doctor"
)

func (a *app) doctor() *cobra.Command {
	patient := doctor.Usual(release)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say whether this node can run symroute",
		Long: `doctor examines this node: kernel, modules, capabilities, the directory of the records, the installed plugin, the
networks of the runtime, rp_filter, and what pods that are gone have left. It prints one line for each test, and
below it what to do. It changes nothing, but for a file in the directory of the records that it removes at once.

  ok       as it should be
  warning  symroute works; something is missing that it does not always need, or could not be told
  problem  symroute does not work, or not as it is configured

Exit codes: 0 no problem was found, perhaps warnings; 1 a problem was found; 2 the command was wrong.`,
		Example: `  # Before and after an installation:
  symroutectl doctor

  # A node whose plugins are elsewhere (k3s):
  symroutectl doctor --bin-dir /var/lib/rancher/k3s/data/current/bin --conf-dir /var/lib/rancher/k3s/agent/etc/cni/net.d

  # Problems alone, for a program:
  symroutectl doctor -o json | jq '.findings[] | select(.verdict == "problem")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			patient.Node = a.selection.node
			report := patient.Examine(cmd.Context())
			err := a.output.print(a.out, document{
				kind: "Examination", value: report, text: func(t *text) { t.examination(report) },
			})
			if err == nil && report.Problems > 0 {
				err = errProblem
			}
			return err
		},
	}
	a.selection.dirs(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&patient.BinDirs, "bin-dir", patient.BinDirs, "where the runtime looks for plugins")
	flags.StringVar(&patient.ConfDir, "conf-dir", patient.ConfDir, "where the runtime looks for networks")
	return cmd
}

// examination prints what the doctor has found.
func (t *text) examination(r doctor.Report) {
	const width = len("problem  ")
	for _, f := range r.Findings {
		verdict := t.paint(paintOf(f.Verdict), string(f.Verdict)) + strings.Repeat(" ", width-len(f.Verdict))
		fmt.Fprintf(t, "%s%s: %s\n", verdict, f.Test, f.Found)
		for line := range strings.Lines(f.Remedy) {
			fmt.Fprintf(t, "%s%s\n", strings.Repeat(" ", width+2), strings.TrimSuffix(line, "\n"))
		}
	}
	fmt.Fprintf(t, "%d tests, %d warnings, %d problems\n", len(r.Findings), r.Warnings, r.Problems)
}

func paintOf(v doctor.Verdict) paint {
	switch v {
	case doctor.Warning:
		return yellow
	case doctor.Problem:
		return red
	case doctor.OK:
	}
	return green
}
