package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/symroute/symroute/pkg/config"
)

// A document is one CNI configuration of a file, or one that was meant to be.
type document struct {
	// definition is the NetworkAttachmentDefinition that it is of; nil: the file is the configuration.
	definition *definition
	// text is the configuration, and at says where in the file each byte of it stands; at is nil if there
	// is none that could be read.
	text []byte
	at   func(offset int) int
	// string is where the configuration stands as a string of a definition.
	scalar scalar
}

// A definition is a NetworkAttachmentDefinition.
type definition struct {
	node *yaml.Node
	path string // of the document within a list; empty: it stands alone
	name string // of the object
}

// documents finds the configurations of the file. Other documents of Kubernetes are passed over.
func (c *checker) documents() []document {
	data := c.file.Data
	switch filepath.Ext(c.file.Name) {
	case ".conflist", ".conf":
		return c.whole()
	case ".yaml", ".yml":
		return c.yaml()
	}
	var top any
	err := decode(data, &top)
	members, isObject := top.(map[string]any)
	switch {
	case err == nil && isObject && isKubernetes(members):
		return c.manifest(c.tree("", top, config.OutlineOf(data)), "")
	case err == nil && isObject && !isNetwork(members), err == nil && !isObject && c.file.Listed:
		return nil // some other JSON
	case err == nil, len(bytes.TrimSpace(data)) == 0:
		return c.whole()
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) && !c.isManifests():
		if c.file.Listed && !bytes.Contains(data, []byte("cniVersion")) && !bytes.Contains(data, []byte(group)) {
			return nil // JSON of another kind, perhaps with comments
		}
		return c.whole() // its JSON is broken
	}
	return c.yaml()
}

// decode reads JSON, and its numbers as they are.
func decode(data []byte, into any) error {
	if !json.Valid(data) {
		return errors.New("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

// isKubernetes says whether an object is one of Kubernetes.
func isKubernetes(members map[string]any) bool {
	_, hasKind := members["kind"].(string)
	_, hasVersion := members["apiVersion"].(string)
	return hasKind && hasVersion
}

// isNetwork says whether an object is a CNI configuration.
func isNetwork(members map[string]any) bool {
	for _, key := range []string{"cniVersion", "plugins", "type"} {
		if _, ok := members[key]; ok {
			return true
		}
	}
	return false
}

// whole is the file as one configuration.
func (c *checker) whole() []document {
	return []document{{text: c.file.Data, at: func(offset int) int { return offset }}}
}

// isManifests says whether a file that begins as JSON does, and is none, holds objects of Kubernetes: several
// of them, or YAML in the style of JSON.
func (c *checker) isManifests() bool {
	nodes, _ := roots(c.file.Data)
	return slices.ContainsFunc(nodes, func(n *yaml.Node) bool { return text(n, "kind") != "" })
}

// roots reads the documents of YAML. Those before an error are returned with it.
func roots(data []byte) ([]*yaml.Node, error) {
	var nodes []*yaml.Node
	for decoder := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return nodes, nil
		}
		if err != nil {
			return nodes, err
		}
		if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
			nodes = append(nodes, node.Content[0])
		}
	}
}

// yaml finds the configurations in YAML.
func (c *checker) yaml() []document {
	nodes, err := roots(c.file.Data)
	var documents []document
	for _, n := range nodes {
		documents = append(documents, c.manifest(n, "")...)
	}
	if err == nil || c.file.Listed && !bytes.Contains(c.file.Data, []byte(group)) {
		return documents
	}
	offset, problem := len(c.file.Data), err.Error()
	if load, ok := errors.AsType[*yaml.LoadError](err); ok {
		offset, problem = offsetOf(c.file.Data, max(load.Mark.Line, 1), 1), load.Message
	}
	c.found(Error, offset, "", "is not YAML: "+problem)
	return append(documents, document{})
}

// tree is JSON as a tree of YAML.
func (c *checker) tree(path string, value any, outline config.Outline) *yaml.Node {
	node := c.nodeAt(outline.Spans[path].Start)
	switch v := value.(type) {
	case map[string]any:
		node.Kind, node.Tag = yaml.MappingNode, "!!map"
		for _, key := range slices.Sorted(keysOf(v)) {
			child := config.Child(path, key)
			name := c.nodeAt(outline.Spans[child].Key)
			name.Kind, name.Value, name.Tag = yaml.ScalarNode, key, "!!str"
			node.Content = append(node.Content, name, c.tree(child, v[key], outline))
		}
	case []any:
		node.Kind, node.Tag = yaml.SequenceNode, "!!seq"
		for i, e := range v {
			node.Content = append(node.Content, c.tree(config.Element(path, i), e, outline))
		}
	case string:
		node.Kind, node.Tag, node.Style, node.Value = yaml.ScalarNode, "!!str", yaml.DoubleQuotedStyle, v
	case nil:
		node.Kind, node.Tag, node.Value = yaml.ScalarNode, "!!null", "null"
	default:
		node.Kind, node.Value = yaml.ScalarNode, fmt.Sprint(v)
	}
	return node
}

// nodeAt is an empty node that stands here.
func (c *checker) nodeAt(offset int) *yaml.Node {
	before := c.file.Data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return &yaml.Node{Line: 1 + bytes.Count(before, []byte("\n")), Column: 1 + utf8.RuneCount(before[start:])}
}

// group is the API group of NetworkAttachmentDefinitions.
const group = "k8s.cni.cncf.io"

// manifest finds the configurations of one document of YAML, which is at a path of a list.
func (c *checker) manifest(node *yaml.Node, path string) []document {
	kind, version := text(node, "kind"), text(node, "apiVersion")
	switch {
	case kind == "" && version == "" && get(node, "cniVersion") != nil:
		// libcni.NetworkConfFromBytes and NetworkPluginConfFromBytes decode JSON.
		c.found(Error, c.offset(node), path, "is a CNI configuration in YAML; runtimes read JSON: write JSON")
		return []document{{}}
	case strings.HasSuffix(kind, "List") && get(node, "items") != nil:
		return c.items(get(node, "items"), config.Child(path, "items"))
	case kind != "NetworkAttachmentDefinition" || version != "" && !strings.HasPrefix(version, group+"/"):
		return nil
	}
	d := document{definition: &definition{node: node, path: path, name: text(get(node, "metadata"), "name")}}
	if n := get(get(node, "spec"), "config"); n != nil && n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		d.scalar = scalarOf(c.file.Data, n)
		d.text = []byte(n.Value)
		d.at = func(offset int) int { return d.scalar.places[min(offset, len(n.Value))] }
	}
	return []document{d}
}

// items finds the configurations of a list of Kubernetes. Lists in lists there are none.
func (c *checker) items(list *yaml.Node, path string) []document {
	var documents []document
	for i, item := range list.Content {
		if list.Kind == yaml.SequenceNode && item.Kind == yaml.MappingNode && get(item, "items") == nil {
			documents = append(documents, c.manifest(item, config.Element(path, i))...)
		}
	}
	return documents
}

// offset is where a node stands.
func (c *checker) offset(node *yaml.Node) int { return offsetOf(c.file.Data, node.Line, node.Column) }

// get is the value of a key of a mapping; nil if there is none.
func get(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value != key {
			continue
		}
		value := node.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		return value
	}
	return nil
}

// text is the string that a key of a mapping has; empty if it has none.
func text(node *yaml.Node, key string) string {
	if value := get(node, key); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}
