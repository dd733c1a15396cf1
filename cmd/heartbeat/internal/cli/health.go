package cli

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) healthVerb() *cli.Command {
	return &cli.Command{
		Name: "health", Category: categoryAsk,
		Usage: "check the agent: exit code 0 when it is well, 1 when not",
		Description: "Made for a container's HEALTHCHECK, which knows no other exit codes: an agent that\n" +
			"does not answer, or refuses, is not well either.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "ready", Usage: "also ask whether the node has joined and takes part"},
		},
		Action: func(c *cli.Context) error {
			err := a.ask(func(c *cli.Context, api *httpapi.Client) error {
				if !c.Bool("ready") {
					return api.Health(c.Context)
				}
				readiness, err := api.Ready(c.Context)
				if err == nil && !readiness.Ready {
					err = fmt.Errorf("not ready: %s", clean(readiness.Reason))
				}
				return err
			})(c)
			var f *failure
			if errors.As(err, &f) && f.code != exitUsage {
				f.code = exitFailed
			}
			if err != nil {
				return err
			}
			return a.print("ok\n")
		},
	}
}
