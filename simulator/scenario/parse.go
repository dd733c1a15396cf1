package scenario

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// Options are what a caller knows and this package does not.
type Options struct {
	// CheckSetting says what is wrong with a setting of the nodes, such as probe.interval, or nil. Without it
	// every setting is taken as it is.
	CheckSetting func(key, value string) error
	// Detectors are the names allowed for cluster.detector. Empty means verdicts alone.
	Detectors []string
}

// checks are the options as a scenario keeps them.
type checks struct {
	setting   func(key, value string) error
	detectors []string
}

// Parse reads a scenario. The name stands for the file in errors, which are [Errors]: all there is to say
// about the file at once, each with its line.
func Parse(name string, data []byte, opts Options) (*Scenario, error) {
	s := defaults()
	s.pos = positions{}
	s.check = checks{setting: opts.CheckSetting, detectors: opts.Detectors}
	if len(s.check.detectors) == 0 {
		s.check.detectors = []string{s.Cluster.Detector}
	}
	p := &problems{source: name, pos: s.pos}
	if root := parseYAML(data, p); root != nil {
		d := &decoder{problems: p}
		d.value("", root, reflect.ValueOf(&s).Elem())
		s.validate(p)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return &s, nil
}

// Load reads the built-in scenario of that name, or else the file at that path. A file that is called like a
// built-in scenario is reached as ./name.
func Load(nameOrPath string, opts Options) (*Scenario, error) {
	name, data, err := Read(nameOrPath)
	if err != nil {
		return nil, err
	}
	return Parse(name, data, opts)
}

// Read returns the text of what [Load] would parse, and the name for it in errors.
func Read(nameOrPath string) (name string, data []byte, err error) {
	if b, ok := builtin(nameOrPath); ok {
		return nameOrPath + ".yaml", b.Data, nil
	}
	file, err := os.Open(nameOrPath)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(nameOrPath, "./\\") {
			return "", nil, fmt.Errorf("there is neither a built-in scenario nor a file called %q; built in are %s",
				nameOrPath, strings.Join(builtinNames(), ", "))
		}
		return "", nil, fmt.Errorf("read the scenario: %w", err)
	}
	defer file.Close()
	// One byte more than allowed is enough for Parse to see that it is too much.
	data, err = io.ReadAll(io.LimitReader(file, MaxFileSize+1))
	if err != nil {
		return "", nil, fmt.Errorf("read the scenario %s: %w", nameOrPath, err)
	}
	return nameOrPath, data, nil
}
