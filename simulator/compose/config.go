// Package compose is the engine that plays a scenario on the agents of a
// docker-compose cluster. Beside each agent stands a fault agent (package
// sidecar), which starts and kills it and does the faults; what the agents see
// is read from their APIs. Both are reached over a control network with a
// token, so that no container engine's socket is needed. docs/compose.md
// describes the topology.
package compose

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"heartbeat/gossip/httpapi"
)

// The environment that says where the cluster is; docker-compose.yml sets it for
// the service simulate.
const (
	// NodesEnv lists the nodes n1, n2 and so on, each as GOSSIP=CONTROL: its
	// addresses in the gossip network and in the control network.
	NodesEnv = "HEARTBEAT_COMPOSE_NODES"
	// TokenFileEnv names the file with the token of fault agents and APIs.
	TokenFileEnv = "HEARTBEAT_COMPOSE_TOKEN_FILE"
)

// The ports at a node's control address.
const (
	apiPort     = "7980"
	sidecarPort = "7981"
)

// MaxNodes bounds the cluster: far more than one host's containers.
const MaxNodes = 100

// Config says where the cluster is.
type Config struct {
	// Nodes are n1, n2 and so on, 2 to MaxNodes.
	Nodes []Node
	// Token is shown to the fault agents and to the agents' APIs.
	Token string
}

// Node is where a node can be reached.
type Node struct {
	// Gossip is its address in the gossip network, which faults are about.
	Gossip netip.Addr
	// Sidecar and API are the fault agent's and the agent's address, host:port.
	Sidecar, API string
}

// ErrOutside is FromEnv's error where there is no cluster to play on.
var ErrOutside = errors.New("the compose engine runs inside the cluster: docker-compose run --rm simulate SCENARIO")

// FromEnv reads the configuration from the environment. The error is ErrOutside
// when that says nothing about a cluster.
func FromEnv(getenv func(string) string) (Config, error) {
	text := getenv(NodesEnv)
	if text == "" {
		return Config{}, ErrOutside
	}
	nodes, err := parseNodes(text)
	if err != nil {
		return Config{}, fmt.Errorf("environment variable %s: %w", NodesEnv, err)
	}
	path := getenv(TokenFileEnv)
	if path == "" {
		return Config{}, fmt.Errorf("environment variable %s is not set: it names the file with the cluster's token", TokenFileEnv)
	}
	token, err := httpapi.ReadTokenFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("environment variable %s: %w", TokenFileEnv, err)
	}
	return Config{Nodes: nodes, Token: token}, nil
}

func parseNodes(text string) ([]Node, error) {
	words := strings.Fields(text)
	if len(words) < 2 || len(words) > MaxNodes {
		return nil, fmt.Errorf("number of nodes listed: %d, possible are 2 to %d", len(words), MaxNodes)
	}
	var nodes []Node
	known := make(map[netip.Addr]bool)
	for _, word := range words {
		left, right, _ := strings.Cut(word, "=")
		gossip, err := netip.ParseAddr(left)
		control, err2 := netip.ParseAddr(right)
		if err != nil || err2 != nil {
			return nil, fmt.Errorf("%.64q does not say where a node is: write GOSSIP=CONTROL, such as 172.30.79.21=172.30.79.131", word)
		}
		for _, addr := range []netip.Addr{gossip, control} {
			if known[addr] {
				return nil, fmt.Errorf("%s comes twice", addr)
			}
			known[addr] = true
		}
		nodes = append(nodes, Node{
			Gossip:  gossip,
			Sidecar: net.JoinHostPort(control.String(), sidecarPort),
			API:     net.JoinHostPort(control.String(), apiPort),
		})
	}
	return nodes, nil
}
