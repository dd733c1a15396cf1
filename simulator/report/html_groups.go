package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// HTMLComparison writes a comparison as one self-contained page.
func HTMLComparison(w io.Writer, c *result.Comparison) error {
	p := &page{Title: "Comparison", Data: data{Charts: map[string]chart{}}}
	if len(c.Arms) > 0 {
		first := c.Arms[0].Result
		p.Title, p.Description, p.About = first.Scenario.Name+": a comparison", first.Scenario.Description, aboutArms(c.Arms)
		p.Seconds = armSeconds(c.Arms)
		p.Banner = comparisonBanner(c)
		for i := range min(len(c.Against), len(c.Arms)-1) {
			p.against(i, c.Arms[0].Label, c.Arms[i+1].Label, &c.Against[i])
			if i < len(c.FinalViews) {
				p.finalViews(&c.FinalViews[i])
			}
		}
		p.armDetection(c.Arms)
		p.armTable(c.Arms)
		p.Data.Heat = armHeat(c.Arms)
		p.heat("Who was held failed, and when: the means")
		p.setup("What was run: the first arm", first)
	}
	return p.write(w)
}

// against adds the differences between two arms.
func (p *page) against(number int, a, b string, c *oracle.Comparison) {
	t := &grid{
		Caption: againstNote(c),
		Head:    []string{"", "<", a, b, "change", "95 %", "p"},
	}
	var same []string
	for _, r := range ranked(c.Rows) {
		if r.Test == "none" {
			same = append(same, fullName(r.Name)+" ("+figure(r.A)+")")
			continue
		}
		line := row(fullName(r.Name), "may be chance", figure(r.A), figure(r.B), signed(r.Change), changeInterval(r.Interval), pValue(&r))
		line.Cells[1].Kind = "dim"
		if r.Real {
			line.Cells[1] = gridCell{Text: "real", Kind: "good"}
		}
		t.Rows = append(t.Rows, line)
	}
	var parts []part
	if text := fewNote(c); text != "" {
		parts = append(parts, part{Text: text})
	}
	parts = append(parts, part{Table: t})
	if len(same) > 0 {
		parts = append(parts, part{Text: "No difference at all: " + strings.Join(same, ", ") + "."})
	}
	p.Sections = append(p.Sections, section{ID: fmt.Sprintf("against-%d", number), Title: b + " against " + a, Parts: parts})
}

// finalViews adds to the section of two arms whether they ended with the same
// views.
func (p *page) finalViews(f *oracle.FinalViews) {
	text, differences, _ := finalViews(f)
	last := &p.Sections[len(p.Sections)-1]
	last.Parts = append(last.Parts, part{Text: text + "."})
	if len(differences) > 0 {
		last.Parts = append(last.Parts, part{Pre: strings.Join(differences, "\n")})
	}
}

// armDetection draws the arms' detection times into one chart.
func (p *page) armDetection(arms []result.Arm) {
	c := chart{
		Title: "Share of verdicts by the time since the crash, every observer",
		X:     axis{Label: "seconds since the crash", Toggle: true}, Y: axis{Label: "share", Percent: true},
	}
	for i := range arms {
		if s := distribution(arms[i].Label, crashTimes(arms[i].Result.Runs, everyTime)); len(s.Points) > 0 {
			c.Lines = append(c.Lines, s)
		}
	}
	if len(c.Lines) > 0 {
		p.Sections = append(p.Sections, section{ID: "detection", Title: "Detection", Parts: []part{p.chart("detection", c)}})
	}
}

// armTable puts the key figures of results beside each other.
func (p *page) armTable(arms []result.Arm) {
	t := &grid{Caption: keyFigureNote, Head: []string{"", "<"}}
	for _, k := range keyFigures {
		t.Head = append(t.Head, k.title)
	}
	for i := range arms {
		r := arms[i].Result
		line := row(arms[i].Label, armVerdict(r))
		line.Cells[1].Kind = resultBanner(r).Kind
		for _, k := range keyFigures {
			line.Cells = append(line.Cells, gridCell{Text: k.text(&r.Summary)})
		}
		t.Rows = append(t.Rows, line)
	}
	p.Sections = append(p.Sections, section{ID: "arms", Title: "Side by side", Parts: []part{{Table: t}}})
}

// armHeat are the means of the arms' heatmaps, as many as fit.
func armHeat(arms []result.Arm) *heatData {
	h := &heatData{}
	left := maxSteps
	for i := range arms {
		views := runViews(arms[i].Result.Runs)
		if len(views) == 0 {
			continue
		}
		mean := meanView(arms[i].Label, views)
		if left -= mean.size(); left < 0 && len(h.Views) > 0 {
			break
		}
		h.Views = append(h.Views, mean)
	}
	if len(h.Views) == 0 {
		return nil
	}
	return h
}

// HTMLSweep writes a sweep as one self-contained page.
func HTMLSweep(w io.Writer, s *result.Sweep) error {
	p := &page{Title: "Sweep", Data: data{Charts: map[string]chart{}}}
	if len(s.Points) > 0 && len(s.Parameters) > 0 {
		first := s.Points[0].Result
		var varied []string
		for _, v := range s.Parameters {
			varied = append(varied, v.Key)
		}
		p.Title, p.Description = first.Scenario.Name+" over "+strings.Join(varied, " and "), first.Scenario.Description
		p.About = []string{sweepText(s)}
		var parts []part
		for i, k := range keyFigures {
			if c, ok := sweepChart(s, k); ok {
				figure := p.chart(fmt.Sprintf("figure-%d", i), c)
				figure.Half = true
				parts = append(parts, figure)
			}
		}
		p.Sections = append(p.Sections, section{ID: "figures", Title: "Key figures", Parts: parts})
		p.armTable(s.Points)
		p.Data.Heat = armHeat(s.Points)
		p.heat("Who was held failed, and when: the mean of each point")
		p.setup("What was run: the first point", first)
	}
	return p.write(w)
}

// sweepChart draws a key figure over the last parameter, with a line for each
// combination of the others. Whiskers are 95 % intervals.
func sweepChart(s *result.Sweep, k keyFigure) (c chart, ok bool) {
	last := s.Parameters[len(s.Parameters)-1]
	width := len(last.Values)
	c = chart{Title: k.long, X: axis{Label: last.Key, Categories: last.Values}, Y: axis{Label: k.unit}}
	for chunk := range slices.Chunk(s.Points, max(1, width)) {
		line := series{Name: otherValues(s.Parameters, &chunk[0]), Points: []point{}}
		for x := range chunk {
			e, has := k.value(&chunk[x].Result.Summary)
			if has {
				p := point{oracle.Number(x), e.Value}
				if e.Low > 0 || !e.High.Never() {
					p = append(p, e.Low, e.High)
				}
				line.Points = append(line.Points, p)
			}
		}
		if len(line.Points) > 0 {
			c.Lines = append(c.Lines, line)
		}
	}
	return c, len(c.Lines) > 0
}

// otherValues names a line by all parameters but the last.
func otherValues(parameters []result.Parameter, p *result.Arm) string {
	if len(parameters) == 1 {
		return parameters[0].Key
	}
	var parts []string
	for _, kv := range p.Set {
		if key, _, _ := strings.Cut(kv, "="); slices.ContainsFunc(parameters[:len(parameters)-1], func(q result.Parameter) bool { return q.Key == key }) {
			parts = append(parts, kv)
		}
	}
	return strings.Join(parts, ", ")
}

// HTMLLoadCurve writes a load curve as one self-contained page.
func HTMLLoadCurve(w io.Writer, c *result.LoadCurve) error {
	p := &page{
		Title: "Load of a node in an idle cluster, by its size", About: []string{accuracyText(c)}, Data: data{Charts: map[string]chart{}},
		Description: "What a node sends a second while nothing happens, beside what heartbeats would cost that achieve the same.",
	}
	messages, bytes := loadCharts(c)
	t := &grid{
		Caption: "Per node and second", Head: []string{"nodes", "runs", "messages", "all-to-all", "central", "central, busiest", "lower bound L*/N", "UDP packets", "UDP bytes", "TCP packets", "TCP bytes", "peak B/s (p99)", "CPU s"},
	}
	for _, q := range c.Points {
		t.Rows = append(t.Rows, row(count(q.Nodes), count(q.Seeds), figure(q.MessagesPerNode), figure(q.AllToAll), figure(q.CentralPerNode), figure(q.CentralBusiest), figure(q.OptimalPerNode),
			figure(q.UDP.PacketsOut), figure(q.UDP.BytesOut), figure(q.TCP.PacketsOut), figure(q.TCP.BytesOut), figure(q.PeakOut.P99), figure(q.CPU)))
	}
	p.Sections = []section{
		{ID: "messages", Title: "Messages", Parts: []part{p.chart("messages", messages)}},
		{ID: "bytes", Title: "Bytes", Parts: []part{p.chart("bytes", bytes), {Text: "The baselines' messages are counted with the size of a mean UDP packet measured at the same number of nodes. What is 0 has no place on a logarithmic scale."}}},
		{ID: "table", Title: "All figures", Parts: []part{{Table: t}}},
	}
	return p.write(w)
}

// loadCharts draws messages and bytes over the size of the cluster.
func loadCharts(c *result.LoadCurve) (messages, bytes chart) {
	line := func(name string, reference bool, value func(*result.LoadPoint) oracle.Number) series {
		s := series{Name: name, Reference: reference, Points: []point{}}
		for i := range c.Points {
			s.Points = append(s.Points, point{oracle.Number(c.Points[i].Nodes), value(&c.Points[i])})
		}
		return s
	}
	size := func(q *result.LoadPoint) oracle.Number {
		if q.UDP.PacketsOut == 0 {
			return 0
		}
		return q.UDP.BytesOut / q.UDP.PacketsOut
	}
	nodes := axis{Label: "nodes", Log: true}
	if len(c.Points) <= 12 {
		for i := range c.Points {
			nodes.Ticks = append(nodes.Ticks, float64(c.Points[i].Nodes))
		}
	}
	messages = chart{Title: "Messages that a node sends a second", X: nodes, Y: axis{Label: "messages a second", Log: true, Toggle: true}, Lines: []series{
		line("UDP and TCP, measured", false, func(q *result.LoadPoint) oracle.Number { return q.MessagesPerNode }),
		line("UDP packets, measured", false, func(q *result.LoadPoint) oracle.Number { return q.UDP.PacketsOut }),
		line("TCP packets, measured", false, func(q *result.LoadPoint) oracle.Number { return q.TCP.PacketsOut }),
		line("all-to-all heartbeats", true, func(q *result.LoadPoint) oracle.Number { return q.AllToAll }),
		line("central heartbeats, the busiest node", true, func(q *result.LoadPoint) oracle.Number { return q.CentralBusiest }),
		line("central heartbeats, mean", true, func(q *result.LoadPoint) oracle.Number { return q.CentralPerNode }),
		line("lower bound L*/N", true, func(q *result.LoadPoint) oracle.Number { return q.OptimalPerNode }),
	}}
	bytes = chart{Title: "Bytes that a node sends a second", X: nodes, Y: axis{Label: "bytes a second", Log: true, Toggle: true}, Lines: []series{
		line("UDP, measured", false, func(q *result.LoadPoint) oracle.Number { return q.UDP.BytesOut }),
		line("TCP, measured", false, func(q *result.LoadPoint) oracle.Number { return q.TCP.BytesOut }),
		line("peak second of a node (p99), measured", false, func(q *result.LoadPoint) oracle.Number { return q.PeakOut.P99 }),
		line("all-to-all heartbeats", true, func(q *result.LoadPoint) oracle.Number { return q.AllToAll * size(q) }),
		line("central heartbeats, the busiest node", true, func(q *result.LoadPoint) oracle.Number { return q.CentralBusiest * size(q) }),
		line("lower bound L*/N", true, func(q *result.LoadPoint) oracle.Number { return q.OptimalPerNode * size(q) }),
	}}
	return messages, bytes
}
