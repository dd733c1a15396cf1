package httpapi

import (
	"fmt"
	"net/http"

	"heartbeat/gossip"
	"heartbeat/membership"
)

func (s *Server) getWhy(w http.ResponseWriter, r *http.Request) error {
	if _, err := readQuery(r.URL.RawQuery); err != nil {
		return err
	}
	name, node := r.PathValue("name"), s.cfg.Node
	view, entries := atOneMoment(node, name)
	m, known := view.Member(name)
	if !known && len(entries) == 0 {
		return fmt.Errorf("%w: %.128q, now or in the journal", gossip.ErrNoSuchMember, name)
	}
	info := node.Info()
	why := Why{
		Node: view.Self().Name, Condition: view.Condition().String(), At: view.At().UTC(), Name: name, Detector: info.Detector,
		JournalSince: info.Started.UTC(), Evidence: make([]JournalEntry, len(entries)),
	}
	for i, e := range entries {
		why.Evidence[i] = toEntry(e)
	}
	if known {
		member := s.fullMember(m)
		why.Member = &member
		if c, ok := node.Case(name); ok {
			why.Rules = toRules(c)
		}
		// A member's first entry is as old as the member, unless it was dropped.
		switch {
		case len(entries) == 0:
			why.JournalSince = why.At
		case entries[0].At.After(m.FirstSeen):
			why.JournalSince = entries[0].At.UTC()
		}
	}
	cases := tellCases(why.Evidence)
	if len(cases) > 0 {
		why.Case = &cases[len(cases)-1].Case
	}
	why.Story = (&story{why: &why, cases: cases}).tell()
	WriteJSON(w, why)
	return nil
}

// atOneMoment returns a view and the journal that belongs to it, unless the node
// is so busy that another change always comes between them.
func atOneMoment(node Node, name string) (*membership.View, []membership.Entry) {
	view := node.View()
	for range 3 {
		entries, after := node.Journal(name), node.View()
		if after.Version() == view.Version() {
			return view, entries
		}
		view = after
	}
	return view, node.Journal(name)
}

func toRules(c membership.Case) *Rules {
	witnesses := c.Witnesses
	if witnesses == nil {
		witnesses = []string{}
	}
	return &Rules{Witnesses: witnesses, Quorum: c.Quorum, PatienceMS: millis(c.Patience), StallMS: millis(c.Stall), Majority: c.Majority}
}

// caseInJournal is a case with the entry that ended it.
type caseInJournal struct {
	Case
	end     *JournalEntry // nil while nothing is decided
	heard   *JournalEntry // the latest word of a packet before the accusation, or nil
	held    *JournalEntry // the first word of the engine that was held back, or nil
	stalled *JournalEntry // why a verdict waits longer, or nil
}

// over says whether what follows is about another case. After a failure the
// same accusation goes on to arrive.
func (c *caseInJournal) over(e JournalEntry) bool {
	failed := c.end != nil && (c.end.Kind == kindVerdict || c.end.Kind == kindFailed)
	return e.Incarnation > c.Incarnation || c.end != nil && !failed
}

// The kinds of entries that a story is made of.
var (
	kindJoined     = membership.EntryJoined.String()
	kindAccused    = membership.EntryAccused.String()
	kindRefuted    = membership.EntryRefuted.String()
	kindLapsed     = membership.EntryLapsed.String()
	kindFailed     = membership.EntryFailed.String()
	kindLeft       = membership.EntryLeft.String()
	kindForcedOut  = membership.EntryForcedOut.String()
	kindRemoved    = membership.EntryRemoved.String()
	kindTestified  = membership.EntryTestified.String()
	kindAbstained  = membership.EntryAbstained.String()
	kindAnswered   = membership.EntryAnswered.String()
	kindVerdict    = membership.EntryVerdict.String()
	kindOverturned = membership.EntryOverturned.String()
	kindHeld       = membership.EntryHeld.String()
	kindHeard      = membership.EntryHeard.String()
	kindProbation  = membership.EntryProbation.String()
	kindStalled    = membership.EntryStalled.String()
	kindUnreliable = membership.EntryUnreliable.String()
)

// tellCases divides the journal about one member into cases, oldest first.
func tellCases(entries []JournalEntry) []*caseInJournal {
	var cases []*caseInJournal
	var last *caseInJournal
	for i := range entries {
		e := &entries[i]
		switch e.Kind {
		case kindAccused, kindTestified, kindAbstained, kindAnswered, kindHeld:
			if last == nil || last.over(*e) {
				last = newCase(e)
				cases = append(cases, last)
			}
			last.add(e)
		case kindHeard, kindStalled:
			if last != nil && !last.over(*e) {
				last.add(e)
			}
		case kindJoined, kindRefuted, kindLapsed, kindFailed, kindLeft, kindForcedOut, kindRemoved, kindVerdict, kindOverturned, kindUnreliable:
			if last != nil && last.end == nil {
				last.close(e)
			}
		}
	}
	return cases
}

func newCase(first *JournalEntry) *caseInJournal {
	return &caseInJournal{Case: Case{
		Incarnation: first.Incarnation, Began: first.At,
		Accusers: []Statement{}, Testimonies: []Statement{}, Abstentions: []Statement{}, Answers: []Statement{}, Hearers: []Statement{},
	}}
}

func (c *caseInJournal) add(e *JournalEntry) {
	said := Statement{By: e.By, At: e.At, AfterMS: millis(e.At.Sub(c.Began)), Late: c.end != nil}
	switch e.Kind {
	case kindAccused:
		c.Accusers = append(c.Accusers, said)
	case kindTestified:
		c.Testimonies = append(c.Testimonies, said)
	case kindAbstained:
		c.Abstentions = append(c.Abstentions, said)
	case kindAnswered:
		c.Answers = append(c.Answers, said)
	case kindHeld:
		if c.held == nil {
			c.held, c.HeldBack = e, &e.At
		}
	case kindStalled:
		if c.end == nil {
			c.stalled = e
		}
	case kindHeard:
		if e.By != "" {
			c.Hearers = append(c.Hearers, said)
		} else if c.end == nil {
			c.heard, c.HeardBefore = e, &e.At
		}
	}
}

func (c *caseInJournal) close(e *JournalEntry) {
	at, took := e.At, millis(e.At.Sub(c.Began))
	c.end, c.Ended, c.TookMS, c.Outcome = e, &at, &took, e.Kind
}
