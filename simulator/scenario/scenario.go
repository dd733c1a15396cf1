package scenario

import "time"

// Limits of what a scenario may ask for. They keep a mistyped number from taking the machine down.
const (
	// MinNodes is the smallest cluster in which there is anything to detect.
	MinNodes = 2
	// MaxNodes is the largest cluster.
	MaxNodes = 2000
	// MaxSeeds bounds the number of runs of one scenario.
	MaxSeeds = 10_000
	// MaxTime bounds every time and duration, and with them the length of a run.
	MaxTime = 7 * 24 * time.Hour
	// MaxDelay bounds what one link setting may add to the way of a packet.
	MaxDelay = time.Hour
	// MaxSteps bounds the timeline, and separately the list of expectations.
	MaxSteps = 1000
	// MaxActions bounds the actions into which one timeline unfolds.
	MaxActions = 100_000
	// MaxFileSize bounds a scenario file, in bytes.
	MaxFileSize = 64 << 10
)

// afterLastStep is how long a run goes on after its last step when the scenario gives no duration: time
// enough to see what the last fault leads to with memberlist's LAN settings.
const afterLastStep = 60 * time.Second

// Scenario is one experiment: a cluster, a network, faults over time, and what must hold.
type Scenario struct {
	// Version of the file format. It is 1.
	Version int `yaml:"version,required"`
	// Name identifies the scenario in reports: lower-case letters, digits and dashes, at most 64.
	Name string `yaml:"name,required"`
	// Description says what the scenario shows, for people.
	Description string `yaml:"description"`
	// Cluster says which nodes there are and how they are set.
	Cluster Cluster `yaml:"cluster,required"`
	// Network is what every link is like when no fault strikes. Default: instant and lossless.
	Network Network `yaml:"network"`
	// Seeds are the runs: one run a seed. Default: 1.
	Seeds Seeds `yaml:"seeds"`
	// Timeline lists the faults, in any order.
	Timeline []Step `yaml:"timeline"`
	// Duration is how long the run goes on after time 0. Default: 60 s after the last step is over.
	Duration time.Duration `yaml:"duration"`
	// Expect lists what must hold. Counts must hold in every run; times are taken over all runs together.
	Expect []Expectation `yaml:"expect"`

	check checks
	pos   positions
}

// Cluster says which nodes there are and how they are set.
type Cluster struct {
	// Nodes is the size of the cluster, 2 to 2000. The nodes are called n1, n2 and so on.
	Nodes int `yaml:"nodes,required"`
	// Profile is the set of defaults that the nodes start from: lan, wan or local. Default: lan.
	Profile Profile `yaml:"profile"`
	// Detector decides when a member is failed. Default: verdicts.
	Detector string `yaml:"detector"`
	// Encryption gives all nodes one common key.
	Encryption bool `yaml:"encryption"`
	// Settings overrides settings of the nodes, by name, on top of the profile.
	Settings map[string]string `yaml:"settings"`
	// Join says how the nodes start.
	Join Join `yaml:"join"`
	// Warmup is the quiet time between the moment at which every node lists every other as alive and time 0. Default: 5s.
	Warmup time.Duration `yaml:"warmup"`
}

// Join says how the nodes start and find each other.
type Join struct {
	// Within is the time over which the starts are spread, drawn evenly by the seed. Default: 1s.
	Within time.Duration `yaml:"within"`
	// Seeds is how many nodes, from n1 on, start first and are the others' seeds. Default: 1.
	Seeds int `yaml:"seeds"`
	// Timeout is how long after the first start the nodes may take to agree; after it the run is broken off. Default: 10m.
	Timeout time.Duration `yaml:"timeout"`
}

// Network is what every link is like when no fault strikes.
type Network struct {
	// Latency is the time a packet takes, one way.
	Latency time.Duration `yaml:"latency"`
	// Jitter varies the latency evenly by up to this much in either direction. At most the latency.
	Jitter time.Duration `yaml:"jitter"`
	// Loss is the share of packets lost, each way, independently.
	Loss Fraction `yaml:"loss"`
	// Duplicate is the share of UDP packets that arrive twice.
	Duplicate Fraction `yaml:"duplicate"`
	// Reorder is the share of UDP packets that skip the latency and so overtake others.
	Reorder Fraction `yaml:"reorder"`
	// Rate is what a link carries, each way, such as 10mbit. Default: no limit.
	Rate Rate `yaml:"rate"`
}

// Profile names the set of defaults that nodes start from.
type Profile string

// The profiles.
const (
	LAN   Profile = "lan"
	WAN   Profile = "wan"
	Local Profile = "local"
)

func (Profile) values() []string { return []string{string(LAN), string(WAN), string(Local)} }

// defaults is the scenario that a file fills in.
func defaults() Scenario {
	return Scenario{
		Cluster: Cluster{
			Profile:  LAN,
			Detector: "verdicts",
			Join:     Join{Within: time.Second, Seeds: 1, Timeout: 10 * time.Minute},
			Warmup:   5 * time.Second,
		},
		Seeds: Seeds{{First: 1, Last: 1}},
	}
}

// End returns when the run ends, counted from time 0: Duration, or else 60 s after the last step is over.
func (s *Scenario) End() time.Duration {
	if s.Duration != 0 {
		return s.Duration
	}
	return s.lastStepEnd() + afterLastStep
}

// lastStepEnd returns when the last step is over.
func (s *Scenario) lastStepEnd() time.Duration {
	var end time.Duration
	for i := range s.Timeline {
		end = max(end, s.Timeline[i].end(s.Cluster.Nodes))
	}
	return end
}
