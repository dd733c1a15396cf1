package gossip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"heartbeat/membership"
)

// What is to be known at once reaches those who are named without any gossip.
func TestSentDirectly(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted=%v", encrypted), func(t *testing.T) {
			key, err := GenerateKey(128)
			if err != nil {
				t.Fatal(err)
			}
			var nodes []*Node
			for _, name := range []string{"n1", "n2", "n3"} {
				c := quick(name)
				judging(&c)
				c.Cluster = "here"
				c.ProbeInterval, c.ProbeTimeout, c.GossipInterval = time.Minute, 30*time.Second, 10*time.Minute
				if encrypted {
					if c.Keyring, err = NewKeyring(key); err != nil {
						t.Fatal(err)
					}
				}
				n := start(t, c)
				for _, other := range nodes {
					if _, err := n.Join(t.Context(), seedOf(other)); err != nil {
						t.Fatal(err)
					}
				}
				nodes = append(nodes, n)
			}
			for _, n := range nodes {
				eventually(t, func() error { return wantCounts(n, len(nodes), 0, 0) })
			}
			n, to := nodes[0], []membership.Target{{Name: "n2", Addr: nodes[1].Self().Addr}}
			subject := nodes[2].Self()
			for i, send := range []struct { // at rising incarnations, for the subject refutes
				kind   membership.EntryKind
				effect membership.Effect
			}{
				{membership.EntryTestified, membership.Testify{Subject: "n3", Incarnation: subject.Incarnation + 100, Witnesses: []string{"n1"}, Before: -1, To: to}},
				{membership.EntryAccused, membership.Summon{Subject: "n3", Incarnation: subject.Incarnation + 200, To: to}},
				{membership.EntryAccused, membership.Inquire{Subject: "n3", Incarnation: subject.Incarnation + 300, Accuser: "n1", To: to}},
			} {
				n.mu.Lock()
				n.carryOut(send.effect)
				n.mu.Unlock()
				eventually(t, func() error {
					journal := nodes[1].Journal("n3")
					if !slices.ContainsFunc(journal, func(e membership.Entry) bool {
						return e.Kind == send.kind && e.By == "n1" && e.Incarnation == subject.Incarnation+uint32(100*(i+1))
					}) {
						return fmt.Errorf("n2 knows of n3: %v, and nothing %v", journal, send.kind)
					}
					return nil
				})
			}
			eventually(t, func() error {
				if got := n.Stats().DirectPackets; got < 3 {
					return fmt.Errorf("%d packets were sent directly, want 3 or more", got)
				}
				return nil
			})
		})
	}
}

// The core learns whether the members are being asked. What is asked does not use up what is to be known at once, nor the other way round.
func TestInquiriesHaveABudgetOfTheirOwn(t *testing.T) {
	n := start(t, quick("n1"))
	self := membership.Target{Name: "n2", Addr: n.Self().Addr}
	to := slices.Repeat([]membership.Target{self}, directBurst)
	asks := func(inc uint32) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.drainLocked()
		n.carryOut(membership.Inquire{Subject: "n3", Incarnation: inc, Accuser: "n2", To: to})
		return slices.Contains(n.inbox.take(), membership.Input(membership.Inquired{Subject: "n3", Incarnation: inc}))
	}
	if !asks(1) {
		t.Error("nothing was asked")
	}
	if asks(2) {
		t.Error("more is asked than the budget allows")
	}
	if to = nil; !asks(3) {
		t.Error("who has nobody to ask has asked them all")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.direct.spent != 0 || n.inquiries.spent == 0 {
		t.Errorf("spent %v and %v", n.direct.spent, n.inquiries.spent)
	}
	// An answer that the budget does not allow is gossiped instead.
	answer := membership.Testify{Subject: "n3", Incarnation: 1, Before: 2 * time.Second, Quietly: true, To: []membership.Target{self}}
	n.carryOut(answer)
	if got := n.testimonies.NumQueued(); got != 0 {
		t.Errorf("%d messages are to be gossiped though they are for few", got)
	}
	n.direct = budget{spent: directBurst, at: time.Now()}
	n.carryOut(answer)
	if got := n.testimonies.NumQueued(); got != 1 {
		t.Errorf("%d messages are to be gossiped, want the answer", got)
	}
}

func TestSendingDirectlyIsBounded(t *testing.T) {
	var b budget
	now := time.Now()
	sent := 0
	for range 100 {
		if b.take(7, now) {
			sent += 7
		}
	}
	if sent != directBurst/7*7 {
		t.Errorf("%d packets at once, want %d", sent, directBurst/7*7)
	}
	for range 1000 { // ten seconds
		now = now.Add(10 * time.Millisecond)
		if b.take(3, now) {
			sent += 3
		}
	}
	if most := directBurst + 10*directRate; sent > most || sent < most-10 {
		t.Errorf("%d packets in ten seconds, want %d", sent, most)
	}
	if b.take(directBurst+1, now.Add(time.Hour)) {
		t.Error("more than a burst passed")
	}
}
