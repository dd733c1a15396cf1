package kernelfault

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

const quiet = 150 * time.Millisecond

func TestCut(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	for _, family := range []string{"IPv4", "IPv6"} {
		from, to := a.addr, b.addr
		if family == "IPv6" {
			from, to = a.six, b.six
		}
		ua, ub := a.udp(t, from), b.udp(t, to)
		listener, back := b.listen(t, to), a.listen(t, from)
		for _, only := range []Protocol{"", UDP, TCP} {
			t.Run(family+" "+string(only), func(t *testing.T) {
				send(t, ua, ub, 1)
				if n := received(t, ub, quiet); n != 1 {
					t.Fatalf("%d packets of 1 passed without a fault", n)
				}
				change(t, table, []Fault{{ID: "cut", Peers: []netip.Addr{from}, Only: only, Effect: Effect{Cut: true}, TTL: time.Minute}})
				send(t, ua, ub, 100)
				send(t, ub, ua, 100)
				want := 0
				if only == TCP {
					want = 100
				}
				if n := received(t, ub, quiet); n != want {
					t.Errorf("%d packets of 100 passed the cut, want %d", n, want)
				}
				if n := received(t, ua, quiet); n != 100 {
					t.Errorf("%d packets of 100 passed the other way", n)
				}
				if got := a.answers(t, listener, time.Second/2); got != (only == UDP) {
					t.Errorf("a handshake through the cut succeeds: %v", got)
				}
				if only != "" {
					if got := b.answers(t, back, time.Second/2); got != (only == UDP) {
						t.Errorf("a handshake whose answer is cut succeeds: %v", got)
					}
				}
				change(t, table, nil, "cut", "unknown")
				send(t, ua, ub, 10)
				if n := received(t, ub, quiet); n != 10 {
					t.Errorf("%d packets of 10 passed after the cut has ended", n)
				}
			})
		}
	}
}

func TestLoss(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	ua, ub := a.udp(t, a.addr), b.udp(t, b.addr)
	const packets = 6000
	for _, c := range []struct {
		name   string
		losses []float64
	}{{"5 %", []float64{0.05}}, {"all", []float64{1}}, {"50 % and 20 %", []float64{0.5, 0.2}}} {
		t.Run(c.name, func(t *testing.T) {
			var faults []Fault
			var drop []string
			pass := 1.0
			for i, loss := range c.losses {
				f := Fault{ID: string(rune('a' + i)), Peers: []netip.Addr{a.addr}, Effect: Effect{Loss: loss}, TTL: time.Minute}
				faults, drop = append(faults, f), append(drop, f.ID)
				pass *= 1 - loss
			}
			change(t, table, faults)
			n := 0
			for range packets / 500 { // as many at a time as a socket surely holds
				send(t, ua, ub, 500)
				n += received(t, ub, 20*time.Millisecond)
			}
			// Five standard deviations: exceeded once in a million runs.
			if bound := 5 * math.Sqrt(packets*pass*(1-pass)); math.Abs(float64(n)-packets*pass) > bound {
				t.Errorf("%d of %d packets passed, want %.0f±%.0f", n, packets, packets*pass, bound)
			}
			change(t, table, nil, drop...)
		})
	}
}

func TestTimeToLive(t *testing.T) {
	a, b := newPair(t)
	table := newTable(t, b)
	ua, ub := a.udp(t, a.addr), b.udp(t, b.addr)
	begin := time.Now()
	change(t, table, []Fault{{ID: "short", Peers: []netip.Addr{a.addr}, Effect: Effect{Cut: true}, TTL: 400 * time.Millisecond}})
	send(t, ua, ub, 1)
	if n := received(t, ub, quiet); n != 0 && time.Since(begin) < 400*time.Millisecond {
		t.Error("the fault did not begin")
	}
	eventually(t, 3*time.Second, "packets pass after the time to live", func() bool {
		send(t, ua, ub, 1)
		return received(t, ub, 10*time.Millisecond) > 0
	})
	if took := time.Since(begin); took < 400*time.Millisecond {
		t.Errorf("the fault ended after %v, before its time", took)
	}
	eventually(t, 3*time.Second, "the fault leaves no trace", func() bool { return len(rules(t, b)) == 0 })
}
