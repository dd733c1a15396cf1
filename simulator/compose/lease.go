package compose

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/sidecar"
)

const (
	// leaseTTL is how long the cluster stays taken when this process is killed.
	leaseTTL   = 20 * time.Second
	renewEvery = 5 * time.Second
	// releasePatience bounds giving the lease back, which ends by itself anyway.
	releasePatience = 5 * time.Second
)

// ErrTaken is Check's and Play's error while another run is under way.
var ErrTaken = errors.New("another run is under way on this cluster")

// lease is the engine's right to be the only one that changes the cluster.
type lease struct {
	mu    sync.Mutex
	leave func() // gives it back; nil while it is not held; guarded by mu
}

// newHolder names this process for the fault agents: the container that it runs
// in, and something that no other process has.
func newHolder() string {
	host, _ := os.Hostname() // without one the rest does
	host = regexp.MustCompile("[^A-Za-z0-9.-]").ReplaceAllString(host, "-")
	return fmt.Sprintf("%.32s-%s", host, strings.ToLower(rand.Text()[:8]))
}

// take makes this engine the only one that changes the cluster, until Close. It
// waits for fault agents that have just been started.
func (e *Engine) take(ctx context.Context) error {
	e.lease.mu.Lock()
	defer e.lease.mu.Unlock()
	if e.lease.leave != nil {
		return nil
	}
	// The first node decides, so that of two engines that come at the same
	// moment one gets all.
	err := e.nodes[0].take(ctx)
	if err == nil {
		err = e.each(func(n *node) error { return n.take(ctx) })
	}
	if err != nil {
		e.giveBack()
		return err
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		e.renew(stop)
	}()
	e.lease.leave = func() {
		close(stop)
		<-done
		e.giveBack()
	}
	return nil
}

// take takes the lease of one fault agent.
func (n *node) take(ctx context.Context) error {
	return n.persist(ctx, func() error {
		_, err := n.sidecar.Lease(ctx, leaseTTL)
		var refused *httpapi.APIError
		if errors.As(err, &refused) && refused.Type == sidecar.ProblemLease {
			return fmt.Errorf("%w: %w; wait for its end, or stop its container", ErrTaken, err)
		}
		return err
	})
}

// renew renews the lease until told to stop. A fault agent that misses it, or
// has given it to another one, refuses what is done next or does not answer:
// the run says so then.
func (e *Engine) renew(stop <-chan struct{}) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), renewEvery)
		_ = e.each(func(n *node) error {
			_, err := n.sidecar.Lease(ctx, leaseTTL)
			return err
		})
		cancel()
	}
}

// giveBack ends the lease where this engine has it.
func (e *Engine) giveBack() {
	ctx, cancel := context.WithTimeout(context.Background(), releasePatience)
	defer cancel()
	_ = e.each(func(n *node) error { // what fails ends by itself
		_, err := n.sidecar.Lease(ctx, 0)
		return err
	})
}

// Close lets other engines have the cluster. A closed engine can be used again.
func (e *Engine) Close() error {
	e.lease.mu.Lock()
	defer e.lease.mu.Unlock()
	if e.lease.leave != nil {
		e.lease.leave()
		e.lease.leave = nil
	}
	return nil
}
