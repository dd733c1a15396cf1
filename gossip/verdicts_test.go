package gossip

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// judging has verdicts, and an engine that is much slower than them.
func judging(c *Config) {
	c.Detector = DetectorVerdicts
	c.VerdictPatience = 300 * time.Millisecond
	c.SuspicionMult = 60
	c.RetransmitMult = 8
}

// lastChange returns the last change of that kind about the member.
func lastChange(n *Node, kind membership.ChangeKind, member string) (membership.Change, bool) {
	var found membership.Change
	n.drain()
	for w := n.events.watch(1); ; {
		ev, more, err := w.poll()
		if more != nil || err != nil {
			return found, found.Kind != 0
		}
		if ev.Change.Kind == kind && ev.Change.Member.Name == member {
			found = ev.Change
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted=%v", encrypted), func(t *testing.T) {
			key, err := GenerateKey(128)
			if err != nil {
				t.Fatal(err)
			}
			nodes := cluster(t, 5, func(c *Config) {
				judging(c)
				if encrypted {
					if c.Keyring, err = NewKeyring(key); err != nil {
						t.Fatal(err)
					}
				}
			})
			if err := nodes[4].Close(); err != nil { // a crash, as the others see it
				t.Fatal(err)
			}
			for _, n := range nodes[:4] {
				eventually(t, func() error { return wantCounts(n, 4, 1, 0) })
				kinds := map[membership.EntryKind]bool{}
				for _, e := range n.Journal("n5") {
					kinds[e.Kind] = true
				}
				if !kinds[membership.EntryVerdict] || !kinds[membership.EntryTestified] || kinds[membership.EntryHeld] {
					t.Errorf("%s: the journal about n5 is %v, want testimonies and a verdict", n.cfg.Name, n.Journal("n5"))
				}
				c, ok := lastChange(n, membership.ChangeFailed, "n5")
				if !ok || len(c.By) < 3 || slices.Contains(c.By, "n5") || !strings.Contains(c.Reason, "their controls answered") {
					t.Errorf("%s: n5 failed by %v: %s", n.cfg.Name, c.By, c.Reason)
				}
			}
		})
	}
}

// Of a member that was heard of, but long before it was accused, the witnesses ask the others, and no patience is waited for.
func TestVerdictWithoutPatience(t *testing.T) {
	nodes := cluster(t, 12, func(c *Config) { // most of which are witnesses, and some are asked
		judging(c)
		c.ProbeInterval = time.Hour // so that it is accused when this test says so
		c.VerdictPatience = time.Hour
		c.VerdictSilence = 2 * time.Second
	})
	subject := nodes[11].Self()
	if _, err := nodes[11].engine.Ping("n2", net.UDPAddrFromAddrPort(nodes[1].Self().Addr)); err != nil {
		t.Fatal(err)
	}
	if err := nodes[11].Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		at, heard := nodes[1].tap.suspects.last(subject.Addr)
		if ago := time.Since(at); !heard || ago < nodes[1].cfg.VerdictSilence*3/2+100*time.Millisecond {
			return fmt.Errorf("n2 has heard of n12: %v, %v ago", heard, ago)
		}
		return nil
	})
	nodes[0].inbox.put(membership.Accused{Subject: "n12", Incarnation: subject.Incarnation, Accuser: "n1", Source: membership.SourceOutbound})
	for _, n := range nodes[:11] {
		eventually(t, func() error { return wantCounts(n, 11, 1, 0) })
		if c, ok := lastChange(n, membership.ChangeFailed, "n12"); !ok || !strings.Contains(c.Reason, "the members were asked") {
			t.Errorf("%s: n12 failed by %v: %s", n.cfg.Name, c.By, c.Reason)
		}
	}
}

// testimonyOf is what everybody who can send a packet may say.
func testimonyOf(t *testing.T, subject string, incarnation uint32, witnesses ...string) []byte {
	t.Helper()
	buf, err := wire.Encode(&wire.Testimony{Subject: subject, Incarnation: incarnation, Witnesses: witnesses})
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{byte(wire.User)}, buf...)
}

// What was heard of the subject reaches the core before a quorum is complete, which is passed on at once; but after the first testimony,
// for that may be the first accusation, and again at the end, for the core may not have taken that one.
func TestWhatWasHeardComesBeforeTheQuorum(t *testing.T) {
	n := start(t, quick("n1"))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.offerTestimony(&wire.Testimony{Subject: "n9", Incarnation: 3, Age: 20, Witnesses: []string{"n2", "n3"}, Hearers: []string{"n4"}, Before: 151, Asked: 2})
	var got []membership.Input
	for _, in := range n.inbox.take() {
		switch in.(type) {
		case membership.Testified, membership.Heard, membership.HeardBefore:
			got = append(got, in)
		}
	}
	want := []membership.Input{
		membership.Testified{Subject: "n9", Incarnation: 3, Witness: "n2", Age: 200 * time.Millisecond},
		membership.Heard{Subject: "n9", Incarnation: 3, By: "n4"},
		membership.HeardBefore{Subject: "n9", Incarnation: 3, Before: 1500 * time.Millisecond},
		membership.Testified{Subject: "n9", Incarnation: 3, Witness: "n3", Asked: true, Age: 200 * time.Millisecond},
		membership.Heard{Subject: "n9", Incarnation: 3, By: "n4"},
		membership.HeardBefore{Subject: "n9", Incarnation: 3, Before: 1500 * time.Millisecond},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// A forged quorum makes a member suspect at most: it answers whoever is to hold it failed, and
// refutes, at however high an incarnation, when it hears of it.
func TestForgedTestimonies(t *testing.T) {
	nodes := cluster(t, 5, judging)
	for i, n := range nodes[:4] {
		arrive(t, n, testimonyOf(t, "n5", 1000, "n1", "n2", "n3", "n4"))
		if i == 0 {
			eventually(t, func() error {
				if m, _ := n.View().Member("n5"); m.Incarnation < 1000 {
					return fmt.Errorf("the testimony has not arrived: %+v", m)
				}
				return nil
			})
		}
	}
	for _, n := range nodes {
		eventually(t, func() error {
			if m, _ := n.View().Member("n5"); m.State != membership.Alive || m.Incarnation <= 1000 {
				return fmt.Errorf("%s sees n5 %v at %d", n.cfg.Name, m.State, m.Incarnation)
			}
			return nil
		})
		if c, failed := lastChange(n, membership.ChangeFailed, "n5"); failed {
			t.Errorf("%s: n5 failed: %s", n.cfg.Name, c.Reason)
		}
	}
}

// A node without verdicts, in the same cluster or everywhere, takes no harm from testimonies.
func TestTestimoniesWithoutVerdicts(t *testing.T) {
	nodes := cluster(t, 3, func(c *Config) { c.Detector = DetectorMemberlist })
	arrive(t, nodes[0], testimonyOf(t, "n2", 5, "n3", "n1"))
	arrive(t, nodes[0], testimonyOf(t, "n1", 5, "n3"))
	if err := nodes[2].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return wantCounts(nodes[0], 2, 0, 1) })
	if m, _ := nodes[0].View().Member("n2"); m.State != membership.Alive || m.Incarnation >= 5 {
		t.Errorf("n2 is %+v", m)
	}
	if n := nodes[0].testimonies.NumQueued(); n != 0 {
		t.Errorf("%d testimonies wait to be relayed", n)
	}
}

// A dead message that nobody confirms reaches subscribers as a suspicion that is refuted.
func TestForgedDeath(t *testing.T) {
	nodes := cluster(t, 5, func(c *Config) {
		judging(c)
		c.VerdictPatience = 5 * time.Second
	})
	arrive(t, nodes[0], deadAt(t, "n5", "n4", 1))
	eventually(t, func() error {
		if _, ok := lastChange(nodes[0], membership.ChangeRefuted, "n5"); !ok {
			return fmt.Errorf("n5 has not refuted: %v", nodes[0].Journal("n5"))
		}
		return nil
	})
	for _, n := range nodes {
		eventually(t, func() error { return wantCounts(n, 5, 0, 0) })
		if c, failed := lastChange(n, membership.ChangeFailed, "n5"); failed {
			t.Errorf("%s: n5 failed: %s", n.cfg.Name, c.Reason)
		}
	}
}

// Closing does not wait for looks to end by themselves, and leaves none behind (see TestMain).
func TestCloseWhileLooking(t *testing.T) {
	nodes := cluster(t, 4, func(c *Config) {
		judging(c)
		c.ProbeInterval, c.ProbeTimeout = time.Minute, 50*time.Second
	})
	if err := nodes[3].Close(); err != nil {
		t.Fatal(err)
	}
	arrive(t, nodes[0], suspectAt(t, "n4", "n2", 1))
	eventually(t, func() error {
		if waiting(nodes[0]) != nil {
			return fmt.Errorf("n1 does not look: %v", nodes[0].Journal("n4"))
		}
		return nil
	})
	began := time.Now()
	if err := nodes[0].Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 40*time.Second {
		t.Errorf("closing took %v", took)
	}
}

// With the longest names, too, what is queued can be sent, and has a quorum of witnesses and somebody who hears.
func TestTestimonyQueueHasRoomForAQuorum(t *testing.T) {
	long := func(prefix string, count int) []string {
		names := make([]string, count)
		for i := range names {
			names[i] = prefix + fmt.Sprintf("%0*d", maxNameLen-len(prefix), i)
		}
		return names
	}
	subject := long("s", 1)[0]
	for _, tt := range []struct{ packet, witnesses, hearers, wantWitnesses, wantHearers int }{
		{1400, 5, 2, 5, 1},
		{1400, 5, 0, 5, 0},
		{1400, 1, 4, 1, 4},
		{1400, wire.MaxWitnesses, 4, 5, 1},
		{1024, 5, 4, 3, 1},
		{9000, 5, 4, 5, 4},
		{9000, wire.MaxWitnesses, 4, 11, 3},
		{65507, wire.MaxWitnesses, 4, 11, 3},
	} {
		q := newTestimonyQueue(4, func() int { return 3 })
		witnesses := long("w", tt.witnesses)
		asked := make([]bool, len(witnesses))
		asked[len(asked)-1] = true
		q.queue(membership.Testify{Subject: subject, Incarnation: math.MaxUint32, Witnesses: witnesses, Asked: asked,
			Hearers: long("h", tt.hearers), Age: time.Hour, Before: time.Hour}, tt.packet)
		sent := q.GetBroadcasts(messageOverhead, tt.packet-2-255-cipherOverhead-compoundHeader)
		if len(sent) != 1 {
			t.Errorf("%+v: %d messages", tt, len(sent))
			continue
		}
		msg, err := wire.Decode(sent[0])
		if err != nil {
			t.Fatal(err)
		}
		m := msg.(*wire.Testimony)
		if len(m.Witnesses) != tt.wantWitnesses || len(m.Hearers) != tt.wantHearers {
			t.Errorf("%+v: %d witnesses and %d hearers travel", tt, len(m.Witnesses), len(m.Hearers))
		}
		if m.Witnesses[len(m.Witnesses)-1] != witnesses[len(witnesses)-1] {
			t.Errorf("%+v: the newest witness is left out", tt)
		}
		if want := uint16(1) << (tt.wantWitnesses - 1); m.Asked != want {
			t.Errorf("%+v: asked %b, want %b", tt, m.Asked, want)
		}
	}
}

// What does not fit into half a packet is left out, the oldest first.
func TestTestimonyQueueKeepsTheNewest(t *testing.T) {
	q := newTestimonyQueue(4, func() int { return 3 })
	names := make([]string, wire.MaxWitnesses)
	for i := range names {
		names[i] = fmt.Sprint(i, strings.Repeat("x", 100))
	}
	q.queue(membership.Testify{Subject: "n1", Incarnation: 1, Witnesses: names[:2]}, 1400)
	q.queue(membership.Testify{Subject: "n1", Incarnation: 1, Witnesses: names, Age: 1000 * time.Hour}, 1400)
	q.queue(membership.Testify{Subject: "n2", Incarnation: 1, Witnesses: names[:1]}, 1400)
	if told := q.queue(membership.Testify{Subject: "n3", Incarnation: 1, Witnesses: names[:1], Quietly: true}, 1400); told == nil {
		t.Error("what is for a few alone is not encoded")
	}
	if n := q.NumQueued(); n != 2 {
		t.Fatalf("%d messages wait, want one for each subject", n)
	}
	for _, b := range q.GetBroadcasts(0, 1400) {
		msg, err := wire.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		m := msg.(*wire.Testimony)
		if len(b) > 700 || m.Witnesses[len(m.Witnesses)-1] != names[len(names)-1] && m.Subject == "n1" {
			t.Errorf("%d bytes about %s by %d witnesses", len(b), m.Subject, len(m.Witnesses))
		}
		if m.Subject == "n1" && (len(m.Witnesses) < 5 || m.Age != 65535) {
			t.Errorf("about n1: age %d, witnesses %q", m.Age, m.Witnesses)
		}
	}
}
