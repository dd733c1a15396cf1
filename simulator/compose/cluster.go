package compose

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/live"
	"heartbeat/simulator/sidecar"
)

var _ live.Cluster = (*cluster)(nil)

// answerPatience is how long an agent that was started may take until its API
// answers.
const answerPatience = 30 * time.Second

// cluster is the nodes of one run.
type cluster struct {
	settings map[string]string
	members  []*member
}

// member is a node with its agent's newest process.
type member struct {
	*node
	pid atomic.Int64 // in its container; 0 before the first
}

// Start implements live.Cluster.
func (c *cluster) Start(ctx context.Context, i int, seeds []int) (time.Time, error) {
	m := c.members[i]
	env := maps.Clone(c.settings)
	addresses := make([]string, len(seeds))
	for k, seed := range seeds {
		addresses[k] = c.Address(seed).String()
	}
	env[variable("cluster.seeds")] = strings.Join(addresses, ",")
	at, err := m.sidecar.Start(ctx, env)
	if err != nil {
		return at, err
	}
	// The container comes back after each end of the agent. It shall wait then,
	// also when the agent leaves or crashes, which nobody announces.
	if _, err := m.sidecar.Hold(ctx); err != nil {
		return at, err
	}
	agent, err := m.sidecar.Agent(ctx)
	if err != nil {
		return at, err
	}
	m.pid.Store(int64(agent.PID))
	return at, m.answer(ctx, agent)
}

// answer waits until the agent's API answers.
func (m *member) answer(ctx context.Context, agent sidecar.Agent) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerPatience, fmt.Errorf("the agent's API does not answer within %v", answerPatience))
	defer cancel()
	for {
		if m.hasEnded(agent) {
			return fmt.Errorf("the agent ended at once: docker-compose logs sim%s says why", strings.TrimPrefix(m.name, "n"))
		}
		_, err := m.api.Info(ctx)
		if err == nil || !passing(err) {
			return err
		}
		if err := pause(ctx, retry); err != nil {
			return err
		}
		if agent, err = m.sidecar.Agent(ctx); err != nil {
			return err
		}
	}
}

// hasEnded tells whether the newest process is gone.
func (m *member) hasEnded(now sidecar.Agent) bool {
	pid := m.pid.Load()
	return pid == 0 || int64(now.PID) != pid || now.State == sidecar.Held
}

// Kill implements live.Cluster.
func (c *cluster) Kill(ctx context.Context, i int) (time.Time, error) {
	return c.members[i].sidecar.Kill(ctx)
}

// Ended implements live.Cluster. How the agent ended is not known.
func (c *cluster) Ended(ctx context.Context, i int) (time.Time, error) {
	m := c.members[i]
	for {
		agent, err := m.sidecar.Agent(ctx)
		switch {
		case err != nil:
			return time.Time{}, err
		case m.hasEnded(agent) && agent.Ended != nil:
			return *agent.Ended, nil
		}
		if err := pause(ctx, retry); err != nil {
			return time.Time{}, err
		}
	}
}

// Freeze implements live.Cluster.
func (c *cluster) Freeze(ctx context.Context, i int) (time.Time, error) {
	return c.members[i].sidecar.Freeze(ctx)
}

// Thaw implements live.Cluster.
func (c *cluster) Thaw(ctx context.Context, i int) (time.Time, error) {
	return c.members[i].sidecar.Thaw(ctx)
}

// Change implements live.Cluster.
func (c *cluster) Change(ctx context.Context, i int, put []kernelfault.Fault, drop []string) (time.Time, error) {
	return c.members[i].sidecar.Change(ctx, put, drop)
}

// Address implements live.Cluster.
func (c *cluster) Address(i int) netip.Addr { return c.members[i].address }

// API implements live.Cluster.
func (c *cluster) API(i int) *httpapi.Client { return c.members[i].api }

// Clock implements live.Cluster.
func (c *cluster) Clock(ctx context.Context, i int) (time.Time, error) {
	return c.members[i].sidecar.Clock(ctx)
}
