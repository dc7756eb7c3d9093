package pod

import (
	"fmt"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/record"
)

// GC forgets the attachments of a network that the runtime does not know any more and whose namespace
// is gone. Its error wraps ErrRecord: what could be forgotten is.
func GC(conf *config.Teardown) error {
	if conf.ValidAttachments == nil {
		return nil
	}
	valid := map[config.Attachment]bool{}
	for _, a := range conf.ValidAttachments {
		valid[a] = true
	}
	keep := func(k record.Key) bool {
		return valid[config.Attachment{ContainerID: k.ContainerID, IfName: k.IfName}]
	}
	alive := func(a record.Attachment, identity string) bool {
		return kernel.Alive(a.Netns, identity, a.ContainerID)
	}
	if err := record.NewStore(conf.DataDir).Collect(conf.Network, keep, alive); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}
