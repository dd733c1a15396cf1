package cli

import (
	"io"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
	"heartbeat/simulator/report"
	results "heartbeat/simulator/result"
)

func (a *app) simulateCompareVerb() *cli.Command {
	return &cli.Command{
		Name: "compare", Usage: "run a scenario with the same seeds under several settings or on several engines, and say what really differs", ArgsUsage: scenarioArg,
		Description: "The first --arm is the one that the others are compared with; a single one is\n" +
			"compared with the scenario as it is. Known by name are memberlist (the\n" +
			"engine alone, with its own settings), swim (that without Lifeguard), verdicts (that\n" +
			"with witnesses who decide, and nothing else of heartbeat) and heartbeat (all as\n" +
			"shipped). Take at least 20 seeds: with few, no difference that is not huge can be\n" +
			"told from chance. The exit code is 0 when all was run.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "arm",
				Usage: "an `ARM`: LABEL:KEY=VALUE,KEY=VALUE, or one known by name (repeatable)"},
			&cli.StringFlag{Name: "engines", Usage: "compare these `ENGINES` instead, such as virtual,netns: do they tell the same story?"},
			seedsFlag(), overrideFlag(),
		}, runFlags("comparison.json and report.html")...),
		Action: a.simulateCompare,
	}
}

func (a *app) simulateCompare(c *cli.Context) error {
	arms, err := compareArms(c)
	if err != nil {
		return err
	}
	var engines []simulator.Engine
	if c.IsSet("engines") {
		if engines, err = a.enginesOf(c); err != nil {
			return err
		}
		defer closeEngines(engines...)
	}
	e, err := loadExperiment(c)
	if err != nil {
		return err
	}
	seeds := e.Scenario.Seeds
	s, err := a.newSimulation(c, seeds, max(len(arms), len(engines))*seeds.Len(), e.Scenario.End())
	if err != nil {
		return err
	}
	var comparison *results.Comparison
	if engines != nil {
		comparison, err = simulator.CompareEngines(c.Context, e, engines, s.opts)
	} else {
		comparison, err = simulator.Compare(c.Context, e, arms, s.opts)
	}
	if err = s.finish(err); comparison == nil {
		return cannotRun(err)
	}
	return s.end(c.Context, "the comparison", err, documents{
		terminal: func(w io.Writer) error { return report.TerminalComparison(w, comparison, s.report) },
		name:     "comparison.json", json: comparison.Write,
		html: func(w io.Writer) error { return report.HTMLComparison(w, comparison) },
	})
}

// compareArms reads --arm; there are none when engines are compared.
func compareArms(c *cli.Context) ([]simulator.Arm, error) {
	switch {
	case c.IsSet("arm") && c.IsSet("engines"):
		return nil, usagef("--arm and --engines: compare settings or engines, not both at once")
	case c.IsSet("engines"):
		return nil, nil
	case !c.IsSet("arm"):
		return nil, usagef("--arm is missing: say what to compare, such as --arm swim or --arm fast:probe.interval=500ms,probe.timeout=200ms, or --engines virtual,netns")
	}
	var arms []simulator.Arm
	for _, text := range c.StringSlice("arm") {
		arm, err := simulator.ParseArm(text)
		if err != nil {
			return nil, usagef("--arm: %w", err)
		}
		arms = append(arms, arm)
	}
	if len(arms) == 1 {
		arms = []simulator.Arm{simulator.AsItIs(), arms[0]}
	}
	return arms, nil
}
