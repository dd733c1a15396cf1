package oracle

import (
	"math"
	"slices"

	"heartbeat/simulator/stats"
)

// The metrics by which sets of runs are summed up and compared. Their names are stable.

// countMetric is a count of events in a run.
type countMetric struct {
	name  string
	count func(*RunResult) int
	// independent says that events do not cause each other, as far as is known: then their number is about Poisson.
	independent bool
}

func (m countMetric) over(runs []RunResult) []float64 {
	counts := make([]float64, len(runs))
	for i := range runs {
		counts[i] = float64(m.count(&runs[i]))
	}
	return counts
}

var countMetrics = []countMetric{
	{name: "false_alarms", count: func(r *RunResult) int { return r.Verdicts.False() }},
	{name: "false_alarms_about_healthy", count: func(r *RunResult) int { return r.Verdicts.FalseHealthy.Sum() }},
	{name: "false_alarms_about_healthy_by_healthy", count: func(r *RunResult) int { return r.Verdicts.FalseHealthy.Healthy }},
	{name: "false_alarms_about_frozen", count: func(r *RunResult) int { return r.Verdicts.FalseFrozen.Sum() }},
	{name: "false_subjects", count: func(r *RunResult) int { return r.Verdicts.FalseSubjects }, independent: true},
	{name: "justified", count: func(r *RunResult) int { return r.Verdicts.Justified.Sum() }},
	{name: "undetected", count: func(r *RunResult) int { return r.undetected() }},
	{name: "suspicions", count: func(r *RunResult) int { return r.Accusations.Sum() }},
	{name: "false_suspicions", count: func(r *RunResult) int { return r.Accusations.False() }, independent: true},
	{name: "refutations", count: func(r *RunResult) int { return r.Refutations }},
	{name: "view_changes", count: func(r *RunResult) int { return r.ViewChanges.Total }},
	{name: "list_changes", count: func(r *RunResult) int { return r.ListChanges.Total }},
}

func (r *RunResult) undetected() int {
	n := 0
	for i := range r.Crashes {
		n += r.Crashes[i].Undetected
	}
	return n
}

// shareMetric is something that happens in a run or does not.
type shareMetric struct {
	name string
	is   func(*RunResult) bool
}

func (m shareMetric) count(runs []RunResult) int {
	k := 0
	for i := range runs {
		k += one(m.is(&runs[i]))
	}
	return k
}

var shareMetrics = []shareMetric{
	{"runs_with_false_death", func(r *RunResult) bool { return r.Verdicts.False() > 0 }},
	{"runs_with_healthy_false_death", func(r *RunResult) bool { return r.Verdicts.FalseHealthy.Sum() > 0 }},
	{"runs_with_undetected_crash", func(r *RunResult) bool { return r.undetected() > 0 }},
	{"runs_not_settled", func(r *RunResult) bool { return r.Convergence.Settled.Never() }},
}

// timeMetric is a distribution of times in seconds, any number of them a run.
type timeMetric struct {
	name   string
	values func(*RunResult) []float64
}

var timeMetrics = []timeMetric{
	{"detection", func(r *RunResult) []float64 { return r.ofCrashes((*Crash).values) }},
	{"first_detection", func(r *RunResult) []float64 { return r.ofCrashes(single(func(c *Crash) Number { return c.First })) }},
	{"full_detection", func(r *RunResult) []float64 { return r.ofCrashes(single(func(c *Crash) Number { return c.Full })) }},
	{"spread", func(r *RunResult) []float64 { return r.ofCrashes(single(func(c *Crash) Number { return c.Spread })) }},
	{"joined", func(r *RunResult) []float64 { return []float64{float64(r.Joined)} }},
	{"converged", func(r *RunResult) []float64 { return []float64{float64(r.Convergence.First)} }},
	{"settled", func(r *RunResult) []float64 { return []float64{float64(r.Convergence.Settled)} }},
}

func single(value func(*Crash) Number) func(*Crash) []float64 {
	return func(c *Crash) []float64 { return []float64{float64(value(c))} }
}

// ofCrashes collects values of the crashes that somebody could have noticed.
func (r *RunResult) ofCrashes(values func(*Crash) []float64) []float64 {
	var out []float64
	for i := range r.Crashes {
		if c := &r.Crashes[i]; c.witnessed() {
			out = append(out, values(c)...)
		}
	}
	return out
}

// levelMetric is a number measured once a run. ok is false when the run has none.
type levelMetric struct {
	name, unit string
	value      func(*RunResult) (v float64, ok bool)
	// perEngine says that each engine measures something else: there is nothing to compare between engines.
	perEngine bool
}

// over returns the values of all runs. ok is false unless every run has one.
func (m levelMetric) over(runs []RunResult) (values []float64, ok bool) {
	for i := range runs {
		v, ok := m.value(&runs[i])
		if !ok {
			return nil, false
		}
		values = append(values, v)
	}
	return values, len(values) > 0
}

var levelMetrics = []levelMetric{
	loadLevel("udp_packets_out", "packets/node/s", func(l *Load) Number { return l.UDP.PacketsOut }),
	loadLevel("udp_bytes_out", "B/node/s", func(l *Load) Number { return l.UDP.BytesOut }),
	loadLevel("udp_bytes_in", "B/node/s", func(l *Load) Number { return l.UDP.BytesIn }),
	simulated(loadLevel("tcp_packets_out", "packets/node/s", func(l *Load) Number { return l.TCP.PacketsOut })),
	loadLevel("tcp_bytes_out", "B/node/s", func(l *Load) Number { return l.TCP.BytesOut }),
	loadLevel("tcp_bytes_in", "B/node/s", func(l *Load) Number { return l.TCP.BytesIn }),
	loadLevel("peak_bytes_out_p99", "B/s", func(l *Load) Number { return l.PeakOut.P99 }),
	loadLevel("peak_bytes_in_p99", "B/s", func(l *Load) Number { return l.PeakIn.P99 }),
	{name: "cpu", unit: "s", value: func(r *RunResult) (float64, bool) { return float64(r.CPU), r.CPU > 0 }, perEngine: true},
}

// simulated limits a metric to virtual time: real nodes do not count the packets that a kernel makes of a TCP stream.
func simulated(m levelMetric) levelMetric {
	value := m.value
	m.value = func(r *RunResult) (float64, bool) {
		v, ok := value(r)
		return v, ok && r.Clock == nil
	}
	return m
}

func loadLevel(name, unit string, value func(*Load) Number) levelMetric {
	return levelMetric{name: name, unit: unit, value: func(r *RunResult) (float64, bool) {
		return float64(value(&r.Load)), r.Load.Samples > 0
	}}
}

// timeLevels are the times that are compared between sets of runs, one a run: percentiles within it.
var timeLevels = slices.Concat(
	percentiles("detection", 0.5, 0.99),
	percentiles("first_detection", 0.5),
	percentiles("full_detection", 1),
	percentiles("spread", 1),
	percentiles("settled", 1),
)

// percentiles makes levels of a time metric. What never happened counts as the length of the run, which is the
// least that it can have taken.
func percentiles(name string, ps ...float64) []levelMetric {
	i := slices.IndexFunc(timeMetrics, func(m timeMetric) bool { return m.name == name })
	suffix := map[float64]string{0.5: "_p50", 0.99: "_p99", 1: "_max"}
	var levels []levelMetric
	for _, p := range ps {
		levels = append(levels, levelMetric{name: name + suffix[p], unit: "s", value: func(r *RunResult) (float64, bool) {
			values := slices.Sorted(slices.Values(timeMetrics[i].values(r)))
			return math.Min(stats.Quantile(values, p), float64(r.End)), len(values) > 0
		}})
	}
	return levels
}
