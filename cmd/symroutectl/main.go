// symroutectl shows, explains, checks and repairs the routing of the pods of a node. docs/cli.md has its
// commands.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// release is set by the build: -ldflags "-X main.release=v1.2.3".
var release = "unreleased" //nolint:gochecknoglobals // the linker writes it

// garbage is how much of it may lie around, in percent of what is in use: a run is short, and a check of
// hundreds of pods makes much and keeps little (make bench).
const garbage = 800

func main() {
	debug.SetGCPercent(garbage)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code := run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: it returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := &app{name: nameOf(args[0]), in: stdin, out: stdout, err: stderr}
	root := app.root()
	root.SetArgs(args[1:])
	return app.exit(root.ExecuteContext(ctx))
}
