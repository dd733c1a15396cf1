package gossip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// asking is a log writer that asks the node, as an embedder's may.
type asking struct {
	node  atomic.Pointer[Node]
	lines atomic.Int32
}

func (a *asking) Write(line []byte) (int, error) {
	if n := a.node.Load(); n != nil {
		n.View()
		a.lines.Add(1)
	}
	return len(line), nil
}

func TestLogWriterMayAskTheNode(t *testing.T) {
	c := slow("n1")
	w := new(asking)
	c.Logger = zerolog.New(w)
	n, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	w.node.Store(n)
	done := make(chan struct{})
	go func() {
		defer close(done)
		self := &memberlist.Node{Name: "n1", Addr: []byte{127, 0, 0, 1}, Port: 9}
		delegate{n}.NotifyConflict(self, &memberlist.Node{Name: "n1", Addr: []byte{127, 0, 0, 2}, Port: 9})
		n.View()
		n.Close()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the node waits for its log, and the log for the node")
	}
	if w.lines.Load() == 0 {
		t.Error("the conflict was not logged before the end of Close")
	}
}

func TestNothingHappensAfterClose(t *testing.T) {
	n := start(t, slow("n1"))
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Alive) })
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	last := n.Stats().Events
	n.roster.suspect("s", 1)
	delegate{n}.NotifyLeave(&memberlist.Node{Name: "s"}) // a suspicion timer that outlives the engine
	if err := wantState(n, "s", membership.Alive); err != nil {
		t.Errorf("after close: %v", err)
	}
	if got := n.Stats().Events; got != last {
		t.Errorf("%d events after close", got-last)
	}
}

// An update that waits to be gossiped must not hold up Close for as long as its
// own context allows.
func TestCloseLetsAnUpdateOfTagsEnd(t *testing.T) {
	c := slow("n1")
	c.GossipInterval = 700 * time.Millisecond
	n := start(t, c)
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Alive) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	updated := make(chan error, 1)
	go func() {
		_, err := n.UpdateTags(ctx, map[string]string{"a": "b"}, nil)
		updated <- err
	}()
	eventually(t, func() error {
		if n.View().Self().Tags["a"] != "b" {
			return errors.New("the update has not begun")
		}
		return nil
	})
	closed := make(chan struct{})
	go func() { n.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(30 * time.Second):
		t.Fatal("close waits for the update's context")
	}
	if err := <-updated; err != nil {
		t.Errorf("update: %v", err)
	}
}

// The engine never sends what does not fit into a packet.
func TestSmallestPacketCarriesTheLargestMember(t *testing.T) {
	tags := make(map[string]string)
	for i := range 2 {
		tags[fmt.Sprint("k", i)] = strings.Repeat("v", 230)
	}
	for {
		tags["fill"] += "v"
		if _, err := wire.EncodeTags(tags); err != nil {
			tags["fill"] = tags["fill"][1:]
			break
		}
	}
	ring, err := NewKeyring(newKey(t, 256))
	if err != nil {
		t.Fatal(err)
	}
	nodes := cluster(t, 2, func(c *Config) {
		c.PacketSize = 1024
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		c.Keyring = ring
		c.Cluster = strings.Repeat("c", 255)
		c.Name += strings.Repeat("x", maxNameLen-len(c.Name))
	})
	if _, err := nodes[1].UpdateTags(t.Context(), tags, nil); err != nil {
		t.Error(err)
	}
	c := quick("n1")
	c.PacketSize = 1023
	if c.Validate() == nil {
		t.Error("a smaller packet is accepted")
	}
}

// A node whose only peers have crashed is not in trouble itself, although the
// engine's score says so: with nobody else to ask it takes each silence for its
// own fault.
func TestCrashOfTheOnlyPeersIsNoTroubleOfOnesOwn(t *testing.T) {
	c := quick("n1")
	c.SuspicionMult = 64
	n := start(t, c)
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error {
		if got := n.Info(); got.HealthScore < 4 {
			return fmt.Errorf("health score %d", got.HealthScore)
		}
		return nil
	})
	if got := n.Info(); got.Condition != membership.Connected {
		t.Errorf("condition %v with the health score %d", got.Condition, got.HealthScore)
	}
}

func TestSameFamily(t *testing.T) {
	v4, v6, mapped := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("::ffff:10.0.0.1")
	all := []netip.Addr{v6, v4, mapped}
	equal := cmpopts.EquateComparable(netip.Addr{})
	if diff := cmp.Diff([]netip.Addr{v4, mapped}, sameFamily(all, v4), equal); diff != "" {
		t.Errorf("for IPv4 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]netip.Addr{v6}, sameFamily(all, v6), equal); diff != "" {
		t.Errorf("for IPv6 (-want +got):\n%s", diff)
	}
}

func TestJoinWait(t *testing.T) {
	conflict := &SeedError{Seed: "s", Err: fmt.Errorf("%w: held", ErrNameConflict)}
	for _, tc := range []struct {
		attempt int
		err     error
		want    time.Duration
	}{
		{1, errors.ErrUnsupported, 500 * time.Millisecond},
		{2, errors.ErrUnsupported, time.Second},
		{7, errors.ErrUnsupported, 30 * time.Second},
		{1 << 40, errors.ErrUnsupported, 30 * time.Second},
		{1, conflict, 500 * time.Millisecond},
		{7, errors.Join(errors.ErrUnsupported, conflict), 2 * time.Second},
	} {
		if got := joinWait(tc.attempt, tc.err); got != tc.want {
			t.Errorf("attempt %d after %v: %v, want %v", tc.attempt, tc.err, got, tc.want)
		}
	}
}
