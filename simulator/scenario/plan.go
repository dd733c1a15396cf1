package scenario

import (
	"fmt"
	"time"
)

// Plan is a scenario made concrete for one seed: who does what, and when. It is read-only once made.
type Plan struct {
	// Seed is what the plan was drawn from.
	Seed uint64
	// Nodes are the names of the nodes. Everywhere else in a plan a node is an index into it.
	Nodes []string
	// Starts says when each node starts, counted from the beginning of the run, which lies before time 0.
	Starts []time.Duration
	// SeedNodes is how many nodes, from the first on, are seeds. A node that starts joins through all of them
	// except itself; a lone seed that starts again joins through all other nodes.
	SeedNodes int
	// Base is what every link is like when no fault strikes.
	Base Link
	// Faults are the lasting faults, by ID.
	Faults []*Fault
	// Actions are what happens, in order. Their times count from time 0.
	Actions []Action
	// End is when the run ends, counted from time 0.
	End time.Duration
}

// Action is one thing that happens.
type Action struct {
	// At is when, counted from time 0.
	At time.Duration
	// Step is the index of the timeline's step that it comes from.
	Step int
	// Verb is what happens.
	Verb Verb
	// Fault is what sets in or ends, with On and Off.
	Fault *Fault
	// Node is the node that stops or starts, with Kill, Leave and Start.
	Node int
}

// Verb is what an action does.
type Verb uint8

// The verbs.
const (
	// On lets a fault set in.
	On Verb = iota + 1
	// Off ends a fault.
	Off
	// Kill stops a node without a goodbye.
	Kill
	// Leave lets a node say goodbye and stop.
	Leave
	// Start starts a stopped node.
	Start
)

// String names the verb.
func (v Verb) String() string {
	return [...]string{"none", "on", "off", "kill", "leave", "start"}[v]
}

// String writes the action on one line.
func (a Action) String() string {
	what := NodeName(a.Node)
	if a.Fault != nil {
		what = a.Fault.String()
	}
	return fmt.Sprintf("%s %s %s", formatDuration(a.At), a.Verb, what)
}

// Fault is a lasting fault with its nodes. A flapping fault goes on and off under one ID; a repeated step
// makes a new fault each time. It is read-only once made.
type Fault struct {
	// ID is the index into the plan's Faults.
	ID int
	// Step is the index of the timeline's step that it comes from.
	Step int
	// Kind says which of the following fields have a meaning.
	Kind FaultKind
	// Nodes are those paused or stalled, sorted.
	Nodes []int
	// Late is how late stalled nodes read.
	Late DurationRange
	// Only restricts a partition or link fault to one protocol.
	Only Protocol
	// Parts are the parts of a partition, sorted. Nodes in Via are in none and see all. For the shape
	// majorities-ring it is the ring, in one list.
	Parts [][]int
	// Via are the nodes of a bridge that see all its sides, sorted.
	Via []int
	// Ring is, for the shape majorities-ring, how far along the ring to either side a node sees; otherwise 0.
	Ring int
	// From and To are the senders and receivers of a link fault, sorted; Both says that the way back is struck as well.
	From, To []int
	Both     bool
	// Link is what a link fault does.
	Link Link

	strikes func(from, to int) bool
}

// FaultKind tells lasting faults apart.
type FaultKind string

// The kinds of lasting faults.
const (
	PartitionFault FaultKind = "partition"
	LinkWorse      FaultKind = "link"
	PauseFault     FaultKind = "pause"
	StallFault     FaultKind = "stall"
)

// String writes the fault with its nodes.
func (f *Fault) String() string {
	only := ""
	if f.Only != "" {
		only = " only " + string(f.Only)
	}
	switch f.Kind {
	case PartitionFault:
		text := "partition"
		if f.Ring > 0 {
			text += fmt.Sprintf(" ring of reach %d", f.Ring)
		}
		for i, part := range f.Parts {
			if i > 0 {
				text += " |"
			}
			text += " " + nodeSet(part)
		}
		if len(f.Via) > 0 {
			text += " via " + nodeSet(f.Via)
		}
		return text + only
	case LinkWorse:
		arrow := "->"
		if f.Both {
			arrow = "<->"
		}
		return fmt.Sprintf("link %s %s %s %s%s", nodeSet(f.From), arrow, nodeSet(f.To), f.Link, only)
	case StallFault:
		return fmt.Sprintf("stall %s %s", nodeSet(f.Nodes), f.Late)
	}
	return fmt.Sprintf("%s %s", f.Kind, nodeSet(f.Nodes))
}

// nodeSet writes nodes as a set, runs of three or more of neighbours as ranges.
func nodeSet(nodes []int) string {
	text := "{"
	for i := 0; i < len(nodes); {
		j := i
		for j+1 < len(nodes) && nodes[j+1] == nodes[j]+1 {
			j++
		}
		if i > 0 {
			text += ", "
		}
		if j-i < 2 {
			j = i
			text += NodeName(nodes[i])
		} else {
			text += NodeName(nodes[i]) + ".." + NodeName(nodes[j])
		}
		i = j + 1
	}
	return text + "}"
}
