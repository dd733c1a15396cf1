package virtual

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip"
	"heartbeat/gossip/wire"
	"heartbeat/membership"
	"heartbeat/simulator/fabric"
	"heartbeat/simulator/virtual/bubble"
)

// crowd are nodes that have joined, in virtual time.
type crowd struct {
	t     *testing.T
	nodes []*gossip.Node
	ends  []*fabric.Endpoint
	stop  chan struct{}
	busy  sync.WaitGroup
	dead  map[int]bool // closed before
	key   []byte
}

func gather(ctx context.Context, t *testing.T, size int, encrypted bool) *crowd {
	t.Helper()
	c := &crowd{t: t, stop: make(chan struct{}), dead: make(map[int]bool)}
	network := fabric.New(fabric.Config{Links: func(int, int, fabric.Proto) fabric.Link { return fabric.Link{Delay: time.Millisecond} }})
	if encrypted {
		text, err := gossip.GenerateKey(256)
		if err != nil {
			t.Fatal(err)
		}
		if c.key, err = gossip.ParseKey(text); err != nil {
			t.Fatal(err)
		}
	}
	for i := range size {
		end, err := network.Listen(i, address(i))
		if err != nil {
			t.Fatal(err)
		}
		cfg := gossip.LAN()
		cfg.Name, cfg.Transport, cfg.Detector = fmt.Sprintf("n%d", i+1), end, gossip.DetectorMemberlist
		if encrypted {
			if cfg.Keyring, err = gossip.NewKeyring(base64.StdEncoding.EncodeToString(c.key)); err != nil {
				t.Fatal(err)
			}
		}
		n, err := gossip.Start(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.nodes, c.ends = append(c.nodes, n), append(c.ends, end)
		if i > 0 {
			if _, err := n.Join(ctx, []string{address(0).String()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.await("all to see all", 5*time.Minute, func() bool {
		return c.all(func(n *gossip.Node) bool { return n.View().Count(membership.Alive) == size })
	})
	return c
}

func (c *crowd) close() {
	close(c.stop)
	c.busy.Wait()
	for i := range c.nodes {
		c.kill(i)
	}
}

// kill ends a node without a word to the others.
func (c *crowd) kill(i int) {
	if c.dead[i] {
		return
	}
	c.dead[i] = true
	if err := c.nodes[i].Close(); err != nil {
		c.t.Error(err)
	}
}

func (c *crowd) all(holds func(*gossip.Node) bool) bool {
	for i, n := range c.nodes {
		if !c.dead[i] && !holds(n) {
			return false
		}
	}
	return true
}

// await returns how long it took until the condition held.
func (c *crowd) await(what string, within time.Duration, holds func() bool) time.Duration {
	c.t.Helper()
	began := time.Now()
	for !holds() {
		if time.Since(began) > within {
			c.t.Errorf("after %v still waiting for %s", within, what)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

// every calls do in each gossip interval until the crowd is closed.
func (c *crowd) every(do func(round int)) {
	c.busy.Go(func() {
		for round := 0; ; round++ {
			do(round)
			select {
			case <-time.After(200 * time.Millisecond):
			case <-c.stop:
				return
			}
		}
	})
}

// inject hands a message to a node as if it had come from a peer.
func (c *crowd) inject(i int, message []byte) {
	packet, err := wire.Wrap(message, gossip.LAN().Cluster, c.key)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.ends[i].Inject(&memberlist.Packet{Buf: packet, From: net.UDPAddrFromAddrPort(address(i)), Timestamp: time.Now()})
}

// floodOfMembership accuses members of the crowd from the given one on in each gossip interval. They refute that, so each
// accusation is two broadcasts of the engine at every node, many more than fit into the packets.
func (c *crowd) floodOfMembership(from int) {
	c.every(func(round int) {
		for i := from; i < len(c.nodes); i++ {
			at := rand.IntN(from)
			if !c.dead[at] {
				c.inject(at, wire.EncodeSuspect(c.nodes[i].Self().Name, "n2", uint32(10*(round+1))))
			}
		}
	})
}

// floodOfOrders makes nodes relay orders to force out members that nobody knows, more than fit into the packets.
func (c *crowd) floodOfOrders() {
	c.every(func(int) {
		for range 40 {
			order, err := wire.Encode(&wire.ForcedOut{Subject: "nobody", By: "n1", ID: rand.Uint64(), At: 1})
			if err != nil {
				c.t.Error(err)
				return
			}
			if at := rand.IntN(len(c.nodes)); !c.dead[at] {
				c.inject(at, append([]byte{byte(wire.User)}, order...))
			}
		}
	})
}

func stateIs(name string, want membership.State) func(*gossip.Node) bool {
	return func(n *gossip.Node) bool {
		m, ok := n.View().Member(name)
		return ok && m.State == want
	}
}

// However much the engine has to say, an order gets through, and however many orders there are, the engine's messages do.
func TestNeitherMembershipNorUserMessagesStarve(t *testing.T) {
	const size, calm = 60, 20
	for _, flood := range []struct {
		name               string
		membership, orders bool
		encrypted          bool
	}{
		{name: "none"}, {name: "membership", membership: true}, {name: "membership, encrypted", membership: true, encrypted: true},
		{name: "orders", orders: true},
	} {
		t.Run(flood.name, func(t *testing.T) {
			err := bubble.Run(t, func(ctx context.Context) error {
				c := gather(ctx, t, size, flood.encrypted)
				defer c.close()
				c.kill(calm - 1)
				failed := c.nodes[calm-1].Self().Name
				c.await(failed+" to be held failed", time.Minute, func() bool { return c.all(stateIs(failed, membership.Failed)) })
				if flood.membership {
					c.floodOfMembership(calm)
				}
				if flood.orders {
					c.floodOfOrders()
				}
				time.Sleep(5 * time.Second)
				sent, extra := c.packets(), c.extra()
				if flood.orders {
					began := time.Now()
					if _, err := c.nodes[1].UpdateTags(ctx, map[string]string{"k": "v"}, nil); err != nil {
						return err
					}
					c.await("the tags of n2", 5*time.Second, func() bool {
						return c.all(func(n *gossip.Node) bool { m, _ := n.View().Member("n2"); return m.Tags["k"] == "v" })
					})
					t.Logf("new tags are seen by all after %v", time.Since(began))
				} else {
					if err := c.nodes[0].ForceLeave(ctx, failed, false); err != nil {
						return err
					}
					took := c.await("the order to force "+failed+" out", 10*time.Second, func() bool { return c.all(stateIs(failed, membership.Left)) })
					t.Logf("the order is seen by all after %v", took)
				}
				sent, extra = c.packets()-sent, c.extra()-extra
				t.Logf("of %d packets %d were of user messages alone", sent, extra)
				if !flood.membership && !flood.orders && extra != 0 {
					t.Errorf("%d packets of user messages alone though nothing keeps them waiting", extra)
				}
				if extra > sent/4 {
					t.Errorf("of %d packets %d were of user messages alone, more than a quarter", sent, extra)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// packets are those that the crowd has sent, extra those of them with user messages alone.
func (c *crowd) packets() (n uint64) {
	for _, end := range c.ends {
		n += end.Stats().PacketsOut
	}
	return n
}

func (c *crowd) extra() (n uint64) {
	for _, node := range c.nodes {
		n += node.Stats().UserPackets
	}
	return n
}
