package cli

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"heartbeat/gossip/httpapi"
)

func TestRendering(t *testing.T) {
	address := sampleAgent().start(t)
	for name, line := range map[string]string{
		"members-table.txt":  "members",
		"members-wide.txt":   "members -o wide",
		"members.json":       "members --format json",
		"members.jsonl":      "members --format jsonl",
		"members.yaml":       "members --format yaml",
		"members-names.txt":  "members --format names",
		"info.txt":           "info",
		"info.yaml":          "info --format=yaml",
		"info-member.txt":    "info n4",
		"tags.txt":           "tags show",
		"tags.json":          "tags show --format json",
		"keys.txt":           "keys list",
		"journal.txt":        "journal",
		"help-overview.txt":  "--help",
		"help-members.txt":   "members -h",
		"help-keys.txt":      "help keys",
		"help-exitcodes.txt": "help exit-codes",
	} {
		t.Run(name, func(t *testing.T) {
			r := heartbeat(t, "--address "+address+" "+line)
			if r.code != 0 || r.stderr != "" {
				t.Fatalf("exit code %d, stderr %q", r.code, r.stderr)
			}
			golden(t, "render/"+name, r.stdout)
			if plain := strings.HasSuffix(name, ".txt"); plain && strings.Contains(r.stdout, "\x1b") {
				t.Error("there is an escape sequence in what does not go to a terminal")
			}
		})
	}
}

func TestColours(t *testing.T) {
	address := sampleAgent().start(t)
	for name, line := range map[string]string{
		"members-colour.txt": "members",
		"info-colour.txt":    "info",
		"journal-colour.txt": "journal n3",
	} {
		t.Run(name, func(t *testing.T) {
			got := coloured(t, "--address "+address+" "+line)
			golden(t, "render/"+name, strings.ReplaceAll(got, "\x1b", "␛"))
			plain := heartbeat(t, "--address "+address+" "+line).stdout
			if diff := cmp.Diff(plain, ansi.Strip(got)); diff != "" {
				t.Errorf("colours change the text (-plain +coloured):\n%s", diff)
			}
			if without := coloured(t, "--no-color --address "+address+" "+line); without != plain {
				t.Errorf("--no-color leaves %q", without)
			}
		})
	}
}

func TestColourOnlyOnTerminals(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if out := newTerminal(f); out.tty || out.colour {
		t.Errorf("a file is taken for a terminal: %+v", out)
	}
}

func TestTableAlignsWideCharacters(t *testing.T) {
	table := membersTable(&terminal{fd: -1}, func() *httpapi.Members { v := sampleView(); return &v }(), false, at)
	column := -1
	for _, line := range table.lines() {
		for _, state := range []string{"STATE", "alive", "suspect", "failed", "left"} {
			if i := strings.Index(line, gutter+state); i >= 0 {
				if w := ansi.StringWidth(line[:i]); column >= 0 && w != column {
					t.Errorf("the state of %q is in column %d, not %d", line, w, column)
				} else {
					column = w
				}
			}
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("%q ends in spaces", line)
		}
	}
}

func TestConditionNotes(t *testing.T) {
	for _, tt := range []struct {
		condition string
		counts    httpapi.Counts
		want      string
	}{
		{"connected", httpapi.Counts{Alive: 5}, ""},
		{"degraded", httpapi.Counts{Alive: 5}, "note: the health of n4 itself is poor (score 3, 0 is best): what it finds may come late or be wrong\n"},
		{"minority", httpapi.Counts{Alive: 1, Suspect: 1, Failed: 3, Left: 9}, "note: n4 sees only 2 of 5 members: it may be cut off itself\n"},
		{"isolated", httpapi.Counts{Alive: 1, Failed: 4}, "note: n4 sees none of the other 4 members: it may be cut off itself\n"},
	} {
		t.Run(tt.condition, func(t *testing.T) {
			agent := sampleAgent()
			view, info := sampleView(), sampleInfo()
			view.Node, view.Condition = "n4", tt.condition
			info.Name, info.Condition, info.Members, info.HealthScore = "n4", tt.condition, tt.counts, 3
			agent["GET /v1/members"], agent["GET /v1/info"] = view, info
			address := agent.start(t)
			for _, line := range []string{"members", "members --name x*", "info"} {
				if r := heartbeat(t, line+" -a "+address); r.code != 0 || r.stderr != tt.want {
					t.Errorf("%s: exit code %d, stderr %q, want %q", line, r.code, r.stderr, tt.want)
				}
			}
		})
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "now", 0: "now", 999 * time.Millisecond: "now", time.Second: "1s ago",
		119 * time.Second: "119s ago", 2 * time.Minute: "2m ago", 119 * time.Minute: "119m ago",
		2 * time.Hour: "2h ago", 47 * time.Hour: "47h ago", 48 * time.Hour: "2d ago", 1000 * 24 * time.Hour: "1000d ago",
	} {
		if got := ago(at, at.Add(-d)); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	if got := ago(at, time.Time{}); got != "-" {
		t.Errorf("no time is %q", got)
	}
}

// TestFrameFitsTheTerminal: a line that wrapped, or one too many, would spoil
// the next redraw.
func TestFrameFitsTheTerminal(t *testing.T) {
	view := sampleView()
	for i := range 200 {
		view.Members = append(view.Members, httpapi.Member{Name: strings.Repeat("x", i) + strconv.Itoa(i), Addr: "10.1.1.1:7946", State: "alive"})
	}
	var a app
	a.stdout = &terminal{fd: -1, tty: true, colour: true}
	width, height := a.stdout.size()
	lines := strings.Split(a.frame(&view, true), "\r\n")
	if len(lines) > height {
		t.Errorf("%d lines for a terminal of %d", len(lines), height)
	}
	for _, line := range lines {
		if w := ansi.StringWidth(line); w >= width {
			t.Errorf("%q is %d cells wide on a terminal of %d", line, w, width)
		}
	}
}

func TestEventLines(t *testing.T) {
	term := &terminal{fd: -1}
	var got strings.Builder
	for _, ev := range []httpapi.Event{
		{Kind: "joined", At: at, Member: &httpapi.Member{Name: "n3", Addr: "10.0.0.3:7946", State: "alive"}},
		{Kind: "suspected", At: at, Member: &httpapi.Member{Name: "n3", Addr: "10.0.0.3:7946", State: "suspect"}, By: []string{"n1"}, Reason: "no ack"},
		{Kind: "failed", At: at, Member: &httpapi.Member{Name: "n\x1b3", Addr: "10.0.0.3:7946", State: "failed"}, By: []string{"n1", "n2", "n5"}, Reason: "nobody\nrefuted it"},
		{Kind: "condition", At: at, Condition: "minority", Reason: "2 of 5"},
		{Kind: httpapi.EventLost, At: at, Lost: 1},
		{Kind: httpapi.EventReset, At: at},
	} {
		got.WriteString(eventLine(term, ev) + "\n")
	}
	golden(t, "render/events.txt", got.String())
}

func TestLogLines(t *testing.T) {
	agent := fakeAgent{"GET /v1/logs": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("data: {\"level\":\"warn\",\"time\":\"2026-03-04T12:00:00Z\",\"member\":\"n\\u001b[2J3\",\"message\":\"lost\\u001b[2J it\"}\n\n" +
			"event: lost\ndata: {\"lost\":7}\n\n"))
	})}
	address := agent.start(t)
	for name, line := range map[string]string{"monitor.txt": "monitor", "monitor.jsonl": "monitor --format jsonl"} {
		r := heartbeat(t, line+" --address "+address)
		if r.code != exitUnreachable || !strings.Contains(r.stderr, "ended the stream") {
			t.Errorf("%s: exit code %d, stderr %q", line, r.code, r.stderr)
		}
		if strings.Contains(r.stdout, "\x1b") {
			t.Errorf("%s lets an escape sequence of the log through: %q", line, r.stdout)
		}
		golden(t, "render/"+name, r.stdout)
	}
}
