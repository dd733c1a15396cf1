package membership

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"time"
)

// joined starts a new life of a member, whatever was known of it.
func (c *Core) joined(in Joined) {
	// Room is kept for this node itself, which may join its own table last.
	limit := c.cfg.MaxMembers
	if c.self == nil && in.Name != c.cfg.Self {
		limit--
	}
	c.makeRoom(in.Name, limit)
	r := c.admit(in.Name, limit)
	if r == nil {
		return
	}
	before := r.fact.state
	if before == Alive {
		c.update(r, Updated(in))
		return
	}
	f := fact{
		name:      r.fact.name,
		addr:      in.Addr,
		tags:      c.boundedTags(in.Tags),
		since:     c.now,
		firstSeen: r.fact.firstSeen,
		inc:       cmp.Or(in.Incarnation, r.heard),
		state:     Alive,
		local:     in.Name == c.cfg.Self,
	}
	if before == 0 {
		f.firstSeen = c.now
	}
	if f.local {
		c.self = r
	}
	r.engine = true
	// A crash and a start are no stall: nothing is remembered of the silence.
	if c.startedAnew(r, in.Life) {
		c.forgive(r)
		c.table.setTrial(r, 0)
		defer c.forgive(r) // what follows takes it for one that came back
	} else {
		c.overturned(r)
	}
	if r.holding {
		c.spared(r, f)
		return
	}
	if c.tries(r, f) {
		return
	}
	c.put(r, f)
	reason := joinReason(before, f.local)
	c.emit(ChangeJoined, r.fact, before, nil, reason)
	c.write(EntryJoined, r.fact, f.inc, "", SourceEngine, reason)
}

// spared ends the holding back of a failure that the member has refuted: subscribers never
// hear of it. The engine takes a member back only at a higher incarnation.
func (c *Core) spared(r *row, f fact) {
	f.inc = max(f.inc, r.heldInc+1) // an accusation may have raised the fact's since
	c.tally.Spared++
	if r.stall > 0 || c.slow(r) {
		c.stalled(r, r.suspicion.since)
	}
	c.put(r, f)
	reason := "it proved itself alive after the engine had been told that it failed"
	c.emit(ChangeRefuted, r.fact, Suspect, saidBy(f.name), reason)
	c.write(EntryRefuted, r.fact, f.inc, f.name, SourceEngine, reason)
}

func joinReason(before State, local bool) string {
	switch {
	case local && before == 0:
		return "this node started"
	case before == Failed:
		return "it came back after it had failed"
	case before == Left:
		return "it joined again after it had left"
	case before == Suspect:
		return "it joined anew while it was suspect"
	}
	return "it joined the cluster"
}

// updated takes a new address or new tags. For a member not held here the engine's word
// means that its joining was missed.
func (c *Core) updated(in Updated) {
	if r := c.table.get(in.Name); r != nil && r.fact.state.held() {
		c.update(r, in)
		return
	}
	c.joined(Joined(in))
}

// update takes address, tags and incarnation of a member that is held.
func (c *Core) update(r *row, in Updated) {
	defer func() { // the tap, or what follows, may take a new process for the end of a stall
		if c.startedAnew(r, in.Life) {
			c.forgive(r)
		}
	}()
	// The engine reports a member only when it has just heard it say that it is alive.
	c.heardAlive(r, in.Incarnation, SourceEngine)

	f := *r.fact
	f.addr, f.tags = in.Addr, c.boundedTags(in.Tags)
	var what []string
	if f.addr != r.fact.addr {
		what = append(what, fmt.Sprintf("its address changed from %v to %v", r.fact.addr, f.addr))
	}
	if !maps.Equal(f.tags, r.fact.tags) {
		what = append(what, "its tags changed")
	}
	if len(what) == 0 {
		return
	}
	c.put(r, f)
	reason := strings.Join(what, " and ")
	c.emit(ChangeUpdated, r.fact, f.state, nil, reason)
	c.write(EntryUpdated, r.fact, f.inc, "", SourceEngine, reason)
}

// engineGone takes the engine's word that a member failed or left. An incarnation that
// is older than the known one does not weaken it: the tap may be ahead of the engine.
func (c *Core) engineGone(name string, claim Claim) {
	r := c.table.get(name)
	if r == nil || r.fact.state == 0 || r.fact.local && claim.State == Failed {
		return
	}
	r.engine = false
	if r.pruning {
		c.prune(name, r.fact.inc, c.now, "", SourceOperator)
		return
	}
	c.fellOnTrial(r)
	before := r.fact
	if r.judged {
		r.suspicion = nil // everybody has heard by now
	}
	claim.Incarnation = max(claim.Incarnation, before.inc)
	switch weigh(before.claim(), claim) {
	case keep, agree:
		c.rearm(r)
		return
	}
	if claim.State == Left {
		c.gone(r, claim, nil, "it left the cluster")
		return
	}
	if c.cfg.Verdicts != nil {
		if c.holdBack(r, claim.Incarnation) {
			return
		}
	}
	by, reason := c.failedBecause(r)
	c.gone(r, claim, by, reason)
}

// gone makes a member failed or left by the engine's word.
func (c *Core) gone(r *row, claim Claim, by []string, reason string) {
	before, f := r.fact.state, *r.fact
	f.state, f.inc, f.forcedOut = claim.State, claim.Incarnation, false
	if f.state != before {
		f.since = c.now
	}
	c.put(r, f)
	if f.state == before {
		return
	}
	kind, entry := ChangeFailed, EntryFailed
	if f.state == Left {
		kind, entry = ChangeLeft, EntryLeft
	}
	c.emit(kind, r.fact, before, by, reason)
	c.write(entry, r.fact, f.inc, "", SourceEngine, reason)
}

// failedBecause returns the evidence against a member, and it as a sentence.
func (c *Core) failedBecause(r *row) (accusers []string, reason string) {
	s := r.suspicion
	if s == nil || len(s.accusers) == 0 {
		return nil, "the engine declared it failed; no accusation was seen here"
	}
	return s.accusers, fmt.Sprintf("accused by %s and not refuted for %v",
		list(s.accusers), (c.now - s.since).Round(time.Millisecond))
}

// list writes names as people do, and no more than three of them.
func list(names []string) string {
	switch n := len(names); {
	case n > 4:
		return fmt.Sprintf("%s and %d others", strings.Join(names[:3], ", "), n-3)
	case n > 1:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return strings.Join(names, "")
}
