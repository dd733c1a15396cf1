package membership

import (
	"fmt"
	"time"
)

// A member whose packets are lost half of the time, or for twenty seconds of every forty, fails rightly and comes back rightly,
// again and again. Whoever moves work away from failed members does that each time. So one that fails again
// soon after it had come back is on probation when it comes back once more: the engine holds it alive and probes it, subscribers see
// it failed, until nobody has accused it for a while. A probe in the cluster that it leaves
// unanswered, directly and through others, begins the while anew.
//
// Three kinds of return are never put off: the first, since most faults happen once; that of a new process, whose past is not
// its own; and that of many at once, who were cut off and not faulty.

// flapsWithin is how many probations after its return a member must fail again to have come back too soon.
const flapsWithin = 10

// togetherWithin is how far apart members are first accused that are cut off at the same moment. One on probation is
// accused by many; the engine gives it up half a minute later at most.
const togetherWithin = 30 * time.Second

// maxDoublings bounds how long a probation gets: to twice the setting, when the member has passed one only to fail again soon.
const maxDoublings = 1

// outageFrom is the silence from which on a member that came back is not met with patience, which is for pauses, when it falls silent
// soon again, but with a probation.
const outageFrom = 10 * time.Second

// fell notes that r has failed, and whether that was soon after it had come back. Of members that are cut off together
// some are met with more patience than others, so what counts is when r was first accused.
func (c *Core) fell(r *row, accused time.Duration) {
	if c.cfg.Verdicts == nil || r.fact.local {
		return
	}
	if c.cameBackLately(r) {
		r.flaps++
	} else {
		r.flaps = 0
	}
	r.fellAt = max(accused, 1)
}

// cameBackLately says whether a failure of r now would be soon after it had come back.
func (c *Core) cameBackLately(r *row) bool {
	return r.back != 0 && c.now-r.back < flapsWithin*c.cfg.Verdicts.Probation
}

// failsAgain says whether r, a suspect, would be on probation if it failed now and came back then.
func (c *Core) failsAgain(r *row) bool {
	return c.cameBackLately(r) && !c.manyFell(c.now, true)
}

// manyFell says whether so many members failed at about that time, or are suspect, that it was the network and not they.
func (c *Core) manyFell(at time.Duration, orSuspect bool) bool {
	members, fell := 0, 0
	for _, r := range c.table.rows {
		state := r.fact.state
		if state.held() || state == Failed {
			members++
		}
		if r.fellAt != 0 && (r.fellAt-at).Abs() < togetherWithin || orSuspect && state == Suspect {
			fell++
		}
	}
	return members < 3 || fell > max(1, members/10) // of two nobody knows whose fault it is
}

// probation returns for how long nobody must accuse r before it counts as back; 0 if it does at once.
func (c *Core) probation(r *row) time.Duration {
	if c.cfg.Verdicts == nil || r.flaps == 0 || c.manyFell(r.fellAt, false) {
		return 0
	}
	return c.cfg.Verdicts.Probation << min(r.flaps-1, maxDoublings)
}

// tries puts a member that the engine holds alive again on probation, or leaves it there, and says whether it did. f is what
// it would become.
func (c *Core) tries(r *row, f fact) bool {
	if r.fact.state != Failed {
		return false
	}
	if r.trial == 0 {
		trial := c.probation(r)
		if trial == 0 {
			return false
		}
		c.table.setTrial(r, trial)
		c.tally.Probations++
		r.judged, r.suspicion, r.clean, r.blamer = false, nil, c.now, ""
		c.write(EntryProbation, r.fact, f.inc, "", SourceRule, fmt.Sprintf(
			"it came back, but has failed %s soon after coming back: it stays failed here until nobody has accused it for %v",
			times(r.flaps), r.trial))
	}
	f.state, f.since, f.probation = Failed, r.fact.since, true
	c.put(r, f)
	return true
}

// fellOnTrial ends r's probation because the engine has given it up.
func (c *Core) fellOnTrial(r *row) {
	if r.trial == 0 {
		return
	}
	r.fellAt = r.clean
	f := *r.fact
	f.probation = false
	c.table.setTrial(r, 0)
	c.put(r, f)
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// accusedOnTrial begins the while anew in which nobody must accuse r. That takes another accuser each time, a
// member that is alive here, so that one deaf or slow node, which accuses everybody, does not keep a healthy member out.
func (c *Core) accusedOnTrial(r *row, inc uint32, accuser string) {
	if r.trial == 0 || inc < r.fact.inc || accuser == r.blamer {
		return
	}
	if w := c.table.get(accuser); w == nil || w.fact.state != Alive {
		return
	}
	r.clean, r.blamer = c.now, c.name(accuser)
	c.rearm(r)
}

// readmit ends a probation that was passed.
func (c *Core) readmit(r *row) {
	reason := fmt.Sprintf("nobody has accused it for %v since it came back", r.trial)
	f := *r.fact
	f.state, f.since, f.forcedOut = Alive, c.now, false
	c.put(r, f)
	c.emit(ChangeJoined, r.fact, Failed, nil, reason)
	c.write(EntryJoined, r.fact, f.inc, "", SourceRule, reason)
}
