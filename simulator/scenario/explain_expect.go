package scenario

import (
	"fmt"
	"strings"
	"time"
)

func (s *Scenario) explainExpect(b *strings.Builder) {
	if len(s.Expect) == 0 {
		b.WriteString("\nNothing is expected: the run only measures.\n")
		return
	}
	b.WriteString("\nIt must hold, counts in each run and times over all runs together:\n")
	for i := range s.Expect {
		fmt.Fprintf(b, "- %s\n", &s.Expect[i])
	}
}

// String says in words what must hold.
func (e *Expectation) String() string {
	switch {
	case e.FalseAlarms != nil:
		return e.FalseAlarms.String()
	case e.Justified != nil:
		return e.Justified.String()
	case e.Detected != nil:
		return e.Detected.String()
	case e.Joined != nil:
		return fmt.Sprintf("every node lists every other as alive within %s of the first start", formatDuration(e.Joined.Within))
	case e.Converged != nil:
		return fmt.Sprintf("every running node's view is right within %s after the last step is over", formatDuration(e.Converged.Within))
	case e.StateAtEnd != nil:
		who := e.StateAtEnd.Nodes.String()
		if e.StateAtEnd.Nodes.Pick == PickAll {
			who = "every node"
		}
		return fmt.Sprintf("at the end every running node sees %s as %s", who, e.StateAtEnd.Is)
	case e.ViewChanges != nil:
		return fmt.Sprintf("%s in any one node's view", atMost(e.ViewChanges.MaxPerNode, "state change"))
	case e.Suspicions != nil:
		return atMost(e.Suspicions.Max, "suspicion")
	case e.Refutations != nil:
		return atMost(e.Refutations.Max, "refutation")
	case e.Load != nil:
		return e.Load.String()
	case e.Growth != nil:
		return e.Growth.String()
	}
	return "nobody declares anybody failed"
}

// atMost writes an upper bound on a count of things.
func atMost(limit int, thing string) string {
	switch limit {
	case 0:
		return "no " + thing
	case 1:
		return "at most 1 " + thing
	}
	return fmt.Sprintf("at most %d %ss", limit, thing)
}

// String says in words what must hold.
func (f *FalseAlarms) String() string {
	text := atMost(f.Max, "false alarm")
	if f.About == Healthy || f.About == Frozen {
		text += fmt.Sprintf(" about %s nodes", f.About)
	}
	if f.Observers == Healthy || f.Observers == Frozen {
		text += fmt.Sprintf(" by %s observers", f.Observers)
	}
	return text
}

// String says in words what must hold.
func (j *Justified) String() string {
	const what = "verdict"
	const about = " about nodes that run but cannot be reached"
	switch {
	case j.Max == nil && j.Min == 1:
		return "at least 1 " + what + about
	case j.Max == nil:
		return fmt.Sprintf("at least %d %ss%s", j.Min, what, about)
	case j.Min == 0:
		return atMost(*j.Max, what) + about
	}
	return fmt.Sprintf("%d to %d %ss%s", j.Min, *j.Max, what, about)
}

// String says in words what must hold.
func (d *Detected) String() string {
	who := d.Nodes.String()
	if d.Nodes.Pick == PickAll || d.Nodes.IsZero() {
		who = "every killed node"
	}
	by := map[By]string{
		First:    "the first observer",
		Majority: "more than half of the live nodes",
	}[d.By]
	if by == "" {
		by = "every live node"
	}
	var bounds []string
	for _, b := range []struct {
		name  string
		bound time.Duration
	}{{"median", d.P50}, {"99th percentile", d.P99}, {"maximum", d.Max}} {
		if b.bound > 0 {
			bounds = append(bounds, fmt.Sprintf("%s at most %s", b.name, formatDuration(b.bound)))
		}
	}
	return fmt.Sprintf("%s is declared failed by %s; time from the kill: %s", who, by, strings.Join(bounds, ", "))
}

// String says in words what must hold.
func (g *Growth) String() string {
	var parts []string
	if g.Goroutines != nil {
		parts = append(parts, atMost(*g.Goroutines, "goroutine"))
	}
	if g.Descriptors != nil {
		parts = append(parts, atMost(*g.Descriptors, "descriptor"))
	}
	if g.Memory != nil {
		parts = append(parts, fmt.Sprintf("at most %s of memory and heap", *g.Memory))
	}
	return fmt.Sprintf("a process that runs through grows by %s from the first third of the run to the last, in calm moments", strings.Join(parts, ", "))
}

// String says in words what must hold.
func (l *LoadBounds) String() string {
	var parts []string
	if l.PacketsPerNodeSecond != nil {
		parts = append(parts, fmt.Sprintf("%v packets", l.PacketsPerNodeSecond.Max))
	}
	if l.BytesPerNodeSecond != nil {
		parts = append(parts, fmt.Sprintf("%v bytes", l.BytesPerNodeSecond.Max))
	}
	protocol := ""
	if l.Only != "" {
		protocol = " by " + strings.ToUpper(string(l.Only))
	}
	return fmt.Sprintf("a node sends at most %s a second%s, on average", strings.Join(parts, " and "), protocol)
}
