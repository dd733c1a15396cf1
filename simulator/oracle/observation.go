package oracle

import (
	"fmt"
	"math"
	"time"

	"heartbeat/membership"
)

// Observation is one change of one node's view. Nodes are indexes into the plan's Nodes.
type Observation struct {
	// At is when, counted from time 0; negative before it. A Judge takes observations in the order of At. What is
	// negative changes views but is not counted, what lies after the end of the plan is ignored.
	At time.Duration
	// Observer is the node whose view changed, Subject the node about which it changed its mind.
	Observer, Subject int
	// Kind is what the observer noted. Updates, conditions and conflicts are allowed and change nothing.
	Kind membership.ChangeKind
	// Incarnation is the subject's, as the observer knows it after the change. It tells refutations apart.
	Incarnation uint32
}

// Accusation is a node's own finding that another did not answer: the suspect message that it starts, not one
// that it relays. It may be told several times, as often as it is sent: one about the same incarnation counts once.
type Accusation struct {
	At               time.Duration
	Accuser, Subject int
	Incarnation      uint32 // the subject's, as the accuser knows it
}

// LoadSample is what one node sent and received from one moment to another, both counted from time 0. The samples
// of a node follow each other without overlap and together cover the time from 0 to the end that it runs.
type LoadSample struct {
	Node     int
	From, To time.Duration
	UDP, TCP Traffic
}

// Traffic counts datagrams for UDP and writes for TCP, and the bytes of their payload.
type Traffic struct {
	PacketsOut, PacketsIn uint64
	BytesOut, BytesIn     uint64
}

// Timing says how slow the detector under test may be. It decides for how long after the end of a fault a
// verdict may still be the fault's doing.
type Timing struct {
	// Round is the longest time from the beginning of a probe that fails to the moment at which an observer begins
	// to suspect for it.
	Round time.Duration
	// Longest is the longest time from the beginning of such a probe to the verdict. At least Round.
	Longest time.Duration
}

// LifeguardTiming returns the timing of a cluster of n nodes under SWIM with Lifeguard's suspicion and local
// health, with the names that their settings have (A. Dadgar, J. Phillips, J. Currey, Lifeguard: local health awareness
// for more accurate failure detection, DSN-W 2018, section IV): a round lasts at most probeInterval*awarenessMax; then a suspicion runs
// for at most suspicionMult*max(1, log10 n)*probeInterval*suspicionMaxTimeoutMult; one more round is left for the verdict to spread.
func LifeguardTiming(n int, probeInterval time.Duration, awarenessMax, suspicionMult, suspicionMaxTimeoutMult int) Timing {
	round := probeInterval * time.Duration(max(1, awarenessMax))
	scale := max(1, math.Log10(float64(max(1, n)))) * float64(suspicionMult*max(1, suspicionMaxTimeoutMult))
	return Timing{Round: round, Longest: 2*round + time.Duration(scale*float64(probeInterval))}
}

func (t Timing) validate() error {
	if t.Round <= 0 || t.Longest < t.Round {
		return fmt.Errorf("judge a run: the timing has a round of %s and %s at most to a verdict: want a round above 0 that is not longer than that", t.Round, t.Longest)
	}
	return nil
}
