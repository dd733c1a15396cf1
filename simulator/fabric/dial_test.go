package fabric_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"heartbeat/simulator/fabric"
)

func TestDial(t *testing.T) {
	refused := func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
	closed := func(err error) bool { return errors.Is(err, net.ErrClosed) }
	after := func(d time.Duration, f func()) {
		go func() {
			time.Sleep(d)
			f()
		}()
	}
	cut := all(fabric.Link{Cut: true})
	for _, c := range []struct {
		name    string
		link    fabric.Link
		arrange func(n *fabric.Network, a, b *fabric.Endpoint)
		to      int // 1 unless set
		timeout time.Duration
		want    func(error) bool // nil for success
		took    time.Duration
	}{
		{name: "one round trip", timeout: time.Second, took: 20 * ms},
		{name: "no timeout", took: 20 * ms},
		{name: "time was up before", timeout: -1, want: timedOut},
		{name: "slower than the timeout", timeout: 15 * ms, want: timedOut, took: 15 * ms},
		{name: "nobody was ever there", to: 9, timeout: 3 * time.Second, want: timedOut, took: 3 * time.Second},
		{
			name: "process killed", timeout: time.Second, want: refused, took: 20 * ms,
			arrange: func(_ *fabric.Network, _, b *fabric.Endpoint) { b.Kill() },
		},
		{
			name: "shut down", timeout: time.Second, want: refused, took: 20 * ms,
			arrange: func(_ *fabric.Network, _, b *fabric.Endpoint) { _ = b.Shutdown() },
		},
		{
			name: "killed during the handshake", timeout: time.Second, want: refused, took: 20 * ms,
			arrange: func(_ *fabric.Network, _, b *fabric.Endpoint) { after(10*ms, b.Kill) },
		},
		{
			name: "machine off", timeout: time.Second, want: timedOut, took: time.Second,
			arrange: func(_ *fabric.Network, _, b *fabric.Endpoint) { b.Crash() },
		},
		{
			name: "cut", timeout: 5 * time.Second, want: timedOut, took: 5 * time.Second,
			arrange: func(n *fabric.Network, _, _ *fabric.Endpoint) { n.SetLinks(cut) },
		},
		{
			name: "cut without a timeout", took: 127 * time.Second,
			want:    func(err error) bool { return timedOut(err) && errors.Is(err, syscall.ETIMEDOUT) },
			arrange: func(n *fabric.Network, _, _ *fabric.Endpoint) { n.SetLinks(cut) },
		},
		{
			// SYNs leave at 0, 1, 3 and 7 s.
			name: "heals at 5 s", timeout: 10 * time.Second, took: 7*time.Second + 20*ms,
			arrange: func(n *fabric.Network, _, _ *fabric.Endpoint) {
				n.SetLinks(cut)
				after(5*time.Second, func() { n.SetLinks(all(fabric.Link{Delay: 10 * ms})) })
			},
		},
		{
			name: "peer frozen", timeout: 2 * time.Second, want: timedOut, took: 2 * time.Second,
			arrange: func(_ *fabric.Network, _, b *fabric.Endpoint) { b.Freeze() },
		},
		{
			name: "peer thaws", timeout: 10 * time.Second, took: 3*time.Second + 20*ms,
			arrange: func(_ *fabric.Network, _, b *fabric.Endpoint) { b.Freeze(); after(2*time.Second, b.Thaw) },
		},
		{
			name: "dialler frozen", timeout: 2 * time.Second, want: timedOut, took: 2 * time.Second,
			arrange: func(_ *fabric.Network, a, _ *fabric.Endpoint) { a.Freeze() },
		},
		{
			name: "dialler thaws", timeout: 10 * time.Second, took: 2*time.Second + 20*ms,
			arrange: func(_ *fabric.Network, a, _ *fabric.Endpoint) { a.Freeze(); after(2*time.Second, a.Thaw) },
		},
		{
			name: "dialler freezes during the handshake", timeout: 10 * time.Second, took: 2 * time.Second,
			arrange: func(_ *fabric.Network, a, _ *fabric.Endpoint) { after(10*ms, a.Freeze); after(2*time.Second, a.Thaw) },
		},
		{
			name: "dialler killed before", timeout: time.Second, want: closed,
			arrange: func(_ *fabric.Network, a, _ *fabric.Endpoint) { a.Kill() },
		},
		{
			name: "dialler killed during", timeout: 9 * time.Second, want: closed, took: 4 * time.Second,
			arrange: func(n *fabric.Network, a, _ *fabric.Endpoint) { n.SetLinks(cut); after(4*time.Second, a.Kill) },
		},
		{
			name: "frozen dialler killed", timeout: 9 * time.Second, want: closed, took: 4 * time.Second,
			arrange: func(_ *fabric.Network, a, _ *fabric.Endpoint) { a.Freeze(); after(4*time.Second, a.Kill) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair(t, fabric.Link{Delay: 10 * ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
				if c.arrange != nil {
					c.arrange(n, a, b)
					synctest.Wait()
				}
				begin := time.Now()
				conn, err := a.DialTimeout(addr(max(1, c.to)), c.timeout)
				if took := time.Since(begin); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if c.want == nil {
					if err != nil {
						t.Fatal(err)
					}
					conn.Close()
				} else {
					var op *net.OpError
					if !errors.As(err, &op) || op.Op != "dial" || op.Net != "tcp" || !c.want(err) {
						t.Errorf("got error %#v: %v", err, err)
					}
				}
				time.Sleep(10 * time.Second) // for what arrange has started
			})
		})
	}
}

func TestDialSurvivesLoss(t *testing.T) {
	pair(t, fabric.Link{Delay: ms, Loss: 0.1}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		slow := 0
		for range 300 {
			begin := time.Now()
			conn, err := a.DialTimeout(addr(1), 0)
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took >= time.Second {
				slow++
			} else if took != 2*ms {
				t.Fatalf("took %v, want one round trip or at least 1 s", took)
			}
			conn.Close()
			time.Sleep(time.Minute)
			(<-b.StreamCh()).Close()
		}
		// SYN and its answer both pass with probability 0.81.
		near(t, "share of slow dials", float64(slow)/300, 0.19, 0.11)
		time.Sleep(10 * time.Minute)
	})
}

func TestListenErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := fabric.New(fabric.Config{})
		listen(t, n, 1)
		for _, c := range []struct {
			name string
			node int
			addr netip.AddrPort
		}{
			{"in use", 1, nodeAddr(1)},
			{"another node's", 2, nodeAddr(1)},
			{"negative node", -1, nodeAddr(3)},
			{"large node", 1 << 16, nodeAddr(3)},
			{"no port", 3, netip.AddrPortFrom(nodeAddr(3).Addr(), 0)},
			{"no address", 3, netip.AddrPort{}},
			{"unspecified address", 3, netip.MustParseAddrPort("0.0.0.0:7946")},
		} {
			if e, err := n.Listen(c.node, c.addr); err == nil {
				t.Errorf("%s: got endpoint %v, want an error", c.name, e)
			}
		}
		six, err := n.Listen(4, netip.MustParseAddrPort("[::ffff:10.9.9.9]:7946"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := six.WriteTo([]byte("self"), "10.9.9.9:7946"); err != nil {
			t.Fatal(err)
		}
		if p := <-six.PacketCh(); string(p.Buf) != "self" {
			t.Errorf("got %q", p.Buf)
		}
	})
}

// TestNewInstanceTakesOver checks the ways a process ends and another one
// takes its address.
func TestNewInstanceTakesOver(t *testing.T) {
	for _, c := range []struct {
		name  string
		end   func(*fabric.Endpoint)
		reset error // what the peer's read of an open stream ends with; nil for a stall
	}{
		{"kill", (*fabric.Endpoint).Kill, syscall.ECONNRESET},
		{"crash", (*fabric.Endpoint).Crash, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair(t, fabric.Link{Delay: 10 * ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
				conn, far := dialled(t, a, b)
				unaccepted, err := a.DialTimeout(addr(1), time.Second)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				c.end(b)

				if _, err := b.WriteTo([]byte("x"), addr(0)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("writing from the dead: %v", err)
				}
				if _, err := far.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("reading by the dead: %v", err)
				}
				for _, s := range []net.Conn{conn, unaccepted} {
					if err := s.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
						t.Fatal(err)
					}
					begin := time.Now()
					_, err = s.Read(make([]byte, 1))
					if c.reset != nil && (!errors.Is(err, c.reset) || time.Since(begin) > 10*ms) || c.reset == nil && !timedOut(err) {
						t.Errorf("reading from the dead: %v after %v, want %v", err, time.Since(begin), c.reset)
					}
				}
				emit(t, a, 1, 1, 3) // lost
				time.Sleep(time.Second)

				next := listen(t, n, 1)
				emit(t, a, 1, 2, 3)
				if p := <-next.PacketCh(); p.Buf[2] != 2 {
					t.Errorf("the new instance got packet %d first, want 2", p.Buf[2])
				}
				fresh, far := dialled(t, a, next)
				go io.WriteString(fresh, "hello")
				buf := make([]byte, 5)
				if _, err := io.ReadFull(far, buf); err != nil || string(buf) != "hello" {
					t.Errorf("read %q, %v", buf, err)
				}
				// What the old stream sends meets a kernel that does not know it.
				if c.reset == nil {
					if err := conn.SetDeadline(time.Time{}); err != nil {
						t.Fatal(err)
					}
					if _, err := conn.Write([]byte("still there?")); err != nil {
						t.Fatal(err)
					}
					if _, err := conn.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("an old stream to a new instance: %v, want a reset", err)
					}
				}
				for _, s := range []net.Conn{conn, unaccepted, fresh, far} {
					_ = s.Close()
				}
				b.Kill() // again, and of an instance that is no more: nothing happens
				b.Crash()
				emit(t, a, 1, 3, 3)
				if p := <-next.PacketCh(); p.Buf[2] != 3 {
					t.Errorf("got packet %d, want 3", p.Buf[2])
				}
				time.Sleep(10 * time.Second)
			})
		})
	}
}
