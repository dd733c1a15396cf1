package stats

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// near fails the test when got is not want, to a relative or absolute error of tolerance.
func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if got == want {
		return
	}
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestBinomialBelowIsTheSumOfItsTerms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "n")
		k := rapid.IntRange(0, n+2).Draw(t, "k")
		p := rapid.Float64Range(0.001, 0.999).Draw(t, "p")
		sum, term := 0.0, math.Pow(1-p, float64(n))
		for i := range min(k, n+1) {
			sum += term
			term *= float64(n-i) / float64(i+1) * p / (1 - p)
		}
		got := binomialBelow(float64(k), float64(n), p)
		if math.Abs(got-sum) > 1e-9 {
			t.Fatalf("P(B(%d, %v) < %d) = %v, the sum is %v", n, p, k, got, sum)
		}
	})
}

func TestGammaPIsThePoissonTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 80).Draw(t, "k")
		mean := rapid.Float64Range(0.001, 120).Draw(t, "mean")
		below, term := 0.0, math.Exp(-mean)
		for i := range k {
			below += term
			term *= mean / float64(i+1)
		}
		if got := gammaP(float64(k), mean); math.Abs(got-(1-below)) > 1e-9 {
			t.Fatalf("P(Poisson(%v) >= %d) = %v, the sum is %v", mean, k, got, 1-below)
		}
	})
}

func TestQuantilesOfKnownDistributions(t *testing.T) {
	near(t, "normal 97.5%", normalQuantile(0.975), 1.959963984540054, 1e-12)
	near(t, "normal tail of 1.96", normalTail(1.959963984540054), 0.025, 1e-12)
	for df, want := range map[float64]float64{1: 12.7062, 4: 2.77645, 10: 2.22814, 1e6: 1.95997} {
		near(t, "Student 97.5%", studentQuantile(0.975, df), want, 1e-5)
	}
}
