package cli

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
	"heartbeat/simulator/oracle"
	"heartbeat/simulator/report"
	"heartbeat/simulator/scenario"
)

func (a *app) simulateLoadVerb() *cli.Command {
	accuracy := simulator.DefaultAccuracy
	return &cli.Command{
		Name: "load", Usage: "measure what a node of an idle cluster sends as the cluster grows",
		Description: "Beside it stands what heartbeats from all to all and to one central node would\n" +
			"cost, and the least that any detector can cost (Gupta et al., 2001), for the same\n" +
			"detection time, loss and chance of a mistake. Sizes in the hundreds take minutes.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "nodes", Value: "10,30,100,300,1000", Usage: "`SIZES` of the cluster"},
			&cli.DurationFlag{Name: "duration", Value: 2 * time.Minute, Usage: "measure for this `TIME`"},
			&cli.DurationFlag{Name: "within", Value: accuracy.Within, Usage: "what the baselines achieve: a crash is detected within this `TIME`"},
			&cli.StringFlag{Name: "loss", Value: "1%", Usage: "`SHARE` of messages lost, for the baselines and in the simulated network"},
			&cli.Float64Flag{Name: "mistake", Value: accuracy.Mistake, Usage: "what the baselines achieve: the `CHANCE` that a running node is held failed within the detection time"},
			&cli.StringFlag{Name: "seeds", Value: "1", Usage: "run each size with these `SEEDS`"},
			overrideFlag(),
		}, runFlags("load.json and report.html")...),
		Action: a.simulateLoad,
	}
}

func (a *app) simulateLoad(c *cli.Context) error {
	sizes, err := clusterSizes(c.String("nodes"))
	if err != nil {
		return err
	}
	loss, err := scenario.ParseFraction(c.String("loss"))
	if err != nil {
		return usagef("--loss: %w", err)
	}
	seeds, err := scenario.ParseSeeds(c.String("seeds"))
	if err != nil {
		return usagef("--seeds: %w", err)
	}
	if c.Duration("duration") <= 0 {
		return usagef("--duration %s is not possible: give a time above 0", c.Duration("duration"))
	}
	s, err := a.newSimulation(c, seeds, len(sizes)*seeds.Len(), c.Duration("duration"))
	if err != nil {
		return err
	}
	s.opts.Seeds = seeds
	curve, err := simulator.LoadCurve(c.Context, sizes, simulator.LoadOptions{
		Options: s.opts, Duration: c.Duration("duration"), Set: c.StringSlice("set"),
		Accuracy: oracle.Accuracy{Within: c.Duration("within"), Mistake: c.Float64("mistake"), Loss: float64(loss)},
	})
	if err = s.finish(err); curve == nil {
		return cannotRun(err)
	}
	return s.end(c.Context, "the measurement", err, documents{
		terminal: func(w io.Writer) error { return report.TerminalLoadCurve(w, curve, s.report) },
		name:     "load.json", json: curve.Write,
		html: func(w io.Writer) error { return report.HTMLLoadCurve(w, curve) },
	})
}

func clusterSizes(text string) ([]int, error) {
	var sizes []int
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < scenario.MinNodes || n > scenario.MaxNodes {
			return nil, usagef("--nodes: %q is no size: give numbers from %d to %d, such as 10,30,100", word, scenario.MinNodes, scenario.MaxNodes)
		}
		sizes = append(sizes, n)
	}
	return sizes, nil
}
