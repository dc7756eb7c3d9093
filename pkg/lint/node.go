package lint

import (
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// valueOf is the value of a key below others; nil: there is none.
func valueOf(node *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		_, node = entry(node, key)
	}
	return node
}

// entry is a key of an object and its value.
func entry(node *yaml.Node, name string) (key, value *yaml.Node) {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i], node.Content[i+1]
		}
	}
	return nil, nil
}

// textOf is a string; "" for everything else.
func textOf(node *yaml.Node) string {
	if node == nil || node.Kind != yaml.ScalarNode {
		return ""
	}
	return node.Value
}

// elements are those of a list.
func elements(node *yaml.Node) []*yaml.Node {
	if node == nil || node.Kind != yaml.SequenceNode {
		return nil
	}
	return node.Content
}

// step is one step of a path: a key, or a number in brackets.
var step = regexp.MustCompile(`^\.?([^.\[]+)|^\[([0-9]+)\]|^\["?([^\]"]*)"?\]`)

// nearest follows a path as far as there is anything.
func nearest(node *yaml.Node, path string) *yaml.Node {
	for path != "" {
		m := step.FindStringSubmatch(path)
		if m == nil {
			return node
		}
		path = path[len(m[0]):]
		var next *yaml.Node
		if m[2] != "" {
			number, _ := strconv.Atoi(m[2])
			if list := elements(node); number < len(list) {
				next = list[number]
			}
		} else if key, value := entry(node, m[1]+m[3]); key != nil {
			next = value
			if value.Kind == yaml.ScalarNode || path == "" {
				next = at(value, key)
			}
		}
		if next == nil {
			return node
		}
		node = next
	}
	return node
}

// at is a value that stands where its key does: what is wrong with it is looked for there.
func at(value, key *yaml.Node) *yaml.Node {
	moved := *value
	moved.Line = key.Line
	return &moved
}

// ofYAML is where an error of YAML is.
var ofYAML = regexp.MustCompile(`line (\d+)`)

func lineOf(err error) int {
	if m := ofYAML.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1])
		return line
	}
	return 1
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// objectName is a name of a Kubernetes object (RFC 1123, subdomain).
var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

func isObjectName(name string) bool { return len(name) <= 253 && objectName.MatchString(name) }
