package oracle

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// made is a run as a detector would make it that takes about as long as given and raises so many false alarms,
// all of them about one subject.
func made(seed uint64, detection float64, alarms int) RunResult {
	r := RunResult{Seed: seed, Nodes: 4, End: 60, Joined: 1}
	c := Crash{Node: "n4", At: 10, Until: 60, Times: []Number{Number(detection), Number(detection + 0.5), Number(detection + 1)}}
	c.First, c.Majority, c.Full, c.Spread = c.Times[0], c.Times[1], c.Times[2], 1
	r.Crashes = []Crash{c}
	r.Verdicts.FalseHealthy.Healthy = alarms
	r.Verdicts.FalseSubjects = min(1, alarms)
	r.Convergence = Convergence{First: c.Full, Settled: c.Full}
	r.Load = Load{Samples: 1, UDP: Rates{PacketsOut: 2, BytesOut: 100}}
	return r
}

// arm makes runs with the seeds 1 to n.
func arm(n int, detection func(seed int) float64, alarms func(seed int) int) []RunResult {
	var runs []RunResult
	for seed := 1; seed <= n; seed++ {
		runs = append(runs, made(uint64(seed), detection(seed), alarms(seed)))
	}
	return runs
}

func row(t *testing.T, c Comparison, name string) Row {
	t.Helper()
	i := slices.IndexFunc(c.Rows, func(r Row) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("no row %s", name)
	}
	return c.Rows[i]
}

func found(c Comparison) []string {
	var names []string
	for _, r := range c.Rows {
		if r.Real {
			names = append(names, r.Name)
		}
	}
	return names
}

func none(int) int { return 0 }

func TestCompareFindsWhatIsReal(t *testing.T) {
	slow := arm(30, func(seed int) float64 { return 10 + float64(seed%5) }, none)
	fast := arm(30, func(seed int) float64 { return 5 + float64(seed%5) }, none)
	slices.Reverse(fast) // the order of runs does not matter
	c := Compare(slow, fast)
	if !c.Paired || c.RunsA != 30 || c.RunsB != 30 {
		t.Errorf("paired %v, %d and %d runs", c.Paired, c.RunsA, c.RunsB)
	}
	r := row(t, c, "detection_p99")
	if !r.Real || r.Test != "permutation" || r.A != 13 || r.B != 8 || r.Change != -5 || *r.Interval.Low != -5 || *r.Interval.High != -5 {
		t.Errorf("%+v", r)
	}
	if want := "detection_p99: 13 against 8 s; the difference is real (p = 0.0001), from -5 to -5 within a seed."; r.Text != want {
		t.Errorf("%s\nwant %s", r.Text, want)
	}
	// What is the same in all runs is no question, so it does not make the others weaker: five rows were tested.
	if r := row(t, c, "spread_max"); r.Test != "none" || r.P != 1 || r.Real {
		t.Errorf("%+v", r)
	}
	near(t, "adjusted p of five tests", row(t, c, "detection_p50").PAdjusted, 5.0/50_001, 1e-12)
	if want := []string{"detection_p50", "detection_p99", "first_detection_p50", "full_detection_max", "settled_max"}; !slices.Equal(found(c), want) {
		t.Errorf("real are %v", found(c))
	}
}

func TestCompareOfASetWithItselfFindsNothing(t *testing.T) {
	runs := arm(20, func(seed int) float64 { return 5 + float64(seed%7) }, func(seed int) int { return seed % 3 })
	if c := Compare(runs, runs); len(found(c)) > 0 || row(t, c, "detection_p50").P != 1 {
		t.Errorf("real are %v", found(c))
	}
}

// Two sets of the same make must be called different rarely: in at most one comparison of twenty, over all rows.
func TestCompareRarelyFindsWhatIsNotThere(t *testing.T) {
	draw := rand.New(rand.NewPCG(7, 8))
	same := func() []RunResult {
		return arm(12, func(int) float64 { return 5 + draw.ExpFloat64() }, func(int) int { return 40 * (draw.IntN(4) / 3) })
	}
	const trials = 200
	wrong := 0
	for range trials {
		if len(found(Compare(same(), same()))) > 0 {
			wrong++
		}
	}
	if wrong > trials/20+7 {
		t.Errorf("%d of %d comparisons found a difference", wrong, trials)
	}
}

// One burst of a hundred alarms is one event, not a hundred: no proof of anything.
func TestCompareIsNotTakenInByABurst(t *testing.T) {
	calm := arm(10, func(int) float64 { return 5 }, none)
	burst := arm(10, func(int) float64 { return 5 }, func(seed int) int { return 100 * (seed / 10) })
	for i := range burst {
		burst[i].Verdicts.FalseSubjects = burst[i].Verdicts.FalseHealthy.Healthy
	}
	c := Compare(calm, burst)
	if got := found(c); len(got) > 0 {
		t.Errorf("real are %v", got)
	}
	if r := row(t, c, "false_alarms"); r.B != 10 || !strings.Contains(r.Text, "may be chance") {
		t.Errorf("%+v", r)
	}
	if r := row(t, c, "false_subjects"); r.Test != "poisson" || r.P < 0.3 {
		t.Errorf("%+v", r)
	}
}

func TestCompareOfRareIndependentEventsNeedsFewRuns(t *testing.T) {
	with := arm(5, func(int) float64 { return 5 }, none)
	for i := range with {
		with[i].Accusations.FalseHealthy.Healthy = 8 + i%3
	}
	if r := row(t, Compare(arm(5, func(int) float64 { return 5 }, none), with), "false_suspicions"); !r.Real || r.Test != "poisson" {
		t.Errorf("%+v", r)
	}
}

func TestCompareOfOtherSeedsDoesNotPair(t *testing.T) {
	a := arm(15, func(seed int) float64 { return 10 + float64(seed)/100 }, none)
	b := arm(16, func(seed int) float64 { return 5 + float64(seed)/100 }, none)
	b[0].BrokenOff = "as a test"
	c := Compare(a, b)
	r := row(t, c, "detection_p50")
	if c.Paired || c.RunsB != 15 || r.Test != "mann-whitney" || !r.Real || r.Interval != nil {
		t.Errorf("paired %v, %+v", c.Paired, r)
	}
	if c := Compare(nil, a); len(c.Rows) != 0 {
		t.Errorf("nothing to compare with, %d rows", len(c.Rows))
	}
}

// What was never detected counts as the length of the run, and makes a share.
func TestCompareCountsWhatNeverCame(t *testing.T) {
	good := arm(20, func(int) float64 { return 5 }, none)
	bad := arm(20, func(int) float64 { return 5 }, none)
	for i := range bad {
		c := &bad[i].Crashes[0]
		c.Times, c.Undetected, c.Full, c.Spread = c.Times[:2], 1, never, never
		bad[i].Convergence.Settled = never
	}
	c := Compare(good, bad)
	if r := row(t, c, "full_detection_max"); !r.Real || r.B != 60 {
		t.Errorf("%+v", r)
	}
	if r := row(t, c, "runs_with_undetected_crash"); !r.Real || r.A != 0 || r.B != 1 || r.Test != "fisher" {
		t.Errorf("%+v", r)
	}
	s := Summarize(bad)
	i := slices.IndexFunc(s.Times, func(t TimeSummary) bool { return t.Name == "detection" })
	if d := s.Times[i]; d.Values != 60 || d.Never != 20 || d.P50.Value != 5.5 || !d.P99.Value.Never() || !d.Max.Never() {
		t.Errorf("%+v", d)
	}
}

func TestSummaryOfNothing(t *testing.T) {
	s := Summarize([]RunResult{{BrokenOff: "as a test"}})
	if s.Runs != 1 || s.BrokenOff != 1 || len(s.Levels) != 0 || !s.Counts[0].PerRun.High.Never() || s.Shares[0].Share.High != 1 || !s.Times[0].P50.Value.Never() {
		t.Errorf("%+v", s)
	}
}

func TestSummaryTreatsRunsAsIndependentAndObserversNot(t *testing.T) {
	s := Summarize(arm(8, func(seed int) float64 { return float64(seed) }, func(seed int) int { return seed % 2 }))
	d := s.Times[0]
	if d.Name != "detection" || d.Values != 24 || d.P50.Value != 5 || d.P50.Low > 3 || d.P50.High < 7 || !d.P99.High.Never() {
		t.Errorf("%+v", d)
	}
	if got := s.Shares[0]; got.Name != "runs_with_false_death" || got.Count != 4 || got.Share.Value != 0.5 {
		t.Errorf("%+v", got)
	}
	if got := s.Counts[0]; got.Total != 4 || got.Most != 1 || got.PerRun.Value != 0.5 {
		t.Errorf("%+v", got)
	}
}

// What an engine does not measure is absent, never a measured 0, and what each measures in its own way is not compared.
func TestCompareEnginesLeavesOutWhatIsNotMeasuredAlike(t *testing.T) {
	virtual := arm(20, func(int) float64 { return 5 }, none)
	real := arm(20, func(int) float64 { return 5 }, none)
	for i := range real {
		virtual[i].CPU, virtual[i].Load.TCP = Number(1+i), Rates{PacketsOut: 3, BytesOut: 200}
		real[i].CPU, real[i].Load.TCP, real[i].Clock = Number(100+i), Rates{BytesOut: 200}, &Clock{}
	}
	has := func(c Comparison, name string) bool {
		return slices.ContainsFunc(c.Rows, func(r Row) bool { return r.Name == name })
	}
	if c := CompareEngines(virtual, real); has(c, "tcp_packets_out") || has(c, "cpu") || !has(c, "tcp_bytes_out") || len(found(c)) > 0 {
		t.Errorf("%+v", c.Rows)
	}
	if c := Compare(virtual, virtual); !has(c, "tcp_packets_out") || !has(c, "cpu") {
		t.Errorf("on one engine: %+v", c.Rows)
	}
	if c := Compare(real, real); has(c, "tcp_packets_out") || !has(c, "cpu") {
		t.Errorf("of real processes: %+v", c.Rows)
	}
	if s := Summarize(real); slices.ContainsFunc(s.Levels, func(l LevelSummary) bool { return l.Name == "tcp_packets_out" }) {
		t.Errorf("%+v", s.Levels)
	}
}

// The smallest p that n pairs allow decides whether anything can be found, so one seed more than too few finds the largest difference.
func TestFewestSeeds(t *testing.T) {
	compared := func(n int) Comparison {
		return Compare(arm(n, func(seed int) float64 { return 5 + float64(seed)/100 }, none), arm(n, func(seed int) float64 { return 40 + float64(seed)/100 }, none))
	}
	p, rows, seeds, few := func() (float64, int, int, bool) { c := compared(4); return c.Fewest() }()
	if p != 0.125 || rows < 2 || !few || seeds < 6 {
		t.Fatalf("with 4 seeds: p %v, %d rows, %d seeds, %v", p, rows, seeds, few)
	}
	if c := compared(seeds - 1); len(found(c)) > 0 {
		t.Errorf("with %d seeds %v are real", seeds-1, found(c))
	}
	c := compared(seeds)
	if _, _, _, few := c.Fewest(); few || len(found(c)) == 0 {
		t.Errorf("with %d seeds: too few %v, %v are real", seeds, few, found(c))
	}
	unpaired := Compare(fourRuns(1), fourRuns(2))
	if _, _, _, few := unpaired.Fewest(); few || unpaired.Paired {
		t.Errorf("of other seeds: %v", few)
	}
}

// fourRuns are four runs whose seeds begin with first.
func fourRuns(first uint64) []RunResult {
	var runs []RunResult
	for seed := first; seed < first+4; seed++ {
		runs = append(runs, made(seed, float64(seed), 0))
	}
	return runs
}
