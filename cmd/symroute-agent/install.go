package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/symroute/symroute/pkg/install"
	"github.com/symroute/symroute/pkg/node"
)

// place is where executables come from and go to.
type place struct{ from, to string }

func (p *place) flags(f *pflag.FlagSet) {
	f.StringVar(&p.to, "bin-dir", node.DefaultBinDir, "where the runtime looks for CNI plugins")
	f.StringVar(&p.from, "source-dir", "", "where symroute and symroutectl are (default: beside symroute-agent)")
}

// source is the directory that is installed from.
func (p *place) source() (string, error) {
	if p.from != "" {
		return p.from, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find symroute beside this program: %w", err)
	}
	return filepath.Dir(self), nil
}

func installCommand() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install the plugin and symroutectl once, and end",
		Long: `Copies symroute and symroutectl into the directory of the CNI plugins, where they differ. Each is whole at any time, and
one that runs can be replaced. "run" does this, too, and keeps them there.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := p.source()
			if err != nil {
				return err
			}
			result, err := install.Install(from, p.to)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", p.to, result.Word(nil))
			return nil
		},
	}
	p.flags(cmd.Flags())
	return cmd
}

// errInUse refuses to remove what pods need.
var errInUse = errors.New("pods still have attachments of symroute, which their DEL needs the plugin for")

func uninstallCommand() *cobra.Command {
	var dir string
	var where records
	var force bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Remove the plugin and symroutectl from the node",
		Long: `Removes symroute and symroutectl from the directory of the CNI plugins. Nothing else removes them: an agent that ends
leaves all as it is, for an upgrade looks the same.

It refuses while a record of an attachment is left: DEL of that pod would fail. First take symroute out of all networks,
and restart the pods. --force removes them all the same.

An agent that runs on the node puts them back: stop it first.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := unused(where.node()); err != nil && !force {
				return err
			}
			if err := install.Uninstall(dir); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: removed\n", dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "bin-dir", node.DefaultBinDir, "where the plugin is")
	cmd.Flags().BoolVar(&force, "force", false, "remove them though pods have attachments")
	where.flags(cmd.Flags())
	return cmd
}

// unused says that no record is left. That of a pod which has gone counts, too: the runtime still calls DEL for it, and whether
// it has gone cannot be told where its namespace is out of sight.
func unused(n node.Node) error {
	pods, err := n.Remembered()
	if err != nil {
		return fmt.Errorf("%w: not all records can be read: %w", errInUse, err)
	}
	if len(pods) == 0 {
		return nil
	}
	const most = 5
	var names []string
	for _, p := range pods[:min(len(pods), most)] {
		names = append(names, p.String())
	}
	if len(pods) > most {
		names = append(names, "...")
	}
	return fmt.Errorf("%w: %s (%d); --force removes it all the same", errInUse, strings.Join(names, ", "), len(pods))
}
