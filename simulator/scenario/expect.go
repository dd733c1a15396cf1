package scenario

import "time"

// Expectation is one thing that must hold for the scenario to pass. Exactly one field is set.
//
// Counts must hold in each run by itself. Times are taken over all runs together, so that percentiles mean
// something. Everything counts from time 0 on, except Joined.
type Expectation struct {
	// FalseAlarms bounds verdicts about nodes that run and that the observer can reach.
	FalseAlarms *FalseAlarms `yaml:"false_alarms,choice"`
	// Justified bounds verdicts about nodes that run but that the observer cannot reach.
	Justified *Justified `yaml:"justified,choice"`
	// Detected bounds the time from the kill of a node to its verdict.
	Detected *Detected `yaml:"detected,choice"`
	// Joined bounds the time from the first start until every node lists every other as alive.
	Joined *Within `yaml:"joined,choice"`
	// Converged bounds the time from the end of the last step until every running node's view is right.
	Converged *Within `yaml:"converged,choice"`
	// StateAtEnd says as what nodes must be seen when the run ends.
	StateAtEnd *StateAtEnd `yaml:"state_at_end,choice"`
	// ViewChanges bounds the state changes that any one node's view goes through in a run.
	ViewChanges *PerNode `yaml:"view_changes,choice"`
	// Suspicions bounds how often, in a run, any node begins to suspect any other.
	Suspicions *Count `yaml:"suspicions,choice"`
	// Refutations bounds how often, in a run, any node refutes a suspicion about itself.
	Refutations *Count `yaml:"refutations,choice"`
	// Load bounds what nodes send.
	Load *LoadBounds `yaml:"load,choice"`
	// Growth bounds by how much a process may grow from the first third of a run to the last.
	Growth *Growth `yaml:"growth,choice"`
	// NoVerdicts, always true, says that nobody declares anybody failed.
	NoVerdicts bool `yaml:"no_verdicts,choice"`
}

func (Expectation) choice() (what, where string) { return "expectation", "an entry" }

// FalseAlarms bounds verdicts about nodes that run and that the observer can reach.
type FalseAlarms struct {
	// Max is how many there may be in a run.
	Max int `yaml:"max,required"`
	// About restricts the count to false alarms about healthy or about frozen nodes (paused or reading late). Default: any.
	About Health `yaml:"about"`
	// Observers restricts the count to observers that are healthy, or frozen, themselves. Default: any.
	Observers Health `yaml:"observers"`
}

// Health tells nodes apart by whether a pause or a stall holds them.
type Health string

// The kinds of nodes.
const (
	Any     Health = "any"
	Healthy Health = "healthy"
	Frozen  Health = "frozen"
)

func (Health) values() []string { return []string{string(Any), string(Healthy), string(Frozen)} }

func (f *FalseAlarms) setDefaults() { f.About, f.Observers = Any, Any }

// Justified bounds verdicts about nodes that run but that the observer cannot reach.
type Justified struct {
	// Min is how many there must be in a run.
	Min int `yaml:"min"`
	// Max is how many there may be in a run. Default: no limit.
	Max *int `yaml:"max"`
}

// Detected bounds the time from the kill of a node to its verdict. A verdict that never comes before the run
// ends, or the node starts again, breaks every bound.
type Detected struct {
	// Nodes are the nodes that must be detected. Default: all that were killed.
	Nodes Targets `yaml:"nodes,alias=node"`
	// By says whose verdicts count. Default: all-live.
	By By `yaml:"by"`
	// P50 is the longest that the median may be.
	P50 time.Duration `yaml:"p50"`
	// P99 is the longest that the 99th percentile may be.
	P99 time.Duration `yaml:"p99"`
	// Max is the longest that any may be.
	Max time.Duration `yaml:"max"`
}

// By says whose verdicts make a detection.
type By string

// Who must have noticed.
const (
	// AllLive takes the time of every node that runs and is not cut off: one value an observer.
	AllLive By = "all-live"
	// First takes the time of the first observer.
	First By = "first"
	// Majority takes the time at which more than half of the live nodes have noticed.
	Majority By = "majority"
)

func (By) values() []string { return []string{string(AllLive), string(First), string(Majority)} }

func (d *Detected) setDefaults() { d.By, d.Nodes = AllLive, Targets{Pick: PickAll} }

// Within bounds one time.
type Within struct {
	// Within is the longest that it may take.
	Within time.Duration `yaml:"within,required"`
}

// StateAtEnd says as what nodes must be seen when the run ends, by every node that runs then.
type StateAtEnd struct {
	// Nodes are the nodes seen.
	Nodes Targets `yaml:"nodes,required,alias=node"`
	// Is is the state in which they are seen.
	Is State `yaml:"is,required"`
}

// State is what a node takes another to be.
type State string

// The states of a member.
const (
	StateAlive   State = "alive"
	StateSuspect State = "suspect"
	StateFailed  State = "failed"
	StateLeft    State = "left"
)

func (State) values() []string {
	return []string{string(StateAlive), string(StateSuspect), string(StateFailed), string(StateLeft)}
}

// PerNode bounds a count for each node by itself.
type PerNode struct {
	// MaxPerNode is how many there may be for any one node in a run.
	MaxPerNode int `yaml:"max_per_node,required"`
}

// Count bounds a count over all nodes.
type Count struct {
	// Max is how many there may be in a run.
	Max int `yaml:"max,required"`
}

// LoadBounds bounds what nodes send, from time 0 to the end of the run, as the mean over the nodes and the time
// that they run.
type LoadBounds struct {
	// Only counts one protocol: udp or tcp. Default: both together.
	Only Protocol `yaml:"only"`
	// PacketsPerNodeSecond bounds the packets: datagrams for UDP, writes for TCP.
	PacketsPerNodeSecond *Limit `yaml:"packets_per_node_second"`
	// BytesPerNodeSecond bounds the bytes of their payload.
	BytesPerNodeSecond *Limit `yaml:"bytes_per_node_second"`
}

// Growth bounds by how much a process that runs through may grow: from its median in calm moments of the first third of a
// run to that of the last third. Calm is from 10 s after an action on, while no fault is on. Only real processes have it.
type Growth struct {
	// Goroutines is by how many goroutines. Default: no limit.
	Goroutines *int `yaml:"goroutines"`
	// Descriptors is by how many file descriptors. Default: no limit.
	Descriptors *int `yaml:"descriptors"`
	// Memory is by what share its resident memory, and by what share its heap, such as 10%. Default: no limit.
	Memory *Fraction `yaml:"memory"`
}

// Limit bounds a measured number.
type Limit struct {
	// Max is the largest that it may be.
	Max float64 `yaml:"max,required"`
}
