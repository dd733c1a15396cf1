package membership

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// verdictConfig is one in which a few seconds of random inputs reach every rule.
func verdictConfig() Config {
	return Config{Self: "n0", StableAfter: time.Second, SuspicionLapse: 10 * time.Second,
		FailedRetention: 100 * time.Second, LeftRetention: 50 * time.Second,
		JournalPerMember: 1000, JournalTotal: 10000, DegradedScore: 3,
		Verdicts: &Verdicts{Witnesses: 4, Quorum: 3, Controls: 2, Patience: time.Second, PatienceMax: 8 * time.Second,
			ProbeInterval: time.Second, ProbeTimeout: 300 * time.Millisecond, EngineTimeout: 2 * time.Second}}
}

// joinAll lets n0 to nN-1 join, and become stable.
func joinAll(core *Core, n int, now time.Time) time.Time {
	for i := range n {
		core.Step(now, Joined{Name: fmt.Sprint("n", i), Incarnation: 1, Addr: netip.MustParseAddrPort("10.0.0.1:7946")})
	}
	now = now.Add(5 * time.Second)
	core.Step(now, Tick{})
	return now
}

// judge is a naive twin of the rules of a verdict: it remembers every input and every effect, and says whether
// a verdict is allowed. It draws lots by its own arithmetic and sorts them.
type judge struct {
	cfg       Verdicts
	testified map[judgeKey]map[string]bool
	accusedAt map[judgeKey]time.Time
	silentAt  map[judgeKey]time.Time // the end of the last look that found it silent
	asking    map[judgeKey]bool      // n0 asks its share of the members
	asked     map[judgeKey]map[string]bool
	lately    map[judgeKey]bool // somebody has heard of it lately
	ever      map[string]bool   // somebody has heard of it
}

type judgeKey struct {
	subject string
	inc     uint32
}

func newJudge(cfg Verdicts) *judge {
	return &judge{cfg, map[judgeKey]map[string]bool{}, map[judgeKey]time.Time{}, map[judgeKey]time.Time{},
		map[judgeKey]bool{}, map[judgeKey]map[string]bool{}, map[judgeKey]bool{}, map[string]bool{}}
}

func (j *judge) saw(now time.Time, in Input, before []Member) {
	accused := func(k judgeKey) {
		if _, known := j.accusedAt[k]; !known {
			j.accusedAt[k] = now
		}
	}
	testified := func(k judgeKey, witness string, asked bool) {
		accused(k)
		if j.testified[k] == nil {
			j.testified[k], j.asked[k] = map[string]bool{}, map[string]bool{}
		}
		j.testified[k][witness] = true
		j.asked[k][witness] = j.asked[k][witness] || asked
	}
	switch in := in.(type) {
	case Accused:
		accused(judgeKey{in.Subject, in.Incarnation})
	case Testified:
		testified(judgeKey{in.Subject, in.Incarnation}, in.Witness, in.Asked)
	case Inquired:
		j.asking[judgeKey{in.Subject, in.Incarnation}] = true
	case Heard:
		j.ever[in.Subject] = true
	case HeardBefore:
		j.ever[in.Subject] = true
		suspect := slices.ContainsFunc(before, func(m Member) bool {
			return m.Name == in.Subject && m.State == Suspect && m.Incarnation == in.Incarnation
		})
		if suspect && in.Before >= 0 && in.Before < j.cfg.Silence+j.cfg.Silence/2 {
			j.lately[judgeKey{in.Subject, in.Incarnation}] = true
		}
	case Probed:
		k := judgeKey{in.Subject, in.Incarnation}
		controls := 2*in.ControlsAnswered > in.ControlsAsked
		switch {
		case in.Answered:
			delete(j.silentAt, k)
		case in.Last && (controls || in.ControlsAsked == 0):
			j.silentAt[k] = now
		case !in.Last && controls:
			testified(k, "n0", j.asking[k])
		}
	}
}

// naiveLot is lot by its definition: FNV-1a of the names, each step finished as in SplitMix64.
func naiveLot(subject string, inc uint32, member string) uint64 {
	finish := func(h uint64) uint64 {
		h ^= h >> 30
		h *= 0xbf58476d1ce4e5b9
		h ^= h >> 27
		h *= 0x94d049bb133111eb
		return h ^ h>>31
	}
	hash := func(name string) uint64 {
		h := fnv.New64a()
		h.Write([]byte(name))
		return finish(h.Sum64())
	}
	return finish(finish(hash(subject)+uint64(inc)*0x9e3779b97f4a7c15) ^ hash(member))
}

// allowed returns why no verdict about k may be passed at that time on that view, or nothing.
func (j *judge) allowed(k judgeKey, now time.Time, before []Member, stable map[string]bool) string {
	var candidates []string
	held, stableAlive := 0, 0
	for _, m := range before {
		if m.State == Alive || m.State == Suspect {
			held++
		}
		if m.State == Alive && m.Name != k.subject {
			candidates = append(candidates, m.Name)
			if stable[m.Name] {
				stableAlive++
			}
		}
	}
	slices.SortFunc(candidates, func(a, b string) int {
		return cmp.Compare(naiveLot(k.subject, k.inc, a), naiveLot(k.subject, k.inc, b))
	})
	plausible := candidates[:min(len(candidates), 2*j.cfg.Witnesses)]
	counting, asked := 0, 0
	for _, name := range plausible {
		if j.testified[k][name] {
			counting++
		}
	}
	for _, name := range candidates {
		if j.asked[k][name] {
			asked++
		}
	}
	quorum := min(j.cfg.Quorum, min(j.cfg.Witnesses, len(candidates))/2+1)
	switch {
	case len(candidates) < 2:
		return "there is nobody to ask"
	case counting < quorum:
		return fmt.Sprintf("%d testimonies count, it takes %d", counting, quorum)
	case 2*stableAlive <= len(stable) || 2*len(candidates) <= held:
		return "this node is in no majority"
	case now.Sub(j.accusedAt[k]) < j.cfg.Patience/2 && asked < quorum:
		return fmt.Sprintf("the patience is not over, and %d have asked the members", asked)
	case now.Sub(j.accusedAt[k]) < j.cfg.Patience/2 && j.lately[k]:
		return "the patience is not over, and it was heard of just before"
	case now.Sub(j.accusedAt[k]) < j.cfg.Patience/2 && !j.ever[k.subject]:
		return "the patience is not over, and nobody ever heard of it"
	case j.silentAt[k].IsZero() || now.Sub(j.silentAt[k]) > j.cfg.Patience+2*j.cfg.ProbeTimeout+recheckEvery:
		return "this node has not looked"
	}
	return ""
}

// expects is false for the outcome of a look that nobody waits for (any more).
func expects(c *Core, in Input) bool {
	p, ok := in.(Probed)
	return !ok || slices.ContainsFunc(c.looking, func(l look) bool {
		return l.subject == p.Subject && l.inc == p.Incarnation && l.last == p.Last
	})
}

func probesIn(effects []Effect) []Probe {
	var probes []Probe
	for _, e := range effects {
		if p, ok := e.(Probe); ok {
			probes = append(probes, p)
		}
	}
	return probes
}

func stableNames(core *Core) map[string]bool {
	names := map[string]bool{}
	for _, r := range core.table.rows {
		if r.stable {
			names[r.fact.name] = true
		}
	}
	return names
}

// drawVerdictInput draws what a core with verdicts sees most, about n0 to n8 of which n0 is the node itself, and the outcomes
// of what it asked for; a focused one is mostly testimony against n2.
func drawVerdictInput(t *rapid.T, asked *[]Probe, focused bool) Input {
	if len(*asked) > 0 && rapid.Bool().Draw(t, "a look ends") {
		i := rapid.IntRange(0, len(*asked)-1).Draw(t, "look")
		p := (*asked)[i]
		early := rapid.Bool().Draw(t, "early")
		if !early {
			*asked = slices.Delete(*asked, i, i+1)
		}
		return Probed{Subject: p.Subject.Name, Incarnation: p.Incarnation, Last: p.Last, Early: early,
			Answered:      !early && rapid.IntRange(0, 9).Draw(t, "answered") == 0,
			ControlsAsked: len(p.Controls), ControlsAnswered: rapid.IntRange(0, len(p.Controls)).Draw(t, "controls")}
	}
	name := fmt.Sprint("n", rapid.SampledFrom([]int{0, 1, 2, 2, 2, 2, 2, 2, 3}).Draw(t, "subject"))
	by := fmt.Sprint("n", rapid.IntRange(0, 9).Draw(t, "by"))
	inc := rapid.SampledFrom([]uint32{1, 1, 1, 1, 2, 3}).Draw(t, "incarnation")
	kind := rapid.IntRange(0, 16).Draw(t, "kind")
	if focused && rapid.IntRange(0, 3).Draw(t, "focus") > 0 {
		name, inc, kind = "n2", 1, 2
		if rapid.IntRange(0, 5).Draw(t, "old") == 0 {
			return HeardBefore{Subject: name, Incarnation: inc, Before: 5 * time.Second}
		}
	}
	switch kind {
	case 0, 1:
		return Accused{Subject: name, Incarnation: inc, Accuser: by, Source: SourceInbound}
	case 2, 3, 4, 5, 6, 7, 8, 9:
		return Testified{Subject: name, Incarnation: inc, Witness: by, Asked: rapid.IntRange(0, 3).Draw(t, "asked") > 0,
			Age: time.Duration(rapid.IntRange(-1, 20).Draw(t, "age")) * 200 * time.Millisecond}
	case 10:
		return Probed{Subject: name, Incarnation: inc, Answered: rapid.IntRange(0, 5).Draw(t, "answered") == 0,
			Last: rapid.Bool().Draw(t, "last"), ControlsAsked: 2, ControlsAnswered: rapid.IntRange(0, 2).Draw(t, "controls")}
	case 11:
		if rapid.Bool().Draw(t, "heard") {
			ago := time.Duration(rapid.IntRange(0, 100).Draw(t, "ago")) * 100 * time.Millisecond
			if rapid.Bool().Draw(t, "before") {
				return HeardBefore{Subject: name, Incarnation: inc, Before: ago}
			}
			return Heard{Subject: name, Incarnation: inc, By: rapid.SampledFrom([]string{"", by}).Draw(t, "where"), At: epoch.Add(ago)}
		}
		return Refuted{Subject: name, Incarnation: inc}
	case 12:
		return EngineFailed{Name: name, Incarnation: inc}
	case 13:
		return Joined{Name: name, Incarnation: inc}
	case 14:
		return PatientlyProbed{Subject: name, Pings: 8, Answers: rapid.IntRange(0, 8).Draw(t, "answers"), ControlsAsked: 2,
			ControlsAnswered: rapid.IntRange(0, 2).Draw(t, "controls")}
	case 15:
		return Inquired{Subject: name, Incarnation: inc}
	}
	return Tick{}
}

// What was said before a refutation, and arrives again and again, costs its witness nothing of what it may say.
func TestEchoesCostWitnessesNothing(t *testing.T) {
	core := newCore(t, Config{Self: "n0", Verdicts: &Verdicts{}})
	now := joinAll(core, 20, epoch)
	step := func(in Input) []Effect { return core.Step(now, in) }
	for i := 1; i < 20; i++ {
		step(Refuted{Subject: fmt.Sprint("n", i), Incarnation: 5})
	}
	for i := range 100 * maxPerWitness {
		step(Testified{Subject: fmt.Sprint("n", 10+i%4), Incarnation: 4, Witness: "n3"})
	}
	step(Accused{Subject: "n7", Incarnation: 5, Accuser: "n4", Source: SourceInbound})
	for i := range 20 { // whoever of them is a witness
		step(Testified{Subject: "n7", Incarnation: 5, Witness: fmt.Sprint("n", i)})
	}
	if heard := core.Counts().TestimoniesHeard; heard < 8 {
		t.Errorf("%d testimonies were heard", heard)
	}
	if said := core.table.get("n3").said; said > 1 {
		t.Errorf("the echoes cost %d", said)
	}
}

// However many members are accused by many, no more than maxPatient are looked at patiently at a time.
func TestPatientLooksAreBounded(t *testing.T) {
	core := newCore(t, Config{Self: "n0", Verdicts: &Verdicts{}})
	now := joinAll(core, 250, epoch)
	now = now.Add(time.Minute)
	looks := 0
	for i := range maxPatient + 4 {
		name := fmt.Sprint("n", 100+i)
		for by := range enoughBlamers {
			for _, e := range core.Step(now, Accused{Subject: name, Incarnation: 1, Accuser: fmt.Sprint("n", 1+by), Source: SourceInbound}) {
				if _, ok := e.(PatientProbe); ok {
					looks++
				}
			}
		}
		core.Step(now, Refuted{Subject: name, Incarnation: 2})
	}
	if looks != maxPatient {
		t.Errorf("%d looks are under way, want %d", looks, maxPatient)
	}
}

// TestVerdictsAgainstJudge: there is no verdict without its quorum, patience, majority and last look, and
// subscribers are told a consistent story.
func TestVerdictsAgainstJudge(t *testing.T) {
	var verdicts, judged, quick int
	rapid.Check(t, func(t *rapid.T) {
		cfg := verdictConfig()
		core := newCore(t, cfg)
		now := joinAll(core, rapid.IntRange(2, 9).Draw(t, "members"), epoch)
		naive := newJudge(*core.cfg.Verdicts)
		var asked []Probe
		known := map[string]State{}
		for m := range core.View(now).All() {
			known[m.Name] = m.State
		}
		step := func(in Input) {
			before, tally := core.View(now).Members(), core.Tally().Verdicts
			stable, expected := stableNames(core), expects(core, in)
			effects := core.Step(now, in)
			asked = append(asked, probesIn(effects)...)
			if expected {
				naive.saw(now, in, before)
			}
			v := core.View(now)
			checkChanges(t, known, effects, v, now)
			checkView(t, v)
			checkCounts(t, core)
			checkWake(t, core, now)
			checkVerdictBounds(t, core)
			verdicts += int(core.Tally().Verdicts - tally)
			entries := core.Journal("")
			last := entries[len(entries)-1]
			// One of several changes at once may have been judged on the view that others left behind.
			if core.Tally().Verdicts == tally || last.Kind != EntryVerdict || len(effects) > 1 {
				return
			}
			judged++
			k := judgeKey{last.Subject, last.Incarnation}
			if now.Sub(naive.accusedAt[k]) < naive.cfg.Patience/2 {
				quick++
			}
			if why := naive.allowed(k, now, before, stable); why != "" {
				t.Fatalf("after %T%+v there is a verdict about %s inc=%d: %s", in, in, last.Subject, last.Incarnation, why)
			}
		}
		slowly, focused := rapid.IntRange(0, 6).Draw(t, "slowly"), rapid.Bool().Draw(t, "focused")
		if focused {
			slowly = min(slowly, 1)
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, slowly).Draw(t, "tenths")) * 100 * time.Millisecond)
			step(Tick{})
			step(drawVerdictInput(t, &asked, focused))
		}
	})
	if judged == 0 {
		t.Errorf("of %d verdicts none was judged: the inputs test nothing", verdicts)
	}
	t.Logf("of %d verdicts %d were judged, %d of which came at once", verdicts, judged, quick)
}

func checkVerdictBounds(t *rapid.T, c *Core) {
	for _, r := range c.table.rows {
		if r.suspicion != nil && len(r.suspicion.testimonies) > maxTestimonies {
			t.Fatalf("%d testimonies about %s", len(r.suspicion.testimonies), r.fact.name)
		}
		if r.holding && r.fact.state != Suspect || r.judged && r.fact.state != Failed {
			t.Fatalf("%s is %v, but held back: %v, judged: %v", r.fact.name, r.fact.state, r.holding, r.judged)
		}
	}
	if len(c.looking) > maxLooks+3*maxLastLooks {
		t.Fatalf("%d looks under way", len(c.looking))
	}
}

// TestNothingIsHeldForEver: when no more inputs come, not even the outcomes of probes, all suspicions and all that is held
// back come to an end, in a bounded number of ticks, and what the engine holds is not failed.
func TestNothingIsHeldForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		core := newCore(t, verdictConfig())
		now := joinAll(core, 9, epoch)
		var asked []Probe
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 6).Draw(t, "tenths")) * 100 * time.Millisecond)
			asked = append(asked, probesIn(core.Step(now, drawVerdictInput(t, &asked, false)))...)
		}
		v := core.cfg.Verdicts
		end := now.Add(2*core.cfg.SuspicionLapse + v.PatienceMax + v.Probation<<maxDoublings)
		for ticks := 0; ; ticks++ {
			at, ok := core.NextWake()
			if !ok || at.After(end) {
				break
			}
			if ticks > 2000 {
				t.Fatalf("still ticking after %v", at.Sub(now))
			}
			core.Step(at, Tick{})
		}
		for _, r := range core.table.rows {
			if r.fact.state == Suspect || r.holding || r.fact.state.gone() && r.engine {
				t.Fatalf("%s is %v still, held back: %v, held by the engine: %v", r.fact.name, r.fact.state, r.holding, r.engine)
			}
		}
	})
}

// TestOrderMakesNoDifference: what a network delivers in any order, and how often it does, ends in the same state,
// with the same evidence.
func TestOrderMakesNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var messages []Input
		for range rapid.IntRange(1, 14).Draw(t, "messages") {
			by := fmt.Sprint("n", rapid.IntRange(1, 8).Draw(t, "by"))
			inc := rapid.Uint32Range(1, 3).Draw(t, "incarnation")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				messages = append(messages, Accused{Subject: "n2", Incarnation: inc, Accuser: by, Source: SourceInbound})
			case 1:
				messages = append(messages, Refuted{Subject: "n2", Incarnation: inc})
			default:
				messages = append(messages, Testified{Subject: "n2", Incarnation: inc, Witness: by})
			}
		}
		outcome := func(messages []Input) string {
			core := newCore(t, verdictConfig())
			now := joinAll(core, 9, epoch)
			var looks []Probe
			step := func(in Input) { looks = append(looks, probesIn(core.Step(now, in))...) }
			for _, in := range messages {
				step(in)
			}
			r := core.table.get("n2")
			var witnesses []string
			if r.suspicion != nil {
				for _, w := range r.suspicion.testimonies {
					witnesses = append(witnesses, w.witness)
				}
			}
			slices.Sort(witnesses)
			out := fmt.Sprintf("%v inc=%d by %v", r.fact.state, r.fact.inc, witnesses)
			for range 30 {
				now = now.Add(100 * time.Millisecond)
				asked := looks
				looks = nil
				for _, p := range asked {
					step(Probed{Subject: p.Subject.Name, Incarnation: p.Incarnation, Last: p.Last,
						ControlsAsked: len(p.Controls), ControlsAnswered: len(p.Controls)})
				}
				step(Tick{})
			}
			m, _ := core.View(now).Member("n2")
			return fmt.Sprintf("%s, in the end %v inc=%d", out, m.State, m.Incarnation)
		}
		shuffled := rapid.Permutation(messages).Draw(t, "order")
		again := append(slices.Clone(shuffled), shuffled[:rapid.IntRange(0, len(shuffled)).Draw(t, "repeated")]...)
		if diff := gocmp.Diff(outcome(messages), outcome(again)); diff != "" {
			t.Fatalf("as sent (-) and in another order (+):\n%s", diff)
		}
	})
}

// TestTestimonyFloods: no flood of testimonies gets over a bound, and one witness does not silence others.
func TestTestimonyFloods(t *testing.T) {
	cfg := Config{Self: "n0", Verdicts: &Verdicts{}}
	core := newCore(t, cfg)
	now := joinAll(core, 400, epoch)
	relayed := 0
	for i := range 20000 {
		by := "n1"
		if i%2 == 1 {
			by = fmt.Sprint("made-up-", i)
		}
		for _, e := range core.Step(now, Testified{Subject: fmt.Sprint("n", 1+i%399), Incarnation: uint32(i), Witness: by}) {
			if _, ok := e.(Testify); ok {
				relayed++
			}
		}
	}
	if relayed > maxPerWitness {
		t.Errorf("%d testimonies of one witness were relayed, bound %d", relayed, maxPerWitness)
	}
	if len(core.looking) > maxLooks+maxLastLooks {
		t.Errorf("%d looks under way", len(core.looking))
	}
	if core.Ignored() == 0 {
		t.Error("nothing was counted as ignored")
	}
}

// TestLotsAreTheProtocol: nodes that hash otherwise would choose other witnesses.
func TestLotsAreTheProtocol(t *testing.T) {
	core := newCore(t, verdictConfig())
	joinAll(core, 50, epoch)
	r := core.table.get("n7")
	shares := map[string]int{}
	for inc := range uint32(2000) {
		best := ""
		for _, m := range core.table.rows {
			name := m.fact.name
			if got, want := lot(seedOf(r, inc), m), naiveLot("n7", inc, name); got != want {
				t.Fatalf("the lot of %s about n7 inc=%d is %x, want %x", name, inc, got, want)
			}
			if best == "" || naiveLot("n7", inc, name) < naiveLot("n7", inc, best) {
				best = name
			}
		}
		shares[best]++
	}
	if got := naiveLot("n7", 1, "n3"); got != 0xd9a4e53f20fd97 {
		t.Errorf("the lot of n3 about n7 inc=1 is %#x", got)
	}
	for name, n := range shares {
		if n < 10 || n > 90 {
			t.Errorf("%s is the first witness %d times of 2000, about 40 are fair", name, n)
		}
	}
	if len(shares) != 50 || strings.Contains(fmt.Sprint(shares), "n7:0") {
		t.Errorf("%d members were first", len(shares))
	}
}

// Before its own joining is reported, a node has nobody to look with: the engine alone decides.
func TestVerdictsBeforeTheNodeItselfHasJoined(t *testing.T) {
	core, now := newCore(t, verdictConfig()), epoch
	for i := range 6 {
		core.Step(now, Joined{Name: fmt.Sprint("n", i+1), Incarnation: 1, Addr: netip.MustParseAddrPort("10.0.0.1:7946")})
	}
	core.Step(now, Accused{Subject: "n1", Incarnation: 1, Accuser: "n2", Source: SourceInbound})
	core.Step(now, EngineFailed{Name: "n1", Incarnation: 1})
	for range 200 {
		now = now.Add(100 * time.Millisecond)
		core.Step(now, Tick{})
	}
	if m, _ := core.View(now).Member("n1"); m.State != Failed {
		t.Errorf("n1 is %v", m.State)
	}
}
