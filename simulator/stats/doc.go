// Package stats says how far a measured number can be trusted, and whether two of them really differ.
//
// It holds intervals for counts, proportions and percentiles, tests of two samples against each other, and the
// adjustment for asking many questions at once. Each function names its source. All of them are deterministic:
// where one draws at random, it does so from a fixed generator.
//
// Nothing here keeps state, so everything is safe for concurrent use. Confidence levels and probabilities lie
// strictly between 0 and 1; outside of that range, results have no meaning.
package stats
