package simulator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"heartbeat/simulator/engine"
	"heartbeat/simulator/live"
	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
	"heartbeat/simulator/scenario"
)

// VirtualEngine is the name of the engine that needs nothing but this program.
const VirtualEngine = "virtual"

// Engine plays seeds in real time, with real processes. The virtual engine is
// none of these: it is what a nil Engine stands for.
type Engine interface {
	// Name is what results call it.
	Name() string
	// Check says what this machine lacks to play the scenario on it.
	Check(sc *scenario.Scenario) error
	// Play plays one seed, and tells how far it is, in time since time 0. An
	// error that is engine.ErrNoAgreement or engine.ErrAgentFailed breaks the
	// run off, any other one the experiment.
	Play(ctx context.Context, sc *scenario.Scenario, seed uint64, passed func(time.Duration)) (*live.History, error)
}

// checkEngine says what keeps an engine from playing the experiment; nil stands
// for the virtual engine.
func checkEngine(on Engine, e *Experiment) error {
	if on == nil {
		for _, expected := range e.Scenario.Expect {
			if expected.Growth != nil {
				return fmt.Errorf("%s expects a bound of what processes grow by, but in virtual time nodes are no processes: run it with another --engine", e.name)
			}
		}
		return nil
	}
	for _, expected := range e.Scenario.Expect {
		if l := expected.Load; l != nil && l.PacketsPerNodeSecond != nil && l.Only != scenario.UDP {
			return fmt.Errorf("%s expects a bound of TCP packets, which the engine %s does not count: give the bound with only: udp", e.name, on.Name())
		}
	}
	return on.Check(e.Scenario)
}

// engineName is how results call an engine.
func engineName(e Engine) string {
	if e == nil {
		return VirtualEngine
	}
	return e.Name()
}

// playReal plays one seed on an engine of real processes, which tells what
// happened when all is over.
func playReal(ctx context.Context, e *Experiment, j job, on Engine, passed func(time.Duration)) (run oracle.RunResult, err error) {
	h, err := on.Play(ctx, e.Scenario, j.Seed, passed)
	switch {
	case ctx.Err() != nil:
		return run, context.Cause(ctx)
	case errors.Is(err, engine.ErrNoAgreement), errors.Is(err, engine.ErrAgentFailed):
		return e.brokenOff(j.Seed, err)
	case err != nil:
		return run, fmt.Errorf("seed %d on %s: %w", j.Seed, on.Name(), err)
	}
	var tr *tracer
	if j.Trace != "" {
		f, err := os.Create(j.Trace)
		if err != nil {
			return run, fmt.Errorf("cannot write the trace: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		tr = newTracer(f, e.Scenario, h.Plan.Nodes)
	}
	rec, err := e.recorder(h.Plan, tr, nil)
	if err != nil {
		return run, err
	}
	h.Replay(rec)
	if err := errors.Join(rec.refused(j.Seed), tr.close()); err != nil {
		return run, err
	}
	rec.judge.CPU(h.CPU)
	rec.judge.Clock(oracle.Clock{
		Skew: oracle.Number(h.Clock.Skew.Seconds()), Step: oracle.Number(h.Clock.Step.Seconds()), Lag: oracle.Number(h.Clock.Lag.Seconds()),
	})
	return rec.judge.Finish()
}

// brokenOff is the result of a run in which time 0 never came, or an agent
// failed.
func (e *Experiment) brokenOff(seed uint64, why error) (oracle.RunResult, error) {
	plan, err := e.Scenario.Resolve(seed)
	if err != nil {
		return oracle.RunResult{}, err
	}
	rec, err := e.recorder(plan, nil, nil)
	if err != nil {
		return oracle.RunResult{}, err
	}
	rec.judge.BreakOff(why.Error())
	return rec.judge.Finish()
}

// CompareEngines runs the same scenario with the same seeds on two or more
// engines: the check that they tell the same story. A nil engine is the
// virtual one. All engines are checked before the first runs.
func CompareEngines(ctx context.Context, e *Experiment, engines []Engine, opts Options) (*result.Comparison, error) {
	if len(engines) < 2 {
		return nil, errors.New("a comparison takes at least two engines")
	}
	for i, on := range engines {
		if slices.ContainsFunc(engines[:i], func(other Engine) bool { return engineName(other) == engineName(on) }) {
			return nil, fmt.Errorf("the engine %s is named twice: what would be compared?", engineName(on))
		}
		if err := checkEngine(on, e); err != nil {
			return nil, err
		}
	}
	c := &result.Comparison{Version: result.Version, Arms: []result.Arm{}, Against: []oracle.Comparison{}}
	opts.TraceDir = ""
	for _, on := range engines {
		if ctx.Err() != nil {
			c.Partial = true
			break
		}
		opts.Engine = on
		res, err := Run(ctx, e, opts)
		if res != nil && len(res.Runs) > 0 {
			c.Arms = append(c.Arms, result.Arm{Label: engineName(on), Set: []string{}, Result: res})
		}
		if err != nil {
			return c, fmt.Errorf("%s: %w", engineName(on), err)
		}
		c.Partial = c.Partial || res.Partial
	}
	for i := 1; i < len(c.Arms); i++ {
		first, other := c.Arms[0].Result.Runs, c.Arms[i].Result.Runs
		c.Against = append(c.Against, oracle.CompareEngines(first, other))
		c.FinalViews = append(c.FinalViews, oracle.CompareFinalViews(first, other))
	}
	return c, nil
}
