package gossip

import (
	"sync"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
)

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

// relay queues the message unless one with that ID went this way before. The
// bytes are copied.
func (q *userQueue) relay(id uint64, b []byte) {
	if !q.firstTime(id) {
		return
	}
	q.queue.QueueBroadcast(userMessage(append([]byte(nil), b...)))
	if q.queue.NumQueued() > maxUserQueue {
		q.queue.Prune(maxUserQueue)
	}
}

// knows says whether a message with that ID went this way before.
func (q *userQueue) knows(id uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, known := q.seen[id]
	return known
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
