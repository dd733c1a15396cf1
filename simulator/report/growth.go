package report

import (
	"fmt"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// growth is about the processes that ran through.
func (s *sheet) growth(r *result.Result) {
	rows := oracle.Growth(r.Runs)
	if len(rows) == 0 {
		return
	}
	s.heading(growthHeading(rows))
	t := newTable("", "first third", "last third", "<", "<process")
	for _, g := range rows {
		unit, scale := growthUnit(g)
		t.add(g.Name, figure(g.From/scale), figure(g.To/scale), unit, g.Node)
	}
	t.write(s)
}

// growthHeading says what a table of growth shows.
func growthHeading(rows []oracle.Grown) string {
	return fmt.Sprintf("What the process held that grew most, of %s that ran through: medians of calm moments", manyProcesses(rows[0].Processes))
}

func manyProcesses(n int) string {
	if n == 1 {
		return "1 process"
	}
	return count(n) + " processes"
}

// growthUnit is the unit of a measure, and how much of what is measured makes one.
func growthUnit(g oracle.Grown) (string, oracle.Number) {
	if g.Bytes {
		return "MB", 1e6
	}
	return "", 1
}

// growth adds the section about the processes that ran through.
func (p *page) growth(r *result.Result) {
	rows := oracle.Growth(r.Runs)
	if len(rows) == 0 {
		return
	}
	t := &grid{Caption: growthHeading(rows), Head: []string{"", "first third", "last third", "<", "<process"}}
	for _, g := range rows {
		unit, scale := growthUnit(g)
		t.Rows = append(t.Rows, row(g.Name, figure(g.From/scale), figure(g.To/scale), unit, g.Node))
	}
	p.Sections = append(p.Sections, section{ID: "processes", Title: "Processes", Parts: []part{{Table: t}}})
}
