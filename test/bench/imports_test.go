package bench

import (
	"strings"
	"testing"
)

// outsiders are what the executable is not made of, by the beginning of their import
// paths: each costs size and time to start, or belongs to a tool beside the plugin.
var outsiders = []string{
	"github.com/symroute/symroute/test/",
	"github.com/spf13/",
	"github.com/prometheus/",
	"k8s.io/",
	"sigs.k8s.io/",
	"github.com/cilium/ebpf",
	"github.com/charmbracelet/",
	"charm.land/",
}

// TestImports looks at all packages of the executable: what is imported by one of the
// project's packages, the linter sees, but not what that imports in turn.
func TestImports(t *testing.T) {
	t.Parallel()
	const paths = "{{if not .Standard}}{{.ImportPath}}{{end}}"
	packages := strings.Fields(run(t, "go", "list", "-deps", "-f", paths, packageOfSymroute))
	if len(packages) == 0 {
		t.Fatal("this test shows nothing: no package is listed")
	}
	for _, pkg := range packages {
		for _, outsider := range outsiders {
			if strings.HasPrefix(pkg, outsider) {
				t.Errorf("%s is in the executable (go mod why %s)", pkg, pkg)
			}
		}
	}
}
