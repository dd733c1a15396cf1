package simulator

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"heartbeat/simulator/oracle"
	"heartbeat/simulator/result"
)

func TestLoadCurve(t *testing.T) {
	opts := LoadOptions{
		Options: Options{T: t}, Duration: 30 * time.Second, Set: []string{"seeds=1-2"},
		Accuracy: oracle.Accuracy{Within: 5 * time.Second, Mistake: 1e-4, Loss: 0.01},
	}
	c, err := LoadCurve(t.Context(), []int{20, 5, 20}, opts)
	if err != nil {
		t.Fatal(err)
	}
	// log(1e-4)/log(0.01) = 2 messages within 5 s.
	want := &result.LoadCurve{
		Version: 1, DetectionTime: 5, Loss: 0.01, Mistake: 1e-4,
		Points: []result.LoadPoint{
			{Nodes: 5, Seeds: 2, AllToAll: 1.6, CentralPerNode: 0.32, CentralBusiest: 1.6, OptimalPerNode: 0.4},
			{Nodes: 20, Seeds: 2, AllToAll: 7.6, CentralPerNode: 0.38, CentralBusiest: 7.6, OptimalPerNode: 0.4},
		},
	}
	measured := cmpopts.IgnoreFields(result.LoadPoint{}, "UDP", "TCP", "PeakOut", "CPU", "MessagesPerNode")
	about := cmp.Comparer(func(a, b oracle.Number) bool { return math.Abs(float64(a-b)) < 1e-9 })
	if diff := cmp.Diff(want, c, measured, about); diff != "" {
		t.Error(diff)
	}
	for _, p := range c.Points {
		// A ping and an ack a second, and a little for what gets lost.
		if p.UDP.PacketsOut < 1.9 || p.UDP.PacketsOut > 2.6 || p.PeakOut.Max < p.PeakOut.P99 || p.PeakOut.P99 <= p.UDP.BytesOut || p.MessagesPerNode < p.UDP.PacketsOut {
			t.Errorf("%+v", p)
		}
	}
}

func TestLoadCurveRefuses(t *testing.T) {
	for _, tc := range []struct {
		nodes []int
		opts  LoadOptions
		want  string
	}{
		{[]int{10, 1}, LoadOptions{}, "nodes"},
		{[]int{10, 1e9}, LoadOptions{}, "nodes"},
		{[]int{10}, LoadOptions{Duration: -time.Second}, "duration"},
		{[]int{10}, LoadOptions{Set: []string{"probe.intervall=1s"}}, "did you mean"},
		{[]int{10}, LoadOptions{Accuracy: oracle.Accuracy{Within: time.Second, Mistake: 2, Loss: 0.1}}, "chance of a mistake 2"},
	} {
		tc.opts.T = t
		if c, err := LoadCurve(t.Context(), tc.nodes, tc.opts); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v %+v: %v, %v, want %q", tc.nodes, tc.opts, c, err, tc.want)
		}
	}
}

func TestLoadCurveTellsThatARunWasBrokenOff(t *testing.T) {
	opts := LoadOptions{Options: Options{T: t}, Set: []string{"network.loss=99%", "cluster.join.timeout=15s"}}
	if _, err := LoadCurve(t.Context(), []int{4}, opts); err == nil || !strings.Contains(err.Error(), "nodes=4: seed 1 was broken off") {
		t.Error(err)
	}
}
