// Package virtual is the engine that plays a scenario in virtual time: real
// gossip nodes over the in-memory network of package fabric, inside a bubble
// of testing/synctest (see package bubble). It needs nothing from the machine
// but time and memory.
package virtual

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"heartbeat/gossip"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/fabric"
	"heartbeat/simulator/scenario"
)

// Play plays one seed of a scenario. It must run inside a bubble, and returns
// when the run is over, an error when the cluster does not come together, or
// ctx ends. ctx must belong to the bubble.
func Play(ctx context.Context, sc *scenario.Scenario, seed uint64, rec engine.Recorder) error {
	plan, err := sc.Resolve(seed)
	if err != nil {
		return err
	}
	cfg, err := NodeConfig(sc)
	if err != nil {
		return err
	}
	p := &play{plan: plan, template: cfg, truth: scenario.NewTruth(plan), rec: rec, notes: rec.Notes()}
	p.net = fabric.New(fabric.Config{Seed: seed, Links: p.link})
	p.nodes = make([]*node, len(plan.Nodes))
	for i := range p.nodes {
		p.nodes[i] = &node{play: p, index: i}
	}
	defer p.stopAll()
	if err := p.assemble(ctx, sc.Cluster.Join.Timeout); err != nil {
		return err
	}
	if err := sleep(ctx, sc.Cluster.Warmup); err != nil {
		return err
	}
	return p.timeline(ctx)
}

// NodeConfig is the configuration that all nodes of a scenario share.
func NodeConfig(sc *scenario.Scenario) (gossip.Config, error) {
	cfg, err := gossip.Profile(string(sc.Cluster.Profile))
	if err != nil {
		return cfg, err
	}
	// A thousand nodes share this process's memory, and the engine reads the
	// events as they happen.
	cfg.EventBuffer, cfg.JournalSize = 512, 512
	cfg.Detector = sc.Cluster.Detector
	var errs []error
	for key, value := range sc.Cluster.Settings {
		errs = append(errs, cfg.Set(key, value))
	}
	if err := errors.Join(errs...); err != nil {
		return cfg, fmt.Errorf("the scenario's settings: %w", err)
	}
	if sc.Cluster.Encryption {
		key, err := gossip.GenerateKey(256)
		if err != nil {
			return cfg, err
		}
		if cfg.Keyring, err = gossip.NewKeyring(key); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

// play is one run.
type play struct {
	plan     *scenario.Plan
	template gossip.Config
	net      *fabric.Network
	nodes    []*node
	notes    bool // the recorder wants them

	truthMu sync.RWMutex
	truth   *scenario.Truth // guarded by truthMu; changed by the timeline only

	recMu   sync.Mutex
	rec     engine.Recorder // guarded by recMu
	zero    time.Time       // guarded by recMu; zero until time 0
	over    bool            // guarded by recMu
	failed  int             // guarded by recMu; attempts to join
	start   engine.Start    // guarded by recMu
	running sync.WaitGroup
}

// record calls the recorder from time 0 until the end.
func (p *play) record(f func(rec engine.Recorder, at time.Duration)) { p.recordAt(time.Now(), f) }

// recordAt does so for something that happened at a moment.
func (p *play) recordAt(moment time.Time, f func(rec engine.Recorder, at time.Duration)) {
	p.recMu.Lock()
	defer p.recMu.Unlock()
	if !p.zero.IsZero() && !p.over && !moment.Before(p.zero) {
		f(p.rec, moment.Sub(p.zero))
	}
}

// link is the fabric's view of the truth.
func (p *play) link(from, to int, proto fabric.Proto) fabric.Link {
	protocol := scenario.UDP
	if proto == fabric.TCP {
		protocol = scenario.TCP
	}
	p.truthMu.RLock()
	l := p.truth.Link(from, to, protocol)
	p.truthMu.RUnlock()
	return fabric.Link{
		Cut: l.Cut, Loss: l.Loss, Duplicate: l.Duplicate, Reorder: l.Reorder,
		Delay: l.Delay, Jitter: l.Jitter, Rate: int64(l.Rate) / 8,
	}
}

// assemble starts all nodes at their times and waits until each lists all.
func (p *play) assemble(ctx context.Context, within time.Duration) error {
	began := time.Now()
	var last time.Duration
	errs := make(chan error, len(p.nodes))
	for i, n := range p.nodes {
		last = max(last, p.plan.Starts[i])
		p.running.Go(func() {
			if sleep(ctx, p.plan.Starts[i]) == nil {
				errs <- n.start(ctx)
			}
		})
	}
	for range p.nodes {
		select {
		case err := <-errs:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for i := 0; i < len(p.nodes); {
		if p.nodes[i].seesAll(len(p.nodes)) {
			i++
			continue
		}
		if time.Since(began) > within {
			return fmt.Errorf("%w within %v: %s lists %d of %d as alive", engine.ErrNoAgreement, within, p.plan.Nodes[i], p.nodes[i].alive(), len(p.nodes))
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	p.recMu.Lock()
	defer p.recMu.Unlock()
	agreed := time.Since(began)
	p.start = engine.Start{Agreed: agreed, SinceLast: agreed - last, JoinErrors: p.failed, Load: p.loads()}
	return nil
}

// timeline carries out the plan from time 0 to its end.
func (p *play) timeline(ctx context.Context) error {
	for _, n := range p.nodes {
		n.sampled = n.load()
		n.watch(0)
	}
	p.recMu.Lock()
	p.zero = time.Now()
	zero := p.zero
	p.rec.Begin(p.start)
	p.recMu.Unlock()

	actions := p.plan.Actions
	for sampled := time.Duration(0); ; {
		now := time.Since(zero)
		for len(actions) > 0 && actions[0].At <= now {
			if err := p.act(ctx, actions[0]); err != nil {
				return err
			}
			actions = actions[1:]
		}
		if second := now.Truncate(time.Second); second > sampled || now >= p.plan.End {
			p.sample(sampled, now)
			sampled = now
		}
		if now >= p.plan.End {
			break
		}
		next := min(p.plan.End, now.Truncate(time.Second)+time.Second)
		if len(actions) > 0 {
			next = min(next, actions[0].At)
		}
		if err := sleep(ctx, next-now); err != nil {
			return err
		}
	}
	p.recMu.Lock()
	defer p.recMu.Unlock()
	p.over = true
	p.rec.End(time.Since(zero))
	return nil
}

// sample tells the traffic since the last sample, and what was noted.
func (p *play) sample(from, to time.Duration) {
	if p.notes {
		for _, n := range p.nodes {
			n.notes()
		}
	}
	p.record(func(rec engine.Recorder, at time.Duration) {
		for i, n := range p.nodes {
			load := n.load()
			if since := load.Minus(n.sampled); since != (engine.Load{}) && to > from {
				rec.Sent(i, from, to, since)
			}
			n.sampled = load
		}
		rec.Passed(at)
	})
}

// act carries out one action: first in the truth, so that the network and the
// oracle change at the same moment, then on the nodes concerned.
func (p *play) act(ctx context.Context, a scenario.Action) error {
	p.truthMu.Lock()
	p.truth.Apply(a)
	p.truthMu.Unlock()
	p.record(func(rec engine.Recorder, _ time.Duration) { rec.Acted(a) })
	if p.notes && (a.Verb == scenario.Kill || a.Verb == scenario.Leave) {
		p.nodes[a.Node].notes() // it cannot tell them later
	}
	switch a.Verb {
	case scenario.Kill:
		p.nodes[a.Node].kill()
	case scenario.Leave:
		p.nodes[a.Node].leave()
	case scenario.Start:
		if err := p.nodes[a.Node].start(ctx); err != nil {
			return err
		}
		p.nodes[a.Node].watch(1)
	case scenario.On, scenario.Off:
		for _, i := range a.Fault.Nodes {
			p.nodes[i].hold(p.truth.Frozen(i), p.truth.Late(i))
		}
	}
	return nil
}

func (p *play) loads() []engine.Load {
	loads := make([]engine.Load, len(p.nodes))
	for i, n := range p.nodes {
		loads[i] = n.load()
	}
	return loads
}

// stopAll ends all nodes and waits for everything that was started.
func (p *play) stopAll() {
	for _, n := range p.nodes {
		n.kill()
	}
	p.running.Wait()
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
