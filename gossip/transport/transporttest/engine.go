package transporttest

import (
	"io"
	"log"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// Engine starts memberlist over a transport, quick enough for tests. change, which may be nil, adapts the settings. It is shut
// down at the end of the test.
func Engine(t testing.TB, name string, tr memberlist.NodeAwareTransport, change func(*memberlist.Config)) *memberlist.Memberlist {
	t.Helper()
	c := memberlist.DefaultLANConfig()
	c.Name = name
	c.Transport = tr
	c.ProbeInterval, c.ProbeTimeout = 200*time.Millisecond, 100*time.Millisecond
	c.GossipInterval = 20 * time.Millisecond
	c.EnableCompression = false
	c.Logger = log.New(io.Discard, "", 0)
	if change != nil {
		change(c)
	}
	m, err := memberlist.Create(c)
	if err != nil {
		t.Fatalf("starting the engine of %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := m.Shutdown(); err != nil {
			t.Errorf("stopping the engine of %s: %v", name, err)
		}
	})
	return m
}

// AddressOf returns the address under which others join the node.
func AddressOf(m *memberlist.Memberlist) string {
	n := m.LocalNode()
	return net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))
}

// Eventually waits until a condition holds, and fails the test when it does not within 10 s.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still not true: %s", what)
		}
	}
}

// inbox is a delegate that keeps the messages of users.
type inbox chan string

func (i inbox) NotifyMsg(msg []byte)                { i <- string(msg) }
func (inbox) NodeMeta(int) []byte                   { return nil }
func (inbox) GetBroadcasts(int, int) [][]byte       { return nil }
func (inbox) LocalState(bool) []byte                { return []byte("state") }
func (inbox) MergeRemoteState(state []byte, _ bool) {}

func testEngine(t *testing.T, p *peers) {
	received := make(inbox, 8)
	with := func(c *memberlist.Config) { c.Delegate = received }
	a, b := Engine(t, "a", p.a, with), Engine(t, "b", p.b, with)
	if _, err := a.Join([]string{AddressOf(b)}); err != nil {
		t.Fatalf("joining: %v", err)
	}
	Eventually(t, "both nodes have two members", func() bool { return a.NumMembers() == 2 && b.NumMembers() == 2 })
	if _, err := a.Ping("b", memberAddr(b)); err != nil {
		t.Errorf("pinging: %v", err)
	}
	for i, send := range []func(*memberlist.Node, []byte) error{a.SendBestEffort, a.SendReliable} {
		text := strconv.Itoa(i)
		if err := send(b.LocalNode(), []byte(text)); err != nil {
			t.Errorf("sending a user message: %v", err)
		}
		select {
		case got := <-received:
			if got != text {
				t.Errorf("got %q, not %q", got, text)
			}
		case <-time.After(patience):
			t.Error("a user message has not arrived")
		}
	}
	if err := a.Leave(patience); err != nil {
		t.Errorf("leaving: %v", err)
	}
	Eventually(t, "b is alone again", func() bool { return b.NumMembers() == 1 })
}

// memberAddr is AddressOf as memberlist's Ping wants it, over UDP.
func memberAddr(m *memberlist.Memberlist) net.Addr {
	n := m.LocalNode()
	return &net.UDPAddr{IP: n.Addr, Port: int(n.Port)}
}
