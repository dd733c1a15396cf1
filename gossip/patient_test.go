package gossip

import (
	"fmt"
	"testing"
	"time"

	"heartbeat/membership"
)

func TestAnswersAreCounted(t *testing.T) {
	var a answers
	a.acked(1) // nobody is watched
	first, second := a.watch("n1", 2), a.watch("n2", 1)
	a.sent(1, "n1")
	a.sent(2, "n1")
	a.sent(3, "n2")
	a.sent(4, "n3")
	for _, seqNo := range []uint32{1, 1, 4, 99} {
		a.acked(seqNo)
	}
	if first.sent.Load() != 2 || first.count.Load() != 1 || second.count.Load() != 0 {
		t.Errorf("n1: %d of %d, n2: %d", first.count.Load(), first.sent.Load(), second.count.Load())
	}
	select {
	case <-first.enough:
		t.Error("one answer is enough")
	default:
	}
	a.acked(2)
	<-first.enough
	a.forget(first)
	if len(a.names) != 1 || len(a.pings) != 1 || a.active.Load() != 1 {
		t.Errorf("%v %v %d", a.names, a.pings, a.active.Load())
	}
	// Whoever begins anew has no answers of before, and is not ended with the old one.
	third := a.watch("n2", 1)
	a.forget(second)
	a.acked(3)
	if third.count.Load() != 0 || len(a.names) != 1 || len(a.pings) != 0 {
		t.Errorf("%d, %v %v", third.count.Load(), a.names, a.pings)
	}
	for seqNo := range uint32(2 * maxWatchedPings) {
		a.sent(seqNo, "n2")
	}
	if len(a.pings) != maxWatchedPings {
		t.Errorf("%d pings are remembered", len(a.pings))
	}
}

// A member that many accuse and that answers is alive, however soon the look begins; Close does not wait for one.
func TestPatientLookAtOneThatAnswers(t *testing.T) {
	nodes := cluster(t, 4, func(c *Config) {
		judging(c)
		c.VerdictProbation = time.Minute
	})
	n := nodes[0]
	looks := func() int { return int(n.tap.answers.active.Load()) }
	accuse := func(by string) {
		m, _ := n.View().Member("n4")
		n.inbox.put(membership.Accused{Subject: "n4", Incarnation: m.Incarnation, Accuser: by, Source: membership.SourceInbound})
		n.drain()
	}
	for _, by := range []string{"n1", "n2", "n3"} {
		accuse(by)
	}
	eventually(t, func() error {
		if looks() != 1 {
			return fmt.Errorf("%d looks are under way", looks())
		}
		return nil
	})
	eventually(t, func() error {
		if looks() != 0 {
			return fmt.Errorf("%d looks are under way", looks())
		}
		return nil
	})
	if m, _ := n.View().Member("n4"); m.State == membership.Failed || m.Probation {
		t.Errorf("%+v", m)
	}
	for _, e := range n.Journal("n4") {
		if e.Kind == membership.EntryUnreliable {
			t.Errorf("%+v", e)
		}
	}
}
