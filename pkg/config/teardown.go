package config

// A Teardown is what DEL and GC need of a configuration.
type Teardown struct {
	// CNIVersion is the version of the CNI specification that the runtime speaks.
	CNIVersion string
	// Network is the name of the network.
	Network string
	// DataDir is where ADD remembered things: an ADD with an unusable one never
	// got that far.
	DataDir string
	// ValidAttachments is what GC must keep. It is nil, and GC does nothing,
	// where the runtime named none or where any of them cannot be read: one that
	// got lost must not count as gone.
	ValidAttachments []Attachment
}

// LacksVersion reports whether a configuration is one that names no cniVersion. A runtime whose
// conflist names none hands on an empty one.
func LacksVersion(data []byte) bool {
	down, err := ParseTeardown(data)
	return err == nil && down.CNIVersion == ""
}

// ParseTeardown reads what DEL and GC need. Both must work with a configuration
// that has become invalid since ADD, so each key that cannot be read counts as
// absent; the only error is a *DecodeError.
func ParseTeardown(data []byte) (*Teardown, error) {
	var ignored Faults
	top, err := decodeTop(data, &ignored)
	if err != nil {
		return nil, err
	}
	return &Teardown{
		CNIVersion:       bestEffort(top.get("cniVersion"), textLike("1.0.0"), ""),
		Network:          bestEffort(top.get("name"), readNetworkName, ""),
		DataDir:          bestEffort(top.get("dataDir"), readDataDir, DefaultDataDir),
		ValidAttachments: bestEffort(top.get("cni.dev/valid-attachments"), readAttachments, nil),
	}, nil
}
