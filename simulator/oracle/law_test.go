package oracle

import (
	"math"
	"strings"
	"testing"
	"time"
)

func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Max(1, math.Abs(want))) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// The anchors of the benchmark that holds the simulator against the law.
func TestFalseSuspicionsFollowTheClosedLaw(t *testing.T) {
	for _, c := range []struct {
		n    int
		loss float64
		want float64
		half float64 // about half a unit of the last digit
	}{
		{50, 0.01, 0.007, 0.0005}, {50, 0.03, 0.53, 0.006}, {50, 0.05, 3.73, 0.005},
		{200, 0.01, 0.03, 0.005}, {200, 0.03, 2.14, 0.005}, {200, 0.05, 14.9, 0.05},
	} {
		got := FalseSuspicions(c.n, 120*time.Second, time.Second, c.loss, 3)
		if math.Abs(got-c.want) > c.half {
			t.Errorf("n=%d loss=%v: %v, want %v", c.n, c.loss, got, c.want)
		}
	}
	near(t, "no loss", FalseSuspicions(50, time.Minute, time.Second, 0, 3), 0, 0)
	near(t, "everything lost", FalseSuspicions(50, time.Minute, time.Second, 1, 3), 3000, 0)
	near(t, "no indirect probes", FalseSuspicions(10, time.Minute, time.Second, 0.5, 0), 450, 1e-12)
}

func TestBaselineLoads(t *testing.T) {
	// A chance of a mistake of 1e-6 at 10 % loss takes six messages within the detection time.
	a := Accuracy{Within: 3 * time.Second, Mistake: 1e-6, Loss: 0.1}
	best, err := OptimalLoad(100, a)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "optimal load of the group", best, 100*6/3.0, 1e-9)
	all, err := AllToAllLoad(100, a)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "all to all, per node", all.PerNode, 99*6/3.0, 1e-9)
	near(t, "all to all, sent and received", all.Busiest, 2*99*6/3.0, 1e-9)
	central, err := CentralLoad(100, a)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "central, per node", central.PerNode, 99*6/3.0/100, 1e-9)
	near(t, "central, the one in the middle", central.Busiest, 99*6/3.0, 1e-9)
	for _, bad := range []Accuracy{{0, 0.1, 0.1}, {time.Second, 0, 0.1}, {time.Second, 1, 0.1}, {time.Second, 0.1, 0}, {time.Second, 0.1, 1}} {
		_, err1 := OptimalLoad(10, bad)
		_, err2 := AllToAllLoad(10, bad)
		_, err3 := CentralLoad(10, bad)
		for _, err := range []error{err1, err2, err3} {
			if err == nil || !strings.Contains(err.Error(), "want a time above 0") {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	}
}

func TestLifeguardTiming(t *testing.T) {
	for _, c := range []struct {
		n    int
		want Timing
	}{
		{5, Timing{Round: 8 * time.Second, Longest: 40 * time.Second}},    // 2*8 + 4*1*6
		{1000, Timing{Round: 8 * time.Second, Longest: 88 * time.Second}}, // 2*8 + 4*3*6
		{10000, Timing{Round: 8 * time.Second, Longest: 112 * time.Second}},
	} {
		if got := LifeguardTiming(c.n, time.Second, 8, 4, 6); got != c.want {
			t.Errorf("n=%d: %+v, want %+v", c.n, got, c.want)
		}
	}
	if got := LifeguardTiming(10, time.Second, 0, 4, 0); got != (Timing{Round: time.Second, Longest: 6 * time.Second}) {
		t.Errorf("without Lifeguard: %+v", got)
	}
}
