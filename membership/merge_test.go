package membership

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// stronger is the order of claims, said without a table: by incarnation, then by state;
// a claim that says nothing is the weakest whatever its incarnation.
func stronger(a, b Claim) int {
	return cmp.Or(
		cmp.Compare(min(a.State, 1), min(b.State, 1)),
		cmp.Compare(a.Incarnation, b.Incarnation),
		cmp.Compare(a.State, b.State),
	)
}

// TestMergeRules goes through all 75 fields of the table.
func TestMergeRules(t *testing.T) {
	for known := State(0); known <= Left; known++ {
		for claimed := State(0); claimed <= Left; claimed++ {
			for inc := uint32(4); inc <= 6; inc++ {
				k, c := Claim{5, known}, Claim{inc, claimed}
				t.Run(fmt.Sprintf("%v %v %+d", known, claimed, int(inc)-5), func(t *testing.T) {
					want := keep
					switch order := stronger(c, k); {
					case order == 0:
						want = agree
					case order > 0 && claimed != 0 && known.held() != claimed.held() && (known != 0 || claimed.held()):
						want = ask
					case order > 0:
						want = take
					}
					if got := weigh(k, c); got != want {
						t.Errorf("weigh(%v, %v) = %d, want %d", k, c, got, want)
					}
				})
			}
		}
	}
}

// TestMergeIsTotal: a state out of range says nothing, whoever made it up.
func TestMergeIsTotal(t *testing.T) {
	bad, good := Claim{9, Left + 1}, Claim{1, Alive}
	if got := Merge(good, bad); got != good {
		t.Errorf("Merge(%v, %v) = %v, want %v", good, bad, got, good)
	}
	if got := Merge(bad, good); got != good {
		t.Errorf("Merge(%v, %v) = %v, want %v", bad, good, got, good)
	}
	if got := Merge(bad, bad); got != (Claim{}) {
		t.Errorf("Merge(%v, %v) = %v, want the claim that says nothing", bad, bad, got)
	}
}

func drawClaim(t *rapid.T, label string) Claim {
	inc := rapid.OneOf(rapid.Uint32Range(0, 3), rapid.Uint32()).Draw(t, label+" incarnation")
	return Claim{inc, State(rapid.IntRange(0, int(Left)+1).Draw(t, label+" state"))}
}

func TestMergeIsALattice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawClaim(t, "a"), drawClaim(t, "b"), drawClaim(t, "c")
		if x, y := Merge(a, b), Merge(b, a); x != y {
			t.Fatalf("not commutative: %v and %v", x, y)
		}
		if x, y := Merge(a, Merge(b, c)), Merge(Merge(a, b), c); x != y {
			t.Fatalf("not associative: %v and %v", x, y)
		}
		if x, y := Merge(a, a), a.valid(); x != y {
			t.Fatalf("not idempotent: %v", x)
		}
		if m := Merge(a, b); stronger(m, a.valid()) < 0 || stronger(m, b.valid()) < 0 {
			t.Fatalf("%v is weaker than one of the two", m)
		}
	})
}

// TestOrderOfHearsay: what the tap and other nodes' memory say about one member comes
// out the same in any order and with any repetition.
func TestOrderOfHearsay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		held := rapid.Bool().Draw(t, "held")
		start := Claim{uint32(rapid.IntRange(1, 4).Draw(t, "start")), Alive}
		if !held {
			start = Claim{}
		}
		claims := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Claim {
			inc := rapid.Uint32Range(1, 6).Draw(t, "incarnation")
			if held {
				return Claim{inc, rapid.SampledFrom([]State{Alive, Suspect}).Draw(t, "state")}
			}
			return Claim{inc, rapid.SampledFrom([]State{Failed, Left}).Draw(t, "state")}
		}), 1, 8).Draw(t, "claims")
		want := start
		for _, claim := range claims {
			want = Merge(want, claim)
		}

		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		claims = append(claims, claims[random.IntN(len(claims))])
		random.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
		core := newCore(t, Config{Self: "self"})
		if held {
			core.Step(epoch, Joined{Name: "m", Incarnation: start.Incarnation})
		}
		for _, claim := range claims {
			core.Step(epoch, hearsay(claim))
		}
		m, _ := core.View(epoch).Member("m")
		if got := (Claim{m.Incarnation, m.State}); got != want {
			t.Fatalf("%v in the order %v gives %v, want %v", start, claims, got, want)
		}
	})
}

func hearsay(c Claim) Input {
	switch c.State {
	case Alive:
		return Refuted{Subject: "m", Incarnation: c.Incarnation}
	case Suspect:
		return Accused{Subject: "m", Incarnation: c.Incarnation, Accuser: "a", Source: SourceInbound}
	}
	return Record{Name: "m", Incarnation: c.Incarnation, State: c.State}
}

// fataler is what a test and a property have in common.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func newCore(t fataler, cfg Config) *Core {
	t.Helper()
	core, err := New(cfg, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return core
}
