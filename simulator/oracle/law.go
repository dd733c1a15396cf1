package oracle

import (
	"fmt"
	"math"
	"time"
)

// FalseSuspicions returns how many accusations of running nodes a run of SWIM without TCP probes is expected to
// see when every packet is lost independently with probability loss: n * (T/T') * (1-q^2) * (1-q^4)^k, where q = 1-loss, T/T' is
// how many probe intervals T' fit into the time T, and k is how many others are asked when a direct probe, a packet each
// way, stays unanswered; a way through one of them takes four packets. It follows from section 3 of SWIM (A. Das, I. Gupta, A.
// Motivala, DSN 2002). A simulator that counts otherwise is wrong.
func FalseSuspicions(n int, run, probeInterval time.Duration, loss float64, indirectProbes int) float64 {
	q := 1 - loss
	probes := float64(n) * float64(run) / float64(probeInterval)
	return probes * (1 - math.Pow(q, 2)) * math.Pow(1-math.Pow(q, 4), float64(indirectProbes))
}

// Accuracy is what failure detection by heartbeats is to achieve.
type Accuracy struct {
	// Within is the detection time T.
	Within time.Duration
	// Mistake is PM(T), the chance that a running node is declared failed within one detection time, above 0 and below 1.
	Mistake float64
	// Loss is p_ml, the chance that a message is lost, above 0 and below 1.
	Loss float64
}

func (a Accuracy) validate() error {
	between := func(p float64) bool { return p > 0 && p < 1 }
	if a.Within <= 0 || !between(a.Mistake) || !between(a.Loss) {
		return fmt.Errorf("compute the load of a failure detector: detection within %s, chance of a mistake %v, loss %v: want a time above 0 and chances between 0 and 1",
			a.Within, a.Mistake, a.Loss)
	}
	return nil
}

// rounds returns log(PM(T)) / log(p_ml): how many messages, any of which suffices, must be sent within a detection
// time so that the chance that all of them get lost is no more than that of a mistake.
func (a Accuracy) rounds() float64 { return math.Log(a.Mistake) / math.Log(a.Loss) }

// BaselineLoad is what heartbeats cost, in messages a second.
type BaselineLoad struct {
	// PerNode is what a node sends on average, Busiest what the busiest one sends and receives.
	PerNode float64 `json:"per_node"`
	Busiest float64 `json:"busiest"`
}

// OptimalLoad returns the least load with which any failure detector can achieve an accuracy in a group of n nodes,
// in messages a second of the whole group: L* = n * log(PM(T)) / (log(p_ml) * T) (I. Gupta, T. D. Chandra, G. S. Goldszmidt, On scalable and
// efficient distributed failure detectors, PODC 2001). It returns an error when the accuracy is out of bounds.
func OptimalLoad(n int, a Accuracy) (float64, error) {
	if err := a.validate(); err != nil {
		return 0, err
	}
	return float64(n) * a.rounds() / a.Within.Seconds(), nil
}

// AllToAllLoad returns what it costs that each of n nodes sends heartbeats to all others, as many within a
// detection time as the accuracy takes, rounded up. It returns an error when the accuracy is out of bounds.
func AllToAllLoad(n int, a Accuracy) (BaselineLoad, error) {
	if err := a.validate(); err != nil {
		return BaselineLoad{}, err
	}
	sent := float64(n-1) * math.Ceil(a.rounds()) / a.Within.Seconds()
	return BaselineLoad{PerNode: sent, Busiest: 2 * sent}, nil
}

// CentralLoad returns what it costs that each of n-1 nodes sends heartbeats to the one that watches over all, as
// many within a detection time as the accuracy takes, rounded up. Telling the others of a failure is not counted. It returns an
// error when the accuracy is out of bounds.
func CentralLoad(n int, a Accuracy) (BaselineLoad, error) {
	if err := a.validate(); err != nil {
		return BaselineLoad{}, err
	}
	received := float64(n-1) * math.Ceil(a.rounds()) / a.Within.Seconds()
	return BaselineLoad{PerNode: received / float64(n), Busiest: received}, nil
}
