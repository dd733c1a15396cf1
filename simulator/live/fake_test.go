package live

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"heartbeat/gossip"
	"heartbeat/gossip/httpapi"
	"heartbeat/simulator/kernelfault"
	"heartbeat/simulator/scenario"
)

// fakeCluster runs real nodes with real APIs in this process, over loopback.
// Freezing and faults are only noted down.
type fakeCluster struct {
	t      *testing.T
	config gossip.Config
	lonely bool // nodes are not told whom to join through
	crash  int  // the node that crashes when faults are first changed; -1: none
	refuse error

	mu    sync.Mutex
	nodes []*fakeNode
	calls []string // guarded by mu
}

type fakeNode struct {
	client *httpapi.Client
	socket string

	gossip *gossip.Node // guarded by fakeCluster.mu, as all below
	stop   context.CancelFunc
	done   chan struct{}
	err    error
}

func newFakeCluster(t *testing.T, sc *scenario.Scenario) *fakeCluster {
	t.Helper()
	c := &fakeCluster{t: t, crash: -1}
	var err error
	if c.config, err = gossip.Profile("local"); err != nil {
		t.Fatal(err)
	}
	c.config.Port = 0
	c.config.ProbeInterval, c.config.ProbeTimeout = 100*time.Millisecond, 50*time.Millisecond
	c.config.GossipInterval, c.config.SyncInterval = 20*time.Millisecond, 500*time.Millisecond
	dir := t.TempDir()
	for i := range sc.Cluster.Nodes {
		n := &fakeNode{socket: filepath.Join(dir, fmt.Sprintf("%d.sock", i))}
		if n.client, err = httpapi.NewClient(httpapi.ClientConfig{Address: "unix:" + n.socket}); err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, n)
	}
	t.Cleanup(func() {
		for i, n := range c.nodes {
			c.mu.Lock()
			started := n.gossip != nil
			c.mu.Unlock()
			if started {
				c.end(i, nil)
			}
			n.client.Close()
		}
	})
	return c
}

func (c *fakeCluster) called(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, fmt.Sprintf(format, args...))
}

func (c *fakeCluster) Start(ctx context.Context, node int, seeds []int) (time.Time, error) {
	from := time.Now()
	c.called("start n%d through %d", node+1, len(seeds))
	cfg := c.config
	cfg.Name = scenario.NodeName(node)
	g, err := gossip.Start(ctx, cfg)
	if err != nil {
		return from, err
	}
	server, err := httpapi.New(httpapi.ServerConfig{
		Node: g, Version: "test", Ready: func() (bool, string) { return true, "" },
		OnLeave: func() { go c.end(node, nil) },
	})
	if err != nil {
		return from, err
	}
	ln, err := httpapi.Listen(ctx, "unix:"+c.nodes[node].socket)
	if err != nil {
		return from, err
	}
	serving, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	n := c.nodes[node]
	c.mu.Lock()
	n.gossip, n.stop, n.done, n.err = g, stop, done, nil
	c.mu.Unlock()
	go func() {
		_ = server.Serve(serving, ln)
		_ = g.Close()
		close(done)
	}()
	go c.join(serving, g, seeds)
	return from, nil
}

func (c *fakeCluster) join(ctx context.Context, g *gossip.Node, seeds []int) {
	if c.lonely || len(seeds) == 0 {
		return
	}
	for ctx.Err() == nil {
		var through []string
		c.mu.Lock()
		for _, s := range seeds {
			if n := c.nodes[s].gossip; n != nil {
				through = append(through, n.Info().Advertise)
			}
		}
		c.mu.Unlock()
		if _, err := g.Join(ctx, through); err == nil {
			return
		}
		if sleepUntil(ctx, time.Now().Add(10*time.Millisecond)) != nil {
			return
		}
	}
}

// end ends a node's life and waits for it.
func (c *fakeCluster) end(node int, why error) {
	n := c.nodes[node]
	c.mu.Lock()
	n.err = why
	stop, done := n.stop, n.done
	c.mu.Unlock()
	stop()
	<-done
}

func (c *fakeCluster) Kill(_ context.Context, node int) (time.Time, error) {
	c.called("kill n%d", node+1)
	c.end(node, nil)
	return time.Now(), nil
}

func (c *fakeCluster) Ended(ctx context.Context, node int) (time.Time, error) {
	c.mu.Lock()
	done := c.nodes[node].done
	c.mu.Unlock()
	select {
	case <-done:
		c.mu.Lock()
		defer c.mu.Unlock()
		return time.Now(), c.nodes[node].err
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

func (c *fakeCluster) Freeze(_ context.Context, node int) (time.Time, error) {
	c.called("freeze n%d", node+1)
	return time.Now(), nil
}

func (c *fakeCluster) Thaw(_ context.Context, node int) (time.Time, error) {
	c.called("thaw n%d", node+1)
	return time.Now(), nil
}

func (c *fakeCluster) Change(_ context.Context, node int, put []kernelfault.Fault, drop []string) (time.Time, error) {
	var what []string
	for _, f := range put {
		what = append(what, describe(f))
	}
	for _, id := range drop {
		kind, _, _ := strings.Cut(id, "-")
		what = append(what, "drop "+kind)
	}
	c.called("change n%d: %s", node+1, strings.Join(what, ", "))
	if c.crash >= 0 {
		go c.end(c.crash, errors.New("exit status 3; it wrote last: out of cheese"))
		c.crash = -1
	}
	return time.Now(), c.refuse
}

func (c *fakeCluster) Address(node int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(node + 1)})
}

func (c *fakeCluster) API(node int) *httpapi.Client { return c.nodes[node].client }

func (c *fakeCluster) Clock(context.Context, int) (time.Time, error) { return time.Now(), nil }

// describe writes a fault without its ID and TTL.
func describe(f kernelfault.Fault) string {
	var peers []string
	for _, p := range f.Peers {
		peers = append(peers, fmt.Sprintf("n%d", p.As4()[3]))
	}
	text := strings.Join(peers, "+")
	add := func(set bool, format string, args ...any) {
		if set {
			text += " " + fmt.Sprintf(format, args...)
		}
	}
	e := f.Effect
	add(f.Only != "", "%s", f.Only)
	add(e.Cut, "cut")
	add(e.Loss > 0, "loss %v", e.Loss)
	add(e.Duplicate > 0, "duplicate %v", e.Duplicate)
	add(e.Delay > 0, "delay %v", e.Delay)
	add(e.Jitter > 0, "jitter %v", e.Jitter)
	add(e.Reorder > 0, "reorder %v", e.Reorder)
	add(e.Rate > 0, "rate %d", e.Rate)
	return text
}

// parse makes a scenario, its plan for seed 1, and a fake cluster for it.
func parse(t *testing.T, text string) (*scenario.Scenario, *scenario.Plan, *fakeCluster) {
	t.Helper()
	sc, err := scenario.Parse("test.yaml", []byte("version: 1\nname: test\n"+text), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sc.Resolve(1)
	if err != nil {
		t.Fatal(err)
	}
	return sc, plan, newFakeCluster(t, sc)
}
