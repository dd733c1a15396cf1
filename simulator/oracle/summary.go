package oracle

import (
	"slices"

	"heartbeat/simulator/stats"
)

// confidence is the level of every interval in a summary or comparison.
const confidence = 0.95

// Summary puts the results of many runs together. Runs that were broken off only count as such. All intervals
// are at 95 %; an end of null says that the data do not bound that side. Names are stable.
type Summary struct {
	Runs      int `json:"runs"`
	BrokenOff int `json:"broken_off"`
	// Counts are of events in a run.
	Counts []CountSummary `json:"counts"`
	// Shares are of runs in which something happened.
	Shares []ShareSummary `json:"shares"`
	// Times are distributions of times over crashes, observers or runs.
	Times []TimeSummary `json:"times"`
	// Levels are measured once a run.
	Levels []LevelSummary `json:"levels"`
}

// Estimate is a number with its interval.
type Estimate struct {
	Value Number `json:"value"`
	Low   Number `json:"low"`
	High  Number `json:"high"`
}

// estimate clamps at 0 from below, since nothing that is measured here can be negative.
func estimate(value float64, i stats.Interval) Estimate {
	return Estimate{Value: Number(value), Low: Number(max(0, i.Low)), High: Number(i.High)}
}

// CountSummary is about a count a run.
type CountSummary struct {
	Name  string `json:"name"`
	Total int    `json:"total"`
	// PerRun is the mean, with the exact interval of a Poisson count, widened by the dispersion when that is above 1.
	PerRun Estimate `json:"per_run"`
	// Most is the largest count of any run.
	Most int `json:"most"`
	// Dispersion is the variance over runs divided by the mean. Well above 1, events come in bursts.
	Dispersion Number `json:"dispersion"`
}

// ShareSummary is about runs in which something happened.
type ShareSummary struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
	// Share is of the runs that were not broken off, with Wilson's interval.
	Share Estimate `json:"share"`
}

// TimeSummary is about times in seconds. What never happened is part of it, as infinity (null).
type TimeSummary struct {
	Name string `json:"name"`
	// Values is how many times there are, Never how many of them are infinite.
	Values int `json:"values"`
	Never  int `json:"never"`
	// P50 and P99 are percentiles over all values of all runs, with intervals by order statistics that treat runs,
	// and not values, as independent. They are null, from 0 to null, when there are no values.
	P50 Estimate `json:"p50"`
	P99 Estimate `json:"p99"`
	Max Number   `json:"max"`
}

// LevelSummary is about a number measured once a run.
type LevelSummary struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	// Mean, Least and Most are over the runs; Median has an interval by order statistics.
	Mean   Number   `json:"mean"`
	Median Estimate `json:"median"`
	Least  Number   `json:"least"`
	Most   Number   `json:"most"`
}

// Summarize puts the results of runs together.
func Summarize(runs []RunResult) Summary {
	s := Summary{Runs: len(runs)}
	runs = whole(runs)
	s.BrokenOff = s.Runs - len(runs)
	for _, m := range countMetrics {
		s.Counts = append(s.Counts, summarizeCount(m, runs))
	}
	for _, m := range shareMetrics {
		k := m.count(runs)
		s.Shares = append(s.Shares, ShareSummary{
			Name: m.name, Count: k,
			Share: estimate(float64(k)/max(1, float64(len(runs))), stats.Wilson(k, len(runs), confidence)),
		})
	}
	for _, m := range timeMetrics {
		s.Times = append(s.Times, summarizeTimes(m, runs))
	}
	for _, m := range levelMetrics {
		if values, ok := m.over(runs); ok {
			s.Levels = append(s.Levels, summarizeLevel(m, values))
		}
	}
	return s
}

// whole returns the runs that were not broken off.
func whole(runs []RunResult) []RunResult {
	return slices.DeleteFunc(slices.Clone(runs), func(r RunResult) bool { return r.BrokenOff != "" })
}

func summarizeCount(m countMetric, runs []RunResult) CountSummary {
	counts := m.over(runs)
	c := CountSummary{Name: m.name, Dispersion: Number(stats.Dispersion(counts))}
	for _, n := range counts {
		c.Total += int(n)
		c.Most = max(c.Most, int(n))
	}
	if size := float64(len(runs)); size > 0 {
		i := stats.OverdispersedPoisson(counts, confidence)
		c.PerRun = estimate(float64(c.Total)/size, stats.Interval{Low: i.Low / size, High: i.High / size})
	} else {
		c.PerRun.High = never
	}
	return c
}

func summarizeTimes(m timeMetric, runs []RunResult) TimeSummary {
	groups := make([][]float64, len(runs))
	for i := range runs {
		groups[i] = m.values(&runs[i])
	}
	values := slices.Concat(groups...)
	slices.Sort(values)
	t := TimeSummary{Name: m.name, Values: len(values), Never: len(values) - finite(values), Max: never}
	unknown := Estimate{Value: never, Low: 0, High: never}
	t.P50, t.P99 = unknown, unknown
	if len(values) > 0 {
		t.P50 = estimate(stats.ClusteredQuantile(groups, 0.5, confidence))
		t.P99 = estimate(stats.ClusteredQuantile(groups, 0.99, confidence))
		t.Max = Number(values[len(values)-1])
	}
	return t
}

func summarizeLevel(m levelMetric, values []float64) LevelSummary {
	sorted := slices.Sorted(slices.Values(values))
	return LevelSummary{
		Name: m.name, Unit: m.unit, Mean: Number(stats.Mean(values)),
		Median: estimate(stats.Quantile(sorted, 0.5), stats.QuantileInterval(sorted, 0.5, confidence)),
		Least:  Number(sorted[0]), Most: Number(sorted[len(sorted)-1]),
	}
}
