package membership

import (
	"fmt"
	"slices"
	"time"
)

// A member that receives a fifth of what is sent to it hears of every accusation sooner or later, for gossip comes many
// times, and refutes it: it stays in the list, and whoever sends it work waits in vain. What gives it away is that it
// is accused again and again, each time by another. So is one that answers late, and one that others cannot reach for
// their own faults; so whoever notices that looks for itself, patiently: many pings, and late answers count. If most of
// them stay unanswered all the same, though those to others are answered in time, the member is held failed, on
// probation: until nobody has accused it for a while. Nobody else's word is enough.
//
// The two differ in when answers come, not only in how many: who hardly hears answers in time or not at all, while what waits for a
// member that reads late may outgrow its socket's buffer, so that the rest of the pings are lost there.

const (
	// blameWindow is how far back accusers are counted, in probe intervals: everybody is probed about once in each.
	blameWindow = 120
	// maxBlames bounds how many accusers of one member are remembered.
	maxBlames = 16
	// enoughBlamers is how many different members must have accused one lately before it is looked at patiently; in a
	// small cluster most of the others, but leastBlamers.
	enoughBlamers = 6
	leastBlamers  = 3
	// patientEvery is how many probe intervals lie at least between two patient looks at a member, twice as many each time that it
	// answered, up to maxPatientDoublings times: one that is always late is not asked by all for ever.
	patientEvery        = 10
	maxPatientDoublings = 6
	// maxPatient is how many members are looked at patiently at a time, and patientTakes what that takes at most.
	maxPatient   = 16
	patientTakes = 3 * time.Minute
	// A member that answers no more than one in tooFewAnswers pings is held failed; one that answers more than one in
	// manyAnswers is well, or late, and one most of whose answers come late is late. A single answer that is late may have been relayed by another
	// member, and may be all that a late reader's buffer has left over: like the rest it is chance, and soon looked at again.
	tooFewAnswers = 4
	manyAnswers   = 2
	// fewestPings are those from whose silence something follows: eight are sent to one that does not answer, but the owner may not have counted all.
	fewestPings = 6
)

// blame is the last accusation by one accuser.
type blame struct {
	accuser string
	at      time.Duration
}

// PatientProbe asks the owner to ping the subject many times, to wait for late answers as well, and to report how many came with
// [PatientlyProbed]; and to ping the controls, each once, for an answer in time. At most 16 are under way at a time; one whose outcome
// does not come within three minutes is given up.
type PatientProbe struct {
	Subject  Target
	Controls []Target // at most Verdicts.Controls
}

// PatientlyProbed is the outcome of a [PatientProbe]. One that nobody waits for any more is ignored.
type PatientlyProbed struct {
	Subject string
	Pings   int
	Answers int // in time or late
	Late    int // of the answers

	ControlsAsked    int
	ControlsAnswered int // in time
}

func (PatientProbe) effect()   {}
func (PatientlyProbed) input() {}

// blamed notes that r was accused, and begins to look at it if many have done that lately.
func (c *Core) blamed(r *row, accuser string) {
	if c.cfg.Verdicts == nil || c.cfg.Verdicts.Probation == 0 || r.fact.local || !r.fact.state.held() {
		return
	}
	window := c.blameWindow()
	r.blames = slices.DeleteFunc(r.blames, func(b blame) bool { return b.accuser == accuser || c.now-b.at > window })
	if len(r.blames) == 0 {
		r.patiences = 0 // it was well in between
	}
	if len(r.blames) == maxBlames {
		r.blames = slices.Delete(r.blames, 0, 1)
	}
	r.blames = append(r.blames, blame{accuser, c.now})
	if len(c.blamers(r)) < c.blamersNeeded() || !c.mayDoubt(r) || r.patientAt != 0 && c.now-r.patientAt < patientEvery<<r.patiences*c.cfg.Verdicts.ProbeInterval {
		return
	}
	if c.patientLooks() >= maxPatient {
		return
	}
	r.patientAt = c.now
	if c.manyBlamed() {
		return
	}
	r.patient = true
	c.effects = append(c.effects, PatientProbe{Target{r.fact.name, r.fact.addr}, c.controls(r, r.fact.inc)})
}

// patientLooks counts those under way.
func (c *Core) patientLooks() (n int) {
	for _, r := range c.table.rows {
		if r.patient && c.now-r.patientAt < patientTakes {
			n++
		}
	}
	return n
}

// mayDoubt says whether this node may hold r failed though it refutes.
func (c *Core) mayDoubt(r *row) bool {
	return c.self != nil && c.self.fact.state == Alive && c.condition == Connected &&
		r.fact.state.held() && r.engine && !r.holding && r.trial == 0
}

// blamers returns the members that have accused r lately and are not accused themselves.
func (c *Core) blamers(r *row) []string {
	var names []string
	for _, b := range r.blames {
		if m := c.table.get(b.accuser); m != nil && m.fact.state == Alive && c.now-b.at <= c.blameWindow() {
			names = append(names, m.fact.name)
		}
	}
	return names
}

func (c *Core) blameWindow() time.Duration { return blameWindow * c.cfg.Verdicts.ProbeInterval }

// blamersNeeded is how many of them make a member worth a patient look.
func (c *Core) blamersNeeded() int {
	return max(leastBlamers, min(enoughBlamers, c.heldCount()/2))
}

// manyBlamed says whether so many members are accused by many, or fail now, that it is the network and not they.
func (c *Core) manyBlamed() bool {
	many := 0
	for _, r := range c.table.rows {
		if len(r.blames) >= leastBlamers && len(c.blamers(r)) >= c.blamersNeeded() {
			many++
		}
	}
	return many > max(1, c.heldCount()/10) || c.manyFell(c.now, true)
}

// patientlyProbed takes the outcome of a patient look.
func (c *Core) patientlyProbed(in PatientlyProbed) {
	r := c.table.get(in.Subject)
	if r == nil || !r.patient {
		return
	}
	r.patient, r.patientAt = false, c.now
	if 2*in.ControlsAnswered <= in.ControlsAsked {
		return // this node itself is late, or cut off
	}
	switch late := 2*in.Late > in.Answers; {
	case late && in.Late > 1, in.Answers*manyAnswers > in.Pings:
		r.patiences = min(r.patiences+1, maxPatientDoublings)
		return
	case late, in.Answers*tooFewAnswers > in.Pings, in.Pings < fewestPings:
		return
	}
	blamers := c.blamers(r)
	if !c.mayDoubt(r) || len(blamers) < c.blamersNeeded() || c.manyBlamed() {
		return
	}
	c.doubt(r, blamers, in)
}

// doubt holds r failed, on probation.
func (c *Core) doubt(r *row, blamers []string, in PatientlyProbed) {
	reason := fmt.Sprintf("%s accused it in the last %v, and it refuted that, but it answered only %d of %d pings of this node, late answers included",
		list(blamers), c.blameWindow(), in.Answers, in.Pings)
	before, f := r.fact.state, *r.fact
	f.state, f.since, f.probation = Failed, c.now, true
	c.put(r, f)
	r.flaps, r.patiences = max(r.flaps, maxDoublings+1), 0
	c.table.setTrial(r, c.cfg.Verdicts.Probation<<maxDoublings)
	r.clean, r.blamer = c.now, ""
	c.rearm(r)
	c.tally.Unreliable++
	c.tally.Probations++
	c.emit(ChangeFailed, r.fact, before, blamers, reason)
	c.write(EntryUnreliable, r.fact, f.inc, "", SourceRule, reason)
	c.write(EntryProbation, r.fact, f.inc, "", SourceRule, fmt.Sprintf(
		"it answers too little: it stays failed here until nobody has accused it for %v", r.trial))
}
