package gossip

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/transport"
	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// aliveForms are changes to an alive message of 127.0.0.1:9, and whether the engine of a node that is bound to port 9
// takes it then.
var aliveForms = []struct {
	name  string
	edit  func(*aliveBody)
	taken bool // about somebody who is new
	held  bool // about somebody who is held
}{
	{"as it should be", func(*aliveBody) {}, true, true},
	{"a newer engine", func(a *aliveBody) { a.Vsn = []uint8{1, 6, 5, 0, 0, 0, 7} }, true, true},
	{"the port of the receiver", func(a *aliveBody) { a.Port = 0 }, true, true},
	{"no versions", func(a *aliveBody) { a.Vsn = nil }, false, false},
	{"too few versions", func(a *aliveBody) { a.Vsn = a.Vsn[:5] }, false, false},
	{"lowest protocol 0", func(a *aliveBody) { a.Vsn[0] = 0 }, false, false},
	{"highest protocol 0", func(a *aliveBody) { a.Vsn[1] = 0 }, false, false},
	{"lowest protocol above the highest", func(a *aliveBody) { a.Vsn[0] = 6 }, false, false},
	{"a protocol that nobody speaks", func(a *aliveBody) { a.Vsn[2] = 200 }, false, false},
	{"a delegate protocol", func(a *aliveBody) { a.Vsn[5] = 1 }, false, false},
	{"no address", func(a *aliveBody) { a.Addr = nil }, false, false},
	{"half an address", func(a *aliveBody) { a.Addr = []byte{127, 0} }, false, false},
	{"every address", func(a *aliveBody) { a.Addr = net.IPv4zero }, false, false},
	{"an address that is not allowed", func(a *aliveBody) { a.Addr = []byte{127, 1, 0, 1} }, false, false},
	{"the same address mapped into IPv6", func(a *aliveBody) { a.Addr = net.IPv4(127, 0, 0, 1).To16() }, true, false},
	{"too much meta data", func(a *aliveBody) { a.Meta = make([]byte, wire.MaxMeta+1) }, false, false},
	{"a name that garbles terminals", func(a *aliveBody) { a.Node += "\x1b" }, false, true},
}

func aliveForm(t *testing.T, name string, incarnation uint32, edit func(*aliveBody)) []byte {
	body := aliveBody{Incarnation: incarnation, Node: name, Addr: []byte{127, 0, 0, 1}, Port: 9, Vsn: []uint8{1, 5, 2, 0, 0, 0}}
	edit(&body)
	return engineMessage(t, wire.Alive, body)
}

// believing is a node that takes members of one network only. It has a transport of its own, so port 9 stays a number.
func believing(t *testing.T) *Node {
	c := slow("n1")
	c.AllowedNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/16")}
	tr, err := transport.New(transport.Config{Bind: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	c.Transport, c.Port = tr, 9
	return start(t, c)
}

// What the table says of the engine is so.
func TestEngineTakesAliveForms(t *testing.T) {
	n := believing(t)
	holds := func(name string) bool {
		return slices.ContainsFunc(n.engine.Members(), func(m *memberlist.Node) bool { return m.Name == name })
	}
	for i, f := range aliveForms {
		arrive(t, n, aliveForm(t, fmt.Sprint("s", i), 1, f.edit))
	}
	for i := range 2 { // the engine reads the newest that waits first
		name := fmt.Sprint("last", i)
		arrive(t, n, aliveAt(t, name, 1))
		eventually(t, func() error {
			if !holds(name) {
				return fmt.Errorf("the engine does not hold %s", name)
			}
			return nil
		})
	}
	for i, f := range aliveForms {
		if got := holds(fmt.Sprint("s", i)); got != f.taken {
			t.Errorf("%s: the engine takes it: %v, want %v", f.name, got, f.taken)
		}
	}
}

// An alive message that the engine refuses tells the tap nothing either: else one forged packet would set a member's
// incarnation so high that no accusation of it counts any more.
func TestRefusedAliveIsNotBelieved(t *testing.T) {
	for _, f := range aliveForms {
		t.Run(f.name, func(t *testing.T) {
			n := believing(t)
			arrive(t, n, aliveAt(t, "s", 1))
			eventually(t, func() error { return wantState(n, "s", membership.Alive) })
			var node string
			forged := aliveForm(t, "s", math.MaxUint32, func(a *aliveBody) { f.edit(a); node = a.Node })
			arrive(t, n, forged)
			n.drain()
			m, _ := n.View().Member("s")
			if believed := m.Incarnation == math.MaxUint32; node == "s" && believed != f.held {
				t.Errorf("it is held at incarnation %d; believed: %v, want %v", m.Incarnation, believed, f.held)
			}
			if !f.held {
				arrive(t, n, suspectAt(t, "s", "n2", 1))
				eventually(t, func() error { return wantState(n, "s", membership.Suspect) })
			}
		})
	}
}

// The engine looks at who sent an alive message, too, when not all networks are allowed.
func TestAliveFromANetworkThatIsNotAllowedIsNotBelieved(t *testing.T) {
	n := believing(t)
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Alive) })
	for _, tt := range []struct {
		from string
		inc  uint32 // of the alive message
		want uint32 // what the member is held at then
	}{{"127.0.0.7:9", 5, 5}, {"127.1.0.1:9", 6, 5}, {"[::1]:9", 6, 5}, {"[::ffff:127.0.0.7]:9", 6, 6}} {
		buf, err := wire.Wrap(aliveAt(t, "s", tt.inc), n.cfg.Cluster, nil)
		if err != nil {
			t.Fatal(err)
		}
		n.tap.inbound(&memberlist.Packet{Buf: buf, From: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(tt.from)), Timestamp: time.Now()})
		n.drain()
		if m, _ := n.View().Member("s"); m.Incarnation != tt.want {
			t.Errorf("after %d from %s it is held at incarnation %d, want %d", tt.inc, tt.from, m.Incarnation, tt.want)
		}
	}
}

// A name that finds no room in the engine's table must not count as alive.
func TestRosterBelievesNoAliveWithoutRoom(t *testing.T) {
	r := newRoster(1, lingerOf(time.Hour))
	if !r.alive("a", 1, rosterAddr) {
		t.Error("there is room, yet it is not believed")
	}
	r.admit("a", time.Now())
	if r.alive("b", 1, rosterAddr) {
		t.Error("there is no room, yet it is believed")
	}
	if !r.alive("a", 1, rosterAddr) {
		t.Error("it has its room, yet it is not believed")
	}
}

// Forged in one packet, it once made the crash of a member look like a leave to the node that got it.
func TestRefusedAliveDoesNotHideACrash(t *testing.T) {
	nodes := cluster(t, 4, nil)
	victim := nodes[3].advertise
	arrive(t, nodes[0], engineMessage(t, wire.Alive, aliveBody{Incarnation: math.MaxUint32, Node: "n4", Addr: victim.Addr().AsSlice(), Port: victim.Port()}))
	if err := nodes[3].Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[:3] {
		eventually(t, func() error {
			if m, _ := n.View().Member("n4"); m.State == membership.Alive || m.State == membership.Suspect {
				return fmt.Errorf("%s holds n4 %v", n.cfg.Name, m.State)
			}
			return nil
		})
		m, _ := n.View().Member("n4")
		if m.State != membership.Failed || m.Incarnation == math.MaxUint32 {
			t.Errorf("%s: n4 is %v at incarnation %d, want failed", n.cfg.Name, m.State, m.Incarnation)
		}
	}
}
