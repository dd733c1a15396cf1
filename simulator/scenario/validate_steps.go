package scenario

import (
	"cmp"
	"slices"
	"time"
)

// timeline checks every step by itself, then what lies between steps.
func (v *validator) timeline() {
	if len(v.s.Timeline) > MaxSteps {
		v.report("timeline", "has %d steps: at most %d", len(v.s.Timeline), MaxSteps)
		return
	}
	before := len(v.list)
	total := 0
	for i := range v.s.Timeline {
		path, st := element("timeline", i), &v.s.Timeline[i]
		if faults := st.faults(); faults != 1 {
			v.report(path, "has %d faults: one fault a step", faults)
			continue
		}
		v.when(path, st)
		v.fault(path, st)
		if len(v.list) > before || total > MaxActions {
			continue
		}
		// Only now is the arithmetic known not to overflow.
		if total += st.actions(v.n); total > MaxActions {
			v.report(path, "makes the timeline unfold into more than %d actions: fewer nodes, fewer times or a slower flap", MaxActions)
		}
	}
	if len(v.list) > before || v.touches("timeline") {
		return
	}
	v.end()
	v.partitionsApart()
	v.changesMatter()
}

// faults returns how many faults a step has.
func (st *Step) faults() int {
	n := 0
	for _, set := range []bool{
		st.Partition != nil, st.Link != nil, st.Pause != nil, st.Stall != nil,
		st.Kill != nil, st.Start != nil, st.Leave != nil, st.Restart != nil,
	} {
		if set {
			n++
		}
	}
	return n
}

// when checks the times of one step.
func (v *validator) when(path string, st *Step) {
	switch {
	case st.lasting() && st.For == 0:
		v.report(path, "needs a for: how long the fault lasts")
	case !st.lasting() && st.For != 0:
		v.report(join(path, "for"), "has no meaning here: kill, start, leave and restart happen at once")
	}
	if f := st.Flap; f != nil {
		if !st.lasting() {
			v.report(join(path, "flap"), "needs a fault that lasts: partition, link, pause or stall")
		}
		for name, d := range map[string]time.Duration{"down": f.Down, "up": f.Up} {
			if d < time.Millisecond {
				v.report(join(path, "flap."+name), "is %s: at least 1ms", d)
			}
		}
	}
	switch {
	case st.Every == 0 && st.Times != 0:
		v.report(join(path, "times"), "needs an every: the time from one beginning to the next")
	case st.Every == 0:
	case st.Times < 2 || st.Times > 10_000:
		v.report(join(path, "times"), "is %d: with every, the step happens 2 to 10000 times", st.Times)
	case st.length(v.n) > st.Every:
		v.report(join(path, "every"), "is %s, but the step takes %s each time", formatDuration(st.Every), formatDuration(st.length(v.n)))
	}
}

// fault checks the fault of one step.
func (v *validator) fault(path string, st *Step) {
	switch {
	case st.Partition != nil:
		v.partition(join(path, "partition"), st.Partition)
	case st.Link != nil:
		v.link(join(path, "link"), st.Link)
	case st.Pause != nil:
		v.targets(join(path, "pause.nodes"), st.Pause.Nodes)
	case st.Stall != nil:
		v.targets(join(path, "stall.nodes"), st.Stall.Nodes)
		if st.Stall.Late.Max == 0 {
			v.report(join(path, "stall.late"), "is 0: nothing would be late")
		}
		v.delay(join(path, "stall.late"), st.Stall.Late.Max)
	case st.Kill != nil:
		v.targets(join(path, "kill.nodes"), st.Kill.Nodes)
	case st.Start != nil:
		v.targets(join(path, "start.nodes"), st.Start.Nodes)
	case st.Leave != nil:
		v.targets(join(path, "leave.nodes"), st.Leave.Nodes)
	case st.Restart != nil:
		v.targets(join(path, "restart.nodes"), st.Restart.Nodes)
		if st.Restart.Down < time.Millisecond {
			v.report(join(path, "restart.down"), "is %s: at least 1ms", st.Restart.Down)
		}
	}
}

// minimum is the smallest cluster that a shape makes sense for, and why.
var minimum = map[Shape]struct {
	nodes int
	why   string
}{
	MajorityShape:  {3, "2 nodes have no minority"},
	MinorityShape:  {3, "2 nodes have no minority"},
	MinorityThird:  {4, "fewer than a third of them must be somebody"},
	Bridge:         {3, "one node on each side, one between them"},
	MajoritiesRing: {4, "of 3, every node would see all"},
}

func (v *validator) partition(path string, p *Partition) {
	if m, ok := minimum[p.Shape]; ok && v.n < m.nodes {
		v.report(join(path, "shape"), "%s needs at least %d nodes: %s", p.Shape, m.nodes, m.why)
	}
	byGroups := p.Shape == GroupsShape || p.Shape == Bridge
	if len(p.Groups) > 0 && !byGroups {
		v.report(join(path, "groups"), "has no meaning for the shape %s, only for groups and bridge", p.Shape)
	}
	if !p.Via.IsZero() && p.Shape != Bridge {
		v.report(join(path, "via"), "has no meaning for the shape %s, only for bridge", p.Shape)
	}
	if !p.Nodes.IsZero() && p.Shape != Isolate {
		v.report(join(path, "nodes"), "has no meaning for the shape %s, only for isolate", p.Shape)
	}
	v.targets(join(path, "nodes"), p.Nodes)
	if byGroups {
		v.groups(path, p)
	}
}

// groups checks that groups are named, do not overlap and leave a cut between them.
func (v *validator) groups(path string, p *Partition) {
	before := len(v.list)
	owner := map[int]string{}
	claim := func(at string, t Targets) {
		if len(t.Spans) == 0 {
			v.report(at, "give the nodes of a group by name")
			return
		}
		v.targets(at, t)
		if len(v.list) > before {
			return
		}
		for _, node := range t.fixed(v.n) {
			if other, taken := owner[node]; taken {
				v.report(at, "%s is in %s already: groups must not overlap", NodeName(node), other)
				return
			}
			owner[node] = at
		}
	}
	for i, group := range p.Groups {
		claim(element(join(path, "groups"), i), group)
	}
	if !p.Via.IsZero() {
		claim(join(path, "via"), p.Via)
	}
	if len(v.list) > before {
		return
	}
	rest := v.n - len(owner)
	switch {
	case p.Shape == GroupsShape && len(p.Groups) == 0:
		v.report(path, "needs groups: a list of lists of names")
	case p.Shape == GroupsShape && len(p.Groups) == 1 && rest == 0:
		v.report(join(path, "groups"), "cuts nothing: all nodes are in one group")
	case p.Shape == Bridge && (len(p.Groups) == 0) != p.Via.IsZero():
		v.report(path, "needs groups and via, or neither: then the seed picks")
	case p.Shape == Bridge && len(p.Groups) == 1:
		v.report(join(path, "groups"), "has one side: a bridge has at least two")
	case p.Shape == Bridge && len(p.Groups) > 0 && rest > 0:
		v.report(path, "leaves out %d of %d nodes: put each into a group or into via", rest, v.n)
	}
}

func (v *validator) link(path string, l *LinkFault) {
	v.targets(join(path, "from"), l.From)
	v.targets(join(path, "to"), l.To)
	if l.From.Pick == "" && slices.Equal(l.From.Spans, l.To.Spans) && l.From.Size(v.n) == 1 {
		v.report(join(path, "to"), "is the same node as from: a node has no link to itself")
	}
	worse := l.Loss > 0 || l.Delay > 0 || l.Jitter > 0 || l.Duplicate > 0 || l.Reorder > 0 || l.Rate > 0
	switch {
	case l.Cut && worse:
		v.report(join(path, "cut"), "leaves nothing for loss, delay and the like to act on: give the one or the other")
	case !l.Cut && !worse:
		v.report(path, "changes nothing: give cut, loss, delay, jitter, duplicate, reorder or rate")
	}
	v.delay(join(path, "delay"), l.Delay)
	way := v.s.Network.Latency + l.Delay
	if jitter := v.s.Network.Jitter + l.Jitter; l.Jitter > 0 && jitter > way {
		v.report(join(path, "jitter"), "makes %s with the network's: more than latency and delay together, %s", formatDuration(jitter), formatDuration(way))
	}
	if l.Reorder > 0 && way == 0 {
		v.report(join(path, "reorder"), "does nothing without a latency or delay: packets overtake others by skipping it")
	}
	if l.Only == TCP && (l.Duplicate > 0 || l.Reorder > 0) {
		v.report(join(path, "only"), "is tcp, but duplicate and reorder concern UDP packets")
	}
}

// end reports steps that are not over when the run is.
func (v *validator) end() {
	end := v.s.Duration
	if end == 0 {
		if end = v.s.End(); end > MaxTime {
			v.report("timeline", "is over at %s: a run takes at most %s", formatDuration(v.s.lastStepEnd()), formatDuration(MaxTime-afterLastStep))
		}
		return
	}
	for i := range v.s.Timeline {
		st := &v.s.Timeline[i]
		if over := st.end(v.n); st.At >= end {
			v.report(join(element("timeline", i), "at"), "is %s: the run ends at %s", formatDuration(st.At), formatDuration(end))
		} else if over > end {
			v.report(element("timeline", i), "is over at %s, after the end of the run at %s", formatDuration(over), formatDuration(end))
		}
	}
}

// partitionsApart reports partitions of one protocol that overlap in time: what they mean together is better
// said as one shape, or as links that are cut.
func (v *validator) partitionsApart() {
	type window struct {
		step     int
		from, to time.Duration
	}
	for _, protocol := range []Protocol{UDP, TCP} {
		var windows []window
		for i := range v.s.Timeline {
			st := &v.s.Timeline[i]
			if st.Partition == nil || !st.Partition.Only.covers(protocol) {
				continue
			}
			for k := range st.times() {
				from := st.At + time.Duration(k)*st.Every
				windows = append(windows, window{step: i, from: from, to: from + st.For})
			}
		}
		slices.SortFunc(windows, func(a, b window) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.step, b.step)) })
		for i := 1; i < len(windows); i++ {
			last, next := windows[i-1], windows[i]
			if next.from < last.to {
				v.report(element("timeline", next.step), "overlaps the partition of %s, which lasts until %s: make it one shape with groups, or cut links",
					element("timeline", last.step), formatDuration(last.to))
				return
			}
		}
	}
}

// changesMatter reports nodes that are stopped while they are stopped or started while they run. Where the
// seed picks nodes this cannot be known beforehand, and such an action is left out of the plan.
func (v *validator) changesMatter() {
	for i := range v.s.Timeline {
		if nodes, _, _, ok := v.s.Timeline[i].change(); ok && nodes.BySeed() {
			return
		}
	}
	for _, idle := range newResolver(v.s, 0).run() {
		v.report(element("timeline", idle.step), "%s", idle.reason)
	}
}
