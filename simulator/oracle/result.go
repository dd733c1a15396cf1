package oracle

// RunResult is what one run came to. Its JSON names are stable: it travels from the process of the run to its
// parent and into result.json. Times named _s are in seconds and, unless said otherwise, count from time 0; null stands
// for never. Everything counts what happened from time 0 to the end of the run.
type RunResult struct {
	Seed  uint64 `json:"seed"`
	Nodes int    `json:"nodes"`
	// End is when the run ended.
	End Number `json:"end_s"`
	// BrokenOff says why the run was broken off. When it is not empty, nothing else here was measured in full.
	BrokenOff string `json:"broken_off,omitempty"`
	// Joined is the time from the first start until every node listed every other as alive.
	Joined Number `json:"joined_s"`
	// Verdicts are the decisions of observers that a subject is failed.
	Verdicts Verdicts `json:"verdicts"`
	// Accusations are nodes' own findings that another did not answer. The observer is the accuser.
	Accusations Classes `json:"accusations"`
	// Refutations counts the incarnations by which nodes refuted suspicions.
	Refutations int `json:"refutations"`
	// ViewChanges are changes of the state of a member in a node's view. What a newly started process learns when
	// it first hears of a member is none.
	ViewChanges Changes `json:"view_changes"`
	// ListChanges are those among them by which a member enters or leaves the list of those that are up (alive or
	// suspect).
	ListChanges Changes `json:"list_changes"`
	// Crashes are the kills, in the order of time.
	Crashes []Crash `json:"crashes"`
	// Convergence is about the time after the last action of the plan.
	Convergence Convergence `json:"convergence"`
	// RunningAtEnd is how many nodes ran in the end.
	RunningAtEnd int `json:"running_at_end"`
	// EndStates say as what nodes were seen in the end. Nodes that all others saw alive are left out.
	EndStates []EndState `json:"end_states"`
	// HeldFailed are, for each node that ran in the end and held anybody failed, those that it held failed. Left
	// out in clusters of more than 100 nodes.
	HeldFailed []HeldFailed `json:"held_failed,omitempty"`
	Load       Load         `json:"load"`
	// Processes are the real processes that ran in calm moments of both the first and the last third of the run; absent
	// for virtual time, in which nodes are no processes.
	Processes []Process `json:"processes,omitempty"`
	// CPU is the processor time that the run took, in all; 0 when the engine did not tell.
	CPU Number `json:"cpu_s"`
	// Clock says how exact the times are; absent for virtual time, which is exact.
	Clock *Clock `json:"clock,omitempty"`
	// Heat is the heatmap.
	Heat Heat `json:"heat"`
	// Bands are the faults and stops of this run, to draw with the heatmap: other seeds pick other nodes.
	Bands []Band `json:"bands"`
	// Examples are the first false alarms, at most 50.
	Examples []Example `json:"examples"`
}

// Classes count by class and by the standing of the observer.
type Classes struct {
	True         ByStanding `json:"true"`
	Justified    ByStanding `json:"justified"`
	FalseHealthy ByStanding `json:"false_about_healthy"`
	FalseFrozen  ByStanding `json:"false_about_frozen"`
}

// ByStanding counts by the standing of the observer.
type ByStanding struct {
	Healthy int `json:"healthy"`
	Frozen  int `json:"frozen"`
	CutOff  int `json:"cut_off"`
}

// Sum returns the count over all standings.
func (b ByStanding) Sum() int { return b.Healthy + b.Frozen + b.CutOff }

// False returns the number of false alarms.
func (c *Classes) False() int { return c.FalseHealthy.Sum() + c.FalseFrozen.Sum() }

// Sum returns the number of all.
func (c *Classes) Sum() int { return c.True.Sum() + c.Justified.Sum() + c.False() }

func (c *Classes) add(f finding) {
	b := [...]*ByStanding{True: &c.True, Justified: &c.Justified, FalseFrozen: &c.FalseFrozen, FalseHealthy: &c.FalseHealthy}[f.class]
	*[...]*int{StandsFrozen: &b.Frozen, StandsCutOff: &b.CutOff, StandsHealthy: &b.Healthy}[f.by]++
}

// Verdicts count verdicts: one each time that an observer comes to hold a subject failed.
type Verdicts struct {
	Classes
	// Late counts those among the true and the justified whose cause was over when they came.
	Late int `json:"late"`
	// FalseSubjects counts the nodes about which there was any false alarm, FalseHealthySubjects those about which
	// there was one while they were healthy.
	FalseSubjects        int `json:"false_subjects"`
	FalseHealthySubjects int `json:"false_healthy_subjects"`
}

// Changes count changes of views.
type Changes struct {
	Total int `json:"total"`
	// MostByObserver is the largest number in one node's view, WorstObserver the first such node; empty when 0.
	MostByObserver int    `json:"most_by_observer"`
	WorstObserver  string `json:"worst_observer,omitempty"`
	// MostAboutSubject is the largest number about one node in all views, WorstSubject the first such node.
	MostAboutSubject int    `json:"most_about_subject"`
	WorstSubject     string `json:"worst_subject,omitempty"`
}

// Convergence is about when views became right. A node's view is right when it lists, as alive or suspect, exactly
// the nodes that run.
type Convergence struct {
	// LastAction is when the plan's last action happened, 0 without any.
	LastAction Number `json:"last_action_s"`
	// First is the time from there to the first moment at which every running node's view was right.
	First Number `json:"first_s"`
	// Settled is the time from there to the moment from which on every running node's view was right until the end.
	Settled Number `json:"settled_s"`
	// WrongAtEnd counts, in the end, pairs of a running observer and a node about which it was wrong.
	WrongAtEnd int `json:"wrong_at_end"`
}

// EndState is how many of the other running nodes saw a node in which state in the end.
type EndState struct {
	Node     string `json:"node"`
	Alive    int    `json:"alive"`
	Suspect  int    `json:"suspect"`
	Failed   int    `json:"failed"`
	Left     int    `json:"left"`
	Unlisted int    `json:"unlisted"` // never heard of, or removed
}

// HeldFailed is whom one node held failed in the end, in the order of the nodes.
type HeldFailed struct {
	Observer string   `json:"observer"`
	Failed   []string `json:"failed"`
}

// Clock says how exact the times of a run in real time are.
type Clock struct {
	// Skew is the largest difference measured between a node's clock and the one that the timeline went by.
	Skew Number `json:"skew_s"`
	// Step is how much that clock was set forward (or back: negative) during the run.
	Step Number `json:"step_s"`
	// Lag is the longest time from when an action was planned until it had taken effect. The oracle judges by the
	// moment of the effect.
	Lag Number `json:"lag_s"`
}

// Example is one false alarm.
type Example struct {
	At        Number `json:"at_s"`
	Suspected Number `json:"suspected_s"` // when the suspicion behind it began
	Observer  string `json:"observer"`
	Subject   string `json:"subject"`
	Class     string `json:"class"`
}
