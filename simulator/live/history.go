package live

import (
	"cmp"
	"slices"
	"time"

	"heartbeat/membership"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/scenario"
)

// History is what happened in one run. All times count from time 0.
type History struct {
	// Plan is the plan that was played, with the times at which its actions
	// took effect: in the order of the plan, and never decreasing.
	Plan *scenario.Plan
	// Start says how the cluster came together.
	Start engine.Start
	// Observations, Accusations, Loads and Usages are what the nodes noted,
	// what they sent and what they held, each in the order of time.
	Observations []Observation
	Accusations  []Accusation
	Loads        []Load
	Usages       []Usage
	// Notes are what they wrote into their journals on the way to verdicts.
	Notes []Note
	// Clock says how far the times can be trusted.
	Clock Clock
	// CPU is the processor time of all agents from the first start to the end
	// of the run; 0 when the cluster does not tell.
	CPU time.Duration
}

// Observation is a change of one node's view, by that node's own clock.
type Observation struct {
	At       time.Duration
	Observer int
	Change   membership.Change
}

// Accusation is a failed probe of the observer's own.
type Accusation struct {
	At          time.Duration
	Observer    int
	Subject     string
	Incarnation uint32
}

// Note is an entry of the observer's journal, by that node's own clock.
type Note struct {
	At       time.Duration
	Observer int
	Entry    membership.Entry
}

// Load is what a node sent and received from one moment to another.
type Load struct {
	Node     int
	From, To time.Duration
	Load     engine.Load
}

// Usage is what a node's process held of its machine at one moment.
type Usage struct {
	At    time.Duration
	Node  int
	Usage engine.Usage
}

// Clock says how far the times of a history can be trusted.
type Clock struct {
	// Skew is the largest difference measured between the clock of a node's host
	// and ours. Half of the question's round trip counts as part of it.
	Skew time.Duration
	// Step is how far the wall clock, which the nodes' times come from, moved
	// against the monotonic one in the course of the run.
	Step time.Duration
	// Lag is the longest time from an action's moment in the plan to its effect.
	Lag time.Duration
}

// Replay tells a recorder all that happened, in the order of time. At one and
// the same moment the actions come first, as they do in virtual time.
func (h *History) Replay(rec engine.Recorder) {
	rec.Begin(h.Start)
	for _, e := range h.entries(rec.Notes()) {
		e.tell(rec)
	}
	rec.End(h.Plan.End)
}

// entry is one thing to tell a recorder.
type entry struct {
	at   time.Duration
	rank int // orders entries of the same moment
	tell func(engine.Recorder)
}

func (h *History) entries(notes bool) []entry {
	var all []entry
	add := func(at time.Duration, rank int, tell func(engine.Recorder)) {
		all = append(all, entry{at: at, rank: rank, tell: tell})
	}
	for _, a := range h.Plan.Actions {
		add(a.At, 0, func(rec engine.Recorder) { rec.Acted(a) })
	}
	for _, o := range h.Observations {
		add(o.At, 1, func(rec engine.Recorder) { rec.Observed(o.At, o.Observer, o.Change) })
	}
	for _, a := range h.Accusations {
		add(a.At, 2, func(rec engine.Recorder) { rec.Accused(a.At, a.Observer, a.Subject, a.Incarnation) })
	}
	for _, o := range h.Notes {
		if notes {
			add(o.At, 2, func(rec engine.Recorder) { rec.Noted(o.At, o.Observer, o.Entry) })
		}
	}
	for _, l := range h.Loads {
		add(l.To, 3, func(rec engine.Recorder) { rec.Sent(l.Node, l.From, l.To, l.Load) })
	}
	for _, u := range h.Usages {
		add(u.At, 4, func(rec engine.Recorder) { rec.Used(u.At, u.Node, u.Usage) })
	}
	for at := time.Second; at < h.Plan.End; at += time.Second {
		add(at, 5, func(rec engine.Recorder) { rec.Passed(at) })
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.rank, b.rank))
	})
	return slices.DeleteFunc(all, func(e entry) bool { return e.at > h.Plan.End })
}
