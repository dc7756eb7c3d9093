package lint

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// pathOf is the path of a key of the definition.
func (d *definition) pathOf(key string) string { return within(d.path, key) }

// object looks at a NetworkAttachmentDefinition as such.
func (c *checker) object(d document) {
	c.objectName(d.definition)
	spec := get(d.definition.node, "spec")
	value := get(spec, "config")
	// Without a configuration Multus takes the one of this name from its directory (GetCNIConfig in
	// network-attachment-definition-client).
	switch {
	case spec != nil && spec.Kind != yaml.MappingNode && spec.Tag != "!!null":
		c.found(Error, c.offset(spec), d.definition.pathOf("spec"), `must be an object such as {"config": "..."}`)
	case value == nil, value.Tag == "!!null", d.at != nil:
	case value.Kind == yaml.MappingNode:
		// The CRD has "config: {type: string}" (artifacts/networks-crd.yaml of the same).
		c.found(Error, c.offset(value), d.definition.pathOf("spec.config"),
			`must be a string that holds JSON, not YAML; write "config: |" and JSON below`)
	default:
		c.found(Error, c.offset(value), d.definition.pathOf("spec.config"), "must be a string that holds JSON")
	}
}

// subdomain is what Kubernetes takes as the name of a custom resource (RFC 1123;
// apimachinery's validation.IsDNS1123Subdomain).
const subdomain = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`

// longest is how long such a name may be.
const longest = 253

// objectName looks at the name of the object.
func (c *checker) objectName(d *definition) {
	metadata := get(d.node, "metadata")
	path := d.pathOf("metadata.name")
	node := get(metadata, "name")
	if node == nil {
		if text(metadata, "generateName") == "" {
			c.found(Error, c.offset(d.node), path, "is missing")
		}
		return
	}
	switch name := node.Value; {
	case len(name) > longest || !regexp.MustCompile(subdomain).MatchString(name):
		c.found(Error, c.offset(node), path, fmt.Sprintf("%q is no name that Kubernetes takes; it must hold only small letters, digits, "+
			"'-' and '.', and begin and end with a letter or digit", name))
	case strings.Contains(name, "."):
		// parsePodNetworkObjectName in Multus' pkg/k8sclient/k8sclient.go.
		c.found(Warning, c.offset(node), path, fmt.Sprintf("%q has a dot: Multus refuses it in the short form of a pod's annotation "+
			`(k8s.v1.cni.cncf.io/networks: NAME), and takes it only as {"name": %q}`, name, name))
	}
}
