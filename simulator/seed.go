package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"heartbeat/simulator/engine"
	"heartbeat/simulator/oracle"
	"heartbeat/simulator/virtual"
	"heartbeat/simulator/virtual/bubble"
)

// playSeed plays one seed in this process. t is nil outside of tests, traceTo
// nil without a trace.
func playSeed(ctx context.Context, t *testing.T, e *Experiment, seed uint64, traceTo io.Writer, passed func(time.Duration)) (oracle.RunResult, error) {
	plan, err := e.Scenario.Resolve(seed)
	if err != nil {
		return oracle.RunResult{}, err
	}
	var tr *tracer
	if traceTo != nil {
		tr = newTracer(traceTo, e.Scenario, plan.Nodes)
	}
	rec, err := e.recorder(plan, tr, passed)
	if err != nil {
		return oracle.RunResult{}, err
	}
	cpu := cpuTime()
	err = bubble.Run(t, func(inner context.Context) error {
		inner, cancel := context.WithCancel(inner)
		defer cancel()
		// The caller's context lives outside the bubble: waiting for it there
		// would stop virtual time, so it is asked once a virtual second.
		rec.interrupted = func() bool {
			if ctx.Err() != nil {
				cancel()
			}
			return ctx.Err() != nil
		}
		return virtual.Play(inner, e.Scenario, seed, rec)
	})
	rec.judge.CPU(cpuTime() - cpu)
	err = errors.Join(err, tr.close())
	switch {
	case ctx.Err() != nil:
		return oracle.RunResult{}, context.Cause(ctx)
	case errors.Is(err, engine.ErrNoAgreement):
		rec.judge.BreakOff(err.Error())
	case err != nil:
		return oracle.RunResult{}, fmt.Errorf("seed %d: %w", seed, err)
	}
	if err := rec.refused(seed); err != nil {
		return oracle.RunResult{}, err
	}
	return rec.judge.Finish()
}

// cpuTime is the processor time of this process so far; 0 where the system
// does not tell.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
