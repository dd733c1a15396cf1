package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
	"heartbeat/simulator/trace"
)

func (a *app) simulateExplainVerb() *cli.Command {
	return &cli.Command{
		Name: "explain", Usage: "tell from a trace what happened to one node", ArgsUsage: "DIR|TRACE",
		Description: "DIR is what `simulate run --out` wrote to; TRACE is one of its traces.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "node", Usage: "the `NODE` whose story is told, such as n7"},
			&cli.Uint64Flag{Name: "seed", Usage: "the run with this `SEED`; needed when DIR has traces of several"},
		},
		Action: func(c *cli.Context) error {
			if !c.IsSet("node") {
				return usagef("--node is missing: say whose story to tell, such as --node n7")
			}
			path, err := findTrace(c)
			if err != nil {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return usagef("cannot read the trace: %w", err)
			}
			defer f.Close()
			err = trace.Story(a.stdout, f, c.String("node"))
			if errors.Is(err, trace.ErrNothing) {
				return &failure{code: exitNoMember, err: fmt.Errorf("%s: %w", path, err)}
			}
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			return nil
		},
	}
}

// findTrace is the trace that the command line means.
func findTrace(c *cli.Context) (string, error) {
	path := c.Args().First()
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", usagef("cannot find the trace: %w", err)
	case !info.IsDir() && c.IsSet("seed"):
		return "", usagef("--seed goes with a directory of traces, and %s is a file", path)
	case !info.IsDir():
		return path, nil
	case c.IsSet("seed"):
		return filepath.Join(path, simulator.TraceName(c.Uint64("seed"))), nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", usagef("cannot look for traces: %w", err)
	}
	var found []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), simulator.TraceSuffix) {
			found = append(found, e.Name())
		}
	}
	switch len(found) {
	case 0:
		return "", usagef("there is no trace in %s: run the scenario with --out and --trace", path)
	case 1:
		return filepath.Join(path, found[0]), nil
	}
	return "", usagef("there are %d traces in %s: pick a run with --seed", len(found), path)
}
