package config

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strings"
)

// ownKeys returns the keys of symroute beside those of the CNI specification.
func ownKeys() []string {
	return []string{
		"rpFilter", "interfaces", "gateways", "noGateway", "sources", "routes",
		"viaMain", "mainDefault", "table", "priority", "arp", "lvs",
		"checkDestinations", "requireGateway", "verify", "dataDir",
	}
}

// Parse turns the JSON of standard input into a validated Config, in which
// every absent key has its default. An absent prevResult is no fault here,
// since only some verbs need one.
//
// Its error is a *DecodeError where the input is not a JSON object, and else
// Faults, which holds everything that is wrong. The Config is then what could be
// read, to look for more faults and not to act on.
func Parse(data []byte) (*Config, error) {
	var faults Faults
	top, err := decodeTop(data, &faults)
	if err != nil {
		return nil, err
	}
	c := readConfig(top)
	return c, faults.OrNone()
}

// readConfig reads all keys of the top level.
func readConfig(top object) *Config {
	top.refuseNearMisses()
	c := &Config{
		CNIVersion:       optional(top.get("cniVersion"), textLike("1.0.0"), ""),
		Network:          optional(top.get("name"), readNetworkName, ""),
		RPFilter:         optional(top.get("rpFilter"), readRPFilter, RPFilterLoose),
		Interfaces:       optional(top.get("interfaces"), readInterfaces, nil),
		Gateways:         readGateways(top.get("gateways")),
		NoGateway:        optional(top.get("noGateway"), oneOf(Refuse, UseMain), Refuse),
		Sources:          distinct(top.get("sources").list("addresses and prefixes", `["192.0.2.10", "2001:db8::/64"]`), readSource),
		Routes:           readRoutes(top.get("routes")),
		ViaMain:          distinct(top.get("viaMain").list("prefixes", `["10.96.0.0/12"]`), readViaMain),
		MainDefault:      optional(top.get("mainDefault"), oneOf(Yield, Take, KeepMain), Yield),
		Table:            optional(top.get("table"), readTable, 0),
		Priority:         optional(top.get("priority"), readPriority, DefaultPriority),
		ARP:              optional(top.get("arp"), oneOf(ARPKeep, ARPIsolate), ARPKeep),
		LVS:              optional(top.get("lvs"), readLVS, nil),
		RequireGateway:   optional(top.get("requireGateway"), value.boolean, false),
		Verify:           optional(top.get("verify"), value.boolean, true),
		DataDir:          optional(top.get("dataDir"), readDataDir, DefaultDataDir),
		Prev:             optional(top.get("prevResult"), readResult, nil),
		ValidAttachments: optional(top.get("cni.dev/valid-attachments"), readAttachments, nil),
	}
	c.CheckDestinations = distinct(top.get("checkDestinations").list("addresses", `["192.0.2.1"]`), readDestination(c.ViaMain))
	c.refuseContradictions(top)
	return c
}

// refuseContradictions makes a fault of what cannot stand together.
func (c *Config) refuseContradictions(top object) {
	if len(c.ViaMain) > 0 && c.RPFilter == RPFilterStrict {
		top.get("viaMain").fault(`cannot stand together with "rpFilter": "strict", ` +
			`because it makes paths asymmetric on purpose; write "rpFilter": "loose" or remove viaMain`)
	}
	if c.NoGateway == UseMain && c.RPFilter == RPFilterStrict {
		top.get("noGateway").fault(`"main" cannot stand together with "rpFilter": "strict", ` +
			`because what leaves by another NIC gets no answer there; write "rpFilter": "loose" or remove noGateway`)
	}
}

// readNetworkName reads the name of the network as the CNI specification
// defines it.
func readNetworkName(v value) (string, bool) {
	s, ok := v.text("storage")
	if !ok {
		return "", false
	}
	legal := func(r rune) bool { return alphanumeric(r) || strings.ContainsRune("_.-", r) }
	if s == "" || !alphanumeric(rune(s[0])) || strings.ContainsFunc(s, func(r rune) bool { return !legal(r) }) {
		v.fault("%s is not a network name; it must start with a letter or digit "+
			"and hold only letters, digits, '_', '.' and '-'", quote(s))
		return "", false
	}
	return s, true
}

// readRPFilter reads a mode by its name or by the kernel's number.
func readRPFilter(v value) (RPFilter, bool) {
	switch fmt.Sprint(v.json) {
	case "strict", "1":
		return RPFilterStrict, true
	case "loose", "2":
		return RPFilterLoose, true
	case "off", "0":
		return RPFilterOff, true
	case "keep":
		return RPFilterKeep, true
	}
	v.wrongKind(`"strict" (or 1), "loose" (or 2), "off" (or 0) or "keep"`)
	return 0, false
}

const interfaceModeExample = `{"rpFilter": "off"}`

// readInterfaces reads the settings of other devices.
func readInterfaces(v value) (map[string]RPFilter, bool) {
	o, ok := v.object(`{"tunl0": ` + interfaceModeExample + `}`)
	if !ok {
		return nil, false
	}
	var modes map[string]RPFilter
	for _, name := range o.keys() {
		device := o.get(name)
		if problem := deviceNameProblem(name); problem != "" {
			device.fault("%s", problem)
		}
		if device.absent() {
			continue
		}
		if mode, ok := readInterface(device); ok {
			if modes == nil {
				modes = map[string]RPFilter{}
			}
			modes[name] = mode
		}
	}
	return modes, true
}

// readInterface reads the settings of one other device.
func readInterface(v value) (RPFilter, bool) {
	o, ok := v.object(interfaceModeExample)
	if !ok {
		return 0, false
	}
	o.only("rpFilter")
	return required(o.get("rpFilter"), `"strict", "loose", "off" or "keep"`, readRPFilter)
}

// readSource reads an address or prefix whose traffic leaves by this NIC.
func readSource(v value) (netip.Prefix, bool) {
	p, ok := v.networkOrAddress()
	if !ok {
		return netip.Prefix{}, false
	}
	kind, within := special(p)
	if linkLocal6().Overlaps(p) {
		kind, within = "link-local", linkLocal6()
	}
	switch {
	case p.Bits() == 0:
		v.fault("%s would claim every address there is; write those of this NIC", p)
	case linkLocal6().Contains(p.Addr()):
		v.fault("%s is link-local and needs no rule; remove it", p)
	case p.IsSingleIP() && kind != "":
		v.refuseSpecial(p.Addr(), kind)
	case kind != "":
		v.fault("%s holds %s addresses (%s); write a prefix without them", p, kind, within)
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

// readViaMain reads a prefix that is reached through the main table.
func readViaMain(v value) (netip.Prefix, bool) {
	p, ok := v.networkOrAddress()
	if ok && p.Bits() == 0 {
		v.fault(`%s would send everything through the main table; write "noGateway": "main" `+
			`where main shall decide what the NIC's own table cannot`, p)
		return netip.Prefix{}, false
	}
	return p, ok
}

// readDestination reads an address for CHECK to ask about. It asks about none that main decides for.
func readDestination(viaMain []netip.Prefix) func(value) (netip.Addr, bool) {
	return func(v value) (netip.Addr, bool) {
		a, ok := v.unicast()
		if !ok {
			return netip.Addr{}, false
		}
		if i := slices.IndexFunc(viaMain, func(p netip.Prefix) bool { return p.Contains(a) }); i >= 0 {
			v.fault("%s is never asked about, for it is in viaMain (%s); remove it here or there", a, viaMain[i])
			return netip.Addr{}, false
		}
		return a, true
	}
}

// readTable reads the number of a routing table that is free for us to use.
func readTable(v value) (uint32, bool) {
	if v.json == json.Number("0") {
		v.fault("0 is not a table; remove the key to have one chosen, or write a number from 1")
		return 0, false
	}
	n, ok := between(1, math.MaxUint32, 7300)(v)
	if ok && n >= 253 && n <= 255 {
		name := [...]string{"default", "main", "local"}[n-253]
		v.fault("%d is the kernel's own table %q; write another number, or remove the key to have one chosen", n, name)
		return 0, false
	}
	return n, ok
}

// readPriority reads the priority of our rules: ahead of that of main (32766),
// and behind that of the local table (0) with room for policies that go before
// everything.
func readPriority(v value) (uint32, bool) {
	return between(4, 32765, 32000)(v)
}

// readDataDir reads the directory for what must be remembered.
func readDataDir(v value) (string, bool) {
	dir, ok := v.text(DefaultDataDir)
	if !ok {
		return "", false
	}
	clean := path.Clean(dir)
	switch {
	case strings.ContainsFunc(dir, control):
		v.fault("%s holds control characters; write a plain path such as %s", quote(dir), DefaultDataDir)
	case !path.IsAbs(dir):
		v.fault("%s is not an absolute path; write one such as %s", quote(dir), DefaultDataDir)
	case clean == "/":
		v.fault("%s is the root directory; write a directory such as %s", quote(dir), DefaultDataDir)
	case clean != dir:
		v.fault("%s is not in its shortest form; write %s", quote(dir), quote(clean))
	default:
		return dir, true
	}
	return "", false
}

const attachmentExample = `{"containerID": "1f9a", "ifname": "net1"}`

// readAttachments reads the attachments that GC must keep; it never returns a
// nil list, because an empty one means that none is to be kept.
func readAttachments(v value) ([]Attachment, bool) {
	return append([]Attachment{}, each(v.list("attachments", "["+attachmentExample+"]"), readAttachment)...), true
}

// readAttachment reads one attachment that GC must keep.
func readAttachment(v value) (Attachment, bool) {
	o, ok := v.object(attachmentExample)
	if !ok {
		return Attachment{}, false
	}
	id, idOK := required(o.get("containerID"), "the ID of a container", nonEmpty("1f9a"))
	name, nameOK := required(o.get("ifname"), "the name of an interface", nonEmpty("net1"))
	return Attachment{ContainerID: id, IfName: name}, idOK && nameOK
}
