package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"time"

	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/live"
	"heartbeat/simulator/scenario"
)

// Check says what this machine lacks to play the scenario: an error that is
// kernelfault.ErrUnsupported for rights and parts of the kernel. It tries them
// in namespaces that are gone when it returns. A nil scenario asks for the
// engine alone.
func (e *Engine) Check(sc *scenario.Scenario) error {
	if _, err := exec.LookPath(e.Program); err != nil {
		return fmt.Errorf("the agents' program cannot be run: %w", err)
	}
	var needs []kernelfault.Fault
	if sc != nil {
		if err := checkSize(sc); err != nil {
			return err
		}
		plan, err := sc.Resolve(1)
		if err != nil {
			return err
		}
		needs = live.Needs(plan)
	}
	t := newThread()
	defer t.close()
	net, err := newNetwork(t, 2)
	if err != nil {
		return err
	}
	defer net.close()
	table, err := kernelfault.Open(kernelfault.Config{Namespace: net.nodes[0], Log: e.Log})
	if err != nil {
		return err
	}
	defer table.Close()
	for _, f := range needs {
		f.Peers, f.TTL = []netip.Addr{address(1)}, time.Minute
		if err := table.Change([]kernelfault.Fault{f}, nil); err != nil {
			return err
		}
		if err := table.Change(nil, []string{f.ID}); err != nil {
			return err
		}
	}
	return nil
}

// Play plays one seed of the scenario, as live.Play says. Whatever the error,
// no process, namespace or file is left, unless the error says so.
func (e *Engine) Play(ctx context.Context, sc *scenario.Scenario, seed uint64, passed func(time.Duration)) (h *live.History, err error) {
	if err := checkSize(sc); err != nil {
		return nil, err
	}
	plan, err := sc.Resolve(seed)
	if err != nil {
		return nil, err
	}
	c, err := newCluster(ctx, e, sc)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, c.close(), c.panics())
		if h != nil {
			h.CPU = c.cpu()
		}
	}()
	return live.Play(ctx, plan, sc, c, passed)
}
