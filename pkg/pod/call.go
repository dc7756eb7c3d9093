package pod

import (
	"errors"
	"fmt"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/record"
)

// Call is one call of a verb: which attachment it is about, where that is, and what is asked for. It
// is a value: what a verb finds out is not written into it.
type Call struct {
	// Key names the attachment.
	Key record.Key
	// Netns is the path of its network namespace (CNI_NETNS).
	Netns string
	// Namespace is the identity that this has to have (kernel.Namespace.Identity), for a path may lead
	// to another one by now; "" takes whichever stands there.
	Namespace string
	// Pod is the Kubernetes pod, as far as it is known.
	Pod record.Pod
	// DataDir is where the records are.
	DataDir string
	// Input is what came on standard input, and Config what it says. Only Add and Check need them.
	Input  []byte
	Config *config.Config
	// Release is the version of symroute that Add remembers.
	Release string
	// Note gets what is no error and the operator should know, and which attachment it is about;
	// nil: it is not told.
	Note func(subject, note string)
}

// Configured is the call with the configuration in its input, which names the network and dataDir.
//
// Its error is a *config.DecodeError, or config.Faults: the call then holds what could be read, for
// WithFaultsOfPod and not to act on. A configuration without a result to work on is a fault.
func (c Call) Configured() (Call, error) {
	cfg, err := config.Parse(c.Input)
	faults, isFaulty := errors.AsType[config.Faults](err)
	if err != nil && !isFaulty {
		return c, err
	}
	if cfg.Prev == nil && !faults.On("prevResult") {
		faults = append(faults, config.Fault{
			Path: "prevResult", Problem: `symroute must be chained: put it behind an interface plugin in "plugins"`,
		})
	}
	c.Config, c.Key.Network, c.DataDir = cfg, cfg.Network, cfg.DataDir
	return c, faults.OrNone()
}

// FromRecord is the call that repeats the last ADD of an attachment, to add, check or delete it: as it
// is remembered in the directory of the records, of the namespace with an identity. The caller sets
// Release, to add, and Note.
//
// Its error is that of Configured, where the record holds no input that ADD or CHECK can be called
// with; the call is good for a removal then.
func FromRecord(a record.Attachment, dataDir, namespace string) (Call, error) {
	c, err := Call{Netns: a.Netns, Namespace: namespace, Pod: a.Pod, Input: a.Input}.Configured()
	c.Key, c.DataDir = a.Key, dataDir // whatever the input says: these found it
	return c, err
}

// Subject names the attachment for messages.
func (c Call) Subject() string {
	if c.Pod.Name != "" {
		return fmt.Sprintf("network %s, %s of pod %s/%s", c.Key.Network, c.Key.IfName, c.Pod.Namespace, c.Pod.Name)
	}
	return fmt.Sprintf("network %s, %s of container %s", c.Key.Network, c.Key.IfName, c.Key.ContainerID)
}

func (c *Call) note(format string, values ...any) {
	if c.Note != nil {
		c.Note(c.Subject(), fmt.Sprintf(format, values...))
	}
}
