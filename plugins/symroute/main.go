// symroute is a chained CNI plugin that keeps the traffic of a pod with several
// network interfaces symmetric. docs/configuration.md has its keys.
package main

import (
	"fmt"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// release is set by the build: -ldflags "-X main.release=v1.2.3".
var release = "unreleased"

const usage = `CNI plugin symroute %s: symmetric routing for pods with several interfaces

A container runtime runs it; there is nothing to do by hand. Chain it behind an
interface plugin: {"plugins": [{"type": "bridge", ...}, {"type": "symroute"}]}
To see what it would be told: CNI_COMMAND=VERSION symroute </dev/null`

func main() {
	// skel compares the pod's namespace with ours after ADD has succeeded, and then can still
	// fail, behind a result that has been printed. We look before anything is done
	// (kernel.Enter, ErrHost).
	_ = os.Setenv("CNI_NETNS_OVERRIDE", "true") // fails for names with '=' alone
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add: guarded(add), Del: guarded(del), Check: guarded(check), GC: guarded(gc), Status: guarded(status),
	}, version.PluginSupports("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"), fmt.Sprintf(usage, release))
}

// guarded turns the errors of a verb into the runtime's, and so, as a last
// resort, a panic: whatever happens, standard output is an error the runtime
// can read.
func guarded(verb func(*skel.CmdArgs) error) func(*skel.CmdArgs) error {
	return func(args *skel.CmdArgs) error {
		// On a goroutine, and so on a thread, of its own: not every thread that has left home can
		// return, and one that cannot ends with its goroutine.
		done := make(chan error, 1)
		go func() { done <- attempt(verb, args) }()
		return <-done
	}
}

// attempt is a verb whose errors are the runtime's.
func attempt(verb func(*skel.CmdArgs) error, args *skel.CmdArgs) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = types.NewError(types.ErrInternal, oneLine(fmt.Sprintf("internal error, please report it: %v", p)), "")
		}
	}()
	if err := verb(args); err != nil {
		return cniError(err)
	}
	return nil
}
