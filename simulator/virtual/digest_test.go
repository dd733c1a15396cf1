package virtual

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip"
	"heartbeat/membership"
	"heartbeat/simulator/fabric"
	"heartbeat/simulator/virtual/bubble"
)

// missing is a transport that loses every packet with certain bytes in it: its node never hears of something by gossip.
type missing struct {
	*fabric.Endpoint
	what atomic.Pointer[[]byte]
}

func (m *missing) SetInbound(hook func(*memberlist.Packet) *memberlist.Packet) {
	m.Endpoint.SetInbound(func(p *memberlist.Packet) *memberlist.Packet {
		if what := m.what.Load(); what != nil && bytes.Contains(p.Buf, *what) {
			return nil
		}
		return hook(p)
	})
}

// fleet starts nodes that know each other, 2±1 ms apart with 1 % loss, and ends them with the test.
func fleet(ctx context.Context, t *testing.T, size int, seed uint64, edit func(*gossip.Config)) ([]*gossip.Node, []*missing) {
	t.Helper()
	net := fabric.New(fabric.Config{Seed: seed, Links: func(int, int, fabric.Proto) fabric.Link {
		return fabric.Link{Loss: 0.01, Delay: 2 * time.Millisecond, Jitter: time.Millisecond}
	}})
	nodes, ends := make([]*gossip.Node, size), make([]*missing, size)
	for i := range nodes {
		end, err := net.Listen(i, address(i))
		if err != nil {
			t.Fatal(err)
		}
		cfg := gossip.LAN()
		cfg.EventBuffer, cfg.JournalSize = 64, 64
		edit(&cfg)
		ends[i] = &missing{Endpoint: end}
		cfg.Name, cfg.Transport = fmt.Sprint("n", i+1), ends[i]
		if nodes[i], err = gossip.Start(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if _, err := nodes[i].Join(ctx, []string{address(0).String()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, n := range nodes {
		for n.View().Count(membership.Alive) != size {
			if sleep(ctx, 100*time.Millisecond) != nil {
				t.Fatal("the nodes have not found each other")
			}
		}
	}
	return nodes, ends
}

func tagOf(n *gossip.Node, member string) string {
	m, _ := n.View().Member(member)
	return m.Tags["v"]
}

// missedUpdate has some of the nodes miss n1's new tag, and returns when each of them has it all the same,
// counted from the update; and how many exchanges there were until 5 s later.
func missedUpdate(t *testing.T, size, missed int, seed uint64, within time.Duration, edit func(*gossip.Config)) (times []time.Duration, syncs uint64) {
	t.Helper()
	err := bubble.Run(t, func(ctx context.Context) error {
		nodes, ends := fleet(ctx, t, size, seed, edit)
		defer func() {
			for i, n := range nodes {
				ends[i].Kill()
				_ = n.Close()
			}
		}()
		if err := sleep(ctx, 30*time.Second); err != nil { // until the news of the joining have died down
			return err
		}
		before := uint64(0)
		for _, n := range nodes {
			before += n.Stats().Digest.Syncs
		}
		value := "the-update-that-is-missed"
		what := []byte(value)
		victims := nodes[size-missed:]
		for _, e := range ends[size-missed:] {
			e.what.Store(&what)
		}
		began := time.Now()
		if _, err := nodes[0].UpdateTags(ctx, map[string]string{"v": value}, nil); err != nil {
			return err
		}
		left := slices.Clone(victims)
		for len(left) > 0 && time.Since(began) < within {
			if err := sleep(ctx, 10*time.Millisecond); err != nil {
				return err
			}
			left = slices.DeleteFunc(left, func(n *gossip.Node) bool {
				knows := tagOf(n, "n1") == value
				if knows {
					times = append(times, time.Since(began))
				}
				return knows
			})
		}
		for range left {
			times = append(times, within)
		}
		if err := sleep(ctx, 5*time.Second); err != nil {
			return err
		}
		for _, n := range nodes {
			syncs += n.Stats().Digest.Syncs
			if got := tagOf(n, "n1"); len(left) == 0 && got != value {
				t.Errorf("%s has the tag %q", n.Self().Name, got)
			}
		}
		syncs -= before
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return times, syncs
}

// What gossip has not brought to some nodes, digests repair within seconds, and with few exchanges.
func TestMissedUpdate(t *testing.T) {
	if testing.Short() {
		t.Skip("virtual minutes of a cluster")
	}
	times, syncs := missedUpdate(t, 20, 1, 1, 10*time.Second, func(c *gossip.Config) { c.SyncInterval = 0 })
	if slowest := slices.Max(times); slowest > 5*time.Second || syncs == 0 || syncs > 4 {
		t.Errorf("repaired after %v, with %d exchanges", times, syncs)
	}
	times, _ = missedUpdate(t, 20, 1, 1, 10*time.Second, func(c *gossip.Config) { c.SyncDigest, c.SyncInterval = false, 0 })
	if times[0] != 10*time.Second {
		t.Errorf("without digests it was repaired after %v: the test shows nothing", times)
	}
}

// What gossip does bring to everybody is left to it: nobody begins an exchange.
func TestUpdateWithoutExchange(t *testing.T) {
	if testing.Short() {
		t.Skip("virtual minutes of a cluster")
	}
	if _, syncs := missedUpdate(t, 40, 0, 1, 10*time.Second, func(c *gossip.Config) { c.SyncInterval = 0 }); syncs > 1 {
		t.Errorf("%d exchanges for an update that nobody missed", syncs)
	}
}

// TestRepairTimes measures what docs/performance.md says of missed updates:
//
//	REPAIR=100x20 go test ./simulator/virtual -run TestRepairTimes -v -timeout 60m
func TestRepairTimes(t *testing.T) {
	var size, seeds int
	if _, err := fmt.Sscanf(os.Getenv("REPAIR"), "%dx%d", &size, &seeds); err != nil {
		t.Skip("REPAIR=NODESxSEEDS is not set")
	}
	for _, arm := range []struct {
		name   string
		within time.Duration
		edit   func(*gossip.Config)
	}{
		{"heartbeat", time.Minute, func(c *gossip.Config) { c.Detector = gossip.DetectorVerdicts }},
		{"memberlist", 10 * time.Minute, func(c *gossip.Config) {
			c.Detector, c.SyncDigest, c.SyncInterval = gossip.DetectorMemberlist, false, 30*time.Second
		}},
	} {
		t.Run(arm.name, func(t *testing.T) {
			var all []time.Duration
			var syncs uint64
			for seed := range seeds {
				times, n := missedUpdate(t, size, size/20, uint64(seed+1), arm.within, arm.edit)
				all, syncs = append(all, times...), syncs+n
			}
			slices.Sort(all)
			at := func(q float64) time.Duration {
				return all[min(len(all)-1, int(q*float64(len(all))))].Round(10 * time.Millisecond)
			}
			fmt.Printf("%s: %d nodes, %d seeds, %d nodes missed the update: repaired p50 %v, p99 %v, max %v; %.1f exchanges begun for digests a run\n",
				arm.name, size, seeds, len(all), at(0.5), at(0.99), at(1), float64(syncs)/float64(seeds))
		})
	}
}
