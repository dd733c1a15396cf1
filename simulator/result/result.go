// Package result is what running a scenario comes to: the runs, their summary
// and whether the expectations hold, with all that is needed to repeat it. It
// is what result.json holds, and knows neither engines nor reports.
package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"heartbeat/simulator/oracle"
)

// Version is the version of the format. A reader refuses newer ones.
const Version = 1

// Result is one scenario under one group of settings.
type Result struct {
	Version int `json:"version"`
	// Scenario is what was run.
	Scenario Scenario `json:"scenario"`
	// Engine is virtual, netns or compose. Figures of different engines are
	// not put into one table without naming them.
	Engine string `json:"engine"`
	// Settings are all settings of the nodes, with the values they had.
	Settings map[string]string `json:"settings"`
	// Seeds are the seeds asked for, in the notation of a scenario.
	Seeds string `json:"seeds"`
	// Command repeats the run.
	Command string `json:"command"`
	// Partial tells that the run was interrupted: Runs holds what was
	// finished, and no expectation can be called kept.
	Partial bool `json:"partial"`
	// Machine is where it ran.
	Machine Machine `json:"machine"`
	// Began is when, Wall how long it took, CPU the processor time of all runs.
	Began time.Time     `json:"began"`
	Wall  oracle.Number `json:"wall_s"`
	CPU   oracle.Number `json:"cpu_s"`
	// Runs has one entry for each finished seed, in the order of the seeds.
	Runs []oracle.RunResult `json:"runs"`
	// Summary puts the runs together.
	Summary oracle.Summary `json:"summary"`
	// Checks say of each expectation whether it holds.
	Checks []oracle.Outcome `json:"checks"`
}

// Scenario identifies what was run, overrides included.
type Scenario struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Source is the file's text, before the overrides.
	Source string `json:"source,omitempty"`
	// Set are the overrides, as key=value.
	Set []string `json:"set,omitempty"`
	// Words explain what happens when.
	Words string `json:"words"`
	// Profile and Detector are those of the nodes.
	Profile  string `json:"profile,omitempty"`
	Detector string `json:"detector,omitempty"`
	// Changed are the settings on top of the profile, by name.
	Changed map[string]string `json:"changed,omitempty"`
	// Nodes and End repeat the size and the length, for tables.
	Nodes int           `json:"nodes"`
	End   oracle.Number `json:"end_s"`
	// Bands are the faults of the first seed over time, for the heatmap.
	Bands []oracle.Band `json:"bands"`
}

// Machine is what the figures were measured on.
type Machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
	// Version is heartbeat's own.
	Version string `json:"version"`
}

// Holds says whether all runs were finished and all expectations hold.
func (r *Result) Holds() bool {
	if r.Partial {
		return false
	}
	for _, c := range r.Checks {
		if !c.Holds {
			return false
		}
	}
	for _, run := range r.Runs {
		if run.BrokenOff != "" {
			return false
		}
	}
	return true
}

// Write writes the result as indented JSON.
func (r *Result) Write(w io.Writer) error { return write(w, r) }

func write(w io.Writer, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	if _, err := w.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// Read reads a result back. It refuses other versions and fields that it does
// not know.
func Read(in io.Reader) (*Result, error) {
	data, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("read the result: %w", err)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("this is no result: %w", err)
	}
	if head.Version != Version {
		return nil, fmt.Errorf("the result is of version %d, this program reads version %d", head.Version, Version)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var r Result
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("read the result: %w", err)
	}
	if dec.More() {
		return nil, errors.New("read the result: something follows it")
	}
	return &r, nil
}
