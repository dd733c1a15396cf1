package oracle

import (
	"math"
	"time"
)

// Class is what a verdict or an accusation turns out to be.
type Class uint8

// The classes, in the order in which they are tried.
const (
	// True: the subject did not run.
	True Class = iota
	// Justified: the subject ran, but no probe could find a way between observer and subject.
	Justified
	// FalseFrozen is a false alarm about a node that was paused or read late.
	FalseFrozen
	// FalseHealthy is a false alarm about a node that had nothing.
	FalseHealthy
)

// String names the class in plain words.
func (c Class) String() string {
	return [...]string{"true", "justified", "false, about a frozen node", "false, about a healthy node"}[c]
}

// Standing is how an observer itself was doing.
type Standing uint8

// The standings, in the order in which they are tried.
const (
	// StandsFrozen: paused, or reading late.
	StandsFrozen Standing = iota
	// StandsCutOff: it had a path to fewer than half of the running nodes.
	StandsCutOff
	// StandsHealthy: neither.
	StandsHealthy
)

// mark remembers when something was last the case. At any moment it answers whether that was so at some
// moment since an earlier one.
type mark struct {
	on  bool
	end time.Duration // exclusive, of the last time; when not on
}

var unmarked = mark{end: math.MinInt64}

func (m *mark) update(at time.Duration, on bool) {
	if m.on && !on {
		m.end = at
	}
	m.on = on
}

// since says whether it was the case at some moment from the given one until now.
func (m *mark) since(t time.Duration) bool { return m.on || m.end > t }

// node is what the judge remembers about what was really the case with a node.
type node struct {
	stopped mark
	held    mark // runs, and a pause or a stall holds it
	cut     mark // runs, and has a path to fewer than half of the running nodes
	away    mark // could not be expected to notice anything: stopped, paused or cut off

	leaving   bool          // it was stopped with a goodbye, which takes a while
	stoppedAt time.Duration // when it was last stopped
	life      int           // how often it was started
}

// finding is a verdict or an accusation, judged.
type finding struct {
	class Class
	by    Standing
	late  bool // its cause was over when it came
}

// judge classifies a finding of now: by an observer, about a subject, of whom somebody has been suspicious since
// a given moment. What was the case at some moment since one probe round before then may be behind it.
func (j *Judge) judge(observer, subject int, suspected time.Duration) finding {
	since := max(j.now-j.timing.Longest, suspected-j.timing.Round)
	o, s := &j.nodes[observer], &j.nodes[subject]
	f := finding{by: StandsHealthy, class: FalseHealthy}
	switch {
	case o.held.since(since):
		f.by = StandsFrozen
	case o.cut.since(since):
		f.by = StandsCutOff
	}
	switch {
	case s.stopped.since(since):
		f.class, f.late = True, !s.stopped.on
	case j.net.broken(observer, subject, since):
		f.class, f.late = Justified, j.net.now().path(observer, subject)
	case s.held.since(since):
		f.class = FalseFrozen
	}
	return f
}
