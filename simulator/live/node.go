package live

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"heartbeat/gossip/httpapi"
)

// node is one node of the plan through all its lives.
type node struct {
	play  *play
	index int
	queue chan struct{} // the timeline's own: closed when what was told last is done

	mu    sync.Mutex
	lives []*life // guarded by mu; the last one may run

	meter
}

func newNode(p *play, index int) *node {
	done := make(chan struct{})
	close(done)
	return &node{play: p, index: index, queue: done}
}

func (n *node) name() string { return n.play.plan.Nodes[n.index] }

func (n *node) api() *httpapi.Client { return n.play.cluster.API(n.index) }

// current is the life that runs, or nil.
func (n *node) current() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.lives) == 0 {
		return nil
	}
	if l := n.lives[len(n.lives)-1]; !l.isTold() {
		return l
	}
	return nil
}

// maxSeeds is how many seeds an agent takes.
const maxSeeds = 64

// seeds are the nodes that it joins through: the plan's seed nodes but itself;
// a lone seed that comes back asks others.
func (n *node) seeds(first bool) []int {
	var seeds []int
	for i := range min(n.play.plan.SeedNodes, maxSeeds) {
		if i != n.index {
			seeds = append(seeds, i)
		}
	}
	if len(seeds) > 0 || first {
		return seeds
	}
	for i := 0; i < len(n.play.nodes) && len(seeds) < maxSeeds; i++ {
		if i != n.index {
			seeds = append(seeds, i)
		}
	}
	return seeds
}

// firstLife stands for the action that starts a node before time 0.
const firstLife = -1

// begin gives the node a new life, because of an action.
func (n *node) begin(ctx context.Context, action int) error {
	from, err := n.play.cluster.Start(ctx, n.index, n.seeds(action == firstLife))
	if err != nil {
		return fmt.Errorf("start %s: %w", n.name(), err)
	}
	info, err := n.api().Info(ctx)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.name(), err)
	}
	l := &life{node: n, epoch: info.Epoch, action: action, from: from, over: make(chan struct{})}
	n.mu.Lock()
	l.number = len(n.lives)
	n.lives = append(n.lives, l)
	n.mu.Unlock()
	n.play.running.Go(func() { l.follow(ctx) })
	if action != firstLife {
		n.play.effect(action, from)
	}
	return nil
}

// alive is how many members the node lists as alive.
func (n *node) alive(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	info, err := n.api().Info(ctx)
	if err != nil {
		return 0, err
	}
	return info.Members.Alive, nil
}

// then does something in the background once what was told before is done. An
// error ends the run. It is called by the timeline only.
func (n *node) then(ctx context.Context, do func() error) {
	before, done := n.queue, make(chan struct{})
	n.queue = done
	n.play.running.Go(func() {
		defer close(done)
		select {
		case <-before:
		case <-ctx.Done():
			return
		}
		if err := do(); err != nil {
			n.play.fail(err)
		}
	})
}

// idle waits until all that the node was told is done.
func (n *node) idle(ctx context.Context) error {
	select {
	case <-n.queue:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (n *node) start(ctx context.Context, action int) {
	n.then(ctx, func() error { return n.begin(ctx, action) })
}

func (n *node) kill(ctx context.Context, action int) {
	n.then(ctx, func() error {
		l := n.current()
		if l == nil {
			return nil // it has ended by itself, and that ends the run
		}
		l.tell()
		at, err := n.play.cluster.Kill(ctx, n.index)
		if err != nil {
			return fmt.Errorf("kill %s: %w", n.name(), err)
		}
		l.end(at)
		n.play.effect(action, at)
		return nil
	})
}

// leavePatience is how long a leaving node may take to tell the others, and
// how long it may then take to end.
const leavePatience = 10 * time.Second

func (n *node) leave(ctx context.Context, action int) {
	n.then(ctx, func() error {
		l := n.current()
		if l == nil {
			return nil
		}
		l.tell()
		n.play.effect(action, time.Now())
		saying, cancel := context.WithTimeout(ctx, leavePatience)
		defer cancel()
		// When nobody hears it the oracle sees the consequence.
		_ = n.api().Leave(saying)
		ending, cancel := context.WithTimeout(ctx, leavePatience)
		defer cancel()
		_, err := n.play.cluster.Ended(ending, n.index)
		if errors.Is(err, context.DeadlineExceeded) {
			_, err = n.play.cluster.Kill(ctx, n.index)
		}
		if err != nil {
			return fmt.Errorf("%s was told to leave: %w", n.name(), err)
		}
		return nil
	})
}

// hold freezes the node or lets it go on.
func (n *node) hold(ctx context.Context, action int, frozen bool) {
	n.then(ctx, func() error {
		l := n.current()
		if l == nil || l.isFrozen() == frozen {
			return nil
		}
		what, do := "thaw", n.play.cluster.Thaw
		if frozen {
			what, do = "freeze", n.play.cluster.Freeze
			l.freeze(true) // before it stops answering
		}
		at, err := do(ctx, n.index)
		if err != nil {
			return fmt.Errorf("%s %s: %w", what, n.name(), err)
		}
		l.freeze(frozen)
		n.play.effect(action, at)
		return nil
	})
}
