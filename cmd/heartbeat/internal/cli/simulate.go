package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"heartbeat/simulator"
	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/report"
	"heartbeat/simulator/scenario"
)

const (
	simulateName = "simulate"
	// scenarioArg is the argument that names a scenario, built in or a file.
	scenarioArg = "SCENARIO"
)

func (a *app) simulateVerb() *cli.Command {
	return &cli.Command{
		Name: simulateName, Category: categoryPrepare,
		Usage: "try settings and faults on a simulated cluster of real nodes",
		Description: "A scenario says which nodes there are, what goes wrong when, and what must hold. It\n" +
			"is run once for each seed, in virtual time unless told otherwise: minutes take a\n" +
			"moment. SCENARIO is the name of a built-in one (`heartbeat simulate list`) or a file;\n" +
			"docs/simulator.md says how to write one. Exit codes: 0 what is expected holds, 1 it\n" +
			"does not or the run was interrupted, 2 the scenario or this machine cannot run it.",
		Subcommands: []*cli.Command{
			a.simulateRunVerb(),
			a.simulateListVerb(),
			a.simulateShowVerb(),
			a.simulateCheckVerb(),
			a.simulateGenerateVerb(),
			a.simulateExplainVerb(),
			a.simulateSweepVerb(),
			a.simulateCompareVerb(),
			a.simulateLoadVerb(),
			a.simulateSchemaVerb(),
			a.simulateChildVerb(),
		},
	}
}

// Flags that several subcommands share.
func seedsFlag() cli.Flag {
	return &cli.StringFlag{Name: "seeds", Usage: "run with these `SEEDS`, such as 1-50 or 1-5,9, instead of the scenario's"}
}

func overrideFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "set", Usage: "override `KEY=VALUE`: nodes, loss, duration, network.latency, any setting of the nodes (repeatable)"}
}

// runFlags say how to run and what to write.
func runFlags(files string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "out", Usage: "write " + files + " to the directory `DIR`"},
		&cli.IntFlag{Name: "jobs", Usage: "at most this `NUMBER` of runs at a time; each takes one core", DefaultText: "one a core",
			Action: func(_ *cli.Context, n int) error {
				if n < 1 {
					return usagef("--jobs %d is not possible: give at least 1", n)
				}
				return nil
			}},
		&cli.BoolFlag{Name: "no-html", Usage: "write no report.html"},
	}
}

// overrides are what --set and --seeds say, as key=value.
func overrides(c *cli.Context) ([]string, error) {
	set := c.StringSlice("set")
	if !c.IsSet("seeds") {
		return set, nil
	}
	seeds, err := scenario.ParseSeeds(c.String("seeds"))
	if err != nil {
		return nil, usagef("--seeds: %w", err)
	}
	text := seeds.String()
	if len(seeds) > 1 {
		text = "[" + text + "]" // as a list stands in a file
	}
	return append(set, "seeds="+text), nil
}

// loadExperiment reads the scenario that is the first argument, with the
// overrides of the command line.
func loadExperiment(c *cli.Context) (*simulator.Experiment, error) {
	set, err := overrides(c)
	if err != nil {
		return nil, err
	}
	e, err := simulator.Load(c.Args().First(), set)
	if err != nil {
		return nil, badScenario(err)
	}
	return e, nil
}

// badScenario is the failure for a scenario that cannot be used.
func badScenario(err error) error {
	f := &failure{code: exitUsage, err: err}
	var list scenario.Errors
	if errors.As(err, &list) && len(list) > 1 {
		f.err = errors.New("the scenario cannot be used:\n  " + strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	return f
}

// simulation is one command that runs scenarios.
type simulation struct {
	app     *app
	out     string // directory, or ""
	html    bool
	opts    simulator.Options
	report  report.Options
	show    *progress
	note    string // what is to be said about the runs before they begin
	written []string
}

// progress prints, before the first run begins, what is run and how to repeat it.
type progress struct {
	*report.Progress
	announce func()
}

// Started implements simulator.Progress.
func (p *progress) Started(seed uint64, end time.Duration) {
	p.announce()
	p.Progress.Started(seed, end)
}

// newSimulation prepares runs of a scenario, which last until end in virtual
// time, with the seeds given.
func (a *app) newSimulation(c *cli.Context, seeds scenario.Seeds, runs int, end time.Duration) (*simulation, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, usagef("cannot find this program's own file, which the runs need: %w", err)
	}
	s := &simulation{app: a, out: c.String("out"), html: !c.Bool("no-html")}
	if s.out != "" {
		if err := os.MkdirAll(s.out, 0o777); err != nil {
			return nil, usagef("cannot make the directory for the reports: %w", err)
		}
	}
	s.report.Color = a.stdout.colour
	command := commandLine(c)
	s.show = &progress{
		report.NewProgress(a.stderr, runs, end, newTerminal(a.stderr).tty),
		sync.OnceFunc(func() {
			text := fmt.Sprintf("seeds %s: %s\n", seeds, command)
			if s.note != "" {
				text += s.note + "\n"
			}
			_ = a.print(text + "\n") // the report will fail as well
		}),
	}
	s.opts = simulator.Options{
		Child: []string{self, simulateName, childName}, Jobs: c.Int("jobs"), Progress: s.show,
		Version: currentBuild().Version, Command: command,
	}
	return s, nil
}

// commandLine is the command that repeats this one, without the flags that only
// say where results go and how many runs there are at a time. In the service
// simulate it is the one that starts the service, since no other does.
func commandLine(c *cli.Context) string {
	words, implied := []string{"heartbeat", simulateName, c.Command.Name}, ofService(c)
	if implied != nil {
		words = []string{"docker-compose", "run", "--rm", "simulate"}
	}
	words = append(words, c.Args().Slice()...)
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if !c.IsSet(name) || name == "out" || name == "jobs" || name == "no-html" || name == "trace" {
			continue
		}
		if _, ok := f.(*cli.StringSliceFlag); ok {
			for i, v := range c.StringSlice(name) {
				if i == 0 && v == implied[name] {
					continue
				}
				words = append(words, "--"+name, v)
			}
			continue
		}
		if v := fmt.Sprint(c.Value(name)); v != implied[name] {
			words = append(words, "--"+name, v)
		}
	}
	for i, w := range words {
		words[i] = quoted(w)
	}
	return strings.Join(words, " ")
}

// quoted writes a word as a shell takes it.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=:,%+@", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// finish ends the display of progress. The error is that of running.
func (s *simulation) finish(err error) error {
	if closeErr := s.show.Close(); err == nil {
		return closeErr
	}
	return err
}

// write writes one file of the report, when there is a directory for it.
func (s *simulation) write(name string, content func(io.Writer) error) error {
	if s.out == "" {
		return nil
	}
	path := filepath.Join(s.out, name)
	f, err := os.Create(path)
	if err != nil {
		return usagef("cannot write the report: %w", err)
	}
	w := bufio.NewWriter(f)
	err = content(w)
	if err = errors.Join(err, w.Flush(), f.Close()); err != nil {
		return usagef("cannot write %s: %w", path, err)
	}
	s.written = append(s.written, path)
	return nil
}

// tellFiles says which files were written.
func (s *simulation) tellFiles() error {
	if len(s.written) == 0 {
		return nil
	}
	return s.app.print("\nwrote " + listed(s.written) + "\n")
}

// The files of reports.
const (
	resultFile = "result.json"
	htmlFile   = "report.html"
)

// documents are what is written about a group of runs.
type documents struct {
	terminal func(io.Writer) error
	name     string // of the JSON file
	json     func(io.Writer) error
	html     func(io.Writer) error
}

// end reports on a group of runs and says how the command ends; err is that of
// running.
func (s *simulation) end(ctx context.Context, what string, err error, d documents) error {
	reportErr := s.writeAll(d)
	switch {
	case err != nil:
		return cannotRun(err)
	case reportErr != nil:
		return cannotRun(reportErr)
	}
	return interrupted(ctx, what)
}

func (s *simulation) writeAll(d documents) error {
	if err := d.terminal(s.app.stdout); err != nil {
		return err
	}
	if err := s.write(d.name, d.json); err != nil {
		return err
	}
	if s.html {
		if err := s.write(htmlFile, d.html); err != nil {
			return err
		}
	}
	return s.tellFiles()
}

// cannotRun is the failure of what this machine cannot run, or of a scenario
// that an override has made impossible.
func cannotRun(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kernelfault.ErrUnsupported):
		return cannotFault(err)
	}
	return badScenario(err)
}

// interrupted is the failure of runs that were not all finished.
func interrupted(ctx context.Context, what string) error {
	if ctx.Err() == nil {
		return nil
	}
	return &failure{code: exitFailed, err: errors.New(what + " was interrupted: the report covers what was finished")}
}
