package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"heartbeat/gossip"
)

// Sources are what settings are put together from, the later over the earlier.
type Sources struct {
	// File is the path of the YAML file; empty: none.
	File string
	// Env holds "NAME=value" pairs as os.Environ gives them. Only names that
	// begin with HEARTBEAT_ are looked at, and each of those must be known.
	Env []string
	// Flags are the settings given on the command line; of two for the same
	// key the later one counts.
	Flags []Flag
}

// Flag is one setting given on the command line.
type Flag struct {
	// Name is the flag as errors shall call it, such as "--bind" or
	// "--set probe.interval".
	Name string
	// Key and Value are the setting.
	Key, Value string
}

// ParseSet reads the argument of --set, key=value.
func ParseSet(arg string) (Flag, error) {
	key, value, ok := strings.Cut(arg, "=")
	if key = strings.TrimSpace(key); !ok || key == "" {
		// The argument is not repeated: it may be a value that went astray.
		return Flag{}, fmt.Errorf("flag --set: it takes key=value, such as probe.interval=500ms")
	}
	return Flag{Name: "--set " + key, Key: key, Value: value}, nil
}

// Resolve puts the settings together and validates them. Its error is an *Error
// with everything that is wrong, or says why the file cannot be read; there are
// no settings then.
func Resolve(src Sources) (*Settings, error) {
	var given []assignment
	var problems []Problem
	if src.File != "" {
		data, err := readFile(src.File)
		if err != nil {
			return nil, err
		}
		given, problems = parse(src.File, data)
	}
	fromEnv, wrong := environment(src.Env)
	given, problems = append(given, fromEnv...), append(problems, wrong...)
	for _, f := range src.Flags {
		a := assignment{key: f.Key, values: []string{f.Value}, source: "flag " + f.Name}
		if _, ok := lookup(f.Key); !ok {
			problems = append(problems, a.problem(unknownKey(f.Key)))
			continue
		}
		given = append(given, a)
	}

	s, wrong := build(given)
	problems = append(problems, wrong...)
	if len(problems) == 0 {
		problems = s.validate()
	}
	if len(problems) > 0 {
		sortByPosition(problems)
		return nil, &Error{Problems: problems}
	}
	return s, nil
}

// Check reports everything that is wrong with a file by itself: whether an
// agent could be started with it and nothing else. The files that it names are
// not looked at.
func Check(file string) error {
	_, err := Resolve(Sources{File: file})
	return err
}

// assignment is one setting as one source gives it.
type assignment struct {
	key    string
	values []string // one, unless the setting holds many and the file has a list
	source string

	line, column int // in the file
}

func (a assignment) problem(err error) Problem {
	return Problem{Source: a.source, Key: a.key, Err: err, line: a.line, column: a.column}
}

// build starts from the defaults of the profile that counts in the end and
// applies what was given, in order. A bad value is reported even when a later
// source overrides it.
func build(given []assignment) (*Settings, []Problem) {
	name := "lan"
	for _, a := range given {
		if a.key != "profile" {
			continue
		}
		if _, err := gossip.Profile(a.values[0]); err == nil {
			name = a.values[0]
		}
	}
	s, err := Defaults(name)
	if err != nil {
		return nil, []Problem{{Err: err}}
	}
	var problems []Problem
	for _, a := range given {
		if err := s.apply(a); err != nil {
			problems = append(problems, a.problem(fmt.Errorf("%s: %w", a.key, err)))
			continue
		}
		s.origin[a.key] = a
	}
	return s, problems
}

func (s *Settings) apply(a assignment) error {
	d, ok := lookup(a.key)
	if !ok {
		return unknownKey(a.key)
	}
	if d.Kind == "tags" && a.line > 0 {
		// From the file's map: a value may hold commas, which the text form
		// could not carry.
		tags, err := gossip.ParseTags(a.values)
		if err == nil {
			s.Gossip.Tags = tags
		}
		return err
	}
	return d.set(s, strings.Join(a.values, ","))
}

const envPrefix = "HEARTBEAT_"

// cliVariables belong to the command line tool, which shares the prefix.
var cliVariables = []string{"HEARTBEAT_CONFIG", "HEARTBEAT_ADDRESS", "HEARTBEAT_TOKEN_FILE"}

// linkVariable matches what Kubernetes and Docker put into the environment of
// every container for a service called "heartbeat" or "heartbeat-...".
var linkVariable = regexp.MustCompile(`^HEARTBEAT_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=|^HEARTBEAT_([A-Z0-9_]+_)?PORT=(tcp|udp|sctp)://`)

func environment(env []string) ([]assignment, []Problem) {
	byEnv := make(map[string]string, len(table))
	var names []string
	for _, d := range table {
		byEnv[d.Env()] = d.Key
		names = append(names, strings.TrimPrefix(d.Env(), envPrefix))
	}
	var given []assignment
	var problems []Problem
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(cliVariables, name) || linkVariable.MatchString(pair) {
			continue
		}
		source := "environment variable " + name
		key, ok := byEnv[name]
		if !ok {
			// Compared without the prefix, which would make all names alike.
			hint := gossip.Nearest(strings.TrimPrefix(name, envPrefix), names)
			hint = strings.Replace(hint, `mean "`, `mean "`+envPrefix, 1)
			problems = append(problems, Problem{Source: source, Err: fmt.Errorf("it belongs to no setting%s", hint)})
			continue
		}
		given = append(given, assignment{key: key, values: []string{value}, source: source})
	}
	return given, problems
}

// maxFileSize bounds the file; a full sample has a fiftieth of it.
const maxFileSize = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	defer f.Close()
	data, err := readBounded(f)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration %s: %w", path, err)
	}
	return data, nil
}
