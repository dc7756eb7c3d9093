package preview

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/libcni"

	"github.com/symroute/symroute/pkg/config"
)

// pluginType is the "type" of symroute's entry in a conflist.
const pluginType = "symroute"

// ErrNoInput is wrapped by the error for files of which no call of symroute can be made.
var ErrNoInput = errors.New("cannot be planned for")

// Input is what a runtime would hand to symroute: the plugin configuration in conf, which may be a conflist,
// with the result of the plugins before. Result may be nil: then the configuration has to hold a prevResult.
func Input(conf, result []byte) ([]byte, error) {
	var keys map[string]json.RawMessage // a struct would match keys whatever their case
	if err := json.Unmarshal(conf, &keys); err != nil {
		return conf, nil //nolint:nilerr // ADD says where it is broken, and why
	}
	if _, isList := keys["plugins"]; isList {
		entry, err := entryOf(conf)
		if err != nil {
			return nil, err
		}
		conf = entry
	}
	if result == nil {
		return conf, nil
	}
	raw, err := resultOf(result)
	if err != nil {
		return nil, err
	}
	return inject(conf, map[string]any{"prevResult": raw})
}

// entryOf is symroute's entry of a conflist, as libcni hands it to the plugin.
func entryOf(conf []byte) ([]byte, error) {
	list, err := libcni.NetworkConfFromBytes(conf)
	if err != nil {
		return nil, fmt.Errorf("the conflist %w: %w", ErrNoInput, err)
	}
	var found []byte
	for _, p := range list.Plugins {
		if p.Network.Type != pluginType {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("the conflist %w: it has more than one plugin of type symroute", ErrNoInput)
		}
		found = p.Bytes
	}
	if found == nil {
		return nil, fmt.Errorf("the conflist %w: it has no plugin of type symroute", ErrNoInput)
	}
	return inject(found, map[string]any{"name": list.Name, "cniVersion": list.CNIVersion})
}

// inject puts keys into a plugin configuration.
func inject(conf []byte, values map[string]any) ([]byte, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(conf, &keys); err != nil {
		return nil, err
	}
	for key, value := range values {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		keys[key] = data
	}
	return json.Marshal(keys)
}

// resultOf is the CNI result in a file, which may be one of libcni's cache.
func resultOf(file []byte) (json.RawMessage, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(file, &keys); err != nil {
		return nil, fmt.Errorf("the result %w: it is not a JSON object: %w", ErrNoInput, err)
	}
	if cached, ok := keys["result"]; ok && string(keys["kind"]) == `"`+libcni.CNICacheV1+`"` {
		return cached, nil
	}
	return file, nil
}

// IfName is the interface that a result is about: its first in a pod; "" if it names none.
func IfName(r *config.Result) string {
	if r == nil {
		return ""
	}
	for _, i := range r.Interfaces {
		if i.Sandbox != "" {
			return i.Name
		}
	}
	return ""
}
