package fabric_test

import (
	"errors"
	"math"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"

	"heartbeat/simulator/fabric"
)

const ms = time.Millisecond

func TestPacketsMeetTheLink(t *testing.T) {
	const sent = 20000
	for _, c := range []struct {
		name            string
		link            fabric.Link
		arrived         float64       // share of those sent, copies included
		least, most     time.Duration // of the delay
		mean            time.Duration
		overtaken       float64 // share that arrives after a later one
		undelayed       float64 // share that skips the delay
		overtakenWithin float64
	}{
		{name: "perfect", arrived: 1},
		{name: "loss", link: fabric.Link{Loss: 0.05}, arrived: 0.95},
		{name: "heavy loss", link: fabric.Link{Loss: 0.8}, arrived: 0.2},
		{name: "all lost", link: fabric.Link{Loss: 1}, arrived: 0},
		{name: "cut", link: fabric.Link{Cut: true}, arrived: 0},
		{name: "delay", link: fabric.Link{Delay: 40 * ms}, arrived: 1, least: 40 * ms, most: 40 * ms, mean: 40 * ms},
		{name: "jitter below the gap", link: fabric.Link{Delay: 2 * ms, Jitter: ms / 2}, arrived: 1, least: ms * 3 / 2, most: ms * 5 / 2, mean: 2 * ms},
		{name: "jitter that overtakes", link: fabric.Link{Delay: 5 * ms, Jitter: ms}, arrived: 1, least: 4 * ms, most: 6 * ms, mean: 5 * ms, overtaken: 0.125, overtakenWithin: 0.02},
		{name: "jitter beyond the delay", link: fabric.Link{Delay: ms, Jitter: 3 * ms}, arrived: 1, least: 0, most: 4 * ms, mean: 8 * ms / 6, overtaken: 0.25, overtakenWithin: 0.2},
		{name: "duplicate", link: fabric.Link{Duplicate: 0.1}, arrived: 1.1},
		{name: "duplicate after loss", link: fabric.Link{Loss: 0.5, Duplicate: 0.5}, arrived: 0.75},
		{name: "reorder", link: fabric.Link{Delay: 10 * ms, Reorder: 0.25}, arrived: 1, least: 0, most: 10 * ms, mean: 10 * ms * 3 / 4, undelayed: 0.25, overtaken: 0.7, overtakenWithin: 0.02},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair(t, c.link, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
				stop := record(b)
				for i := range sent {
					emit(t, a, 1, i, 10)
					time.Sleep(ms)
				}
				time.Sleep(time.Second)
				got := stop()

				near(t, "arrived", float64(len(got))/sent, c.arrived, 5*math.Sqrt(0.25/sent))
				var sum time.Duration
				overtaken, undelayed, newest := 0, 0, -1
				for _, p := range got {
					d := p.at - time.Duration(p.id)*ms
					if d < c.least || d > c.most {
						t.Fatalf("packet %d took %v, want %v to %v", p.id, d, c.least, c.most)
					}
					sum += d
					if p.id < newest {
						overtaken++
					}
					if d == 0 {
						undelayed++
					}
					newest = max(newest, p.id)
				}
				if len(got) == 0 {
					return
				}
				share := func(k int) float64 { return float64(k) / float64(len(got)) }
				near(t, "mean delay in ms", float64(sum)/float64(ms)/float64(len(got)), float64(c.mean)/float64(ms), 0.05+float64(c.mean)/50/float64(ms))
				near(t, "overtaken", share(overtaken), c.overtaken, c.overtakenWithin)
				if c.undelayed > 0 {
					near(t, "undelayed", share(undelayed), c.undelayed, 0.02)
				}
			})
		})
	}
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within {
		t.Errorf("%s: got %.4f, want %.4f ± %.4f", what, got, want, within)
	}
}

func TestRateSpacesPacketsAndDropsBeyondTheQueue(t *testing.T) {
	// 10 kB/s: a packet of 1000 bytes takes 100 ms. 64 KiB wait at most.
	pair(t, fabric.Link{Rate: 10_000, Delay: 5 * ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		stop := record(b)
		for i := range 100 {
			emit(t, a, 1, i, 1000)
		}
		time.Sleep(time.Minute)
		got := stop()
		for i, p := range got {
			if want := time.Duration(i+1)*100*ms + 5*ms; p.id != i || p.at != want {
				t.Fatalf("arrival %d: packet %d at %v, want packet %d at %v", i, p.id, p.at, i, want)
			}
		}
		if len(got) != 66 || n.Stats().Drops[fabric.DropQueue] != 34 {
			t.Errorf("%d arrived and %d were dropped, want 66 and 34", len(got), n.Stats().Drops[fabric.DropQueue])
		}
	})
}

func TestPacketsOfOneInstantKeepTheirOrder(t *testing.T) {
	pair(t, fabric.Link{Delay: ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		stop := record(b)
		var want []int
		for i := range 500 {
			emit(t, a, 1, i, 3)
			want = append(want, i)
		}
		time.Sleep(time.Second)
		if diff := cmp.Diff(want, ids(stop())); diff != "" {
			t.Error(diff)
		}
	})
}

// TestFateIsFixed checks that what happens to the packets of one link depends
// on the seed alone, and not on the traffic of others.
func TestFateIsFixed(t *testing.T) {
	run := func(seed uint64, busy bool) (got []packet) {
		synctest.Test(t, func(t *testing.T) {
			n := fabric.New(fabric.Config{Seed: seed, Links: all(fabric.Link{Delay: 9 * ms, Jitter: 5 * ms, Loss: 0.3, Duplicate: 0.2, Reorder: 0.1})})
			a, b, c := listen(t, n, 0), listen(t, n, 1), listen(t, n, 2)
			stop, stopC := record(b), record(c)
			for i := range 500 {
				emit(t, a, 1, i, 10)
				if busy {
					emit(t, a, 2, i, 10)
					emit(t, c, 0, i, 10)
					emit(t, b, 2, i, 10)
				}
				time.Sleep(ms)
			}
			time.Sleep(time.Second)
			got = stop()
			stopC()
		})
		return got
	}
	alone := run(1, false)
	opt := cmp.AllowUnexported(packet{})
	if diff := cmp.Diff(alone, run(1, false), opt); diff != "" {
		t.Errorf("the same seed gives another run:\n%s", diff)
	}
	if diff := cmp.Diff(alone, run(1, true), opt); diff != "" {
		t.Errorf("other links' traffic changes this link's:\n%s", diff)
	}
	if cmp.Equal(alone, run(2, false), opt) {
		t.Error("another seed gives the same run")
	}
}

func TestCutsAreOneWayAndPerProtocol(t *testing.T) {
	type link struct {
		from, to int
		proto    fabric.Proto
	}
	udp := func(from, to int) link { return link{from, to, fabric.UDP} }
	tcp := func(from, to int) link { return link{from, to, fabric.TCP} }
	for _, c := range []struct {
		name   string
		cut    []link
		ab, ba bool // packets pass
		dial   bool // either may dial the other
	}{
		{name: "nothing", ab: true, ba: true, dial: true},
		{name: "both ways", cut: []link{udp(0, 1), udp(1, 0), tcp(0, 1), tcp(1, 0)}},
		{name: "one way", cut: []link{udp(0, 1), tcp(0, 1)}, ba: true},
		{name: "UDP only", cut: []link{udp(0, 1), udp(1, 0)}, dial: true},
		{name: "UDP only, one way", cut: []link{udp(1, 0)}, ab: true, dial: true},
		{name: "TCP only", cut: []link{tcp(0, 1), tcp(1, 0)}, ab: true, ba: true},
		{name: "TCP only, one way", cut: []link{tcp(1, 0)}, ab: true, ba: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			pair(t, fabric.Link{}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
				n.SetLinks(func(from, to int, proto fabric.Proto) fabric.Link {
					for _, l := range c.cut {
						if l == (link{from, to, proto}) {
							return fabric.Link{Cut: true}
						}
					}
					return fabric.Link{}
				})
				stopA, stopB := record(a), record(b)
				emit(t, a, 1, 1, 3)
				emit(t, b, 0, 2, 3)
				for _, d := range []struct {
					from *fabric.Endpoint
					to   int
				}{{a, 1}, {b, 0}} {
					conn, err := d.from.DialTimeout(addr(d.to), time.Second)
					if (err == nil) != c.dial || err != nil && !timedOut(err) {
						t.Errorf("dialling node %d: %v, want success %v", d.to, err, c.dial)
					}
					if err == nil {
						conn.Close()
					}
				}
				time.Sleep(time.Second)
				if ba, ab := len(stopA()) == 1, len(stopB()) == 1; ab != c.ab || ba != c.ba {
					t.Errorf("packets pass to 1: %v, to 0: %v; want %v and %v", ab, ba, c.ab, c.ba)
				}
			})
		})
	}
}

func TestSendingNeverBlocksAndMemoryIsBounded(t *testing.T) {
	pair(t, fabric.Link{Delay: ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		for i := range 5000 { // nobody reads at b
			emit(t, a, 1, i, 100)
		}
		time.Sleep(time.Second)
		if s := b.Stats(); s.PacketsIn != 1024 || s.Drops[fabric.DropBuffer] != 5000-1024 {
			t.Errorf("%d taken, %d dropped; want 1024 and the rest", s.PacketsIn, s.Drops[fabric.DropBuffer])
		}
	})
}

func TestSendErrors(t *testing.T) {
	pair(t, fabric.Link{}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		check := func(what string, want error, to string, size int) {
			t.Helper()
			_, err := a.WriteTo(make([]byte, size), to)
			var op *net.OpError
			if !errors.Is(err, want) || want != nil && (!errors.As(err, &op) || op.Op != "write" || op.Net != "udp") {
				t.Errorf("%s: got %v, want %v as the error of a UDP write", what, err, want)
			}
		}
		check("nobody there", nil, addr(99), 10)
		check("largest packet", nil, addr(1), 65507)
		check("too large", syscall.EMSGSIZE, addr(1), 65508)
		if _, err := a.WriteTo([]byte("x"), "localhost:7946"); err == nil || !strings.Contains(err.Error(), "want IP:port") {
			t.Errorf("sending to a name: got %v", err)
		}
		a.Kill()
		check("killed", net.ErrClosed, addr(1), 10)
	})
}

func TestTapHookAndInject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type seen struct {
			From, To int
			Proto    fabric.Proto
			Text     string
		}
		var tapped []seen
		n := fabric.New(fabric.Config{
			Links: all(fabric.Link{Cut: true}),
			Tap: func(from, to int, proto fabric.Proto, b []byte) {
				tapped = append(tapped, seen{from, to, proto, string(b)})
			},
		})
		a, b := listen(t, n, 0), listen(t, n, 1)
		send := func(text string, to int) {
			if _, err := a.WriteTo([]byte(text), addr(to)); err != nil {
				t.Fatal(err)
			}
		}
		send("lost", 1)
		send("nowhere", 5)
		n.SetLinks(nil)
		b.SetInbound(func(p *memberlist.Packet) *memberlist.Packet {
			if string(p.Buf) == "secret" {
				return nil
			}
			p.Buf = append([]byte("seen "), p.Buf...)
			return p
		})
		send("secret", 1)
		send("plain", 1)
		conn, far := dialled(t, a, b)
		if _, err := conn.Write([]byte("stream")); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		far.Close()
		time.Sleep(time.Second)
		b.Inject(&memberlist.Packet{Buf: []byte("injected")})

		for _, want := range []string{"seen plain", "injected"} {
			if p := <-b.PacketCh(); string(p.Buf) != want {
				t.Errorf("the node got %q, want %q", p.Buf, want)
			}
		}
		want := []seen{
			{0, 1, fabric.UDP, "lost"}, {0, -1, fabric.UDP, "nowhere"}, {0, 1, fabric.UDP, "secret"},
			{0, 1, fabric.UDP, "plain"}, {0, 1, fabric.TCP, "stream"},
		}
		if diff := cmp.Diff(want, tapped); diff != "" {
			t.Error(diff)
		}
		if d := b.Stats().Drops[fabric.DropHook]; d != 1 {
			t.Errorf("%d packets counted as taken by the hook, want 1", d)
		}
		b.Kill()
		b.Inject(&memberlist.Packet{Buf: []byte("late")})
		if len(b.PacketCh()) != 0 {
			t.Error("a killed node was injected a packet")
		}
	})
}
