// Package lint finds what is wrong with files of network configurations: conflists, configurations of one plugin,
// and NetworkAttachmentDefinitions. It reads the keys of symroute as the plugin does, and knows the mistakes that are
// made around it.
package lint

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/symroute/symroute/pkg/config"
)

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // a pod does not start with it, or the network does not do what it says
	Warning Severity = "warning" // it may be meant
)

// Finding is one thing that is wrong.
type Finding struct {
	File string `json:"file"`
	// Line is that of the file, from 1 on.
	Line int `json:"line"`
	// Path is where it is in the configuration, such as "plugins[1].gateways[0]"; "" is all of it.
	Path     string   `json:"path"`
	Severity Severity `json:"severity"`
	Problem  string   `json:"problem"`
}

// String is a line as compilers write it.
func (f Finding) String() string {
	text := fmt.Sprintf("%s:%d: ", f.File, f.Line)
	if f.Severity == Warning {
		text += "warning: "
	}
	if f.Path != "" {
		text += f.Path + ": "
	}
	return text + f.Problem
}

// ErrNoNetwork is wrapped by the error for a file in which there is no network configuration at all.
var ErrNoNetwork = errors.New("there is no network configuration in it")

// Lint finds what is wrong with the networks of a file, in the order of its lines. It reads JSON and YAML, of YAML
// all documents; those that are of other kinds it passes over. Its error wraps ErrNoNetwork.
func Lint(name string, data []byte) ([]Finding, error) {
	networks, found, err := read(name, data)
	if err != nil {
		return nil, err
	}
	if len(networks) == 0 && len(found) == 0 {
		return nil, fmt.Errorf("%s: %w: neither a conflist, nor a plugin's configuration, nor a NetworkAttachmentDefinition", name, ErrNoNetwork)
	}
	for _, n := range networks {
		found = append(found, n.findings(filepath.Ext(name))...)
	}
	lines := bytes.Count(data, []byte("\n")) + 1
	for i := range found {
		found[i].File = name
		found[i].Line = min(max(found[i].Line, 1), lines)
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return found, nil
}

// network is one network configuration of a file.
type network struct {
	root *yaml.Node // its JSON, as far as it could be read
	text []byte     // the same as text
	// offset is how many lines stand before its first.
	offset int
	// oneLine says that all of it stands in one line of the file: a quoted string.
	oneLine bool
	// attachment is the name of its NetworkAttachmentDefinition; "" for a file of its own.
	attachment string
}

// line is that of a node, in the file.
func (n network) line(node *yaml.Node) int {
	if n.oneLine || node == nil {
		return n.offset + 1
	}
	return n.offset + node.Line
}

// at makes a finding of something in the network, at the nearest place that there is.
func (n network) at(severity Severity, path, problem string) Finding {
	return Finding{Line: n.line(nearest(n.root, path)), Path: path, Severity: severity, Problem: problem}
}

// read finds the networks of a file, and what is wrong before anything can be read.
func read(name string, data []byte) (networks []network, found []Finding, err error) {
	if isJSON(data) {
		n, wrong := readJSON(data, 0, false, "")
		if wrong != nil {
			return nil, []Finding{*wrong}, nil
		}
		if n.isDefinition() || valueOf(n.root, "items") != nil {
			return readDefinitions(n.root, n.offset)
		}
		if valueOf(n.root, "plugins") == nil && valueOf(n.root, "type") == nil {
			return nil, nil, nil
		}
		return []network{n}, nil, nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case err != nil && strings.Contains(err.Error(), "EOF"):
			return networks, found, nil
		case err != nil:
			return networks, append(found, Finding{Line: lineOf(err), Severity: Error, Problem: "this is neither JSON nor YAML: " + oneLine(err)}), nil
		}
		if len(document.Content) == 0 {
			continue
		}
		more, wrong, err := readDefinitions(document.Content[0], 0)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		networks, found = append(networks, more...), append(found, wrong...)
	}
}

func isJSON(data []byte) bool {
	text := bytes.TrimLeft(data, "\ufeff \t\r\n")
	return bytes.HasPrefix(text, []byte("{")) && !bytes.HasPrefix(text, []byte("{{"))
}

// readJSON reads a network out of JSON. Its tabs are blanks to YAML, which must not have them.
func readJSON(text []byte, offset int, quoted bool, attachment string) (network, *Finding) {
	n := network{text: text, offset: offset, oneLine: quoted, attachment: attachment}
	_, err := config.Parse(text)
	if broken, ok := errors.AsType[*config.DecodeError](err); ok {
		return n, n.broken(broken)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(bytes.ReplaceAll(text, []byte("\t"), []byte(" ")), &document); err != nil || len(document.Content) == 0 {
		return n, &Finding{Line: offset + 1, Severity: Error, Path: n.specPath(), Problem: fmt.Sprintf("it cannot be read: %v", err)}
	}
	n.root = document.Content[0]
	return n, nil
}

// broken says where the JSON is broken, by the line of the file.
func (n network) broken(err *config.DecodeError) *Finding {
	problem, line := oneLine(err), 1
	if m := ofJSON.FindStringSubmatchIndex(problem); m != nil {
		line, _ = strconv.Atoi(problem[m[2]:m[3]])
		problem = problem[:m[0]] + problem[m[1]:]
	}
	if n.oneLine {
		line = 1
	}
	return &Finding{Line: n.offset + line, Path: n.specPath(), Severity: Error, Problem: problem}
}

// ofJSON is where config.Parse says that JSON is broken.
var ofJSON = regexp.MustCompile(`line (\d+), `)

// specPath is where the network is in its file.
func (n network) specPath() string {
	if n.attachment != "" {
		return "spec.config"
	}
	return ""
}

// isDefinition says whether it is a document of Kubernetes.
func (n network) isDefinition() bool { return valueOf(n.root, "kind") != nil }

// readDefinitions finds the networks in a document of Kubernetes, which may be a list of others.
func readDefinitions(document *yaml.Node, offset int) (networks []network, found []Finding, err error) {
	if items := valueOf(document, "items"); items != nil && items.Kind == yaml.SequenceNode {
		for _, item := range items.Content {
			more, wrong, err := readDefinitions(item, offset)
			if err != nil {
				return nil, nil, err
			}
			networks, found = append(networks, more...), append(found, wrong...)
		}
		return networks, found, nil
	}
	if textOf(valueOf(document, "kind")) != "NetworkAttachmentDefinition" {
		return nil, nil, nil
	}
	name := valueOf(document, "metadata", "name")
	at := func(node *yaml.Node, path, problem string) {
		line := document.Line
		if node != nil {
			line = node.Line
		}
		found = append(found, Finding{Line: offset + line, Path: path, Severity: Error, Problem: problem})
	}
	if !isObjectName(textOf(name)) {
		at(name, "metadata.name", fmt.Sprintf("%q is no name of an object: lower case letters, digits, - and . (RFC 1123), at most 253", textOf(name)))
	}
	spec := valueOf(document, "spec", "config")
	switch {
	case spec == nil || spec.Kind == yaml.ScalarNode && spec.Value == "":
		// Multus then looks for a file of that name in its own directory (netutils.GetCNIConfig).
		return nil, append(found, Finding{
			Line: offset + document.Line, Path: "spec.config", Severity: Warning,
			Problem: "is empty: Multus looks for a network of the name on each node",
		}), nil
	case spec.Kind != yaml.ScalarNode:
		at(spec, "spec.config", "is YAML; Multus wants a string that holds JSON: begin it with |- and write JSON below")
		return nil, found, nil
	}
	first, quoted := spec.Line-1, true
	if spec.Style&yaml.LiteralStyle != 0 {
		first, quoted = spec.Line, false
	}
	n, wrong := readJSON([]byte(spec.Value), offset+first, quoted, cmp.Or(textOf(name), "unnamed"))
	if wrong != nil {
		return nil, append(found, *wrong), nil
	}
	return []network{n}, found, nil
}
