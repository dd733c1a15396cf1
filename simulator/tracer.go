package simulator

import (
	"cmp"
	"io"
	"slices"
	"time"

	"heartbeat/membership"
	"heartbeat/simulator/scenario"
	"heartbeat/simulator/trace"
)

// tracer writes the trace of one run; a nil one writes nothing.
type tracer struct {
	out   *trace.Writer
	sc    *scenario.Scenario
	names []string
	lines []timedLine // since the time that passed last: notes come late
}

type timedLine struct {
	at   time.Duration
	line trace.Line
}

func (t *tracer) add(at time.Duration, l trace.Line) {
	t.lines = append(t.lines, timedLine{at, l})
}

// passed writes what has been told up to now, in the order of time.
func (t *tracer) passed() {
	if t == nil {
		return
	}
	slices.SortStableFunc(t.lines, func(a, b timedLine) int { return cmp.Compare(a.at, b.at) })
	for _, l := range t.lines {
		t.out.Write(l.at, l.line)
	}
	t.lines = t.lines[:0]
}

func newTracer(w io.Writer, sc *scenario.Scenario, names []string) *tracer {
	return &tracer{out: trace.NewWriter(w, 0), sc: sc, names: names}
}

func (t *tracer) began(agreed time.Duration) {
	if t != nil {
		t.add(0, trace.Line{Kind: trace.KindBegin, Text: "all nodes list each other as alive, " + agreed.Round(time.Millisecond).String() + " after the first start"})
	}
}

func (t *tracer) acted(a scenario.Action) {
	if t == nil {
		return
	}
	l := trace.Line{Kind: trace.KindAction, Text: a.Verb.String() + ": " + t.sc.DescribeStep(a.Step)}
	if a.Fault != nil {
		for _, i := range concerned(a.Fault) {
			l.Nodes = append(l.Nodes, t.names[i])
		}
	} else {
		l.Nodes = []string{t.names[a.Node]}
	}
	t.add(a.At, l)
}

// concerned are the nodes that a fault is about; none means all.
func concerned(f *scenario.Fault) []int {
	nodes := append([]int(nil), f.Nodes...)
	for _, part := range f.Parts {
		nodes = append(nodes, part...)
	}
	return append(append(append(nodes, f.Via...), f.From...), f.To...)
}

func (t *tracer) observed(at time.Duration, observer int, c membership.Change) {
	if t == nil {
		return
	}
	l := trace.Line{Kind: c.Kind.String(), Observer: t.names[observer], Subject: c.Member.Name, Incarnation: c.Member.Incarnation, By: c.By}
	switch c.Kind {
	case membership.ChangeCondition, membership.ChangeConflict, membership.ChangeFailed:
		l.Text = c.Reason
	}
	t.add(at, l)
}

func (t *tracer) accused(at time.Duration, observer int, subject string, incarnation uint32) {
	if t != nil {
		t.add(at, trace.Line{Kind: trace.KindProbeFailed, Observer: t.names[observer], Subject: subject, Incarnation: incarnation})
	}
}

// noted writes what a node found out about a suspect, or heard from a witness.
func (t *tracer) noted(at time.Duration, observer int, e membership.Entry) {
	if t == nil {
		return
	}
	l := trace.Line{Kind: e.Kind.String(), Observer: t.names[observer], Subject: e.Subject, Incarnation: e.Incarnation, Text: e.Note}
	switch {
	case e.By == "" || e.By == l.Observer:
	case e.Kind == membership.EntryTestified:
		l.Kind, l.By = trace.KindHeardTestimony, []string{e.By}
	default:
		l.By = []string{e.By}
	}
	t.add(at, l)
}

func (t *tracer) close() error {
	if t == nil {
		return nil
	}
	t.passed()
	return t.out.Close()
}
