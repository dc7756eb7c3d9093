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

	"github.com/symroute/symroute/test/machine"
	"github.com/symroute/symroute/test/netlab"
)

func TestMain(m *testing.M) {
	_, err := netlab.Build()
	if err := errors.Join(machine.SweepCgroups(), netlab.Sweep(), err); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// newMachine starts a machine with the packages of the container runtimes, and the CNI plugins.
func newMachine(t *testing.T, node *netlab.NS) *machine.Machine {
	t.Helper()
	return machine.New(t, node, machine.Software{
		Variable: "SYMROUTE_RUNTIMES", Script: "make test-runtimes",
		Inside: `mount --bind "` + netlab.BinDir(t) + `" opt/cni/bin; mount -o remount,bind,ro opt/cni/bin`,
		Setup:  `rm -f /etc/cni/net.d/*`,
	})
}
