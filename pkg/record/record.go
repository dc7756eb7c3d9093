// Package record remembers attachments: what each was asked for, what it has in the kernel,
// and what was there before, so that DEL can put it back and CHECK can compare.
//
// There is one file for each attachment, in one directory for each network namespace. Each
// says alone what has to be put back, so that any attachment can leave first.
//
// Nothing is synced to disk: what a record speaks of does not outlive the machine's uptime
// either.
package record

import (
	"encoding/json"
	"fmt"

	"github.com/symroute/symroute/pkg/settings"
	"github.com/symroute/symroute/pkg/state"
)

// Version is the version of the file's format. A record of a version that is not known is
// treated as none: rules and routes of its attachment go all the same, settings and main
// stay. DEL of a running pod comes after an upgrade, so a release that raises it has to go on
// reading the one before.
const Version = 1

// Key names an attachment (CNI SPEC, "attachment").
type Key struct {
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

// Pod is the Kubernetes pod of an attachment, where the runtime told (CNI_ARGS,
// K8S_POD_NAMESPACE and K8S_POD_NAME).
type Pod struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// Attachment is what is remembered of one attachment.
type Attachment struct {
	Version int `json:"version"`
	// Release is the version of symroute that wrote it.
	Release string `json:"release"`
	Key
	// Netns is the path that the namespace had on ADD.
	Netns string `json:"netns"`
	Pod   Pod    `json:"pod,omitzero"`
	// Lost is set where an earlier record of the attachment could not be read: what is
	// remembered here as original is then how an earlier ADD left things.
	Lost bool `json:"lost,omitempty"`
	// Input is what came on standard input: the configuration and prevResult.
	Input json.RawMessage `json:"input,omitempty"`
	// State is what the attachment has.
	State state.State `json:"state"`
	// Earlier are the states, oldest first, that the attachment was in when an ADD
	// began to change it: until that has ended what there is may be of any of them.
	Earlier []state.State `json:"earlier,omitempty"`
}

// States are all states that the attachment may be in, the latest first.
func (a Attachment) States() []state.State {
	out := []state.State{a.State}
	for i := len(a.Earlier) - 1; i >= 0; i-- {
		out = append(out, a.Earlier[i])
	}
	return out
}

// Find returns the attachment with the key, and the others.
func Find(all []Attachment, key Key) (mine *Attachment, others []Attachment) {
	for i := range all {
		if all[i].Key == key {
			mine = &all[i]
		} else {
			others = append(others, all[i])
		}
	}
	return mine, others
}

// States are those of the attachments.
func States(all []Attachment) []state.State {
	var out []state.State
	for _, a := range all {
		out = append(out, a.State)
	}
	return out
}

// Settings are the attachments' parts in device settings.
func Settings(all []Attachment) []settings.Memories {
	var out []settings.Memories
	for _, a := range all {
		out = append(out, a.State.Settings)
	}
	return out
}

// decode reads a record. Where that fails its version is looked at alone: of another format
// the rest may be of other types.
func decode(data []byte) (Attachment, error) {
	var a Attachment
	err := json.Unmarshal(data, &a)
	if err == nil && a.Version == Version {
		return a, nil
	}
	var format struct {
		Version int `json:"version"`
	}
	if perr := json.Unmarshal(data, &format); perr == nil && format.Version != Version {
		return Attachment{}, fmt.Errorf("has format version %d, this release reads %d", format.Version, Version)
	}
	return Attachment{}, err
}
