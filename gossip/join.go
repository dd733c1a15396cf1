package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// maxDials bounds the seeds that are tried at the same time.
const maxDials = 16

// Join makes this node a member of the cluster that the seeds belong to. All
// are resolved and tried in parallel; one answer is enough. A seed that is this
// node itself is passed over, and when there is no other the node is the first
// of its cluster, which is no error. When none answered, the error joins one
// *SeedError each. Canceling ctx returns early; exchanges under way then end on
// their own within StreamTimeout.
//
// After a success the seeds are remembered, but for those that can never be one: the node returns to them when
// members are failed (see Config.HealInterval). A seed that has too much to do is asked again, quietly.
func (n *Node) Join(ctx context.Context, seeds []string) (JoinResult, error) {
	if err := n.begin(); err != nil {
		return JoinResult{}, err
	}
	defer n.ops.Done()
	if len(seeds) == 0 {
		return JoinResult{}, errors.New("no seed is given to join through")
	}
	targets, result, self := n.resolveSeeds(ctx, seeds)
	for _, r := range n.tryTargets(ctx, targets) {
		if r.Err == nil {
			result.Joined = append(result.Joined, r.Addr)
		} else {
			result.Failed = append(result.Failed, r)
		}
	}
	if err := ctx.Err(); err != nil && len(result.Joined) == 0 {
		return result, fmt.Errorf("joining was given up: %w", context.Cause(ctx))
	}
	if len(result.Joined) > 0 || self && len(result.Failed) == 0 {
		n.addSeeds(seeds)
		return result, nil
	}
	errs := make([]error, len(result.Failed))
	for i, f := range result.Failed {
		errs[i] = f
	}
	return result, errors.Join(errs...)
}

// resolveSeeds turns seeds into addresses, each once, without this node's own.
// It says whether a seed was this node.
func (n *Node) resolveSeeds(ctx context.Context, seeds []string) (targets []*SeedError, result JoinResult, self bool) {
	type answer struct {
		addrs []netip.AddrPort
		err   error
	}
	answers := make([]answer, len(seeds))
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxDials)
	for i, seed := range seeds {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i].addrs, answers[i].err = n.resolve(ctx, seed)
		})
	}
	wg.Wait()
	seen := make(map[netip.AddrPort]bool)
	for i, a := range answers {
		if a.err != nil {
			result.Failed = append(result.Failed, &SeedError{Seed: seeds[i], Err: a.err})
		}
		for _, addr := range a.addrs {
			switch {
			case seen[addr]:
			case n.isSelf(addr):
				self = true
			default:
				targets = append(targets, &SeedError{Seed: seeds[i], Addr: addr.String()})
			}
			seen[addr] = true
		}
	}
	return targets, result, self
}

// tryTargets exchanges state with all addresses and returns the outcomes that
// are known when all have answered, when ctx ends, or a probe's time after the
// first success: a dead seed must not hold up a node that has joined. Of one
// seed with many addresses no more are begun after one has answered: they are
// of one cluster, and each exchange costs the whole list.
func (n *Node) tryTargets(ctx context.Context, targets []*SeedError) []*SeedError {
	outcomes := make(chan *SeedError, len(targets))
	slots := make(chan struct{}, maxDials)
	var answered sync.Map // by seed
	for _, t := range targets {
		n.ops.Add(1) // the caller holds one already, so Close still waits
		go func() {
			defer n.ops.Done()
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
				if _, ok := answered.Load(t.Seed); ok {
					outcomes <- nil
					return
				}
				if t.Err = n.joinPatiently(ctx, t.Addr); t.Err == nil {
					answered.Store(t.Seed, true)
				}
			case <-ctx.Done():
				t.Err = context.Cause(ctx)
			}
			outcomes <- t
		}()
	}
	var known []*SeedError
	var enough <-chan time.Time
	for range targets {
		select {
		case t := <-outcomes:
			if t == nil {
				continue
			}
			known = append(known, t)
			if t.Err == nil && enough == nil {
				enough = time.After(n.cfg.ProbeTimeout)
			}
		case <-enough:
			return known
		case <-ctx.Done():
			return known
		}
	}
	return known
}

// A seed that many nodes join through at the same moment serves 128 of them and
// closes the streams of the others, or lets them wait for too long.
const (
	crowdedTries = 5
	crowdedWait  = 250 * time.Millisecond // before the second try; it doubles
)

// joinPatiently exchanges state with one address. When that seems to have too
// much to do, it is asked again after a while, four times at most, and nobody is
// told.
func (n *Node) joinPatiently(ctx context.Context, addr string) error {
	wait := crowdedWait
	for try := 1; ; try++ {
		_, err := n.engine.Join([]string{addr})
		if err == nil {
			return nil
		}
		if try == crowdedTries || !crowded(err) {
			return joinError(err)
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return joinError(err)
		case <-n.ctx.Done():
			return joinError(err)
		}
		wait *= 2
	}
}

// crowded says whether an exchange may have failed because the other side had
// too many: it accepted the stream and then closed it, or was too slow.
func crowded(err error) bool {
	text := err.Error()
	for _, sign := range []string{"EOF", "connection reset", "broken pipe"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return strings.Contains(text, "i/o timeout") && !strings.Contains(text, "dial ")
}

// joinError makes the engine's error readable and, where it can be told, typed.
func joinError(err error) error {
	text := err.Error()
	if i := strings.Index(text, ErrNameConflict.Error()); i >= 0 {
		return fmt.Errorf("%w%s", ErrNameConflict, strings.TrimRight(text[i+len(ErrNameConflict.Error()):], "\n "))
	}
	if words := explainJoin(err); words != "" {
		return errors.New(words)
	}
	return errors.New(strings.Join(strings.Fields(text), " "))
}

// Bounds of the wait between two attempts of JoinUntil.
const (
	minJoinWait     = 500 * time.Millisecond
	maxJoinWait     = 30 * time.Second
	maxConflictWait = 2 * time.Second
)

// JoinUntil calls Join again and again until a seed answered or ctx ends. The
// wait doubles from half a second up to half a minute, and each is drawn from
// [wait/2, wait], so that nodes started together do not ask together. After
// ErrNameConflict it is two seconds at most: a node that was started again at
// another address has to wait only until its old self is held failed. report,
// when not nil, is told of each failed attempt and of the wait that follows.
func (n *Node) JoinUntil(ctx context.Context, seeds []string, report func(attempt int, wait time.Duration, err error)) (JoinResult, error) {
	for attempt := 1; ; attempt++ {
		result, err := n.Join(ctx, seeds)
		if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrLeft) || ctx.Err() != nil {
			return result, err
		}
		wait := joinWait(attempt, err)
		pause := wait/2 + rand.N(wait/2)
		if report != nil {
			report(attempt, pause, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return result, fmt.Errorf("joining was given up after %d attempts: %w; the last error was: %w", attempt, context.Cause(ctx), err)
		case <-n.ctx.Done():
			return result, ErrClosed
		}
	}
}

// joinWait is the longest wait after that attempt, which failed with err.
func joinWait(attempt int, err error) time.Duration {
	limit := maxJoinWait
	if errors.Is(err, ErrNameConflict) {
		limit = maxConflictWait
	}
	return min(minJoinWait<<min(attempt-1, 16), limit)
}
