package membership

import (
	"fmt"
	"slices"
	"time"
)

// A node looks at a suspect for one of two reasons: as a witness, with controls, to testify; and for the last
// time before it tells its subscribers, because nobody should declare a member failed that answers him.

// maxLooks and maxLastLooks bound how many looks of this node are under way, with controls and
// without, and maxLastLooks those that wait for late answers; others wait for the next recheck.
const (
	maxLooks     = 16
	maxLastLooks = 64
)

// look is one look of this node, as a witness or before a verdict.
type look struct {
	subject string
	inc     uint32
	last    bool
	// controlled looks have controls.
	controlled bool
	waits      bool          // for late answers, which takes long; so these keep no others from beginning
	givenUp    time.Duration // when its outcome is no longer waited for
}

// begin notes a look and asks the owner for it, unless the same one or too many are under way. Late answers count for as
// long as wait.
func (c *Core) begin(r *row, last bool, controls []Target, wait time.Duration) bool {
	s := r.suspicion
	c.looking = slices.DeleteFunc(c.looking, func(l look) bool { return c.now >= l.givenUp })
	l := look{subject: r.fact.name, inc: s.inc, last: last, controlled: len(controls) > 0, waits: wait > 0, givenUp: c.now + 4*c.cfg.Verdicts.ProbeInterval + wait}
	same, most := 0, maxLastLooks
	if l.controlled && !l.waits {
		most = maxLooks
	}
	for _, other := range c.looking {
		if other.controlled == l.controlled && other.waits == l.waits {
			same++
		}
		if other.last == last && other.subject == l.subject && other.inc == l.inc {
			return false
		}
	}
	if same >= most || c.self == nil || c.self.fact.state != Alive {
		return false
	}
	c.looking = append(c.looking, l)
	c.effects = append(c.effects, Probe{
		Subject: Target{r.fact.name, r.fact.addr}, Incarnation: s.inc, Controls: controls, Last: last, Wait: wait,
	})
	return true
}

// consider lets this node look at a suspect if it is a witness and has a reason to.
func (c *Core) consider(r *row) {
	s := r.suspicion
	if s.looks > 0 && (!s.fresh || c.now-s.lookedAt < c.cfg.Verdicts.ProbeInterval) || c.self == nil || s.by(c.cfg.Self) != nil {
		return
	}
	p := c.panel(r, s.inc)
	if p.available < 2 || lot(p.seed, c.self) > p.last {
		return
	}
	if c.begin(r, false, c.controls(r, s.inc), 0) {
		s.looks++
		s.lookedAt, s.fresh = c.now, false
		c.inquire(r, p)
	}
}

// probed takes the outcome of a look.
func (c *Core) probed(in Probed) {
	i := slices.IndexFunc(c.looking, func(l look) bool {
		return l.subject == in.Subject && l.inc == in.Incarnation && l.last == in.Last
	})
	if i < 0 {
		return
	}
	r := c.table.get(in.Subject)
	if in.Early {
		c.probedEarly(r, in)
		return
	}
	c.looking = slices.Delete(c.looking, i, i+1)
	if r == nil || (r.fact.state != Suspect || r.suspicion.inc != in.Incarnation && !(in.Last && r.holding)) && !r.relays(in.Incarnation) {
		return
	}
	deaf := in.ControlsAsked > 0 && 2*in.ControlsAnswered <= in.ControlsAsked
	found := foundSilent
	switch {
	case in.Answered:
		found = foundAnswering
		c.write(EntryAnswered, r.fact, in.Incarnation, c.self.fact.name, SourceRule, "it answered this node's probe")
		if r.judged { // on the early report of this look
			c.effects = append(c.effects, Reconcile{Target{r.fact.name, r.fact.addr}})
		}
	case deaf:
		found = foundNobody
		c.abstain(r, in)
	case !in.Last:
		c.findSilent(r, in)
	}
	s := r.suspicion
	if in.Last || in.Answered {
		s.last = found
		switch {
		case found != foundSilent:
			s.silences = 0
		case c.isSilent(r):
			s.silences++
		}
	}
	if in.Answered {
		s.lastAt = c.now
	}
	c.table.setLost(r, r.holding && (s.last == foundSilent || s.last == foundNobody))
	c.follow(r)
}

// probedEarly takes what a look that goes on has found so far. That is enough about a member of which nobody has heard for long.
func (c *Core) probedEarly(r *row, in Probed) {
	deaf := in.ControlsAsked > 0 && 2*in.ControlsAnswered <= in.ControlsAsked
	if r == nil || r.fact.state != Suspect || r.suspicion.inc != in.Incarnation || r.holding || deaf {
		return
	}
	switch s := r.suspicion; {
	case in.Last && s.last == lookingNow && c.longSilent(r): // else something was found since it began
		s.last = foundSilent
	case !in.Last && s.asked && c.heardLongAgo(r):
		c.findSilent(r, in)
	default:
		return
	}
	c.follow(r)
}

// findSilent testifies against r, which did not answer.
func (c *Core) findSilent(r *row, in Probed) {
	if c.addTestimony(r, in.Incarnation, c.self, r.suspicion.asked, fmt.Sprintf("it did not answer this node, though %d of %d controls did",
		in.ControlsAnswered, in.ControlsAsked)) {
		var to []Target
		if r.fact.state == Suspect && c.awaitsGossip(r) {
			to = append(c.otherWitnesses(r), c.hasten(r)...)
		}
		c.spread(r, to...)
	}
}

// abstain says nothing against r, for this node reaches nobody.
func (c *Core) abstain(r *row, in Probed) {
	c.tally.Abstentions++
	r.suspicion.fresh = true
	c.deafAt, c.deaf = c.now, true
	c.write(EntryAbstained, r.fact, in.Incarnation, c.self.fact.name, SourceRule,
		fmt.Sprintf("it did not answer this node, but only %d of %d controls did: the fault may be this node's",
			in.ControlsAnswered, in.ControlsAsked))
}

// lateness is how long a last look at r waits for late answers. Who is still heard is slow to read, not crashed: its answers
// come later than a probe's timeout, and a node that has missed its refutation learns from them that it is alive. Once a look
// has waited all do: else those that hear it, accused themselves now and then, would make this node look anew each time, and for ever.
func (c *Core) lateness(r *row) time.Duration {
	if c.isHeard(r) || r.suspicion.lastWait > 0 {
		return min(c.cfg.Verdicts.Silence, c.cfg.Verdicts.EngineTimeout)
	}
	return 0
}

// lookTakes is how long a last look at r takes.
func (c *Core) lookTakes(r *row) time.Duration { return c.cfg.Verdicts.ProbeTimeout + c.lateness(r) }

// lookLast begins a last look at r unless there is one that is under way or recent enough.
func (c *Core) lookLast(r *row, controls []Target) {
	s, v, wait := r.suspicion, c.cfg.Verdicts, c.lateness(r)
	recent := c.now-s.lastAt <= v.Patience+v.ProbeTimeout+s.lastWait
	if s.last == notLooked || !recent || s.last == foundSilent && s.lastWait < wait {
		s.last = notLooked
		if c.begin(r, true, controls, wait) {
			s.last, s.lastAt, s.lastWait = lookingNow, c.now, wait
		}
	}
}

// isSilent says whether this node's last look has found r silent.
func (c *Core) isSilent(r *row) bool {
	return r.suspicion.last == foundSilent && r.suspicion.lastWait >= c.lateness(r)
}
