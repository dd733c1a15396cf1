package live

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// maxStill is how long the engine's process may stand still: after more the
// kernel may have ended faults that it was to prolong or to end itself, and
// packets that it holds for a delay were late without a reason in the plan.
const maxStill = faultGrace

// pace notices that this process stood still: stopped, or starved of processor
// time. The agents do not stand still with it, so what they saw meanwhile is not
// what the plan says.
type pace struct {
	mu   sync.Mutex
	last time.Time // guarded by mu; the last beat, zero before the first
}

// beat notes a sign of life, and returns an error when the one before is too
// long ago.
func (b *pace) beat(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	still := now.Sub(b.last)
	if b.last.IsZero() || still <= maxStill {
		b.last = now
		return nil
	}
	return fmt.Errorf("the simulator itself stood still for %v, while the agents went on, so what they saw is worth nothing; let fewer things run on this machine, or choose the virtual engine",
		still.Round(time.Millisecond))
}

// keepPace beats until ctx ends, and ends the run when it was too late for one.
func (p *play) keepPace(ctx context.Context) {
	tick := time.NewTicker(maxStill / 10)
	defer tick.Stop()
	for {
		if err := p.pace.beat(time.Now()); err != nil {
			p.fail(err)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
