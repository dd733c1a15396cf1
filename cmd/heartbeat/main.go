// Command heartbeat runs a node of a cluster and asks running ones what they
// know. See docs/cli.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"heartbeat/cmd/heartbeat/internal/cli"
)

func main() {
	// The second signal kills: stop() puts the default back after the first.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
