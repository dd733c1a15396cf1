package report

import (
	"math"
	"slices"

	"heartbeat/simulator/oracle"
)

// chart is a line chart that the page's script draws.
type chart struct {
	Title string   `json:"title"`
	X     axis     `json:"x"`
	Y     axis     `json:"y"`
	Lines []series `json:"lines"`
	Marks []mark   `json:"marks,omitempty"`
}

// axis says how one direction is scaled.
type axis struct {
	Label string `json:"label"`
	Log   bool   `json:"log,omitempty"`
	// Toggle lets the reader change between linear and logarithmic.
	Toggle bool `json:"toggle,omitempty"`
	// Percent shows shares as percentages, from 0 to 100.
	Percent bool `json:"percent,omitempty"`
	// Categories, when not empty, are the names of the values 0, 1, ...
	Categories []string `json:"categories,omitempty"`
	// Ticks, when not empty, are the values named on a logarithmic axis.
	Ticks []float64 `json:"ticks,omitempty"`
}

// series is one line.
type series struct {
	Name string `json:"name"`
	// Step draws a staircase.
	Step bool `json:"step,omitempty"`
	// Reference marks what was computed and not measured.
	Reference bool `json:"reference,omitempty"`
	// Points are x, y and, where known, the interval's ends; the upper end is
	// null when the data do not bound it.
	Points []point `json:"points"`
}

type point []oracle.Number

// mark is a vertical line.
type mark struct {
	X    float64 `json:"x"`
	Text string  `json:"text"`
}

// maxPoints bounds a distribution's points: more cannot be seen.
const maxPoints = 400

// distribution is the share of values up to each value. Infinite ones keep it
// below 1.
func distribution(name string, values []float64) series {
	slices.Sort(values)
	finite := slices.IndexFunc(values, func(v float64) bool { return math.IsInf(v, 1) })
	if finite < 0 {
		finite = len(values)
	}
	s := series{Name: name, Step: true, Points: []point{}}
	for i := range min(finite, maxPoints) {
		k := i
		if finite > maxPoints {
			k = i * (finite - 1) / (maxPoints - 1)
		}
		if k+1 < finite && values[k] == values[k+1] && i+1 < min(finite, maxPoints) {
			continue // the last of equal values says how many they are
		}
		s.Points = append(s.Points, point{oracle.Number(values[k]), oracle.Number(float64(k+1) / float64(len(values)))})
	}
	return s
}

// crashTimes collects times of all crashes in the runs that were not broken off.
func crashTimes(runs []oracle.RunResult, of func(*oracle.Crash) []oracle.Number) []float64 {
	var values []float64
	for i := range runs {
		if runs[i].BrokenOff != "" {
			continue
		}
		for k := range runs[i].Crashes {
			for _, t := range of(&runs[i].Crashes[k]) {
				values = append(values, float64(t))
			}
		}
	}
	return values
}

func everyTime(c *oracle.Crash) []oracle.Number {
	times := slices.Clone(c.Times)
	for range c.Undetected {
		times = append(times, oracle.Number(math.Inf(1)))
	}
	return times
}

// one returns a crash's time when anybody could have noticed it.
func one(of func(*oracle.Crash) oracle.Number) func(*oracle.Crash) []oracle.Number {
	return func(c *oracle.Crash) []oracle.Number {
		if len(c.Times)+c.Undetected == 0 {
			return nil
		}
		return []oracle.Number{of(c)}
	}
}

// detectionChart shows how long crashes took to be noticed. ok is false when
// there were none.
func detectionChart(runs []oracle.RunResult, sum *oracle.Summary) (c chart, ok bool) {
	c = chart{
		Title: "Share of verdicts by the time since the crash",
		X:     axis{Label: "seconds since the crash", Toggle: true}, Y: axis{Label: "share", Percent: true},
	}
	for _, s := range []series{
		distribution("every observer", crashTimes(runs, everyTime)),
		distribution("first observer of a crash", crashTimes(runs, one(func(c *oracle.Crash) oracle.Number { return c.First }))),
		distribution("last observer of a crash", crashTimes(runs, one(func(c *oracle.Crash) oracle.Number { return c.Full }))),
	} {
		if len(s.Points) > 0 {
			c.Lines = append(c.Lines, s)
		}
	}
	t, _ := timeOf(sum, "detection")
	for _, m := range []struct {
		name  string
		value oracle.Number
	}{{"p50", t.P50.Value}, {"p99", t.P99.Value}} {
		if t.Values > 0 && !m.value.Never() {
			c.Marks = append(c.Marks, mark{float64(m.value), m.name + " " + figure(m.value) + " s"})
		}
	}
	return c, len(c.Lines) > 0
}

// agreementChart shows how long views took to become right.
func agreementChart(runs []oracle.RunResult) chart {
	var joined, first, settled []float64
	for i := range runs {
		if r := &runs[i]; r.BrokenOff == "" {
			joined = append(joined, float64(r.Joined))
			first = append(first, float64(r.Convergence.First))
			settled = append(settled, float64(r.Convergence.Settled))
		}
	}
	return chart{
		Title: "Share of runs by the time until all views are right",
		X:     axis{Label: "seconds", Toggle: true}, Y: axis{Label: "share of runs", Percent: true},
		Lines: []series{
			distribution("joined, from the first start", joined),
			distribution("views right, from the last action", first),
			distribution("right for good, from the last action", settled),
		},
	}
}
