package membership

import (
	"fmt"
	"slices"
	"time"
)

// accused weighs an accusation that the tap saw.
func (c *Core) accused(in Accused) {
	r := c.table.get(in.Subject)
	if r == nil || r.fact.state == 0 {
		return
	}
	if !validName(in.Accuser) {
		c.ignored++
		return
	}
	c.accusedOnTrial(r, in.Incarnation, in.Accuser)
	before, claim := r.fact, Claim{in.Incarnation, Suspect}
	if before.local {
		if in.Incarnation >= before.inc {
			c.addAccuser(r, in, "this node is accused itself")
		}
		return
	}
	switch weigh(before.claim(), claim) {
	case agree:
		if c.addAccuser(r, in, "") {
			r.suspicion.fresh = true
			c.follow(r)
		}
	case ask:
		r.heard = max(r.heard, in.Incarnation)
	case take:
		reason := in.Accuser + " got no answer from it"
		if in.Accuser == c.cfg.Self {
			reason = "it did not answer this node's probe"
		}
		note := reason
		if before.state == Suspect {
			// A higher incarnation means that it refuted in between, unseen: the
			// evidence starts anew, though the member was suspect here all along.
			note = "accused anew at a higher incarnation"
		}
		c.addAccuser(r, in, note)
		c.suspect(r, in.Incarnation, in.Accuser, reason)
		if in.Accuser == c.cfg.Self && in.Source == SourceOutbound { // anybody may send what says that this node accuses
			c.summon(r)
		}
		c.follow(r)
	}
}

// suspect makes a held member a suspect at inc, and tells so if it was none. Its evidence
// is there already.
func (c *Core) suspect(r *row, inc uint32, by, reason string) {
	before, f := r.fact.state, *r.fact
	if before == Suspect && f.inc == inc {
		return
	}
	f.inc, f.state = max(f.inc, inc), Suspect
	if before != Suspect {
		f.since = c.now
	}
	c.put(r, f)
	if before != Suspect {
		c.emit(ChangeSuspected, r.fact, before, saidBy(by), reason)
	}
	c.tellAllowance(r)
}

// evidence returns that against r, which starts anew when the incarnation is higher.
func (c *Core) evidence(r *row, inc uint32) *suspicion {
	if r.suspicion == nil || inc > r.suspicion.inc {
		before := r.suspicion
		if r.fact.inc != 0 && inc > r.fact.inc {
			r.refutedAt = c.now // unseen
		}
		r.suspicion = &suspicion{inc: inc, since: c.now, heard: c.now, next: c.now + recheckEvery, heardOf: neverHeard}
		if r.holding && before != nil { // what this node found itself stands: anybody may accuse at any incarnation
			r.suspicion.last, r.suspicion.lastAt, r.suspicion.lastWait, r.suspicion.silences = before.last, before.lastAt, before.lastWait, before.silences
		}
		if c.cfg.Verdicts != nil && !r.fact.local {
			c.effects = append(c.effects, Listen{Target{r.fact.name, r.fact.addr}})
		}
	}
	return r.suspicion
}

// addAccuser adds one accuser to the evidence against r and says whether that was new.
// Repetitions and what is over the bound leave no trace: suspect messages are relayed many times.
func (c *Core) addAccuser(r *row, in Accused, note string) bool {
	s := c.evidence(r, in.Incarnation)
	if in.Incarnation < s.inc || len(s.accusers) >= maxAccusers || slices.Contains(s.accusers, in.Accuser) {
		return false
	}
	accuser := c.name(in.Accuser)
	if accuser != c.cfg.Self {
		c.seconded(s)
	} else if c.cfg.Verdicts != nil && len(s.accusers)+len(s.testimonies) == 0 {
		s.alone = true
	}
	s.accusers = append(s.accusers, accuser)
	c.write(EntryAccused, r.fact, in.Incarnation, accuser, in.Source, note)
	c.blamed(r, accuser)
	return true
}

// seconded takes that another node accuses as well. The patience counts from there: a node that reads late finds many
// silent, and when others do at last, their refutation is as late here as the accusation.
func (c *Core) seconded(s *suspicion) {
	if s.alone {
		s.alone, s.since, s.heard = false, c.now, c.now
	}
}

// refuted weighs an alive message that the tap saw.
func (c *Core) refuted(in Refuted) {
	if r := c.table.get(in.Subject); r != nil && r.fact.state != 0 {
		c.heardAlive(r, in.Incarnation, SourceInbound)
	}
}

// heardAlive takes the claim that r was alive at inc.
func (c *Core) heardAlive(r *row, inc uint32, via Source) {
	before := r.fact
	switch weigh(before.claim(), Claim{inc, Alive}) {
	case ask:
		if r.engine {
			c.overturn(r, inc, via, fmt.Sprintf("it proved itself alive with incarnation %d", inc))
			return
		}
		r.heard = max(r.heard, inc)
	case take:
		if r.holding {
			r.heard = max(r.heard, inc) // the engine has given it up: only it can take it back
			return
		}
		if before.state == Suspect && (r.stall > 0 || c.slow(r)) {
			c.stalled(r, r.suspicion.since)
		}
		f := *before
		f.inc, f.state = inc, Alive
		if before.state == Alive {
			c.put(r, f)
			if before.inc != 0 {
				r.refutedAt = c.now
				c.write(EntryRefuted, r.fact, inc, f.name, via, "it raised its incarnation while it was not suspect here")
			}
			return
		}
		f.since = c.now
		c.put(r, f)
		reason := fmt.Sprintf("it proved itself alive with incarnation %d", inc)
		r.refutedAt = c.now
		c.emit(ChangeRefuted, r.fact, before.state, saidBy(f.name), reason)
		c.write(EntryRefuted, r.fact, inc, f.name, via, reason)
	}
}

// lapse drops a suspicion that has stood for too long.
func (c *Core) lapse(r *row) {
	f := *r.fact
	f.state, f.since = Alive, c.now
	reason := fmt.Sprintf("the suspicion was neither confirmed nor refuted for %v", c.cfg.SuspicionLapse)
	c.put(r, f)
	c.emit(ChangeLapsed, r.fact, Suspect, nil, reason)
	c.write(EntryLapsed, r.fact, f.inc, "", SourceRule, reason)
}

// conflictQuiet is how long a conflict about one name is not reported again: the
// engine reports it for every message of the other node, several times a second.
const conflictQuiet = time.Minute

// conflict reports that two nodes use one name.
func (c *Core) conflict(in Conflict) {
	r := c.table.get(in.Name)
	if r != nil && r.judged && r.engine {
		// A successor of one that crashed. The engine refuses it until its own suspicion is over.
		c.effects = append(c.effects, GiveUp{Subject: r.fact.name, Incarnation: r.fact.inc})
		return
	}
	if r == nil || r.fact.state == 0 || c.now < r.quiet {
		return
	}
	if r.fact.state == Suspect { // who has its name may be its successor; if it refutes, the engine goes on to report the conflict
		return
	}
	r.quiet = c.now + conflictQuiet
	reason := fmt.Sprintf("two nodes use the name %s: the one at %v is kept, the one at %v is refused; rename one of them",
		in.Name, in.Ours, in.Theirs)
	if r.fact.local {
		reason = fmt.Sprintf("the node at %v uses this node's name %s too; rename one of the two", in.Theirs, in.Name)
	}
	c.emit(ChangeConflict, r.fact, r.fact.state, nil, reason)
	c.write(EntryConflict, r.fact, r.fact.inc, "", SourceEngine, reason)
}
