package gossip

import (
	"sync"

	"heartbeat/membership"
)

// maxWaiting bounds the droppable inputs in an inbox. What the engine has
// decided is never dropped: it is bounded by the engine's own table.
const maxWaiting = 8192

// inbox queues what the engine's callbacks and the tap report. Putting never
// blocks, for callbacks run under the engine's lock.
type inbox struct {
	wake chan struct{} // holds a token while something waits

	mu      sync.Mutex
	closed  bool               // guarded by mu; what comes then is dropped
	waiting []membership.Input // guarded by mu
	spare   []membership.Input // guarded by mu; the last batch, to be filled again
	dropped uint64             // guarded by mu
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) put(in membership.Input) {
	b.mu.Lock()
	if !b.closed {
		b.waiting = append(b.waiting, in)
	}
	b.mu.Unlock()
	b.signal()
}

// close makes the inbox drop what comes from now on: the engine's timers
// outlive it.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
}

// offer is put for inputs that the network sends again anyway. It says whether
// there was room.
func (b *inbox) offer(in membership.Input) bool {
	b.mu.Lock()
	full := len(b.waiting) >= maxWaiting
	switch {
	case full:
		b.dropped++
	case !b.closed:
		b.waiting = append(b.waiting, in)
	}
	b.mu.Unlock()
	if !full {
		b.signal()
	}
	return !full
}

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// take returns everything that waits, in order.
func (b *inbox) take() []membership.Input {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.waiting
	b.waiting, b.spare = b.spare[:0], nil
	return batch
}

// recycle gives a drained batch back for reuse.
func (b *inbox) recycle(batch []membership.Input) {
	clear(batch)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spare = batch[:0]
}

func (b *inbox) droppedCount() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}
