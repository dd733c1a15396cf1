package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
	"heartbeat/simulator/scenario"
)

// Options say how a terminal report looks.
type Options struct {
	// Color allows escape sequences for colours.
	Color bool
	// Explain returns the command that shows the story of a node in a seed's
	// run. Nil when no trace was kept.
	Explain func(seed uint64, node string) string
}

// Terminal writes a summary of a result for people, at most 100 cells wide
// unless a single word is longer.
func Terminal(w io.Writer, r *result.Result, opts Options) error {
	s := &sheet{color: opts.Color}
	s.identity(r)
	s.verdict(r)
	s.checks(r)
	if r.Summary.Runs > r.Summary.BrokenOff {
		s.detection(r)
		s.classes(r)
		s.events(&r.Summary)
		s.agreement(&r.Summary)
		s.load(&r.Summary)
		s.growth(r)
		s.alarms(r, opts)
	}
	s.brokenOff(r)
	s.legend()
	if r.Command != "" {
		s.heading("Again")
		s.line("  ", clean(r.Command))
	}
	return s.flush(w)
}

// flush writes what was collected.
func (s *sheet) flush(w io.Writer) error {
	if _, err := io.WriteString(w, s.String()); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// identity says what was run.
func (s *sheet) identity(r *result.Result) { s.identityOf(r, about(r)) }

func (s *sheet) identityOf(r *result.Result, about []string) {
	s.line(s.paint(styleTitle, clean(r.Scenario.Name)))
	if r.Scenario.Description != "" {
		s.words(2, nil, r.Scenario.Description)
	}
	for _, text := range about {
		s.words(2, &styleDim, text)
	}
}

// about says, in a few lines, what was run where.
func about(r *result.Result) []string {
	lines := []string{r.Engine + " engine, " + nodesText(r) + "; " + runsText(r)}
	for _, text := range []string{changedText(r), overridesText(r), machineText(r) + ": " + tookText(r), clockText(r), pauseText(r)} {
		if text != "" {
			lines = append(lines, text)
		}
	}
	return lines
}

// nodesText says which nodes there were.
func nodesText(r *result.Result) string {
	nodes := many(r.Scenario.Nodes, "node")
	if r.Scenario.Profile != "" {
		nodes += ", " + r.Scenario.Profile + " profile"
	}
	if r.Scenario.Detector != "" {
		nodes += ", detector " + r.Scenario.Detector
	}
	return nodes
}

// runsText says how often and how long they ran.
func runsText(r *result.Result) string {
	return fmt.Sprintf("%s of %s, seeds %s", many(len(r.Runs), "run"), r.Scenario.End, r.Seeds)
}

// overridesText names the overrides; empty without any.
func overridesText(r *result.Result) string {
	if len(r.Scenario.Set) == 0 {
		return ""
	}
	return "overrides: " + strings.Join(r.Scenario.Set, ", ")
}

// clockText says how exact times are that were taken from real clocks; empty
// for virtual time.
func clockText(r *result.Result) string {
	var worst oracle.Clock
	real := false
	for i := range r.Runs {
		if c := r.Runs[i].Clock; c != nil {
			real = true
			worst.Skew, worst.Step, worst.Lag = max(worst.Skew, c.Skew), larger(worst.Step, c.Step), max(worst.Lag, c.Lag)
		}
	}
	if !real {
		return ""
	}
	return fmt.Sprintf("times are wall seconds of one host's clock; largest of all runs: skew between nodes %s, step of the clock %s, an action late by %s",
		milliseconds(worst.Skew), milliseconds(worst.Step), milliseconds(worst.Lag))
}

// pauseText says in what a pause of a real process differs from what the
// scenario's words say; empty for virtual time, and without a pause.
func pauseText(r *result.Result) string {
	paused := slices.ContainsFunc(r.Scenario.Bands, func(b oracle.Band) bool { return b.Kind == string(scenario.PauseFault) })
	if r.Engine == virtualEngine || !paused {
		return ""
	}
	return "a pause stops the process: its timers stop as well"
}

func larger(a, b oracle.Number) oracle.Number {
	if math.Abs(float64(b)) > math.Abs(float64(a)) {
		return b
	}
	return a
}

func milliseconds(n oracle.Number) string { return fmt.Sprintf("%.1f ms", 1000*float64(n)) }

// machineText says where it was run.
func machineText(r *result.Result) string {
	m := &r.Machine
	machine := fmt.Sprintf("%s/%s, %s, %s", m.OS, m.Arch, many(m.CPUs, "CPU"), m.Go)
	if m.Version != "" {
		machine += ", heartbeat " + m.Version
	}
	return machine
}

// tookText says how long it took.
func tookText(r *result.Result) string {
	text := lasted(r.Wall)
	if r.CPU > 0 { // not every engine can tell
		text += ", " + lasted(r.CPU) + " of processor time"
	}
	return text
}

// changedText names the settings that are not the profile's; empty without any.
func changedText(r *result.Result) string {
	if len(r.Scenario.Changed) == 0 {
		return ""
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(r.Scenario.Changed)) {
		parts = append(parts, key+" = "+r.Scenario.Changed[key])
	}
	return "on top of the profile: " + strings.Join(parts, ", ")
}

// lasted writes a duration of real time.
func lasted(n oracle.Number) string {
	if n < 60 {
		return figure(n) + " s"
	}
	return time.Duration(float64(n) * float64(time.Second)).Round(time.Second).String()
}

// standing is the verdict on a result as a whole.
func standing(r *result.Result) (text string, style *lipgloss.Style) {
	held := 0
	for _, c := range r.Checks {
		if c.Holds {
			held++
		}
	}
	counted := fmt.Sprintf("%d of %s", held, many(len(r.Checks), "expectation"))
	switch {
	case r.Partial:
		return fmt.Sprintf("PARTIAL: interrupted after %s of the seeds %s", many(len(r.Runs), "run"), r.Seeds), &styleWarn
	case !r.Holds():
		if r.Summary.BrokenOff > 0 {
			return fmt.Sprintf("DOES NOT HOLD: %s broken off", many(r.Summary.BrokenOff, "run")), &styleBad
		}
		return "DOES NOT HOLD: " + counted + " kept", &styleBad
	case len(r.Checks) == 0:
		return "DONE: the scenario expects nothing", &styleGood
	}
	return "HOLDS: " + counted + " kept", &styleGood
}

func (s *sheet) verdict(r *result.Result) {
	text, style := standing(r)
	s.line("\n", s.paint(style.Bold(true), clean(text)))
}

func (s *sheet) checks(r *result.Result) {
	for _, c := range checksOf(r) {
		mark, style := "✓", styleGood
		switch {
		case c.Untested:
			mark, style = "·", styleDim
		case !c.Holds:
			mark, style = "✗", styleBad
		}
		var lines sheet
		lines.words(4, nil, c.Expected)
		s.line("  ", s.paint(style, mark), " ", strings.TrimSpace(lines.String()))
		text := c.Text
		if c.Seeds != "" {
			text += " (" + c.Seeds + ")"
		}
		s.words(4, &styleDim, text)
	}
}

// detection is about crashes.
func (s *sheet) detection(r *result.Result) {
	t := newTable("", "median", "95 %", "p99", "95 %", "slowest", "times", "never")
	for _, name := range []string{"first_detection", "detection", "full_detection", "spread"} {
		if d, ok := timeOf(&r.Summary, name); ok && d.Values > 0 {
			t.add(nestedName(name), figure(d.P50.Value), interval(d.P50), figure(d.P99.Value), interval(d.P99), figure(d.Max),
				count(d.Values), count(d.Never))
		}
	}
	if len(t.rows) > 0 {
		s.heading("Detection: seconds from a crash to the verdict")
		t.write(s)
	}
}

// classRow is one class of verdicts over all runs.
type classRow struct {
	Name string
	oracle.ByStanding
	False bool
}

// classRows adds the verdicts of all finished runs up.
func classRows(runs []oracle.RunResult) (rows []classRow, late int) {
	rows = []classRow{
		{Name: "true"}, {Name: "justified: no path"}, {Name: "false, about a frozen node", False: true}, {Name: "false, about a healthy node", False: true},
	}
	for i := range runs {
		v := &runs[i].Verdicts
		if runs[i].BrokenOff != "" {
			continue
		}
		late += v.Late
		for k, b := range []oracle.ByStanding{v.True, v.Justified, v.FalseFrozen, v.FalseHealthy} {
			rows[k].Healthy += b.Healthy
			rows[k].Frozen += b.Frozen
			rows[k].CutOff += b.CutOff
		}
	}
	return rows, late
}

func (s *sheet) classes(r *result.Result) {
	rows, late := classRows(r.Runs)
	s.heading("Verdicts, by class and by how the observer was")
	t := newTable("", "all", "healthy", "frozen", "cut off")
	for _, c := range rows {
		t.add(c.Name, count(c.Sum()), count(c.Healthy), count(c.Frozen), count(c.CutOff))
		if c.False && c.Sum() > 0 {
			t.last()[1].style = &styleBad
		}
	}
	t.write(s)
	if late > 0 {
		s.line("  ", s.paint(styleDim, fmt.Sprintf("%d of the true and justified came after their cause was over", late)))
	}
}

// eventNames are the counts shown, in order.
var eventNames = []string{
	"false_alarms", "false_alarms_about_healthy", "false_alarms_about_healthy_by_healthy", "false_alarms_about_frozen", "false_subjects",
	"justified", "undetected", "suspicions", "false_suspicions", "refutations", "view_changes", "list_changes",
}

func (s *sheet) events(sum *oracle.Summary) {
	s.heading("Events a run")
	t := newTable("", "mean", "95 %", "most", "in all")
	for _, name := range eventNames {
		if c, ok := countOf(sum, name); ok {
			t.add(nestedName(name), figure(c.PerRun.Value), interval(c.PerRun), count(c.Most), count(c.Total))
		}
	}
	t.write(s)
}

func (s *sheet) agreement(sum *oracle.Summary) {
	s.heading("Agreement: seconds, from the first start and from the last action")
	t := newTable("", "median", "95 %", "slowest", "never")
	for _, name := range []string{"joined", "converged", "settled"} {
		if a, ok := timeOf(sum, name); ok && a.Values > 0 {
			t.add(nestedName(name), figure(a.P50.Value), interval(a.P50), figure(a.Max), count(a.Never))
		}
	}
	t.write(s)
}

func (s *sheet) load(sum *oracle.Summary) {
	if len(sum.Levels) == 0 {
		return
	}
	s.heading("Load of a node")
	t := newTable("", "median", "95 %", "least", "most", "<")
	for _, l := range sum.Levels {
		t.add(nestedName(l.Name), figure(l.Median.Value), interval(l.Median), figure(l.Least), figure(l.Most), levelUnit(l.Unit))
	}
	t.write(s)
}

// alarms shows the runs with the most false alarms, and how they began.
func (s *sheet) alarms(r *result.Result, opts Options) {
	worst := worstRuns(r.Runs, 3)
	if len(worst) == 0 {
		return
	}
	s.heading("False alarms: the worst runs, and how they began")
	for _, run := range worst {
		s.line("  ", s.paint(styleBad, fmt.Sprintf("seed %d: %d", run.Seed, run.Verdicts.False())))
		for _, e := range run.Examples[:min(2, len(run.Examples))] {
			s.words(4, nil, exampleText(&e))
		}
		if opts.Explain != nil && len(run.Examples) > 0 {
			s.line("    ", s.paint(styleDim, clean(opts.Explain(run.Seed, run.Examples[0].Subject))))
		}
	}
}

func exampleText(e *oracle.Example) string {
	return fmt.Sprintf("at %s %s held %s failed, suspected since %s: %s", e.At, e.Observer, e.Subject, e.Suspected, e.Class)
}

// worstRuns are the runs with false alarms, those with the most first.
func worstRuns(runs []oracle.RunResult, most int) []*oracle.RunResult {
	var worst []*oracle.RunResult
	for i := range runs {
		if runs[i].Verdicts.False() > 0 {
			worst = append(worst, &runs[i])
		}
	}
	slices.SortStableFunc(worst, func(a, b *oracle.RunResult) int { return cmp.Compare(b.Verdicts.False(), a.Verdicts.False()) })
	return worst[:min(most, len(worst))]
}

func (s *sheet) brokenOff(r *result.Result) {
	if r.Summary.BrokenOff == 0 {
		return
	}
	s.heading("Broken off")
	s.brokenRuns("", r)
}

// brokenRuns lists the runs that were broken off, each line after the prefix.
func (s *sheet) brokenRuns(prefix string, r *result.Result) {
	shown := 0
	for _, run := range r.Runs {
		if run.BrokenOff == "" {
			continue
		}
		if shown++; shown > 5 {
			s.line(fmt.Sprintf("  and %d more", r.Summary.BrokenOff-5))
			break
		}
		s.words(2, nil, fmt.Sprintf("%sseed %d: %s", prefix, run.Seed, run.BrokenOff))
	}
}

// legend explains the sign for what is not bounded, when it occurs.
func (s *sheet) legend() {
	if strings.Contains(s.String(), ", "+unbounded+"]") {
		s.line("\n", s.paint(styleDim, "["+"a, "+unbounded+"]: there are too few runs to bound that side."))
	}
}
