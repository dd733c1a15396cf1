package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
)

// network carries packets and streams between the engines of one test, records every packet, and can cut off nodes.
type network struct {
	mu      sync.Mutex
	ends    map[string]*end
	cut     map[string]bool
	packets [][]byte
}

func newNetwork() *network {
	return &network{ends: make(map[string]*end), cut: make(map[string]bool)}
}

func (n *network) setCut(addr string, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[addr] = cut
}

// peer returns the end at addr as seen from another, nil if there is no way.
func (n *network) peer(from, addr string) *end {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut[from] || n.cut[addr] {
		return nil
	}
	return n.ends[addr]
}

// end is one engine's memberlist.Transport.
type end struct {
	net      *network
	addr     netip.AddrPort
	packets  chan *memberlist.Packet
	streams  chan net.Conn
	mu       sync.Mutex
	outbound func(*end, []byte) // sees each packet before it is sent; may be nil
}

func (n *network) newEnd(i int) *end {
	e := &end{
		net:     n,
		addr:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 7946),
		packets: make(chan *memberlist.Packet, 1000),
		streams: make(chan net.Conn, 10),
	}
	n.ends[e.addr.String()] = e
	return e
}

func (e *end) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return e.addr.Addr().AsSlice(), int(e.addr.Port()), nil
}

func (e *end) WriteTo(b []byte, addr string) (time.Time, error) {
	e.mu.Lock()
	outbound := e.outbound
	e.mu.Unlock()
	if outbound != nil {
		outbound(e, b)
	}
	e.net.mu.Lock()
	e.net.packets = append(e.net.packets, bytes.Clone(b))
	e.net.mu.Unlock()
	if peer := e.net.peer(e.addr.String(), addr); peer != nil {
		peer.deliver(b, e.addr)
	}
	return time.Now(), nil
}

func (e *end) setOutbound(f func(*end, []byte)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outbound = f
}

func (e *end) deliver(b []byte, from netip.AddrPort) {
	select {
	case e.packets <- &memberlist.Packet{Buf: bytes.Clone(b), From: net.UDPAddrFromAddrPort(from), Timestamp: time.Now()}:
	default:
	}
}

func (e *end) PacketCh() <-chan *memberlist.Packet { return e.packets }
func (e *end) StreamCh() <-chan net.Conn           { return e.streams }
func (e *end) Shutdown() error                     { return nil }

func (e *end) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	peer := e.net.peer(e.addr.String(), addr)
	if peer == nil {
		return nil, errors.New("no way")
	}
	here, there := net.Pipe()
	peer.streams <- there
	// The engine writes the label before it sets a deadline: a peer that has stopped would block it for ever.
	return here, here.SetDeadline(time.Now().Add(timeout))
}

// member is one engine with its delegates.
type member struct {
	*memberlist.Memberlist
	name string
	end  *end
	ring *memberlist.Keyring // nil without encryption

	mu       sync.Mutex
	meta     []byte
	state    Message
	received []Message
	acks     map[string]int // completed probes of each peer
}

func (m *member) NodeMeta(int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meta
}

func (m *member) receive(b []byte) {
	got, err := Decode(b)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.received = append(m.received, got)
}

func (m *member) NotifyMsg(b []byte)                { m.receive(b) }
func (m *member) MergeRemoteState(b []byte, _ bool) { m.receive(b) }
func (m *member) GetBroadcasts(int, int) [][]byte   { return nil }
func (m *member) AckPayload() []byte                { return []byte("8 bytes.") }
func (m *member) LocalState(bool) []byte            { b, _ := Encode(m.state); return b }

func (m *member) NotifyPingComplete(other *memberlist.Node, _ time.Duration, _ []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acks[other.Name]++
}

type security struct {
	name     string
	label    string
	key      []byte
	compress bool
	protocol uint8
}

var securities = []security{
	{name: "plain", protocol: 2},
	{name: "compressed", compress: true, protocol: 2},
	{name: "label", label: "blue", protocol: 5},
	{name: "encrypted", key: key(1), protocol: 2},
	{name: "all", label: "blue", key: bytes.Repeat([]byte{9}, 32), compress: true, protocol: 5},
}

func (s security) keys() [][]byte {
	if s.key == nil {
		return nil
	}
	return [][]byte{s.key}
}

// start runs count engines that have joined each other.
func start(t *testing.T, s security, count int) []*member {
	t.Helper()
	n := newNetwork()
	var members []*member
	for i := range count {
		m := &member{name: fmt.Sprint("n", i+1), end: n.newEnd(i + 1), acks: make(map[string]int)}
		m.state = &StateSync{Records: []Record{{Name: "gone from " + m.name, Addr: m.end.addr, State: StateLeft}}}
		config := memberlist.DefaultLANConfig()
		config.Name = m.name
		config.Transport = m.end
		config.Label = s.label
		config.SecretKey = s.key
		config.EnableCompression = s.compress
		config.ProtocolVersion = s.protocol
		config.Delegate = m
		config.Ping = m
		config.Logger = log.New(io.Discard, "", 0)
		var err error
		if m.Memberlist, err = memberlist.Create(config); err != nil {
			t.Fatal(err)
		}
		m.ring = config.Keyring
		members = append(members, m)
		if _, err := m.Join([]string{members[0].end.addr.String()}); err != nil {
			t.Fatal(err)
		}
	}
	// The engines probe at full seconds: return between two probes, so that none is half done then.
	time.Sleep(5250 * time.Millisecond)
	return members
}

// stop ends the engines and lets time run until their last probes have ended too.
func stop(t *testing.T, members []*member) {
	t.Helper()
	for _, m := range members {
		if err := m.Shutdown(); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(time.Minute)
}

// live makes a cluster of four say all that engines say to each other, and returns the packets: n2 changes its
// metadata and gets a user message, n3 is suspected and refutes, then fails, and n4 leaves.
func live(t *testing.T, s security, sent Message) ([]*member, [][]byte) {
	t.Helper()
	members := start(t, s, 4)
	n1, n2, n3, n4 := members[0], members[1], members[2], members[3]
	n2.mu.Lock()
	n2.meta = []byte("changed")
	n2.mu.Unlock()
	if err := n2.UpdateNode(time.Minute); err != nil {
		t.Fatal(err)
	}
	b, err := Encode(sent)
	if err != nil {
		t.Fatal(err)
	}
	if err := n1.SendBestEffort(n2.LocalNode(), b); err != nil {
		t.Fatal(err)
	}
	n3.end.net.setCut(n3.end.addr.String(), true)
	time.Sleep(3500 * time.Millisecond)
	n3.end.net.setCut(n3.end.addr.String(), false)
	time.Sleep(20 * time.Second)
	n3.end.net.setCut(n3.end.addr.String(), true)
	time.Sleep(20 * time.Second)
	if err := n4.Leave(time.Minute); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	stop(t, members)
	n1.end.net.mu.Lock()
	defer n1.end.net.mu.Unlock()
	return members, n1.end.net.packets
}

// Peek reports of every packet of real engines what they decode, and it is what has happened.
func TestPeekAgreesWithTheEngine(t *testing.T) {
	for _, s := range securities {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := &ForcedOut{Subject: "n9", Incarnation: 3, By: "n1", ID: 1 << 60, At: 1700000000000}
				members, packets := live(t, s, sent)

				p := NewPeeker(s.label, s.keys)
				kinds := map[Kind]int{}
				happened := map[string]bool{}
				for _, packet := range packets {
					got, err := peek(p, packet)
					if err != nil {
						t.Fatalf("%x: %v", packet, err)
					}
					want := twinRead(packet, s.label, s.keys())
					if want.failed || want.exotic {
						t.Fatalf("%x: the twin fails", packet)
					}
					if diff := diffSeen(want.seen, got); diff != "" {
						t.Fatalf("%x\n(-engine +peek)\n%s", packet, diff)
					}
					for _, seen := range got {
						kinds[seen.Kind]++
						happened[describe(seen)] = true
					}
				}
				for _, kind := range []Kind{Ping, IndirectPing, Ack, Nack, Suspect, Alive, Dead, User} {
					if kinds[kind] == 0 {
						t.Errorf("of %d packets none is a %s", len(packets), kind)
					}
				}
				for _, what := range []string{
					`alive n2 at 10.0.0.2:7946 "changed" speaks 1 to 5`, "suspect n3", "n3 failed", "n4 left"} {
					if !happened[what] {
						t.Errorf("%q was not seen in %v", what, happened)
					}
				}
				checkReceived(t, members, sent)
			})
		})
	}
}

func describe(s Seen) string {
	switch {
	case s.Kind == Alive:
		return fmt.Sprintf("alive %s at %s %q speaks %d to %d", s.Node, s.Addr, s.Meta, s.Versions[0], s.Versions[1])
	case s.Kind == Suspect:
		return "suspect " + s.Node
	case s.Kind == Dead && s.From == s.Node:
		return s.Node + " left"
	case s.Kind == Dead:
		return s.Node + " failed"
	default:
		return s.Kind.String()
	}
}

// checkReceived checks that our own messages came through the engine.
func checkReceived(t *testing.T, members []*member, sent Message) {
	t.Helper()
	for i, m := range members[:2] {
		want := []Message{members[1-i].state}
		if i == 1 {
			want = append(want, sent)
		}
		m.mu.Lock()
		received := m.received
		m.mu.Unlock()
		for _, w := range want {
			found := false
			for _, got := range received {
				found = found || cmp.Equal(w, got, compareAddrs)
			}
			if !found {
				t.Errorf("%s has not received %+v", m.name, w)
			}
		}
	}
}

// A node that answers its own probes with EncodeAck and Wrap completes them.
func TestInjectedAcksCompleteProbes(t *testing.T) {
	for _, s := range securities {
		for _, inject := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/inject=%t", s.name, inject), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					members := start(t, s, 2)
					n1, n2 := members[0], members[1]
					p := NewPeeker(s.label, s.keys)
					n1.mu.Lock()
					n1.acks["n2"] = 0
					n1.mu.Unlock()
					if inject {
						n1.end.setOutbound(func(e *end, packet []byte) {
							if err := p.Peek(packet, func(seen Seen) { answer(t, e, s, seen) }); err != nil {
								t.Error(err)
							}
						})
					}
					n2.end.net.setCut(n2.end.addr.String(), true)
					time.Sleep(30 * time.Second)
					n1.mu.Lock()
					completed := n1.acks["n2"]
					n1.mu.Unlock()
					if inject && (completed < 10 || n1.NumMembers() != 2) {
						t.Errorf("%d probes completed, %d members; want 10 or more, 2", completed, n1.NumMembers())
					}
					if !inject && (completed > 1 || n1.NumMembers() != 1) {
						t.Errorf("%d probes completed, %d members; want 1 at most, 1", completed, n1.NumMembers())
					}
					stop(t, members)
				})
			})
		}
	}
}

func answer(t *testing.T, e *end, s security, seen Seen) {
	if seen.Kind != Ping {
		return
	}
	packet, err := Wrap(EncodeAck(seen.SeqNo), s.label, s.key)
	if err != nil {
		t.Error(err)
		return
	}
	e.deliver(packet, e.addr)
}

func TestWrapRefuses(t *testing.T) {
	if packet, err := Wrap(EncodeAck(1), string(make([]byte, 256)), nil); err == nil {
		t.Errorf("label of 256 bytes: %x", packet)
	}
	if packet, err := Wrap(EncodeAck(1), "", []byte("short")); err == nil {
		t.Errorf("key of 5 bytes: %x", packet)
	}
}

func TestWrapUsesNoNonceTwice(t *testing.T) {
	one, _ := Wrap(EncodeAck(1), "blue", key(1))
	two, _ := Wrap(EncodeAck(1), "blue", key(1))
	if len(one) == 0 || bytes.Equal(one, two) {
		t.Errorf("%x twice", one)
	}
}

func TestEncodeAck(t *testing.T) {
	for _, n := range []uint32{0, 1, 200, 1 << 20, 1<<32 - 1} {
		got, err := peek(NewPeeker("", nil), EncodeAck(n))
		if diff := diffSeen([]Seen{{Kind: Ack, SeqNo: n}}, got); err != nil || diff != "" {
			t.Errorf("%d: %v %s", n, err, diff)
		}
	}
}
