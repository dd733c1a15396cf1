package oracle

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"heartbeat/membership"
	"heartbeat/simulator/scenario"
)

// drawTimeline draws the text of a scenario of n nodes.
func drawTimeline(t *rapid.T, n int) string {
	step := rapid.Custom(func(t *rapid.T) string {
		// Coarse times make things happen at the same moment.
		at := rapid.IntRange(0, 30).Draw(t, "at")
		length := rapid.IntRange(1, 12).Draw(t, "for")
		node := func(label string) string { return fmt.Sprintf("n%d", rapid.IntRange(1, n).Draw(t, label)) }
		lasting := fmt.Sprintf("at: %ds, for: %ds", at, length)
		if rapid.Bool().Draw(t, "flap") {
			lasting += fmt.Sprintf(", flap: {down: %ds, up: %ds}", rapid.IntRange(1, 4).Draw(t, "down"), rapid.IntRange(1, 4).Draw(t, "up"))
		}
		switch rapid.IntRange(0, 8).Draw(t, "kind") {
		case 0:
			shape := rapid.SampledFrom([]string{"halves", "minority", "bridge", "majorities-ring", "isolate"}).Draw(t, "shape")
			return fmt.Sprintf("{%s, partition: {shape: %s}}", lasting, shape)
		case 1:
			effect := rapid.SampledFrom([]string{"cut: true", "loss: 80%", "loss: 30%", "cut: true, only: udp", "delay: 1s"}).Draw(t, "effect")
			return fmt.Sprintf("{%s, link: {from: %s, to: all, %s}}", lasting, node("from"), effect)
		case 2:
			return fmt.Sprintf("{%s, link: {from: {count: 2}, to: {count: 2}, both: true, cut: true}}", lasting)
		case 3:
			return fmt.Sprintf("{%s, pause: {nodes: %s}}", lasting, node("paused"))
		case 4:
			return fmt.Sprintf("{%s, stall: {nodes: %s, late: 1s}}", lasting, node("stalled"))
		case 5:
			return fmt.Sprintf("{at: %ds, leave: {nodes: one}}", at)
		case 6:
			return fmt.Sprintf("{at: %d500ms, start: {nodes: one}}", at) // never in the instant of a kill
		case 7:
			return fmt.Sprintf("{at: %ds, restart: {nodes: one, down: 2s}}", at)
		}
		return fmt.Sprintf("{at: %ds, kill: {nodes: one}}", at)
	})
	steps := rapid.SliceOfN(step, 0, 6).Draw(t, "steps")
	text := fmt.Sprintf("version: 1\nname: test\ncluster: {nodes: %d}\nnetwork: {latency: 2s}\nduration: 45s\n", n)
	if len(steps) > 0 {
		text += "timeline:\n  - " + strings.Join(steps, "\n  - ") + "\n"
	}
	return text
}

// drawHistory tells the judge and the twin the same history.
func drawHistory(t *rapid.T, j *Judge, w *twin) {
	n := len(w.plan.Nodes)
	kinds := []membership.ChangeKind{
		membership.ChangeFailed, membership.ChangeFailed, membership.ChangeSuspected, membership.ChangeSuspected, membership.ChangeRefuted,
		membership.ChangeJoined, membership.ChangeLeft, membership.ChangeRemoved, membership.ChangeLapsed, membership.ChangeUpdated,
	}
	truth := scenario.NewTruth(w.plan)
	next := 0
	advance := func(to time.Duration) {
		for ; next < len(w.plan.Actions) && w.plan.Actions[next].At <= to; next++ {
			truth.Apply(w.plan.Actions[next])
			w.history = append(w.history, entry{at: w.plan.Actions[next].At, action: &w.plan.Actions[next]})
		}
	}
	var left = map[int]bool{}
	for _, a := range w.plan.Actions {
		left[a.Node] = left[a.Node] || a.Verb == scenario.Leave
	}
	at := -time.Second
	for range rapid.IntRange(0, 40).Draw(t, "entries") {
		at += time.Duration(rapid.IntRange(0, 6).Draw(t, "later")) * 500 * time.Millisecond
		if at > w.plan.End {
			break
		}
		advance(at)
		o, s := rapid.IntRange(0, n-1).Draw(t, "observer"), rapid.IntRange(0, n-1).Draw(t, "subject")
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		incarnation := uint32(rapid.IntRange(0, 2).Draw(t, "incarnation"))
		var err error
		e := entry{at: at}
		if rapid.IntRange(0, 4).Draw(t, "accuse") == 0 {
			e.accused = &Accusation{At: at, Accuser: o, Subject: s, Incarnation: incarnation}
			err = j.Accuse(*e.accused)
		} else {
			e.seen = &Observation{At: at, Observer: o, Subject: s, Kind: kind, Incarnation: incarnation}
			err = j.Observe(*e.seen)
		}
		impossible := o == s && (e.accused != nil || kind == membership.ChangeFailed)
		switch {
		case impossible && err == nil:
			t.Fatalf("%s says of itself that it is failed, and was believed", scenario.NodeName(o))
		case impossible:
		case truth.Running(o) && err != nil:
			t.Fatal(err)
		case truth.Running(o):
			w.history = append(w.history, e)
		case err == nil && !left[o] && !slices.ContainsFunc(w.plan.Actions, func(a scenario.Action) bool { return a.At == at }):
			t.Fatalf("%s was dead at %s, and was believed", scenario.NodeName(o), at)
		}
	}
	advance(w.plan.End)
}

func TestJudgeAgreesWithItsNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawTimeline(t, rapid.IntRange(4, 7).Draw(t, "n"))
		s, err := scenario.Parse("test.yaml", []byte(text), scenario.Options{})
		if err != nil {
			t.Skip("steps in each other's way")
		}
		plan, err := s.Resolve(rapid.Uint64Range(1, 5).Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		timing := Timing{Round: 3 * time.Second, Longest: 9 * time.Second}
		j, err := New(plan, timing)
		if err != nil {
			t.Fatal(err)
		}
		w := &twin{plan: plan, timing: timing}
		drawHistory(t, j, w)
		got, err := j.Finish()
		if err != nil {
			t.Fatal(err)
		}
		want := w.judge()
		if got.Verdicts.False() < 50 && len(got.Examples) != got.Verdicts.False() {
			t.Fatalf("%d examples of %d false alarms", len(got.Examples), got.Verdicts.False())
		}
		heat := got.Heat
		got.Heat, got.Load, got.Examples, got.Bands = Heat{}, Load{}, nil, nil
		if diff := gocmp.Diff(want, got, gocmp.Comparer(sameNumber)); diff != "" {
			t.Fatalf("%s(-twin +judge):\n%s", text, diff)
		}
		for s := range plan.Nodes {
			row := HeatRow{}
			if i := slices.IndexFunc(heat.Rows, func(r HeatRow) bool { return r.Node == scenario.NodeName(s) }); i >= 0 {
				row = heat.Rows[i]
			}
			bucket := rapid.IntRange(0, heat.Buckets-1).Draw(t, "bucket")
			if got, want := row.At(bucket), w.hot(s, bucket, time.Second, heat.Buckets); got != want {
				t.Fatalf("%sbucket %d of %s: %d, the twin says %d: %v", text, bucket, scenario.NodeName(s), got, want, row)
			}
		}
	})
}

func sameNumber(a, b Number) bool { return a == b || math.Abs(float64(a-b)) < 1e-9 }
