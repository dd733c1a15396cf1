package report

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// What differs between arms is said of each, what does not is said once.
func TestAboutArms(t *testing.T) {
	arm := func(label, detector string, wall oracle.Number, set ...string) result.Arm {
		return result.Arm{Label: label, Result: &result.Result{
			Engine: "virtual", Seeds: "1-3", Wall: wall, CPU: 2, Runs: make([]oracle.RunResult, 3),
			Scenario: result.Scenario{Nodes: 5, Detector: detector, End: 60, Set: set},
			Machine:  result.Machine{OS: "linux", Arch: "amd64", CPUs: 2, Go: "go1"},
		}}
	}
	alike := []result.Arm{arm("a", "swim", 1, "loss=1%"), arm("b", "swim", 1, "loss=1%")}
	want := []string{"virtual engine, 5 nodes, detector swim; each arm 3 runs of 60 s, seeds 1-3", "overrides: loss=1%", "linux/amd64, 2 CPUs, go1", "1 s, 2 s of processor time"}
	if got := aboutArms(alike); !slices.Equal(got, want) {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
	differ := []result.Arm{arm("a", "swim", 1), arm("b", "memberlist", 3, "loss=1%")}
	differ[1].Result.Runs = differ[1].Result.Runs[:1]
	want = []string{
		"virtual engine", "linux/amd64, 2 CPUs, go1",
		"a: 5 nodes, detector swim; 3 runs of 60 s, seeds 1-3; 1 s, 2 s of processor time",
		"b: 5 nodes, detector memberlist; 1 run of 60 s, seeds 1-3; overrides: loss=1%; 3 s, 2 s of processor time",
	}
	if got := aboutArms(differ); !slices.Equal(got, want) {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, got))
	}
}

// What holds in virtual time only is not said of real processes.
func TestRealEnginesAgainAndPauses(t *testing.T) {
	const again, pause = "Runs in virtual time are alike", "a pause stops the process: its timers stop as well"
	for _, tc := range []struct {
		sample, engine string
		again, pause   bool
	}{
		{"frozen-minority", "virtual", true, false},
		{"frozen-minority", "netns", false, true},
		{"mass-crash", "compose", false, false},
	} {
		r := sample(t, tc.sample)
		r.Engine = tc.engine
		page := render(t, func(w io.Writer) error { return HTML(w, r) })
		var text bytes.Buffer
		if err := Terminal(&text, r, Options{}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(page, again) != tc.again {
			t.Errorf("%s on %s: %q %v", tc.sample, tc.engine, again, !tc.again)
		}
		if strings.Contains(page, pause) != tc.pause || strings.Contains(text.String(), pause) != tc.pause {
			t.Errorf("%s on %s: %q, want %v:\n%s", tc.sample, tc.engine, pause, tc.pause, text.String())
		}
	}
}
