package netlab

import "encoding/json"

// Conflist is a network configuration list as a runtime reads it from a file.
type Conflist []byte

// Object is a JSON object.
type Object = map[string]any

// NewConflist chains plugins to a network.
func NewConflist(name, cniVersion string, plugins ...Object) Conflist {
	list, err := json.MarshalIndent(Object{
		"cniVersion": cniVersion,
		"name":       name,
		"plugins":    plugins,
	}, "", "  ")
	if err != nil {
		panic(err) // only what JSON can say is ever put in
	}
	return list
}

// BridgePlugin gives the pod a veth on a bridge of the node.
func BridgePlugin(bridge string, ipam Object) Object {
	return Object{"type": "bridge", "bridge": bridge, "ipam": ipam}
}

// MacvlanPlugin gives the pod a macvlan device on a link of the node.
func MacvlanPlugin(master string, ipam Object) Object {
	return Object{"type": "macvlan", "master": master, "ipam": ipam}
}

// PTPPlugin gives the pod a veth whose other end, in the node, is its gateway.
func PTPPlugin(ipam Object) Object {
	return Object{"type": "ptp", "ipam": ipam}
}

// StaticAddress is one entry of the addresses of Static.
type StaticAddress struct {
	Address string `json:"address"`
	Gateway string `json:"gateway,omitempty"`
}

// Static is the IPAM that hands out what its configuration says. Each route is
// a destination, by the gateway of the addresses of its family.
func Static(addresses []StaticAddress, destinations ...string) Object {
	return Object{"type": "static", "addresses": addresses, "routes": routes(destinations)}
}

// HostLocal is the IPAM that leases addresses, one from each range, and keeps
// its leases in dataDir.
func HostLocal(dataDir string, ranges []Range, destinations ...string) Object {
	sets := make([][]Range, len(ranges))
	for i := range ranges {
		sets[i] = []Range{ranges[i]}
	}
	return Object{"type": "host-local", "dataDir": dataDir, "ranges": sets, "routes": routes(destinations)}
}

// Range is a pool of addresses of HostLocal.
type Range struct {
	Subnet     string `json:"subnet"`
	RangeStart string `json:"rangeStart,omitempty"`
	RangeEnd   string `json:"rangeEnd,omitempty"`
	Gateway    string `json:"gateway,omitempty"`
}

func routes(destinations []string) []Object {
	list := []Object{}
	for _, dst := range destinations {
		list = append(list, Object{"dst": dst})
	}
	return list
}
