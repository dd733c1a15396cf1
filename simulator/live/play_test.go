package live

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/membership"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/scenario"
)

// seen are the times at which an observer noted something about a subject.
func seen(h *History, observer int, kind membership.ChangeKind, subject string) []time.Duration {
	var all []time.Duration
	for _, o := range h.Observations {
		if o.Observer == observer && o.Change.Kind == kind && o.Change.Member.Name == subject {
			all = append(all, o.At)
		}
	}
	return all
}

func once(t *testing.T, h *History, observer int, kind membership.ChangeKind, subject string) time.Duration {
	t.Helper()
	// On a busy machine the clocks of two processes are compared only roughly, so what happened just before time 0 may
	// seem to have come after it. Nothing happens to a node before 300 ms.
	all := slices.DeleteFunc(seen(h, observer, kind, subject), func(at time.Duration) bool { return at < 300*time.Millisecond })
	if len(all) != 1 {
		t.Fatalf("n%d saw that %s %v at %v, want once", observer+1, subject, kind, all)
	}
	return all[0]
}

func TestPlay(t *testing.T) {
	t.Parallel()
	sc, plan, c := parse(t, `
cluster: {nodes: 5, warmup: 100ms, join: {within: 100ms}}
duration: 7s
timeline:
  - {at: 300ms, kill: {nodes: n5}}
  - {at: 400ms, for: 1s, link: {from: n1, to: n2, loss: 50%}}
  - {at: 500ms, for: 1s, pause: {nodes: [n1, n2]}}
  - {at: 600ms, for: 200ms, pause: {nodes: n1}}
  - {at: 4s, kill: {nodes: n4}}
  - {at: 5s, start: {nodes: n5}}
  - {at: 6s, leave: {nodes: n3}}
`)
	var told []time.Duration
	h, err := Play(t.Context(), plan, sc, c, func(at time.Duration) { told = append(told, at) })
	if err != nil {
		t.Fatal(err)
	}

	calls := slices.Clone(c.calls[5:]) // the first ones start the nodes
	want := []string{
		"kill n5", "change n2: n1 loss 0.5", "freeze n1", "freeze n2", "change n2: drop link",
		"thaw n1", "thaw n2", "kill n4", "start n5 through 1",
		// In the end every node's faults are asked after.
		"change n1: drop nothing", "change n2: drop nothing", "change n3: drop nothing", "change n4: drop nothing", "change n5: drop nothing",
	}
	if len(calls) == len(want) {
		slices.Sort(calls[2:4]) // at the same time
		slices.Sort(calls[5:7])
		slices.Sort(calls[9:])
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("the calls (-want +got):\n%s", diff)
	}

	last := time.Duration(0)
	for i, a := range h.Plan.Actions {
		if planned := plan.Actions[i]; a.At < planned.At || a.At < last || a.Verb != planned.Verb || a.Node != planned.Node || a.Fault != planned.Fault {
			t.Errorf("action %d is %v, planned %v", i, a, planned)
		}
		last = a.At
	}
	if h.Clock.Lag <= 0 || h.Clock.Skew <= 0 || h.Start.Agreed <= 0 || len(h.Start.Load) != 5 || h.Start.Load[0].PacketsOut == 0 {
		t.Errorf("clock %+v, start %+v", h.Clock, h.Start)
	}
	if diff := cmp.Diff([]time.Duration{time.Second, 2 * time.Second, 3 * time.Second}, told[:3]); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}

	// n4 has seen n5 fail before it was killed itself.
	if at := once(t, h, 3, membership.ChangeFailed, "n5"); at > 4*time.Second {
		t.Errorf("n4 saw n5 fail at %v, after its own end", at)
	}
	once(t, h, 0, membership.ChangeFailed, "n5")
	if at := once(t, h, 0, membership.ChangeJoined, "n5"); at < 5*time.Second {
		t.Errorf("n1 saw n5 come back at %v", at)
	}
	once(t, h, 0, membership.ChangeFailed, "n4")
	once(t, h, 0, membership.ChangeLeft, "n3")
	// The new n5 tells all from its first event on; the old ones only from time 0.
	if at := once(t, h, 4, membership.ChangeJoined, "n1"); at < 5*time.Second {
		t.Errorf("the new n5 met n1 at %v", at)
	}
	if all := seen(h, 1, membership.ChangeJoined, "n1"); len(all) != 0 {
		t.Errorf("n2 met n1 at %v, want before time 0", all)
	}
	if !slices.ContainsFunc(h.Accusations, func(a Accusation) bool {
		return a.Subject == "n5" && a.At > 300*time.Millisecond && a.At < 4*time.Second
	}) {
		t.Errorf("nobody's own probe of n5 failed: %+v", h.Accusations)
	}
	checkLoads(t, h)
	checkReplay(t, h)
}

// checkLoads: samples of one node follow each other, and cover most of its
// life.
func checkLoads(t *testing.T, h *History) {
	t.Helper()
	until, covered, sent := map[int]time.Duration{}, map[int]time.Duration{}, map[int]uint64{}
	for _, l := range h.Loads {
		if l.From < until[l.Node] || l.To <= l.From || l.To > h.Plan.End {
			t.Errorf("a sample of n%d from %v to %v, the one before ends at %v", l.Node+1, l.From, l.To, until[l.Node])
		}
		until[l.Node] = l.To
		covered[l.Node] += l.To - l.From
		sent[l.Node] += l.Load.PacketsOut
		if l.Load.PacketsOut > 1<<40 {
			t.Errorf("a sample of n%d is absurd: %+v", l.Node+1, l.Load)
		}
	}
	for node, atLeast := range []time.Duration{7 * time.Second, 7 * time.Second, 5 * time.Second, 3 * time.Second, time.Second} {
		if covered[node] < atLeast || sent[node] == 0 {
			t.Errorf("the samples of n%d cover %v, in which it sent %d packets", node+1, covered[node], sent[node])
		}
	}
}

// recorder checks the contract of engine.Recorder.
type recorder struct {
	t     *testing.T
	now   time.Duration
	began bool
	ended bool
	count map[string]int
}

func (r *recorder) take(what string, at time.Duration) {
	if !r.began || r.ended || at < r.now {
		r.t.Errorf("%s at %v after %v (began %v, ended %v)", what, at, r.now, r.began, r.ended)
	}
	r.now = at
	r.count[what]++
}

func (r *recorder) Begin(engine.Start)      { r.began = true }
func (r *recorder) Acted(a scenario.Action) { r.take("acted", a.At) }
func (r *recorder) Observed(at time.Duration, _ int, _ membership.Change) {
	r.take("observed", at)
}
func (r *recorder) Accused(at time.Duration, _ int, _ string, _ uint32) { r.take("accused", at) }
func (r *recorder) Sent(_ int, _, to time.Duration, _ engine.Load)      { r.take("sent", to) }
func (r *recorder) Notes() bool                                         { return true }
func (r *recorder) Noted(at time.Duration, _ int, _ membership.Entry)   { r.take("noted", at) }
func (r *recorder) Used(at time.Duration, _ int, _ engine.Usage)        { r.take("used", at) }
func (r *recorder) Passed(at time.Duration)                             { r.take("passed", at) }
func (r *recorder) End(at time.Duration)                                { r.take("end", at); r.ended = true }

func checkReplay(t *testing.T, h *History) {
	t.Helper()
	r := &recorder{t: t, count: map[string]int{}}
	h.Replay(r)
	want := map[string]int{
		"acted": len(h.Plan.Actions), "accused": len(h.Accusations), "sent": len(h.Loads),
		"passed": int(h.Plan.End/time.Second) - 1, "end": 1, "observed": r.count["observed"],
		"noted": len(h.Notes),
	}
	if diff := cmp.Diff(want, r.count); diff != "" || r.count["observed"] == 0 || r.now != h.Plan.End {
		t.Errorf("the replay ends at %v (-want +got):\n%s", r.now, diff)
	}
}

const small = "cluster: {nodes: 3, warmup: 0s, join: {within: 0s, timeout: 30s}}\nduration: 60s\n"

func TestUnexpectedEnd(t *testing.T) {
	t.Parallel()
	sc, plan, c := parse(t, small+"timeline: [{at: 100ms, for: 1s, link: {from: n1, to: n2, cut: true}}]")
	c.crash = 2
	_, err := Play(t.Context(), plan, sc, c, nil)
	if err == nil || !strings.Contains(err.Error(), "n3 ended at ") || !strings.Contains(err.Error(), "out of cheese") {
		t.Errorf("a node that crashes: %v", err)
	}
}

func TestRefusedFault(t *testing.T) {
	t.Parallel()
	sc, plan, c := parse(t, small+"timeline: [{at: 100ms, for: 1s, link: {from: n1, to: n2, cut: true}}]")
	c.refuse = errors.ErrUnsupported
	_, err := Play(t.Context(), plan, sc, c, nil)
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "n2") {
		t.Errorf("a fault that the kernel refuses: %v", err)
	}
}

func TestNoAgreement(t *testing.T) {
	t.Parallel()
	sc, plan, c := parse(t, strings.Replace(small, "30s", "300ms", 1))
	c.lonely = true
	_, err := Play(t.Context(), plan, sc, c, nil)
	if !errors.Is(err, engine.ErrNoAgreement) || !strings.Contains(err.Error(), "n1 lists 1 of 3") {
		t.Errorf("nodes that do not meet: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	sc, plan, c := parse(t, small)
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := Play(ctx, plan, sc, c, func(time.Duration) { cancel(stop) })
	if !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
}

// orderRecorder notes which methods were called.
type orderRecorder struct{ calls []string }

func (o *orderRecorder) say(what string)       { o.calls = append(o.calls, what) }
func (o *orderRecorder) Begin(engine.Start)    { o.say("begin") }
func (o *orderRecorder) Acted(scenario.Action) { o.say("acted") }
func (o *orderRecorder) Observed(time.Duration, int, membership.Change) {
	o.say("observed")
}
func (o *orderRecorder) Accused(time.Duration, int, string, uint32) { o.say("accused") }
func (o *orderRecorder) Sent(int, time.Duration, time.Duration, engine.Load) {
	o.say("sent")
}
func (o *orderRecorder) Notes() bool                                { return false }
func (o *orderRecorder) Noted(time.Duration, int, membership.Entry) { o.say("noted") }
func (o *orderRecorder) Used(time.Duration, int, engine.Usage)      { o.say("used") }
func (o *orderRecorder) Passed(time.Duration)                       { o.say("passed") }
func (o *orderRecorder) End(time.Duration)                          { o.say("end") }
