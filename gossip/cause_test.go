package gossip

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"

	"heartbeat/gossip/wire"
	"heartbeat/membership"
)

// The engine's messages as they travel, for tests that play the network.
type (
	aliveBody struct {
		Incarnation uint32
		Node        string
		Addr        []byte
		Port        uint16
		Meta        []byte
		Vsn         []uint8
	}
	accusationBody struct {
		Incarnation uint32
		Node        string
		From        string
	}
)

func engineMessage(t testing.TB, kind wire.Kind, body any) []byte {
	t.Helper()
	var buf bytes.Buffer
	buf.WriteByte(byte(kind))
	if err := codec.NewEncoder(&buf, &codec.MsgpackHandle{}).Encode(body); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// aliveAt says that a member is alive at 127.0.0.1:9, where nothing answers.
func aliveAt(t testing.TB, name string, incarnation uint32) []byte {
	return engineMessage(t, wire.Alive, aliveBody{
		Incarnation: incarnation, Node: name, Addr: net.IPv4(127, 0, 0, 1).To4(), Port: 9, Vsn: []uint8{1, 5, 2, 0, 0, 0},
	})
}

func deadAt(t testing.TB, name, from string, incarnation uint32) []byte {
	return engineMessage(t, wire.Dead, accusationBody{incarnation, name, from})
}

func suspectAt(t testing.TB, name, from string, incarnation uint32) []byte {
	return engineMessage(t, wire.Suspect, accusationBody{incarnation, name, from})
}

// arrive lets messages reach the node, each in a packet of its own. All pass
// the tap before the engine gets the first one, as on a node that was stopped
// for a moment.
func arrive(t testing.TB, n *Node, messages ...[]byte) {
	t.Helper()
	var packets []*memberlist.Packet
	for _, m := range messages {
		buf, err := wire.Wrap(m, n.cfg.Cluster, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := &memberlist.Packet{Buf: buf, From: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}, Timestamp: time.Now()}
		if p = n.tap.inbound(p); p != nil {
			packets = append(packets, p)
		}
	}
	for _, p := range packets {
		n.tap.inject(p)
	}
}

func wantState(n *Node, name string, want membership.State) error {
	if m, _ := n.View().Member(name); m.State != want {
		return fmt.Errorf("%s is %v, want %v", name, m.State, want)
	}
	return nil
}

// slow is a node that probes nobody within a test, so that only the messages
// of the test decide.
func slow(name string) Config {
	c := quick(name)
	c.ProbeInterval, c.ProbeTimeout = time.Minute, 30*time.Second
	return c
}

func TestCauseOfALoss(t *testing.T) {
	for _, tc := range []struct {
		name string
		// Each step's messages arrive at once; then s must be in the state.
		steps []func(t *testing.T) ([][]byte, membership.State)
	}{
		{"a leave", []func(t *testing.T) ([][]byte, membership.State){
			func(t *testing.T) ([][]byte, membership.State) { return [][]byte{aliveAt(t, "s", 1)}, membership.Alive },
			func(t *testing.T) ([][]byte, membership.State) {
				return [][]byte{deadAt(t, "s", "s", 1)}, membership.Left
			},
		}},
		{"a failure", []func(t *testing.T) ([][]byte, membership.State){
			func(t *testing.T) ([][]byte, membership.State) { return [][]byte{aliveAt(t, "s", 1)}, membership.Alive },
			func(t *testing.T) ([][]byte, membership.State) {
				return [][]byte{deadAt(t, "s", "n2", 1)}, membership.Failed
			},
		}},
		{"a leave while suspect", []func(t *testing.T) ([][]byte, membership.State){
			func(t *testing.T) ([][]byte, membership.State) { return [][]byte{aliveAt(t, "s", 1)}, membership.Alive },
			func(t *testing.T) ([][]byte, membership.State) {
				return [][]byte{suspectAt(t, "s", "n2", 1)}, membership.Suspect
			},
			func(t *testing.T) ([][]byte, membership.State) {
				return [][]byte{deadAt(t, "s", "s", 1)}, membership.Left
			},
		}},
		{"a leave, a restart and a failure that are read in one go", []func(t *testing.T) ([][]byte, membership.State){
			func(t *testing.T) ([][]byte, membership.State) { return [][]byte{aliveAt(t, "s", 1)}, membership.Alive },
			func(t *testing.T) ([][]byte, membership.State) {
				return [][]byte{deadAt(t, "s", "s", 1)}, membership.Left
			},
			func(t *testing.T) ([][]byte, membership.State) {
				return [][]byte{aliveAt(t, "s", 2), deadAt(t, "s", "n2", 2)}, membership.Failed
			},
		}},
		{"a failure that is refuted and found again in one go", []func(t *testing.T) ([][]byte, membership.State){
			func(t *testing.T) ([][]byte, membership.State) { return [][]byte{aliveAt(t, "s", 1)}, membership.Alive },
			func(t *testing.T) ([][]byte, membership.State) {
				return [][]byte{deadAt(t, "s", "n2", 1)}, membership.Failed
			},
			func(t *testing.T) ([][]byte, membership.State) {
				return [][]byte{deadAt(t, "s", "n3", 1), aliveAt(t, "s", 2), deadAt(t, "s", "n2", 2)}, membership.Failed
			},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := start(t, slow("n1"))
			for _, step := range tc.steps {
				messages, want := step(t)
				arrive(t, n, messages...)
				eventually(t, func() error { return wantState(n, "s", want) })
			}
		})
	}
}

// A leave is gossiped for seconds. What still passes of it after the member was
// started again must not make a later crash look like a leave.
func TestEchoOfALeaveDoesNotHideACrash(t *testing.T) {
	c := quick("n1")
	c.ProbeInterval = 500 * time.Millisecond
	n := start(t, c)
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Alive) })
	arrive(t, n, deadAt(t, "s", "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Left) })
	arrive(t, n, aliveAt(t, "s", 2))
	// Nothing answers at its address, so the node finds the crash by itself.
	eventually(t, func() error { return wantState(n, "s", membership.Suspect) })
	arrive(t, n, deadAt(t, "s", "s", 1))
	eventually(t, func() error {
		if m, _ := n.View().Member("s"); m.State == membership.Alive || m.State == membership.Suspect {
			return fmt.Errorf("it is still %v", m.State)
		}
		return nil
	})
	if err := wantState(n, "s", membership.Failed); err != nil {
		t.Error(err)
	}
}

// While a cluster moves to encryption plain messages count, also for the tap.
func TestCauseOfALossWhilePlainMessagesAreAccepted(t *testing.T) {
	c := slow("n1")
	var err error
	if c.Keyring, err = NewKeyring(newKey(t, 128)); err != nil {
		t.Fatal(err)
	}
	c.AcceptPlain, c.SendPlain = true, true
	n := start(t, c)
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Alive) })
	arrive(t, n, deadAt(t, "s", "n2", 1))
	eventually(t, func() error {
		if m, _ := n.View().Member("s"); m.State == membership.Alive {
			return fmt.Errorf("it is still %v", m.State)
		}
		return nil
	})
	if err := wantState(n, "s", membership.Failed); err != nil {
		t.Error(err)
	}
}

// Two nodes with one name must not confuse what is known of the one that is
// held: the other one's messages are none of its.
func TestNamesakeDoesNotSpeakForAMember(t *testing.T) {
	n := start(t, slow("n1"))
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Alive) })
	arrive(t, n, engineMessage(t, wire.Alive, aliveBody{
		Incarnation: 99, Node: "s", Addr: []byte{127, 0, 0, 2}, Port: 9, Vsn: []uint8{1, 5, 2, 0, 0, 0},
	}))
	arrive(t, n, suspectAt(t, "s", "n2", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Suspect) })
	if m, _ := n.View().Member("s"); m.Incarnation != 1 {
		t.Errorf("the namesake raised its incarnation to %d", m.Incarnation)
	}
}

// Who only overhears that a stranger leaves has no member to show for it.
func TestLeaveOfAStrangerIsNoMember(t *testing.T) {
	n := start(t, slow("n1"))
	arrive(t, n, deadAt(t, "stranger", "stranger", 7))
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Alive) })
	if m, ok := n.View().Member("stranger"); ok {
		t.Errorf("it is a member: %+v", m)
	}
}

// Names come from the network and go to terminals.
func TestNamesFromTheNetworkGarbleNoTerminal(t *testing.T) {
	n := start(t, slow("n1"))
	arrive(t, n, aliveAt(t, "s", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Alive) })
	evil := "\x1b[2J\x07evil"
	order, err := wire.Encode(&wire.ForcedOut{Subject: evil, By: evil, ID: 1, Prune: true})
	if err != nil {
		t.Fatal(err)
	}
	memory, err := wire.Encode(&wire.StateSync{Records: []wire.Record{{Name: evil, Addr: rosterAddr, Incarnation: 1, State: wire.StateFailed}}})
	if err != nil {
		t.Fatal(err)
	}
	arrive(t, n, suspectAt(t, "s", evil, 1), append([]byte{byte(wire.User)}, order...))
	delegate{n}.MergeRemoteState(memory, false)
	arrive(t, n, suspectAt(t, "s", "n2", 1))
	eventually(t, func() error { return wantState(n, "s", membership.Suspect) })
	if text := fmt.Sprint(n.Journal(""), n.View().Members()); strings.Contains(text, "\x1b") {
		t.Errorf("%q", text)
	}
}
