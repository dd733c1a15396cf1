package live

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"heartbeat/gossip/httpapi"
	"heartbeat/membership"
	"heartbeat/simulator/engine"
)

// life is one process of a node, from its start to its end, and what it has
// seen.
type life struct {
	node   *node
	number int // of the node's lives, from 0
	epoch  string
	action int           // that started it, or firstLife
	from   time.Time     // its start
	over   chan struct{} // closed when all that it told has been read

	mu      sync.Mutex
	told    bool                      // guarded by mu; it was told to end
	frozen  bool                      // guarded by mu
	ended   time.Time                 // guarded by mu; its end by a kill
	passed  uint64                    // guarded by mu; the newest event that was read
	changes []membership.Change       // guarded by mu
	accused map[accused]bool          // guarded by mu; a set, for a journal is read again and again
	noted   map[membership.Entry]bool // guarded by mu; so is this
}

// accused is an accusation as it stands in a journal.
type accused struct {
	at          int64 // in nanoseconds of the Unix epoch
	subject     string
	incarnation uint32
}

func (l *life) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = true
}

func (l *life) isTold() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

func (l *life) freeze(frozen bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = frozen
}

func (l *life) isFrozen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frozen
}

func (l *life) end(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = at
}

func (l *life) newest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.passed
}

func (l *life) position() string { return l.epoch + "-" + strconv.FormatUint(l.newest(), 10) }

// errHole says that the history of a node has a hole.
var errHole = errors.New("events were lost")

// retryStream is how long to wait before a broken stream is connected again.
const retryStream = 100 * time.Millisecond

// follow reads all events of this life, until it ends.
func (l *life) follow(ctx context.Context) {
	defer close(l.over)
	for {
		var bad error
		err := l.node.api().Events(ctx, httpapi.EventOptions{Since: l.position()}, func(ev httpapi.Event) error {
			bad = l.take(ev)
			return bad
		})
		switch {
		case ctx.Err() != nil:
			return
		case bad != nil:
			l.node.play.fail(bad)
			return
		case l.isTold():
			return
		}
		// A frozen process ends nothing, but its silence breaks the stream.
		if !l.isFrozen() {
			if gone := l.gone(ctx, err); gone != nil {
				l.node.play.fail(gone)
				return
			}
		}
		if sleepUntil(ctx, time.Now().Add(retryStream)) != nil {
			return
		}
	}
}

// gone says that the process has ended, though nobody told it to, when that is
// why the stream broke.
func (l *life) gone(ctx context.Context, why error) error {
	var refused *httpapi.APIError
	if errors.As(why, &refused) {
		return fmt.Errorf("follow the events of %s: %w", l.node.name(), why)
	}
	asking, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	at, err := l.node.play.cluster.Ended(asking, l.node.index)
	switch {
	case ctx.Err() != nil || l.isTold():
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil // it runs
	case err == nil:
		err = errors.New("with exit status 0, as far as is known here")
	}
	return fmt.Errorf("%w: %s ended%s without being told to: %w", engine.ErrAgentFailed, l.node.name(), l.node.play.when(at), err)
}

// when says at which time of the run something happened.
func (p *play) when(at time.Time) string {
	select {
	case <-p.zero:
		return " at " + at.Sub(p.time0).Round(time.Millisecond).String()
	default:
		return " before time 0"
	}
}

// maxTold bounds what one process may tell, so that one gone mad does not fill
// this one's memory.
const maxTold = 1 << 20

// take notes an event.
func (l *life) take(ev httpapi.Event) error {
	if ev.Kind == httpapi.EventLost || ev.Kind == httpapi.EventReset {
		return fmt.Errorf("%w: %s: %s", errHole, l.node.name(), ev.Reason)
	}
	c, err := toChange(ev, l.node.name())
	if err != nil {
		return fmt.Errorf("%s tells of an event that cannot be: %w", l.node.name(), err)
	}
	_, number, _ := strings.Cut(ev.ID, "-")
	id, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return fmt.Errorf("%s tells of an event without a number: %q", l.node.name(), ev.ID)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if id != l.passed+1 {
		return fmt.Errorf("%w: %s went from event %d to %d", errHole, l.node.name(), l.passed, id)
	}
	if len(l.changes) >= maxTold {
		return fmt.Errorf("%s tells of more than %d events: that is no history of a run", l.node.name(), maxTold)
	}
	l.passed = id
	l.changes = append(l.changes, c)
	return nil
}

// toChange is the change that an agent's event tells of.
func toChange(ev httpapi.Event, observer string) (membership.Change, error) {
	c := membership.Change{At: ev.At, By: ev.By, Reason: ev.Reason}
	errs := []error{c.Kind.UnmarshalText([]byte(ev.Kind))}
	if ev.Condition != "" {
		errs = append(errs, c.Condition.UnmarshalText([]byte(ev.Condition)))
	}
	if ev.Before != "" {
		errs = append(errs, c.Before.UnmarshalText([]byte(ev.Before)))
	}
	switch m := ev.Member; {
	case m != nil:
		c.Member = membership.Member{Name: m.Name, Incarnation: m.Incarnation, Local: m.Local, Tags: m.Tags, ForcedOut: m.ForcedOut, Since: m.Since, FirstSeen: m.FirstSeen}
		errs = append(errs, c.Member.State.UnmarshalText([]byte(m.State)))
	case c.Kind == membership.ChangeCondition:
		c.Member = membership.Member{Name: observer, State: membership.Alive, Local: true}
	default:
		errs = append(errs, fmt.Errorf("a member that is %s has no name", ev.Kind))
	}
	return c, errors.Join(errs...)
}
