package gossip

import (
	"fmt"
	"net"
	"net/netip"
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
	l.note(membership.Member{Name: "n1", Addr: addr("10.0.0.1:7946"), State: membership.Alive})
	if l.some.Load() {
		t.Error("it listens for a member that is alive")
	}
	l.note(membership.Member{Name: "n2", Addr: addr("10.0.0.2:7946"), State: membership.Suspect})
	l.note(membership.Member{Name: "n3", Addr: addr("10.0.0.3:7946"), State: membership.Suspect, Local: true})
	for _, tt := range []struct{ from, want string }{
		{"10.0.0.1:7946", ""}, {"10.0.0.2:7947", ""}, {"10.0.0.3:7946", ""},
		{"[::ffff:10.0.0.2]:7946", "n2"}, {"10.0.0.2:7946", ""},
	} {
		if got := l.heard(from(tt.from)); got != tt.want {
			t.Errorf("from %s: %q, want %q", tt.from, got, tt.want)
		}
	}
	// It has moved: only the new address counts.
	l.note(membership.Member{Name: "n2", Addr: addr("10.0.0.9:7946"), State: membership.Suspect})
	if a, b := l.heard(from("10.0.0.2:7946")), l.heard(from("10.0.0.9:7946")); a != "" || b != "n2" {
		t.Errorf("from the old address %q, from the new one %q", a, b)
	}
	l.note(membership.Member{Name: "n2", Addr: addr("10.0.0.9:7946"), State: membership.Failed})
	if l.some.Load() || len(l.byAddr) != 0 {
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
	n.inbox.put(membership.Accused{Subject: "n4", Incarnation: m.Incarnation, Accuser: "n2", Source: membership.SourceInbound})
	n.drain()
	answered := func() bool {
		for _, e := range n.Journal("n4") {
			if e.Kind == membership.EntryAnswered && e.By == "n1" {
				return true
			}
		}
		return false
	}
	send := func(buf []byte) {
		n.tap.inbound(&memberlist.Packet{Buf: buf, From: net.UDPAddrFromAddrPort(m.Addr), Timestamp: time.Now()})
	}
	send([]byte("nonsense"))
	eventually(t, func() error {
		buf, err := wire.Wrap(wire.EncodeAck(1), n.cfg.Cluster, nil)
		if err != nil {
			t.Fatal(err)
		}
		send(buf)
		if !answered() {
			return fmt.Errorf("nothing was heard of n4: %v", n.Journal("n4"))
		}
		return nil
	})
}

// The zero cost of listening to nobody is what every packet pays.
func BenchmarkListenerIdle(b *testing.B) {
	var l listener
	from := net.Addr(net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.1:7946")))
	b.ReportAllocs()
	for b.Loop() {
		l.heard(from)
	}
}
