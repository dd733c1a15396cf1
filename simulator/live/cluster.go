// Package live plays a plan in real time against real agents: it starts them,
// carries out the timeline, and reads from each agent's API what it saw. What
// the agents run in is a Cluster: package netns and package compose have one
// each.
package live

import (
	"context"
	"net/netip"
	"time"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/kernelfault"
)

// Cluster is a number of nodes whose agents can be started and stopped and to
// which faults can be done. Methods for different nodes may be called at the
// same time. Of those for one node, Start, Kill, Freeze and Thaw are called one
// after another; all others may be called beside these and each other.
//
// Methods that return a time return the moment, by this host's clock, at which
// what they do had taken effect.
type Cluster interface {
	// Start gives a stopped node a new process, which joins through the given
	// nodes, and returns when its API answers. The time is when it began to run.
	Start(ctx context.Context, node int, seeds []int) (time.Time, error)
	// Kill ends a node's process with SIGKILL and waits for its end.
	Kill(ctx context.Context, node int) (time.Time, error)
	// Ended waits until a node's process has ended by itself. The error is nil
	// when it ended with status 0, ctx's when it still runs, and otherwise it
	// says how the process ended and what it wrote last.
	Ended(ctx context.Context, node int) (time.Time, error)
	// Freeze stops a node's process with SIGSTOP and waits until it has stopped.
	// Thaw lets it go on, and returns the moment before it may do so.
	Freeze(ctx context.Context, node int) (time.Time, error)
	Thaw(ctx context.Context, node int) (time.Time, error)
	// Change puts faults into effect at a node, replacing those with the same
	// ID, and ends those with the IDs in drop, in one step.
	Change(ctx context.Context, node int, put []kernelfault.Fault, drop []string) (time.Time, error)
	// Address is the node's address in the gossip network.
	Address(node int) netip.Addr
	// API is the client of a node's agent, the same for all its lives.
	API(node int) *httpapi.Client
	// Clock asks the node's host for its time. On one host it is this process's.
	Clock(ctx context.Context, node int) (time.Time, error)
}
