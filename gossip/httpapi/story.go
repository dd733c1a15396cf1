package httpapi

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"heartbeat/gossip"
	"heartbeat/membership"
)

// story puts an answer about a member into words.
type story struct {
	why   *Why
	cases []*caseInJournal // oldest first
	lines []string
}

// tell returns the story, a line for each thing to know.
func (s *story) tell() []string {
	switch {
	case s.why.Member == nil:
		s.removed()
	case s.why.Member.State == membership.Suspect.String():
		s.suspect()
	case s.why.Member.State == membership.Failed.String():
		s.failed()
	case s.why.Member.State == membership.Left.String():
		s.left()
	default:
		s.alive()
	}
	s.reservations()
	return s.lines
}

func (s *story) say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// heading says what is known now and by whom.
func (s *story) heading(state string) {
	m := s.why.Member
	who := "says " + s.why.Node + ", by its clock"
	if m.Local {
		who = "as the node itself says, by its clock"
	}
	inc := "incarnation not known yet"
	if m.Incarnation != 0 {
		inc = fmt.Sprintf("incarnation %d", m.Incarnation)
	}
	s.say("%s %s %s (%s), %s.", m.Name, state, moment(m.Since), inc, who)
}

// last is the latest case, or nil.
func (s *story) last() *caseInJournal {
	if len(s.cases) == 0 {
		return nil
	}
	return s.cases[len(s.cases)-1]
}

// turning is the entry that brought the member into its state, or nil.
func (s *story) turning(kinds ...string) *JournalEntry {
	for i := len(s.why.Evidence) - 1; i >= 0; i-- {
		if e := &s.why.Evidence[i]; slices.Contains(kinds, e.Kind) {
			return e
		}
	}
	return nil
}

func (s *story) failed() {
	s.heading("has been failed since")
	s.failure()
	if e := s.turning(kindProbation); s.why.Member.Probation && e != nil {
		s.say("It is on probation since %s: %s.", moment(e.At), e.Note)
		return
	}
	s.say("%s has noted no sign of life from it since.", s.why.Node)
}

// failure tells how the member came to be held failed.
func (s *story) failure() {
	end := s.turning(kindVerdict, kindFailed, kindUnreliable)
	c := s.last()
	switch {
	case end == nil:
		s.say("%s's journal does not reach back to that.", s.why.Node)
	case end.Kind == kindUnreliable:
		s.say("It runs, but is of no use: %s.", inWords(end))
	case end.Via == membership.SourceMemory.String():
		s.say("%s did not see it happen: it learnt it from %s memory, at %s. Ask %s.", s.why.Node, whose(end.By), moment(end.At), whom(end.By))
	case c == nil || c.end == nil || c.end.At != end.At:
		s.say("%s saw no accusation: another node told its engine (memberlist) so.", s.why.Node)
	default:
		s.accusation(c)
		s.findings(c)
		s.decision(c)
	}
}

func whose(name string) string {
	if name == "" {
		return "another node's"
	}
	return name + "'s"
}

func whom(name string) string {
	if name == "" {
		return "a node that ran then"
	}
	return name
}

// accusation tells who began, and who else accused it.
func (s *story) accusation(c *caseInJournal) {
	var first, later []string
	for _, a := range c.Accusers {
		switch {
		case a.Late:
		case len(first) == 0:
			first = append(first, a.By)
		default:
			later = append(later, a.By)
		}
	}
	at := moment(c.Began)
	if len(first) == 0 {
		if len(c.Testimonies) == 0 {
			s.say("No accusation reached %s.", s.why.Node)
			return
		}
		s.say("Witnesses got no answer from it, from %s on; the accusation itself did not reach %s, or is not in its journal any more.", at, s.why.Node)
		return
	}
	also := ""
	if len(later) > 0 {
		also = fmt.Sprintf(" %s accused it as well.", listNames(later))
	}
	s.say("Accused by %s at %s: it answered %s neither directly nor through others.%s", first[0], moment(c.Accusers[0].At), first[0], also)
}

// findings tells what witnesses found.
func (s *story) findings(c *caseInJournal) {
	waits, has := "waits", "has"
	if c.end != nil {
		waits, has = "had to wait", "had"
	}
	if in, last := inTime(c.Testimonies); len(in) > 0 {
		who, whose := "witness "+in[0], "its"
		if len(in) > 1 {
			who, whose = "witnesses "+listNames(in), "their"
		}
		s.say("Confirmed within %s by the %s, who looked and got no answer, while most of %s control probes to others were answered.", span(last), who, whose)
	}
	if n := len(c.Abstentions); n > 0 {
		s.say("%s itself abstained %s: its control probes to others were not answered either, so the fault may be its own.", s.why.Node, times(n))
	}
	if n := len(c.Answers); n > 0 {
		s.say("%s's own probe of it was answered %s, the last time %s after the accusation.", s.why.Node, times(n), span(afterOf(c.Answers[n-1])))
	}
	if c.heard != nil {
		s.say("%s noted: %s. A verdict %s until it %s been silent for longer.", s.why.Node, inWords(c.heard), waits, has)
	}
	if c.stalled != nil {
		s.say("%s noted: %s.", s.why.Node, inWords(c.stalled))
	}
	if in, _ := inTime(c.Hearers); len(in) > 0 {
		s.say("Packets of it still arrived at %s after the accusation: it may only be slow, so a verdict %s as long as the engine (memberlist) would.", listNames(in), waits)
	}
	if c.held != nil {
		s.say("At %s %s kept its failure back: %s.", moment(c.held.At), s.why.Node, inWords(c.held))
	}
}

// decision tells who decided that it failed.
func (s *story) decision(c *caseInJournal) {
	took := span(c.end.At.Sub(c.Began))
	if c.Outcome == kindVerdict {
		soon := ""
		if _, why, ok := strings.Cut(c.end.Note, "controls answered; "); ok {
			soon = "; " + why
		}
		s.say("Enough witnesses agreed, and %s's own last probe was not answered: the verdict came %s after the accusation%s.", s.why.Node, took, soon)
		return
	}
	if c.HeldBack != nil {
		s.say("It did not refute that in time: %s passed on what the engine held, %s after it all began.", s.why.Node, took)
		return
	}
	how := ""
	if s.why.Detector == gossip.DetectorVerdicts {
		how = " without a verdict of witnesses"
	}
	s.say("It did not refute that for %s; then the engine (memberlist) decided%s that it failed.", took, how)
}

func (s *story) suspect() {
	s.heading("has been suspect since")
	c := s.last()
	if c == nil || c.end != nil {
		s.say("%s's journal does not reach back to the accusation.", s.why.Node)
	} else {
		s.accusation(c)
		s.findings(c)
	}
	if rules := s.why.Rules; rules != nil && rules.Quorum > 0 {
		said := 0
		if c != nil {
			said = len(c.Testimonies)
		}
		patience := span(time.Duration(rules.PatienceMS*float64(time.Millisecond))) + " since the accusation"
		if rules.PatienceMS == 0 {
			patience = "this node's own last probe"
		}
		s.say("Awaited: its own refutation, which makes it alive again; or the words of %d witnesses (%d spoke) and %s, which make it failed.",
			rules.Quorum, said, patience)
		return
	}
	s.say("Awaited: its own refutation, which makes it alive again; without one the engine (memberlist) will hold it failed within seconds.")
}

func (s *story) alive() {
	s.heading("has been alive since")
	if e := s.turning(kindJoined, kindOverturned, kindRefuted, kindLapsed); e != nil && e.Kind != kindRefuted && len(s.cases) == 0 {
		s.say("At %s %s noted: %s.", moment(e.At), s.why.Node, inWords(e))
	}
	c := s.last()
	if c == nil {
		s.say("Nobody has accused it since %s.", moment(s.why.JournalSince))
		return
	}
	if n := len(s.cases); n > 1 {
		s.say("It was accused %s since %s. The last time:", times(n), moment(s.why.JournalSince))
	}
	s.accusation(c)
	s.findings(c)
	s.rescue(c)
}

// rescue tells how a member that was accused came to be alive.
func (s *story) rescue(c *caseInJournal) {
	back := s.turning(kindJoined, kindOverturned, kindRefuted, kindLapsed)
	switch {
	case c.end == nil:
		s.say("What came of it is not decided.")
	case c.Outcome == kindRefuted:
		s.say("It refuted that %s later with incarnation %d.", span(c.end.At.Sub(c.Began)), c.end.Incarnation)
	case c.Outcome == kindLapsed:
		s.say("That was neither confirmed nor refuted for %s, so it was dropped.", span(c.end.At.Sub(c.Began)))
	case c.Outcome == kindVerdict, c.Outcome == kindFailed:
		s.decision(c)
		switch {
		case back == nil || !back.At.After(c.end.At):
		case back.Kind == kindOverturned:
			s.say("%s later that was overturned: %s.", span(back.At.Sub(c.end.At)), inWords(back))
		default:
			s.say("%s later %s noted: %s.", span(back.At.Sub(c.end.At)), s.why.Node, inWords(back))
		}
	default:
		s.say("%s later %s noted: %s.", span(c.end.At.Sub(c.Began)), s.why.Node, inWords(c.end))
	}
}

func (s *story) left() {
	e := s.turning(kindForcedOut, kindLeft)
	if !s.why.Member.ForcedOut {
		s.heading("left at")
		if e != nil && e.Via == membership.SourceMemory.String() {
			s.say("It said goodbye itself; %s learnt that from %s memory.", s.why.Node, whose(e.By))
		} else {
			s.say("It said goodbye itself; it did not fail.")
		}
		return
	}
	s.heading("counts as left since")
	by := ""
	if e != nil && e.By != "" {
		by = " at " + e.By
	}
	s.say("An operator%s forced it out. Before, it was held failed:", by)
	s.failure()
}

func (s *story) removed() {
	e := s.turning(kindRemoved, kindForcedOut, kindLeft, kindFailed, kindVerdict)
	s.say("%s is not on the list of %s any more.", s.why.Name, s.why.Node)
	if e == nil {
		return
	}
	s.say("At %s %s noted: %s.", moment(e.At), s.why.Node, inWords(e))
	if c := s.last(); c != nil && (c.Outcome == kindFailed || c.Outcome == kindVerdict) {
		s.failure()
	}
}

// reservations says why not all of it may be true.
func (s *story) reservations() {
	switch s.why.Condition {
	case membership.Minority.String(), membership.Isolated.String():
		s.say("But %s reaches few others or none (%s): it may itself be the one that is cut off.", s.why.Node, s.why.Condition)
	case membership.Degraded.String():
		s.say("But %s is in poor health itself: what it finds comes late.", s.why.Node)
	}
	if m := s.why.Member; m != nil && s.why.JournalSince.After(m.FirstSeen) {
		s.say("%s's journal about it begins at %s; what was before is not told here.", s.why.Node, moment(s.why.JournalSince))
	}
}

// inTime returns who spoke before the case ended, and when the last of them did.
func inTime(said []Statement) (by []string, last time.Duration) {
	for _, st := range said {
		if !st.Late {
			by, last = append(by, st.By), max(last, afterOf(st))
		}
	}
	return by, last
}

func afterOf(st Statement) time.Duration {
	return time.Duration(st.AfterMS * float64(time.Millisecond))
}

// inWords is what an entry says.
func inWords(e *JournalEntry) string {
	if e.Note == "" {
		return strings.TrimSpace(e.Kind + " " + e.By)
	}
	return e.Note
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// span writes a duration with as many digits as tell something.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return d.Round(time.Second).String()
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

// listNames is "a", "a and b", "a, b and c".
func listNames(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
