package simulator

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heartbeat/simulator/trace"
)

// The test binary is its own child, as the CLI is.
func TestMain(m *testing.M) {
	if os.Getenv("SIMULATOR_CHILD") == "" {
		os.Exit(m.Run())
	}
	if err := Child(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const crash = `
version: 1
name: crash
cluster: {nodes: 6}
network: {latency: 2ms, jitter: 1ms}
seeds: 1-2
timeline:
  - {at: 5s, kill: {nodes: [n3]}}
duration: 40s
expect:
  - {false_alarms: {max: 0}}
  - {detected: {node: n3, by: all-live, p99: 20s}}
`

func parse(t *testing.T, text string, set ...string) *Experiment {
	t.Helper()
	e, err := Parse("test.yaml", []byte(text), set...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRunInThisProcess(t *testing.T) {
	dir := t.TempDir()
	res, err := Run(t.Context(), parse(t, crash), Options{T: t, TraceDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if !res.Holds() || len(res.Runs) != 2 || len(res.Checks) != 2 {
		t.Errorf("%+v", res.Checks)
	}
	for _, run := range res.Runs {
		if len(run.Crashes) != 1 || len(run.Crashes[0].Times) != 5 || run.Verdicts.True.Healthy != 5 || run.Verdicts.False() != 0 {
			t.Errorf("seed %d: %+v %+v", run.Seed, run.Verdicts, run.Crashes)
		}
		if p := float64(run.Load.UDP.PacketsOut); p < 1 || p > 5 {
			t.Errorf("seed %d: %v packets per node and second", run.Seed, p)
		}
	}
	f, err := os.Open(filepath.Join(dir, TraceName(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var story strings.Builder
	if err := trace.Story(&story, f, "n3"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"5s", "kill", "got no answer", "began to suspect n3", "held failed: n3"} {
		if !strings.Contains(story.String(), want) {
			t.Errorf("%q is missing from the story:\n%s", want, &story)
		}
	}
}

// A trace has what led to verdicts, too, and every line in its place.
func TestTraceOfVerdicts(t *testing.T) {
	dir := t.TempDir()
	if _, err := Run(t.Context(), parse(t, crash, "seeds=1", "nodes=9", "detector=verdicts"), Options{T: t, TraceDir: dir}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, TraceName(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	kinds, last := map[string]int{}, 0.0
	err = trace.Read(f, func(l trace.Line) error {
		kinds[l.Kind]++
		if l.T < last {
			t.Errorf("%s at %v stands after a line of %v", l.Kind, l.T, last)
		}
		last = l.T
		if l.Kind == "testified" && (l.Observer == "" || l.Subject != "n3" || len(l.By) > 0 || l.Text == "") ||
			l.Kind == trace.KindHeardTestimony && (l.Subject != "n3" || len(l.By) != 1 || l.By[0] == l.Observer) {
			t.Errorf("%+v", l)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if kinds["testified"] < 5 || kinds[trace.KindHeardTestimony] < kinds["testified"] {
		t.Errorf("%d testimonies, heard %d times: %v", kinds["testified"], kinds[trace.KindHeardTestimony], kinds)
	}
}

// Child processes come to the same as this process, statistics aside: the plan
// of a seed is fixed.
func TestRunInChildren(t *testing.T) {
	t.Setenv("SIMULATOR_CHILD", "1")
	seen := &counting{}
	res, err := Run(t.Context(), parse(t, crash, "seeds=3-6"), Options{Child: []string{os.Args[0]}, Jobs: 2, Progress: seen})
	if err != nil {
		t.Fatal(err)
	}
	if !res.Holds() || len(res.Runs) != 4 {
		t.Errorf("%d runs: %+v", len(res.Runs), res.Checks)
	}
	for i, run := range res.Runs {
		if run.Seed != uint64(3+i) || run.CPU <= 0 {
			t.Errorf("run %d is of seed %d, CPU %v", i, run.Seed, run.CPU)
		}
	}
	if seen.started.Load() != 4 || seen.finished.Load() != 4 || seen.passed.Load() < 4*40 {
		t.Errorf("progress: %d started, %d finished, %d times on the way", seen.started.Load(), seen.finished.Load(), seen.passed.Load())
	}
}

func TestChildThatFails(t *testing.T) {
	for _, tc := range []struct {
		name    string
		command []string
		want    string
	}{
		{"dies", []string{"/bin/sh", "-c", "echo oh dear >&2; exit 3"}, "oh dear"},
		{"talks nonsense", []string{"/bin/sh", "-c", "echo nonsense"}, "something else than news"},
		{"does not exist", []string{"/no/such/program"}, "cannot start its process"},
	} {
		res, err := Run(t.Context(), parse(t, crash), Options{Child: tc.command})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		if res == nil || res.Holds() || !res.Partial {
			t.Errorf("%s: the result claims that all went well", tc.name)
		}
	}
}

func TestInterruptedRunIsPartial(t *testing.T) {
	for _, child := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		opts := Options{Jobs: 1, Progress: &counting{then: func(finished int64) {
			if finished == 2 {
				cancel()
			}
		}}}
		if child {
			t.Setenv("SIMULATOR_CHILD", "1")
			opts.Child = []string{os.Args[0]}
		} else {
			opts.T = t
		}
		res, err := Run(ctx, parse(t, crash, "seeds=1-50"), opts)
		cancel()
		if err != nil || !res.Partial || len(res.Runs) < 2 || len(res.Runs) > 5 || res.Holds() {
			t.Errorf("child %v: %v, partial %v with %d runs", child, err, res.Partial, len(res.Runs))
		}
	}
}

func TestRunThatNeverAgreesIsBrokenOff(t *testing.T) {
	res, err := Run(t.Context(), parse(t, crash, "seeds=1", "loss=99%", "cluster.join.timeout=3s"), Options{T: t})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Runs) != 1 || !strings.Contains(res.Runs[0].BrokenOff, "did not agree") || res.Holds() {
		t.Errorf("%+v", res.Runs)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ set, want string }{
		{"probe.interval", "want key=value"},
		{"probe.intervall=1s", "did you mean"},
		{"probe.timeout=5s", "probe.timeout: 5s must be less than probe.interval"},
		{"nodes=1000000000", "nodes"},
		{"nodes=2", "n3"},
	} {
		if _, err := Parse("test.yaml", []byte(crash), tc.set); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.set, err, tc.want)
		}
	}
}

func Example() {
	exp, err := Parse("example.yaml", []byte(`
version: 1
name: example
cluster: {nodes: 5, profile: lan}
network: {latency: 2ms, loss: 0.5%}
timeline:
  - {at: 10s, kill: {nodes: [n2]}}
expect:
  - {false_alarms: {max: 0}}
  - {detected: {node: n2, by: all-live, p99: 30s}}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := Run(context.Background(), exp, Options{}) // in a test: Options{T: t}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("holds:", res.Holds())
	// Output: holds: true
}
