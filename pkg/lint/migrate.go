package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Migrate rewrites the networks of a file so that symroute does what sbr, tuning's settings of the reverse-path filter
// and coordinator did. Everything else stays. It returns the file in its own language, JSON or YAML, and what changes in
// meaning; without notes nothing was to migrate, and the file is as it was. Its error wraps ErrNoNetwork, or says that the
// file cannot be read: Lint says where.
func Migrate(name string, data []byte) (migrated []byte, notes []string, err error) {
	networks, found, err := read(name, data)
	switch {
	case err != nil:
		return nil, nil, err
	case len(networks) == 0 && len(found) > 0:
		return nil, nil, fmt.Errorf("%s", Finding{File: name, Line: found[0].Line, Path: found[0].Path, Severity: Error, Problem: found[0].Problem})
	case len(networks) == 0:
		return nil, nil, fmt.Errorf("%s: %w", name, ErrNoNetwork)
	}
	if !isJSON(data) {
		return migrateYAML(data)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(bytes.ReplaceAll(data, []byte("\t"), []byte(" ")), &document); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	root := document.Content[0]
	if valueOf(root, "plugins") == nil { // of Kubernetes, as JSON
		if notes, err = migrateDefinitions(root); len(notes) == 0 || err != nil {
			return data, nil, err
		}
		return append(asJSON(root, ""), '\n'), notes, nil
	}
	if notes = migrate(root); len(notes) == 0 {
		return data, nil, nil
	}
	return append(asJSON(root, ""), '\n'), notes, nil
}

// migrateYAML migrates all definitions of a file.
func migrateYAML(data []byte) (migrated []byte, notes []string, err error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, err
		}
		if len(document.Content) > 0 {
			more, err := migrateDefinitions(document.Content[0])
			if err != nil {
				return nil, nil, err
			}
			notes = append(notes, more...)
		}
		if err := encoder.Encode(&document); err != nil {
			return nil, nil, err
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, nil, err
	}
	if len(notes) == 0 {
		return data, nil, nil
	}
	return out.Bytes(), notes, nil
}

// migrateDefinitions migrates the networks of a document of Kubernetes in its place.
func migrateDefinitions(document *yaml.Node) (notes []string, err error) {
	if items := valueOf(document, "items"); items != nil {
		for _, item := range elements(items) {
			more, err := migrateDefinitions(item)
			if err != nil {
				return nil, err
			}
			notes = append(notes, more...)
		}
		return notes, nil
	}
	spec := valueOf(document, "spec", "config")
	if textOf(valueOf(document, "kind")) != "NetworkAttachmentDefinition" || textOf(spec) == "" {
		return nil, nil
	}
	n, wrong := readJSON([]byte(spec.Value), 0, false, "x")
	if wrong != nil {
		return nil, fmt.Errorf("spec.config of %s: %s", textOf(valueOf(document, "metadata", "name")), wrong.Problem)
	}
	if notes = migrate(n.root); len(notes) > 0 {
		spec.SetString(string(asJSON(n.root, "")) + "\n")
		spec.Style = yaml.LiteralStyle
	}
	return notes, nil
}

// migration is what becomes of one list of plugins.
type migration struct {
	keys  []*yaml.Node // of symroute: names and values in turn
	notes []string
}

func (m *migration) note(format string, values ...any) {
	m.notes = append(m.notes, fmt.Sprintf(format, values...))
}

// set gives symroute a key, unless it has it.
func (m *migration) set(key, value, tag string) {
	for i := 0; i < len(m.keys); i += 2 {
		if m.keys[i].Value == key {
			return
		}
	}
	m.keys = append(m.keys, scalar(key, "!!str"), scalar(value, tag))
}

func scalar(value, tag string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// migrate migrates a list of plugins in its place, and says what changes in meaning.
func migrate(root *yaml.Node) []string {
	list := valueOf(root, "plugins")
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	var m migration
	var stay []*yaml.Node
	own, place := (*yaml.Node)(nil), -1 // of symroute; where the first of the others stood
	for _, p := range list.Content {
		switch textOf(valueOf(p, "type")) {
		case symroute:
			own = p
			if place < 0 {
				place = len(stay)
			}
			continue
		case "sbr":
			m.ofSBR(p)
		case "coordinator":
			m.ofCoordinator(p)
		case "tuning":
			if m.ofTuning(p) {
				stay = append(stay, p)
			}
			continue
		default:
			stay = append(stay, p)
			continue
		}
		if place < 0 {
			place = len(stay)
		}
	}
	if len(m.notes) == 0 {
		return nil
	}
	if place < 0 { // tuning's settings alone: behind all
		place = len(stay)
	}
	if own == nil {
		own = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{scalar("type", "!!str"), scalar(symroute, "!!str")}}
	}
	for i := 0; i < len(m.keys); i += 2 {
		if key, _ := entry(own, m.keys[i].Value); key == nil {
			own.Content = append(own.Content, m.keys[i], m.keys[i+1])
		}
	}
	list.Content = slices.Insert(stay, min(place, len(stay)), own)
	return m.notes
}

// ofSBR turns a configuration of sbr around (containernetworking/plugins, plugins/meta/sbr).
func (m *migration) ofSBR(p *yaml.Node) {
	m.note("sbr -> symroute: the NIC's routes stay in main, where sbr takes them out: sockets without a source keep reaching its subnets")
	m.note("sbr -> symroute: what the table has no route for is refused, where sbr lets it leave by main (\"noGateway\": \"main\" does that)")
	m.note("sbr -> symroute: a default route of the NIC gives way to the pod's in main and comes back when that goes (\"mainDefault\")")
	m.note("sbr -> symroute: rp_filter becomes loose where it is strict and has to (\"rpFilter\")")
	for _, key := range others(p) {
		switch key.Value {
		case "table":
			value := textOf(valueOf(p, "table"))
			m.set("table", value, "!!int")
			m.note("sbr table %s -> \"table\": %s; without it symroute takes the first free one from 7300 on", value, value)
		case "addSourceHints":
			m.note("sbr addSourceHints: dropped; symroute's tables always name the source address of connected routes")
		default:
			m.note("sbr %s: dropped; symroute knows nothing like it", key.Value)
		}
	}
}

// ofTuning takes the settings of the reverse-path filter out of tuning, and says whether anything is left of it.
func (m *migration) ofTuning(p *yaml.Node) (stays bool) {
	sysctls := valueOf(p, "sysctl")
	if sysctls == nil || sysctls.Kind != yaml.MappingNode {
		return true
	}
	var left []*yaml.Node
	taken := false
	for i := 0; i+1 < len(sysctls.Content); i += 2 {
		key, value := sysctls.Content[i], sysctls.Content[i+1]
		s := setting.FindStringSubmatch(key.Value)
		switch {
		case s != nil && s[2] == fibRPFilter:
			taken = true
			m.ofFilter("tuning "+key.Value, s[1], textOf(value))
			continue
		case s != nil:
			m.noteOnARP(key.Value)
		}
		left = append(left, key, value)
	}
	if !taken {
		return true
	}
	sysctls.Content = left
	if len(left) > 0 {
		return true
	}
	remove(p, "sysctl")
	return len(others(p)) > 0
}

// noteOnARP says where settings for ARP can go. They stay: that they are meant so is not certain.
func (m *migration) noteOnARP(key string) {
	note := fmt.Sprintf("tuning %s: stays; \"arp\": \"isolate\" of symroute sets it for the NIC, and takes it back", key)
	if len(m.notes) > 0 && !slices.Contains(m.notes, note) {
		m.notes = append(m.notes, note)
	}
}

// ofFilter turns a number of rp_filter into a mode.
func (m *migration) ofFilter(what, device, value string) {
	mode, ok := map[string]string{"0": "off", "1": "strict", "2": "loose"}[strings.TrimSpace(value)]
	if !ok {
		m.note("%s: dropped; %q is no mode of rp_filter", what, value)
		return
	}
	m.set("rpFilter", mode, "!!str")
	switch device {
	case "all", "default":
		m.note("%s=%s -> \"rpFilter\": %q, which is of this NIC alone: the other NICs keep what they have", what, value, mode)
	default:
		m.note("%s=%s -> \"rpFilter\": %q, which is the effective mode: conf/all cannot overrule it", what, value, mode)
	}
}

// ofCoordinator turns a configuration of coordinator around (spidernet-io/spiderpool, cmd/coordinator, type Config).
func (m *migration) ofCoordinator(p *yaml.Node) {
	m.note("coordinator -> symroute: no veth to the node is made, and no route on the node: what reached the pod by them needs the pod's eth0")
	for _, key := range others(p) {
		value := valueOf(p, key.Value)
		switch key.Value {
		case "podRPFilter":
			if strings.HasPrefix(textOf(value), "-") {
				m.note("coordinator podRPFilter %s: dropped; symroute loosens a strict filter where it has to", textOf(value))
				continue
			}
			m.ofFilter("coordinator podRPFilter", "all", textOf(value))
		case "podDefaultRouteNic", "podDefaultRouteNIC":
			m.note("coordinator %s %s: set \"mainDefault\": \"take\" in the network of that NIC; the others yield by themselves", key.Value, textOf(value))
		case "tunePodRoutes":
			if isFalse(value) {
				m.note("coordinator tunePodRoutes false: symroute always gives the NIC a table; leave symroute out if you do not want that")
			}
		case "overlayPodCIDR", "serviceCIDR", "hijackCIDR":
			m.note("coordinator %s: dropped; sockets without a source reach it by main. For sockets that are bound to the NIC's address see \"viaMain\"", key.Value)
		case "policyRoutes":
			m.note("coordinator policyRoutes: dropped; write them as \"routes\" of symroute")
		case "mode", "hostRuleTable", "hostRPFilter", "vethLinkAddress", "vethMTU":
			m.note("coordinator %s: dropped; it is about the node's side, which symroute does not touch", key.Value)
		case "detectIPConflict", "detectGateway":
			m.note("coordinator %s: dropped; symroute sends no packet", key.Value)
		case "podMACPrefix", "txQueueLen":
			m.note("coordinator %s: dropped; the plugin tuning sets it", key.Value)
		default:
			m.note("coordinator %s: dropped; symroute knows nothing like it", key.Value)
		}
	}
}

// others are the keys of a plugin beside its type.
func others(p *yaml.Node) []*yaml.Node {
	var out []*yaml.Node
	for i := 0; i+1 < len(p.Content); i += 2 {
		if p.Content[i].Value != "type" {
			out = append(out, p.Content[i])
		}
	}
	return out
}

func remove(node *yaml.Node, name string) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			node.Content = slices.Delete(node.Content, i, i+2)
			return
		}
	}
}

// asJSON writes JSON in the usual style: lists and objects that are short stand in one line.
func asJSON(node *yaml.Node, indent string) []byte {
	const short = 100
	inLine := inOneLine(node)
	if len(inLine)+len(indent) <= short && (node.Kind != yaml.MappingNode || indent != "") && depth(node) < 4 {
		return inLine
	}
	deeper := indent + "  "
	var parts [][]byte
	brackets := "{}"
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			parts = append(parts, fmt.Appendf(nil, "%s%s: %s", deeper, quoted(node.Content[i].Value), asJSON(node.Content[i+1], deeper)))
		}
	case yaml.SequenceNode:
		brackets = "[]"
		for _, e := range node.Content {
			parts = append(parts, append([]byte(deeper), asJSON(e, deeper)...))
		}
	case yaml.DocumentNode, yaml.ScalarNode, yaml.AliasNode, yaml.StreamNode:
		return inLine
	}
	return fmt.Appendf(nil, "%c\n%s\n%s%c", brackets[0], bytes.Join(parts, []byte(",\n")), indent, brackets[1])
}

// inOneLine is JSON in one line.
func inOneLine(node *yaml.Node) []byte {
	var parts [][]byte
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			parts = append(parts, fmt.Appendf(nil, "%s: %s", quoted(node.Content[i].Value), inOneLine(node.Content[i+1])))
		}
		if len(parts) == 0 {
			return []byte("{}")
		}
		return fmt.Appendf(nil, "{ %s }", bytes.Join(parts, []byte(", ")))
	case yaml.SequenceNode:
		for _, e := range node.Content {
			parts = append(parts, inOneLine(e))
		}
		return fmt.Appendf(nil, "[%s]", bytes.Join(parts, []byte(", ")))
	case yaml.DocumentNode, yaml.AliasNode, yaml.StreamNode, yaml.ScalarNode:
	}
	if node.ShortTag() == "!!str" {
		return quoted(node.Value)
	}
	return []byte(node.Value)
}

func quoted(text string) []byte {
	out, err := json.Marshal(text)
	if err != nil {
		return []byte(`""`) // no text of JSON or YAML is such
	}
	return out
}

// depth is how many lists and objects stand in one another.
func depth(node *yaml.Node) int {
	deepest := 0
	for _, e := range node.Content {
		deepest = max(deepest, depth(e))
	}
	if node.Kind == yaml.ScalarNode {
		return deepest
	}
	return deepest + 1
}
