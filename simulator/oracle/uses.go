package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"heartbeat/simulator/scenario"
	"heartbeat/simulator/stats"
)

// UseSample is what one process of a node held of its machine at one moment, counted from time 0.
type UseSample struct {
	At time.Duration
	// Node is the node, Process which of its processes, from 0.
	Node, Process           int
	Goroutines, Descriptors int
	Resident, Heap          uint64 // bytes
}

// Process is what one process held while no fault disturbed it, early and late in the run.
type Process struct {
	Node string `json:"node"`
	// Early and Late are medians over the calm moments of the first and of the last third of the run.
	Early Use `json:"early"`
	Late  Use `json:"late"`
}

// Use is what a process held.
type Use struct {
	// Samples is how many there were.
	Samples     int    `json:"samples"`
	Goroutines  Number `json:"goroutines"`
	Descriptors Number `json:"descriptors"`
	// Resident is the memory that the machine gave, Heap what Go's heap held of it, garbage included; in bytes.
	Resident Number `json:"resident_bytes"`
	Heap     Number `json:"heap_bytes"`
}

// Grown is the process that grew most by one measure, and Processes how many there were.
type Grown struct {
	Name      string // goroutines, descriptors, resident memory or heap
	Bytes     bool   // the unit
	Processes int
	Node      string
	From, To  Number
}

// by says by how much it grew; less than nothing when it shrank.
func (g *Grown) by() string {
	if g.Bytes {
		return fmt.Sprintf("%+.1f %%, from %.2f to %.2f MB", 100*float64((g.To-g.From)/max(1, g.From)), float64(g.From)/1e6, float64(g.To)/1e6)
	}
	return fmt.Sprintf("%+.4g, from %.4g to %.4g", float64(g.To-g.From), float64(g.From), float64(g.To))
}

// measures are what is compared, in order.
var measures = []struct {
	name  string
	bytes bool
	value func(*Use) Number
}{
	{"goroutines", false, func(u *Use) Number { return u.Goroutines }},
	{"descriptors", false, func(u *Use) Number { return u.Descriptors }},
	{"resident memory", true, func(u *Use) Number { return u.Resident }},
	{"heap", true, func(u *Use) Number { return u.Heap }},
}

// Growth returns, of each measure, the process of all runs that grew most. It is empty when no process was followed.
func Growth(runs []RunResult) []Grown {
	var all []Grown
	for _, m := range measures {
		most := Grown{Name: m.name, Bytes: m.bytes}
		for i := range runs {
			for k := range runs[i].Processes {
				p := &runs[i].Processes[k]
				from, to := m.value(&p.Early), m.value(&p.Late)
				if most.Processes++; most.Processes == 1 || to-from > most.To-most.From {
					most.Node, most.From, most.To = p.Node, from, to
				}
			}
		}
		if most.Processes > 0 {
			all = append(all, most)
		}
	}
	return all
}

// afterAction is how long after an action a process may still be busy with it: connections that nobody answers on
// last ten seconds.
const afterAction = 10 * time.Second

// uses collects samples of calm moments.
type uses struct {
	end       time.Duration
	nodes     int
	calm      []span // in the order of time
	processes map[processKey]*[2][]UseSample
}

type span struct{ from, to time.Duration }

type processKey struct{ node, process int }

func newUses(plan *scenario.Plan) *uses {
	u := &uses{end: plan.End, nodes: len(plan.Nodes), processes: map[processKey]*[2][]UseSample{}}
	on, since := 0, time.Duration(0)
	for _, a := range plan.Actions {
		if on == 0 && a.At > since {
			u.calm = append(u.calm, span{since, a.At})
		}
		switch a.Verb {
		case scenario.On:
			on++
		case scenario.Off:
			on--
		}
		since = a.At + afterAction
	}
	if on == 0 && plan.End > since {
		u.calm = append(u.calm, span{since, plan.End})
	}
	return u
}

// third returns 0 for a calm moment in the first third, 1 for one in the last, and -1 for all others.
func (u *uses) third(at time.Duration) int {
	i, _ := slices.BinarySearchFunc(u.calm, at, func(s span, at time.Duration) int { return cmp.Compare(s.to, at) })
	switch {
	case i == len(u.calm) || at < u.calm[i].from:
		return -1
	case at <= u.end/3:
		return 0
	case at >= u.end-u.end/3:
		return 1
	}
	return -1
}

// Use takes one sample. It returns an error, and takes nothing, when there is no such node.
func (j *Judge) Use(s UseSample) error {
	if s.Node < 0 || s.Node >= j.uses.nodes {
		return fmt.Errorf("take a sample of what a process held: there is no node %d among %d", s.Node, j.uses.nodes)
	}
	third := j.uses.third(s.At)
	if third < 0 {
		return nil
	}
	key := processKey{s.Node, s.Process}
	if j.uses.processes[key] == nil {
		j.uses.processes[key] = &[2][]UseSample{}
	}
	of := j.uses.processes[key]
	of[third] = append(of[third], s)
	return nil
}

// result returns the processes with samples of both thirds, by node.
func (u *uses) result() []Process {
	var all []Process
	for node := range u.nodes {
		for key, of := range u.processes {
			if key.node == node && len(of[0]) > 0 && len(of[1]) > 0 {
				all = append(all, Process{Node: scenario.NodeName(node), Early: medians(of[0]), Late: medians(of[1])})
			}
		}
	}
	return all
}

func medians(samples []UseSample) Use {
	median := func(value func(*UseSample) float64) Number {
		values := make([]float64, len(samples))
		for i := range samples {
			values[i] = value(&samples[i])
		}
		slices.Sort(values)
		return Number(stats.Quantile(values, 0.5))
	}
	return Use{
		Samples:     len(samples),
		Goroutines:  median(func(s *UseSample) float64 { return float64(s.Goroutines) }),
		Descriptors: median(func(s *UseSample) float64 { return float64(s.Descriptors) }),
		Resident:    median(func(s *UseSample) float64 { return float64(s.Resident) }),
		Heap:        median(func(s *UseSample) float64 { return float64(s.Heap) }),
	}
}

// grown holds what processes grew by against bounds.
func grown(e *scenario.Growth, runs []RunResult) Outcome {
	followed := 0
	var seeds []uint64
	for i := range runs {
		followed += len(runs[i].Processes)
		if len(runs[i].Processes) == 0 {
			return Outcome{Text: fmt.Sprintf("No process could be followed from the first third to the last of the run with seed %d.", runs[i].Seed), Seeds: []uint64{runs[i].Seed}}
		}
		for k := range runs[i].Processes {
			if tooMuch(e, &runs[i].Processes[k]) {
				seeds = append(seeds, runs[i].Seed)
				break
			}
		}
	}
	var parts []string
	for _, g := range Growth(runs) {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", g.Name, g.by(), g.Node))
	}
	text := fmt.Sprintf("Of %s that ran through, those that grew most: %s", plural(followed, "process"), strings.Join(parts, "; "))
	return Outcome{Holds: len(seeds) == 0, Text: text + ofRuns(len(seeds), len(runs)) + ".", Seeds: seeds}
}

// tooMuch says whether a process grew by more than is allowed.
func tooMuch(e *scenario.Growth, p *Process) bool {
	count := func(most *int, from, to Number) bool { return most != nil && to-from > Number(*most) }
	share := func(most *scenario.Fraction, from, to Number) bool { return most != nil && to > from*(1+Number(*most)) }
	return count(e.Goroutines, p.Early.Goroutines, p.Late.Goroutines) || count(e.Descriptors, p.Early.Descriptors, p.Late.Descriptors) ||
		share(e.Memory, p.Early.Resident, p.Late.Resident) || share(e.Memory, p.Early.Heap, p.Late.Heap)
}
