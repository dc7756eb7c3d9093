// Package e2e tests the symroute executable the way it is used: run by libcni
// from a conflist, behind real interface and IPAM plugins, in network
// namespaces, with real packets.
//
// The tests are named after what a user relies on. They look at what the kernel
// does (who answers whom over which link, what is dropped, what is left behind),
// at CNI results and error codes, and not at how the plugin goes about it.
//
//	go test -count=1 -timeout 40m ./test/e2e
//
// (The tests start the executable and do not import it: go test does not notice when
// it changes, and would show the results of the last time.)
//
// Root is needed, and the Debian packages iproute2, nftables and strace. Where
// there is no Go toolchain, SYMROUTE_BIN_DIR names a folder with symroute and the
// CNI plugins of go.mod's tool directives.
package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

func TestMain(m *testing.M) {
	if err := netlab.Sweep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if _, err := netlab.Build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
