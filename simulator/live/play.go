package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"heartbeat/simulator/engine"
	"heartbeat/simulator/scenario"
)

// Play plays one seed of a scenario on a cluster whose nodes are all stopped,
// and returns what happened. passed, when not nil, is told once a second how
// far the run is, in time since time 0. The caller ends what runs afterwards.
//
// The error is engine.ErrNoAgreement when the nodes do not come to agree in
// time, engine.ErrAgentFailed when one ends without being told to, and ctx's cause
// when that ends first. Events that were lost, a fault that the kernel refuses,
// and a stop of this process itself end the run with an error, too: such a
// history is not worth judging.
func Play(ctx context.Context, plan *scenario.Plan, sc *scenario.Scenario, c Cluster, passed func(time.Duration)) (*History, error) {
	ctx, fail := context.WithCancelCause(ctx)
	p := &play{
		plan: plan, scenario: sc, cluster: c, fail: fail, passed: passed,
		truth: scenario.NewTruth(plan), faults: newFaults(c, len(plan.Nodes)),
		effects: make([]time.Time, len(plan.Actions)), zero: make(chan struct{}),
	}
	p.nodes = make([]*node, len(plan.Nodes))
	for i := range p.nodes {
		p.nodes[i] = newNode(p, i)
	}
	p.running.Go(func() { p.keepPace(ctx) })
	err := p.run(ctx)
	if err == nil {
		err = p.pace.beat(time.Now()) // it may have stood still at the very end
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx) // what follows from it says less
	}
	fail(errOver)
	p.running.Wait()
	if err != nil {
		return nil, err
	}
	return p.history(), nil
}

// errOver ends what still runs when a run is over.
var errOver = errors.New("the run is over")

// play is one run.
type play struct {
	plan     *scenario.Plan
	scenario *scenario.Scenario
	cluster  Cluster
	nodes    []*node
	passed   func(time.Duration)
	fail     context.CancelCauseFunc // ends the run for a cause
	running  sync.WaitGroup          // goroutines that end with the run

	truth  *scenario.Truth // the timeline's own
	faults *faults         // the timeline's own

	start engine.Start
	began time.Time
	zero  chan struct{} // closed at time 0, after which time0 is set
	time0 time.Time
	clock Clock
	pace  pace

	mu      sync.Mutex
	effects []time.Time // guarded by mu; when each action took effect, as far as known
}

func (p *play) run(ctx context.Context) error {
	base := p.scenario.Cluster.Join.Timeout + p.scenario.Cluster.Warmup + p.plan.End + baseGrace
	if _, err := p.faults.apply(ctx, p.truth, time.Now().Add(base), time.Time{}); err != nil {
		return fmt.Errorf("set the network up: %w", err)
	}
	if err := p.assemble(ctx); err != nil {
		return err
	}
	if err := sleepUntil(ctx, time.Now().Add(p.scenario.Cluster.Warmup)); err != nil {
		return err
	}
	if err := p.measureClocks(ctx); err != nil {
		return err
	}
	// From now on the end is known better.
	if _, err := p.faults.renew(ctx, p.truth, time.Now().Add(p.plan.End+baseGrace)); err != nil {
		return fmt.Errorf("set the network up: %w", err)
	}
	if err := p.timeline(ctx); err != nil {
		return err
	}
	if err := p.faults.confirm(ctx); err != nil {
		return err
	}
	return p.collect(ctx)
}

// assemble starts all nodes at their times and waits until each lists all.
func (p *play) assemble(ctx context.Context) error {
	within := p.scenario.Cluster.Join.Timeout
	p.began = time.Now()
	var last time.Duration
	errs := make(chan error, len(p.nodes))
	for i, n := range p.nodes {
		last = max(last, p.plan.Starts[i])
		p.running.Go(func() {
			if err := sleepUntil(ctx, p.began.Add(p.plan.Starts[i])); err != nil {
				errs <- err
				return
			}
			errs <- n.begin(ctx, firstLife)
		})
	}
	var failed error
	for range p.nodes {
		if err := <-errs; err != nil && failed == nil {
			failed = err
			p.fail(err) // the others need not go on
		}
	}
	if failed != nil {
		return failed
	}
	for i := 0; i < len(p.nodes); {
		alive, err := p.nodes[i].alive(ctx)
		if err == nil && alive == len(p.nodes) {
			i++
			continue
		}
		if time.Since(p.began) > within {
			if err != nil {
				return fmt.Errorf("%w within %v: %s does not say whom it lists: %w", engine.ErrNoAgreement, within, p.plan.Nodes[i], err)
			}
			return fmt.Errorf("%w within %v: %s lists %d of %d as alive", engine.ErrNoAgreement, within, p.plan.Nodes[i], alive, len(p.nodes))
		}
		if err := sleepUntil(ctx, time.Now().Add(20*time.Millisecond)); err != nil {
			return err
		}
	}
	agreed := time.Since(p.began)
	p.start = engine.Start{Agreed: agreed, SinceLast: agreed - last, Load: make([]engine.Load, len(p.nodes))}
	return p.each(func(n *node) error {
		m, err := n.metrics(ctx)
		p.start.Load[n.index] = m.load
		return err
	})
}

// atOnce bounds how many agents are asked for something at the same time.
const atOnce = 8

// each calls f for all nodes, some of them at the same time.
func (p *play) each(f func(*node) error) error {
	errs := make([]error, len(p.nodes))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, n := range p.nodes {
		slots <- struct{}{}
		all.Go(func() {
			errs[i] = f(n)
			<-slots
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// measureClocks notes how far the clocks of the nodes' hosts are from ours.
func (p *play) measureClocks(ctx context.Context) error {
	var mu sync.Mutex
	return p.each(func(n *node) error {
		asked := time.Now()
		theirs, err := p.cluster.Clock(ctx, n.index)
		if err != nil {
			return fmt.Errorf("ask %s for the time: %w", n.name(), err)
		}
		half := time.Since(asked) / 2
		mu.Lock()
		defer mu.Unlock()
		// Wall clocks: a monotonic reading says nothing about another host's.
		p.clock.Skew = max(p.clock.Skew, theirs.Round(0).Sub(asked.Round(0).Add(half)).Abs()+half)
		return nil
	})
}

// sleepUntil waits for a moment, or for the end of ctx.
func sleepUntil(ctx context.Context, moment time.Time) error {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
