package membership

// An accusation and what witnesses find spread by gossip, and each takes a few rounds. That costs nothing while a verdict waits for
// the silence to be long enough. A member that had been silent for that long already when somebody came to probe it,
// as one crashed member in a hundred is for five seconds, would wait for the gossip alone. So such news goes the direct way, too: the
// accuser tells the witnesses, a witness tells the others, and whoever has a quorum tells a few members more, which do the same.
// Who gets it twice is none the wiser, and whoever is left out hears it by gossip.

// tellDirectly is how many members a node tells that there is a quorum. With three, 19 of 20 have it after a few
// latencies.
const tellDirectly = 3

// summon sends this node's own accusation to the witnesses.
func (c *Core) summon(r *row) {
	if c.cfg.Verdicts == nil || c.self == nil || !c.awaitsGossip(r) {
		return
	}
	if to := c.otherWitnesses(r); len(to) > 0 {
		c.effects = append(c.effects, Summon{Subject: r.fact.name, Incarnation: r.suspicion.inc, To: to})
	}
}

// otherWitnesses are the witnesses of r but for this node.
func (c *Core) otherWitnesses(r *row) []Target {
	p := c.panel(r, r.suspicion.inc)
	if p.available < 2 {
		return nil
	}
	var to []Target
	for _, m := range c.chosen(r, p) {
		if m != c.self {
			to = append(to, Target{m.fact.name, m.fact.addr})
		}
	}
	return to
}

// awaitsGossip says whether a verdict on r may come as soon as it can, as far as this node knows.
func (c *Core) awaitsGossip(r *row) bool { return c.patience(r) <= c.cfg.Verdicts.Patience }

// hasten tells some members at once that there is a quorum against r, the first time that this node knows of one.
func (c *Core) hasten(r *row) []Target {
	s := r.suspicion
	if s.hastened || c.self == nil || !c.awaitsGossip(r) || c.confirmed(r) == nil {
		return nil
	}
	s.hastened = true
	return c.drawn(mix(seedOf(r, s.inc)^c.self.hash), r, tellDirectly)
}
