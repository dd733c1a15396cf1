package membership

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var compareAddrs = cmpopts.EquateComparable(netip.AddrPort{})

func drawConfig(t *rapid.T) Config {
	seconds := func(label string, low, high int) time.Duration {
		return time.Duration(rapid.IntRange(low, high).Draw(t, label)) * time.Second
	}
	return Config{
		Self:             "n0",
		StableAfter:      seconds("stable after", 1, 30),
		SuspicionLapse:   seconds("lapse", 0, 20),
		FailedRetention:  seconds("failed retention", 1, 200),
		LeftRetention:    seconds("left retention", 1, 100),
		JournalPerMember: rapid.IntRange(1, 5).Draw(t, "journal per member"),
		JournalTotal:     rapid.IntRange(1, 20).Draw(t, "journal total"),
		DegradedScore:    3,
	}
}

// drawInput draws any input, about names n0 to n6 of which n0 is the node itself.
func drawInput(t *rapid.T) Input {
	name := fmt.Sprintf("n%d", rapid.IntRange(0, 6).Draw(t, "name"))
	inc := rapid.Uint32Range(0, 4).Draw(t, "incarnation")
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteRange(1, 2).Draw(t, "address")}), 7946)
	by := fmt.Sprintf("n%d", rapid.IntRange(0, 40).Draw(t, "by"))
	switch rapid.IntRange(0, 10).Draw(t, "kind") {
	case 0:
		return Joined{Name: name, Addr: addr, Incarnation: inc}
	case 1:
		return Updated{Name: name, Addr: addr, Incarnation: inc}
	case 2:
		return Accused{Subject: name, Incarnation: inc, Accuser: by, Source: SourceInbound}
	case 3:
		return Refuted{Subject: name, Incarnation: inc}
	case 4:
		return EngineFailed{Name: name, Incarnation: inc}
	case 5:
		return EngineLeft{Name: name, Incarnation: inc}
	case 6:
		return ForcedOut{Subject: name, Incarnation: inc, Prune: rapid.Bool().Draw(t, "prune"), By: by}
	case 7:
		if rapid.Bool().Draw(t, "no address") {
			addr = netip.AddrPort{}
		}
		return Record{Name: name, Addr: addr, Incarnation: inc, By: by,
			State:     rapid.SampledFrom([]State{Failed, Left}).Draw(t, "state"),
			Age:       time.Duration(rapid.IntRange(0, 100).Draw(t, "age")) * time.Second,
			ForcedOut: rapid.Bool().Draw(t, "forced out"), Pruned: rapid.Bool().Draw(t, "pruned")}
	case 8:
		return Conflict{Name: name, Ours: addr, Theirs: addr}
	case 9:
		return Health{Score: rapid.IntRange(0, 8).Draw(t, "score")}
	}
	return Tick{}
}

// TestCoreAgainstTwin feeds random inputs to the core and to its naive twin, and after
// each of them asks what must hold always.
func TestCoreAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		core, naive, now := newCore(t, cfg), newTwin(cfg), epoch
		known := map[string]State{}
		var views []*View
		var members [][]Member
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "quarters of seconds")) * time.Second / 4)
			in := drawInput(t)
			effects := core.Step(now, in)
			naive.step(now, in)

			v := core.View(now)
			if diff := cmp.Diff(naive.list(), v.Members(), compareAddrs); diff != "" {
				t.Fatalf("after %T%+v at %v the twin (-) and the core (+) differ:\n%s", in, in, now.Sub(epoch), diff)
			}
			if v.Condition() != naive.condition() {
				t.Fatalf("after %T%+v the condition is %v, the twin says %v", in, in, v.Condition(), naive.condition())
			}
			checkChanges(t, known, effects, v, now)
			checkView(t, v)
			checkCounts(t, core)
			checkJournal(t, core, cfg)
			checkWake(t, core, now)
			views, members = append(views, v), append(members, v.Members())
		}
		for i, v := range views {
			if diff := cmp.Diff(members[i], v.Members(), compareAddrs); diff != "" {
				t.Fatalf("view %d changed after it was taken:\n%s", i, diff)
			}
		}
	})
}

// checkChanges replays the changes over what a subscriber knew: it must know each
// member's state before, and end with what the view shows.
func checkChanges(t *rapid.T, known map[string]State, effects []Effect, v *View, now time.Time) {
	for _, e := range effects {
		changed, ok := e.(Changed)
		if !ok {
			continue
		}
		c := changed.Change
		if !c.At.Equal(now) || c.Reason == "" || strings.HasSuffix(c.Reason, ".") || len(c.By) > maxAccusers {
			t.Fatalf("malformed change %+v", c)
		}
		switch {
		case c.Kind == ChangeCondition:
			if c.Condition != v.Condition() {
				t.Fatalf("the change says %v, the view %v", c.Condition, v.Condition())
			}
			continue
		case known[c.Member.Name] != c.Before:
			t.Fatalf("%v of %s says it was %v, it was %v", c.Kind, c.Member.Name, c.Before, known[c.Member.Name])
		case c.Kind == ChangeRemoved:
			delete(known, c.Member.Name)
			continue
		}
		known[c.Member.Name] = c.Member.State
	}
	shown := map[string]State{}
	for m := range v.All() {
		shown[m.Name] = m.State
	}
	if diff := cmp.Diff(known, shown); diff != "" {
		t.Fatalf("the changes (-) do not add up to the view (+):\n%s", diff)
	}
}

func checkView(t *rapid.T, v *View) {
	members := v.Members()
	if !slices.IsSortedFunc(members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) }) {
		t.Fatalf("the view is not sorted: %v", members)
	}
	counts := map[State]int{}
	for _, m := range members {
		counts[m.State]++
		if got, ok := v.Member(m.Name); !ok || !cmp.Equal(got, m, compareAddrs) {
			t.Fatalf("Member(%s) = %v, %v, Members has %v", m.Name, got, ok, m)
		}
	}
	for s := State(0); s <= Left+1; s++ {
		if v.Count(s) != counts[s] {
			t.Fatalf("Count(%v) = %d, there are %d", s, v.Count(s), counts[s])
		}
	}
	if _, ok := v.Member("m"); ok || v.Len() != len(members) || v.Self().Name != "n0" || !v.Self().Local {
		t.Fatalf("malformed view of %d members, self %v", v.Len(), v.Self())
	}
}

// checkCounts asks the invariants of the table.
func checkCounts(t *rapid.T, c *Core) {
	var want table
	for i, r := range c.table.rows {
		want.tally(r, +1)
		if r.pos >= 0 && c.table.alarms[r.pos] != r {
			t.Fatalf("row %d is not at its place in the alarms", i)
		}
		if r.suspicion != nil && len(r.suspicion.accusers) > maxAccusers {
			t.Fatalf("%d accusers", len(r.suspicion.accusers))
		}
	}
	got := c.table
	if got.counts != want.counts || got.stable != want.stable || got.stableHeld != want.stableHeld || got.digest != want.digest {
		t.Fatalf("counts are %v %d %d, the rows give %v %d %d",
			got.counts, got.stable, got.stableHeld, want.counts, want.stable, want.stableHeld)
	}
}

func checkJournal(t *rapid.T, c *Core, cfg Config) {
	all := c.Journal("")
	if len(all) > cfg.JournalTotal {
		t.Fatalf("the journal has %d entries, bound %d", len(all), cfg.JournalTotal)
	}
	bySubject := map[string][]Entry{}
	for i, e := range all {
		if i > 0 && e.At.Before(all[i-1].At) {
			t.Fatalf("the journal runs backwards at %d", i)
		}
		bySubject[e.Subject] = append(bySubject[e.Subject], e)
	}
	for subject, want := range bySubject {
		if len(want) > cfg.JournalPerMember {
			t.Fatalf("%d entries about %s, bound %d", len(want), subject, cfg.JournalPerMember)
		}
		if diff := cmp.Diff(want, c.Journal(subject)); diff != "" {
			t.Fatalf("journal of %s, from all (-) and by itself (+):\n%s", subject, diff)
		}
	}
}

// checkWake: after a step nothing is overdue.
func checkWake(t *rapid.T, c *Core, now time.Time) {
	if at, ok := c.NextWake(); ok && !at.After(now) {
		t.Fatalf("NextWake is %v at %v", at.Sub(epoch), now.Sub(epoch))
	}
}

// TestTicksComeToAnEnd: ticking whenever the core wants it gets past everything that waits,
// in a bounded number of ticks and without going back.
func TestTicksComeToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		core, now := newCore(t, drawConfig(t)), epoch
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "seconds")) * time.Second)
			core.Step(now, drawInput(t))
		}
		// Each of seven names can lapse, then become stable, or be forgotten, or stop being pruned.
		for ticks := 0; ; ticks++ {
			at, ok := core.NextWake()
			if !ok {
				break
			}
			if !at.After(now) || ticks > 14 {
				t.Fatalf("tick %d is due at %v, it is %v", ticks, at.Sub(epoch), now.Sub(epoch))
			}
			now = at
			core.Step(now, Tick{})
		}
		if at := now.Add(10000 * time.Hour); len(core.Step(at, Tick{})) > 0 {
			t.Fatal("something changed later though nothing waited for time")
		}
	})
}

// TestFloods: no flood of made-up names, accusers, prunes or tags gets over a bound.
func TestFloods(t *testing.T) {
	cfg := Config{Self: "n0", MaxMembers: 50, JournalPerMember: 8, JournalTotal: 100}
	core := newCore(t, cfg)
	core.Step(epoch, Joined{Name: "n0"})
	core.Step(epoch, Joined{Name: "victim", Incarnation: 1})
	big := map[string]string{"key": strings.Repeat("v", maxTagBytes)}
	for i := range 3000 {
		now, name := epoch.Add(time.Duration(i)*time.Millisecond), fmt.Sprint("made-up-", i)
		core.Step(now, Record{Name: name, State: Failed, Incarnation: 1, Tags: big})
		core.Step(now, Record{Name: "p" + name, Pruned: true, Incarnation: 1})
		core.Step(now, ForcedOut{Subject: "q" + name, Prune: true, Incarnation: 1})
		core.Step(now, Joined{Name: name, Tags: big})
		core.Step(now, Joined{Name: strings.Repeat("x", MaxNameBytes+1)})
		core.Step(now, Accused{Subject: "victim", Incarnation: 1, Accuser: name})
		core.Step(now, Accused{Subject: "victim", Incarnation: 1, Accuser: strings.Repeat("x", MaxNameBytes+1)})
		core.Step(now, Conflict{Name: name})
	}
	v := core.View(epoch)
	if v.Len() != cfg.MaxMembers || core.table.counts[0] != maxPruned || len(core.Journal("")) != cfg.JournalTotal {
		t.Errorf("%d members, %d pruned names, %d entries; want each at its bound",
			v.Len(), core.table.counts[0], len(core.Journal("")))
	}
	if n := len(core.journal.slots); n > cfg.JournalTotal {
		t.Errorf("the journal holds %d slots for %d entries", n, cfg.JournalTotal)
	}
	if n := len(core.Journal("victim")); n == 0 || n > cfg.JournalPerMember {
		t.Errorf("%d entries about the accused member, want 1 to %d", n, cfg.JournalPerMember)
	}
	for m := range v.All() {
		if len(m.Tags) > 0 {
			t.Errorf("%s kept tags over the bound", m.Name)
		}
	}
	if core.Ignored() == 0 {
		t.Error("nothing was counted as ignored")
	}
	if victim, _ := v.Member("victim"); victim.State != Suspect {
		t.Errorf("the accused member is %v", victim.State)
	}
}

// TestMalformedInputs: what cannot be taken is counted and changes nothing.
func TestMalformedInputs(t *testing.T) {
	long := strings.Repeat("x", MaxNameBytes+1)
	for _, in := range []Input{
		Joined{},
		Joined{Name: long},
		Updated{Name: long},
		Accused{Subject: "n1", Incarnation: 1},
		Accused{Subject: "n1", Incarnation: 1, Accuser: long},
		ForcedOut{Prune: true},
		ForcedOut{Subject: long, Prune: true},
		ForcedOut{Subject: "n2", By: long},
		Record{State: Failed},
		Record{Name: long, State: Failed},
		Record{Name: long, Pruned: true},
		Record{Name: "n2", Incarnation: 9, State: Left, By: long},
		Record{Name: "n3", State: Alive},
		Record{Name: "n3", State: Left + 1},
	} {
		core := newCore(t, Config{Self: "n0"})
		for _, name := range []string{"n0", "n1", "n2"} {
			core.Step(epoch, Joined{Name: name, Incarnation: 1})
		}
		core.Step(epoch, EngineFailed{Name: "n2"})
		before := core.View(epoch).Version()
		if effects := core.Step(epoch, in); len(effects) > 0 || core.View(epoch).Version() != before {
			t.Errorf("%T%+v had the effects %v", in, in, effects)
		}
		if core.Ignored() != 1 || core.table.counts[0] != 0 {
			t.Errorf("%T%+v: %d inputs counted as ignored, %d names as pruned", in, in, core.Ignored(), core.table.counts[0])
		}
	}
}

// TestClockRunsBackwards: an earlier time is no time.
func TestClockRunsBackwards(t *testing.T) {
	core := newCore(t, Config{Self: "n0"})
	core.Step(epoch.Add(time.Minute), Joined{Name: "n0"})
	core.Step(epoch, Joined{Name: "n1"})
	m, _ := core.View(epoch).Member("n1")
	if !m.Since.Equal(epoch.Add(time.Minute)) {
		t.Errorf("n1 is alive since %v, want the latest time known", m.Since.Sub(epoch))
	}
}

func TestConfigBounds(t *testing.T) {
	for _, tt := range []struct {
		field string
		cfg   Config
	}{
		{"Self", Config{}},
		{"Self", Config{Self: strings.Repeat("x", MaxNameBytes+1)}},
		{"StableAfter", Config{Self: "a", StableAfter: maxDuration + 1}},
		{"SuspicionLapse", Config{Self: "a", SuspicionLapse: -1}},
		{"FailedRetention", Config{Self: "a", FailedRetention: -1}},
		{"LeftRetention", Config{Self: "a", LeftRetention: maxDuration + 1}},
		{"MaxMembers", Config{Self: "a", MaxMembers: maxCount + 1}},
		{"JournalPerMember", Config{Self: "a", JournalPerMember: -1}},
		{"JournalTotal", Config{Self: "a", JournalTotal: maxCount + 1}},
		{"DegradedScore", Config{Self: "a", DegradedScore: -1}},
	} {
		core, err := New(tt.cfg, epoch)
		if err == nil || core != nil || !strings.Contains(err.Error(), tt.field) {
			t.Errorf("%s out of bounds gives the error %v", tt.field, err)
		}
	}
}
