package cli

import (
	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) forceLeaveVerb() *cli.Command {
	return &cli.Command{
		Name: "force-leave", Category: categoryAsk,
		Usage:     "turn a failed member into one that has left, in the whole cluster",
		ArgsUsage: "NAME",
		Description: "For a machine that will not come back: the others stop trying to reach it. A\n" +
			"node that still runs comes back by itself.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "prune", Usage: "also take it off the list at once"},
		},
		Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
			name, prune := c.Args().First(), c.Bool("prune")
			if err := api.ForceLeave(c.Context, name, prune); err != nil {
				return noSuchMember(c.Context, api, name, err)
			}
			if prune {
				return a.print(clean(name) + " is off the list\n")
			}
			return a.print(clean(name) + " counts as left\n")
		}),
	}
}
