package main

import (
	"fmt"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/symroute/symroute/pkg/config"
	"github.com/symroute/symroute/pkg/kernel"
	"github.com/symroute/symroute/pkg/record"
)

// status says whether ADD could work on this node.
func status(args *skel.CmdArgs) error {
	cfg, err := config.Parse(args.StdinData)
	if err != nil {
		return err
	}
	if err := kernel.PolicyRouting(); err != nil {
		return fmt.Errorf("%w: policy routing: %w", errUnavailable, err)
	}
	if err := kernel.Capable(); err != nil {
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	if err := record.NewStore(cfg.DataDir).Usable(); err != nil {
		return fmt.Errorf("%w: dataDir: %w", errUnavailable, err)
	}
	return nil
}
