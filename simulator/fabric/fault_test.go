package fabric_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/simulator/fabric"
)

func TestFreezeHoldsPackets(t *testing.T) {
	pair(t, fabric.Link{Delay: ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		stopA, stopB := record(a), record(b)
		emit(t, a, 1, 0, 3) // in flight when b freezes
		b.Freeze()
		b.Freeze()
		for i := 1; i <= 3; i++ {
			emit(t, a, 1, i, 3)
			emit(t, b, 0, i, 3)
			time.Sleep(time.Second)
		}
		b.Thaw()
		b.Thaw()
		emit(t, b, 0, 4, 3)
		time.Sleep(time.Second)
		wantA := []packet{{1, 3001 * ms}, {2, 3001 * ms}, {3, 3001 * ms}, {4, 3001 * ms}}
		wantB := []packet{{0, 3000 * ms}, {1, 3000 * ms}, {2, 3000 * ms}, {3, 3000 * ms}}
		opt := cmp.AllowUnexported(packet{})
		if diff := cmp.Diff(wantA, stopA(), opt); diff != "" {
			t.Errorf("sent by the frozen node:\n%s", diff)
		}
		if diff := cmp.Diff(wantB, stopB(), opt); diff != "" {
			t.Errorf("received by the frozen node:\n%s", diff)
		}
	})
}

func TestFreezeIsBounded(t *testing.T) {
	pair(t, fabric.Link{Delay: ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		stopA, stopB := record(a), record(b)
		b.Freeze()
		for i := range 1000 {
			emit(t, a, 1, i, 100)
			emit(t, b, 0, i, 100)
		}
		time.Sleep(time.Minute)
		b.Thaw()
		time.Sleep(time.Second)
		const fit = 425984 / 868
		first := make([]int, fit)
		for i := range first {
			first[i] = i
		}
		for who, got := range map[string][]int{"sent": ids(stopA()), "received": ids(stopB())} {
			if !slices.Equal(got, first) {
				t.Errorf("%s: got %d packets, want the first %d", who, len(got), fit)
			}
		}
		s := b.Stats()
		if s.Drops[fabric.DropBuffer] != 1000-fit || s.Drops[fabric.DropSend] != 1000-fit {
			t.Errorf("drops: %v", s.Drops)
		}
		// The buffers are empty again.
		b.Freeze()
		emit(t, a, 1, 1, 100)
		emit(t, b, 0, 1, 100)
		time.Sleep(time.Second)
		b.Thaw()
		time.Sleep(time.Second)
		if s := n.Stats(); s.PacketsIn != 2*fit+2 {
			t.Errorf("%d packets arrived, want %d", s.PacketsIn, 2*fit+2)
		}
	})
}

func TestFreezeHoldsStreams(t *testing.T) {
	pair(t, fabric.Link{Delay: 10 * ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		conn, far := dialled(t, a, b)
		late, err := a.DialTimeout(addr(1), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		b.Freeze() // before the new stream reaches it
		begin := time.Now()
		if _, err := conn.Write([]byte("in")); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write([]byte("out")); err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(5 * time.Second)
			b.Thaw()
		}()
		_ = far.SetReadDeadline(begin.Add(2 * time.Second))
		if _, err := far.Read(make([]byte, 1)); !timedOut(err) || time.Since(begin) != 2*time.Second {
			t.Errorf("a frozen node's read ended with %v after %v", err, time.Since(begin))
		}
		_ = far.SetReadDeadline(time.Time{})
		buf := make([]byte, 2)
		if _, err := io.ReadFull(far, buf); err != nil || string(buf) != "in" || time.Since(begin) != 5*time.Second {
			t.Errorf("read %q, %v, after %v", buf, err, time.Since(begin))
		}
		buf = make([]byte, 3)
		if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "out" || time.Since(begin) != 5010*ms {
			t.Errorf("read %q, %v, after %v", buf, err, time.Since(begin))
		}
		accepted := <-b.StreamCh()
		if accepted.RemoteAddr().String() != late.LocalAddr().String() {
			t.Errorf("accepted a stream from %v, want %v", accepted.RemoteAddr(), late.LocalAddr())
		}
		closeBoth(late, accepted)
		closeBoth(conn, far)
	})
}

func TestStall(t *testing.T) {
	pair(t, fabric.Link{Delay: 3 * ms, Jitter: 2 * ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		stop := record(b)
		b.Stall(500*ms, 2500*ms)
		var order []int
		for i := range 100 {
			order = append(order, i)
			emit(t, a, 1, i, 3)
			time.Sleep(100 * ms)
		}
		b.Stall(0, 0) // what waits keeps its delay, and nothing overtakes it
		emit(t, a, 1, 100, 3)
		time.Sleep(10 * time.Second)
		emit(t, a, 1, 101, 3)
		time.Sleep(time.Second)
		got := stop()
		if diff := cmp.Diff(append(order, 100, 101), ids(got)); diff != "" {
			t.Fatal(diff)
		}
		for _, p := range got[:100] {
			if d := p.at - time.Duration(p.id)*100*ms; d < 501*ms || d > 2505*ms {
				t.Errorf("packet %d was %v late", p.id, d)
			}
		}
		if last := got[101].at - 20*time.Second; last > 5*ms {
			t.Errorf("after the stall a packet took %v", last)
		}
	})
}

func TestStallDelaysStreamsInOrder(t *testing.T) {
	pair(t, fabric.Link{Delay: 10 * ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		b.Stall(500*ms, 1000*ms)
		conn, err := a.DialTimeout(addr(1), 25*ms)
		if err != nil {
			t.Fatalf("the kernel answers a dial at once: %v", err)
		}
		begin := time.Now()
		for i := range 10 {
			if _, err := fmt.Fprint(conn, i); err != nil {
				t.Fatal(err)
			}
		}
		far := <-b.StreamCh()
		if d := time.Since(begin); d < 510*ms || d > 1010*ms {
			t.Errorf("accepted after %v", d)
		}
		buf := make([]byte, 10)
		if _, err := io.ReadFull(far, buf); err != nil || string(buf) != "0123456789" {
			t.Errorf("read %q, %v", buf, err)
		}
		if d := time.Since(begin); d < 510*ms || d > 1010*ms {
			t.Errorf("read after %v", d)
		}
		closeBoth(conn, far)
	})
}

func TestStallThenFreezeKeepsOrder(t *testing.T) {
	pair(t, fabric.Link{Delay: ms}, func(t *testing.T, n *fabric.Network, a, b *fabric.Endpoint) {
		stop := record(b)
		b.Stall(2*time.Second, 2*time.Second)
		emit(t, a, 1, 1, 3) // due at 2 s
		time.Sleep(time.Second)
		b.Freeze()
		emit(t, a, 1, 2, 3) // due at 3 s
		time.Sleep(1500 * ms)
		b.Thaw() // at 2.5 s
		time.Sleep(time.Minute)
		want := []packet{{1, 2500 * ms}, {2, 3001 * ms}}
		if diff := cmp.Diff(want, stop(), cmp.AllowUnexported(packet{})); diff != "" {
			t.Error(diff)
		}
	})
}

// TestEveryPacketIsAccountedFor checks, under random faults, that what was
// sent equals what arrived and what was dropped.
func TestEveryPacketIsAccountedFor(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			n := fabric.New(fabric.Config{Seed: seed})
			eps := make([]*fabric.Endpoint, 5)
			for i := range eps {
				eps[i] = listen(t, n, i)
			}
			written := uint64(0)
			for range 1500 {
				i := r.IntN(len(eps))
				switch e := eps[i]; r.IntN(100) {
				case 0:
					e.Freeze()
				case 1, 2:
					e.Thaw()
				case 3:
					e.Stall(0, time.Duration(r.IntN(3))*time.Second)
				case 4:
					e.Kill()
					eps[i] = listen(t, n, i)
				case 5:
					e.Crash()
					eps[i] = listen(t, n, i)
				case 6:
					n.SetLinks(all(fabric.Link{
						Cut: r.IntN(5) == 0, Loss: r.Float64() / 2, Duplicate: r.Float64(), Reorder: r.Float64(),
						Delay: time.Duration(r.IntN(50)) * ms, Jitter: time.Duration(r.IntN(50)) * ms, Rate: int64(r.IntN(2) * 50_000),
					}))
				default:
					for k := range 20 {
						emit(t, e, r.IntN(len(eps)+1), k, 1000)
						written++
					}
				}
				for _, e := range eps { // the nodes read
					for len(e.PacketCh()) > 0 {
						<-e.PacketCh()
					}
				}
				time.Sleep(time.Duration(r.IntN(20)) * ms)
			}
			for _, e := range eps {
				e.Thaw()
			}
			time.Sleep(time.Hour)
			s := n.Stats()
			gone := uint64(0)
			for d, k := range s.Drops {
				if fabric.Drop(d) != fabric.DropSend && fabric.Drop(d) != fabric.DropHook {
					gone += k
				}
			}
			if s.PacketsOut+s.Duplicates != s.PacketsIn+gone {
				t.Errorf("seed %d: %d sent and %d copies, but %d arrived and %d dropped: %v",
					seed, s.PacketsOut, s.Duplicates, s.PacketsIn, gone, s.Drops)
			}
			if s.PacketsOut > written || s.PacketsIn == 0 {
				t.Errorf("seed %d: %d written, %d sent, %d arrived", seed, written, s.PacketsOut, s.PacketsIn)
			}
		})
	}
}
