package gossip

import (
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// payloadNode is a bare memberlist whose acks have the payload that say returns; without say it has no PingDelegate at all.
func payloadNode(t *testing.T, name string, say func() []byte, join *Node) *memberlist.Memberlist {
	t.Helper()
	mc := memberlist.DefaultLocalConfig()
	mc.Name, mc.BindAddr, mc.BindPort = name, "127.0.0.1", 0
	mc.AdvertiseAddr = "127.0.0.1"
	mc.Logger = log.New(io.Discard, "", 0)
	if say != nil {
		mc.Ping = sayer{say}
	}
	m, err := memberlist.Create(mc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Shutdown() })
	if _, err := m.Join([]string{join.advertise.String()}); err != nil {
		t.Fatal(err)
	}
	return m
}

type sayer struct{ say func() []byte }

func (s sayer) AckPayload() []byte { return s.say() }

func (sayer) NotifyPingComplete(*memberlist.Node, time.Duration, []byte) {}

// Whatever a peer says, at most one exchange a spacing comes of it, and what it says otherwise is not believed.
func TestHostileDigests(t *testing.T) {
	for name, say := range map[string]func() []byte{
		"random bytes": func() []byte {
			b := make([]byte, rand.IntN(64))
			for i := range b {
				b[i] = byte(rand.Uint32())
			}
			return b
		},
		"a huge count":          func() []byte { return wire.Digest{Sum: 1, Held: wire.MaxHeld}.Encode() },
		"another one each time": func() []byte { return wire.Digest{Sum: rand.Uint64(), Held: rand.Uint32N(wire.MaxHeld)}.Encode() },
	} {
		t.Run(name, func(t *testing.T) {
			var acks atomic.Int32
			n := start(t, quick("n1"))
			payloadNode(t, "liar", func() []byte { acks.Add(1); return say() }, n)
			began := time.Now()
			eventually(t, func() error {
				if got := acks.Load(); got < 20 {
					return fmt.Errorf("%d acks", got)
				}
				return nil
			})
			counts := n.Stats().Digest
			if most := uint64(time.Since(began)/n.cfg.ProbeInterval) + 1; counts.Syncs > most {
				t.Errorf("%d exchanges within %v: %+v", counts.Syncs, time.Since(began), counts)
			}
			if name != "random bytes" && counts.Mismatches == 0 {
				t.Errorf("nothing was compared: %+v", counts)
			}
			if err := wantCounts(n, 2, 0, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// Plain memberlist nodes tell no digest: nothing is compared with them and nothing follows.
func TestDigestsBesidePlainNodes(t *testing.T) {
	nodes := cluster(t, 2, func(c *Config) { c.SyncInterval = time.Hour })
	payloadNode(t, "plain", nil, nodes[0])
	for _, n := range nodes {
		eventually(t, func() error { return wantCounts(n, 3, 0, 0) })
		eventually(t, func() error {
			if _, known := n.RTT("plain"); !known {
				return errors.New("it was not probed")
			}
			if c := n.Stats().Digest; c.Comparisons == 0 {
				return errors.New("nothing was compared")
			}
			return nil
		})
	}
	own, peers, err := nodes[0].AskDigests(t.Context())
	if err != nil || own.Held != 3 || len(peers) != 2 {
		t.Fatalf("%+v %+v %v", own, peers, err)
	}
	if p := peers[0]; p.Name != "n2" || !p.Asked || p.Silent || !p.Told || p.Digest.Held != 3 {
		t.Errorf("%+v", p)
	}
	if p := peers[1]; p.Name != "plain" || p.Silent || p.Told {
		t.Errorf("%+v", p)
	}
}

func TestAskDigests(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		key, err := GenerateKey(256)
		if err != nil {
			t.Fatal(err)
		}
		nodes := cluster(t, 4, func(c *Config) {
			c.Cluster = "blue"
			c.SuspicionMult = 60 // the dead one is to be held
			if encrypted {
				if c.Keyring, err = NewKeyring(key); err != nil {
					t.Fatal(err)
				}
			}
		})
		_ = nodes[3].Close() // it crashes
		own, peers, err := nodes[0].AskDigests(t.Context())
		if err != nil || len(peers) != 3 || own.Held != 4 {
			t.Fatalf("%+v %+v %v", own, peers, err)
		}
		for _, p := range peers[:2] {
			if p.Silent || !p.Told || p.Digest != own {
				t.Errorf("%+v, this node has %+v", p, own)
			}
		}
		if p := peers[2]; p.Name != "n4" || !p.Silent {
			t.Errorf("the dead one: %+v", p)
		}
		if n := len(nodes[0].digests.inquiry.pings); n != 0 {
			t.Errorf("%d pings are remembered", n)
		}
		_ = nodes[0].Close()
		if _, _, err := nodes[0].AskDigests(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	c := quick("off")
	c.SyncDigest = false
	n := start(t, c)
	if _, _, err := n.AskDigests(t.Context()); !errors.Is(err, ErrNoDigest) {
		t.Errorf("without digests: %v", err)
	}
	if n.Info().Digest != nil || (delegate{n}).AckPayload() != nil {
		t.Error("a node without digests tells one")
	}
}

// While somebody asks all the time, pings that stay unanswered do not pile up, and the newest are remembered.
func TestUnansweredPingsAreForgotten(t *testing.T) {
	q := newInquiry()
	last := uint32(3 * maxPings) // sequence numbers wrap around
	for seqNo := last - 10*maxPings; seqNo != last+1; seqNo++ {
		q.sent(seqNo, "n1")
	}
	if n := len(q.pings); n < maxPings || n > 2*maxPings {
		t.Errorf("%d pings are remembered", n)
	}
	for seqNo := last - maxPings + 1; seqNo != last+1; seqNo++ {
		if q.pings[seqNo] != "n1" {
			t.Fatalf("ping %d, the newest but %d, is forgotten", seqNo, last-seqNo)
		}
	}
}

// An ask ends before the API gives up waiting for it, should none of a great many answer.
func TestAskEndsInTime(t *testing.T) {
	if longest := maxAsked / askers * askPings * WAN().ProbeTimeout; longest > 55*time.Second {
		t.Errorf("it may take %v", longest)
	}
}

// What a node publishes is the digest of its view.
func TestDigestIsPublished(t *testing.T) {
	nodes := cluster(t, 3, nil)
	if _, err := nodes[0].UpdateTags(t.Context(), map[string]string{"a": "b"}, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		want := *nodes[0].Info().Digest
		for _, n := range nodes {
			said, ok := wire.DecodeDigest(delegate{n}.AckPayload())
			if got := (membership.Digest{Sum: said.Sum, Held: int(said.Held)}); !ok || got != want || got != *n.Info().Digest || got.Held != 3 {
				return fmt.Errorf("%s tells %+v, want %+v", n.cfg.Name, got, want)
			}
		}
		return nil
	})
}

// After a first difference another peer is asked. The engine itself probes nobody within the first minute.
func TestAnotherPeerIsAsked(t *testing.T) {
	c := quick("n1")
	c.ProbeInterval, c.SyncInterval = time.Minute, time.Hour
	n := start(t, c)
	n.digests.policy.cfg.second = time.Millisecond
	lie := wire.Digest{Sum: 42, Held: 3}.Encode()
	for _, name := range []string{"a", "b"} {
		payloadNode(t, name, func() []byte { return lie }, n)
	}
	eventually(t, func() error { return wantCounts(n, 3, 0, 0) })
	eventually(t, func() error {
		if quiet := time.Since(n.digests.own.Load().since); quiet < n.digests.policy.cfg.quiet {
			return fmt.Errorf("the view has been quiet for %v", quiet)
		}
		return nil
	})
	a, _ := n.View().Member("a")
	n.digests.mu.Lock()
	n.digests.policy.grew = time.Time{} // nobody has joined lately
	n.digests.mu.Unlock()
	n.digests.compare("a", a.Addr, lie)
	eventually(t, func() error {
		if got := n.Stats().Digest; got.Syncs == 0 {
			return fmt.Errorf("no exchange: %+v", got)
		}
		return nil
	})
	if got := n.Stats().Digest; got.Comparisons != 2 || got.Mismatches != 2 {
		t.Errorf("%+v", got)
	}
}
