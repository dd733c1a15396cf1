package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// begin opens an operation on the engine; the caller ends it with n.ops.Done.
// None begins once Close has.
func (n *Node) begin() error {
	n.opsMu.RLock()
	defer n.opsMu.RUnlock()
	if n.ctx.Err() != nil {
		return ErrClosed
	}
	if n.left.Load() {
		return ErrLeft
	}
	n.ops.Add(1)
	return nil
}

// defaultOpTimeout bounds an operation whose context has no deadline.
const defaultOpTimeout = 10 * time.Second

// timeoutOf returns how long the engine may take, for it knows no contexts.
func timeoutOf(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), time.Millisecond)
	}
	return defaultOpTimeout
}

// Leave tells the others that this node leaves, so that they hold it left and
// not failed, and waits until the news was handed on (at most until ctx's
// deadline, or 10 s). Afterwards the node still answers, but can only be
// closed. Leaving twice is no error.
func (n *Node) Leave(ctx context.Context) error {
	n.turn.Lock()
	defer n.turn.Unlock()
	if n.left.Load() {
		return nil
	}
	if err := n.begin(); err != nil {
		return err
	}
	defer n.ops.Done()
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(ctx))
	defer cancel()
	others := n.confidants()
	n.left.Store(true)
	// Gossip needs a few rounds; when it takes longer nobody is there to hear.
	err := n.engine.Leave(min(timeoutOf(ctx), 15*n.cfg.GossipInterval))
	if n.confide(ctx, others) || n.alone() {
		return nil
	}
	return fmt.Errorf("the leave may not have reached the others, who will then hold this node failed: %w", cmp.Or(err, errNobodyTold))
}

// alone says whether no other member is up, so that there is nobody to tell.
func (n *Node) alone() bool {
	for m := range n.View().All() {
		if !m.Local && (m.State == membership.Alive || m.State == membership.Suspect) {
			return false
		}
	}
	return true
}

var errNobodyTold = errors.New("no member took it over a stream")

// maxConfidants is how many members are told of a leave over a stream.
const maxConfidants = 2

// confidants picks live members at random.
func (n *Node) confidants() []string {
	var addrs []string
	for m := range n.View().All() {
		if m.State == membership.Alive && !m.Local {
			addrs = append(addrs, m.Addr.String())
		}
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return addrs[:min(len(addrs), maxConfidants)]
}

// confide exchanges state with the given members, so that they know of the
// leave even when the few packets that carry it are lost, and says whether one
// of them does. In a small cluster the engine sends as few as two, and members
// that have just failed get their share.
func (n *Node) confide(ctx context.Context, addrs []string) bool {
	targets := make([]*SeedError, len(addrs))
	for i, addr := range addrs {
		targets[i] = &SeedError{Seed: addr, Addr: addr}
	}
	return slices.ContainsFunc(n.tryTargets(ctx, targets), func(t *SeedError) bool { return t.Err == nil })
}

// UpdateTags sets and removes tags of this node and tells the others. It
// returns the tags as they are afterwards. When they would not fit nothing
// changes; when the news could not be handed on in time the tags have changed
// here, and the others learn them by the next exchange of state.
func (n *Node) UpdateTags(ctx context.Context, set map[string]string, remove []string) (map[string]string, error) {
	n.turn.Lock()
	defer n.turn.Unlock()
	if err := n.begin(); err != nil {
		return nil, err
	}
	defer n.ops.Done()
	tags := maps.Clone(n.tags.Load().tags)
	if tags == nil {
		tags = make(map[string]string)
	}
	for _, k := range remove {
		delete(tags, k)
	}
	maps.Copy(tags, set)
	meta, err := wire.EncodeMeta(tags, n.life)
	if err != nil {
		return nil, fmt.Errorf("the tags stay as they were: %w", err)
	}
	n.tags.Store(&localTags{tags: tags, meta: meta})
	if err := n.announce(timeoutOf(ctx) / 2); err != nil {
		return maps.Clone(tags), fmt.Errorf("the tags are set here but the others may learn them late: %w", err)
	}
	return maps.Clone(tags), nil
}

// announce lets the engine tell the others about this node anew, and waits for that, twice if need be: the engine says that it has told
// them without waiting for anybody to listen, and on a busy machine that may be before it listens itself.
func (n *Node) announce(timeout time.Duration) error {
	if n.engine.UpdateNode(timeout) == nil {
		return nil
	}
	return n.engine.UpdateNode(timeout)
}

// ForceLeave turns a failed member into one that has left, here and by gossip
// everywhere, so that nobody waits for it any more. With prune it is removed
// from the views altogether; that also goes for one that has left. It fails
// with ErrNoSuchMember, or with ErrNotFailed for a member that is alive,
// suspect or on probation: such a one runs.
func (n *Node) ForceLeave(ctx context.Context, name string, prune bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := n.begin(); err != nil {
		return err
	}
	defer n.ops.Done()
	m, ok := n.View().Member(name)
	switch {
	case !ok:
		return fmt.Errorf("%w: %q", ErrNoSuchMember, name)
	case m.Probation:
		return fmt.Errorf("%w, and %q has come back and is on probation", ErrNotFailed, name)
	case m.State == membership.Failed, m.State == membership.Left && prune:
	case m.State == membership.Left:
		return fmt.Errorf("%w, and %q has left already", ErrNotFailed, name)
	default:
		return fmt.Errorf("%w, and %q is %s", ErrNotFailed, name, m.State)
	}
	order := &wire.ForcedOut{
		Subject: name, Incarnation: m.Incarnation, Prune: prune, By: n.cfg.Name,
		ID: rand.Uint64(), At: time.Now().UnixMilli(),
	}
	buf, err := wire.Encode(order)
	if err != nil {
		return fmt.Errorf("cannot encode the order to force %q out; nothing has changed: %w", name, err)
	}
	n.inbox.put(membership.ForcedOut{Subject: name, Incarnation: m.Incarnation, Prune: prune, By: n.cfg.Name})
	n.user.relay(order.ID, buf)
	n.drain()
	return nil
}

// Close stops the node without telling the others, who will hold it failed
// unless Leave was called before. It ends all goroutines of the node and its
// engine, closes the sockets and lets watchers read what is left. Closing twice
// is no error.
func (n *Node) Close() error {
	var err error
	n.closed.Do(func() { err = n.shutdown() })
	return err
}

func (n *Node) shutdown() error {
	n.opsMu.Lock()
	n.cancel()
	n.opsMu.Unlock()
	n.turn.Lock()
	n.endLooks()
	err := n.engine.Shutdown()
	n.turn.Unlock()
	n.ops.Wait()
	n.tap.close()
	n.loop.Wait()
	n.inbox.close()
	n.drain()
	n.events.close()
	n.logging.Wait()
	if err != nil {
		return fmt.Errorf("closing the node: %w", err)
	}
	return nil
}
