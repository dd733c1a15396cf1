package live

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"heartbeat/gossip/httpapi"
	"heartbeat/membership"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/scenario"
)

// collectPatience is how long nodes may take to tell what they have seen, once
// the run is over.
const collectPatience = 10 * time.Second

// collect reads what the nodes still have to tell.
func (p *play) collect(ctx context.Context) error {
	end := time.Now()
	p.clock.Step = (end.Round(0).Sub(p.began.Round(0)) - end.Sub(p.began)).Abs()
	if err := p.measureClocks(ctx); err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, collectPatience)
	defer cancel()
	return p.each(func(n *node) error {
		if err := n.idle(soon); err != nil && ctx.Err() != nil {
			return err
		}
		n.mu.Lock()
		lives := slices.Clone(n.lives)
		n.mu.Unlock()
		for _, l := range lives {
			if err := l.finish(soon); err != nil {
				return err
			}
		}
		return nil
	})
}

// finish waits until everything that the process has seen up to now was read.
// What a frozen one has seen, it has told before it was frozen.
func (l *life) finish(ctx context.Context) error {
	n := l.node
	if l.isTold() {
		select {
		case <-l.over:
		case <-ctx.Done(): // it is still leaving
		}
		return nil
	}
	if l.isFrozen() {
		return nil
	}
	m, err := n.metrics(ctx)
	for err == nil && l.newest() < m.events {
		err = sleepUntil(ctx, time.Now().Add(5*time.Millisecond))
	}
	if err == nil {
		err = n.sample(ctx)
	}
	if err == nil {
		err = n.readJournal(ctx)
	}
	if err != nil {
		return fmt.Errorf("read what %s saw last (event %d of %d): %w", n.name(), l.newest(), m.events, err)
	}
	return nil
}

// readJournal notes the node's own accusations, and what led to its verdicts. It does nothing when the node
// is stopped or frozen.
func (n *node) readJournal(ctx context.Context) error {
	l := n.current()
	if l == nil || l.isFrozen() {
		return nil
	}
	j, err := n.api().Journal(ctx, "")
	if err != nil || n.current() != l {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range j.Entries {
		if err := l.takeNote(e); err != nil {
			return err
		}
		if e.Kind != membership.EntryAccused.String() || e.By != n.name() || e.Member == n.name() {
			continue
		}
		if l.accused == nil {
			l.accused = map[accused]bool{}
		}
		if len(l.accused) >= maxTold {
			return fmt.Errorf("%s tells of more than %d accusations: that is no history of a run", n.name(), maxTold)
		}
		l.accused[accused{e.At.UnixNano(), e.Member, e.Incarnation}] = true
	}
	return nil
}

// takeNote takes an entry of a journal that recorders are told of. It is called
// with l.mu held.
func (l *life) takeNote(e httpapi.JournalEntry) error {
	var kind membership.EntryKind
	// A kind that this program does not know is none of these.
	if kind.UnmarshalText([]byte(e.Kind)) != nil || !engine.NotedKind(kind) {
		return nil
	}
	if l.noted == nil {
		l.noted = map[membership.Entry]bool{}
	}
	if len(l.noted) >= maxTold {
		return fmt.Errorf("%s tells of more than %d looks at suspects: that is no history of a run", l.node.name(), maxTold)
	}
	l.noted[membership.Entry{At: e.At.Round(0).UTC(), Subject: e.Member, Kind: kind, Incarnation: e.Incarnation, By: e.By, Note: e.Note}] = true
	return nil
}

// history puts together what happened.
func (p *play) history() *History {
	h := &History{Start: p.start}
	took := p.took()
	plan := *p.plan
	plan.Actions = slices.Clone(p.plan.Actions)
	for i := range plan.Actions {
		plan.Actions[i].At = took[i]
	}
	slices.SortStableFunc(plan.Actions, func(a, b scenario.Action) int { return cmp.Compare(a.At, b.At) })
	h.Plan, h.Clock = &plan, p.clock
	for _, n := range p.nodes {
		for _, l := range n.lives {
			l.history(h, p.time0, took)
		}
		n.metering.Lock()
		for _, s := range n.loads {
			if s.To > s.From {
				h.Loads = append(h.Loads, s)
			}
		}
		h.Usages = append(h.Usages, n.usages...)
		n.metering.Unlock()
	}
	slices.SortStableFunc(h.Observations, func(a, b Observation) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(h.Accusations, func(a, b Accusation) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(h.Notes, func(a, b Note) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Observer, b.Observer)) })
	slices.SortStableFunc(h.Loads, func(a, b Load) int { return cmp.Compare(a.To, b.To) })
	slices.SortStableFunc(h.Usages, func(a, b Usage) int { return cmp.Compare(a.At, b.At) })
	return h
}

// took returns when each action had taken effect, since time 0, and notes the
// longest lag. What concerns one node or one fault keeps its order; an action
// that took long holds up no other one.
func (p *play) took() []time.Duration {
	type thing struct {
		fault bool
		id    int
	}
	took := make([]time.Duration, len(p.plan.Actions))
	last := map[thing]time.Duration{}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range p.plan.Actions {
		at := max(p.effects[i].Sub(p.time0), a.At)
		p.clock.Lag = max(p.clock.Lag, at-a.At)
		concerned := []thing{{id: a.Node}}
		if a.Fault != nil {
			concerned = []thing{{fault: true, id: a.Fault.ID}}
			for _, node := range a.Fault.Nodes { // those that a pause or a stall holds
				concerned = append(concerned, thing{id: node})
			}
		}
		for _, c := range concerned {
			at = max(at, last[c])
		}
		took[i] = min(at, p.plan.End)
		for _, c := range concerned {
			last[c] = took[i]
		}
	}
	return took
}

// history adds what this life saw after time 0. Nothing of it lies before the
// action that began it or after its end: clocks of several hosts may say so.
func (l *life) history(h *History, zero time.Time, took []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var low time.Duration
	if l.action != firstLife {
		low = took[l.action]
	}
	place := func(at time.Time) (time.Duration, bool) {
		since := at.Round(0).Sub(zero.Round(0))
		if since < 0 && l.action == firstLife {
			return 0, false
		}
		if !l.ended.IsZero() {
			since = min(since, l.ended.Sub(zero))
		}
		return max(since, low), true
	}
	for key := range l.accused {
		if since, ok := place(time.Unix(0, key.at)); ok {
			h.Accusations = append(h.Accusations, Accusation{At: since, Observer: l.node.index, Subject: key.subject, Incarnation: key.incarnation})
		}
	}
	for e := range l.noted {
		if since, ok := place(e.At); ok {
			h.Notes = append(h.Notes, Note{At: since, Observer: l.node.index, Entry: e})
		}
	}
	for _, c := range l.changes {
		if since, ok := place(c.At); ok {
			low = since // a node's events keep their order
			h.Observations = append(h.Observations, Observation{At: since, Observer: l.node.index, Change: c})
		}
	}
}
