package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"heartbeat/gossip/httpapi"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file below testdata, or rewrites the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(name))
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got; go test -update rewrites it):\n%s", path, diff)
	}
}

// fakeAgent answers each "METHOD /path" with a value as JSON, or with a
// problem, so that rendering can be tested with answers no real cluster gives
// at will.
type fakeAgent map[string]any

func (f fakeAgent) start(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply, ok := f[r.Method+" "+r.URL.Path]
		if !ok {
			reply = httpapi.Problem{Type: httpapi.ProblemNoSuchRoute, Title: "no such route", Status: 404}
		}
		switch reply := reply.(type) {
		case http.HandlerFunc:
			reply(w, r)
			return
		case httpapi.Problem:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(reply.Status)
		default:
			w.Header().Set("Content-Type", "application/json")
		}
		_ = json.NewEncoder(w).Encode(reply) // the client notices
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// result is what one invocation did.
type result struct {
	code           int
	stdout, stderr string
}

// heartbeat runs the command line, split at spaces.
func heartbeat(t *testing.T, line string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), append([]string{"heartbeat"}, strings.Fields(line)...), strings.NewReader(""), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// coloured runs the command line as if stdout were a terminal with colours.
func coloured(t *testing.T, line string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := newApp(strings.NewReader(""), &stdout, &stderr)
	a.stdout.tty, a.stdout.colour = true, true
	if err := a.run(t.Context(), strings.Fields(line)); err != nil {
		t.Fatal(err)
	}
	return stdout.String()
}

var at = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func rtt(ms float64) *float64 { return &ms }

// sampleView has a member in every state, a wide name, and tags that try to
// move the cursor.
func sampleView() httpapi.Members {
	return httpapi.Members{
		Node: "n1", Condition: "connected", ViewVersion: 7, At: at, Total: 5,
		Members: []httpapi.Member{
			{Name: "n1", Addr: "10.0.0.1:7946", Tags: map[string]string{"role": "web", "dc": "eu"}, State: "alive", Incarnation: 1, Since: at.Add(-3 * time.Minute), FirstSeen: at.Add(-3 * time.Minute), Local: true},
			{Name: "n2", Addr: "10.0.0.2:7946", Tags: map[string]string{}, State: "suspect", Incarnation: 4, Since: at.Add(-1500 * time.Millisecond), FirstSeen: at.Add(-50 * time.Hour), RTTMS: rtt(0.71234), AccusedBy: []string{"n1", "n3\x1b"}},
			{Name: "n3", Addr: "[fd00::3]:7946", Tags: map[string]string{"note": "evil\x1b[2J\u202e\nn9"}, State: "failed", Incarnation: 2, Since: at.Add(-3 * time.Hour), FirstSeen: at.Add(-3 * time.Hour), Probation: true},
			{Name: "n4", Addr: "10.0.0.4:17946", Tags: map[string]string{"a": ""}, State: "left", Since: at.Add(10 * time.Millisecond), FirstSeen: at.Add(-90 * time.Second), ForcedOut: true},
			{Name: "東京", Addr: "10.0.0.5:7946", Tags: map[string]string{"role": "db"}, State: "alive", Incarnation: 1, Since: at.Add(-90 * time.Second), FirstSeen: at.Add(-90 * time.Second), RTTMS: rtt(12.5)},
		},
	}
}

func sampleInfo() httpapi.Info {
	return httpapi.Info{
		Name: "n1", Cluster: "blue", Profile: "lan", Detector: "verdicts", Version: "v1", Bind: "0.0.0.0:7946", Advertise: "10.0.0.1:7946",
		Epoch: "e1", Started: at.Add(-3 * time.Minute), UptimeMS: 180000, Condition: "connected", Ready: true,
		Encrypted: true, Members: httpapi.Counts{Alive: 2, Suspect: 1, Failed: 1, Left: 1}, PendingBroadcasts: 2, ViewVersion: 7,
		Digest: &httpapi.Digest{Sum: "245d2e6f30580d2b", Held: 3, LastAgreed: moments(at.Add(-2 * time.Second)), LastDiffered: moments(at.Add(-time.Minute))},
	}
}

func moments(t time.Time) *time.Time { return &t }

func sampleAgent() fakeAgent {
	view, info := sampleView(), sampleInfo()
	return fakeAgent{
		"GET /v1/members":    view,
		"GET /v1/members/n4": httpapi.MemberAnswer{Node: "n1", Condition: "connected", At: at, Member: view.Members[3]},
		"GET /v1/members/n9": httpapi.Problem{Type: httpapi.ProblemNoSuchMember, Title: "no such member", Status: 404},
		"GET /v1/info":       info,
		"GET /v1/tags":       httpapi.Tags{Tags: map[string]string{"role": "web", "dc": "eu"}},
		"GET /v1/keys":       httpapi.Keys{Keys: []httpapi.Key{{ID: "00ff00ff00ff00ff", Bits: 256, Primary: true}, {ID: "1122334455667788", Bits: 128}}},
		"GET /v1/journal": httpapi.Journal{Node: "n1", Condition: "connected", Entries: []httpapi.JournalEntry{
			{At: at, Member: "n3", Kind: "accused", Incarnation: 2, By: "n2", Via: "inbound"},
			{At: at.Add(4 * time.Second), Member: "n3", Kind: "failed", Incarnation: 2, Via: "engine", Note: "nobody refuted it in time"},
		}},
	}
}
