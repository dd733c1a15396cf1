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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The same signal again kills. The other one does not: docker-compose sends
	// SIGTERM after the Ctrl-C that it has passed on, and both mean one wish.
	first := make(chan os.Signal, 1)
	signal.Notify(first, os.Interrupt, syscall.SIGTERM)
	go func() { signal.Reset(<-first) }()
	os.Exit(cli.Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
