package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
)

// childName is the hidden verb in which one seed is played: virtual time needs
// a process of its own for each.
const childName = "child"

func (a *app) simulateChildVerb() *cli.Command {
	return &cli.Command{
		Name: childName, Hidden: true, Usage: "play one seed for a parent process",
		Action: func(c *cli.Context) error {
			// Ctrl-C on a terminal reaches this process as well as its parent,
			// which then ends it. Were it to end by itself, the parent could take
			// that for a failure.
			return simulator.Child(context.WithoutCancel(c.Context), a.stdin, a.stdout)
		},
	}
}
