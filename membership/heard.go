package membership

import "slices"

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
	c.write(EntryAnswered, r.fact, s.inc, by.fact.name, via, "packets of it still arrive there")
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
	return c.cfg.Verdicts != nil && c.isHeard(r) && c.now-r.suspicion.since > c.cfg.Verdicts.Patience
}
