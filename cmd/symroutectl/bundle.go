package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/audit"
	"github.com/symroute/symroute/pkg/bundle"
	"github.com/symroute/symroute/pkg/node"
)

func (a *app) bundle() *cobra.Command {
	var file string
	options := bundle.Options{Patience: bundle.DefaultPatience, MaxFile: bundle.DefaultMaxFile, MaxTotal: bundle.DefaultMaxTotal}
	cmd := &cobra.Command{
		Use:   "bundle [POD | -A]",
		Short: "Collect what a bug report needs into one archive",
		Long: `bundle makes an archive of what somebody needs who is to find out why a pod cannot be reached: versions, records,
rules, routes of all tables, links, addresses, neighbours, settings, packet filter rules and counters, of the node
and of one pod, of all pods (-A), or, if no pod is named, of the node alone. It changes nothing.

Each file is made by itself. One that cannot be made is replaced by NAME.error, which says why. README.txt in
the archive lists all files, with the command that made each.

` + bundle.Holds + `

The archive is symroute-bundle-NODE-TIME.tar.gz in the current directory, unless -f names another file. Only its owner
may read it. A file that exists is never overwritten. Its path is printed on standard output.

Exit codes: 0 the archive was written, even if some of its files could not be made; 2 it was not.`,
		Example: `  # One pod, and the node:
  symroutectl bundle shop/cart-0

  # All pods of symroute:
  symroutectl bundle -A

  # To another machine:
  ssh node-7 symroutectl bundle -A -f - > bundle.tar.gz`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 || a.selection.named() || a.selection.all || a.selection.namespace != "" {
				pods, err := a.selected(args)
				if err != nil {
					return err
				}
				options.Pods = pods
			}
			options.Node = a.selection.node
			options.Version = fmt.Sprintf("symroutectl %s (%s)", release, runtime.Version())
			options.Check = func(p node.Pod) string {
				report := audit.Check(cmd.Context(), []node.Pod{p}, func(int) {})
				data, err := json.MarshalIndent(report, "", "  ")
				if err != nil {
					return err.Error() + "\n"
				}
				return fmt.Sprintf("%s\n%s\n\n%s", report.Headline(), data, bundle.Recorded(p))
			}
			options.Now = time.Now()
			options.Name = bundle.NameOn(hostname(), options.Now)
			return a.writeBundle(cmd.Context(), file, options)
		},
	}
	a.selection.several(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&file, "file", "f", "", "write to this file, which must not exist; - is standard output")
	flags.StringVar(&options.BinDir, "bin-dir", node.DefaultBinDir, "where the runtime looks for plugins")
	flags.StringVar(&options.ConfDir, "conf-dir", node.DefaultConfDir, "where the runtime looks for networks")
	return cmd
}

// hostname names the node.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "node"
	}
	return name
}

// errTerminal is what somebody gets who would see an archive.
var errTerminal = errors.New("standard output is a terminal: redirect it, or name a file with -f")

// writeBundle writes the archive and says what is in it.
func (a *app) writeBundle(ctx context.Context, file string, o bundle.Options) error {
	if file == "-" {
		if isTerminal(a.out) {
			return errTerminal
		}
		files, err := bundle.Write(ctx, a.out, o)
		a.tellBundle(files, err)
		return err
	}
	out, err := create(file, o.Name+".tar.gz")
	if err != nil {
		return err
	}
	files, err := bundle.Write(ctx, out, o)
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	a.tellBundle(files, nil)
	path, err := filepath.Abs(out.Name())
	if err != nil {
		return err
	}
	return a.output.print(a.out, document{
		kind: "Bundle",
		value: struct {
			Path  string        `json:"path"`
			Files []bundle.File `json:"files"`
		}{path, files},
		text: func(t *text) { fmt.Fprintln(t, path) },
	})
}

// create makes a file that was not there: the one that is named, or the first name that is free.
func create(file, usual string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if file != "" {
		return os.OpenFile(file, flags, 0o600)
	}
	f, err := os.OpenFile(usual, flags, 0o600)
	for n := 2; errors.Is(err, fs.ErrExist) && n < 100; n++ {
		f, err = os.OpenFile(fmt.Sprintf("%d-%s", n, usual), flags, 0o600)
	}
	return f, err
}

// tellBundle says what was collected and what that means.
func (a *app) tellBundle(files []bundle.File, err error) {
	if err != nil {
		return
	}
	for _, f := range files {
		if f.Error != "" {
			a.note("%s could not be made: %s", f.Name, f.Error)
		}
	}
	a.note("the archive has %d files; README.txt in it lists them.", len(files)+1)
	_, _ = io.WriteString(a.err, bundle.Holds+"\n")
}
