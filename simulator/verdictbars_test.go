package simulator

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

var (
	verdictBars  = flag.Bool("verdict-bars", false, "measure verdicts against memberlist and write "+verdictFigures+": takes hours; -run picks parts, each of which has its own file")
	verdictSeeds = flag.String("verdict-seeds", "", "seeds such as 1-5 in place of those of every cell")
	verdictJobs  = flag.Int("verdict-jobs", 0, "runs at a time; 0 = one a core")
)

var verdictFigures = filepath.Join("..", "docs", "figures", "verdicts")

// TestVerdictBars measures what docs/verdicts.md tells about verdicts: make verdict-bars PART=crash. It is no test for
// every day.
func TestVerdictBars(t *testing.T) {
	if !*verdictBars {
		t.Skip("only with -verdict-bars: make verdict-bars")
	}
	t.Setenv("SIMULATOR_CHILD", "1")
	for _, part := range []struct {
		name, title string
		run         func(t *testing.T, r *report)
	}{
		{"crash", "One crash, 2±1 ms links, 1 % loss; detection by all survivors in seconds", barsOfCrash},
		{"big", "Four crashes in a large cluster, 12 s apart, from 60 s on after all have joined", barsOfBigCluster},
		{"idle", "Nothing happens: N = 100, 1 % loss, 180 s", barsOfIdleness},
		{"frozen", "B6: C of 128 nodes frozen again and again, D on, I off, 120 s", barsOfFrozen},
		{"late-50", "B9: some of 50 nodes read 0.5 to 2.5 s late, one crash at 60 s of 120 s", barsOfLate(50)},
		{"late-200", "B9: some of 200 nodes read 0.5 to 2.5 s late, one crash at 60 s of 120 s", barsOfLate(200)},
		{"partitions", "Partitions for 2 minutes, 2±1 ms links", barsOfPartitions},
		{"loss-50", "Loss without a crash, N = 50, 10 minutes", barsOfLoss(50)},
		{"loss-200", "Loss without a crash, N = 200, 10 minutes", barsOfLoss(200)},
		{"sweep", "The settings: a crash (N = 100, 1 % loss), late readers (5 of 50, 3 % loss), pauses of 2 s (N = 16, 1 % loss)", barsOfSettings},
		{"flapping", "B12 and B13: members that are reachable now and then", barsOfFlapping},
		{"pauses", "One of 16 nodes pauses for D every 10 s, 4 minutes, 1 % loss", barsOfPauses},
	} {
		t.Run(part.name, func(t *testing.T) {
			began := time.Now()
			var r report
			seeds := ""
			if *verdictSeeds != "" {
				seeds = " SEEDS=" + *verdictSeeds
			}
			r.linef(t, "%s. Written by: make verdict-bars PART=%s%s", part.title, part.name, seeds)
			r.linef(t, "%s, %s/%s, %d CPUs; profile lan, arms (the same seeds in each):", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
			for _, a := range Presets() {
				r.linef(t, "  %s: %s", a.Label, strings.Join(a.Set, " "))
			}
			r.linef(t, "")
			part.run(t, &r)
			t.Logf("done after %s", time.Since(began).Round(time.Second))
			if err := os.MkdirAll(verdictFigures, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(verdictFigures, part.name+".txt"), []byte(r.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// cell is one scenario under several arms.
type cell struct {
	nodes    int
	loss     string
	timeline string
	duration string
	seeds    string
	arms     []string // presets, each with settings behind it; memberlist and verdicts when nil
	traces   string   // a directory for traces, by arm
}

// measured is what one arm came to.
type measured struct {
	runs         []*oracle.RunResult
	p50, p99     float64 // NaN without a crash
	udpB, udpP   float64
	falseRuns    int // with a false alarm
	falseAll     float64
	falseHealthy float64
	worst        float64 // list changes about one node, from an observer's point of view, in one run at most
	verdicts     float64
	cpu          float64
}

func (c cell) play(t *testing.T) []measured {
	t.Helper()
	scenario := fmt.Sprintf("version: 1\nname: bars\ncluster: {nodes: %d}\nnetwork: {latency: 2ms, jitter: 1ms, loss: %s}\nseeds: %s\nduration: %s\n",
		c.nodes, cmp.Or(c.loss, "0%"), cmp.Or(*verdictSeeds, c.seeds), c.duration)
	if c.timeline != "" {
		scenario += "timeline:\n" + c.timeline
	}
	var out []measured
	arms := c.arms
	if arms == nil {
		arms = []string{"memberlist", "verdicts"}
	}
	for _, text := range arms {
		name, set, _ := strings.Cut(text, " ")
		arm, err := ParseArm(name)
		if err != nil {
			t.Fatal(err)
		}
		opts := Options{Child: []string{os.Args[0]}, Jobs: *verdictJobs}
		if c.traces != "" {
			opts.TraceDir = filepath.Join(c.traces, name)
			if err := os.MkdirAll(opts.TraceDir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		res, err := Run(t.Context(), parse(t, scenario, append(arm.Set, strings.Fields(set)...)...), opts)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tally(t, res))
	}
	return out
}

func tally(t *testing.T, res *result.Result) measured {
	m := measured{p50: math.NaN(), p99: math.NaN()}
	for i := range res.Runs {
		run := &res.Runs[i]
		if run.BrokenOff != "" {
			t.Fatalf("seed %d was broken off: %s", run.Seed, run.BrokenOff)
		}
		n := float64(len(res.Runs))
		if run.Verdicts.False() > 0 {
			m.falseRuns++
		}
		m.runs = append(m.runs, run)
		m.falseAll += float64(run.Verdicts.False()) / n
		m.falseHealthy += float64(run.Verdicts.FalseHealthy.Sum()) / n
		m.verdicts += float64(run.Verdicts.Sum()) / n
		m.worst = max(m.worst, float64(run.ListChanges.MostAboutSubject)/2/float64(run.Nodes-1))
		m.udpB += float64(run.Load.UDP.BytesOut) / n
		m.udpP += float64(run.Load.UDP.PacketsOut) / n
		m.cpu += float64(run.CPU) / n
	}
	for _, d := range res.Summary.Times {
		if d.Name == "detection" {
			m.p50, m.p99 = float64(d.P50.Value), float64(d.P99.Value)
		}
	}
	return m
}

func seedsOf(c cell) string { return cmp.Or(*verdictSeeds, c.seeds) }

func barsOfCrash(t *testing.T, r *report) {
	r.linef(t, "%4s %6s | %5s %5s %4s | %5s %5s %4s | %-17s | %-17s | false alarms", "N", "seeds", "p50 m", "v", "", "p99 m", "v", "", "UDP B/node/s", "UDP packets")
	for _, c := range []cell{{nodes: 5, seeds: "1-200"}, {nodes: 16, seeds: "1-200"}, {nodes: 32, seeds: "1-60"}, {nodes: 100, seeds: "1-200"}, {nodes: 300, seeds: "1-12"}} {
		c.loss, c.duration, c.timeline = "1%", "120s", "  - {at: 20s, kill: {node: n4}}\n"
		crashRow(t, r, c)
	}
}

func barsOfBigCluster(t *testing.T, r *report) {
	r.linef(t, "%4s %6s | %5s %5s %4s | %5s %5s %4s | %-17s | %-17s | false alarms", "N", "seeds", "p50 m", "v", "", "p99 m", "v", "", "UDP B/node/s", "UDP packets")
	var timeline strings.Builder
	for i := range 4 { // a run takes minutes, and most of it is the time before the first crash
		fmt.Fprintf(&timeline, "  - {at: %ds, kill: {node: n%d}}\n", 60+12*i, 4+100*i)
	}
	crashRow(t, r, cell{nodes: 1000, seeds: "1", loss: "1%", duration: "115s", timeline: timeline.String()})
}

func crashRow(t *testing.T, r *report, c cell) {
	got := c.play(t)
	m, v := got[0], got[1]
	r.linef(t, "%4d %6s | %5.2f %5.2f %4.2f | %5.2f %5.2f %4.2f | %5.1f %5.1f %5.3f | %5.2f %5.2f %5.3f | %.3g %.3g", c.nodes, seedsOf(c),
		m.p50, v.p50, v.p50/m.p50, m.p99, v.p99, v.p99/m.p99, m.udpB, v.udpB, v.udpB/m.udpB, m.udpP, v.udpP, v.udpP/m.udpP, m.falseAll, v.falseAll)
}

func barsOfIdleness(t *testing.T, r *report) {
	c := cell{nodes: 100, seeds: "1-5", loss: "1%", duration: "180s"}
	got := c.play(t)
	m, v := got[0], got[1]
	r.linef(t, "seeds %s; UDP bytes/node/s: memberlist %.2f, verdicts %.2f, ratio %.4f; packets %.3f, %.3f, ratio %.4f; CPU of a run %.2f s, %.2f s, ratio %.3f",
		seedsOf(c), m.udpB, v.udpB, v.udpB/m.udpB, m.udpP, v.udpP, v.udpP/m.udpP, m.cpu, v.cpu, v.cpu/m.cpu)
}

func barsOfFrozen(t *testing.T, r *report) {
	r.linef(t, "s = plain SWIM, m = memberlist, v = verdicts; means of a run. Worst: how often an observer declared the worst node failed, at most, on average over observers.")
	r.linef(t, "%2s %4s %6s | %-27s | %-27s | %s", "C", "D", "I", "about healthy s, m, v", "about frozen s, m, v", "worst s, m, v")
	for _, frozen := range []int{4, 16, 32} {
		for _, down := range []string{"2s", "4s", "8s", "16s", "32s"} {
			for _, up := range []string{"64ms", "1024ms"} {
				c := cell{nodes: 128, seeds: "1-3", duration: "140s", arms: []string{"swim", "memberlist", "verdicts"}, timeline: fmt.Sprintf(
					"  - {at: 10s, for: 2m, flap: {down: %s, up: %s}, pause: {nodes: n1..n%d}}\n", down, up, frozen)}
				g := c.play(t)
				r.linef(t, "%2d %4s %6s | %8.1f %8.1f %8.1f  | %8.1f %8.1f %8.1f  | %5.2f %5.2f %5.2f", frozen, down, up,
					g[0].falseHealthy, g[1].falseHealthy, g[2].falseHealthy, g[0].falseAll-g[0].falseHealthy, g[1].falseAll-g[1].falseHealthy,
					g[2].falseAll-g[2].falseHealthy, g[0].worst, g[1].worst, g[2].worst)
			}
		}
	}
}

func barsOfLate(nodes int) func(*testing.T, *report) {
	return func(t *testing.T, r *report) { lateReaders(t, r, nodes) }
}

func lateReaders(t *testing.T, r *report, nodes int) {
	r.linef(t, "%4s %5s %5s %6s | %-28s | %-21s | %-22s | %s", "N", "late", "loss", "seeds", "runs with a false death m, v", "false deaths a run", "crash p99 m, v, ratio", "UDP bytes ratio")
	var runs [2]int
	for _, late := range []int{1, 5, 10} {
		for _, loss := range []string{"1%", "3%", "5%"} {
			c := cell{nodes: nodes, loss: loss, duration: "120s", seeds: "1-20", timeline: fmt.Sprintf(
				"  - {at: 0s, for: 120s, stall: {nodes: n1..n%d, late: 500ms..2.5s}}\n  - {at: 60s, kill: {node: n40}}\n", max(nodes*late/100, 1))}
			g := c.play(t)
			m, v := g[0], g[1]
			runs[0], runs[1] = runs[0]+m.falseRuns, runs[1]+v.falseRuns
			r.linef(t, "%4d %4d%% %5s %6s | %12d %12d    | %9.2f %9.2f   | %5.2f %5.2f %5.2f      | %.2f", nodes, late, loss, seedsOf(c),
				m.falseRuns, v.falseRuns, m.falseAll, v.falseAll, m.p99, v.p99, v.p99/m.p99, v.udpB/m.udpB)
		}
	}
	r.linef(t, "all cells: %d runs with a false death with memberlist, %d with verdicts, ratio %.2f", runs[0], runs[1], float64(runs[1])/float64(runs[0]))
}

func barsOfPartitions(t *testing.T, r *report) {
	r.linef(t, "%4s %-16s %6s | %-17s | %-30s | %s", "N", "partition", "seeds", "false alarms m, v", "majority about minority m, v", "first verdict of the other side m, v")
	for _, nodes := range []int{10, 50} {
		few := nodes * 3 / 10
		for _, p := range []struct{ name, fault, minority string }{
			{"halves", "partition: {shape: halves}", ""},
			{"minority", fmt.Sprintf("partition: {shape: groups, groups: [[n1..n%d], [n%d..n%d]]}", few, few+1, nodes), fmt.Sprintf("n1..n%d", few)},
			{"isolated", fmt.Sprintf("partition: {shape: groups, groups: [[n1], [n2..n%d]]}", nodes), "n1..n1"},
			{"one-way deaf", "link: {from: all, to: n1, cut: true}", ""},
			{"one-way mute", "link: {from: n1, to: all, cut: true}", ""},
			{"bridge", fmt.Sprintf("partition: {shape: bridge, groups: [[n1..n%d], [n%d..n%d]], via: [n%d]}", nodes/2-1, nodes/2+1, nodes, nodes/2), ""},
		} {
			c := cell{nodes: nodes, duration: "220s", seeds: "1-6", traces: t.TempDir(), timeline: fmt.Sprintf("  - {at: 40s, for: 2m, %s}\n", p.fault)}
			g := c.play(t)
			line := fmt.Sprintf("%4d %-16s %6s | %8.2f %8.2f |", nodes, p.name, seedsOf(c), g[0].falseAll, g[1].falseAll)
			if p.minority != "" {
				m, ofFewM := splitVerdicts(t, filepath.Join(c.traces, "memberlist"), p.minority)
				v, ofFewV := splitVerdicts(t, filepath.Join(c.traces, "verdicts"), p.minority)
				line += fmt.Sprintf(" p50 %6.2f %6.2f, ratio %.2f   | %6.2f %6.2f", m, v, v/m, ofFewM, ofFewV)
			}
			r.linef(t, "%s", line)
		}
	}
}

// splitVerdicts reads traces of a partition that began at 40 s and returns the median time from there to verdicts
// of the majority about the minority, and the time of the first verdict of the minority about the majority.
func splitVerdicts(t *testing.T, dir, minority string) (median, first float64) {
	few := map[string]bool{}
	var lo, hi int
	if _, err := fmt.Sscanf(minority, "n%d..n%d", &lo, &hi); err != nil {
		t.Fatal(err)
	}
	for i := lo; i <= hi; i++ {
		few[fmt.Sprint("n", i)] = true
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces in %s: %v", dir, err)
	}
	var times []float64
	first = math.Inf(1)
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e struct {
				T                       float64
				Kind, Observer, Subject string
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			if e.Kind != "failed" || e.T < 40 || e.T > 160 || few[e.Observer] == few[e.Subject] {
				continue
			}
			if few[e.Subject] {
				times = append(times, e.T-40)
			} else {
				first = min(first, e.T-40)
			}
		}
		f.Close()
	}
	slices.Sort(times)
	if len(times) == 0 {
		return math.NaN(), first
	}
	return times[len(times)/2], first
}

func barsOfLoss(nodes int) func(*testing.T, *report) {
	return func(t *testing.T, r *report) { lossWithoutCrash(t, r, nodes) }
}

func lossWithoutCrash(t *testing.T, r *report, nodes int) {
	r.linef(t, "%4s %5s %6s | %-22s | %s", "N", "loss", "seeds", "runs with a verdict, v", "verdicts a run, v")
	for _, loss := range []string{"5%", "10%"} {
		c := cell{nodes: nodes, loss: loss, duration: "10m", seeds: "1-50", arms: []string{"verdicts"}}
		g := c.play(t)
		r.linef(t, "%4d %5s %6s | %22d | %.3g", nodes, loss, seedsOf(c), g[0].falseRuns, g[0].verdicts)
	}
}

func barsOfSettings(t *testing.T, r *report) {
	r.linef(t, "The first row has the defaults; seeds 1-10 in each cell. False deaths, pauses: verdicts in 10 runs, and how many runs had any.")
	r.linef(t, "%-40s | crash p50, p99 | UDP B/node/s | late: runs, verdicts | pauses: runs, verdicts", "settings")
	for _, set := range []string{"", "verdict.patience=600ms", "verdict.patience=900ms", "verdict.patience=1600ms", "verdict.patience=2s",
		"verdict.silence=1ms", "verdict.silence=2s", "verdict.silence=4s", "verdict.witnesses=5 verdict.quorum=3", "verdict.witnesses=12 verdict.quorum=5",
		"verdict.quorum=3", "verdict.quorum=7", "verdict.controls=1", "verdict.controls=5"} {
		arm := []string{"verdicts " + set}
		crash := cell{nodes: 100, loss: "1%", duration: "60s", seeds: "1-10", arms: arm, timeline: "  - {at: 20s, kill: {node: n4}}\n"}.play(t)[0]
		late := cell{nodes: 50, loss: "3%", duration: "120s", seeds: "1-10", arms: arm, timeline: "  - {at: 0s, for: 120s, stall: {nodes: n1..n5, late: 500ms..2.5s}}\n"}.play(t)[0]
		pauses := cell{nodes: 16, loss: "1%", duration: "300s", seeds: "1-10", arms: arm,
			timeline: "  - {at: 40s, for: 4m, flap: {down: 2s, up: 8s}, pause: {node: n5}}\n"}.play(t)[0]
		r.linef(t, "%-40s | %5.2f %5.2f    | %6.1f       | %4d %8.0f       | %4d %8.0f", cmp.Or(set, "as they are"), crash.p50, crash.p99, crash.udpB,
			late.falseRuns, 10*late.falseAll, pauses.falseRuns, 10*pauses.falseAll)
	}
}

func barsOfPauses(t *testing.T, r *report) {
	r.linef(t, "%5s %6s | %s", "D", "seeds", "verdicts a run m, v")
	for _, down := range []string{"1500ms", "2s", "2500ms", "3s", "4s"} {
		d, err := time.ParseDuration(down)
		if err != nil {
			t.Fatal(err)
		}
		c := cell{nodes: 16, loss: "1%", duration: "300s", seeds: "1-10", timeline: fmt.Sprintf(
			"  - {at: 40s, for: 4m, flap: {down: %s, up: %s}, pause: {node: n5}}\n", down, 10*time.Second-d)}
		g := c.play(t)
		r.linef(t, "%6s %6s | %.2f %.2f", down, seedsOf(c), g[0].verdicts, g[1].verdicts)
	}
}
