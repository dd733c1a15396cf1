package membership

import (
	"fmt"
	"math"
	"time"
)

// holdBack weighs a failure that the engine reports, and says whether it is dealt with. With a quorum it
// is passed on at once, as a verdict; else it is held back from subscribers. The engine believes any dead message, so one deaf or slow node would make healthy ones vanish for
// everybody; and it believes its own timers, so a node that is cut off would hold everybody failed. A
// failure is passed on when this node's own probe finds the member silent and its controls not, and the member has
// had time to refute: patience, or the engine's own timeout.
func (c *Core) holdBack(r *row, inc uint32) bool {
	v := c.cfg.Verdicts
	if p := c.panel(r, inc); !r.fact.state.held() || p.available < 2 || c.self == nil {
		return false
	}
	until, reason := c.now+v.Patience, "the engine was told that it failed, and no quorum here has confirmed it"
	if s := r.suspicion; s != nil && s.inc >= inc {
		until = max(c.now, min(until, s.since+v.engineTimeout(c.heldCount())))
		ripe := s.since + c.patience(r)
		if c.patience(r) > v.Patience {
			until = max(until, ripe)
		}
		if witnesses := c.confirmed(r); witnesses != nil {
			until = min(until, max(c.now, ripe))
			if c.isSilent(r) && c.now >= ripe {
				c.convict(r, witnesses)
				return true
			}
			reason = "the engine was told that it failed, but the time for a verdict has not come"
		}
	}
	c.tally.HeldBack++
	r.holding, r.heldSince, r.heldUntil, r.heldInc = true, c.now, until, inc
	s := c.evidence(r, inc)
	s.fresh = true
	if s.last != lookingNow {
		s.last = notLooked
	}
	c.write(EntryHeld, r.fact, inc, "", SourceEngine, reason)
	c.suspect(r, inc, "", reason)
	c.follow(r)
	return true
}

// silencesAlone is how many last looks in a row must find a member silent when the engine reports it failed though
// witnesses enough for a quorum did not confirm it: that is more often the work of lost packets than a failure.
const silencesAlone = 3

// release passes on a failure that was held back, if it is time to.
func (c *Core) release(r *row) {
	s, v := r.suspicion, c.cfg.Verdicts
	if c.now < r.heldUntil-c.lookTakes(r) {
		return
	}
	if c.deaf && c.now-c.deafAt < v.Patience && s.last != lookingNow {
		s.last, s.lastAt = foundNobody, c.deafAt
		c.table.setLost(r, true)
	} else {
		c.lookLast(r, c.controls(r, s.inc))
	}
	if c.now < r.heldUntil {
		return
	}
	var witnesses []testimony
	if c.now >= s.since+c.patience(r) { // the evidence may have begun anew meanwhile
		witnesses = c.confirmed(r)
	}
	enough := witnesses != nil || s.silences >= silencesAlone || !c.panel(r, s.inc).majority
	tooLong := c.now-r.heldSince >= c.cfg.SuspicionLapse
	if (!c.isSilent(r) || !enough) && !tooLong {
		if s.last == foundAnswering && c.now-r.heldSince >= v.Patience {
			c.effects = append(c.effects, Reconcile{Target{r.fact.name, r.fact.addr}})
		}
		if s.last != lookingNow {
			s.last, r.heldUntil = notLooked, c.now+v.Patience // and then this node looks again
		}
		return
	}
	if witnesses != nil && c.isSilent(r) {
		c.convict(r, witnesses)
		return
	}
	by, reason := c.failedBecause(r)
	c.gone(r, Claim{r.fact.inc, Failed}, by, reason)
}

// overturn brings back a member that was gone here but that the engine never gave up.
func (c *Core) overturn(r *row, inc uint32, via Source, reason string) {
	f := *r.fact
	before := f.state
	f.state, f.inc, f.since, f.forcedOut = Alive, inc, c.now, false
	c.overturned(r)
	if c.tries(r, f) {
		return
	}
	c.put(r, f)
	c.emit(ChangeJoined, r.fact, before, saidBy(f.name), reason)
	c.write(EntryOverturned, r.fact, inc, f.name, via, reason)
}

// startedAnew takes note of r's process, and says whether it is another one than that known so far.
func (c *Core) startedAnew(r *row, life uint32) bool {
	if life == 0 {
		return false
	}
	other := r.life != 0 && r.life != life
	r.life = life
	return other
}

// forgive forgets what an earlier process of r's name did.
func (c *Core) forgive(r *row) {
	r.stall, r.back, r.flaps, r.blames, r.patiences = 0, 0, 0, nil, 0
}

// overturned makes verdicts on r slower if the last one was wrong.
func (c *Core) overturned(r *row) {
	if r.judged {
		c.tally.Overturned++
		c.stalled(r, r.outSince)
	}
}

// unconfirmed brings back a member that the engine has not given up in all the time that its
// longest suspicion takes: a refutation was not seen here.
func (c *Core) unconfirmed(r *row) {
	c.overturn(r, r.fact.inc, SourceRule,
		fmt.Sprintf("the engine did not confirm in %v that it is gone", c.cfg.SuspicionLapse))
}

// stallOf is what is left of the memory of r's longest silence.
func (c *Core) stallOf(r *row) time.Duration {
	if r.stall == 0 {
		return 0
	}
	return time.Duration(float64(r.stall) * math.Exp2(-float64(c.now-r.stallAt)/float64(stallHalfLife)))
}

// allowance is the patience that r gets for its longest silence, twice as long; 0 when there was none, or when it
// would be on probation if it came back from this one.
func (c *Core) allowance(r *row) time.Duration {
	stall := c.stallOf(r)
	if stall >= outageFrom && c.failsAgain(r) {
		return 0
	}
	return min(2*stall, c.cfg.Verdicts.PatienceMax)
}

// tellAllowance notes that a verdict on r, who is accused now, waits longer than on others.
func (c *Core) tellAllowance(r *row) {
	if c.cfg.Verdicts == nil || r.suspicion == nil {
		return
	}
	if p := c.allowance(r); p > c.cfg.Verdicts.Patience {
		c.write(EntryStalled, r.fact, r.suspicion.inc, "", SourceRule, fmt.Sprintf(
			"it had come back from a silence of %v only %v ago, so a verdict waits until %v after the accusation",
			r.stall.Round(10*time.Millisecond), (c.now-r.stallAt).Round(time.Second), p.Round(10*time.Millisecond)))
	}
}

// stalled remembers that r was silent since the given time and is back now. One that was away
// for longer than patience can be was really gone.
func (c *Core) stalled(r *row, since time.Duration) {
	silence := c.now - since
	if silence <= c.cfg.Verdicts.PatienceMax && silence > c.stallOf(r) {
		r.stall, r.stallAt = silence, c.now
	}
}
