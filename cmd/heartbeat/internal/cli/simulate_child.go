package cli

import (
	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
)

// childName is the hidden verb in which one seed is played: virtual time needs
// a process of its own for each.
const childName = "child"

func (a *app) simulateChildVerb() *cli.Command {
	return &cli.Command{
		Name: childName, Hidden: true, Usage: "play one seed for a parent process",
		Action: func(c *cli.Context) error { return simulator.Child(c.Context, a.stdin, a.stdout) },
	}
}
