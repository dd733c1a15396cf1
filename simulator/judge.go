package simulator

import (
	"fmt"
	"time"

	"heartbeat/membership"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/oracle"
	"heartbeat/simulator/scenario"
	"heartbeat/simulator/virtual"
)

// recorder hands what an engine reports to the oracle and to the trace.
type recorder struct {
	judge  *oracle.Judge
	index  map[string]int // nodes of the plan by name
	trace  *tracer        // nil without
	passed func(time.Duration)
	err    error // the first input that the oracle refused

	// interrupted is asked from time to time whether to go on.
	interrupted func() bool
}

var _ engine.Recorder = (*recorder)(nil)

// recorder follows a run of the plan.
func (e *Experiment) recorder(plan *scenario.Plan, trace *tracer, passed func(time.Duration)) (*recorder, error) {
	cfg, err := virtual.NodeConfig(e.Scenario)
	if err != nil {
		return nil, err
	}
	judge, err := oracle.New(plan, oracle.LifeguardTiming(len(plan.Nodes), cfg.ProbeInterval, cfg.AwarenessMax, cfg.SuspicionMult, cfg.SuspicionMaxTimeoutMult))
	if err != nil {
		return nil, err
	}
	r := &recorder{judge: judge, index: make(map[string]int, len(plan.Nodes)), trace: trace, passed: passed}
	for i, name := range plan.Nodes {
		r.index[name] = i
	}
	return r, nil
}

// refused is the error of a run whose history the oracle does not accept.
func (r *recorder) refused(seed uint64) error {
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("seed %d: the oracle does not accept what the engine reported: %w", seed, r.err)
}

// note keeps the first error: a history that the oracle refuses makes the
// whole run worthless.
func (r *recorder) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Begin implements engine.Recorder.
func (r *recorder) Begin(s engine.Start) {
	r.judge.Joined(s.Agreed)
	r.trace.began(s.Agreed)
}

// Acted implements engine.Recorder. The oracle follows the plan by itself.
func (r *recorder) Acted(a scenario.Action) { r.trace.acted(a) }

// Observed implements engine.Recorder.
func (r *recorder) Observed(at time.Duration, observer int, c membership.Change) {
	r.trace.observed(at, observer, c)
	subject, known := r.index[c.Member.Name]
	if !known || c.Kind == membership.ChangeCondition {
		return
	}
	r.note(r.judge.Observe(oracle.Observation{
		At: at, Observer: observer, Subject: subject, Kind: c.Kind, Incarnation: c.Member.Incarnation,
	}))
}

// Accused implements engine.Recorder.
func (r *recorder) Accused(at time.Duration, observer int, subject string, incarnation uint32) {
	r.trace.accused(at, observer, subject, incarnation)
	if i, known := r.index[subject]; known {
		r.note(r.judge.Accuse(oracle.Accusation{At: at, Accuser: observer, Subject: i, Incarnation: incarnation}))
	}
}

// Sent implements engine.Recorder.
func (r *recorder) Sent(node int, from, to time.Duration, l engine.Load) {
	r.note(r.judge.Load(oracle.LoadSample{
		Node: node, From: from, To: to,
		UDP: oracle.Traffic{PacketsOut: l.PacketsOut, PacketsIn: l.PacketsIn, BytesOut: l.UDPBytesOut, BytesIn: l.UDPBytesIn},
		TCP: oracle.Traffic{PacketsOut: l.SegmentsOut, PacketsIn: l.SegmentsIn, BytesOut: l.TCPBytesOut, BytesIn: l.TCPBytesIn},
	}))
}

// Notes implements engine.Recorder: they are for traces alone.
func (r *recorder) Notes() bool { return r.trace != nil }

// Noted implements engine.Recorder.
func (r *recorder) Noted(at time.Duration, observer int, e membership.Entry) {
	r.trace.noted(at, observer, e)
}

// Used implements engine.Recorder.
func (r *recorder) Used(at time.Duration, node int, use engine.Usage) {
	r.note(r.judge.Use(oracle.UseSample{
		At: at, Node: node, Process: use.Process, Goroutines: use.Goroutines, Descriptors: use.Descriptors, Resident: use.Resident, Heap: use.Heap,
	}))
}

// Passed implements engine.Recorder.
func (r *recorder) Passed(at time.Duration) {
	r.trace.passed()
	if r.interrupted != nil && r.interrupted() {
		return
	}
	if r.passed != nil {
		r.passed(at)
	}
}

// End implements engine.Recorder.
func (r *recorder) End(at time.Duration) { r.Passed(at) }
