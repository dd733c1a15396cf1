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

// lastLooks are those that a core asks for in ten seconds when the engine holds 40 of 200 members failed that others still hear.
func lastLooks(t *testing.T, v Verdicts) []Probe {
	core := newCore(t, Config{Self: "n0", Verdicts: &v})
	now := joinAll(core, 200, epoch).Add(time.Minute)
	for i := 1; i <= 40; i++ {
		name := fmt.Sprint("n", i)
		core.Step(now, Accused{Subject: name, Incarnation: 1, Accuser: "n100", Source: SourceInbound})
		core.Step(now, Heard{Subject: name, By: fmt.Sprint("n", 150+i), Incarnation: 1})
		core.Step(now, EngineFailed{Name: name, Incarnation: 1})
	}
	var looks []Probe
	for end := now.Add(10 * time.Second); now.Before(end); now = now.Add(100 * time.Millisecond) {
		for _, p := range probesIn(core.Step(now, Tick{})) {
			if p.Last {
				looks = append(looks, p)
			}
		}
	}
	return looks
}

// A look that waits for late answers does so for verdict.silence, but no longer than the engine's suspicion takes in a small
// cluster, and no other has to wait for the end of it.
func TestLooksThatWait(t *testing.T) {
	for silence, want := range map[time.Duration]time.Duration{2 * time.Second: 2 * time.Second, time.Hour: 4 * time.Second} {
		subjects := map[string]bool{}
		for _, l := range lastLooks(t, Verdicts{Silence: silence}) {
			subjects[l.Subject.Name] = true
			if l.Wait != want || len(l.Controls) == 0 {
				t.Errorf("with a silence of %v a last look waits %v and has %d controls, want %v and some", silence, l.Wait, len(l.Controls), want)
			}
		}
		if len(subjects) != 40 {
			t.Errorf("with a silence of %v %d members are looked at, want 40", silence, len(subjects))
		}
	}
}
