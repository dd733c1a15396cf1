package membership

import (
	"cmp"
	"slices"
	"time"
)

// Case is how a member is judged, or would be if it were accused now, as this node sees the members.
type Case struct {
	// Incarnation is the one in question; 0 = not known, and then nobody can tell its witnesses.
	Incarnation uint32
	// Accusers and Testified have spoken against it at that incarnation, in order of arrival, since the
	// given time; both are empty for a member that nobody accuses.
	Accusers  []string
	Testified []string
	Since     time.Time
	// Witnesses are the members that look at it, the surest first; with the zero Quorum the engine alone
	// decides, because there are no Verdicts or too few members.
	Witnesses []string
	Quorum    int
	// Patience is how long after the first accusation a verdict waits at least; 0 when the members were asked and had heard of it long ago.
	Patience time.Duration
	// Stall is the silence from which the member came back before and for which Patience is longer; 0 = none.
	Stall time.Duration
	// Majority says that this node may pass a verdict: it is not on the smaller side of a split.
	Majority bool
}

// Case returns how the member is judged; false when it is not in the table. It costs O(n log n).
func (c *Core) Case(name string) (Case, bool) {
	r := c.table.get(name)
	if r == nil || r.fact.state == 0 {
		return Case{}, false
	}
	out := Case{Incarnation: r.fact.inc}
	if s := r.suspicion; s != nil {
		out.Incarnation, out.Since, out.Accusers = s.inc, c.epoch.Add(s.since), slices.Clone(s.accusers)
		for _, t := range s.testimonies {
			out.Testified = append(out.Testified, t.witness)
		}
	}
	if c.cfg.Verdicts == nil {
		return out, true
	}
	out.Patience = c.patience(r)
	if c.allowance(r) > c.cfg.Verdicts.Patience {
		out.Stall = r.stall
	}
	p := c.panel(r, out.Incarnation)
	if p.available < 2 {
		return out, true
	}
	out.Quorum, out.Majority = p.quorum, p.majority
	if out.Incarnation != 0 {
		out.Witnesses = c.witnesses(r, p)
	}
	return out, true
}

// witnesses names those whose lots the panel chose, lowest first.
func (c *Core) witnesses(r *row, p panel) []string {
	chosen := c.chosen(r, p)
	slices.SortFunc(chosen, func(a, b *row) int { return cmp.Compare(lot(p.seed, a), lot(p.seed, b)) })
	names := make([]string, len(chosen))
	for i, m := range chosen {
		names[i] = m.fact.name
	}
	return names
}
