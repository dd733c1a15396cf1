package gossip

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"heartbeat/gossip/wire"
	"heartbeat/membership"

	"github.com/hashicorp/memberlist"
)

func TestListener(t *testing.T) {
	addr := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	from := func(s string) net.Addr { return net.UDPAddrFromAddrPort(addr(s)) }
	var l listener
	now := time.Now()
	heard := func(from net.Addr) string { name, _ := l.heard(from, now); return name }
	l.note(membership.Member{Name: "n1", Addr: addr("10.0.0.1:7946"), State: membership.Alive})
	l.note(membership.Member{Name: "n2", Addr: addr("10.0.0.2:7946"), State: membership.Suspect})
	l.note(membership.Member{Name: "n3", Addr: addr("10.0.0.3:7946"), State: membership.Suspect, Local: true})
	for _, tt := range []struct{ from, want string }{
		{"10.0.0.1:7946", ""}, {"10.0.0.2:7947", ""}, {"10.0.0.3:7946", ""},
		{"[::ffff:10.0.0.2]:7946", "n2"}, {"10.0.0.2:7946", ""},
	} {
		if got := heard(from(tt.from)); got != tt.want {
			t.Errorf("from %s: %q, want %q", tt.from, got, tt.want)
		}
	}
	for _, a := range []string{"10.0.0.1:7946", "10.0.0.2:7946"} {
		if at, ok := l.last(addr(a)); !ok || !at.Equal(now) {
			t.Errorf("the last packet from %s was at %v (%v), want %v", a, at, ok, now)
		}
	}
	if _, ok := l.last(addr("10.0.0.5:7946")); ok {
		t.Error("it has heard of somebody who never sent anything")
	}
	// It has moved: only the new address counts.
	l.note(membership.Member{Name: "n2", Addr: addr("10.0.0.9:7946"), State: membership.Suspect})
	if a, b := heard(from("10.0.0.2:7946")), heard(from("10.0.0.9:7946")); a != "" || b != "n2" {
		t.Errorf("from the old address %q, from the new one %q", a, b)
	}
	l.note(membership.Member{Name: "n2", Addr: addr("10.0.0.9:7946"), State: membership.Failed})
	if len(l.byAddr) != 0 {
		t.Error("it still listens")
	}
}

// Where two were, a packet says nothing of either; what becomes of one does not hide the other.
func TestListenerOfTwoAtOneAddress(t *testing.T) {
	addr := netip.MustParseAddrPort("10.0.0.2:7946")
	var l listener
	now := time.Now()
	want := func(when, name string) {
		t.Helper()
		now = now.Add(time.Second)
		if got, at := l.heard(net.UDPAddrFromAddrPort(addr), now); got != name || at != addr {
			t.Errorf("%s: %q at %v is heard, want %q", when, got, at, name)
		}
	}
	note := func(name string, state membership.State) {
		l.note(membership.Member{Name: name, Addr: addr, State: state})
	}
	note("old", membership.Suspect)
	want("one suspect", "old")
	note("new", membership.Suspect)
	want("two suspects", "")
	note("new", membership.Alive)
	want("the second has refuted", "old")
	note("new", membership.Suspect)
	note("old", membership.Failed)
	want("the first has failed", "new")
	l.take("new", addr)
	want("it says itself that it is alive", "new")
	l.take("newer", addr)
	want("somebody else says so", "")
	note("new", membership.Alive)
	note("new", membership.Suspect)
	want("it is suspect once more", "new")
}

// A packet of a suspect, whatever is in it, is told to the core; one that is malformed is not.
func TestSuspectIsHeard(t *testing.T) {
	nodes := cluster(t, 4, func(c *Config) {
		judging(c)
		c.ProbeInterval, c.ProbeTimeout = time.Minute, 50*time.Second
	})
	n := nodes[0]
	m, _ := n.View().Member("n4")
	send := func(buf []byte) {
		n.tap.inbound(&memberlist.Packet{Buf: buf, From: net.UDPAddrFromAddrPort(m.Addr), Timestamp: time.Now()})
	}
	ack, err := wire.Wrap(wire.EncodeAck(1), n.cfg.Cluster, nil)
	if err != nil {
		t.Fatal(err)
	}
	send(ack)
	n.inbox.put(membership.Accused{Subject: "n4", Incarnation: m.Incarnation, Accuser: "n2", Source: membership.SourceInbound})
	n.drain()
	if !slices.ContainsFunc(n.Journal("n4"), func(e membership.Entry) bool { return e.Kind == membership.EntryHeard }) {
		t.Errorf("its packet before the accusation is forgotten: %v", n.Journal("n4"))
	}
	answered := func() bool {
		for _, e := range n.Journal("n4") {
			if e.Kind == membership.EntryHeard && e.By == "n1" {
				return true
			}
		}
		return false
	}
	send([]byte("nonsense"))
	eventually(t, func() error {
		send(ack)
		if !answered() {
			return fmt.Errorf("nothing was heard of n4: %v", n.Journal("n4"))
		}
		return nil
	})
}

// A process that was started again under another name, where it was before, must not speak for the one that it was: a
// suspect of which packets arrive gets much more time.
func TestRenamedMemberIsNotHeard(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known before the suspicion=%v", known), func(t *testing.T) {
			n := start(t, slow("n1"))
			arrive(t, n, aliveAt(t, "old", 1))
			eventually(t, func() error { return wantState(n, "old", membership.Alive) })
			if known {
				arrive(t, n, aliveAt(t, "new", 1))
				eventually(t, func() error { return wantState(n, "new", membership.Alive) })
			}
			n.inbox.put(membership.Accused{Subject: "old", Incarnation: 1, Accuser: "n1", Source: membership.SourceOutbound})
			n.drain()
			if err := wantState(n, "old", membership.Suspect); err != nil {
				t.Fatal(err)
			}
			if !known { // its first packet says who it is
				arrive(t, n, aliveAt(t, "new", 1))
			}
			arrive(t, n, wire.EncodeAck(1))
			n.drain()
			for _, e := range n.Journal("old") {
				if e.Kind == membership.EntryHeard && e.By != "" {
					t.Errorf("it is heard: %+v", e)
				}
			}
		})
	}
}

// The crash of a member that comes back under another name is found as soon as any other.
func TestRenamedMemberFails(t *testing.T) {
	nodes := cluster(t, 5, judging)
	if err := nodes[4].Close(); err != nil {
		t.Fatal(err)
	}
	crashed := time.Now()
	c := quick("renamed")
	judging(&c)
	c.Port = int(nodes[4].advertise.Port())
	renamed := start(t, c)
	if _, err := renamed.Join(t.Context(), seedOf(nodes[0])); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[:4] {
		eventually(t, func() error { return wantState(n, "n5", membership.Failed) })
		for _, e := range n.Journal("n5") {
			if e.Kind == membership.EntryHeard && e.By != "" && e.At.After(crashed) {
				t.Errorf("%s: it is heard: %+v", n.cfg.Name, e)
			}
		}
	}
}
