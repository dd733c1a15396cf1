package membership

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// A member that crashed sends nothing; one that is merely slow to read probes, gossips and answers all
// the same. So there is no hurry to judge a suspect of which packets arrive somewhere after it was accused: the
// patience with it is the engine's own, in which it has time to refute.

// maxHearers bounds how many members say that they hear one suspect. One that is not accused itself is
// enough; each more is one more broadcast.
const maxHearers = 4

// heardFrom takes that a packet of the suspect arrived at this node or, as another one says, there.
func (c *Core) heardFrom(in Heard) {
	r, by, via := c.table.get(in.Subject), c.self, SourceRule
	if c.cfg.Verdicts == nil || c.self == nil || r == nil || r == c.self || r.fact.state != Suspect {
		return
	}
	s := r.suspicion
	if at := in.At.Sub(c.epoch); in.By == "" && !in.At.IsZero() && at < s.since {
		c.lastHeard(r, at, SourceRule)
		return
	}
	if in.By != "" {
		by, via = c.table.get(in.By), SourceInbound
		if by == nil || by == c.self || by == r || in.Incarnation != s.inc || by.fact.state != Alive {
			return
		}
	}
	if len(s.hearers) >= maxHearers || slices.Contains(s.hearers, by.fact.name) || by != c.self && !c.spend(by) {
		return
	}
	s.hearers = append(s.hearers, by.fact.name)
	c.write(EntryHeard, r.fact, s.inc, by.fact.name, via, "packets of it still arrive there")
	if len(s.testimonies) > 0 { // else the first one will carry it
		c.spread(r)
	}
	c.rearm(r)
}

// isHeard says whether packets of r still arrive at a member that is not accused itself: one that reads
// late gets what was sent before a crash.
func (c *Core) isHeard(r *row) bool {
	return r.suspicion != nil && slices.ContainsFunc(r.suspicion.hearers, func(name string) bool {
		m := c.table.get(name)
		return m != nil && m.fact.state == Alive
	})
}

// slow says that r, which refutes now, would have got a verdict had it not been heard: as after a verdict, its
// silence is worth remembering.
func (c *Core) slow(r *row) bool {
	v := c.cfg.Verdicts
	return v != nil && c.now-r.suspicion.since > v.Patience && (c.isHeard(r) || c.untilSilent(r) > v.Patience)
}

// A member that is alive sends a probe every interval and acks those of others, so somebody has heard of it until just
// before it falls silent. The accusation comes a probe later, and how long the silence is then tells a crash, which was
// long ago, from a pause, which has just begun. Nobody hears all, so those that heard of it in time say so.

const neverHeard = math.MinInt64 / 2

// heardEnough is by how much later a packet must have arrived than the last one known of, to be worth a message.
const heardEnough = 200 * time.Millisecond

// before is how long before the accusation a packet arrived anywhere; negative when nobody says so.
func (s *suspicion) before() time.Duration {
	if s.heardOf == neverHeard {
		return -1
	}
	return max(s.since-s.heardOf, 0)
}

// heardBefore takes that another node had heard of the suspect. Anybody may say so; it is no more than
// Silence that a verdict then waits.
func (c *Core) heardBefore(in HeardBefore) {
	r := c.table.get(in.Subject)
	if c.cfg.Verdicts == nil || r == nil || r == c.self || r.fact.state != Suspect || in.Incarnation != r.suspicion.inc || in.Before < 0 {
		return
	}
	c.lastHeard(r, r.suspicion.since-in.Before, SourceInbound)
}

// lastHeard takes that a packet of r had arrived somewhere at a time before the accusation, and passes it on: to all if it makes
// a verdict wait longer, and what this node heard itself to the witnesses if they may ask for it.
func (c *Core) lastHeard(r *row, at time.Duration, via Source) {
	s, v := r.suspicion, c.cfg.Verdicts
	if at < s.heardOf+heardEnough || at+v.recall() <= s.since {
		return
	}
	asked := via == SourceRule && c.worthAsking(r)
	s.heardOf = at
	if c.heardLately(r) {
		c.writeHeardOf(r, via)
	}
	var to []Target
	if asked {
		to = c.otherWitnesses(r)
	}
	told := c.testimony(r, to)
	told.Quietly = at+v.Silence <= s.since+v.Patience // gossip comes in time for what else it matters to
	if !told.Quietly || len(to) > 0 {
		c.effects = append(c.effects, told)
	}
	c.follow(r)
}

// writeHeardOf notes that somebody heard of r so lately before the accusation that a verdict waits.
func (c *Core) writeHeardOf(r *row, via Source) {
	where := "at another node"
	if via == SourceRule {
		where = "here"
	}
	c.write(EntryHeard, r.fact, r.suspicion.inc, "", via, fmt.Sprintf("a packet of it had arrived %s %v before the accusation",
		where, r.suspicion.before().Round(10*time.Millisecond)))
}

// untilSilent is how long after the accusation nobody has heard of r for long enough.
func (c *Core) untilSilent(r *row) time.Duration {
	s, v := r.suspicion, c.cfg.Verdicts
	if s == nil || s.heardOf == neverHeard {
		return 0
	}
	return min(s.heardOf+v.Silence-s.since, v.engineTimeout(c.heldCount()))
}
