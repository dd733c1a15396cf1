package scenario

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// twin is a deliberately naive Truth: it keeps the whole history and answers each question from it.
type twin struct {
	plan    *Plan
	history []Action
}

// active returns the faults that are on now, by ID.
func (w *twin) active() []*Fault {
	var faults []*Fault
	for _, f := range w.plan.Faults {
		on := false
		for _, a := range w.history {
			if a.Fault == f {
				on = a.Verb == On
			}
		}
		if on {
			faults = append(faults, f)
		}
	}
	return faults
}

func (w *twin) running(node int) (running, left bool) {
	running = true
	for i, a := range w.history {
		if a.Fault != nil || a.Node != node {
			continue
		}
		running = a.Verb == Start
		before := twin{plan: w.plan, history: w.history[:i]}
		left = a.Verb == Leave && !before.held(node, PauseFault)
	}
	return running, left
}

// held says whether a pause or stall has set in since the process started, and not ended.
func (w *twin) held(node int, kind FaultKind) bool {
	for _, f := range w.plan.Faults {
		on := false
		for i, a := range w.history {
			before := twin{plan: w.plan, history: w.history[:i]}
			switch runs, _ := before.running(node); {
			case a.Fault == nil && a.Node == node:
				on = false
			case a.Fault == f && runs:
				on = a.Verb == On
			}
		}
		if on && f.Kind == kind && slices.Contains(f.Nodes, node) {
			return true
		}
	}
	return false
}

func partOf(f *Fault, node int) int {
	return slices.IndexFunc(f.Parts, func(part []int) bool { return slices.Contains(part, node) })
}

func strikes(f *Fault, from, to int) bool {
	switch {
	case f.Ring > 0:
		ring := f.Parts[0]
		for d := -f.Ring; d <= f.Ring; d++ {
			if ring[(slices.Index(ring, from)+d+len(ring))%len(ring)] == to {
				return false
			}
		}
		return true
	case f.Kind == PartitionFault:
		a, b := partOf(f, from), partOf(f, to)
		return a >= 0 && b >= 0 && a != b
	}
	there := slices.Contains(f.From, from) && slices.Contains(f.To, to)
	back := slices.Contains(f.From, to) && slices.Contains(f.To, from)
	return there || f.Both && back
}

func (w *twin) link(from, to int, p Protocol) Link {
	base := w.plan.Base
	l := Link{Delay: base.Delay, Jitter: base.Jitter, Rate: base.Rate}
	arrive, single, straight := 1-base.Loss, 1-base.Duplicate, 1-base.Reorder
	for _, f := range w.active() {
		if f.Kind != PartitionFault && f.Kind != LinkWorse || f.Only != "" && f.Only != p || !strikes(f, from, to) {
			continue
		}
		if f.Kind == PartitionFault {
			l.Cut = true
			continue
		}
		l.Cut = l.Cut || f.Link.Cut
		l.Delay += f.Link.Delay
		l.Jitter += f.Link.Jitter
		arrive, single, straight = arrive*(1-f.Link.Loss), single*(1-f.Link.Duplicate), straight*(1-f.Link.Reorder)
		for _, rate := range []Rate{f.Link.Rate} {
			if rate != 0 && (l.Rate == 0 || l.Rate > rate) {
				l.Rate = rate
			}
		}
	}
	l.Loss, l.Duplicate, l.Reorder = 1-arrive, 1-single, 1-straight
	return l
}

// reachable searches breadth first among all chains of exchanges.
func (w *twin) reachable(a, b int) bool {
	runsA, _ := w.running(a)
	runsB, _ := w.running(b)
	if !runsA || !runsB {
		return false
	}
	seen := map[int]bool{a: true}
	for queue := []int{a}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == b {
			return true
		}
		if queue[0] != a && w.held(queue[0], PauseFault) {
			continue
		}
		for next := range w.plan.Nodes {
			if runs, _ := w.running(next); !runs || seen[next] {
				continue
			}
			for _, p := range []Protocol{UDP, TCP} {
				if !seen[next] && !w.link(queue[0], next, p).Cut && !w.link(next, queue[0], p).Cut {
					seen[next] = true
					queue = append(queue, next)
				}
			}
		}
	}
	return false
}

func TestTruthAgreesWithItsNaiveTwin(t *testing.T) {
	near := cmpopts.EquateApprox(0, 1e-9)
	rapid.Check(t, func(t *rapid.T) {
		plan, err := drawValid(t).Resolve(rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		truth, naive := NewTruth(plan), &twin{plan: plan}
		node := rapid.IntRange(0, len(plan.Nodes)-1)
		until := rapid.IntRange(0, len(plan.Actions)).Draw(t, "actions")
		for i, a := range plan.Actions[:min(until, 40)] {
			// Asking in between must not make it remember what an action then changes.
			truth.Reachable(0, len(plan.Nodes)-1)
			truth.Apply(a)
			naive.history = plan.Actions[:i+1]
		}
		for range 4 {
			a, b := node.Draw(t, "a"), node.Draw(t, "b")
			running, left := naive.running(a)
			if truth.Running(a) != running || truth.Left(a) != left {
				t.Fatalf("%s: running %v, left %v; the twin says %v, %v", NodeName(a), truth.Running(a), truth.Left(a), running, left)
			}
			frozen, late := naive.held(a, PauseFault), naive.held(a, StallFault)
			if truth.Frozen(a) != frozen || (truth.Late(a) != DurationRange{}) != late || truth.Healthy(a) != (running && !frozen && !late) {
				t.Fatalf("%s: frozen %v, late %v, healthy %v; the twin says frozen %v, late %v, running %v",
					NodeName(a), truth.Frozen(a), truth.Late(a), truth.Healthy(a), frozen, late, running)
			}
			if a == b {
				continue
			}
			for _, p := range []Protocol{UDP, TCP} {
				if diff := cmp.Diff(naive.link(a, b, p), truth.Link(a, b, p), near); diff != "" {
					t.Fatalf("link %s to %s by %s (-twin +truth):\n%s", NodeName(a), NodeName(b), p, diff)
				}
			}
			if got, want := truth.Reachable(a, b), naive.reachable(a, b); got != want {
				t.Fatalf("%s reaches %s: %v, the twin says %v", NodeName(a), NodeName(b), got, want)
			}
		}
	})
}

// advance applies the plan's actions up to and including the given time.
func advance(t *testing.T, s *Scenario, until time.Duration) *Truth {
	t.Helper()
	plan, err := s.Resolve(1)
	if err != nil {
		t.Fatal(err)
	}
	truth := NewTruth(plan)
	for _, a := range plan.Actions {
		if a.At <= until {
			truth.Apply(a)
		}
	}
	return truth
}

func TestBridgeIsReachableThroughItsMiddle(t *testing.T) {
	truth := advance(t, parse(t, inCluster(5, "{at: 1s, for: 1m, partition: {shape: bridge, groups: [[n1, n2], [n4, n5]], via: n3}}",
		"{at: 10s, for: 5s, pause: {node: n3}}", "{at: 20s, kill: {node: n3}}")), time.Second)
	if truth.Exchange(0, 3) || !truth.Exchange(0, 2) || !truth.Reachable(0, 3) {
		t.Error("n1 must not exchange with n4 but reach it through n3")
	}
	s := parse(t, inCluster(5, "{at: 1s, for: 1m, partition: {shape: bridge, groups: [[n1, n2], [n4, n5]], via: n3}}",
		"{at: 10s, for: 5s, pause: {node: n3}}", "{at: 20s, kill: {node: n3}}"))
	for at, want := range map[time.Duration]bool{10 * time.Second: false, 16 * time.Second: true, 21 * time.Second: false} {
		if got := advance(t, s, at).Reachable(0, 3); got != want {
			t.Errorf("at %s n1 reaches n4: %v", at, got)
		}
	}
}

func TestOneWayCutStrikesOneWay(t *testing.T) {
	s := parse(t, inCluster(4, "{at: 1s, for: 1m, link: {from: all, to: n1, cut: true, only: udp}}"))
	truth := advance(t, s, time.Second)
	if !truth.Link(1, 0, UDP).Cut || truth.Link(0, 1, UDP).Cut || truth.Link(1, 0, TCP).Cut || truth.Link(1, 2, UDP).Cut {
		t.Error("only UDP on the way to n1 is cut")
	}
	if !truth.Exchange(0, 1) {
		t.Error("TCP still lets n1 exchange with n2")
	}
}

func TestMajoritiesRingGivesEveryNodeAnotherMajority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(4, 60).Draw(t, "n")
		s, err := Parse("x", []byte(inCluster(n, "{at: 0, for: 1s, partition: {shape: majorities-ring}}")), Options{})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := s.Resolve(rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		truth := NewTruth(plan)
		truth.Apply(plan.Actions[0])
		views := map[string]bool{}
		for i := range n {
			view := ""
			seen := 0
			for j := range n {
				sees := !truth.Link(i, j, UDP).Cut
				if sees != !truth.Link(j, i, UDP).Cut {
					t.Fatalf("%s and %s disagree about the cut", NodeName(i), NodeName(j))
				}
				if sees {
					seen++
					view += NodeName(j) + " "
				}
			}
			if seen <= n/2 || views[view] {
				t.Fatalf("%s sees %d of %d: %s", NodeName(i), seen, n, view)
			}
			views[view] = true
		}
	})
}

func TestFrozenNodeCannotSayGoodbye(t *testing.T) {
	s := parse(t, inCluster(3, "{at: 1s, for: 1m, pause: {node: n1}}", "{at: 2s, leave: {nodes: [n1, n2]}}", "{at: 3s, start: {node: n1}}"))
	truth := advance(t, s, 2*time.Second)
	if truth.Left(0) || !truth.Left(1) || truth.Running(0) || truth.Running(1) || truth.Frozen(0) {
		t.Error("both must be stopped, and only n2, which is not frozen, have left")
	}
	if truth = advance(t, s, 3*time.Second); !truth.Healthy(0) {
		t.Error("the pause of the old process holds the new one")
	}
}

func TestFrozenNodesAreReachableButCarryNothing(t *testing.T) {
	const bridge = "{at: 1s, for: 1m, partition: {shape: bridge, groups: [[n1, n2], [n4, n5]], via: n3}}"
	truth := advance(t, parse(t, inCluster(5, bridge, "{at: 2s, for: 10s, pause: {nodes: [n1, n4]}}")), 2*time.Second)
	if !truth.Reachable(0, 3) || !truth.Reachable(1, 3) || !truth.Reachable(0, 4) {
		t.Error("the bridge connects frozen nodes too")
	}
	apart := advance(t, parse(t, inCluster(3, "{at: 1s, for: 1m, partition: {shape: groups, groups: [[n1], [n2], [n3]]}}",
		"{at: 2s, for: 10s, pause: {nodes: [n1, n2]}}")), 2*time.Second)
	if apart.Reachable(0, 1) {
		t.Error("two frozen nodes that are each cut off reach each other")
	}
}

func TestReachabilityFollowsEveryAction(t *testing.T) {
	plan, err := parse(t, inCluster(3, "{at: 1s, for: 1s, partition: {shape: isolate, node: n1}}", "{at: 3s, for: 1s, link: {from: n1, to: n2, both: true, cut: true}}",
		"{at: 3500ms, kill: {node: n3}}")).Resolve(1)
	if err != nil {
		t.Fatal(err)
	}
	truth := NewTruth(plan)
	for i, want := range []bool{false, true, true, false, true} {
		if truth.Apply(plan.Actions[i]); truth.Reachable(0, 1) != want {
			t.Errorf("after %v, n1 reaches n2: %v", plan.Actions[i], !want)
		}
	}
}

func TestFaultsOnOneLinkAddUp(t *testing.T) {
	truth := advance(t, parse(t, inCluster(3,
		"{at: 0, for: 1m, link: {from: n1, to: all, loss: 50%, delay: 10ms, jitter: 1ms, duplicate: 20%, reorder: 10%, rate: 1mbit}}",
		"{at: 0, for: 1m, link: {from: n1, to: n2, loss: 50%, delay: 30ms, jitter: 2ms, duplicate: 50%, reorder: 10%, rate: 5mbit}}",
		"{at: 0, for: 1m, link: {from: n1, to: n2, rate: 2mbit}}")), 0)
	want := Link{
		Loss: 0.75, Delay: 42 * time.Millisecond, Jitter: 3 * time.Millisecond, Duplicate: 0.6, Reorder: 0.19, Rate: 1e6,
	}
	if diff := cmp.Diff(want, truth.Link(0, 1, UDP), cmpopts.EquateApprox(0, 1e-9)); diff != "" {
		t.Errorf("link (-want +got):\n%s", diff)
	}
}

func TestLossOfEverythingIsACut(t *testing.T) {
	truth := advance(t, parse(t, inCluster(3, "{at: 0, for: 1s, link: {from: n1, to: n2, loss: 100%}}")), 0)
	if !truth.Link(0, 1, UDP).Cut {
		t.Error("100% loss is not a cut")
	}
	if l := truth.Link(0, 0, UDP); l != (Link{}) {
		t.Errorf("the way to oneself is %v", l)
	}
	if got := math.Abs(truth.Link(0, 2, UDP).Loss); got != 0 {
		t.Errorf("an unrelated link loses %v", got)
	}
}

func BenchmarkTruthLink(b *testing.B) {
	s := parse(b, inCluster(2000, "{at: 0, for: 1m, partition: {shape: halves}}", "{at: 0, for: 1m, link: {from: 10%, to: all, loss: 80%, both: true}}"))
	plan, err := s.Resolve(1)
	if err != nil {
		b.Fatal(err)
	}
	truth := NewTruth(plan)
	for _, a := range plan.Actions[:2] {
		truth.Apply(a)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		truth.Link(i%2000, (i+7)%2000, UDP)
	}
}

func BenchmarkTruthParts(b *testing.B) {
	s := parse(b, inCluster(2000, "{at: 0, for: 1m, partition: {shape: halves}}"))
	plan, err := s.Resolve(1)
	if err != nil {
		b.Fatal(err)
	}
	truth := NewTruth(plan)
	for b.Loop() {
		truth.Apply(plan.Actions[0])
		truth.parts()
	}
}
