package gossip

import (
	"fmt"
	"testing"
	"time"

	"heartbeat/membership"
)

// restarted starts a new process of a closed node, at its address.
func restarted(t *testing.T, old *Node, seeds []string, edit func(*Config)) *Node {
	t.Helper()
	c := quick(old.cfg.Name)
	edit(&c)
	c.Port = int(old.advertise.Port())
	n := start(t, c)
	if _, err := n.Join(t.Context(), seeds); err != nil {
		t.Fatal(err)
	}
	return n
}

// A service that crashes twice in a minute and is restarted at once is alive again at once: a new process has no past.
func TestRestartedTwiceIsAliveAtOnce(t *testing.T) {
	edit := func(c *Config) {
		judging(c)
		c.VerdictProbation = time.Hour
	}
	nodes := cluster(t, 5, edit)
	victim := nodes[4]
	for range 2 {
		if err := victim.Close(); err != nil {
			t.Fatal(err)
		}
		for _, n := range nodes[:4] {
			eventually(t, func() error { return wantState(n, "n5", membership.Failed) })
		}
		victim = restarted(t, victim, seedOf(nodes[0]), edit)
		for _, n := range nodes[:4] {
			eventually(t, func() error { return wantState(n, "n5", membership.Alive) })
		}
	}
}

// An order to prune right after a verdict is carried out by all, though the engine still holds the member suspect.
func TestPruneRightAfterTheVerdict(t *testing.T) {
	nodes := cluster(t, 5, func(c *Config) {
		judging(c)
		c.SuspicionMult = 20
	})
	if err := nodes[4].Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[:4] {
		eventually(t, func() error { return wantState(n, "n5", membership.Failed) })
	}
	if err := nodes[0].ForceLeave(t.Context(), "n5", true); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[:4] {
		eventually(t, func() error {
			if m, ok := n.View().Member("n5"); ok {
				return fmt.Errorf("%s lists it: %v", n.cfg.Name, m.State)
			}
			return nil
		})
	}
}

// Who runs is not kept out of a full table by those who ran.
func TestFullTableMakesRoom(t *testing.T) {
	edit := func(c *Config) {
		c.MaxMembers = 4
		c.GossipToTheDead = 200 * time.Millisecond
	}
	nodes := cluster(t, 4, edit)
	if err := nodes[3].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := nodes[3].Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[:3] {
		eventually(t, func() error { return wantState(n, "n4", membership.Left) })
	}
	c := quick("n5")
	edit(&c)
	newcomer := start(t, c)
	eventually(t, func() error { // until the engines have forgotten n4
		_, err := newcomer.Join(t.Context(), seedOf(nodes[0]))
		if err == nil {
			err = wantState(nodes[0], "n5", membership.Alive)
		}
		return err
	})
	for _, n := range nodes[:3] {
		eventually(t, func() error { return wantState(n, "n5", membership.Alive) })
	}
}
