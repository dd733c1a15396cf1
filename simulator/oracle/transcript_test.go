package oracle

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"heartbeat/membership"
	"heartbeat/simulator/scenario"
)

// TestTranscripts judges the hand-written histories of testdata/*.txt. `go test -rewrite` rewrites what they
// expect. Commands:
//
//	run [round=1s longest=10s seed=1] [again]   a scenario's cluster, timeline and expectations; prints the plan
//	history                      one entry to a line; prints those that are refused:
//	                               TIME OBSERVER[,OBSERVER..] KIND SUBJECT [INCARNATION]
//	                               TIME ACCUSER accuses SUBJECT INCARNATION
//	                               load NODE FROM TO udp=PACKETS/BYTES tcp=PACKETS/BYTES  (out; in is twice that)
//	                               joined TIME, broken REASON, cpu TIME
//	result                       ends the run; prints what it came to
//	expect                       holds it, and the runs before it that it repeats, against the expectations
//
// The observer "all" is all others that are not named "but NODE".
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			p := &player{}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return p.play(t, d) })
		})
	}
}

// player holds the run of one transcript.
type player struct {
	scenario *scenario.Scenario
	plan     *scenario.Plan
	judge    *Judge
	results  []RunResult
}

func (p *player) play(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "run":
		return p.run(t, d)
	case "history":
		var refused []string
		for line := range strings.Lines(d.Input) {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			if err := p.entry(t, line); err != nil {
				refused = append(refused, err.Error()+"\n")
			}
		}
		if refused == nil {
			return "ok"
		}
		return strings.Join(refused, "")
	case "result":
		r, err := p.judge.Finish()
		if err != nil {
			return err.Error()
		}
		p.results = append(p.results, r)
		return show(&r)
	case "expect":
		var b strings.Builder
		for _, o := range Evaluate(p.scenario.Expect, p.results) {
			mark := "broken"
			if o.Holds {
				mark = "holds"
			}
			fmt.Fprintf(&b, "%s: %s\n  %s\n", mark, o.Expected, o.Text)
			if len(o.Seeds) > 0 {
				fmt.Fprintf(&b, "  seeds %v\n", o.Seeds)
			}
		}
		return b.String()
	}
	t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	return ""
}

func (p *player) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	timing := Timing{Round: time.Second, Longest: 10 * time.Second}
	seed, again := uint64(1), false
	for _, a := range d.CmdArgs {
		var err error
		switch a.Key {
		case "round":
			timing.Round, err = time.ParseDuration(a.Vals[0])
		case "longest":
			timing.Longest, err = time.ParseDuration(a.Vals[0])
		case "again":
			again = true
		case "seed":
			seed, err = strconv.ParseUint(a.Vals[0], 10, 64)
		default:
			t.Fatalf("%s: unknown argument %q", d.Pos, a.Key)
		}
		if err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
	}
	s, err := scenario.Parse(d.Pos, []byte("version: 1\nname: test\n"+d.Input+"\n"), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.plan, err = s.Resolve(seed); err != nil {
		t.Fatal(err)
	}
	if p.judge, err = New(p.plan, timing); err != nil {
		return err.Error()
	}
	if p.scenario = s; !again {
		p.results = nil
	}
	var b strings.Builder
	for _, a := range p.plan.Actions {
		fmt.Fprintln(&b, a)
	}
	fmt.Fprintf(&b, "%s end\n", p.plan.End)
	return b.String()
}

// entry tells the judge one line of a history.
func (p *player) entry(t *testing.T, line string) error {
	t.Helper()
	words := strings.Fields(line)
	duration := func(text string) time.Duration {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		return d
	}
	switch words[0] {
	case "joined":
		p.judge.Joined(duration(words[1]))
		return nil
	case "broken":
		p.judge.BreakOff(strings.Join(words[1:], " "))
		return nil
	case "cpu":
		p.judge.CPU(duration(words[1]))
		return nil
	case "load":
		s := LoadSample{Node: indexOf(t, words[1]), From: duration(words[2]), To: duration(words[3])}
		for name, out := range map[string]*Traffic{"udp": &s.UDP, "tcp": &s.TCP} {
			for _, w := range words[4:] {
				if _, err := fmt.Sscanf(w, name+"=%d/%d", &out.PacketsOut, &out.BytesOut); err == nil {
					out.PacketsIn, out.BytesIn = 2*out.PacketsOut, 2*out.BytesOut
				}
			}
		}
		return p.judge.Load(s)
	}
	at, subject, incarnation := duration(words[0]), indexOf(t, words[3]), uint64(0)
	if len(words) > 4 && words[4] != "but" {
		var err error
		if incarnation, err = strconv.ParseUint(words[4], 10, 32); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	if words[2] == "accuses" {
		return p.judge.Accuse(Accusation{At: at, Accuser: indexOf(t, words[1]), Subject: subject, Incarnation: uint32(incarnation)})
	}
	var kind membership.ChangeKind
	if err := kind.UnmarshalText([]byte(words[2])); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	for _, observer := range p.observers(t, words) {
		if err := p.judge.Observe(Observation{At: at, Observer: observer, Subject: subject, Kind: kind, Incarnation: uint32(incarnation)}); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) observers(t *testing.T, words []string) []int {
	t.Helper()
	var list []int
	if words[1] != "all" {
		for name := range strings.SplitSeq(words[1], ",") {
			list = append(list, indexOf(t, name))
		}
		return list
	}
	but := []string{words[3]}
	if i := slices.Index(words, "but"); i >= 0 {
		but = append(but, words[i+1:]...)
	}
	for i, name := range p.plan.Nodes {
		if !slices.Contains(but, name) {
			list = append(list, i)
		}
	}
	return list
}

// indexOf returns the index of a name; there may be no such node.
func indexOf(t *testing.T, name string) int {
	t.Helper()
	number, err := strconv.Atoi(strings.TrimPrefix(name, "n"))
	if err != nil {
		t.Fatalf("%q names no node", name)
	}
	return number - 1
}

// show writes what is not zero of a result.
func show(r *RunResult) string {
	var b strings.Builder
	line := func(given bool, format string, args ...any) {
		if given {
			fmt.Fprintf(&b, format+"\n", args...)
		}
	}
	line(r.BrokenOff != "", "broken off: %s", r.BrokenOff)
	line(!r.Joined.Never(), "joined: %s", r.Joined)
	showClasses(&b, "verdicts", &r.Verdicts.Classes)
	line(r.Verdicts.Late > 0, "late verdicts: %d", r.Verdicts.Late)
	line(r.Verdicts.FalseSubjects > 0, "false subjects: %d, healthy %d", r.Verdicts.FalseSubjects, r.Verdicts.FalseHealthySubjects)
	showClasses(&b, "accusations", &r.Accusations)
	line(r.Refutations > 0, "refutations: %d", r.Refutations)
	c := r.ViewChanges
	line(c.Total > 0, "view changes: %d, most %d by %s, %d about %s; of lists %d", c.Total, c.MostByObserver, c.WorstObserver, c.MostAboutSubject, c.WorstSubject, r.ListChanges.Total)
	for _, c := range r.Crashes {
		fmt.Fprintf(&b, "crash of %s, %s to %s: times %v, undetected %d, already %d, excused %d; first %s, majority %s, full %s, spread %s\n",
			c.Node, c.At, c.Until, c.Times, c.Undetected, c.Already, c.Excused, c.First, c.Majority, c.Full, c.Spread)
	}
	fmt.Fprintf(&b, "after %s: right %s, settled %s, wrong at end %d\n", r.Convergence.LastAction, r.Convergence.First, r.Convergence.Settled, r.Convergence.WrongAtEnd)
	for _, s := range r.EndStates {
		fmt.Fprintf(&b, "at the end %s is alive to %d, suspect to %d, failed to %d, left to %d, unlisted to %d\n", s.Node, s.Alive, s.Suspect, s.Failed, s.Left, s.Unlisted)
	}
	if l := r.Load; l.Samples > 0 {
		fmt.Fprintf(&b, "load over %s: %.4g\n", l.NodeSeconds, []float64{
			float64(l.UDP.PacketsOut), float64(l.UDP.PacketsIn), float64(l.UDP.BytesOut), float64(l.UDP.BytesIn),
			float64(l.TCP.PacketsOut), float64(l.TCP.PacketsIn), float64(l.TCP.BytesOut), float64(l.TCP.BytesIn)})
		fmt.Fprintf(&b, "peaks: out p99 %.4g max %.4g, in p99 %.4g max %.4g\n", float64(l.PeakOut.P99), float64(l.PeakOut.Max), float64(l.PeakIn.P99), float64(l.PeakIn.Max))
	}
	line(r.CPU > 0, "cpu: %s", r.CPU)
	for _, row := range r.Heat.Rows {
		fmt.Fprintf(&b, "heat of %s by %s: %v\n", row.Node, r.Heat.Bucket, row.Steps)
	}
	for _, e := range r.Examples {
		fmt.Fprintf(&b, "example: %s declares %s failed at %s, suspected since %s: %s\n", e.Observer, e.Subject, e.At, e.Suspected, e.Class)
	}
	return b.String()
}

func showClasses(b *strings.Builder, what string, c *Classes) {
	for _, class := range []struct {
		name string
		by   ByStanding
	}{{"true", c.True}, {"justified", c.Justified}, {"false about healthy", c.FalseHealthy}, {"false about frozen", c.FalseFrozen}} {
		if class.by.Sum() > 0 {
			fmt.Fprintf(b, "%s, %s: %d by healthy, %d by frozen, %d by cut off\n", what, class.name, class.by.Healthy, class.by.Frozen, class.by.CutOff)
		}
	}
}
