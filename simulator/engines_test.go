package simulator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"heartbeat/membership"
	"heartbeat/simulator/engine"
	"heartbeat/simulator/live"
	"heartbeat/simulator/scenario"
)

// scripted is an engine that tells a story which the test makes up.
type scripted struct {
	name    string
	cannot  error
	story   func(seed uint64, h *live.History) error
	played  int
	forbids bool // no seed may be played
	t       *testing.T
}

func (s *scripted) Name() string                   { return s.name }
func (s *scripted) Check(*scenario.Scenario) error { return s.cannot }

func (s *scripted) Play(_ context.Context, sc *scenario.Scenario, seed uint64, passed func(time.Duration)) (*live.History, error) {
	if s.forbids {
		s.t.Errorf("seed %d was played", seed)
	}
	s.played++
	plan, err := sc.Resolve(seed)
	if err != nil {
		return nil, err
	}
	passed(time.Second)
	h := &live.History{Plan: plan, Start: engine.Start{Agreed: time.Second}, Clock: live.Clock{Skew: time.Millisecond, Lag: 7 * time.Millisecond}}
	return h, s.story(seed, h)
}

// failed is one node's verdict.
func failed(at time.Duration, observer int, subject string) live.Observation {
	return live.Observation{At: at, Observer: observer, Change: membership.Change{
		Kind: membership.ChangeFailed, Before: membership.Alive, Member: membership.Member{Name: subject, State: membership.Failed, Incarnation: 1},
	}}
}

const killOfThree = `
version: 1
name: kill
cluster: {nodes: 3}
timeline: [{at: 5s, kill: {node: n3}}]
duration: 20s
expect: [{false_alarms: {max: 0}}, {detected: {node: n3, max: 10s}}]
`

func seen(_ uint64, h *live.History) error {
	h.Observations = []live.Observation{failed(8*time.Second, 0, "n3"), failed(9*time.Second, 1, "n3")}
	return nil
}

func TestRealEnginesAreJudgedLikeTheVirtualOne(t *testing.T) {
	e, err := Parse("kill.yaml", []byte(killOfThree))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// The kill took effect a second late: detection counts from there.
	late := func(seed uint64, h *live.History) error {
		plan := *h.Plan
		plan.Actions = append([]scenario.Action(nil), plan.Actions...)
		plan.Actions[0].At += time.Second
		h.Plan = &plan
		return seen(seed, h)
	}
	res, err := Run(t.Context(), e, Options{Engine: &scripted{name: "scripted", story: late, t: t}, TraceDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	run := res.Runs[0]
	if res.Engine != "scripted" || !res.Holds() || run.Clock == nil || run.Clock.Lag != 0.007 {
		t.Errorf("engine %s, holds %v, clock %+v", res.Engine, res.Holds(), run.Clock)
	}
	if c := run.Crashes[0]; c.At != 6 || c.First != 2 || c.Full != 3 {
		t.Errorf("the crash: %+v", c)
	}
	if trace, err := os.ReadFile(filepath.Join(dir, TraceName(1))); err != nil || !strings.Contains(string(trace), `"observer":"n2"`) {
		t.Errorf("the trace (%v):\n%s", err, trace)
	}
}

func TestRealEnginesThatCannot(t *testing.T) {
	e, err := Parse("kill.yaml", []byte(killOfThree))
	if err != nil {
		t.Fatal(err)
	}
	run := func(e *Experiment, s *scripted) (holds bool, broken string, err error) {
		s.name, s.t = "scripted", t
		res, err := Run(t.Context(), e, Options{Engine: s})
		if res != nil && len(res.Runs) > 0 {
			holds, broken = res.Holds(), res.Runs[0].BrokenOff
		}
		return holds, broken, err
	}
	lacks := errors.New("this machine lacks something")
	if _, _, err := run(e, &scripted{cannot: lacks, forbids: true}); !errors.Is(err, lacks) {
		t.Errorf("an engine that cannot run: %v", err)
	}
	if _, _, err := run(e, &scripted{story: func(uint64, *live.History) error { return lacks }}); !errors.Is(err, lacks) || !strings.Contains(err.Error(), "seed 1 on scripted") {
		t.Errorf("a run that fails: %v", err)
	}
	apart := fmt.Errorf("%w within 1m", engine.ErrNoAgreement)
	if holds, broken, err := run(e, &scripted{story: func(uint64, *live.History) error { return apart }}); err != nil || holds || !strings.Contains(broken, "did not agree within 1m") {
		t.Errorf("nodes that do not agree: holds %v, broken off %q, %v", holds, broken, err)
	}
	dead := fmt.Errorf("%w: n2 ended without being told to", engine.ErrAgentFailed)
	if holds, broken, err := run(e, &scripted{story: func(uint64, *live.History) error { return dead }}); err != nil || holds || !strings.Contains(broken, "n2 ended") {
		t.Errorf("an agent that dies: holds %v, broken off %q, %v", holds, broken, err)
	}
	impossible := func(_ uint64, h *live.History) error {
		h.Observations = []live.Observation{failed(8*time.Second, 2, "n1")}
		return nil
	}
	if _, _, err := run(e, &scripted{story: impossible}); err == nil || !strings.Contains(err.Error(), "the oracle does not accept") {
		t.Errorf("a dead node that sees something: %v", err)
	}
	bounded, err := Parse("kill.yaml", []byte(killOfThree))
	if err != nil {
		t.Fatal(err)
	}
	bounded.Scenario.Expect = []scenario.Expectation{{Load: &scenario.LoadBounds{PacketsPerNodeSecond: &scenario.Limit{Max: 9}}}}
	if _, _, err := run(bounded, &scripted{story: seen, forbids: true}); err == nil || !strings.Contains(err.Error(), "only: udp") {
		t.Errorf("a bound of what is not counted: %v", err)
	}
	bounded.Scenario.Expect[0].Load.Only = scenario.UDP
	sends := func(_ uint64, h *live.History) error {
		h.Loads = []live.Load{{To: time.Second, Load: engine.Load{PacketsOut: 2}}}
		return nil
	}
	if holds, _, err := run(bounded, &scripted{story: sends}); err != nil || !holds {
		t.Errorf("a bound of UDP packets: holds %v, %v", holds, err)
	}
}

// What processes hold reaches the judge; in virtual time there are none.
func TestGrowthOfRealProcesses(t *testing.T) {
	e, err := Parse("quiet.yaml", []byte("version: 1\nname: quiet\ncluster: {nodes: 2}\nduration: 30s\nexpect: [{growth: {goroutines: 1}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	leak := func(_ uint64, h *live.History) error {
		for second := range 30 {
			h.Usages = append(h.Usages, live.Usage{At: time.Duration(second) * time.Second, Node: 1, Usage: engine.Usage{Goroutines: 10 + second, Resident: 1}})
		}
		return nil
	}
	res, err := Run(t.Context(), e, Options{Engine: &scripted{name: "scripted", story: leak, t: t}})
	if err != nil {
		t.Fatal(err)
	}
	if check := res.Checks[0]; check.Holds || !strings.Contains(check.Text, "goroutines +19, from 15 to 34 (n2)") {
		t.Errorf("a leak: %+v", check)
	}
	if _, err := Run(t.Context(), e, Options{T: t}); err == nil || !strings.Contains(err.Error(), "in virtual time nodes are no processes") {
		t.Errorf("in virtual time: %v", err)
	}
}

func TestCompareEngines(t *testing.T) {
	e, err := Parse("kill.yaml", []byte(killOfThree), "seeds=1-2")
	if err != nil {
		t.Fatal(err)
	}
	blind := func(seed uint64, h *live.History) error {
		if seed == 2 {
			h.Observations = []live.Observation{failed(8*time.Second, 0, "n3")}
			return nil
		}
		return seen(seed, h)
	}
	a, b := &scripted{name: "a", story: seen, t: t}, &scripted{name: "b", story: blind, t: t}
	c, err := CompareEngines(t.Context(), e, []Engine{a, b}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Arms) != 2 || c.Arms[1].Label != "b" || c.Arms[1].Result.Engine != "b" || len(c.Against) != 1 {
		t.Fatalf("%d arms", len(c.Arms))
	}
	if f := c.FinalViews[0]; f.Compared != 2 || f.Equal != 1 || f.Differences[0] != "seed 2: n2 holds failed: n3 against nobody" {
		t.Errorf("final views: %+v", f)
	}
	for name, engines := range map[string][]Engine{
		"at least two":       {a},
		"named twice":        {a, &scripted{name: "a", t: t}},
		"lacks what it need": {&scripted{name: "a", forbids: true, t: t}, &scripted{name: "b", cannot: errors.New("lacks what it needs"), t: t}},
	} {
		if _, err := CompareEngines(t.Context(), e, engines, Options{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
