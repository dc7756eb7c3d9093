package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/config"
)

// A Migration is a file in which symroute has taken the place of others.
type Migration struct {
	// Data is the file; as it was, if there was nothing to do.
	Data []byte
	// Changes are what has another meaning now.
	Changes []Change
	// Report is what lint says of it.
	Report Report
}

// A Change is what a key meant, and what is there in its place.
type Change struct {
	File string
	Line int
	Path string
	Was  string
	Is   string
}

// String is the change as a comment.
func (c Change) String() string {
	return fmt.Sprintf("# %s:%d: %s: was: %s; is: %s", c.File, c.Line, c.Path, c.Was, c.Is)
}

// Migrate replaces sbr, the rp_filter keys of tuning and spiderpool's coordinator by symroute. All else in the
// file stays as it is, byte for byte. Its error is about a file that cannot be read.
func Migrate(f File) (Migration, error) {
	c := &checker{file: f}
	documents := c.documents()
	m := Migration{Data: slices.Clone(f.Data)}
	untouched := len(m.Data)                       // up to here
	for _, d := range slices.Backward(documents) { // what is changed moves what is behind it
		if d.at == nil || d.scalar.end > untouched { // an alias of YAML: the string has been seen
			continue
		}
		n := &network{checker: c, document: d, outline: config.OutlineOf(d.text)}
		if n.repeated(); !n.decode() || len(n.outline.Twice) > 0 {
			continue
		}
		text, changes := n.migrate()
		if text != string(d.text) {
			m.Data = d.replace(m.Data, text)
			untouched = d.scalar.start
			m.Changes = append(changes, m.Changes...)
		}
	}
	if len(c.findings) > 0 {
		return Migration{Data: f.Data}, fmt.Errorf("cannot be migrated before this is right: %v", c.sorted()[0])
	}
	m.Report = Check(File{Name: f.Name, Data: m.Data})
	return m, nil
}

// A migrator turns the plugins of one network into symroute.
type migrator struct {
	*network
	keys     []member // of symroute
	changes  []Change
	replaced map[string]bool   // plugins that are gone, by path
	edited   map[string]string // what has become of others
	last     string            // the plugin behind which symroute has to stand
}

// A member is a key of symroute with its value.
type member struct {
	key   string
	value any
}

// set sets a key of symroute.
func (m *migrator) set(key string, value any) {
	if i := slices.IndexFunc(m.keys, func(k member) bool { return k.key == key }); i >= 0 {
		m.keys[i].value = value
		return
	}
	m.keys = append(m.keys, member{key, value})
}

// change says what has another meaning.
func (m *migrator) change(path, was, is string) {
	where := m.outline.Spans[path].Key
	if _, known := m.outline.Spans[path]; !known {
		where = m.outline.Spans[path[:max(strings.LastIndexAny(path, ".["), 0)]].Key
	}
	m.changes = append(m.changes, Change{File: m.file.Name, Line: m.nodeAt(m.at(where)).Line, Path: path, Was: was, Is: is})
}

// migrate is the configuration with symroute, and what that changes.
func (n *network) migrate() (string, []Change) {
	list, _ := n.members["plugins"].([]any)
	m := &migrator{network: n, replaced: map[string]bool{}, edited: map[string]string{}}
	exists := ""
	for i, e := range list {
		members, _ := e.(map[string]any)
		name, _ := members["type"].(string)
		p := plugin{path: config.Element("plugins", i), name: name, members: members}
		if isSymroute(p) {
			exists = p.path
		}
		m.plugin(p)
	}
	if len(m.replaced) == 0 && len(m.edited) == 0 {
		return string(n.text), nil
	}
	m.filter(exists)
	return m.result(exists), m.changes
}

// plugin looks at one plugin.
func (m *migrator) plugin(p plugin) {
	switch p.name {
	case sbr:
		m.sbr(p)
	case coordinator:
		m.coordinator(p)
	case tuning:
		m.tuning(p)
	}
	if m.replaced[p.path] || m.edited[p.path] != "" || p.name == override {
		m.last = p.path
	}
}

// filter says what becomes of rp_filter if nobody has set it.
func (m *migrator) filter(exists string) {
	if exists == "" && !slices.ContainsFunc(m.keys, func(k member) bool { return k.key == "rpFilter" }) {
		m.change(m.last, "rp_filter is as the pod has it", `the effective rp_filter of the NIC is loose, by default ("rpFilter": "keep" leaves it)`)
	}
}

// result puts symroute into the list, unless it is there.
func (m *migrator) result(exists string) string {
	list := partsOf(string(m.text), m.outline, "plugins")
	var kept []part
	for i, path := range m.outline.Children["plugins"] {
		p := list.parts[i]
		if text := m.edited[path]; text != "" {
			p.text = text
		}
		if path == exists {
			p.text = withMembers(p.text, m.keys)
		}
		if !m.replaced[path] {
			kept = append(kept, p)
		}
		if path == m.last && exists == "" {
			kept = append(kept, part{before: list.separator(i), text: object(m.keys, p.text)})
		}
	}
	return list.with(kept)
}
