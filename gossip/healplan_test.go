package gossip

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func testHealer(seed uint64) *healer { return newHealer(time.Second, rand.New(rand.NewPCG(seed, 7))) }

func failedMembers(names ...string) (list []healTarget) {
	for _, n := range names {
		list = append(list, healTarget{name: n})
	}
	return list
}

// However many nodes there are, together they make about one attempt in an
// interval, and nearly none while nobody is failed.
func TestRateIsTheClusters(t *testing.T) {
	const intervals = 4000
	for _, nodes := range []int{1, 3, 50, 400} {
		for _, failed := range [][]healTarget{failedMembers("a"), failedMembers("a", "b", "c"), nil} {
			t.Run(fmt.Sprintf("nodes=%d/failed=%d", nodes, len(failed)), func(t *testing.T) {
				attempts := 0
				for node := range nodes {
					h := testHealer(uint64(node))
					for range intervals {
						if !h.turn(nodes) {
							continue
						}
						if _, ok := h.pick(time.Time{}, situation{held: nodes, failed: failed, seeds: []string{"s"}}); ok {
							attempts++
						}
					}
				}
				want := float64(intervals)
				if len(failed) == 0 {
					want /= idleShare
				}
				if got := float64(attempts); got < 0.6*want || got > 1.4*want {
					t.Errorf("%v attempts in %d intervals, want about %v", got, intervals, want)
				}
			})
		}
	}
}

func TestPauseIsJitteredAroundTheInterval(t *testing.T) {
	h := testHealer(1)
	var sum time.Duration
	for range 1000 {
		p := h.pause()
		if p < h.every/2 || p >= h.every*3/2 {
			t.Fatalf("a pause of %v", p)
		}
		sum += p
	}
	if mean := sum / 1000; mean < 9*h.every/10 || mean > 11*h.every/10 {
		t.Errorf("%v in the mean, want about %v", mean, h.every)
	}
}

// Members fail and come back as they like: who stays failed is tried again
// within as many attempts at members as there are failed ones, and so is each seed sooner or later.
func TestNobodyIsStarved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := testHealer(rapid.Uint64().Draw(t, "seed"))
		seeds := []string{"s1", "s2"}
		failed := map[string]bool{"stays": true}
		waited, most, turns := 0, 1, 0
		seen := map[string]int{}
		for range rapid.IntRange(200, 600).Draw(t, "attempts") {
			if name := fmt.Sprintf("m%d", rapid.IntRange(0, 30).Draw(t, "flaps")); failed[name] {
				delete(failed, name)
			} else {
				failed[name] = true
			}
			var list []healTarget
			for i := range 31 {
				if name := fmt.Sprintf("m%d", i); failed[name] {
					list = append(list, healTarget{name: name})
				}
			}
			list = append(list, healTarget{name: "stays"})
			most = max(most, len(list))
			got, ok := h.pick(time.Time{}, situation{failed: list, seeds: seeds})
			if !ok {
				t.Fatal("nobody was picked though members are failed")
			}
			if got.seed != "" {
				seen[got.seed]++
				continue
			}
			if !failed[got.name] {
				t.Fatalf("%q is not failed", got.name)
			}
			turns++
			if waited++; got.name == "stays" {
				waited = 0
			}
			// A newcomer counts as tried as often as the least, so each flap may add one to the wait.
			if waited > 2*32 {
				t.Fatalf("waited for %d attempts at members, of whom there were %d at most", waited, most)
			}
			if len(h.tried) > len(list) {
				t.Fatalf("%d members are remembered, %d are failed", len(h.tried), len(list))
			}
		}
		if turns > 150 && (seen["s1"] == 0 || seen["s2"] == 0) {
			t.Errorf("seeds were tried %v times in %d attempts", seen, turns)
		}
	})
}

// With the same failed members all the time the turns are exact.
func TestMembersTakeTurns(t *testing.T) {
	h := testHealer(3)
	failed := failedMembers("a", "b", "c", "d", "e")
	streams := map[string]int{}
	for turn := range 2 * streamShare {
		seen := map[string]bool{}
		for range failed {
			got, ok := h.pick(time.Time{}, situation{failed: failed})
			if !ok || seen[got.name] {
				t.Fatalf("turn %d: %q again after %v", turn, got.name, seen)
			}
			seen[got.name] = true
			if got.stream {
				streams[got.name]++
			}
		}
	}
	for _, m := range failed {
		if streams[m.name] != 2 {
			t.Errorf("%s was asked by a stream %d times in %d, want 2", m.name, streams[m.name], 2*streamShare)
		}
	}
}

func TestSeedsThatHaveNothingToTellAreLeftAlone(t *testing.T) {
	h := testHealer(4)
	now := time.Unix(0, 0)
	s := situation{held: 10, failed: failedMembers("a"), seeds: []string{"vip"}}
	h.leaveAlone(now, "vip", s.held)
	count := func(at time.Time) (n int) {
		for range 100 {
			if got, _ := h.pick(at, s); got.seed != "" {
				n++
			}
		}
		return n
	}
	rest := idleShare * 10 * h.every
	if n := count(now.Add(rest - 1)); n > 0 {
		t.Errorf("asked %d times while it should be left alone", n)
	}
	if n := count(now.Add(rest)); n == 0 {
		t.Error("never asked again")
	}
	h.every = 24 * time.Hour
	h.leaveAlone(now, "vip", 1<<30)
	if n := count(now.Add(300 * h.every)); n > 0 {
		t.Errorf("asked %d times within 300 long intervals", n)
	}
	h.every = rest / idleShare / 10
	h.leaveAlone(now, "vip", s.held)
	for i := range 1000 { // other seeds push out what is over
		h.leaveAlone(now.Add(time.Duration(i)*rest*2), fmt.Sprint(i), 10)
	}
	if len(h.mute) > 2 {
		t.Errorf("%d seeds are remembered", len(h.mute))
	}
}

func TestBurstsAreRareAndBounded(t *testing.T) {
	h := testHealer(5)
	now, bursts := time.Unix(0, 0), 0
	for range 600 { // ten minutes in which somebody is reached each second
		if h.reached(now) {
			bursts++
		}
		now = now.Add(time.Second)
	}
	if bursts != 600/burstRest {
		t.Errorf("%d bursts in 10 minutes, want %d", bursts, 600/burstRest)
	}
	seen := map[string]int{}
	for _, batch := range h.batches(failedMembers("a", "b", "c", "d", "e", "f")) {
		if len(batch) > burstWidth {
			t.Errorf("%d at a time", len(batch))
		}
		for _, m := range batch {
			seen[m.name]++
		}
	}
	if len(seen) != 6 || seen["a"] != 1 {
		t.Errorf("tried %v, want each once", seen)
	}
}

func TestSignsConcern(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1000+int64(s), 0) }
	s := signs{disputed: map[string]bool{"d": true}, from: at(0), to: at(5)}
	for _, c := range []struct {
		name  string
		signs signs
		m     healTarget
		want  bool
	}{
		{"held alive by others", s, healTarget{name: "d", since: at(-9999)}, true},
		{"failed with those that came back", s, healTarget{name: "x", since: at(3)}, true},
		{"shortly before", s, healTarget{name: "x", since: at(-10)}, true},
		{"shortly after", s, healTarget{name: "x", since: at(15)}, true},
		{"long before", s, healTarget{name: "x", since: at(-11)}, false},
		{"long after", s, healTarget{name: "x", since: at(16)}, false},
		{"nobody came back", signs{}, healTarget{name: "x"}, false},
	} {
		if got := c.signs.concern(c.m, 10*time.Second); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
