package fabric_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"heartbeat/simulator/fabric"
)

func TestStreamsKeepBytesOnAnyLink(t *testing.T) {
	for _, c := range []struct {
		name        string
		link        fabric.Link
		least, most time.Duration // from the first write to EOF
	}{
		{"perfect", fabric.Link{}, 0, 0},
		{"latency, four windows", fabric.Link{Delay: 30 * ms}, 120 * ms, 120 * ms},
		{"jitter", fabric.Link{Delay: 30 * ms, Jitter: 30 * ms}, 60 * ms, 480 * ms},
		{"rate", fabric.Link{Rate: 100_000, Delay: 10 * ms}, 10 * time.Second, 10*time.Second + 100*ms},
		{"loss", fabric.Link{Loss: 0.02, Delay: 10 * ms}, 200 * ms, 20 * time.Second},
		{"duplicates and reordering are invisible", fabric.Link{Duplicate: 0.5, Reorder: 0.5, Delay: 10 * ms}, 40 * ms, 40 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair(t, c.link, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
				sent := make([]byte, 1_000_000)
				r := rand.New(rand.NewPCG(1, 2))
				for i := range sent {
					sent[i] = byte(r.Uint32())
				}
				conn, far := dialled(t, a, b)
				begin := time.Now()
				go func() {
					for part := sent; len(part) > 0; {
						k := min(len(part), 1+r.IntN(100_000))
						if _, err := conn.Write(part[:k]); err != nil {
							t.Error(err)
						}
						part = part[k:]
					}
					conn.Close()
				}()
				got, err := io.ReadAll(far)
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d bytes arrived, intact: %v, error %v", len(got), bytes.Equal(got, sent), err)
				}
				if took := time.Since(begin); took < c.least || took > c.most {
					t.Errorf("took %v, want %v to %v", took, c.least, c.most)
				}
				if s := n.Stats(); s.TCPBytesOut != 1_000_000 || s.TCPBytesIn != 1_000_000 || s.Dials != 1 || s.Accepts != 1 {
					t.Errorf("counters %+v", s)
				}
				far.Close()
				time.Sleep(10 * time.Minute)
			})
		})
	}
}

func TestStreamStallsOnACutAndResumes(t *testing.T) {
	pair(t, fabric.Link{Delay: 10 * ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		conn, far := dialled(t, a, b)
		n.SetLinks(all(fabric.Link{Cut: true}))
		begin := time.Now()
		payload := bytes.Repeat([]byte("x"), 300<<10)

		// The window of 256 KiB takes what it can, then the deadline ends the write.
		if err := conn.SetWriteDeadline(begin.Add(3 * time.Second)); err != nil {
			t.Fatal(err)
		}
		k, err := conn.Write(payload)
		if k != 256<<10 || !timedOut(err) || time.Since(begin) != 3*time.Second {
			t.Errorf("wrote %d bytes in %v, error %v; want 256 KiB and a timeout after 3 s", k, time.Since(begin), err)
		}
		if err := far.SetReadDeadline(begin.Add(4 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); !timedOut(err) {
			t.Errorf("reading behind the cut: %v", err)
		}

		time.Sleep(time.Second) // it is 5 s
		n.SetLinks(nil)
		if err := far.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, make([]byte, 256<<10)); err != nil {
			t.Error(err)
		}
		// Sent again after 0.2, 0.6, 1.4, 3, 6.2 s and a bit for the round trip.
		if d := time.Since(begin); d < 6*time.Second || d > 7*time.Second {
			t.Errorf("resumed after %v, want the retransmission at about 6.2 s", d)
		}
		if n.Stats().Retransmits == 0 {
			t.Error("no retransmission was counted")
		}
		closeBoth(conn, far)
	})
}

func closeBoth(a, b net.Conn) {
	_ = a.Close()
	_ = b.Close()
	time.Sleep(time.Hour)
}

func TestStreamIsGivenUp(t *testing.T) {
	pair(t, fabric.Link{}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		conn, far := dialled(t, a, b)
		n.SetLinks(all(fabric.Link{Cut: true}))
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, err := conn.Read(make([]byte, 1))
		// The timers are 0.2 s to 102.4 s and then 5 times 120 s (RFC 6298, 5.5).
		want := (204600 + 5*120000) * ms
		if !errors.Is(err, syscall.ETIMEDOUT) || time.Since(begin) != want {
			t.Errorf("got %v after %v, want ETIMEDOUT after %v", err, time.Since(begin), want)
		}
		if _, err := conn.Write([]byte("x")); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("writing to it: %v", err)
		}
		closeBoth(conn, far)
	})
}

func TestStreamEnds(t *testing.T) {
	pair(t, fabric.Link{Delay: 10 * ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		conn, far := dialled(t, a, b)
		if _, err := conn.Write([]byte("last words")); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"read":     func() error { _, err := conn.Read(make([]byte, 1)); return err }(),
			"write":    func() error { _, err := conn.Write([]byte("x")); return err }(),
			"close":    conn.Close(),
			"deadline": conn.SetDeadline(time.Now()),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s of a closed stream: %v", what, err)
			}
		}
		if got, err := io.ReadAll(far); string(got) != "last words" || err != nil {
			t.Errorf("read %q, %v; want the data in flight and EOF", got, err)
		}
		// The other direction is of no use any more: its first bytes provoke a reset.
		if _, err := far.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		time.Sleep(21 * ms)
		if _, err := far.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("writing to a closed end: %v, want a reset", err)
		}
		closeBoth(far, far)
	})
}

func TestDeadlines(t *testing.T) {
	pair(t, fabric.Link{Delay: 10 * ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		conn, far := dialled(t, a, b)
		begin := time.Now()
		read := func() (time.Duration, error) {
			_, err := conn.Read(make([]byte, 1))
			return time.Since(begin), err
		}
		set := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		set(conn.SetReadDeadline(begin.Add(time.Second)))
		if at, err := read(); !timedOut(err) || at != time.Second {
			t.Errorf("%v at %v", err, at)
		}
		if at, err := read(); !timedOut(err) || at != time.Second {
			t.Errorf("a passed deadline stays: %v at %v", err, at)
		}
		set(conn.SetDeadline(begin.Add(5 * time.Second)))
		go func() {
			time.Sleep(time.Second) // it is 2 s
			set(conn.SetReadDeadline(begin.Add(3 * time.Second)))
		}()
		if at, err := read(); !timedOut(err) || at != 3*time.Second {
			t.Errorf("a deadline drawn in during the read: %v at %v", err, at)
		}
		set(conn.SetReadDeadline(time.Time{}))
		go func() {
			time.Sleep(time.Hour)
			_, _ = far.Write([]byte("x"))
		}()
		if at, err := read(); err != nil || at < time.Hour {
			t.Errorf("without a deadline: %v at %v", err, at)
		}
		if _, err := conn.Write([]byte("x")); !timedOut(err) {
			t.Errorf("the write deadline has passed: %v", err)
		}
		closeBoth(conn, far)
	})
}

func TestCloseEndsWaits(t *testing.T) {
	pair(t, fabric.Link{Cut: true}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		n.SetLinks(nil)
		conn, far := dialled(t, a, b)
		n.SetLinks(all(fabric.Link{Cut: true}))
		ended := make(chan error, 2)
		go func() {
			_, err := conn.Read(make([]byte, 1))
			ended <- err
		}()
		go func() {
			_, err := conn.Write(make([]byte, 1<<20))
			ended <- err
		}()
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("a read or a write did not wait")
		}
		closeBoth(conn, far)
		for range 2 {
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("ended with %v", err)
			}
		}
	})
}
