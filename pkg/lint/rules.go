package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/utils"
	"github.com/containernetworking/cni/pkg/version"
	"go.yaml.in/yaml/v4"

	"github.com/symroute/symroute/pkg/config"
)

// symroute is the type of the plugin.
const symroute = "symroute"

// findings are what is wrong with a network.
func (n network) findings(ext string) []Finding {
	if n.root.Kind != yaml.MappingNode {
		return []Finding{n.at(Error, "", "is no JSON object")}
	}
	found := slices.Concat(n.twice(n.root, ""), n.ofFile(ext), n.ofHead())
	list := valueOf(n.root, "plugins")
	if list == nil {
		return append(found, n.ofOne()...)
	}
	if list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		return append(found, n.at(Error, "plugins", "must be a list of at least one plugin"))
	}
	return slices.Concat(found, n.ofPlugins(), n.ofSymroutes(), n.ofNeighbours())
}

// twice finds keys that stand twice in an object: the last counts (encoding/json), which is easy to overlook.
func (n network) twice(node *yaml.Node, path string) []Finding {
	var found []Finding
	seen := map[string]bool{}
	if node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if seen[key.Value] {
				found = append(found, Finding{
					Line: n.line(key), Path: join(path, key.Value), Severity: Error, Problem: "stands there twice, and the last one counts; remove one",
				})
			}
			seen[key.Value] = true
			found = append(found, n.twice(node.Content[i+1], join(path, key.Value))...)
		}
	}
	for i, e := range elements(node) {
		found = append(found, n.twice(e, fmt.Sprintf("%s[%d]", path, i))...)
	}
	return found
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// ofFile compares the network with the name of its file: a runtime reads *.conflist as a list, and *.conf and *.json
// as one plugin (libcni, ConfListFromFile and ConfFromFile).
func (n network) ofFile(ext string) []Finding {
	isList := valueOf(n.root, "plugins") != nil
	switch {
	case n.attachment != "":
	case isList && (ext == ".conf" || ext == ".json"):
		return []Finding{n.at(Error, "plugins", fmt.Sprintf("runtimes read a file that ends in %s as the configuration of one plugin: name it .conflist", ext))}
	case !isList && ext == ".conflist":
		return []Finding{n.at(Error, "", `a file that ends in .conflist needs a list "plugins"`)}
	}
	return nil
}

// ofHead looks at the name and the version of the network.
func (n network) ofHead() []Finding {
	var found []Finding
	_, name := entry(n.root, "name")
	switch {
	case name == nil && n.attachment != "": // Multus then takes that of the definition (netutils.GetCNIConfigFromSpec)
	case name == nil:
		found = append(found, n.at(Error, "name", "is missing: the network needs one"))
	case utils.ValidateNetworkName(textOf(name)) != nil:
		found = append(found, n.at(Error, "name", fmt.Sprintf("%q is no name of a network: letters, digits, -, _ and . , and a letter or digit first (CNI SPEC)", textOf(name))))
	}
	_, v := entry(n.root, "cniVersion")
	text := textOf(v)
	before3, _ := version.GreaterThanOrEqualTo(text, "0.3.0")
	switch known := slices.Contains(version.All.SupportedVersions(), text); {
	case v == nil:
		found = append(found, n.at(Error, "cniVersion", `is missing; write "1.0.0", or the latest that your runtime and plugins speak`))
	case !known:
		found = append(found, n.at(Error, "cniVersion", fmt.Sprintf("%q is none; write one of %s", text, strings.Join(version.All.SupportedVersions(), ", "))))
	case !before3:
		found = append(found, n.at(Error, "cniVersion", fmt.Sprintf("%s knows no chains of plugins: symroute needs 0.3.0 or newer, and CHECK 0.4.0", text)))
	}
	return found
}

// ofOne looks at a network of one plugin.
func (n network) ofOne() []Finding {
	_, kind := entry(n.root, "type")
	switch textOf(kind) {
	case "":
		return []Finding{n.at(Error, "type", "is missing: it names the plugin")}
	case symroute:
		return append([]Finding{n.at(Error, "type", `symroute must be chained: put it behind an interface plugin in "plugins"`)}, n.keys(n.text, "")...)
	}
	return nil
}

// ofPlugins looks whether each plugin has a type.
func (n network) ofPlugins() []Finding {
	var found []Finding
	for i, p := range elements(valueOf(n.root, "plugins")) {
		if textOf(valueOf(p, "type")) == "" {
			found = append(found, n.at(Error, fmt.Sprintf("plugins[%d]", i), `has no "type", which names the plugin`))
		}
	}
	return found
}

// types are those of the plugins, in their order.
func (n network) types() []string {
	var out []string
	for _, p := range elements(valueOf(n.root, "plugins")) {
		out = append(out, textOf(valueOf(p, "type")))
	}
	return out
}

// ofSymroutes looks at the keys of symroute, and at its place.
func (n network) ofSymroutes() []Finding {
	var list struct{ Plugins []json.RawMessage }
	_ = json.Unmarshal(n.text, &list) // what is no list has been said
	var found []Finding
	first := -1
	for i, kind := range n.types() {
		if kind != symroute {
			continue
		}
		path := fmt.Sprintf("plugins[%d]", i)
		switch {
		case first >= 0:
			found = append(found, n.at(Error, path, fmt.Sprintf("symroute is in the chain already (plugins[%d]): the second ADD replaces what the first has made; keep one", first)))
		case i == 0:
			found = append(found, n.at(Error, path, "symroute is the first plugin, and finds no result to work on: put it behind the interface plugin"))
		}
		if first < 0 {
			first = i
		}
		if i < len(list.Plugins) {
			found = append(found, n.keys(list.Plugins[i], path)...)
		}
	}
	return found
}

// keys are the faults of symroute's keys, as the plugin finds them.
func (n network) keys(text []byte, path string) []Finding {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil {
		return nil // which has been said
	}
	// A runtime writes these into it (libcni, InjectConf). They have been looked at.
	object["name"], object["cniVersion"] = json.RawMessage(`"lint"`), json.RawMessage(`"1.1.0"`)
	whole, err := json.Marshal(object)
	if err != nil {
		return nil
	}
	_, err = config.Parse(whole)
	faults, _ := errors.AsType[config.Faults](err)
	var found []Finding
	for _, f := range faults {
		found = append(found, n.at(Error, join(path, f.Path), f.Problem))
	}
	return found
}

// ofNeighbours looks at plugins that do what symroute does, or undo it.
func (n network) ofNeighbours() []Finding {
	types := n.types()
	own := slices.Index(types, symroute)
	if own < 0 {
		return nil
	}
	var found []Finding
	for i, kind := range types {
		path := fmt.Sprintf("plugins[%d]", i)
		switch {
		case kind == "sbr":
			// It moves the NIC's routes out of main, and its DEL removes every rule with a source of the NIC (sbr, tidyRules).
			found = append(found, n.at(Error, path, "sbr and symroute both make source rules for the NIC: remove sbr (symroutectl migrate does)"))
		case kind == "coordinator":
			found = append(found, n.at(Error, path, "coordinator and symroute both make tables and rules for the NIC: remove one (symroutectl migrate keeps symroute)"))
		case kind == "tuning":
			found = append(found, n.ofTuning(i, own)...)
		case kind == "route-override" && i > own:
			found = append(found, n.at(Warning, path, "route-override behind symroute changes routes that symroute has seen: put it before symroute"))
		case kind == "bridge":
			found = append(found, n.ofBridge(i)...)
		}
		if i > own && isInterfacePlugin(kind) {
			found = append(found, n.at(Error, path, fmt.Sprintf("%s makes an interface behind symroute, which does not see it: put symroute behind it", kind)))
		}
	}
	return append(found, n.ofAddresses(own)...)
}

// isInterfacePlugin says whether a plugin makes the NIC (containernetworking/plugins, plugins/main).
func isInterfacePlugin(kind string) bool {
	return slices.Contains([]string{"bridge", "macvlan", "ipvlan", "ptp", "vlan", "host-device", "tap", "dummy", "sriov", "ib-sriov", "ovs"}, kind)
}

// setting is one of tuning's that symroute writes, too: of a NIC, or of all.
var setting = regexp.MustCompile(`^net[./]ipv4[./]conf[./](.+)[./](rp_filter|arp_ignore|arp_announce)$`)

// ofTuning looks for settings that both write. Of rp_filter, arp_ignore and arp_announce the kernel uses the larger of
// conf/all and the NIC's own.
func (n network) ofTuning(i, own int) []Finding {
	sysctls := valueOf(elements(valueOf(n.root, "plugins"))[i], "sysctl")
	if sysctls == nil || sysctls.Kind != yaml.MappingNode {
		return nil
	}
	symroutes := elements(valueOf(n.root, "plugins"))[own]
	arp := textOf(valueOf(symroutes, "arp")) == "isolate" || valueOf(symroutes, "lvs") != nil
	var found []Finding
	for k := 0; k+1 < len(sysctls.Content); k += 2 {
		key := sysctls.Content[k]
		m := setting.FindStringSubmatch(key.Value)
		if m == nil || m[2] != fibRPFilter && !arp {
			continue
		}
		with := `"rpFilter"`
		if m[2] != fibRPFilter {
			with = `"arp" or "lvs"`
		}
		found = append(found, Finding{
			Line: n.line(key), Path: fmt.Sprintf("plugins[%d].sysctl[%q]", i, key.Value), Severity: Warning,
			Problem: fmt.Sprintf("symroute sets %s, too (%s), and the kernel uses the larger of all's and the NIC's: remove it here", m[2], with),
		})
	}
	return found
}

const fibRPFilter = "rp_filter"

// ofBridge looks at keys of bridge that contradict one another: it takes isDefaultGateway for isGateway, too (bridge,
// cmdAdd).
func (n network) ofBridge(i int) []Finding {
	bridge := elements(valueOf(n.root, "plugins"))[i]
	if isTrue(valueOf(bridge, "isDefaultGateway")) && isFalse(valueOf(bridge, "isGateway")) {
		return []Finding{n.at(Warning, fmt.Sprintf("plugins[%d].isGateway", i), "is false, and isDefaultGateway makes the bridge a gateway all the same: remove one")}
	}
	return nil
}

func isTrue(node *yaml.Node) bool {
	b, err := strconv.ParseBool(textOf(node))
	return err == nil && b
}

func isFalse(node *yaml.Node) bool {
	b, err := strconv.ParseBool(textOf(node))
	return err == nil && !b
}

// ofAddresses looks whether the NIC gets any: symroute gives sources tables.
func (n network) ofAddresses(own int) []Finding {
	plugins := elements(valueOf(n.root, "plugins"))
	if own == 0 || valueOf(plugins[own], "sources") != nil || valueOf(plugins[own], "lvs") != nil {
		return nil
	}
	ipam := valueOf(plugins[0], "ipam")
	if !isInterfacePlugin(textOf(valueOf(plugins[0], "type"))) || ipam != nil && len(ipam.Content) > 0 {
		return nil
	}
	return []Finding{n.at(Warning, "plugins[0]", `has no "ipam": without addresses symroute sets rp_filter alone; name autoconfigured addresses in "sources"`)}
}
