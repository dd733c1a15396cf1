package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
	"heartbeat/simulator/oracle"
	"heartbeat/simulator/report"
	results "heartbeat/simulator/result"
)

func (a *app) simulateRunVerb() *cli.Command {
	return &cli.Command{
		Name: "run", Usage: "run a scenario with each of its seeds, and say whether what it expects holds", ArgsUsage: scenarioArg,
		Description: "Runs are statistical: a seed fixes the faults, the network and who is hit, not the\n" +
			"order of goroutines. Ctrl-C ends with a report of the runs that are finished.\n" +
			"An engine other than virtual takes real time, and plays one seed after the other.\n" +
			"Without --out the engine compose writes to reports/NAME, NAME being the scenario's.",
		Flags: append([]cli.Flag{
			seedsFlag(), overrideFlag(), engineFlag(),
			&cli.BoolFlag{Name: "trace", Usage: "with --out, keep a trace of each run for `simulate explain`; with one seed it is kept anyway"},
		}, runFlags("result.json, report.html, junit.xml and traces")...),
		Action: a.simulateRun,
	}
}

func (a *app) simulateRun(c *cli.Context) error {
	e, err := loadExperiment(c)
	if err != nil {
		return err
	}
	if c.String("engine") == composeName && !c.IsSet("out") {
		// What is written in a container and not in its volume is lost.
		if err := c.Set("out", filepath.Join("reports", e.Scenario.Name)); err != nil {
			return err
		}
	}
	if c.Bool("trace") && !c.IsSet("out") {
		return usagef("--trace needs a place for the traces: give --out DIR")
	}
	on, err := a.engine("engine", c.String("engine"))
	if err != nil {
		return err
	}
	defer closeEngines(on)
	seeds := e.Scenario.Seeds
	s, err := a.newSimulation(c, seeds, seeds.Len(), e.Scenario.End())
	if err != nil {
		return err
	}
	s.opts.Engine = on
	s.note = nodesOfService(c, e.Scenario.Cluster.Nodes)
	if s.out != "" && (c.Bool("trace") || seeds.Len() == 1) {
		s.opts.TraceDir = s.out
		s.report.Explain = func(seed uint64, node string) string {
			return fmt.Sprintf("heartbeat simulate explain %s --seed %d --node %s", quoted(s.out), seed, node)
		}
	}
	res, err := simulator.Run(c.Context, e, s.opts)
	if err = s.finish(err); res == nil {
		return cannotRun(err)
	}
	if len(res.Runs) == 0 && s.out != "" {
		s.out = "" // the report of an earlier run tells more than one of nothing
		if err == nil {
			return &failure{code: exitFailed, err: errors.New("the run was interrupted before a seed was finished: no report was written")}
		}
	}
	if err := dropTraces(s.out, s.kept(res)); err != nil {
		return cannotRun(err)
	}
	err = s.end(c.Context, "the run", errors.Join(err, s.write("junit.xml", func(w io.Writer) error { return report.JUnit(w, res) })), documents{
		terminal: func(w io.Writer) error { return report.Terminal(w, res, s.report) },
		name:     resultFile, json: res.Write,
		html: func(w io.Writer) error { return report.HTML(w, res) },
	})
	if err != nil {
		return err
	}
	return notKept(res.Scenario.Name, res.Checks, res.Summary.BrokenOff)
}

// kept are the names of the traces of a result's runs.
func (s *simulation) kept(res *results.Result) []string {
	var names []string
	for _, run := range res.Runs {
		if s.opts.TraceDir != "" {
			names = append(names, simulator.TraceName(run.Seed))
		}
	}
	return names
}

// dropTraces removes all other traces from a directory: beside the result of
// another scenario those of an earlier run would tell the wrong story.
func dropTraces(dir string, but []string) error {
	if dir == "" {
		return nil
	}
	old, err := filepath.Glob(filepath.Join(dir, "seed-*"+simulator.TraceSuffix))
	if err != nil {
		return fmt.Errorf("look for old traces in %s: %w", dir, err)
	}
	for _, path := range old {
		if slices.Contains(but, filepath.Base(path)) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove an old trace: %w", err)
		}
	}
	return nil
}

// notKept is the failure of expectations that do not hold.
func notKept(name string, checks []oracle.Outcome, brokenOff int) error {
	broken := 0
	for _, check := range checks {
		if !check.Holds {
			broken++
		}
	}
	switch {
	case brokenOff > 0:
		return &failure{code: exitFailed, err: fmt.Errorf("%s of %s broken off", plural(brokenOff, "run"), name)}
	case broken > 0:
		return &failure{code: exitFailed, err: fmt.Errorf("%d of %s of %s not kept", broken, plural(len(checks), "expectation"), name)}
	}
	return nil
}
