package transporttest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// largestPacket is the most that UDP carries over IPv4; over IPv6 it is more.
const largestPacket = 65507

func testLargestPacket(t *testing.T, p *peers) {
	largest := user(strings.Repeat("x", largestPacket-1))
	if _, err := p.a.WriteTo(largest, p.addrB); err != nil {
		t.Fatalf("sending %d bytes: %v", len(largest), err)
	}
	if got := receive(t, p.b); !bytes.Equal(got.Buf, largest) {
		t.Errorf("sent %d bytes, got %d", len(largest), len(got.Buf))
	}
	// More must be refused, never cut: half of a message may be another message.
	for _, size := range []int{65536, 70000, 1 << 20} {
		if _, err := p.a.WriteTo(user(strings.Repeat("x", size-1)), p.addrB); err == nil {
			t.Errorf("sending %d bytes is no error", size)
		}
	}
	if _, err := p.a.WriteTo(user("after"), p.addrB); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, p.b); string(got.Buf) != string(user("after")) {
		t.Errorf("got %d bytes of what was refused", len(got.Buf))
	}
}

// The engine reads the first byte of whatever it is given.
func testEmptyPacket(t *testing.T, p *peers) {
	if _, err := p.a.WriteTo(nil, p.addrB); err != nil {
		t.Errorf("sending an empty packet: %v", err)
	}
	if _, err := p.a.WriteTo(user("after"), p.addrB); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, p.b); string(got.Buf) != string(user("after")) {
		t.Errorf("got %q", got.Buf)
	}
}

// Packets may change places, but each is one that was sent.
func testConcurrentPackets(t *testing.T, p *peers) {
	const senders, each = 4, 50
	sent := make(map[string]bool)
	for s := range senders {
		for i := range each {
			sent[string(user(fmt.Sprintf("%d/%d %s", s, i, strings.Repeat(string(rune('a'+s)), 20*i))))] = true
		}
	}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				body := fmt.Sprintf("%d/%d %s", s, i, strings.Repeat(string(rune('a'+s)), 20*i))
				if _, err := p.a.WriteTo(user(body), p.addrB); err != nil {
					t.Errorf("sending: %v", err)
				}
			}
		})
	}
	for range senders * each {
		got := receive(t, p.b)
		if !sent[string(got.Buf)] {
			t.Errorf("%q was not sent, or not once", got.Buf)
		}
		delete(sent, string(got.Buf))
		if got.From.String() != p.addrA {
			t.Errorf("from %v, not %s", got.From, p.addrA)
		}
	}
	wg.Wait()
}

// What was written before the end is closed still arrives, and then the end of the stream.
func testCloseAfterWrite(t *testing.T, p *peers) {
	conn, other := connect(t, p)
	text := append([]byte{ackMessage}, bytes.Repeat([]byte("0123456789"), 3000)...)
	if _, err := other.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, text) {
		t.Errorf("read %d of %d bytes, error %v", len(got), len(text), err)
	}
}

// Where streams can be half closed, the other half goes on.
func testHalfClose(t *testing.T, p *peers) {
	conn, other := connect(t, p)
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		t.Skip("its streams are closed both ways only; the engine never closes one way")
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := other.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("reading what is closed: %d bytes, error %v, not EOF", n, err)
	}
	if _, err := other.Write([]byte{ackMessage, 'x'}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
		t.Errorf("reading the other way: %v", err)
	}
}

// A peer that does not read holds a writer up until the deadline, not longer.
func testWriteDeadline(t *testing.T, p *peers) {
	conn, _ := connect(t, p)
	if err := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	chunk, total := make([]byte, 1<<20), 0
	for {
		n, err := conn.Write(chunk)
		if total += n; err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("writing beyond the deadline: %v", err)
			}
			return
		}
		if total > 1<<30 {
			t.Fatalf("%d bytes are taken that nobody reads", total)
		}
	}
}

func testDialTwoWays(t *testing.T, p *peers) {
	var wg sync.WaitGroup
	back := &peers{a: p.b, b: p.a, addrA: p.addrB, addrB: p.addrA}
	for _, way := range []*peers{p, back} {
		wg.Go(func() {
			for i := range 5 {
				conn, err := way.a.DialTimeout(way.addrB, patience)
				if err != nil {
					t.Errorf("dialling: %v", err)
					return
				}
				other, err := tryAccept(conn, way.b)
				if err != nil {
					t.Error(err)
					conn.Close()
					return
				}
				exchange(t, conn, other, fmt.Sprintf("stream %d", i))
				if err := errors.Join(conn.Close(), other.Close()); err != nil {
					t.Errorf("closing: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// Shutdown comes to its end although packets and streams keep coming, and whoever sends them is not stuck.
func testShutdownWhileBusy(t *testing.T, p *peers) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := p.b.WriteTo(user("x"), p.addrA); err != nil {
					t.Errorf("sending to a node that shuts down: %v", err)
				}
				if conn, err := p.b.DialTimeout(p.addrA, 100*time.Millisecond); err == nil {
					_, _ = conn.Write([]byte{pingMessage})
					conn.Close()
				}
			}
		})
	}
	receive(t, p.a)
	done := make(chan error, 1)
	go func() { done <- shutdown(p.a) }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("shutting down: %v", err)
		}
	case <-time.After(patience):
		t.Error("the shutdown goes on and on")
	}
	close(stop)
	wg.Wait()
	if _, err := p.a.WriteTo(user("x"), p.addrB); err == nil {
		t.Error("a transport that is shut down still sends")
	}
}

// tryAccept is accept for goroutines that must not end the test.
func tryAccept(conn net.Conn, tr interface{ StreamCh() <-chan net.Conn }) (net.Conn, error) {
	if _, err := conn.Write([]byte{pingMessage}); err != nil {
		return nil, fmt.Errorf("writing the first byte: %w", err)
	}
	select {
	case other := <-tr.StreamCh():
		err := other.SetDeadline(time.Now().Add(patience))
		if err == nil {
			_, err = io.ReadFull(other, make([]byte, 1))
		}
		if err != nil {
			other.Close()
			return nil, fmt.Errorf("reading the first byte: %w", err)
		}
		return other, nil
	case <-time.After(patience):
		return nil, errors.New("no stream has arrived")
	}
}
