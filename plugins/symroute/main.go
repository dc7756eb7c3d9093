// symroute is a chained CNI plugin that keeps the traffic of a pod with several
// network interfaces symmetric. docs/configuration.md has its keys.
package main

import (
	"fmt"
	"io"
	"log"
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"golang.org/x/sys/unix"

	"github.com/symroute/symroute/pkg/config"
)

// release is set by the build: -ldflags "-X main.release=v1.2.3".
var release = "unreleased"

const usage = `CNI plugin symroute %s: symmetric routing for pods with several interfaces

A container runtime runs it; there is nothing to do by hand. Chain it behind an
interface plugin: {"plugins": [{"type": "bridge", ...}, {"type": "symroute"}]}
To see what it would be told: CNI_COMMAND=VERSION symroute </dev/null`

func main() {
	if len(os.Args) > 1 {
		os.Exit(byHand(os.Args[1:]))
	}
	// skel compares the pod's namespace with ours after ADD has succeeded, and then can still
	// fail, behind a result that has been printed. We look before anything is done
	// (kernel.Enter, ErrHost).
	_ = os.Setenv("CNI_NETNS_OVERRIDE", "true") // fails for names with '=' alone
	stdin, failure := keepStdin()
	if failure == nil {
		failure = skel.PluginMainFuncsWithError(skel.CNIFuncs{
			Add: guarded(add), Del: guarded(del), Check: guarded(check), GC: guarded(gc), Status: guarded(status),
		}, version.PluginSupports("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"), fmt.Sprintf(usage, release))
	}
	if failure == nil {
		return
	}
	if err := explained(failure, stdin).Print(); err != nil {
		log.Print("the error could not be printed: ", err)
	}
	os.Exit(1)
}

// byHand answers somebody who runs the executable with arguments, which no runtime does.
func byHand(arguments []string) (status int) {
	switch arguments[0] {
	case "--version", "-version", "version":
		_, _ = fmt.Fprintln(os.Stdout, "CNI plugin symroute "+release)
		return 0
	case "--help", "-help", "-h", "help":
		_, _ = fmt.Fprintf(os.Stdout, usage+"\n", release)
		return 0
	}
	fmt.Fprintf(os.Stderr, "symroute: unknown argument %q: it takes --version and --help\n\n"+usage+"\n", arguments[0], release)
	return 2
}

// keepStdin reads standard input and puts a file in memory with the same into its place. skel reads
// it, too, and says of broken JSON neither where it is broken nor why.
func keepStdin() ([]byte, *types.Error) {
	if verb := os.Getenv("CNI_COMMAND"); verb == "" || verb == "VERSION" {
		return nil, nil // which read nothing
	}
	data, err := io.ReadAll(os.Stdin)
	if err == nil {
		os.Stdin, err = fileOf(data)
	}
	if err != nil {
		return nil, types.NewError(types.ErrIOFailure, oneLine(fmt.Sprintf("standard input: %v", err)), "")
	}
	return data, nil
}

// fileOf is a file in memory, to be read from its beginning.
func fileOf(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "stdin")
	if _, err := f.Write(data); err != nil {
		return nil, err
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

// explained says more of an error of skel's about standard input, where there is more to say.
func explained(failure *types.Error, stdin []byte) *types.Error {
	switch failure.Code {
	case types.ErrDecodingFailure:
		if _, err := config.ParseTeardown(stdin); err != nil {
			return cniError(err)
		}
	case types.ErrIncompatibleCNIVersion:
		if config.LacksVersion(stdin) {
			return types.NewError(failure.Code, "cniVersion is missing, which counts as 0.1.0, and symroute speaks none before 0.3.0: "+
				`write "cniVersion": "1.0.0" at the top of the network's configuration`, failure.Details)
		}
	}
	return failure
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
