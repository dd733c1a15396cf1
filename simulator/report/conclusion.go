package report

import (
	"fmt"
	"slices"

	"charm.land/lipgloss/v2"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// comparisonBanner says what a comparison comes to. Between settings,
// differences are what is looked for; between engines, what must not be.
func comparisonBanner(c *result.Comparison) *banner {
	real := 0
	for i := range c.Against {
		for _, r := range c.Against[i].Rows {
			if r.Real {
				real++
			}
		}
	}
	switch {
	case len(enginesOf(c.Arms)) > 1:
		return enginesBanner(c, real)
	case real == 0 && tooFew(c):
		return &banner{Kind: "warn", Word: "too few seeds", Text: "with so few no difference can be shown to be real"}
	case real == 0:
		return &banner{Kind: "warn", Word: "nothing shown", Text: "no difference between the arms is real beyond chance"}
	}
	return &banner{Kind: "good", Word: many(real, "real difference"), Text: fmt.Sprintf("between %s, after Holm's correction", many(len(c.Arms), "arm"))}
}

// enginesBanner answers whether engines tell the same story.
func enginesBanner(c *result.Comparison, real int) *banner {
	brokenOff := 0
	for i := range c.Arms {
		brokenOff += c.Arms[i].Result.Summary.BrokenOff
	}
	sum, complete := viewsInAll(c.FinalViews)
	views := fmt.Sprintf("final views equal in %d of %s", sum.Equal, many(sum.Compared, "seed"))
	switch {
	case !complete:
		views = "final views not compared"
	case sum.Equal == sum.Compared:
		views = "final views equal in all " + many(sum.Compared, "seed")
	}
	switch {
	case real > 0:
		return &banner{Kind: "warn", Word: "the engines differ", Text: many(real, "real difference") + " after Holm's correction; " + views}
	case sum.Equal < sum.Compared:
		return &banner{Kind: "warn", Word: "the engines differ", Text: views + "; no other difference beyond chance"}
	case c.Partial:
		return &banner{Kind: "warn", Word: "partial", Text: "interrupted; no difference beyond chance so far; " + views}
	case !complete:
		return &banner{Kind: "warn", Word: "nothing shown", Text: views}
	case brokenOff > 0:
		return &banner{Kind: "warn", Word: many(brokenOff, "run") + " broken off", Text: "no difference beyond chance between the others; " + views}
	case tooFew(c):
		return &banner{Kind: "warn", Word: "too few seeds", Text: views + "; with so few no other difference can be shown to be real"}
	}
	return &banner{Kind: "good", Word: "the engines agree", Text: "no difference beyond chance; " + views}
}

// viewsInAll adds up the final views of all engines against the first: a seed
// counts once for each. It is complete when each was compared in a seed.
func viewsInAll(all []oracle.FinalViews) (sum oracle.FinalViews, complete bool) {
	complete = len(all) > 0
	for i := range all {
		sum.Compared += all[i].Compared
		sum.Equal += all[i].Equal
		complete = complete && all[i].Compared > 0
	}
	return sum, complete
}

// bannerStyle is how a terminal shows a kind of banner.
func bannerStyle(kind string) lipgloss.Style {
	switch kind {
	case "good":
		return styleGood
	case "bad":
		return styleBad
	}
	return styleWarn
}

// tooFew says that some arms have too few seeds to show any difference.
func tooFew(c *result.Comparison) bool {
	return slices.ContainsFunc(c.Against, func(a oracle.Comparison) bool { return fewNote(&a) != "" })
}

// fewNote says that there are too few seeds to show a difference within them;
// empty when there are enough.
func fewNote(c *oracle.Comparison) string {
	p, rows, seeds, few := c.Fewest()
	if !few {
		return ""
	}
	return fmt.Sprintf("With %s no difference within seeds can be shown to be real: p cannot be below %.2g, which the correction multiplies by %d for the %s. It takes at least %s.",
		many(c.RunsA, "seed"), p, rows, many(rows, "row"), many(seeds, "seed"))
}

// againstNote says how to read the table of two arms.
func againstNote(c *oracle.Comparison) string {
	text := fmt.Sprintf("%d against %s", c.RunsB, many(c.RunsA, "run"))
	if c.Paired {
		text += " with the same seeds. Columns: medians over the runs, means of counts and shares. Change: median of the differences within a seed, of counts and shares the difference of the means."
	} else {
		text += " with different seeds. Columns: medians over the runs, means of counts and shares. Change: their difference."
	}
	return text + " Real: p < 0.05 after Holm's correction for all rows."
}
