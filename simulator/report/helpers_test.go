package report

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
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
		t.Errorf("%s differs; run with -update when that is right (-want +got):\n%s", path, diff)
	}
}

// read reads a sample of any type.
func read[T any](t testing.TB, name string) *T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var v T
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return &v
}

func sample(t testing.TB, name string) *result.Result {
	t.Helper()
	return read[result.Result](t, name)
}

// untestedRun was stopped before any of its runs was finished.
func untestedRun(t testing.TB) *result.Result {
	r := sample(t, "mass-crash")
	r.Partial, r.Runs, r.Summary = true, nil, oracle.Summary{}
	return r
}

// engines is a comparison of two engines: the first arm of a sample, once more
// as if another engine had played it.
func engines(t testing.TB) *result.Comparison {
	c := read[result.Comparison](t, "comparison")
	virtual, netns := *c.Arms[0].Result, *c.Arms[0].Result
	netns.Engine = "netns"
	netns.Runs = slices.Clone(netns.Runs)
	netns.Runs[1].BrokenOff = "the nodes did not agree within 10m: n3 lists 7 of 8 as alive"
	for i := range netns.Runs {
		run := &netns.Runs[i]
		run.Clock, run.CPU, run.Load.TCP.PacketsOut = &oracle.Clock{Skew: 0.0004, Step: -0.0001, Lag: 0.0123}, 0, 0
	}
	netns.Summary = oracle.Summarize(netns.Runs)
	netns.CPU = 0
	c.Arms = []result.Arm{{Label: "virtual", Set: []string{}, Result: &virtual}, {Label: "netns", Set: []string{}, Result: &netns}}
	c.Against = []oracle.Comparison{oracle.CompareEngines(virtual.Runs, netns.Runs)}
	c.FinalViews = []oracle.FinalViews{{Compared: 3, Equal: 2, Differences: []string{"seed 2: n1 holds failed: nobody against n4, n5"}}}
	return c
}

// interrupted is a run that was stopped by hand, with one seed broken off.
func interrupted(t testing.TB) *result.Result {
	r := sample(t, "mass-crash")
	r.Partial = true
	r.Runs = r.Runs[:3]
	r.Runs[1] = oracle.RunResult{Seed: r.Runs[1].Seed, Nodes: 12, BrokenOff: "the nodes did not agree within 10m0s"}
	r.Summary = oracle.Summarize(r.Runs)
	r.Checks[3].Holds = true
	return r
}

// empty is a result without any run.
func empty() *result.Result {
	return &result.Result{
		Version: result.Version, Engine: "virtual", Seeds: "1-5", Partial: true, Began: time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC),
		Scenario: result.Scenario{Name: "idle", Nodes: 5, End: 60}, Summary: oracle.Summarize(nil),
	}
}

// attack is what a file may contain to break out of a report.
const attack = "</script><img src=x onerror=\"alert(1)\">\x1b[31m\u202e\x00]]>'`${1}{{.}}"

// hostile is a result whose every text is an attack.
func hostile(t testing.TB) *result.Result {
	r := sample(t, "mass-crash")
	s := &r.Scenario
	s.Name, s.Description, s.Source, s.Words, s.Profile, s.Detector = attack, attack, attack, attack, attack, attack
	s.Set, s.Changed, r.Settings = []string{attack}, map[string]string{attack: attack}, map[string]string{attack: attack}
	r.Engine, r.Seeds, r.Command = attack, attack, attack
	r.Machine = result.Machine{OS: attack, Arch: attack, Go: attack, Version: attack}
	for i := range r.Checks {
		r.Checks[i].Expected, r.Checks[i].Text = attack, attack
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		for k := range run.Bands {
			run.Bands[k].Kind, run.Bands[k].Text = attack, attack
		}
		for k := range run.Heat.Rows {
			run.Heat.Rows[k].Node = attack
		}
		for k := range run.Examples {
			e := &run.Examples[k]
			e.Observer, e.Subject, e.Class = attack, attack, attack
		}
	}
	r.Runs[0].BrokenOff = attack
	for i := range r.Summary.Levels {
		r.Summary.Levels[i].Name, r.Summary.Levels[i].Unit = attack, attack
	}
	return r
}

func never() oracle.Number { return oracle.Number(math.Inf(1)) }
