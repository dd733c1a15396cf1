// Package config turns what people write into the settings of the agent:
// defaults, then a YAML file, then environment variables, then flags, each over
// the one before. The profile is settled first, whatever its source, since the
// defaults depend on it.
//
// One table (Table) says which settings there are. The keys of the file, the
// names of the variables, the flags, the annotated sample and the reference
// page all follow from it.
//
// Secrets are no settings: keys and tokens are only ever named by the path of
// the file that holds them, since flags and variables can be read by others on
// the same machine.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"heartbeat/gossip"
)

// Settings is everything that an agent is started with, after all sources have
// been put together. It is made by Resolve and not changed afterwards.
type Settings struct {
	// Gossip configures the node. Its Logger and its Keyring are not set here.
	Gossip gossip.Config
	// Seeds are the addresses to join through: as gossip.ParseSeed reads them.
	Seeds []string
	// KeyringPath is the file with the encryption keys; empty: no encryption.
	KeyringPath string
	// API is the local HTTP API.
	API API
	// DataDir is where the agent keeps what a restart needs; empty: nowhere.
	DataDir string
	// Leave is how the agent goes.
	Leave Leave
	// Log is how the agent logs.
	Log Log

	origin map[string]assignment
}

// API says where and for whom the HTTP API answers.
type API struct {
	Address     string // host:port or unix:/path; empty: no API
	TokenFile   string
	TLSCert     string
	TLSKey      string
	TLSClientCA string
}

// Leave says how the agent leaves its cluster.
type Leave struct {
	// Timeout bounds a graceful leave, 100ms to 1m.
	Timeout time.Duration
	// Rejoin lets a start after a graceful leave use the snapshot of members
	// all the same.
	Rejoin bool
}

// Log says how the agent logs.
type Log struct {
	Level  string // trace, debug, info, warn or error
	Format string // auto, console or json
}

// DefaultAPIAddress is where the API listens unless another address is set.
const DefaultAPIAddress = "127.0.0.1:7980"

// Defaults returns the settings of a profile (lan, wan or local) before any
// source has changed them.
func Defaults(profile string) (*Settings, error) {
	g, err := gossip.Profile(profile)
	if err != nil {
		return nil, err
	}
	return &Settings{
		Gossip: g,
		API:    API{Address: DefaultAPIAddress},
		Leave:  Leave{Timeout: 5 * time.Second},
		Log:    Log{Level: "info", Format: "auto"},
		origin: map[string]assignment{},
	}, nil
}

// Get returns the value of a setting as text in which a flag would give it.
func (s *Settings) Get(key string) (string, error) {
	d, ok := lookup(key)
	if !ok {
		return "", unknownKey(key)
	}
	return d.get(s), nil
}

// Origin says where the value of a setting came from, for people: a file's
// line, a variable, a flag, or "default".
func (s *Settings) Origin(key string) string {
	return cmp.Or(s.origin[key].source, "default")
}

// validate reports everything that does not fit, each with the source of the
// setting that it is about.
func (s *Settings) validate() []Problem {
	var problems []Problem
	add := func(err error) {
		key := keyOf(err)
		p := s.origin[key].problem(err)
		p.Key = key
		problems = append(problems, p)
	}
	for _, d := range table {
		if d.check == nil {
			continue
		}
		if err := d.check(s); err != nil {
			add(fmt.Errorf("%s: %w", d.Key, err))
		}
	}
	if (s.API.TLSCert == "") != (s.API.TLSKey == "") {
		add(errors.New("api.tls.cert: it goes with api.tls.key: give both or neither"))
	}
	if s.API.TLSClientCA != "" && s.API.TLSCert == "" {
		add(errors.New("api.tls.client_ca: it means nothing without api.tls.cert and api.tls.key"))
	}
	g := s.Gossip
	if s.KeyringPath != "" {
		// The file is read by the agent; here it only matters that there is one.
		g.Keyring = new(gossip.Keyring)
	}
	for _, err := range split(g.Validate()) {
		add(err)
	}
	return problems
}

// split takes an error of errors.Join apart.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	return []error{err}
}

// keyOf returns the key that an error of a check begins with, or "".
func keyOf(err error) string {
	head, _, _ := strings.Cut(err.Error(), ":")
	head, _, _ = strings.Cut(head, ",")
	if _, ok := lookup(head); ok {
		return head
	}
	return ""
}

// Changed lists the settings that differ in next.
func (s *Settings) Changed(next *Settings) []Setting {
	var changed []Setting
	for _, d := range table {
		if d.get(s) != d.get(next) {
			changed = append(changed, d)
		}
	}
	return changed
}

// Blame wraps an error about the value of a setting (a file that it names, an
// address that cannot be used) as an *Error that says where the value came
// from.
func (s *Settings) Blame(key string, err error) error {
	return &Error{Problems: []Problem{s.origin[key].problem(fmt.Errorf("%s: %w", key, err))}}
}
