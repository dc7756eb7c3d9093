package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.output.print(a.out, document{
				kind: "Version",
				value: struct {
					Release   string `json:"release"`
					GoVersion string `json:"goVersion"`
					Platform  string `json:"platform"`
				}{release, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH},
				text: func(t *text) {
					fmt.Fprintf(t, "symroutectl %s (%s, %s/%s)\n", release, runtime.Version(), runtime.GOOS, runtime.GOARCH)
				},
			})
		},
	}
}
