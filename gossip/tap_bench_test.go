package gossip

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// tapped is a node that has a tap, and nothing else that runs.
func tapped(tb testing.TB, keys *Keyring) *Node {
	tb.Helper()
	c := Local()
	c.Name, c.Cluster, c.Keyring, c.Detector = "n1", "blue", keys, DetectorVerdicts
	n := &Node{cfg: c, inbox: newInbox(), roster: newRoster(c.MaxMembers, c.engineMemory)}
	n.tap = newTap(n)
	tr := memberlist.MockNetwork{}
	mc := memberlist.DefaultLocalConfig()
	mc.Transport, mc.Name = tr.NewTransport("n1"), "n1"
	mc.LogOutput = discard{}
	engine, err := memberlist.Create(mc)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := engine.Shutdown(); err != nil {
			tb.Error(err)
		}
	})
	n.engine = engine
	n.running.Store(true)
	return n
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// sink takes packets and forgets them.
type sink struct{ memberlist.NodeAwareTransport }

func (sink) WriteToAddress([]byte, memberlist.Address) (time.Time, error) { return time.Time{}, nil }

// tapCase is a packet on its way through the tap.
type tapCase struct {
	name string
	n    *Node
	run  func()
}

func suspects(l *listener, count int) {
	for i := range count {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 7946)
		l.note(membership.Member{Name: addr.String(), Addr: addr, State: membership.Suspect})
	}
}

func tapCases(tb testing.TB) []tapCase {
	ping := []byte{byte(wire.Ping), 0x84, 0xa5, 'S', 'e', 'q', 'N', 'o', 0xcd, 0x12, 0x34, 0xa4, 'N', 'o', 'd', 'e', 0xa2, 'n', '1',
		0xaa, 'S', 'o', 'u', 'r', 'c', 'e', 'A', 'd', 'd', 'r', 0xa4, 10, 0, 0, 2, 0xaa, 'S', 'o', 'u', 'r', 'c', 'e', 'P', 'o', 'r', 't', 0xcd, 0x1f, 0x0a}
	text, err := GenerateKey(256)
	if err != nil {
		tb.Fatal(err)
	}
	ring, err := NewKeyring(text)
	if err != nil {
		tb.Fatal(err)
	}
	var cases []tapCase
	for _, security := range []struct {
		name string
		ring *Keyring
		key  []byte
	}{{"plain", nil, nil}, {"encrypted", ring, ring.active()[0]}} {
		for _, packet := range []struct {
			name string
			body []byte
		}{{"ping", ping}, {"ack", wire.EncodeAck(77777)}} {
			buf, err := wire.Wrap(packet.body, "blue", security.key)
			if err != nil {
				tb.Fatal(err)
			}
			for _, state := range []string{"none", "others", "sender"} {
				n := tapped(tb, security.ring)
				p := &memberlist.Packet{Buf: buf, From: net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.2:7946")), Timestamp: time.Now()}
				switch state {
				case "others":
					suspects(&n.tap.suspects, 10)
				case "sender":
					suspects(&n.tap.suspects, 10)
					p.From = net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.0.1.3:7946"))
				}
				cases = append(cases, tapCase{security.name + "/" + packet.name + "/in/suspects=" + state, n, func() { n.tap.inbound(p) }})
			}
			n := tapped(tb, security.ring)
			out := &tappedTransport{aware: sink{}, tap: n.tap}
			cases = append(cases, tapCase{security.name + "/" + packet.name + "/out", n, func() { _, _ = out.WriteToAddress(buf, memberlist.Address{}) }})
		}
	}
	return cases
}

// Most packets hold a probe or an ack: those cost no allocation.
func TestTapAllocatesNothingForProbesAndAcks(t *testing.T) {
	for _, c := range tapCases(t) {
		// The least of three: the race detector lets a sync.Pool lose things on purpose, and others allocate meanwhile.
		n := testing.AllocsPerRun(200, c.run)
		for range 2 {
			n = min(n, testing.AllocsPerRun(200, c.run))
		}
		if n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if s := c.n.tap.peeker.Stats(); s.Unreadable != 0 || s.Messages[wire.Ping]+s.Messages[wire.Ack] == 0 {
			t.Errorf("%s: the tap has not read its packets: %+v", c.name, s)
		}
	}
}
