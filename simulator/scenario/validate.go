package scenario

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// Validate reports, as [Errors], everything that makes the scenario impossible to run. [Parse] has called it
// already; it is wanted again after [Scenario.Set].
func (s *Scenario) Validate() error {
	p := &problems{source: s.Name, pos: s.pos}
	s.validate(p)
	return p.err()
}

func (s *Scenario) validate(p *problems) {
	v := &validator{problems: p, s: s, n: s.Cluster.Nodes, known: len(p.list)}
	if s.Version != 1 {
		v.report("version", "is %d: this program reads version 1", s.Version)
	}
	if !validName.MatchString(s.Name) {
		v.report("name", "%q is not a name: lower-case letters, digits and dashes, at most 64", s.Name)
	}
	v.cluster()
	v.network()
	if s.Seeds.Len() == 0 {
		v.report("seeds", "there is no run without a seed")
	}
	// Without the size of the cluster nothing sensible can be said about nodes.
	if v.n < MinNodes || v.n > MaxNodes || v.touches("cluster.nodes") {
		return
	}
	v.timeline()
	for i := range s.Expect {
		v.expectation(element("expect", i), &s.Expect[i])
	}
}

// validator finds what is wrong between values that are right one by one.
type validator struct {
	*problems
	s *Scenario
	// n is the number of nodes.
	n int
	// known is how many problems the decoder had found: nothing more is said about what they touch.
	known int
}

// report reports a problem unless the decoder has reported one there.
func (v *validator) report(path, format string, args ...any) {
	found := problems{paths: v.paths[:v.known]}
	if !found.touches(path) {
		v.add(path, format, args...)
	}
}

func (v *validator) cluster() {
	c := &v.s.Cluster
	if c.Nodes < MinNodes || c.Nodes > MaxNodes {
		v.report("cluster.nodes", "is %d: a cluster has %d to %d nodes", c.Nodes, MinNodes, MaxNodes)
	} else if c.Join.Seeds < 1 || c.Join.Seeds > c.Nodes {
		v.report("cluster.join.seeds", "is %d: 1 to %d of the nodes can be seeds", c.Join.Seeds, c.Nodes)
	}
	if c.Join.Timeout <= c.Join.Within {
		v.report("cluster.join.timeout", "is %s: the nodes start within %s, so allow them more than that",
			formatDuration(c.Join.Timeout), formatDuration(c.Join.Within))
	}
	if detectors := v.s.check.detectors; len(detectors) > 0 && !slices.Contains(detectors, c.Detector) {
		v.report("cluster.detector", "%q is not one of %s", c.Detector, oneOf(detectors))
	}
	if v.s.check.setting == nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(c.Settings)) {
		if err := v.s.check.setting(key, c.Settings[key]); err != nil {
			v.report(join("cluster.settings", key), "%v", err)
		}
	}
}

func (v *validator) network() {
	n := &v.s.Network
	v.delay("network.latency", n.Latency)
	if n.Jitter > n.Latency {
		v.report("network.jitter", "is %s: more than the latency of %s", formatDuration(n.Jitter), formatDuration(n.Latency))
	}
	if n.Reorder > 0 && n.Latency == 0 {
		v.report("network.reorder", "does nothing without a latency: packets overtake others by skipping it")
	}
	if n.Loss == 1 {
		v.report("network.loss", "is 100%%: no node would ever see another")
	}
}

func (v *validator) delay(path string, d time.Duration) {
	if d > MaxDelay {
		v.report(path, "is %s: at most %s", formatDuration(d), formatDuration(MaxDelay))
	}
}

// targets reports nodes that do not exist and picks of nobody or of more than there are.
func (v *validator) targets(path string, t Targets) {
	for i, span := range t.Spans {
		if span.Last > v.n {
			at := path
			if _, ok := v.pos[element(path, i)]; ok {
				at = element(path, i)
			}
			v.report(at, "%s does not exist: the cluster has %d nodes, n1 to n%d", NodeName(max(span.First, v.n+1)-1), v.n, v.n)
		}
	}
	if len(t.Spans) > 0 || t.IsZero() {
		return
	}
	switch size := t.Size(v.n); {
	case t.Pick == PickCount && size < 1:
		v.report(path, "count is %d: at least 1", size)
	case size < 1:
		v.report(path, "a %s of %d nodes is nobody", t.Pick, v.n)
	case size > v.n:
		v.report(path, "count is %d: the cluster has %d nodes", size, v.n)
	}
}

// named reports targets that only a seed could make out, where the scenario itself has to say who.
func (v *validator) named(path string, t Targets) {
	if t.BySeed() {
		v.report(path, "%s leaves to the seed which nodes are meant: give names, or all", t)
		return
	}
	v.targets(path, t)
}

// expectation checks one entry of expect.
func (v *validator) expectation(path string, e *Expectation) {
	if set := e.set(); set != 1 {
		if _, given := v.pos[join(path, "no_verdicts")]; given && set == 0 {
			v.report(join(path, "no_verdicts"), "is false: write true, or leave the entry out")
		} else {
			v.report(path, "has %d expectations: one an entry", set)
		}
		return
	}
	switch {
	case e.FalseAlarms != nil:
		v.atLeast0(join(path, "false_alarms.max"), e.FalseAlarms.Max)
	case e.Justified != nil:
		v.justified(join(path, "justified"), e.Justified)
	case e.Detected != nil:
		v.detected(join(path, "detected"), e.Detected)
	case e.Joined != nil:
		v.positive(join(path, "joined.within"), e.Joined.Within)
	case e.Converged != nil:
		v.positive(join(path, "converged.within"), e.Converged.Within)
		v.convergedInTime(join(path, "converged.within"), e.Converged.Within)
	case e.StateAtEnd != nil:
		v.named(join(path, "state_at_end.nodes"), e.StateAtEnd.Nodes)
	case e.ViewChanges != nil:
		v.atLeast0(join(path, "view_changes.max_per_node"), e.ViewChanges.MaxPerNode)
	case e.Suspicions != nil:
		v.atLeast0(join(path, "suspicions.max"), e.Suspicions.Max)
	case e.Refutations != nil:
		v.atLeast0(join(path, "refutations.max"), e.Refutations.Max)
	case e.Load != nil:
		v.load(join(path, "load"), e.Load)
	case e.Growth != nil:
		v.growth(join(path, "growth"), e.Growth)
	}
}

// set returns how many fields of an expectation are set.
func (e *Expectation) set() int {
	n := 0
	for _, set := range []bool{
		e.FalseAlarms != nil, e.Justified != nil, e.Detected != nil, e.Joined != nil, e.Converged != nil,
		e.StateAtEnd != nil, e.ViewChanges != nil, e.Suspicions != nil, e.Refutations != nil, e.Load != nil, e.Growth != nil, e.NoVerdicts,
	} {
		if set {
			n++
		}
	}
	return n
}

func (v *validator) atLeast0(path string, n int) {
	if n < 0 {
		v.report(path, "is negative: %d", n)
	}
}

// positive reports a time of 0 where something has to fit in.
func (v *validator) positive(path string, d time.Duration) {
	if d <= 0 {
		v.report(path, "is 0: give a time")
	}
}

func (v *validator) justified(path string, j *Justified) {
	v.atLeast0(join(path, "min"), j.Min)
	switch {
	case j.Max == nil && j.Min == 0:
		v.report(path, "bounds nothing: give min, max or both")
	case j.Max != nil && *j.Max < max(0, j.Min):
		v.report(join(path, "max"), "is %d: at least 0, and not less than min", *j.Max)
	}
}

func (v *validator) load(path string, l *LoadBounds) {
	limits := map[string]*Limit{"packets_per_node_second": l.PacketsPerNodeSecond, "bytes_per_node_second": l.BytesPerNodeSecond}
	given := 0
	for name, limit := range limits {
		if limit == nil {
			continue
		}
		given++
		if limit.Max < 0 {
			v.report(join(path, name)+".max", "is negative: %v", limit.Max)
		}
	}
	if given == 0 {
		v.report(path, "bounds nothing: give packets_per_node_second, bytes_per_node_second or both")
	}
}

func (v *validator) growth(path string, g *Growth) {
	if g.Goroutines == nil && g.Descriptors == nil && g.Memory == nil {
		v.report(path, "bounds nothing: give goroutines, descriptors or memory")
	}
	for name, most := range map[string]*int{"goroutines": g.Goroutines, "descriptors": g.Descriptors} {
		if most != nil {
			v.atLeast0(join(path, name), *most)
		}
	}
}

// detected checks bounds on detection times, and that somebody is there to be detected.
func (v *validator) detected(path string, d *Detected) {
	if d.P50 == 0 && d.P99 == 0 && d.Max == 0 {
		v.report(path, "bounds nothing: give p50, p99 or max")
	}
	v.named(join(path, "nodes"), d.Nodes)
	killed := map[int]bool{}
	for i := range v.s.Timeline {
		st := &v.s.Timeline[i]
		if st.Kill == nil && (st.Restart == nil || st.Restart.Graceful) {
			continue
		}
		nodes, _, _, _ := st.change()
		if nodes.BySeed() {
			return
		}
		for _, node := range nodes.fixed(min(v.n, MaxNodes)) {
			killed[node] = true
		}
	}
	if len(killed) == 0 {
		v.report(path, "can never hold: no step kills a node")
		return
	}
	if d.Nodes.Pick == PickAll {
		return
	}
	var spared []string
	for _, node := range d.Nodes.fixed(v.n) {
		if !killed[node] {
			spared = append(spared, NodeName(node))
		}
	}
	if len(spared) > 0 {
		v.report(join(path, "nodes"), "can never hold: no step kills %s", strings.Join(spared, ", "))
	}
}

// convergedInTime reports a run that ends before its expectation can be judged.
func (v *validator) convergedInTime(path string, within time.Duration) {
	if left := v.s.End() - v.s.lastStepEnd(); within > left {
		v.report(path, "is %s, but the run ends %s after the last step: give it a longer duration",
			formatDuration(within), fmt.Sprint(formatDuration(max(0, left))))
	}
}
