// symroute is a chained CNI plugin that keeps the traffic of a pod with several
// network interfaces symmetric. See the README for its configuration.
package main

import (
	"fmt"

	"github.com/symroute/symroute/pkg/cni"
	_ "github.com/symroute/symroute/pkg/stack" // grows the stack before anything else is initialized
)

// release is set by the build: -ldflags "-X main.release=v1.2.3".
var release = "unreleased"

const usage = `CNI plugin symroute %s: symmetric routing for pods with several interfaces

A container runtime runs it; there is nothing to do by hand. Chain it behind an
interface plugin: {"plugins": [{"type": "bridge", ...}, {"type": "symroute"}]}
To see what it would be told: CNI_COMMAND=VERSION symroute </dev/null`

func main() {
	plugin := cni.Plugin{
		About:    fmt.Sprintf(usage, release),
		Versions: []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"},
		Add:      guarded(add),
		Del:      guarded(del),
		Check:    guarded(check),
		GC:       guarded(gc),
		Status:   guarded(status),
	}
	plugin.Main()
}

// guarded turns the errors of a verb into the runtime's, and so, as a last
// resort, a panic: whatever happens, standard output is an error the runtime
// can read.
func guarded(verb func(*cni.Args) error) func(*cni.Args) error {
	return func(args *cni.Args) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = cni.NewError(cni.ErrInternal, oneLine(fmt.Sprintf("internal error, please report it: %v", p)), "")
			}
		}()
		if err := verb(args); err != nil {
			return cniError(err)
		}
		return nil
	}
}
