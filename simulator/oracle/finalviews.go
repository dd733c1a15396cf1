package oracle

import (
	"fmt"
	"slices"
	"strings"

	"heartbeat/membership"
	"heartbeat/simulator/scenario"
)

// maxHeldFailed bounds the clusters whose final views a result holds one by one.
const maxHeldFailed = 100

// heldFailed returns whom each running node holds failed.
func (v *views) heldFailed() []HeldFailed {
	if v.n > maxHeldFailed {
		return nil
	}
	var all []HeldFailed
	for o := range v.n {
		var failed []string
		for s := range v.n {
			if v.running[o] && s != o && v.get(o, s) == believe(membership.Failed) {
				failed = append(failed, scenario.NodeName(s))
			}
		}
		if len(failed) > 0 {
			all = append(all, HeldFailed{scenario.NodeName(o), failed})
		}
	}
	return all
}

// FinalViews says whether two sets of runs ended with the same views: every node's list of whom it holds failed.
type FinalViews struct {
	// Compared is how many seeds both sets have; Equal counts those with equal views in the end.
	Compared int `json:"compared"`
	Equal    int `json:"equal"`
	// Differences describe the others, at most 20.
	Differences []string `json:"differences,omitempty"`
}

// maxDifferences bounds the differences that are put into words.
const maxDifferences = 20

// CompareFinalViews compares, seed by seed, whom each node held failed in the end. Runs that were broken off are left
// out, and so are clusters of more than 100 nodes.
func CompareFinalViews(a, b []RunResult) FinalViews {
	var f FinalViews
	other := make(map[uint64]*RunResult)
	for i := range b {
		other[b[i].Seed] = &b[i]
	}
	for i := range a {
		x, y := &a[i], other[a[i].Seed]
		if y == nil || x.BrokenOff != "" || y.BrokenOff != "" || x.Nodes > maxHeldFailed {
			continue
		}
		f.Compared++
		differ := heldDifferently(x, y)
		if len(differ) == 0 {
			f.Equal++
		}
		for _, text := range differ {
			if len(f.Differences) < maxDifferences {
				f.Differences = append(f.Differences, fmt.Sprintf("seed %d: %s", x.Seed, text))
			}
		}
	}
	return f
}

// heldDifferently describes in which nodes' views two runs differ.
func heldDifferently(a, b *RunResult) []string {
	lists := func(r *RunResult) map[string][]string {
		m := make(map[string][]string)
		for _, h := range r.HeldFailed {
			m[h.Observer] = h.Failed
		}
		return m
	}
	words := func(failed []string) string {
		if len(failed) == 0 {
			return "nobody"
		}
		return strings.Join(failed, ", ")
	}
	x, y := lists(a), lists(b)
	var texts []string
	for i := range a.Nodes {
		name := scenario.NodeName(i)
		if !slices.Equal(x[name], y[name]) {
			texts = append(texts, fmt.Sprintf("%s holds failed: %s against %s", name, words(x[name]), words(y[name])))
		}
	}
	return texts
}
