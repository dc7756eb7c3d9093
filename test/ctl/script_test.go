// Package ctl tests symroutectl by scripts that read like a session on a node (testdata/script): a pod is
// broken, real packets show that it is, and symroutectl says why.
//
//	go test -count=1 ./test/ctl
//	go test -count=1 ./test/ctl -run 'TestScripts/wrong_nic'
//
// Each script has a network of its own: see lab. Root is needed, and the Debian packages iproute2 and nftables.
package ctl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

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

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runScript(t, file)
		})
	}
}

// runScript runs one script in a network of its own.
func runScript(t *testing.T, file string) {
	t.Helper()
	l := newLab(t)
	params := testscript.Params{
		Files: []string{file},
		Setup: func(env *testscript.Env) error {
			l.dataDir = filepath.Join(env.WorkDir, "records")
			env.Setenv("PATH", netlab.BinDir(t)+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
			env.Setenv("NETNS", l.pod.NS.Path)
			env.Setenv("DATA", l.dataDir)
			env.Setenv("CONTAINER", l.pod.ID)
			env.Setenv("BIN", netlab.BinDir(t))
			return nil
		},
		Cmds:                l.commands(t),
		Condition:           l.condition,
		RequireUniqueNames:  true,
		RequireExplicitExec: false,
	}
	testscript.RunT(inner{t}, params)
}

// inner runs what testscript calls a script of its own in the test that has the network: a subtest
// would end before its cleanup.
type inner struct{ *testing.T }

func (i inner) Run(_ string, f func(testscript.T)) { f(i) }
func (i inner) Parallel()                          {}
func (i inner) Verbose() bool                      { return testing.Verbose() }
