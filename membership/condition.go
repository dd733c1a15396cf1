package membership

import "fmt"

// The last stable view is the yardstick for minority and isolated. A member enters it
// when it has been held alive for Config.StableAfter without a break. It leaves it only by leaving,
// by being forced out or pruned, when its retention ends, or when a newcomer takes its place; never merely because time has
// passed since it failed. So the smaller side of a split says minority for as long as
// the split lasts, and so does a cluster that has lost most of its machines for good, until an
// operator says (force out, prune) that they will not come back. But where machines are replaced under new names, each newcomer
// that enters the view takes the place of the member that has been failed for longest, if that is 20 times StableAfter: at a node that
// is in the majority, with those still counted.
//
// Suspects count as reachable. A suspicion is one node's word, and one slow accuser may
// accuse everybody: if it counted, that node would make all others believe that they
// were cut off. The price is that a real split is noticed one verdict later. With verdicts a failure that
// the engine reports may be held back for long; then a suspect counts as lost once it is silent to this node, too: who
// is cut off says so rather than that everybody has failed.
//
// A node that has seen nobody for long enough is connected: a cluster of one is a cluster.

// assess returns how this node itself is doing.
func (c *Core) assess() Condition {
	others, stableOthers := c.others()
	switch {
	case others == 0 && stableOthers > 0:
		return Isolated
	case 2*c.table.stableHeld < c.table.stable:
		return Minority
	case c.health >= c.cfg.DegradedScore:
		return Degraded
	}
	return Connected
}

// supersededAfter is how many times StableAfter a member must have been failed for a newcomer to take its place.
const supersededAfter = 20

// supersede lets the member that has been failed for longest leave the last stable view, because another has entered it.
func (c *Core) supersede() {
	if c.condition == Minority || c.condition == Isolated || c.table.counts[Failed] == 0 {
		return
	}
	var oldest *row
	for _, r := range c.table.rows {
		f := r.fact
		if f.state != Failed || !r.stable || r.engine || f.local || c.now-f.since < supersededAfter*c.cfg.StableAfter || c.now-f.since >= c.retention(Failed) {
			continue
		}
		if oldest == nil || f.since < oldest.fact.since {
			oldest = r
		}
	}
	if oldest != nil {
		c.table.replace(oldest, oldest.fact, false)
	}
}

// others counts the other members that are held here, and those of the last stable view.
func (c *Core) others() (held, stable int) {
	held, stable = c.table.counts[Alive]+c.table.counts[Suspect]-c.table.lost, c.table.stable
	if c.self != nil && c.self.fact.state.held() {
		return held - 1, stable - 1
	}
	return held, stable
}

// why says in one sentence for people why this node is in its condition.
func (c *Core) why() string {
	switch c.condition {
	case Isolated:
		_, stable := c.others()
		return fmt.Sprintf("no other member is reachable; the last stable view had %d", stable)
	case Minority:
		return fmt.Sprintf("only %d of the %d members of the last stable view are reachable",
			c.table.stableHeld, c.table.stable)
	case Degraded:
		return fmt.Sprintf("this node's health score is %d: its probes are slow", c.health)
	}
	return fmt.Sprintf("%d of the %d members of the last stable view are reachable",
		c.table.stableHeld, c.table.stable)
}

// judgeCondition reports a change of this node's own condition.
func (c *Core) judgeCondition() {
	condition := c.assess()
	if condition == c.condition {
		return
	}
	c.condition = condition
	c.version++
	self, reason := c.selfFact(), c.why()
	c.effects = append(c.effects, Changed{Change{
		Kind:      ChangeCondition,
		At:        c.epoch.Add(c.now),
		Member:    self.member(c.epoch),
		Before:    self.state,
		Reason:    reason,
		Condition: condition,
	}})
	c.write(EntryCondition, self, self.inc, "", SourceRule, condition.String()+": "+reason)
}
