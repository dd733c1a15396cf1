package simulator

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
	"heartbeat/simulator/stats"
)

var validate = flag.Bool("validate", false, "hold the engine against theory and write "+figuresPath+": takes the better part of an hour")

var figuresPath = filepath.Join("..", "docs", "figures", "simulator-validation.txt")

// falseSuspicionCells and their law: DESIGN.md B2.
var falseSuspicionCells = []struct {
	nodes int
	loss  float64
}{{50, 0.01}, {50, 0.03}, {50, 0.05}, {200, 0.01}, {200, 0.03}, {200, 0.05}}

// report collects the lines of the figures.
type report struct{ strings.Builder }

func (r *report) linef(t *testing.T, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.WriteString(line + "\n")
	t.Log(line)
}

// TestEngineAgainstTheory is bar 1 of the simulator: where theory or
// measurements of the real thing say what must come out, it does. It is no
// test for every day: make simulate-validate.
func TestEngineAgainstTheory(t *testing.T) {
	if !*validate {
		t.Skip("only with -validate: make simulate-validate")
	}
	t.Setenv("SIMULATOR_CHILD", "1")
	began := time.Now()
	var r report
	r.linef(t, "The simulator's virtual engine against theory. Written by: make simulate-validate")
	r.linef(t, "%s, %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	parts := []struct {
		name string
		run  func(t *testing.T, r *report) time.Duration
	}{
		{"idle load", validateIdleLoad},
		{"quiet", validateQuiet},
		{"crash", validateCrash},
		{"false suspicions", validateFalseSuspicions},
	}
	whole := flag.Lookup("test.run").Value.String() == t.Name() // otherwise -run picks some
	for _, part := range parts {
		ok := t.Run(part.name, func(t *testing.T) {
			r.WriteString("\n")
			cpu := part.run(t, &r)
			r.linef(t, "CPU time: %s", cpu.Round(time.Second))
		})
		if !ok {
			r.WriteString("NOT AS IT SHOULD BE\n")
		}
	}
	t.Logf("done after %s", time.Since(began).Round(time.Second))
	if !whole {
		t.Logf("not all was run: %s stays as it is", figuresPath)
		return
	}
	if err := os.MkdirAll(filepath.Dir(figuresPath), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(figuresPath, []byte(r.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runAllSeeds runs a scenario in child processes.
func runAllSeeds(t *testing.T, text string, set ...string) *result.Result {
	t.Helper()
	set = append(engineAlone("detector=memberlist"), set...)
	res, err := Run(t.Context(), parse(t, text, set...), Options{Child: []string{os.Args[0]}})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range res.Runs {
		if run.BrokenOff != "" {
			t.Fatalf("seed %d was broken off: %s", run.Seed, run.BrokenOff)
		}
	}
	return res
}

func cpuOf(res *result.Result) time.Duration {
	return time.Duration(float64(res.CPU) * float64(time.Second))
}

const plainCluster = `
version: 1
name: validation
cluster: {nodes: 10}
network: {latency: 2ms, jitter: 1ms}
duration: 2m
`

// validateIdleLoad: memberlist sends a ping and an ack per node and probe
// interval, and no gossip when there is no news: DESIGN.md B1.
func validateIdleLoad(t *testing.T, r *report) (cpu time.Duration) {
	r.linef(t, "B1. UDP packets per node and second of an idle cluster, 120 s, 2±1 ms, 3 seeds; right: 2.000 ± 0.05")
	r.linef(t, "%6s  %9s  %9s  %9s", "nodes", "packets/s", "UDP B/s", "TCP B/s")
	for _, nodes := range []int{10, 100, 500} {
		res := runAllSeeds(t, plainCluster, fmt.Sprintf("nodes=%d", nodes), "seeds=1-3", "cluster.warmup=30s")
		cpu += cpuOf(res)
		packets := level(t, res, "udp_packets_out").Mean
		r.linef(t, "%6d  %9.4f  %9.1f  %9.1f", nodes, packets, level(t, res, "udp_bytes_out").Mean, level(t, res, "tcp_bytes_out").Mean)
		if packets < 1.95 || packets > 2.05 {
			t.Errorf("%d nodes: %v packets per node and second", nodes, packets)
		}
	}
	return cpu
}

func level(t *testing.T, res *result.Result, name string) oracle.LevelSummary {
	t.Helper()
	for _, l := range res.Summary.Levels {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("there is no level %s", name)
	return oracle.LevelSummary{}
}

// validateQuiet: without a fault nobody ever suspects anybody.
func validateQuiet(t *testing.T, r *report) time.Duration {
	res := runAllSeeds(t, plainCluster, "nodes=100", "seeds=1-10", "duration=1h")
	hours, verdicts, suspicions := 0.0, 0, 0
	for _, run := range res.Runs {
		hours += float64(run.Nodes) * float64(run.End) / 3600
		verdicts += run.Verdicts.Sum()
		suspicions += run.Accusations.Sum()
	}
	r.linef(t, "All faults off, 100 nodes, one hour, 10 seeds: %.0f node-hours, %d verdicts (right: 0), %d suspicions", hours, verdicts, suspicions)
	if verdicts != 0 || hours < 1000 {
		t.Errorf("%d verdicts in %.0f node-hours", verdicts, hours)
	}
	return cpuOf(res)
}

// validateCrash: what memberlist takes to notice a crash: DESIGN.md B4.
func validateCrash(t *testing.T, r *report) time.Duration {
	res := runAllSeeds(t, plainCluster+"timeline:\n  - {at: 10s, kill: {nodes: one}}\n", "nodes=100", "loss=1%", "seeds=1-30", "duration=70s")
	r.linef(t, "B4. One crash of 100 nodes, 2±1 ms, 1 %% loss, 30 seeds; detection by all survivors, median right: 9.3 to 10.5 s")
	falseAlarms := 0
	for _, run := range res.Runs {
		falseAlarms += run.Verdicts.False()
	}
	for _, d := range res.Summary.Times {
		if d.Name != "detection" {
			continue
		}
		r.linef(t, "p50 %.2f s (95 %%: %.2f to %.2f), p99 %.2f s, max %.2f s, %d never; %d false alarms",
			d.P50.Value, d.P50.Low, d.P50.High, d.P99.Value, d.Max, d.Never, falseAlarms)
		if p := d.P50.Value; p < 9.3 || p > 10.5 || d.Never > 0 || falseAlarms > 0 {
			t.Errorf("median %v, %d never, %d false alarms", p, d.Never, falseAlarms)
		}
	}
	return cpuOf(res)
}

// validateFalseSuspicions: DESIGN.md B2, a law that leaves nothing to choose.
// It knows no Lifeguard: a node that stretches its probes after a failure
// probes less often, so awareness is off.
func validateFalseSuspicions(t *testing.T, r *report) (cpu time.Duration) {
	const confidence = 0.99
	r.linef(t, "B2. Accusations of running nodes a run, 120 s, 2±1 ms, no TCP fallback, awareness off, 200 seeds;")
	r.linef(t, "    right: N*(T/T')*(1-q^2)*(1-q^4)^k lies in the interval at 99 %%")
	r.linef(t, "%6s  %5s  %9s  %9s  %19s  %s", "nodes", "loss", "law", "measured", "interval", "dispersion")
	for _, cell := range falseSuspicionCells {
		// Each by itself, so that -run can pick one: the large ones take long.
		t.Run(fmt.Sprintf("%d nodes %.0f%%", cell.nodes, 100*cell.loss), func(t *testing.T) {
			res := runAllSeeds(t, plainCluster, fmt.Sprintf("nodes=%d", cell.nodes), fmt.Sprintf("loss=%v", cell.loss), "seeds=1-200",
				"probe.disable_tcp=true", "probe.awareness_max=1")
			cpu += cpuOf(res)
			counts := make([]float64, len(res.Runs))
			for i := range res.Runs {
				counts[i] = float64(res.Runs[i].Accusations.False())
			}
			law := oracle.FalseSuspicions(cell.nodes, 2*time.Minute, time.Second, cell.loss, 3)
			interval, runs := stats.OverdispersedPoisson(counts, confidence), float64(len(counts))
			low, high := interval.Low/runs, interval.High/runs
			r.linef(t, "%6d  %4.0f%%  %9.4f  %9.4f  %8.4f to %7.4f  %10.2f", cell.nodes, 100*cell.loss, law, stats.Mean(counts), low, high, stats.Dispersion(counts))
			if law < low || law > high {
				t.Errorf("%d nodes, loss %v: the law's %v is outside of %v to %v", cell.nodes, cell.loss, law, low, high)
			}
		})
	}
	return cpu
}
