package lint

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/symroute/symroute/pkg/config"
)

// The plugins that rules are about.
const (
	symroute    = "symroute"
	tuning      = "tuning"
	bridge      = "bridge"
	sbr         = "sbr"
	vrf         = "vrf"
	coordinator = "coordinator"
	override    = "route-override"
)

// makesNone says whether a plugin makes no interface: it works on the result of one before it, and refuses to
// run without (prevResult in containernetworking/plugins, plugins/meta; in openshift/route-override-cni; in
// spiderpool's cmd/coordinator).
func makesNone(name string) bool {
	switch name {
	case "bandwidth", "firewall", "portmap", sbr, tuning, vrf, override, coordinator, symroute:
		return true
	}
	return false
}

// asksIPAM says whether all addresses of a plugin's interface come from its "ipam": without it the interface is
// of layer 2 alone (isLayer3 in containernetworking/plugins, plugins/main; IPAM.Type in sriov-cni).
func asksIPAM(name string) bool {
	switch name {
	case bridge, "macvlan", "ipvlan", "vlan", "host-device", "dummy", "tap", "sriov":
		return true
	}
	return false
}

// pairs looks at what stands around symroute.
func (n *network) pairs() {
	first := slices.IndexFunc(n.plugins, isSymroute)
	if first < 0 {
		return
	}
	ours := n.plugins[first]
	cfg := n.ours(ours)
	for _, p := range n.plugins[first+1:] {
		if isSymroute(p) {
			// record.Key: what an attachment has is remembered by its container, NIC and network.
			n.ours(p)
			n.error(p.path, "is symroute once more; it would take the place of %s, because both are for the same attachment: "+
				"put all keys into one", ours.path)
		}
	}
	n.chained(first)
	if cfg == nil {
		return
	}
	for i, p := range n.plugins {
		n.beside(p, i > first)
		if p.name == tuning {
			n.sysctls(p, cfg, i > first)
		}
		if i < first {
			n.bridge(p, cfg)
			n.addresses(p, ours)
		}
	}
}

func isSymroute(p plugin) bool { return p.name == symroute }

// ours looks at the keys of symroute. The runtime writes the others (buildOneConfig in libcni/api.go).
func (n *network) ours(p plugin) *config.Config {
	members := maps.Clone(p.members)
	for _, key := range []string{"name", "cniVersion", "prevResult"} {
		delete(members, key)
	}
	return n.parse(p.path, members)
}

// chained looks whether symroute gets a result to work on (CNI SPEC, section 2, prevResult; pod.Call.Configured).
func (n *network) chained(first int) {
	path := n.plugins[first].path
	switch {
	case path == "":
		n.error("type", `symroute must be chained: put it behind an interface plugin in "plugins"`)
	case first == 0:
		n.error(path, `symroute must be chained, and is the first in "plugins"; put it behind an interface plugin`)
	case !slices.ContainsFunc(n.plugins[:first], func(p plugin) bool { return !makesNone(p.name) }):
		n.error(path, `symroute must be chained behind an interface plugin; none of the plugins before it makes an interface`)
	}
}

// beside looks at a plugin that routes, too.
func (n *network) beside(p plugin, behind bool) {
	switch p.name {
	case sbr:
		// doRoutes and tidyRules in plugins/meta/sbr/main.go.
		n.error(p.path, "sbr and symroute do the same work: sbr has rules of its own for the same addresses, and takes the NIC's routes "+
			`out of main; remove sbr ("symroutectl migrate")`)
	case coordinator:
		n.coordinator(p)
	case vrf:
		if !slices.ContainsFunc(n.plugins, hasIPAM) {
			return // without addresses symroute sets rp_filter alone
		}
		// docs/configuration.md, "What is refused"; plugins/meta/vrf/vrf.go.
		n.error(p.path, "vrf moves the NIC's routes into the table of the VRF; symroute refuses such a NIC, and has nothing to do there: "+
			"remove one of them")
	case override:
		if behind {
			// docs/configuration.md, "What the source table holds".
			n.warn(p.path, "route-override changes routes behind symroute, whose tables then have the old ones; put it before symroute")
		}
	}
}

// coordinator looks at the one of spiderpool (cmd/coordinator/cmd/command_add.go): tunePodRoutes moves the
// NIC's routes into tables of its own, and podRPFilter is net.ipv4.conf.all.rp_filter, if it is not negative.
func (n *network) coordinator(p plugin) {
	filter, _ := p.members["podRPFilter"].(json.Number)
	switch {
	case p.members["mode"] == "disable":
	case p.members["tunePodRoutes"] != false:
		n.error(p.path, "coordinator and symroute do the same work: coordinator moves the NIC's routes into tables of its own; "+
			`remove it ("symroutectl migrate"), or write "tunePodRoutes": false and "podRPFilter": -1`)
	case !strings.HasPrefix(filter.String(), "-"):
		n.warn(p.path, `coordinator writes net.ipv4.conf.all.rp_filter; leave that to symroute ("podRPFilter": -1)`)
	}
}

// bridge looks at a bridge before symroute, and at who owns the default route.
func (n *network) bridge(p plugin, cfg *config.Config) {
	isDefault := p.name == bridge && p.members["isDefaultGateway"] == true
	if isDefault && p.members["isGateway"] == false {
		// cmdAdd in plugins/main/bridge/bridge.go.
		n.warn(config.Child(p.path, "isGateway"), `false does not count, because "isDefaultGateway": true includes it; remove one of them`)
	}
	if n.definition == nil {
		return // the pod's first NIC keeps its default route
	}
	defaults := isDefault
	key := "isDefaultGateway"
	if at := defaultRoute(p); at != "" {
		defaults, key = true, at
	}
	path := within(p.path, key)
	switch {
	case cfg.MainDefault == config.KeepMain && defaults:
		// docs/kubernetes.md, "The default route".
		n.warn(path, `makes a second default route, which "mainDefault": "keep" leaves in main beside that of eth0: `+
			`the kernel takes either; write "take" or "yield"`)
	case cfg.MainDefault == config.Yield && isDefault:
		// calcGateways in plugins/main/bridge/bridge.go; docs/configuration.md, mainDefault.
		n.warn(path, `asks for the pod's default route, and "mainDefault": "yield" leaves it to eth0; `+
			`write "mainDefault": "take", or "isGateway": true in place of isDefaultGateway`)
	}
}

// defaultRoute is the path of a default route that the IPAM of a plugin makes; empty if there is none.
func defaultRoute(p plugin) string {
	ipam, _ := p.members["ipam"].(map[string]any)
	routes, _ := ipam["routes"].([]any)
	for i, r := range routes {
		route, _ := r.(map[string]any)
		if dst, _ := route["dst"].(string); dst == "0.0.0.0/0" || dst == "::/0" {
			return config.Element("ipam.routes", i)
		}
	}
	return ""
}

// hasIPAM says whether a plugin asks an IPAM plugin for addresses.
func hasIPAM(p plugin) bool {
	ipam, _ := p.members["ipam"].(map[string]any)
	kind, _ := ipam["type"].(string)
	return kind != ""
}

// addresses looks whether the NIC gets addresses, if symroute is to route some.
func (n *network) addresses(p, ours plugin) {
	if hasIPAM(p) || !asksIPAM(p.name) {
		return
	}
	wanting := slices.DeleteFunc([]string{"gateways", "sources", "routes", "viaMain", "mainDefault", "checkDestinations", "requireGateway", "lvs"},
		func(key string) bool { return ours.members[key] == nil })
	path := p.path
	if p.members["ipam"] != nil {
		path = config.Child(p.path, "ipam")
	}
	// docs/configuration.md, "Which NICs and addresses".
	if len(wanting) == 0 {
		n.warn(path, `has no "ipam" with a type, so the NIC gets no address, and symroute sets its rp_filter alone`)
		return
	}
	n.warn(path, `has no "ipam" with a type, so the NIC gets no address that symroute could route by %s`, strings.Join(wanting, ", "))
}
