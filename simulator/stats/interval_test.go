package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The table of Garwood 1936, as reprinted in every handbook since.
func TestPoissonIntervalsAreGarwoods(t *testing.T) {
	for _, c := range []struct{ k, low, high float64 }{
		{0, 0, 3.6889}, {1, 0.0253, 5.5716}, {2, 0.2422, 7.2247}, {5, 1.6235, 11.6683},
		{10, 4.7954, 18.3904}, {50, 37.1110, 65.9188}, {100, 81.3640, 121.6280},
	} {
		got := Poisson(c.k, 0.95)
		near(t, "low", got.Low, c.low, 2e-5)
		near(t, "high", got.High, c.high, 2e-5)
	}
}

func TestPoissonIntervalCoversItsMean(t *testing.T) {
	for _, mean := range []float64{0.05, 0.7, 3, 12.5, 40} {
		covered, probability := 0.0, math.Exp(-mean)
		for k := range 200 {
			if i := Poisson(float64(k), 0.95); i.Low <= mean && mean <= i.High {
				covered += probability
			}
			probability *= mean / float64(k+1)
		}
		if covered < 0.95 {
			t.Errorf("of mean %v the interval covers %v", mean, covered)
		}
	}
}

func TestBurstsWidenTheIntervalOfACount(t *testing.T) {
	steady, bursts := []float64{9, 11, 10, 10}, []float64{0, 40, 0, 0}
	if d := Dispersion(bursts); math.Abs(d-40) > 1e-9 {
		t.Errorf("dispersion %v, want 40: variance 400, mean 10", d)
	}
	for _, idle := range [][]float64{nil, {5}, {0, 0, 0}} {
		near(t, "dispersion of little", Dispersion(idle), 1, 0)
	}
	if got, want := OverdispersedPoisson(steady, 0.95), Poisson(40, 0.95); got != want {
		t.Errorf("steady counts: %v, want the exact %v", got, want)
	}
	got := OverdispersedPoisson(bursts, 0.95)
	near(t, "low of one burst of 40", got.Low, 40*0.0253178, 1e-5)
	near(t, "high of one burst of 40", got.High, 40*5.571643, 1e-5)
}

// The first two are from Newcombe, Statistics in Medicine 17 (1998), table I.
func TestWilsonIntervals(t *testing.T) {
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}, {20, 20, 0.8389, 1}, {0, 0, 0, 1}} {
		got := Wilson(c.k, c.n, 0.95)
		near(t, "low", got.Low, c.low, 6e-5)
		near(t, "high", got.High, c.high, 6e-5)
	}
}

func TestQuantileIsTheNearestRank(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for p, want := range map[float64]float64{0: 1, 0.005: 1, 0.01: 1, 0.5: 50, 0.501: 51, 0.99: 99, 1: 100} {
		near(t, "quantile", Quantile(hundred, p), want, 0)
	}
	if !math.IsNaN(Quantile(nil, 0.5)) {
		t.Error("nothing has no median")
	}
	near(t, "median with never", Quantile([]float64{1, math.Inf(1)}, 0.99), math.Inf(1), 0)
}

// The ranks for the median are those of every table of the sign test.
func TestQuantileRanks(t *testing.T) {
	for _, c := range []struct {
		n         int
		p         float64
		low, high int
	}{
		{5, 0.5, 0, 6}, {6, 0.5, 1, 6}, {10, 0.5, 2, 9}, {20, 0.5, 6, 15}, {100, 0.5, 40, 61},
		{367, 0.99, 359, 368}, {368, 0.99, 360, 368}, {0, 0.5, 0, 1},
	} {
		low, high := quantileRanks(c.n, c.p, 0.95)
		if low != c.low || high != c.high {
			t.Errorf("n=%d p=%v: ranks %d to %d, want %d to %d", c.n, c.p, low, high, c.low, c.high)
		}
	}
	if got := QuantileInterval([]float64{1, 2, 3, 4, 5}, 0.5, 0.95); got != everything {
		t.Errorf("five values bound no median at 95%%: %v", got)
	}
}

func TestQuantileRanksCover(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 400).Draw(t, "n")
		p := rapid.Float64Range(0.01, 0.99).Draw(t, "p")
		cover := func(low, high int) float64 {
			return binomialBelow(float64(high), float64(n), p) - binomialBelow(float64(low), float64(n), p)
		}
		low, high := quantileRanks(n, p, 0.95)
		if got := cover(low, high); got < 0.95-1e-9 {
			t.Fatalf("n=%d p=%v: ranks %d to %d cover %v", n, p, low, high, got)
		}
	})
}

func TestClusteredQuantileOfIndependentValuesIsTheExactOne(t *testing.T) {
	var groups [][]float64
	var all []float64
	for i := range 200 {
		v := float64(i * 7 % 200)
		groups, all = append(groups, []float64{v}), append(all, v)
	}
	slices.Sort(all)
	q, got := ClusteredQuantile(groups, 0.5, 0.95)
	near(t, "median", q, Quantile(all, 0.5), 0)
	exact := QuantileInterval(all, 0.5, 0.95)
	if got.Low < exact.Low-2 || got.High > exact.High+2 {
		t.Errorf("%v is much wider than %v", got, exact)
	}
}

func TestClusteredQuantileOfOneGroupHasNoInterval(t *testing.T) {
	q, i := ClusteredQuantile([][]float64{{3, 1, 2}, nil}, 0.5, 0.95)
	near(t, "median", q, 2, 0)
	if i != everything {
		t.Errorf("one run says nothing about runs: %v", i)
	}
	if q, _ := ClusteredQuantile(nil, 0.5, 0.95); !math.IsNaN(q) {
		t.Errorf("nothing has the median %v", q)
	}
}

// A hundred observers of each of 30 crashes: what differs is the crash. The interval must hold the true median
// about as often as it says; one that takes observers for independent would do so in a sixth of the cases.
func TestClusteredQuantileCoversWhenGroupsDiffer(t *testing.T) {
	draw := rand.New(rand.NewPCG(3, 4))
	const trials = 300
	covered, naive := 0, 0
	for range trials {
		groups := make([][]float64, 30)
		for g := range groups {
			crash := draw.NormFloat64()
			for range 100 {
				groups[g] = append(groups[g], crash+0.1*draw.NormFloat64())
			}
		}
		if _, i := ClusteredQuantile(groups, 0.5, 0.95); i.Low <= 0 && 0 <= i.High {
			covered++
		}
		pooled := slices.Concat(groups...)
		slices.Sort(pooled)
		if i := QuantileInterval(pooled, 0.5, 0.95); i.Low <= 0 && 0 <= i.High {
			naive++
		}
	}
	if covered < trials*92/100 {
		t.Errorf("covered %d of %d", covered, trials)
	}
	if naive > trials/2 {
		t.Errorf("the naive interval covers %d of %d: the test shows nothing", naive, trials)
	}
}
