package report

import (
	"bytes"
	"io"
	"strings"
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

// A table full of p = 1 must say why.
func TestFewSeedsAreSaid(t *testing.T) {
	c := read[result.Comparison](t, "comparison")
	a, b := c.Arms[0].Result, c.Arms[1].Result
	a.Runs, b.Runs = a.Runs[:5], b.Runs[:5]
	c.Against = []oracle.Comparison{oracle.Compare(a.Runs, b.Runs)}
	var text bytes.Buffer
	if err := TerminalComparison(&text, c, Options{}); err != nil {
		t.Fatal(err)
	}
	said := strings.Join(strings.Fields(text.String()), " ")
	page := render(t, func(w io.Writer) error { return HTMLComparison(w, c) })
	for _, want := range []string{"With 5 seeds no difference within seeds can be shown to be real: p cannot be below 0.062", "median of the differences within a seed"} {
		if !strings.Contains(said, want) || !strings.Contains(page, want) {
			t.Errorf("%q is missing:\n%s", want, text.String())
		}
	}
	if !strings.Contains(said, "TOO FEW SEEDS") {
		t.Errorf("the conclusion is another:\n%s", text.String())
	}
}
