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
	// maxLooks bounds how many looks of this node are under way; others wait for the next recheck.
	maxLooks = 16
	// A witness may testify against maxPerWitness members in a witnessWindow; when half of a thousand
	// nodes vanish at once, each of the others is a witness about 8 times.
	maxPerWitness = 64
	witnessWindow = 10 * time.Second
)

// look is one look of this node as a witness.
type look struct {
	subject string
	inc     uint32
	at      time.Duration
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

// follow does what new evidence against r, or a failure held back, calls for.
func (c *Core) follow(r *row) {
	if c.cfg.Verdicts == nil || r.fact.state != Suspect {
		return
	}
	c.consider(r)
	c.judge(r)
	c.rearm(r)
}

// review does everything about a suspect that time has made due. Afterwards r is no
// suspect any more, or reviewAt is later than now.
func (c *Core) review(r *row) {
	s := r.suspicion
	switch {
	case r.holding && r.heldUntil <= c.now:
		c.accept(r)
		return
	case !r.holding && s.since+c.cfg.SuspicionLapse <= c.now:
		c.lapse(r)
		return
	}
	s.next = c.now + recheckEvery
	c.follow(r)
}

// reviewAt returns when time alone may change something about a suspect.
func (c *Core) reviewAt(r *row) time.Duration {
	s := r.suspicion
	due := s.since + c.cfg.SuspicionLapse
	if r.holding {
		due = r.heldUntil
	}
	due = min(due, max(s.next, c.now+1))
	if ripe := s.since + c.patience(r); ripe > c.now {
		due = min(due, ripe)
	}
	return due
}

// consider lets this node look at a suspect if it is a witness and has a reason to.
func (c *Core) consider(r *row) {
	s, v := r.suspicion, c.cfg.Verdicts
	c.looking = slices.DeleteFunc(c.looking, func(l look) bool { return c.now-l.at >= 4*v.ProbeInterval })
	underWay := slices.ContainsFunc(c.looking, func(l look) bool { return l.subject == r.fact.name && l.inc == s.inc })
	again := s.looks > 0 && (!s.fresh || c.now-s.lookedAt < v.ProbeInterval)
	if underWay || again || len(c.looking) >= maxLooks || c.self == nil || c.self.fact.state != Alive {
		return
	}
	p := c.panel(r, s.inc)
	if p.available < 2 || lot(p.seed, c.self) > p.last || c.hasTestified(s) {
		return
	}
	s.looks++
	s.lookedAt, s.fresh = c.now, false
	c.looking = append(c.looking, look{r.fact.name, s.inc, c.now})
	c.effects = append(c.effects, Probe{
		Subject: Target{r.fact.name, r.fact.addr}, Incarnation: s.inc, Controls: c.controls(r, s.inc),
	})
}

func (c *Core) hasTestified(s *suspicion) bool {
	return slices.ContainsFunc(s.testimonies, func(t testimony) bool { return t.witness == c.self.fact.name })
}

// probed takes the outcome of a look.
func (c *Core) probed(in Probed) {
	i := slices.IndexFunc(c.looking, func(l look) bool { return l.subject == in.Subject && l.inc == in.Incarnation })
	if i < 0 {
		return
	}
	c.looking = slices.Delete(c.looking, i, i+1)
	r := c.table.get(in.Subject)
	if r == nil || r.fact.state != Suspect || r.suspicion.inc != in.Incarnation {
		return
	}
	switch {
	case in.Answered:
		c.write(EntryAnswered, r.fact, in.Incarnation, c.self.fact.name, SourceRule, "it answered this node's probe")
	case 2*in.ControlsAnswered > in.ControlsAsked:
		if c.addTestimony(r, in.Incarnation, c.self, fmt.Sprintf("it did not answer this node, though %d of %d controls did",
			in.ControlsAnswered, in.ControlsAsked)) {
			c.effects = append(c.effects, Testify{Subject: r.fact.name, Incarnation: in.Incarnation, Witness: c.self.fact.name})
		}
	default:
		c.tally.Abstentions++
		r.suspicion.fresh = true
		c.write(EntryAbstained, r.fact, in.Incarnation, c.self.fact.name, SourceRule,
			fmt.Sprintf("it did not answer this node, but only %d of %d controls did: the fault may be this node's",
				in.ControlsAnswered, in.ControlsAsked))
	}
	c.follow(r)
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
	most := min(v.PatienceMax, v.engineTimeout(c.heldCount()))
	return time.Duration(min(float64(v.Patience)*math.Exp2(c.burdenOf(r)), float64(max(most, v.Patience))))
}

func (c *Core) heldCount() int { return c.table.counts[Alive] + c.table.counts[Suspect] }

func (c *Core) burdenOf(r *row) float64 {
	if r.burden == 0 {
		return 0
	}
	return r.burden * math.Exp2(-float64(c.now-r.burdenAt)/float64(burdenHalfLife))
}

// judge passes the verdict on r when its time has come and the evidence is there.
func (c *Core) judge(r *row) {
	if c.now < r.suspicion.since+c.patience(r) {
		return
	}
	if witnesses := c.confirmed(r); witnesses != nil {
		c.convict(r, witnesses)
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
	f.state, f.since = Failed, c.now
	c.put(r, f)
	r.judged = true
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
		r.burden, r.burdenAt = c.burdenOf(r)+1, c.now
	}
}

// unconfirmed brings back a member that the engine has not given up in all the time that its
// longest suspicion takes: a refutation was not seen here.
func (c *Core) unconfirmed(r *row) {
	c.overturn(r, r.fact.inc, SourceRule,
		fmt.Sprintf("the engine did not confirm in %v that it is gone", c.cfg.SuspicionLapse))
}

// holdBack keeps a failure that the engine reports from subscribers while the member may
// still refute it, and says whether it does. The engine believes any dead message, so one
// deaf or slow node would make healthy ones vanish for everybody. A suspicion that has stood
// for as long as the engine lets one stand needs no confirmation.
func (c *Core) holdBack(r *row, inc uint32) bool {
	v := c.cfg.Verdicts
	if p := c.panel(r, inc); !r.fact.state.held() || p.available < 2 {
		return false
	}
	until := c.now + v.Patience
	if s := r.suspicion; s != nil && s.inc >= inc {
		until = min(until, s.since+v.engineTimeout(c.heldCount()))
	}
	if until <= c.now {
		return false
	}
	c.tally.HeldBack++
	r.holding, r.heldUntil = true, until
	reason := "the engine was told that it failed, and no quorum here has confirmed it"
	c.evidence(r, inc).fresh = true
	c.write(EntryHeld, r.fact, inc, "", SourceEngine, reason)
	c.suspect(r, inc, "", reason)
	c.follow(r)
	return true
}

// accept takes over a failure that was held back and not refuted.
func (c *Core) accept(r *row) {
	by, reason := c.failedBecause(r)
	c.gone(r, Claim{r.fact.inc, Failed}, by, reason)
}
