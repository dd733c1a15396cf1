package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Link is what happens to packets on the way from one node to another.
type Link struct {
	// Cut loses everything, silently.
	Cut bool
	// Loss is the share of packets lost, independently.
	Loss float64
	// Delay is how long a packet takes; Jitter varies it evenly by up to this much in either direction.
	Delay, Jitter time.Duration
	// Duplicate is the share of UDP packets that arrive twice.
	Duplicate float64
	// Reorder is the share of UDP packets that arrive without the delay.
	Reorder float64
	// Rate is what the link carries, in bits per second. 0 means no limit.
	Rate Rate
}

// add puts the effect of one more fault on top of l.
func (l *Link) add(more Link) {
	l.Loss = either(l.Loss, more.Loss)
	l.Cut = l.Cut || more.Cut || l.Loss >= 1
	l.Delay += more.Delay
	l.Jitter += more.Jitter
	l.Duplicate = either(l.Duplicate, more.Duplicate)
	l.Reorder = either(l.Reorder, more.Reorder)
	if more.Rate > 0 && (l.Rate == 0 || more.Rate < l.Rate) {
		l.Rate = more.Rate
	}
}

// either returns how likely at least one of two independent things happens.
func either(a, b float64) float64 { return a + b - a*b }

// String writes what differs from a perfect link, with the words of a scenario.
func (l Link) String() string {
	var parts []string
	add := func(given bool, name string, value any) {
		if given {
			parts = append(parts, fmt.Sprintf("%s %v", name, value))
		}
	}
	if l.Cut {
		parts = append(parts, "cut")
	}
	add(l.Loss > 0, "loss", Fraction(l.Loss))
	add(l.Delay > 0, "delay", formatDuration(l.Delay))
	add(l.Jitter > 0, "jitter", formatDuration(l.Jitter))
	add(l.Duplicate > 0, "duplicate", Fraction(l.Duplicate))
	add(l.Reorder > 0, "reorder", Fraction(l.Reorder))
	add(l.Rate > 0, "rate", l.Rate)
	return strings.Join(parts, " ")
}

// Truth is what is really the case at one moment of a run: which nodes run, which are frozen, what each link
// does. It begins at time 0 with every node running and no fault, and evolves by the plan's actions. The
// engine and the oracle each keep one, so that they agree.
//
// Apply takes time in the number of nodes concerned; Link takes time in the number of active faults, of
// which there are few. It is not safe for concurrent use.
type Truth struct {
	base   Link
	active []*Fault // partitions and link faults, by ID
	nodes  []nodeTruth

	// part says to which part of the network, connected by exchanges, each node belongs. It is worked out
	// when first asked for after an action; nil means not yet.
	part []int
}

// nodeTruth is what is really the case with one node.
type nodeTruth struct {
	running, left bool
	faults        []*Fault // pauses and stalls that hold its process
}

// NewTruth returns the truth at time 0.
func NewTruth(p *Plan) *Truth {
	t := &Truth{base: p.Base, nodes: make([]nodeTruth, len(p.Nodes))}
	for i := range t.nodes {
		t.nodes[i].running = true
	}
	return t
}

// Apply brings the truth to the moment just after an action of the plan.
//
// A pause or stall holds a process: it does nothing to a stopped node, and does not hold the process that is
// started after a kill. A flapping one takes hold of the new process when it next sets in.
func (t *Truth) Apply(a Action) {
	t.part = nil
	switch a.Verb {
	case On, Off:
		t.applyFault(a.Fault, a.Verb == On)
	case Kill, Leave:
		left := a.Verb == Leave && !t.Frozen(a.Node)
		t.nodes[a.Node] = nodeTruth{left: left}
	case Start:
		t.nodes[a.Node] = nodeTruth{running: true}
	}
}

func (t *Truth) applyFault(f *Fault, on bool) {
	if f.Kind == PartitionFault || f.Kind == LinkWorse {
		t.active = toggle(t.active, f, on)
		return
	}
	for _, i := range f.Nodes {
		if n := &t.nodes[i]; n.running {
			n.faults = toggle(n.faults, f, on)
		}
	}
}

// toggle puts a fault into a list sorted by ID, or takes it out.
func toggle(list []*Fault, f *Fault, on bool) []*Fault {
	i, found := slices.BinarySearchFunc(list, f.ID, func(g *Fault, id int) int { return cmp.Compare(g.ID, id) })
	switch {
	case on && !found:
		return slices.Insert(list, i, f)
	case !on && found:
		return slices.Delete(list, i, i+1)
	}
	return list
}

// Link returns what happens to packets of a protocol on the way from one node to another. It says nothing
// about whether the two run. A node's way to itself is perfect.
func (t *Truth) Link(from, to int, p Protocol) Link {
	if from == to {
		return Link{}
	}
	l := t.base
	for _, f := range t.active {
		if f.Only.covers(p) && f.strikes(from, to) {
			l.add(f.Link)
		}
	}
	return l
}

// Running says whether the node's process exists, frozen or not.
func (t *Truth) Running(node int) bool { return t.nodes[node].running }

// Left says whether the node is stopped and has said goodbye.
func (t *Truth) Left(node int) bool { return t.nodes[node].left }

// Frozen says whether a pause holds the node.
func (t *Truth) Frozen(node int) bool {
	return slices.ContainsFunc(t.nodes[node].faults, func(f *Fault) bool { return f.Kind == PauseFault })
}

// Late returns how late the node reads: the zero range when no stall holds it, and of several the slowest.
func (t *Truth) Late(node int) DurationRange {
	var late DurationRange
	for _, f := range t.nodes[node].faults {
		late.Min, late.Max = max(late.Min, f.Late.Min), max(late.Max, f.Late.Max)
	}
	return late
}

// Healthy says whether the node runs and neither a pause nor a stall holds it.
func (t *Truth) Healthy(node int) bool {
	n := &t.nodes[node]
	return n.running && len(n.faults) == 0
}

// Exchange says whether the network lets a question from a to b and the answer through, by UDP or by TCP. It
// says nothing about whether the two run.
func (t *Truth) Exchange(a, b int) bool {
	for _, p := range []Protocol{UDP, TCP} {
		if !t.Link(a, b, p).Cut && !t.Link(b, a, p).Cut {
			return true
		}
	}
	return false
}

// Reachable says whether a can learn that b runs: by an exchange, or by a chain of exchanges through nodes
// that run and are not frozen. Both a and b must run; whether they are frozen themselves does not matter.
func (t *Truth) Reachable(a, b int) bool {
	switch {
	case !t.nodes[a].running || !t.nodes[b].running:
		return false
	case a == b || t.Exchange(a, b):
		return true
	}
	if t.part == nil {
		t.part = t.parts()
	}
	for _, i := range t.doors(a) {
		for _, j := range t.doors(b) {
			if t.part[i] == t.part[j] {
				return true
			}
		}
	}
	return false
}

// doors returns nodes that carry messages on behalf of the given one: itself when it is able to, and
// otherwise, one for each part of the network, nodes that it exchanges with.
func (t *Truth) doors(node int) []int {
	if !t.Frozen(node) {
		return []int{node}
	}
	var doors []int
	seen := map[int]bool{}
	for i, part := range t.part {
		if part >= 0 && !seen[part] && t.Exchange(node, i) {
			seen[part] = true
			doors = append(doors, i)
		}
	}
	return doors
}

// parts numbers the parts of the network that exchanges connect. Nodes that carry no messages, because they
// are stopped or frozen, get -1. Only links that are cut are looked at more than once, so a whole network
// takes time in N, not in its square.
func (t *Truth) parts() []int {
	part := make([]int, len(t.nodes))
	var unseen []int
	for i := range t.nodes {
		part[i] = -1
		if t.nodes[i].running && !t.Frozen(i) {
			unseen = append(unseen, i)
		}
	}
	for number := 0; len(unseen) > 0; number++ {
		reached := unseen[:1:1]
		unseen = unseen[1:]
		for len(reached) > 0 {
			from := reached[len(reached)-1]
			reached = reached[:len(reached)-1]
			part[from] = number
			rest := unseen[:0]
			for _, to := range unseen {
				if t.Exchange(from, to) {
					reached = append(reached, to)
				} else {
					rest = append(rest, to)
				}
			}
			unseen = rest
		}
	}
	return part
}
