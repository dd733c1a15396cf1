package cli

import (
	"github.com/urfave/cli/v2"

	"heartbeat/simulator/report"
	"heartbeat/simulator/scenario"
)

func (a *app) simulateCheckVerb() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "check a scenario and say in words what will happen when; nothing is run", ArgsUsage: scenarioArg,
		Flags: []cli.Flag{seedsFlag(), overrideFlag()},
		Action: func(c *cli.Context) error {
			e, err := loadExperiment(c)
			if err != nil {
				return err
			}
			return scenario.Explain(a.stdout, e.Scenario)
		},
	}
}

func (a *app) simulateSchemaVerb() *cli.Command {
	return &cli.Command{
		Name: "schema", Usage: "print the JSON Schema of scenario files, for editors",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "result", Usage: "that of result.json instead"}},
		Action: func(c *cli.Context) error {
			if c.Bool("result") {
				return a.print(string(report.Schema()))
			}
			return a.print(string(scenario.Schema()))
		},
	}
}
