package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
	"golang.org/x/sys/unix"
)

// output is how results are printed.
type output struct {
	format    string
	noHeaders bool
	color     string
}

// The formats. A command may have more of its own.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatYAML  = "yaml"
)

func (o *output) flags(flags *pflag.FlagSet) {
	flags.VarP(&oneOf{&o.format, []string{formatTable, formatWide, formatJSON, formatYAML}}, "output", "o", "format: table, wide, json or yaml")
	flags.BoolVar(&o.noHeaders, "no-headers", false, "print no headers of tables")
	flags.Var(&oneOf{&o.color, []string{"auto", "always", "never"}}, "color", "auto, always or never; NO_COLOR means never")
}

// complete lets shells offer the words of options that know a few.
func complete(cmd *cobra.Command) {
	cmd.PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if v, ok := f.Value.(*oneOf); ok {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(v.words, cobra.ShellCompDirectiveNoFileComp)) // it is there
		}
	})
}

// oneOf is the value of an option that knows a few words; the first is the default.
type oneOf struct {
	value *string
	words []string
}

func (v *oneOf) String() string {
	if v.value == nil || *v.value == "" && len(v.words) == 0 {
		return ""
	}
	if *v.value == "" {
		*v.value = v.words[0]
	}
	return *v.value
}

// Set takes one of the words.
func (v *oneOf) Set(word string) error {
	for _, w := range v.words {
		if w == word {
			*v.value = word
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(v.words, ", "))
}

// Type is what help calls the value.
func (v *oneOf) Type() string { return "word" }

// apiVersion is the version of what is printed as JSON and YAML. Keys are added to it, and never change
// or go.
const apiVersion = "symroute/v1"

// document is a result, for programs and for people.
type document struct {
	// kind says what value is, which is an object in JSON.
	kind  string
	value any
	// text prints it for people.
	text func(*text)
}

// print prints a document in the format that was asked for.
func (o output) print(w io.Writer, d document) error {
	switch o.format {
	case formatJSON, formatYAML:
		data, err := d.json()
		if err == nil && o.format == formatYAML {
			data, err = asYAML(data)
		}
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	}
	d.text(&text{Writer: w, wide: o.format == formatWide, headers: !o.noHeaders, colored: o.isColored(w)})
	return nil
}

// json is the value, with its version and kind in front.
func (d document) json() ([]byte, error) {
	value, err := json.Marshal(d.value)
	if err != nil {
		return nil, err
	}
	head := fmt.Appendf(nil, "{%q:%q,%q:%q", "apiVersion", apiVersion, "kind", d.kind)
	if rest, _ := bytes.CutPrefix(value, []byte("{")); !bytes.Equal(rest, []byte("}")) {
		head = append(head, ',')
	}
	var out bytes.Buffer
	err = json.Indent(&out, append(head, value[1:]...), "", "  ")
	out.WriteByte('\n')
	return out.Bytes(), err
}

// asYAML prints JSON, which is YAML, in the usual style of YAML.
func asYAML(data []byte) ([]byte, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil {
		return nil, err
	}
	plain(&node)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	err := encoder.Encode(&node)
	return out.Bytes(), err
}

// plain takes the style of JSON away.
func plain(node *yaml.Node) {
	node.Style = 0
	for _, n := range node.Content {
		plain(n)
	}
}

// isColored says whether what is printed there may have colors (https://no-color.org).
func (o output) isColored(w io.Writer) bool {
	switch o.color {
	case "always":
		return true
	case "never":
		return false
	}
	return os.Getenv("NO_COLOR") == "" && isTerminal(w)
}

// isTerminal says whether somebody looks at what is printed there.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// text is where a result is printed for people.
type text struct {
	io.Writer
	wide, headers, colored bool
}

// paint is a color of text (ECMA-48, SGR).
type paint string

// The colors: what is right, what is to be seen, what is wrong.
const (
	green  paint = "32"
	yellow paint = "33"
	red    paint = "31"
	bold   paint = "1"
	dim    paint = "2"
)

// paint colors a word, if colors are wanted.
func (t *text) paint(p paint, word string) string {
	if !t.colored || word == "" {
		return word
	}
	return "\x1b[" + string(p) + "m" + word + "\x1b[0m"
}

// table prints rows in columns; an empty cell is a dash.
func (t *text) table(header []string, rows [][]string) {
	w := tabwriter.NewWriter(t, 0, 0, 2, ' ', 0)
	if t.headers {
		fmt.Fprintln(w, strings.Join(header, "\t"))
	}
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // what cannot be printed cannot be told either
}
