package gossip

import (
	"net/netip"
	"sync"
	"time"

	"heartbeat/membership"
)

// roster mirrors which names the engine may hold in its table, so that the
// table can be bounded: memberlist itself takes every alive message. With each
// name it keeps what the engine does not tell about that member.
type roster struct {
	limit  int
	linger func(held int) time.Duration // how long the engine may still hold a member that is gone

	mu      sync.Mutex
	entries map[string]*rosterEntry // guarded by mu
	held    int                     // guarded by mu; entries that are not gone
	swept   time.Time               // guarded by mu; when a full table was last searched for room
	denied  uint64                  // guarded by mu
}

// rosterEntry is a name that the engine may hold.
type rosterEntry struct {
	addr  netip.AddrPort // as the engine holds and compares it; while gone, where it last said that it is alive
	since time.Time      // when it was given up, or let in without having joined; zero while held
	ended time.Time      // when it was given up as failed; zero while held, and after a leave
	rtt   time.Duration  // of the last probe it answered; zero when there was none
	rumour
}

// rumour is what passed about a member in its present life. Together with the
// engine's bare "it is gone" it tells why. What the engine ignores must not
// count here: messages about an earlier life, which echo for seconds, and those
// of another node with the same name.
type rumour struct {
	aliveAt   uint32 // highest incarnation at which it said that it is alive
	suspectAt uint32 // incarnation of the newest suspicion, when suspected
	deadAt    uint32 // incarnation of the newest dead message, when dead or left
	endedAt   uint32 // highest incarnation of the life that ended, while gone
	suspected bool
	dead      bool // somebody declared it failed
	left      bool // it said itself that it leaves
}

func newRoster(limit int, linger func(held int) time.Duration) *roster {
	return &roster{limit: limit, linger: linger, entries: make(map[string]*rosterEntry)}
}

// sweepEvery bounds how often a full table is searched for room, since anyone
// can send alive messages of new names.
const sweepEvery = time.Second

// admit says whether the engine may take in a member of that name, and keeps
// room for it: an alive message of incarnation 0 gets into the engine's table
// without an event.
func (r *roster) admit(name string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, known := r.entries[name]; known {
		if !e.since.IsZero() {
			e.since = now
		}
		return true
	}
	if len(r.entries) >= r.limit {
		r.sweepLocked(now)
	}
	if len(r.entries) >= r.limit {
		r.denied++
		return false
	}
	r.entries[name] = &rosterEntry{since: now}
	return true
}

func (r *roster) sweepLocked(now time.Time) {
	if now.Sub(r.swept) < sweepEvery {
		return
	}
	r.swept = now
	linger := r.linger(r.held)
	for name, e := range r.entries {
		if !e.since.IsZero() && now.Sub(e.since) > linger {
			delete(r.entries, name)
		}
	}
}

// joined notes that the engine holds the member from now on. It returns since
// when it was failed; zero when it was not.
func (r *roster) joined(name string, addr netip.AddrPort) (failed time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[name]
	if e == nil { // let in by the engine without asking
		e = &rosterEntry{since: time.Now()}
		r.entries[name] = e
	}
	if !e.since.IsZero() {
		r.held++
	}
	// The tap is ahead of the engine. What it has seen of this life already
	// must stay, but only an alive message tells that it is of this life.
	if e.aliveAt <= e.endedAt || e.addr != addr {
		e.rumour = rumour{}
	}
	failed = e.ended
	e.addr, e.since, e.ended, e.rtt, e.endedAt = addr, time.Time{}, time.Time{}, 0, 0
	return failed
}

// gone notes that the engine gave the member up. It returns why, failed or
// left, and at which incarnation (0 when that is not known).
//
// Without any rumour it is left: the engine then got it from a full exchange of
// state, in which only a graceful leave counts as final (memberlist turns a
// failure heard that way into a suspicion).
func (r *roster) gone(name string, now time.Time) (why membership.State, incarnation uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[name]
	if e == nil {
		return membership.Left, 0
	}
	if e.since.IsZero() {
		r.held--
	}
	e.since, e.rtt = now, 0
	was := e.rumour
	e.rumour = rumour{endedAt: max(was.aliveAt, was.suspectAt, was.deadAt)}
	defer func() {
		if why == membership.Failed {
			e.ended = now
		}
	}()
	switch {
	case was.suspected && (was.suspectAt > was.deadAt || !was.left):
		return membership.Failed, max(was.suspectAt, was.deadAt)
	case was.dead && !was.left:
		return membership.Failed, was.deadAt
	}
	return membership.Left, was.deadAt
}

// alive notes an alive message that the engine takes by itself, and says whether
// it may be the member's own: not when the engine holds the name at another
// address, or has no room for it. When the engine finds room after all, it
// gossips the message.
func (r *roster) alive(name string, incarnation uint32, addr netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[name]
	switch {
	case e == nil:
		return len(r.entries) < r.limit
	case e.since.IsZero() && addr != e.addr:
		return false
	case addr == e.addr && incarnation <= e.aliveAt:
		return true
	}
	e.aliveAt, e.addr = incarnation, addr
	if e.suspectAt < incarnation {
		e.suspected, e.suspectAt = false, 0
	}
	if e.deadAt < incarnation {
		e.dead, e.left, e.deadAt = false, false, 0
	}
	return true
}

// suspect notes a suspicion.
func (r *roster) suspect(name string, incarnation uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[name]; e != nil && e.concerns(incarnation) {
		e.suspected, e.suspectAt = true, max(e.suspectAt, incarnation)
	}
}

// dead notes a dead message, by which the member leaves or somebody else
// declares it failed. It says whether the name is known.
func (r *roster) dead(name string, incarnation uint32, leaves bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[name]
	if e == nil || !e.concerns(incarnation) {
		return e != nil
	}
	switch {
	case !e.dead && !e.left, incarnation > e.deadAt:
		e.deadAt, e.dead, e.left = incarnation, !leaves, leaves
	case incarnation == e.deadAt:
		e.left = e.left || leaves
	}
	return true
}

// concerns reports whether a message of that incarnation is about the present
// life; the engine ignores others.
func (e *rosterEntry) concerns(incarnation uint32) bool {
	return incarnation >= e.aliveAt && (e.since.IsZero() || incarnation > e.endedAt)
}

// answered notes the round-trip time of a probe.
func (r *roster) answered(name string, rtt time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[name]; e != nil && e.since.IsZero() {
		e.rtt = rtt
	}
}

func (r *roster) rttOf(name string) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[name]
	if e == nil || e.rtt == 0 {
		return 0, false
	}
	return e.rtt, true
}

func (r *roster) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}

// disputed reports whether the member is gone here though somebody says that it
// is alive, at an incarnation that does not override that it is gone; 0 when it
// is not known.
func (r *roster) disputed(name string, incarnation uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[name]
	return e != nil && e.endedAt > 0 && incarnation <= e.endedAt
}

// heldCount returns how many members the engine holds, this node included.
func (r *roster) heldCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

func (r *roster) refused() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.denied
}
