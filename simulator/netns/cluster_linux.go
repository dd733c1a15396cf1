package netns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"heartbeat/gossip"
	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/live"
	"heartbeat/simulator/scenario"
)

// cluster is the agents of one run and all that they need.
type cluster struct {
	program string
	env     []string
	thread  *thread
	home    *home
	net     *network
	nodes   []*agent
}

var _ live.Cluster = (*cluster)(nil)

// agent is one node's place, which its processes come and go in.
type agent struct {
	name   string
	api    string
	client *httpapi.Client
	faults *kernelfault.Table

	mu      sync.Mutex
	process *process      // guarded by mu; the newest, nil before the first
	spent   time.Duration // guarded by mu; processor time of those before it
	panic   string        // guarded by mu; what one of those wrote of a panic
}

func (a *agent) current() (*process, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.process == nil {
		return nil, fmt.Errorf("%s was never started", a.name)
	}
	return a.process, nil
}

// maxSocket is how long the path of a unix socket may be.
const maxSocket = len(syscall.RawSockaddrUnix{}.Path) - 1

// newCluster makes everything but the agents' processes. After an error nothing
// of it is left.
func newCluster(ctx context.Context, e *Engine, sc *scenario.Scenario) (_ *cluster, err error) {
	c := &cluster{program: e.Program, env: environment(sc), thread: newThread()}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.home, err = newHome(e.Dir, e.Log); err != nil {
		return nil, err
	}
	if sc.Cluster.Encryption {
		if err := c.encrypt(); err != nil {
			return nil, err
		}
	}
	if c.net, err = newNetwork(c.thread, sc.Cluster.Nodes); err != nil {
		return nil, err
	}
	for i := range sc.Cluster.Nodes {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		a := &agent{name: scenario.NodeName(i)}
		socket := filepath.Join(c.home.path, a.name+".sock")
		if len(socket) > maxSocket {
			return nil, fmt.Errorf("the path of a socket, %s, is longer than the %d bytes that the system takes: use a shorter directory (TMPDIR)", socket, maxSocket)
		}
		a.api = "unix:" + socket
		if a.client, err = httpapi.NewClient(httpapi.ClientConfig{Address: a.api}); err != nil {
			return nil, err
		}
		if a.faults, err = kernelfault.Open(kernelfault.Config{Namespace: c.net.nodes[i], Log: e.Log}); err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		c.nodes = append(c.nodes, a)
	}
	return c, nil
}

// encrypt gives all agents one key.
func (c *cluster) encrypt() error {
	key, err := gossip.GenerateKey(256)
	if err != nil {
		return err
	}
	path := filepath.Join(c.home.path, "keyring.json")
	if _, err := gossip.CreateKeyring(path, key); err != nil {
		return err
	}
	c.env = append(c.env, variable("encryption.keyring")+"="+path)
	return nil
}

// startPatience is how long an agent may take until its API answers, far more
// than it needs.
const startPatience = 30 * time.Second

// Start implements live.Cluster.
func (c *cluster) Start(ctx context.Context, node int, seeds []int) (time.Time, error) {
	a := c.nodes[node]
	through := make([]string, len(seeds))
	for i, seed := range seeds {
		through[i] = netip.AddrPortFrom(address(seed), gossip.DefaultPort).String()
	}
	env := append(slices.Clone(c.env),
		variable("node.name")+"="+a.name,
		variable("network.bind")+"="+address(node).String(),
		variable("network.port")+fmt.Sprintf("=%d", gossip.DefaultPort),
		variable("api.address")+"="+a.api,
		variable("cluster.seeds")+"="+strings.Join(through, ","),
	)
	from := time.Now()
	p, err := startProcess(c.thread, c.net.nodes[node], c.program, env)
	if err != nil {
		return from, err
	}
	a.mu.Lock()
	if a.process != nil {
		a.spent += a.process.spent()
		a.panic = cmp.Or(a.panic, a.process.log.panic())
	}
	a.process = p
	a.mu.Unlock()
	if err := c.home.note(p.cmd.Process.Pid); err != nil {
		return from, err
	}
	return from, a.ready(ctx, p)
}

// ready waits until the API answers.
func (a *agent) ready(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("its API does not answer within %v", startPatience))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := a.client.Health(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("it ended at once: %w", errors.Join(p.verdict(), err))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Kill implements live.Cluster.
func (c *cluster) Kill(_ context.Context, node int) (time.Time, error) {
	p, err := c.nodes[node].current()
	if err != nil {
		return time.Time{}, err
	}
	return p.kill()
}

// Ended implements live.Cluster.
func (c *cluster) Ended(ctx context.Context, node int) (time.Time, error) {
	p, err := c.nodes[node].current()
	if err != nil {
		return time.Time{}, err
	}
	select {
	case <-p.done:
		return p.at, p.verdict()
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// Freeze implements live.Cluster.
func (c *cluster) Freeze(ctx context.Context, node int) (time.Time, error) {
	p, err := c.nodes[node].current()
	if err != nil {
		return time.Time{}, err
	}
	return p.freeze(ctx)
}

// Thaw implements live.Cluster.
func (c *cluster) Thaw(_ context.Context, node int) (time.Time, error) {
	p, err := c.nodes[node].current()
	if err != nil {
		return time.Time{}, err
	}
	return p.thaw()
}

// Change implements live.Cluster.
func (c *cluster) Change(_ context.Context, node int, put []kernelfault.Fault, drop []string) (time.Time, error) {
	err := c.nodes[node].faults.Change(put, drop)
	return time.Now(), err
}

// Address implements live.Cluster.
func (c *cluster) Address(node int) netip.Addr { return address(node) }

// API implements live.Cluster.
func (c *cluster) API(node int) *httpapi.Client { return c.nodes[node].client }

// Clock implements live.Cluster: there is one clock.
func (c *cluster) Clock(context.Context, int) (time.Time, error) { return time.Now(), nil }

// cpu is the processor time of all processes. It is asked for after close.
func (c *cluster) cpu() time.Duration {
	var sum time.Duration
	for _, a := range c.nodes {
		sum += a.spent
		if a.process != nil {
			sum += a.process.spent()
		}
	}
	return sum
}

// panics is an error when agents wrote of a panic, also of one that they
// survived, such as that of a request to the API. It is asked for after close.
func (c *cluster) panics() error {
	var errs []error
	for _, a := range c.nodes {
		line := a.panic
		if a.process != nil {
			line = cmp.Or(line, a.process.log.panic())
		}
		if line != "" {
			errs = append(errs, fmt.Errorf("%w: %s wrote of a panic: %s", engine.ErrAgentFailed, a.name, line))
		}
	}
	return errors.Join(errs...)
}

// close ends all agents and gives everything back.
func (c *cluster) close() error {
	var errs []error
	for _, a := range c.nodes {
		if a.process != nil {
			_, err := a.process.kill()
			errs = append(errs, err)
		}
		a.client.Close()
		errs = append(errs, a.faults.Close())
	}
	if c.net != nil {
		c.net.close()
	}
	c.thread.close()
	if c.home != nil {
		errs = append(errs, c.home.remove())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("give everything back: %w", err)
	}
	return nil
}
