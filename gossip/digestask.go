package gossip

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// PeerDigest is what a member that this node holds said of its own view last.
type PeerDigest struct {
	Name string
	// At is when it answered last, Asked whether that was asked for just now. The zero At: it has not answered yet.
	At    time.Time
	Asked bool
	// Silent: it was asked just now and did not answer.
	Silent bool
	// Told: its answer held a digest. Plain memberlist has none, nor a node with sync.digest off.
	Told   bool
	Digest membership.Digest
}

// Bounds of asking: a node of a thousand members sends a few hundred pings, spread out.
const (
	maxAsked   = 512  // members asked at a time; of more, a random sample
	askers     = 64   // pings under way: should nobody answer, with the WAN's timeout it still ends within a minute, when the API gives up
	askPings   = 2    // pings of one member, should the first be lost
	maxInquiry = 4    // calls of AskDigests at a time; further ones wait
	maxPings   = 4096 // pings of which it is remembered whom they were sent to; those of an ask are far fewer
)

// inquiry is what AskDigests needs: the pings under way by their number, and what members said last.
type inquiry struct {
	active atomic.Int32  // calls under way; while 0 the tap looks for no digests
	slots  chan struct{} // bounds the calls

	mu    sync.Mutex
	pings map[uint32]string     // guarded by mu: whom a ping was sent to; at most 2*maxPings
	heard map[string]PeerDigest // guarded by mu: by name; no more than members.max
}

func newInquiry() inquiry {
	return inquiry{slots: make(chan struct{}, maxInquiry), pings: make(map[uint32]string), heard: make(map[string]PeerDigest)}
}

// note takes what a member said.
func (q *inquiry) note(name string, payload wire.Digest, told bool, limit int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.heard[name]; known || len(q.heard) < limit {
		q.heard[name] = PeerDigest{Name: name, At: time.Now(), Told: told,
			Digest: membership.Digest{Sum: payload.Sum, Held: int(payload.Held)}}
	}
}

func (q *inquiry) forget(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.heard, name)
}

// sent takes a ping on its way to a member while somebody asks.
func (q *inquiry) sent(seqNo uint32, name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.pings) >= 2*maxPings { // somebody has been asking for long, and these were never answered
		maps.DeleteFunc(q.pings, func(old uint32, _ string) bool { return seqNo-old > maxPings })
	}
	q.pings[seqNo] = name
}

// acked takes an ack that came in while somebody asks.
func (q *inquiry) acked(s wire.Seen, limit int) {
	if q.active.Load() == 0 {
		return
	}
	q.mu.Lock()
	name, ours := q.pings[s.SeqNo]
	delete(q.pings, s.SeqNo)
	q.mu.Unlock()
	if ours {
		q.note(name, s.Digest, s.Told, limit)
	}
}

// AskDigests returns what the other members that this node holds, alive or suspect, say of their views, and this node's own digest
// of the same moment. It pings all of them, or 512 at random of more; what others said last stands with its time. It fails with
// ErrNoDigest when sync.digest is off, and when ctx ends or the node is closed.
func (n *Node) AskDigests(ctx context.Context) (own membership.Digest, peers []PeerDigest, err error) {
	d := &n.digests
	if d.node == nil {
		return own, nil, ErrNoDigest
	}
	if err := n.begin(); err != nil {
		return own, nil, err
	}
	defer n.ops.Done()
	select {
	case d.inquiry.slots <- struct{}{}:
		defer func() { <-d.inquiry.slots }()
	case <-ctx.Done():
		return own, nil, context.Cause(ctx)
	case <-n.ctx.Done():
		return own, nil, ErrClosed
	}
	n.beginInquiry()
	defer n.endInquiry()

	var targets []membership.Member
	for m := range n.View().All() {
		if !m.Local && (m.State == membership.Alive || m.State == membership.Suspect) {
			targets = append(targets, m)
		}
	}
	rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	began := time.Now()
	asked := targets[:min(len(targets), maxAsked)]
	n.askAll(ctx, asked)
	switch {
	case n.ctx.Err() != nil: // not all were asked, and Close has ended the pings of the others
		return own, nil, ErrClosed
	case ctx.Err() != nil:
		return own, nil, context.Cause(ctx)
	}
	return d.own.Load().Digest, d.inquiry.answers(targets, len(asked), began), nil
}

// beginInquiry has the tap look for digests until endInquiry.
func (n *Node) beginInquiry() {
	q := &n.digests.inquiry
	q.mu.Lock()
	defer q.mu.Unlock()
	q.active.Add(1)
	n.tap.peeker.ReadDigests(true)
}

// endInquiry forgets the pings when nobody else asks.
func (n *Node) endInquiry() {
	q := &n.digests.inquiry
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.active.Add(-1) == 0 {
		n.tap.peeker.ReadDigests(false)
		clear(q.pings)
	}
}

// askAll pings the members, some at a time, and returns when all have answered or had the time to.
func (n *Node) askAll(ctx context.Context, members []membership.Member) {
	var all sync.WaitGroup
	slots := make(chan struct{}, askers)
	for _, m := range members {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		all.Add(1)
		if ctx.Err() != nil || !n.tryLook(func() {
			defer all.Done()
			defer func() { <-slots }()
			for range askPings {
				if _, err := n.engine.Ping(m.Name, net.UDPAddrFromAddrPort(m.Addr)); err == nil || ctx.Err() != nil || n.ctx.Err() != nil {
					return
				}
			}
		}) {
			all.Done()
			break
		}
	}
	all.Wait()
}

// askAnother asks another peer for its digest, after a while, if the policy still wants that.
func (d *digests) askAnother() {
	if !d.node.sleep(d.policy.cfg.second) {
		return
	}
	own := d.own.Load().Digest
	d.mu.Lock()
	differing, doubt := d.policy.inDoubt(time.Now(), own)
	d.mu.Unlock()
	if !doubt || d.node.left.Load() {
		return
	}
	peer, ok := d.anyBut(differing)
	if !ok {
		return
	}
	d.node.beginInquiry()
	defer d.node.endInquiry()
	began := time.Now()
	if _, err := d.node.engine.Ping(peer.Name, net.UDPAddrFromAddrPort(peer.Addr)); err != nil {
		return // lost; the next probe may bring a digest
	}
	if said := d.inquiry.last(peer.Name); said.Told && !said.At.Before(began) {
		d.judge(peer.Name, peer.Addr, said.Digest)
	}
}

// last returns what a member said last.
func (q *inquiry) last(name string) PeerDigest {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.heard[name]
}

// tryLook starts f among the looks, which Close ends and awaits; false when none may begin any more.
func (n *Node) tryLook(f func()) bool {
	n.opsMu.RLock()
	defer n.opsMu.RUnlock()
	if n.ctx.Err() != nil {
		return false
	}
	n.looks.Go(f)
	return true
}

// answers puts together what the members said, by name. The first of them were asked at began.
func (q *inquiry) answers(members []membership.Member, asked int, began time.Time) []PeerDigest {
	q.mu.Lock()
	defer q.mu.Unlock()
	peers := make([]PeerDigest, len(members))
	for i, m := range members {
		p := q.heard[m.Name]
		p.Name, p.Asked = m.Name, i < asked
		p.Silent = p.Asked && p.At.Before(began)
		peers[i] = p
	}
	slices.SortFunc(peers, func(a, b PeerDigest) int { return strings.Compare(a.Name, b.Name) })
	return peers
}

// gone forgets what a member said that the engine has given up.
func (d *digests) gone(m *memberlist.Node) {
	if d.node != nil {
		d.inquiry.forget(m.Name)
	}
}
