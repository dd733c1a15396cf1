package virtual

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"heartbeat/gossip"
	"heartbeat/membership"
	"heartbeat/simulator/fabric"
	"heartbeat/simulator/virtual/bubble"
)

// divided is a cluster of two sides, n0, n2, ... and n1, n3, ..., in virtual
// time, whose network can be cut. Unlike in a scenario a node may come back at
// another address, and seeds may be names.
type divided struct {
	t    *testing.T
	ctx  context.Context
	net  *fabric.Network
	cut  atomic.Bool
	edit func(*gossip.Config)

	mu    sync.Mutex
	nodes map[string]*gossip.Node
	ends  map[string]*fabric.Endpoint
	names map[string][]netip.Addr // what the resolver knows
}

func divide(t *testing.T, edit func(*gossip.Config), f func(d *divided)) {
	t.Helper()
	err := bubble.Run(t, func(ctx context.Context) error {
		d := &divided{t: t, ctx: ctx, edit: edit, nodes: map[string]*gossip.Node{}, ends: map[string]*fabric.Endpoint{}, names: map[string][]netip.Addr{}}
		d.net = fabric.New(fabric.Config{Seed: 1, Links: func(from, to int, _ fabric.Proto) fabric.Link {
			return fabric.Link{Delay: time.Millisecond, Cut: d.cut.Load() && from%2 != to%2}
		}})
		defer func() {
			for name := range d.nodes {
				d.kill(name)
			}
		}()
		f(d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (d *divided) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if addrs := d.names[host]; len(addrs) > 0 {
		return addrs, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (d *divided) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

// resolves sets what a name stands for.
func (d *divided) resolves(name string, machines ...int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[name] = nil
	for _, m := range machines {
		d.names[name] = append(d.names[name], address(m).Addr())
	}
}

// start starts a node on a machine; even ones are one side, odd ones the other.
func (d *divided) start(name string, machine int, seeds ...string) {
	d.t.Helper()
	end, err := d.net.Listen(machine, address(machine))
	if err != nil {
		d.t.Fatal(err)
	}
	cfg := gossip.LAN()
	cfg.Name, cfg.Transport, cfg.Resolver = name, end, d
	if d.edit != nil {
		d.edit(&cfg)
	}
	n, err := gossip.Start(d.ctx, cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	d.nodes[name], d.ends[name] = n, end
	if len(seeds) > 0 {
		if _, err := n.Join(d.ctx, seeds); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *divided) kill(name string) {
	d.ends[name].Kill()
	if err := d.nodes[name].Close(); err != nil {
		d.t.Error(err)
	}
	delete(d.nodes, name)
}

// form starts n0 to n(size-1), which join through n0 and n1.
func (d *divided) form(size int) {
	for i := range size {
		var seeds []string
		if i > 0 {
			seeds = []string{address(0).String()}
		}
		if i > 1 {
			seeds = append(seeds, address(1).String())
		}
		d.start(fmt.Sprintf("n%d", i), i, seeds...)
	}
	d.agree(30*time.Second, size, 0)
}

// agree waits until all nodes that run see that many alive and failed members.
func (d *divided) agree(within time.Duration, alive, failed int) {
	d.t.Helper()
	began := time.Now()
	for {
		err := d.disagreement(alive, failed)
		if err == nil {
			return
		}
		if time.Since(began) > within {
			d.t.Fatalf("after %v: %v", within, err)
		}
		d.pass(100 * time.Millisecond)
	}
}

func (d *divided) disagreement(alive, failed int) error {
	for name, n := range d.nodes {
		v := n.View()
		if a, f := v.Count(membership.Alive), v.Count(membership.Failed); a != alive || f != failed {
			var others []string
			for m := range v.All() {
				if m.State != membership.Alive {
					others = append(others, fmt.Sprintf("%s %v", m.Name, m.State))
				}
			}
			return fmt.Errorf("%s sees %d alive and %d failed, want %d and %d; not alive: %v", name, a, f, alive, failed, others)
		}
	}
	return nil
}

func (d *divided) pass(t time.Duration) { _ = sleep(d.ctx, t) }

func (d *divided) attempts() (sum uint64) {
	for _, n := range d.nodes {
		sum += n.Stats().Heal.Attempts
	}
	return sum
}

// A split heals whether its sides still remember each other as dead (which the
// engine does for half a minute and up to a round of probes more), have
// forgotten each other, or one of both.
func TestSplitsHealWheneverTheyEnd(t *testing.T) {
	key, err := gossip.GenerateKey(256)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := gossip.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func(*gossip.Config)
	}{
		{"verdicts", nil},
		{"memberlist", func(c *gossip.Config) { c.Detector = gossip.DetectorMemberlist }},
		{"encrypted", func(c *gossip.Config) {
			c.Cluster = "blue"
			c.Keyring = ring
		}},
		{"reclaiming late", func(c *gossip.Config) { c.ReclaimAfter = time.Hour }},
	} {
		for _, lasts := range []time.Duration{5 * time.Second, 20 * time.Second, 35 * time.Second, time.Minute, 3 * time.Minute, time.Hour} {
			t.Run(fmt.Sprintf("%s/%v", c.name, lasts), func(t *testing.T) {
				divide(t, c.edit, func(d *divided) {
					d.form(12)
					d.cut.Store(true)
					d.pass(lasts)
					d.cut.Store(false)
					d.agree(30*time.Second, 12, 0)
					d.pass(15 * time.Second) // whoever made first contact looks what came of it
					healed := false
					for _, n := range d.nodes {
						healed = healed || n.Stats().Heal.Heals > 0
					}
					if !healed && lasts > time.Minute {
						t.Error("nobody counts a heal")
					}
				})
			})
		}
	}
}

func TestWithoutHealingASplitStays(t *testing.T) {
	divide(t, func(c *gossip.Config) { c.HealInterval = 0 }, func(d *divided) {
		d.form(6)
		d.cut.Store(true)
		d.pass(3 * time.Minute)
		d.cut.Store(false)
		d.pass(10 * time.Minute)
		if err := d.disagreement(3, 3); err != nil {
			t.Errorf("%v: is the engine's own behaviour another one now?", err)
		}
	})
}

// Both sides go on living meanwhile: nodes are started again, at their old
// addresses and at new ones, under the names that they had.
func TestSplitHealsThoughBothSidesHaveChanged(t *testing.T) {
	for _, lasts := range []time.Duration{25 * time.Second, 3 * time.Minute} {
		t.Run(lasts.String(), func(t *testing.T) {
			divide(t, nil, func(d *divided) {
				d.form(8)
				d.cut.Store(true)
				d.pass(15 * time.Second)
				for i, again := range map[int]int{2: 2, 3: 3, 4: 104, 5: 105} { // node: machine
					name := fmt.Sprintf("n%d", i)
					d.kill(name)
					d.pass(time.Second)
					d.start(name, again)
					if _, err := d.nodes[name].JoinUntil(d.ctx, []string{address(i % 2).String()}, nil); err != nil {
						t.Fatal(err)
					}
				}
				d.pass(lasts - 15*time.Second)
				d.cut.Store(false)
				d.agree(30*time.Second, 8, 0)
				for name, n := range d.nodes {
					for i, machine := range map[int]int{4: 104, 5: 105} {
						if m, _ := n.View().Member(fmt.Sprintf("n%d", i)); m.Addr != address(machine) {
							t.Errorf("%s has n%d at %v, want %v", name, i, m.Addr, address(machine))
						}
					}
				}
			})
		})
	}
}

// All of the other side come back at new addresses, so that only a name leads
// to them.
func TestSeedsAreLookedUpAnew(t *testing.T) {
	divide(t, nil, func(d *divided) {
		d.resolves("cluster.example", 0)
		for i := range 6 {
			if i == 0 {
				d.start("n0", 0)
				continue
			}
			d.start(fmt.Sprintf("n%d", i), i, "cluster.example")
		}
		d.agree(30*time.Second, 6, 0)
		d.cut.Store(true)
		d.pass(time.Minute)
		for i := 1; i < 6; i += 2 {
			d.kill(fmt.Sprintf("n%d", i))
		}
		d.pass(time.Minute)
		for i := 1; i < 6; i += 2 {
			d.start(fmt.Sprintf("n%d", i), 100+i)
			if i > 1 {
				if _, err := d.nodes[fmt.Sprintf("n%d", i)].Join(d.ctx, []string{address(101).String()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		d.pass(time.Minute)
		d.cut.Store(false)
		d.pass(time.Minute)
		if err := d.disagreement(3, 3); err == nil {
			t.Fatal("the sides have found each other though neither knows an address of the other")
		}
		d.resolves("cluster.example", 0, 101)
		d.agree(time.Minute, 6, 0)
	})
}

// Who left, or was forced out, is not tried, and neither are seeds that are
// members.
func TestNobodyIsTriedWithoutNeed(t *testing.T) {
	divide(t, nil, func(d *divided) {
		d.form(6)
		if err := d.nodes["n5"].Leave(d.ctx); err != nil {
			t.Fatal(err)
		}
		d.kill("n5")
		d.kill("n4")
		d.agree(time.Minute, 4, 1)
		if err := d.nodes["n0"].ForceLeave(d.ctx, "n4", false); err != nil {
			t.Fatal(err)
		}
		d.agree(time.Minute, 4, 0)
		before := d.attempts()
		d.pass(time.Hour)
		if after := d.attempts(); after != before {
			t.Errorf("%d attempts in an hour", after-before)
		}
	})
}

func TestNodeThatLeftHealsNobody(t *testing.T) {
	divide(t, nil, func(d *divided) {
		d.form(3)
		d.kill("n2")
		d.agree(time.Minute, 2, 1)
		if err := d.nodes["n1"].Leave(d.ctx); err != nil {
			t.Fatal(err)
		}
		d.pass(10 * time.Second)
		before := d.nodes["n1"].Stats().Heal.Attempts
		d.pass(10 * time.Minute)
		if after := d.nodes["n1"].Stats().Heal.Attempts; after != before {
			t.Errorf("%d attempts after it left", after-before)
		}
	})
}

// What is really dead costs one attempt a second of the whole cluster, for ever.
func TestTheDeadAreTriedForEverAtAConstantRate(t *testing.T) {
	divide(t, nil, func(d *divided) {
		d.form(10)
		for _, name := range []string{"n2", "n5", "n7"} {
			d.kill(name)
		}
		d.agree(time.Minute, 7, 3)
		for range 3 {
			before := d.attempts()
			d.pass(20 * time.Minute)
			if rate := float64(d.attempts()-before) / 1200; rate < 0.7 || rate > 1.1 {
				t.Errorf("%.2f attempts a second, want about one", rate)
			}
		}
		// A machine that stays away for hours comes back by itself, without a seed.
		d.start("n7", 7)
		d.agree(30*time.Second, 8, 2)
	})
}

// A name may stand for all nodes of a cluster; a node that joins through it need not exchange state with each.
func TestJoiningThroughANameAsksFewOfItsAddresses(t *testing.T) {
	divide(t, nil, func(d *divided) {
		const size = 48
		var machines []int
		for i := range size {
			d.start(fmt.Sprintf("n%d", i), i)
			machines = append(machines, i)
		}
		d.resolves("all.example", machines...)
		d.start("new", size)
		joined, err := d.nodes["new"].Join(d.ctx, []string{"all.example:7946"})
		if n := len(joined.Joined); err != nil || n == 0 || n > size*3/4 {
			t.Errorf("joined through %d of %d addresses, %v", n, size, err)
		}
	})
}
