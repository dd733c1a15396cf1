// Package transporttest is the contract of a memberlist.NodeAwareTransport as heartbeat relies on it. Every
// transport passes it: memberlist's own, that of gossip/transport, and the in-memory one of the simulator.
package transporttest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// patience bounds how long anything may take before a test gives up. Nothing is expected to take so long.
const patience = 10 * time.Second

// Pair makes two transports that reach each other. The suite shuts both down.
type Pair func(t *testing.T) (a, b memberlist.NodeAwareTransport)

// Run checks the contract, with at most 20 streams at once, each rule in a subtest with a fresh pair. It needs no real time to pass, only goroutines that run,
// so a transport may be tested inside a synctest bubble: call Run from there.
func Run(t *testing.T, pair Pair) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, p *peers)
	}{
		{"the advertised address is the one to send to", testAdvertise},
		{"an explicit address is advertised as it is", testAdvertiseExplicit},
		{"packets arrive whole, from the sender's address, with a time stamp", testPackets},
		{"the largest packet arrives, a larger one is an error", testLargestPacket},
		{"an empty packet is not delivered", testEmptyPacket},
		{"packets of many senders at once stay whole", testConcurrentPackets},
		{"a packet's bytes are never written again", testPacketsKept},
		{"the sender may reuse its buffer", testSendBufferReused},
		{"an address that means nothing is an error", testBadAddress},
		{"sending to nobody is not an error", testSendToNobody},
		{"both variants of sending and dialling do the same", testAddressVariants},
		{"a stream carries bytes both ways and ends with EOF", testStream},
		{"many streams at once keep their bytes apart", testStreams},
		{"streams of both directions at once", testDialTwoWays},
		{"what was written before a close is read", testCloseAfterWrite},
		{"a half closed stream carries bytes the other way", testHalfClose},
		{"a write stops at its deadline", testWriteDeadline},
		{"a read stops at its deadline", testReadDeadline},
		{"a deadline set during a read ends it", testDeadlineDuringRead},
		{"a closed stream fails at both ends", testStreamClosed},
		{"dialling where nobody listens fails in time", testDialNobody},
		{"two engines join, gossip and leave over it", testEngine},
		{"shutdown ends amid traffic", testShutdownWhileBusy},
		{"shutdown may be repeated and silences everything", testShutdown},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t)
			p := &peers{a: a, b: b}
			t.Cleanup(func() {
				if err := errors.Join(shutdown(a), shutdown(b)); err != nil {
					t.Errorf("shutting down: %v", err)
				}
			})
			p.addrA, p.addrB = addrOf(t, a), addrOf(t, b)
			c.test(t, p)
		})
	}
}

// peers are the two transports and where they are reached.
type peers struct {
	a, b         memberlist.NodeAwareTransport
	addrA, addrB string
}

func addrOf(t *testing.T, tr memberlist.Transport) string {
	t.Helper()
	ip, port, err := tr.FinalAdvertiseAddr("", 0)
	if err != nil {
		t.Fatalf("advertised address: %v", err)
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(port))
}

// shutdown shuts a transport down and takes what it still delivers: memberlist's own waits for that.
func shutdown(tr memberlist.Transport) error {
	done := make(chan error, 1)
	go func() { done <- tr.Shutdown() }()
	for {
		select {
		case err := <-done:
			return err
		case <-tr.PacketCh():
		case conn := <-tr.StreamCh():
			conn.Close()
		}
	}
}

// receive returns the next packet.
func receive(t *testing.T, tr memberlist.Transport) *memberlist.Packet {
	t.Helper()
	select {
	case p := <-tr.PacketCh():
		return p
	case <-time.After(patience):
		t.Fatal("no packet has arrived")
		return nil
	}
}

// user returns a packet or stream as the engine could have sent it. A transport may refuse to carry anything else.
func user(body string) []byte { return append([]byte{userMessage}, body...) }

// The types of memberlist's messages that the suite uses.
const (
	pingMessage = 0
	ackMessage  = 2
	userMessage = 8
)

func testAdvertise(t *testing.T, p *peers) {
	for _, tr := range []memberlist.Transport{p.a, p.b} {
		ip, port, err := tr.FinalAdvertiseAddr("", 0)
		if err != nil || ip.IsUnspecified() || port <= 0 {
			t.Errorf("advertises %v port %d, error %v", ip, port, err)
		}
		if v4 := ip.To4(); v4 != nil && len(ip) != len(v4) {
			t.Errorf("advertises an IPv4 address of %d bytes, not of 4", len(ip))
		}
	}
	if p.addrA == p.addrB {
		t.Errorf("both advertise %s", p.addrA)
	}
}

func testAdvertiseExplicit(t *testing.T, p *peers) {
	ip, port, err := p.a.FinalAdvertiseAddr("192.0.2.7", 4711)
	if err != nil || !slices.Equal(ip, net.IP{192, 0, 2, 7}) || port != 4711 {
		t.Errorf("advertises %v port %d, error %v", ip, port, err)
	}
	if ip, _, err := p.a.FinalAdvertiseAddr("not an address", 4711); err == nil {
		t.Errorf("advertises %v for what is not an address", ip)
	}
}

func testPackets(t *testing.T, p *peers) {
	for _, size := range []int{1, 100, 1400, 9000, 60000} {
		sent := user(string(bytes.Repeat([]byte{byte(size)}, size-1)))
		before := time.Now()
		at, err := p.a.WriteTo(sent, p.addrB)
		if err != nil {
			t.Fatalf("sending %d bytes: %v", size, err)
		}
		got := receive(t, p.b)
		if at.Before(before) || at.After(time.Now()) {
			t.Errorf("sent at %v, which is not now", at)
		}
		if !bytes.Equal(got.Buf, sent) {
			t.Errorf("sent %d bytes, got %d others", len(sent), len(got.Buf))
		}
		if got.From.String() != p.addrA {
			t.Errorf("from %v, not %s", got.From, p.addrA)
		}
		if got.Timestamp.Before(before) || got.Timestamp.After(time.Now()) {
			t.Errorf("received at %v, which is not now", got.Timestamp)
		}
	}
}

func testPacketsKept(t *testing.T, p *peers) {
	var kept []*memberlist.Packet
	const rounds = 100
	for i := range rounds {
		if _, err := p.a.WriteTo(user(strconv.Itoa(i)), p.addrB); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, receive(t, p.b))
	}
	seen := make(map[string]bool)
	for _, packet := range kept {
		seen[string(packet.Buf)] = true
	}
	if len(seen) != rounds {
		t.Errorf("of %d packets kept, %d still differ", rounds, len(seen))
	}
}

func testSendBufferReused(t *testing.T, p *peers) {
	buf := user("first")
	if _, err := p.a.WriteTo(buf, p.addrB); err != nil {
		t.Fatal(err)
	}
	copy(buf, "??????")
	if got := receive(t, p.b); string(got.Buf) != string(user("first")) {
		t.Errorf("got %q", got.Buf)
	}
}

func testBadAddress(t *testing.T, p *peers) {
	for _, addr := range []string{"", "127.0.0.1", "127.0.0.1:port", "[::1"} {
		if _, err := p.a.WriteTo(user("x"), addr); err == nil {
			t.Errorf("sending to %q works", addr)
		}
		if conn, err := p.a.DialTimeout(addr, patience); err == nil {
			conn.Close()
			t.Errorf("dialling %q works", addr)
		}
	}
}

func testSendToNobody(t *testing.T, p *peers) {
	if err := shutdown(p.b); err != nil {
		t.Fatal(err)
	}
	for range 3 { // over UDP the first can provoke an ICMP message that the second gets to feel
		if _, err := p.a.WriteTo(user("x"), p.addrB); err != nil {
			t.Errorf("sending to a node that has gone: %v", err)
		}
	}
}

func testAddressVariants(t *testing.T, p *peers) {
	to := memberlist.Address{Addr: p.addrB, Name: "b"}
	if _, err := p.a.WriteToAddress(user("named"), to); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, p.b); string(got.Buf) != string(user("named")) {
		t.Errorf("got %q", got.Buf)
	}
	conn, err := p.a.DialAddressTimeout(to, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exchange(t, conn, accept(t, conn, p.b), "named")
}

// accept starts the stream on conn with a ping, for a transport may wait for the first bytes before it hands a stream out, and
// returns the other end after that ping.
func accept(t *testing.T, conn net.Conn, tr memberlist.Transport) net.Conn {
	t.Helper()
	other, err := tryAccept(conn, tr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return other
}

// exchange sends a text each way.
func exchange(t *testing.T, conn, other net.Conn, text string) {
	t.Helper()
	for _, way := range []struct {
		from, to net.Conn
		text     string
	}{{conn, other, text}, {other, conn, string([]byte{ackMessage}) + text}} {
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := io.WriteString(way.from, way.text); err != nil {
				t.Errorf("writing: %v", err)
			}
		})
		got := make([]byte, len(way.text))
		if _, err := io.ReadFull(way.to, got); err != nil || string(got) != way.text {
			t.Errorf("read %q, error %v", got, err)
		}
		wg.Wait()
	}
}

// connect dials from a to b and returns both ends.
func connect(t *testing.T, p *peers) (conn, other net.Conn) {
	t.Helper()
	conn, err := p.a.DialTimeout(p.addrB, patience)
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, accept(t, conn, p.b)
}

func testStream(t *testing.T, p *peers) {
	conn, other := connect(t, p)
	if conn.RemoteAddr() == nil || other.RemoteAddr() == nil || conn.LocalAddr() == nil || other.LocalAddr() == nil {
		t.Error("an end does not know its addresses")
	}
	exchange(t, conn, other, string(bytes.Repeat([]byte("0123456789"), 3000)))
	if err := other.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("reading after the other end has closed: %d bytes, error %v, not EOF", n, err)
	}
}

func testStreams(t *testing.T, p *peers) {
	for i := range 20 {
		conn, other := connect(t, p)
		defer exchange(t, conn, other, fmt.Sprintf("stream %d", i))
	}
}

func testReadDeadline(t *testing.T, p *peers) {
	conn, other := connect(t, p)
	for _, end := range []net.Conn{conn, other} {
		if err := end.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := end.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading beyond the deadline: %v", err)
		}
	}
	if err := errors.Join(conn.SetDeadline(time.Time{}), other.SetDeadline(time.Time{})); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, other, "without a deadline it works again")
}

func testDeadlineDuringRead(t *testing.T, p *peers) {
	conn, _ := connect(t, p)
	done := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		done <- err
	}()
	if err := conn.SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("the read goes on")
	}
}

func testStreamClosed(t *testing.T, p *peers) {
	conn, other := connect(t, p)
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); err == nil {
		t.Error("a closed stream can be written")
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a closed stream can be read")
	}
	if _, err := other.Read(make([]byte, 1)); err == nil {
		t.Error("the other end can still be read")
	}
}

func testDialNobody(t *testing.T, p *peers) {
	if err := shutdown(p.b); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	conn, err := p.a.DialTimeout(p.addrB, patience/2)
	if err == nil {
		conn.Close()
		t.Fatal("somebody answers")
	}
	if took := time.Since(start); took > patience {
		t.Errorf("it took %v to find that out", took)
	}
}

func testShutdown(t *testing.T, p *peers) {
	conn, err := p.a.DialTimeout(p.addrB, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		if err := shutdown(p.a); err != nil {
			t.Errorf("shutting down: %v", err)
		}
	}
	if _, err := p.a.WriteTo(user("x"), p.addrB); err == nil {
		t.Error("a transport that is shut down still sends")
	}
	if _, err := p.b.WriteTo(user("x"), p.addrA); err != nil {
		t.Errorf("sending to a node that has shut down: %v", err)
	}
	select {
	case packet := <-p.a.PacketCh():
		t.Errorf("a transport that is shut down delivers %v", packet)
	case stream := <-p.a.StreamCh():
		t.Errorf("a transport that is shut down delivers the stream %v", stream)
	case <-time.After(50 * time.Millisecond):
	}
}
