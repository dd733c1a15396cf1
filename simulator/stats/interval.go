package stats

import (
	"math"
	"slices"
)

// Interval is a range that holds the true value with at least the confidence asked for. Either end may be
// infinite: then the data say nothing about that side.
type Interval struct{ Low, High float64 }

// everything is the interval of those who know nothing.
var everything = Interval{Low: math.Inf(-1), High: math.Inf(1)}

// Poisson returns the exact interval for the mean of a Poisson variable that was observed once, as k >= 0
// (F. Garwood, Fiducial limits for the Poisson distribution, Biometrika 28, 1936). Of a total over several runs
// divide both ends by the number of runs. k need not be whole, which [OverdispersedPoisson] makes use of.
func Poisson(k, level float64) Interval {
	tail := (1 - level) / 2
	high := k + 1
	for gammaP(k+1, high) < 1-tail {
		high *= 2
	}
	i := Interval{High: solve(func(x float64) float64 { return gammaP(k+1, x) }, 1-tail, 0, high)}
	if k > 0 {
		i.Low = solve(func(x float64) float64 { return gammaP(k, x) }, tail, 0, k)
	}
	return i
}

// Dispersion returns the variance of counts divided by their mean: about 1 when they are Poisson, more when
// events come in bursts. Of fewer than two counts, or of none but zeros, it is 1.
func Dispersion(counts []float64) float64 {
	mean := Mean(counts)
	if len(counts) < 2 || mean == 0 {
		return 1
	}
	sum := 0.0
	for _, c := range counts {
		sum += (c - mean) * (c - mean)
	}
	return sum / float64(len(counts)-1) / mean
}

// OverdispersedPoisson returns an interval for the mean of a total over counts, one a run. When their
// dispersion d is at most 1 it is [Poisson]'s; otherwise that of total/d, times d (quasi-Poisson: McCullagh and Nelder,
// Generalized Linear Models, 2nd edition, 1989, section 6.2), because then a burst and not an event is what happens
// by chance.
func OverdispersedPoisson(counts []float64, level float64) Interval {
	d := max(1, Dispersion(counts))
	i := Poisson(Mean(counts)*float64(len(counts))/d, level)
	return Interval{Low: i.Low * d, High: i.High * d}
}

// Wilson returns the score interval for a proportion of which k of n were observed (E. B. Wilson, Probable
// inference, Journal of the American Statistical Association 22, 1927). Of n = 0 it is all from 0 to 1.
func Wilson(k, n int, level float64) Interval {
	if n == 0 {
		return Interval{Low: 0, High: 1}
	}
	z := normalQuantile(1 - (1-level)/2)
	size, p := float64(n), float64(k)/float64(n)
	shrink := 1 + z*z/size
	middle := (p + z*z/(2*size)) / shrink
	half := z / shrink * math.Sqrt(p*(1-p)/size+z*z/(4*size*size))
	i := Interval{Low: max(0, middle-half), High: min(1, middle+half)}
	// At the ends the exact values are known; rounding must not hide them.
	if k == 0 {
		i.Low = 0
	}
	if k == n {
		i.High = 1
	}
	return i
}

// Mean returns the arithmetic mean, 0 of nothing.
func Mean(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Quantile returns the smallest of the sorted values below or at which at least the share p of them lies
// (nearest rank: Hyndman and Fan 1996, definition 1). p is from 0 to 1. It is always one of the values, so
// infinite ones do no harm. Of nothing it is NaN.
func Quantile(sorted []float64, p float64) float64 {
	n := len(sorted)
	if n == 0 {
		return math.NaN()
	}
	return sorted[min(n, max(1, nearestRank(p, n)))-1]
}

// nearestRank returns the rank, from 1, of the p-quantile of n values. A product such as 0.99*100, which floating
// point makes slightly more than 99, must not go up to the next rank.
func nearestRank(p float64, n int) int { return int(math.Ceil(p*float64(n) - 1e-9)) }

// QuantileInterval returns the exact interval for the p-quantile of the distribution from which the sorted
// values were drawn independently, between two of them (order statistics: H. A. David and H. N. Nagaraja, Order
// Statistics, 3rd edition, 2003, section 7.1). An end is infinite when there are too few values to bound it.
func QuantileInterval(sorted []float64, p, level float64) Interval {
	low, high := quantileRanks(len(sorted), p, level)
	return between(sorted, low, high)
}

// quantileRanks returns the ranks, from 1, of the order statistics between which the p-quantile lies. 0 and n+1
// stand for no bound.
func quantileRanks(n int, p, level float64) (low, high int) {
	tail, size := (1-level)/2, float64(n)
	// The number B of values up to the quantile is binomial. The interval from rank low to rank high misses the
	// quantile when B < low or B >= high.
	low = lastTrue(n, func(r int) bool { return binomialBelow(float64(r), size, p) <= tail })
	high = 1 + lastTrue(n, func(r int) bool { return 1-binomialBelow(float64(r), size, p) > tail })
	return low, high
}

// lastTrue returns the last number of 1..n for which a condition holds that holds up to some number and not
// after it; 0 when there is none.
func lastTrue(n int, holds func(int) bool) int {
	low, high := 0, n
	for low < high {
		middle := (low + high + 1) / 2
		if holds(middle) {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// between returns the interval between two ranks of sorted values.
func between(sorted []float64, low, high int) Interval {
	i := everything
	if low >= 1 {
		i.Low = sorted[low-1]
	}
	if high <= len(sorted) {
		i.High = sorted[high-1]
	}
	return i
}

// ClusteredQuantile returns the p-quantile of all values of all groups together, and an interval for it that
// takes into account that values of one group depend on each other: a hundred observers of one crash are not a
// hundred crashes. Groups must be independent of each other. Without any value, the quantile is NaN.
//
// The interval is that of [QuantileInterval] with as many values as the clustering leaves worth of information:
// p(1-p) divided by the variance between groups of the share of values up to the quantile (R. S. Woodruff, Confidence
// intervals for medians and other position measures, JASA 47, 1952), corrected for few groups (E. L. Korn and B. I.
// Graubard, Survey Methodology 24, 1998), at least the number of groups and at most that of values.
func ClusteredQuantile(groups [][]float64, p, level float64) (float64, Interval) {
	pooled := slices.Concat(groups...)
	slices.Sort(pooled)
	quantile := Quantile(pooled, p)
	n := len(pooled)
	if n == 0 {
		return quantile, everything
	}
	m := effectiveSize(groups, n, quantile, p, level)
	low, high := quantileRanks(m, p, level)
	// Rank r of m stands for the ranks of n whose shares lie between (r-1)/m and r/m; outwards is safe.
	if low > 0 {
		low = (low-1)*n/m + 1
	}
	if high > m {
		high = n + 1
	} else {
		high = (high*n + m - 1) / m
	}
	return quantile, between(pooled, low, high)
}

// effectiveSize returns how many independent values are worth as much as the n clustered ones.
func effectiveSize(groups [][]float64, n int, quantile, p, level float64) int {
	filled, below := 0, 0
	for _, g := range groups {
		if len(g) > 0 {
			filled++
		}
		below += upTo(g, quantile)
	}
	if filled < 2 {
		return filled
	}
	share, squares := float64(below)/float64(n), 0.0
	for _, g := range groups {
		e := float64(upTo(g, quantile)) - share*float64(len(g))
		squares += e * e
	}
	count := float64(filled)
	variance := count / (count - 1) * squares / (float64(n) * float64(n))
	if variance == 0 {
		return n
	}
	up := 1 - (1-level)/2
	few := studentQuantile(up, float64(max(1, n-1))) / studentQuantile(up, count-1)
	size := p * (1 - p) / variance * few * few
	return int(min(float64(n), max(count, size)))
}

// upTo counts the values that are at most limit.
func upTo(values []float64, limit float64) int {
	count := 0
	for _, v := range values {
		if v <= limit {
			count++
		}
	}
	return count
}
