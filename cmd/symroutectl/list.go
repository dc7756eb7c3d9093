package main

import "github.com/spf13/cobra"

func (a *app) list() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the attachments of this node",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return nil },
	}
	a.selection.dirs(cmd)
	return cmd
}
