package membership

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// caseCore has n0 (this node) to n9, all at incarnation 1.
func caseCore(t *testing.T, verdicts *Verdicts) (*Core, time.Time) {
	t.Helper()
	now := time.Unix(1000, 0)
	core, err := New(Config{Self: "n0", Verdicts: verdicts}, now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		core.Step(now, Joined{Name: fmt.Sprintf("n%d", i), Incarnation: 1})
	}
	return core, now.Add(time.Minute)
}

// Those whom a case names as witnesses are the ones who look: a node that is named looks itself, and
// testimonies of the others make the quorum that it names.
func TestCaseNamesTheWitnesses(t *testing.T) {
	looked := 0
	for i := range 9 {
		core, now := caseCore(t, &Verdicts{Witnesses: 3, Quorum: 2})
		subject := fmt.Sprintf("n%d", i+1)
		before, ok := core.Case(subject)
		if !ok || len(before.Witnesses) != 3 || before.Quorum != 2 || before.Patience != 1200*time.Millisecond || !before.Majority || !before.Since.IsZero() {
			t.Fatalf("%s: %+v %v", subject, before, ok)
		}
		probes := 0
		for _, e := range core.Step(now, Accused{Subject: subject, Incarnation: 1, Accuser: "n0", Source: SourceOutbound}) {
			if _, is := e.(Probe); is {
				probes++
			}
		}
		if chosen := slices.Contains(before.Witnesses, "n0"); chosen != (probes == 1) {
			t.Errorf("%s: the witnesses are %v, and this node began %d looks", subject, before.Witnesses, probes)
		} else if chosen {
			looked++
		}
		for _, w := range before.Witnesses {
			core.Step(now, Testified{Subject: subject, Incarnation: 1, Witness: w})
		}
		after, _ := core.Case(subject)
		if !slices.Equal(after.Accusers, []string{"n0"}) || len(after.Testified) < 2 || !after.Since.Equal(now) || !slices.Equal(after.Witnesses, before.Witnesses) {
			t.Errorf("%s: %+v", subject, after)
		}
	}
	if looked == 0 || looked == 9 {
		t.Errorf("this node is a witness of %d of 9 members", looked)
	}
}

func TestCaseWithoutVerdicts(t *testing.T) {
	core, now := caseCore(t, nil)
	core.Step(now, Accused{Subject: "n3", Incarnation: 4, Accuser: "n2", Source: SourceInbound})
	got, ok := core.Case("n3")
	if !ok || got.Incarnation != 4 || !slices.Equal(got.Accusers, []string{"n2"}) || got.Witnesses != nil || got.Quorum != 0 {
		t.Errorf("%+v %v", got, ok)
	}
	if _, ok := core.Case("nobody"); ok {
		t.Error("there is a case about nobody")
	}
}

func TestCaseOfTwo(t *testing.T) {
	now := time.Unix(1000, 0)
	core, err := New(Config{Self: "n0", Verdicts: &Verdicts{}}, now)
	if err != nil {
		t.Fatal(err)
	}
	core.Step(now, Joined{Name: "n0", Incarnation: 1})
	core.Step(now, Joined{Name: "n1"})
	if got, _ := core.Case("n1"); got.Quorum != 0 || got.Witnesses != nil {
		t.Errorf("%+v", got)
	}
	core.Step(now, Joined{Name: "n2", Incarnation: 1})
	if got, _ := core.Case("n1"); got.Quorum != 2 || got.Witnesses != nil {
		t.Errorf("at an unknown incarnation: %+v", got)
	}
}

func TestCounts(t *testing.T) {
	core, now := caseCore(t, &Verdicts{Witnesses: 2, Quorum: 2})
	for _, accuser := range []string{"n1", "n1", "n2"} {
		core.Step(now, Accused{Subject: "n3", Incarnation: 1, Accuser: accuser, Source: SourceInbound})
	}
	core.Step(now, Refuted{Subject: "n3", Incarnation: 2})
	heard := 0
	for i := range 10 {
		if name := fmt.Sprintf("n%d", i); name != "n0" && name != "n4" {
			core.Step(now, Testified{Subject: "n4", Incarnation: 1, Witness: name})
			heard++
		}
	}
	if counts := core.Counts(); counts.Accusations != 2 || counts.Refutations != 1 || counts.TestimoniesRefused < 4 ||
		counts.TestimoniesHeard == 0 || int(counts.TestimoniesHeard+counts.TestimoniesRefused) != heard {
		t.Errorf("%+v", counts)
	}

	plain, now := caseCore(t, nil)
	for i, took := range []time.Duration{2 * time.Second, 2*time.Second + 1, time.Hour} {
		subject := fmt.Sprintf("n%d", i+1)
		plain.Step(now, Accused{Subject: subject, Incarnation: 1, Accuser: "n9", Source: SourceInbound})
		now = now.Add(took)
		plain.Step(now, EngineFailed{Name: subject, Incarnation: 1})
	}
	got, bounds := plain.Counts(), DetectionBounds()
	two := slices.Index(bounds, 2*time.Second)
	if got.Detection[two] != 1 || got.Detection[two+1] != 1 || got.Detection[len(bounds)] != 1 || got.DetectionSum != time.Hour+4*time.Second+1 {
		t.Errorf("%+v", got)
	}
}
