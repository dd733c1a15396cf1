package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

func TestAnswersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a answers
		a.acked(1) // nobody is watched
		first, second := a.watch("n1", 2, time.Second), a.watch("n2", 1, time.Second)
		a.sent(1, "n1")
		a.sent(2, "n1")
		a.sent(3, "n2")
		a.sent(4, "n3")
		counts := func(w *watch, sent, all, late int) {
			t.Helper()
			if s, n, l := a.counts(w); s != sent || n != all || l != late {
				t.Errorf("%d sent, %d answers, %d late; want %d, %d, %d", s, n, l, sent, all, late)
			}
		}
		for _, seqNo := range []uint32{1, 1, 4, 99} {
			a.acked(seqNo)
		}
		counts(first, 2, 1, 0)
		counts(second, 1, 0, 0)
		select {
		case <-first.enough:
			t.Error("one answer is enough")
		default:
		}
		time.Sleep(time.Second + 1)
		a.acked(2)
		<-first.enough
		counts(first, 2, 2, 1)
		a.forget(first)
		if len(a.watches) != 1 || len(a.pings) != 1 || a.active.Load() != 1 {
			t.Errorf("%v %v %d", a.watches, a.pings, a.active.Load())
		}

		// Two looks at one member do not disturb each other: each has the pings from its beginning to its end.
		third := a.watch("n2", 9, time.Second)
		a.sent(5, "n2")
		a.noMore(third)
		a.sent(6, "n2")
		for seqNo := range uint32(7) {
			a.acked(seqNo)
		}
		counts(second, 3, 3, 1)
		counts(third, 1, 1, 0)
		a.sent(7, "n2")
		a.forget(second)
		if len(a.watches) != 1 || len(a.pings) != 0 || a.active.Load() != 1 {
			t.Errorf("%v %v %d", a.watches, a.pings, a.active.Load())
		}

		// Late answers say enough when there are two and most are late.
		fourth := a.watch("n5", 9, time.Second)
		told := func() bool {
			select {
			case <-fourth.enough:
				return true
			default:
				return false
			}
		}
		for seqNo := range uint32(5) {
			a.sent(100+seqNo, "n5")
		}
		a.acked(100)
		a.acked(101)
		time.Sleep(time.Second + 1)
		a.acked(102)
		a.acked(103)
		if told() {
			t.Error("two of four answers were late, and that is enough")
		}
		a.acked(104)
		if !told() {
			t.Error("three of five answers were late, and that is not enough")
		}
		a.sent(105, "n5")
		a.acked(105)
		a.forget(fourth)

		a.watch("n2", 1, time.Second)
		for seqNo := range uint32(2 * maxWatchedPings) {
			a.sent(seqNo, "n2")
		}
		if len(a.pings) != maxWatchedPings {
			t.Errorf("%d pings are remembered", len(a.pings))
		}
	})
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

// A last look that may wait takes an answer that comes long after the engine has given up its ping. Either reports early that there is none yet.
func TestLastLookWaitsForLateAnswers(t *testing.T) {
	n := start(t, quick("n1"))
	subject := membership.Target{Name: "s", Addr: netip.MustParseAddrPort("127.0.0.1:9")}
	type result struct {
		membership.Probed
		ok bool
	}
	ended, early := make(chan result, 1), make(chan membership.Probed, 2)
	look := func(wait time.Duration) {
		n.tryLook(func() {
			outcome, ok := n.lookAt(membership.Probe{Subject: subject, Incarnation: 7, Last: true, Wait: wait}, func(so membership.Probed) { early <- so })
			ended <- result{outcome, ok}
		})
	}
	look(time.Hour)
	var seqNo uint32
	eventually(t, func() error {
		n.tap.answers.mu.Lock()
		defer n.tap.answers.mu.Unlock()
		for seq, p := range n.tap.answers.pings {
			if time.Since(p.at) > 2*n.cfg.ProbeTimeout {
				seqNo = seq
				return nil
			}
		}
		return errors.New("no ping is late yet")
	})
	select {
	case r := <-ended:
		t.Fatalf("it did not wait: %+v", r)
	default:
	}
	arrive(t, n, wire.EncodeAck(seqNo))
	if r := <-ended; !r.ok || !r.Answered || r.Subject != "s" || r.Incarnation != 7 || !r.Last {
		t.Errorf("%+v", r)
	}
	if n.tap.answers.active.Load() != 0 {
		t.Error("the look is over and its answers are still counted")
	}
	look(0)
	if r := <-ended; !r.ok || r.Answered || r.Early {
		t.Errorf("without waiting: %+v", r)
	}
	for range 2 {
		if so := <-early; !so.Early || so.Answered || so.Subject != "s" || so.Incarnation != 7 || !so.Last {
			t.Errorf("early: %+v", so)
		}
	}
}

// A member that is late gets only the first pings: all look at it, and the rest would be lost in its buffer.
func TestPatientLookAtOneThatIsLate(t *testing.T) {
	c := quick("n1")
	c.VerdictSilence = time.Hour
	n := start(t, c)
	subject := membership.Target{Name: "s", Addr: netip.MustParseAddrPort("127.0.0.1:9")}
	n.tryLook(func() { n.lookPatiently(membership.PatientProbe{Subject: subject}) })
	sent := func(longAgo time.Duration) (seqNos []uint32) {
		n.tap.answers.mu.Lock()
		defer n.tap.answers.mu.Unlock()
		for seqNo, p := range n.tap.answers.pings {
			if time.Since(p.at) > longAgo {
				seqNos = append(seqNos, seqNo)
			}
		}
		return seqNos
	}
	eventually(t, func() error { // long enough for all others, if they were sent as the first ones are
		if got := sent(2*n.cfg.ProbeTimeout + patientPings*n.cfg.ProbeInterval); len(got) < firstPings {
			return fmt.Errorf("%d pings are old", len(got))
		}
		return nil
	})
	seqNos := sent(0)
	if len(seqNos) != firstPings {
		t.Errorf("%d pings before an answer may have come, want %d", len(seqNos), firstPings)
	}
	arrive(t, n, wire.EncodeAck(seqNos[0]))
	arrive(t, n, wire.EncodeAck(seqNos[1]))
	eventually(t, func() error {
		if n.tap.answers.active.Load() != 0 {
			return errors.New("two answers were late, and the look goes on")
		}
		return nil
	})
}
