package membership

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// maxPruned bounds the pruned names that are remembered; the oldest go first.
const maxPruned = 1024

// fresh returns the age up to which a record with that retention is handed out and taken.
func fresh(retention time.Duration) time.Duration { return retention - retention/16 }

// Records returns what this node remembers of failed, left and pruned members, newest
// first, for the user state of a push/pull. It costs O(n log n).
func (c *Core) Records(now time.Time) []Record {
	at := max(c.now, now.Sub(c.epoch))
	var records []Record
	for _, r := range c.table.rows {
		f := r.fact
		age := max(0, at-f.since)
		if f.state.held() || f.local || age >= fresh(c.retention(f.state)) {
			continue
		}
		records = append(records, Record{
			Name:        f.name,
			Addr:        f.addr,
			Tags:        maps.Clone(f.tags),
			Incarnation: f.inc,
			State:       cmp.Or(f.state, Left),
			Age:         age,
			ForcedOut:   f.forcedOut,
			Pruned:      f.state == 0,
		})
	}
	slices.SortStableFunc(records, func(a, b Record) int { return cmp.Compare(a.Age, b.Age) })
	return records
}

// record weighs another node's memory.
func (c *Core) record(in Record) {
	in.Age = max(0, in.Age)
	state := in.State
	switch {
	case in.Pruned:
		state = 0
	case !state.gone():
		c.ignored++
		return
	}
	if !validName(in.Name) || len(in.By) > MaxNameBytes {
		c.ignored++
		return
	}
	if in.Name == c.cfg.Self || in.Age >= fresh(c.retention(state)) {
		return
	}
	since := c.now - in.Age
	if in.Pruned {
		c.prune(in.Name, in.Incarnation, since, in.By, SourceMemory)
		return
	}

	r := c.table.get(in.Name)
	var known Claim
	if r != nil {
		if r.engine { // it runs, as far as the engine knows, which will say so itself when it does not
			return
		}
		if r.fact.state == 0 && covers(r.fact.inc, r.fact.since, in.Incarnation, since) {
			return
		}
		if r.fact.state != 0 {
			known = r.fact.claim()
		}
	}
	if weigh(known, Claim{in.Incarnation, state}) != take {
		return
	}
	if r = c.admit(in.Name, max(1, c.cfg.MaxMembers/2)); r == nil {
		return
	}
	c.remember(r, in, since)
}

// remember takes a record about a member that is not held here.
func (c *Core) remember(r *row, in Record, since time.Duration) {
	before := r.fact.state
	f := fact{
		name:      r.fact.name,
		addr:      in.Addr,
		tags:      c.boundedTags(in.Tags),
		since:     since,
		firstSeen: r.fact.firstSeen,
		inc:       in.Incarnation,
		state:     in.State,
		forcedOut: in.ForcedOut && in.State == Left,
	}
	if before == 0 {
		f.firstSeen = c.now
	}
	if !f.addr.IsValid() { // a leave that was only overheard names no address
		f.addr, f.tags = r.fact.addr, r.fact.tags
	}
	c.put(r, f)
	if f.state == before {
		return
	}
	kind, entry := ChangeFailed, EntryFailed
	if f.state == Left {
		kind, entry = ChangeLeft, EntryLeft
	}
	by := c.name(in.By)
	reason := fmt.Sprintf("learnt from another node's memory: %v for %v", f.state, in.Age.Round(time.Second))
	c.emit(kind, r.fact, before, saidBy(by), reason)
	c.write(entry, r.fact, f.inc, by, SourceMemory, reason)
}

// forcedOut carries out an operator's order about a member that is gone.
func (c *Core) forcedOut(in ForcedOut) {
	if !validName(in.Subject) || len(in.By) > MaxNameBytes {
		c.ignored++
		return
	}
	if in.Subject == c.cfg.Self {
		return
	}
	r := c.table.get(in.Subject)
	// What the engine still counts in must stay in the table until it does not.
	if in.Prune && (r == nil || !r.engine) {
		c.prune(in.Subject, in.Incarnation, c.now, in.By, SourceOperator)
		return
	}
	if r == nil || r.fact.state != Failed || r.trial > 0 { // one on probation runs, and would not hear of it
		return
	}
	claim := Claim{cmp.Or(in.Incarnation, r.fact.inc), Left}
	if weigh(r.fact.claim(), claim) != take {
		return
	}
	r.pruning = in.Prune
	f := *r.fact
	f.state, f.inc, f.since, f.forcedOut = Left, claim.Incarnation, c.now, true
	c.put(r, f)
	by := c.name(in.By)
	reason := operatorAt(by) + " forced it out"
	c.emit(ChangeLeft, r.fact, Failed, saidBy(by), reason)
	c.write(EntryForcedOut, r.fact, f.inc, by, SourceOperator, reason)
}

// covers reports whether an order to prune the incarnation prunedInc, given at prunedAt, is
// about the life that ended at the incarnation inc at the time since. Times decide only when an
// incarnation is not known: nodes notice one failure seconds apart, and some after the order.
func covers(prunedInc uint32, prunedAt time.Duration, inc uint32, since time.Duration) bool {
	if prunedInc != 0 && inc != 0 {
		return inc <= prunedInc
	}
	return since <= prunedAt
}

// prune removes a member that is gone, and remembers the name so that older records do
// not bring it back. The memory lasts as long as any record made before the order can.
func (c *Core) prune(name string, inc uint32, at time.Duration, by string, via Source) {
	i, r := c.table.find(name)
	switch {
	case r == nil:
	case r.fact.state.held(), r.engine:
		return
	case r.fact.state == 0 && inc <= r.fact.inc:
		return // remembered already
	case r.fact.state != 0 && !covers(inc, at, r.fact.inc, r.fact.since):
		return
	}
	if (r == nil || r.fact.state != 0) && c.table.counts[0] >= maxPruned {
		c.table.remove(c.oldestPruned())
		i, r = c.table.find(name)
	}
	if r == nil {
		r = c.table.insert(i, name)
	}
	gone := r.fact
	if gone.state != 0 {
		by = c.name(by)
		reason := operatorAt(by) + " pruned it"
		if via == SourceMemory {
			reason = "learnt from another node's memory: an operator pruned it"
		}
		c.emit(ChangeRemoved, gone, gone.state, saidBy(by), reason)
		c.write(EntryRemoved, gone, gone.inc, by, via, reason)
	}
	c.put(r, fact{name: gone.name, since: at, inc: max(inc, gone.inc), forcedOut: true})
}

func operatorAt(node string) string {
	if node == "" {
		return "an operator"
	}
	return "an operator at " + node
}

// saidBy returns the one who said it as Change.By wants it: nobody when that is not known.
func saidBy(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}

// oldestPruned returns the pruned name that would be forgotten first. It costs O(n) and
// is needed only when an operator prunes more than maxPruned names within a retention.
func (c *Core) oldestPruned() *row {
	var oldest *row
	for _, r := range c.table.rows {
		if r.fact.state == 0 && (oldest == nil || r.due < oldest.due) {
			oldest = r
		}
	}
	return oldest
}

// forget removes a member that is gone.
func (c *Core) forget(r *row, reason string) {
	f := r.fact
	c.table.remove(r)
	c.version++
	c.emit(ChangeRemoved, f, f.state, nil, reason)
	c.write(EntryRemoved, f, f.inc, "", SourceRule, reason)
}
