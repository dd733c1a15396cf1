package report_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heartbeat/simulator"
	"heartbeat/simulator/oracle"
	"heartbeat/simulator/report"
	"heartbeat/simulator/result"
)

var _ simulator.Progress = (*report.Progress)(nil)

// The samples in testdata are real runs of the virtual engine, made by
//
//	go test ./simulator/report -run TestMakeSamples -samples
//
// They are kept, since real runs differ from each other.
var makeSamples = flag.Bool("samples", false, "run the scenarios anew from which the samples in testdata come")

const sampleCrash = `version: 1
name: mass-crash
description: Three nodes of twelve die within a second, and one that is cut off from the others for half a minute comes back.
cluster: {nodes: 12, settings: {gossip.interval: 200ms}}
network: {latency: 2ms, jitter: 1ms, loss: 1%}
seeds: 1-4
timeline:
  - {at: 10s, kill: {nodes: [n3, n5, n8], stagger: 500ms}}
  - {at: 40s, for: 30s, partition: {shape: isolate}}
  - {at: 75s, start: {nodes: n5}}
duration: 100s
expect:
  - {false_alarms: {max: 0}}
  - {detected: {nodes: [n3, n8], by: all-live, p50: 8s, p99: 9s}}
  - {converged: {within: 20s}}
  - {state_at_end: {nodes: n3, is: failed}}
`

const sampleFrozen = `version: 1
name: frozen-minority
description: Six of twenty nodes are frozen for 16 s again and again, for two minutes.
cluster: {nodes: 20, join: {seeds: 3}}
network: {latency: 1ms, jitter: 500us}
seeds: 1-3
timeline:
  - {at: 10s, for: 2m, flap: {down: 16s, up: 256ms}, pause: {nodes: minority-third}}
expect:
  - {false_alarms: {max: 0, about: healthy}}
  - {suspicions: {max: 5000}}
`

const sampleCompare = `version: 1
name: crash
description: One node of eight is killed.
cluster: {nodes: 8}
network: {latency: 2ms, jitter: 1ms, loss: 2%}
seeds: 1-12
timeline:
  - {at: 5s, kill: {nodes: n4}}
duration: 30s
expect:
  - {false_alarms: {max: 0}}
  - {detected: {node: n4, max: 6s}}
`

const sampleIdle = `version: 1
name: idle
cluster: {nodes: 10}
network: {latency: 2ms, jitter: 1ms}
duration: 60s
`

func TestMakeSamples(t *testing.T) {
	if !*makeSamples {
		t.Skip("the samples are made anew only with -samples")
	}
	keep(t, "mass-crash.json", play(t, sampleCrash))
	keep(t, "frozen-minority.json", play(t, sampleFrozen))
	a, b := play(t, sampleCompare), play(t, sampleCompare, "suspicion.mult=2")
	keep(t, "comparison.json", &result.Comparison{
		Version: 1,
		Arms: []result.Arm{
			{Label: "as it is", Set: []string{}, Result: a},
			{Label: "suspicion.mult=2", Set: []string{"suspicion.mult=2"}, Result: b},
		},
		Against: []oracle.Comparison{oracle.Compare(a.Runs, b.Runs)},
	})
	keep(t, "sweep.json", sweep(t))
	keep(t, "load.json", loadCurve(t))
}

func sweep(t *testing.T) *result.Sweep {
	s := &result.Sweep{Version: 1, Parameters: []result.Parameter{
		{Key: "nodes", Values: []string{"9", "12", "16"}}, {Key: "loss", Values: []string{"0", "5%", "10%"}},
	}}
	for _, nodes := range s.Parameters[0].Values {
		for _, loss := range s.Parameters[1].Values {
			set := []string{"nodes=" + nodes, "loss=" + loss, "seeds=1-2"}
			s.Points = append(s.Points, result.Arm{Label: strings.Join(set[:2], " "), Set: set[:2], Result: play(t, sampleCrash, set...)})
		}
	}
	return s
}

func loadCurve(t *testing.T) *result.LoadCurve {
	accuracy := oracle.Accuracy{Within: 10 * time.Second, Mistake: 1e-6, Loss: 0.01}
	c := &result.LoadCurve{Version: 1, DetectionTime: 10, Loss: accuracy.Loss, Mistake: accuracy.Mistake}
	for _, n := range []int{5, 10, 20, 40, 80, 160} {
		run := play(t, sampleIdle, fmt.Sprintf("nodes=%d", n)).Runs[0]
		all, err := oracle.AllToAllLoad(n, accuracy)
		if err != nil {
			t.Fatal(err)
		}
		central, err := oracle.CentralLoad(n, accuracy)
		if err != nil {
			t.Fatal(err)
		}
		optimal, err := oracle.OptimalLoad(n, accuracy)
		if err != nil {
			t.Fatal(err)
		}
		c.Points = append(c.Points, result.LoadPoint{
			Nodes: n, Seeds: 1, UDP: run.Load.UDP, TCP: run.Load.TCP, PeakOut: run.Load.PeakOut, CPU: run.CPU,
			AllToAll: oracle.Number(all.PerNode), CentralPerNode: oracle.Number(central.PerNode), CentralBusiest: oracle.Number(central.Busiest),
			OptimalPerNode: oracle.Number(optimal / float64(n)), MessagesPerNode: run.Load.UDP.PacketsOut + run.Load.TCP.PacketsOut,
		})
	}
	return c
}

// keep writes a sample, tightly: it is data.
func keep(t *testing.T, name string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", name), append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// play runs a scenario with all its seeds.
func play(t *testing.T, text string, set ...string) *result.Result {
	t.Helper()
	exp, err := simulator.Parse("sample.yaml", []byte(text), set...)
	if err != nil {
		t.Fatal(err)
	}
	command := strings.Join(append([]string{"heartbeat simulate run sample.yaml"}, set...), " --set ")
	r, err := simulator.Run(t.Context(), exp, simulator.Options{T: t, Version: "v0.1.0", Command: command})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
