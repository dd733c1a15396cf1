package gossip

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultPort is the UDP and TCP port of a node unless another is set.
const DefaultPort = 7946

// Setting describes one field of Config to everything that sets it by name:
// the agent's file (probe: {interval: 1s}), environment
// (HEARTBEAT_PROBE_INTERVAL), flags (--set probe.interval=1s) and scenarios.
type Setting struct {
	// Key is the dotted name, such as "probe.interval".
	Key string
	// Kind says what values look like: "duration", "int", "bool", "string",
	// "tags" or "networks" (comma-separated).
	Kind string
	// Help is one line for people; the field's documentation says more.
	Help string
	// Bounds is the allowed range in words, empty when there is none.
	Bounds string

	get   func(*Config) string
	set   func(*Config, string) error
	check func(*Config) error
}

// Settings lists every setting in the order in which documentation shows them.
// The slice is the caller's.
func Settings() []Setting { return slices.Clone(settings) }

// Set changes the setting key to the value given as text. It fails for an
// unknown key (and names the nearest one) and for a value that cannot be read;
// whether the value fits is Validate's to say.
func (c *Config) Set(key, value string) error {
	s, err := lookupSetting(key)
	if err != nil {
		return err
	}
	if err := s.set(c, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// Get returns the value of the setting key as text that Set reads back.
func (c *Config) Get(key string) (string, error) {
	s, err := lookupSetting(key)
	if err != nil {
		return "", err
	}
	return s.get(c), nil
}

func lookupSetting(key string) (*Setting, error) {
	for i := range settings {
		if settings[i].Key == key {
			return &settings[i], nil
		}
	}
	return nil, fmt.Errorf("setting %q is not known%s", key, Nearest(key, settingKeys()))
}

func settingKeys() []string {
	keys := make([]string, len(settings))
	for i, s := range settings {
		keys[i] = s.Key
	}
	return keys
}

var settings = []Setting{
	text("node.name", "the node's name, unique in the cluster", func(c *Config) *string { return &c.Name }, checkName),
	tags("node.tags", "key=value pairs that all members see", func(c *Config) *map[string]string { return &c.Tags }),
	text("cluster.name", "nodes of another cluster name are refused", func(c *Config) *string { return &c.Cluster }, checkCluster),

	text("network.bind", "address or interface to listen on", func(c *Config) *string { return &c.Bind }, nil),
	number("network.port", "UDP and TCP port, 0 takes a free one", 0, 65535, func(c *Config) *int { return &c.Port }),
	text("network.advertise", "address told to the others, when it is not the bound one", func(c *Config) *string { return &c.Advertise }, checkAdvertise),
	number("network.advertise_port", "port told to the others, 0 means the bound one", 0, 65535, func(c *Config) *int { return &c.AdvertisePort }),
	networks("network.allowed", "networks that members may have addresses of", func(c *Config) *[]netip.Prefix { return &c.AllowedNetworks }),
	number("network.max_streams", "TCP streams that others may have open here", 8, 65536, func(c *Config) *int { return &c.MaxStreams }),
	duration("network.stream_timeout", "bound of a TCP dial and of a whole exchange", 100*time.Millisecond, 10*time.Minute, func(c *Config) *time.Duration { return &c.StreamTimeout }),

	duration("probe.interval", "time between two probes of this node", 10*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.ProbeInterval }),
	duration("probe.timeout", "wait for a direct probe before others are asked", time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.ProbeTimeout }),
	number("probe.indirect", "members asked when a direct probe stays unanswered", 0, 64, func(c *Config) *int { return &c.IndirectProbes }),
	boolean("probe.disable_tcp", "no TCP probe beside the indirect ones", func(c *Config) *bool { return &c.DisableTCPProbes }),
	number("probe.awareness_max", "how far a slow node stretches its probes, 1 = not at all", 1, 64, func(c *Config) *int { return &c.AwarenessMax }),

	number("suspicion.mult", "suspicion timeout in units of log10(N) probe intervals", 1, 64, func(c *Config) *int { return &c.SuspicionMult }),
	number("suspicion.max_timeout_mult", "longest suspicion in units of the shortest", 1, 64, func(c *Config) *int { return &c.SuspicionMaxTimeoutMult }),

	text("detector", "who decides that a member failed: memberlist (the engine alone) or verdicts (witnesses)", func(c *Config) *string { return &c.Detector }, checkDetector),
	number("verdict.witnesses", "members that look for themselves after an accusation", 1, 16, func(c *Config) *int { return &c.VerdictWitnesses }),
	number("verdict.quorum", "witnesses that must have got no answer", 1, 16, func(c *Config) *int { return &c.VerdictQuorum }),
	number("verdict.controls", "other members that a witness probes to tell whether the fault is its own", 1, 8, func(c *Config) *int { return &c.VerdictControls }),
	duration("verdict.patience", "time from the first accusation to a verdict, unless nobody had heard of the member for long", 100*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.VerdictPatience }),
	duration("verdict.silence", "least time since a member was heard by anybody to a verdict", time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.VerdictSilence }),
	duration("verdict.patience_max", "most patience with members whose verdicts were overturned", 100*time.Millisecond, 24*time.Hour, func(c *Config) *time.Duration { return &c.VerdictPatienceMax }),
	duration("verdict.probation", "how long nobody must accuse a member that failed again soon after it had come back, 0 = it is back at once, and one that answers hardly anything stays alive", 0, time.Hour, func(c *Config) *time.Duration { return &c.VerdictProbation }),

	duration("gossip.interval", "time between two gossip rounds", time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.GossipInterval }),
	number("gossip.nodes", "members that get each round's packet", 1, 64, func(c *Config) *int { return &c.GossipNodes }),
	duration("gossip.to_the_dead", "how long failed members still get gossip", 0, 24*time.Hour, func(c *Config) *time.Duration { return &c.GossipToTheDead }),
	number("gossip.retransmit_mult", "sends of each piece of news in units of log10(N+1)", 1, 64, func(c *Config) *int { return &c.RetransmitMult }),
	number("gossip.packet_size", "most bytes in one UDP packet", 1024, 65507, func(c *Config) *int { return &c.PacketSize }),
	boolean("gossip.compression", "LZW compression of messages", func(c *Config) *bool { return &c.Compression }),
	number("gossip.queue_depth", "messages received and not yet handled", 16, 1<<20, func(c *Config) *int { return &c.QueueDepth }),
	boolean("sync.digest", "tell a digest of the view with each ack, and exchange state where they differ", func(c *Config) *bool { return &c.SyncDigest }),
	duration("sync.interval", "time between two full exchanges of state, 0 = none; with sync.digest a safety net, without it 30s or so is needed", 0, 24*time.Hour, func(c *Config) *time.Duration { return &c.SyncInterval }),

	duration("heal.interval", "time in which the cluster makes one attempt to reach failed members and seeds again, 0 = none", 0, time.Hour, func(c *Config) *time.Duration { return &c.HealInterval }),

	duration("members.reclaim_after", "how long failed before a name may move to another address, 0 = at once", 0, 24*time.Hour, func(c *Config) *time.Duration { return &c.ReclaimAfter }),
	number("members.max", "most members in the table", 2, 1<<20, func(c *Config) *int { return &c.MaxMembers }),
	duration("members.forget_failed", "how long a failed member stays in the view", time.Minute, 8760*time.Hour, func(c *Config) *time.Duration { return &c.ForgetFailed }),
	duration("members.forget_left", "how long a left member stays in the view", time.Minute, 8760*time.Hour, func(c *Config) *time.Duration { return &c.ForgetLeft }),
	number("events.buffer", "newest events kept for watchers", 16, 1<<20, func(c *Config) *int { return &c.EventBuffer }),
	number("journal.size", "entries that the journal holds in all", 64, 1<<20, func(c *Config) *int { return &c.JournalSize }),

	boolean("encryption.accept_plain", "accept unencrypted messages while moving to encryption", func(c *Config) *bool { return &c.AcceptPlain }),
	boolean("encryption.send_plain", "send unencrypted messages while moving to encryption", func(c *Config) *bool { return &c.SendPlain }),
}

func duration(key, help string, lo, hi time.Duration, f func(*Config) *time.Duration) Setting {
	return Setting{
		Key: key, Kind: "duration", Help: help, Bounds: fmt.Sprintf("%v to %v", lo, hi),
		get: func(c *Config) string { return f(c).String() },
		set: func(c *Config, v string) error {
			d, err := time.ParseDuration(v)
			if err != nil {
				return fmt.Errorf("%q is not a duration such as 500ms, 2s or 1m30s", v)
			}
			*f(c) = d
			return nil
		},
		check: func(c *Config) error { return inRange(*f(c), lo, hi) },
	}
}

func number(key, help string, lo, hi int, f func(*Config) *int) Setting {
	return Setting{
		Key: key, Kind: "int", Help: help, Bounds: fmt.Sprintf("%d to %d", lo, hi),
		get: func(c *Config) string { return strconv.Itoa(*f(c)) },
		set: func(c *Config, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil {
				return fmt.Errorf("%q is not a whole number", v)
			}
			*f(c) = n
			return nil
		},
		check: func(c *Config) error { return inRange(*f(c), lo, hi) },
	}
}

func inRange[T int | time.Duration](v, lo, hi T) error {
	if v < lo || v > hi {
		return fmt.Errorf("%v is out of range: %v to %v", v, lo, hi)
	}
	return nil
}

func boolean(key, help string, f func(*Config) *bool) Setting {
	return Setting{
		Key: key, Kind: "bool", Help: help,
		get: func(c *Config) string { return strconv.FormatBool(*f(c)) },
		set: func(c *Config, v string) error {
			switch v {
			case "true", "false":
				*f(c) = v == "true"
				return nil
			}
			return fmt.Errorf("%q is neither true nor false", v)
		},
	}
}

func text(key, help string, f func(*Config) *string, check func(string) error) Setting {
	s := Setting{
		Key: key, Kind: "string", Help: help,
		get: func(c *Config) string { return *f(c) },
		set: func(c *Config, v string) error { *f(c) = v; return nil },
	}
	if check != nil {
		s.check = func(c *Config) error { return check(*f(c)) }
	}
	return s
}

func tags(key, help string, f func(*Config) *map[string]string) Setting {
	return Setting{
		Key: key, Kind: "tags", Help: help, Bounds: "512 bytes encoded in all",
		get: func(c *Config) string {
			pairs := make([]string, 0, len(*f(c)))
			for k, v := range *f(c) {
				pairs = append(pairs, k+"="+v)
			}
			slices.Sort(pairs)
			return strings.Join(pairs, ",")
		},
		set: func(c *Config, v string) error {
			m, err := ParseTags(splitList(v))
			if err == nil {
				*f(c) = m
			}
			return err
		},
		check: func(c *Config) error { return checkTags(*f(c)) },
	}
}

func networks(key, help string, f func(*Config) *[]netip.Prefix) Setting {
	return Setting{
		Key: key, Kind: "networks", Help: help, Bounds: "CIDR, comma-separated",
		get: func(c *Config) string {
			parts := make([]string, len(*f(c)))
			for i, p := range *f(c) {
				parts[i] = p.String()
			}
			return strings.Join(parts, ",")
		},
		set: func(c *Config, v string) error {
			var list []netip.Prefix
			for _, part := range splitList(v) {
				p, err := netip.ParsePrefix(part)
				if err != nil {
					return fmt.Errorf("%q is not a network such as 10.0.0.0/8 or fd00::/8", part)
				}
				list = append(list, p.Masked())
			}
			*f(c) = list
			return nil
		},
	}
}

// splitList splits a comma-separated list and drops empty parts.
func splitList(v string) []string {
	parts := strings.Split(v, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return slices.DeleteFunc(parts, func(p string) bool { return p == "" })
}

// ParseTags reads "key=value" pairs. An empty value is allowed, a key twice is
// not.
func ParseTags(pairs []string) (map[string]string, error) {
	m := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		k, v, ok := strings.Cut(pair, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("tag %q is not of the form key=value", pair)
		}
		if _, twice := m[k]; twice {
			return nil, fmt.Errorf("tag %q is given twice", k)
		}
		m[k] = v
	}
	return m, nil
}
