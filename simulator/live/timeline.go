package live

import (
	"context"
	"fmt"
	"time"

	"heartbeat/simulator/scenario"
)

// prepare is how long before an action nodes that will not answer after it are
// asked for what they know.
const prepare = 250 * time.Millisecond

// timeline carries out the plan from time 0 to its end.
func (p *play) timeline(ctx context.Context) error {
	if err := p.each(func(n *node) error { return n.baseline(ctx) }); err != nil {
		return err
	}
	p.time0 = time.Now()
	close(p.zero)
	p.running.Go(func() { p.sampling(ctx) })

	for rest := p.plan.Actions; len(rest) > 0; {
		group := moment(rest)
		first := len(p.plan.Actions) - len(rest)
		rest = rest[len(group):]
		at := p.time0.Add(group[0].At)
		if err := sleepUntil(ctx, at.Add(-prepare)); err != nil {
			return err
		}
		p.prepare(ctx, group)
		if err := sleepUntil(ctx, at); err != nil {
			return err
		}
		if err := p.act(ctx, first, group); err != nil {
			return err
		}
	}
	return sleepUntil(ctx, p.time0.Add(p.plan.End))
}

// moment returns the actions at the beginning that happen at the same time.
func moment(actions []scenario.Action) []scenario.Action {
	n := 1
	for n < len(actions) && actions[n].At == actions[0].At {
		n++
	}
	return actions[:n]
}

// prepare asks nodes that are about to stop or freeze for their news, in the
// background.
func (p *play) prepare(ctx context.Context, group []scenario.Action) {
	ask := func(node int) {
		n := p.nodes[node]
		p.running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			// What it no longer tells is little: that of a quarter of a second.
			_ = n.readJournal(ctx)
			_ = n.sample(ctx)
		})
	}
	for _, a := range group {
		switch {
		case a.Verb == scenario.Kill || a.Verb == scenario.Leave:
			ask(a.Node)
		case a.Verb == scenario.On && a.Fault.Kind == scenario.PauseFault:
			for _, node := range a.Fault.Nodes {
				ask(node)
			}
		}
	}
}

// act carries out the actions of one moment; first is the index of the first.
// Processes are seen to in the background, each node's one after another, so
// that one that is slow to start or leave holds nothing up.
func (p *play) act(ctx context.Context, first int, group []scenario.Action) error {
	network := false
	for i, a := range group {
		leaves := a.Verb == scenario.Leave && !p.truth.Frozen(a.Node)
		p.truth.Apply(a)
		p.effect(first+i, time.Now())
		switch a.Verb {
		case scenario.Kill:
			p.nodes[a.Node].kill(ctx, first+i)
		case scenario.Leave:
			if leaves {
				p.nodes[a.Node].leave(ctx, first+i)
			} else {
				p.nodes[a.Node].kill(ctx, first+i)
			}
		case scenario.Start:
			p.nodes[a.Node].start(ctx, first+i)
		}
		if stops := a.Verb != scenario.On && a.Verb != scenario.Off; stops || a.Fault.Kind != scenario.PauseFault {
			network = true // a stall ends with the process that it holds
		}
	}
	for i, a := range group {
		if a.Fault == nil || a.Fault.Kind != scenario.PauseFault {
			continue
		}
		for _, node := range a.Fault.Nodes {
			p.nodes[node].hold(ctx, first+i, p.truth.Frozen(node))
		}
	}
	if !network {
		return nil
	}
	at, err := p.faults.apply(ctx, p.truth, p.time0.Add(p.plan.End+baseGrace), p.faultsEnd(first+len(group)))
	if err != nil {
		return fmt.Errorf("at %v: %w", group[0].At, err)
	}
	for i, a := range group {
		if a.Fault == nil || a.Fault.Kind == scenario.PauseFault {
			continue
		}
		if late := at.Sub(p.time0.Add(a.At)); a.Verb == scenario.Off && late > faultGrace {
			return fmt.Errorf("at %v: the end of a fault took %v, and the kernel had ended it before: nobody knows when; let fewer things run on this machine", a.At, late.Round(time.Millisecond))
		}
		p.effect(first+i, at)
	}
	return nil
}

// faultsEnd is when all faults that are on before the given action end by
// themselves at the latest.
func (p *play) faultsEnd(next int) time.Time {
	end := time.Duration(0)
	if next > 0 {
		end = p.plan.Actions[next-1].At
	}
	on := map[*scenario.Fault]bool{}
	for _, a := range p.plan.Actions[:next] {
		if a.Fault != nil && a.Fault.Kind != scenario.PauseFault {
			on[a.Fault] = a.Verb == scenario.On
		}
	}
	for _, a := range p.plan.Actions[next:] {
		if a.Verb == scenario.Off && on[a.Fault] {
			on[a.Fault] = false
			end = max(end, a.At)
		}
	}
	for _, still := range on {
		if still {
			end = max(end, p.plan.End)
		}
	}
	return p.time0.Add(end + faultGrace)
}

// effect notes that an action has taken effect, at the given nodes at least.
func (p *play) effect(action int, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.After(p.effects[action]) {
		p.effects[action] = at
	}
}

// journalEvery is how often a node's journal is read: it holds the newest 64
// entries about a member.
const journalEvery = 10

// sampling reads every node's load once a second, and its journal now and then.
func (p *play) sampling(ctx context.Context) {
	for second := 1; ; second++ {
		at := time.Duration(second) * time.Second
		if since := time.Since(p.time0); since > at {
			second = int(since/time.Second) + 1
			at = time.Duration(second) * time.Second
		}
		if at >= p.plan.End || sleepUntil(ctx, p.time0.Add(at)) != nil {
			return
		}
		if p.passed != nil {
			p.passed(at)
		}
		_ = p.each(func(n *node) error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			// What a node does not tell now it tells with the next sample.
			_ = n.sample(ctx)
			if (second+n.index)%journalEvery == 0 {
				_ = n.readJournal(ctx)
			}
			return nil
		})
	}
}
