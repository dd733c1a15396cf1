package compose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"heartbeat/gossip"
	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/live"
	"heartbeat/simulator/scenario"
	"heartbeat/simulator/sidecar"
)

const (
	// upPatience is how long containers may take to come up or to come back.
	upPatience = 90 * time.Second
	// hastyPatience is upPatience when the user waits for the end: less than the
	// stop_grace_period of the service simulate.
	hastyPatience = 25 * time.Second
	retry         = 50 * time.Millisecond
)

// Engine plays scenarios on a cluster of containers, one at a time. From the
// first Check or Play to Close it has the cluster for itself: other engines are
// refused with ErrTaken.
type Engine struct {
	nodes []*node
	lease lease
}

// node is one place for an agent.
type node struct {
	name    string
	address netip.Addr
	sidecar *sidecar.Client
	api     *httpapi.Client
}

// New checks the configuration; it does not connect yet.
func New(cfg Config) (*Engine, error) {
	if len(cfg.Nodes) < 2 || len(cfg.Nodes) > MaxNodes {
		return nil, fmt.Errorf("a cluster of %d nodes cannot be played on: 2 to %d are possible", len(cfg.Nodes), MaxNodes)
	}
	e, holder := &Engine{}, newHolder()
	for i, n := range cfg.Nodes {
		side, err := sidecar.NewClient(sidecar.Config{Address: n.Sidecar, Token: cfg.Token, Holder: holder})
		if err != nil {
			return nil, fmt.Errorf("the fault agent of %s: %w", scenario.NodeName(i), err)
		}
		api, err := httpapi.NewClient(httpapi.ClientConfig{Address: n.API, Token: cfg.Token})
		if err != nil {
			return nil, fmt.Errorf("the agent of %s: %w", scenario.NodeName(i), err)
		}
		e.nodes = append(e.nodes, &node{name: scenario.NodeName(i), address: n.Gossip, sidecar: side, api: api})
	}
	return e, nil
}

// Name is what results call the engine.
func (*Engine) Name() string { return "compose" }

// Check says what the scenario asks for that this cluster does not have. It
// waits for containers that have just been started. A nil scenario asks for
// the cluster alone.
func (e *Engine) Check(sc *scenario.Scenario) error {
	var needs []kernelfault.Fault
	if sc != nil {
		if _, err := e.settings(sc); err != nil {
			return err
		}
		plan, err := sc.Resolve(1)
		if err != nil {
			return err
		}
		needs = live.Needs(plan)
	}
	ctx, cancel := context.WithTimeout(context.Background(), upPatience)
	defer cancel()
	if err := e.take(ctx); err != nil {
		return err
	}
	return e.each(func(n *node) error {
		if err := n.await(ctx); err != nil {
			return err
		}
		return n.try(ctx, needs)
	})
}

// settings are what the agents' environment has in addition, or why this
// cluster cannot be as the scenario says.
func (e *Engine) settings(sc *scenario.Scenario) (map[string]string, error) {
	if n := sc.Cluster.Nodes; n > len(e.nodes) {
		return nil, fmt.Errorf("the scenario %s has %d nodes, this cluster has %d: give --set nodes=%d, or choose the engine netns or virtual", sc.Name, n, len(e.nodes), len(e.nodes))
	}
	if sc.Cluster.Encryption {
		return nil, fmt.Errorf("the scenario %s asks for encryption, but this cluster's agents have no key: give --set encryption=false, or choose the engine netns or virtual", sc.Name)
	}
	env := map[string]string{
		variable("profile"):      string(sc.Cluster.Profile),
		variable("journal.size"): "16384", // what a node accuses others of is read from there
	}
	if slices.ContainsFunc(gossip.Settings(), func(s gossip.Setting) bool { return s.Key == detector }) {
		env[variable(detector)] = sc.Cluster.Detector
	}
	for _, key := range slices.Sorted(maps.Keys(sc.Cluster.Settings)) {
		if !sidecar.Settable(variable(key)) {
			return nil, fmt.Errorf("the scenario %s sets %s, which is fixed in this cluster: leave it out, or choose the engine netns or virtual", sc.Name, key)
		}
		env[variable(key)] = sc.Cluster.Settings[key]
	}
	return env, sidecar.CheckSettings(env)
}

// detector is the setting that decides when a member is failed. A program that
// has but one way to decide has no such setting.
const detector = "detector"

// variable is the name of the environment variable that gives an agent a
// setting.
func variable(key string) string {
	return "HEARTBEAT_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Play plays one seed of the scenario, as live.Play says. Agents that the
// scenario has no use for do not run meanwhile. Afterwards all agents run with
// their own settings and no fault is in effect, unless the error says so.
func (e *Engine) Play(ctx context.Context, sc *scenario.Scenario, seed uint64, passed func(time.Duration)) (h *live.History, err error) {
	settings, err := e.settings(sc)
	if err != nil {
		return nil, err
	}
	plan, err := sc.Resolve(seed)
	if err != nil {
		return nil, err
	}
	if err := e.take(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.tidy(ctx)) }()
	if err := e.clear(ctx); err != nil {
		return nil, err
	}
	c := &cluster{settings: settings}
	for _, n := range e.nodes[:len(plan.Nodes)] {
		c.members = append(c.members, &member{node: n})
	}
	return live.Play(ctx, plan, sc, c, passed)
}

// clear ends all faults and all agents.
func (e *Engine) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upPatience)
	defer cancel()
	return e.each(func(n *node) error {
		if err := n.await(ctx); err != nil {
			return err
		}
		if _, err := n.sidecar.Clear(ctx); err != nil {
			return fmt.Errorf("end the faults of %s: %w", n.name, err)
		}
		if _, err := n.sidecar.Kill(ctx); err != nil {
			return fmt.Errorf("end the agent of %s: %w", n.name, err)
		}
		return nil
	})
}

// tidy ends all faults and gives all agents a new life with their own settings,
// also after ctx has ended.
func (e *Engine) tidy(ctx context.Context) error {
	patience := upPatience
	if ctx.Err() != nil {
		patience = hastyPatience
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return e.each(func(n *node) error {
		if _, err := n.sidecar.Clear(ctx); err != nil {
			return fmt.Errorf("faults of %s may stay in effect until they end by themselves: %w", n.name, err)
		}
		_, err := n.sidecar.Kill(ctx)
		if err == nil {
			_, err = n.sidecar.Start(ctx, nil)
		}
		if err != nil {
			return fmt.Errorf("the agent of %s may not run: %w", n.name, err)
		}
		return nil
	})
}

// each calls f for all nodes at the same time.
func (e *Engine) each(f func(*node) error) error {
	errs := make([]error, len(e.nodes))
	var all sync.WaitGroup
	for i, n := range e.nodes {
		all.Go(func() { errs[i] = f(n) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// errStopped is what persist repeats for, beside what is passing.
var errStopped = errors.New("no agent has come to its gate: its container does not run")

// await waits until the fault agent answers and its agent has come to the gate.
func (n *node) await(ctx context.Context) error {
	return n.persist(ctx, func() error {
		agent, err := n.sidecar.Agent(ctx)
		if err == nil && agent.State == sidecar.Stopped {
			return errStopped
		}
		return err
	})
}

// persist asks the fault agent until it answers, or refuses for good.
func (n *node) persist(ctx context.Context, ask func() error) error {
	why := errors.New("it was not asked")
	for ctx.Err() == nil {
		err := ask()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrTaken):
			return err
		case errors.Is(err, errStopped), passing(err):
			why = err
		case ctx.Err() == nil:
			return fmt.Errorf("the fault agent of %s: %w", n.name, err)
		}
		_ = pause(ctx, retry)
	}
	return fmt.Errorf("%s does not come up: %w", n.name, why)
}

// passing tells whether an error may go away by itself, once containers are up.
func passing(err error) bool {
	var refused *httpapi.APIError
	return errors.Is(err, httpapi.ErrNotReachable) || errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable
}

// nobody is an address that no node has (RFC 5737).
var nobody = netip.MustParseAddr("192.0.2.1")

// try puts faults into effect for packets that never come, and ends them.
func (n *node) try(ctx context.Context, needs []kernelfault.Fault) error {
	for _, f := range needs {
		f.Peers, f.TTL = []netip.Addr{nobody}, 10*time.Second
		_, err := n.sidecar.Change(ctx, []kernelfault.Fault{f}, nil)
		if err == nil {
			_, err = n.sidecar.Change(ctx, nil, []string{f.ID})
		}
		if err != nil {
			return fmt.Errorf("the fault agent of %s cannot do what the scenario needs: %w", n.name, err)
		}
	}
	return nil
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
