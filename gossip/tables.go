package gossip

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// roster mirrors which names the engine may hold in its table, so that the
// table can be bounded: memberlist itself takes every alive message.
type roster struct {
	limit int
	keep  time.Duration // how long the engine may still hold a member that is gone

	mu     sync.Mutex
	names  map[string]time.Time // guarded by mu; zero: held, else when it was given up
	denied uint64               // guarded by mu
}

func newRoster(limit int, keep time.Duration) *roster {
	return &roster{limit: limit, keep: keep, names: make(map[string]time.Time)}
}

// admit says whether the engine may take in a member of that name.
func (r *roster) admit(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.names[name]; known || len(r.names) < r.limit {
		return true
	}
	for n, gone := range r.names {
		if !gone.IsZero() && time.Since(gone) > r.keep {
			delete(r.names, n)
		}
	}
	if len(r.names) < r.limit {
		return true
	}
	r.denied++
	return false
}

func (r *roster) joined(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[name] = time.Time{}
}

func (r *roster) gone(name string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[name] = at
}

func (r *roster) has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.names[name]
	return known
}

func (r *roster) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.names)
}

func (r *roster) refused() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.denied
}

// rttTable holds the last round-trip time to each member.
type rttTable struct {
	mu   sync.Mutex
	last map[string]time.Duration // guarded by mu; only members that the engine holds
}

func newRTTTable() *rttTable { return &rttTable{last: make(map[string]time.Duration)} }

func (t *rttTable) set(name string, rtt time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last[name] = rtt
}

func (t *rttTable) get(name string) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rtt, ok := t.last[name]
	return rtt, ok
}

func (t *rttTable) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.last, name)
}

const (
	maxUserQueue = 1024 // messages that wait to be gossiped; the oldest are dropped beyond
	maxSeenIDs   = 4096 // messages remembered so that each is relayed once
)

// userQueue holds our own messages that wait to be gossiped. Each node relays
// a message once, when it sees it first.
type userQueue struct {
	queue   memberlist.TransmitLimitedQueue
	refused atomic.Uint64 // messages that could not be read

	mu   sync.Mutex
	seen map[uint64]struct{} // guarded by mu
	ring []uint64            // guarded by mu; the IDs in seen, a ring once full
	next int                 // guarded by mu
}

func newUserQueue(retransmitMult int, nodes func() int) *userQueue {
	return &userQueue{
		queue: memberlist.TransmitLimitedQueue{NumNodes: nodes, RetransmitMult: retransmitMult},
		seen:  make(map[uint64]struct{}),
	}
}

// relay queues the message unless one with that ID went this way before, and
// says whether it was new. The bytes are copied.
func (q *userQueue) relay(id uint64, b []byte) bool {
	if !q.firstTime(id) {
		return false
	}
	q.queue.QueueBroadcast(userMessage(append([]byte(nil), b...)))
	if q.queue.NumQueued() > maxUserQueue {
		q.queue.Prune(maxUserQueue)
	}
	return true
}

func (q *userQueue) firstTime(id uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, again := q.seen[id]; again {
		return false
	}
	q.seen[id] = struct{}{}
	if len(q.ring) < maxSeenIDs {
		q.ring = append(q.ring, id)
		return true
	}
	delete(q.seen, q.ring[q.next])
	q.ring[q.next] = id
	q.next = (q.next + 1) % maxSeenIDs
	return true
}

func (q *userQueue) pending() int { return q.queue.NumQueued() }

// userMessage is a broadcast that neither replaces another nor is replaced.
type userMessage []byte

var _ memberlist.UniqueBroadcast = userMessage(nil)

func (userMessage) Invalidates(memberlist.Broadcast) bool { return false }
func (m userMessage) Message() []byte                     { return m }
func (userMessage) Finished()                             {}
func (userMessage) UniqueBroadcast()                      {}
