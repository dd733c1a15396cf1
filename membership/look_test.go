package membership

import (
	"fmt"
	"testing"
	"time"
)

// A crashed member that one other is said to hear is failed in time, however that one is accused itself now and then.
func TestVerdictWhileTheHearerFlaps(t *testing.T) {
	const tick = 100 * time.Millisecond
	bound := 10 * time.Second // the engine's suspicion of 12 takes 4.3 s, a look that waits 3.5 s
	for period := 600 * time.Millisecond; period <= 6*time.Second; period += 300 * time.Millisecond {
		for out := 200 * time.Millisecond; out < period; out += 200 * time.Millisecond {
			for phase := time.Duration(0); phase < period; phase += 400 * time.Millisecond {
				if took := verdictWithFlappingHearer(t, tick, period, out, phase, bound); took > bound {
					t.Errorf("no verdict in %v: the hearer is accused for %v every %v from %v on", bound, out, period, phase)
				}
			}
		}
	}
}

func verdictWithFlappingHearer(t *testing.T, tick, period, out, phase, bound time.Duration) time.Duration {
	core := newCore(t, Config{Self: "n0", Verdicts: &Verdicts{}})
	now := joinAll(core, 12, epoch).Add(time.Minute)
	type due struct {
		at  time.Time
		out Probed
	}
	var looks []due
	step := func(in Input) {
		for _, p := range probesIn(core.Step(now, in)) {
			looks = append(looks, due{now.Add(500*time.Millisecond + p.Wait), Probed{Subject: p.Subject.Name, Incarnation: p.Incarnation, Last: p.Last,
				ControlsAsked: len(p.Controls), ControlsAnswered: len(p.Controls), Answered: p.Subject.Name != "n7"}})
		}
	}
	began, inc := now, uint32(1)
	step(Accused{Subject: "n7", Incarnation: 1, Accuser: "n4", Source: SourceInbound})
	step(Heard{Subject: "n7", By: "n5", Incarnation: 1})
	for i := range 12 {
		step(Testified{Subject: "n7", Incarnation: 1, Witness: fmt.Sprint("n", i)})
	}
	accused := false
	for ; now.Sub(began) <= bound; now = now.Add(tick) {
		for _, l := range looks {
			if !l.at.After(now) {
				step(l.out)
			}
		}
		for i := 0; i < len(looks); {
			if !looks[i].at.After(now) {
				looks = append(looks[:i], looks[i+1:]...)
				continue
			}
			i++
		}
		if want := now.Sub(began) >= phase && (now.Sub(began)-phase)%period < out; want != accused {
			if accused = want; want {
				step(Accused{Subject: "n5", Incarnation: inc, Accuser: "n6", Source: SourceInbound})
			} else {
				inc++
				step(Refuted{Subject: "n5", Incarnation: inc})
			}
		}
		step(Tick{})
		if m, _ := core.View(now).Member("n7"); m.State == Failed {
			return now.Sub(began)
		}
	}
	return bound + 1
}
