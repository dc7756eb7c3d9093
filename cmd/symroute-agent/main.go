// symroute-agent keeps the plugin installed on a node and watches over the attachments of its pods.
// docs/operations.md says how to run it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// release is set by the build: -ldflags "-X main.release=v1.2.3".
var release = "unreleased" //nolint:gochecknoglobals // the linker writes it

// How much garbage may lie around, in percent of what is in use, and how much memory is aimed at: an audit makes much
// garbage and keeps little, and a node has little to spare (make bench).
const (
	garbage = 400
	memory  = 28 << 20
)

func main() {
	debug.SetGCPercent(garbage)
	debug.SetMemoryLimit(memory)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: it returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := root(stdout, stderr)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(stderr, "symroute-agent: %v\n", err)
		return 1
	}
	return 0
}

func root(stdout, stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "symroute-agent",
		Short: "Install symroute on a node and watch over the routing of its pods",
		Long: `symroute-agent runs once on each node, as a DaemonSet or a service. It installs the CNI plugin and symroutectl, checks
all attachments at intervals and each as soon as something changes in its pod, repairs what a change of a link took,
and tells Prometheus and Kubernetes what it found. It never touches /etc/cni/net.d.`,
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.AddCommand(runCommand(stderr), installCommand(), uninstallCommand(), versionCommand())
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "symroute-agent %s (%s, %s/%s)\n", release, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
