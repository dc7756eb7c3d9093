package lint

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/config"
)

// This file says what the keys of others are with symroute.

// sbr has its keys in plugins/meta/sbr/main.go (PluginConf), and what it does in doRoutes and doRoutesWithTable.
func (m *migrator) sbr(p plugin) {
	m.replaced[p.path] = true
	if table := p.members["table"]; table != nil {
		m.change(config.Child(p.path, "table"),
			fmt.Sprintf("a rule to table %v for each address, and the routes in it are made by others", table),
			fmt.Sprintf("symroute fills a table of its own, from 7300; routes with \"table\": %v in ipam are not looked at", table))
	} else {
		m.change(p.path, "tables from 100 on, one for each address",
			`tables from 7300 on, one for each NIC and set of gateways ("table" for another first one)`)
		m.change(p.path, "the NIC has no route in main",
			`its connected and specific routes stay in main; its default route is there only if it is the pod's ("mainDefault")`)
	}
	m.change(p.path, "what the table of an address has no route for is decided by main",
		`it is refused at once ("noGateway": "main" lets main decide)`)
	if gateways, _ := p.members["gateways"].([]any); len(gateways) > 0 {
		m.set("gateways", gateways)
		m.change(config.Child(p.path, "gateways"), "each serves all addresses of its family", "each serves the addresses whose subnet holds it")
	}
	if p.members["addSourceHints"] == true {
		m.change(config.Child(p.path, "addSourceHints"), "connected routes in main have the NIC's address as source", "they stay as the kernel made them")
	}
	m.leaveOut(p, "type", "name", "cniVersion", "table", "gateways", "addSourceHints")
}

// leaveOut names the keys that symroute has nothing for.
func (m *migrator) leaveOut(p plugin, known ...string) {
	for _, key := range slices.Sorted(keysOf(p.members)) {
		if !slices.Contains(known, key) && p.members[key] != nil {
			m.change(config.Child(p.path, key), encoded(p.members[key]), "left out; symroute has nothing like it")
		}
	}
}

// modeName is the name of a mode of rp_filter.
func modeName(mode int) string { return [...]string{"off", "strict", "loose"}[mode] }

// tuning's keys of rp_filter become symroute's. That of "default" stays: it is for devices to come.
func (m *migrator) tuning(p plugin) {
	var moved []string
	var interfaces []member
	mode := -1
	for _, s := range settingsOf(p) {
		if s.name != "rp_filter" || s.device == "default" || s.value < 0 || s.value > 2 {
			continue
		}
		moved = append(moved, s.key)
		path := config.Child(config.Child(p.path, "sysctl"), s.key)
		name := modeName(s.value)
		switch s.device {
		case "all":
			mode = max(mode, s.value)
			m.change(path, ofAll(s.value), `the effective mode of this NIC alone ("interfaces" has others)`)
		case thisNIC:
			mode = max(mode, s.value)
			m.change(path, fmt.Sprintf("%d as the NIC's own value, which a larger one of all overrules; DEL leaves it", s.value),
				fmt.Sprintf("%s as the effective mode of the NIC; DEL puts back what was", name))
		default:
			interfaces = append(interfaces, member{s.device, []member{{"rpFilter", name}}})
			m.change(path, fmt.Sprintf("%d as the own value of %s", s.value, s.device),
				fmt.Sprintf("%s as the effective mode of %[2]s, which has to be there on ADD; if %[2]s is the NIC itself, write \"rpFilter\"", name, s.device))
		}
	}
	if len(moved) == 0 {
		return
	}
	if mode >= 0 {
		m.raise(mode)
	}
	if len(interfaces) > 0 {
		m.set("interfaces", interfaces)
	}
	m.tuned(p, moved)
}

// ofAll is what a value of "all" means (ip-sysctl, rp_filter: the larger one counts).
func ofAll(value int) string {
	return fmt.Sprintf("%d for all NICs of the pod, but for those with a larger value of their own", value)
}

// raise sets the mode, unless somebody has set a larger one: the kernel took the largest.
func (m *migrator) raise(mode int) {
	for _, k := range m.keys {
		if k.key == "rpFilter" && slices.Index([]string{"off", "strict", "loose"}, fmt.Sprint(k.value)) >= mode {
			return
		}
	}
	m.set("rpFilter", modeName(mode))
}

// tuned takes sysctls out of a tuning, and tuning itself if there is nothing else in it.
func (m *migrator) tuned(p plugin, moved []string) {
	at := m.outline.Spans[p.path]
	text := without(string(m.text[at.Start:at.End]), "sysctl", func(key string) bool { return slices.Contains(moved, key) })
	sysctls, _ := p.members["sysctl"].(map[string]any)
	if len(sysctls) > len(moved) {
		m.edited[p.path] = text
		return
	}
	if len(p.members) == len([]string{"type", "sysctl"}) {
		m.replaced[p.path] = true
		return
	}
	m.edited[p.path] = without(text, "", func(key string) bool { return key == "sysctl" })
}

// coordinator has its keys in spiderpool's cmd/coordinator/cmd/cni_types.go (Config), and what they do in
// command_add.go and utils.go beside it. Those that are missing come from the cluster's SpiderCoordinator.
func (m *migrator) coordinator(p plugin) {
	mode, _ := p.members["mode"].(string)
	if mode == "disable" {
		return
	}
	m.replaced[p.path] = true
	at := func(key string) string { return config.Child(p.path, key) }
	m.change(p.path, "tables from 100 on; the NIC has no route in main, if it does not have the pod's default route",
		`tables from 7300 on; connected and specific routes stay in main ("mainDefault" for the default route)`)
	m.change(p.path, "routes to services and pods by eth0 or veth0, also for the NIC's own addresses",
		`main decides; sockets without an address use eth0 ("viaMain" for the NIC's addresses: read docs/configuration.md first)`)
	switch mode {
	case "overlay":
	case "underlay", "auto", "":
		m.change(at("mode"), "in underlay mode a veth pair to the node, for services, probes and the node",
			"no such pair; if eth0 is an underlay NIC, give its network routes to services and nodes (docs/kubernetes.md)")
	}
	m.coordinatorFilter(p, at("podRPFilter"))
	if p.members["tunePodRoutes"] == false {
		m.change(at("tunePodRoutes"), "false: the NIC's routes stay in main alone", "the NIC has a table of its own all the same")
	}
	if nic, _ := p.members["podDefaultRouteNic"].(string); nic != "" && nic != "eth0" {
		m.set("mainDefault", "take")
		m.change(at("podDefaultRouteNic"), nic+" has the pod's default route",
			`the NIC of this network takes it, whatever its name ("mainDefault": "take")`)
	}
	m.policyRoutes(p, at("policyRoutes"))
	m.leaveOut(p, "type", "name", "cniVersion", "mode", "podRPFilter", "tunePodRoutes", "podDefaultRouteNic", "policyRoutes", "logOptions",
		"detectOptions")
}

// coordinatorFilter is about podRPFilter, which is net.ipv4.conf.all.rp_filter (SetSysctlRPFilter in
// pkg/networking/sysctl/sysctl.go); a negative number leaves it.
func (m *migrator) coordinatorFilter(p plugin, path string) {
	number, isNumber := p.members["podRPFilter"].(json.Number)
	mode, err := number.Int64()
	switch {
	case !isNumber || err != nil || mode > 2:
		m.change(path, "as SpiderCoordinator says, by default 0, for all NICs of the pod", `loose for this NIC ("rpFilter", by default)`)
	case mode < 0:
		m.set("rpFilter", "keep")
	default:
		m.raise(int(mode))
		m.change(path, ofAll(int(mode)), modeName(int(mode))+` as the effective mode of this NIC alone ("interfaces" has others)`)
	}
}

// policyRoutes become routes, and those of the default route gateways.
func (m *migrator) policyRoutes(p plugin, path string) {
	list, _ := p.members["policyRoutes"].([]any)
	var routes, gateways []any
	for i, e := range list {
		route, _ := e.(map[string]any)
		dst, _ := route["dst"].(string)
		gw, _ := route["gw"].(string)
		prefix, ok := prefixOf(dst)
		switch {
		case !ok:
			m.change(config.Element(path, i), inline(dst), "left out; it is no prefix")
		case prefix.Bits() == 0:
			gateways = append(gateways, strings.TrimSpace(gw))
			m.change(config.Element(path, i), "a default route by "+gw, `a gateway ("gateways")`)
		default:
			routes = append(routes, []member{{"dst", prefix.String()}, {"gw", strings.TrimSpace(gw)}})
			m.change(config.Element(path, i), "a route of the table; of main, for the first NIC in underlay mode", `a route of the NIC's table ("routes")`)
		}
	}
	if len(routes) > 0 {
		m.set("routes", routes)
	}
	if len(gateways) > 0 {
		m.set("gateways", gateways)
	}
}

// prefixOf reads a prefix or an address, as coordinator does (validateCoordinatorPolicyRoutes).
func prefixOf(text string) (netip.Prefix, bool) {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err == nil
}
