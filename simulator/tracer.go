package simulator

import (
	"io"
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
}

func newTracer(w io.Writer, sc *scenario.Scenario, names []string) *tracer {
	return &tracer{out: trace.NewWriter(w, 0), sc: sc, names: names}
}

func (t *tracer) began(agreed time.Duration) {
	if t != nil {
		t.out.Write(0, trace.Line{Kind: trace.KindBegin, Text: "all nodes list each other as alive, " + agreed.Round(time.Millisecond).String() + " after the first start"})
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
	t.out.Write(a.At, l)
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
	t.out.Write(at, l)
}

func (t *tracer) accused(at time.Duration, observer int, subject string, incarnation uint32) {
	if t != nil {
		t.out.Write(at, trace.Line{Kind: trace.KindProbeFailed, Observer: t.names[observer], Subject: subject, Incarnation: incarnation})
	}
}

func (t *tracer) close() error {
	if t == nil {
		return nil
	}
	return t.out.Close()
}
