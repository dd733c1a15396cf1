package oracle

import (
	"strings"
	"testing"
	"time"

	"heartbeat/simulator/scenario"
)

// following judges a run of 90 s in which n2 is cut off from 10 s to 15 s, and n3 is killed at 55 s and started at 60 s.
func following(t *testing.T, use func(second, node int) UseSample) RunResult {
	t.Helper()
	p := plan(t, "cluster: {nodes: 3}\nduration: 90s\ntimeline:\n  - {at: 10s, for: 5s, partition: {shape: isolate, node: n2}}\n"+
		"  - {at: 55s, kill: {node: n3}}\n  - {at: 60s, start: {node: n3}}\n")
	j, err := New(p, Timing{Round: time.Second, Longest: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for second := range 90 {
		for node := range 3 {
			s := use(second, node)
			s.At, s.Node = time.Duration(second)*time.Second+500*time.Millisecond, node
			if node == 2 && second >= 60 {
				s.Process = 1
			}
			if err := j.Use(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Use(UseSample{Node: 3}); err == nil {
		t.Error("a sample of a node that there is not was taken")
	}
	r, err := j.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Only calm moments count, of processes that ran through.
func TestProcessesAreFollowedInCalmMoments(t *testing.T) {
	r := following(t, func(second, node int) UseSample {
		s := UseSample{Goroutines: 40, Descriptors: 10, Resident: 20e6, Heap: 3e6}
		if second >= 10 && second < 25 || second >= 30 && second < 70 { // disturbed, or in the middle
			s.Goroutines = 999
		} else if second >= 70 {
			s.Goroutines += node
		}
		return s
	})
	if len(r.Processes) != 2 || r.Processes[0].Node != "n1" || r.Processes[1].Node != "n2" {
		t.Fatalf("followed were %+v, want n1 and n2: n3 was restarted", r.Processes)
	}
	want := Process{Node: "n2",
		Early: Use{Samples: 15, Goroutines: 40, Descriptors: 10, Resident: 20e6, Heap: 3e6},
		Late:  Use{Samples: 20, Goroutines: 41, Descriptors: 10, Resident: 20e6, Heap: 3e6},
	}
	if r.Processes[1] != want {
		t.Errorf("n2: %+v\nwant %+v", r.Processes[1], want)
	}
}

func TestGrowthIsHeldAgainstBounds(t *testing.T) {
	r := following(t, func(second, node int) UseSample {
		s := UseSample{Goroutines: 40, Descriptors: 10, Resident: 20e6, Heap: 4e6}
		if second > 60 && node == 1 {
			s = UseSample{Goroutines: 43, Descriptors: 9, Resident: 21e6, Heap: 5e6}
		}
		return s
	})
	memory := func(share float64) *scenario.Fraction { return new(scenario.Fraction(share)) }
	for name, c := range map[string]struct {
		bound scenario.Growth
		holds bool
	}{
		"as many goroutines as allowed": {scenario.Growth{Goroutines: new(3)}, true},
		"too many goroutines":           {scenario.Growth{Goroutines: new(2)}, false},
		"fewer descriptors":             {scenario.Growth{Descriptors: new(0)}, true},
		"as much memory as allowed":     {scenario.Growth{Memory: memory(0.25)}, true},
		"too much heap":                 {scenario.Growth{Memory: memory(0.2)}, false},
		"one of three":                  {scenario.Growth{Goroutines: new(3), Descriptors: new(0), Memory: memory(0.2)}, false},
	} {
		got := Evaluate([]scenario.Expectation{{Growth: &c.bound}}, []RunResult{r})[0]
		if got.Holds != c.holds || got.Holds != (len(got.Seeds) == 0) {
			t.Errorf("%s: holds %v, seeds %v: %s", name, got.Holds, got.Seeds, got.Text)
		}
		for _, part := range []string{"Of 2 processes that ran through", "goroutines +3, from 40 to 43 (n2)", "heap +25.0 %, from 4.00 to 5.00 MB (n2)"} {
			if !strings.Contains(got.Text, part) {
				t.Errorf("%s: %q is not in: %s", name, part, got.Text)
			}
		}
	}
}

// Nothing can be said about processes that nobody followed.
func TestGrowthOfNobodyDoesNotHold(t *testing.T) {
	e := []scenario.Expectation{{Growth: &scenario.Growth{Goroutines: new(5)}}}
	if got := Evaluate(e, []RunResult{{Seed: 7}})[0]; got.Holds || !strings.Contains(got.Text, "No process could be followed") {
		t.Errorf("%+v", got)
	}
}
