package main

import (
	"fmt"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/fib"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/plan"
	"github.com/symroute/symroute/pkg/record"
	"github.com/symroute/symroute/pkg/symmetry"
)

// check reports every deviation from what ADD made. It changes nothing.
func check(args *skel.CmdArgs) error {
	cfg, key, err := chained(args)
	if err != nil {
		return err
	}
	p, err := enter(args, key, cfg, kernel.Shared)
	if err != nil {
		return err
	}
	defer p.close()
	in := p.input()
	in.Then = plan.RememberedMain(p.seen, p.mine)
	desired, err := plan.Build(in)
	if err != nil {
		return err
	}
	if len(desired.NICs) == 0 && p.mine != nil && (len(p.mine.Tables) > 0 || len(p.mine.Settings[fib.RPFilter].Wants) > 0) {
		return plan.Deviations{{Kind: plan.Missing, What: "the interface " + args.IfName, Want: "present, as it was on ADD", Got: "none"}}
	}
	for _, note := range plan.Uncovered(p.seen, desired) {
		warn("%s", note)
	}
	wrong := append(plan.Verify(in, desired), symmetry.Check(p.ns, cfg, p.seen, desired)...)
	if len(wrong) > 0 {
		return wrong
	}
	return nil
}

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

// status says whether ADD could work on this node.
func status(args *skel.CmdArgs) error {
	cfg, err := config.Parse(args.StdinData)
	if err != nil {
		return err
	}
	if err := kernel.PolicyRouting(); err != nil {
		return fmt.Errorf("%w: policy routing: %w", errUnavailable, err)
	}
	if err := record.NewStore(cfg.DataDir).Usable(); err != nil {
		return fmt.Errorf("%w: dataDir: %w", errUnavailable, err)
	}
	return nil
}
