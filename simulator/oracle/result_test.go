package oracle

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/membership"
	"heartbeat/simulator/scenario"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares v as JSON with a file, or rewrites the file.
func golden(t *testing.T, path string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

func plan(t testing.TB, text string) *scenario.Plan {
	t.Helper()
	s, err := scenario.Parse("test.yaml", []byte("version: 1\nname: test\n"+text), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Resolve(1)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// eventful is a short run in which everything happens that a result has a field for.
func eventful(t testing.TB) RunResult {
	t.Helper()
	p := plan(t, "cluster: {nodes: 4}\nduration: 30s\ntimeline:\n  - {at: 5s, kill: {node: n4}}\n")
	j, err := New(p, Timing{Round: time.Second, Longest: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	j.Joined(2 * time.Second)
	j.CPU(1234567 * time.Microsecond)
	for _, o := range []Observation{
		{At: 7 * time.Second, Observer: 0, Subject: 3, Kind: membership.ChangeFailed},
		{At: 8 * time.Second, Observer: 1, Subject: 2, Kind: membership.ChangeSuspected},
		{At: 9 * time.Second, Observer: 0, Subject: 2, Kind: membership.ChangeRefuted, Incarnation: 1},
		{At: 9 * time.Second, Observer: 1, Subject: 2, Kind: membership.ChangeFailed},
	} {
		if err := j.Observe(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Accuse(Accusation{At: 9 * time.Second, Accuser: 1, Subject: 2}); err != nil {
		t.Fatal(err)
	}
	traffic := Traffic{PacketsOut: 10, PacketsIn: 20, BytesOut: 1000, BytesIn: 2000}
	if err := j.Load(LoadSample{Node: 0, From: 0, To: 10 * time.Second, UDP: traffic, TCP: traffic}); err != nil {
		t.Fatal(err)
	}
	for _, u := range []UseSample{
		{At: 2 * time.Second, Goroutines: 40, Descriptors: 12, Resident: 20e6, Heap: 3e6},
		{At: 25 * time.Second, Goroutines: 41, Descriptors: 12, Resident: 21e6, Heap: 3.5e6},
	} {
		if err := j.Use(u); err != nil {
			t.Fatal(err)
		}
	}
	r, err := j.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Programs read these names: a change of one breaks them.
func TestNamesInJSONAreStable(t *testing.T) {
	r := eventful(t)
	golden(t, "testdata/result.json", r)
	golden(t, "testdata/summary.json", Summarize([]RunResult{r, r}))
}

func TestResultsSurviveTheirTravel(t *testing.T) {
	want := eventful(t)
	want.BrokenOff = "as a test"
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got RunResult
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b Number) bool {
		return a == b || math.Abs(float64(a-b)) <= 1e-11*math.Abs(float64(a))
	})); diff != "" {
		t.Errorf("(-sent +received):\n%s", diff)
	}
	var n Number
	if err := json.Unmarshal([]byte(`"soon"`), &n); err == nil {
		t.Error("a word is no number")
	}
	if _, err := json.Marshal(Number(math.NaN())); err == nil {
		t.Error("NaN cannot be written")
	}
}

func TestBands(t *testing.T) {
	p := plan(t, `cluster: {nodes: 6}
duration: 600s
timeline:
  - {at: 10s, for: 60s, partition: {shape: groups, groups: [[n1, n2]]}}
  - {at: 100s, for: 10s, flap: {down: 1s, up: 1s}, pause: {node: n3}}
  - {at: 200s, for: 100s, flap: {down: 10s, up: 30s}, stall: {node: n4, late: 1s}}
  - {at: 50s, restart: {node: n5, down: 20s}}
  - {at: 400s, kill: {node: n5}}
`)
	golden(t, "testdata/bands.json", Bands(p))
	if got := Bands(plan(t, "cluster: {nodes: 6}\n")); len(got) != 0 {
		t.Errorf("nothing happens: %v", got)
	}
}

func TestHeatmapIsBounded(t *testing.T) {
	for end, want := range map[time.Duration]struct {
		bucket  time.Duration
		buckets int
	}{
		500 * time.Millisecond: {time.Second, 1}, 120 * time.Second: {time.Second, 120}, 240 * time.Second: {time.Second, 240},
		241 * time.Second: {2 * time.Second, 121}, 900 * time.Second: {4 * time.Second, 225}, scenario.MaxTime: {2520 * time.Second, 240},
	} {
		if h := newHeat(1, end); h.bucket != want.bucket || h.buckets != want.buckets {
			t.Errorf("%s: %d buckets of %s, want %d of %s", end, h.buckets, h.bucket, want.buckets, want.bucket)
		}
	}
	row := HeatRow{Steps: [][2]int{{3, 7}, {5, 0}}}
	for bucket, want := range []int{0, 0, 0, 7, 7, 0, 0} {
		if got := row.At(bucket); got != want {
			t.Errorf("bucket %d: %d, want %d", bucket, got, want)
		}
	}
}

func TestHistogramPercentileIsWithinHalfAPercent(t *testing.T) {
	draw := rand.New(rand.NewPCG(5, 6))
	var h histogram
	for i := range 1000 {
		h.add(float64(10 * (i + 1)))
	}
	near(t, "p99", float64(h.peak().P99), 9900, 0.0051)
	near(t, "max", float64(h.peak().Max), 10000, 0)
	var none histogram
	if none.peak() != (Peak{}) {
		t.Error("no sample, no peak")
	}
	for range 100_000 {
		none.add(math.Exp(25 * draw.Float64()))
	}
	if len(none.classes) > 3000 {
		t.Errorf("%d classes", len(none.classes))
	}
}

// storm is a run in which everybody changes its mind about a hundredth of the cluster all the time, and the links of
// that hundredth come and go.
func storm(n int) string {
	return fmt.Sprintf(`cluster: {nodes: %d}
duration: 900s
timeline:
  - {at: 10s, for: 880s, flap: {down: 20s, up: 20s}, link: {from: all, to: [n1..n10], cut: true}}
  - {at: 100s, kill: {nodes: [n11..n20]}}
`, n)
}

func BenchmarkJudge(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			p := plan(b, storm(n))
			b.ReportAllocs()
			for b.Loop() {
				benchmarkRun(b, p, 1_000_000)
			}
		})
	}
}

func benchmarkRun(b *testing.B, p *scenario.Plan, observations int) {
	n := len(p.Nodes)
	j, err := New(p, LifeguardTiming(n, time.Second, 8, 4, 6))
	if err != nil {
		b.Fatal(err)
	}
	kinds := []membership.ChangeKind{membership.ChangeSuspected, membership.ChangeFailed, membership.ChangeJoined}
	for i := range observations {
		observer, subject := 20+i%(n-20), (i/(n-20))%20
		err := j.Observe(Observation{
			At: p.End * time.Duration(i) / time.Duration(observations), Observer: observer, Subject: subject, Kind: kinds[i/(20*(n-20))%3],
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	if _, err := j.Finish(); err != nil {
		b.Fatal(err)
	}
}
