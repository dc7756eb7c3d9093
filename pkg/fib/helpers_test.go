package fib

import (
	"net/netip"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix

	// netipValues compares values of net/netip, whose fields cmp cannot see.
	netipValues = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	// decoding compares what tests of a decoder compare.
	decoding = cmp.Options{netipValues, cmpopts.EquateEmpty()}
)
