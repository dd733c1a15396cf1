package transport

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// quietInterval is the least time between two lines for the same reason.
const quietInterval = time.Second

// quiet counts what it drops and logs at most one line a second for each reason, so that nobody can fill a disk from the network.
type quiet struct {
	log   zerolog.Logger
	drops *[NumDrops]atomic.Uint64
	mu    sync.Mutex
	last  [NumDrops]time.Time // guarded by mu
	held  [NumDrops]uint64    // guarded by mu: lines suppressed since last
}

// drop counts one event and returns the line to fill in and send, or nil when it is not yet time for one. Methods of a nil
// zerolog.Event do nothing.
func (q *quiet) drop(why Drop) *zerolog.Event {
	q.drops[why].Add(1)
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if !q.last[why].IsZero() && now.Sub(q.last[why]) < quietInterval {
		q.held[why]++
		return nil
	}
	e := q.log.Warn().Stringer("reason", why)
	if q.held[why] > 0 {
		e = e.Uint64("suppressed", q.held[why])
	}
	q.last[why], q.held[why] = now, 0
	return e
}
