package scenario

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Explain writes in plain words what will happen when, and what must hold. The scenario must be valid.
func Explain(w io.Writer, s *Scenario) error {
	var b strings.Builder
	b.WriteString(s.Name)
	if s.Description != "" {
		b.WriteString(": " + strings.Join(strings.Fields(s.Description), " "))
	}
	b.WriteString("\n\n")
	s.explainCluster(&b)
	b.WriteString("\n")
	steps := make([]int, len(s.Timeline))
	for i := range steps {
		steps[i] = i
	}
	slices.SortStableFunc(steps, func(i, j int) int { return cmp.Compare(s.Timeline[i].At, s.Timeline[j].At) })
	for _, i := range steps {
		fmt.Fprintf(&b, "%s\n", s.DescribeStep(i))
	}
	fmt.Fprintf(&b, "at %s: the run ends\n", formatDuration(s.End()))
	s.explainExpect(&b)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the explanation of %s: %w", s.Name, err)
	}
	return nil
}

func (s *Scenario) explainCluster(b *strings.Builder) {
	c := &s.Cluster
	fmt.Fprintf(b, "%d nodes, n1 to n%d, with the %s profile and the detector %s", c.Nodes, c.Nodes, c.Profile, c.Detector)
	if c.Encryption {
		b.WriteString(", encrypted")
	}
	b.WriteString(".\n")
	for _, key := range slices.Sorted(maps.Keys(c.Settings)) {
		fmt.Fprintf(b, "Setting: %s = %s.\n", key, c.Settings[key])
	}
	start := "at once"
	if c.Join.Within > 0 {
		start = "within " + formatDuration(c.Join.Within)
	}
	switch {
	case c.Join.Seeds == c.Nodes:
		fmt.Fprintf(b, "They start at once, all of them seeds.\n")
	case c.Join.Seeds == 2:
		fmt.Fprintf(b, "n1 and n2 start first; the others start %s and join through them.\n", start)
	case c.Join.Seeds == 1:
		fmt.Fprintf(b, "n1 starts first; the others start %s and join through it.\n", start)
	default:
		fmt.Fprintf(b, "n1 to n%d start first; the others start %s and join through them.\n", c.Join.Seeds, start)
	}
	fmt.Fprintf(b, "The run is broken off when they do not all list each other as alive %s after the first start.\n", formatDuration(c.Join.Timeout))
	fmt.Fprintf(b, "Every link: %s.\n", s.baseWords())
	if n := s.Seeds.Len(); n == 1 {
		fmt.Fprintf(b, "One run, with the seed %s.\n", s.Seeds)
	} else {
		fmt.Fprintf(b, "%d runs, with the seeds %s.\n", n, s.Seeds)
	}
	fmt.Fprintf(b, "\nTimes count from %s after the moment at which every node lists every other as alive:\n", formatDuration(c.Warmup))
}

// baseWords says what every link is like.
func (s *Scenario) baseWords() string {
	n := &s.Network
	parts := []string{"instant"}
	if n.Latency > 0 {
		parts[0] = formatDuration(n.Latency)
		if n.Jitter > 0 {
			parts[0] += " ± " + formatDuration(n.Jitter)
		}
		parts[0] += " each way"
	}
	parts = append(parts, harm(n.Loss, n.Duplicate, n.Reorder, n.Rate)...)
	if n.Loss == 0 {
		parts = slices.Insert(parts, 1, "lossless")
	}
	return strings.Join(parts, ", ")
}

// harm says what is done to packets apart from delay.
func harm(loss, duplicate, reorder Fraction, rate Rate) []string {
	var parts []string
	if loss > 0 {
		parts = append(parts, fmt.Sprintf("%s of packets lost", loss))
	}
	if duplicate > 0 {
		parts = append(parts, fmt.Sprintf("%s of UDP packets duplicated", duplicate))
	}
	if reorder > 0 {
		parts = append(parts, fmt.Sprintf("%s of UDP packets overtaking", reorder))
	}
	if rate > 0 {
		parts = append(parts, fmt.Sprintf("at most %s", rate))
	}
	return parts
}

// DescribeStep says in words what one step of the timeline does, and when.
func (s *Scenario) DescribeStep(step int) string {
	st := &s.Timeline[step]
	when := "at " + formatDuration(st.At)
	if st.Times > 1 {
		last := st.At + time.Duration(st.Times-1)*st.Every
		when += fmt.Sprintf(" and then every %s, %d times in all, the last at %s", formatDuration(st.Every), st.Times, formatDuration(last))
	}
	if st.For > 0 {
		if st.Times > 1 {
			when += ", each time"
		}
		when += " for " + formatDuration(st.For)
	}
	if st.Flap != nil {
		when += fmt.Sprintf(", %s on and %s off in turn", formatDuration(st.Flap.Down), formatDuration(st.Flap.Up))
	}
	return when + ": " + s.describeFault(st)
}

func (s *Scenario) describeFault(st *Step) string {
	n := s.Cluster.Nodes
	switch {
	case st.Partition != nil:
		return describePartition(st.Partition, n) + onlyWords(st.Partition.Only, true)
	case st.Link != nil:
		return describeLink(st.Link, n)
	case st.Pause != nil:
		who, verb := subject(st.Pause.Nodes, n, "is", "are")
		return fmt.Sprintf("%s %s frozen: nothing is read or sent while timers run", who, verb)
	case st.Stall != nil:
		who, verb := subject(st.Stall.Nodes, n, "reads", "read")
		late := strings.Replace(st.Stall.Late.String(), "..", " to ", 1)
		return fmt.Sprintf("%s %s every packet %s late while timers run", who, verb, late)
	case st.Kill != nil:
		who, verb := subject(st.Kill.Nodes, n, "is", "are")
		return fmt.Sprintf("%s %s killed, without a goodbye%s", who, verb, staggerWords(st.Kill.Stagger))
	case st.Leave != nil:
		who, verb := subject(st.Leave.Nodes, n, "says goodbye and stops", "say goodbye and stop")
		return fmt.Sprintf("%s %s%s", who, verb, staggerWords(st.Leave.Stagger))
	case st.Start != nil:
		who, verb := subject(st.Start.Nodes, n, "starts again and joins", "start again and join")
		if st.Start.Nodes.BySeed() && st.Start.Nodes.Size(n) == 1 {
			who = "one stopped node picked by the seed"
		}
		return fmt.Sprintf("%s %s%s", who, verb, staggerWords(st.Start.Stagger))
	}
	r := st.Restart
	who, verb := subject(r.Nodes, n, "is killed and starts", "are killed and start")
	if r.Graceful {
		who, verb = subject(r.Nodes, n, "says goodbye, stops and starts", "say goodbye, stop and start")
	}
	return fmt.Sprintf("%s %s again %s later%s", who, verb, formatDuration(r.Down), staggerWords(r.Stagger))
}

func staggerWords(stagger time.Duration) string {
	if stagger == 0 {
		return ""
	}
	return fmt.Sprintf(", one node after another, %s apart", formatDuration(stagger))
}

// onlyWords says which protocol a fault strikes, and what that means when it strikes all of it.
func onlyWords(only Protocol, cut bool) string {
	switch {
	case only == "":
		return ""
	case !cut:
		return " (" + strings.ToUpper(string(only)) + " only)"
	case only == UDP:
		return " (UDP only: TCP gets through)"
	}
	return " (TCP only: UDP gets through)"
}

// subject names targets at the beginning of a sentence, with the verb in the number that fits.
func subject(t Targets, n int, singular, plural string) (who, verb string) {
	if t.Size(n) == 1 {
		return people(t, n), singular
	}
	return people(t, n), plural
}

// people names targets.
func people(t Targets, n int) string {
	switch {
	case len(t.Spans) > 0 && t.Size(n) == 1:
		return t.String()
	case len(t.Spans) > 0:
		return nodeSet(t.fixed(n))
	case t.Pick == PickAll:
		return fmt.Sprintf("all %d nodes", n)
	case t.Size(n) == 1:
		return "one node picked by the seed"
	}
	return fmt.Sprintf("%d of %d nodes, picked by the seed,", t.Size(n), n)
}

func describePartition(p *Partition, n int) string {
	switch p.Shape {
	case Halves:
		return fmt.Sprintf("the network is cut into halves of %d and %d nodes, picked by the seed", n/2, n-n/2)
	case MajorityShape, MinorityShape, MinorityThird:
		small := (n - 1) / 2
		if p.Shape == MinorityThird {
			small = (n - 1) / 3
		}
		who, verb := subject(Targets{Pick: PickCount, Count: small}, n, "is", "are")
		return fmt.Sprintf("%s %s cut off from the other %d", who, verb, n-small)
	case Isolate:
		nodes := p.Nodes
		if nodes.IsZero() {
			nodes = Targets{Pick: PickOne}
		}
		who, verb := subject(nodes, n, "is cut off", "are each cut off")
		return fmt.Sprintf("%s %s from everybody", who, verb)
	case MajoritiesRing:
		k := ringReach(n)
		return fmt.Sprintf("the network becomes a ring, ordered by the seed: every node sees %d to either side, with itself %d of %d, and no two see the same", k, 2*k+1, n)
	case Bridge:
		if p.Via.IsZero() {
			return fmt.Sprintf("the network is cut into sides of %d and %d nodes, picked by the seed; one node sees both sides", (n-1)/2, n-1-(n-1)/2)
		}
	}
	var f Fault
	f.addGroups(n, p.Groups)
	if p.Shape == GroupsShape {
		f.addRest(n)
	}
	sides := make([]string, len(f.Parts))
	for i, part := range f.Parts {
		sides[i] = nodeSet(part)
	}
	text := "the network is cut between " + strings.Join(sides[:len(sides)-1], ", ") + " and " + sides[len(sides)-1]
	if !p.Via.IsZero() {
		both := "both"
		if len(sides) > 2 {
			both = "all"
		}
		who, verb := subject(p.Via, n, "sees", "see")
		text += fmt.Sprintf("; %s %s %s sides", who, verb, both)
	}
	return text
}

func describeLink(l *LinkFault, n int) string {
	to := strings.TrimSuffix(people(l.To, n), ",")
	if l.To.Pick == PickAll {
		to = "all others"
	}
	from := strings.TrimSuffix(people(l.From, n), ",")
	effect, cut := "nothing gets through", l.Cut || l.Loss == 1
	if !cut {
		parts := harm(l.Loss, l.Duplicate, l.Reorder, l.Rate)
		if l.Delay > 0 || l.Jitter > 0 {
			delay := formatDuration(l.Delay) + " more delay"
			if l.Jitter > 0 {
				delay += ", ± " + formatDuration(l.Jitter)
			}
			parts = append(parts, delay)
		}
		effect = strings.Join(parts, ", ")
	}
	if l.Both {
		return fmt.Sprintf("between %s and %s, both ways: %s%s", from, to, effect, onlyWords(l.Only, cut))
	}
	back := "; the way back is as before"
	if l.From.Pick == PickAll && l.To.Pick == PickAll {
		back = ""
	}
	return fmt.Sprintf("from %s to %s: %s%s%s", from, to, effect, onlyWords(l.Only, cut), back)
}
