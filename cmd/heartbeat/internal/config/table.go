package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"heartbeat/gossip"
)

// Setting describes one setting to everything that sets or shows it by name.
type Setting struct {
	// Key is the dotted name, such as "probe.interval": nested in the file,
	// HEARTBEAT_PROBE_INTERVAL in the environment, --set probe.interval=1s.
	Key string
	// Kind says what values look like: "duration", "int", "bool", "string",
	// "choice", "path", "tags", "networks" or "list" (comma-separated).
	Kind string
	// Help is one line for people.
	Help string
	// Bounds is the allowed range in words, empty when there is none.
	Bounds string
	// Reload tells that a running agent takes over a new value on SIGHUP;
	// the others need a restart.
	Reload bool

	get   func(*Settings) string
	set   func(*Settings, string) error
	check func(*Settings) error
}

// Env is the name of the environment variable of the setting.
func (d Setting) Env() string {
	return "HEARTBEAT_" + strings.ToUpper(strings.ReplaceAll(d.Key, ".", "_"))
}

// Many tells whether the setting holds several values: a list or a map in the
// file, separated by commas elsewhere.
func (d Setting) Many() bool {
	return d.Kind == "tags" || d.Kind == "networks" || d.Kind == "list"
}

// Table lists every setting of the agent in the order in which documentation
// shows them. The slice is the caller's.
func Table() []Setting { return slices.Clone(table) }

// table is the one list: the profile, what package gossip has, and what only the
// agent has, with the keys of a section side by side.
var table = bySection(slices.Concat(
	[]Setting{profile("profile", "set of defaults that the other settings start from")},
	gossipTable(),
	[]Setting{
		seeds("cluster.seeds", "addresses to join through"),
		path("encryption.keyring", "file with the encryption keys, empty: no encryption", func(s *Settings) *string { return &s.KeyringPath }),
		text("api.address", "where the HTTP API listens, empty: nowhere", "host:port or unix:/path", func(s *Settings) *string { return &s.API.Address }),
		path("api.token_file", "file with the token that clients of the API must show", func(s *Settings) *string { return &s.API.TokenFile }),
		path("api.tls.cert", "certificate of the API (PEM), turns TLS on", func(s *Settings) *string { return &s.API.TLSCert }),
		path("api.tls.key", "private key of that certificate (PEM)", func(s *Settings) *string { return &s.API.TLSKey }),
		path("api.tls.client_ca", "CA that certificates of clients must come from (PEM)", func(s *Settings) *string { return &s.API.TLSClientCA }),
		path("data_dir", "directory for what a restart needs, empty: nothing is kept", func(s *Settings) *string { return &s.DataDir }),
		duration("leave.timeout", "how long a graceful leave may take", 100*time.Millisecond, time.Minute, func(s *Settings) *time.Duration { return &s.Leave.Timeout }),
		boolean("leave.rejoin", "use the snapshot of members even after a graceful leave", func(s *Settings) *bool { return &s.Leave.Rejoin }),
		reload(choice("log.level", "least severe lines to log", func(s *Settings) *string { return &s.Log.Level }, "trace", "debug", "info", "warn", "error")),
		choice("log.format", "console for people, json for machines, auto by what stderr is", func(s *Settings) *string { return &s.Log.Format }, "auto", "console", "json"),
	},
))

// bySection groups the settings by the first part of their keys, in the order
// of first appearance.
func bySection(list []Setting) []Setting {
	var order []string
	groups := map[string][]Setting{}
	for _, d := range list {
		section, _, _ := strings.Cut(d.Key, ".")
		if groups[section] == nil {
			order = append(order, section)
		}
		groups[section] = append(groups[section], d)
	}
	grouped := make([]Setting, 0, len(list))
	for _, section := range order {
		grouped = append(grouped, groups[section]...)
	}
	return grouped
}

// byKey indexes table.
var byKey = func() map[string]Setting {
	m := make(map[string]Setting, len(table))
	for _, d := range table {
		m[d.Key] = d
	}
	return m
}()

func lookup(key string) (Setting, bool) {
	d, ok := byKey[key]
	return d, ok
}

func unknownKey(key string) error {
	return fmt.Errorf("setting %q is not known%s", key, gossip.Nearest(key, keys()))
}

func keys() []string {
	list := make([]string, len(table))
	for i, d := range table {
		list[i] = d.Key
	}
	return list
}

// gossipTable takes over the node's settings.
func gossipTable() []Setting {
	var list []Setting
	for _, g := range gossip.Settings() {
		list = append(list, Setting{
			Key: g.Key, Kind: g.Kind, Help: g.Help, Bounds: g.Bounds, Reload: g.Key == "node.tags",
			get: func(s *Settings) string { v, _ := s.Gossip.Get(g.Key); return v }, // the key is known
			// Set puts the key in front of its errors; here the caller does.
			set: func(s *Settings, v string) error { return errors.Unwrap(s.Gossip.Set(g.Key, v)) },
		})
	}
	return list
}

func reload(d Setting) Setting {
	d.Reload = true
	return d
}

func profile(key, help string) Setting {
	return Setting{
		Key: key, Kind: "choice", Help: help, Bounds: "lan, wan or local",
		get: func(s *Settings) string { return s.Gossip.Profile },
		set: func(s *Settings, v string) error {
			if _, err := gossip.Profile(v); err != nil {
				return fmt.Errorf("%q is not possible: choose lan, wan or local", v)
			}
			s.Gossip.Profile = v
			return nil
		},
	}
}

func duration(key, help string, lo, hi time.Duration, f func(*Settings) *time.Duration) Setting {
	return Setting{
		Key: key, Kind: "duration", Help: help, Bounds: fmt.Sprintf("%v to %v", lo, hi),
		get: func(s *Settings) string { return f(s).String() },
		set: func(s *Settings, v string) error {
			d, err := time.ParseDuration(v)
			if err != nil {
				return fmt.Errorf("%q is not a duration such as 500ms, 2s or 1m30s", v)
			}
			*f(s) = d
			return nil
		},
		check: func(s *Settings) error {
			if d := *f(s); d < lo || d > hi {
				return fmt.Errorf("%v is out of range: %v to %v", d, lo, hi)
			}
			return nil
		},
	}
}

func boolean(key, help string, f func(*Settings) *bool) Setting {
	return Setting{
		Key: key, Kind: "bool", Help: help,
		get: func(s *Settings) string { return strconv.FormatBool(*f(s)) },
		set: func(s *Settings, v string) error {
			if v != "true" && v != "false" {
				return fmt.Errorf("%q is neither true nor false", v)
			}
			*f(s) = v == "true"
			return nil
		},
	}
}

func text(key, help, bounds string, f func(*Settings) *string) Setting {
	return Setting{
		Key: key, Kind: "string", Help: help, Bounds: bounds,
		get: func(s *Settings) string { return *f(s) },
		set: func(s *Settings, v string) error { *f(s) = v; return nil },
	}
}

func choice(key, help string, f func(*Settings) *string, values ...string) Setting {
	d := text(key, help, strings.Join(values[:len(values)-1], ", ")+" or "+values[len(values)-1], f)
	d.Kind = "choice"
	d.set = func(s *Settings, v string) error {
		if !slices.Contains(values, v) {
			return fmt.Errorf("%q is not possible: choose %s", v, d.Bounds)
		}
		*f(s) = v
		return nil
	}
	return d
}

// path refuses what looks like a key, without showing it.
func path(key, help string, f func(*Settings) *string) Setting {
	d := text(key, help, "", f)
	d.Kind = "path"
	d.set = func(s *Settings, v string) error {
		if _, err := gossip.ParseKey(v); err == nil && !strings.HasPrefix(v, "/") {
			return errors.New("the path of a file is needed; what is given looks like a key itself, which must stay in a file (it is not shown here; replace it, since others may have seen it)")
		}
		*f(s) = v
		return nil
	}
	return d
}

// maxSeeds bounds cluster.seeds: each one is tried at once.
const maxSeeds = 64

func seeds(key, help string) Setting {
	return Setting{
		Key: key, Kind: "list", Help: help, Bounds: fmt.Sprintf("host, host:port, [v6]:port or srv:name, at most %d", maxSeeds), Reload: true,
		get: func(s *Settings) string { return strings.Join(s.Seeds, ",") },
		set: func(s *Settings, v string) error {
			var list []string
			var errs []error
			for part := range strings.SplitSeq(v, ",") {
				if part = strings.TrimSpace(part); part == "" {
					continue
				}
				if _, err := gossip.ParseSeed(part, gossip.DefaultPort); err != nil {
					errs = append(errs, err)
				}
				list = append(list, part)
			}
			if len(errs) > 0 {
				return listError(errs)
			}
			if len(list) > maxSeeds {
				return fmt.Errorf("%d seeds are too many: at most %d, a few are enough", len(list), maxSeeds)
			}
			s.Seeds = list
			return nil
		},
	}
}
