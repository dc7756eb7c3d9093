package node

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/containernetworking/cni/libcni"
)

// DefaultBinDir and DefaultConfDir are where runtimes look for plugins and for the configurations of networks.
const (
	DefaultBinDir  = "/opt/cni/bin"
	DefaultConfDir = "/etc/cni/net.d"
)

// Network is one configuration in the directory of the runtime.
type Network struct {
	File    string // its name alone
	Name    string
	Plugins []Plugin
	Err     error // why it could not be read; nothing else is known then
}

// Plugin is one of a network's.
type Plugin struct {
	Type string
	// Sysctls are the keys that it writes (the key "sysctl" of tuning), in their order.
	Sysctls []string
}

// Networks are those of a directory, by the names of their files, which is the order in which runtimes take them. A
// directory that is not there holds none.
func Networks(dir string) ([]Network, error) {
	files, err := libcni.ConfFiles(dir, []string{".conf", ".conflist", ".json"})
	if err != nil {
		return nil, fmt.Errorf("read the networks of the runtime: %w", err)
	}
	slices.Sort(files)
	var networks []Network
	for _, file := range files {
		networks = append(networks, readNetwork(file))
	}
	return networks, nil
}

func readNetwork(file string) Network {
	n := Network{File: filepath.Base(file)}
	list, err := readList(file)
	if err != nil {
		n.Err = err
		return n
	}
	n.Name = list.Name
	for _, p := range list.Plugins {
		n.Plugins = append(n.Plugins, Plugin{Type: p.Network.Type, Sysctls: sysctlsOf(p.Bytes)})
	}
	return n
}

// readList reads a list of plugins, or one plugin alone (CNI before 1.0).
func readList(file string) (*libcni.NetworkConfigList, error) {
	if filepath.Ext(file) == ".conflist" {
		return libcni.NetworkConfFromFile(file)
	}
	conf, err := libcni.ConfFromFile(file) //nolint:staticcheck // runtimes still read such files
	if err != nil {
		return nil, err
	}
	return libcni.ConfListFromConf(conf) //nolint:staticcheck // the same
}

func sysctlsOf(plugin []byte) []string {
	var conf struct {
		Sysctl map[string]any `json:"sysctl"`
	}
	if json.Unmarshal(plugin, &conf) != nil {
		return nil // of another type: whose key it is then nobody knows
	}
	keys := make([]string, 0, len(conf.Sysctl))
	for key := range conf.Sysctl {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Has says whether the network has a plugin of a type.
func (n Network) Has(plugin string) bool {
	return slices.ContainsFunc(n.Plugins, func(p Plugin) bool { return p.Type == plugin })
}
