package simulator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"heartbeat/gossip"
	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
	"heartbeat/simulator/scenario"
	"heartbeat/simulator/virtual"
)

// Options say how to run an experiment. The zero value runs the scenario's own
// seeds one after the other in this process.
type Options struct {
	// Engine plays the seeds, one after the other; nil is the virtual engine.
	Engine Engine
	// T is the test that this runs in, if any. Package testing allows no
	// bubble of virtual time inside another test's without it.
	T *testing.T
	// Seeds replace the scenario's.
	Seeds scenario.Seeds
	// Child is a command that runs Child on its standard input and output.
	// With it seeds run in processes of their own, Jobs at a time; without it
	// one after the other in this one.
	Child []string
	// Jobs is how many children run at a time; 0 means one a core.
	Jobs int
	// Progress, when not nil, is told how the runs go.
	Progress Progress
	// TraceDir, when not empty, gets the trace of each seed, as
	// seed-N.trace.jsonl.
	TraceDir string
	// Version and Command go into the result: this program's version, and the
	// command line that repeats the run.
	Version, Command string
}

// Progress is told how runs go. Its methods may be called from several
// goroutines at once.
type Progress interface {
	// Started begins a seed's run, which will last until end in virtual time.
	Started(seed uint64, end time.Duration)
	// Passed tells how far a run is, in virtual time.
	Passed(seed uint64, at time.Duration)
	// Finished gives a run's result.
	Finished(run *oracle.RunResult)
}

// Run plays the experiment with each seed and puts the results together. When
// ctx ends before all seeds are done the result has those that are, is marked
// as partial, and the error is nil. An error means that a seed could not be run
// at all; the result then still has the others.
func Run(ctx context.Context, e *Experiment, opts Options) (*result.Result, error) {
	seeds := opts.Seeds
	if seeds.Len() == 0 {
		seeds = e.Scenario.Seeds
	}
	if err := checkEngine(opts.Engine, e); err != nil {
		return nil, err
	}
	res, err := describe(e, seeds, opts)
	if err != nil {
		return nil, err
	}
	if opts.TraceDir != "" {
		if err := os.MkdirAll(opts.TraceDir, 0o777); err != nil {
			return nil, fmt.Errorf("cannot make a directory for the traces: %w", err)
		}
	}
	began := time.Now()
	res.Runs, err = runAll(ctx, e, slices.Collect(seeds.All()), opts)
	res.Began = began.UTC()
	res.Wall = oracle.Number(time.Since(began).Seconds())
	for _, run := range res.Runs {
		res.CPU += run.CPU
	}
	res.Partial = len(res.Runs) < seeds.Len()
	res.Summary = oracle.Summarize(res.Runs)
	res.Checks = oracle.Evaluate(e.Scenario.Expect, res.Runs)
	if ctx.Err() != nil {
		err = nil
	}
	return res, err
}

// describe fills in what is known before the first run.
func describe(e *Experiment, seeds scenario.Seeds, opts Options) (*result.Result, error) {
	sc := e.Scenario
	cfg, err := virtual.NodeConfig(sc)
	if err != nil {
		return nil, err
	}
	var words strings.Builder
	if err := scenario.Explain(&words, sc); err != nil {
		return nil, fmt.Errorf("explain the scenario: %w", err)
	}
	res := &result.Result{
		Version: result.Version,
		Scenario: result.Scenario{
			Name: sc.Name, Description: sc.Description, Source: e.source, Set: e.set, Words: words.String(),
			Profile: string(sc.Cluster.Profile), Detector: sc.Cluster.Detector, Changed: sc.Cluster.Settings,
			Nodes: sc.Cluster.Nodes, End: oracle.Number(sc.End().Seconds()),
		},
		Engine:   engineName(opts.Engine),
		Settings: make(map[string]string),
		Seeds:    seeds.String(),
		Command:  opts.Command,
		Machine:  result.Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version(), Version: opts.Version},
	}
	for _, s := range gossip.Settings() {
		if strings.HasPrefix(s.Key, "node.") || strings.HasPrefix(s.Key, "network.bind") {
			continue // each node's own
		}
		if res.Settings[s.Key], err = cfg.Get(s.Key); err != nil {
			return nil, err
		}
	}
	for seed := range seeds.All() {
		plan, err := sc.Resolve(seed)
		if err != nil {
			return nil, err
		}
		res.Scenario.Bands = oracle.Bands(plan)
		break
	}
	return res, nil
}

// runAll runs the seeds and returns what was finished, in the order of the
// seeds.
func runAll(ctx context.Context, e *Experiment, seeds []uint64, opts Options) ([]oracle.RunResult, error) {
	jobs := opts.Jobs
	if jobs <= 0 {
		jobs = runtime.NumCPU()
	}
	if len(opts.Child) == 0 || opts.Engine != nil {
		jobs = 1 // runs in one process, or on one machine's real clock, take turns
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make([]*oracle.RunResult, len(seeds))
	errs := make([]error, len(seeds))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(jobs, len(seeds)) {
		wg.Go(func() {
			for i := range next {
				run, err := runSeed(ctx, e, seeds[i], opts)
				if err != nil {
					errs[i] = err
					cancel() // what breaks one run breaks them all
					continue
				}
				results[i] = &run
			}
		})
	}
	for i := range seeds {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	wg.Wait()
	var done []oracle.RunResult
	for _, r := range results {
		if r != nil {
			done = append(done, *r)
		}
	}
	return done, firstError(errs)
}

// firstError prefers a cause to the cancellations that follow from it.
func firstError(errs []error) error {
	var first error
	for _, err := range errs {
		if err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
		}
	}
	return first
}

func runSeed(ctx context.Context, e *Experiment, seed uint64, opts Options) (oracle.RunResult, error) {
	if ctx.Err() != nil {
		return oracle.RunResult{}, context.Cause(ctx)
	}
	j := job{Name: e.name, Source: e.source, Set: e.set, Seed: seed}
	if opts.TraceDir != "" {
		j.Trace = filepath.Join(opts.TraceDir, TraceName(seed))
	}
	passed := func(time.Duration) {}
	if p := opts.Progress; p != nil {
		p.Started(seed, e.Scenario.End())
		passed = func(at time.Duration) { p.Passed(seed, at) }
	}
	run, err := play(ctx, e, j, opts, passed)
	if err == nil && opts.Progress != nil {
		opts.Progress.Finished(&run)
	}
	return run, err
}

// TraceSuffix is what the names of traces end with.
const TraceSuffix = ".trace.jsonl"

// TraceName is the file name of a seed's trace.
func TraceName(seed uint64) string { return fmt.Sprintf("seed-%d%s", seed, TraceSuffix) }

func play(ctx context.Context, e *Experiment, j job, opts Options, passed func(time.Duration)) (run oracle.RunResult, err error) {
	if opts.Engine != nil {
		return playReal(ctx, e, j, opts.Engine, passed)
	}
	if len(opts.Child) > 0 {
		return spawn(ctx, opts.Child, e.Scenario.Cluster.Nodes, j, passed)
	}
	if j.Trace == "" {
		return playSeed(ctx, opts.T, e, j.Seed, nil, passed)
	}
	f, err := os.Create(j.Trace)
	if err != nil {
		return run, fmt.Errorf("cannot write the trace: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return playSeed(ctx, opts.T, e, j.Seed, f, passed)
}
