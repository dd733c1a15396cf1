package oracle

import (
	"strings"
	"testing"
	"time"

	"heartbeat/simulator/scenario"
)

func TestWithoutRunsNothingHolds(t *testing.T) {
	expect := []scenario.Expectation{{NoVerdicts: true}, {FalseAlarms: &scenario.FalseAlarms{Max: 9}}}
	broken := made(7, 5, 0)
	broken.BrokenOff = "the nodes did not agree"
	for name, c := range map[string]struct {
		runs []RunResult
		want string
	}{
		"no run":  {nil, "There was no run."},
		"one bad": {[]RunResult{made(6, 5, 0), broken}, "The run with seed 7 was broken off: the nodes did not agree."},
	} {
		for _, o := range Evaluate(expect, c.runs) {
			if o.Holds || o.Text != c.want {
				t.Errorf("%s: %+v", name, o)
			}
		}
	}
	if o := Evaluate([]scenario.Expectation{{}}, []RunResult{made(1, 5, 0)})[0]; o.Holds {
		t.Errorf("an empty expectation holds: %+v", o)
	}
}

// Every kind of expectation at its bound holds, and one step beyond it does not.
func TestExpectationsHoldUpToTheirBounds(t *testing.T) {
	runs := []RunResult{made(1, 4, 2), made(2, 5, 2)}
	for i := range runs {
		r := &runs[i]
		r.Joined, r.Refutations, r.ViewChanges.MostByObserver, r.RunningAtEnd = 3, 4, 5, 3
		r.Verdicts.Justified.CutOff, r.Verdicts.FalseFrozen.Frozen = 2, 1
		r.Accusations.True.Healthy, r.Accusations.FalseHealthy.Healthy = 4, 2
		r.EndStates = []EndState{{Node: "n4", Failed: 3}}
		r.Load.TCP = Rates{PacketsOut: 1, BytesOut: 10}
	}
	most := func(n int) *int { return &n }
	limit := func(v float64) *scenario.Limit { return &scenario.Limit{Max: v} }
	n4 := scenario.Targets{Spans: []scenario.Span{{First: 4, Last: 4}}}
	s := time.Second
	for _, c := range []struct {
		name           string
		within, beyond scenario.Expectation
	}{
		{"false alarms", scenario.Expectation{FalseAlarms: &scenario.FalseAlarms{Max: 3}}, scenario.Expectation{FalseAlarms: &scenario.FalseAlarms{Max: 2}}},
		{"by healthy", scenario.Expectation{FalseAlarms: &scenario.FalseAlarms{Max: 2, Observers: scenario.Healthy}}, scenario.Expectation{FalseAlarms: &scenario.FalseAlarms{Max: 1, Observers: scenario.Healthy}}},
		{"about frozen", scenario.Expectation{FalseAlarms: &scenario.FalseAlarms{Max: 1, About: scenario.Frozen}}, scenario.Expectation{FalseAlarms: &scenario.FalseAlarms{Max: 0, About: scenario.Frozen}}},
		{"justified", scenario.Expectation{Justified: &scenario.Justified{Min: 2, Max: most(2)}}, scenario.Expectation{Justified: &scenario.Justified{Min: 3}}},
		{"justified, most", scenario.Expectation{Justified: &scenario.Justified{Max: most(2)}}, scenario.Expectation{Justified: &scenario.Justified{Max: most(1)}}},
		{"detected by all", scenario.Expectation{Detected: &scenario.Detected{P50: 5 * s, P99: 6 * s, Max: 6 * s}}, scenario.Expectation{Detected: &scenario.Detected{P50: 5*s - 1*time.Millisecond}}},
		{"detected by the first", scenario.Expectation{Detected: &scenario.Detected{By: scenario.First, Max: 5 * s}}, scenario.Expectation{Detected: &scenario.Detected{By: scenario.First, Max: 4900 * time.Millisecond}}},
		{"detected by most", scenario.Expectation{Detected: &scenario.Detected{Nodes: n4, By: scenario.Majority, Max: 5500 * time.Millisecond}}, scenario.Expectation{Detected: &scenario.Detected{Nodes: n4, By: scenario.Majority, Max: 5 * s}}},
		{"joined", scenario.Expectation{Joined: &scenario.Within{Within: 3 * s}}, scenario.Expectation{Joined: &scenario.Within{Within: 2 * s}}},
		{"converged", scenario.Expectation{Converged: &scenario.Within{Within: 6 * s}}, scenario.Expectation{Converged: &scenario.Within{Within: 5 * s}}},
		{"state", scenario.Expectation{StateAtEnd: &scenario.StateAtEnd{Nodes: n4, Is: scenario.StateFailed}}, scenario.Expectation{StateAtEnd: &scenario.StateAtEnd{Nodes: n4, Is: scenario.StateSuspect}}},
		{"alive", scenario.Expectation{StateAtEnd: &scenario.StateAtEnd{Nodes: scenario.Targets{Spans: []scenario.Span{{First: 1, Last: 3}}}, Is: scenario.StateAlive}},
			scenario.Expectation{StateAtEnd: &scenario.StateAtEnd{Nodes: scenario.Targets{Pick: scenario.PickAll}, Is: scenario.StateFailed}}},
		{"view changes", scenario.Expectation{ViewChanges: &scenario.PerNode{MaxPerNode: 5}}, scenario.Expectation{ViewChanges: &scenario.PerNode{MaxPerNode: 4}}},
		{"suspicions", scenario.Expectation{Suspicions: &scenario.Count{Max: 6}}, scenario.Expectation{Suspicions: &scenario.Count{Max: 5}}},
		{"refutations", scenario.Expectation{Refutations: &scenario.Count{Max: 4}}, scenario.Expectation{Refutations: &scenario.Count{Max: 3}}},
		{"load", scenario.Expectation{Load: &scenario.LoadBounds{PacketsPerNodeSecond: limit(3), BytesPerNodeSecond: limit(110)}}, scenario.Expectation{Load: &scenario.LoadBounds{BytesPerNodeSecond: limit(109)}}},
		{"load by TCP", scenario.Expectation{Load: &scenario.LoadBounds{Only: scenario.TCP, PacketsPerNodeSecond: limit(1)}}, scenario.Expectation{Load: &scenario.LoadBounds{Only: scenario.TCP, PacketsPerNodeSecond: limit(0.9)}}},
	} {
		out := Evaluate([]scenario.Expectation{c.within, c.beyond}, runs)
		if !out[0].Holds || len(out[0].Seeds) > 0 {
			t.Errorf("%s within its bound does not hold: %+v", c.name, out[0])
		}
		if out[1].Holds {
			t.Errorf("%s beyond its bound holds: %+v", c.name, out[1])
		}
		for _, o := range out {
			if !strings.HasSuffix(o.Text, ".") || o.Expected == "" {
				t.Errorf("%s: %q is no sentence", c.name, o.Text)
			}
		}
	}
	same := Evaluate([]scenario.Expectation{{Refutations: &scenario.Count{Max: 4}}}, runs)
	if same[0].Text != "4 refutations in each of 2 runs." {
		t.Error(same[0].Text)
	}
}
