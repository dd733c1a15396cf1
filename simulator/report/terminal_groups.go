package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// TerminalComparison writes what differs between the arms, and whether the
// differences are real.
func TerminalComparison(w io.Writer, c *result.Comparison, opts Options) error {
	s := &sheet{color: opts.Color}
	if len(c.Arms) == 0 {
		s.line("There is nothing to compare.")
		return s.flush(w)
	}
	s.identityOf(c.Arms[0].Result, aboutArms(c.Arms))
	b := comparisonBanner(c)
	s.line("\n", s.paint(bannerStyle(b.Kind).Bold(true), strings.ToUpper(b.Word)+": "+b.Text))
	s.heading("Arms")
	s.arms(c.Arms)
	for i, against := range c.Against {
		if i+1 >= len(c.Arms) {
			break
		}
		s.against(c.Arms[0].Label, c.Arms[i+1].Label, &against)
		if i < len(c.FinalViews) {
			text, differences, style := finalViews(&c.FinalViews[i])
			s.line("  ", s.paint(*style, text))
			for _, d := range differences {
				s.words(4, &styleDim, d)
			}
		}
	}
	return s.flush(w)
}

// enginesOf names the engines of the arms, each once.
func enginesOf(arms []result.Arm) []string {
	var engines []string
	for _, arm := range arms {
		if !slices.Contains(engines, arm.Result.Engine) {
			engines = append(engines, arm.Result.Engine)
		}
	}
	return engines
}

// virtualEngine is the engine whose time is not real.
const virtualEngine = "virtual"

// secondsOf says what kind of seconds an engine's times are given in.
func secondsOf(engine string) string {
	if engine == virtualEngine {
		return "virtual seconds"
	}
	return "wall seconds"
}

// againNote says how much another run is alike.
func againNote(engine string) string {
	if engine == virtualEngine {
		return "Runs in virtual time are alike, not equal."
	}
	return "The faults are the same with the same seeds; real processes and a real clock make each run another."
}

// armSeconds is secondsOf for arms that different engines may have played.
func armSeconds(arms []result.Arm) string {
	engines := enginesOf(arms)
	if len(engines) == 1 {
		return secondsOf(engines[0])
	}
	for i, e := range engines {
		engines[i] = secondsOf(e) + " on the engine " + e
	}
	return strings.Join(engines, " and ")
}

// finalViews says whether the runs ended with the same views.
func finalViews(f *oracle.FinalViews) (text string, differences []string, style *lipgloss.Style) {
	switch {
	case f.Compared == 0:
		return "Final views: not compared", nil, &styleWarn
	case f.Equal == f.Compared:
		return fmt.Sprintf("Final views: equal in all %s: every node holds the same others failed", many(f.Compared, "seed")), nil, &styleGood
	}
	return fmt.Sprintf("Final views: equal in %d of %s", f.Equal, many(f.Compared, "seed")), f.Differences, &styleBad
}

// arms shows what the runs of each arm came to.
func (s *sheet) arms(arms []result.Arm) {
	header := []string{"", "<"}
	for _, k := range keyFigures {
		header = append(header, k.title)
	}
	t := newTable(header...)
	for i := range arms {
		r := arms[i].Result
		row := []string{arms[i].Label, armVerdict(r)}
		for _, k := range keyFigures {
			row = append(row, k.text(&r.Summary))
		}
		t.add(row...)
		_, style := standing(r)
		t.last()[1].style = style
	}
	t.write(s)
	s.words(2, &styleDim, keyFigureNote)
	for i := range arms {
		s.brokenRuns(arms[i].Label+", broken off: ", arms[i].Result)
	}
}

func armVerdict(r *result.Result) string {
	text, _ := standing(r)
	word, _, _ := strings.Cut(text, ":")
	return strings.ToLower(word)
}

// keyFigure is one column of the tables that put results beside each other.
type keyFigure struct {
	title, long, unit string
	// value is false when the runs have none.
	value func(*oracle.Summary) (e oracle.Estimate, ok bool)
}

func (k keyFigure) text(s *oracle.Summary) string {
	e, ok := k.value(s)
	if !ok {
		return "-"
	}
	return figure(e.Value)
}

const keyFigureNote = "det: seconds from a crash to every observer's verdict; false: false alarms a run; right: seconds until all views are right (median); UDP, TCP: bytes a node sends a second"

var keyFigures = []keyFigure{
	{"det p50", "Detection, median", "seconds", timeFigure("detection", func(t *oracle.TimeSummary) oracle.Estimate { return t.P50 })},
	{"det p99", "Detection, 99th percentile", "seconds", timeFigure("detection", func(t *oracle.TimeSummary) oracle.Estimate { return t.P99 })},
	{"false", "False alarms a run", "a run", countFigure("false_alarms")},
	{"suspicions", "Suspicions a run", "a run", countFigure("suspicions")},
	{"right", "Until all views are right, median", "seconds", timeFigure("settled", func(t *oracle.TimeSummary) oracle.Estimate { return t.P50 })},
	{"UDP B/s", "Sent by a node, UDP", "bytes a second", levelFigure("udp_bytes_out")},
	{"TCP B/s", "Sent by a node, TCP", "bytes a second", levelFigure("tcp_bytes_out")},
}

func timeFigure(name string, of func(*oracle.TimeSummary) oracle.Estimate) func(*oracle.Summary) (oracle.Estimate, bool) {
	return func(s *oracle.Summary) (oracle.Estimate, bool) {
		t, ok := timeOf(s, name)
		return of(&t), ok && t.Values > 0
	}
}

func countFigure(name string) func(*oracle.Summary) (oracle.Estimate, bool) {
	return func(s *oracle.Summary) (oracle.Estimate, bool) {
		c, ok := countOf(s, name)
		return c.PerRun, ok && s.Runs > s.BrokenOff
	}
}

func levelFigure(name string) func(*oracle.Summary) (oracle.Estimate, bool) {
	return func(s *oracle.Summary) (oracle.Estimate, bool) {
		l, ok := levelOf(s, name)
		return l.Median, ok
	}
}

// against shows how two arms differ, what is real first.
func (s *sheet) against(a, b string, c *oracle.Comparison) {
	s.heading(fmt.Sprintf("%s against %s", clean(b), clean(a)))
	s.words(2, &styleDim, againstNote(c))
	if text := fewNote(c); text != "" {
		s.words(2, &styleWarn, text)
	}
	t := newTable("", "<", a, b, "change", "95 %", "p")
	var same []string
	for _, row := range ranked(c.Rows) {
		verdict := "may be chance"
		switch {
		case row.Test == "none":
			same = append(same, fullName(row.Name)+" ("+figure(row.A)+")")
			continue
		case row.Real:
			verdict = "real"
		}
		t.add(fullName(row.Name), verdict, figure(row.A), figure(row.B), signed(row.Change), changeInterval(row.Interval), pValue(&row))
		if row.Real {
			t.last()[1].style = &styleGood
		} else {
			t.last()[1].style = &styleDim
		}
	}
	t.write(s)
	if len(same) > 0 {
		s.words(2, &styleDim, "No difference at all: "+strings.Join(same, ", "))
	}
}

// ranked puts the real differences first and those that are none last.
func ranked(rows []oracle.Row) []oracle.Row {
	rank := func(r oracle.Row) int {
		switch {
		case r.Real:
			return 0
		case r.Test != "none":
			return 1
		}
		return 2
	}
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(x, y oracle.Row) int { return rank(x) - rank(y) })
	return rows
}

func signed(n oracle.Number) string {
	if n > 0 && !n.Never() {
		return "+" + figure(n)
	}
	return figure(n)
}

func changeInterval(i *oracle.ChangeInterval) string {
	switch {
	case i == nil:
		return ""
	case i.Low == nil && i.High == nil:
		return "-"
	}
	end := func(v *float64) string {
		if v == nil {
			return unbounded
		}
		return figure(oracle.Number(*v))
	}
	return "[" + end(i.Low) + ", " + end(i.High) + "]"
}

func pValue(r *oracle.Row) string {
	switch {
	case r.Test == "none":
		return ""
	case r.PAdjusted < 0.0001:
		return "< 0.0001"
	}
	return strconv.FormatFloat(r.PAdjusted, 'g', 2, 64)
}

// TerminalSweep writes one line for each point of a sweep.
func TerminalSweep(w io.Writer, sw *result.Sweep, opts Options) error {
	s := &sheet{color: opts.Color}
	if len(sw.Points) == 0 {
		s.line("The sweep has no points.")
		return s.flush(w)
	}
	r := sw.Points[0].Result
	s.line(s.paint(styleTitle, clean(r.Scenario.Name)))
	s.words(2, &styleDim, sweepText(sw))
	s.line()
	s.arms(sw.Points)
	return s.flush(w)
}

// sweepText says what was varied.
func sweepText(s *result.Sweep) string {
	var varied []string
	for _, p := range s.Parameters {
		varied = append(varied, p.Key+" over "+strings.Join(p.Values, ", "))
	}
	first := s.Points[0].Result
	return fmt.Sprintf("%s engine; %s; %s a point", first.Engine, strings.Join(varied, "; "), many(len(first.Runs), "run"))
}

// TerminalLoadCurve writes what a node of an idle cluster costs, by the size of
// the cluster, beside the baselines.
func TerminalLoadCurve(w io.Writer, c *result.LoadCurve, opts Options) error {
	s := &sheet{color: opts.Color}
	s.line(s.paint(styleTitle, "Load of a node in an idle cluster, by its size"))
	s.words(2, &styleDim, accuracyText(c))
	s.heading("Sent by a node, a second")
	t := newTable("nodes", "runs", "UDP packets", "UDP bytes", "TCP packets", "TCP bytes", "peak B/s p99", "CPU s")
	for _, p := range c.Points {
		t.add(strconv.Itoa(p.Nodes), strconv.Itoa(p.Seeds), figure(p.UDP.PacketsOut), figure(p.UDP.BytesOut),
			figure(p.TCP.PacketsOut), figure(p.TCP.BytesOut), figure(p.PeakOut.P99), figure(p.CPU))
	}
	t.write(s)
	s.heading("Messages of a node, a second")
	t = newTable("nodes", "measured", "all-to-all", "central", "central, busiest", "lower bound L*/N")
	for _, p := range c.Points {
		t.add(strconv.Itoa(p.Nodes), figure(p.MessagesPerNode), figure(p.AllToAll), figure(p.CentralPerNode), figure(p.CentralBusiest), figure(p.OptimalPerNode))
	}
	t.write(s)
	return s.flush(w)
}

// accuracyText says what the baselines achieve.
func accuracyText(c *result.LoadCurve) string {
	return fmt.Sprintf("The baselines are what heartbeats cost that detect a crash within %s, with %s of messages lost and a chance of %.2g of a mistake.",
		c.DetectionTime, percent(oracle.Number(c.Loss)), c.Mistake)
}
