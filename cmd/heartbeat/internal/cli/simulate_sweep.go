package cli

import (
	"io"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
	"heartbeat/simulator/report"
)

func (a *app) simulateSweepVerb() *cli.Command {
	return &cli.Command{
		Name: "sweep", Usage: "run a scenario under every value of one or two parameters", ArgsUsage: scenarioArg,
		Description: "A sweep measures and does not judge: the table says where the expectations hold,\n" +
			"and the exit code is 0 when all was run.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "vary",
				Usage: "`KEY=VALUES`: a list such as loss=0,1%,5%, or a range such as nodes=10..50/10 (once or twice)"},
			seedsFlag(), overrideFlag(),
		}, runFlags("sweep.json and report.html")...),
		Action: a.simulateSweep,
	}
}

func (a *app) simulateSweep(c *cli.Context) error {
	if !c.IsSet("vary") {
		return usagef("--vary is missing: say what to vary, such as --vary loss=0,1%%,5%%")
	}
	params, err := simulator.ParseParameters(c.StringSlice("vary"))
	if err != nil {
		return usagef("--vary: %w", err)
	}
	points := 1
	for _, p := range params {
		points *= len(p.Values)
	}
	e, err := loadExperiment(c)
	if err != nil {
		return err
	}
	seeds := e.Scenario.Seeds
	s, err := a.newSimulation(c, seeds, points*seeds.Len(), e.Scenario.End())
	if err != nil {
		return err
	}
	sweep, err := simulator.Sweep(c.Context, e, params, s.opts)
	if err = s.finish(err); sweep == nil {
		return cannotRun(err)
	}
	return s.end(c.Context, "the sweep", err, documents{
		terminal: func(w io.Writer) error { return report.TerminalSweep(w, sweep, s.report) },
		name:     "sweep.json", json: sweep.Write,
		html: func(w io.Writer) error { return report.HTMLSweep(w, sweep) },
	})
}
