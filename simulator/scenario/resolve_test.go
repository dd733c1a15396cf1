package scenario

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestResolveIsDeterministicAndWithinBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawValid(t)
		seed := rapid.Uint64().Draw(t, "seed")
		plan, err := s.Resolve(seed)
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.Resolve(seed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plan, again, cmpopts.IgnoreUnexported(Fault{})); diff != "" {
			t.Fatalf("two plans for one seed:\n%s", diff)
		}
		checkPlan(t, s, plan)
	})
}

// checkPlan checks what holds for every plan.
func checkPlan(t *rapid.T, s *Scenario, plan *Plan) {
	n := len(plan.Nodes)
	if n != s.Cluster.Nodes || len(plan.Starts) != n || plan.End != s.End() || len(plan.Actions) > MaxActions {
		t.Fatalf("%d nodes, %d starts, %d actions, end %s", n, len(plan.Starts), len(plan.Actions), plan.End)
	}
	for i, start := range plan.Starts {
		if start < 0 || start > s.Cluster.Join.Within || i < plan.SeedNodes && start != 0 {
			t.Fatalf("%s starts at %s", NodeName(i), start)
		}
	}
	on := map[int]bool{}
	truth := NewTruth(plan)
	last := time.Duration(0)
	for _, a := range plan.Actions {
		st := &s.Timeline[a.Step]
		if a.At < last || a.At < st.At || a.At > st.end(n) || a.At > plan.End {
			t.Fatalf("%v comes at %s, after %s, in a step from %s to %s", a, a.At, last, st.At, st.end(n))
		}
		last = a.At
		switch a.Verb {
		case On, Off:
			if on[a.Fault.ID] != (a.Verb == Off) || plan.Faults[a.Fault.ID] != a.Fault {
				t.Fatalf("%v, when it is on: %v", a, on[a.Fault.ID])
			}
			on[a.Fault.ID] = a.Verb == On
			checkFault(t, n, a.Fault)
		case Kill, Leave, Start:
			if truth.Running(a.Node) == (a.Verb == Start) {
				t.Fatalf("%v has no effect", a)
			}
		}
		truth.Apply(a)
	}
	for id, still := range on {
		if still {
			t.Fatalf("%v never ends", plan.Faults[id])
		}
	}
}

func checkFault(t *rapid.T, n int, f *Fault) {
	all := slices.Concat(f.Nodes, f.Via, f.From, f.To)
	parts := slices.Concat(f.Parts...)
	for _, node := range append(all, parts...) {
		if node < 0 || node >= n {
			t.Fatalf("%v is about node %d of %d", f, node, n)
		}
	}
	for _, set := range [][]int{f.Nodes, f.From, f.To, append(parts, f.Via...)} {
		set = slices.Sorted(slices.Values(set))
		if len(slices.Compact(slices.Clone(set))) != len(set) {
			t.Fatalf("%v names a node twice", f)
		}
	}
}

// actions resolves a scenario with seed 1 and writes its actions.
func actions(t *testing.T, text string) []string {
	t.Helper()
	plan, err := parse(t, text).Resolve(1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range plan.Actions {
		got = append(got, a.String())
	}
	return got
}

func TestResolveUnfoldsSteps(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		want []string
	}{
		{
			"a flap begins with on, and ends with the step",
			inCluster(3, "{at: 10s, for: 12s, flap: {down: 4s, up: 1s}, pause: {node: n2}}"),
			[]string{
				"10s on pause {n2}", "14s off pause {n2}", "15s on pause {n2}",
				"19s off pause {n2}", "20s on pause {n2}", "22s off pause {n2}",
			},
		},
		{
			"a flap that would set in at the very end does not",
			inCluster(3, "{at: 0, for: 10s, flap: {down: 4s, up: 1s}, pause: {node: n2}}"),
			[]string{"0s on pause {n2}", "4s off pause {n2}", "5s on pause {n2}", "9s off pause {n2}"},
		},
		{
			"steps are ordered by time, not by file",
			inCluster(3, "{at: 2s, start: {node: n1}}", "{at: 1s, kill: {node: n1}}"),
			[]string{"1s kill n1", "2s start n1"},
		},
		{
			"what ends comes before what begins",
			inCluster(3, "{at: 2s, for: 1s, pause: {node: n1}}", "{at: 1s, for: 1s, pause: {node: n2}}"),
			[]string{"1s on pause {n2}", "2s off pause {n2}", "2s on pause {n1}", "3s off pause {n1}"},
		},
		{
			"a rolling restart",
			inCluster(2, "{at: 1s, restart: {nodes: all, down: 2s, stagger: 5s, graceful: true}}"),
			[]string{"1s leave n1", "3s start n1", "6s leave n2", "8s start n2"},
		},
		{
			"a repeated step",
			inCluster(2, "{at: 1s, every: 10s, times: 2, for: 3s, link: {from: n1, to: n2, loss: 0.5%, delay: 1ms}}"),
			[]string{
				"1s on link {n1} -> {n2} loss 0.5% delay 1ms", "4s off link {n1} -> {n2} loss 0.5% delay 1ms",
				"11s on link {n1} -> {n2} loss 0.5% delay 1ms", "14s off link {n1} -> {n2} loss 0.5% delay 1ms",
			},
		},
		{
			"nodes in no group are a part of their own",
			inCluster(5, "{at: 0, for: 1s, partition: {shape: groups, groups: [[n1, n3], [n2]], only: udp}}"),
			[]string{"0s on partition {n1, n3} | {n2} | {n4, n5} only udp", "1s off partition {n1, n3} | {n2} | {n4, n5} only udp"},
		},
		{
			"each isolated node is alone",
			inCluster(4, "{at: 0, for: 1s, partition: {shape: isolate, nodes: [n1, n2]}}"),
			[]string{"0s on partition {n1} | {n2} | {n3, n4}", "1s off partition {n1} | {n2} | {n3, n4}"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, actions(t, c.text)); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPicksDependOnWhoRuns(t *testing.T) {
	for seed := range uint64(50) {
		plan, err := parse(t, inCluster(3,
			"{at: 1s, kill: {nodes: one}}", "{at: 1s, kill: {nodes: one}}", "{at: 2s, for: 1s, pause: {nodes: all}}",
			"{at: 4s, start: {nodes: one}}", "{at: 5s, start: {nodes: majority}}", "{at: 6s, kill: {nodes: all}}", "{at: 7s, kill: {nodes: one}}",
		)).Resolve(seed)
		if err != nil {
			t.Fatal(err)
		}
		count := map[Verb]int{}
		for _, a := range plan.Actions {
			count[a.Verb]++
			if a.Verb == On && len(a.Fault.Nodes) != 1 {
				t.Errorf("seed %d: %v, when one node runs", seed, a)
			}
		}
		if diff := cmp.Diff(map[Verb]int{Kill: 5, Start: 2, On: 1, Off: 1}, count); diff != "" {
			t.Errorf("seed %d (-want +got):\n%s\n%v", seed, diff, plan.Actions)
		}
	}
}

func TestSeedsDrawDifferently(t *testing.T) {
	s := parse(t, inCluster(20, "{at: 1s, kill: {nodes: one}}"))
	victims := map[int]bool{}
	for seed := range uint64(200) {
		plan, err := s.Resolve(seed)
		if err != nil {
			t.Fatal(err)
		}
		victims[plan.Actions[0].Node] = true
	}
	if len(victims) != 20 {
		t.Errorf("200 seeds kill only %d of 20 nodes", len(victims))
	}
}

func TestShapesHaveTheirSizes(t *testing.T) {
	for _, c := range []struct {
		shape string
		n     int
		want  []int
	}{
		{"halves", 5, []int{2, 3}},
		{"halves", 6, []int{3, 3}},
		{"majority", 6, []int{2, 4}},
		{"minority", 5, []int{2, 3}},
		{"minority-third", 10, []int{3, 7}},
		{"minority-third", 9, []int{2, 7}},
		{"isolate", 5, []int{1, 4}},
		{"bridge", 5, []int{2, 2}},
		{"bridge", 6, []int{2, 3}},
	} {
		plan, err := parse(t, inCluster(c.n, "{at: 0, for: 1s, partition: {shape: "+c.shape+"}}")).Resolve(7)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, part := range plan.Faults[0].Parts {
			got = append(got, len(part))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s of %d (-want +got):\n%s", c.shape, c.n, diff)
		}
	}
}

func TestLinkPicksReceiversOutsideSenders(t *testing.T) {
	s := parse(t, inCluster(8, "{at: 0, for: 1s, link: {from: minority, to: minority, cut: true}}"))
	for seed := range uint64(100) {
		plan, err := s.Resolve(seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, node := range plan.Faults[0].From {
			if slices.Contains(plan.Faults[0].To, node) {
				t.Fatalf("seed %d: %v", seed, plan.Faults[0])
			}
		}
	}
}
