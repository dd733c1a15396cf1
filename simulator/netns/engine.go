// Package netns is the engine that plays a scenario on this machine with real
// agents: each in a network namespace of its own, with the kernel losing and
// delaying their packets. It needs Linux and the rights to make namespaces.
//
// Nothing of it has a name on the machine. The namespaces are held by this
// process's descriptors and by the agents alone, and the agents die with this
// process, so that nothing is left behind however it ends. Only a directory
// with the agents' sockets may outlive a SIGKILL; the next run removes it.
package netns

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"heartbeat/gossip"
	"heartbeat/simulator/scenario"
)

// Engine plays scenarios on agents in network namespaces. It may play several
// at the same time.
type Engine struct {
	// Program is the heartbeat binary that the agents run.
	Program string
	// Log is told of leftovers that were removed.
	Log zerolog.Logger
	// Dir is where the directory with the agents' sockets is made; empty means
	// os.TempDir.
	Dir string
}

// Name is what results call the engine.
func (*Engine) Name() string { return "netns" }

// MaxNodes is the largest cluster. An agent takes about 10 MB, and each knows
// the hardware address of each other.
const MaxNodes = 200

func checkSize(sc *scenario.Scenario) error {
	if sc.Cluster.Nodes > MaxNodes {
		return fmt.Errorf("the scenario %s has %d nodes: network namespaces take at most %d; the virtual engine takes more", sc.Name, sc.Cluster.Nodes, MaxNodes)
	}
	return nil
}

// variable is the name of the environment variable that gives an agent a
// setting.
func variable(key string) string {
	return "HEARTBEAT_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// detector is the setting that decides when a member is failed. A program that
// has but one way to decide has no such setting.
const detector = "detector"

// environment is what all agents of a scenario are given: its settings, and
// bounds that let many agents share a machine. It holds nothing of this
// process's own environment, which may be meant for another agent.
func environment(sc *scenario.Scenario) []string {
	settings := map[string]string{
		"profile":      string(sc.Cluster.Profile),
		"journal.size": "16384", // what a node accuses others of is read from there
		"log.level":    "warn",
		"log.format":   "console",
	}
	if slices.ContainsFunc(gossip.Settings(), func(s gossip.Setting) bool { return s.Key == detector }) {
		settings[detector] = sc.Cluster.Detector
	}
	for key, value := range sc.Cluster.Settings {
		settings[key] = value
	}
	env := []string{"GOMAXPROCS=1", "GOMEMLIMIT=64MiB"}
	for key, value := range settings {
		env = append(env, variable(key)+"="+value)
	}
	return env
}
