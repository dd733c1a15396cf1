package oracle

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"heartbeat/simulator/stats"
)

// significance is the chance, over all rows of a comparison, of calling any difference real that is none.
const significance = 0.05

// permutationTest names the test of differences within seeds.
const permutationTest = "permutation"

// Comparison says how two sets of runs differ: the same scenario with another detector or other settings.
type Comparison struct {
	// RunsA and RunsB are how many runs were compared, without those that were broken off.
	RunsA int `json:"runs_a"`
	RunsB int `json:"runs_b"`
	// Paired says that both sets have the same seeds, so that differences are taken within seeds.
	Paired bool  `json:"paired"`
	Rows   []Row `json:"rows"`
}

// Row compares one metric.
type Row struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	// A and B are means over the runs for counts and shares, medians for everything else. Change is B minus A; of paired
	// medians it is the median of the differences within seeds.
	A      Number `json:"a"`
	B      Number `json:"b"`
	Change Number `json:"change"`
	// Interval holds the median of the differences within seeds at 95 %. Only of paired times and levels.
	Interval *ChangeInterval `json:"interval,omitempty"`
	// Test names the test: permutation, mann-whitney, poisson or fisher; "none" when no run of A differs from any of B.
	Test string `json:"test"`
	// P is the test's p-value, PAdjusted the same for having asked about all rows (Holm).
	P         float64 `json:"p"`
	PAdjusted float64 `json:"p_adjusted"`
	// Real says that PAdjusted is below 0.05.
	Real bool `json:"real"`
	// Text says it in a sentence.
	Text string `json:"text"`
}

// ChangeInterval is an interval of a difference; nil is not bounded.
type ChangeInterval struct {
	Low  *float64 `json:"low"`
	High *float64 `json:"high"`
}

// Compare says which differences between two sets of runs are real. Of the same seeds in both, in any order, it
// compares within seeds; otherwise all of the one with all of the other. Metrics that a run lacks are left out.
func Compare(a, b []RunResult) Comparison {
	return compare(a, b, slices.Concat(timeLevels, levelMetrics))
}

// CompareEngines is Compare for runs of two engines. It leaves out what each of them measures in its own way, which
// is the processor time: of the whole simulation in virtual time, of the nodes alone in real time.
func CompareEngines(a, b []RunResult) Comparison {
	return compare(a, b, slices.DeleteFunc(slices.Concat(timeLevels, levelMetrics), func(m levelMetric) bool { return m.perEngine }))
}

func compare(a, b []RunResult, levels []levelMetric) Comparison {
	a, b = bySeed(whole(a)), bySeed(whole(b))
	c := Comparison{RunsA: len(a), RunsB: len(b), Rows: []Row{}}
	c.Paired = slices.EqualFunc(a, b, func(x, y RunResult) bool { return x.Seed == y.Seed })
	if len(a) == 0 || len(b) == 0 {
		return c
	}
	for _, m := range countMetrics {
		c.Rows = append(c.Rows, c.counts(m, a, b))
	}
	for _, m := range shareMetrics {
		c.Rows = append(c.Rows, shares(m, a, b))
	}
	for _, m := range levels {
		x, okA := m.over(a)
		y, okB := m.over(b)
		if okA && okB {
			c.Rows = append(c.Rows, c.levels(m, x, y))
		}
	}
	c.adjust()
	return c
}

func bySeed(runs []RunResult) []RunResult {
	slices.SortStableFunc(runs, func(x, y RunResult) int { return cmp.Compare(x.Seed, y.Seed) })
	return runs
}

// differ returns the differences within pairs.
func differ(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = b[i] - a[i]
	}
	return d
}

// constant says that all values of both are the same, so there is nothing to ask.
func constant(a, b []float64) bool {
	all := slices.Concat(a, b)
	return slices.Min(all) == slices.Max(all)
}

func (c *Comparison) counts(m countMetric, a, b []RunResult) Row {
	x, y := m.over(a), m.over(b)
	row := Row{Name: m.name, Unit: "a run", A: Number(stats.Mean(x)), B: Number(stats.Mean(y)), P: 1, Test: "none"}
	row.Change = row.B - row.A
	switch {
	case constant(x, y):
	case m.independent:
		// Bursts make fewer events count: see stats.OverdispersedPoisson.
		burst := max(1, stats.Dispersion(x), stats.Dispersion(y))
		sizeA, sizeB := float64(len(x)), float64(len(y))
		row.Test, row.P = "poisson", stats.PoissonRates(float64(row.A)*sizeA/burst, sizeA, float64(row.B)*sizeB/burst, sizeB)
	default:
		row.Test, row.P = c.test(x, y)
	}
	return row
}

// test compares values with the test that fits.
func (c *Comparison) test(x, y []float64) (name string, p float64) {
	if c.Paired {
		return permutationTest, stats.PairedPermutation(differ(x, y))
	}
	return "mann-whitney", stats.MannWhitney(x, y)
}

func shares(m shareMetric, a, b []RunResult) Row {
	k, l := m.count(a), m.count(b)
	row := Row{Name: m.name, Unit: "of runs", A: Number(float64(k) / float64(len(a))), B: Number(float64(l) / float64(len(b))), P: 1, Test: "none"}
	row.Change = row.B - row.A
	if k+l > 0 && k+l < len(a)+len(b) {
		row.Test, row.P = "fisher", stats.Fisher(k, len(a), l, len(b))
	}
	return row
}

func (c *Comparison) levels(m levelMetric, x, y []float64) Row {
	median := func(values []float64) float64 { return stats.Quantile(slices.Sorted(slices.Values(values)), 0.5) }
	row := Row{Name: m.name, Unit: m.unit, A: Number(median(x)), B: Number(median(y)), P: 1, Test: "none"}
	row.Change = row.B - row.A
	if c.Paired {
		d := slices.Sorted(slices.Values(differ(x, y)))
		row.Change = Number(stats.Quantile(d, 0.5))
		i := stats.QuantileInterval(d, 0.5, confidence)
		row.Interval = &ChangeInterval{Low: bounded(i.Low), High: bounded(i.High)}
	}
	if !constant(x, y) {
		row.Test, row.P = c.test(x, y)
	}
	return row
}

// bounded returns a finite value's address, nil of an infinite one.
func bounded(v float64) *float64 {
	if Number(v).Never() || Number(-v).Never() {
		return nil
	}
	return &v
}

// adjust takes into account how many rows were tested, and puts the rows into words.
func (c *Comparison) adjust() {
	var p []float64
	for i := range c.Rows {
		if c.Rows[i].Test != "none" {
			p = append(p, c.Rows[i].P)
		}
	}
	adjusted := stats.Holm(p)
	for i := range c.Rows {
		r := &c.Rows[i]
		r.PAdjusted = 1
		if r.Test != "none" {
			r.PAdjusted, adjusted = adjusted[0], adjusted[1:]
		}
		r.Real = r.PAdjusted < significance
		r.Text = r.words()
	}
}

// Fewest returns, when no difference within seeds can be called real with so few of them, the smallest p that their
// number allows, by how many rows Holm's correction multiplies that at the least, and how many seeds it would take.
// few is false when there are enough seeds, or nothing was compared within them.
func (c *Comparison) Fewest() (p float64, rows, seeds int, few bool) {
	for i := range c.Rows {
		if c.Rows[i].Test == permutationTest {
			rows++
		}
	}
	if !c.Paired || rows == 0 {
		return 0, 0, 0, false
	}
	least := func(n int) float64 { return math.Ldexp(2, -n) } // of the swaps of n pairs, all or none: see stats.PairedPermutation
	for seeds = c.RunsA; least(seeds)*float64(rows) >= significance; {
		seeds++
	}
	return least(c.RunsA), rows, seeds, seeds > c.RunsA
}

func (r *Row) words() string {
	show := func(n Number) string { return strconv.FormatFloat(float64(n), 'g', 4, 64) }
	switch {
	case r.Test == "none":
		return fmt.Sprintf("%s: %s %s in both; no run of the one differs from any of the other.", r.Name, show(r.A), r.Unit)
	case !r.Real:
		return fmt.Sprintf("%s: %s against %s %s; the difference may be chance (p = %.2g).", r.Name, show(r.A), show(r.B), r.Unit, r.PAdjusted)
	}
	text := fmt.Sprintf("%s: %s against %s %s; the difference is real (p = %.2g)", r.Name, show(r.A), show(r.B), r.Unit, r.PAdjusted)
	if i := r.Interval; i != nil && i.Low != nil && i.High != nil {
		text += fmt.Sprintf(", from %s to %s within a seed", show(Number(*i.Low)), show(Number(*i.High)))
	}
	return text + "."
}
