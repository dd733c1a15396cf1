package virtual

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"heartbeat/gossip"
	"heartbeat/membership"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/fabric"
	"heartbeat/simulator/scenario"
)

// leaveTimeout is how long a leaving node may take to tell the others.
const leaveTimeout = 10 * time.Second

// node is one node of the plan through all its lives.
type node struct {
	play    *play
	index   int
	sampled engine.Load // the traffic up to the last sample; the timeline's own
	noted   time.Time   // up to when the journal was read; the timeline's own

	mu       sync.Mutex
	gossip   *gossip.Node     // guarded by mu; nil while it is stopped
	endpoint *fabric.Endpoint // guarded by mu; the newest one
	killed   *atomic.Bool     // guarded by mu; whether the newest life was ended by a kill
	ended    engine.Load      // guarded by mu; the traffic of earlier lives
	cancel   context.CancelFunc
}

func (n *node) name() string { return n.play.plan.Nodes[n.index] }

func address(index int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(index >> 16), byte(index >> 8), byte(index)}), gossip.DefaultPort)
}

// start gives the node a new life and lets it join in the background.
func (n *node) start(ctx context.Context) error {
	n.mu.Lock()
	if n.endpoint != nil {
		n.endpoint.Kill() // it may still be saying goodbye
	}
	n.mu.Unlock()
	endpoint, err := n.play.net.Listen(n.index, address(n.index))
	if err != nil {
		return fmt.Errorf("start %s: %w", n.name(), err)
	}
	cfg := n.play.template
	cfg.Name = n.name()
	cfg.Transport = endpoint
	cfg.Engine = fabric.OnFailedProbe(n.probeFailed)
	g, err := gossip.Start(ctx, cfg)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.name(), err)
	}
	joining, cancel := context.WithCancel(ctx)
	n.mu.Lock()
	if n.endpoint != nil {
		n.ended = plus(n.ended, n.endpoint.Stats())
	}
	n.gossip, n.endpoint, n.killed, n.cancel = g, endpoint, new(atomic.Bool), cancel
	n.mu.Unlock()
	if seeds := n.seeds(); len(seeds) > 0 {
		n.play.running.Go(func() {
			_, _ = g.JoinUntil(joining, seeds, func(int, time.Duration, error) {
				n.play.recMu.Lock()
				n.play.failed++
				n.play.recMu.Unlock()
			})
		})
	}
	return nil
}

// probeFailed reports a probe of this node that stayed unanswered.
func (n *node) probeFailed(subject string) {
	g := n.current()
	if g == nil {
		return // it was killed meanwhile
	}
	m, _ := g.View().Member(subject)
	n.play.record(func(rec engine.Recorder, at time.Duration) { rec.Accused(at, n.index, subject, m.Incarnation) })
}

// seeds are the addresses that the node joins through: the plan's seed nodes
// but itself; a lone seed that comes back asks all others.
func (n *node) seeds() []string {
	var seeds []string
	for i := range n.play.plan.SeedNodes {
		if i != n.index {
			seeds = append(seeds, address(i).String())
		}
	}
	if len(seeds) > 0 || n.first() {
		return seeds
	}
	for i := range n.play.nodes {
		if i != n.index {
			seeds = append(seeds, address(i).String())
		}
	}
	return seeds
}

// first says whether the cluster is still coming together.
func (n *node) first() bool {
	n.play.recMu.Lock()
	defer n.play.recMu.Unlock()
	return n.play.zero.IsZero()
}

func (n *node) current() *gossip.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gossip
}

func (n *node) alive() int {
	g := n.current()
	if g == nil {
		return 0
	}
	return g.View().Count(membership.Alive)
}

func (n *node) seesAll(size int) bool { return n.alive() == size }

// watch reports the node's events, from the given one on, until its life ends. What
// a killed one still sees while its goroutines end, no process would have seen.
func (n *node) watch(from uint64) {
	n.mu.Lock()
	g, killed := n.gossip, n.killed
	n.mu.Unlock()
	w := g.Watch(from)
	n.play.running.Go(func() {
		for {
			ev, err := w.Next(context.Background()) // ends when the node is closed
			if err != nil {
				return
			}
			if killed.Load() {
				return
			}
			n.play.record(func(rec engine.Recorder, at time.Duration) { rec.Observed(at, n.index, ev.Change) })
		}
	})
}

// notes tells what the node has written into its journal since it was read last.
// What it writes at this very moment is told the next time.
func (n *node) notes() {
	now, from := time.Now(), n.noted
	n.noted = now
	g := n.current()
	if g == nil {
		return
	}
	for _, e := range g.Journal("") {
		if engine.NotedKind(e.Kind) && !e.At.Before(from) && e.At.Before(now) {
			n.play.recordAt(e.At, func(rec engine.Recorder, at time.Duration) { rec.Noted(at, n.index, e) })
		}
	}
}

// take ends the node's life for the others to see and returns what has to be
// closed, or nil when it is stopped already.
func (n *node) take() (*gossip.Node, *fabric.Endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	g := n.gossip
	n.gossip = nil
	if g != nil {
		n.cancel()
	}
	return g, n.endpoint
}

// kill stops the node as SIGKILL does.
func (n *node) kill() {
	g, endpoint := n.take()
	if g == nil {
		return
	}
	n.mu.Lock()
	n.killed.Store(true)
	n.mu.Unlock()
	endpoint.Kill()
	n.play.running.Go(func() { _ = g.Close() })
}

// leave lets the node say goodbye, then stops it.
func (n *node) leave() {
	g, endpoint := n.take()
	if g == nil {
		return
	}
	n.play.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
		defer cancel()
		_ = g.Leave(ctx) // when nobody hears it the oracle sees the consequence
		endpoint.Kill()
		_ = g.Close()
	})
}

// hold freezes, thaws or slows the node's I/O.
func (n *node) hold(frozen bool, late scenario.DurationRange) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gossip == nil {
		return
	}
	if frozen {
		n.endpoint.Freeze()
	} else {
		n.endpoint.Thaw()
	}
	n.endpoint.Stall(late.Min, late.Max)
}

func (n *node) load() engine.Load {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.endpoint == nil {
		return n.ended
	}
	return plus(n.ended, n.endpoint.Stats())
}

// plus adds an endpoint's counters.
func plus(l engine.Load, s fabric.Stats) engine.Load {
	return l.Plus(engine.Load{
		PacketsOut: s.PacketsOut, PacketsIn: s.PacketsIn,
		UDPBytesOut: s.UDPBytesOut, UDPBytesIn: s.UDPBytesIn,
		TCPBytesOut: s.TCPBytesOut, TCPBytesIn: s.TCPBytesIn,
		SegmentsOut: s.SegmentsOut, SegmentsIn: s.SegmentsIn,
	})
}
