package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// ip returns the address of the n-th peer.
func ip(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) }

// gateTest records who was displaced, by name.
type gateTest struct {
	*gate
	t         *testing.T
	now       time.Time
	displaced []string
}

func (g *gateTest) enter(from int, name string) *pass {
	g.t.Helper()
	p, err := g.gate.enter(ip(from), g.now, func() { g.displaced = append(g.displaced, name) })
	if err != nil && !errors.Is(err, errFull) {
		g.t.Fatal(err)
	}
	return p
}

func (g *gateTest) wantDisplaced(names ...string) {
	g.t.Helper()
	if d := cmp.Diff(names, g.displaced); d != "" {
		g.t.Errorf("displaced (-want +got):\n%s", d)
	}
	g.displaced = nil
}

func hasTurn(p *pass) bool {
	select {
	case <-p.turn:
		return true
	default:
		return false
	}
}

func newGateTest(t *testing.T, places int, budget int64) *gateTest {
	return &gateTest{gate: newGate(places, [lanes]int64{budget, budget}), t: t, now: time.Unix(1e9, 0)}
}

func TestGateGivesPlacesToOthersFirst(t *testing.T) {
	g := newGateTest(t, 4, 100)
	for i := range 4 {
		g.enter(1, fmt.Sprint("greedy ", i))
	}
	if g.enter(1, "one more") != nil {
		t.Error("a fifth stream of the same address gets in at once")
	}
	g.enter(2, "honest 1")
	g.wantDisplaced("greedy 0")
	g.enter(2, "honest 2")
	g.wantDisplaced("greedy 1")
	if g.enter(2, "honest 3") != nil {
		t.Error("equal shares do not hold")
	}
	g.enter(3, "third")
	if len(g.displaced) != 1 || g.len() != 4 {
		t.Errorf("displaced %v, open %d", g.displaced, g.len())
	}
}

func TestGateDisplacesTheSilentFirst(t *testing.T) {
	g := newGateTest(t, 3, 10)
	first := g.enter(1, "first")
	g.ask(first, 10) // decoding
	speaks := g.enter(1, "speaks")
	g.ask(speaks, 10)
	g.enter(1, "silent")
	if g.enter(1, "too soon") != nil {
		t.Error("a silent stream lost its place to its own address at once")
	}
	g.now = g.now.Add(idleGrace)
	if g.enter(1, "own") == nil {
		t.Error("a stream silent for long keeps out one of its own address")
	}
	g.wantDisplaced("silent")
	g.enter(2, "other")
	g.wantDisplaced("own")
	if g.enter(2, "another") != nil || hasTurn(speaks) {
		t.Error("equal shares do not hold")
	}
	g.enter(3, "third")
	g.wantDisplaced("speaks")
	if g.enter(4, "fourth"); g.open != 3 || first.left {
		t.Error("a stream that is being decoded lost its place")
	}
}

func TestGateSharesMemory(t *testing.T) {
	g := newGateTest(t, 100, 100)
	ask := func(from int, weight int64) *pass {
		p := g.enter(from, "")
		g.ask(p, weight)
		return p
	}
	a1, a2, a3 := ask(1, 30), ask(1, 20), ask(1, 20)
	if !hasTurn(a1) || !hasTurn(a2) || hasTurn(a3) {
		t.Error("one address does not get exactly half")
	}
	big := ask(2, 100)
	if hasTurn(big) {
		t.Error("more than the budget was granted")
	}
	small := ask(3, 10)
	if hasTurn(small) {
		t.Error("a small stream overtakes the one whose turn it is")
	}
	g.leave(a1)
	g.leave(a1)
	if hasTurn(a3) || hasTurn(big) {
		t.Error("granted out of turn")
	}
	g.leave(a2)
	if !hasTurn(big) || hasTurn(small) || hasTurn(a3) {
		t.Error("of two that use none, the one that has had a turn goes first")
	}
	large := g.enter(4, "")
	g.ask(large, smallWeight+1)
	if !hasTurn(large) {
		t.Error("a large stream waits for small ones")
	}
	g.leave(big)
	if !hasTurn(small) || !hasTurn(a3) {
		t.Error("those behind the one that needed everything do not get their turn")
	}
}

func TestHolders(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "::ffff:10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"2001:db8::1", "2001:db8::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		if got := holderOf(netip.MustParseAddr(c.a)) == holderOf(netip.MustParseAddr(c.b)); got != c.same {
			t.Errorf("%s and %s are the same holder: %v", c.a, c.b, got)
		}
	}
}

// Whatever comes and goes, the books balance, the budget holds, and in the end everybody who waits gets a turn.
func TestGateInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		places := rapid.IntRange(1, 12).Draw(t, "places")
		budgets := [lanes]int64{rapid.Int64Range(1, 3*smallWeight).Draw(t, "small"), rapid.Int64Range(1, 8*smallWeight).Draw(t, "large")}
		g := newGate(places, budgets)
		var open []*pass
		drop := func(p *pass) { open = slices.DeleteFunc(open, func(q *pass) bool { return p == q }) }
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				var p *pass
				var lost []*pass
				before := slices.Clone(open)
				p, err := g.enter(ip(rapid.IntRange(1, 4).Draw(t, "from")), time.Unix(0, 0), func() {
					for _, q := range before {
						if q.left {
							lost = append(lost, q)
						}
					}
				})
				if err == nil {
					open = append(open, p)
				}
				for _, q := range before {
					if q.left {
						drop(q)
					}
				}
			},
			"ask": func(t *rapid.T) {
				i := slices.IndexFunc(open, func(p *pass) bool { return p.weight == 0 })
				if i < 0 {
					t.Skip("nobody to ask")
				}
				g.ask(open[i], rapid.Int64Range(1, 8*smallWeight).Draw(t, "weight"))
			},
			"leave": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nobody to leave")
				}
				p := rapid.SampledFrom(open).Draw(t, "who")
				g.leave(p)
				drop(p)
			},
			"": func(t *rapid.T) {
				var used [lanes]int64
				var granted [lanes]int
				for _, p := range open {
					if p.granted {
						used[laneOf(p.weight)] += p.weight
						granted[laneOf(p.weight)]++
					}
				}
				if g.open != len(open) || g.open > places || g.used != used {
					t.Fatalf("%d open of %d (%d counted), %d in use (%d counted)", g.open, places, len(open), g.used, used)
				}
				for lane := range lanes {
					if used[lane] > budgets[lane] && granted[lane] > 1 {
						t.Fatalf("%d streams use %d of %d in lane %d", granted[lane], used[lane], budgets[lane], lane)
					}
				}
			},
		})
		for len(open) > 0 {
			i := slices.IndexFunc(open, func(p *pass) bool { return p.granted || p.weight == 0 })
			if i < 0 {
				t.Fatal("everybody waits and nobody has a turn")
			}
			g.leave(open[i])
			drop(open[i])
		}
		if g.used != [lanes]int64{} || g.open != 0 || len(g.holders) != 0 || len(g.queues[0])+len(g.queues[1]) != 0 {
			t.Fatalf("something is left: %+v", g)
		}
	})
}
