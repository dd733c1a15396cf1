package cli

import (
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
	"heartbeat/simulator/scenario"
)

// builtinScenario is one line of `simulate list`.
type builtinScenario struct {
	Name        string `json:"name"`
	Nodes       int    `json:"nodes"`
	Seeds       string `json:"seeds"`
	End         string `json:"end"`
	Description string `json:"description"`
	Teaches     string `json:"teaches"`
}

func (a *app) simulateListVerb() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "list the built-in scenarios",
		Flags: []cli.Flag{formatFlag(formatTable, formatJSON, formatNames)},
		Action: func(c *cli.Context) error {
			all, err := builtinScenarios()
			if err != nil {
				return err
			}
			switch c.String("format") {
			case formatJSON:
				return a.document(formatJSON, all)
			case formatNames:
				return a.print(strings.Join(scenarioNames(), "\n") + "\n")
			}
			t := newTable(a.stdout, "NAME", "NODES", "SEEDS", "LASTS", "WHAT HAPPENS")
			for _, b := range all {
				t.add(plain(b.Name), plain(strconv.Itoa(b.Nodes)), plain(b.Seeds), plain(b.End), plain(b.Description))
			}
			return a.print(t.String())
		},
	}
}

func scenarioNames() []string {
	var names []string
	for _, b := range scenario.Builtins() {
		names = append(names, b.Name)
	}
	return names
}

func builtinScenarios() ([]builtinScenario, error) {
	var all []builtinScenario
	for _, b := range scenario.Builtins() {
		e, err := simulator.Load(b.Name, nil)
		if err != nil {
			return nil, err
		}
		sc := e.Scenario
		all = append(all, builtinScenario{
			Name: b.Name, Nodes: sc.Cluster.Nodes, Seeds: sc.Seeds.String(), End: sc.End().String(),
			Description: sc.Description, Teaches: b.Teaches,
		})
	}
	return all, nil
}

func (a *app) simulateShowVerb() *cli.Command {
	return &cli.Command{
		Name: "show", Usage: "print the file of a scenario, to learn from or to change", ArgsUsage: scenarioArg,
		Action: func(c *cli.Context) error {
			_, data, err := scenario.Read(c.Args().First())
			if err != nil {
				return usagef("%w", err)
			}
			return a.print(string(data))
		},
	}
}
