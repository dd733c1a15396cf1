package scenario

import "time"

// Step is one entry of the timeline: one fault, when it strikes, and how long it lasts.
//
// Partition, link, pause and stall last: they need For. Kill, start, leave and restart happen at once and
// must not have it.
type Step struct {
	// At is when the fault strikes, counted from time 0.
	At time.Duration `yaml:"at,required"`
	// For is how long it lasts. When it is over the fault is gone.
	For time.Duration `yaml:"for"`
	// Flap makes a lasting fault come and go for as long as the step lasts.
	Flap *Flap `yaml:"flap"`
	// Every repeats the step, this long from one beginning to the next. Nodes left to the seed are picked anew each time.
	Every time.Duration `yaml:"every"`
	// Times is how often the step happens in all, with Every: 2 to 10000.
	Times int `yaml:"times"`

	// Partition cuts the network into parts.
	Partition *Partition `yaml:"partition,choice"`
	// Link makes links worse, or cuts them, in one direction or both.
	Link *LinkFault `yaml:"link,choice"`
	// Pause freezes nodes: no packet is read or sent while their timers run on. What arrives is read when the pause is over.
	Pause *Pause `yaml:"pause,choice"`
	// Stall makes nodes read late: each packet waits before it is read, while timers run and sending works.
	Stall *Stall `yaml:"stall,choice"`
	// Kill stops nodes without a goodbye.
	Kill *NodeChange `yaml:"kill,choice"`
	// Start starts stopped nodes, which then join again.
	Start *NodeChange `yaml:"start,choice"`
	// Leave lets nodes say goodbye and stop. A frozen node cannot: it just stops.
	Leave *NodeChange `yaml:"leave,choice"`
	// Restart stops nodes and starts them again.
	Restart *Restart `yaml:"restart,choice"`
}

func (Step) choice() (what, where string) { return "fault", "a step" }

// Flap makes a fault come and go: it is on for Down, then off for Up, and so on, beginning with on.
type Flap struct {
	// Down is how long the fault is on each time.
	Down time.Duration `yaml:"down,required"`
	// Up is how long it is off in between.
	Up time.Duration `yaml:"up,required"`
}

// Partition cuts the network into parts. Nodes in different parts do not reach each other; packets vanish
// silently. What shapes leave open is drawn by the seed.
type Partition struct {
	// Shape says how the network is cut.
	Shape Shape `yaml:"shape,required"`
	// Groups are the parts, for the shapes groups and bridge: a list of lists of names. Nodes in no group form one more part (groups only).
	Groups []Targets `yaml:"groups"`
	// Via are the nodes that see both sides of a bridge.
	Via Targets `yaml:"via"`
	// Nodes are those that the shape isolate cuts off, each from everybody. Default: one.
	Nodes Targets `yaml:"nodes,alias=node"`
	// Only restricts the cut to one protocol: udp or tcp.
	Only Protocol `yaml:"only"`
}

// Shape names a way to cut a network, with Jepsen's words.
type Shape string

// The shapes of a partition.
const (
	// Halves cuts into two halves; of an odd number the second is larger by one.
	Halves Shape = "halves"
	// MajorityShape cuts the largest minority off from the smallest majority.
	MajorityShape Shape = "majority"
	// MinorityShape is the same cut as MajorityShape.
	MinorityShape Shape = "minority"
	// MinorityThird cuts fewer than a third of the nodes off from the rest.
	MinorityThird Shape = "minority-third"
	// Isolate cuts the given nodes off, each from everybody.
	Isolate Shape = "isolate"
	// Bridge cuts into two sides, with nodes between them that see both.
	Bridge Shape = "bridge"
	// MajoritiesRing lets every node see a majority, no two of them the same one.
	MajoritiesRing Shape = "majorities-ring"
	// GroupsShape cuts into the groups given.
	GroupsShape Shape = "groups"
)

func (Shape) values() []string {
	return []string{
		string(Halves), string(MajorityShape), string(MinorityShape), string(MinorityThird),
		string(Isolate), string(Bridge), string(MajoritiesRing), string(GroupsShape),
	}
}

// Protocol restricts a fault or a count to UDP or TCP. The zero value means both.
type Protocol string

// The protocols between nodes.
const (
	UDP Protocol = "udp"
	TCP Protocol = "tcp"
)

func (Protocol) values() []string { return []string{string(UDP), string(TCP)} }

// covers says whether a fault restricted to p strikes a packet of protocol q.
func (p Protocol) covers(q Protocol) bool { return p == "" || p == q }

// LinkFault makes the links from some nodes to others worse. Several faults on one link add up: delays and
// jitters are summed, losses combine as independent, the lowest rate counts.
type LinkFault struct {
	// From are the senders.
	From Targets `yaml:"from,required"`
	// To are the receivers. When the seed picks them, it picks among those not in From.
	To Targets `yaml:"to,required"`
	// Both makes the fault strike the way back as well.
	Both bool `yaml:"both"`
	// Only restricts the fault to one protocol: udp or tcp.
	Only Protocol `yaml:"only"`
	// Cut loses everything, silently.
	Cut bool `yaml:"cut"`
	// Loss is the share of packets lost, independently.
	Loss Fraction `yaml:"loss"`
	// Delay is added to the latency.
	Delay time.Duration `yaml:"delay"`
	// Jitter is added to the network's jitter. The two together are at most latency and delay together.
	Jitter time.Duration `yaml:"jitter"`
	// Duplicate is the share of UDP packets that arrive twice.
	Duplicate Fraction `yaml:"duplicate"`
	// Reorder is the share of UDP packets that skip latency and delay and so overtake others.
	Reorder Fraction `yaml:"reorder"`
	// Rate is what each of the links carries, such as 10mbit.
	Rate Rate `yaml:"rate"`
}

// Pause freezes nodes.
type Pause struct {
	// Nodes are the nodes to freeze. When the seed picks them, it picks among those that run.
	Nodes Targets `yaml:"nodes,required,alias=node"`
}

// Stall makes nodes read late.
type Stall struct {
	// Nodes are the nodes that read late. When the seed picks them, it picks among those that run.
	Nodes Targets `yaml:"nodes,required,alias=node"`
	// Late is how long each packet waits before it is read, drawn evenly from a range such as 500ms..2.5s.
	Late DurationRange `yaml:"late,required"`
}

// NodeChange starts or stops nodes.
type NodeChange struct {
	// Nodes are the nodes concerned. When the seed picks them, it picks among those for which it makes a difference.
	Nodes Targets `yaml:"nodes,required,alias=node"`
	// Stagger is the time from one node to the next. Default: all at once.
	Stagger time.Duration `yaml:"stagger"`
}

// Restart stops nodes and starts them again.
type Restart struct {
	// Nodes are the nodes to restart. When the seed picks them, it picks among those that run.
	Nodes Targets `yaml:"nodes,required,alias=node"`
	// Stagger is the time from one node to the next. Default: all at once.
	Stagger time.Duration `yaml:"stagger"`
	// Down is how long each node is stopped.
	Down time.Duration `yaml:"down,required"`
	// Graceful lets each node leave first, instead of being killed.
	Graceful bool `yaml:"graceful"`
}

// lasting says whether the step's fault has a duration.
func (st *Step) lasting() bool {
	return st.Partition != nil || st.Link != nil || st.Pause != nil || st.Stall != nil
}

// change returns what a step that starts or stops nodes has in common: the nodes, the time from one to the
// next, and how long each is down. ok is false for lasting faults.
func (st *Step) change() (nodes Targets, stagger, down time.Duration, ok bool) {
	for _, c := range []*NodeChange{st.Kill, st.Start, st.Leave} {
		if c != nil {
			return c.Nodes, c.Stagger, 0, true
		}
	}
	if r := st.Restart; r != nil {
		return r.Nodes, r.Stagger, r.Down, true
	}
	return Targets{}, 0, 0, false
}

// times returns how often the step happens.
func (st *Step) times() int { return max(1, st.Times) }

// length returns how long one occurrence of the step takes in a cluster of n nodes.
func (st *Step) length(n int) time.Duration {
	nodes, stagger, down, ok := st.change()
	if !ok {
		return st.For
	}
	return time.Duration(max(0, nodes.Size(n)-1))*stagger + down
}

// end returns when the last occurrence of the step is over.
func (st *Step) end(n int) time.Duration {
	return st.At + time.Duration(st.times()-1)*st.Every + st.length(n)
}

// actions returns into how many actions the step unfolds at most in a cluster of n nodes.
func (st *Step) actions(n int) int {
	each := 2
	if nodes, _, down, ok := st.change(); ok {
		each = nodes.Size(n)
		if down > 0 {
			each *= 2
		}
	} else if f := st.Flap; f != nil && f.Up+f.Down > 0 {
		each = 2 * int(st.For/(f.Up+f.Down)+1)
	}
	return st.times() * each
}
