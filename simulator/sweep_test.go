package simulator

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"heartbeat/simulator/result"
)

func TestParseParameter(t *testing.T) {
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"nodes=10,20", []string{"10", "20"}},
		{"nodes=10..50/20", []string{"10", "30", "50"}},
		{"nodes=10..49/20", []string{"10", "30"}},
		{"nodes=5..5/1", []string{"5"}},
		{"loss=0,1%..5%/2%", []string{"0", "1%", "3%", "5%"}},
		{"network.loss=0.1..0.5/0.1", []string{"0.1", "0.2", "0.3", "0.4", "0.5"}},
		{"probe.interval=500ms..1.5s/500ms", []string{"500ms", "1s", "1.5s"}},
		{"profile=lan, wan", []string{"lan", "wan"}},
	} {
		p, err := ParseParameter(tc.text)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
		}
		if diff := cmp.Diff(tc.want, p.Values); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.text, diff)
		}
	}
}

func TestParseParameterRefuses(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", "not what to vary"},
		{"nodes", "not what to vary"},
		{"nodes=", "not what to vary"},
		{"=1", "not what to vary"},
		{"nodes=1,,2", "empty"},
		{"nodes=10,10", "twice"},
		{"nodes=10..20", "has no step"},
		{"nodes=20..10/1", "must go up"},
		{"nodes=10..20/0", "must go up"},
		{"nodes=10..20/-1", "must go up"},
		{"nodes=0..1e9/1", "fewer than 400"},
		{"nodes=nan..10/1", "must go up"},
		{"nodes=1..inf/1", "must go up"},
		{"loss=0..5%/1%", "no range"},
		{"probe.interval=1s..2s/1%", "no range"},
		{"seeds=1,2", "cannot be varied"},
	} {
		if p, err := ParseParameter(tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, %v, want %q", tc.text, p, err, tc.want)
		}
	}
}

func parameters(t *testing.T, texts ...string) []result.Parameter {
	t.Helper()
	var params []result.Parameter
	for _, text := range texts {
		p, err := ParseParameter(text)
		if err != nil {
			t.Fatal(err)
		}
		params = append(params, p)
	}
	return params
}

func TestSweepRunsEveryCombination(t *testing.T) {
	s, err := Sweep(t.Context(), parse(t, crash, "seeds=1", "detector=memberlist"), parameters(t, "nodes=4,6", "suspicion.mult=2,5"), Options{T: t})
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, p := range s.Points {
		labels = append(labels, p.Label)
		if len(p.Result.Runs) != 1 || len(p.Result.Runs[0].Crashes) != 1 {
			t.Errorf("%s: %+v", p.Label, p.Result.Runs)
		}
	}
	want := []string{"nodes=4 suspicion.mult=2", "nodes=4 suspicion.mult=5", "nodes=6 suspicion.mult=2", "nodes=6 suspicion.mult=5"}
	if diff := cmp.Diff(want, labels); diff != "" || s.Partial {
		t.Errorf("partial %v (-want +got):\n%s", s.Partial, diff)
	}
	fast, slow := s.Points[2].Result.Runs[0], s.Points[3].Result.Runs[0]
	if fast.Nodes != 6 || fast.Crashes[0].First >= slow.Crashes[0].First {
		t.Errorf("%d nodes; a patience of 2 took %v, of 5 %v", fast.Nodes, fast.Crashes[0].First, slow.Crashes[0].First)
	}
}

func TestSweepRefusesBeforeItRuns(t *testing.T) {
	for _, tc := range []struct {
		vary []string
		want string
	}{
		{nil, "one or two"},
		{[]string{"nodes=4", "loss=0", "duration=10s"}, "one or two"},
		{[]string{"nodes=4", "nodes=5"}, "varied twice"},
		{[]string{"nodes=4..300/1", "loss=0,1%"}, "594 combinations"},
		{[]string{"nodes=6,2"}, "nodes=2: "},
		{[]string{"probe.intervall=1s"}, "did you mean"},
	} {
		seen := &counting{}
		s, err := Sweep(t.Context(), parse(t, crash), parameters(t, tc.vary...), Options{T: t, Progress: seen})
		if err == nil || !strings.Contains(err.Error(), tc.want) || s != nil || seen.started.Load() != 0 {
			t.Errorf("%v: %v after %d runs, want %q", tc.vary, err, seen.started.Load(), tc.want)
		}
	}
}

func TestInterruptedSweepKeepsWhatIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	progress := &counting{then: func(finished int64) {
		if finished == 3 {
			cancel()
		}
	}}
	s, err := Sweep(ctx, parse(t, crash), parameters(t, "nodes=4..8/1"), Options{T: t, Progress: progress})
	if err != nil || !s.Partial || len(s.Points) != 2 || s.Points[0].Result.Partial || !s.Points[1].Result.Partial {
		t.Errorf("%v, partial %v, %d points", err, s.Partial, len(s.Points))
	}
}

func TestSweepTellsWhatCannotRun(t *testing.T) {
	s, err := Sweep(t.Context(), parse(t, crash), parameters(t, "nodes=4,5"), Options{Child: []string{"/no/such/program"}})
	if err == nil || !strings.Contains(err.Error(), "nodes=4: ") || s == nil || !s.Partial || len(s.Points) != 0 {
		t.Errorf("%v, %+v", err, s)
	}
}

func TestParseArm(t *testing.T) {
	for _, tc := range []struct {
		text string
		want Arm
	}{
		{"swim", Arm{"swim", []string{"detector=memberlist", "probe.awareness_max=1", "suspicion.max_timeout_mult=1", "heal.interval=0", "sync.digest=false", "sync.interval=30s"}}},
		{"fast:probe.interval=500ms,loss=1%", Arm{"fast", []string{"probe.interval=500ms", "loss=1%"}}},
		{"probe.interval=500ms", Arm{"probe.interval=500ms", []string{"probe.interval=500ms"}}},
		{"now:", Arm{"now", []string{}}},
	} {
		arm, err := ParseArm(tc.text)
		if diff := cmp.Diff(tc.want, arm); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tc.text, err, diff)
		}
	}
	for _, tc := range []struct{ text, want string }{
		{"", "no label"},
		{":loss=1%", "no label"},
		{"lifeguard", "neither known by name (memberlist, swim, verdicts, heartbeat)"},
		{"fast:loss", "not of the form key=value"},
		{"fast:loss=1%,,", "not of the form key=value"},
		{"more:seeds=1-5", "the same seeds"},
	} {
		if arm, err := ParseArm(tc.text); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %v, %v, want %q", tc.text, arm, err, tc.want)
		}
	}
}

func TestCompareFindsARealDifference(t *testing.T) {
	t.Setenv("SIMULATOR_CHILD", "1")
	arms := []Arm{AsItIs(), {Label: "hasty", Set: []string{"suspicion.mult=1"}}, {Label: "the same", Set: []string{"suspicion.mult=4"}}}
	c, err := Compare(t.Context(), parse(t, crash, "seeds=1-12", "detector=memberlist"), arms, Options{Child: []string{os.Args[0]}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Partial || len(c.Arms) != 3 || len(c.Against) != 2 {
		t.Fatalf("partial %v, %d arms, %d comparisons", c.Partial, len(c.Arms), len(c.Against))
	}
	for i, want := range []bool{true, false} {
		if !c.Against[i].Paired || c.Against[i].RunsA != 12 {
			t.Errorf("%+v", c.Against[i])
		}
		for _, row := range c.Against[i].Rows {
			// Of arms that are the same, one comparison in some dozens finds a difference by chance; one in thousands
			// finds so clear a one.
			if row.Name == "detection_p50" && (want && !row.Real || !want && row.PAdjusted < 0.001) {
				t.Errorf("%s", row.Text)
			}
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	for _, tc := range []struct {
		arms []Arm
		want string
	}{
		{[]Arm{AsItIs()}, "at least two"},
		{[]Arm{AsItIs(), AsItIs()}, `two arms are called "as it is"`},
		{[]Arm{AsItIs(), {Label: "b", Set: []string{"probe.intervall=1s"}}}, "b: --set probe.intervall=1s: "},
	} {
		if c, err := Compare(t.Context(), parse(t, crash), tc.arms, Options{T: t}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %v, %v, want %q", tc.arms, c, err, tc.want)
		}
	}
}
