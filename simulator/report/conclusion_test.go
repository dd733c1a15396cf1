package report

import (
	"testing"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// Between engines a difference is bad news, and none is good news.
func TestConclusionOfEngines(t *testing.T) {
	equal := []oracle.FinalViews{{Compared: 12, Equal: 12}}
	differs := func(c *result.Comparison) { c.Against[0].Rows[0].Real = true }
	for name, tc := range map[string]struct {
		change func(c *result.Comparison)
		views  []oracle.FinalViews
		want   banner
	}{
		"alike": {func(*result.Comparison) {}, equal,
			banner{"good", "the engines agree", "no difference beyond chance; final views equal in all 12 seeds"}},
		"a real difference": {differs, equal,
			banner{"warn", "the engines differ", "1 real difference after Holm's correction; final views equal in all 12 seeds"}},
		"other views": {func(*result.Comparison) {}, []oracle.FinalViews{{Compared: 12, Equal: 11}},
			banner{"warn", "the engines differ", "final views equal in 11 of 12 seeds; no other difference beyond chance"}},
		"three engines": {func(*result.Comparison) {}, []oracle.FinalViews{{Compared: 12, Equal: 12}, {Compared: 12, Equal: 10}},
			banner{"warn", "the engines differ", "final views equal in 22 of 24 seeds; no other difference beyond chance"}},
		"no seed in both": {func(*result.Comparison) {}, []oracle.FinalViews{{}},
			banner{"warn", "nothing shown", "final views not compared"}},
		"interrupted": {func(c *result.Comparison) { c.Partial = true }, equal,
			banner{"warn", "partial", "interrupted; no difference beyond chance so far; final views equal in all 12 seeds"}},
		"broken off": {func(c *result.Comparison) { c.Arms[1].Result.Summary.BrokenOff = 1 }, equal,
			banner{"warn", "1 run broken off", "no difference beyond chance between the others; final views equal in all 12 seeds"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := engines(t)
			c.FinalViews = tc.views
			c.Arms[1].Result.Summary.BrokenOff = 0
			tc.change(c)
			if got := *comparisonBanner(c); got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}
