package stats

import (
	"math"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPairedPermutation(t *testing.T) {
	for _, c := range []struct {
		d    []float64
		want float64
	}{
		{nil, 1},
		{[]float64{0, 0}, 1},
		{[]float64{5}, 1},
		{[]float64{1, 2, 3, 4, 5}, 2.0 / 32},
		{[]float64{0, 1, 2, 3, 4, 5}, 2.0 / 32}, // a pair without a difference says nothing
		{[]float64{-1, 2, 3, 4, 5}, 4.0 / 32},
		{[]float64{1, -1}, 1},
	} {
		near(t, "p", PairedPermutation(c.d), c.want, 1e-12)
	}
	// Fisher's own example: Darwin's Zea mays, in eighths of an inch, 863 + 863 ways of 32768 at least as extreme.
	near(t, "Darwin's maize", PairedPermutation([]float64{49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48}), 1726.0/32768, 1e-12)
}

func TestDrawnPermutationsComeCloseToAllOfThem(t *testing.T) {
	d := []float64{49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48, 1e-6, -1e-6}
	near(t, "p of 17 pairs", PairedPermutation(d), 1726.0/32768, 0.005)
	same := make([]float64, 40)
	for i := range same {
		same[i] = 1
	}
	near(t, "p of 40 equal differences", PairedPermutation(same), 1.0/50_001, 1e-12)
}

func TestMannWhitneyOfKnownTables(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{nil, []float64{1}, 1},
		{[]float64{1, 2, 3}, []float64{4, 5, 6}, 0.1},
		{[]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, math.Inf(1)}, 2.0 / 252},
		{[]float64{1, 2, 3, 6}, []float64{4, 5, 7, 8, 9}, 8.0 / 126}, // U = 2
		{[]float64{7, 7}, []float64{7, 7, 7}, 1},
	} {
		near(t, "p", MannWhitney(c.a, c.b), c.want, 1e-12)
		near(t, "p the other way round", MannWhitney(c.b, c.a), c.want, 1e-12)
	}
}

func TestExactMannWhitneyAgreesWithTryingEveryArrangement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, m := rapid.IntRange(1, 6).Draw(t, "n"), rapid.IntRange(1, 6).Draw(t, "m")
		order := rapid.Permutation(numbers(n+m)).Draw(t, "values")
		u := func(set uint) int {
			wins := 0
			for i := range n + m {
				for j := range i {
					if set>>i&1 == 1 && set>>j&1 == 0 {
						wins++
					}
				}
			}
			return min(wins, n*m-wins)
		}
		var a, b []float64
		mine := uint(0)
		for i, v := range order {
			if i < n {
				a, mine = append(a, float64(v)), mine|1<<v
			} else {
				b = append(b, float64(v))
			}
		}
		extreme, ways := 0, 0
		for set := range uint(1) << (n + m) {
			if bits.OnesCount(set) != n {
				continue
			}
			ways++
			if u(set) <= u(mine) {
				extreme++
			}
		}
		// Twice one tail counts the middle twice when the statistic lies right in it.
		want := float64(extreme) / float64(ways)
		if got := MannWhitney(a, b); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%v against %v: p = %v, trying gives %v", a, b, got, want)
		}
	})
}

func TestNormalApproximationIsCloseWithTies(t *testing.T) {
	a, b := []float64{1, 2, 2, 3, 3, 4}, []float64{2, 3, 4, 4, 5, 6, 6}
	all := slices.Concat(a, b)
	half := float64(len(a)*len(b)) / 2
	observed, _ := rankSum(a, b)
	extreme, ways := 0, 0
	for set := range uint(1) << len(all) {
		if bits.OnesCount(set) != len(a) {
			continue
		}
		var in, out []float64
		for i, v := range all {
			if set>>i&1 == 1 {
				in = append(in, v)
			} else {
				out = append(out, v)
			}
		}
		ways++
		if u, _ := rankSum(in, out); math.Abs(u-half) >= math.Abs(observed-half) {
			extreme++
		}
	}
	near(t, "p with ties", MannWhitney(a, b), float64(extreme)/float64(ways), 0.01)
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func TestPoissonRates(t *testing.T) {
	for _, c := range []struct{ k1, t1, k2, t2, want float64 }{
		{0, 1, 0, 1, 1},
		{5, 1, 0, 1, 2.0 / 32},
		{0, 1, 5, 1, 2.0 / 32},
		{4, 1, 4, 1, 1},
		{5, 1, 0, 9, 2 * 1e-5},    // a tenth of the time saw all five
		{10, 10, 1, 1, 1},         // the same rate
		{3, 1, 1, 1, 2 * 5. / 16}, // B(4, 1/2) >= 3
	} {
		near(t, "p", PoissonRates(c.k1, c.t1, c.k2, c.t2), c.want, 1e-9)
	}
}

func TestFisher(t *testing.T) {
	near(t, "the lady tasting tea", Fisher(3, 4, 1, 4), 0.4857142857, 1e-9)
	near(t, "a known table", Fisher(1, 10, 11, 14), 0.002759456, 1e-6)
	near(t, "nothing happened", Fisher(0, 50, 0, 50), 1, 1e-9)
	near(t, "no runs", Fisher(0, 0, 3, 5), 1, 1e-9)
}

func TestHolm(t *testing.T) {
	got := Holm([]float64{0.01, 0.04, 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		near(t, "adjusted p", got[i], want, 1e-12)
	}
	if len(Holm(nil)) != 0 {
		t.Error("no question, no answer")
	}
}

func TestHolmNeverHelps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Float64Range(0, 1), 1, 12).Draw(t, "p")
		adjusted := Holm(p)
		for i := range p {
			if adjusted[i] < p[i] || adjusted[i] > 1 {
				t.Fatalf("%v became %v", p, adjusted)
			}
			for j := range p {
				if p[i] < p[j] && adjusted[i] > adjusted[j] {
					t.Fatalf("the order of %v is lost: %v", p, adjusted)
				}
			}
		}
	})
}
