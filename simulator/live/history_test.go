package live

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"heartbeat/gossip/httpapi"
	"heartbeat/membership"
)

// testPlay is a run of two nodes that is over: n2 was killed at 10s and started
// again at 20s, both 50 ms late.
func testPlay(t *testing.T) *play {
	t.Helper()
	_, plan, c := parse(t, `
cluster: {nodes: 2}
duration: 30s
timeline: [{at: 10s, kill: {nodes: n2}}, {at: 20s, start: {nodes: n2}}]
`)
	zero := time.Now()
	p := &play{plan: plan, cluster: c, time0: zero, zero: make(chan struct{})}
	close(p.zero)
	for i := range plan.Nodes {
		p.nodes = append(p.nodes, newNode(p, i))
	}
	for _, a := range plan.Actions {
		p.effects = append(p.effects, zero.Add(a.At+50*time.Millisecond))
	}
	p.nodes[1].lives = []*life{
		{node: p.nodes[1], action: firstLife, told: true, ended: zero.Add(10 * time.Second)},
		{node: p.nodes[1], action: 1},
	}
	return p
}

func TestHistoryPutsTimesInOrder(t *testing.T) {
	p := testPlay(t)
	note := func(l *life, at time.Duration) {
		l.changes = append(l.changes, membership.Change{At: p.time0.Add(at), Kind: membership.ChangeSuspected, Member: membership.Member{Name: "n1"}})
	}
	first, second := p.nodes[1].lives[0], p.nodes[1].lives[1]
	note(first, -time.Second)    // not told about
	note(first, 5*time.Second)   // as it is
	note(first, 4*time.Second)   // a clock that went back
	note(first, 11*time.Second)  // after its end, by a clock that is ahead
	note(second, 19*time.Second) // before its start, by a clock that is behind
	note(second, 25*time.Second) // as it is
	first.accused = map[accused]bool{{p.time0.Add(12 * time.Second).UnixNano(), "n1", 7}: true}

	h := p.history()
	var got []time.Duration
	for _, o := range h.Observations {
		got = append(got, o.At)
	}
	want := []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 20*time.Second + 50*time.Millisecond, 25 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("observations (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Accusation{{At: 10 * time.Second, Observer: 1, Subject: "n1", Incarnation: 7}}, h.Accusations); diff != "" {
		t.Errorf("accusations (-want +got):\n%s", diff)
	}
	if h.Plan.Actions[0].At != 10*time.Second+50*time.Millisecond || p.plan.Actions[0].At != 10*time.Second || h.Clock.Lag != 50*time.Millisecond {
		t.Errorf("the plan: %v, planned %v, lag %v", h.Plan.Actions, p.plan.Actions, h.Clock.Lag)
	}
}

func TestActionsKeepTheirOrder(t *testing.T) {
	p := testPlay(t)
	p.effects = []time.Time{p.time0.Add(25 * time.Second), p.time0.Add(20 * time.Second)}
	h := p.history()
	if a := h.Plan.Actions; a[0].At != 25*time.Second || a[1].At != 25*time.Second || h.Clock.Lag != 15*time.Second {
		t.Errorf("actions %v, lag %v", a, h.Clock.Lag)
	}
	p.effects[1] = p.time0.Add(time.Hour)
	if a := p.history().Plan.Actions; a[1].At != p.plan.End {
		t.Errorf("an action that took effect after the end: %v", a)
	}
}

// What takes long at one node says nothing about when another one was killed.
func TestSlowActionsHoldUpNoOthers(t *testing.T) {
	_, plan, c := parse(t, `
cluster: {nodes: 3}
duration: 30s
timeline: [{at: 10s, kill: {nodes: n2}}, {at: 11s, kill: {nodes: n3}}, {at: 12s, start: {nodes: n2}}]
`)
	zero := time.Now()
	p := &play{plan: plan, cluster: c, time0: zero}
	for _, s := range []time.Duration{15, 11, 13} { // the start is noted before the kill: its clock is behind
		p.effects = append(p.effects, zero.Add(s*time.Second))
	}
	var got []string
	for _, a := range p.history().Plan.Actions {
		got = append(got, a.String())
	}
	if diff := cmp.Diff([]string{"11s kill n3", "15s kill n2", "15s start n2"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHolesAreErrors(t *testing.T) {
	l := testPlay(t).nodes[1].lives[1]
	l.epoch = "e"
	good := httpapi.Event{ID: "e-1", Kind: "failed", Member: &httpapi.Member{Name: "n1", State: "failed", Incarnation: 3}, Before: "suspect"}
	if err := l.take(good); err != nil || l.position() != "e-1" {
		t.Fatalf("the first event: %v, at %s", err, l.position())
	}
	for name, ev := range map[string]httpapi.Event{
		"lost":  {ID: "e-4", Kind: httpapi.EventLost, Lost: 3},
		"reset": {ID: "e-0", Kind: httpapi.EventReset},
		"a gap": {ID: "e-3", Kind: "failed", Member: good.Member},
	} {
		if err := l.take(ev); !errors.Is(err, errHole) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, ev := range map[string]httpapi.Event{
		"a kind of its own":   {ID: "e-2", Kind: "exploded", Member: good.Member},
		"a state of its own":  {ID: "e-2", Kind: "failed", Member: &httpapi.Member{Name: "n1", State: "tired"}},
		"nobody":              {ID: "e-2", Kind: "failed"},
		"no number":           {ID: "e", Kind: "failed", Member: good.Member},
		"a condition unknown": {ID: "e-2", Kind: "condition", Condition: "sleepy"},
	} {
		if err := l.take(ev); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if len(l.changes) != 1 {
		t.Errorf("%d changes were taken, want 1", len(l.changes))
	}
}

func TestEventsBecomeChanges(t *testing.T) {
	at := time.Now().UTC()
	got, err := toChange(httpapi.Event{
		ID: "e-1", Kind: "failed", At: at, Before: "suspect", By: []string{"n3"}, Reason: "why",
		Member: &httpapi.Member{Name: "n1", State: "failed", Incarnation: 3},
	}, "n2")
	want := membership.Change{
		Kind: membership.ChangeFailed, At: at, Before: membership.Suspect, By: []string{"n3"}, Reason: "why",
		Member: membership.Member{Name: "n1", State: membership.Failed, Incarnation: 3},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	got, err = toChange(httpapi.Event{ID: "e-2", Kind: "condition", At: at, Condition: "isolated"}, "n2")
	want = membership.Change{
		Kind: membership.ChangeCondition, At: at, Condition: membership.Isolated,
		Member: membership.Member{Name: "n2", State: membership.Alive, Local: true},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// At one and the same moment the recorder hears of actions first.
func TestReplayOrder(t *testing.T) {
	_, plan, _ := parse(t, "cluster: {nodes: 2}\nduration: 3s\ntimeline: [{at: 1s, kill: {nodes: n2}}]")
	h := &History{
		Plan:         plan,
		Observations: []Observation{{At: time.Second}, {At: 4 * time.Second}},
		Accusations:  []Accusation{{At: time.Second}},
		Loads:        []Load{{From: 0, To: time.Second}},
	}
	o := &orderRecorder{}
	h.Replay(o)
	want := []string{"begin", "acted", "observed", "accused", "sent", "passed", "passed", "end"}
	if diff := cmp.Diff(want, o.calls); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
