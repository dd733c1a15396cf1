package cli

import (
	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) leaveVerb() *cli.Command {
	return &cli.Command{
		Name: "leave", Category: categoryAsk,
		Usage:       "make the agent's node leave the cluster gracefully; its agent ends",
		Description: "The others then hold the node as left, not as failed.",
		Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
			info, err := api.Info(c.Context)
			if err != nil {
				return err
			}
			if err := api.Leave(c.Context); err != nil {
				return err
			}
			return a.print(clean(info.Name) + " has left the cluster; its agent ends\n")
		}),
	}
}
