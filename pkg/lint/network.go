package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/symroute/symroute/pkg/config"
)

// A network is the CNI configuration of a document.
type network struct {
	*checker
	document
	outline config.Outline
	members map[string]any
	plugins []plugin
	failed  bool // an error was found
}

// A plugin is one of a network's.
type plugin struct {
	path    string // "plugins[1]"; empty: the configuration is of this one alone
	name    string // its type
	members map[string]any
}

// document looks at one configuration.
func (c *checker) document(d document) {
	if d.definition != nil {
		c.object(d)
	}
	if d.at == nil {
		return
	}
	n := &network{checker: c, document: d, outline: config.OutlineOf(d.text)}
	if !n.decode() {
		return
	}
	n.repeated()
	n.common()
	n.list()
	n.pairs()
	n.libcni()
}

// report adds a finding at a path of the configuration. What is missing stands where it should.
func (n *network) report(severity Severity, path, format string, values ...any) {
	n.failed = n.failed || severity == Error
	where, known := n.outline.Spans[path]
	for at := path; !known && at != ""; {
		at = at[:max(strings.LastIndexAny(at, ".["), 0)]
		where, known = n.outline.Spans[at]
	}
	n.found(severity, n.at(where.Key), path, fmt.Sprintf(format, values...))
}

func (n *network) error(path, format string, values ...any) { n.report(Error, path, format, values...) }

func (n *network) warn(path, format string, values ...any) {
	n.report(Warning, path, format, values...)
}

// decode reads the configuration as the plugin does.
func (n *network) decode() bool {
	if strings.TrimSpace(string(n.text)) == "" {
		n.found(Error, n.at(0), n.pathOfText(), "is empty")
		return false
	}
	_, err := config.ParseTeardown(n.text)
	broken, ok := errors.AsType[*config.DecodeError](err)
	if !ok {
		return decode(n.text, &n.members) == nil
	}
	line, column, problem, ok := config.PositionOf(broken)
	if !ok {
		n.found(Error, n.at(0), n.pathOfText(), "is not a JSON object: "+problem)
		return false
	}
	offset := n.inLine(n.at(offsetOf(n.text, line, column)))
	n.found(Error, offset, n.pathOfText(), fmt.Sprintf("is not JSON: column %d: %s", n.nodeAt(offset).Column, problem))
	return false
}

// pathOfText is the path of the configuration as a whole.
func (n *network) pathOfText() string {
	if n.definition == nil {
		return ""
	}
	return n.definition.pathOf("spec.config")
}

// repeated warns of keys that stand twice, of which encoding/json takes the last.
func (n *network) repeated() {
	for _, path := range n.outline.Twice {
		n.warn(path, "stands more than once in its object; only the last one counts")
	}
}

// common looks at what every network has (CNI SPEC, section 1: cniVersion, name).
func (n *network) common() {
	n.name()
	n.version()
}

// name looks at the name of the network.
func (n *network) name() {
	name, has := n.members["name"]
	switch {
	case !has || name == nil || name == "":
		// Multus gives the object's name to a configuration without one (GetCNIConfigFromSpec in
		// network-attachment-definition-client). libcni refuses it: NetworkConfFromBytes, and
		// utils.ValidateNetworkName for a single plugin.
		if n.definition == nil {
			n.error("name", "is missing; it must be the name of the network")
		}
		return
	case n.definition != nil && n.definition.name != "" && name != n.definition.name:
		// LoadDelegateNetConf in Multus' pkg/types/conf.go.
		n.warn("name", "%v is not the name of the NetworkAttachmentDefinition, %s: plugins and libcni's cache use the former, "+
			"Multus' network status and events the latter", name, n.definition.name)
	}
	// utils.ValidateNetworkName is as strict.
	n.parse("", map[string]any{"name": name}, "name")
}

// parse lets the parser of symroute look at members, and reports what it finds at a path of the network.
func (n *network) parse(path string, members map[string]any, only ...string) *config.Config {
	data, err := json.Marshal(members)
	if err != nil {
		return nil
	}
	cfg, err := config.Parse(data)
	faults, _ := errors.AsType[config.Faults](err)
	for _, f := range faults {
		if len(only) > 0 && !slices.Contains(only, f.Path) {
			continue
		}
		n.error(within(path, f.Path), "%s", f.Problem)
	}
	return cfg
}

// within is the path of a key of the object at path.
func within(path, key string) string {
	if path == "" || key == "" || strings.HasPrefix(key, "[") {
		return path + key
	}
	return path + "." + key
}

// version looks at the version of the CNI specification. A plugin refuses one that it does not know word by
// word (skel, version.Reconciler), and plugins cannot be chained before 0.3.0 (CNI SPEC, "Released versions").
func (n *network) version() {
	known := version.All.SupportedVersions()
	chosen, ok := n.chosenVersion()
	if !ok {
		return
	}
	path := "cniVersion"
	_, has := n.members[path]
	switch {
	case !has && chosen == "" && n.has(symroute):
		n.error(path, `is missing, which means 0.1.0, and plugins cannot be chained before 0.3.0; write "cniVersion": "1.0.0"`)
	case chosen == "":
		n.warn(path, `is missing, which means 0.1.0; write "cniVersion": "1.0.0"`)
	case !slices.Contains(known, chosen):
		n.error(path, "%q is no version of the CNI specification that plugins know; write one of %s", chosen, strings.Join(known[2:], ", "))
	case slices.Index(known, chosen) < slices.Index(known, "0.3.0") && n.has(symroute):
		n.error(path, "%s is before 0.3.0, and plugins cannot be chained then; write 1.0.0", chosen)
	}
}

// chosenVersion is the one that libcni takes: of cniVersion and cniVersions the highest that it knows
// (libcni.NetworkConfFromBytes).
func (n *network) chosenVersion() (string, bool) {
	own, isText := n.members["cniVersion"].(string)
	if v := n.members["cniVersion"]; v != nil && !isText {
		n.error("cniVersion", `must be a string such as "1.0.0"`)
		return "", false
	}
	if n.members["cniVersions"] == nil {
		return own, true
	}
	data, err := json.Marshal(map[string]any{"name": "any", "cniVersion": own, "cniVersions": n.members["cniVersions"]})
	if err != nil {
		return own, true
	}
	list, err := libcni.NetworkConfFromBytes(data)
	if err != nil {
		n.error("cniVersions", "%s", refusal(err))
		return "", false
	}
	return list.CNIVersion, true
}

// refusal is what libcni says, without its preface.
func refusal(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error parsing configuration list: "), "error parsing configuration: ")
}

// has says whether a plugin is in the network, before the list has been looked at.
func (n *network) has(name string) bool {
	if n.members["type"] == name {
		return true
	}
	list, _ := n.members["plugins"].([]any)
	return slices.ContainsFunc(list, func(e any) bool {
		p, _ := e.(map[string]any)
		return p["type"] == name
	})
}

// list looks at the plugins: that there are some, and that the runtime finds them.
func (n *network) list() {
	plugins, isList := n.members["plugins"]
	kind, isSingle := n.members["type"]
	extension := filepath.Ext(n.file.Name)
	switch {
	case isSingle && n.single(extension):
		if isList && plugins != nil {
			// NetworkPluginConfFromBytes; for Multus LoadDelegateNetConf, which looks at type first.
			n.error("plugins", `is not looked at, because of "type" beside it; remove one of them`)
		}
		n.plugins = n.plugin("", n.members)
	case isSingle && !isList:
		// libcni.NetworkConfFromBytes finds no plugins.
		n.error("", `is a single plugin (%v) in a .conflist, in which libcni looks for "plugins"; put it into "plugins"`, kind)
		n.plugins = n.plugin("", n.members)
	case !isList && n.definition == nil && extension == ".conflist":
		// NetworkConfFromFile and NetworkPluginConfsFromFiles, from libcni 1.3 on.
		n.warn("", `has no "plugins"; libcni takes them from the directory of the network's name beside it from 1.3 on, and refuses it before`)
	case !isList:
		// For Multus: LoadDelegateNetConfList.
		n.error("", `has neither "plugins" nor "type"`)
	default:
		n.elements(plugins, extension)
	}
}

// single says whether the runtime takes the configuration for a single plugin if it has a type. Of files,
// libcni.LoadConf and containerd's go-cni (loadFromConfDir) go by the names.
func (n *network) single(extension string) bool {
	_, isList := n.members["plugins"]
	switch {
	case n.definition != nil, extension == ".conf":
		return true
	case extension == ".conflist":
		return false
	}
	return !isList
}

// elements looks at a list of plugins.
func (n *network) elements(value any, extension string) {
	switch {
	case n.definition == nil && extension == ".conf":
		n.error("plugins", `is not looked at in a .conf, in which libcni expects one plugin and its "type"; name the file .conflist`)
	case n.definition == nil && extension == ".json":
		n.warn("plugins", `is not looked at if this file is in the runtime's directory, where .json means one plugin; name it .conflist there`)
	}
	list, ok := value.([]any)
	if !ok {
		n.error("plugins", "must be a list of plugins")
		return
	}
	if len(list) == 0 {
		n.error("plugins", "is empty; it must have at least one plugin") // libcni.NetworkConfFromBytes
	}
	for i, e := range list {
		path := config.Element("plugins", i)
		members, ok := e.(map[string]any)
		if !ok {
			n.error(path, `must be an object such as {"type": "symroute"}`)
			continue
		}
		n.plugins = append(n.plugins, n.plugin(path, members)...)
		n.overwritten(path, members)
	}
}

// overwritten warns of what the runtime writes into each plugin (buildOneConfig in libcni/api.go).
func (n *network) overwritten(path string, members map[string]any) {
	for _, key := range []string{"name", "cniVersion"} {
		own, has := members[key]
		switch ours, known := n.members[key]; {
		case !has || known && own == ours:
		case known:
			n.warn(config.Child(path, key), "%v does not count; the runtime writes that of the network, %v", own, ours)
		default:
			n.warn(config.Child(path, key), `%v does not count; write it beside "plugins"`, own)
		}
	}
}

// plugin looks at what every plugin has: a type that is the name of a file (CNI SPEC, section 1; libcni's
// NetworkPluginConfFromBytes, invoke.FindInPath).
func (n *network) plugin(path string, members map[string]any) []plugin {
	name, ok := members["type"].(string)
	switch {
	case !ok || name == "":
		n.error(config.Child(path, "type"), "is missing; it must be the name of a plugin such as %q", symroute)
	case strings.ContainsAny(name, `/\`):
		n.error(config.Child(path, "type"), "%q is a path; write the name of the file alone", name)
	}
	return []plugin{{path: path, name: name, members: members}}
}

// libcni asks libcni itself, so that nothing that it refuses passes for right.
func (n *network) libcni() {
	if n.failed {
		return
	}
	var err error
	if _, isList := n.members["plugins"]; isList {
		_, err = libcni.NetworkConfFromBytes(n.text)
	} else if _, isSingle := n.members["type"]; isSingle {
		_, err = libcni.NetworkPluginConfFromBytes(n.text)
	}
	if err != nil && (n.definition == nil || n.members["name"] != nil) { // Multus writes a name
		n.error("", "is refused by runtimes: %s", refusal(err))
	}
}

// keysOf are the keys of an object.
func keysOf(members map[string]any) iter.Seq[string] { return maps.Keys(members) }
