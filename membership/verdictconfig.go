package membership

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// Verdicts are the settings by which witnesses decide that a member failed, before the
// engine does. Zero fields have the defaults given.
type Verdicts struct {
	// Witnesses is how many members look for themselves after an accusation (K). More
	// make it surer that Quorum of them are up and hear of it, at one look and one
	// broadcast each. Default 8, 1 to 16.
	Witnesses int

	// Quorum is how many of them must have found the accused silent (Q). Higher means
	// fewer false alarms; too close to Witnesses, and a single lost packet leaves the
	// decision to the engine. It shrinks to a majority of the witnesses that there are. Default 5,
	// at most Witnesses.
	Quorum int

	// Controls is how many other members a witness probes at the same time (W): unless
	// most of them answer, the fault may be the witness's own and it abstains. More tell a
	// slow witness more surely, at two packets each. Default 3, 1 to 8.
	Controls int

	// Patience is how long after the first accusation a verdict waits: the time in which
	// a slow member may refute; it waits less only when the members were asked and had heard of the accused last one and a half Silence or longer before. Shorter finds crashes sooner and declares pauses
	// failed. Default 1.2 s, at most 10 years.
	Patience time.Duration

	// Silence is how long nobody must have heard of a member before a verdict, counted from the last
	// packet that arrived at any node before the accusation. A member sends a probe every ProbeInterval, so a
	// crashed one has mostly been silent for long when it is accused and nothing is lost; one that pauses was heard
	// just before. Longer forgives longer pauses. Default 3 s, at most 10 years; never longer than the engine's shortest
	// suspicion timeout. A last look at a member that is still heard waits that long for late answers, but at most EngineTimeout.
	Silence time.Duration

	// PatienceMax bounds the patience with a member that came back after a verdict: it is then twice
	// the silence from which it came back, and that memory halves every 10 minutes. Who stays
	// away for longer than PatienceMax was really gone and is judged as fast as others. Higher spares members
	// that stall again and again, and notices their crashes later. Default 1 min, at most 10 years.
	PatienceMax time.Duration

	// Probation is for how long nobody must have accused a member that comes back, before subscribers see it alive, if it had
	// failed within ten times that after it last came back. It is twice as long when the member has passed it and fails that soon again, and for
	// one that many accuse, that refutes, and that answers hardly any ping (rule 13 of docs/verdicts.md). Longer holds members failed that fail now and then; shorter, subscribers see them come and go. Default 30 s,
	// at most 1 hour; negative turns it off.
	Probation time.Duration

	// ProbeInterval is the engine's time between two probes: a witness looks at one
	// member no more often. Default 1 s, at most 10 years.
	ProbeInterval time.Duration

	// ProbeTimeout is how long the owner waits for the answer to a probe. A verdict needs that this
	// node's own probe, begun that long before the patience is over (or as much earlier as it waits for late answers),
	// stays unanswered as well. Default 500 ms, at most 10 years.
	ProbeTimeout time.Duration

	// EngineTimeout is the engine's shortest suspicion timeout in a cluster of up to ten; in
	// larger ones it grows with log10 of their size. Default 4 s, at most 10 years.
	EngineTimeout time.Duration
}

const (
	maxWitnesses = 16
	maxControls  = 8

	// defaultLapse stands for a Config.SuspicionLapse of 0 when there are verdicts:
	// nothing may then stand for ever.
	defaultLapse = 2 * time.Minute
)

func (v Verdicts) withDefaults() Verdicts {
	v.Witnesses = cmp.Or(v.Witnesses, 8)
	v.Quorum = cmp.Or(v.Quorum, min(5, v.Witnesses))
	v.Controls = cmp.Or(v.Controls, 3)
	v.Patience = cmp.Or(v.Patience, 1200*time.Millisecond)
	v.Silence = cmp.Or(v.Silence, 3*time.Second)
	v.PatienceMax = cmp.Or(v.PatienceMax, time.Minute)
	v.Probation = max(0, cmp.Or(v.Probation, 30*time.Second))
	v.ProbeInterval = cmp.Or(v.ProbeInterval, time.Second)
	v.ProbeTimeout = cmp.Or(v.ProbeTimeout, 500*time.Millisecond)
	v.EngineTimeout = cmp.Or(v.EngineTimeout, 4*time.Second)
	return v
}

// check returns what is out of bounds; v has its defaults.
func (v Verdicts) check() []error {
	var errs []error
	count := func(field string, n, most int) {
		if n < 1 || n > most {
			errs = append(errs, fmt.Errorf("membership config: Verdicts.%s is %d, want 0 (the default) or 1 to %d", field, n, most))
		}
	}
	duration := func(field string, d time.Duration) {
		if d < 0 || d > maxDuration {
			errs = append(errs, fmt.Errorf("membership config: Verdicts.%s is %v, want 0 (the default) to %v", field, d, maxDuration))
		}
	}
	count("Witnesses", v.Witnesses, maxWitnesses)
	count("Quorum", v.Quorum, v.Witnesses)
	count("Controls", v.Controls, maxControls)
	duration("Patience", v.Patience)
	duration("Silence", v.Silence)
	duration("PatienceMax", v.PatienceMax)
	if v.Probation > time.Hour {
		errs = append(errs, fmt.Errorf("membership config: Verdicts.Probation is %v, want 0 (the default), less to turn it off, or up to 1h", v.Probation))
	}
	duration("ProbeInterval", v.ProbeInterval)
	duration("ProbeTimeout", v.ProbeTimeout)
	duration("EngineTimeout", v.EngineTimeout)
	return errs
}

// engineTimeout is the engine's shortest suspicion timeout in a cluster of that size.
func (v Verdicts) engineTimeout(members int) time.Duration {
	return time.Duration(float64(v.EngineTimeout) * max(1, math.Log10(float64(members))))
}

// recheckEvery is how often an open suspicion is looked at anew, because who may be a
// witness changes as members fail.
const recheckEvery = 500 * time.Millisecond

// stallHalfLife is the time in which the memory of a member's silence halves.
const stallHalfLife = 10 * time.Minute
