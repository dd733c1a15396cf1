package oracle

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"heartbeat/simulator/scenario"
	"heartbeat/simulator/stats"
)

// Outcome says whether one expectation holds.
type Outcome struct {
	// Expected is the expectation in words.
	Expected string `json:"expected"`
	Holds    bool   `json:"holds"`
	// Text says in a plain sentence what was measured.
	Text string `json:"text"`
	// Seeds are those of the runs that break the expectation. Empty when it holds or is about all runs together.
	Seeds []uint64 `json:"seeds,omitempty"`
}

// Evaluate holds the results of all runs of a scenario against its expectations, in their order. Counts and loads
// must hold in every run; percentiles are taken over all runs together. Without any run, or with one that was broken
// off, nothing holds.
func Evaluate(expect []scenario.Expectation, runs []RunResult) []Outcome {
	out := make([]Outcome, len(expect))
	for i := range expect {
		if reason, seeds := unusable(runs); reason != "" {
			out[i] = Outcome{Text: reason, Seeds: seeds}
		} else {
			out[i] = evaluate(&expect[i], runs)
		}
		out[i].Expected = expect[i].String()
	}
	return out
}

// unusable says why the runs allow no statement, if so.
func unusable(runs []RunResult) (reason string, seeds []uint64) {
	if len(runs) == 0 {
		return "There was no run.", nil
	}
	for i := range runs {
		if r := &runs[i]; r.BrokenOff != "" {
			if reason == "" {
				reason = fmt.Sprintf("The run with seed %d was broken off: %s.", r.Seed, r.BrokenOff)
			}
			seeds = append(seeds, r.Seed)
		}
	}
	return reason, seeds
}

func evaluate(e *scenario.Expectation, runs []RunResult) Outcome {
	switch {
	case e.FalseAlarms != nil:
		return inEvery(runs, "false alarm", 0, e.FalseAlarms.Max, func(r *RunResult) int { return falseAlarms(e.FalseAlarms, r) })
	case e.Justified != nil:
		most := math.MaxInt
		if e.Justified.Max != nil {
			most = *e.Justified.Max
		}
		return inEvery(runs, "justified verdict", e.Justified.Min, most, func(r *RunResult) int { return r.Verdicts.Justified.Sum() })
	case e.Detected != nil:
		return detected(e.Detected, runs)
	case e.Joined != nil:
		return within(runs, e.Joined.Within, "joining", func(r *RunResult) Number { return r.Joined })
	case e.Converged != nil:
		return within(runs, e.Converged.Within, "convergence", func(r *RunResult) Number { return r.Convergence.Settled })
	case e.StateAtEnd != nil:
		return stateAtEnd(e.StateAtEnd, runs)
	case e.ViewChanges != nil:
		return inEvery(runs, "state change", 0, e.ViewChanges.MaxPerNode, func(r *RunResult) int { return r.ViewChanges.MostByObserver })
	case e.Suspicions != nil:
		return inEvery(runs, "suspicion", 0, e.Suspicions.Max, func(r *RunResult) int { return r.Accusations.Sum() })
	case e.Refutations != nil:
		return inEvery(runs, "refutation", 0, e.Refutations.Max, func(r *RunResult) int { return r.Refutations })
	case e.Load != nil:
		return loadWithin(e.Load, runs)
	case e.Growth != nil:
		return grown(e.Growth, runs)
	case e.NoVerdicts:
		return inEvery(runs, "verdict", 0, 0, func(r *RunResult) int { return r.Verdicts.Sum() })
	}
	return Outcome{Text: "This expectation is empty."}
}

func falseAlarms(f *scenario.FalseAlarms, r *RunResult) int {
	count := 0
	for _, about := range []struct {
		health scenario.Health
		by     ByStanding
	}{{scenario.Healthy, r.Verdicts.FalseHealthy}, {scenario.Frozen, r.Verdicts.FalseFrozen}} {
		switch {
		case f.About != about.health && f.About != scenario.Any && f.About != "":
		case f.Observers == scenario.Healthy:
			count += about.by.Healthy
		case f.Observers == scenario.Frozen:
			count += about.by.Frozen
		default:
			count += about.by.Sum()
		}
	}
	return count
}

// inEvery holds when a count lies within bounds in every run. The text names the run that is farthest off, or
// else the one with the largest count.
func inEvery(runs []RunResult, thing string, least, most int, count func(*RunResult) int) Outcome {
	off := func(n int) int { return max(n-most, least-n) }
	var seeds []uint64
	largest, smallest, worst := math.MinInt, math.MaxInt, 0
	for i := range runs {
		n := count(&runs[i])
		largest, smallest = max(largest, n), min(smallest, n)
		if off(n) > 0 {
			seeds = append(seeds, runs[i].Seed)
		}
		if off(n) > off(count(&runs[worst])) {
			worst = i
		}
	}
	if len(seeds) > 0 {
		n := count(&runs[worst])
		text := fmt.Sprintf("%s in the run with seed %d", things(n, thing), runs[worst].Seed) + ofRuns(len(seeds), len(runs))
		return Outcome{Text: text + ".", Seeds: seeds}
	}
	text := things(largest, thing)
	switch {
	case len(runs) > 1 && smallest == largest:
		text += fmt.Sprintf(" in each of %d runs", len(runs))
	case len(runs) > 1:
		text = fmt.Sprintf("%d to %d %ss a run, over %d runs", smallest, largest, thing, len(runs))
	}
	return Outcome{Holds: true, Text: text + "."}
}

// ofRuns says in how many runs a bound is broken, when that is worth saying.
func ofRuns(broken, runs int) string {
	if runs < 2 || broken == 0 {
		return ""
	}
	return fmt.Sprintf("; %d of %d runs are out of bounds", broken, runs)
}

func things(n int, thing string) string {
	switch n {
	case 0:
		return "No " + thing
	case 1:
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// within holds when a time is within a bound in every run.
func within(runs []RunResult, bound time.Duration, what string, value func(*RunResult) Number) Outcome {
	var seeds []uint64
	worst := Number(-1)
	for i := range runs {
		v := value(&runs[i])
		worst = max(worst, v)
		if v > seconds(bound) {
			seeds = append(seeds, runs[i].Seed)
		}
	}
	text := fmt.Sprintf("The slowest %s took %s", what, worst)
	if worst.Never() {
		text = fmt.Sprintf("There was no %s before the end of the run", what)
	}
	if len(seeds) > 0 {
		text += fmt.Sprintf(" (allowed: %s)", seconds(bound)) + ofRuns(len(seeds), len(runs))
	}
	return Outcome{Holds: len(seeds) == 0, Text: text + ".", Seeds: seeds}
}

// String writes a number of seconds, to the millisecond.
func (n Number) String() string {
	if n.Never() {
		return "never"
	}
	return strconv.FormatFloat(math.Round(float64(n)*1000)/1000, 'f', -1, 64) + " s"
}

// named returns the names meant by targets that leave nothing to the seed; nil means all.
func named(t scenario.Targets) map[string]bool {
	if len(t.Spans) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, s := range t.Spans {
		for number := s.First; number <= s.Last; number++ {
			names[scenario.NodeName(number-1)] = true
		}
	}
	return names
}

func detected(d *scenario.Detected, runs []RunResult) Outcome {
	names := named(d.Nodes)
	var values []float64
	crashes := 0
	for i := range runs {
		for k := range runs[i].Crashes {
			c := &runs[i].Crashes[k]
			if names != nil && !names[c.Node] || !c.witnessed() {
				continue
			}
			crashes++
			switch d.By {
			case scenario.First:
				values = append(values, float64(c.First))
			case scenario.Majority:
				values = append(values, float64(c.Majority))
			default:
				values = append(values, c.values()...)
			}
		}
	}
	if crashes == 0 {
		return Outcome{Text: "There was no crash that anybody could have noticed."}
	}
	slices.Sort(values)
	return judgeTimes(d, values, crashes)
}

// judgeTimes compares percentiles with their bounds.
func judgeTimes(d *scenario.Detected, values []float64, crashes int) Outcome {
	holds := true
	var parts []string
	for _, b := range []struct {
		name  string
		p     float64
		bound time.Duration
	}{{"the median", 0.5, d.P50}, {"the 99th percentile", 0.99, d.P99}, {"the maximum", 1, d.Max}} {
		if b.bound == 0 {
			continue
		}
		v := Number(stats.Quantile(values, b.p))
		part := fmt.Sprintf("%s is %s", b.name, v)
		if v > seconds(b.bound) {
			holds = false
			part += fmt.Sprintf(" (allowed: %s)", seconds(b.bound))
		}
		parts = append(parts, part)
	}
	text := strings.Join(parts, "; ") + fmt.Sprintf("; of %s in %s", plural(len(values), "time"), plural(crashes, "crash"))
	if missing := len(values) - finite(values); missing > 0 {
		text += fmt.Sprintf(", %d never came", missing)
	}
	return Outcome{Holds: holds, Text: strings.ToUpper(text[:1]) + text[1:] + "."}
}

// finite counts the finite ones of sorted values.
func finite(sorted []float64) int {
	i, _ := slices.BinarySearchFunc(sorted, math.Inf(1), cmp.Compare[float64])
	return i
}

func plural(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "sh"), strings.HasSuffix(thing, "ss"):
		return fmt.Sprintf("%d %ses", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func stateAtEnd(e *scenario.StateAtEnd, runs []RunResult) Outcome {
	names := named(e.Nodes)
	var seeds []uint64
	var text string
	for i := range runs {
		if wrong := runs[i].notSeen(names, e.Is); wrong != "" {
			if text == "" {
				text = fmt.Sprintf("In the run with seed %d, %s", runs[i].Seed, wrong)
			}
			seeds = append(seeds, runs[i].Seed)
		}
	}
	if len(seeds) == 0 {
		return Outcome{Holds: true, Text: "So it was in every run."}
	}
	return Outcome{Text: text + ofRuns(len(seeds), len(runs)) + ".", Seeds: seeds}
}

// notSeen says which of the named nodes (nil: all) some running node did not see in the given state in the end.
func (r *RunResult) notSeen(names map[string]bool, is scenario.State) string {
	if r.RunningAtEnd == 0 {
		return "nobody ran in the end"
	}
	seen := map[string]*EndState{}
	for i := range r.EndStates {
		seen[r.EndStates[i].Node] = &r.EndStates[i]
	}
	for i := range r.Nodes {
		name := scenario.NodeName(i)
		s := seen[name]
		if names != nil && !names[name] || s == nil && is == scenario.StateAlive {
			continue
		}
		if s == nil {
			return fmt.Sprintf("everybody saw %s as alive", name)
		}
		all := s.Alive + s.Suspect + s.Failed + s.Left + s.Unlisted
		as := map[scenario.State]int{
			scenario.StateAlive: s.Alive, scenario.StateSuspect: s.Suspect, scenario.StateFailed: s.Failed, scenario.StateLeft: s.Left,
		}[is]
		if as != all {
			return fmt.Sprintf("%d of %s saw %s as %s", as, plural(all, "node"), name, is)
		}
	}
	return ""
}

func loadWithin(l *scenario.LoadBounds, runs []RunResult) Outcome {
	var seeds []uint64
	packets, bytes := Number(0), Number(0)
	for i := range runs {
		r := &runs[i].Load
		if r.Samples == 0 {
			return Outcome{Text: fmt.Sprintf("No load was measured in the run with seed %d.", runs[i].Seed), Seeds: []uint64{runs[i].Seed}}
		}
		var p, b Number
		if l.Only != scenario.TCP {
			p, b = p+r.UDP.PacketsOut, b+r.UDP.BytesOut
		}
		if l.Only != scenario.UDP {
			p, b = p+r.TCP.PacketsOut, b+r.TCP.BytesOut
		}
		packets, bytes = max(packets, p), max(bytes, b)
		if over(p, l.PacketsPerNodeSecond) || over(b, l.BytesPerNodeSecond) {
			seeds = append(seeds, runs[i].Seed)
		}
	}
	text := fmt.Sprintf("In the run with the most, a node sent %.4g packets and %.4g bytes a second", float64(packets), float64(bytes))
	text += ofRuns(len(seeds), len(runs))
	return Outcome{Holds: len(seeds) == 0, Text: text + ".", Seeds: seeds}
}

func over(n Number, limit *scenario.Limit) bool { return limit != nil && float64(n) > limit.Max }
