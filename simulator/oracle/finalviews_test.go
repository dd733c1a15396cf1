package oracle

import (
	"slices"
	"testing"
)

func TestFinalViews(t *testing.T) {
	ended := func(seed uint64, held ...HeldFailed) RunResult {
		return RunResult{Seed: seed, Nodes: 3, HeldFailed: held}
	}
	n1holds := func(failed ...string) HeldFailed { return HeldFailed{"n1", failed} }
	for _, tc := range []struct {
		name string
		a, b []RunResult
		want FinalViews
	}{
		{"nobody holds anybody failed", []RunResult{ended(1)}, []RunResult{ended(1)}, FinalViews{Compared: 1, Equal: 1}},
		{"the same, seeds in another order",
			[]RunResult{ended(1, n1holds("n2")), ended(2)}, []RunResult{ended(2), ended(1, n1holds("n2"))}, FinalViews{Compared: 2, Equal: 2}},
		{"one more at one node",
			[]RunResult{ended(1, n1holds("n2")), ended(2)}, []RunResult{ended(1, n1holds("n2", "n3")), ended(2)},
			FinalViews{Compared: 2, Equal: 1, Differences: []string{"seed 1: n1 holds failed: n2 against n2, n3"}}},
		{"in one set only",
			[]RunResult{ended(1)}, []RunResult{ended(1, HeldFailed{"n3", []string{"n1"}})},
			FinalViews{Compared: 1, Differences: []string{"seed 1: n3 holds failed: nobody against n1"}}},
		{"other seeds", []RunResult{ended(1)}, []RunResult{ended(2)}, FinalViews{}},
		{"broken off", []RunResult{{Seed: 1, Nodes: 3, BrokenOff: "no"}}, []RunResult{ended(1)}, FinalViews{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := CompareFinalViews(tc.a, tc.b)
			if got.Compared != tc.want.Compared || got.Equal != tc.want.Equal || !slices.Equal(got.Differences, tc.want.Differences) {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}
