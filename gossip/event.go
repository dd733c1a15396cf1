package gossip

import (
	"context"
	"sync"
	"time"

	"heartbeat/membership"
)

// Event is one entry of the node's event log: a change of its view, or the
// notice that a watcher has lost some.
type Event struct {
	// ID counts the events of this node since its start, from 1 and without
	// gaps. It is not comparable between two nodes or two runs of one node
	// (see Node.Epoch).
	ID uint64
	// Lost is not zero in a notice only: the watcher was too slow and this
	// many events before ID were dropped for it. Change is then empty.
	Lost uint64
	// Change is what happened. Its Member is a copy.
	Change membership.Change
}

// eventLog is a ring of the newest events that all watchers share. A watcher
// is only a cursor into it, so a slow or forgotten one costs the node nothing
// and can never block it.
type eventLog struct {
	mu     sync.Mutex
	size   int           // most events held
	ring   []Event       // guarded by mu; grows to size, then ring[(id-1) % size] holds event id
	next   uint64        // guarded by mu; ID of the next event, starts at 1
	wake   chan struct{} // guarded by mu; closed and replaced at each append; nil while nobody waits
	closed bool          // guarded by mu
}

func newEventLog(size int) *eventLog {
	return &eventLog{size: size, next: 1}
}

// append gives the change the next ID and wakes the watchers.
func (l *eventLog) append(c membership.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ev := Event{ID: l.next, Change: c}
	if len(l.ring) < l.size {
		l.ring = append(l.ring, ev)
	} else {
		l.ring[l.slot(l.next)] = ev
	}
	l.next++
	l.wakeLocked()
}

func (l *eventLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wakeLocked()
}

func (l *eventLog) wakeLocked() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

func (l *eventLog) slot(id uint64) uint64 { return (id - 1) % uint64(l.size) }

// oldestLocked is the ID of the oldest event still held.
func (l *eventLog) oldestLocked() uint64 {
	return l.next - uint64(len(l.ring))
}

// Watcher reads a node's events in order. It is made by Node.Watch, needs no
// closing, and must be used by one goroutine at a time.
type Watcher struct {
	log    *eventLog
	cursor uint64 // ID of the next event to hand out
}

// Next returns the next event and waits for it when there is none yet. When
// the watcher has fallen behind the log's bound (Config.EventBuffer) it first
// gets one notice with Event.Lost set. Next fails with ctx's error, or with
// ErrClosed once the node is closed and all events were handed out.
func (w *Watcher) Next(ctx context.Context) (Event, error) {
	for {
		ev, wait, err := w.poll()
		if err != nil || wait == nil {
			return ev, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// poll returns an event, or a channel that is closed when it is worth to ask
// again.
func (w *Watcher) poll() (Event, <-chan struct{}, error) {
	l := w.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if oldest := l.oldestLocked(); w.cursor < oldest {
		lost := oldest - w.cursor
		w.cursor = oldest
		return Event{ID: oldest, Lost: lost}, nil, nil
	}
	if w.cursor < l.next {
		ev := l.ring[l.slot(w.cursor)]
		ev.Change.Member = ev.Change.Member.Clone()
		w.cursor++
		return ev, nil, nil
	}
	if l.closed {
		return Event{}, nil, ErrClosed
	}
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return Event{}, l.wake, nil
}

// watch returns a watcher that starts with event from; zero means the next
// one to happen. A number past the log's end means the next one, too.
func (l *eventLog) watch(from uint64) *Watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from == 0 || from > l.next {
		from = l.next
	}
	return &Watcher{log: l, cursor: from}
}

// KeyInfo tells about an installed key without showing it.
type KeyInfo struct {
	// ID is the key's fingerprint: the first 8 bytes of its SHA-256 in hex.
	ID string
	// Bits is 128, 192 or 256.
	Bits int
	// Primary marks the key that outgoing messages are encrypted with.
	Primary bool
}

// Info is a summary of a node at one moment.
type Info struct {
	Name      string
	Cluster   string
	Profile   string
	Detector  string // who decides that a member failed, one of Detectors
	Bind      string // the address the sockets listen on, with port
	Advertise string // the address the others use, with port
	Epoch     string // names this run of the node; see Node.Epoch
	Started   time.Time
	Condition membership.Condition
	// HealthScore is memberlist's awareness of its own health: 0 is best,
	// Config.AwarenessMax-1 worst (Lifeguard's local health multiplier).
	HealthScore int
	Members     map[membership.State]int
	Encrypted   bool
	Left        bool // the node has left its cluster and only waits for Close
	// PendingBroadcasts are messages of our own that wait to be gossiped.
	PendingBroadcasts int
	ViewVersion       uint64
	// Digest is that of the node's view, nil with sync.digest off. LastAgreed and LastDiffered are when a
	// peer told one that is the same, or another; zero when none has.
	Digest                   *membership.Digest
	LastAgreed, LastDiffered time.Time
}

// SeedError says why one seed could not be joined through.
type SeedError struct {
	Seed string // as given
	Addr string // the resolved address that was tried; empty when resolving failed
	Err  error
}

func (e *SeedError) Error() string {
	if e.Addr == "" || e.Addr == e.Seed {
		return "seed " + e.Seed + ": " + e.Err.Error()
	}
	return "seed " + e.Seed + " (" + e.Addr + "): " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *SeedError) Unwrap() error { return e.Err }

// JoinResult says what became of each seed.
type JoinResult struct {
	Joined []string     // addresses that answered, in the order of the answers
	Failed []*SeedError // one for each seed or address that did not; those still being tried are in neither
}

// last is the ID of the newest event, 0 when there is none.
func (l *eventLog) last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1
}
