// Package engine holds what all engines of the simulator share: how they tell
// what happens in a run. An engine plays a plan; what the outcome means is the
// oracle's business, which it never hears of.
package engine

import (
	"errors"
	"time"

	"heartbeat/membership"
	"heartbeat/simulator/scenario"
)

// Recorder is told what happens in a run. Its methods are called one at a
// time, with times counted from time 0 and never decreasing.
type Recorder interface {
	// Begin is called at time 0: every node lists every other as alive.
	Begin(Start)
	// Acted tells that an action of the plan has just been carried out.
	Acted(scenario.Action)
	// Observed is a change of one node's view. Of its member, name and
	// incarnation are set at least.
	Observed(at time.Duration, observer int, c membership.Change)
	// Accused tells that a probe by the observer, with its indirect probes,
	// has just failed, and at which incarnation the observer knows the subject.
	Accused(at time.Duration, observer int, subject string, incarnation uint32)
	// Sent is the traffic of a node that runs, from one moment to another; it
	// is told about once a virtual second.
	Sent(node int, from, to time.Duration, load Load)
	// Used is what a process of a node holds of its machine at one moment.
	// Engines without processes never tell.
	Used(at time.Duration, node int, use Usage)
	// Notes says whether the recorder wants to be told of notes, which costs
	// time. Its answer is always the same.
	Notes() bool
	// Noted is what a node has written into its journal on the way to a verdict,
	// if NotedKind says so. It may be told late: not before the latest Passed,
	// but before other things that were told already.
	Noted(at time.Duration, observer int, e membership.Entry)
	// Passed tells, after that, how far the run is.
	Passed(at time.Duration)
	// End is called at the end of the run.
	End(at time.Duration)
}

// NotedKind says whether a journal's entry is one that recorders are told of:
// what witnesses found and what was done with it. All others are changes of a
// view or accusations, which have methods of their own.
func NotedKind(k membership.EntryKind) bool {
	switch k {
	case membership.EntryJoined, membership.EntryUpdated, membership.EntryAccused, membership.EntryRefuted, membership.EntryLapsed,
		membership.EntryFailed, membership.EntryLeft, membership.EntryForcedOut, membership.EntryRemoved,
		membership.EntryCondition, membership.EntryConflict, membership.EntryVerdict:
		return false
	}
	return true
}

// Start says how the cluster came together, before time 0.
type Start struct {
	// Agreed is the time from the first node's start, and SinceLast the time
	// from the last one's, until every node listed every other as alive.
	Agreed, SinceLast time.Duration
	// JoinErrors counts attempts to join that failed and were repeated.
	JoinErrors int
	// Load is the traffic of each node up to then.
	Load []Load
}

// Load is one node's traffic, over all its lives. Bytes are payload.
type Load struct {
	PacketsOut, PacketsIn   uint64
	UDPBytesOut, UDPBytesIn uint64
	TCPBytesOut, TCPBytesIn uint64
	SegmentsOut, SegmentsIn uint64 // TCP segments but pure acknowledgements
}

// Usage is what one process holds of its machine.
type Usage struct {
	// Process counts the node's processes, from 0.
	Process                 int
	Goroutines, Descriptors int
	// Resident is the memory that the machine gives, Heap what Go's heap holds of
	// it, garbage included; in bytes.
	Resident, Heap uint64
}

// ErrNoAgreement: the nodes did not all come to list each other, so time 0 never
// came.
var ErrNoAgreement = errors.New("the nodes did not agree")

// ErrAgentFailed: an agent ended without being told to, or wrote of a panic.
var ErrAgentFailed = errors.New("an agent failed")

// Plus adds two loads.
func (l Load) Plus(o Load) Load {
	return Load{
		PacketsOut: l.PacketsOut + o.PacketsOut, PacketsIn: l.PacketsIn + o.PacketsIn,
		UDPBytesOut: l.UDPBytesOut + o.UDPBytesOut, UDPBytesIn: l.UDPBytesIn + o.UDPBytesIn,
		TCPBytesOut: l.TCPBytesOut + o.TCPBytesOut, TCPBytesIn: l.TCPBytesIn + o.TCPBytesIn,
		SegmentsOut: l.SegmentsOut + o.SegmentsOut, SegmentsIn: l.SegmentsIn + o.SegmentsIn,
	}
}

// Minus is what has come since o.
func (l Load) Minus(o Load) Load {
	return Load{
		PacketsOut: l.PacketsOut - o.PacketsOut, PacketsIn: l.PacketsIn - o.PacketsIn,
		UDPBytesOut: l.UDPBytesOut - o.UDPBytesOut, UDPBytesIn: l.UDPBytesIn - o.UDPBytesIn,
		TCPBytesOut: l.TCPBytesOut - o.TCPBytesOut, TCPBytesIn: l.TCPBytesIn - o.TCPBytesIn,
		SegmentsOut: l.SegmentsOut - o.SegmentsOut, SegmentsIn: l.SegmentsIn - o.SegmentsIn,
	}
}
