package stats

import "math"

// precision is where the series and continued fractions below stop.
const precision = 1e-15

// lgamma returns ln Γ(x) for x > 0.
func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}

// gammaP returns the regularized lower incomplete gamma function P(a, x), for a > 0: the probability that a
// Poisson variable of mean x is at least a, for whole a. Series below a+1 (DLMF 8.11.4), continued fraction above
// (DLMF 8.9.2, by Lentz's method).
func gammaP(a, x float64) float64 {
	if x <= 0 {
		return 0
	}
	front := math.Exp(a*math.Log(x) - x - lgamma(a))
	if x < a+1 {
		term := 1 / a
		sum := term
		for n := a + 1; term > sum*precision; n++ {
			term *= x / n
			sum += term
		}
		return min(1, front*sum)
	}
	step := func(i int) (numerator, denominator float64) {
		k := float64(i)
		return k * (a - k), x + 1 - a + 2*k
	}
	return max(0, 1-front/fraction(x+1-a, step))
}

// betaI returns the regularized incomplete beta function I_x(a, b), for a, b > 0: with whole a and n = a+b-1 the
// probability that a binomial variable of n trials with probability x is at least a (DLMF 8.17.22).
func betaI(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - betaI(1-x, b, a) // where the fraction converges fast
	}
	front := math.Exp(a*math.Log(x)+b*math.Log1p(-x)+lgamma(a+b)-lgamma(a)-lgamma(b)) / a
	step := func(i int) (numerator, denominator float64) {
		m := float64(i / 2)
		if i%2 == 0 {
			return m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)), 1
		}
		return -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1)), 1
	}
	return front / fraction(1, step)
}

// fraction evaluates the continued fraction first + n1/(d1 + n2/(d2 + ...)) by the modified Lentz method
// (Thompson and Barnett 1986), where step(i) returns ni and di.
func fraction(first float64, step func(i int) (numerator, denominator float64)) float64 {
	const tiny = 1e-300
	value := first
	if value == 0 {
		value = tiny
	}
	c, d := value, 0.0
	for i := 1; i < 10_000; i++ {
		numerator, denominator := step(i)
		d = denominator + numerator*d
		if d == 0 {
			d = tiny
		}
		c = denominator + numerator/c
		if c == 0 {
			c = tiny
		}
		d = 1 / d
		value *= c * d
		if math.Abs(c*d-1) < precision {
			break
		}
	}
	return value
}

// solve returns where the rising function f takes the value y between low and high, by bisection.
func solve(f func(float64) float64, y, low, high float64) float64 {
	for range 200 {
		middle := low + (high-low)/2
		if middle == low || middle == high {
			break
		}
		if f(middle) < y {
			low = middle
		} else {
			high = middle
		}
	}
	return low + (high-low)/2
}

// normalQuantile returns the value below which a standard normal variable lies with probability p.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// normalTail returns the probability that a standard normal variable is at least z.
func normalTail(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }

// studentQuantile returns the value below which a Student t variable with df degrees of freedom lies with
// probability p >= 1/2.
func studentQuantile(p, df float64) float64 {
	below := func(t float64) float64 { return 1 - betaI(df/(df+t*t), df/2, 0.5)/2 }
	high := 1.0
	for below(high) < p && high < 1e12 {
		high *= 2
	}
	return solve(below, p, 0, high)
}

// binomialBelow returns the probability that a binomial variable of n trials with probability p is less than k.
// n and k need not be whole.
func binomialBelow(k, n, p float64) float64 {
	switch {
	case k <= 0:
		return 0
	case k > n:
		return 1
	}
	return 1 - betaI(p, k, n-k+1)
}
