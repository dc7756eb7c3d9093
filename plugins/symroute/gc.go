package main

import (
	"fmt"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/record"
)

// gc forgets the attachments of this network that the runtime does not know any
// more and whose namespace is gone.
func gc(args *skel.CmdArgs) error {
	conf, err := config.ParseTeardown(args.StdinData)
	if err != nil || conf.ValidAttachments == nil {
		return err
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
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}
