package membership

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

var epoch = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// TestTranscripts plays every testdata/*.txt against a core. `go test -rewrite` rewrites
// what they expect. Commands, one to a line, or several as the input of `do`:
//
//	new self=n1 [stable=30s lapse=0s failed=72h left=24h max=N journal=N total=N degraded=N]
//	    [verdicts witnesses=N quorum=N controls=N patience=2s most=1m probe=1s engine=4s]
//	join|update NAME [inc=N addr=IP:PORT|none tags=(k=v, ...)]
//	accuse NAME inc=N by=NAME [via=inbound|outbound]
//	testify NAME inc=N by=NAME [age=D] [asked]
//	inquired NAME inc=N
//	probed NAME inc=N [last] [early] [answered] [controls=ANSWERED/ASKED]
//	heard NAME [inc=N by=NAME]
//	patient NAME answers=ANSWERS/PINGS [controls=ANSWERED/ASKED]
//	refute|failed|left NAME [inc=N]
//	force NAME [inc=N by=NAME] [prune]
//	record NAME state=failed|left [inc=N age=D addr= tags= by=NAME] [forced] [pruned]
//	conflict NAME ours=IP:PORT theirs=IP:PORT
//	health score=N
//	tick [+D]
//	view, journal [NAME], records, wake, ignored, tally
//	members N [inc=N]: n1 to nN join, and a minute passes
//	witnesses NAME inc=N: who would be chosen, and who might be by another view
//
// Every command takes at=+D: the clock advances by D before it. Times in the output count
// from the start.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p := &player{}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				if d.Cmd == "do" {
					return p.playAll(t, d.Input)
				}
				return p.play(t, d.Cmd, d.CmdArgs)
			})
		})
	}
}

// player holds the core of one transcript.
type player struct {
	core *Core
	now  time.Time
}

func (p *player) playAll(t *testing.T, lines string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(lines) {
		cmd, args, err := datadriven.ParseLine(line)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(strings.TrimPrefix(p.play(t, cmd, args), "nothing\n"))
	}
	if out.Len() == 0 {
		return "nothing\n"
	}
	return out.String()
}

func (p *player) play(t *testing.T, cmd string, list []datadriven.CmdArg) string {
	t.Helper()
	a := newArguments(t, cmd, list)
	if cmd == "new" {
		p.now = epoch
		var err error
		p.core, err = New(a.config(), p.now)
		a.done()
		if err != nil {
			return err.Error() + "\n"
		}
		return "ok\n"
	}
	p.now = p.now.Add(a.duration("at"))
	switch cmd {
	case "view":
		a.done()
		return formatView(p.core.View(p.now))
	case "journal":
		a.done()
		return formatJournal(p.core.Journal(a.name))
	case "records":
		a.done()
		return formatRecords(p.core.Records(p.now))
	case "wake":
		a.done()
		if at, ok := p.core.NextWake(); ok {
			return offset(at) + "\n"
		}
		return "never\n"
	case "ignored":
		a.done()
		return fmt.Sprintln(p.core.Ignored())
	case "tally":
		a.done()
		return fmt.Sprintf("%+v\n", p.core.Tally())
	case "members":
		p.joinAll(a)
		a.done()
		return "ok\n"
	case "witnesses":
		out := formatPanel(p.core, a.name, a.inc())
		a.done()
		return out
	case "tick":
		if a.name != "" {
			d, err := time.ParseDuration(a.name)
			if err != nil {
				t.Fatal(err)
			}
			p.now = p.now.Add(d)
		}
	}
	in := a.input(cmd, p.now)
	a.done()
	return formatEffects(p.core.Step(p.now, in))
}

// joinAll lets n1 to nN join at once, and become stable.
func (p *player) joinAll(a *arguments) {
	n, err := strconv.Atoi(a.name)
	if err != nil {
		a.t.Fatal(err)
	}
	inc := a.inc()
	for i := range n {
		p.core.Step(p.now, Joined{Name: fmt.Sprint("n", i+1), Incarnation: inc,
			Addr: netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:7946", i+1))})
	}
	p.now = p.now.Add(time.Minute)
	p.core.Step(p.now, Tick{})
}

// formatPanel tells the members in the order of their lots: witnesses, those that another
// view may have chosen, and how many others there are.
func formatPanel(c *Core, subject string, inc uint32) string {
	r := c.table.get(subject)
	p := c.panel(r, inc)
	var witnesses, plausible []string
	others := 0
	rows := slices.Clone(c.table.rows)
	slices.SortFunc(rows, func(a, b *row) int { return cmp.Compare(lot(p.seed, a), lot(p.seed, b)) })
	for _, m := range rows {
		switch l := lot(p.seed, m); {
		case m.fact.state != Alive || m == r:
		case l <= p.last:
			witnesses = append(witnesses, m.fact.name)
		case l <= p.plausible:
			plausible = append(plausible, m.fact.name)
		default:
			others++
		}
	}
	return fmt.Sprintf("witnesses %v, plausible %v, %d others; quorum %d, majority %v\n",
		witnesses, plausible, others, p.quorum, p.majority)
}

// arguments are those of one command; every one must be used.
type arguments struct {
	t      *testing.T
	cmd    string
	name   string
	values map[string][]string
}

func newArguments(t *testing.T, cmd string, list []datadriven.CmdArg) *arguments {
	t.Helper()
	a := &arguments{t: t, cmd: cmd, values: make(map[string][]string)}
	for i, arg := range list {
		if i == 0 && len(arg.Vals) == 0 && arg.Key != "prune" && arg.Key != "verdicts" {
			a.name = arg.Key
			continue
		}
		a.values[arg.Key] = arg.Vals
	}
	return a
}

func (a *arguments) done() {
	a.t.Helper()
	if len(a.values) > 0 {
		a.t.Fatalf("%s %s: unknown arguments %v", a.cmd, a.name, slices.Sorted(maps.Keys(a.values)))
	}
}

func (a *arguments) take(key string) ([]string, bool) {
	v, ok := a.values[key]
	delete(a.values, key)
	return v, ok
}

func (a *arguments) config() Config {
	cfg := Config{Self: a.text("self", ""), StableAfter: a.duration("stable"),
		SuspicionLapse: a.duration("lapse"), FailedRetention: a.duration("failed"),
		LeftRetention: a.duration("left"), MaxMembers: a.number("max"),
		JournalPerMember: a.number("journal"), JournalTotal: a.number("total"),
		DegradedScore: a.number("degraded")}
	if a.flag("verdicts") {
		cfg.Verdicts = &Verdicts{Witnesses: a.number("witnesses"), Quorum: a.number("quorum"),
			Controls: a.number("controls"), Patience: a.duration("patience"), PatienceMax: a.duration("most"), Silence: a.duration("silence"),
			ProbeInterval: a.duration("probe"), EngineTimeout: a.duration("engine")}
	}
	return cfg
}

func (a *arguments) flag(key string) bool {
	_, ok := a.take(key)
	return ok
}

func (a *arguments) text(key, missing string) string {
	v, ok := a.take(key)
	if !ok {
		return missing
	}
	return strings.Join(v, ",")
}

func (a *arguments) number(key string) int {
	a.t.Helper()
	n, err := strconv.Atoi(a.text(key, "0"))
	if err != nil {
		a.t.Fatal(err)
	}
	return n
}

func (a *arguments) inc() uint32 { return uint32(a.number("inc")) }

func (a *arguments) duration(key string) time.Duration {
	a.t.Helper()
	d, err := time.ParseDuration(a.text(key, "0s"))
	if err != nil {
		a.t.Fatal(err)
	}
	return d
}

// addr makes n7 listen on 10.0.0.7:7946 unless something else, or none, is said.
func (a *arguments) addr(key string) netip.AddrPort {
	a.t.Helper()
	s := a.text(key, "10.0.0."+strings.TrimPrefix(a.name, "n")+":7946")
	if s == "none" {
		return netip.AddrPort{}
	}
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		a.t.Fatal(err)
	}
	return addr
}

func (a *arguments) tags() map[string]string {
	v, _ := a.take("tags")
	tags := make(map[string]string)
	for _, pair := range v {
		key, value, _ := strings.Cut(pair, "=")
		tags[key] = value
	}
	return tags
}

func (a *arguments) input(cmd string, now time.Time) Input {
	a.t.Helper()
	switch cmd {
	case "join":
		return Joined{Name: a.name, Addr: a.addr("addr"), Tags: a.tags(), Incarnation: a.inc(), Life: uint32(a.number("life"))}
	case "update":
		return Updated{Name: a.name, Addr: a.addr("addr"), Tags: a.tags(), Incarnation: a.inc(), Life: uint32(a.number("life"))}
	case "accuse":
		var via Source
		if err := via.UnmarshalText([]byte(a.text("via", "inbound"))); err != nil {
			a.t.Fatal(err)
		}
		return Accused{Subject: a.name, Incarnation: a.inc(), Accuser: a.text("by", ""), Source: via}
	case "testify":
		return Testified{Subject: a.name, Incarnation: a.inc(), Witness: a.text("by", ""), Age: a.duration("age"), Asked: a.flag("asked")}
	case "inquired":
		return Inquired{Subject: a.name, Incarnation: a.inc()}
	case "probed":
		in := Probed{Subject: a.name, Incarnation: a.inc(), Answered: a.flag("answered"), Last: a.flag("last"), Early: a.flag("early")}
		if text := a.text("controls", ""); text != "" {
			if _, err := fmt.Sscanf(text, "%d/%d", &in.ControlsAnswered, &in.ControlsAsked); err != nil {
				a.t.Fatal(err)
			}
		}
		return in
	case "heard":
		if before := a.duration("before"); before > 0 {
			return HeardBefore{Subject: a.name, Incarnation: a.inc(), Before: before}
		}
		in := Heard{Subject: a.name, Incarnation: a.inc(), By: a.text("by", "")}
		if ago := a.duration("ago"); ago > 0 {
			in.At = now.Add(-ago)
		}
		return in
	case "patient":
		in := PatientlyProbed{Subject: a.name, Late: a.number("late")}
		if _, err := fmt.Sscanf(a.text("controls", "3/3"), "%d/%d", &in.ControlsAnswered, &in.ControlsAsked); err != nil {
			a.t.Fatal(err)
		}
		if _, err := fmt.Sscanf(a.text("answers", ""), "%d/%d", &in.Answers, &in.Pings); err != nil {
			a.t.Fatal(err)
		}
		return in
	case "refute":
		return Refuted{Subject: a.name, Incarnation: a.inc()}
	case "failed":
		return EngineFailed{Name: a.name, Incarnation: a.inc()}
	case "left":
		return EngineLeft{Name: a.name, Incarnation: a.inc()}
	case "force":
		return ForcedOut{Subject: a.name, Incarnation: a.inc(), By: a.text("by", "n1"), Prune: a.flag("prune")}
	case "record":
		var state State
		if err := state.UnmarshalText([]byte(a.text("state", ""))); err != nil {
			a.t.Fatal(err)
		}
		return Record{Name: a.name, Addr: a.addr("addr"), Tags: a.tags(), Incarnation: a.inc(), State: state,
			Age: a.duration("age"), ForcedOut: a.flag("forced"), Pruned: a.flag("pruned"), By: a.text("by", "")}
	case "conflict":
		return Conflict{Name: a.name, Ours: a.addr("ours"), Theirs: a.addr("theirs")}
	case "health":
		return Health{Score: a.number("score")}
	case "tick":
		return Tick{}
	}
	a.t.Fatalf("unknown command %q", cmd)
	return nil
}

// offset writes a time as seconds, minutes and hours since the start, signed.
func offset(at time.Time) string {
	if at.Before(epoch) {
		return at.Sub(epoch).String()
	}
	return "+" + at.Sub(epoch).String()
}

func formatEffects(effects []Effect) string {
	if len(effects) == 0 {
		return "nothing\n"
	}
	var out strings.Builder
	for _, e := range effects {
		switch e := e.(type) {
		case Probe:
			var controls []string
			for _, c := range e.Controls {
				controls = append(controls, c.Name)
			}
			fmt.Fprintf(&out, "probe %s at %v inc=%d with %v%s%s\n", e.Subject.Name, e.Subject.Addr, e.Incarnation, controls,
				map[bool]string{true: " for the last time"}[e.Last], map[bool]string{true: fmt.Sprintf(", %v of late answers", e.Wait)}[e.Wait > 0])
			continue
		case Testify:
			var asked []string
			for i, w := range e.Witnesses {
				if e.Asked[i] {
					asked = append(asked, w)
				}
			}
			fmt.Fprintf(&out, "%s that %s inc=%d, accused %v ago, did not answer %s%s%s%s%s\n", map[bool]string{false: "broadcast", true: "tell"}[e.Quietly],
				e.Subject, e.Incarnation, e.Age, cmp.Or(all(e.Witnesses), "anybody yet"),
				map[bool]string{true: fmt.Sprintf("; %s asked", all(asked))}[len(asked) > 0],
				map[bool]string{true: fmt.Sprintf("; heard by %s", all(e.Hearers))}[len(e.Hearers) > 0],
				map[bool]string{true: fmt.Sprintf("; heard of %v before", e.Before)}[e.Before >= 0],
				map[bool]string{true: fmt.Sprintf("; at once to %s", all(targetNames(e.To)))}[len(e.To) > 0])
			continue
		case Summon:
			fmt.Fprintf(&out, "tell %s at once that %s inc=%d is accused\n", all(targetNames(e.To)), e.Subject, e.Incarnation)
			continue
		case Inquire:
			fmt.Fprintf(&out, "ask about %s inc=%d, accused by %s: %s\n", e.Subject, e.Incarnation, e.Accuser, cmp.Or(all(targetNames(e.To)), "nobody else"))
			continue
		case GiveUp:
			fmt.Fprintf(&out, "give up %s inc=%d\n", e.Subject, e.Incarnation)
			continue
		case Reconcile:
			fmt.Fprintf(&out, "exchange state with %s at %v\n", e.Subject.Name, e.Subject.Addr)
			continue
		case PatientProbe:
			fmt.Fprintf(&out, "look at %s at %v patiently, with %d controls\n", e.Subject.Name, e.Subject.Addr, len(e.Controls))
			continue
		case Listen:
			fmt.Fprintf(&out, "listen for %s\n", e.Subject.Name)
			continue
		case Refute:
			fmt.Fprintf(&out, "refute inc=%d, said by %s\n", e.Incarnation, e.Witness)
			continue
		}
		c := e.(Changed).Change
		fmt.Fprintf(&out, "%s %v", offset(c.At), c.Kind)
		if c.Kind == ChangeCondition {
			fmt.Fprintf(&out, " %v: %s\n", c.Condition, c.Reason)
			continue
		}
		fmt.Fprintf(&out, " %s %v->%v inc=%d", c.Member.Name, c.Before, c.Member.State, c.Member.Incarnation)
		if len(c.By) > 0 {
			fmt.Fprintf(&out, " by=%s", strings.Join(c.By, ","))
		}
		fmt.Fprintf(&out, ": %s\n", c.Reason)
	}
	return out.String()
}

func targetNames(targets []Target) []string {
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.Name
	}
	return names
}

func formatView(v *View) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%v", v.Condition())
	for _, s := range []State{Alive, Suspect, Failed, Left} {
		if n := v.Count(s); n > 0 {
			fmt.Fprintf(&out, " %v=%d", s, n)
		}
	}
	out.WriteString("\n")
	for m := range v.All() {
		fmt.Fprintf(&out, "%s %v inc=%d %v since=%s", m.Name, m.State, m.Incarnation, m.Addr, offset(m.Since))
		if !m.FirstSeen.Equal(m.Since) {
			fmt.Fprintf(&out, " first=%s", offset(m.FirstSeen))
		}
		for _, key := range slices.Sorted(maps.Keys(m.Tags)) {
			fmt.Fprintf(&out, " %s=%s", key, m.Tags[key])
		}
		if m.ForcedOut {
			out.WriteString(" forced-out")
		}
		if m.Local {
			out.WriteString(" local")
		}
		out.WriteString("\n")
	}
	return out.String()
}

func formatJournal(entries []Entry) string {
	if len(entries) == 0 {
		return "empty\n"
	}
	var out strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&out, "%s %s %v inc=%d by=%s via=%v", offset(e.At), e.Subject, e.Kind, e.Incarnation, e.By, e.Via)
		if e.Note != "" {
			fmt.Fprintf(&out, ": %s", e.Note)
		}
		out.WriteString("\n")
	}
	return out.String()
}

func formatRecords(records []Record) string {
	if len(records) == 0 {
		return "none\n"
	}
	var out strings.Builder
	for _, r := range records {
		fmt.Fprintf(&out, "%s %v inc=%d age=%v", r.Name, r.State, r.Incarnation, r.Age)
		if r.ForcedOut {
			out.WriteString(" forced-out")
		}
		if r.Pruned {
			out.WriteString(" pruned")
		}
		out.WriteString("\n")
	}
	return out.String()
}
