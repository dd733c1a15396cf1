package membership

import (
	"slices"
	"time"
)

// A verdict waits for verdict.patience because somebody may have heard of the accused just before, and word of that takes a few
// rounds of gossip. So the witnesses ask: each hands the accusation on to its share of the members directly, and whoever has heard of the
// accused lately tells the witnesses directly. When witnesses enough for a quorum have asked, and nobody has heard of it for one and a
// half times Verdicts.Silence, it has not just begun to pause, and looks are all that is left to wait for. That is how
// crashes that nobody came to probe for long are found soon after all.

// maxAsked bounds how many members a witness asks; in clusters whose shares are larger none does.
const maxAsked = 64

// Inquire asks the owner to send an accusation of the subject directly to members, as the engine gossips it, and to report with [Inquired] when it
// has. The owner may leave it out: that costs time.
type Inquire struct {
	Subject     string
	Incarnation uint32
	Accuser     string
	To          []Target // at most 64, maybe none; the owner's to keep
}

// Inquired says that the members of an [Inquire] are being asked. One that nobody waits for any more is ignored.
type Inquired struct {
	Subject     string
	Incarnation uint32
}

func (Inquire) effect() {}
func (Inquired) input() {}

// inquire hands the accusation of r, of which this node is a witness, on to this node's share of the members. Who has refuted an accusation in the last
// minutes is not asked about again: it is slow, and its accusers are many.
func (c *Core) inquire(r *row, p panel) {
	s := r.suspicion
	if s.asking || len(s.accusers) == 0 || !c.worthAsking(r) {
		return
	}
	s.asking = true
	if to, ok := c.share(r, p); ok {
		c.effects = append(c.effects, Inquire{Subject: r.fact.name, Incarnation: s.inc, Accuser: s.accusers[0], To: to})
	}
}

// worthAsking says whether a verdict on r could come at once, as far as this node knows.
func (c *Core) worthAsking(r *row) bool {
	return c.unheard(r) && c.awaitsGossip(r) && (r.refutedAt == 0 || c.now-r.refutedAt > c.blameWindow())
}

// inquired takes that this node's share of the members is being asked.
func (c *Core) inquired(in Inquired) {
	if r := c.table.get(in.Subject); r != nil && r.suspicion != nil && r.suspicion.asking && r.suspicion.inc == in.Incarnation {
		r.suspicion.asked = true
	}
}

// share are the members that this node asks about r: each belongs to the witness with which it draws the lowest lot. It is false when they
// are too many. It costs O(n k).
func (c *Core) share(r *row, p panel) ([]Target, bool) {
	witnesses := c.chosen(r, p)
	var to []Target
	for _, m := range c.table.rows {
		if m.fact.state != Alive || m == r || lot(p.seed, m) <= p.last || m.fact.name == r.suspicion.accusers[0] {
			continue
		}
		first := slices.MinFunc(witnesses, func(a, b *row) int {
			if lot(mix(p.seed^m.hash), a) < lot(mix(p.seed^m.hash), b) {
				return -1
			}
			return 1
		})
		if first != c.self {
			continue
		}
		if len(to) == maxAsked {
			return nil, false
		}
		to = append(to, Target{m.fact.name, m.fact.addr})
	}
	return to, true
}

// longSilence is how long nobody must have heard of a member that is judged at once.
func (v *Verdicts) longSilence() time.Duration { return v.Silence + v.Silence/2 }

// unheard says that nobody is known to have heard of r for long when it was accused, nor since.
func (c *Core) unheard(r *row) bool {
	s := r.suspicion
	return (s.heardOf == neverHeard || s.heardOf+c.cfg.Verdicts.longSilence() <= s.since) && !c.isHeard(r)
}

// longSilent says that the members were asked and none has heard of r for long.
func (c *Core) longSilent(r *row) bool {
	if r.suspicion == nil || !c.unheard(r) {
		return false
	}
	asked := 0
	for _, t := range r.suspicion.testimonies {
		if w := c.table.get(t.witness); t.asked && w != nil && w.fact.state == Alive {
			asked++
		}
	}
	available := c.table.counts[Alive]
	return available >= 2 && asked >= c.cfg.Verdicts.quorumOf(available)
}
