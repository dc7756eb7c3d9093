// Package bench measures what symroute costs beside what a user would run instead of
// it, and beside the least that the machine allows.
//
//	make bench
//
// TestBench measures time, and is skipped unless it is asked for. TestCounts, a part of
// all tests, looks at what does not vary from run to run: system calls, netlink round
// trips, allocations and the size of the executable.
package bench

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/symroute/symroute/test/netlab"
)

var (
	pairs    = flag.Int("bench.pairs", 0, "how often each contestant runs in each shape of pod (0: TestBench is skipped)")
	only     = flag.String("bench.only", "", "a regular expression: only the shapes of pods whose names match")
	symroute = flag.String("bench.symroute", "", "this executable instead of the one that is built from the tree")
	other    = flag.String("bench.other", "", "another build of symroute, as one more contestant")
)

func TestMain(m *testing.M) {
	if err := netlab.Sweep(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
