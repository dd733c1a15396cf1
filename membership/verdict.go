package membership

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of what witnesses can make a core keep and do.
const (
	// maxTestimonies bounds the testimonies about one member: as many as witnesses that
	// another view may have chosen, for the default of 8.
	maxTestimonies = 16
	// A witness may testify maxPerWitness times in a witnessWindow, what is known already or outdated not counted; when half
	// of a thousand nodes vanish at once, each of the others is a witness about 8 times.
	maxPerWitness = 64
	witnessWindow = 10 * time.Second
)

// Tally counts what has come of accusations since the start.
type Tally struct {
	Testimonies uint64 // this node's own
	Abstentions uint64 // looks at which this node's controls were silent too
	Verdicts    uint64
	Overturned  uint64 // verdicts after which the member proved itself alive
	HeldBack    uint64 // failures reported by the engine that nobody had confirmed
	Spared      uint64 // those of them that never reached subscribers
	Probations  uint64 // members that came back, or answered too little, and had to prove themselves first
	Unreliable  uint64 // those of them that answered too little
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
		if in.Incarnation >= r.fact.inc && c.addTestimony(r, in.Incarnation, w, false, "this node is accused itself") {
			c.effects = append(c.effects, Refute{Incarnation: in.Incarnation, Witness: w.fact.name})
		}
		return
	}
	late := r.relays(in.Incarnation)
	if !late && !r.fact.state.held() {
		return
	}
	if s := r.suspicion; s != nil && s.inc == in.Incarnation {
		if t := s.by(w.fact.name); t != nil { // as most are
			news := in.Asked && !t.asked // a node of an older version leaves that out
			t.asked = t.asked || in.Asked
			c.backdate(r, in)
			if news {
				c.follow(r)
			}
			return
		}
	}
	outcome := weigh(r.fact.claim(), Claim{in.Incarnation, Suspect})
	if !late && outcome != agree && outcome != take || !c.spend(w) { // echoes of what was refuted cost the witness nothing
		return
	}
	if p := c.panel(r, in.Incarnation); lot(p.seed, w) > p.plausible {
		c.ignored++
		c.counts.TestimoniesRefused++
		return
	}
	if !c.addTestimony(r, in.Incarnation, w, in.Asked, "") {
		return
	}
	if !late {
		c.suspect(r, in.Incarnation, w.fact.name, w.fact.name+" got no answer from it")
	}
	c.backdate(r, in)
	var to []Target
	if !late {
		to = c.hasten(r)
	}
	c.spread(r, to...)
	c.follow(r)
}

// spread broadcasts what is testified about r. Each message has all of it, so that a node that misses
// some of them lacks nothing. It is sent to the given members directly as well.
func (c *Core) spread(r *row, to ...Target) {
	c.effects = append(c.effects, c.testimony(r, to))
}

// testimony is all that is known here about r, as others are told.
func (c *Core) testimony(r *row, to []Target) Testify {
	s := r.suspicion
	names, asked := make([]string, len(s.testimonies)), make([]bool, len(s.testimonies))
	for i, t := range s.testimonies {
		names[i], asked[i] = t.witness, t.asked
	}
	return Testify{Subject: r.fact.name, Incarnation: s.inc, Witnesses: names, Asked: asked,
		Age: c.now - s.since, Hearers: slices.Clone(s.hearers), Before: s.before(), To: to}
}

// backdate counts the patience with r from the accusation itself and not from when the news came
// here, so that all nodes come to a verdict at the same time. Since anybody may say so, only half of the
// patience can be taken for over.
func (c *Core) backdate(r *row, in Testified) {
	s := r.suspicion
	s.since = min(s.since, max(c.now-max(in.Age, 0), s.heard-c.cfg.Verdicts.Patience/2))
	if r.fact.state == Suspect {
		c.rearm(r)
	}
}

// relays says whether testimonies about r at inc are still passed on though the verdict is
// known here: until the engine has noticed itself, others may lack one.
func (r *row) relays(inc uint32) bool {
	return r.judged && r.engine && r.suspicion != nil && r.suspicion.inc == inc
}

// spend takes one from what the witness may say in this window.
func (c *Core) spend(w *row) bool {
	if c.now-w.windowAt >= witnessWindow {
		w.windowAt, w.said = c.now, 0
	}
	if w.said >= maxPerWitness {
		c.ignored++
		c.counts.TestimoniesRefused++
		return false
	}
	w.said++
	return true
}

// by returns the witness's testimony; nil if there is none.
func (s *suspicion) by(witness string) *testimony {
	for i := range s.testimonies {
		if s.testimonies[i].witness == witness {
			return &s.testimonies[i]
		}
	}
	return nil
}

// addTestimony adds to the evidence against r and says whether that was new.
func (c *Core) addTestimony(r *row, inc uint32, w *row, asked bool, note string) bool {
	s := c.evidence(r, inc)
	if inc < s.inc || len(s.testimonies) >= maxTestimonies || s.by(w.fact.name) != nil {
		return false
	}
	s.testimonies = append(s.testimonies, testimony{w.fact.name, c.now, asked})
	via := SourceInbound
	if w == c.self {
		via = SourceRule
		c.tally.Testimonies++
	} else {
		c.seconded(s)
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
	ripe, takes := s.since+c.patience(r), c.lookTakes(r)
	times := []time.Duration{ripe - takes, ripe, r.heldUntil - takes, r.heldUntil}
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
	p := max(c.untilSilent(r), c.allowance(r))
	if !c.longSilent(r) {
		p = max(p, v.Patience)
	}
	if c.isHeard(r) {
		p = max(p, v.engineTimeout(c.heldCount()))
	}
	return p
}

func (c *Core) heldCount() int { return c.table.counts[Alive] + c.table.counts[Suspect] }

// judge passes the verdict on r when its time has come and the evidence is there. Whatever the
// witnesses say, nobody declares a member failed that answers its own probe: the last look, so
// timed that it costs no time.
func (c *Core) judge(r *row) {
	s := r.suspicion
	patience := c.patience(r)
	if len(s.testimonies) < 2 || c.now < s.since+patience-c.lookTakes(r) {
		return
	}
	c.lookLast(r, nil)
	if c.isSilent(r) && c.now >= s.since+patience {
		if witnesses := c.confirmed(r); witnesses != nil {
			c.convict(r, witnesses)
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
	if c.longSilent(r) {
		reason += fmt.Sprintf("; the members were asked, and it had been heard of last %v before the accusation", r.suspicion.before().Round(10*time.Millisecond))
	}
	before, f, evidence := r.fact.state, *r.fact, r.suspicion
	f.state, f.since = Failed, c.now
	c.put(r, f)
	r.judged, r.suspicion, r.outSince = true, evidence, evidence.since
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
