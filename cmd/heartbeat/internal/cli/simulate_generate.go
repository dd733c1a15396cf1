package cli

import (
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator/scenario"
)

func (a *app) simulateGenerateVerb() *cli.Command {
	return &cli.Command{
		Name: "generate", Usage: "print a scenario with random faults, drawn from a seed",
		Description: "Partitions, bad links, nodes frozen, slow, killed and restarted, with quiet between\n" +
			"them. Fewer than half of the nodes are away at once, a quarter is never stopped, and in\n" +
			"the end all is whole again: then all views must agree within 15 s. The same flags make\n" +
			"the same file.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "nodes", Value: 12, Usage: "`SIZE` of the cluster, at least 4"},
			&cli.DurationFlag{Name: "duration", Value: 2 * time.Hour, Usage: "let faults come and go for this `TIME`, at least 1m"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draw from this `SEED`"},
			&cli.StringFlag{Name: "faults", Usage: "only these `KINDS` of faults, of " + strings.Join(scenario.RandomFaults(), ","), DefaultText: "all"},
		},
		Action: func(c *cli.Context) error {
			r := scenario.Random{Nodes: c.Int("nodes"), Duration: c.Duration("duration"), Seed: c.Uint64("seed")}
			if c.IsSet("faults") {
				for kind := range strings.SplitSeq(c.String("faults"), ",") {
					r.Faults = append(r.Faults, strings.TrimSpace(kind))
				}
			}
			data, err := scenario.GenerateRandom(r)
			if err != nil {
				return usagef("%w", err)
			}
			return a.print(string(data))
		},
	}
}
