package result

import (
	"io"

	"heartbeat/simulator/oracle"
)

// Comparison is the same scenario with the same seeds under two or more
// settings, or on two or more engines. The first arm is the one that the others
// are compared with.
type Comparison struct {
	Version int   `json:"version"`
	Arms    []Arm `json:"arms"`
	// Against has, for each arm but the first, how it differs from the first.
	Against []oracle.Comparison `json:"against"`
	// FinalViews has, when engines are compared, for each arm but the first
	// whether the runs ended with the same views.
	FinalViews []oracle.FinalViews `json:"final_views,omitempty"`
	// Partial tells that it was interrupted: arms may be missing, or runs of
	// the last one.
	Partial bool `json:"partial"`
}

// Write writes the comparison as indented JSON.
func (c *Comparison) Write(w io.Writer) error { return write(w, c) }

// Arm is one side of a comparison or one point of a sweep.
type Arm struct {
	// Label names it, such as "probe.interval=500ms".
	Label string `json:"label"`
	// Set are its overrides, as key=value.
	Set    []string `json:"set"`
	Result *Result  `json:"result"`
}

// Sweep is a scenario under every combination of values of one or two
// parameters.
type Sweep struct {
	Version int `json:"version"`
	// Parameters are what was varied, in the order given.
	Parameters []Parameter `json:"parameters"`
	// Points are all combinations, the last parameter varying fastest.
	Points []Arm `json:"points"`
	// Partial tells that it was interrupted: points may be missing, or runs of
	// the last one.
	Partial bool `json:"partial"`
}

// Write writes the sweep as indented JSON.
func (s *Sweep) Write(w io.Writer) error { return write(w, s) }

// Parameter is one key and the values it took.
type Parameter struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// LoadCurve shows what an idle cluster costs as it grows.
type LoadCurve struct {
	Version int `json:"version"`
	// Accuracy is what the baselines have to achieve: the same detection
	// time, message loss and chance of a mistake.
	DetectionTime oracle.Number `json:"detection_time_s"`
	Loss          float64       `json:"loss"`
	Mistake       float64       `json:"mistake_probability"`
	Points        []LoadPoint   `json:"points"`
	// Partial tells that it was interrupted: sizes may be missing, or runs of
	// the last one.
	Partial bool `json:"partial"`
}

// Write writes the load curve as indented JSON.
func (c *LoadCurve) Write(w io.Writer) error { return write(w, c) }

// LoadPoint is one size of the cluster. All rates are per node and second.
type LoadPoint struct {
	Nodes   int           `json:"nodes"`
	Seeds   int           `json:"seeds"`
	UDP     oracle.Rates  `json:"udp"`
	TCP     oracle.Rates  `json:"tcp"`
	PeakOut oracle.Peak   `json:"peak_out"`
	CPU     oracle.Number `json:"cpu_s"`
	// AllToAll and Central are messages a second of heartbeats that achieve
	// the same; Optimal is the lower bound L*/N of any detector.
	AllToAll        oracle.Number `json:"all_to_all"`
	CentralPerNode  oracle.Number `json:"central_per_node"`
	CentralBusiest  oracle.Number `json:"central_busiest"`
	OptimalPerNode  oracle.Number `json:"optimal_per_node"`
	MessagesPerNode oracle.Number `json:"messages_per_node"`
}
