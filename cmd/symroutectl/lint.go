package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/symroute/symroute/pkg/lint"
)

func (a *app) lint() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "lint FILE... | DIRECTORY | -",
		Short: "Find what is wrong with network configurations",
		Long: `Find what is wrong with network configurations: conflists, configurations of one plugin, and
NetworkAttachmentDefinitions (YAML or JSON, several documents in a file). - is standard input.

The keys of symroute are read as the plugin reads them. The mistakes that are made around it are found, too: no interface
plugin before it, sbr or tuning beside it, names that CNI or Kubernetes does not take, a file name that the runtime reads
otherwise.

Each line of the output is FILE:LINE: PATH: what is wrong and what would be right.

Exit codes: 0 nothing but warnings, 1 errors (with --strict warnings, too), 2 a file cannot be read.`,
		Example: `  symroutectl lint /etc/cni/net.d
  kubectl get net-attach-def -A -o yaml | symroutectl lint -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.runLint(args, strict) },
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings count as errors")
	return cmd
}

func (a *app) runLint(args []string, strict bool) error {
	report := lintReport{Items: []lint.Finding{}}
	files, err := configFiles(args)
	if err != nil {
		return err
	}
	for _, f := range files {
		data, err := a.contents(f.name)
		if err != nil {
			return err
		}
		found, err := lint.Lint(f.name, data)
		if errors.Is(err, lint.ErrNoNetwork) && f.maybe {
			continue
		}
		if err != nil {
			return err
		}
		report.Files++
		report.Items = append(report.Items, found...)
	}
	err = a.output.print(a.out, document{kind: "LintReport", value: report, text: report.print})
	for _, f := range report.Items {
		if err == nil && (f.Severity == lint.Error || strict) {
			err = errProblem
		}
	}
	return err
}

// configFile is a file to read.
type configFile struct {
	name  string
	maybe bool // it was found in a directory, and may be something else
}

// configFiles are the files of the arguments: of a directory those that may hold networks.
func configFiles(args []string) ([]configFile, error) {
	var out []configFile
	for _, arg := range args {
		info, err := os.Stat(arg)
		if arg == "-" || err != nil || !info.IsDir() {
			out = append(out, configFile{name: arg})
			continue
		}
		entries, err := os.ReadDir(arg)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			switch filepath.Ext(e.Name()) {
			case ".conf", ".conflist", ".json", ".yaml", ".yml":
				out = append(out, configFile{filepath.Join(arg, e.Name()), true})
			}
		}
	}
	return out, nil
}

// contents reads a file, or standard input for "-".
func (a *app) contents(name string) ([]byte, error) {
	const most = 16 << 20
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s: is larger than %d MiB", name, most>>20)
	}
	return data, err
}

// lintReport is what is printed.
type lintReport struct {
	Files int            `json:"files"`
	Items []lint.Finding `json:"items"`
}

func (r lintReport) print(t *text) {
	for _, f := range r.Items {
		color := red
		if f.Severity == lint.Warning {
			color = yellow
		}
		fmt.Fprintln(t, t.paint(color, f.String()))
	}
	if len(r.Items) == 0 {
		files := "files"
		if r.Files == 1 {
			files = "file"
		}
		fmt.Fprintf(t, "%d %s: nothing is wrong\n", r.Files, files)
	}
}
