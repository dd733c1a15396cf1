package membership

import (
	"cmp"
	"slices"
	"time"
)

// A verdict waits for verdict.patience because somebody may have heard of the accused just before, and word of that takes a few
// rounds of gossip. So the witnesses ask: each hands the accusation on to its share of the members directly, and whoever has heard of the
// accused lately tells the witnesses directly. When witnesses enough for a quorum have asked, and it was heard of last one and a
// half times Verdicts.Silence before the accusation or earlier, it has not just begun to pause, and looks are all that is left to wait
// for. That is how crashes that nobody came to probe for long are found soon after all.
//
// Silence alone proves nothing: a member that has just joined was never heard of, nor is one whose packets come from another address than the one by
// which it is known. So somebody must have heard of it, not too long ago.

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
	if s.asking || !c.worthAsking(r) {
		return
	}
	s.asking = true
	accuser := ""
	if len(s.accusers) > 0 {
		accuser = s.accusers[0]
	} else if len(s.testimonies) > 0 { // what a witness found is an accusation as well
		accuser = s.testimonies[0].witness
	}
	if to, ok := c.share(r, p, accuser); ok && accuser != "" {
		c.effects = append(c.effects, Inquire{Subject: r.fact.name, Incarnation: s.inc, Accuser: accuser, To: to})
	}
}

// worthAsking says whether a verdict on r could come at once, as far as this node knows.
func (c *Core) worthAsking(r *row) bool {
	return !c.heardLately(r) && c.awaitsGossip(r) && (r.refutedAt == 0 || c.now-r.refutedAt > c.blameWindow())
}

// inquired takes that this node's share of the members is being asked.
func (c *Core) inquired(in Inquired) {
	if r := c.table.get(in.Subject); r != nil && r.suspicion != nil && r.suspicion.asking && r.suspicion.inc == in.Incarnation {
		r.suspicion.asked = true
	}
}

// share are the members beside the accuser that this node asks about r: each belongs to the witness with which it draws the lowest lot. It is false when they
// are too many. It costs O(n k).
func (c *Core) share(r *row, p panel, accuser string) ([]Target, bool) {
	witnesses := c.chosen(r, p)
	var to []Target
	for _, m := range c.table.rows {
		if m.fact.state != Alive || m == r || lot(p.seed, m) <= p.last || m.fact.name == accuser {
			continue
		}
		seed := mix(p.seed ^ m.hash)
		first := slices.MinFunc(witnesses, func(a, b *row) int { return cmp.Compare(lot(seed, a), lot(seed, b)) })
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

// recall is how long before an accusation a packet may have arrived for somebody to say so.
func (v *Verdicts) recall() time.Duration { return 3 * v.Silence }

// heardLately says that somebody has heard of r since it was accused, or less than longSilence before.
func (c *Core) heardLately(r *row) bool {
	s := r.suspicion
	return len(s.hearers) > 0 || s.heardOf != neverHeard && s.heardOf+c.cfg.Verdicts.longSilence() > s.since
}

// heardLongAgo says that somebody has heard of r, and nobody lately.
func (c *Core) heardLongAgo(r *row) bool {
	return r.suspicion.heardOf != neverHeard && !c.heardLately(r)
}

// longSilent says that the members were asked, and that r was heard of last long before it was accused.
func (c *Core) longSilent(r *row) bool {
	if r.suspicion == nil || !c.heardLongAgo(r) {
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
