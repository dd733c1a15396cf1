package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// maxRows bounds tables that have a row for each run.
const maxRows = 500

// HTML writes a result as one self-contained page: it loads nothing, and its
// security policy forbids it to.
func HTML(w io.Writer, r *result.Result) error {
	p := &page{
		Title: r.Scenario.Name, Description: r.Scenario.Description, Banner: resultBanner(r), About: about(r), Command: r.Command, AgainNote: againNote(r.Engine), Seconds: secondsOf(r.Engine),
		Data: data{Heat: heatOf(r.Runs), Charts: map[string]chart{}},
	}
	if len(r.Checks) > 0 {
		p.Sections = append(p.Sections, section{ID: "expectations", Title: "Expectations", Parts: []part{{Checks: checksOf(r)}}})
	}
	if r.Summary.Runs > r.Summary.BrokenOff {
		p.Cards = resultCards(r)
		p.heat("Who was held failed, and when")
		p.detection(r)
		p.verdicts(r)
		p.agreement(r)
		p.load(&r.Summary)
		p.growth(r)
	}
	p.runs(r)
	p.setup("What was run", r)
	return p.write(w)
}

func resultBanner(r *result.Result) *banner {
	text, _ := standing(r)
	word, rest, _ := strings.Cut(text, ": ")
	b := &banner{Kind: "good", Word: strings.ToLower(word), Text: rest}
	switch {
	case r.Partial:
		b.Kind = "warn"
	case !r.Holds():
		b.Kind = "bad"
	}
	return b
}

// untested says that nothing was there to hold expectations against.
func untested(r *result.Result) bool { return r.Partial && len(r.Runs) == 0 }

func checksOf(r *result.Result) []check {
	var list []check
	for _, c := range r.Checks {
		k := check{Holds: c.Holds, Expected: c.Expected, Text: c.Text, Untested: untested(r)}
		if k.Untested {
			k.Text = "Not tested: no run was finished."
		} else if len(c.Seeds) > 1 || len(r.Runs) > 1 && len(c.Seeds) > 0 {
			k.Seeds = seedList(c.Seeds)
		}
		list = append(list, k)
	}
	return list
}

// resultCards are the key figures.
func resultCards(r *result.Result) []card {
	var cards []card
	s := &r.Summary
	if c, ok := countOf(s, "false_alarms"); ok {
		kind := "good"
		if c.Total > 0 {
			kind = "bad"
		}
		cards = append(cards, card{Label: "False alarms", Value: figure(c.PerRun.Value), Unit: "a run", Note: fmt.Sprintf("95 %%: %s, at most %s", interval(c.PerRun), count(c.Most)), Kind: kind})
	}
	if d, ok := timeOf(s, "detection"); ok && d.Values > 0 {
		cards = append(cards, timeCard("Detection, median", d.P50), timeCard("Detection, p99", d.P99))
		if d.Never > 0 {
			cards[len(cards)-1].Note, cards[len(cards)-1].Kind = fmt.Sprintf("%s of %s never came", count(d.Never), count(d.Values)), "bad"
		}
	}
	if d, ok := timeOf(s, "settled"); ok && d.Values > 0 {
		c := timeCard("Views right after", d.P50)
		if d.Never > 0 {
			c.Note, c.Kind = fmt.Sprintf("never in %d of %s", d.Never, many(d.Values, "run")), "bad"
		}
		cards = append(cards, c)
	}
	if c, ok := countOf(s, "suspicions"); ok {
		cards = append(cards, card{Label: "Suspicions", Value: figure(c.PerRun.Value), Unit: "a run", Note: "95 %: " + interval(c.PerRun)})
	}
	for _, l := range []struct{ label, name string }{{"UDP per node", "udp_bytes_out"}, {"TCP per node", "tcp_bytes_out"}} {
		if v, ok := levelOf(s, l.name); ok {
			cards = append(cards, card{Label: l.label, Value: figure(v.Median.Value), Unit: "B/s", Note: fmt.Sprintf("%s to %s", figure(v.Least), figure(v.Most))})
		}
	}
	return cards
}

func timeCard(label string, e oracle.Estimate) card {
	c := card{Label: label, Value: figure(e.Value), Unit: "s", Note: "95 %: " + interval(e)}
	if e.Value.Never() {
		c.Unit = ""
	}
	return c
}

// heat adds the heatmap, when there is one.
func (p *page) heat(title string) {
	if p.Data.Heat == nil {
		return
	}
	parts := []part{{Text: "The colour is the share of the other running nodes that hold a node failed. Faults are above; lines at the foot of a row are the node's own."}, {Heat: true}}
	if n := p.Data.Heat.LeftOut; n > 0 {
		parts = append(parts, part{Text: fmt.Sprintf("To keep this page small, %s with the fewest false alarms can only be seen in the mean.", many(n, "run"))})
	}
	p.Sections = append(p.Sections, section{ID: "heat", Title: title, Parts: parts})
}

// chart adds a chart to the data and returns its part.
func (p *page) chart(name string, c chart) part {
	p.Data.Charts[name] = c
	return part{Chart: name}
}

func (p *page) detection(r *result.Result) {
	s := section{ID: "detection", Title: "Detection"}
	c, ok := detectionChart(r.Runs, &r.Summary)
	if !ok {
		s.Parts = []part{{Text: "No crash was there to be noticed."}}
		p.Sections = append(p.Sections, s)
		return
	}
	t := &grid{Caption: "Seconds from a crash to the verdict", Head: []string{"", "median", "95 %", "p99", "95 %", "slowest", "times", "never"}}
	for _, name := range []string{"first_detection", "detection", "full_detection", "spread"} {
		if d, ok := timeOf(&r.Summary, name); ok && d.Values > 0 {
			t.Rows = append(t.Rows, metricRow(name, figure(d.P50.Value), interval(d.P50), figure(d.P99.Value), interval(d.P99), figure(d.Max), count(d.Values), count(d.Never)))
		}
	}
	s.Parts = []part{p.chart("detection", c), {Table: t}}
	p.Sections = append(p.Sections, s)
}

func (p *page) verdicts(r *result.Result) {
	rows, late := classRows(r.Runs)
	t := &grid{Caption: "Verdicts of all runs, by class and by how the observer was", Head: []string{"", "all", "healthy", "frozen", "cut off"}}
	for _, c := range rows {
		line := row(c.Name, count(c.Sum()), count(c.Healthy), count(c.Frozen), count(c.CutOff))
		if c.False && c.Sum() > 0 {
			line.Cells[1].Kind = "bad"
		}
		t.Rows = append(t.Rows, line)
	}
	events := &grid{Caption: "Events a run", Head: []string{"", "mean", "95 %", "most", "in all"}}
	for _, name := range eventNames {
		if c, ok := countOf(&r.Summary, name); ok {
			events.Rows = append(events.Rows, metricRow(name, figure(c.PerRun.Value), interval(c.PerRun), count(c.Most), count(c.Total)))
		}
	}
	parts := []part{{Table: t, Half: true}, {Table: events, Half: true}}
	if late > 0 {
		parts = append(parts, part{Text: fmt.Sprintf("%s of the true and justified verdicts came after their cause was over.", count(late))})
	}
	if worst := worstRuns(r.Runs, 10); len(worst) > 0 {
		parts = append(parts, part{Table: examples(worst)}, part{Text: "Where a trace was kept, heartbeat simulate explain tells the story of a node."})
	}
	p.Sections = append(p.Sections, section{ID: "verdicts", Title: "Verdicts", Parts: parts})
}

// examples shows how the false alarms of the worst runs began.
func examples(worst []*oracle.RunResult) *grid {
	t := &grid{Caption: "False alarms: the worst runs, and how they began", Head: []string{"run", "in all", "first at", "suspected since", "<observer", "<subject", "<class"}}
	for _, run := range worst {
		line := row("", count(run.Verdicts.False()))
		line.Cells[0] = seedCell(run.Seed)
		if len(run.Examples) > 0 {
			e := &run.Examples[0]
			line.Cells = append(line.Cells, row(e.At.String(), e.Suspected.String(), e.Observer, e.Subject, e.Class).Cells...)
		}
		t.Rows = append(t.Rows, line)
	}
	return t
}

// seedCell links to the heatmap of a seed.
func seedCell(seed uint64) gridCell {
	text := strconv.FormatUint(seed, 10)
	return gridCell{Text: "seed " + text, Seed: text}
}

func (p *page) agreement(r *result.Result) {
	t := &grid{Caption: "Seconds, from the first start and from the last action", Head: []string{"", "median", "95 %", "slowest", "never"}}
	for _, name := range []string{"joined", "converged", "settled"} {
		if a, ok := timeOf(&r.Summary, name); ok && a.Values > 0 {
			t.Rows = append(t.Rows, metricRow(name, figure(a.P50.Value), interval(a.P50), figure(a.Max), count(a.Never)))
		}
	}
	s := section{ID: "agreement", Title: "Agreement"}
	if r.Summary.Runs-r.Summary.BrokenOff > 2 {
		c := p.chart("agreement", agreementChart(r.Runs))
		c.Half = true
		s.Parts = append(s.Parts, c)
	}
	s.Parts = append(s.Parts, part{Table: t, Half: true})
	p.Sections = append(p.Sections, s)
}

func (p *page) load(sum *oracle.Summary) {
	if len(sum.Levels) == 0 {
		return
	}
	t := &grid{Caption: "Per node, over the runs", Head: []string{"", "median", "95 %", "least", "most", "<", "<least to most"}}
	largest := map[string]oracle.Number{}
	for _, l := range sum.Levels {
		if !l.Most.Never() {
			largest[l.Unit] = max(largest[l.Unit], l.Most)
		}
	}
	for _, l := range sum.Levels {
		line := metricRow(l.Name, figure(l.Median.Value), interval(l.Median), figure(l.Least), figure(l.Most), levelUnit(l.Unit), "")
		if top := largest[l.Unit]; top > 0 {
			scale := func(n oracle.Number) float64 { return min(100, float64(100*n/top)) }
			line.Cells[6].Bar = &bar{scale(l.Least), scale(l.Median.Value), scale(l.Most)}
		}
		t.Rows = append(t.Rows, line)
	}
	p.Sections = append(p.Sections, section{ID: "load", Title: "Load", Parts: []part{{Table: t}}})
}

func (p *page) runs(r *result.Result) {
	if len(r.Runs) == 0 {
		return
	}
	t := &grid{Caption: "Each run", Head: []string{"run", "joined", "false alarms", "justified", "suspicions", "refutations", "slowest detection", "views right after", "UDP B/s", "TCP B/s", "CPU s"}}
	for i := range r.Runs[:min(maxRows, len(r.Runs))] {
		run := &r.Runs[i]
		if run.BrokenOff != "" {
			line := row("", "broken off: "+run.BrokenOff)
			line.Cells[0], line.Cells[1].Kind = gridCell{Text: "seed " + strconv.FormatUint(run.Seed, 10)}, "bad"
			t.Rows = append(t.Rows, line)
			continue
		}
		slowest := "-"
		if times := crashTimes(r.Runs[i:i+1], everyTime); len(times) > 0 {
			slowest = figure(oracle.Number(slices.Max(times)))
		}
		cpu := "-"
		if run.CPU > 0 { // not every engine can tell
			cpu = figure(run.CPU)
		}
		line := row("", figure(run.Joined), count(run.Verdicts.False()), count(run.Verdicts.Justified.Sum()), count(run.Accusations.Sum()), count(run.Refutations),
			slowest, figure(run.Convergence.Settled), figure(run.Load.UDP.BytesOut), figure(run.Load.TCP.BytesOut), cpu)
		line.Cells[0] = seedCell(run.Seed)
		if run.Verdicts.False() > 0 {
			line.Cells[2].Kind = "bad"
		}
		t.Rows = append(t.Rows, line)
	}
	fold := many(len(r.Runs), "run")
	if more := len(r.Runs) - maxRows; more > 0 {
		fold += fmt.Sprintf(", of which %d are shown", maxRows)
	}
	p.Sections = append(p.Sections, section{ID: "runs", Title: "Runs", Parts: []part{{Table: t, Fold: fold}}})
}

// setup says what was run, and with which settings.
func (p *page) setup(title string, r *result.Result) {
	s := section{ID: "setup", Title: title}
	if r.Scenario.Words != "" {
		s.Parts = append(s.Parts, part{Pre: r.Scenario.Words})
	}
	if r.Scenario.Source != "" {
		s.Parts = append(s.Parts, part{Pre: r.Scenario.Source, Fold: "The scenario's file, before the overrides"})
	}
	if len(r.Settings) > 0 {
		t := &grid{Caption: "All settings of the nodes", Head: []string{"setting", "<value", "<"}}
		for _, key := range slices.Sorted(maps.Keys(r.Settings)) {
			line := row(key, r.Settings[key], "")
			if _, changed := r.Scenario.Changed[key]; changed {
				line.Cells[2].Text = "set here"
			}
			t.Rows = append(t.Rows, line)
		}
		s.Parts = append(s.Parts, part{Table: t, Fold: many(len(r.Settings), "setting")})
	}
	p.Sections = append(p.Sections, s)
}
