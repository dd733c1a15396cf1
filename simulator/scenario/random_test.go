package scenario

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func drawRandom(t *rapid.T) Random {
	return Random{
		Nodes:    rapid.IntRange(MinRandomNodes, 40).Draw(t, "nodes"),
		Duration: time.Duration(rapid.Int64Range(int64(MinRandomTime), int64(12*time.Hour)).Draw(t, "duration")),
		Seed:     rapid.Uint64().Draw(t, "seed"),
		Faults:   rapid.SliceOfNDistinct(rapid.SampledFrom(RandomFaults()), 0, 4, rapid.ID).Draw(t, "faults"),
	}
}

// Whatever is asked for, the file is valid, always the same, keeps a majority up at every moment and leaves nothing
// broken in the end.
func TestRandomScenariosAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRandom(t)
		data, err := GenerateRandom(r)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := GenerateRandom(r); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("the same request made another file: %v", err)
		}
		s, err := Parse("random.yaml", data, Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		plan, err := s.Resolve(r.Seed)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Actions) == 0 {
			t.Fatalf("nothing happens in %s\n%s", r.Duration, data)
		}
		fairToTheEnd(t, r, plan)
	})
}

// fairToTheEnd follows a plan.
func fairToTheEnd(t *rapid.T, r Random, plan *Plan) {
	truth := NewTruth(plan)
	stopped := make([]bool, r.Nodes)
	for i, a := range plan.Actions {
		truth.Apply(a)
		if i+1 < len(plan.Actions) && plan.Actions[i+1].At == a.At {
			continue
		}
		out := 0
		for n := range r.Nodes {
			stopped[n] = stopped[n] || !truth.Running(n)
			if !truth.Running(n) || truth.Frozen(n) {
				out++
			}
		}
		if 2*out >= r.Nodes {
			t.Fatalf("at %s %d of %d nodes are stopped or frozen", a.At, out, r.Nodes)
		}
	}
	if spared := r.Nodes - len(slices.DeleteFunc(stopped, func(s bool) bool { return !s })); spared < max(1, r.Nodes/4) {
		t.Errorf("only %d of %d nodes were never stopped", spared, r.Nodes)
	}
	last := plan.Actions[len(plan.Actions)-1].At
	if plan.End-last < 2*randomWithin {
		t.Errorf("the last action is at %s, the end at %s", last, plan.End)
	}
	for from := range r.Nodes {
		if !truth.Running(from) || !truth.Healthy(from) {
			t.Errorf("%s is not well in the end", NodeName(from))
		}
		for to := range r.Nodes {
			if link := truth.Link(from, to, UDP); from != to && link != (Link{}) {
				t.Errorf("the link from %s to %s is not whole in the end: %+v", NodeName(from), NodeName(to), link)
			}
		}
	}
}

// Over a few hours every kind of fault comes, and only those that are asked for.
func TestRandomScenariosHaveTheFaultsAskedFor(t *testing.T) {
	key := map[string]string{"partition": "partition: {", "link": "loss: ", "pause": "pause: {", "stall": "stall: {", "kill": "kill: {", "restart": "restart: {"}
	for _, faults := range [][]string{nil, {"partition"}, {"link", "pause"}, {"kill"}, {"restart", "stall"}} {
		data, err := GenerateRandom(Random{Nodes: 12, Duration: 4 * time.Hour, Seed: 3, Faults: faults})
		if err != nil {
			t.Fatal(err)
		}
		for kind, text := range key {
			wanted := len(faults) == 0 || slices.Contains(faults, kind)
			if got := strings.Contains(string(data), text); got != wanted {
				t.Errorf("faults %v: the file has a %s: %v", faults, kind, got)
			}
		}
	}
}

func TestRandomSeedsDiffer(t *testing.T) {
	one, err := GenerateRandom(Random{Nodes: 12, Duration: time.Hour, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	two, err := GenerateRandom(Random{Nodes: 12, Duration: time.Hour, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	timeline := func(data []byte) string {
		_, steps, _ := strings.Cut(string(data), "timeline:")
		return steps
	}
	if timeline(one) == timeline(two) {
		t.Error("two seeds make the same timeline")
	}
}

func TestRandomRefusesTheImpossible(t *testing.T) {
	_, err := GenerateRandom(Random{Nodes: 3, Duration: time.Second, Faults: []string{"fire"}})
	if err == nil {
		t.Fatal("a file was made")
	}
	for _, want := range []string{"3 nodes are not possible", "a duration of 1s is not possible", `no fault "fire"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}
