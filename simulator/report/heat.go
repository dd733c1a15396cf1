package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"heartbeat/simulator/oracle"
)

// maxSteps bounds the run-length coded cells of all heatmaps of a page, to
// about 3 MB. At least one view is always shown.
const maxSteps = 200_000

// heatData are the heatmaps of a page, of which one is shown at a time.
type heatData struct {
	Views []heatView `json:"views"`
	// LeftOut counts runs that are not shown, since the page would be too large.
	LeftOut int `json:"left_out"`
}

// heatView is a heatmap: rows are nodes, columns buckets of time.
type heatView struct {
	Label string `json:"label"`
	// Seed is the run's, as text since JSON's numbers are too short; empty for a mean.
	Seed    string     `json:"seed,omitempty"`
	Mean    bool       `json:"mean,omitempty"`
	Nodes   int        `json:"nodes"`
	Bucket  float64    `json:"bucket"` // seconds
	Buckets int        `json:"buckets"`
	Rows    []heatLine `json:"rows"`
	Bands   []heatBand `json:"bands"`
}

// heatLine is one node's row.
type heatLine struct {
	Node string `json:"node"`
	// Steps are triples of a bucket, how many held the node failed, and of how
	// many; they hold until the next. A mean has 1000 as its third.
	Steps [][3]int `json:"steps"`
}

// heatBand is a fault over time.
type heatBand struct {
	Kind  string       `json:"kind"`
	Text  string       `json:"text"`
	Nodes []string     `json:"nodes,omitempty"`
	Spans [][2]float64 `json:"spans"`
}

// runView is the heatmap of one run.
func runView(run *oracle.RunResult) heatView {
	h := &run.Heat
	v := heatView{
		Label: "seed " + strconv.FormatUint(run.Seed, 10), Seed: strconv.FormatUint(run.Seed, 10),
		Nodes: run.Nodes, Bucket: float64(h.Bucket), Buckets: h.Buckets, Rows: []heatLine{}, Bands: []heatBand{},
	}
	stops := newStops(run)
	for _, r := range h.Rows {
		v.Rows = append(v.Rows, heatLine{Node: r.Node, Steps: shares(r, h.Buckets, stops)})
	}
	for _, b := range run.Bands {
		if len(b.Spans) == 0 {
			continue
		}
		band := heatBand{Kind: b.Kind, Text: b.Text, Nodes: b.Nodes}
		for _, s := range b.Spans {
			band.Spans = append(band.Spans, [2]float64{float64(s[0]), float64(s[1])})
		}
		v.Bands = append(v.Bands, band)
	}
	return v
}

// stops says who is stopped in which bucket, all through it.
type stops struct {
	nodes   int
	count   []int
	stopped map[string][]bool
}

func newStops(run *oracle.RunResult) *stops {
	s := &stops{nodes: run.Nodes, count: make([]int, run.Heat.Buckets), stopped: map[string][]bool{}}
	for _, b := range run.Bands {
		if b.Kind != "stopped" {
			continue
		}
		for _, node := range b.Nodes {
			for _, span := range b.Spans {
				s.add(node, span, float64(run.Heat.Bucket))
			}
		}
	}
	return s
}

func (s *stops) add(node string, span [2]oracle.Number, bucket float64) {
	on := s.stopped[node]
	if on == nil {
		on = make([]bool, len(s.count))
		s.stopped[node] = on
	}
	end := len(s.count)
	if last := float64(span[1]) / bucket; last < float64(end) {
		end = int(last)
	}
	for b := max(0, int(math.Ceil(float64(span[0])/bucket))); b < end; b++ {
		if !on[b] {
			on[b] = true
			s.count[b]++
		}
	}
}

// others is how many other nodes run in a bucket.
func (s *stops) others(node string, bucket int) int {
	n := s.nodes - s.count[bucket]
	if on := s.stopped[node]; on == nil || !on[bucket] {
		n--
	}
	return n
}

// shares adds to a row's counts of how many they are.
func shares(r oracle.HeatRow, buckets int, s *stops) [][3]int {
	steps := [][3]int{}
	last := [2]int{0, 0}
	for k, next := 0, 0; k < len(r.Steps); k++ {
		next = buckets
		if k+1 < len(r.Steps) {
			next = min(buckets, r.Steps[k+1][0])
		}
		held := r.Steps[k][1]
		for b := max(0, r.Steps[k][0]); b < next; b++ {
			now := [2]int{held, max(held, s.others(r.Node, b))}
			if held == 0 {
				now[1] = 0
			}
			if now != last {
				steps = append(steps, [3]int{b, now[0], now[1]})
				last = now
			}
		}
	}
	return steps
}

// at returns the share in a bucket.
func (l *heatLine) at(bucket int) float64 {
	i, found := slices.BinarySearchFunc(l.Steps, bucket, func(s [3]int, b int) int { return s[0] - b })
	if !found {
		i--
	}
	if i < 0 || l.Steps[i][2] == 0 {
		return 0
	}
	return float64(l.Steps[i][1]) / float64(l.Steps[i][2])
}

// meanView is the mean of several runs of the same length.
func meanView(label string, views []heatView) heatView {
	first := &views[0]
	v := heatView{Label: label, Mean: true, Nodes: first.Nodes, Bucket: first.Bucket, Buckets: first.Buckets, Rows: []heatLine{}, Bands: commonBands(views)}
	sums := map[string][]float64{}
	var order []string
	for i := range views {
		for k := range views[i].Rows {
			line := &views[i].Rows[k]
			if sums[line.Node] == nil {
				sums[line.Node] = make([]float64, v.Buckets)
				order = append(order, line.Node)
			}
			for b := range v.Buckets {
				sums[line.Node][b] += line.at(b)
			}
		}
	}
	for _, node := range order {
		line := heatLine{Node: node, Steps: [][3]int{}}
		last := 0
		for b, sum := range sums[node] {
			share := int(math.Round(1000 * sum / float64(len(views))))
			if share != last {
				line.Steps = append(line.Steps, [3]int{b, share, 1000})
				last = share
			}
		}
		v.Rows = append(v.Rows, line)
	}
	return v
}

// commonBands are the bands that all runs share, and for each kind of which the
// runs have different ones a band that says so.
func commonBands(views []heatView) []heatBand {
	same := func(x heatBand) func(heatBand) bool {
		return func(y heatBand) bool { return x.Kind == y.Kind && x.Text == y.Text && slices.Equal(x.Spans, y.Spans) }
	}
	bands, differing := []heatBand{}, map[string]int{}
	for i := range views {
		for _, b := range views[i].Bands {
			common := !slices.ContainsFunc(views, func(v heatView) bool { return !slices.ContainsFunc(v.Bands, same(b)) })
			place, known := differing[b.Kind]
			switch {
			case common && i == 0:
				bands = append(bands, b)
			case common:
			case known:
				bands[place].Spans = append(bands[place].Spans, b.Spans...)
			default:
				differing[b.Kind] = len(bands)
				bands = append(bands, heatBand{Kind: b.Kind, Text: b.Kind + ", each run its own: choose a seed", Spans: slices.Clone(b.Spans)})
			}
		}
	}
	for _, place := range differing {
		bands[place].Spans = union(bands[place].Spans)
	}
	return bands
}

// union merges spans that touch.
func union(spans [][2]float64) [][2]float64 {
	slices.SortFunc(spans, func(a, b [2]float64) int { return cmp.Compare(a[0], b[0]) })
	out := spans[:1]
	for _, s := range spans[1:] {
		if last := &out[len(out)-1]; s[0] <= last[1] {
			last[1] = max(last[1], s[1])
		} else {
			out = append(out, s)
		}
	}
	return out
}

// heatOf makes the heatmaps of a result: the mean, and as many runs as fit,
// those with the most false alarms before others.
func heatOf(runs []oracle.RunResult) *heatData {
	views := runViews(runs)
	switch len(views) {
	case 0:
		return nil
	case 1:
		return &heatData{Views: views}
	}
	mean := meanView(fmt.Sprintf("mean over %d runs", len(views)), views)
	left := maxSteps - mean.size()
	alarms := map[string]int{}
	for i := range runs {
		alarms[strconv.FormatUint(runs[i].Seed, 10)] = runs[i].Verdicts.False()
	}
	order := slices.Clone(views)
	slices.SortStableFunc(order, func(a, b heatView) int { return cmp.Compare(alarms[b.Seed], alarms[a.Seed]) })
	fits := map[string]bool{}
	for i := range order {
		if left -= order[i].size(); left < 0 && i > 0 {
			break
		}
		fits[order[i].Seed] = true
	}
	kept := slices.DeleteFunc(slices.Clone(views), func(v heatView) bool { return !fits[v.Seed] })
	return &heatData{Views: append([]heatView{mean}, kept...), LeftOut: len(views) - len(kept)}
}

// runViews are the heatmaps of all runs that were not broken off.
func runViews(runs []oracle.RunResult) []heatView {
	var views []heatView
	for i := range runs {
		if runs[i].BrokenOff == "" && runs[i].Heat.Buckets > 0 && runs[i].Heat.Bucket > 0 {
			views = append(views, runView(&runs[i]))
		}
	}
	return views
}

// size is about how many numbers a view takes.
func (v *heatView) size() int {
	n := 0
	for i := range v.Rows {
		n += 1 + len(v.Rows[i].Steps)
	}
	for i := range v.Bands {
		n += 2 + len(v.Bands[i].Spans)
	}
	return n
}
