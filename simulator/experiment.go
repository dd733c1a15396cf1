package simulator

import (
	"fmt"
	"strings"

	"heartbeat/gossip"
	"heartbeat/simulator/scenario"
	"heartbeat/simulator/virtual"
)

// Experiment is a scenario with its overrides, ready to be run. It keeps the
// text that it came from, so that child processes and reports have it too.
type Experiment struct {
	Scenario *scenario.Scenario

	name   string
	source string
	set    []string
}

// options are what this program knows about scenarios.
var options = scenario.Options{CheckSetting: CheckSetting, Detectors: gossip.Detectors()}

// CheckSetting says what is wrong with a setting of the nodes, or nil.
func CheckSetting(key, value string) error {
	cfg := gossip.LAN()
	return cfg.Set(key, value)
}

// Load reads a built-in scenario or a file and applies overrides, each
// key=value as scenario.Scenario.Set takes them. Errors name file and line, or
// the override.
func Load(nameOrPath string, set []string) (*Experiment, error) {
	name, data, err := scenario.Read(nameOrPath)
	if err != nil {
		return nil, err
	}
	return Parse(name, data, set...)
}

// Parse is Load for a text; name stands for the file in errors.
func Parse(name string, text []byte, set ...string) (*Experiment, error) {
	sc, err := scenario.Parse(name, text, options)
	if err != nil {
		return nil, err
	}
	e := &Experiment{Scenario: sc, name: name, source: string(text)}
	return e, e.override(set)
}

// With is the same experiment with further overrides.
func (e *Experiment) With(set ...string) (*Experiment, error) {
	return Parse(e.name, []byte(e.source), append(append([]string(nil), e.set...), set...)...)
}

// Overrides are the overrides that were applied, in order.
func (e *Experiment) Overrides() []string { return append([]string(nil), e.set...) }

func (e *Experiment) override(set []string) error {
	for _, kv := range set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return fmt.Errorf("--set %s: want key=value", kv)
		}
		if err := e.Scenario.Set(key, value); err != nil {
			return err
		}
		e.set = append(e.set, kv)
	}
	if err := e.Scenario.Validate(); err != nil {
		return err
	}
	cfg, err := virtual.NodeConfig(e.Scenario)
	if err != nil {
		return err
	}
	cfg.Name = scenario.NodeName(0)
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("%s: the nodes' settings do not fit:\n%w", e.name, err)
	}
	return nil
}
