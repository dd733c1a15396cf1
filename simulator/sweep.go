package simulator

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"heartbeat/simulator/result"
)

// MaxPoints bounds how many combinations a sweep may have.
const MaxPoints = 400

// Sweep runs the experiment under every combination of the values of one or
// two parameters. All combinations are checked before the first is run.
//
// When ctx ends early the result has the combinations that were begun and is
// marked as partial, and the error is nil. opts.TraceDir is not used.
func Sweep(ctx context.Context, e *Experiment, params []result.Parameter, opts Options) (*result.Sweep, error) {
	points, err := combinations(params)
	if err != nil {
		return nil, err
	}
	var arms []Arm
	for _, set := range points {
		arms = append(arms, Arm{Label: strings.Join(set, " "), Set: set})
	}
	done, partial, err := runArms(ctx, e, arms, opts)
	if done == nil {
		return nil, err
	}
	return &result.Sweep{Version: result.Version, Parameters: params, Points: done, Partial: partial}, err
}

// combinations are the overrides of all points, the last parameter varying
// fastest.
func combinations(params []result.Parameter) ([][]string, error) {
	if len(params) < 1 || len(params) > 2 {
		return nil, fmt.Errorf("a sweep has one or two parameters, not %d", len(params))
	}
	points := [][]string{nil}
	for i, p := range params {
		if i > 0 && p.Key == params[0].Key {
			return nil, fmt.Errorf("%s is varied twice: give all its values at once", p.Key)
		}
		var more [][]string
		for _, before := range points {
			for _, v := range p.Values {
				more = append(more, append(slices.Clone(before), p.Key+"="+v))
			}
		}
		points = more
	}
	if len(points) > MaxPoints {
		return nil, fmt.Errorf("the sweep has %d combinations: at most %d", len(points), MaxPoints)
	}
	return points, nil
}

// ParseParameters reads the parameters of a sweep, each as ParseParameter does.
func ParseParameters(texts []string) ([]result.Parameter, error) {
	var params []result.Parameter
	for _, text := range texts {
		p, err := ParseParameter(text)
		if err != nil {
			return nil, err
		}
		params = append(params, p)
	}
	_, err := combinations(params)
	return params, err
}

// ParseParameter reads key=v1,v2,v3 and key=a..b/step. A range has both ends
// when the steps meet the second; its numbers may be plain (10..50/10), shares
// (0%..5%/1%) or durations (100ms..500ms/100ms). Any key goes that an
// override takes, but for seeds, which are the runs of every point.
func ParseParameter(text string) (result.Parameter, error) {
	key, list, ok := strings.Cut(text, "=")
	p := result.Parameter{Key: strings.TrimSpace(key)}
	switch {
	case !ok || p.Key == "" || strings.TrimSpace(list) == "":
		return p, fmt.Errorf("%q is not what to vary: write it like loss=0,1%%,5%% or nodes=10..50/10", text)
	case p.Key == "seeds":
		return p, fmt.Errorf("%s: seeds are the runs of every point and cannot be varied", text)
	}
	for part := range strings.SplitSeq(list, ",") {
		values := []string{strings.TrimSpace(part)}
		if strings.Contains(part, "..") {
			var err error
			if values, err = parseRange(values[0]); err != nil {
				return p, fmt.Errorf("%s: %w", text, err)
			}
		}
		for _, v := range values {
			if v == "" || slices.Contains(p.Values, v) {
				return p, fmt.Errorf("%s: the value %q is empty or comes twice", text, v)
			}
			p.Values = append(p.Values, v)
		}
	}
	return p, nil
}

// quantity is a kind of number that a range may run over, in whole units.
type quantity struct {
	parse func(text string) (float64, bool)
	write func(v float64) string
}

var quantities = []quantity{
	{
		func(text string) (float64, bool) { v, err := strconv.ParseFloat(text, 64); return v, err == nil },
		func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) },
	},
	{
		func(text string) (float64, bool) {
			number, percent := strings.CutSuffix(text, "%")
			v, err := strconv.ParseFloat(number, 64)
			return v, percent && err == nil
		},
		func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) + "%" },
	},
	{
		func(text string) (float64, bool) { d, err := time.ParseDuration(text); return float64(d), err == nil },
		func(v float64) string { return time.Duration(math.Round(v)).String() },
	},
}

// parseRange unfolds a..b/step.
func parseRange(text string) ([]string, error) {
	ends, stepText, hasStep := strings.Cut(text, "/")
	first, last, _ := strings.Cut(ends, "..")
	if !hasStep {
		return nil, fmt.Errorf("the range %s has no step: write it like %s/STEP", text, text)
	}
	for _, q := range quantities {
		a, okA := q.parse(first)
		b, okB := q.parse(last)
		step, okStep := q.parse(stepText)
		if !okA || !okB || !okStep {
			continue
		}
		// Written so that NaN and infinities are refused as well.
		if n := (b - a) / step; !(step > 0 && n >= 0 && n < MaxPoints) {
			return nil, fmt.Errorf("the range %s must go up in steps above 0, fewer than %d of them", text, MaxPoints)
		}
		var values []string
		for i := 0; ; i++ {
			v := a + float64(i)*step
			if v > b+step*1e-9 {
				return values, nil
			}
			values = append(values, q.write(math.Round(v*1e9)/1e9))
		}
	}
	return nil, fmt.Errorf("%s is no range: both ends and the step must be numbers, all of them shares such as 1%%, or all durations such as 100ms", text)
}

// runArms runs the experiment under the overrides of each arm. It returns
// those that were begun; nil when one cannot be run at all, since then nothing
// was.
func runArms(ctx context.Context, e *Experiment, arms []Arm, opts Options) (done []result.Arm, partial bool, err error) {
	opts.TraceDir = ""
	var exps []*Experiment
	for _, arm := range arms {
		exp, err := e.With(arm.Set...)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", arm.Label, err)
		}
		exps = append(exps, exp)
	}
	done = []result.Arm{}
	for i, exp := range exps {
		if ctx.Err() != nil {
			return done, true, nil
		}
		res, err := Run(ctx, exp, opts)
		if res != nil && len(res.Runs) > 0 {
			done = append(done, result.Arm{Label: arms[i].Label, Set: arms[i].Set, Result: res})
		}
		if err != nil {
			return done, true, fmt.Errorf("%s: %w", arms[i].Label, err)
		}
		partial = partial || res.Partial
	}
	return done, partial, nil
}
