package cli

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/gossip/httpapi"
)

func (a *app) joinVerb() *cli.Command {
	return &cli.Command{
		Name: "join", Category: categoryAsk,
		Usage:     "make the agent's node join a cluster through seeds",
		ArgsUsage: "SEED...",
		Description: "A SEED is the gossip address of any node of the cluster: host, host:port or\n" +
			"[v6]:port, or srv:NAME of a service with SRV records. One that answers is enough.",
		Action: a.ask(func(c *cli.Context, api *httpapi.Client) error {
			answer, err := api.Join(c.Context, c.Args().Slice())
			if err != nil {
				return err
			}
			if len(answer.Failed) > 0 {
				fmt.Fprintf(a.stderr, "note: not all seeds answered:%s\n", seedLines(answer.Failed))
			}
			joined := make([]string, len(answer.Joined))
			for i, addr := range answer.Joined {
				joined[i] = clean(addr)
			}
			return a.print("joined through " + strings.Join(joined, ", ") + "\n")
		}),
	}
}
