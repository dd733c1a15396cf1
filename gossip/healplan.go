package gossip

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

const (
	// idleShare is how much rarer seeds are checked while no member is failed.
	idleShare = 30
	// seedShare: one attempt in so many goes to a seed while members are failed, however many those are.
	// When all of them have come back at new addresses the seeds are the only way.
	seedShare = 4
	// streamShare: one attempt in so many at a member asks by a stream first and not by a packet, for
	// UDP may be what is blocked.
	streamShare = 8
	// burstWidth bounds how many members are tried at the same time after a success.
	burstWidth = 4
	// burstRest is how many intervals lie at least between two bursts of a node, so that members which
	// come and go do not cost one each time.
	burstRest = 30
	// longestRest bounds how long a seed is left alone, which else overflows with long intervals and many members.
	longestRest = 365 * 24 * time.Hour
)

// healer decides when this node tries to reach members again that it holds
// failed, and whom. It does no I/O and knows no clock; it is not safe for
// concurrent use.
//
// The rate is one of the cluster, not of the node: every node turns a coin in
// each interval and tries somebody with probability 1/n, where n is the number
// of members that it holds. So those who can see each other make one attempt in
// an interval together, as a Poisson process, whatever n is and however many
// members are failed. A node takes them in turns, each turn in random order, so
// that no one of F failed members waits longer than F attempts for its next.
type healer struct {
	every time.Duration
	rng   *rand.Rand

	tried map[string]uint64    // attempts at each failed member; only of those that were failed at the last look
	mute  map[string]time.Time // seeds that answered and had nothing to tell, and until when they are left alone
	burst time.Time            // no burst before
}

// healTarget is a failed member or, with nothing but seed, a seed.
type healTarget struct {
	name        string
	addr        netip.AddrPort
	incarnation uint32    // at which it failed
	since       time.Time // when it failed
	stream      bool      // ask by a stream first
	seed        string
}

// situation is what a healer has to know of its node.
type situation struct {
	held   int          // members held alive or suspect, this node included
	failed []healTarget // sorted by name
	seeds  []string     // whose members are not held as far as can be told without asking
}

func newHealer(every time.Duration, rng *rand.Rand) *healer {
	return &healer{every: every, rng: rng, tried: make(map[string]uint64), mute: make(map[string]time.Time)}
}

// pause returns how long to wait for the next interval: from half of one to one and a half.
func (h *healer) pause() time.Duration {
	return h.every/2 + time.Duration(h.rng.Int64N(int64(h.every)))
}

// turn turns the coin of one interval for a node that holds that many members.
func (h *healer) turn(held int) bool { return h.rng.IntN(max(held, 1)) == 0 }

// pick returns whom to try at a turn; false for nobody.
func (h *healer) pick(now time.Time, s situation) (healTarget, bool) {
	h.forget(s.failed)
	switch {
	case len(s.failed) == 0 && h.rng.IntN(idleShare) != 0:
		return healTarget{}, false
	case len(s.failed) == 0 || h.rng.IntN(seedShare) == 0:
		if seed, ok := h.pickSeed(now, s.seeds); ok {
			return healTarget{seed: seed}, true
		}
	}
	if len(s.failed) == 0 {
		return healTarget{}, false
	}
	return h.pickMember(s.failed), true
}

func (h *healer) pickSeed(now time.Time, seeds []string) (string, bool) {
	var open []string
	for _, s := range seeds {
		if !now.Before(h.mute[s]) {
			open = append(open, s)
		}
	}
	if len(open) == 0 {
		return "", false
	}
	return open[h.rng.IntN(len(open))], true
}

// pickMember picks at random one of those that were tried the least. One that
// has just failed counts as often as those.
func (h *healer) pickMember(failed []healTarget) healTarget {
	var least []healTarget
	low := ^uint64(0)
	for _, t := range failed {
		if n, known := h.tried[t.name]; known {
			low = min(low, n)
		}
	}
	if low == ^uint64(0) {
		low = 0
	}
	for _, t := range failed {
		if n, known := h.tried[t.name]; !known || n == low {
			least = append(least, t)
		}
	}
	t := least[h.rng.IntN(len(least))]
	for _, other := range least { // who was new belongs to this turn from now on
		h.tried[other.name] = low
	}
	h.tried[t.name] = low + 1
	t.stream = low%streamShare == streamShare-1
	return t
}

// forget drops what was noted about members that are failed no longer.
func (h *healer) forget(failed []healTarget) {
	if len(h.tried) == 0 {
		return
	}
	tried := make(map[string]uint64, len(failed))
	for _, t := range failed {
		if n, known := h.tried[t.name]; known {
			tried[t.name] = n
		}
	}
	h.tried = tried
}

// reached notes that somebody has answered, and tells whether the others shall
// be tried at once: not again soon after the last time.
func (h *healer) reached(now time.Time) bool {
	if now.Before(h.burst) {
		return false
	}
	h.burst = now.Add(burstRest * h.every)
	return true
}

// leaveAlone notes that a seed answered and had nothing to tell: it may be an
// address in front of members that are held already. Of all nodes together one
// asks it in idleShare intervals.
func (h *healer) leaveAlone(now time.Time, seed string, held int) {
	for s, until := range h.mute {
		if now.After(until) {
			delete(h.mute, s)
		}
	}
	rest := float64(idleShare) * float64(h.every) * float64(max(held, 1))
	h.mute[seed] = now.Add(time.Duration(min(rest, float64(longestRest))))
}

// batches puts failed members into random order, burstWidth at a time.
func (h *healer) batches(failed []healTarget) [][]healTarget {
	rest := slices.Clone(failed)
	h.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return slices.Collect(slices.Chunk(rest, burstWidth))
}
