// Package runtimes runs symroute where its users run it: under podman, under
// containerd by way of the CRI, and in the sequence of calls that Multus makes.
//
//	make test-runtimes
//
// gets the runtimes from Debian's packages and runs the tests. Each runtime works
// in a machine of its own (see machine), which the real one never notices.
package runtimes

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

func TestMain(m *testing.M) {
	_, err := netlab.Build()
	if err := errors.Join(sweepCgroups(), netlab.Sweep(), err); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
