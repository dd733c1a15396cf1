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
	l.note(membership.Member{Name: "n1", Addr: addr("10.0.0.1:7946"), State: membership.Alive})
	l.note(membership.Member{Name: "n2", Addr: addr("10.0.0.2:7946"), State: membership.Suspect})
	l.note(membership.Member{Name: "n3", Addr: addr("10.0.0.3:7946"), State: membership.Suspect, Local: true})
	for _, tt := range []struct{ from, want string }{
		{"10.0.0.1:7946", ""}, {"10.0.0.2:7947", ""}, {"10.0.0.3:7946", ""},
		{"[::ffff:10.0.0.2]:7946", "n2"}, {"10.0.0.2:7946", ""},
	} {
		if got := l.heard(from(tt.from), now); got != tt.want {
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
	if a, b := l.heard(from("10.0.0.2:7946"), now), l.heard(from("10.0.0.9:7946"), now); a != "" || b != "n2" {
		t.Errorf("from the old address %q, from the new one %q", a, b)
	}
	l.note(membership.Member{Name: "n2", Addr: addr("10.0.0.9:7946"), State: membership.Failed})
	if len(l.byAddr) != 0 {
		t.Error("it still listens")
	}
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
