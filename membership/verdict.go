package membership

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Bounds of what witnesses can make a core keep and do.
const (
	// maxTestimonies bounds the testimonies about one member: as many as witnesses that
	// another view may have chosen, for the default of 8.
	maxTestimonies = 16
	// maxLooks and maxLastLooks bound how many looks of this node are under way, with controls and
	// without; others wait for the next recheck.
	maxLooks     = 16
	maxLastLooks = 64
	// A witness may testify against maxPerWitness members in a witnessWindow; when half of a thousand
	// nodes vanish at once, each of the others is a witness about 8 times.
	maxPerWitness = 64
	witnessWindow = 10 * time.Second
)

// look is one look of this node, as a witness or before a verdict.
type look struct {
	subject string
	inc     uint32
	last    bool
	// controlled looks have controls.
	controlled bool
	at         time.Duration
}

// Tally counts what has come of accusations since the start.
type Tally struct {
	Testimonies uint64 // this node's own
	Abstentions uint64 // looks at which this node's controls were silent too
	Verdicts    uint64
	Overturned  uint64 // verdicts after which the member proved itself alive
	HeldBack    uint64 // failures reported by the engine that nobody had confirmed
	Spared      uint64 // those of them that never reached subscribers
}

// Tally returns the counts so far. They stay 0 without Config.Verdicts.
func (c *Core) Tally() Tally { return c.tally }

// testified weighs a witness's finding.
func (c *Core) testified(in Testified) {
	r, w := c.table.get(in.Subject), c.table.get(in.Witness)
	if c.cfg.Verdicts == nil || r == nil || w == nil || r == w || w == c.self || !w.fact.state.held() {
		return
	}
	if r.fact.local {
		// Whoever says so, the engine must refute it before it is believed.
		if in.Incarnation >= r.fact.inc && c.addTestimony(r, in.Incarnation, w, "this node is accused itself") {
			c.effects = append(c.effects, Refute{Incarnation: in.Incarnation, Witness: w.fact.name})
		}
		return
	}
	if !r.fact.state.held() || !c.spend(w) {
		return
	}
	if p := c.panel(r, in.Incarnation); lot(p.seed, w) > p.plausible {
		c.ignored++
		return
	}
	switch weigh(r.fact.claim(), Claim{in.Incarnation, Suspect}) {
	case agree, take:
		if c.addTestimony(r, in.Incarnation, w, "") {
			c.suspect(r, in.Incarnation, w.fact.name, w.fact.name+" got no answer from it")
			c.effects = append(c.effects, Testify{Subject: r.fact.name, Incarnation: in.Incarnation, Witness: w.fact.name})
			c.follow(r)
		}
	}
}

// spend takes one from what the witness may say in this window.
func (c *Core) spend(w *row) bool {
	if c.now-w.windowAt >= witnessWindow {
		w.windowAt, w.said = c.now, 0
	}
	if w.said >= maxPerWitness {
		c.ignored++
		return false
	}
	w.said++
	return true
}

// addTestimony adds to the evidence against r and says whether that was new.
func (c *Core) addTestimony(r *row, inc uint32, w *row, note string) bool {
	s := c.evidence(r, inc)
	if inc < s.inc || len(s.testimonies) >= maxTestimonies ||
		slices.ContainsFunc(s.testimonies, func(t testimony) bool { return t.witness == w.fact.name }) {
		return false
	}
	s.testimonies = append(s.testimonies, testimony{w.fact.name, c.now})
	via := SourceInbound
	if w == c.self {
		via = SourceRule
		c.tally.Testimonies++
	}
	c.write(EntryTestified, r.fact, inc, w.fact.name, via, note)
	return true
}

// follow does what new evidence against r, or time, calls for.
func (c *Core) follow(r *row) {
	if c.cfg.Verdicts == nil || r.fact.state != Suspect {
		return
	}
	c.consider(r)
	if r.holding {
		c.release(r)
	} else {
		c.judge(r)
	}
	if r.fact.state == Suspect {
		c.rearm(r)
	}
}

// review does everything about a suspect that time has made due. Afterwards r is no
// suspect any more, or reviewAt is later than now.
func (c *Core) review(r *row) {
	s := r.suspicion
	if !r.holding && s.since+c.cfg.SuspicionLapse <= c.now {
		c.lapse(r)
		return
	}
	s.next = c.now + recheckEvery
	c.follow(r)
}

// reviewAt returns when time alone may change something about a suspect.
func (c *Core) reviewAt(r *row) time.Duration {
	s := r.suspicion
	due := max(s.next, c.now+1)
	ripe := s.since + c.patience(r)
	times := []time.Duration{ripe - c.cfg.Verdicts.ProbeTimeout, ripe, r.heldUntil - c.cfg.Verdicts.ProbeTimeout, r.heldUntil}
	if !r.holding {
		times = append(times, s.since+c.cfg.SuspicionLapse)
	}
	for _, at := range times {
		if at > c.now {
			due = min(due, at)
		}
	}
	return due
}

// begin notes a look and asks the owner for it, unless the same one or too many are under way.
func (c *Core) begin(r *row, last bool, controls []Target) bool {
	s := r.suspicion
	c.looking = slices.DeleteFunc(c.looking, func(l look) bool { return c.now-l.at >= 4*c.cfg.Verdicts.ProbeInterval })
	l := look{subject: r.fact.name, inc: s.inc, last: last, controlled: len(controls) > 0, at: c.now}
	same, most := 0, maxLastLooks
	if l.controlled {
		most = maxLooks
	}
	for _, other := range c.looking {
		if other.controlled == l.controlled {
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
		Subject: Target{r.fact.name, r.fact.addr}, Incarnation: s.inc, Controls: controls, Last: last,
	})
	return true
}

// consider lets this node look at a suspect if it is a witness and has a reason to.
func (c *Core) consider(r *row) {
	s := r.suspicion
	if s.looks > 0 && (!s.fresh || c.now-s.lookedAt < c.cfg.Verdicts.ProbeInterval) || c.self == nil || c.hasTestified(s) {
		return
	}
	if p := c.panel(r, s.inc); p.available < 2 || lot(p.seed, c.self) > p.last {
		return
	}
	if c.begin(r, false, c.controls(r, s.inc)) {
		s.looks++
		s.lookedAt, s.fresh = c.now, false
	}
}

func (c *Core) hasTestified(s *suspicion) bool {
	return slices.ContainsFunc(s.testimonies, func(t testimony) bool { return t.witness == c.self.fact.name })
}

// probed takes the outcome of a look.
func (c *Core) probed(in Probed) {
	i := slices.IndexFunc(c.looking, func(l look) bool {
		return l.subject == in.Subject && l.inc == in.Incarnation && l.last == in.Last
	})
	if i < 0 {
		return
	}
	c.looking = slices.Delete(c.looking, i, i+1)
	r := c.table.get(in.Subject)
	if r == nil || r.fact.state != Suspect || r.suspicion.inc != in.Incarnation {
		return
	}
	deaf := in.ControlsAsked > 0 && 2*in.ControlsAnswered <= in.ControlsAsked
	found := foundSilent
	switch {
	case in.Answered:
		found = foundAnswering
		c.write(EntryAnswered, r.fact, in.Incarnation, c.self.fact.name, SourceRule, "it answered this node's probe")
	case deaf:
		found = foundNobody
		c.abstain(r, in)
	case !in.Last:
		c.findSilent(r, in)
	}
	if in.Last {
		r.suspicion.last = found
	}
	c.follow(r)
}

// findSilent testifies against r, which did not answer.
func (c *Core) findSilent(r *row, in Probed) {
	if c.addTestimony(r, in.Incarnation, c.self, fmt.Sprintf("it did not answer this node, though %d of %d controls did",
		in.ControlsAnswered, in.ControlsAsked)) {
		c.effects = append(c.effects, Testify{Subject: r.fact.name, Incarnation: in.Incarnation, Witness: c.self.fact.name})
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

// confirmed returns the witnesses whose testimonies count against r, if they are a quorum
// and this node may judge; else nil.
func (c *Core) confirmed(r *row) []testimony {
	s := r.suspicion
	if s == nil || len(s.testimonies) < 2 {
		return nil
	}
	p := c.panel(r, s.inc)
	if p.available < 2 || !p.majority {
		return nil
	}
	var counting []testimony
	for _, t := range s.testimonies {
		if w := c.table.get(t.witness); w != nil && w.fact.state == Alive && lot(p.seed, w) <= p.plausible {
			counting = append(counting, t)
		}
	}
	if len(counting) < p.quorum {
		return nil
	}
	return counting
}

// patience is how long after the first accusation a verdict about r must wait.
func (c *Core) patience(r *row) time.Duration {
	v := c.cfg.Verdicts
	return max(v.Patience, min(2*c.stallOf(r), v.PatienceMax))
}

func (c *Core) heldCount() int { return c.table.counts[Alive] + c.table.counts[Suspect] }

// stallOf is what is left of the memory of r's longest silence.
func (c *Core) stallOf(r *row) time.Duration {
	if r.stall == 0 {
		return 0
	}
	return time.Duration(float64(r.stall) * math.Exp2(-float64(c.now-r.stallAt)/float64(stallHalfLife)))
}

// stalled remembers that r was silent since the given time and is back now. One that was away
// for longer than patience can be was really gone.
func (c *Core) stalled(r *row, since time.Duration) {
	silence := c.now - since
	if silence <= c.cfg.Verdicts.PatienceMax && silence > c.stallOf(r) {
		r.stall, r.stallAt = silence, c.now
	}
}

// judge passes the verdict on r when its time has come and the evidence is there. Whatever the
// witnesses say, nobody declares a member failed that answers its own probe: the last look, so
// timed that it costs no time.
func (c *Core) judge(r *row) {
	s := r.suspicion
	patience := c.patience(r)
	if len(s.testimonies) < 2 || c.now < s.since+patience-c.cfg.Verdicts.ProbeTimeout {
		return
	}
	c.lookLast(r, nil)
	if s.last == foundSilent && c.now >= s.since+patience {
		if witnesses := c.confirmed(r); witnesses != nil {
			c.convict(r, witnesses)
		}
	}
}

// lookLast begins a last look at r unless there is one that is under way or recent enough.
func (c *Core) lookLast(r *row, controls []Target) {
	s, v := r.suspicion, c.cfg.Verdicts
	recent := c.now-s.lastAt <= v.Patience+v.ProbeTimeout
	if s.last == notLooked || !recent {
		s.last = notLooked
		if c.begin(r, true, controls) {
			s.last, s.lastAt = lookingNow, c.now
		}
	}
}

// convict makes r failed on the word of the witnesses.
func (c *Core) convict(r *row, witnesses []testimony) {
	names := make([]string, len(witnesses))
	last := r.suspicion.since
	for i, w := range witnesses {
		names[i], last = w.witness, max(last, w.at)
	}
	reason := fmt.Sprintf("confirmed by %s within %v, their controls answered",
		all(names), (last - r.suspicion.since).Round(time.Millisecond))
	if accusers := r.suspicion.accusers; len(accusers) > 0 {
		reason = fmt.Sprintf("accused by %s, %s", list(accusers), reason)
	}
	before, f := r.fact.state, *r.fact
	since := r.suspicion.since
	f.state, f.since = Failed, c.now
	c.put(r, f)
	r.judged, r.outSince = true, since
	c.tally.Verdicts++
	c.emit(ChangeFailed, r.fact, before, names, reason)
	c.write(EntryVerdict, r.fact, f.inc, "", SourceRule, reason)
}

// all writes all names, as people do.
func all(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// overturn brings back a member that was gone here but that the engine never gave up.
func (c *Core) overturn(r *row, inc uint32, via Source, reason string) {
	f := *r.fact
	before := f.state
	f.state, f.inc, f.since, f.forcedOut = Alive, inc, c.now, false
	c.overturned(r)
	c.put(r, f)
	c.emit(ChangeJoined, r.fact, before, saidBy(f.name), reason)
	c.write(EntryOverturned, r.fact, inc, f.name, via, reason)
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

// holdBack weighs a failure that the engine reports, and says whether it is dealt with. With a quorum it
// is passed on at once, as a verdict; else it is held back from subscribers. The engine believes any dead message, so one deaf or slow node would make healthy ones vanish for
// everybody; and it believes its own timers, so a node that is cut off would hold everybody failed. A
// failure is passed on when this node's own probe finds the member silent and its controls not, and the member has
// had time to refute: patience, or the engine's own timeout.
func (c *Core) holdBack(r *row, inc uint32) bool {
	v := c.cfg.Verdicts
	if p := c.panel(r, inc); !r.fact.state.held() || p.available < 2 {
		return false
	}
	if s := r.suspicion; s != nil && s.last != foundAnswering && c.now >= s.since+c.patience(r) {
		if witnesses := c.confirmed(r); witnesses != nil {
			c.convict(r, witnesses)
			return true
		}
	}
	until := c.now + v.Patience
	if s := r.suspicion; s != nil && s.inc >= inc {
		until = max(c.now, min(until, s.since+v.engineTimeout(c.heldCount())))
		if patience := c.patience(r); patience > v.Patience {
			until = max(until, s.since+patience)
		}
	}
	c.tally.HeldBack++
	r.holding, r.heldSince, r.heldUntil = true, c.now, until
	reason := "the engine was told that it failed, and no quorum here has confirmed it"
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

// release passes on a failure that was held back, if it is time to.
func (c *Core) release(r *row) {
	s, v := r.suspicion, c.cfg.Verdicts
	if c.now < r.heldUntil-v.ProbeTimeout {
		return
	}
	if c.deaf && c.now-c.deafAt < v.Patience && s.last != lookingNow {
		s.last, s.lastAt = foundNobody, c.deafAt
	} else {
		c.lookLast(r, c.controls(r, s.inc))
	}
	if c.now < r.heldUntil {
		return
	}
	tooLong := c.now-r.heldSince >= c.cfg.SuspicionLapse
	if s.last != foundSilent && !tooLong {
		if s.last != lookingNow {
			s.last, r.heldUntil = notLooked, c.now+v.Patience // and then this node looks again
		}
		return
	}
	if witnesses := c.confirmed(r); witnesses != nil {
		c.convict(r, witnesses)
		return
	}
	by, reason := c.failedBecause(r)
	c.gone(r, Claim{r.fact.inc, Failed}, by, reason)
}
