package oracle

import (
	"fmt"
	"slices"
	"time"

	"heartbeat/simulator/scenario"
)

// maxBuckets bounds the resolution of a heatmap in time.
const maxBuckets = 240

// Heat says, over time, how many running observers hold each node failed.
type Heat struct {
	// Bucket is how long a bucket is: whole seconds, and such that there are at most 240.
	Bucket Number `json:"bucket_s"`
	// Buckets is how many there are.
	Buckets int `json:"buckets"`
	// Rows are the nodes that somebody held failed at some time.
	Rows []HeatRow `json:"rows"`
}

// HeatRow is one node's line in the heatmap.
type HeatRow struct {
	Node string `json:"node"`
	// Steps are pairs of a bucket and the largest number of observers within it, which also holds for the buckets
	// after it until the next step. Before the first step it is 0.
	Steps [][2]int `json:"steps"`
}

// At returns the row's number in a bucket.
func (r HeatRow) At(bucket int) int {
	i, found := slices.BinarySearchFunc(r.Steps, bucket, func(s [2]int, b int) int { return s[0] - b })
	switch {
	case found:
		return r.Steps[i][1]
	case i == 0:
		return 0
	}
	return r.Steps[i-1][1]
}

// heat draws the heatmap while the run goes on.
type heat struct {
	bucket  time.Duration
	buckets int
	rows    []heatRow
}

type heatRow struct {
	bucket      int // the one that is being filled
	count, most int // now, and at most in this bucket
	steps       [][2]int
}

func newHeat(n int, end time.Duration) *heat {
	bucket := max(time.Second, (end/maxBuckets + time.Second - 1).Truncate(time.Second))
	return &heat{
		bucket:  bucket,
		buckets: max(1, int((end+bucket-1)/bucket)),
		rows:    make([]heatRow, n),
	}
}

// put notes how many observers hold a node failed from now on.
func (h *heat) put(at time.Duration, subject, count int) {
	r := &h.rows[subject]
	if count == r.count {
		return
	}
	h.fill(r, min(max(0, int(at/h.bucket)), h.buckets-1))
	r.count, r.most = count, max(r.most, count)
	if at < 0 {
		r.most = count
	}
}

// fill finishes the buckets before the given one.
func (h *heat) fill(r *heatRow, until int) {
	if until == r.bucket {
		return
	}
	r.step(r.bucket, r.most)
	r.step(r.bucket+1, r.count)
	r.bucket, r.most = until, r.count
}

// step writes down a number for a bucket when it differs from the one before. A later number for the same bucket
// replaces the earlier.
func (r *heatRow) step(bucket, count int) {
	if last := len(r.steps) - 1; last >= 0 && r.steps[last][0] == bucket {
		r.steps = r.steps[:last]
	}
	before := 0
	if last := len(r.steps) - 1; last >= 0 {
		before = r.steps[last][1]
	}
	if count != before {
		r.steps = append(r.steps, [2]int{bucket, count})
	}
}

// finish returns the heatmap.
func (h *heat) finish() Heat {
	out := Heat{Bucket: seconds(h.bucket), Buckets: h.buckets, Rows: []HeatRow{}}
	for i := range h.rows {
		r := &h.rows[i]
		r.step(r.bucket, r.most)
		if r.bucket+1 < h.buckets {
			r.step(r.bucket+1, r.count)
		}
		if len(r.steps) > 0 {
			out.Rows = append(out.Rows, HeatRow{Node: scenario.NodeName(i), Steps: r.steps})
		}
	}
	return out
}

// Band is a fault of the plan, or a node's being stopped, as spans of time to draw behind a heatmap.
type Band struct {
	// Kind is partition, link, pause, stall or stopped.
	Kind string `json:"kind"`
	// Text says what it is, with the words of a scenario.
	Text string `json:"text"`
	// Nodes are those paused, stalled or stopped. Partitions and links name theirs in Text only.
	Nodes []string `json:"nodes,omitempty"`
	// Spans are pairs of beginning and end. Spans less than a bucket of the heatmap apart are drawn as one, so there
	// are at most as many as buckets.
	Spans [][2]Number `json:"spans_s"`
}

// Bands returns the bands of a plan: its faults by ID, then its nodes that are ever stopped.
func Bands(plan *scenario.Plan) []Band {
	h := newHeat(0, plan.End)
	spans := make([][][2]time.Duration, len(plan.Faults)+len(plan.Nodes))
	on := make([]bool, len(spans))
	put := func(i int, at time.Duration, sets bool) {
		last := len(spans[i]) - 1
		switch {
		case sets == on[i]:
		case !sets:
			spans[i][last][1] = at
		case last < 0 || at-spans[i][last][1] >= h.bucket:
			spans[i] = append(spans[i], [2]time.Duration{at, plan.End})
		default:
			spans[i][last][1] = plan.End
		}
		on[i] = sets
	}
	for _, a := range plan.Actions {
		if a.Fault != nil {
			put(a.Fault.ID, a.At, a.Verb == scenario.On)
		} else {
			put(len(plan.Faults)+a.Node, a.At, a.Verb != scenario.Start)
		}
	}
	bands := []Band{}
	for i, list := range spans {
		if len(list) == 0 {
			continue
		}
		b := Band{Kind: "stopped"}
		if i < len(plan.Faults) {
			f := plan.Faults[i]
			b.Kind, b.Text = string(f.Kind), f.String()
			for _, node := range f.Nodes {
				b.Nodes = append(b.Nodes, scenario.NodeName(node))
			}
		} else {
			name := scenario.NodeName(i - len(plan.Faults))
			b.Text, b.Nodes = fmt.Sprintf("%s is stopped", name), []string{name}
		}
		for _, s := range list {
			b.Spans = append(b.Spans, [2]Number{seconds(s[0]), seconds(s[1])})
		}
		bands = append(bands, b)
	}
	return bands
}
