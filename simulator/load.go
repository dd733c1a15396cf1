package simulator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

// LoadOptions say what to measure for a load curve.
type LoadOptions struct {
	Options
	// Duration is how long the load is measured, in virtual time; 0 means 2 min.
	Duration time.Duration
	// Set are overrides, as key=value.
	Set []string
	// Accuracy is what the baselines have to achieve; a zero value means
	// DefaultAccuracy. Its loss is the network's as well, so that all are compared under
	// the same conditions.
	Accuracy oracle.Accuracy
}

// DefaultAccuracy is what the baselines of a load curve have to achieve: a crash
// is noticed within 10 s, about what memberlist needs with its LAN settings and
// 100 nodes; one message of a hundred is lost; a running node is held failed
// with a chance of one in a million within a detection time.
var DefaultAccuracy = oracle.Accuracy{Within: 10 * time.Second, Mistake: 1e-6, Loss: 0.01}

// loadScenario is an idle cluster. The warm-up lets the news of the joining die
// down, which is no load of an idle cluster.
const loadScenario = `version: 1
name: load
description: An idle cluster, to see what it costs.
cluster: {nodes: 10, warmup: 60s, join: {within: 10s}}
network: {latency: 1ms, jitter: 500us}
`

// LoadCurve measures what a node of an idle cluster sends, for each size of the
// cluster, beside what heartbeats from all to all and to one central node would
// cost for the same accuracy, and beside the least that any detector can cost
// (see oracle.OptimalLoad).
//
// When ctx ends early the result has the sizes that are done and is marked as
// partial, and the error is nil.
func LoadCurve(ctx context.Context, nodes []int, opts LoadOptions) (*result.LoadCurve, error) {
	if opts.Duration == 0 {
		opts.Duration = 2 * time.Minute
	}
	if opts.Accuracy == (oracle.Accuracy{}) {
		opts.Accuracy = DefaultAccuracy
	}
	c := &result.LoadCurve{
		Version: result.Version, Loss: opts.Accuracy.Loss, Mistake: opts.Accuracy.Mistake,
		DetectionTime: oracle.Number(opts.Accuracy.Within.Seconds()), Points: []result.LoadPoint{},
	}
	set := append([]string{fmt.Sprintf("loss=%v", opts.Accuracy.Loss), "duration=" + opts.Duration.String()}, opts.Set...)
	e, err := Parse("load.yaml", []byte(loadScenario), set...)
	if err != nil {
		return nil, err
	}
	var arms []Arm
	for _, n := range slices.Compact(slices.Sorted(slices.Values(nodes))) {
		point, err := baselines(n, opts.Accuracy)
		if err != nil {
			return nil, err
		}
		c.Points = append(c.Points, point)
		arms = append(arms, Arm{Label: fmt.Sprintf("nodes=%d", n), Set: []string{fmt.Sprintf("nodes=%d", n)}})
	}
	done, partial, err := runArms(ctx, e, arms, opts.Options)
	if done == nil {
		return nil, err
	}
	c.Points, c.Partial = c.Points[:len(done)], partial
	for i, arm := range done {
		if brokenOff := measure(&c.Points[i], arm.Result); brokenOff != "" && err == nil {
			err = fmt.Errorf("%s: %s", arm.Label, brokenOff)
		}
	}
	return c, err
}

// baselines is a point before anything is measured.
func baselines(n int, a oracle.Accuracy) (result.LoadPoint, error) {
	p := result.LoadPoint{Nodes: n}
	all, err := oracle.AllToAllLoad(n, a)
	if err != nil {
		return p, err
	}
	central, err := oracle.CentralLoad(n, a)
	if err != nil {
		return p, err
	}
	optimal, err := oracle.OptimalLoad(n, a)
	if err != nil {
		return p, err
	}
	p.AllToAll = oracle.Number(all.PerNode)
	p.CentralPerNode, p.CentralBusiest = oracle.Number(central.PerNode), oracle.Number(central.Busiest)
	p.OptimalPerNode = oracle.Number(optimal / float64(n))
	return p, nil
}

// measure puts the means over the runs into a point; the peaks are the largest.
// It returns why a run was broken off, if one was.
func measure(p *result.LoadPoint, r *result.Result) (brokenOff string) {
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.BrokenOff != "" {
			brokenOff = fmt.Sprintf("seed %d was broken off: %s", run.Seed, run.BrokenOff)
			continue
		}
		p.Seeds++
		add(&p.UDP, run.Load.UDP)
		add(&p.TCP, run.Load.TCP)
		p.CPU += run.CPU
		p.PeakOut.P99 = max(p.PeakOut.P99, run.Load.PeakOut.P99)
		p.PeakOut.Max = max(p.PeakOut.Max, run.Load.PeakOut.Max)
	}
	if n := oracle.Number(p.Seeds); n > 0 {
		for _, r := range []*oracle.Rates{&p.UDP, &p.TCP} {
			*r = oracle.Rates{PacketsOut: r.PacketsOut / n, PacketsIn: r.PacketsIn / n, BytesOut: r.BytesOut / n, BytesIn: r.BytesIn / n}
		}
		p.CPU /= n
	}
	p.MessagesPerNode = p.UDP.PacketsOut + p.TCP.PacketsOut
	return brokenOff
}

func add(sum *oracle.Rates, r oracle.Rates) {
	sum.PacketsOut += r.PacketsOut
	sum.PacketsIn += r.PacketsIn
	sum.BytesOut += r.BytesOut
	sum.BytesIn += r.BytesIn
}
