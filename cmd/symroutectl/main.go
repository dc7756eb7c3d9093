// symroutectl shows, explains, checks and repairs the routing of the pods of a node. docs/cli.md has its
// commands.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// release is set by the build: -ldflags "-X main.release=v1.2.3".
var release = "unreleased" //nolint:gochecknoglobals // the linker writes it

func main() {
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
