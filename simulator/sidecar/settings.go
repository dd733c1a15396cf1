package sidecar

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// settable are the settings that a start may give the agent: those that a
// scenario is about. Neither what the agent reads or writes (paths, keys, API)
// nor who it is and where it listens is among them, so that whoever holds the
// fault agent's token cannot make the agent anything else than it is. A star
// stands for one or more characters.
var settable = []string{
	"HEARTBEAT_PROFILE", "HEARTBEAT_DETECTOR", "HEARTBEAT_CLUSTER_*", "HEARTBEAT_PROBE_*", "HEARTBEAT_SUSPICION_*", "HEARTBEAT_VERDICT_*", "HEARTBEAT_GOSSIP_*",
	"HEARTBEAT_SYNC_*", "HEARTBEAT_HEAL_*", "HEARTBEAT_MEMBERS_*", "HEARTBEAT_EVENTS_*", "HEARTBEAT_JOURNAL_*", "HEARTBEAT_LEAVE_*",
}

// Bounds of the settings of one start.
const (
	maxSettings = 64
	maxSetting  = 4 << 10 // bytes of a name and its value
)

// Settable tells whether a start may give the agent this environment variable.
func Settable(name string) bool {
	if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return false
	}
	return slices.ContainsFunc(settable, func(pattern string) bool {
		prefix, open := strings.CutSuffix(pattern, "*")
		return name == pattern || open && strings.HasPrefix(name, prefix) && len(name) > len(prefix)
	})
}

// CheckSettings refuses environment variables that a start may not give the
// agent, see Settable, and those that are too many or too long. Errors never
// show a value.
func CheckSettings(env map[string]string) error {
	if len(env) > maxSettings {
		return fmt.Errorf("%d settings are too many for one start: at most %d are possible", len(env), maxSettings)
	}
	for name, value := range env {
		switch {
		case !Settable(name):
			return fmt.Errorf("environment variable %.64q cannot be given to the agent: possible are %s", name, strings.Join(settable, ", "))
		case len(name)+len(value) > maxSetting:
			return fmt.Errorf("environment variable %.64q is longer than %d bytes", name, maxSetting)
		case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
			return fmt.Errorf("the value of environment variable %.64q is no text", name)
		}
	}
	return nil
}
