package stats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Of these sizes on, tests that go through all possibilities draw from them instead.
const (
	maxExactPairs = 16     // 2^16 ways to swap the members of pairs
	drawnSwaps    = 50_000 // the smallest p-value is then about 0.00002
	maxExactRanks = 400    // the product of two sample sizes
)

// slack makes sums of the same numbers in another order count as equal.
const slack = 1e-9

// PairedPermutation tests whether the differences within pairs are about zero on average: the share of the ways to
// swap the members of pairs that give a mean at least as far from zero (R. A. Fisher, The Design of Experiments,
// 1935, section 21). Up to 16 pairs all ways are tried, beyond that 50,000 drawn ones. It assumes nothing about the
// distribution; with n pairs p cannot be below 2/2^n. Differences must be finite. Returns the two-sided p-value,
// 1 without any pair.
func PairedPermutation(differences []float64) float64 {
	// Differences of zero look the same either way.
	d := slices.DeleteFunc(slices.Clone(differences), func(v float64) bool { return v == 0 })
	observed, size := 0.0, 0.0
	for _, v := range d {
		observed += v
		size += math.Abs(v)
	}
	limit := math.Abs(observed) - slack*size
	extreme := func(signs func(i int) bool) bool {
		sum := 0.0
		for i, v := range d {
			if signs(i) {
				v = -v
			}
			sum += v
		}
		return math.Abs(sum) >= limit
	}
	if len(d) <= maxExactPairs {
		count, ways := 0, 1<<len(d)
		for way := range ways {
			if extreme(func(i int) bool { return way>>i&1 == 1 }) {
				count++
			}
		}
		return float64(count) / float64(ways)
	}
	draw := rand.New(rand.NewPCG(1, 2))
	count := 1 // the way observed is one of them
	for range drawnSwaps {
		if extreme(func(int) bool { return draw.Uint64()&1 == 1 }) {
			count++
		}
	}
	return float64(count) / (drawnSwaps + 1)
}

// MannWhitney tests whether values of one sample tend to be larger than those of the other (H. B. Mann and D. R.
// Whitney, Annals of Mathematical Statistics 18, 1947). Exact for small samples without ties, otherwise by the normal
// approximation with corrections for ties and continuity. Only the order of values matters, so they may be
// infinite. Returns the two-sided p-value, 1 when a sample is empty.
func MannWhitney(a, b []float64) float64 {
	n, m := len(a), len(b)
	if n == 0 || m == 0 {
		return 1
	}
	u, ties := rankSum(a, b)
	if ties == 0 && n*m <= maxExactRanks {
		return exactMannWhitney(n, m, int(min(u, float64(n*m)-u)))
	}
	all := float64(n + m)
	variance := float64(n) * float64(m) / 12 * (all + 1 - ties/(all*(all-1)))
	if variance <= 0 {
		return 1
	}
	distance := max(0, math.Abs(u-float64(n)*float64(m)/2)-0.5)
	return min(1, 2*normalTail(distance/math.Sqrt(variance)))
}

// rankSum returns the Mann-Whitney statistic: in how many of the pairs of an a and a b the a is larger, ties as
// halves; and the sum of t^3-t over runs of t tied values.
func rankSum(a, b []float64) (u, ties float64) {
	type value struct {
		v     float64
		fromA bool
	}
	var all []value
	for _, v := range a {
		all = append(all, value{v, true})
	}
	for _, v := range b {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(x, y value) int { return cmp.Compare(x.v, y.v) })
	below := 0.0 // values of b so far
	for i := 0; i < len(all); {
		j, ofA := i, 0.0
		for ; j < len(all) && all[j].v == all[i].v; j++ {
			if all[j].fromA {
				ofA++
			}
		}
		t := float64(j - i)
		u += ofA * (below + (t-ofA)/2)
		below += t - ofA
		ties += t*t*t - t
		i = j
	}
	return u, ties
}

// exactMannWhitney returns the two-sided p-value of the statistic u <= n*m/2, by counting the arrangements of n
// and m values for each value of the statistic.
func exactMannWhitney(n, m, u int) float64 {
	// ways[i][s]: subsets of i among the first j ranks whose statistic is s, with j growing.
	ways := make([][]float64, n+1)
	for i := range ways {
		ways[i] = make([]float64, n*m+1)
	}
	ways[0][0] = 1
	for j := range n + m {
		for i := min(n, j+1); i >= 1; i-- {
			// The i-th value of the subset takes rank j: it is larger than j-(i-1) values outside.
			larger := j - (i - 1)
			for s := n * m; s >= larger; s-- {
				ways[i][s] += ways[i-1][s-larger]
			}
		}
	}
	tail, total := 0.0, 0.0
	for s, w := range ways[n] {
		total += w
		if s <= u {
			tail += w
		}
	}
	return min(1, 2*tail/total)
}

// PoissonRates tests whether two Poisson counts, each observed over its own time or number of runs, have the same
// rate. Given their sum the first is binomial (J. Przyborowski and H. Wilenski, Homogeneity of results in testing
// samples from Poisson series, Biometrika 31, 1940). Returns the two-sided p-value: twice the smaller tail, at
// most 1. Counts need not be whole: dividing both by a common dispersion of at least 1 makes the test fit for
// counts that vary more than Poisson ones.
func PoissonRates(k1, time1, k2, time2 float64) float64 {
	n, p := k1+k2, time1/(time1+time2)
	if n == 0 {
		return 1
	}
	atMost := binomialBelow(k1+1, n, p)
	atLeast := 1 - binomialBelow(k1, n, p)
	return min(1, 2*min(atMost, atLeast))
}

// Fisher tests whether two proportions, k1 of n1 and k2 of n2, are the same: the probability, given the sums, of
// all tables that are at most as likely as the one observed (R. A. Fisher, The logic of inductive inference, Journal of
// the Royal Statistical Society 98, 1935). Returns the two-sided p-value.
func Fisher(k1, n1, k2, n2 int) float64 {
	k := k1 + k2
	likely := func(x int) float64 { return math.Exp(choose(n1, x) + choose(n2, k-x) - choose(n1+n2, k)) }
	observed, p := likely(k1), 0.0
	for x := max(0, k-n2); x <= min(k, n1); x++ {
		if l := likely(x); l <= observed*(1+1e-7) {
			p += l
		}
	}
	return min(1, p)
}

// choose returns the logarithm of the number of ways to choose k of n.
func choose(n, k int) float64 {
	return lgamma(float64(n+1)) - lgamma(float64(k+1)) - lgamma(float64(n-k+1))
}

// Holm adjusts p-values for having asked that many questions at once (S. Holm, A simple sequentially rejective
// multiple test procedure, Scandinavian Journal of Statistics 6, 1979). An adjusted p-value below a bound means: the
// chance that any one of the questions so answered was answered wrongly is below it, however they depend on each
// other. The result is in the order of the argument.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p[i], p[j]) })
	adjusted := make([]float64, len(p))
	largest := 0.0
	for rank, i := range order {
		largest = max(largest, min(1, p[i]*float64(len(p)-rank)))
		adjusted[i] = largest
	}
	return adjusted
}
